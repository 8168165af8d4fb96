"""Softmax and the losses as operations: slow oracles with C's order of sums, gradients, labels that don't fit."""

from __future__ import annotations

import math
import tracemalloc
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

import caffe_fillers as cf
from caffe_fillers import CaffeError, ops, schema
from caffe_fillers.ops import Work
from caffe_fillers.ops.targets import in_order

FEW = settings(max_examples=25, deadline=None, derandomize=True)
F = np.float32
NORMALIZATIONS = ("VALID", "FULL", "BATCH_SIZE", "NONE")
TINY, LEAST = np.finfo(F).tiny, F(1e-20)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def run(operation, *bottoms, dtype=np.float32, tops=((),), weight=1.0, by=(0,)):
    """One pass forward and one back: the tops, and the gradients of the bottoms `by`."""
    work, arrays = Work(), [np.asarray(bottom, dtype) for bottom in bottoms]
    result = [np.full(shape, np.nan, dtype) for shape in tops]
    operation.forward(arrays, result, [], work)
    gradients = [np.full_like(bottom, np.nan) if i in by else None for i, bottom in enumerate(arrays)]
    dtops = [np.full(shape, weight if i == 0 else np.nan, dtype) for i, shape in enumerate(tops)]
    operation.backward(dtops, arrays, result, [], gradients, [], work)
    return result, [gradients[i] for i in by]


def log(x: float) -> np.float32:
    return F(math.log(x))


def same_bits(ours: np.ndarray, oracle: np.ndarray) -> None:
    oracle = np.asarray(oracle, F)
    assert ours.shape == oracle.shape
    np.testing.assert_array_equal(ours.view(np.uint32), oracle.view(np.uint32))


