"""Python layers: a class that you write works on blobs, as pycaffe's layers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol, cast

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..blob import Blob
from ..errors import CaffeError
from ..ops.operation import Operation, Work
from .losses import given_tops
from .rule import Layer, Setup, Shape, layer_type

__all__ = ["BlobList", "BlobView", "PythonOperation"]


class BlobView:
    """A blob as in pycaffe: `count` is a number, not a method.

    Attributes
    ----------
    data, diff : numpy.ndarray
        The blob's own memory.
    shape : tuple of int
    num, channels, height, width, count : int

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> from caffe_fillers.layers.python import BlobView
    >>> blob = BlobView(cf.Blob((2, 3)))
    >>> blob.reshape(4, 5)
    >>> blob.data.shape, blob.count, blob.height
    ((4, 5), 20, 1)
    """

    __slots__ = ("blob",)

    def __init__(self, blob: Blob) -> None:
        self.blob = blob

    @property
    def data(self) -> Array:
        """The values."""
        return self.blob.data

    @property
    def diff(self) -> Array:
        """The gradients."""
        return self.blob.diff

    @property
    def shape(self) -> Shape:
        """The dims."""
        return self.blob.shape

    @property
    def num(self) -> int:
        """Axis 0, 1 where there is none."""
        return self.blob.num

    @property
    def channels(self) -> int:
        """Axis 1, 1 where there is none."""
        return self.blob.channels

    @property
    def height(self) -> int:
        """Axis 2, 1 where there is none."""
        return self.blob.height

    @property
    def width(self) -> int:
        """Axis 3, 1 where there is none."""
        return self.blob.width

    @property
    def count(self) -> int:
        """The number of elements."""
        return self.blob.count()

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape, one argument an axis; none for a blob of one element without axes."""
        if not all(hasattr(dim, "__index__") for dim in shape):
            raise CaffeError(f"reshape takes one int for each axis, got {shape!r}")
        self.blob.reshape(tuple(int(dim) for dim in shape))

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("_gpu_data_ptr", "_gpu_diff_ptr"):
            raise CaffeError(f"{name}: there is no GPU here; data and diff are arrays in memory")
        raise AttributeError(f"a blob has no attribute {name!r}")

    def __repr__(self) -> str:
        return repr(self.blob)


class BlobList(list[BlobView]):
    """The parameters of a Python layer; its `setup` adds them."""

    dtype: npt.DTypeLike = np.float32

    def add_blob(self, *shape: int) -> None:
        """Append a blob of zeros."""
        self.append(BlobView(Blob(tuple(int(dim) for dim in shape), self.dtype)))


class PythonLayer(Protocol):
    """An object that works as a layer, as in pycaffe."""

    param_str: str
    phase: int
    blobs: BlobList

    def setup(self, bottom: list[BlobView], top: list[BlobView]) -> object: ...
    def reshape(self, bottom: list[BlobView], top: list[BlobView]) -> object: ...
    def forward(self, bottom: list[BlobView], top: list[BlobView]) -> object: ...
    def backward(self, top: list[BlobView], propagate_down: list[bool], bottom: list[BlobView]) -> object: ...


class PythonOperation(Operation):
    """The operation that runs an object with `setup`, `reshape`, `forward` and `backward`, as pycaffe's Python layers
    have.

    Unlike other operations it holds blobs, not numbers alone: the object is the caller's, and so is its state.
    """

    __slots__ = ("blobs", "bottoms", "instance", "setup", "tops")

    def __init__(self, instance: PythonLayer, layer: Layer, bottoms: Sequence[Shape]) -> None:
        self.instance = instance
        # until the net has blobs of its own
        self.bottoms = [BlobView(Blob(shape, layer.dtype)) for shape in bottoms]
        self.tops = [
            self.bottoms[i] if in_place else BlobView(Blob((), layer.dtype))
            for i, in_place in enumerate(layer.in_place)
        ]
        self.setup: Setup | None = None
        self.blobs: list[Blob] = []

    def start(self, layer: Layer) -> None:
        """Let the object set itself up, and give the layer its parameters."""
        instance = self.instance
        instance.param_str = layer.message.python_param.param_str
        instance.phase = int(layer.phase == "TEST")
        if not isinstance(getattr(instance, "blobs", None), BlobList):
            instance.blobs = BlobList()
        instance.blobs.dtype = layer.dtype
        # those of the layer's own text come first
        instance.blobs[:] = [BlobView(Blob.from_proto(proto, layer.dtype)) for proto in layer.message.blobs]
        instance.setup(self.bottoms, self.tops)
        self.blobs = layer.blobs = [view.blob for view in instance.blobs]

    def reshape(self) -> Setup:
        """Let the object shape its tops."""
        self.instance.reshape(self.bottoms, self.tops)
        self.setup = Setup([top.shape for top in self.tops], text_blobs=lambda _: self.blobs, operation=self)
        return self.setup

    def attach(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Use these blobs from now on, with the values that the object has written so far."""
        for views, blobs in ((self.bottoms, bottoms), (self.tops, tops)):
            for view, blob in zip(views, blobs, strict=True):
                if view.blob.written and view.blob is not blob:
                    blob.data[...] = view.blob.data
                view.blob = blob

    def forward(
        self, bottoms: Sequence[np.ndarray], tops: Sequence[np.ndarray], blobs: Sequence[np.ndarray], work: Work
    ) -> None:
        self.instance.forward(self.bottoms, self.tops)
        self._remember()

    def backward(
        self,
        dtops: Sequence[np.ndarray],
        bottoms: Sequence[np.ndarray],
        tops: Sequence[np.ndarray],
        blobs: Sequence[np.ndarray],
        dbottoms: Sequence[np.ndarray | None],
        dblobs: Sequence[np.ndarray | None],
        work: Work,
    ) -> None:
        self.instance.backward(self.tops, [diff is not None for diff in dbottoms], self.bottoms)

    def shapes(self, bottoms: Sequence[np.ndarray], work: Work) -> list[Shape]:
        """Let the object shape its tops, as Caffe does before each forward pass."""
        self.instance.reshape(self.bottoms, self.tops)
        return self._remember()

    def _remember(self) -> list[Shape]:
        """Record the shapes that the object gave its tops, so that the net does not change them back."""
        shapes = [top.shape for top in self.tops]
        if self.setup is not None:
            self.setup.tops = shapes
        return shapes


def _found(layer: Layer) -> Callable[[], object] | None:
    param = layer.message.python_param
    for name in (f"{param.module}.{param.layer}", param.layer):
        if name in layer.python:
            constructor: Callable[[], object] = layer.python[name]
            return constructor
    return None


@layer_type("Python")
def python(layer: Layer, bottoms: list[Shape]) -> Setup:
    if layer.running is not None:
        again: Setup = layer.running.reshape()
        return again
    make = _found(layer)
    if make is None:
        param = layer.message.python_param
        try:
            return given_tops(layer)
        except CaffeError as error:
            raise CaffeError(f"{error}, or its class: python={{'{param.module}.{param.layer}': CLASS}}") from None
    operation = PythonOperation(cast("PythonLayer", make()), layer, bottoms)
    operation.start(layer)
    setup = operation.reshape()
    layer.running = operation
    return setup
