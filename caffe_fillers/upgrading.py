"""Upgrades nets and solvers of any age to today's format, as Caffe does when it reads a file.

A V0 net (2013) is a list of ``layers { layer { ... } bottom: top: }`` with padding layers of its own, a V1 net (2014)
one of ``layers { type: CONVOLUTION ... }``; today's has ``layer { type: "Convolution" ... }``. "Set" means present in
the message, even with the default value.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, overload

from google.protobuf.message import Message

from . import schema
from .carried import carried, carry, readable
from .errors import CaffeError, CaffeWarning
from .prototxt import Path, Text, unknown
from .schema import is_message

__all__ = ["Upgraded", "is_old", "upgrade", "upgrade_net", "upgrade_solver"]

_V0_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

# the new place of each V0 field: by V0 type, the V1 message and, if it differs, the name there; "*" is any type
_CONV, _FULL = "convolution_param", "inner_product_param"
_SOURCES = {
    "data": "data_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "window_data": "window_data_param",
}
_V0_FIELDS: dict[str, tuple[dict[str, str], str]] = {
    "num_output": ({"conv": _CONV, "innerproduct": _FULL}, "num_output"),
    "biasterm": ({"conv": _CONV, "innerproduct": _FULL}, "bias_term"),
    "weight_filler": ({"conv": _CONV, "innerproduct": _FULL}, "weight_filler"),
    "bias_filler": ({"conv": _CONV, "innerproduct": _FULL}, "bias_filler"),
    "pad": ({"conv": _CONV, "pool": "pooling_param"}, "pad"),
    "kernelsize": ({"conv": _CONV, "pool": "pooling_param"}, "kernel_size"),
    "group": ({"conv": _CONV}, "group"),
    "stride": ({"conv": _CONV, "pool": "pooling_param"}, "stride"),
    "pool": ({"pool": "pooling_param"}, "pool"),
    "dropout_ratio": ({"dropout": "dropout_param"}, "dropout_ratio"),
    "local_size": ({"lrn": "lrn_param"}, "local_size"),
    "alpha": ({"lrn": "lrn_param"}, "alpha"),
    "beta": ({"lrn": "lrn_param"}, "beta"),
    "k": ({"lrn": "lrn_param"}, "k"),
    "source": (_SOURCES | {"infogain_loss": "infogain_loss_param"}, "source"),
    "scale": ({"*": "transform_param"}, "scale"),
    "meanfile": ({"*": "transform_param"}, "mean_file"),
    "batchsize": (_SOURCES, "batch_size"),
    "cropsize": ({"*": "transform_param"}, "crop_size"),
    "mirror": ({"*": "transform_param"}, "mirror"),
    "rand_skip": ({"data": "data_param", "images": "image_data_param"}, "rand_skip"),
    "shuffle_images": ({"images": "image_data_param"}, "shuffle"),
    "new_height": ({"images": "image_data_param"}, "new_height"),
    "new_width": ({"images": "image_data_param"}, "new_width"),
    "concat_dim": ({"concat": "concat_param"}, "concat_dim"),
    "det_fg_threshold": ({"window_data": "window_data_param"}, "fg_threshold"),
    "det_bg_threshold": ({"window_data": "window_data_param"}, "bg_threshold"),
    "det_fg_fraction": ({"window_data": "window_data_param"}, "fg_fraction"),
    "det_context_pad": ({"window_data": "window_data_param"}, "context_pad"),
    "det_crop_mode": ({"window_data": "window_data_param"}, "crop_mode"),
    "hdf5_output_param": ({"hdf5_output": "hdf5_output_param"}, ""),
}

_V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
_V1_NUMBERS = schema.enum("V1LayerParameter.LayerType")
_V1_NAMES = {number: name for name, number in _V1_NUMBERS.items()}

_TRANSFORMED = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORMS = ("scale", "mean_file", "crop_size", "mirror")

_SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}


_M = TypeVar("_M", bound=Message)


@dataclass(slots=True)
class Upgraded:
    """A net in today's form.

    Attributes
    ----------
    message : NetParameter
        A new message.
    origin : list of (path or None)
        Where each layer stood in the source, e.g. ``("layers", 3)``; None for an Input layer that was put first.
    """

    message: schema.NetParameter
    origin: list[Path | None]


@overload
def upgrade(message: schema.NetParameter | Text[schema.NetParameter]) -> schema.NetParameter: ...
@overload
def upgrade(message: schema.SolverParameter | Text[schema.SolverParameter]) -> schema.SolverParameter: ...
@overload
def upgrade(message: Message | Text[Message]) -> schema.NetParameter | schema.SolverParameter: ...
def upgrade(message: Message | Text[Message]) -> schema.NetParameter | schema.SolverParameter:
    """Return a net or solver message in the current format; the argument is unchanged.

    Parameters
    ----------
    message : NetParameter or SolverParameter
        A message of any age. With a `Text`, errors name the line, and V1 types of forks stay as written.

    Returns
    -------
    NetParameter or SolverParameter
        A new message. Upgrading it again changes nothing.

    Raises
    ------
    CaffeError
        If Caffe refuses to upgrade it, for example because it mixes ``layer`` and ``layers``.

    Examples
    --------
    >>> from caffe_fillers import prototxt, schema
    >>> from caffe_fillers.upgrading import upgrade
    >>> old = prototxt.parse('layers { name: "r" type: RELU bottom: "x" top: "y" }', schema.NetParameter).message
    >>> upgrade(old).layer[0].type
    'ReLU'
    """
    inner = message.message if isinstance(message, Text) else message
    if is_message(inner, "NetParameter"):
        return upgrade_net(message).message
    if is_message(inner, "SolverParameter"):
        return upgrade_solver(message, nets=True)
    raise CaffeError(f"a NetParameter or SolverParameter can be upgraded, not {type(inner).__name__}")


def upgrade_net(source: Text[Message] | Message) -> Upgraded:
    """Bring a net into today's form; the source stays as it was.

    From a `Text`, errors name the line, and a V1 type that Caffe does not know stays as it was written.

    Raises
    ------
    CaffeError
        If Caffe refuses to upgrade it.

    Warns
    -----
    CaffeWarning
        If fields of a V0 layer do not belong to its type: they are dropped.
    """
    place: Callable[[Path], str] = _nowhere
    message = source.message if isinstance(source, Text) else source
    if isinstance(source, Text):
        text = source

        def place(path: Path) -> str:
            return f"{text.name}:{text.lines[path]}: " if path in text.lines else f"{text.name}: "

    net = _copy(message, schema.NetParameter())
    if not isinstance(source, Text):
        readable(net)
    return _upgrade_net(net, place)


def _upgrade_net(net: schema.NetParameter, place: Callable[[Path], str]) -> Upgraded:
    if net.layers and net.layer:
        raise CaffeError(
            f"{place(('layers', 0))}the net has both 'layer' (today's form) and 'layers' (of 2014), which can't be "
            f'mixed: {len(net.layer)} and {len(net.layers)} of them\nwrite all as layer {{ type: "Name" ... }}; '
            "caffe-fillers upgrade does it for a file that has 'layers' alone"
        )
    origin: list[Path | None] = [("layer", i) for i in range(len(net.layer))]
    if net.layers:
        indices = list(range(len(net.layers)))
        if any(each.HasField("layer") for each in net.layers):
            net, indices = _from_v0(net, place)
        _move_transforms(net)
        _from_v1(net)
        origin = [("layers", i) for i in indices]
    if net.input and _inputs_to_layer(net, place):
        origin.insert(0, None)
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0
    return Upgraded(net, origin)


def upgrade_solver(
    source: Text[Message] | Message, path: str | os.PathLike[str] | None = None, *, nets: bool = False
) -> schema.SolverParameter:
    """Return a solver in today's form: `solver_type` becomes `type`; the source stays as it was.

    With `nets` the nets that are written inside it are upgraded too, which BVLC Caffe does not do.

    With the `path` of the solver's file, `snapshot_prefix` is completed from it as Caffe does.

    Raises
    ------
    CaffeError
        If both `solver_type` and `type` are given.
    """
    message = source.message if isinstance(source, Text) else source
    solver = _copy(message, schema.SolverParameter())
    readable(solver)
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            place = f"{source.name}:{source.lines[('solver_type',)]}: " if isinstance(source, Text) else ""
            raise CaffeError(
                f"{place}Failed to upgrade solver: old solver_type field (enum) and new type field (string) cannot be "
                f'both specified in solver proto text.\nremove solver_type and keep type: "{solver.type}"'
            )
        names = {number: name for name, number in schema.enum("SolverParameter.SolverType").items()}
        solver.type = _SOLVER_TYPES[names[solver.solver_type]]
        solver.ClearField("solver_type")
    elif kind := unknown(solver).get("solver_type"):
        solver.type = str(kind[0])
    for net in inner_nets(solver) if nets else []:
        net.CopyFrom(upgrade_net(net).message)
    if path is not None:
        stem = os.path.splitext(os.fspath(path))[0]
        if not solver.HasField("snapshot_prefix"):
            solver.snapshot_prefix = stem
        elif os.path.isdir(solver.snapshot_prefix):
            solver.snapshot_prefix = os.path.join(solver.snapshot_prefix, os.path.basename(stem))
    return solver


def inner_nets(solver: schema.SolverParameter) -> list[schema.NetParameter]:
    """The nets that are written inside a solver."""
    single = [getattr(solver, name) for name in ("net_param", "train_net_param") if solver.HasField(name)]
    return [*single, *solver.test_net_param]


def is_old(net: schema.NetParameter) -> bool:
    """Return whether Caffe upgrades a net of this form when it reads a net's file."""
    return bool(net.layers or net.input)


