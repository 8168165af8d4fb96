"""Types of the arrays that the package's functions take and return."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["FLOAT32", "FLOAT64", "Array", "Bytes", "Dtype", "Integers"]

Array = npt.NDArray[np.floating]
"""Numbers of single or double precision; what is read from a file may be of another."""
Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.integer]
Dtype = np.dtype[np.floating]
FLOAT32: Dtype = np.dtype(np.float32)
FLOAT64: Dtype = np.dtype(np.float64)
