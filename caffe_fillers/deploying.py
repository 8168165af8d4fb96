"""Turns a training net into a deploy net, and a DIGITS all-in-one network into both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import graph, schema
from .checks import c_int
from .errors import CaffeError
from .net import Net, NetLike
from .sources import Source, net_source

__all__ = ["deploy", "train_val"]

_DATA = ("Data", "ImageData", "WindowData", "MemoryData", "HDF5Data", "DummyData")
_INPUTS = ("Input", "Parameter")
# the layer that gives the predictions of a loss
_BEHIND = {"SoftmaxWithLoss": ("Softmax", "prob"), "SigmoidCrossEntropyLoss": ("Sigmoid", "prob")}
_COUNTED = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param"}
_STAGES = ("train", "val", "deploy")


def deploy(
    net: NetLike, inputs: Mapping[str, Sequence[int]] | None = None, classes: int | None = None
) -> schema.NetParameter:
    """Make the deploy net of a training net.

    Input layers replace data layers, and a Softmax named prob replaces a SoftmaxWithLoss. Losses, accuracies and the
    branches of auxiliary losses are removed. Of a DIGITS all-in-one network it takes the layers of the stage deploy.

    Parameters
    ----------
    net : str, PathLike, NetParameter or Text
        A train_val.prototxt of any age, or an all-in-one network.
    inputs : mapping of str to tuple of int, optional
        The shapes of the inputs, by top: of a whole batch, or of one image for a batch of 1. None takes them from the
        prototxt or the data.
    classes : int, optional
        The num_output of layers that lack it, as in DIGITS's networks. None refuses such layers.

    Returns
    -------
    NetParameter

    Raises
    ------
    CaffeError
        If the shape of an input is unknown, a num_output is missing, or no layer is left.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> net = cf.deploy("examples/mnist/lenet_train_test.prototxt", inputs={"data": (1, 28, 28)})
    >>> [layer.type for layer in net.layer][:2], net.layer[-1].name, list(net.layer[0].input_param.shape[0].dim)
    (['Input', 'Convolution'], 'prob', [1, 1, 28, 28])
    """
    source = net_source(net)
    message = source.message
    staged = any("deploy" in rule.stage for layer in message.layer for rule in (*layer.include, *layer.exclude))
    state = schema.NetState(phase=schema.enum("Phase")["TEST"], stage=["deploy"] if staged else [])
    layers = [_copied(layer) for _, layer in graph.kept(message.layer, state)]
    _count(layers, classes)
    data = [layer for layer in layers if layer.type in _DATA or (not layer.bottom and layer.type not in _INPUTS)]
    kept = _predicting([layer for layer in layers if layer not in data], data)
    read = {name for layer in kept for name in layer.bottom}
    wanted = [(layer, name) for layer in data for name in layer.top if name in read]
    heads = [_input(layer, name, dict(inputs or {}), source) for layer, name in wanted]
    # bottoms of a partial net that no layer made before either
    missing = read - {name for layer in (*heads, *kept) for name in layer.top}
    for name in sorted(missing & dict(inputs or {}).keys()):
        heads.append(_input(schema.LayerParameter(top=[name]), name, dict(inputs or {}), source))
    for layer in kept:
        if layer.type == "Input":
            _reshape_input(layer, dict(inputs or {}))
    result = schema.NetParameter()
    result.CopyFrom(message)
    result.ClearField("layer")
    result.ClearField("state")
    result.layer.extend([*heads, *kept])
    if not any(layer.bottom for layer in result.layer):
        raise CaffeError(f"{source.name or 'the net'}: no layer predicts anything, so there is nothing to deploy")
    Net(result, "TEST", fill=False)  # to report here what does not fit
    return result


def train_val(net: NetLike, classes: int | None = None) -> schema.NetParameter:
    """Make the training net of a DIGITS all-in-one network: its stages train and val become the two phases.

    Parameters
    ----------
    net : str, PathLike, NetParameter or Text
    classes : int, optional
        The num_output of layers that lack it. None refuses such layers.

    Returns
    -------
    NetParameter

    Raises
    ------
    CaffeError
        If the net has no such stages, or a num_output is missing.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> from caffe_fillers import prototxt, schema
    >>> text = 'layer { name: "d" type: "Data" top: "d" include { stage: "val" } }'
    >>> message = prototxt.parse(text, schema.NetParameter).message
    >>> cf.train_val(message).layer[0].include[0].phase == schema.enum("Phase")["TEST"]
    True
    """
    source = net_source(net)
    message = source.message
    phases = schema.enum("Phase")
    layers: list[schema.LayerParameter] = []
    if not any(stage in rule.stage for layer in message.layer for rule in layer.include for stage in _STAGES):
        raise CaffeError(
            f"{source.name or 'the net'}: no layer names one of the stages train, val and deploy, so this is no "
            "all-in-one network of DIGITS"
        )
    for layer in message.layer:
        if layer.include and all("deploy" in rule.stage for rule in layer.include):
            continue
        copy = schema.LayerParameter()
        copy.CopyFrom(layer)
        for rule in (*copy.include, *copy.exclude):
            stages = [stage for stage in rule.stage if stage not in _STAGES]
            if "train" in rule.stage or "val" in rule.stage:
                rule.phase = phases["TRAIN" if "train" in rule.stage else "TEST"]
            rule.stage[:] = stages
        # a rule for the stage deploy alone does not concern training
        rules = [rule for rule in copy.exclude if rule.ListFields()]
        del copy.exclude[:]
        copy.exclude.extend(rules)
        layers.append(copy)
    _count(layers, classes)
    result = schema.NetParameter()
    result.CopyFrom(message)
    result.ClearField("layer")
    result.layer.extend(layers)
    return result


def _copied(layer: schema.LayerParameter) -> schema.LayerParameter:
    copy = schema.LayerParameter()
    copy.CopyFrom(layer)
    copy.ClearField("include")
    copy.ClearField("exclude")
    return copy


def _count(layers: list[schema.LayerParameter], classes: int | None) -> None:
    """Fill in the num_output that DIGITS's networks lack."""
    for layer in layers:
        name = _COUNTED.get(layer.type)
        if name is None or getattr(layer, name).HasField("num_output"):
            continue
        if classes is None:
            raise CaffeError(
                f"layer '{layer.name}' has no num_output: DIGITS puts in the number of classes\n"
                "give it: --classes N or classes=N"
            )
        getattr(layer, name).num_output = classes


