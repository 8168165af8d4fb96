"""Images as OpenCV reads them (bytes, in BGR order), and the lists that name them."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._core import RNG
from ..arrays import Bytes
from ..checks import need
from ..errors import CaffeError
from .resizing import resize
from .shuffling import shuffle
from .sources import ASK, beside, check_regular, existing, lines

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Images", "decode", "encode", "encoded_shape", "image_shape", "read_image", "read_list"]

_ORIENTATION = 0x0112
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
# the shares of red, green and blue in gray, the term for rounding, and the shift
_GRAY = {"PNG": (9797, 19234, 3737, 0, 15), "WEBP": (9798, 19235, 3735, 1 << 14, 15)}
_OTHER_GRAY = (4899, 9617, 1868, 1 << 13, 14)


def read_image(path: str | Path, height: int = 0, width: int = 0, color: bool = True) -> Bytes:
    """Read an image file as Caffe's ReadImageToCVMat does.

    Parameters
    ----------
    path : str or Path
        PNG, JPEG or what else Pillow reads.
    height, width : int
        The size to bring it to; 0 leaves it as it is.
    color : bool
        Three channels, blue first; or one.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3) or (height, width)

    Raises
    ------
    CaffeError
        If the file is missing, is no image or is cut off, or Pillow is missing.

    Notes
    -----
    The pixels are OpenCV's but for JPEG, whose decoders may differ by a level or two from one library to another.
    """
    image = decode(Path(path), path, "color" if color else "gray")
    return resize(image, height, width) if height > 0 and width > 0 else image


def decode(where: Path, image: bytes | str | Path, kind: str) -> Bytes:
    """Decode an image from a file, or from the bytes of one that was found at `where`.

    `kind` is "color", "gray", or "native": as many channels as it has.
    """
    with opened(where, io.BytesIO(image) if isinstance(image, bytes) else image) as source:
        try:
            if kind != "native" and _turned(source):
                from PIL import ImageOps

                return _pixels(where, source, kind, ImageOps.exif_transpose)
            return _pixels(where, source, kind, lambda picture: picture)
        except CaffeError:
            raise
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError) as error:
            raise CaffeError(f"{where}: cannot be read as an image: {error}") from None


def _pixels(where: Path, image: Image, kind: str, upright: Callable[[Image], Image]) -> Bytes:
    channels = {"color": 3, "gray": 1}.get(kind) or _channels(image)
    form, deep = image.format, image.mode.startswith("I")
    if deep and kind == "native":
        raise CaffeError(f"{where}: Check failed: cv_img.depth() == CV_8U Image data type must be unsigned byte")
    if channels == 4:
        return np.asarray(image.convert("RGBA"))[..., [2, 1, 0, 3]]
    if kind == "gray":
        image.draft("L", image.size)  # a JPEG holds its gray
    if deep:  # the upper byte of each value is kept
        gray = (np.asarray(upright(image)).astype(np.int64) >> 8).astype(np.uint8)
    elif image.mode in ("1", "L", "LA"):
        gray = np.asarray(upright(image.getchannel(0) if image.mode == "LA" else image.convert("L")))
    else:
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA")  # Pillow warns if it converts directly to RGB
        rgb = np.asarray(upright(image.convert("RGB")))
        if channels == 3:
            return rgb[..., ::-1]
        red, green, blue, half, bits = _GRAY.get(form or "", _OTHER_GRAY)
        sums = rgb.astype(np.int32) @ np.array([red, green, blue], np.int32)
        return ((sums + half) >> bits).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2) if channels == 3 else gray


def _channels(image: Image) -> int:
    """Return the number of channels that OpenCV gives an image read as it is: it looks up a palette and keeps alpha."""
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return 1
    return 4 if image.mode in ("RGBA", "LA", "PA") or (image.format == "PNG" and "transparency" in image.info) else 3


def encode(image: Bytes, kind: str) -> bytes:
    """Encode an image, (height, width, 3) or (height, width), as the suffix `kind` says; a JPEG of quality 95.

    Raises
    ------
    CaffeError
        If no such kind is known, or Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError:
        raise CaffeError("to encode images: pip install 'caffe_fillers[images]'") from None
    form = Image.registered_extensions().get(f".{kind}")
    if form not in Image.SAVE:
        raise CaffeError(f"{kind!r} is no kind of image that can be written: png, jpg and bmp are some")
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image if image.ndim == 2 else image[..., ::-1]))
    picture.save(stream, form, **({"quality": 95, "subsampling": 2} if form == "JPEG" else {}))
    return stream.getvalue()


