"""Net: the layers of a prototxt, set up one after another on one random stream, as Caffe's Net does it.

First every layer is planned: its rule gives shapes, and all that can be refused is refused, before anything is
allocated or drawn. Then the plans are carried out in order.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import fillers, graph, schema
from ._core import RNG
from ._version import __version__
from .blob import Blob, check_shape, describe
from .errors import CaffeError
from .layers.losses import given_tops
from .layers.rule import RULES, UNSET, Layer, Setup, Shape, check_counts, count, need

__all__ = ["Draw", "Net", "Source", "read_source"]


@dataclass(slots=True, frozen=True)
class Draw:
    """An entry of the ledger: `count` raw draws from position `start` of the stream on, and what for."""

    start: int
    count: int
    what: str


@dataclass(slots=True)
class Source:
    """A net's message in today's form, and what is known of the text it came from."""

    message: Any
    name: str = ""
    lines: list[int | None] = field(default_factory=list)
    extras: list[Mapping[str, Any]] = field(default_factory=list)
    sha256: str = ""


@dataclass(slots=True)
class _Step:
    """A planned layer: its set-up, what fills each of its parameters, and who owns the memory of each."""

    layer: Layer
    node: graph.Node
    setup: Setup
    plans: list[fillers.Plan | None] = field(default_factory=list)
    owners: list[Blob | None] = field(default_factory=list)
    top_plans: list[fillers.Plan | None] = field(default_factory=list)


def read_source(source: Any, strict: bool = False, upgrade: bool = True) -> Source:
    """Read a net from a prototxt, or take it from a NetParameter, and bring it into today's form."""
    from . import prototxt
    from .upgrade import upgrade_net

    if isinstance(source, (str, os.PathLike)):
        text = prototxt.read(source, schema.NetParameter, strict=strict)
        new = upgrade_net(text)
        paths = new.origin
        return Source(
            new.message,
            os.fspath(source),
            [None if path is None else text.lines.get(path) for path in paths],
            _extras(text.extras, paths),
            text.sha256,
        )
    if getattr(getattr(source, "DESCRIPTOR", None), "name", None) != "NetParameter":
        raise CaffeError(f"a net is the path of a prototxt or a NetParameter, got {type(source).__name__}")
    message = schema.NetParameter()
    message.MergeFromString(source.SerializeToString())
    return Source(upgrade_net(message).message if upgrade else message)


def _extras(unknown: Mapping[Any, Mapping[str, Any]], paths: Iterable[Any]) -> list[Mapping[str, Any]]:
    """The unknown fields of each layer, those inside its known messages under the names of these."""
    by_layer: dict[Any, dict[str, Any]] = {}
    for path, fields in sorted(unknown.items(), key=lambda item: len(item[0])):
        inside = by_layer.setdefault(path[:2], {})
        for name in path[2:]:
            if isinstance(name, str):
                inside = inside.setdefault(name, [{}])[-1]
        inside.update(fields)
    return [by_layer.get(path, {}) for path in paths]


