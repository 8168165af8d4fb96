"""Plans a net's set-up: each layer's rule computes shapes and refuses what Caffe would refuse.

Nothing is allocated or drawn here; `filling` carries the plans out, in order and on one stream.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from . import fillers, graph, schema
from ._core import RNG
from .arrays import Dtype
from .blob import Blob, check_shape, describe
from .checks import fail, need
from .errors import CaffeError
from .layers.extras import check_followed, check_unknown
from .layers.losses import given_tops
from .layers.rule import RULES, UNSET, Inputs, Layer, Rule, Setup, Shape, check_counts, count
from .revisions import REVISIONS, check_revision
from .sharing import Owners
from .sources import Skipped, Source

if TYPE_CHECKING:
    import numpy.typing as npt

    from .files import Files

__all__ = ["Allowed", "Options", "Step", "header", "plan_net", "reshaped", "situate", "unfollowed", "with_inputs"]


@dataclass(slots=True)
class Step:
    """A planned layer: its set-up, its blobs, the filler and the owner of each of its parameters.

    `shapes` are those of its bottoms when it was planned (a later layer in place may give a blob another one), `drawn`
    the raw draws of its set-up by what they are for, `loss_weights` those of its tops, from the text or from the loss
    itself.
    """

    layer: Layer
    node: graph.Node
    setup: Setup
    rule: Rule | None
    where: str = ""
    shapes: list[Shape] = field(default_factory=list)
    bottoms: list[Blob] = field(default_factory=list)
    tops: list[Blob] = field(default_factory=list)
    drawn: dict[str, list[int]] = field(default_factory=dict)
    plans: list[fillers.Plan | None] = field(default_factory=list)
    owners: list[Blob | None] = field(default_factory=list)
    top_plans: list[fillers.Plan | None] = field(default_factory=list)
    loss_weights: list[float] = field(default_factory=list)

    @property
    def is_loss(self) -> bool:
        """True if the layer's type is a loss, whose top counts unless the text says otherwise."""
        return self.rule is not None and self.rule.automatic_top

    def losses(self) -> dict[int, float]:
        """The tops that are part of the loss, with their weights."""
        return {i: weight for i, weight in enumerate(self.loss_weights) if weight}

    def multiplier(self, kind: str, index: int) -> float | None:
        """Return the lr_mult or decay_mult that the text gives parameter `index`; None if it gives none."""
        if index < len(self.setup.params) and not self.setup.params[index].learned and kind == "lr_mult":
            return 0.0
        specs = self.layer.message.param
        said = index < len(specs) and specs[index].HasField(kind)
        return getattr(specs[index], kind) if said else None

    def learns(self) -> list[bool]:
        """True for each parameter that asks for a gradient.

        The text alone decides, as in Caffe: a BatchNorm whose text is silent asks for one, though its solver leaves
        its statistics alone. So what lies before the next layer gets a gradient too, and debug_info has its lines.
        """
        specs = self.layer.message.param
        return [i >= len(specs) or specs[i].lr_mult != 0 for i in range(len(self.layer.blobs))]

    def work_besides(self, tops: Mapping[str, Blob]) -> int:
        """Return the number of values filled besides parameters: constant tops, and further time steps."""
        filled = zip(self.layer.tops, self.top_plans, strict=False)
        constants = sum(tops[name].count() for name, plan in filled if plan is not None)
        return constants + self.setup.times * sum(self.layer.blobs[i].count() for i in self.setup.again)


def _where(source: Source, layer: schema.LayerParameter | Layer, line: int | None) -> str:
    place = source.name + (f":{line}" if line is not None else "")
    return f"{place}: layer '{layer.name}'" if place else f"layer '{layer.name}'"


def situate(error: CaffeError, where: str) -> CaffeError:
    return CaffeError(f"{where}: {error}")


@dataclass(slots=True, frozen=True)
class Allowed:
    """The deviations from BVLC Caffe that a net may have.

    Attributes
    ----------
    strict : bool
        Not at all.
    weightless : collection of str
        Layers, or types, of which nothing is known, and that are to be taken for layers without parameters.
    ignore : collection of str
        Fields of forks that are to count for nothing, although they are known to change shapes.
    """

    strict: bool = False
    weightless: Collection[str] = ()
    ignore: Collection[str] = ()


class _Others(TypedDict, total=False):
    """The `Options` that need no check."""

    allowed: Allowed
    fill: bool
    max_bytes: int | None
    threads: int | None
    weights: Files | None
    alone: bool


