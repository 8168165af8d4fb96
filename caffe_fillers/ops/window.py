"""Window geometry: the positions of a kernel on an image, and the sizes that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from types import EllipsisType

import numpy as np

from ..checks import c_div, need

__all__ = ["Part", "Window", "overlaps"]


Index = tuple[slice | int, ...]
Part = tuple[EllipsisType, *tuple[slice, ...]]


@dataclass(frozen=True, slots=True)
class Window:
    """The geometry of a kernel on an image: one number for each spatial axis.

    `behind` is the padding behind the image where it is not `pad`, as in front of it.

    Examples
    --------
    >>> Window.square(3, stride=2)
    Window(kernel=(3, 3), stride=(2, 2), pad=(0, 0), dilation=(1, 1), behind=None)
    >>> Window.square(3, pad=1).convolved((28, 28)), Window.square(3, stride=2).pooled((28, 28))
    ((28, 28), (14, 14))
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    behind: tuple[int, ...] | None = None

    @classmethod
    def square(cls, kernel: int, *, stride: int = 1, pad: int = 0, dilation: int = 1, axes: int = 2) -> Window:
        """Return a window with the same numbers on each of `axes` spatial axes."""
        return cls((kernel,) * axes, (stride,) * axes, (pad,) * axes, (dilation,) * axes)

    @property
    def padding(self) -> tuple[int, ...]:
        """The padding of each axis, front and back together."""
        return tuple(a + b for a, b in zip(self.pad, self.behind or self.pad, strict=True))

    def convolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the spatial size of a convolution's result: the places at which the whole kernel fits."""
        return tuple(
            c_div(n + p - (d * (k - 1) + 1), s) + 1
            for n, k, s, p, d in zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )

    def deconvolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the spatial size of a deconvolution's result: the image whose convolution has `size`."""
        return tuple(
            s * (n - 1) + d * (k - 1) + 1 - p
            for n, k, s, p, d in zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )

    def pooled(self, size: Sequence[int], *, ceil: bool = True) -> tuple[int, ...]:
        """Return the spatial size of a pooling's result: rounded up, with the last window clipped at the border."""
        sizes = []
        for n, k, s, p in zip(size, self.kernel, self.stride, self.padding, strict=True):
            need(s != 0, "shape[i] >= 0 (-2147483647 vs. 0)", "stride: 0 is no stride; leave it out for 1")
            # Caffe divides in float32 here and rounds it, so that large sizes are rounded twice
            steps = np.float32(n + p - k) / np.float32(s)
            sizes.append(int(np.ceil(steps) if ceil else np.floor(steps)) + 1)
        if any(self.padding):
            for i, (n, s, p) in enumerate(zip(size, self.stride, self.pad, strict=True)):
                if (sizes[i] - 1) * s >= n + p:
                    sizes[i] -= 1
                start, end = (sizes[i] - 1) * s, n + p
                need(start < end, f"(pooled - 1) * stride < size + pad ({start} vs. {end})", "pad is too large")
        return tuple(sizes)


@lru_cache(maxsize=512)
def overlaps(window: Window, size: tuple[int, ...], places: tuple[int, ...]) -> list[tuple[Index, Part, Part]]:
    """Return each offset in the kernel, row by row, with the places that have a pixel there and those pixels.

    Each is an index: the offset of the axes behind two others, ``weight[offset]``, places and pixels of the last axes,
    ``y[at]`` and ``x[pixels]``. The latter are empty where an offset meets padding alone.

    Examples
    --------
    >>> [(at[1:], pixels[1:]) for _, at, pixels in overlaps(Window((2,), (1,), (1,), (1,)), (3,), (4,))]
    [((slice(1, 4, None),), (slice(0, 3, 1),)), ((slice(0, 3, None),), (slice(0, 3, 1),))]
    """
    found: list[tuple[Index, Part, Part]] = []
    for offset in product(*map(range, window.kernel)):
        at: list[slice] = []
        pixels: list[slice] = []
        for k, n, o, s, p, d in zip(offset, size, places, window.stride, window.pad, window.dilation, strict=True):
            start = k * d - p
            first = max(0, -(start // s))
            count = max(0, min(o - 1, (n - 1 - start) // s) - first + 1)
            at.append(slice(first, first + count))
            begin = first * s + start
            pixels.append(slice(begin, begin + (count - 1) * s + 1 if count else begin, s))
        found.append(((slice(None), slice(None), *offset), (..., *at), (..., *pixels)))
    return found