def encoded_shape(path: Path, data: bytes, color: bool, gray: bool) -> tuple[int, int, int]:
    """Return (channels, height, width) of an encoded datum, of which only the header is read."""
    with opened(path, io.BytesIO(data)) as image:
        width, height = _upright(image) if color or gray else image.size
        return (3 if color else 1 if gray else _channels(image)), height, width


def image_shape(source: str, root_folder: str = "") -> tuple[int, int, int] | None:
    """Return (3, height, width) of the first image in an ImageData layer's list, ``path label`` in each line.

    Raises
    ------
    CaffeError
        If the list has no images, the image is missing or damaged, or Pillow is missing.
    """
    path = existing(source)
    if path is None:
        return None
    for name, _ in read_list(path):
        if not name:
            continue
        file = beside(path, root_folder + name)
        with opened(file, file) as image:
            width, height = _upright(image)
        return 3, height, width
    raise CaffeError(f"{path}: the list names no image: write a 'path label' in each line")


def read_list(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and label of each line, as Caffe reads them: the label stands behind the last blank, 0 where none is.

    Raises
    ------
    CaffeError
        If the list can't be read.
    """
    for line in lines(path):
        name, blank, label = line.rpartition(" ")
        number = _NUMBER.match(label)
        value = int(number[1]) if number else 0
        yield name if blank else line, (value + 2**31) % 2**32 - 2**31


class Images:
    """The images and labels of a list.

    Parameters
    ----------
    path : Path
        The list: ``path label`` in each line.
    root_folder : str
        What stands before each name.
    height, width : int
        The size to bring images to; 0 leaves them as they are.
    color : bool
    seed : int or None
        What seeds the stream to shuffle with, first and each time that the list has ended; None leaves it in order.
    skip : int
        How many records the first place stands behind the first.

    Raises
    ------
    CaffeError
        If the list can't be read, is empty, or not longer than `skip`.
    """

    def __init__(
        self,
        path: Path,
        root_folder: str = "",
        height: int = 0,
        width: int = 0,
        color: bool = True,
        seed: int | None = None,
        skip: int = 0,
    ) -> None:
        self._path, self._root, self._size, self._color = path, root_folder, (height, width), color
        self._listed = list(read_list(path))
        if not self._listed:
            raise CaffeError(f"{path}: Check failed: !lines_.empty() File is empty")
        need(
            len(self._listed) > skip,
            f"lines_.size() > skip ({len(self._listed)} vs. {skip}) Not enough points to skip",
            f"{path} names that many images",
        )
        self._seed, self._skip = seed, skip
        self._start()

    def read(self, place: int, count: int) -> tuple[Sequence[np.ndarray], list[int]]:
        """Return images, each (channels, height, width), and labels of `count` records from the `place`-th on.

        After the last the first comes again.

        Raises
        ------
        CaffeError
            If an image is missing or can't be decoded.
        """
        images, labels = [], []
        for at in range(place + self._skip, place + self._skip + count):
            name, label = self._order(at // len(self._listed))[at % len(self._listed)]
            if not name:
                raise CaffeError(f"{self._path}: Could not load: a line of the list is empty")
            image = read_image(beside(self._path, self._root + name), *self._size, color=self._color)
            images.append(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))
            labels.append(label)
        return images, labels

    def _start(self) -> None:
        self._rounds, self._shuffled = -1, list(self._listed)
        self._stream = None if self._seed is None else RNG(self._seed)

    def _order(self, rounds: int) -> list[tuple[str, int]]:
        """The list as it is after so many rounds through it."""
        if self._stream is None:
            return self._listed
        if rounds < self._rounds:
            self._start()
        while self._rounds < rounds:
            shuffle(self._shuffled, self._stream)
            self._rounds += 1
        return self._shuffled


def _turned(image: Image) -> bool:
    # OpenCV rotates a photograph by its EXIF data, except an encoded datum read unchanged
    return bool(image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) != 1)


def _upright(image: Image) -> tuple[int, int]:
    width, height = image.size
    sideways = _turned(image) and image.getexif()[_ORIENTATION] in (5, 6, 7, 8)
    return (height, width) if sideways else (width, height)


@contextmanager
def opened(where: Path, image: str | Path | io.BytesIO) -> Iterator[Image]:
    """Open an image, of which only the header is read."""
    try:
        from PIL import Image
    except ImportError:
        need = "to read images: pip install 'caffe_fillers[images]'"
        raise CaffeError(f"{where}: {need}; for the weights of a net alone, {ASK}") from None
    if not isinstance(image, io.BytesIO):
        check_regular(image)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a large image is safe as long as it is not decoded
            found = Image.open(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CaffeError(f"{where}: cannot be read as an image: {error}") from None
    with found:
        yield found