@st.composite
def places(draw):
    """Scores with their classes on any axis, a label for each place, and which label to ignore."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)))
    axis = draw(st.integers(0, len(shape) - 1))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    labels = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    ignore = draw(st.sampled_from([None, 0, 1]))
    return rng.standard_normal(shape), labels, axis, ignore, draw(st.sampled_from(NORMALIZATIONS))


def divisor(normalization, valid, shape, axis):
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    return max(1, {"VALID": valid, "FULL": outer * inner, "BATCH_SIZE": outer, "NONE": 1}[normalization])


# --- softmax -----------------------------------------------------------------------------------------------------


@FEW
@given(places())
def test_softmax_and_its_gradient(case):
    x, _, axis, _, _ = case
    (y,), _ = run(ops.Softmax(axis), x, dtype=np.float64, tops=[x.shape])
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(axis, keepdims=True), rtol=1e-13)
    check_gradient(ops.Softmax(axis), [x], [], [x.shape])
    check_gradient(ops.Softmax(axis), [x], [], [x.shape], in_place=True)


def test_exponentials_are_rounded_once_from_doubles():
    x = np.stack([np.zeros(3000), -np.abs(noise(3000)) * 3], axis=1).astype(F)
    (y,), _ = run(ops.Softmax(1), x, tops=[x.shape])
    powers = np.array([[1, F(math.exp(v))] for _, v in x], F)
    same_bits(y, powers / (powers[:, :1] + powers[:, 1:]))


def test_a_score_that_is_no_number_spoils_its_own_place_only():
    (y,), _ = run(ops.Softmax(1), [[1, np.nan], [np.inf, 0], [-np.inf, 0]], tops=[(3, 2)])
    np.testing.assert_array_equal(y, [[np.nan, np.nan], [np.nan, np.nan], [0, 1]])


@FEW
@given(places())
def test_softmax_loss_adds_one_place_after_another(case):
    x, labels, axis, ignore, normalization = case
    operation = ops.SoftmaxWithLoss(axis, ignore, normalization)
    (loss, y), (dx,) = run(operation, x, labels, tops=[(), x.shape], weight=0.3)
    total, valid = F(0), 0
    expected = y.copy()
    for place in np.ndindex(labels.shape):
        outer, inner = place[:axis], place[axis:]
        if labels[place] == ignore:
            expected[(*outer, slice(None), *inner)] = 0
            continue
        right = (*outer, labels[place], *inner)
        total, valid = total - log(max(y[right], TINY)), valid + 1
        expected[right] -= 1
    by = F(divisor(normalization, valid, x.shape, axis))
    same_bits(loss, total / by)
    same_bits(dx, expected * (F(0.3) / by))
    check_gradient(operation, [x, labels], [], [()], by=[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_place_costs_more_than_the_smallest_float_allows_while_its_gradient_does_not_know(dtype):
    (loss,), (dx,) = run(ops.SoftmaxWithLoss(), [[200, 0]], [1], dtype=dtype)
    assert loss == dtype(-math.log(TINY))
    np.testing.assert_allclose(dx, [[1, -1]], atol=1e-30)


def test_a_label_to_ignore_need_not_be_a_class_and_ignores_what_is_no_number():
    x = np.array([[np.nan, 1], [0, 0]])
    (loss,), (dx,) = run(ops.SoftmaxWithLoss(1, 255), x, [255, 1])
    assert loss == log(2)
    np.testing.assert_array_equal(dx, [[0, 0], [0.5, -0.5]])
    (loss,), (dx,) = run(ops.SoftmaxWithLoss(1, 255), x, [255, 255])
    assert loss == 0
    np.testing.assert_array_equal(dx, np.zeros((2, 2)))


def test_a_second_pass_allocates_nothing_large():
    x, labels = noise(8, 64, 32, 32).astype(F), np.zeros((8, 32, 32), F)
    for operation, bottoms, top in (
        (ops.Softmax(1), [x], x.shape),
        (ops.SoftmaxWithLoss(), [x, labels], ()),
        (ops.EuclideanLoss(), [x, x.copy()], ()),
        (ops.HingeLoss(), [x, labels], ()),
        (ops.SigmoidCrossEntropyLoss(), [x, x.copy()], ()),
    ):
        work, tops, dtops, dx = Work(), [np.zeros(top, F)], [np.ones(top, F)], np.empty_like(x)
        for _ in range(2):
            tracemalloc.start()
            operation.forward(bottoms, tops, [], work)
            operation.backward(dtops, bottoms, tops, [], [dx, *[None] * (len(bottoms) - 1)], [], work)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 0.5 * x.nbytes, type(operation).__name__


# --- cross entropy -------------------------------------------------------------------------------------------------


def slow_cross_entropy(x, target, ignore):
    total, valid = F(0), 0
    for score, t in zip(x.astype(F).ravel(), target.astype(F).ravel(), strict=True):
        if ignore is not None and int(t) == ignore:
            continue
        positive = F(score >= 0)
        power = F(math.exp(score - F(2) * score * positive))
        total -= score * (t - positive) - log(F(1) + power)
        valid += 1
    return total, valid


@FEW
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99), st.sampled_from([None, 0, 1]), st.booleans())
def test_sigmoid_cross_entropy(images, numbers, seed, ignore, soft):
    rng = np.random.default_rng(seed)
    x = 2 * rng.standard_normal((images, numbers))
    target = rng.uniform(0, 1, x.shape) if soft else rng.integers(0, 2, x.shape)
    for normalization in NORMALIZATIONS:
        operation = ops.SigmoidCrossEntropyLoss(ignore, normalization)
        (loss,), (dx,) = run(operation, x, target.reshape(images, 1, numbers))
        total, valid = slow_cross_entropy(x, target, ignore)
        by = divisor(normalization, valid, (images, 1, numbers), 1)
        same_bits(loss, total / F(by))
        expected = np.where(np.trunc(target) == ignore, 0, 1 / (1 + np.exp(-x)) - target) / by
        np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6)
        check_gradient(operation, [x, target], [], [()], by=[0])


def test_a_long_sum_is_the_loops_and_not_a_pairwise_one():
    x, target = noise(100, 784), np.random.default_rng(1).uniform(0, 1, (100, 784))
    (loss,), _ = run(ops.SigmoidCrossEntropyLoss(), x, target)
    total, _ = slow_cross_entropy(x, target, None)
    same_bits(loss, total / F(100))
    exact, _ = ops.sigmoid_cross_entropy_loss(x.astype(F).astype(float), target.astype(F).astype(float))
    assert abs(float(loss) / exact - 1) > 1e-6  # what the order costs, and Caffe pays


# --- infogain ----------------------------------------------------------------------------------------------------


@FEW
@given(places())
def test_infogain_weighs_every_class(case):
    x, labels, axis, ignore, normalization = case
    classes = x.shape[axis]
    matrix = np.random.default_rng(5).uniform(0, 1, (classes, classes))
    operation = ops.InfogainLoss(axis, ignore, normalization)
    (loss, y), _ = run(operation, x, labels, matrix, tops=[(), x.shape])
    total, valid = F(0), 0
    for place in np.ndindex(labels.shape):
        if labels[place] != ignore:
            valid += 1
            for other in range(classes):
                probability = y[(*place[:axis], other, *place[axis:])]
                total -= F(matrix[labels[place], other]) * log(max(probability, LEAST))
    same_bits(loss, total / F(divisor(normalization, valid, x.shape, axis)))
    check_gradient(operation, [x, labels, matrix], [], [()], by=[0])


def test_an_infogain_matrix_from_a_file_is_read_once(tmp_path):
    matrix = np.array([[1, 0.5], [0, 2]], F)
    path = tmp_path / "H.binaryproto"
    path.write_bytes(schema.BlobProto(num=1, channels=1, height=2, width=2, data=matrix.ravel()).SerializeToString())
    net = infogain_net(path)
    net.blobs["x"].data[...], net.blobs["t"].data[...] = [[1, 0], [0, 0]], [0, 1]
    net.forward()
    expected, _ = ops.infogain_loss(F([[1, 0], [0, 0]]), np.array([0, 1]), matrix)
    assert net.blobs["loss"].data == F(expected)
    path.unlink()
    net.forward()
    assert net.blobs["loss"].data == F(expected)


def infogain_net(path: Path) -> cf.Net:
    (path.parent / "net.prototxt").write_text(
        "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 2 } } }"
        "layer { name: 't' type: 'Input' top: 't' input_param { shape { dim: 2 } } }"
        "layer { name: 'gain' type: 'InfogainLoss' bottom: 'x' bottom: 't' top: 'loss'"
        f" infogain_loss_param {{ source: '{path}' }} }}"
    )
    return cf.Net(path.parent / "net.prototxt")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read"),
        (b"no blob\xff", "is no blob"),
        (schema.BlobProto(num=1, channels=1, height=2, width=2, data=[1]).SerializeToString(), "vs. 1"),
        (
            schema.BlobProto(num=1, channels=1, height=1, width=2, data=[1, 2]).SerializeToString(),
            r"infogain->count\(\) == num_labels_\*num_labels_ \(2 vs. 4\)",
        ),
    ],
)
def test_an_infogain_matrix_that_is_none(tmp_path, content, text):
    path = tmp_path / "H.binaryproto"
    if content is not None:
        path.write_bytes(content)
    net = infogain_net(path)
    net.blobs["x"].data[...], net.blobs["t"].data[...] = 0, 0
    with pytest.raises(CaffeError, match=text) as caught:
        net.forward()
    assert "layer 'gain'" in str(caught.value)


# --- distances and margins -----------------------------------------------------------------------------------------


@FEW
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_euclidean(images, height, width, seed):
    x, target = noise(images, height, width, seed=seed), noise(images, height * width, seed=seed + 100)
    (loss,), (dx, dtarget) = run(ops.EuclideanLoss(), x, target, weight=0.7, by=(0, 1), dtype=np.float64)
    assert float(loss) == pytest.approx(((x.reshape(images, -1) - target) ** 2).sum() / images / 2, rel=1e-12)
    np.testing.assert_array_equal(dx.reshape(images, -1), -dtarget)
    check_gradient(ops.EuclideanLoss(), [x, target], [], [()])


@FEW
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99), st.sampled_from(["L1", "L2"]))
def test_hinge(images, classes, seed, norm):
    x, labels = 2 * noise(images, classes, 1, seed=seed), np.random.default_rng(seed).integers(0, classes, images)
    (loss,), _ = run(ops.HingeLoss(norm), x, labels, dtype=np.float64)
    total = 0.0
    for n, c in product(range(images), range(classes)):
        total += max(0, 1 - x[n, c, 0] if labels[n] == c else 1 + x[n, c, 0]) ** (1 if norm == "L1" else 2)
    assert float(loss) == pytest.approx(total / images, rel=1e-12)
    check_gradient(ops.HingeLoss(norm), [x, labels], [], [()], by=[0], tolerance=1e-5)


def test_a_score_that_is_no_number_costs_nothing_in_a_hinge_loss():
    (loss,), (dx,) = run(ops.HingeLoss(), [[np.nan, 1]], [1])
    assert loss == 0
    np.testing.assert_array_equal(dx, [[0, 0]])


@FEW
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_multinomial(images, classes, seed):
    rng = np.random.default_rng(seed)
    x, labels = rng.uniform(0.05, 1, (images, classes)), rng.integers(0, classes, images)
    (loss,), _ = run(ops.MultinomialLogisticLoss(), x, labels)
    total = F(0)
    for row, label in zip(x.astype(F), labels, strict=True):
        total -= log(row[label])
    same_bits(loss, total / F(images))
    check_gradient(ops.MultinomialLogisticLoss(), [x, labels], [], [()], by=[0], tolerance=1e-5)


def test_a_probability_of_zero_counts_as_1e_20():
    (loss,), (dx,) = run(ops.MultinomialLogisticLoss(), [[0, 1]], [0], weight=0.5)
    assert loss == -log(LEAST)
    same_bits(dx, [[F(-0.5) / LEAST, 0]])


@FEW
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99), st.booleans())
def test_contrastive(pairs, features, seed, legacy):
    x, y = noise(pairs, features, 1, 1, seed=seed), noise(pairs, features, seed=seed + 100)
    similar = np.random.default_rng(seed).integers(0, 3, pairs)
    operation = ops.ContrastiveLoss(1.5, legacy)
    (loss,), (dx, dy) = run(operation, x, y, similar, weight=2.0, by=(0, 1), dtype=np.float64)
    total, expected = 0.0, np.zeros((pairs, features))
    for n, (a, b) in enumerate(zip(x[..., 0, 0], y, strict=True)):
        squared = ((a - b) ** 2).sum()
        distance = math.sqrt(squared)
        if similar[n]:
            total += squared
            expected[n] = (a - b) * 2 / pairs
        elif legacy:
            total += max(0, 1.5 - squared)
            expected[n] = -(a - b) * 2 / pairs * (squared < 1.5)
        else:
            total += max(0, 1.5 - distance) ** 2
            expected[n] = -(a - b) * 2 / pairs * max(0, 1.5 - distance) / (distance + 1e-4)
    assert float(loss) == pytest.approx(total / pairs / 2, rel=1e-12)
    np.testing.assert_allclose(dx[..., 0, 0], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(dx[..., 0, 0], -dy)
    if legacy:
        check_gradient(operation, [x, y, similar], [], [()], by=[0, 1], tolerance=1e-5)


def test_the_contrastive_gradient_away_from_a_distance_of_zero_is_the_losses():
    # the 1e-4 that Caffe adds to the distance is little beside 100
    x, y = 100 * noise(4, 3), 100 * noise(4, 3, seed=1)
    check_gradient(ops.ContrastiveLoss(400), [x, y, np.array([0, 1, 0, 0])], [], [()], by=[0, 1], tolerance=1e-5)
    (_,), (dx,) = run(ops.ContrastiveLoss(), [[1.0]], [[1.0]], [0])
    assert dx == 0


# --- what the prototxt says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "loss_param", "normalization"),
    [
        ("SoftmaxWithLoss", "", "VALID"),
        ("SoftmaxWithLoss", "normalize: true", "VALID"),
        ("SoftmaxWithLoss", "normalize: false", "BATCH_SIZE"),
        ("SoftmaxWithLoss", "normalize: false normalization: FULL", "FULL"),
        ("SigmoidCrossEntropyLoss", "", "BATCH_SIZE"),
        ("SigmoidCrossEntropyLoss", "normalize: true", "VALID"),
        ("SigmoidCrossEntropyLoss", "normalize: false", "BATCH_SIZE"),
        ("SigmoidCrossEntropyLoss", "normalize: true normalization: NONE", "NONE"),
        ("InfogainLoss", "", "VALID"),
        ("InfogainLoss", "normalization: BATCH_SIZE", "BATCH_SIZE"),
    ],
)
def test_what_a_loss_is_divided_by(tmp_path, kind, loss_param, normalization):
    """Three images of two places each, one of which is ignored; all scores are equal."""
    labels = "dim: 3 dim: 2 dim: 2" if kind.startswith("Sigmoid") else "dim: 3 dim: 2"
    third = "bottom: 'H'" if kind == "InfogainLoss" else ""
    path = tmp_path / "net.prototxt"
    path.write_text(
        "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 3 dim: 2 dim: 2 } } }"
        f"layer {{ name: 't' type: 'Input' top: 't' input_param {{ shape {{ {labels} }} }} }}"
        "layer { name: 'H' type: 'Input' top: 'H' input_param { shape { dim: 2 dim: 2 } } }"
        f"layer {{ name: 'l' type: '{kind}' bottom: 'x' bottom: 't' top: 'loss'"
        f"{third} loss_param {{ ignore_label: 7 {loss_param} }} }}"
    )
    net = cf.Net(path)
    net.blobs["x"].data[...], net.blobs["t"].data[...], net.blobs["H"].data[...] = 0, 0, np.eye(2)
    net.blobs["t"].data.flat[0] = 7
    net.forward()
    places = net.blobs["t"].count()
    by = {"VALID": places - 1, "FULL": places, "BATCH_SIZE": 3, "NONE": 1}[normalization]
    assert net.blobs["loss"].data == pytest.approx((places - 1) * math.log(2) / by, rel=1e-6)


# --- what is refused -----------------------------------------------------------------------------------------------

LABELLED = {
    "SoftmaxWithLoss": ops.SoftmaxWithLoss(),
    "InfogainLoss": ops.InfogainLoss(read=lambda: np.eye(3)),
    "HingeLoss": ops.HingeLoss(),
    "MultinomialLogisticLoss": ops.MultinomialLogisticLoss(),
    "Accuracy": ops.Accuracy(),
}


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize(
    ("label", "text"),
    [
        (3, r"Check failed: label_value < .* \(3 vs. 3\)\nlabel 3 doesn't fit 3 classes \(0 to 2\)"),
        (-1, r"Check failed: label_value >= 0 \(-1 vs. 0\)"),
        (np.nan, r"label_value >= 0 \(-2147483648 vs. 0\)"),
        (1e30, r"label_value >= 0 \(-2147483648 vs. 0\)"),
    ],
)
def test_a_label_that_is_no_class_is_refused_before_anything_is_written(name, label, text):
    top = np.full((), 7, F)
    with pytest.raises(CaffeError, match=text):
        LABELLED[name].forward([noise(2, 3).astype(F), F([0, label])], [top], [], Work())
    assert top == 7


@pytest.mark.parametrize("name", [*LABELLED, "SigmoidCrossEntropyLoss"])
def test_labels_have_no_gradient(name):
    operation = LABELLED.get(name, ops.SigmoidCrossEntropyLoss())
    x, labels = noise(2, 3), np.zeros((2, 3) if name.startswith("Sigmoid") else 2)
    with pytest.raises(CaffeError, match=r"Layer cannot backpropagate to label inputs|has no gradient"):
        run(operation, x, labels, by=(0, 1))
    assert operation.forces(0)
    assert operation.forces(1) == (name == "Accuracy")


@pytest.mark.parametrize("operation", [ops.HingeLoss(), ops.MultinomialLogisticLoss()])
def test_no_images_are_refused_where_caffe_would_divide_by_their_number(operation):
    with pytest.raises(CaffeError, match="there are none"):
        run(operation, np.zeros((0, 3)), np.zeros(0))


def test_no_images_elsewhere():
    (loss,), _ = run(ops.SoftmaxWithLoss(), np.zeros((0, 3)), np.zeros(0))
    assert loss == 0
    (loss,), _ = run(ops.SigmoidCrossEntropyLoss(), np.zeros((0, 3)), np.zeros((0, 3)))
    assert loss == 0
    (loss,), _ = run(ops.EuclideanLoss(), np.zeros((0, 3)), np.zeros((0, 3)))
    assert np.isnan(loss)
    (y,), _ = run(ops.Softmax(), np.zeros((0, 3)), tops=[(0, 3)])
    assert y.shape == (0, 3)


def test_sums_in_order_start_at_zero():
    assert math.copysign(1, in_order(F([-0.0]))) == 1
    assert in_order(F([1, 2**-24, 2**-24])) == 1
