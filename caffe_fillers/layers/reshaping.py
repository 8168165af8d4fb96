"""Layers without parameters that concatenate, slice, reshape or select."""

from __future__ import annotations

import math
import warnings
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from .. import ops
from ..blob import describe
from ..checks import c_int, fail, need, need_equal
from ..errors import CaffeError, CaffeWarning
from .rule import UNSET, Layer, Setup, Shape, axis, count, layer_type

if TYPE_CHECKING:
    from ..ops.eltwise import Method as EltwiseMethod
    from ..ops.reduce import Method as ReductionMethod

ONE = (1, 1)


@layer_type("Split", bottoms=ONE, tops=(1, None))
def split(layer: Layer, bottoms: list[Shape]) -> Setup:
    need(
        not any(layer.in_place),
        "top[i] != bottom[0] Split Layer does not allow in-place computation.",
        "rename the top",
    )
    return Setup([bottoms[0]] * len(layer.tops), operation=ops.Split())


@layer_type("Silence", bottoms=(1, None), tops=(0, 0))
def silence(layer: Layer, bottoms: list[Shape]) -> Setup:
    return Setup([], operation=ops.Silence())


@layer_type("Concat", bottoms=(1, None), tops=ONE)
def concat(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.concat_param
    need(
        not (param.HasField("axis") and param.HasField("concat_dim")),
        "!(concat_param.has_axis() && concat_param.has_concat_dim()) "
        "Either axis or concat_dim should be specified; not both.",
    )
    first = bottoms[0]
    a = _dim(first, c_int(param.concat_dim), "concat") if param.HasField("concat_dim") else axis(first, param.axis)
    for i, bottom in enumerate(bottoms):
        need_equal(
            len(first),
            len(bottom),
            "num_axes == bottom[i]->num_axes()",
            f"All inputs must have the same #axes: bottom 0 is {first}, bottom {i} is {bottom}",
        )
        for j, dim in enumerate(bottom):
            need(
                j == a or dim == first[j],
                f"top_shape[j] == bottom[i]->shape(j) ({first[j]} vs. {dim}) "
                "All inputs must have the same shape, except at concat_axis.",
                f"bottom 0 is {first}, bottom {i} is {bottom}, the axis is {a}",
            )
    need(len(bottoms) > 1 or count(first) > 0, "data_", f"the bottom, {first}, is empty")
    top = (*first[:a], sum(bottom[a] for bottom in bottoms), *first[a + 1 :])
    return Setup([top], operation=ops.Concat(a) if len(bottoms) > 1 else ops.Reshape())


def _dim(shape: Shape, dim: int, name: str) -> int:
    """Return the axis of the old fields concat_dim and slice_dim, which can't be negative."""
    need(dim >= 0, f"{name}_axis_ >= 0 ({dim} vs. 0) casting {name}_dim from uint32 to int32 produced negative result")
    need(
        dim < len(shape),
        f"{name}_axis_ < num_axes ({dim} vs. {len(shape)}) {name}_dim out of range.",
        f"the bottom is {shape}",
    )
    return dim


@layer_type("Slice", bottoms=ONE, tops=(1, None))
def slice_(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.slice_param
    bottom, tops = bottoms[0], len(layer.tops)
    need(
        not (param.HasField("axis") and param.HasField("slice_dim")),
        "!(slice_param.has_axis() && slice_param.has_slice_dim()) "
        "Either axis or slice_dim should be specified; not both.",
    )
    a = _dim(bottom, c_int(param.slice_dim), "slice") if param.HasField("slice_dim") else axis(bottom, param.axis)
    size = bottom[a]
    points = [c_int(point) for point in param.slice_point]
    if points:
        need_equal(
            len(points), tops - 1, "slice_point_.size() == top.size() - 1", f"{tops} tops need {tops - 1} points"
        )
        need(
            tops <= size,
            f"top.size() <= bottom_slice_axis ({tops} vs. {size}) slice axis: {a}, bottom[0] shape: {describe(bottom)}",
        )
        previous, sizes = 0, []
        for point in points:
            need(
                point > previous,
                f"slice_point_[i] > prev ({point} vs. {previous})",
                "slice points must rise, from above 0",
            )
            sizes.append(point - previous)
            previous = point
        sizes.append(size - previous)
    else:
        need(
            size % tops == 0,
            f"bottom_slice_axis % top.size() == 0 ({size % tops} vs. 0) "
            f"Number of top blobs ({tops}) should evenly divide input slice axis ({size})",
        )
        sizes = [size // tops] * tops
    need(tops > 1 or count(bottom) > 0, "data_", f"the bottom, {bottom}, is empty")
    shapes = [(*bottom[:a], cut, *bottom[a + 1 :]) for cut in sizes]
    if layer.in_place[0]:
        # when Caffe compares the counts, the bottom has the first top's shape
        whole, first = sum(map(count, shapes)), count(shapes[0])
        need(whole == first, f"count == bottom[0]->count() ({whole} vs. {first})", "a slice needs tops of its own")
    cuts = tuple(accumulate(sizes[:-1]))
    return Setup(shapes, operation=ops.Slice(a, cuts) if tops > 1 else ops.Reshape())


@layer_type("Eltwise", bottoms=(2, None), tops=ONE)
def eltwise(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.eltwise_param
    coefficients = len(param.coeff)
    method = cast("EltwiseMethod", type(param).EltwiseOp.Name(param.operation))
    need(
        coefficients in (0, len(bottoms)),
        "this->layer_param().eltwise_param().coeff_size() == 0 || "
        "this->layer_param().eltwise_param().coeff_size() == bottom.size()",
        f"give one coeff per bottom ({len(bottoms)}), or none; got {coefficients}",
    )
    need(
        not (method == "PROD" and coefficients),
        "!(this->layer_param().eltwise_param().operation() == EltwiseParameter_EltwiseOp_PROD && "
        "this->layer_param().eltwise_param().coeff_size())",
        "operation: PROD takes no coeff",
    )
    for i, bottom in enumerate(bottoms[1:], 1):
        if bottom != bottoms[0]:
            fail(
                f"bottom[0]->shape() == bottom[i]->shape() bottom[0]: {describe(bottoms[0])}, "
                f"bottom[{i}]: {describe(bottom)}",
                "an element-wise layer needs bottoms of one shape",
            )
    return Setup([bottoms[0]], operation=ops.Eltwise(method, tuple(param.coeff), param.stable_prod_grad))


@layer_type("Flatten", bottoms=ONE, tops=ONE)
def flatten(layer: Layer, bottoms: list[Shape]) -> Setup:
    need(
        not layer.in_place[0],
        "top[0] != bottom[0] Flatten Layer does not allow in-place computation.",
        "rename the top",
    )
    param, bottom = layer.message.flatten_param, bottoms[0]
    start, end = axis(bottom, param.axis), axis(bottom, param.end_axis)
    need(start <= end + 1, f"start_axis <= end_axis ({start} vs. {end + 1})", f"axis {start} is behind end_axis {end}")
    top = (*bottom[:start], math.prod(bottom[start : end + 1]), *bottom[end + 1 :])
    return Setup([top], operation=ops.Reshape())


@layer_type("Reshape", bottoms=ONE, tops=ONE)
def reshape(layer: Layer, bottoms: list[Shape]) -> Setup:
    need(
        not layer.in_place[0],
        "top[0] != bottom[0] Reshape Layer does not allow in-place computation.",
        "rename the top",
    )
    param, bottom = layer.message.reshape_param, bottoms[0]
    dims = list(param.shape.dim)
    axes = len(bottom)
    need(
        dims.count(-1) <= 1,
        "inferred_axis_ == -1 new shape contains multiple -1 dims; at most a single (1) value of -1 may be specified",
    )
    start = param.axis if param.axis >= 0 else axes + param.axis + 1
    need(start >= 0, f"start_axis >= 0 ({start} vs. 0) axis {param.axis} out of range")
    need(start <= axes, f"start_axis <= bottom[0]->num_axes() ({start} vs. {axes}) axis {param.axis} out of range")
    need(param.num_axes >= -1, f"num_axes >= -1 ({param.num_axes} vs. -1) num_axes must be >= 0, or -1 for all")
    end = axes if param.num_axes == -1 else start + param.num_axes
    need(
        end <= axes,
        f"end_axis <= bottom[0]->num_axes() ({end} vs. {axes}) end_axis = axis + num_axes is out of range",
    )
    for i, dim in enumerate(dims):
        if dim == 0:
            need(
                axes > start + i,
                f"bottom[0]->num_axes() > start_axis + copy_axis_index ({axes} vs. {start + i}) "
                "new shape contains a 0, but there was no corresponding bottom axis to copy",
            )
            dims[i] = bottom[start + i]
        else:
            need(dim >= -1, f"shape[i] >= 0 ({dim} vs. 0)", "a dim is a size, 0 to copy the bottom's, or -1 once")
    top = [*bottom[:start], *dims, *bottom[end:]]
    total = count(bottom)
    if -1 in param.shape.dim:
        hole = start + list(param.shape.dim).index(-1)
        rest = math.prod(dim for i, dim in enumerate(top) if i != hole)
        need(rest != 0, f"explicit_count > 0 ({rest} vs. 0)", "a -1 can't be inferred beside an empty axis")
        need(
            total % rest == 0,
            f"0 == bottom[0]->count() % explicit_count (0 vs. {total % rest}) "
            f"bottom count ({total}) must be divisible by the product of the specified dimensions ({rest})",
        )
        top[hole] = total // rest
    need(
        math.prod(top) == total,
        f"top[0]->count() == bottom[0]->count() ({math.prod(top)} vs. {total}) output count must match input count",
        f"the bottom is {bottom}, the top would be {tuple(top)}",
    )
    need(total > 0, "data_", f"the bottom, {bottom}, is empty")
    return Setup([tuple(top)], operation=ops.Reshape())


@layer_type("Tile", bottoms=ONE, tops=ONE)
def tile(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, bottom = layer.message.tile_param, bottoms[0]
    a = axis(bottom, param.axis)
    need(param.HasField("tiles"), "tile_param.has_tiles() Number of tiles must be specified")
    # Caffe reads the int32 as unsigned, and the product as an int again
    tiled = c_int(bottom[a] * (param.tiles % 2**32) % 2**32)
    need(param.tiles != 0, "tiles_ > 0 (0 vs. 0) Number of tiles must be positive.")
    return Setup([(*bottom[:a], tiled, *bottom[a + 1 :])], operation=ops.Tile(a, param.tiles))


@layer_type("Reduction", bottoms=ONE, tops=ONE)
def reduction(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, bottom = layer.message.reduction_param, bottoms[0]
    a = axis(bottom, param.axis)
    operations = type(param).ReductionOp
    # in place, the bottom has the top's shape when Caffe counts its values
    if param.operation in (operations.Value("SUM"), operations.Value("MEAN")) and not layer.in_place[0]:
        need(math.prod(bottom[a:]) > 0, "data_", f"nothing to reduce in a bottom of shape {bottom}")
    method = cast("ReductionMethod", operations.Name(param.operation))
    return Setup([bottom[:a]], operation=ops.Reduction(a, method, param.coeff))


@layer_type("ArgMax", bottoms=ONE, tops=ONE)
def argmax(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, bottom = layer.message.argmax_param, bottoms[0]
    k = c_int(param.top_k)
    need(k >= 1, f"top_k_ >= 1 ({k} vs. 1) top k must not be less than 1.")
    if param.HasField("axis"):
        a = axis(bottom, param.axis)
        need(
            k <= bottom[a],
            f"top_k_ <= bottom[0]->shape(axis_) ({k} vs. {bottom[a]}) "
            "top_k must be less than or equal to the dimension of the axis.",
        )
        return Setup([(*bottom[:a], k, *bottom[a + 1 :])], operation=ops.ArgMax(k, a, param.out_max_val))
    inner = math.prod(bottom[1:])
    need(
        k <= inner,
        f"top_k_ <= bottom[0]->count(1) ({k} vs. {inner}) "
        "top_k must be less than or equal to the dimension of the flattened bottom blob per instance.",
    )
    axis(bottom, 0)
    top = [1] * max(3, len(bottom))
    top[0], top[2] = bottom[0], k
    if param.out_max_val:
        top[1] = 2
    return Setup([tuple(top)], operation=ops.ArgMax(k, None, param.out_max_val))


@layer_type("Crop", bottoms=(2, 2), tops=ONE)
def crop(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, (whole, model) = layer.message.crop_param, bottoms
    axes, a = len(whole), axis(whole, param.axis)
    offsets = [c_int(offset) for offset in param.offset]
    if len(offsets) > 1:
        need_equal(
            a + len(offsets),
            axes,
            "start_axis + param.offset_size() == input_dim",
            "number of offset values specified must be equal to the number of dimensions following axis.",
        )
    top, starts = list(whole), [0] * axes
    for i in range(a, axes):
        starts[i] = offset = 0 if not offsets else offsets[0] if len(offsets) == 1 else offsets[i - a]
        size = model[axis(model, i)]
        need(
            whole[i] - offset >= size,
            f"bottom[0]->shape(i) - crop_offset >= bottom[1]->shape(i) ({whole[i] - offset} vs. {size}) "
            f"the crop for dimension {i} is out-of-bounds with size {size} and offset {offset}",
        )
        top[i] = size
    return Setup([tuple(top)], operation=ops.Crop(tuple(starts)))


@layer_type("BatchReindex", bottoms=(2, 2), tops=ONE)
def batch_reindex(layer: Layer, bottoms: list[Shape]) -> Setup:
    need_equal(1, len(bottoms[1]), "1 == bottom[1]->num_axes()", "the second bottom is a list of indices")
    axis(bottoms[0], 0)
    return Setup([(bottoms[1][0], *bottoms[0][1:])], operation=ops.BatchReindex())


@layer_type("Filter", bottoms=(2, None), tops=(1, None))
def filter_(layer: Layer, bottoms: list[Shape]) -> Setup:
    need_equal(
        len(layer.tops),
        len(bottoms) - 1,
        "top.size() == bottom.size() - 1",
        "Filter has one top for each bottom but the last, the selector",
    )
    *items, selector = bottoms
    axis(selector, 0)
    for dim in selector[1:]:
        need(
            dim == 1,
            f"bottom[selector_index]->shape(i) == 1 ({dim} vs. 1) "
            "Selector blob dimensions must be singletons (1), except the first",
        )
    for item in items:
        axis(item, 0)
        need(
            item[0] == selector[0],
            f"bottom[selector_index]->shape(0) == bottom[i]->shape(0) ({selector[0]} vs. {item[0]}) "
            "Each bottom should have the same 0th dimension as the selector blob",
        )
    need(count(selector) > 0, "data_", f"the selector, {selector}, is empty")
    return Setup([(items[0][0], *item[1:]) for item in items], operation=ops.Filter())


# their bottoms have four axes, unless the prototxt says otherwise
_OF_IMAGES = {"Convolution", "Deconvolution", "Pooling", "LRN"}


def _with_batch(layer: Layer, top: str, given: Shape, declared: Shape) -> Shape:
    """Return the shape that the caller gave an input, with a batch of 1 if it is one image's."""
    images = len(declared) == 4 or (declared is UNSET and layer.consumers.get(top, set()) & _OF_IMAGES)
    if len(given) != 3 or not images:
        return given
    shape = "x".join(map(str, given))
    warnings.warn(
        f"--input {top}={shape} is one image's shape, but this is an input of a whole batch: 1x{shape} is taken",
        CaffeWarning,
        stacklevel=8,
    )
    return (1, *given)


@layer_type("Input", bottoms=(0, 0), tops=(1, None))
def input_(layer: Layer, bottoms: list[Shape]) -> Setup:
    shapes = [tuple(shape.dim) for shape in layer.message.input_param.shape]
    tops = len(layer.tops)
    need(
        len(shapes) in (0, 1, tops),
        "num_shape == 0 || num_shape == 1 || num_shape == num_top Must specify 'shape' once, once per top blob, "
        f"or not at all: {tops} tops vs. {len(shapes)} shapes.",
    )
    filled: list[Shape] = shapes * tops if len(shapes) == 1 else shapes or [UNSET] * tops
    for i, name in enumerate(layer.tops):
        given = layer.given() if tops == 1 else None
        given = layer.given(name) if given is None else given
        if given is not None:
            filled[i] = _with_batch(layer, name, tuple(given), filled[i])
        elif min(filled[i], default=0) < 0:
            raise CaffeError(
                f"Check failed: shape[i] >= 0 ({min(filled[i])} vs. 0)\n"
                f"the file leaves a dim of {name!r} open: give them all with --input {name}=DIMS or inputs"
            )
    return Setup(filled, operation=ops.Given())
