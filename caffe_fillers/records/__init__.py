"""Reads data from the disk: databases, HDF5 files, lists of images, IDX files.

Functions ending in ``_shape`` read what a data layer needs to know of its first record; they return ``None`` where
there is no source, so that the caller can ask for the shape. A source that is there but cannot be read is an error.
"""

from __future__ import annotations

from .databases import Database, open_database, write_database
from .datums import Datums, datum_shape, is_leveldb, is_lmdb
from .hdf5 import Rows, first_turns, hdf5_shapes, write_rows
from .idx import read_idx
from .images import Images, encode, image_shape, read_image, read_list
from .resizing import resize
from .shuffling import Turns, shuffle
from .sources import beside, check_regular, existing
from .windows import Window, Windows, window_shape

__all__ = [
    "Database",
    "Datums",
    "Images",
    "Rows",
    "Turns",
    "Window",
    "Windows",
    "beside",
    "check_regular",
    "datum_shape",
    "encode",
    "existing",
    "first_turns",
    "hdf5_shapes",
    "image_shape",
    "is_leveldb",
    "is_lmdb",
    "open_database",
    "read_idx",
    "read_image",
    "read_list",
    "resize",
    "shuffle",
    "window_shape",
    "write_database",
    "write_rows",
]
