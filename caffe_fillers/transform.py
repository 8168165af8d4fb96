"""Transforms images between disk and net: crop, mirror, mean and scale, with their random draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from . import schema
from ._core import RNG
from .arrays import Array
from .blob import Blob
from .checks import need, need_equal
from .errors import CaffeError

__all__ = ["Transform", "read_mean"]


@dataclass(frozen=True, slots=True)
class Transform:
    """The numbers of a transform_param: ``(pixel - mean) * scale`` of a crop, mirrored or not.

    Attributes
    ----------
    crop : int
        Height and width that are cut out; 0 for the whole image.
    mirror : bool
        Whether images are mirrored, each with probability one half (in phase TEST too, as in Caffe).
    scale : float
    mean_values : tuple of float
        One for all channels, or one for each.
    mean_file : str
        A mean image; where one is cropped, so is the other, at the same place.
    random : bool
        Whether crops are taken anywhere, as in phase TRAIN, or from the middle.

    Notes
    -----
    Each image draws on its own, in this order: the mirror, the crop's row, its column, each a raw draw modulo how many
    there are to choose from. From Caffe's data_transformer.cpp.

    Examples
    --------
    >>> transform = Transform(crop=1, mean_values=(100,), scale=0.5, random=False)
    >>> top = np.zeros((1, 1, 1, 1), np.float32)
    >>> transform.apply([np.arange(9, dtype=np.uint8).reshape(1, 3, 3)], top, RNG(1))
    >>> float(top.item())
    -48.0
    """

    crop: int = 0
    mirror: bool = False
    scale: float = 1.0
    mean_values: tuple[float, ...] = ()
    mean_file: str = ""
    random: bool = True

    @property
    def draws(self) -> int:
        """Return the number of raw draws for each image."""
        return self.mirror + 2 * (self.random and self.crop > 0)

    def shape(self, image: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that an image of shape (channels, height, width) becomes."""
        channels, height, width = image
        need(channels > 0, f"datum_channels > 0 ({channels} vs. 0)")
        need(height >= self.crop, f"datum_height >= crop_size ({height} vs. {self.crop})")
        need(width >= self.crop, f"datum_width >= crop_size ({width} vs. {self.crop})")
        return channels, self.crop or height, self.crop or width

    def apply(self, images: Sequence[np.ndarray] | np.ndarray, out: Array, rng: RNG, mean: Array | None = None) -> None:
        """Write images to a batch.

        Parameters
        ----------
        images : sequence of ndarray of uint8 or float32, each of shape (channels, height, width)
        out : ndarray, shape (images, channels, height, width)
        rng : RNG
            The transformer's own stream, which advances.
        mean : ndarray, shape (channels, height, width), optional
            Of `mean_file`, in the type of `out`.

        Raises
        ------
        CaffeError
            If an image has another shape than the batch or the mean; `out` and `rng` are then untouched.
        """
        for shape in {images.shape[1:]} if isinstance(images, np.ndarray) else {image.shape for image in images}:
            self._check(shape, out.shape[1:], mean)
        if isinstance(images, np.ndarray) and not self.draws:
            self._middle(images, out, mean)
        else:
            drawn = rng.random_raw((len(images), self.draws)).tolist()
            for image, place, draws in zip(images, out, drawn, strict=True):
                self._one(image, place, mean, draws)
        if self.mean_values:
            values = np.array(self.mean_values, out.dtype)
            out -= values[:, None, None] if len(values) > 1 else values
        if self.scale != 1:
            out *= out.dtype.type(self.scale)

    def _middle(self, images: np.ndarray, out: Array, mean: Array | None) -> None:
        """Write images of one shape, all cut alike."""
        rows, columns = (
            slice((whole - part) // 2, (whole - part) // 2 + part)
            for whole, part in zip(images.shape[2:], out.shape[2:], strict=True)
        )
        if mean is None:
            out[...] = images[:, :, rows, columns]
        else:
            np.subtract(images[:, :, rows, columns], mean[:, rows, columns], out=out)

    def _one(self, image: np.ndarray, place: Array, mean: Array | None, draws: list[int]) -> None:
        size = self.crop
        if size:
            rows, columns = image.shape[1] - size, image.shape[2] - size
            y, x = (draws[-2] % (rows + 1), draws[-1] % (columns + 1)) if self.random else (rows // 2, columns // 2)
            image = image[:, y : y + size, x : x + size]
            mean = None if mean is None else mean[:, y : y + size, x : x + size]
        if self.mirror and draws[0] % 2:
            place = place[:, :, ::-1]
        if mean is None:
            place[...] = image
        else:
            np.subtract(image, mean, out=place)

    def _check(self, image: tuple[int, ...], top: tuple[int, ...], mean: Array | None) -> None:
        advice = f"a record is an image of shape {image}, the first of its batch became {tuple(top)}"
        need_equal(top[0], image[0], "channels == datum_channels", advice)
        for axis, name in ((1, "height"), (2, "width")):
            need(
                image[axis] >= self.crop if self.crop else image[axis] == top[axis],
                f"datum_{name} {'>= crop_size' if self.crop else f'== {name}'} "
                f"({image[axis]} vs. {self.crop or top[axis]})",
                advice,
            )
        if mean is not None:
            for axis, name in enumerate(("channels", "height", "width")):
                need_equal(
                    image[axis],
                    mean.shape[axis],
                    f"datum_{name} == data_mean_.{name}()",
                    f"the mean image {self.mean_file} has the shape {mean.shape}, a record {image}",
                )
        values = len(self.mean_values)
        need(
            values in (0, 1, image[0]),
            "mean_values_.size() == 1 || mean_values_.size() == img_channels "
            f"Specify either 1 mean_value or as many as channels: {image[0]}",
            f"got {values} of them",
        )


def read_mean(path: str, dtype: npt.DTypeLike) -> Array:
    """Read a mean image, a BlobProto of shape (1, channels, height, width) or without the 1.

    Raises
    ------
    CaffeError
        If the file is missing or no BlobProto of one image.
    """
    from .records import check_regular

    proto = schema.BlobProto()
    try:
        check_regular(path)
        proto.ParseFromString(Path(path).read_bytes())
        blob = Blob.from_proto(proto, dtype)
    except OSError as error:
        raise CaffeError(f"{path}: the mean file cannot be read: {error.strerror or error}") from None
    except (DecodeError, ValueError) as error:  # from_proto's CaffeError is a ValueError
        raise CaffeError(f"{path}: is no mean file (a BlobProto): {error}") from None
    shape = blob.shape[1:] if len(blob.shape) == 4 and blob.shape[0] == 1 else blob.shape
    if len(shape) != 3:
        raise CaffeError(f"{path}: a mean image has the shape (1, channels, height, width), but this has {blob.shape}")
    return blob.data.reshape(shape)
