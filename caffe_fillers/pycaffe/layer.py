"""Layer: the base class of layers written in Python, and the look-up of their classes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from ..errors import CaffeError
from ..layers.python import BlobList, BlobView

__all__ = ["Imported", "Layer"]

Blobs = Sequence[BlobView]


class Layer:
    """The base class of Python layers, with `setup`, `reshape`, `forward` and `backward`.

    A prototxt names it by `module` and `layer` in its `python_param`. The module is not imported for you: that would
    run whatever file of that name lies about. Import it in the script, or put it in `sys.modules`.

    Attributes
    ----------
    param_str : str
        The text in `python_param`.
    phase : int
        TRAIN or TEST.
    blobs : BlobList
        The layer's parameters; ``self.blobs.add_blob(2, 3)`` in `setup` makes one.

    Examples
    --------
    >>> from caffe_fillers import pycaffe as caffe
    >>> class Twice(caffe.Layer):
    ...     def setup(self, bottom, top):
    ...         pass
    ...
    ...     def reshape(self, bottom, top):
    ...         top[0].reshape(*bottom[0].data.shape)
    ...
    ...     def forward(self, bottom, top):
    ...         top[0].data[...] = 2 * bottom[0].data
    ...
    ...     def backward(self, top, propagate_down, bottom):
    ...         bottom[0].diff[...] = 2 * top[0].diff
    >>> Twice().type
    'Python'
    """

    param_str: str
    phase: int

    def __init__(self, *_: object) -> None:
        self.blobs = BlobList()

    @property
    def type(self) -> str:
        """The layer's type, "Python"."""
        return "Python"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read `param_str`, check the bottoms, make parameters: once, when the net is made."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops: when the net is made, and before each forward pass."""
        raise CaffeError(f"the Python layer {type(self).__name__} has no reshape(self, bottom, top)")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Write the data of the tops."""
        raise CaffeError(f"the Python layer {type(self).__name__} has no forward(self, bottom, top)")

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Write the diffs of the bottoms that `propagate_down` asks for."""
        raise CaffeError(f"the Python layer {type(self).__name__} has no backward(self, top, propagate_down, bottom)")


class Imported(Mapping[str, type]):
    """The classes of the modules that are imported already, by ``module.layer``."""

    def __getitem__(self, name: str) -> type:
        module, _, layer = name.rpartition(".")
        if not module:
            raise KeyError(name)
        if module not in sys.modules:
            raise CaffeError(
                f"the Python layer {layer!r} is of a module {module!r} that is not imported\n"
                f"add `import {module}` to the script before the net is made: no module is imported for you"
            )
        try:
            found: type = getattr(sys.modules[module], layer)
        except AttributeError:
            raise CaffeError(f"module {module!r} has no Python layer {layer!r}") from None
        return found

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
