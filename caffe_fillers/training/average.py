"""The loss that Caffe prints: its average over the last iterations."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

__all__ = ["Average", "AverageState"]


class AverageState(TypedDict):
    """The state from which a mean continues; floats are in hexadecimal."""

    losses: list[str]
    mean: str
    n: int


class Average:
    """The mean of the last `window` losses, brought up to date one loss at a time with Caffe's rounding.

    Once the window is full Caffe adds the difference of the new loss to the one that it replaces, over the window; so
    even with a window of 1 the mean is not always the last loss to the last bit.

    Examples
    --------
    >>> import numpy as np
    >>> average = Average(2, np.float32)
    >>> print(*(average.add(np.float32(loss)) for loss in (4, 2, 1)))
    4.0 3.0 1.5
    """

    def __init__(self, window: int, of: type[np.floating]) -> None:
        self.window, self.of = window, of
        self.losses: list[np.floating] = []
        self.mean = of(0)
        self.count = 0

    def add(self, loss: np.floating) -> np.floating:
        """Take one more loss and return the mean."""
        of, have = self.of, len(self.losses)
        with np.errstate(all="ignore"):
            if have < self.window:
                self.losses.append(loss)
                self.mean = (self.mean * of(have) + loss) / of(have + 1)
            else:
                place = self.count % self.window
                self.mean += (loss - self.losses[place]) / of(self.window)
                self.losses[place] = loss
        self.count += 1
        return self.mean

    def state(self) -> AverageState:
        """Return plain values, exact to the last bit."""
        return {"losses": [float(each).hex() for each in self.losses], "mean": float(self.mean).hex(), "n": self.count}

    def restore(self, state: AverageState) -> None:
        self.losses = [self.of(float.fromhex(each)) for each in state["losses"]][: self.window]
        self.mean, self.count = self.of(float.fromhex(state["mean"])), int(state["n"])
