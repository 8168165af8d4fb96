"""Rules of section 7 that no golden has: shapes, zero dims, refusals, blobs written in the text."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_fillers as cf


def build(write_to, layers, *shapes, fill=False, **options):
    text = []
    for i, shape in enumerate(shapes):
        dims = " ".join(f"dim: {dim}" for dim in shape)
        text.append(f'layer {{ name: "x{i}" type: "Input" top: "x{i}" input_param {{ shape {{ {dims} }} }} }}')
    write_to.write_text("\n".join([*text, layers]))
    return cf.Net(write_to, rng=1, fill=fill, strict=True, **options)


@pytest.fixture
def net(tmp_path):
    def net(layers, *shapes, **options):
        return build(tmp_path / "net.prototxt", layers, *shapes, **options)

    return net


def layer(kind, param="", bottoms=1, tops=1):
    ends = "".join(f' bottom: "x{i}"' for i in range(bottoms)) + "".join(f' top: "y{i}"' for i in range(tops))
    return f'layer {{ name: "y" type: "{kind}"{ends} {param} }}'


SHAPES = [
    ("Clip", "clip_param { min: 0 max: 1 }", [(2, 3)], [(2, 3)]),
    ("Clip", "", [(2, 3)], [(2, 3)]),
    ("Log", "log_param { base: 2 }", [(2, 3)], [(2, 3)]),
    ("Swish", "", [(2, 3)], [(2, 3)]),
    ("BNLL", "", [(2, 3, 4, 5, 6)], [(2, 3, 4, 5, 6)]),
    ("MVN", "", [(2, 3)], [(2, 3, 1, 1)]),
    ("Flatten", "flatten_param { axis: 2 end_axis: 1 }", [(2, 3, 4)], [(2, 3, 1, 4)]),
    ("Flatten", "flatten_param { axis: -2 }", [(2, 3, 4)], [(2, 12)]),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", [(2, 3, 4)], [(2, 12)]),
    ("Reshape", "reshape_param { shape { dim: 1 } axis: -1 }", [(2, 3)], [(2, 3, 1)]),
    ("Reshape", "reshape_param { shape { dim: 3 dim: 2 } axis: 1 num_axes: 1 }", [(2, 6, 4)], [(2, 3, 2, 4)]),
    ("Tile", "tile_param { tiles: 3 axis: -1 }", [(2, 3)], [(2, 9)]),
    ("Reduction", "reduction_param { axis: -1 }", [(2, 3)], [(2,)]),
    ("ArgMax", "argmax_param { top_k: 2 out_max_val: true }", [(4, 9)], [(4, 2, 2)]),
    ("ArgMax", "argmax_param { top_k: 2 }", [(4, 9, 1, 1)], [(4, 1, 2, 1)]),
    ("Crop", "crop_param { axis: 1 offset: 1 }", [(2, 6, 9), (1, 4, 8)], [(2, 4, 8)]),
    ("Slice", "slice_param { slice_point: 1 slice_point: 3 }", [(2, 3)], [(2, 1), (2, 2), (2, 0)]),
    ("Slice", "", [(0, 4)], [(0, 2), (0, 2)]),
    ("Concat", "concat_param { concat_dim: 1 }", [(2, 3), (2, 4)], [(2, 7)]),
    ("Pooling", "pooling_param { kernel_size: 6 stride: 2 }", [(1, 1, 5, 5)], [(1, 1, 1, 1)]),
    ("Pooling", "pooling_param { kernel_size: 7 stride: 2 }", [(1, 1, 5, 5)], [(1, 1, 0, 0)]),
    ("Pooling", "pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }", [(1, 1, 6, 6)], [(1, 1, 2, 2)]),
    ("Pooling", "pooling_param { kernel_size: 2 stride: 2 pad: 1 }", [(1, 1, 3, 3)], [(1, 1, 2, 2)]),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 6 stride: 2 }",
        [(1, 3, 5, 5)],
        [(1, 4, 1, 1)],
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 dilation: 2 pad: 2 }",
        [(1, 3, 9, 9, 9)],
        [(1, 4, 9, 9, 9)],
    ),
    (
        "Deconvolution",
        "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }",
        [(1, 3, 5, 5)],
        [(1, 4, 10, 10)],
    ),
    ("SPP", "spp_param { pyramid_height: 2 }", [(2, 3, 9, 9)], [(2, 15)]),
    ("InnerProduct", "inner_product_param { num_output: 4 axis: 2 }", [(2, 3, 5)], [(2, 3, 4)]),
    ("InnerProduct", "inner_product_param { num_output: 4 bias_term: false }", [(0, 3)], [(0, 4)]),
    ("Softmax", "", [(0, 3)], [(0, 3)]),
    ("Eltwise", "", [(0, 3), (0, 3)], [(0, 3)]),
    ("HingeLoss", "", [(0, 3), (0, 1)], [()]),
    ("SigmoidCrossEntropyLoss", "", [(2, 0), (2, 0)], [()]),
    # what master does at the edges, where the words of a type's description don't say it
    ("Pooling", "pooling_param { kernel_size: 2 kernel_h: 5 }", [(1, 1, 4, 4)], [(1, 1, 3, 3)]),
    ("Deconvolution", "convolution_param { num_output: 1 kernel_size: 3 stride_w: 2 }", [(1, 1, 4, 4)], [(1, 1, 3, 9)]),
    ("Deconvolution", "convolution_param { num_output: 1 kernel_size: 3 }", [(1, 1, 0, 4)], [(1, 1, 2, 6)]),
    ("Scale", "scale_param { num_axes: -2 } blobs { shape { dim: 3 } data: [1, 2, 3] }", [(2, 3)], [(2, 3)]),
    ("Scale", "scale_param { bias_term: true }", [(2, 3), ()], [(2, 3)]),
    ("Bias", "bias_param { num_axes: -2 } blobs { shape { } data: 1 }", [(2, 3)], [(2, 3)]),
    ("Tile", "tile_param { tiles: -1 axis: 0 }", [(0, 3)], [(0, 3)]),
    # empty scores are refused only where a loss weight is to be written to their gradient
    ("SoftmaxWithLoss", "loss_weight: 0", [(0, 3), (0,)], [()]),
    ("SigmoidCrossEntropyLoss", "loss_weight: 1", [(1, 1), (1, 1)], [()]),
]


@pytest.mark.parametrize(("kind", "param", "bottoms", "tops"), SHAPES)
def test_shapes(net, kind, param, bottoms, tops):
    built = net(layer(kind, param, len(bottoms), len(tops)), *bottoms)
    assert [built.blobs[f"y{i}"].shape for i in range(len(tops))] == tops


REFUSED = [
    ("AbsVal", "", [(2,)], None, "does not allow in-place"),
    ("Exp", "exp_param { base: -2 }", [(2,)], 1, "base > 0 (-2 vs. 0)"),
    ("Exp", "exp_param { base: 0 }", [(2,)], 1, "base > 0 (0 vs. 0)"),
    ("LRN", "lrn_param { local_size: 4 }", [(1, 2, 3, 3)], 1, "size_ % 2 == 1 (0 vs. 1)"),
    ("Softmax", "", [(2, 0)], 1, "data_"),
    ("PReLU", "", [(2,)], 1, "num_axes() >= 2 (1 vs. 2)"),
    ("BatchNorm", "", [(2,)], 1, "axis 1 out of range"),
    ("BatchNorm", "", [(0, 3, 2, 2)], 1, "data_"),
    ("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", [(2, 3)], 1, "-1"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 0 dim: 0 } }", [(2, 3)], 1, "no corresponding bottom axis"),
    ("Reshape", "reshape_param { shape { dim: 4 dim: -1 } }", [(2, 3)], 1, "% explicit_count (0 vs. 2)"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", [(0, 3)], 1, "explicit_count"),
    ("Tile", "tile_param { tiles: 0 }", [(2, 3)], 1, "tiles_ > 0 (0 vs. 0)"),
    ("Concat", "", [(2, 3), (3, 3)], 1, "(2 vs. 3)"),
    ("Concat", "", [(2, 3), (2, 3, 1)], 1, "(2 vs. 3)"),
    ("Concat", "", [(0, 3)], 1, "data_"),
    ("Concat", "concat_param { concat_dim: 4 }", [(2, 3)], 1, "concat_dim out of range"),
    ("Concat", "concat_param { concat_dim: 4294967295 }", [(2, 3)], 1, "(-1 vs. 0)"),
    ("Slice", "slice_param { slice_point: 2 slice_point: 2 }", [(2, 9)], 3, "(2 vs. 2)"),
    ("Slice", "slice_param { slice_point: 2 }", [(2, 9)], 3, "(1 vs. 2)\n3 tops need 2 points"),
    # a slice of one top shares its bottom's memory, and there is none
    ("Slice", "", [(0, 3)], 1, "data_"),
    ("Filter", "", [(3, 2), (2,)], 1, "(2 vs. 3) Each bottom"),
    ("Filter", "", [(2, 2), (2, 3)], 1, "shape(i) == 1 (3 vs. 1)"),
    ("Input", "input_param { shape { dim: 3 dim: -4 } }", [], 1, "shape[i] >= 0 (-4 vs. 0)"),
    ("Eltwise", "eltwise_param { coeff: 1 }", [(2,), (2,)], 1, "coeff_size()"),
    ("Eltwise", "eltwise_param { operation: PROD coeff: 1 coeff: 2 }", [(2,), (2,)], 1, "PROD"),
    ("Pooling", "pooling_param { kernel_size: 2 stride: 0 }", [(1, 1, 4, 4)], 1, "shape[i] >= 0"),
    ("Pooling", "pooling_param { }", [(1, 1, 4, 4)], 1, "kernel"),
    ("Pooling", "pooling_param { kernel_size: 2 pool: AVE }", [(1, 1, 4, 4)], 2, "(1 vs. 2)"),
    ("SPP", "spp_param { pyramid_height: 0 }", [(2, 3, 9, 9)], 1, "pyramid_height"),
    ("SPP", "spp_param { pyramid_height: 4294967295 }", [(2, 3, 9, 9)], 1, "pyramid_height"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 group: 0 }", [(1, 2, 9, 9)], 1, "group"),
    ("Convolution", "convolution_param { num_output: 4294967295 kernel_size: 3 }", [(1, 2, 9, 9)], 1, "(-1 vs. 0)"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 stride: 0 }", [(1, 2, 9, 9)], 1, "(0 vs. 0)"),
    ("Convolution", "convolution_param { num_output: 2 kernel_h: 3 }", [(1, 2, 9, 9)], 1, "(0 vs. 0)"),
    ("Scale", "scale_param { axis: 3 }", [(2, 3)], 1, "axis 3 out of range"),
    ("Embed", "embed_param { num_output: 2 input_dim: 3 }", [(0,)], 1, "data_"),
    ("Embed", "embed_param { num_output: 2 }", [(2,)], 1, "K_ > 0 (0 vs. 0)"),
    ("Embed", "embed_param { input_dim: 3 }", [(2,)], 1, "N_ > 0 (0 vs. 0)"),
    ("LSTM", "recurrent_param { num_output: 2 }", [(3, 2, 4), (3, 3)], 1, "(2 vs. 3)"),
    ("LSTM", "recurrent_param { num_output: 2 }", [(0, 2, 4), (0, 2)], 1, "data_"),
    ("Accuracy", "accuracy_param { top_k: 4 }", [(2, 3), (2,)], 1, "(4 vs. 3)"),
    ("ContrastiveLoss", "", [(2, 3), (2, 4), (2,)], 1, "(3 vs. 4)"),
    ("ContrastiveLoss", "", [(2, 3, 2, 1), (2, 3), (2,)], 1, "bottom[0]->height() == 1 (2 vs. 1)"),
    ("ContrastiveLoss", "", [(2, 3), (2, 3, 1, 2), (2,)], 1, "bottom[1]->width() == 1 (2 vs. 1)"),
    ("ContrastiveLoss", "", [(2, 3), (2, 3), (2, 3)], 1, "bottom[2]->channels() == 1 (3 vs. 1)"),
    ("MultinomialLogisticLoss", "", [(2, 3), (2, 2)], 1, "bottom[1]->channels() == 1 (2 vs. 1)"),
    ("SoftmaxWithLoss", "", [(0, 3), (0,)], 1, "diff_"),
    ("InfogainLoss", "loss_param { normalize: true }", [(2, 3), (2,), (1, 1, 3, 3)], 1, "normalize"),
    ("HDF5Data", "hdf5_data_param { source: 'x' batch_size: 2 }", [], 1, "--input y0=DIMS"),
    ("DummyData", "dummy_data_param { data_filler { type: 'no' } shape { dim: 1 } }", [], 1, "Unknown filler name: no"),
    ("Parameter", "parameter_param { shape { dim: 0 } }", [], 1, "data_\nparameter_param.shape is 0 (0): empty"),
    ("Python", "", [(2, 3)], 1, "--input y0=DIMS"),
    ("LRN", "lrn_param { local_size: 4294967295 }", [(1, 2, 3, 3)], 1, "size_ % 2 == 1 (-1 vs. 1)"),
    ("Log", "log_param { base: inf }", [(2,)], 1, "!isinf(log_base)"),
    ("Slice", "slice_param { axis: 1 }", [(2, 4)], "in place", "count == bottom[0]->count() (8 vs. 4)"),
    ("Tile", "tile_param { tiles: -2 }", [(2, 3)], 1, "shape[i] >= 0 (-6 vs. 0)"),
    ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", [(4, 4)], 1, "pad_h_ < kernel_h_ (2 vs. 2)"),
    ("SPP", "spp_param { pyramid_height: 2 pool: STOCHASTIC }", [(2, 3, 9, 9)], 1, "only for average and max pooling"),
    ("SPP", "spp_param { pyramid_height: 40 }", [(2, 3, 9, 9)], 1, "pad_h_ < kernel_h_ (4 vs. 2)"),
    ("Convolution", "convolution_param { num_output: 1 kernel_size: 3 }", [(1, 512, 800, 800)], 1, "exceeds INT_MAX"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 stride_w: 1 }", [(1, 2, 9, 9)], 1, "(0 vs. 0)"),
    ("Scale", "blobs { shape { dim: 2 } data: [1, 2] }", [(2, 3)], 1, "axis_ + i) == scale->shape(i) (3 vs. 2)"),
    ("Scale", "blobs { num: 1 channels: 1 height: 1 width: 3 data: [1, 2, 3] }", [(2, 3)], 1, "(2 vs. 5) scale blob"),
    (
        "Scale",
        "scale_param { bias_term: true } blobs { shape { dim: 3 } data: [1, 2, 3] } blobs { shape { dim: 1 } data: 1 }",
        [(2, 3)],
        1,
        "axis + i) == bias->shape(i) (3 vs. 1)",
    ),
    ("Scale", "scale_param { bias_term: true }", [(), ()], 1, "axis 1 out of range for 0-D Blob"),
    # the Bias layer inside takes the first blob, before the scale is looked at
    (
        "Scale",
        "scale_param { bias_term: true } blobs { shape { dim: 1 } data: 1 } blobs { shape { dim: 3 } data: [1, 2, 3] }",
        [(2, 3)],
        1,
        "axis + i) == bias->shape(i) (3 vs. 1)",
    ),
    ("Bias", "blobs { shape { dim: 2 } data: [1, 2] }", [(2, 3)], 1, "axis + i) == bias->shape(i) (3 vs. 2)"),
    ("Scale", "blobs { shape { dim: 3 } data: [1, 2, 3] } blobs { shape { dim: 0 } }", [(2, 3)], 1, "data_"),
    ("Accuracy", "", [(4, 2), (4,)], "in place", "axis 1 out of range for 0-D Blob"),
    ("InfogainLoss", "", [(4, 2), (4,), (2, 2)], "in place", "axis 1 out of range for 0-D Blob"),
    ("SigmoidCrossEntropyLoss", "", [(4, 2), (4, 2)], "in place", "axis 0 out of range for 0-D Blob"),
    ("SigmoidCrossEntropyLoss", "loss_weight: 1", [(2, 0), (2, 0)], 1, "diff_"),
    ("SigmoidCrossEntropyLoss", "loss_weight: 1", [(2, 0), (2, 0, 3)], 1, "scores that are empty, (2, 0)"),
    ("InfogainLoss", "", [(4, 2), (4,), (2, 2)], 2, "top.size() == num_loss_weights (2 vs. 1)"),
    ("InfogainLoss", "softmax_param { axis: 9 }", [(4, 2), (4,), (2, 3)], 1, "num_labels_*num_labels_ (6 vs. 4)"),
    ("SoftmaxWithLoss", "loss_weight: 1 loss_weight: 1", [(4, 2), (4,)], 2, "num_loss_weights (1 vs. 2)"),
    (
        "MemoryData",
        "memory_data_param { batch_size: 1 channels: 1 height: 2 width: 2 } "
        "transform_param { mean_value: 1 mean_file: 'none' }",
        [],
        2,
        "param_.mean_value_size() == 0 (1 vs. 0)",
    ),
]


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (
            'layer { name: "y" type: "ReLU" bottom: "z" top: "y" }',
            "Unknown bottom blob 'z' (layer 'y', bottom index 0)",
        ),
        (
            'layer { name: "y" type: "ReLU" include { } exclude { } }',
            "include_size() == 0 || layer_param.exclude_size()",
        ),
        ('layer { name: "y" type: "Relu" bottom: "x0" top: "x0" }', "Unknown layer type: Relu"),
    ],
)
def test_layers_out_of_place_are_refused_with_their_line(net, layers, text):
    with pytest.raises(cf.CaffeError, match=r"net.prototxt:2: layer 'y': ") as caught:
        net(layers + ' layer { name: "z" type: "ReLU" bottom: "x0" top: "x0" }', (2, 3))
    assert text in str(caught.value)


@pytest.mark.parametrize(("kind", "param", "bottoms", "tops", "text"), REFUSED)
def test_refusals(net, kind, param, bottoms, tops, text):
    result = f'layer {{ name: "y" type: "{kind}" bottom: "x0" top: "x0" }}' if tops is None else None
    if tops == "in place":
        result = layer(kind, param, len(bottoms), 2 if kind in ("Slice", "Accuracy") else 1).replace('"y0"', '"x0"')
    with pytest.raises(cf.CaffeError) as caught:
        net(result or layer(kind, param, len(bottoms), tops), *bottoms)
    assert text in str(caught.value)
    assert "layer 'y'" in str(caught.value)


def test_a_split_top_can_carry_a_loss_weight_of_its_own(net):
    built = net(
        """layer { name: "a" type: "Slice" bottom: "x0" top: "p" top: "q" loss_weight: 1 }
           layer { name: "b" type: "ReLU" bottom: "p" top: "r" }""",
        (2, 4),
    )
    # the weight moves to the Split, so the layer's own count of them is no longer wrong
    assert [entry.layer.type for entry in built.steps] == ["Input", "Slice", "Split", "ReLU"]


def test_blobs_written_in_the_text_are_used_and_nothing_is_drawn(net):
    text = """layer { name: "y" type: "InnerProduct" bottom: "x0" top: "y"
                blobs { shape { dim: 2 dim: 3 } data: [1, 2, 3, 4, 5, 6] } blobs { shape { dim: 2 } data: 7 data: 8 }
                inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }"""
    built = net(text, (1, 3), fill=True)
    assert built.params["y"][0].data.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert built.layers[1].draws == []
    assert [row["name"] for row in built.fills()] == ["from the text"] * 2


def test_a_scale_that_is_written_without_its_bias_is_its_bias_too(net):
    # Caffe hands all of the text to the Bias layer inside, which begins with the first blob that it finds
    text = layer("Scale", "scale_param { bias_term: true } blobs { shape { dim: 3 } data: [1, 2, 3] }")
    built = net(text, (1, 3), fill=True)
    assert [blob.data.tolist() for blob in built.params["y"]] == [[1, 2, 3]] * 2
    assert built.forward(x0=np.array([[10.0, 10, 10]]))["y0"].tolist() == [[11, 22, 33]]


def test_a_layer_without_parameters_keeps_blobs_of_its_text(net):
    built = net(
        'layer { name: "y" type: "ReLU" bottom: "x0" top: "y" blobs { shape { dim: 1 } data: 3 } }', (1,), fill=True
    )
    assert built.params["y"][0].data.tolist() == [3]


def test_the_recurrent_layers_draw_for_every_step(net):
    def draws(steps):
        text = layer("RNN", 'recurrent_param { num_output: 3 weight_filler { type: "uniform" } }', bottoms=2)
        built = net(text, (steps, 2, 4), (steps, 2))
        return sum(draw.count for draw in built.layers[2].draws)

    assert draws(1) == 3 * 4 + 9 + 9
    assert draws(5) == 3 * 4 + 5 * (9 + 9)


def test_constant_tops_of_dummy_data_are_filled(net):
    text = """layer { name: "y" type: "DummyData" top: "a" top: "b" dummy_data_param {
        shape { dim: 2 } shape { dim: 3 } data_filler { value: 5 } data_filler { type: "gaussian" } } }"""
    built = net(text, fill=True)
    assert built.blobs["a"].data.tolist() == [5, 5]
    assert built.blobs["b"].data.tolist() == [0, 0, 0]
    with pytest.raises(cf.CaffeError, match="fill=False"):
        _ = net(text).blobs["a"].data


def test_every_type_has_limits_or_counts_its_ends_itself():
    free = {name for name, rule in cf.layers.RULES.items() if rule.bottoms is None and not rule.fork}
    assert free == {"LSTM", "RNN", "Python"}


def test_window_data_takes_one_mean_value_or_one_per_channel(net):
    text = (
        'layer {{ name: "w" type: "WindowData" top: "d" top: "l" window_data_param {{ batch_size: 2 }} '
        "transform_param {{ crop_size: 5 {} }} }}"
    )
    inputs = {"w": (3, 9, 9)}
    for means in (0, 1, 3):
        assert net(text.format("mean_value: 1 " * means), inputs=inputs).blobs["d"].shape == (2, 3, 5, 5)
    with pytest.raises(cf.CaffeError, match="as many as channels: 3\ngot 2"):
        net(text.format("mean_value: 1 mean_value: 2"), inputs=inputs)


class _Halved(cf.ops.Operation):
    def setup(self, layer, bottoms):
        return cf.layers.Setup(tops=[bottoms[0]])

    def forward(self, bottoms, tops, blobs, work):
        np.multiply(bottoms[0], 0.5, out=tops[0])

    def backward(self, dtops, bottoms, tops, blobs, dbottoms, dblobs, work):
        np.multiply(dtops[0], 0.5, out=dbottoms[0])


def test_a_class_that_is_registered_runs(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'force_backward: true input: "x" input_shape { dim: 2 dim: 3 } '
        'layer { name: "h" type: "Halved" bottom: "x" top: "y" }'
    )
    cf.layers.register("Halved", _Halved)
    try:
        net = cf.Net(path, "TEST", rng=1)
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        np.testing.assert_array_equal(net.forward(x=x)["y"], x / 2)
        np.testing.assert_array_equal(net.backward(y=x)["x"], x / 2)
    finally:
        cf.layers.register("Halved", None)
    with pytest.raises(cf.CaffeError, match=r"subclass of caffe_fillers\.ops\.Operation"):
        cf.layers.register("Halved", int)
