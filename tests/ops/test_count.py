"""Accuracy and ArgMax as operations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, ops
from caffe_fillers.ops import Work

FEW = settings(max_examples=40, deadline=None, derandomize=True)


def run(operation, *bottoms, tops):
    result = [np.full(shape, np.nan, np.float32) for shape in tops]
    operation.forward([np.asarray(bottom, np.float32) for bottom in bottoms], result, [], Work())
    return result


@st.composite
def scores(draw):
    """Numbers with many ties."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)))
    axis = draw(st.integers(0, len(shape) - 1))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.integers(0, 4, shape).astype(np.float32), axis, draw(st.integers(1, shape[axis])), rng


@FEW
@given(scores(), st.sampled_from([None, 0, 1]))
def test_accuracy_counts_ties_against_a_place(case, ignore):
    x, axis, top_k, rng = case
    labels = rng.integers(0, x.shape[axis], x.shape[:axis] + x.shape[axis + 1 :])
    share, by_class = run(ops.Accuracy(top_k, axis, ignore), x, labels, tops=[(), (x.shape[axis],)])
    hits, places = [0] * x.shape[axis], [0] * x.shape[axis]
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label != ignore:
            row = x[(*place[:axis], slice(None), *place[axis:])]
            better = -1 + sum(score >= row[label] for score in row)
            hits[label] += better < top_k
            places[label] += 1
    assert share == np.float32(sum(hits)) / np.float32(max(1, sum(places)))
    np.testing.assert_array_equal(by_class, np.float32(hits) / np.maximum(np.float32(places), 1))


def test_a_right_class_whose_score_is_no_number_is_right():
    assert run(ops.Accuracy(), [[np.nan, 1]], [0], tops=[()])[0] == 1


@FEW
@given(scores(), st.booleans())
def test_argmax_takes_the_last_of_equal_scores_first(case, values):
    x, axis, top_k, _ = case
    shape = list(x.shape)
    shape[axis] = top_k
    (top,) = run(ops.ArgMax(top_k, axis, values), x, tops=[tuple(shape)])
    for place in np.ndindex(*x.shape[:axis], *x.shape[axis + 1 :]):
        at = (*place[:axis], slice(None), *place[axis:])
        ranked = sorted(((score, i) for i, score in enumerate(x[at])), reverse=True)[:top_k]
        np.testing.assert_array_equal(top[at], [score if values else i for score, i in ranked])


@FEW
@given(scores(), st.booleans())
def test_argmax_without_an_axis_ranks_whole_images(case, values):
    x, _, _, _ = case
    top_k = min(2, math.prod(x.shape[1:]))
    shape = [1] * max(3, x.ndim)
    shape[:3] = len(x), 1 + values, top_k
    (top,) = run(ops.ArgMax(top_k, None, values), x, tops=[tuple(shape)])
    for image, row in zip(x, top.reshape(len(x), -1), strict=True):
        ranked = sorted(((score, i) for i, score in enumerate(image.ravel())), reverse=True)[:top_k]
        np.testing.assert_array_equal(row, [i for _, i in ranked] + [score for score, _ in ranked] * values)


@pytest.mark.parametrize("operation", [ops.Accuracy(), ops.ArgMax()])
def test_counts_have_no_gradient(operation):
    with pytest.raises(CaffeError, match="has no gradient"):
        operation.backward([np.ones(())], [np.ones((1, 2))], [np.ones(())], [], [np.ones((1, 2))], [], Work())
