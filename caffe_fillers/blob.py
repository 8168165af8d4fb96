"""Blob: an N-d array with Caffe's legacy num, channels, height, width view of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
import numpy.typing as npt

from .arrays import FLOAT32, FLOAT64, Array, Dtype
from .errors import CaffeError

if TYPE_CHECKING:
    from . import schema

__all__ = ["INT_MAX", "Blob", "check_shape", "describe"]

INT_MAX = 2**31 - 1
MAX_AXES = 32


def check_shape(shape: int | Iterable[SupportsIndex]) -> tuple[int, ...]:
    """Return `shape` as a tuple, or raise the error of Caffe's Blob for a shape that it can't hold."""
    dims: tuple[int, ...]
    try:
        dims = (shape,) if type(shape) is int else tuple(map(operator.index, shape))  # type: ignore[arg-type]
    except TypeError:
        try:
            dims = (operator.index(shape),)  # type: ignore[arg-type]
        except TypeError:
            raise CaffeError(f"a shape is an int or a sequence of ints, got {shape!r}") from None
    if len(dims) > MAX_AXES:
        raise CaffeError(f"Check failed: shape.size() <= kMaxBlobAxes ({len(dims)} vs. {MAX_AXES})")
    count = 1
    for dim in dims:
        if dim < 0:
            raise CaffeError(f"Check failed: shape[i] >= 0 ({dim} vs. 0)\na blob of shape {dims} can't be made")
        if dim > INT_MAX // (count or 1):
            raise CaffeError(
                f"Check failed: shape[i] <= 0x7fffffff / count_ ({dim} vs. {INT_MAX // (count or 1)}) "
                f"blob size exceeds INT_MAX\nshape {dims} has more than {INT_MAX} elements"
            )
        count *= dim
    return dims


def describe(shape: Sequence[int]) -> str:
    """Return the shape as Caffe prints it: the dims, then the count in brackets."""
    return "".join(f"{dim} " for dim in shape) + f"({prod(shape)})"


def _same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    return a.size == b.size and a.__array_interface__["data"] == b.__array_interface__["data"]


class Blob:
    """Values and gradients of one shape.

    Parameters
    ----------
    shape : int or sequence of int, optional
        At most 32 axes, at most 2**31 - 1 elements. ``()`` is one element without axes.
    dtype : {numpy.float32, numpy.float64}, optional
        The type of `data` and `diff`.

    Attributes
    ----------
    data, diff : numpy.ndarray
        C-contiguous arrays of `shape`; zeros until they are written, allocated when first read.

    Raises
    ------
    CaffeError
        If Caffe could not make a blob of this shape, or the dtype is not one of these.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> blob = cf.Blob((20, 1, 5, 5))
    >>> blob.num, blob.channels, blob.count(), blob.count(2)
    (20, 1, 500, 25)
    >>> cf.Blob((500, 800)).height
    1
    """

    __slots__ = ("_absent", "_data", "_diff", "_dtype", "_shape", "_shown", "_stale", "first_diff")

    layouts = 0
    """Counts changes of any blob's memory or shape, so that code which keeps blobs' arrays can notice them."""

    def __init__(self, shape: int | Iterable[int] = (), dtype: npt.DTypeLike = np.float32) -> None:
        self._shape = check_shape(shape)
        try:
            # NumPy reads None as float64; here it is more likely a mistake
            real = np.dtype("V" if dtype is None else dtype)
        except (TypeError, ValueError):
            real = np.dtype("V")
        if real not in (FLOAT32, FLOAT64):
            raise CaffeError(f"a blob holds float32 or float64, got dtype {dtype!r}")
        self._dtype: Dtype = FLOAT32 if real == FLOAT32 else FLOAT64
        self._data: Array | None = None
        self._diff: Array | None = None
        self.first_diff = 0.0
        self._absent = ""
        self._shown = False
        self._stale = False
        """Whether `_clear_diff` has left zeros to be written: only holders of `_unshown_diff` can see what is there."""

    @classmethod
    def from_array(cls, array: np.ndarray) -> Blob:
        """Make a blob that uses `array` as its data, without a copy if it is C-contiguous."""
        blob = cls(array.shape, array.dtype)
        blob._data = np.ascontiguousarray(array).reshape(array.shape)
        return blob

    @property
    def shape(self) -> tuple[int, ...]:
        """The dims, at most 32 of them."""
        return self._shape

    @property
    def dtype(self) -> Dtype:
        """The dtype of `data` and `diff`: float32 or float64."""
        return self._dtype

    @property
    def data(self) -> Array:
        """The values, C-contiguous; zeros until they are written, allocated when first read."""
        if self._data is None:
            if self._absent:
                raise CaffeError(self._absent)
            self._data = self._memory(np.zeros)
        return self._data

    @property
    def diff(self) -> Array:
        """The gradients, as `data`. The diff of a loss is its weight, `first_diff`, until it is overwritten."""
        self._shown = True
        self._settle_diff()
        return self._unshown_diff

    @property
    def _unshown_diff(self) -> Array:
        """`diff` for code that looks at `_stale` and hands the array to nobody else."""
        if self._diff is None:
            self._diff = self._memory(np.zeros)
            if self.first_diff:
                self._diff[...] = self.first_diff
        return self._diff

    def _place_diff(self, zeros: Array) -> None:
        """Use this memory for `diff`, if it has none yet."""
        if self._diff is None and not self.first_diff:
            self._diff = zeros

    def _clear_diff(self) -> None:
        """Set `diff` to zeros, which are written when it is next read, unless somebody may hold the array."""
        self._stale = self._diff is not None
        if self._shown:
            self._settle_diff()

    def _settle_diff(self) -> None:
        """Write the zeros that `_clear_diff` left to be written."""
        if self._stale:
            self._stale = False
            self._unshown_diff.fill(0)

    def allocate(self) -> np.ndarray:
        """Return `data` for a caller who writes all of it: new memory is not zeroed first."""
        if self._data is None:
            self._data = self._memory(np.empty)
        return self._data

    def _memory(self, make: Callable[..., np.ndarray]) -> np.ndarray:
        try:
            return make(self._shape, self._dtype)
        except ValueError:
            raise CaffeError(f"a blob of shape {self._shape} has no elements, yet NumPy can't hold it") from None
        except MemoryError:
            raise CaffeError(
                f"a blob of shape {self._shape} needs {self.count() * self._dtype.itemsize} bytes, "
                "more than the machine has"
            ) from None

    def release(self) -> None:
        """Free the memory; the values are zeros when they are next read."""
        self._data = self._diff = None
        Blob.layouts += 1

    def without_data(self, why: str) -> Blob:
        """Make reading `data` an error that says `why`; returns the blob."""
        self._absent = why
        return self

    @property
    def written(self) -> bool:
        """True if memory was allocated for `data`, by a first read or write."""
        return self._data is not None

    @property
    def has_diff(self) -> bool:
        """True if memory was allocated for `diff`."""
        return self._diff is not None

    def share_data(self, owner: Blob) -> None:
        """Use the data of `owner`, seen through this blob's own shape. The counts must be equal."""
        self._check_share(owner)
        self._absent = owner._absent
        data = None if owner._absent else owner.data
        if self._data is None or data is None or not _same_memory(self._data, data):
            self._data = None if data is None else data.reshape(self._shape)
            Blob.layouts += 1

    def share_diff(self, owner: Blob) -> None:
        """Use the diff of `owner`, as `share_data` uses its data."""
        self._check_share(owner)
        if self._diff is None or not _same_memory(self._diff, owner.diff):
            self._diff = owner.diff.reshape(self._shape)
            Blob.layouts += 1
        # from here on the memory is the owner's, and so are the zeros in it
        self._shown, self._stale = True, False

    def _check_share(self, owner: Blob) -> None:
        if owner.count() != self.count():
            raise CaffeError(f"a blob of shape {self._shape} can't share the memory of one of shape {owner.shape}")

    def _axis(self, axis: int) -> int:
        axes = len(self._shape)
        where = f"axis {axis} out of range for {axes}-D Blob with shape {describe(self._shape)}"
        if axis < -axes:
            raise CaffeError(f"Check failed: axis_index >= -num_axes() ({axis} vs. {-axes}) {where}")
        if axis >= axes:
            raise CaffeError(f"Check failed: axis_index < num_axes() ({axis} vs. {axes}) {where}")
        return axis % axes

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise CaffeError(
                f"Check failed: num_axes() <= 4 ({len(self._shape)} vs. 4) "
                "Cannot use legacy accessors on Blobs with > 4 axes."
            )
        if not -4 <= axis < 4:
            raise CaffeError(f"a legacy axis is -4 to 3, got {axis}")
        return self._shape[axis] if -len(self._shape) <= axis < len(self._shape) else 1

    @property
    def num(self) -> int:
        """Axis 0, or 1 if there is none. Like the three below, an error for more than 4 axes."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Axis 1, or 1 if there is none."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Axis 2, or 1 if there is none."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Axis 3, or 1 if there is none."""
        return self._legacy(3)

    def count(self, start: int = 0, end: int | None = None) -> int:
        """Return the product of the dims from axis `start` up to, not including, `end`."""
        end = len(self._shape) if end is None else end
        if not 0 <= start <= end <= len(self._shape):
            raise CaffeError(f"count({start}, {end}) needs 0 <= start <= end <= {len(self._shape)}")
        return prod(self._shape[start:end])

    def offset(self, *index: int) -> int:
        """Return the place of the element at `index` in the flat array; indices left out at the end are 0.

        On a blob of at most 4 axes this is Caffe's offset(n, c, h, w), with missing axes read as 1.
        """
        dims = self._shape
        if len(index) == 1 and isinstance(index[0], (tuple, list)):
            index = tuple(index[0])
        if len(index) > len(dims) and len(index) <= 4:
            dims = dims + (1,) * (len(index) - len(dims))
        if len(index) > len(dims):
            raise CaffeError(f"offset takes at most {len(dims)} indices on shape {self._shape}, got {len(index)}")
        flat = 0
        for axis, dim in enumerate(dims):
            at = index[axis] if axis < len(index) else 0
            if not 0 <= at < max(dim, 1):
                raise CaffeError(f"index {at} on axis {axis} is outside 0..{dim - 1} of shape {self._shape}")
            flat = flat * dim + at
        return flat

    def reshape(self, *shape: int | Sequence[int]) -> None:
        """Give the blob another shape; its values stay if the count is unchanged, else they become zero."""
        dims = check_shape(shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]
        if dims == self._shape:
            return
        for part in ("_data", "_diff"):
            values = getattr(self, part)
            if values is not None:
                setattr(self, part, values.reshape(dims) if prod(dims) == values.size > 0 else None)
        self._shape = dims
        Blob.layouts += 1

    @classmethod
    def from_proto(cls, proto: schema.BlobProto, dtype: npt.DTypeLike | None = None) -> Blob:
        """Make a blob from a BlobProto. `dtype` None is float64 if it holds doubles, else float32."""
        old = ("num", "channels", "height", "width")
        legacy = any(proto.HasField(name) for name in old)
        shape = tuple(getattr(proto, name) for name in old) if legacy else tuple(proto.shape.dim)
        doubles = len(proto.double_data) > 0
        blob = cls(shape, dtype if dtype is not None else (np.float64 if doubles else np.float32))
        values = proto.double_data if doubles else proto.data
        if len(values) != blob.count():
            field = "double_data_size" if doubles else "data_size"
            raise CaffeError(
                f"Check failed: count_ == proto.{field}() ({blob.count()} vs. {len(values)})\n"
                f"a BlobProto of shape {shape} must hold as many values as the shape says"
            )
        blob.allocate().reshape(-1)[...] = np.array(values, blob._dtype)
        gradients = proto.double_diff or proto.diff
        if gradients:
            if len(gradients) != blob.count():
                raise CaffeError(f"a BlobProto of shape {shape} holds {len(gradients)} values of diff")
            blob._diff = np.array(gradients, blob._dtype).reshape(shape)
        return blob

    def to_proto(self, write_diff: bool = False) -> schema.BlobProto:
        """Return a BlobProto: shape, and data or, for float64, double_data (with `write_diff` the diff too)."""
        from . import schema

        proto = schema.BlobProto()
        proto.shape.dim.extend(self._shape)
        data, diff = ("double_data", "double_diff") if self._dtype == np.float64 else ("data", "diff")
        getattr(proto, data).extend(self.data.ravel().tolist())
        if write_diff:
            getattr(proto, diff).extend(self.diff.ravel().tolist())
        return proto

    def __repr__(self) -> str:
        return f"Blob(shape={self._shape}, dtype={self._dtype})"