class Net:
    """The layers, shapes and initial weights of a net, as Caffe would have set it up.

    Parameters
    ----------
    source : str, PathLike or NetParameter
        A prototxt of any age, or its message.
    phase : {"TRAIN", "TEST"}, optional
    level : int, optional
    stages : sequence of str, optional
        With `phase`, the state that include and exclude rules are matched with.
    weights : str, PathLike or sequence of them, optional
        Files to copy weights from once the net is filled; several may stand in one string, separated by commas.
    rng : RNG, int or None, optional
        The stream, which advances; or Caffe's random_seed; or None for fresh entropy.
    inputs : mapping, optional
        Shapes that the prototxt does not hold, by layer or top name; ``NAME@TEST`` for one phase.
    dtype : {numpy.float32, numpy.float64}, optional
    boost, caffe : str, optional
        The Boost and the revision of Caffe to follow.
    strict : bool, optional
        Refuse what BVLC Caffe refuses; otherwise what forks added is skipped with one warning.
    fill : bool, optional
        With False shapes and ledger only; no weight is allocated.
    max_bytes : int, optional
        Refuse a net whose parameters need more.
    threads : int, optional
        Threads to fill with; the values are the same for any number.

    Attributes
    ----------
    params : OrderedDict of str to list of Blob
        By layer name; of several layers with one name, the last.
    blobs : OrderedDict of str to Blob
        Every named top.
    layers : list of Layer
        In order; each has its `blobs` and its `draws`, the ledger.
    seed : int or None
        The seed of the stream.
    report : CopyReport or None
        What `weights` copied.

    Raises
    ------
    CaffeError
        Where Caffe would stop, with file, line and layer. A stream that was passed in is then as it was.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> net = cf.Net("examples/mnist/lenet_train_test.prototxt", rng=1701, inputs={"data": (1, 28, 28)})
    >>> net.params["conv1"][0].data.shape
    (20, 1, 5, 5)
    >>> [draw.count for draw in net.layers[1].draws]
    [500]
    """

    def __init__(
        self,
        source: Any,
        phase: str = "TRAIN",
        *,
        level: int = 0,
        stages: Iterable[str] = (),
        weights: Any = None,
        rng: RNG | int | None = None,
        inputs: Mapping[str, Any] | None = None,
        dtype: Any = np.float32,
        boost: str | None = None,
        caffe: str = "master",
        strict: bool = False,
        fill: bool = True,
        max_bytes: int | None = None,
        threads: int | None = None,
    ) -> None:
        if isinstance(phase, int) and phase in (0, 1):  # as pycaffe's caffe.TRAIN and caffe.TEST
            phase = ("TRAIN", "TEST")[phase]
        if phase not in ("TRAIN", "TEST"):
            raise CaffeError(f'phase is "TRAIN" or "TEST", got {phase!r}')
        origin = read_source(source, strict)
        stages = [stages] if isinstance(stages, str) else list(stages)
        state = graph.net_state(origin.message.state, phase, level, stages)
        stream = fillers.as_rng(rng, boost)
        self._build(origin, state, stream, inputs, dtype, caffe, strict, fill, max_bytes, threads, weights, set())

    @classmethod
    def of_state(cls, source: Source, state: Any, stream: RNG, **options: Any) -> Net:
        """Build a net whose state is already merged; what a solver does."""
        net = cls.__new__(cls)
        net._build(source, state, stream, **options)
        return net

    def _build(
        self,
        source: Source,
        state: Any,
        stream: RNG,
        inputs: Mapping[str, Any] | None,
        dtype: Any,
        caffe: str,
        strict: bool,
        fill: bool,
        max_bytes: int | None,
        threads: int | None,
        weights: Any,
        readers: set[str],
    ) -> None:
        self.source = source
        self.name: str = source.message.name
        self.phase = "TRAIN" if state.phase == schema.enum("Phase")["TRAIN"] else "TEST"
        self.caffe = fillers.check_revision(caffe)
        self.boost, self.seed = stream.boost, stream.seed
        self.dtype = Blob((), dtype).dtype
        self._inputs = dict(inputs or {})
        self._steps = _plan(self, state, stream, strict, readers)
        needed = sum(
            blob.count() * self.dtype.itemsize
            for step in self._steps
            for blob, owner in zip(step.layer.blobs, step.owners, strict=True)
            if owner is None
        )
        if max_bytes is not None and needed > max_bytes:
            raise CaffeError(f"the parameters of this net need {needed:,} bytes, more than max_bytes={max_bytes:,}")
        before = stream.copy()
        try:
            for step in self._steps:
                _carry_out(step, self, stream, fill, threads)
            self._collect()
            if weights is not None:
                self.copy_from(weights)
        except BaseException as error:
            stream.become(before)
            if isinstance(error, MemoryError):
                raise CaffeError(f"no memory for this net: its parameters need {needed:,} bytes") from None
            raise

    def _collect(self) -> None:
        self.layers: list[Layer] = [step.layer for step in self._steps if not step.node.inserted]
        self.params: OrderedDict[str, list[Blob]] = OrderedDict()
        self.report: Any = None
        for layer in self.layers:
            if layer.blobs:
                self.params[layer.name] = layer.blobs

    @property
    def layer_dict(self) -> OrderedDict[str, Layer]:
        """The layers by name; of several with one name, the last."""
        return OrderedDict((layer.name, layer) for layer in self.layers)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's bottoms, as the prototxt names them."""
        return OrderedDict((layer.name, layer.bottoms) for layer in self.layers)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's tops, as the prototxt names them."""
        return OrderedDict((layer.name, layer.tops) for layer in self.layers)

    @property
    def inputs(self) -> list[str]:
        """The tops of Input layers, which the prototxt's `input:` fields become."""
        return [name for layer in self.layers if layer.type == "Input" for name in layer.tops]

    @property
    def outputs(self) -> list[str]:
        """The tops that nobody reads."""
        free: dict[str, None] = {}
        for step in self._steps:
            for name in step.node.wired:
                free.pop(name, None)
            free.update(dict.fromkeys(step.layer.tops))
        return [name for name in free if name in self.blobs]

    def fills(self) -> list[dict[str, Any]]:
        """Return one row per parameter blob: what filled it.

        Returns
        -------
        list of dict
            `layer`, `type`, `index`, `name` (weight, bias ...), `shape`, `filler` (a dict, or None where nothing
            fills it), `fan_in`, `fan_out` (None where the filler has no use of fans and the shape none), `std` (that
            the filler is designed to give), `start` and `draws` (its place in the stream), `shared_with` (layer and
            index of the owner, or None).
        """
        rows = []
        places: dict[int, str] = {}
        for step in self._steps:
            layer = step.layer
            spent = {draw.what: draw for draw in layer.draws}
            for i, (blob, owner) in enumerate(zip(layer.blobs, step.owners, strict=True)):
                place = places.setdefault(id(blob if owner is None else owner), f"{layer.name}/{i}")
                filled = i < len(step.plans)
                param = step.setup.params[i] if filled else None
                plan = step.plans[i] if filled else None
                draw = spent.get(_purpose(param)) if param else None
                try:
                    fan_in, fan_out = fillers.fans(blob.shape, caffe=self.caffe)
                except CaffeError:
                    fan_in = fan_out = None
                rows.append(
                    {
                        "layer": layer.name,
                        "type": layer.type,
                        "index": i,
                        "name": param.name if param else "from the text",
                        "shape": blob.shape,
                        "filler": None if param is None or param.filler is None else param.filler.fields(),
                        "fan_in": fan_in,
                        "fan_out": fan_out,
                        "std": None if plan is None else plan.std,
                        "start": draw.start if draw else None,
                        "draws": draw.count if draw else 0,
                        "shared_with": None if owner is None else place,
                    }
                )
        return rows

    def provenance(self) -> dict[str, Any]:
        """Return where the weights come from, as plain values: what `save` puts beside them."""
        blobs = {}
        for row in self.fills():
            entry = {key: row[key] for key in ("filler", "fan_in", "fan_out", "std", "start", "draws", "shared_with")}
            if entry["std"] is not None and not math.isfinite(entry["std"]):
                entry["std"] = None
            blobs[f"{row['layer']}/{row['index']}"] = entry
        return {
            "version": __version__,
            "prototxt_sha256": self.source.sha256,
            "seed": self.seed,
            "boost": self.boost,
            "caffe": self.caffe,
            "phase": self.phase,
            "blobs": blobs,
        }

    def weight_set(self) -> Any:
        """Return all that a file of weights holds of this net, inserted Splits and shared blobs included."""
        from .weights import LayerBlobs, WeightSet

        layers = [
            LayerBlobs(
                step.layer.name,
                [blob.data for blob in step.layer.blobs],
                _header(step),
                [owner is None for owner in step.owners],
            )
            for step in self._steps
        ]
        return WeightSet(layers, self.name, self.provenance())

    def save(self, path: str | os.PathLike[str], names: str | None = None) -> None:
        """Write the weights in the format that the suffix says: .npz, .caffemodel, .h5 or .safetensors.

        Parameters
        ----------
        path : str or PathLike
        names : {None, "torch"}, optional
            "torch" writes PyTorch's names and layouts, where a mapping is defined.

        Raises
        ------
        CaffeError
            If the file can't be written, or can't hold this net. An older file is then untouched.
        """
        from .weights import save_weights

        save_weights(path, self.weight_set(), names=names)

    def copy_from(self, weights: Any) -> Any:
        """Copy weights by layer name, as Caffe's fine-tuning does; nothing is drawn.

        Parameters
        ----------
        weights : str, PathLike or sequence of them
            Files, copied one after another; several may stand in one string, separated by commas.

        Returns
        -------
        CopyReport
            Which layers were copied, which keep their fill, which of the file were ignored.

        Raises
        ------
        CaffeError
            If a file can't be read, or shapes or numbers of blobs differ. The weights are then as they were.
        """
        from .copying import copy_weights

        self.report = copy_weights(self, weights)
        return self.report

    def __repr__(self) -> str:
        values = sum(blob.count() for blobs in self.params.values() for blob in blobs)
        return f"<Net {self.name!r} {self.phase}: {len(self.layers)} layers, {values:,} parameters>"


