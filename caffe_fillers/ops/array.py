"""The types of what operations take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array"]

Array = npt.NDArray[np.floating[Any]]
