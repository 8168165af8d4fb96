"""The parts of a layer type's rule.

A rule is a function ``rule(layer, bottoms) -> Setup``: from the layer's message and the shapes of its bottoms to the
shapes of its tops, its parameter blobs in the order in which Caffe fills them, and what it draws besides. It draws
nothing and allocates nothing, and raises `CaffeError` for what Caffe's own set-up would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack, cast

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from .. import schema
from .._core import RNG
from ..blob import Blob, describe
from ..checks import fail, need, need_equal
from ..errors import CaffeError
from ..fillers import Spec, as_spec
from ..ops.operation import Operation
from ..revisions import REVISIONS, age_of

if TYPE_CHECKING:
    from .python import PythonOperation

__all__ = [
    "RULES",
    "UNSET",
    "Draw",
    "Inputs",
    "Layer",
    "Param",
    "Rule",
    "RuleFunction",
    "Setup",
    "Shape",
    "axis",
    "check_counts",
    "count",
    "filler",
    "layer_type",
    "legacy",
    "register",
    "same",
]

Shape = tuple[int, ...]


class _Unset(tuple[int, ...]):
    """The shape of a blob that has none yet: it has no axes and, unlike `()`, no element."""


UNSET = _Unset()


@dataclass(slots=True, frozen=True)
class Param:
    """A parameter blob that a layer asks for; without a filler it stays zero.

    A filler may be given in any way that `fill` takes. Statistics that no solver changes are not `learned`.
    """

    shape: Shape
    filler: Any = None
    name: str = "weight"
    learned: bool = True

    def __post_init__(self) -> None:
        if self.filler is not None and not isinstance(self.filler, Spec):
            object.__setattr__(self, "filler", as_spec(self.filler))


@dataclass(slots=True)
class Setup:
    """The result of setting up a layer.

    Attributes
    ----------
    tops : list of tuple of int
        The shape of each top.
    params : list of Param
        In the order in which they are filled.
    draws : list of str
        One raw draw each, taken before the parameters are filled: what it is for.
    again, times
        Recurrent layers fill the parameters at the positions `again` so many `times` more, and throw the values away.
    top_fillers : list of Spec or None
        What fills the tops themselves at set-up (DummyData).
    text_blobs : callable
        Takes the blobs that the layer's own text holds and returns those that it uses, or None to fill as usual.
    turns : callable or None
        Takes the turns at C's `rand`, beside the stream, that the layer takes at set-up (HDF5Data that shuffles).
    operation : Operation or None
        What the layer computes; with None it can be set up, but not run.
    """

    tops: list[Shape]
    params: list[Param] = field(default_factory=list)
    draws: list[str] = field(default_factory=list)
    again: tuple[int, ...] = ()
    times: int = 0
    top_fillers: list[Spec | None] | None = None
    text_blobs: Callable[[list[Blob]], list[Blob] | None] = lambda blobs: blobs
    turns: Callable[[RNG], list[int]] | None = None
    operation: Operation | None = None


@dataclass(slots=True, frozen=True)
class Draw:
    """An entry of the ledger: `count` raw draws from position `start` of the stream on, and their purpose."""

    start: int
    count: int
    what: str


class Inputs(dict[str, Any]):
    """The caller's shapes, by layer or top, and which of them a layer asked for."""

    def __init__(self, given: Mapping[str, object] | None = None) -> None:
        super().__init__(given or {})
        self.used: set[str] = set()

    def unused(self, phases: Iterable[str]) -> list[str]:
        """Return the shapes for one of these phases, or for any, that no layer asked for."""
        return [key for key in self if key not in self.used and key.rpartition("@")[2] in (key, *phases)]


