"""Image transforms of data layers, and what each version of Caffe draws when it sets them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checks import c_int, need
from ..revisions import RC, RC2, RC3
from .rule import Layer

if TYPE_CHECKING:
    from ..transform import Transform

__all__ = ["check_mean", "draws_of", "transform_draws", "transform_of"]


def transform_draws(layer: Layer) -> bool:
    """Return whether the transformer of this layer seeds a generator of its own."""
    param, train = layer.message.transform_param, _trains(layer)
    if layer.age < RC2:
        return train and (param.mirror or param.crop_size > 0)
    return param.mirror or (train and param.crop_size > 0)


def _trains(layer: Layer) -> bool:
    return (layer.phase if layer.age >= RC3 else layer.net_phase) == "TRAIN"


def check_mean(layer: Layer) -> None:
    param = layer.message.transform_param
    values = len(param.mean_value)
    need(
        not (param.HasField("mean_file") and values),
        f"param_.mean_value_size() == 0 ({values} vs. 0) Cannot specify mean_file and mean_value at the same time",
        "remove one of them from transform_param",
    )


def draws_of(
    layer: Layer, *, reader: str = "", shuffle: bool = False, skip: bool = False, window: bool = False
) -> list[str]:
    """Return what a prefetching layer draws for, in order: one raw draw for each entry.

    `reader` is the source of a database, `window` tells a WindowData layer.
    """
    age, transform = layer.age, transform_draws(layer)
    crop, mirror = layer.message.transform_param.crop_size > 0, layer.message.transform_param.mirror
    own = []
    if shuffle:
        own.append("shuffle")
    # from rc3 on skipping records of a database draws nothing
    if skip and (age < RC3 or not reader):
        own.append("rand_skip")
    if window and (mirror or crop):
        own.append("windows")
    if age < RC:
        if reader:
            return own + ["transformer"] * transform
        return own if window else own + ["transformer"] * (shuffle or crop)
    if age < RC3:
        return own + ["transformer"] * (2 * transform)
    draws = []
    if age == RC3 and reader and f"{layer.name}:{reader}" not in layer.readers:
        layer.readers.add(f"{layer.name}:{reader}")
        draws.append("reader thread")
    return [*draws, *["transformer"] * transform, *own, *["transformer"] * transform, "prefetch thread"]


def transform_of(layer: Layer) -> Transform:
    from ..transform import Transform

    param, drawn = layer.message.transform_param, transform_draws(layer)
    return Transform(
        crop=c_int(param.crop_size),
        mirror=param.mirror and drawn,
        scale=param.scale,
        mean_values=tuple(param.mean_value),
        mean_file=param.mean_file,
        random=_trains(layer),
    )
