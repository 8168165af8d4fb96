"""What forks of Caffe write into layers, and BVLC Caffe's schema does not hold: read from `layer.extras`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import schema
from ..errors import CaffeError
from ..fillers import Spec, as_spec
from .rule import Layer

__all__ = ["Fields"]


_KNOWN = {field.name for field in schema.LayerParameter.DESCRIPTOR.fields}


class Fields:
    """The fields of a message of a fork, which the schema does not hold, as plain values."""

    def __init__(self, where: str, values: Mapping[str, list[Any]], followed: set[str] | None = None) -> None:
        self.where, self.values = where, values
        self.followed = set() if followed is None else followed

    @classmethod
    def of(cls, layer: Layer, name: str) -> Fields:
        """Message `name` of the layer; empty where the text has none."""
        given = layer.extras.get(name) or [{}]
        if not isinstance(given[-1], Mapping):
            raise CaffeError(f"{name} is a message, {name} {{ ... }}; got {given[-1]!r}")
        if name not in _KNOWN:
            layer.followed.add(name)
        return cls(name, given[-1], layer.followed)

    def __contains__(self, name: str) -> bool:
        self.followed.add(f"{self.where}.{name}")
        return bool(self.values.get(name))

    def _number(self, name: str, value: Any, kind: Any) -> Any:
        try:
            if isinstance(value, str) and kind is not float:
                raise ValueError
            return kind(value)
        except (TypeError, ValueError):
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

    def _all(self, name: str) -> list[Any]:
        return self.values[name] if name in self else []

    def filler(self, name: str, absent: Spec | None = None) -> Spec:
        """A filler among the fields; without one `absent`, or a FillerParameter's defaults."""
        if name not in self:
            return Spec() if absent is None else absent
        given = Fields.of_value(f"{self.where}.{name}", self.values[name][-1])
        return as_spec({field: _plain(values[-1]) for field, values in given.values.items()})

    @classmethod
    def of_value(cls, where: str, value: Any) -> Fields:
        if not isinstance(value, Mapping):
            raise CaffeError(f"{where} is a message, {where} {{ ... }}; got {value!r}")
        return cls(where, value)


def _plain(value: Any) -> Any:
    return float(value) if value in ("inf", "infinity", "nan", "-inf", "-nan") else value