def _is_scored(layer: schema.LayerParameter) -> bool:
    return layer.type.endswith("Loss") or layer.type in ("Accuracy", *_BEHIND)


def _predicting(layers: list[schema.LayerParameter], data: list[schema.LayerParameter]) -> list[schema.LayerParameter]:
    """Return the layers that predict: losses and what only they read are removed, main losses become predictions."""
    losses = [layer for layer in layers if layer.type in _BEHIND]
    weight = max((_weight(layer) for layer in losses), default=0.0)
    main = [layer for layer in losses if _weight(layer) == weight]
    scored = [layer for layer in layers if _is_scored(layer)]
    rest = [layer for layer in layers if layer not in scored and layer.type != "Silence"]
    names = {layer.name for layer in rest} | {top for layer in rest for top in layer.top}
    heads = []
    for loss in main:
        kind, name = _BEHIND[loss.type]
        name = name if name not in names else f"{loss.name}_{name}"
        names.add(name)
        head = schema.LayerParameter(name=name, type=kind, bottom=[loss.bottom[0]], top=[name])
        if loss.HasField("softmax_param") and kind == "Softmax":
            head.softmax_param.CopyFrom(loss.softmax_param)
        heads.append(head)
    # a blob that only an auxiliary loss read is not an output of the deploy net
    hidden = {name for layer in scored for name in layer.bottom} | {
        name for layer in layers if layer.type == "Silence" for name in layer.bottom
    }
    return _ancestors([*rest, *heads], hidden if heads else set())


def _weight(loss: schema.LayerParameter) -> float:
    return loss.loss_weight[0] if loss.loss_weight else 1.0


def _ancestors(layers: list[schema.LayerParameter], hidden: set[str]) -> list[schema.LayerParameter]:
    """Return the layers that lead to an output: a top that no layer reads and that is not hidden."""
    read = {name for layer in layers for name in layer.bottom}
    last = {top: i for i, layer in enumerate(layers) for top in layer.top}
    needed: set[int] = set()
    wanted: set[str] = set()
    for i in reversed(range(len(layers))):
        layer = layers[i]
        outputs = [top for top in layer.top if last[top] == i and top not in read and top not in hidden]
        if outputs or wanted & set(layer.top):
            needed.add(i)
            wanted |= set(layer.bottom)
    return [layer for i, layer in enumerate(layers) if i in needed]


def _input(
    layer: schema.LayerParameter, top: str, given: Mapping[str, Sequence[int]], source: Source
) -> schema.LayerParameter:
    """Return the Input layer that replaces a data layer's top."""
    shape = given.get(top, given.get(layer.name) if list(layer.top)[:1] == [top] else None)
    if shape is None:
        shape = _known(layer, top, source)
    elif len(shape) == 3 and layer.type != "HDF5Data":
        crop = c_int(layer.transform_param.crop_size)
        shape = (1, shape[0], crop or shape[1], crop or shape[2])
    result = schema.LayerParameter(name=top, type="Input", top=[top])
    result.input_param.shape.add().dim.extend(int(dim) for dim in shape)
    return result


def _known(layer: schema.LayerParameter, top: str, source: Source) -> tuple[int, ...]:
    """Return the shape of a data layer's top, from the prototxt or the data, for a batch of 1."""
    alone = schema.NetParameter()
    alone.layer.add().CopyFrom(layer)
    try:
        shape = Net(alone, "TEST", fill=False).blobs[top].shape
    except CaffeError:
        where = f"{source.name}: " if source.name else ""
        raise CaffeError(
            f"{where}layer '{layer.name}': the shape of its top {top!r} is not known without its data\n"
            f"give it: --input {top}=CxHxW or inputs={{{top!r}: (C, H, W)}}"
        ) from None
    return (1, *shape[1:])


def _reshape_input(layer: schema.LayerParameter, given: Mapping[str, Sequence[int]]) -> None:
    for i, top in enumerate(layer.top):
        shape = given.get(top)
        if shape is not None:
            while len(layer.input_param.shape) <= i:
                layer.input_param.shape.add()
            whole = shape if len(shape) != 3 or len(layer.input_param.shape[i].dim) != 4 else (1, *shape)
            layer.input_param.shape[i].dim[:] = [int(dim) for dim in whole]
