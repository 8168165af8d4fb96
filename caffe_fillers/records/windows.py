"""Window files, as WindowData layers read them."""

from __future__ import annotations

from ..errors import CaffeError
from .sources import existing, lines

__all__ = ["window_shape"]


def window_shape(source: str) -> tuple[int, int, int] | None:
    """Return (channels, height, width) as the last image in a window file states them.

    A window file is a sequence of ``# index``, path, channels, height, width, number of windows, and as many lines of
    six numbers.

    Raises
    ------
    CaffeError
        If the file is not of that form.
    """
    path = existing(source)
    if path is None:
        return None
    shape = None
    words = (word for line in lines(path) for word in line.split())
    for mark in words:
        if mark != "#":
            raise CaffeError(f"{path}: is no window file: an image begins with '# index', not with {mark[:40]!r}")
        try:
            next(words), next(words)
            channels, height, width, windows = (int(next(words)) for _ in range(4))
            for _ in range(6 * windows):
                float(next(words))
        except (StopIteration, RuntimeError, ValueError):
            raise CaffeError(f"{path}: is no window file: the image after '#' is incomplete") from None
        shape = channels, height, width
    if shape is None:
        raise CaffeError(f"{path}: the window file names no image")
    return shape