def _purpose(param: Any) -> str:
    return f"{param.name} {param.filler.type}" if param.filler else ""


def _header(step: _Step) -> Any:
    """The layer's message as Caffe would write it: its set-up has completed it."""
    layer = step.layer
    message = schema.LayerParameter()
    message.CopyFrom(layer.message)
    del message.blobs[:]
    message.bottom[:] = step.node.wired
    if not message.HasField("phase"):
        message.phase = schema.enum("Phase")[layer.net_phase]
    if step.node.loss_moved:
        del message.loss_weight[:]
    rule = RULES.get(layer.type)
    if rule is not None and rule.automatic_top and not message.loss_weight:
        message.loss_weight.append(1)
    if layer.type == "BatchNorm":
        while len(message.param) < len(layer.blobs):
            message.param.add().lr_mult = 0
    return message


def _where(source: Source, layer: Any, line: int | None) -> str:
    place = source.name + (f":{line}" if line is not None else "")
    return f"{place}: layer '{layer.name}'" if place else f"layer '{layer.name}'"


def _situate(error: CaffeError, where: str) -> CaffeError:
    return CaffeError(f"{where}: {error}")


# --- planning --------------------------------------------------------------------------------------------------------


def _rule_of(layer: Layer, strict: bool) -> Any:
    rule = RULES.get(layer.type)
    if rule is not None and rule.fork not in ("", "user") and strict:
        rule = None
    if rule is None:
        unknown = f"Check failed: registry.count(type) == 1 (0 vs. 1) Unknown layer type: {layer.type}"
        if strict or not layer.type:
            raise CaffeError(f"{unknown}\ntypes are matched to the letter; without strict, forks' types can be read")
        if not layer.tops or any(layer.given(name) is None for name in layer.tops):
            missing = " ".join(f"--input {name}=DIMS" for name in layer.tops if layer.given(name) is None)
            raise CaffeError(
                f"{unknown}\ngive the shape of its tops ({missing or 'it has none'}), "
                "or teach it with caffe_fillers.layers.register"
            )
        return None
    if layer.age < fillers.REVISIONS.index(rule.since):
        raise CaffeError(f"Caffe {layer.caffe} has no layer type {layer.type}; it came with {rule.since}")
    return rule


