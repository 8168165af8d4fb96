"""Maps the coordinates of one top to those of another, and builds Crop layers that align them.

A map is (axis, scale, shift): along the axes from `axis` on, coordinate x of the first top is ``scale * x + shift`` of
the second. A layer that works point by point has no axis, scale 1 and shift 0.

Examples
--------
>>> from caffe_fillers.pycaffe import layers as L
>>> from caffe_fillers.pycaffe.coord_map import coord_map_from_to, crop
>>> data = L.Input(shape=dict(dim=[1, 1, 40, 40]))
>>> conv = L.Convolution(data, num_output=1, kernel_size=3, stride=2, pad=10)
>>> up = L.Deconvolution(conv, convolution_param=dict(num_output=1, kernel_size=3, stride=2))
>>> crop(up, data).to_proto().layer[-1].crop_param.offset
[10]
"""

from __future__ import annotations

import numpy as np

from ..errors import CaffeError
from .net_spec import Function, Top, layers

__all__ = [
    "AxisMismatchException",
    "UndefinedMapException",
    "compose",
    "coord_map",
    "coord_map_from_to",
    "crop",
    "inverse",
]

Map = tuple[int | None, float | np.ndarray, float | np.ndarray]

IDENTITY: Map = (None, 1, 0)
PASS_THROUGH_LAYERS = [
    *("AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power"),
    *("ReLU", "PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold"),
]


class UndefinedMapException(CaffeError):
    """A layer whose coordinates can't be followed."""


class AxisMismatchException(CaffeError):
    """Two maps along other axes."""


def _numbers(value: object) -> np.ndarray:
    return np.array(value, ndmin=1)


def coord_map(fn: Function) -> Map:
    """Return a layer's map from its bottom to its top.

    Raises
    ------
    UndefinedMapException
        For a type that has none.
    """
    if fn.type_name in PASS_THROUGH_LAYERS:
        return IDENTITY
    if fn.type_name == "Crop":
        param = fn.params.get("crop_param", fn.params)
        return param.get("axis", 2) - 1, 1, -_numbers(param.get("offset", 0))
    if fn.type_name not in ("Convolution", "Pooling", "Im2col", "Deconvolution"):
        raise UndefinedMapException(f"the coordinates of a layer of type {fn.type_name} can't be followed")
    param = fn.params.get("convolution_param", fn.params)
    if any(f"{name}_{side}" in fn.params for name in ("kernel", "stride", "pad") for side in "hw"):
        raise CaffeError("cropping does not support the old fields kernel_h, kernel_w, stride_h ...: give lists")
    axis, stride, pad = param.get("axis", 1), _numbers(param.get("stride", 1)), _numbers(param.get("pad", 0))
    half = (_numbers(param["kernel_size"]) - 1) * _numbers(param.get("dilation", 1)) / 2
    if fn.type_name == "Deconvolution":
        return axis, stride, half - pad
    return axis, 1 / stride, (pad - half) / stride


def compose(base_map: Map, next_map: Map) -> Map:
    """Return the map that applies `next_map`, then `base_map`."""
    (axis, scale, shift), (other, more, beyond) = base_map, next_map
    if axis is not None and other is not None and axis != other:
        raise AxisMismatchException(f"maps along axis {axis} and axis {other} can't be joined")
    return (other if axis is None else axis), scale * more, scale * beyond + shift


def inverse(coord_map: Map) -> Map:
    """Return the inverse map."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def _ways(top: Top) -> dict[Top, Map]:
    """The maps to `top` from itself and from all before it that can be followed, nearest first."""
    found: dict[Top, Map] = {top: IDENTITY}
    todo = [top]
    for here in todo:
        function = here.fn
        try:
            step = coord_map(function) if function.inputs else IDENTITY
        except UndefinedMapException:
            continue
        # the second bottom of a Crop only gives the size
        for bottom in function.inputs[:1] if function.type_name == "Crop" else function.inputs:
            if bottom not in found:
                found[bottom] = compose(found[here], step)
                todo.append(bottom)
    return found


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Return the map from one top to another, over the nearest top that both come from.

    Raises
    ------
    CaffeError
        If there is none that can be followed.
    """
    ours = _ways(top_from)
    for top, there in _ways(top_to).items():
        if top in ours:
            return compose(there, inverse(ours[top]))
    raise CaffeError("Could not compute map between tops; are they connected by spatial layers?")


def crop(top_from: Top, top_to: Top) -> Top:
    """Return a Crop layer's top: `top_from` cut to the place and the size of `top_to`.

    Raises
    ------
    CaffeError
        If the two differ in scale, or the cut would begin outside or between pixels.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scale, shift = np.asarray(scale), np.asarray(shift)
    if not (scale == 1).all():
        raise CaffeError(f"scale mismatch on crop (a = {scale})")
    if not (shift <= 0).all() or not (np.round(shift) == shift).all():
        raise CaffeError(f"a crop that begins at {-shift} can't be made: it takes whole numbers from 0 on")
    offset = [int(value) for value in np.atleast_1d(-shift)]
    result: Top = layers.Crop(
        top_from, top_to, crop_param={"axis": (1 if axis is None else axis) + 1, "offset": offset}
    )
    return result
