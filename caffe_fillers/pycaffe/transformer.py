"""Transformer: converts images to the form of a net's input, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import CaffeError
from .images import resize_image

__all__ = ["Transformer"]

Array = np.ndarray


def _factor(scale: float | Array) -> float | Array:
    """Return a plain number, so that float32 stays float32 with any NumPy scalar."""
    return float(scale) if np.ndim(scale) == 0 else scale


class Transformer:
    """The preprocessing of an image for a net's input.

    Parameters
    ----------
    inputs : mapping of str to shape
        The net's inputs: ``{"data": net.blobs["data"].data.shape}``.

    Raises
    ------
    CaffeError
        From its methods, for an input that is not there, or what does not fit the input's shape.

    Examples
    --------
    >>> import numpy as np
    >>> from caffe_fillers import pycaffe as caffe
    >>> transformer = caffe.io.Transformer({"data": (1, 3, 2, 2)})
    >>> transformer.set_transpose("data", (2, 0, 1))
    >>> transformer.set_channel_swap("data", (2, 1, 0))
    >>> transformer.set_raw_scale("data", 255)
    >>> transformer.set_mean("data", np.array([104.0, 117.0, 123.0]))
    >>> transformer.preprocess("data", np.ones((2, 2, 3)))[:, 0, 0].tolist()
    [151.0, 138.0, 132.0]
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, tuple[int, ...]] = {}
        self.channel_swap: dict[str, tuple[int, ...]] = {}
        self.raw_scale: dict[str, float | Array] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float | Array] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise CaffeError(f"{in_} is not one of the net inputs: {', '.join(self.inputs)}")
        return self.inputs[in_]

    def preprocess(self, in_: str, data: Array) -> Array:
        """Resize, transpose, swap channels, scale, subtract the mean and scale again, as far as each is set.

        Parameters
        ----------
        in_ : str
            The input that the image is for.
        data : ndarray, shape (height, width, channels)
            It stays as it is; pycaffe writes into it, where it needs no resizing.

        Returns
        -------
        ndarray of float32
        """
        dims = self._shape(in_)[2:]
        values = np.array(data, np.float32)
        if values.shape[:2] != dims:
            values = resize_image(values, dims)
        if in_ in self.transpose:
            values = values.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            values = values[self.channel_swap[in_], :, :]
        if in_ in self.raw_scale:
            values *= self.raw_scale[in_]
        if in_ in self.mean:
            values -= self.mean[in_]
        if in_ in self.input_scale:
            values *= self.input_scale[in_]
        return values

    def deprocess(self, in_: str, data: Array) -> Array:
        """Undo `preprocess` except the resizing; `data` is one image, with or without an axis for the batch."""
        self._shape(in_)
        values = data.copy()
        order = self.transpose.get(in_)
        values = values.squeeze() if order is None else values.reshape(values.shape[-len(order) :])
        if in_ in self.input_scale:
            values /= self.input_scale[in_]
        if in_ in self.mean:
            values += self.mean[in_]
        if in_ in self.raw_scale:
            values /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            values = values[np.argsort(self.channel_swap[in_]), :, :]
        return values if order is None else values.transpose(np.argsort(order))

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the axes: (2, 0, 1) turns height, width, channels into channels, height, width."""
        shape = self._shape(in_)
        if len(order) != len(shape) - 1:
            raise CaffeError(f"an order of {len(shape) - 1} axes is needed for input {in_!r} of shape {shape}")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the channels: (2, 1, 0) turns RGB into BGR. The channels are the first axis then."""
        shape = self._shape(in_)
        if len(order) != shape[1]:
            raise CaffeError(f"an order of {shape[1]} channels is needed for input {in_!r} of shape {shape}")
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean is subtracted: 255 for nets that take 0 to 255."""
        self._shape(in_)
        self.raw_scale[in_] = _factor(scale)

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set the values to subtract: one per channel, or an image, which is resized if needed."""
        channels, *dims = self._shape(in_)[1:]
        mean = np.asarray(mean)
        if mean.ndim == 1:
            if len(mean) != channels:
                raise CaffeError(f"{len(mean)} mean values for the {channels} channels of input {in_!r}")
            self.mean[in_] = mean[:, np.newaxis, np.newaxis]
            return
        if mean.ndim == 2:
            mean = mean[np.newaxis]
        if mean.ndim != 3:
            raise CaffeError(f"a mean is an image of two or three axes, or a value a channel; got shape {mean.shape}")
        if mean.shape != (channels, *dims):
            low, high = mean.min(), mean.max()
            unit = (mean - low) / (high - low) if high > low else np.zeros_like(mean)
            mean = resize_image(unit.transpose(1, 2, 0), dims).transpose(2, 0, 1) * (high - low) + low
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean is subtracted."""
        self._shape(in_)
        self.input_scale[in_] = _factor(scale)