@dataclass(slots=True)
class Layer:
    """A layer of a net, for its rule and for users of ``net.layers``.

    Attributes
    ----------
    message : LayerParameter
        In today's form, whatever the age of the file.
    bottoms, tops : list of str
        Names, as the file has them.
    phase : str
        "TRAIN" or "TEST": the layer's own, else the net's.
    extras : dict
        Fields of the text that BVLC Caffe doesn't know, for the rules of forks.
    line : int or None
        Where the layer stands in the prototxt.
    blobs : list of Blob
        Its parameters, once the net is built.
    python : mapping of str to class
        The classes of Python layers, by ``module.layer`` or ``layer``; `running` is then what runs this one's.
    draws : list of Draw
        The ledger: where in the stream it stood, how many draws, what for.
    """

    message: schema.LayerParameter
    name: str
    type: str
    bottoms: list[str]
    tops: list[str]
    phase: str
    net_phase: str = "TRAIN"
    caffe: str = "master"
    strict: bool = False
    extras: Mapping[str, Sequence[object]] = field(default_factory=dict)
    line: int | None = None
    inputs: Inputs = field(default_factory=lambda: Inputs())
    consumers: Mapping[str, set[str]] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    dtype: npt.DTypeLike = np.float32
    python: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    running: PythonOperation | None = None
    in_place: list[bool] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    followed: set[str] = field(default_factory=set)

    @property
    def age(self) -> int:
        return age_of(self.caffe)

    def follows(self, name: str) -> bool:
        """Return whether the rule of the layer used field `name` (``pooling_param.ceil_mode``) of its extras."""
        rule = RULES.get(self.type)
        if rule is not None and (rule.fork == "user" or name == "type"):
            return True
        parts = name.split(".")
        return any(".".join(parts[:i]) in self.followed for i in range(1, len(parts) + 1))

    def given(self, *names: str) -> Any:
        """Return the caller's `inputs` for this layer: by its name, else by one of `names`, its phase first.

        Its name counts only where no top of the net has it, or where what it names is a dict of tops.
        """
        for name in (self.name, *names):
            for key in (f"{name}@{self.net_phase}", name):
                if key not in self.inputs:
                    continue
                shape = self.inputs[key]
                if name in names or name not in self.consumers or isinstance(shape, Mapping):
                    self.inputs.used.add(key)
                    return shape
        return None


RuleFunction = Callable[[Layer, list[Shape]], Setup]


@dataclass(slots=True, frozen=True)
class Rule:
    """A layer type: the number of its bottoms and tops, its function, and the versions or forks that have it."""

    function: RuleFunction
    bottoms: tuple[int, int | None] | None = None
    tops: tuple[int, int | None] | None = None
    equal: bool = False
    automatic_top: bool = False
    since: str = REVISIONS[0]
    fork: str = ""
    """The fork that has this type if BVLC Caffe lacks it; "user" for a type that you registered."""
    runs: bool = True
    """Whether this package computes the layer; otherwise it only sets it up."""


class _Options(TypedDict, total=False):
    """The fields of `Rule` except its function."""

    bottoms: tuple[int, int | None] | None
    tops: tuple[int, int | None] | None
    equal: bool
    automatic_top: bool
    since: str
    fork: str
    runs: bool


RULES: dict[str, Rule] = {}


def layer_type(*names: str, **options: Unpack[_Options]) -> Callable[[RuleFunction], RuleFunction]:
    """Register the decorated function as the rule of the types `names`; `options` are `Rule`'s."""

    def enter(function: RuleFunction) -> RuleFunction:
        for name in names:
            RULES[name] = Rule(function, **options)
        return function

    return enter


def register(type_name: str, rule: RuleFunction | type[Operation] | None) -> None:
    """Register a layer type in this process, or with None remove it.

    Parameters
    ----------
    type_name : str
        The type's name in prototxts. A type of BVLC Caffe can't be replaced.
    rule : callable, subclass of ops.Operation, or None
        ``rule(layer, bottoms) -> Setup``: shapes in, shapes and parameters out; its Setup may hold an operation. Or an
        operation's class, with `forward` and `backward`, and this rule as its method `setup`.

    Raises
    ------
    CaffeError
        If `type_name` is a type of BVLC Caffe, or a class is no Operation or has no `setup`.

    Examples
    --------
    >>> import numpy as np, caffe_fillers as cf
    >>> class Doubled(cf.ops.Operation):
    ...     def setup(self, layer, bottoms):
    ...         return cf.layers.Setup(tops=[bottoms[0]])
    ...     def forward(self, bottoms, tops, blobs, work):
    ...         np.multiply(bottoms[0], 2, out=tops[0])
    ...     def backward(self, dtops, bottoms, tops, blobs, dbottoms, dblobs, work):
    ...         if dbottoms[0] is not None:
    ...             np.multiply(dtops[0], 2, out=dbottoms[0])
    >>> cf.layers.register("Doubled", Doubled)
    >>> cf.layers.register("Doubled", None)
    """
    if type_name in RULES and not RULES[type_name].fork:
        raise CaffeError(f"{type_name!r} is a layer type of BVLC Caffe and can't be registered again")
    if rule is None:
        RULES.pop(type_name, None)
    else:
        RULES[type_name] = Rule(_rule_of_class(rule) if isinstance(rule, type) else rule, fork="user")


