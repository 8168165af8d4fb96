"""Layer fields that forks of Caffe add and BVLC Caffe's schema lacks, read from `layer.extras`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from .. import schema
from ..errors import CaffeError
from ..fillers import Spec, as_spec
from .rule import RULES, Layer

__all__ = ["Fields", "check_followed", "check_unknown"]


_KNOWN = {field.name for field in schema.LayerParameter.DESCRIPTOR.fields}

_Number = TypeVar("_Number", int, float)


class Fields:
    """The fields of a fork's message, which the schema lacks, as plain values."""

    def __init__(self, where: str, values: Mapping[str, Sequence[object]], followed: set[str] | None = None) -> None:
        self.where, self.values = where, values
        self.followed = set() if followed is None else followed

    @classmethod
    def of(cls, layer: Layer, name: str) -> Fields:
        """Return message `name` of the layer; empty if the text has none."""
        given = layer.extras.get(name) or [{}]
        if not isinstance(given[-1], Mapping):
            raise CaffeError(f"{name} is a message, {name} {{ ... }}; got {given[-1]!r}")
        if name not in _KNOWN:
            layer.followed.add(name)
        return cls(name, given[-1], layer.followed)

    def __contains__(self, name: str) -> bool:
        self.followed.add(f"{self.where}.{name}")
        return bool(self.values.get(name))

    def _number(self, name: str, value: object, kind: type[_Number]) -> _Number:
        try:
            if not isinstance(value, (str, int, float)):
                raise TypeError
            if isinstance(value, str) and kind is not float:
                raise ValueError
            return kind(value)
        except (TypeError, ValueError, OverflowError):
            raise CaffeError(f"{self.where}.{name} is a number, got {value!r}") from None

    def integer(self, name: str, default: int = 0) -> int:
        return int(self._number(name, self.values[name][-1], int)) if name in self else default

    def number(self, name: str, default: float = 0.0) -> float:
        return float(np.float32(self._number(name, self.values[name][-1], float))) if name in self else default

    def flag(self, name: str, default: bool = False) -> bool:
        return self.values[name][-1] in ("true", "True", "t", 1) if name in self else default

    def text(self, name: str, default: str = "") -> str:
        return str(self.values[name][-1]) if name in self else default

    def integers(self, name: str) -> list[int]:
        return [self._number(name, value, int) for value in self._all(name)]

    def numbers(self, name: str) -> list[float]:
        return [float(np.float32(self._number(name, value, float))) for value in self._all(name)]

    def _all(self, name: str) -> Sequence[object]:
        return self.values[name] if name in self else []

    def filler(self, name: str, absent: Spec | None = None) -> Spec:
        """Return a filler among the fields; without one `absent`, or a FillerParameter's defaults."""
        if name not in self:
            return Spec() if absent is None else absent
        given = Fields.of_value(f"{self.where}.{name}", self.values[name][-1])
        return as_spec({field: _plain(values[-1]) for field, values in given.values.items()})

    @classmethod
    def of_value(cls, where: str, value: object) -> Fields:
        if not isinstance(value, Mapping):
            raise CaffeError(f"{where} is a message, {where} {{ ... }}; got {value!r}")
        return cls(where, value)


def _plain(value: object) -> object:
    return float(str(value)) if value in ("inf", "infinity", "nan", "-inf", "-nan") else value


# --- what may not be passed over in silence --------------------------------------------------------------------------

# fields by which forks change the shapes of a BVLC Caffe layer, with the message that holds them
_SIZES = re.compile(
    r"(kernel|stride|kstride|pad|hole|dilat|crop|temporal|output|resize)(ding|_.*)?|.*_(padding|output)|pad_?type"
    r"|(ceil|floor|round|rounding)(_.*)?|.*_(ceil|floor)|.*_below|round_(up|down)|pixelshuffler|num_layers|enable_noise"
    r"|normalize_weight|direction|bidirectional|new_length|slice_points?|axes|keep_?dims?"
)
_SHAPED = {
    "convolution_param", "pooling_param", "inner_product_param", "reshape_param", "recurrent_param", "flatten_param",
    "concat_param", "slice_param", "crop_param", "tile_param", "reduction_param", "argmax_param", "spp_param",
    "embed_param", "scale_param", "bias_param", "prelu_param", "transform_param",
}  # fmt: skip
_DATA = ("Data", "ImageData", "WindowData", "MemoryData", "HDF5Data")


def check_followed(layer: Layer, ignore: Collection[str]) -> None:
    """Refuse a fork's field that changes shapes and that the layer's rule did not use, unless it is ignored."""
    rule = RULES.get(layer.type)
    if rule is None or rule.fork:
        return
    for message, values in layer.extras.items():
        if message not in _SHAPED or not isinstance(values[-1], Mapping):
            continue
        if message == "transform_param" and layer.type not in _DATA:
            continue
        for name in values[-1]:
            if name in ignore or layer.follows(f"{message}.{name}") or not _SIZES.fullmatch(name):
                continue
            raise CaffeError(
                f"{message}.{name} is no field of BVLC Caffe's, and would give this layer other shapes than it has "
                f"without\nleave it out, or ignore it: --ignore {name} or ignore=[{name!r}]"
            )


def check_unknown(layer: Layer, unknown: str) -> None:
    """Refuse a layer of an unknown type that probably holds parameters or is misspelt."""
    close = _meant(layer.type)
    if close:
        hint = f"did you mean {close}? a type's name must match exactly; if it is another layer: "
    elif found := next(_weighty(layer), None):
        hint = f"it has {found}, so it holds parameters, and all draws after it depend on them: "
    else:
        return
    raise CaffeError(
        f"{unknown}\n{hint}register it with caffe_fillers.layers.register, or, if it has none and draws nothing, give "
        f"--weightless {layer.type} or weightless=[{layer.type!r}], with the shapes of its tops"
    )


def _meant(kind: str) -> str:
    """Return the known type that differs only in case, an underscore or a letter or two; else an empty text."""
    import difflib

    # forks' types in capitals are of 2014
    plain = {name.lower(): name for name, rule in RULES.items() if rule.fork != "user" and "_" not in name}
    word = kind.replace("_", "").lower()
    if word in plain:
        return plain[word]
    letters = re.sub(r"\d", "", word)
    names = [name for name in plain if re.sub(r"\D", "", name) == re.sub(r"\D", "", word)]
    close = difflib.get_close_matches(word, names, 1, 0.84) if len(letters) > 3 else []
    # a known name with a suffix is a type of its own: ReLUQuantized, SoftmaxFocal
    likely = close and close[0][0] == word[0] and abs(len(close[0]) - len(word)) < 3
    return plain[close[0]] if likely else ""


def _weighty(layer: Layer) -> Iterator[str]:
    """Yield the signs in a layer's text that it has parameters."""
    if layer.message.param:
        yield "`param` entries"
    if layer.message.blobs:
        yield "`blobs`"
    for name in _names_in(layer.extras):
        if name.endswith("filler"):
            yield f"a {name}"
    for field, value in layer.message.ListFields():
        if field.message_type is not None and field.name.endswith("_param") and field.name != "dummy_data_param":
            for inner, _ in value.ListFields():
                if inner.name.endswith("filler") and inner.name != "data_filler":
                    yield f"a {inner.name}"


def _names_in(values: Mapping[str, Iterable[object]]) -> Iterator[str]:
    for name, given in values.items():
        yield name
        for each in given:
            if isinstance(each, Mapping):
                yield from _names_in(each)