def _set_up(layer: Layer, bottoms: list[Shape], strict: bool) -> Setup:
    rule = _rule_of(layer, strict)
    if rule is None:
        return given_tops(layer)
    if rule.automatic_top and not layer.tops:
        layer.tops.append("(automatic)")
        layer.in_place.append(False)
    check_counts(layer, rule.bottoms, rule.tops, rule.equal)
    setup: Setup = rule.function(layer, bottoms)
    if not isinstance(setup, Setup):
        raise CaffeError(f"the rule of layer type {layer.type} must return a Setup, got {type(setup).__name__}")
    setup.tops = [top if top is UNSET else check_shape(top) for top in setup.tops]
    if len(setup.tops) != len(layer.tops):
        raise CaffeError(f"the rule of layer type {layer.type} made {len(setup.tops)} tops of {len(layer.tops)}")
    return setup


def _check_losses(layer: Layer, node: graph.Node, setup: Setup) -> None:
    weights = [] if node.loss_moved else list(layer.message.loss_weight)
    need(
        len(weights) in (0, len(layer.tops)),
        f"top.size() == num_loss_weights ({len(layer.tops)} vs. {len(weights)}) "
        "loss_weight must be unspecified or specified once per top blob.",
    )
    for weight, top in zip(weights, setup.tops, strict=False):
        need(not weight or count(top) > 0, "diff_", f"a loss_weight on an empty top, {top}")


