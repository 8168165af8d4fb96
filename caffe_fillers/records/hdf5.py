"""HDF5 files as HDF5Data layers read them, from a list of file names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._core import RNG
from ..errors import CaffeError
from ..files import as_path, replacing
from .shuffling import Turns
from .sources import beside, check_regular, existing, lines

if TYPE_CHECKING:
    import h5py

__all__ = ["Rows", "first_turns", "hdf5_shapes", "write_rows"]


class Rows:
    """The rows of the datasets in the HDF5 files of a list, one file in memory at a time.

    Parameters
    ----------
    path : Path
        The list: names of files between blanks.
    names : sequence of str
        The datasets.
    dtype : numpy.dtype
        What values are turned to.
    turns : callable, optional
        Makes the layer's turns at C's `rand`, from the first one on, that shuffle both the files and the rows of each.

    Raises
    ------
    CaffeError
        If the list is empty, a file can't be read, or a dataset is missing, empty or of another length.
    """

    def __init__(
        self, path: Path, names: Sequence[str], dtype: npt.DTypeLike, turns: Callable[[], Turns] | None = None
    ) -> None:
        self._path, self._names, self._dtype, self._first_turn = path, names, dtype, turns
        self._files = [beside(path, word) for word in _words(path)]
        self._row = self._at = 0
        self._start()

    def read(self, place: int, tops: Sequence[np.ndarray]) -> None:
        """Write as many rows as `tops` have, from the `place`-th on; after the last file comes the first again.

        Raises
        ------
        CaffeError
            If the next file can't be read or its rows have another shape. `tops` are then as they were.
        """
        if place != self._at:
            self._start()
            for _ in self._pieces(place):
                pass
        self._at = -1
        count = len(tops[0])
        pieces = list(self._pieces(count))
        for _, blobs, _ in pieces:
            for name, blob, top in zip(self._names, blobs, tops, strict=True):
                if blob.shape[1:] != top.shape[1:]:
                    raise CaffeError(
                        f"{self._path}: rows of dataset '{name}' have the shape {blob.shape[1:]} in one file, "
                        f"{top.shape[1:]} in the first"
                    )
        for begin, blobs, rows in pieces:
            for blob, top in zip(blobs, tops, strict=True):
                part = blob[rows]
                top[begin : begin + len(part)] = part
        self._at = place + count

    def _pieces(self, count: int) -> Iterator[tuple[int, list[np.ndarray], slice | np.ndarray]]:
        """Go on by `count` rows: where each piece begins, its file's datasets, and which of their rows it is."""
        done = 0
        while done < count:
            if self._row == len(self._blobs[0]):
                self._next()
            begin, end = self._row, min(self._row + count - done, len(self._blobs[0]))
            yield done, self._blobs, slice(begin, end) if self._order is None else self._order[begin:end]
            done += end - begin
            self._row = end
            if self._order is not None and end == len(self._order):
                # as soon as the last row is out, since other layers draw from C's `rand` too
                self._next()

    def _start(self) -> None:
        self._turns = None if self._first_turn is None else self._first_turn()
        self._permutation = list(range(len(self._files)))
        if self._turns is not None:
            self._turns.shuffle(self._permutation)
        self._file = 0
        self._load()

    def _next(self) -> None:
        """After the last row: the next file, or the same one again where there is no other."""
        if len(self._files) > 1:
            self._file += 1
            if self._file == len(self._files):
                self._file = 0
                if self._turns is not None:
                    self._turns.shuffle(self._permutation)
            self._load()
        self._row = 0
        if self._order is not None:
            # shuffle again what loading has just shuffled
            self._reorder()

    def _load(self) -> None:
        file = self._files[self._permutation[self._file]]
        self._blobs = _read(file, self._names, self._path, self._dtype)
        self._row = 0
        self._order: np.ndarray | None = None
        if self._turns is not None:
            self._order = np.arange(len(self._blobs[0]))
            self._reorder()

    def _reorder(self) -> None:
        assert self._order is not None
        assert self._turns is not None
        order = self._order.tolist()
        self._turns.shuffle(order)
        self._order = np.array(order)


