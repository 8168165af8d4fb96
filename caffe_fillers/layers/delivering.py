"""Reads the batches that data layers deliver, and tracks their position in the source.

Caffe reads ahead in a thread of its own; what it delivers does not depend on that, so here a batch is read when it is
asked for. A layer's reader, its place and its stream live in `Work`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from .. import records
from .._core import RNG
from ..arrays import Array
from ..checks import need, need_equal
from ..errors import CaffeError
from ..ops.operation import Given, Operation, Work
from ..transform import Transform, read_mean

__all__ = ["Data", "Delivering", "HDF5Data", "HDF5Output", "ImageData", "MemoryData", "here"]

Shape = tuple[int, ...]


class Delivering(Given):
    """A data layer with a source on the disk. Its place is the number of records delivered."""

    __slots__ = ()

    def delivers(self) -> bool:
        return True

    def place(self, work: Work) -> int:
        """The number of records delivered so far."""
        place: int = work.kept.get("place", 0)
        return place

    def go_to(self, place: int, work: Work) -> None:
        """Go on as if `place` records had been delivered, by the draws that `work.seeds` holds."""
        work.kept.clear()
        work.kept["place"] = place


class _Reader(Protocol):
    def read(self, place: int, count: int) -> tuple[Sequence[np.ndarray] | np.ndarray, list[int]]: ...


class _Imaging(Delivering):
    """A data layer whose images pass through a transformer."""

    __slots__ = ()

    batch: int
    labels: bool
    transform: Transform

    def reader(self, work: Work) -> _Reader:
        raise NotImplementedError

    def shapes(self, bottoms: Sequence[Array], work: Work) -> list[Shape] | None:
        if self.batch == 0:
            return None
        images, _ = self._ready(work)
        data = (self.batch, *self.transform.shape(images[0].shape))
        return [data, (self.batch,)] if self.labels else [data]

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        if self.batch == 0:
            return
        images, labels = self._ready(work)
        transform, dtype = self.transform, tops[0].dtype
        mean = None
        if transform.mean_file:
            mean = work.once("mean", lambda: read_mean(transform.mean_file, dtype))
        transform.apply(images, tops[0], work.once("stream", lambda: self._stream(work)), mean)
        if self.labels:
            tops[1][...] = labels
        work.kept["place"] = self.place(work) + self.batch
        del work.kept["ready"]

    def _ready(self, work: Work) -> tuple[Sequence[np.ndarray] | np.ndarray, list[int]]:
        """Return the next batch, read once for its shape and its values."""
        reader = work.once("reader", lambda: self.reader(work))
        return work.once("ready", lambda: reader.read(self.place(work), self.batch))

    def _stream(self, work: Work) -> RNG:
        # seeded twice at set-up, the second time for the thread that reads
        seeds = work.seeds.get("transformer")
        stream = RNG(seeds[-1]) if seeds else RNG()
        stream.skip(self.place(work) * self.transform.draws)
        return stream


@dataclass(frozen=True, slots=True)
class Data(_Imaging):
    """The records of an LMDB in the order of their keys; after the last comes the first again.

    Attributes
    ----------
    source : str
    batch : int
    labels : bool
        Whether there is a second top.
    kind : {"color", "gray", "native"}
        What encoded images are decoded to.
    transform : Transform
    rand_skip : int
        Of which so many, at most, are skipped first, where that was drawn for: Caffe's rc3 and later don't.
    """

    source: str
    batch: int
    labels: bool
    kind: str
    transform: Transform
    rand_skip: int = 0

    def reader(self, work: Work) -> _Reader:
        drawn = work.seeds.get("rand_skip")
        return records.Datums(here(self.source), self.kind, drawn[0] % self.rand_skip if drawn else 0)


@dataclass(frozen=True, slots=True)
class ImageData(_Imaging):
    """The images of a list, in its order or shuffled; after the last comes the first again.

    Attributes
    ----------
    source, root_folder : str
    batch : int
    height, width : int
        The size that images are brought to; 0 leaves them as they are.
    color, shuffle : bool
    transform : Transform
    rand_skip : int
        So many, at most, are skipped first.
    """

    source: str
    root_folder: str
    batch: int
    height: int
    width: int
    color: bool
    shuffle: bool
    transform: Transform
    rand_skip: int = 0
    labels: bool = True

    def reader(self, work: Work) -> _Reader:
        seed, drawn = work.seeds.get("shuffle"), work.seeds.get("rand_skip")
        return records.Images(
            here(self.source),
            self.root_folder,
            self.height,
            self.width,
            self.color,
            (seed[0] if seed else RNG().random_raw()) if self.shuffle else None,
            drawn[0] % self.rand_skip if drawn else 0,
        )


@dataclass(frozen=True, slots=True)
class HDF5Data(Delivering):
    """The rows of the datasets named like the tops, file after file of a list.

    Attributes
    ----------
    source : str
    names : tuple of str
    shuffle : bool
        By C's `rand`, which all such layers of a process draw from in turn.
    """

    source: str
    names: tuple[str, ...]
    shuffle: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        kept = work.kept
        rows = kept.get("reader")
        if rows is None:
            turns = partial(records.Turns, work.rng, work.seeds.setdefault("shuffles", [])) if self.shuffle else None
            rows = kept["reader"] = records.Rows(here(self.source), self.names, tops[0].dtype, turns)
        place = kept.get("place", 0)
        rows.read(place, tops)
        kept["place"] = place + len(tops[0])


@dataclass(frozen=True, slots=True)
class MemoryData(Given):
    """The caller's arrays, batch after batch; without them the tops hold what the caller wrote.

    Attributes
    ----------
    batch : int
    """

    batch: int

    def give(self, work: Work, data: Array, labels: Array) -> None:
        """Deliver these arrays from the next pass on, again and again.

        Raises
        ------
        CaffeError
            If they are not of one length, a multiple of the batch.
        """
        need(len(data) == len(labels), f"n = {len(data)} images need as many labels, got {len(labels)}")
        need(len(data) > 0, "data")
        need(
            len(data) % self.batch == 0,
            f"n % batch_size_ == 0 ({len(data) % self.batch} vs. 0) n must be a multiple of batch size",
        )
        work.kept.update(data=data, labels=labels, place=0)

    def go_to(self, place: int, work: Work) -> None:
        """Go on with the item at `place`."""
        work.kept["place"] = place

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        if "data" not in work.kept:
            return
        place, count = work.kept["place"], len(tops[0])
        for name, top in zip(("data", "labels"), tops, strict=True):
            values = work.kept[name][place : place + count]
            top[...] = values.reshape(top.shape)
        work.kept["place"] = (place + count) % len(work.kept["data"])


def here(source: str) -> Path:
    path = records.existing(source)
    if path is None:
        raise CaffeError(f"{source}: does not exist any more")
    return path


@dataclass(frozen=True, slots=True)
class HDF5Output(Operation):
    """Writes its two bottoms as the datasets `data` and `label` of a file, with four axes each.

    As in Caffe a file takes one batch. What is there already is not written over: a prototxt may be a stranger's.
    """

    file: str
    data: Shape
    label: Shape

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        need_equal(len(bottoms[0]), len(bottoms[1]), "bottom[0]->num() == bottom[1]->num()")
        datasets = {"data": bottoms[0].reshape(self.data), "label": bottoms[1].reshape(self.label)}
        records.write_rows(self.file, datasets)

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        pass