class _Owners:
    """Who owns each named parameter, and the multipliers that those who share it must agree on."""

    def __init__(self) -> None:
        self.named: dict[str, tuple[str, Blob]] = {}
        self.multipliers: dict[tuple[int, str], float] = {}

    def of(self, layer: Layer, index: int, blob: Blob) -> Blob | None:
        """The blob whose memory parameter `index` of `layer` uses, or None where it is its own."""
        specs = layer.message.param
        spec = specs[index] if index < len(specs) else None
        name = spec.name if spec is not None else ""
        owner = self.named.get(name) if name else None
        if owner is None:
            if name:
                self.named[name] = (layer.name, blob)
            self._agree(name, spec, blob)
            return None
        who, owned = owner
        assert spec is not None
        sharing = f"Cannot share param '{name}' owned by layer '{who}' with layer '{layer.name}'"
        shapes = f"Owner layer param shape is {describe(owned.shape)}; sharing layer"
        if spec.share_mode == type(spec).DimCheckMode.Value("PERMISSIVE"):
            need(
                blob.count() == owned.count(),
                f"this_blob->count() == owner_blob->count() ({blob.count()} vs. {owned.count()}) "
                f"{sharing}; count mismatch.  {shapes} shape is {describe(blob.shape)}",
            )
        else:
            need(
                blob.shape == owned.shape,
                f"this_blob->shape() == owner_blob->shape() "
                f"{sharing}; shape mismatch.  {shapes} expects shape {describe(blob.shape)}",
            )
        self._agree(name, spec, owned)
        return owned

    def _agree(self, name: str, spec: Any, owner: Blob) -> None:
        for kind, plural in (("lr_mult", "params_lr_"), ("decay_mult", "params_weight_decay_")):
            if spec is None or not spec.HasField(kind):
                continue
            value = getattr(spec, kind)
            agreed = self.multipliers.setdefault((id(owner), kind), value)
            need(
                value == agreed,
                f"param_spec->{kind}() == {plural}[learnable_param_id] ({value:g} vs. {agreed:g}) "
                f"Shared param '{name}' has mismatched {kind}.",
            )


def _parameters(step: _Step, owners: _Owners, stream: RNG, dtype: np.dtype[Any]) -> None:
    """Make the blobs of a layer, without memory, and plan what fills them."""
    layer, setup = step.layer, step.setup
    if layer.message.blobs:
        blobs = [Blob.from_proto(proto, dtype) for proto in layer.message.blobs]
        layer.blobs = setup.text_blobs(blobs) or []
    if not layer.blobs:
        for param in setup.params:
            blob = Blob(param.shape, dtype)
            plan = None
            if param.filler is not None:
                plan = fillers.plan(param.filler, blob.shape, dtype, layer.caffe)
                fillers.check_draw(plan, dtype, stream)
            elif blob.count() == 0:
                raise CaffeError(f"Check failed: data_\nparameter {param.name!r} of shape {param.shape} is empty")
            layer.blobs.append(blob)
            step.plans.append(plan)
    given, made = len(layer.message.param), len(layer.blobs)
    need(
        given <= made,
        f"param_size <= num_param_blobs ({given} vs. {made}) Too many params specified for layer {layer.name}",
        f"the layer has {made} parameter blobs; remove the `param` entries beyond that",
    )
    step.owners = [owners.of(layer, i, blob) for i, blob in enumerate(layer.blobs)]