def _nowhere(path: Path) -> str:
    return ""


def _copy(message: Message, into: _M) -> _M:
    """Copy by bytes: the message may be of another package's caffe_pb2, or lack required fields."""
    into.ParseFromString(message.SerializePartialToString())
    return into


def _from_v0(net: schema.NetParameter, place: Callable[[Path], str]) -> tuple[schema.NetParameter, list[int]]:
    """Return a V0 net as V1, and the connection that each layer was."""
    new = schema.NetParameter()
    for name in ("name", "force_backward"):
        if net.HasField(name):
            setattr(new, name, getattr(net, name))
    for text in carried(net):
        carry(new, text)
    new.input.extend(net.input)
    new.input_dim.extend(net.input_dim)
    dropped: list[str] = []
    indices = []
    for index, connection in _without_padding(net, place):
        layer = new.layers.add()
        layer.bottom.extend(connection.bottom)
        layer.top.extend(connection.top)
        for text in carried(connection.layer):
            carry(layer, text)
        if connection.HasField("layer"):
            _from_v0_layer(connection.layer, layer, place(("layers", index)), dropped)
        indices.append(index)
    if dropped:
        warnings.warn("\n".join(dropped), CaffeWarning, stacklevel=5)
    return new, indices


def _without_padding(
    net: schema.NetParameter, place: Callable[[Path], str]
) -> list[tuple[int, schema.V1LayerParameter]]:
    """Return the connections without padding layers, with the padding moved into the next ones."""
    kept: list[tuple[int, schema.V1LayerParameter]] = []
    last_top: dict[str, schema.V1LayerParameter | None] = dict.fromkeys(net.input)
    for index, connection in enumerate(net.layers):
        kind = connection.layer.type
        copy = schema.V1LayerParameter()
        copy.CopyFrom(connection)
        if kind != "padding":
            kept.append((index, copy))
        for j, bottom in enumerate(connection.bottom):
            here = place(("layers", index))
            if bottom not in last_top:
                raise CaffeError(
                    f"{here}Unknown blob input {bottom} to layer {j}\n"
                    f"bottom {j} of layer '{connection.layer.name}' is the top of no layer before it and no input"
                )
            source = last_top[bottom]
            if source is None or source.layer.type != "padding":
                continue
            if kind not in ("conv", "pool"):
                what = f"Padding layer input to non-convolutional / non-pooling layer type {kind}"
            elif len(connection.bottom) != 1:
                what = "Conv Layer takes a single blob as input."
            elif len(source.bottom) != 1:
                what = "Padding Layer takes a single blob as input."
            elif len(source.top) != 1:
                what = "Padding Layer produces a single blob as output."
            else:
                copy.layer.pad = source.layer.pad
                copy.bottom[j] = source.bottom[0]
                continue
            mend = f"layer '{connection.layer.name}' has the padding layer '{source.layer.name}' before it"
            raise CaffeError(f"{here}{what}\n{mend}")
        last_top.update(dict.fromkeys(connection.top, connection))
    return kept


