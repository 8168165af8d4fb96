"""The names of ops: each module's own list, offered where it was promised."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

from caffe_fillers import ops


def test_operations_are_offered_by_the_package():
    seen = set()
    for module in pkgutil.iter_modules(ops.__path__):
        for name, kind in vars(import_module(f"caffe_fillers.ops.{module.name}")).items():
            own = inspect.isclass(kind) and issubclass(kind, ops.Operation) and "forward" in vars(kind)
            if own and not name.startswith("_"):
                assert getattr(ops, name) is kind
                seen.add(kind)
    assert {ops.Convolution, ops.Dropout} <= seen


def test_names_are_those_of_their_modules():
    assert len(ops.__all__) == len(set(ops.__all__))
    for module, names in ops._MODULES.items():
        assert all(getattr(ops, name) is getattr(import_module(f"caffe_fillers.ops.{module}"), name) for name in names)
    assert set(ops.__all__) <= set(dir(ops))
