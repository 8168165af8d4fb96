"""Caffe's stochastic gradient descent: the learning-rate policies and the update, in Caffe's order, in float32."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffe_fillers import CaffeError

f32 = np.float32


def learning_rate(solver: Any, iteration: int) -> np.float32:
    """The rate of `iteration` by the solver's lr_policy."""
    base, gamma, power = f32(solver.base_lr), f32(solver.gamma), f32(solver.power)
    match solver.lr_policy:
        case "fixed":
            return base
        case "step":
            if solver.stepsize <= 0:
                raise CaffeError('lr_policy: "step" needs a positive stepsize')
            return f32(float(base) * float(gamma) ** (iteration // solver.stepsize))
        case "exp":
            return f32(float(base) * float(gamma) ** iteration)
        case "inv":
            return base * _power(f32(1) + gamma * f32(iteration), -power)
        case "multistep":
            return f32(float(base) * float(gamma) ** sum(iteration >= value for value in solver.stepvalue))
        case "poly":
            return base * _power(f32(1) - f32(iteration) / f32(solver.max_iter), power)
        case "sigmoid":
            exponent = math.exp(-gamma * (f32(iteration) - f32(solver.stepsize)))
            return base * (f32(1) / (f32(1) + f32(exponent)))
    raise CaffeError(
        f"unknown lr_policy: {solver.lr_policy!r}; there are fixed, step, exp, inv, multistep, poly and sigmoid"
    )


def _fused(a: np.float32, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``a * x + y`` rounded once, as a BLAS does it with the processor's fused instruction."""
    return (np.multiply(x, a, dtype=np.float64) + y).astype(x.dtype)


def _power(base: np.float32, exponent: np.float32) -> np.float32:
    """C's powf."""
    return f32(float(base) ** float(exponent))


@dataclass
class Parameter:
    """One array that learns. The blobs are those of all layers that share it; each brings a gradient of its own."""

    blobs: list[Any]
    lr_mult: float
    decay_mult: float
    history: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.history = np.zeros_like(self.blobs[0].data)

    def gradient(self) -> np.ndarray:
        """The sum of the blobs' gradients."""
        first, *others = self.blobs
        for blob in others:
            first.diff[...] += blob.diff.reshape(first.shape)
        return first.diff


def parameters(net: Any) -> list[Parameter]:
    """What learns in `net`, in order; arrays shared between layers once."""
    found: dict[int, Parameter] = {}
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            address = blob.data.__array_interface__["data"][0]
            if address in found:
                found[address].blobs.append(blob)
                continue
            spec = layer.message.param[i] if i < len(layer.message.param) else None
            found[address] = Parameter(
                [blob], spec.lr_mult if spec is not None else 1.0, spec.decay_mult if spec is not None else 1.0
            )
    return list(found.values())


class SGD:
    """Gradient descent with momentum and weight decay.

    Parameters
    ----------
    solver : SolverParameter
    net : caffe_fillers.Net
        Its blobs' `diff` hold the gradients, its blobs' `data` are changed.
    """

    def __init__(self, solver: Any, net: Any) -> None:
        if solver.type != "SGD":
            raise CaffeError(f'this example trains with type: "SGD", got {solver.type!r}')
        if solver.regularization_type not in ("L1", "L2"):
            raise CaffeError(f"unknown regularization_type: {solver.regularization_type!r}; there are L1 and L2")
        self.solver = solver
        self.parameters = parameters(net)

    def update(self, iteration: int) -> None:
        """Take one step."""
        solver, base_rate = self.solver, learning_rate(self.solver, iteration)
        gradients = [parameter.gradient() for parameter in self.parameters]
        if solver.clip_gradients >= 0:
            length = math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients))
            if length > solver.clip_gradients:
                for gradient in gradients:
                    gradient *= f32(solver.clip_gradients / length)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            weights = parameter.blobs[0].data
            if solver.iter_size > 1:
                gradient *= f32(1) / f32(solver.iter_size)
            decay = f32(solver.weight_decay) * f32(parameter.decay_mult)
            if decay:
                gradient[...] = _fused(
                    decay, weights if solver.regularization_type == "L2" else np.sign(weights), gradient
                )
            rate = base_rate * f32(parameter.lr_mult)
            parameter.history[...] = _fused(rate, gradient, f32(solver.momentum) * parameter.history)
            weights -= parameter.history