@dataclass(slots=True, frozen=True)
class Options:
    """The settings of a net besides its text, state and stream: the same for all nets of a solver.

    Attributes
    ----------
    inputs, dtype, caffe, fill, max_bytes, threads, weights, python
        As for `Net`.
    allowed : Allowed
    readers : set
        The database readers of rc3, which all nets of a solver share.
    alone : bool
        Whether this net is the only one that `inputs` are for.
    """

    inputs: Inputs
    dtype: Dtype
    caffe: str
    allowed: Allowed = Allowed()
    fill: bool = True
    max_bytes: int | None = None
    threads: int | None = None
    weights: Files | None = None
    python: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    alone: bool = True

    @classmethod
    def of(
        cls,
        inputs: Mapping[str, object] | None,
        dtype: npt.DTypeLike,
        caffe: str,
        python: Mapping[str, Callable[[], object]] | None,
        **others: Unpack[_Others],
    ) -> Options:
        """Check the caller's arguments and return them in one form."""
        return cls(
            Inputs(inputs),
            Blob((), dtype).dtype,
            check_revision(caffe),
            python={} if python is None else python,
            **others,
        )


def _rule_of(layer: Layer, allowed: Allowed) -> Rule | None:
    strict = allowed.strict
    rule = RULES.get(layer.type)
    if rule is not None and rule.fork not in ("", "user") and strict:
        rule = None
    if rule is None:
        unknown = f"Check failed: registry.count(type) == 1 (0 vs. 1) Unknown layer type: {layer.type}"
        if strict or not layer.type:
            raise CaffeError(f"{unknown}\na type's name must match exactly; without strict, forks' types can be read")
        if not {layer.name, layer.type} & set(allowed.weightless):
            check_unknown(layer, unknown)
        if not layer.tops or any(layer.given(name) is None for name in layer.tops):
            missing = " ".join(f"--input {name}=DIMS" for name in layer.tops if layer.given(name) is None)
            raise CaffeError(
                f"{unknown}\ngive the shape of its tops ({missing or 'it has none'}), "
                "or register it with caffe_fillers.layers.register"
            )
        return None
    if layer.age < REVISIONS.index(rule.since):
        raise CaffeError(f"Caffe {layer.caffe} has no layer type {layer.type}; it came with {rule.since}")
    return rule


def _set_up(layer: Layer, rule: Rule | None, bottoms: list[Shape]) -> Setup:
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


def _plan_losses(step: Step) -> None:
    layer, setup = step.layer, step.setup
    weights = [] if step.node.loss_moved else list(layer.message.loss_weight)
    step.loss_weights = weights or [1.0] * step.is_loss
    if not step.loss_weights:
        return
    if len(step.loss_weights) != len(layer.tops):
        fail(
            f"top.size() == num_loss_weights ({len(layer.tops)} vs. {len(step.loss_weights)}) "
            "loss_weight must be unspecified or specified once per top blob."
        )
    for i in step.losses():
        need(count(setup.tops[i]) > 0, "diff_", f"a loss_weight on an empty top, {setup.tops[i]}")


def _parameters(step: Step, stream: RNG, dtype: Dtype) -> None:
    """Make the blobs of a layer, without memory, and plan their fills."""
    layer, setup = step.layer, step.setup
    if layer.message.blobs:
        blobs = [Blob.from_proto(proto, dtype) for proto in layer.message.blobs]
        for i, blob in enumerate(blobs):
            need(blob.count() > 0, "data_", f"blob {i} in the layer's text, of shape {blob.shape}, is empty")
        layer.blobs = setup.text_blobs(blobs) or []
    if not layer.blobs:
        for param in setup.params:
            blob = Blob(param.shape, dtype)
            plan = None
            if param.filler is not None:
                try:
                    plan = fillers.plan(param.filler, blob.shape, dtype, layer.caffe)
                except CaffeError as error:
                    raise CaffeError(f"{error}{_lacking(layer, blob.shape)}") from None
                fillers.check_draw(plan, dtype, stream)
            elif blob.count() == 0:
                raise CaffeError(f"Check failed: data_\nparameter {param.name!r} of shape {param.shape} is empty")
            layer.blobs.append(blob)
            step.plans.append(plan)


def _lacking(layer: Layer, shape: Shape) -> str:
    """Return the field that is probably missing in a layer whose parameter came out empty."""
    for entry, value in layer.message.ListFields():
        kind = entry.message_type
        if 0 in shape and kind is not None and entry.name.endswith("_param") and "num_output" in kind.fields_by_name:
            return "" if value.num_output else f": give num_output in {entry.name}"
    return ": give num_output" if 0 in shape and layer.type == "InnerProduct" else ""


