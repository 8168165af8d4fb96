"""Measure the table of docs/xavier.md, for those of PyTorch, JAX and Keras that are installed.

python docs/measure_xavier.py
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import caffe_fillers as cf

SHAPES = ((50, 20, 5, 5), (500, 800), (256, 128, 3, 3))


def ours() -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in ("xavier", "msra"):
        for norm in ("FAN_IN", "AVERAGE", "FAN_OUT"):
            yield f"Caffe {name} {norm}", lambda shape, name=name, norm=norm: getattr(cf, name)(shape, norm, rng=1701)


def pytorch() -> Iterator[tuple[str, Callable[..., Any]]]:
    import torch
    from torch.nn import init

    torch.manual_seed(1701)
    calls = {
        "xavier_uniform_": init.xavier_uniform_,
        "kaiming_uniform_": init.kaiming_uniform_,
        "kaiming_normal_": init.kaiming_normal_,
        "kaiming_uniform_ of a=sqrt(5), the default of Conv2d and Linear": lambda w: init.kaiming_uniform_(
            w, a=math.sqrt(5)
        ),
        "kaiming_uniform_ nonlinearity=linear": lambda w: init.kaiming_uniform_(w, nonlinearity="linear"),
        "kaiming_normal_ nonlinearity=relu": lambda w: init.kaiming_normal_(w, nonlinearity="relu"),
    }
    for name, call in calls.items():
        yield f"PyTorch {name}", lambda shape, call=call: call(torch.empty(*shape)).tolist()


def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in the layout of Keras and JAX: kernel, inputs, outputs."""
    return (*shape[2:], shape[1], shape[0])


def jax() -> Iterator[tuple[str, Callable[..., Any]]]:
    import jax

    make, key = jax.nn.initializers, jax.random.key(1701)
    calls = {
        "glorot_uniform": make.glorot_uniform(),
        "he_normal": make.he_normal(),
        "variance_scaling(1, fan_in, uniform)": make.variance_scaling(1, "fan_in", "uniform"),
        "variance_scaling(2, fan_in, normal)": make.variance_scaling(2, "fan_in", "normal"),
    }
    for name, call in calls.items():
        yield f"JAX {name}", lambda shape, call=call: call(key, turned(shape))


def keras() -> Iterator[tuple[str, Callable[..., Any]]]:
    from keras import initializers as make

    calls = {
        "glorot_uniform": make.GlorotUniform(1701),
        "he_normal": make.HeNormal(1701),
        "lecun_uniform": make.LecunUniform(1701),
        "VarianceScaling(2, fan_in, untruncated_normal)": make.VarianceScaling(
            2, "fan_in", "untruncated_normal", seed=1701
        ),
    }
    for name, call in calls.items():
        yield f"Keras {name}", lambda shape, call=call: call(turned(shape))


def main() -> None:
    print(f"{'standard deviation':70}", *("x".join(map(str, shape)).rjust(12) for shape in SHAPES))
    for module, calls in ((None, ours), ("torch", pytorch), ("jax", jax), ("keras", keras)):
        if module and importlib.util.find_spec(module) is None:
            print(f"{module} is not installed")
            continue
        for name, call in calls():
            print(f"{name:70}", *(f"{np.asarray(call(shape), np.float64).std():12.4f}" for shape in SHAPES))


if __name__ == "__main__":
    main()
