"""Window files of WindowData layers: boxes in images, each with a class and an overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CaffeError
from .sources import existing, lines

__all__ = ["Window", "Windows", "window_shape"]


@dataclass(frozen=True, slots=True)
class Window:
    """A box, its last row and column included, in the image at `path`."""

    path: str
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


class Windows:
    """The boxes of a window file: `foreground`, with an object in them, and `background`.

    Parameters
    ----------
    path : Path
    root_folder : str
        What stands before each image's path.
    above, below : float
        A box is foreground where its overlap is `above` or more, else background where it is less than `below`.

    Raises
    ------
    CaffeError
        If the file can't be read, is none of that form, or has no box of either kind.
    """

    def __init__(self, path: Path, root_folder: str, above: float, below: float) -> None:
        self.path = path
        self.foreground: list[Window] = []
        self.background: list[Window] = []
        images: list[str] = []
        boxes: list[tuple[int, list[str]]] = []
        for index, name, _, found in _images(path):
            images.append(root_folder + name)
            boxes += ((index, box) for box in found)
        for index, box in boxes:
            if not 0 <= index < len(images):
                raise CaffeError(f"{path}: an image has the index {index}: indices start at 0")
            label, overlap = int(box[0]), np.float32(box[1])
            sides = [int(word) for word in box[2:]]
            if overlap >= np.float32(above):
                if label <= 0:
                    raise CaffeError(f"{path}: Check failed: label > 0 ({label} vs. 0) of a box with an object")
                self.foreground.append(Window(images[index], label, *sides))
            elif overlap < np.float32(below):
                self.background.append(Window(images[index], 0, *sides))
        for kind, windows in (("fg", self.foreground), ("bg", self.background)):
            if not windows:
                raise CaffeError(f"{path}: Check failed: {kind}_windows_.size() > 0 (0 vs. 0)")


def window_shape(source: str) -> tuple[int, int, int] | None:
    """Return (channels, height, width) as the last image in a window file states them.

    A window file is a sequence of ``# index``, path, channels, height, width, number of windows, and as many lines of
    six numbers: class, overlap, first column and row, last column and row.

    Raises
    ------
    CaffeError
        If the file is not of that form.
    """
    path = existing(source)
    if path is None:
        return None
    shapes = [shape for _, _, shape, _ in _images(path)]
    if not shapes:
        raise CaffeError(f"{path}: the window file names no image")
    return shapes[-1]


def _images(path: Path) -> Iterator[tuple[int, str, tuple[int, int, int], list[list[str]]]]:
    """The index, path and shape of each image, and the words of its boxes."""
    words = (word for line in lines(path) for word in line.split())
    for mark in words:
        if mark != "#":
            raise CaffeError(f"{path}: is no window file: an image begins with '# index', not with {mark[:40]!r}")
        try:
            index, name = int(next(words)), next(words)
            channels, height, width, count = (int(next(words)) for _ in range(4))
            boxes = []
            for _ in range(count):
                boxes.append([next(words) for _ in range(6)])
                float(boxes[-1][1]), [int(boxes[-1][i]) for i in (0, 2, 3, 4, 5)]
        except (StopIteration, RuntimeError, ValueError):
            raise CaffeError(f"{path}: is no window file: the image after '#' is incomplete") from None
        yield index, name, (channels, height, width), boxes
