"""Data layers, and what each version of Caffe draws when it sets them up.

Their shapes come from the prototxt as far as it holds them, from the caller's `inputs`, and from the data themselves
where they lie on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..arrays import Array
from ..checks import c_int, need
from ..errors import CaffeError
from ..fillers import Spec, as_spec, fill
from ..ops.operation import Given, Operation, Work
from ..revisions import RC, RC2
from .rule import Layer, Setup, Shape, count, layer_type, legacy
from .transforming import check_mean, draws_of, transform_draws, transform_of

__all__ = ["datum_shape", "image_data"]

if TYPE_CHECKING:
    pass

NONE, ONE, ONE_OR_TWO, TWO = (0, 0), (1, 1), (1, 2), (2, 2)


def _asked(layer: Layer, what: str, source: str) -> CaffeError:
    top = layer.tops[0] if layer.tops else layer.name
    by_layer = layer.name not in layer.consumers and "=" not in layer.name and " " not in layer.name
    name = layer.name if by_layer else top
    return CaffeError(
        f"the shape of {what} is unknown: {source or 'its source'} was not found\n"
        "to run or train, put the data there (caffe-fillers dataset makes databases); for the weights alone, "
        f"give channels, height and width: inputs={{{name!r}: (C, H, W)}} or --input {name}=CxHxW"
    )


def datum_shape(layer: Layer, given: object, what: str, source: str) -> tuple[int, int, int]:
    if given is None:
        raise _asked(layer, what, source)
    try:
        if not isinstance(given, Iterable):
            raise TypeError
        channels, height, width = (int(dim) for dim in given)
    except (TypeError, ValueError):
        raise CaffeError(f"one datum has three dims, channels, height and width; got {given!r}") from None
    need(channels > 0, f"datum_channels > 0 ({channels} vs. 0)", f"one datum is {tuple(given)}")
    return channels, height, width


def _cropped(layer: Layer, batch: int, datum: tuple[int, int, int]) -> Shape:
    channels, height, width = datum
    crop = c_int(layer.message.transform_param.crop_size)
    for name, size in (("height", height), ("width", width)):
        need(
            size >= crop,
            f"datum_{name} >= crop_size ({size} vs. {crop})",
            f"one datum is {datum}: too small for crop_size: {crop}",
        )
    top = (batch, channels, crop or height, crop or width)
    # Caffe prepares one batch each; prefetch: 0 of them may be empty
    ready = layer.message.data_param.prefetch > 0
    need(
        batch < 0 or count(top) > 0 or not ready,
        "data_",
        f"batch_size: {batch} and a datum of shape {datum} make no data",
    )
    return top


@layer_type("Data", bottoms=NONE, tops=ONE_OR_TWO)
def data(layer: Layer, bottoms: list[Shape]) -> Setup:
    from .. import records

    check_mean(layer)
    param = layer.message.data_param
    batch = c_int(param.batch_size)
    given = layer.given(*layer.tops[:1])
    if given is None:
        transform = layer.message.transform_param
        given = records.datum_shape(
            param.source,
            lmdb=param.backend == type(param).DB.Value("LMDB"),
            force_color=transform.force_color,
            force_gray=transform.force_gray,
        )
    top = _cropped(layer, batch, datum_shape(layer, given, "a datum", param.source))
    draws = draws_of(layer, reader=param.source or "-", skip=param.rand_skip > 0)
    return Setup([top, (batch,)][: len(layer.tops)], draws=draws, operation=_data_operation(layer))


def _data_operation(layer: Layer) -> Operation:
    from .. import records
    from .delivering import Data

    param, transform = layer.message.data_param, layer.message.transform_param
    path = records.existing(param.source)
    if path is None or not (param.backend == type(param).DB.Value("LMDB") or records.is_lmdb(path)):
        return Given()
    color, gray = transform.force_color, transform.force_gray
    kind = {(True, True): "both", (True, False): "color", (False, True): "gray"}.get((color, gray), "native")
    return Data(param.source, c_int(param.batch_size), len(layer.tops) > 1, kind, transform_of(layer), param.rand_skip)


@layer_type("ImageData", bottoms=NONE, tops=TWO)
def image_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    from .. import records

    check_mean(layer)
    param = layer.message.image_data_param
    batch, height, width = c_int(param.batch_size), c_int(param.new_height), c_int(param.new_width)
    need(
        (height == 0 and width == 0) or (height > 0 and width > 0),
        "(new_height == 0 && new_width == 0) || (new_height > 0 && new_width > 0)",
        "new_height and new_width go together",
    )
    channels = 3 if param.is_color else 1
    if height:
        datum = (channels, height, width)
    else:
        given = layer.given(*layer.tops[:1])
        if given is None:
            given = records.image_shape(param.source, param.root_folder)
        datum = (channels, *datum_shape(layer, given, "an image", param.source)[1:])
    need(batch > 0, f"batch_size > 0 ({batch} vs. 0) Positive batch size required")
    draws = draws_of(layer, shuffle=param.shuffle, skip=param.rand_skip > 0)
    operation: Operation = Given()
    if records.existing(param.source) is not None:
        from .delivering import ImageData

        root, color, transform = param.root_folder, param.is_color, transform_of(layer)
        operation = ImageData(
            param.source, root, batch, height, width, color, param.shuffle, transform, param.rand_skip
        )
    return Setup([_cropped(layer, batch, datum), (batch,)], draws=draws, operation=operation)


@layer_type("WindowData", bottoms=NONE, tops=TWO)
def window_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    from .. import records

    check_mean(layer)
    param = layer.message.window_data_param
    batch, crop = c_int(param.batch_size), c_int(layer.message.transform_param.crop_size)
    given = layer.given(*layer.tops[:1])
    if given is None:
        given = records.window_shape(param.source)
    channels = datum_shape(layer, given, "an image", param.source)[0]
    need(crop > 0, f"crop_size > 0 ({crop} vs. 0)", "WindowData needs transform_param.crop_size")
    means = len(layer.message.transform_param.mean_value)
    need(
        means in (0, 1, channels),
        "mean_values_.size() == 1 || mean_values_.size() == channels "
        f"Specify either 1 mean_value or as many as channels: {channels}",
        f"got {means} of them",
    )
    top = (batch, channels, crop, crop)
    need(count(top) > 0, "data_", f"batch_size: {batch} makes no data")
    return Setup([top, (batch,)], draws=draws_of(layer, window=True), operation=_window_operation(layer))


def _window_operation(layer: Layer) -> Operation:
    from .. import records
    from .windowing import WindowData

    param, transform = layer.message.window_data_param, layer.message.transform_param
    if records.existing(param.source) is None:
        return Given()
    return WindowData(
        source=param.source,
        root_folder=param.root_folder,
        above=param.fg_threshold,
        below=param.bg_threshold,
        fraction=param.fg_fraction,
        context=c_int(param.context_pad),
        square=param.crop_mode == "square",
        scale=param.scale,
        crop=c_int(transform.crop_size),
        mirror=transform.mirror,
        mean_values=tuple(transform.mean_value),
        mean_file=transform.mean_file,
    )


@layer_type("MemoryData", bottoms=NONE, tops=TWO)
def memory_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    check_mean(layer)
    param = layer.message.memory_data_param
    top = tuple(c_int(getattr(param, name)) for name in ("batch_size", "channels", "height", "width"))
    size = count(top)
    need(
        size > 0,
        f"batch_size_ * size_ > 0 ({size} vs. 0) "
        "batch_size, channels, height, and width must be specified and positive in memory_data_param",
    )
    draws = ["transformer"] if layer.age >= RC and transform_draws(layer) else []
    from .delivering import MemoryData

    return Setup([top, (top[0],)], draws=draws, operation=MemoryData(top[0]))


@layer_type("HDF5Data", bottoms=NONE, tops=(1, None))
def hdf5_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    from .. import records

    param = layer.message.hdf5_data_param
    need(
        not layer.message.HasField("transform_param"),
        "!this->layer_param_.has_transform_param() HDF5Data does not transform data.",
    )
    batch = c_int(param.batch_size)
    by_layer = layer.given()
    shapes = dict(by_layer) if isinstance(by_layer, Mapping) else {}
    for name in layer.tops:
        top = layer.given(name)
        if name not in shapes and top is not None and not isinstance(top, Mapping):
            shapes[name] = top
    if any(name not in shapes for name in layer.tops):
        shapes = {**records.hdf5_shapes(param.source, layer.tops), **shapes}
    tops: list[Shape] = []
    rows = None
    for name in layer.tops:
        if name not in shapes:
            raise CaffeError(
                f"the shape of dataset {name!r} is unknown: {param.source or 'its source'} was not found\n"
                "to run or train, put the data there; for the weights alone, "
                f"give the shape whole, its first axis included: --input {name}=DIMS, "
                f"or inputs={{{layer.name!r}: {{{name!r}: (...)}}}}"
            )
        shape = tuple(int(dim) for dim in shapes[name])
        need(len(shape) >= 1, f"hdf_blobs_[i]->num_axes() >= 1 ({len(shape)} vs. 1) Input must have at least 1 axis.")
        rows = shape[0] if rows is None else rows
        need(
            shape[0] == rows,
            f"hdf_blobs_[i]->shape(0) == num ({shape[0]} vs. {rows})",
            f"dataset {name!r} has another length than {layer.tops[0]!r}",
        )
        need(count(shape) > 0, "data_", f"dataset {name!r}, {shape}, is empty")
        # in these versions blobs had four axes, whatever the file has
        tops.append((batch, *shape[1:], *([1] * (4 - len(shape)) if layer.age <= RC2 else ())))
    operation: Operation = Given()
    if records.existing(param.source) is not None:
        from .delivering import HDF5Data

        operation = HDF5Data(param.source, tuple(layer.tops), param.shuffle)
        if param.shuffle:
            turns = partial(records.first_turns, param.source, tuple(layer.tops))
            return Setup(tops, turns=turns, operation=operation)
    return Setup(tops, operation=operation)


@layer_type("DummyData", bottoms=NONE, tops=(1, None))
def dummy_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, tops = layer.message.dummy_data_param, len(layer.tops)
    fillers = len(param.data_filler)
    need(
        fillers in (0, 1, tops),
        "num_data_filler == 0 || num_data_filler == 1 || num_data_filler == num_top",
        f"Number of data fillers must be 0, 1 or equal to the number of tops: {tops}; "
        f"you specified {fillers} data fillers.",
    )
    legacy = ("num", "channels", "height", "width")
    shapes: list[Shape]
    if any(len(getattr(param, name)) for name in legacy):
        need(
            not param.shape,
            f"0 == param.shape_size() (0 vs. {len(param.shape)}) Both shape and legacy fields were specified",
        )
        columns = []
        for name in legacy:
            values = [c_int(value) for value in getattr(param, name)]
            _once_or_each(len(values), tops, name)
            columns.append(values * tops if len(values) == 1 else values)
        shapes = list(zip(*columns, strict=True))
    else:
        _once_or_each(len(param.shape), tops, "shape")
        shapes = [tuple(shape.dim) for shape in param.shape]
        shapes = shapes * tops if len(shapes) == 1 else shapes
    specs = [as_spec(each) for each in param.data_filler] or [Spec()]
    specs = specs * tops if len(specs) == 1 else specs
    return Setup(shapes, top_fillers=list(specs), operation=DummyData(tuple(specs), layer.caffe))


def _once_or_each(given: int, tops: int, name: str) -> None:
    need(
        given in (1, tops),
        f"param.{name}_size() == 1 || param.{name}_size() == num_top "
        f"Must specify '{name}' once, or once per top blob ({tops}); specified {given}.",
    )


class Source(Operation):
    """An operation without bottoms, and so without a backward pass."""

    __slots__ = ()

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        pass


@dataclass(frozen=True, slots=True)
class DummyData(Source):
    """Fills its tops anew in each pass, except the constant ones, which are filled once at set-up."""

    fillers: tuple[Spec, ...]
    caffe: str

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        for spec, top in zip(self.fillers, tops, strict=True):
            if spec.type != "constant":
                fill(top, spec, rng=work.rng, caffe=self.caffe)


@layer_type("HDF5Output", bottoms=TWO, tops=NONE)
def hdf5_output(layer: Layer, bottoms: list[Shape]) -> Setup:
    from .delivering import HDF5Output

    shapes = [legacy(bottom) for bottom in bottoms]
    return Setup([], operation=HDF5Output(layer.message.hdf5_output_param.file_name, shapes[0], shapes[1]))