def hdf5_shapes(source: str, tops: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the whole shapes of the datasets named as `tops` in the first file of an HDF5Data layer's list.

    Empty where there is no list.

    Raises
    ------
    CaffeError
        If the list is empty, the file is missing or no HDF5, or a dataset is missing from it.
    """
    path = existing(source)
    if path is None:
        return {}
    name = beside(path, _words(path)[0])
    with _datasets(name, tops, path) as found:
        return {top: tuple(int(dim) for dim in dataset.shape) for top, dataset in found.items()}


def first_turns(source: str, names: Sequence[str], stream: RNG) -> list[int]:
    """Take the turns at C's `rand` that a shuffling layer takes at set-up; return where each begins and ends.

    No turn is taken where the file whose rows come first can't be read: the layer says so when it is to deliver.
    """
    before, taken = stream.c_rand, list[int]()
    turns = Turns(stream, taken)
    try:
        path = existing(source)
        files = [] if path is None else [beside(path, word) for word in _words(path)]
        turns.shuffle(files)
        if path is not None:
            with _datasets(files[0], names[:1], path) as found:
                turns.take(found[names[0]].shape[0])
    except (CaffeError, IndexError):
        stream.c_rand = before
        taken.clear()
    return taken


def write_rows(path: str, datasets: Mapping[str, np.ndarray]) -> None:
    """Write datasets to an HDF5 file that is not there yet.

    Raises
    ------
    CaffeError
        If the file exists or can't be written, or h5py is missing.
    """
    target = as_path(path)
    if target.exists():
        raise CaffeError(
            f"{target}: exists already: a file takes one batch and is never overwritten; "
            "remove it, or give another name"
        )
    try:
        import h5py
    except ImportError:
        raise CaffeError(f"{target}: to write HDF5: pip install 'caffe_fillers[hdf5]'") from None
    with replacing(target) as temporary, h5py.File(temporary, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)


def _words(path: Path) -> list[str]:
    words = [word for line in lines(path) for word in line.split()]
    if not words:
        raise CaffeError(f"{path}: the list names no HDF5 file")
    return words


def _read(file: Path, names: Sequence[str], listed: Path, dtype: npt.DTypeLike) -> list[np.ndarray]:
    blobs: list[np.ndarray] = []
    with _datasets(file, names, listed) as found:
        for name in names:
            dataset = found[name]
            if dataset.is_virtual or dataset.external:
                raise CaffeError(f"{file}: the values of dataset '{name}' lie in another file, which is not followed")
            rows = len(blobs[0]) if blobs else dataset.shape[0] if dataset.shape else 0
            if not dataset.shape or dataset.shape[0] != rows or dataset.size == 0:
                raise CaffeError(
                    f"{file}: dataset '{name}' has the shape {dataset.shape}; "
                    f"{rows or 'one or more'} rows, none of them empty, are needed"
                )
            try:
                blob = np.empty(dataset.shape, dtype)
            except (MemoryError, ValueError):
                raise CaffeError(
                    f"{file}: dataset '{name}', {dataset.shape}, is more than there is memory for"
                ) from None
            # HDF5 converts the values to ours, as in Caffe
            dataset.read_direct(blob)
            blobs.append(blob)
    return blobs


@contextmanager
def _datasets(file: Path, names: Iterable[str], listed: Path) -> Iterator[dict[str, h5py.Dataset]]:
    try:
        import h5py
    except ImportError:
        raise CaffeError(
            f"{listed}: to read HDF5: pip install 'caffe_fillers[hdf5]', or give each dataset's shape: --input TOP=DIMS"
        ) from None
    check_regular(file)
    try:
        with h5py.File(file, "r") as opened:
            found = {}
            for name in names:
                if isinstance(opened.get(name, getlink=True), h5py.ExternalLink):
                    raise CaffeError(f"{file}: the dataset '{name}' is a link to another file, which is not followed")
                dataset = opened.get(name)
                if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
                    raise CaffeError(f"{file}: holds no dataset '{name}', which {listed} needs for that top")
                if dataset.dtype.kind not in "iuf" or h5py.check_enum_dtype(dataset.dtype):
                    raise CaffeError(f"{file}: dataset '{name}' holds {dataset.dtype}; Caffe reads numbers only")
                found[name] = dataset
            yield found
    except CaffeError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise CaffeError(f"{file}: (named in {listed}) cannot be read as HDF5: {error}") from None