def _plan(net: Net, state: Any, stream: RNG, strict: bool, readers: set[str]) -> list[_Step]:
    source, phases = net.source, {number: name for name, number in schema.enum("Phase").items()}
    file = source.name or "the net"
    try:
        chosen = [(i, layer) for i, layer in enumerate(source.message.layer) if graph.kept(layer, state)]
        nodes = graph.connect(chosen)
    except CaffeError as error:
        raise _situate(error, file) from None
    steps: list[_Step] = []
    names: dict[str, int] = {}
    shapes: list[Shape] = []
    owners = _Owners()
    inserted: set[str] = set()
    for node in nodes:
        message = node.message
        line = source.lines[node.origin] if source.lines else None
        layer = Layer(
            message=message,
            name=message.name,
            type=message.type,
            bottoms=list(message.bottom),
            tops=list(message.top),
            phase=phases[message.phase] if message.HasField("phase") else net.phase,
            net_phase=net.phase,
            caffe=net.caffe,
            extras=source.extras[node.origin] if source.extras and not node.inserted else {},
            line=line,
            inputs=net._inputs,
            readers=readers,
        )
        try:
            backward = len(message.propagate_down)
            need(
                backward in (0, len(message.bottom)),
                f"layer_param.propagate_down_size() == layer_param.bottom_size() ({backward} vs. "
                f"{len(message.bottom)}) propagate_down param must be specified either 0 or bottom_size times",
            )
            bottoms = [names[name] for name in node.wired]
            tops = []
            for j, name in enumerate(message.top):
                in_place = j < len(node.wired) and node.wired[j] == name
                layer.in_place.append(in_place)
                if not in_place and name in names:
                    raise CaffeError(
                        f"Top blob '{name}' produced by multiple sources.\n"
                        "give the top another name; to work in place, a layer must be the only reader of its bottom"
                    )
                if in_place:
                    tops.append(bottoms[j])
                else:
                    names[name] = len(shapes)
                    tops.append(len(shapes))
                    shapes.append(UNSET)
            setup = _set_up(layer, [shapes[i] for i in bottoms], strict)
            if len(layer.tops) > len(tops):
                tops.append(len(shapes))
                shapes.append(UNSET)
            for i, shape in zip(tops, setup.tops, strict=True):
                shapes[i] = shape
            step = _Step(layer, node, setup)
            step.top_plans = _plan_tops(step, net.dtype)
            _parameters(step, owners, stream, net.dtype)
            _check_losses(layer, node, setup)
        except CaffeError as error:
            raise _situate(error, _where(source, layer, line)) from None
        if node.inserted:
            inserted.update(message.top)
        steps.append(step)
    net.blobs = OrderedDict((name, Blob(shapes[i], net.dtype)) for name, i in names.items() if name not in inserted)
    return steps


def _plan_tops(step: _Step, dtype: np.dtype[Any]) -> list[fillers.Plan | None]:
    """What DummyData fills at set-up: its constant tops. The others are drawn anew in each forward pass."""
    plans: list[fillers.Plan | None] = []
    for shape, spec in zip(step.setup.tops, step.setup.top_fillers or (), strict=False):
        if spec is not None and spec.type == "constant":
            plans.append(fillers.plan(spec, shape, dtype, step.layer.caffe))
        else:
            if spec is not None:
                fillers.check_type(spec.type, step.layer.caffe)
            plans.append(None)
    return plans


# --- carrying out ----------------------------------------------------------------------------------------------------

_UNFILLED = "this net was built with fill=False and holds no values"


def _carry_out(step: _Step, net: Net, stream: RNG, fill: bool, threads: int | None) -> None:
    layer, setup = step.layer, step.setup

    def note(start: int, what: str) -> None:
        if stream.position > start:
            layer.draws.append(Draw(start, stream.position - start, what))

    for what in setup.draws:
        start = stream.position
        stream.skip(1)
        note(start, what)
    for name, plan in zip(layer.tops, step.top_plans, strict=False):
        if plan is not None and fill:
            fillers.apply(plan, net.blobs[name].data, stream)
        elif plan is not None:
            net.blobs[name].without_data(_UNFILLED)
    for blob, owner, param, plan in zip(layer.blobs, step.owners, setup.params, step.plans, strict=False):
        start = stream.position
        if plan is None:
            pass
        elif fill and owner is None:
            blob.fill(lambda out, plan=plan: fillers.apply(plan, out, stream, threads))
        else:
            fillers.consume(plan, blob.count(), net.dtype, stream)
        note(start, _purpose(param))
        if not fill:
            blob.without_data(_UNFILLED)
    start = stream.position
    for _ in range(setup.times):
        for i in setup.again:
            plan = step.plans[i]
            if plan is not None:
                fillers.consume(plan, layer.blobs[i].count(), net.dtype, stream)
    note(start, f"{setup.times} more time steps")
    for blob, owner in zip(layer.blobs, step.owners, strict=True):
        if owner is not None:
            blob.share_data(owner)
