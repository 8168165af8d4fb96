"""Classifier: a net that takes unprocessed images and returns probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import CaffeError
from .images import oversample as ten_crops
from .images import resize_image
from .net import Net, PathLike
from .proto.caffe_pb2 import TEST
from .transformer import Transformer

__all__ = ["Classifier", "transformer_of"]

Array = np.ndarray


def transformer_of(
    net: Net, mean: Array | None, input_scale: float | None, raw_scale: float | None, channel_swap: Sequence[int] | None
) -> Transformer:
    """The Transformer of a net's first input, with what is not None set."""
    if not net.inputs:
        raise CaffeError("this net has no Input layer to take images: give a deploy prototxt")
    name = net.inputs[0]
    result = Transformer({name: net.blobs[name].shape})
    result.set_transpose(name, (2, 0, 1))
    if mean is not None:
        result.set_mean(name, mean)
    if input_scale is not None:
        result.set_input_scale(name, input_scale)
    if raw_scale is not None:
        result.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        result.set_channel_swap(name, channel_swap)
    return result


class Classifier(Net):
    """A net of phase TEST that resizes, crops and transforms images before it classifies them.

    Parameters
    ----------
    model_file, pretrained_file : str or PathLike
        The deploy prototxt, and the weights.
    image_dims : (height, width), optional
        What images are resized to before crops of the input's size are cut out; that size itself by default.
    mean, input_scale, raw_scale, channel_swap : optional
        As the Transformer's.

    Attributes
    ----------
    transformer : Transformer
    crop_dims, image_dims : ndarray or sequence of int

    Raises
    ------
    CaffeError
        As Net, or where something does not fit the input.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims: Sequence[int] | Array = (
            self.crop_dims if image_dims is None or not len(image_dims) else image_dims
        )

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """Classify images.

        Parameters
        ----------
        inputs : sequence of ndarray, each (height, width, channels)
        oversample : bool, optional
            Take the mean of ten crops: corners, middle and their mirror images. Otherwise the middle alone.

        Returns
        -------
        ndarray, shape (images, classes)

        Raises
        ------
        CaffeError
            If there are no images, or they don't fit the net's input.
        """
        if not len(inputs):
            raise CaffeError("predict takes at least one image")
        images = np.stack([resize_image(image, self.image_dims) for image in inputs])
        if oversample:
            crops = ten_crops(images, self.crop_dims)
        else:
            top, left = (
                (int(whole) - int(crop)) // 2 for whole, crop in zip(self.image_dims, self.crop_dims, strict=True)
            )
            height, width = self.crop_dims
            crops = images[:, top : top + height, left : left + width]
        name = self.inputs[0]
        given = {name: np.stack([self.transformer.preprocess(name, crop) for crop in crops])}
        result = self.forward_all(None, **given)[self.outputs[0]]
        if oversample:
            result = result.reshape(len(result) // 10, 10, -1).mean(1)
        return result
