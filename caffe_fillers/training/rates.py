"""The learning rate of each iteration: Caffe's seven policies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import schema
from ..arrays import Dtype
from ..checks import need
from ..errors import CaffeError

__all__ = ["POLICIES", "Rate"]

Number = np.floating


class Rate:
    """The policy of a solver: from the iteration to the rate, a NumPy scalar of `dtype`.

    Caffe computes some policies in double and some in the solver's own type; the rate is rounded to that type at the
    end. The product is taken in the order of Caffe's formulas (``src/caffe/solvers/sgd_solver.cpp``).

    Parameters
    ----------
    message : SolverParameter
    dtype : numpy.dtype

    Attributes
    ----------
    current_step : int
        How many steps the policies step and multistep have taken; a solverstate keeps it.

    Raises
    ------
    CaffeError
        If the policy is unknown, or Caffe would stop at a field that it needs.

    Examples
    --------
    >>> import numpy as np
    >>> from caffe_fillers import schema
    >>> message = schema.SolverParameter(base_lr=0.01, lr_policy="inv", gamma=0.0001, power=0.75)
    >>> rate = Rate(message, np.dtype(np.float32))
    >>> print(f"{rate(0):g} {rate(1):g} {rate(2):g}")
    0.01 0.00999925 0.0099985
    """

    def __init__(self, message: schema.SolverParameter, dtype: Dtype) -> None:
        self.message, self.of = message, dtype.type
        self.current_step = 0
        self.stepped: Callable[[int, int], None] | None = None
        """Called by multistep with the iteration and the step that begins there."""
        policy = message.lr_policy
        if policy not in POLICIES:
            raise CaffeError(f"Unknown learning rate policy: {policy}\nlr_policy is one of {', '.join(POLICIES)}")
        if policy in ("step", "sigmoid"):
            need(
                message.stepsize > 0,
                f"this->param_.stepsize() > 0 ({message.stepsize} vs. 0)",
                f'lr_policy: "{policy}" needs a stepsize of 1 or more',
            )
        if policy in ("step", "exp", "inv", "multistep", "sigmoid"):
            need(
                not message.gamma < 0,
                f"this->param_.gamma() >= 0 ({message.gamma:g} vs. 0)",
                f'lr_policy: "{policy}" needs a gamma of 0 or more',
            )
        self._formula = POLICIES[policy]

    def __call__(self, iteration: int) -> Number:
        return self.of(self._formula(self, iteration))


def _power(base: float | Number, exponent: float | Number) -> np.float64:
    # Python's own power raises, or turns complex, where C's gives infinity or NaN
    with np.errstate(all="ignore"):
        return np.float64(base) ** np.float64(exponent)


def _fixed(rate: Rate, iteration: int) -> float | Number:
    return rate.message.base_lr


def _step(rate: Rate, iteration: int) -> float | Number:
    rate.current_step = iteration // rate.message.stepsize
    return rate.message.base_lr * _power(rate.message.gamma, rate.current_step)


def _exp(rate: Rate, iteration: int) -> float | Number:
    return rate.message.base_lr * _power(rate.message.gamma, iteration)


def _inv(rate: Rate, iteration: int) -> float | Number:
    of, message = rate.of, rate.message
    grown = of(1) + of(np.float32(message.gamma) * np.float32(iteration))
    return of(message.base_lr) * of(_power(grown, -message.power))


def _multistep(rate: Rate, iteration: int) -> float | Number:
    values = rate.message.stepvalue
    # one step an iteration, as in Caffe: two equal values are two iterations apart
    if rate.current_step < len(values) and iteration >= values[rate.current_step]:
        rate.current_step += 1
        if rate.stepped is not None:
            rate.stepped(iteration, rate.current_step)
    return rate.message.base_lr * _power(rate.message.gamma, rate.current_step)


def _poly(rate: Rate, iteration: int) -> float | Number:
    of, message = rate.of, rate.message
    with np.errstate(all="ignore"):
        left = of(1) - of(iteration) / of(message.max_iter)
    return of(message.base_lr) * of(_power(left, message.power))


def _sigmoid(rate: Rate, iteration: int) -> float | Number:
    of, message = rate.of, rate.message
    with np.errstate(all="ignore"):
        away = of(-np.float32(message.gamma)) * (of(iteration) - of(message.stepsize))
        return of(message.base_lr) * (of(1) / (of(1) + of(np.exp(np.float64(away)))))


POLICIES: dict[str, Callable[[Rate, int], float | Number]] = {
    "fixed": _fixed,
    "step": _step,
    "exp": _exp,
    "inv": _inv,
    "multistep": _multistep,
    "poly": _poly,
    "sigmoid": _sigmoid,
}
