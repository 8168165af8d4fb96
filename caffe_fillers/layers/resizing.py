"""Layers of forks that enlarge or shrink images, or match the size of others."""

from __future__ import annotations

import numpy as np

from ..checks import c_int, need, need_equal
from ..errors import CaffeError
from .extras import Fields
from .rule import Layer, Setup, Shape, layer_type, legacy
from .spatial import height_width

ONE, TWO = (1, 1), (2, 2)
DECONVNET = "HyeonwooNoh/caffe (DeconvNet); with pooling_param others"


@layer_type(
    "Resize",
    bottoms=ONE,
    tops=ONE,
    fork="bearpaw/caffe (height, width, resize_ratio), philm5/caffe (height_out)",
    runs=False,
)
def resize(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields, (num, channels, height, width) = Fields.of(layer, "resize_param"), legacy(bottoms[0])
    if fields.flag("is_pyramid_test"):
        ratios = [fields.number("out_height_scale"), fields.number("out_width_scale")]
        size = [int(np.float32(ratio) * np.float32(n)) for ratio, n in zip(ratios, (height, width), strict=True)]
    elif "height" in fields and "width" in fields:
        size = [fields.integer("height"), fields.integer("width")]
    elif "height_out" in fields and "width_out" in fields:
        size = [fields.integer("height_out"), fields.integer("width_out")]
    elif "resize_ratio" in fields:
        ratio = np.float32(fields.number("resize_ratio"))
        size = [int(np.float32(n) * ratio) for n in (height, width)]
    else:
        raise CaffeError(
            "forks define different Resize layers, and this one gives its size in no known form\n"
            "resize_param has height and width, height_out and width_out, or resize_ratio"
        )
    need(min(size) > 0, f"the size is above 0, got {size[0]}x{size[1]}")
    return Setup([(num, channels, *size)])


@layer_type("Remap", bottoms=TWO, tops=ONE, fork="Sundrops/caffe-rgh", runs=False)
def remap(layer: Layer, bottoms: list[Shape]) -> Setup:
    image, places = legacy(bottoms[0]), legacy(bottoms[1])
    need_equal(image[0], places[0], "bottom[0]->num() == bottom[1]->num()")
    need_equal(places[1], 2, "bottom[1]->channels() == 2", "for each pixel how far it comes, along x and y")
    return Setup([(*image[:2], *places[2:])])


@layer_type("CROP", bottoms=TWO, tops=ONE, fork="longjon/caffe (future)", runs=False)
def crop(layer: Layer, bottoms: list[Shape]) -> Setup:
    """The Crop of forks from before it had offsets: it cuts an image to the size of another."""
    image, other = legacy(bottoms[0]), legacy(bottoms[1])
    for i, name in ((2, "height"), (3, "width")):
        need(image[i] >= other[i], f"bottom[0]->{name}() >= bottom[1]->{name}() ({image[i]} vs. {other[i]})")
    return Setup([(*image[:2], *other[2:])])


@layer_type(
    "UNPOOLING", "Unpooling", bottoms=(1, 2), tops=ONE, fork=f"{DECONVNET}; with pooling_param others", runs=False
)
def unpooling(layer: Layer, bottoms: list[Shape]) -> Setup:
    num, channels, *size = legacy(bottoms[0])
    fields = Fields.of(layer, "unpooling_param")
    if not fields.values:
        param = layer.message.pooling_param
        kernel, stride, pad = (height_width(param, name) for name in ("kernel", "stride", "pad"))
        steps = zip(size, kernel, stride, pad, strict=True)
        top = [(n - 1) * s + k - 2 * p for n, k, s, p in steps]
    elif "unpool_size" in fields:
        top = [fields.integer("unpool_size")] * 2
    elif "unpool_h" in fields and "unpool_w" in fields:
        top = [fields.integer("unpool_h"), fields.integer("unpool_w")]
    else:
        top = []
        for n, letter in zip(size, "hw", strict=True):
            kernel_, stride_, pad_ = (
                fields.integer(f"{name}_{letter}") if f"{name}_{letter}" in fields else fields.integer(whole, default)
                for name, whole, default in (("kernel", "kernel_size", 0), ("stride", "stride", 1), ("pad", "pad", 0))
            )
            top.append(max((n - 1) * stride_ + kernel_ - 2 * pad_, n * stride_ - pad_ + 1))
    need(min(top) > 0, f"the size is above 0, got {top[0]}x{top[1]}")
    return Setup([(num, channels, *top)])


@layer_type(
    "BilinearInterpolation",
    bottoms=(1, 2),
    tops=ONE,
    fork="stephenyan1231/caffe (interpolation_factor); with two bottoms others",
    runs=False,
)
def bilinear_interpolation(layer: Layer, bottoms: list[Shape]) -> Setup:
    num, channels, height, width = legacy(bottoms[0])
    if len(bottoms) == 2:
        size = legacy(bottoms[1])[2:]
    else:
        fields = Fields.of(layer, "bilinear_interpolation_param")
        need("interpolation_factor" in fields, "bilinear_interpolation_param.interpolation_factor is given")
        factor = c_int(fields.integer("interpolation_factor"))
        size = (height * factor, width * factor)
    need(min(size) > 0, f"the size is above 0, got {size[0]}x{size[1]}")
    return Setup([(num, channels, *size)])