def _share(step: Step, owners: Owners) -> None:
    layer = step.layer
    specs = layer.message.param
    given, produced = len(specs), len(layer.blobs)
    if given > produced and step.rule is not None:
        fail(
            f"param_size <= num_param_blobs ({given} vs. {produced}) Too many params specified for layer {layer.name}",
            f"the layer has {produced} parameter blobs; remove the `param` entries beyond that",
        )
    shared = [owners.of(layer, spec, blob) for spec, blob in zip(specs, layer.blobs, strict=False)]
    step.owners = shared + [None] * (produced - len(shared))


class _Wiring:
    """The blobs of a net while it is planned: their shapes, and the blob that each name stands for."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.names: dict[str, int] = {}

    def new(self) -> int:
        self.shapes.append(UNSET)
        return len(self.shapes) - 1

    def tops_of(self, layer: Layer, node: graph.Node, bottoms: list[int]) -> list[int]:
        """Return the blobs of the tops of `layer`: new ones, or in place the bottoms."""
        tops = []
        for j, name in enumerate(layer.tops):
            in_place = j < len(node.wired) and node.wired[j] == name
            layer.in_place.append(in_place)
            if not in_place and name in self.names:
                raise CaffeError(
                    f"Top blob '{name}' produced by multiple sources.\n"
                    "give the top another name; to work in place, a layer must be the only reader of its bottom"
                )
            if not in_place:
                self.names[name] = self.new()
            tops.append(self.names[name])
        return tops


def plan_net(
    source: Source,
    state: schema.NetState,
    stream: RNG,
    options: Options,
) -> tuple[list[Step], OrderedDict[str, Blob]]:
    """Plan every layer that `state` keeps; return the steps and the named tops. Nothing is drawn from `stream`."""
    dtype = options.dtype
    phases = {number: name for name, number in schema.enum("Phase").items()}
    net_phase = phases[state.phase]
    try:
        nodes = graph.connect(graph.kept(source.message.layer, state), source.message.layer)
    except graph.Misplaced as error:
        line = source.lines[error.origin] if source.lines else None
        raise situate(error, _where(source, source.message.layer[error.origin], line)) from None
    steps: list[Step] = []
    places: list[tuple[list[int], list[int]]] = []
    consumers = _consumers(nodes)
    wiring, owners, extras = _Wiring(), Owners(), source.extras()
    for node in nodes:
        message = node.message
        line = source.lines[node.origin] if source.lines else None
        layer = Layer(
            message=message,
            name=message.name,
            type=message.type,
            bottoms=list(node.bottoms),
            tops=list(node.tops),
            phase=phases[message.phase] if message.HasField("phase") else net_phase,
            net_phase=net_phase,
            caffe=options.caffe,
            strict=options.allowed.strict,
            extras={} if node.inserted else extras[node.origin],
            line=line,
            inputs=options.inputs,
            consumers=consumers,
            readers=options.readers,
            dtype=dtype,
            python=options.python,
        )
        where = _where(source, layer, line)
        try:
            step, *ends = _plan_layer(layer, node, wiring, options.allowed)
            check_followed(layer, options.allowed.ignore)
            step.top_plans = _plan_tops(step, dtype)
            _parameters(step, stream, dtype)
            _plan_losses(step)
            _share(step, owners)
        except CaffeError as error:
            raise situate(error, where) from None
        step.where = where
        steps.append(step)
        places.append((ends[0], ends[1]))
    blobs = [Blob(shape, dtype) for shape in wiring.shapes]
    for step, (bottoms, tops) in zip(steps, places, strict=True):
        _attach(step, [blobs[i] for i in bottoms], [blobs[i] for i in tops])
    inserted = {name for node in nodes if node.inserted for name in node.tops}
    return steps, OrderedDict((name, blobs[i]) for name, i in wiring.names.items() if name not in inserted)


def _attach(step: Step, bottoms: list[Blob], tops: list[Blob]) -> None:
    step.bottoms, step.tops = bottoms, tops
    for i, weight in step.losses().items():
        tops[i].first_diff = weight
    if step.layer.running is not None:
        step.layer.running.attach(bottoms, tops)


def with_inputs(source: Source, state: schema.NetState, inputs: Inputs) -> Source:
    """Return the source with an Input layer in front, for bottoms that no layer makes and whose shapes are given."""
    if not inputs:
        return source
    phase = "TRAIN" if state.phase == schema.enum("Phase")["TRAIN"] else "TEST"
    produced: set[str] = set()
    missing: dict[str, tuple[int, ...]] = {}
    try:
        kept = graph.kept(source.message.layer, state)
    except graph.Misplaced:
        return source  # the layers' connection is checked later and refuses it
    for _, layer in kept:
        for name in layer.bottom:
            key = next((key for key in (f"{name}@{phase}", name) if key in inputs), None)
            if name not in produced and key is not None:
                missing.setdefault(name, inputs[key])
        produced.update(layer.top)
    if not missing:
        return source
    message = schema.NetParameter()
    message.layer.add(name="input", type="Input", top=list(missing))
    message.MergeFrom(source.message)
    skipped = [replace(each, layer=each.layer if each.layer is None else each.layer + 1) for each in source.skipped]
    return replace(source, message=message, lines=[None, *source.lines] if source.lines else [], skipped=skipped)


def _consumers(nodes: Iterable[graph.Node]) -> dict[str, set[str]]:
    """Return the types of the layers that read each top."""
    found: dict[str, set[str]] = {name: set() for node in nodes for name in node.tops}
    for node in nodes:
        for name in node.bottoms:
            found[name].add(node.message.type)
    return found


def _plan_layer(layer: Layer, node: graph.Node, wiring: _Wiring, allowed: Allowed) -> tuple[Step, list[int], list[int]]:
    """Return the layer's set-up, and the blobs of its bottoms and tops."""
    backward = len(layer.message.propagate_down)
    if backward not in (0, len(layer.bottoms)):
        fail(
            f"layer_param.propagate_down_size() == layer_param.bottom_size() ({backward} vs. "
            f"{len(layer.bottoms)}) propagate_down param must be specified either 0 or bottom_size times"
        )
    rule = _rule_of(layer, allowed)
    bottoms = [wiring.names[name] for name in node.wired]
    tops = wiring.tops_of(layer, node, bottoms)
    shapes = [wiring.shapes[i] for i in bottoms]
    setup = _set_up(layer, rule, shapes)
    tops += [wiring.new() for _ in range(len(layer.tops) - len(tops))]
    for i, shape in zip(tops, setup.tops, strict=True):
        wiring.shapes[i] = shape
    return Step(layer, node, setup, rule, shapes=shapes), bottoms, tops


