"""Fixtures for exports: the inputs and outputs of layers measured from Caffe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

RUN = Path(__file__).parents[1] / "golden" / "run"


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    with np.load(RUN / "layers.npz") as file:
        return dict(file)
