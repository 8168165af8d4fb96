"""Detector: a net that classifies windows of images."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np

from ..errors import CaffeError
from .classifier import transformer_of
from .images import load_image, resize_image
from .net import Net, PathLike
from .proto.caffe_pb2 import TEST

__all__ = ["Detection", "Detector"]

Array = np.ndarray


class Detection(TypedDict):
    """The content of a window of an image."""

    window: object
    filename: PathLike
    prediction: Array


class Detector(Net):
    """A net of phase TEST that cuts windows out of images and classifies each, as R-CNN does.

    Parameters
    ----------
    model_file, pretrained_file : str or PathLike
        The deploy prototxt, and the weights.
    mean, input_scale, raw_scale, channel_swap : optional
        As the Transformer's.
    context_pad : int, optional
        How many of the input's pixels at each side show what lies around the window; the mean lies beyond the image.

    Raises
    ------
    CaffeError
        As Net, or where something does not fit the input.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much context is shown. Beyond an image lies the mean, as images are before the Transformer."""
        name = self.inputs[0]
        channels, height, width = self.blobs[name].shape[1:]
        self.crop_dims = np.array((height, width, channels))
        self.context_pad = context_pad
        mean = self.transformer.mean.get(name)
        self.crop_mean = np.zeros(self.crop_dims, np.float32)
        if context_pad and mean is not None:
            around = np.broadcast_to(mean, (channels, height, width)).transpose(1, 2, 0)
            swap = self.transformer.channel_swap.get(name)
            if swap is not None:
                around = around[:, :, np.argsort(swap)]
            self.crop_mean = np.asarray(around / self.transformer.raw_scale.get(name, 1.0), np.float32)

    def detect_windows(self, images_windows: Iterable[tuple[PathLike, Iterable[object]]]) -> list[Detection]:
        """Classify windows.

        Parameters
        ----------
        images_windows : iterable of (file name, windows)
            Each window is (ymin, xmin, ymax, xmax).

        Returns
        -------
        list of dict
            `filename`, `window` and `prediction` of each window.

        Raises
        ------
        CaffeError
            If there are no windows, one is empty, or an image can't be read.
        """
        found: list[tuple[object, PathLike]] = []
        crops: list[Array] = []
        name = self.inputs[0]
        for filename, windows in images_windows:
            image = load_image(filename)
            for window in windows:
                crops.append(self.transformer.preprocess(name, self.crop(image, window)))
                found.append((window, filename))
        if not found:
            raise CaffeError("detect_windows takes at least one window")
        given = {name: np.stack(crops)}
        predictions = self.forward_all(None, **given)[self.outputs[0]]
        return [
            {"window": window, "filename": filename, "prediction": prediction}
            for (window, filename), prediction in zip(found, predictions, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[Detection]:
        """Classify the windows that Selective Search proposes; it needs the package of that name, which runs MATLAB."""
        try:
            selective_search = importlib.import_module("selective_search_ijcv_with_python")
        except ImportError:
            raise CaffeError(
                "the package selective_search_ijcv_with_python is missing, which runs MATLAB\n"
                "find windows in another way, and hand them to detect_windows"
            ) from None
        names = [os.path.abspath(name) for name in image_fnames]
        windows = selective_search.get_windows(names, cmd="selective_search_rcnn")
        return self.detect_windows(zip(names, windows, strict=True))

    def crop(self, im: Array, window: object) -> Array:
        """Cut a window out of an image, with the context that the net is to see.

        Parameters
        ----------
        im : ndarray, shape (height, width, channels)
        window : (ymin, xmin, ymax, xmax)

        Returns
        -------
        ndarray, shape (height, width, channels)
            The window itself; with context of the input's size.
        """
        box = np.asarray(window)
        ymin, xmin, ymax, xmax = (int(value) for value in box)
        if not self.context_pad:
            cut = im[ymin:ymax, xmin:xmax]
            if not cut.size:
                raise CaffeError(f"the window {tuple(box.tolist())} holds no pixel of an image of {im.shape[:2]}")
            return cut
        return self._with_context(im, box.astype(float))

    def _with_context(self, im: Array, box: Array) -> Array:
        # the input is taken to be square, as in R-CNN
        size = float(self.blobs[self.inputs[0]].width)
        scale = size / (size - 2 * (self.context_pad or 0))
        half = (box[2:] - box[:2] + 1) / 2.0
        center = box[:2] + half
        wide = np.round(np.concatenate([center - scale * half, center + scale * half]))
        to_input = size / (wide[2:] - wide[:2] + 1)
        pad = [round(max(0.0, -at) * factor) for at, factor in zip(wide[:2], to_input, strict=True)]
        inside = np.clip(wide, 0.0, np.tile(im.shape[:2], 2))
        ymin, xmin, ymax, xmax = inside.astype(int)
        cut = im[ymin:ymax, xmin:xmax]
        if not cut.size:
            raise CaffeError(f"the window {tuple(box.tolist())} lies beyond an image of {im.shape[:2]}")
        shown = inside[2:] - inside[:2] + 1
        dims = [
            min(round(length * factor), int(size) - before)
            for length, factor, before in zip(shown, to_input, pad, strict=True)
        ]
        result = np.ones(self.crop_dims, np.float32) * self.crop_mean
        result[pad[0] : pad[0] + dims[0], pad[1] : pad[1] + dims[1]] = resize_image(cut, dims)
        return result