def reshaped(step: Step, shapes: list[Shape]) -> Setup:
    """Return the set-up of a planned layer for bottoms of other shapes; its parameters stay."""
    try:
        setup = _set_up(step.layer, step.rule, shapes)
        for old, new in zip(step.setup.params, setup.params, strict=True):
            need(
                old.shape == new.shape,
                f"the {old.name} of shape {describe(old.shape)} would have to be of shape {describe(new.shape)}",
                f"bottoms of shapes {', '.join(map(str, shapes))} don't fit the parameters that the layer has",
            )
    except CaffeError as error:
        raise situate(error, step.where) from None
    return setup


def _plan_tops(step: Step, dtype: Dtype) -> list[fillers.Plan | None]:
    """Plan the constant tops, which DummyData fills at set-up. The others are drawn anew in each forward pass."""
    plans: list[fillers.Plan | None] = []
    for shape, spec in zip(step.setup.tops, step.setup.top_fillers or (), strict=False):
        if spec is not None and spec.type == "constant":
            plans.append(fillers.plan(spec, shape, dtype, step.layer.caffe))
        else:
            if spec is not None:
                fillers.check_type(spec.type, step.layer.caffe)
            plans.append(None)
    return plans


def unfollowed(source: Source, steps: Iterable[Step]) -> list[Skipped]:
    """Return the parts of the text that were skipped and that no rule of these layers used."""
    layers = {step.node.origin: step.layer for step in steps if not step.node.inserted}
    return [
        each
        for each in source.skipped
        if each.layer is None or (each.layer in layers and not layers[each.layer].follows(each.name))
    ]


def header(step: Step) -> schema.LayerParameter:
    """Return the layer's message as Caffe would write it, completed by its set-up."""
    layer = step.layer
    message = schema.LayerParameter()
    message.CopyFrom(layer.message)
    message.DiscardUnknownFields()
    del message.blobs[:]
    message.bottom[:] = step.node.wired
    if not message.HasField("phase"):
        message.phase = schema.enum("Phase")[layer.net_phase]
    message.loss_weight[:] = step.loss_weights
    for param in step.setup.params[len(message.param) :]:
        if not param.learned:
            message.param.add().lr_mult = 0
    return message
