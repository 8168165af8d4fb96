"""Where a kernel stands on an image, and every size that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checks import c_div, need

__all__ = ["Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """Where a kernel stands on an image: one number for each spatial axis.

    Examples
    --------
    >>> Window.square(3, stride=2)
    Window(kernel=(3, 3), stride=(2, 2), pad=(0, 0), dilation=(1, 1))
    >>> Window.square(3, pad=1).convolved((28, 28)), Window.square(3, stride=2).pooled((28, 28))
    ((28, 28), (14, 14))
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    def square(cls, kernel: int, *, stride: int = 1, pad: int = 0, dilation: int = 1, axes: int = 2) -> Window:
        """The same numbers on every one of `axes` spatial axes."""
        return cls((kernel,) * axes, (stride,) * axes, (pad,) * axes, (dilation,) * axes)

    def convolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size of a convolution's result: places where the whole kernel fits."""
        return tuple(
            c_div(n + 2 * p - (d * (k - 1) + 1), s) + 1
            for n, k, s, p, d in zip(size, self.kernel, self.stride, self.pad, self.dilation, strict=True)
        )

    def deconvolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size of a deconvolution's result: the image whose convolution has `size`."""
        return tuple(
            s * (n - 1) + d * (k - 1) + 1 - 2 * p
            for n, k, s, p, d in zip(size, self.kernel, self.stride, self.pad, self.dilation, strict=True)
        )

    def pooled(self, size: Sequence[int], *, ceil: bool = True) -> tuple[int, ...]:
        """Spatial size of a pooling's result: rounded up, the last window clipped at the border."""
        sizes = []
        for n, k, s, p in zip(size, self.kernel, self.stride, self.pad, strict=True):
            need(s != 0, "shape[i] >= 0 (-2147483647 vs. 0)", "stride: 0 is no stride; leave it out for 1")
            # Caffe divides in float32 here and rounds it, so that large sizes are rounded twice
            steps = np.float32(n + 2 * p - k) / np.float32(s)
            sizes.append(int(np.ceil(steps) if ceil else np.floor(steps)) + 1)
        if any(self.pad):
            for i, (n, s, p) in enumerate(zip(size, self.stride, self.pad, strict=True)):
                if (sizes[i] - 1) * s >= n + p:
                    sizes[i] -= 1
                start, end = (sizes[i] - 1) * s, n + p
                need(start < end, f"(pooled - 1) * stride < size + pad ({start} vs. {end})", "pad is too large")
        return tuple(sizes)