def _from_v0_layer(old: schema.V0LayerParameter, new: schema.V1LayerParameter, here: str, dropped: list[str]) -> None:
    if old.HasField("name"):
        new.name = old.name
    if old.HasField("type"):
        if old.type not in _V0_TYPES:
            raise CaffeError(f"{here}Unknown layer name: {old.type}\nlayer '{old.name}' is no layer type of 2013")
        new.type = _V1_NUMBERS[_V0_TYPES[old.type]]
    new.blobs.extend(old.blobs)
    new.blobs_lr.extend(old.blobs_lr)
    new.weight_decay.extend(old.weight_decay)
    for name, (messages, new_name) in _V0_FIELDS.items():
        if not old.HasField(name):
            continue
        target = messages.get(old.type) or messages.get("*")
        if target is None:
            dropped.append(f"{here}Unknown parameter {name} for layer type {old.type}, dropped")
        elif not new_name:
            getattr(new, target).CopyFrom(getattr(old, name))
        else:
            _put(getattr(new, target), new_name, getattr(old, name))


def _put(message: Message, name: str, value: Message | float | str) -> None:
    if isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    elif message.DESCRIPTOR.name == "ConvolutionParameter" and name in ("pad", "kernel_size", "stride"):
        getattr(message, name).append(value)
    elif name in ("new_height", "new_width"):
        setattr(message, name, value % 2**32)  # signed in V0 only
    else:
        setattr(message, name, value)


