"""Old nets and solvers in today's form, rule by rule, and against what the real Caffe made of them.

``upgrade_cases.json`` holds random messages, serialized, and what BVLC Caffe 9b89154's own upgrade made of them: the
message, the V0 fields it dropped with a warning, or its error.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, CaffeWarning, prototxt, schema
from caffe_fillers.encoding import as_bytes
from caffe_fillers.upgrading import Upgraded, upgrade, upgrade_net, upgrade_solver

CASES = json.loads((Path(__file__).parent / "upgrade_cases.json").read_text())
NETS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "golden" / "nets").glob("*.json"))]


def net(text: str) -> prototxt.Text:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*skipped what BVLC", category=CaffeWarning)
        return prototxt.parse(text, schema.NetParameter, name="F")


def upgraded(text: str) -> Upgraded:
    result = upgrade_net(net(text))
    assert upgrade_net(result.message).message == result.message, "upgrading twice changed something"
    back = prototxt.parse(prototxt.format_text(result.message), schema.NetParameter, strict=True).message
    assert back == result.message
    return result


def refusal(text: str) -> str:
    with pytest.raises(CaffeError) as caught:
        upgrade_net(net(text))
    return str(caught.value)


def same(text: str, expected: str) -> None:
    message = prototxt.parse(expected, schema.NetParameter, strict=True).message
    assert upgraded(text).message == message


# ---- A: V0


def test_v0_types_and_fields() -> None:
    same(
        """
        name: "n" input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 force_backward: true
        layers { bottom: "x" top: "c" layer { name: "c" type: "conv" num_output: 3 kernelsize: 5 pad: 1 stride: 2
            group: 2 biasterm: false weight_filler { type: "xavier" } bias_filler { type: "constant" value: 1 }
            blobs { num: 1 data: 3 } blobs_lr: 1 blobs_lr: 2 weight_decay: 0.5 } }
        layers { bottom: "c" top: "p" layer { name: "p" type: "pool" kernelsize: 2 pad: 0 stride: 2 pool: AVE } }
        layers { bottom: "p" top: "f" layer { name: "f" type: "innerproduct" num_output: 7 biasterm: true
            weight_filler { std: 2 } bias_filler { } } }
        layers { bottom: "f" top: "f" layer { name: "d" type: "dropout" dropout_ratio: 0.25 } }
        layers { bottom: "f" top: "l" layer { name: "l" type: "lrn" local_size: 3 alpha: 2 beta: 3 k: 4 } }
        layers { bottom: "l" bottom: "f" top: "cc" layer { name: "cc" type: "concat" concat_dim: 2 } }
        layers { bottom: "cc" layer { name: "o" type: "hdf5_output" hdf5_output_param { file_name: "o.h5" } } }
        layers { bottom: "cc" bottom: "l" layer { name: "i" type: "infogain_loss" source: "i.bin" } }
        """,
        """
        name: "n" force_backward: true
        layer { name: "input" type: "Input" top: "x" input_param { shape { dim: [1, 2, 3, 4] } } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "c" blobs { num: 1 data: 3 }
            param { lr_mult: 1 decay_mult: 0.5 } param { lr_mult: 2 }
            convolution_param { num_output: 3 kernel_size: 5 pad: 1 stride: 2 group: 2 bias_term: false
                weight_filler { type: "xavier" } bias_filler { type: "constant" value: 1 } } }
        layer { name: "p" type: "Pooling" bottom: "c" top: "p"
            pooling_param { kernel_size: 2 pad: 0 stride: 2 pool: AVE } }
        layer { name: "f" type: "InnerProduct" bottom: "p" top: "f"
            inner_product_param { num_output: 7 bias_term: true weight_filler { std: 2 } bias_filler { } } }
        layer { name: "d" type: "Dropout" bottom: "f" top: "f" dropout_param { dropout_ratio: 0.25 } }
        layer { name: "l" type: "LRN" bottom: "f" top: "l" lrn_param { local_size: 3 alpha: 2 beta: 3 k: 4 } }
        layer { name: "cc" type: "Concat" bottom: "l" bottom: "f" top: "cc" concat_param { concat_dim: 2 } }
        layer { name: "o" type: "HDF5Output" bottom: "cc" hdf5_output_param { file_name: "o.h5" } }
        layer { name: "i" type: "InfogainLoss" bottom: "cc" bottom: "l" infogain_loss_param { source: "i.bin" } }
        """,
    )


def test_v0_data_layers() -> None:
    same(
        """
        layers { top: "a" layer { name: "a" type: "data" source: "s" batchsize: 4 rand_skip: 5
            scale: 2 meanfile: "m" cropsize: 6 mirror: true } }
        layers { top: "b" layer { name: "b" type: "hdf5_data" source: "s" batchsize: 4 } }
        layers { top: "c" layer { name: "c" type: "images" source: "s" batchsize: 4 rand_skip: 5 shuffle_images: true
            new_height: 8 new_width: 9 mirror: false } }
        layers { top: "d" layer { name: "d" type: "window_data" source: "s" batchsize: 4 det_fg_threshold: 0.1
            det_bg_threshold: 0.2 det_fg_fraction: 0.3 det_context_pad: 7 det_crop_mode: "square" cropsize: 3 } }
        """,
        """
        layer { name: "a" type: "Data" top: "a" data_param { source: "s" batch_size: 4 rand_skip: 5 }
            transform_param { scale: 2 mean_file: "m" crop_size: 6 mirror: true } }
        layer { name: "b" type: "HDF5Data" top: "b" hdf5_data_param { source: "s" batch_size: 4 } }
        layer { name: "c" type: "ImageData" top: "c" image_data_param { source: "s" batch_size: 4 rand_skip: 5
            shuffle: true new_height: 8 new_width: 9 } transform_param { mirror: false } }
        layer { name: "d" type: "WindowData" top: "d" window_data_param { source: "s" batch_size: 4 fg_threshold: 0.1
            bg_threshold: 0.2 fg_fraction: 0.3 context_pad: 7 crop_mode: "square" } transform_param { crop_size: 3 } }
        """,
    )


V0_TYPES = (
    "accuracy Accuracy, bnll BNLL, concat Concat, conv Convolution, data Data, dropout Dropout, "
    "euclidean_loss EuclideanLoss, flatten Flatten, hdf5_data HDF5Data, hdf5_output HDF5Output, im2col Im2col, "
    "images ImageData, infogain_loss InfogainLoss, innerproduct InnerProduct, lrn LRN, "
    "multinomial_logistic_loss MultinomialLogisticLoss, pool Pooling, relu ReLU, sigmoid Sigmoid, softmax Softmax, "
    "softmax_loss SoftmaxWithLoss, split Split, tanh TanH, window_data WindowData"
)


@pytest.mark.parametrize("pair", V0_TYPES.split(", "))
def test_v0_type(pair: str) -> None:
    old, new = pair.split()
    assert upgraded(f'layers {{ layer {{ type: "{old}" }} }}').message.layer[0].type == new


def test_v0_padding_moves_into_the_layer_after_it() -> None:
    result = upgraded(
        """
        input: "x" input_dim: [1, 2, 3, 4]
        layers { bottom: "x" top: "xp" layer { name: "p1" type: "padding" pad: 2 } }
        layers { bottom: "xp" top: "c" layer { name: "c" type: "conv" pad: 9 num_output: 1 } }
        layers { bottom: "c" top: "cp" layer { name: "p2" type: "padding" } }
        layers { bottom: "cp" top: "q" layer { name: "q" type: "pool" } }
        layers { bottom: "q" top: "q" layer { name: "r" type: "relu" } }
        """
    )
    _, conv, pool, relu = result.message.layer
    assert (list(conv.bottom), list(conv.convolution_param.pad)) == (["x"], [2])
    assert (list(pool.bottom), pool.pooling_param.pad, pool.pooling_param.HasField("pad")) == (["c"], 0, True)
    assert list(relu.bottom) == ["q"]
    assert result.origin == [None, ("layers", 1), ("layers", 3), ("layers", 4)]


PADDING = 'input: "x" input_dim: [1, 1, 1, 1]\nlayers { bottom: "x" top: "p" layer { name: "pad" type: "padding" } }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'layers { bottom: "p" layer { name: "r" type: "relu" } }',
            "F:3: Padding layer input to non-convolutional / non-pooling layer type relu\n"
            "layer 'r' has the padding layer 'pad' before it",
        ),
        (
            'layers { bottom: "p" top: "q" layer { type: "padding" } }',
            "F:3: Padding layer input to non-convolutional / non-pooling layer type padding\n",
        ),
        (
            'layers { bottom: "p" bottom: "x" layer { type: "conv" } }',
            "F:3: Conv Layer takes a single blob as input.\n",
        ),
        (
            'layers { bottom: "x" bottom: "x" top: "p" layer { type: "padding" } } '
            'layers { bottom: "p" layer { type: "pool" } }',
            "F:3: Padding Layer takes a single blob as input.\n",
        ),
        (
            'layers { bottom: "x" top: "p" top: "q" layer { type: "padding" } } '
            'layers { bottom: "p" layer { type: "pool" } }',
            "F:3: Padding Layer produces a single blob as output.\n",
        ),
        (
            'layers { bottom: "x" bottom: "none" top: "q" layer { name: "c" type: "conv" } }',
            "F:3: Unknown blob input none to layer 1\n"
            "bottom 1 of layer 'c' is the top of no layer before it and no input",
        ),
        ('layers { bottom: "none" layer { type: "padding" } }', "F:3: Unknown blob input none to layer 0\n"),
        ('layers { layer { name: "a" type: "prelu" } }', "F:3: Unknown layer name: prelu\n"),
        ('layers { layer { name: "a" type: "" } }', "F:3: Unknown layer name: \n"),
    ],
)
def test_v0_refusals(text: str, expected: str) -> None:
    assert refusal(PADDING + text).startswith(expected)


def test_v0_fields_of_another_type_are_dropped_with_one_warning() -> None:
    with pytest.warns(CaffeWarning) as caught:
        result = upgrade_net(
            net(
                'layers { layer { type: "conv" num_output: 1 local_size: 3 pool: MAX } }\n'
                'layers { layer { type: "relu" source: "x" new_num: 3 new_channels: 4 scale: 5 } }\n'
                "layers { layer { kernelsize: 3 } }"
            )
        )
    assert [str(each.message) for each in caught] == [
        "F:1: Unknown parameter pool for layer type conv, dropped\n"
        "F:1: Unknown parameter local_size for layer type conv, dropped\n"
        "F:2: Unknown parameter source for layer type relu, dropped\n"
        "F:3: Unknown parameter kernelsize for layer type , dropped"
    ]
    conv, relu, none = result.message.layer
    assert [field.name for field, _ in conv.ListFields()] == ["type", "convolution_param"]
    assert [field.name for field, _ in relu.ListFields()] == ["type", "transform_param"]
    assert none.ListFields() == []


def test_v0_drops_what_stands_on_the_connection_and_most_of_the_net() -> None:
    result = upgraded(
        """
        name: "n" debug_info: true state { phase: TRAIN } input_shape { dim: 1 } force_backward: false
        layers { name: "outer" type: RELU include { phase: TEST } blobs_lr: 3 param: "w" top: "t"
            layer { name: "inner" type: "bnll" } }
        layers { name: "v1" type: SOFTMAX bottom: "t" top: "u" }
        layers { type: NOT_A_TYPE top: "v" }
        """
    )
    expected = """
        name: "n" force_backward: false layer { name: "inner" type: "BNLL" top: "t" } layer { bottom: "t" top: "u" }
        layer { top: "v" }
    """
    assert result.message == net(expected).message


# ---- B: data transformation


@pytest.mark.parametrize(
    ("old", "own"), [("DATA", "data"), ("IMAGE_DATA", "image_data"), ("WINDOW_DATA", "window_data")]
)
def test_v1_transforms_move(old: str, own: str) -> None:
    fields = 'scale: 1 mean_file: "" crop_size: 0 mirror: false'
    result = upgraded(
        f'layers {{ type: {old} {own}_param {{ source: "s" {fields} }} '
        "transform_param { crop_size: 7 mean_value: 1 } }"
        f'layers {{ type: {old} {own}_param {{ source: "s" }} transform_param {{ crop_size: 7 }} }}'
    ).message
    first, second = result.layer
    (expected,) = net(f"layer {{ transform_param {{ {fields} mean_value: 1 }} }}").message.layer
    assert first.transform_param == expected.transform_param
    assert [field.name for field, _ in getattr(first, f"{own}_param").ListFields()] == ["source"]
    assert second.transform_param.crop_size == 7


def test_transforms_of_all_data_layers_are_present_once_one_moves() -> None:
    result = upgraded(
        "layers { type: DATA data_param { mirror: true } } layers { type: WINDOW_DATA } layers { type: RELU }"
    )
    assert [[field.name for field, _ in layer.ListFields()] for layer in result.message.layer] == [
        ["type", "transform_param", "data_param"],
        ["type", "transform_param", "window_data_param"],
        ["type"],
    ]


def test_v0_sizes_were_signed() -> None:
    layer = upgraded('layers { layer { type: "images" new_height: -1 new_width: 5 } }').message.layer[0]
    assert (layer.image_data_param.new_height, layer.image_data_param.new_width) == (2**32 - 1, 5)


def test_transforms_of_other_layers_stay() -> None:
    same(
        "layers { type: RELU data_param { mirror: true } } layers { data_param { crop_size: 5 } }",
        'layer { type: "ReLU" data_param { mirror: true } } layer { data_param { crop_size: 5 } }',
    )
    today = 'layer { type: "Data" data_param { crop_size: 5 mirror: true } }'
    same(today, today)


# ---- C: V1

V1_TYPES = (
    "ABSVAL AbsVal, ACCURACY Accuracy, ARGMAX ArgMax, BNLL BNLL, CONCAT Concat, CONTRASTIVE_LOSS ContrastiveLoss, "
    "CONVOLUTION Convolution, DATA Data, DECONVOLUTION Deconvolution, DROPOUT Dropout, DUMMY_DATA DummyData, "
    "ELTWISE Eltwise, EUCLIDEAN_LOSS EuclideanLoss, EXP Exp, FLATTEN Flatten, HDF5_DATA HDF5Data, "
    "HDF5_OUTPUT HDF5Output, HINGE_LOSS HingeLoss, IM2COL Im2col, IMAGE_DATA ImageData, INFOGAIN_LOSS InfogainLoss, "
    "INNER_PRODUCT InnerProduct, LRN LRN, MEMORY_DATA MemoryData, MULTINOMIAL_LOGISTIC_LOSS MultinomialLogisticLoss, "
    "MVN MVN, POOLING Pooling, POWER Power, RELU ReLU, SIGMOID Sigmoid, "
    "SIGMOID_CROSS_ENTROPY_LOSS SigmoidCrossEntropyLoss, SILENCE Silence, SLICE Slice, SOFTMAX Softmax, "
    "SOFTMAX_LOSS SoftmaxWithLoss, SPLIT Split, TANH TanH, THRESHOLD Threshold, WINDOW_DATA WindowData"
)


def test_v1_types_are_all_known() -> None:
    assert {pair.split()[0] for pair in V1_TYPES.split(", ")} | {"NONE"} == schema.enum(
        "V1LayerParameter.LayerType"
    ).keys()


@pytest.mark.parametrize("pair", V1_TYPES.split(", "))
def test_v1_type(pair: str) -> None:
    old, new = pair.split()
    assert upgraded(f"layers {{ type: {old} }}").message.layer[0].type == new


def test_v1_type_unset_none_and_unknown() -> None:
    result = upgraded('layers { name: "a" } layers { type: NONE } layers { type: RESHAPE } layers { type: 77 }')
    unset, none, unknown, number = result.message.layer
    assert not unset.HasField("type")
    assert none.HasField("type")
    assert (none.type, unknown.type, number.type) == ("", "RESHAPE", "77")


def test_v1_keeps_everything_else() -> None:
    fields = [field.name for field in schema.V1LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
    assert len(fields) == 30
    params = " ".join(f"{name} {{ }}" for name in fields)
    rest = (
        'name: "l" bottom: "a" bottom: "b" top: "c" loss_weight: 2 loss_weight: 0 include { phase: TRAIN } '
        f'exclude {{ stage: "s" }} blobs {{ double_data: 1 }} {params}'
    )
    of_net = 'name: "n" state { level: 2 } debug_info: true force_backward: true'
    same(f"{of_net} layers {{ {rest} }}", f"{of_net} layer {{ {rest} }}")


def test_v1_params() -> None:
    same(
        """
        layers { param: "w" param: "" blob_share_mode: PERMISSIVE blobs_lr: [1, 2, 0] weight_decay: [1, 0] }
        layers { blob_share_mode: [STRICT, PERMISSIVE] }
        layers { weight_decay: 0 }
        """,
        """
        layer { param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 1 }
            param { name: "" lr_mult: 2 decay_mult: 0 } param { lr_mult: 0 } }
        layer { param { share_mode: STRICT } param { share_mode: PERMISSIVE } }
        layer { param { decay_mult: 0 } }
        """,
    )


def test_both_layer_and_layers_are_refused() -> None:
    for old in ("type: RELU", 'layer { type: "relu" }'):
        text = refusal(f"name: 'x'\n\nlayers {{ {old} }}\nlayer {{ }}")
        assert text.startswith("F:3: the net has both 'layer'")
        assert "'layers'" in text
        assert "write all as layer { type:" in text


# ---- D: inputs


def test_inputs_become_a_layer() -> None:
    same(
        'input: "a" input: "b" input_dim: [1, 2, 3, 4, 5, 6, 7, 8, 9] layer { name: "input" bottom: "a" }',
        'layer { name: "input" type: "Input" top: "a" top: "b" input_param { shape { dim: [1, 2, 3, 4] } '
        'shape { dim: [5, 6, 7, 8] } } } layer { name: "input" bottom: "a" }',
    )
    same(
        'input: "a" input_shape { dim: 7 } input_shape { dim: 8 } input_dim: 1',
        'layer { name: "input" type: "Input" top: "a" input_param { shape { dim: 7 } } }',
    )
    same('input: "a" input_shape { }', 'layer { name: "input" type: "Input" top: "a" input_param { shape { } } }')
    same('input: "a" layer { name: "x" }', 'layer { name: "x" }')
    alone = "input_dim: 3 input_shape { dim: 1 } layer { }"
    same(alone, alone)
    assert upgraded('input: "a" input_shape { dim: 1 } layer { } layer { }').origin == [
        None,
        ("layer", 0),
        ("layer", 1),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'input: "a"\ninput: "b" input_shape { dim: 1 }',
        'input: "a"\ninput: "b" input_dim: [1, 2, 3, 4, 5, 6, 7]',
        'input: "a"\ninput: "b" input_shape { dim: 1 } input_dim: [1, 1, 1, 1, 1, 1, 1, 1]',
    ],
)
def test_too_few_shapes_are_refused(text: str) -> None:
    assert refusal(text).startswith("F:2: input 1 ('b') has no shape: there are 2 inputs, ")


# ---- E: BatchNorm


@pytest.mark.parametrize("count", range(6))
def test_batch_norm(count: int) -> None:
    text = 'layer { type: "BatchNorm" ' + 'param { name: "n" share_mode: PERMISSIVE } ' * count + "}"
    params = upgraded(text).message.layer[0].param
    for param in params:
        assert (param.name, param.share_mode) == ("n", 1)
        assert (param.HasField("lr_mult"), param.HasField("decay_mult")) == (count == 3, count == 3)
        assert param.lr_mult == param.decay_mult == (0 if count == 3 else 1)


# ---- F: solvers

SOLVER_TYPES = "SGD SGD, NESTEROV Nesterov, ADAGRAD AdaGrad, RMSPROP RMSProp, ADADELTA AdaDelta, ADAM Adam"


@pytest.mark.parametrize("pair", SOLVER_TYPES.split(", "))
def test_solver_type(pair: str) -> None:
    old, new = pair.split()
    text = prototxt.parse(f'net: "n" solver_type: {old}', schema.SolverParameter)
    expected = prototxt.parse(f'net: "n" type: "{new}"', schema.SolverParameter).message
    for source in (text, text.message):
        assert upgrade_solver(source) == upgrade_solver(expected) == upgrade(text.message) == expected
    assert text.message.HasField("solver_type")


def test_solver_type_unset_both_or_unknown() -> None:
    assert upgrade_solver(schema.SolverParameter()) == schema.SolverParameter()
    both = prototxt.parse('type: "Adam"\nsolver_type: SGD', schema.SolverParameter, name="F")
    with pytest.raises(
        CaffeError, match=r"^F:2: Failed to upgrade solver: old solver_type field \(enum\) and new type"
    ):
        upgrade_solver(both)
    with pytest.warns(CaffeWarning, match="value LARS of solver_type"):
        unknown = prototxt.parse("solver_type: LARS", schema.SolverParameter)
    assert upgrade_solver(unknown).type == "LARS"


def test_snapshot_prefix(tmp_path: Path) -> None:
    path = tmp_path / "lenet.v1.prototxt"
    assert upgrade_solver(schema.SolverParameter(), path).snapshot_prefix == str(tmp_path / "lenet.v1")
    given = schema.SolverParameter(snapshot_prefix="a/b")
    assert upgrade_solver(given, path).snapshot_prefix == "a/b"
    folder = schema.SolverParameter(snapshot_prefix=str(tmp_path))
    assert upgrade_solver(folder, path).snapshot_prefix == str(tmp_path / "lenet.v1")


def test_nets_inside_a_solver_stay_as_they_are() -> None:
    text = 'train_net_param { input: "x" input_dim: 1 layers { type: RELU } } test_net_param { layers { } layer { } }'
    solver = prototxt.parse(text, schema.SolverParameter).message
    assert upgrade_solver(solver) == solver


# ---- the whole


def test_the_source_stays_as_it_was() -> None:
    text = net('input: "x" input_dim: [1, 1, 1, 1] layers { type: DATA data_param { mirror: true } }')
    before = text.message.SerializeToString()
    upgrade_net(text)
    upgrade(text.message)
    assert text.message.SerializeToString() == before


def test_what_can_be_upgraded() -> None:
    with pytest.raises(CaffeError, match="not LayerParameter"):
        upgrade(schema.LayerParameter())
    with pytest.raises(CaffeError, match="not str"):
        upgrade("net.prototxt")


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_as_caffe(case: dict[str, Any]) -> None:
    kind = getattr(schema, case["message"])
    before = kind.FromString(bytes.fromhex(case["before"]))
    if "error" in case:
        with pytest.raises(
            CaffeError, match="the net has both" if case["error"] == "both" else re.escape(case["error"])
        ):
            upgrade(before)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        after = upgrade(before)
    dropped = sorted(line.removesuffix(", dropped") for each in caught for line in str(each.message).splitlines())
    assert dropped == case.get("dropped", [])
    assert after.SerializePartialToString(deterministic=True) == kind.FromString(
        bytes.fromhex(case["after"])
    ).SerializePartialToString(deterministic=True)


def test_binary_nets() -> None:
    # a type from a fork's binary file is a number that our enum does not have
    old = schema.NetParameter.FromString(b"\x12\x02\x28\x4d" + b"\x12\x02\x28\x12")
    assert [layer.type for layer in upgrade(old).layer] == ["", "ReLU"]
    # required fields may be missing in a message that no text made
    partial = schema.NetParameter()
    partial.layer.add().clip_param.min = 1
    assert upgrade(partial) == partial


def test_binary_nets_with_names_that_are_no_text() -> None:
    try:
        old = schema.NetParameter.FromString(b"\x12\x03\x22\x01\xff")
    except UnicodeDecodeError:  # the pure Python protobuf refuses it itself
        return
    assert as_bytes(upgrade(old).layer[0].name) == b"\xff"


PIECES = [
    'layers { layer { name: "a" type: "conv" num_output: 1 pad: 1 } bottom: "x" top: "y" }',
    'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "x" }',
    'layers { layer { type: "pool" kernelsize: 2 biasterm: false } bottom: "y" top: "x" }',
    'layers { layer { type: "innerproduct" blobs_lr: 1 } bottom: "x" bottom: "y" top: "z" }',
    "layers { layer { } }",
    'layers { type: DATA data_param { crop_size: 3 } param: "w" blobs_lr: [1, 2] top: "x" }',
    "layers { type: NONE blobs { data: 1 } }",
    'layer { type: "BatchNorm" param { } param { } param { lr_mult: 2 } }',
    'layer { name: "input" type: "Input" }',
    'input: "x"',
    'input: "y"',
    "input_dim: [1, 2, 3, 4]",
    "input_dim: 5",
    "input_shape { dim: 3 }",
    "state { stage: 's' }",
]


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=8))
@pytest.mark.filterwarnings("ignore::caffe_fillers.CaffeWarning")
def test_any_mixture_is_upgraded_once_or_refused(pieces: list[str]) -> None:
    text = net(" ".join(piece for piece in pieces if not piece.startswith("state") or pieces.count(piece) == 1))
    try:
        result = upgrade_net(text)
    except CaffeError as error:
        assert len(str(error).splitlines()) == 2  # noqa: PT017
        return
    assert not result.message.layers
    assert not result.message.input
    assert len(result.origin) == len(result.message.layer)
    assert upgrade(result.message) == result.message


def names_and_types(golden_net: dict[str, Any]) -> list[list[tuple[str, str]]]:
    results = next(iter(golden_net["results"].values()))
    return [[(layer["layer"], layer["type"]) for layer in one["layers"]] for one in results.get("nets", [])]


def is_subsequence(part: list[Any], whole: list[Any]) -> bool:
    rest = iter(whole)
    return all(each in rest for each in part)


def check_golden(golden_net: dict[str, Any], path: Path) -> bool:
    """Compare an old net with the layers that Caffe set up, less those that the rules left out."""
    text = prototxt.read(path, schema.NetParameter)
    if not (text.message.layers or text.message.input) or golden_net["kind"] != "net":
        return False
    (expected,) = names_and_types(golden_net)
    layers = upgraded(path.read_text()).message.layer
    found = [(layer.name, layer.type) for layer in layers]
    assert is_subsequence(expected, found)
    if not any(layer.include or layer.exclude for layer in layers):
        assert expected == found
    return True


def test_old_golden_nets(golden: Path) -> None:
    checked = 0
    for each in NETS:
        if "prototxt" in each and names_and_types(each):
            path = golden / "nets" / each["prototxt"]
            if each["kind"] == "net":
                checked += check_golden(each, path)
    assert checked == 15


def test_old_golden_nets_of_the_corpus(corpus: Path) -> None:
    checked = 0
    for each in NETS:
        if "corpus_file" in each and each["kind"] == "net" and names_and_types(each):
            checked += check_golden(each, corpus / "files" / each["corpus_file"])
    assert checked >= 20


def test_golden_refusals(golden: Path) -> None:
    essential = {
        "own2__err_v0_pad_pad__TRAIN": "Padding layer input to non-convolutional / non-pooling layer type padding",
        "own2__err_v0_pad_relu__TRAIN": "Padding layer input to non-convolutional / non-pooling layer type relu",
        "own2__err_v0_pad_two_bottoms__TRAIN": "Conv Layer takes a single blob as input.",
        "own2__err_v0_pad_two_tops__TRAIN": "Padding Layer produces a single blob as output.",
        "own2__err_v0_unknown_type__TRAIN": "Unknown layer name: prelu",
        "own2__err_v1_and_v2__TRAIN": "the net has both 'layer'",
        "own2__err_type_both.solver": "Failed to upgrade solver: old solver_type field (enum)",
    }
    found = {}
    for each in NETS:
        if each["name"] in essential:
            path = golden / "nets" / each["prototxt"]
            is_net = each["kind"] == "net"
            text = prototxt.read(path, schema.NetParameter if is_net else schema.SolverParameter)
            with pytest.raises(CaffeError) as caught:
                upgrade_net(text) if is_net else upgrade_solver(text)
            found[each["name"]] = str(caught.value)
    assert found.keys() == essential.keys()
    for name, what in essential.items():
        assert what in found[name]


@pytest.mark.slow
def test_every_text_of_the_corpus_upgrades_once(corpus: Path) -> None:
    upgraded = 0
    for path in sorted([*(corpus / "files").iterdir(), *(corpus / "caffe").rglob("*.prototxt")]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CaffeWarning)
            try:
                result = upgrade_net(prototxt.read(path, schema.NetParameter)).message
            except CaffeError:
                continue
            assert upgrade(result) == result
            text = as_bytes(prototxt.format_text(result))
            assert prototxt.parse(text, schema.NetParameter).message == result
            upgraded += 1
    assert upgraded > 200
