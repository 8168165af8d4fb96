"""Batches of WindowData layers: boxes cut out of images and warped to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import records
from .._core import RNG
from ..arrays import Array
from ..checks import need
from ..errors import CaffeError
from ..ops.operation import Work
from ..transform import read_mean
from .delivering import Delivering, here

__all__ = ["WindowData"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WindowData(Delivering):
    """Boxes of images, drawn at random: first those of the background, then those with an object in them.

    Attributes
    ----------
    source, root_folder : str
    above, below : float
        Of the overlap: what counts as an object, and what as background.
    fraction : float
        How much of a batch are objects.
    context : int
        Pixels of the result on each side that lie outside of the box.
    square : bool
        Whether a box is made square first, or warped.
    scale : float
        Of window_data_param; transform_param's is not heeded in Caffe.
    crop : int
        Height and width of what is delivered.
    mirror : bool
    mean_values : tuple of float
    mean_file : str

    Notes
    -----
    Each box takes a raw draw, and another where it may be mirrored. From Caffe's window_data_layer.cpp.
    """

    source: str
    root_folder: str
    above: float
    below: float
    fraction: float
    context: int
    square: bool
    scale: float
    crop: int
    mirror: bool
    mean_values: tuple[float, ...]
    mean_file: str

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        data, labels = tops
        need(self.crop > 2 * self.context, f"crop_size > 2 * context_pad ({self.crop} vs. {2 * self.context})")
        windows = work.once(
            "reader", lambda: records.Windows(here(self.source), self.root_folder, self.above, self.below)
        )
        stream = work.once("stream", lambda: self._stream(work)).copy()
        mean = work.once("mean", lambda: self._mean(data)) if self.mean_file or self.mean_values else None
        batch = len(data)
        objects = int(np.float32(batch) * np.float32(self.fraction))
        drawn = []
        for kind, count in ((windows.background, batch - objects), (windows.foreground, objects)):
            for _ in range(count):
                window = kind[stream.random_raw() % len(kind)]
                drawn.append((window, self.mirror and stream.random_raw() % 2 == 1))
        patches = [self._patch(windows.path, window, mirrored, data.dtype.type) for window, mirrored in drawn]
        data[...] = 0
        for i, (patch, top, left) in enumerate(patches):
            inside = slice(None), slice(top, top + patch.shape[0]), slice(left, left + patch.shape[1])
            place, pixels = data[i][inside], patch.transpose(2, 0, 1)
            place[...] = pixels if mean is None else np.subtract(pixels, mean[inside], dtype=data.dtype)
            place *= data.dtype.type(self.scale)
            labels[i] = drawn[i][0].label
        work.kept["stream"] = stream
        work.kept["place"] = self.place(work) + batch

    def _stream(self, work: Work) -> RNG:
        seeds = work.seeds.get("windows")
        stream = RNG(seeds[-1]) if seeds else RNG()
        stream.skip(self.place(work) * (1 + self.mirror))
        return stream

    def _mean(self, data: Array) -> Array:
        """Return the values to subtract from a crop; of a mean image, its middle."""
        channels, size = data.shape[1], self.crop
        if not self.mean_file:
            values = np.array(self.mean_values, data.dtype)
            return np.broadcast_to(values[:, None, None], (channels, size, size))
        mean = read_mean(self.mean_file, data.dtype)
        off = (mean.shape[2] - size) // 2
        need(
            mean.shape[0] == channels and off >= 0 and off + size <= mean.shape[1],
            f"the mean image {self.mean_file}, {mean.shape}, is too small for {(channels, size, size)}",
        )
        return mean[:, off : off + size, off : off + size]

    def _patch(
        self, path: Path, window: records.Window, mirrored: bool, real: type[np.floating]
    ) -> tuple[np.ndarray, int, int]:
        """Return a box cut out of its image and warped, and the row and column at which it goes."""
        image = records.read_image(records.beside(path, window.path))
        box, (rows, columns), top, left = self._fit(window, image.shape, mirrored, real)
        x1, y1, x2, y2 = box
        if not (0 <= x1 <= x2 < image.shape[1] and 0 <= y1 <= y2 < image.shape[0]) or rows < 1 or columns < 1:
            raise CaffeError(f"{path}: the box {box} does not lie in {window.path}, {image.shape[1]}x{image.shape[0]}")
        patch = records.resize(image[y1 : y2 + 1, x1 : x2 + 1], rows, columns)
        return (patch[:, ::-1] if mirrored else patch), top, left

    def _fit(
        self, window: records.Window, shape: Shape, mirrored: bool, real: type[np.floating]
    ) -> tuple[tuple[int, int, int, int], tuple[int, int], int, int]:
        """Return the clipped box with its context, the size to warp it to, and its first row and column."""
        size = self.crop
        x1, y1, x2, y2 = window.x1, window.y1, window.x2, window.y2
        if not (self.context > 0 or self.square):
            return (x1, y1, x2, y2), (size, size), 0, 0
        grown = real(size) / real(size - 2 * self.context)
        half_y, half_x = real(real(y2 - y1 + 1) / 2), real(real(x2 - x1 + 1) / 2)
        middle_x, middle_y = real(x1) + half_x, real(y1) + half_y
        if self.square:
            half_x = half_y = max(half_x, half_y)
        x1, x2 = _round(middle_x - half_x * grown), _round(middle_x + half_x * grown)
        y1, y2 = _round(middle_y - half_y * grown), _round(middle_y + half_y * grown)
        scale_x, scale_y = real(size) / real(x2 - x1 + 1), real(size) / real(y2 - y1 + 1)
        before_x, after_x = max(0, -x1), max(0, x2 - shape[1] + 1)
        before_y, after_y = max(0, -y1), max(0, y2 - shape[0] + 1)
        x1, x2, y1, y2 = x1 + before_x, x2 - after_x, y1 + before_y, y2 - after_y
        top = _round(real(before_y) * scale_y)
        left = _round(real(after_x if mirrored else before_x) * scale_x)
        rows = min(_round(real(y2 - y1 + 1) * scale_y), size - top)
        columns = min(_round(real(x2 - x1 + 1) * scale_x), size - left)
        return (x1, y1, x2, y2), (rows, columns), top, left


def _round(value: np.floating) -> int:
    """Round to the nearest whole number, halves away from zero, as C does."""
    size = abs(float(value))
    whole = math.floor(size) + (size % 1 >= 0.5)
    return -whole if value < 0 else whole