def _move_transforms(net: schema.NetParameter) -> None:
    pairs = [
        (layer.transform_param, getattr(layer, _TRANSFORMED[_V1_NAMES[layer.type]]))
        for layer in net.layers
        if _V1_NAMES[layer.type] in _TRANSFORMED
    ]
    if not any(data.HasField(name) for _, data in pairs for name in _TRANSFORMS):
        return
    for transform, data in pairs:
        # Caffe keeps both, even if empty, in every layer of these types
        transform.SetInParent()
        data.SetInParent()
        for name in _TRANSFORMS:
            if data.HasField(name):
                setattr(transform, name, getattr(data, name))
                data.ClearField(name)


def _from_v1(net: schema.NetParameter) -> None:
    """Turn the V1 `layers` of a net into today's `layer`."""
    for old in net.layers:
        new = net.layer.add()
        kind = unknown(old).get("type")
        for text in carried(old):
            if not (kind and re.match(rb"type\s*:", text)):
                carry(new, text)
        if old.HasField("name"):
            new.name = old.name
        if old.HasField("type"):
            new.type = _V1_TYPES[_V1_NAMES[old.type]]
        elif kind:
            new.type = str(kind[0])
        for name in ("bottom", "top", "include", "exclude", "blobs", "loss_weight"):
            getattr(new, name).extend(getattr(old, name))
        for field, value in old.ListFields():
            if field.name.endswith("_param"):
                getattr(new, field.name).CopyFrom(value)
        for i in range(max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr), len(old.weight_decay))):
            spec = new.param.add()
            if i < len(old.param):
                spec.name = old.param[i]
            if i < len(old.blob_share_mode):
                spec.share_mode = old.blob_share_mode[i]  # type: ignore[assignment] # another enum of the same numbers
            if i < len(old.blobs_lr):
                spec.lr_mult = old.blobs_lr[i]
            if i < len(old.weight_decay):
                spec.decay_mult = old.weight_decay[i]
    net.ClearField("layers")


def _inputs_to_layer(net: schema.NetParameter, place: Callable[[Path], str]) -> bool:
    """Put an Input layer first for `input` fields that have shapes; return whether there is one."""
    shapes = [list(shape.dim) for shape in net.input_shape]
    if not shapes and net.input_dim:
        dims = list(net.input_dim)
        shapes = [dims[i : i + 4] for i in range(0, len(dims) - 3, 4)]
    needed = bool(net.input_shape or net.input_dim)
    if needed:
        if len(shapes) < len(net.input):
            short = f"input {len(shapes)} ('{net.input[len(shapes)]}') has no shape"
            raise CaffeError(
                f"{place(('input', len(shapes)))}{short}: there are {len(net.input)} inputs, "
                f"{len(net.input_shape)} input_shape and {len(net.input_dim)} input_dim\n"
                "give each input an input_shape { dim: ... }, or four input_dim each"
            )
        first = schema.LayerParameter(name="input", type="Input", top=list(net.input))
        for _, dims in zip(net.input, shapes, strict=False):
            first.input_param.shape.add().dim.extend(dims)
        rest = list(net.layer)
        net.ClearField("layer")
        net.layer.append(first)
        net.layer.extend(rest)
    for name in ("input", "input_shape", "input_dim"):
        net.ClearField(name)
    return needed
