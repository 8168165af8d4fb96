"""Pictures of nets: graphviz's dot language, or an SVG that needs no graphviz."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CaffeError
from ..files import replacing

if TYPE_CHECKING:
    from ..net import Net, NetLike

__all__ = ["draw"]

# graphviz's names for them
_FORMATS = ("gif", "jpeg", "jpg", "pdf", "png", "ps")


def draw(
    net: Net | NetLike,
    path: str | os.PathLike[str],
    *,
    rankdir: str = "TB",
    phase: str | None = None,
    lr_mult: bool = False,
) -> None:
    """Draw a net: its layers, the blobs between them, and what each layer does.

    Parameters
    ----------
    net : Net, NetParameter, str or PathLike
        A net, its message or the path of its prototxt, of any age. It may be a net that can't be set up.
    path : str or PathLike
        ``.dot`` is text for graphviz. ``.svg`` is drawn by graphviz's program `dot` if it is installed, else by this
        package. ``.png``, ``.pdf`` and others need graphviz.
    rankdir : {"TB", "BT", "LR", "RL"}, optional
        The direction of the data: from top to bottom, left to right ...
    phase : {"TRAIN", "TEST"}, optional
        Draw only the layers of this phase. None draws all layers in the text.
    lr_mult : bool, optional
        Also show the learning rate multipliers.

    Raises
    ------
    CaffeError
        If the net can't be read, the file can't be written, or graphviz is needed and missing.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> cf.draw("examples/mnist/lenet.prototxt", "lenet.dot")
    >>> from pathlib import Path
    >>> print(Path("lenet.dot").read_text().splitlines()[3])
      "data_Input" [label="data (Input)", shape=box, fillcolor="#6495ED"];
    """
    from .diagram import diagram
    from .rendering import render

    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in ("dot", "svg", *_FORMATS):
        raise CaffeError(f"{path}: the suffix names no format: use .dot, .svg, .{', .'.join(_FORMATS)}")
    data = render(diagram(net, rankdir, phase, lr_mult), suffix)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