class _SetsUp(Protocol):
    """An operation that is its own rule."""

    def setup(self, layer: Layer, bottoms: list[Shape]) -> Setup: ...


def _rule_of_class(kind: type[object]) -> RuleFunction:
    if not issubclass(kind, Operation) or not callable(getattr(kind, "setup", None)):
        raise CaffeError(
            f"a class to register is a subclass of caffe_fillers.ops.Operation with a method "
            f"setup(layer, bottoms) -> Setup, got {kind.__name__}"
        )

    def rule(layer: Layer, bottoms: list[Shape]) -> Setup:
        operation = kind()
        setup = cast("_SetsUp", operation).setup(layer, bottoms)
        setup.operation = setup.operation or operation
        return setup

    return rule


# --- checks ----------------------------------------------------------------------------------------------------------


def count(shape: Shape) -> int:
    return 0 if shape is UNSET else prod(shape)


def axis(shape: Shape, index: int) -> int:
    """Return axis `index` of `shape` counted from the front, as CanonicalAxisIndex does."""
    axes = len(shape)
    if -axes <= index < axes:
        return index % axes
    size = "(0)" if shape is UNSET else describe(shape)
    where = f"axis {index} out of range for {axes}-D Blob with shape {size}"
    need(index >= -axes, f"axis_index >= -num_axes() ({index} vs. {-axes}) {where}")
    raise CaffeError(f"Check failed: axis_index < num_axes() ({index} vs. {axes}) {where}")


def legacy(shape: Shape) -> tuple[int, int, int, int]:
    """Return the shape as num, channels, height, width."""
    need(
        len(shape) <= 4,
        f"num_axes() <= 4 ({len(shape)} vs. 4) Cannot use legacy accessors on Blobs with > 4 axes.",
        "this layer type takes bottoms of at most four axes",
    )
    num, channels, height, width = (*shape, 1, 1, 1, 1)[:4]
    return num, channels, height, width


def check_counts(
    layer: Layer,
    bottoms: tuple[int, int | None] | None,
    tops: tuple[int, int | None] | None,
    equal: bool = False,
) -> None:
    """Refuse a layer with too few or too many bottoms or tops."""
    for limits, names, kind, verb in (
        (bottoms, layer.bottoms, "Bottom", "takes"),
        (tops, layer.tops, "Top", "produces"),
    ):
        if limits is None:
            continue
        low, high = limits
        have = len(names)
        if low <= have and (high is None or have <= high):
            continue
        side = f"{kind.lower()}.size()"
        noun = f"{kind.lower()} blob(s){' as input' if kind == 'Bottom' else ' as output'}."
        if low == high:
            fail(f"ExactNum{kind}Blobs() == {side} ({low} vs. {have}) {layer.type} Layer {verb} {low} {noun}")
        if have < low:
            fail(f"Min{kind}Blobs() <= {side} ({low} vs. {have}) {layer.type} Layer {verb} at least {low} {noun}")
        fail(f"Max{kind}Blobs() >= {side} ({high} vs. {have}) {layer.type} Layer {verb} at most {high} {noun}")
    if equal:
        need_equal(
            len(layer.bottoms),
            len(layer.tops),
            "bottom.size() == top.size()",
            f"{layer.type} makes one top of each bottom",
        )


def filler(message: Message, name: str, absent: Spec | None = None) -> Spec:
    """Return the filler in field `name` of a layer's own parameter; `absent` if the text has none."""
    if absent is not None and not message.HasField(name):
        return absent
    return as_spec(getattr(message, name))


def same(layer: Layer, bottoms: Sequence[Shape]) -> Setup:
    """Set up a layer whose top has its bottom's shape."""
    return Setup([tuple(bottoms[0])])
