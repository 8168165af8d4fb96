"""HDF5 files, named by a list, as HDF5Data layers read them."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CaffeError
from .sources import beside, existing, lines

__all__ = ["hdf5_shapes"]


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
    first = next((word for line in lines(path) for word in line.split()), None)
    if first is None:
        raise CaffeError(f"{path}: the list names no HDF5 file")
    try:
        import h5py
    except ImportError:
        raise CaffeError(
            f"{path}: to read HDF5: pip install 'caffe_fillers[hdf5]', or give each dataset's shape: --input TOP=DIMS"
        ) from None
    name = beside(path, first)
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with h5py.File(name, "r") as file:
            for top in tops:
                if isinstance(file.get(top, getlink=True), h5py.ExternalLink):
                    raise CaffeError(f"{name}: the dataset '{top}' is a link to another file, which is not followed")
                dataset = file.get(top)
                if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
                    raise CaffeError(f"{name}: holds no dataset '{top}', which {path} needs for that top")
                if dataset.dtype.kind not in "iuf" or h5py.check_enum_dtype(dataset.dtype):
                    raise CaffeError(f"{name}: dataset '{top}' holds {dataset.dtype}; Caffe reads numbers only")
                shapes[top] = tuple(int(dim) for dim in dataset.shape)
    except CaffeError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise CaffeError(f"{name}: (named in {path}) cannot be read as HDF5: {error}") from None
    return shapes
