"""Renders a diagram to the bytes of a file."""

from __future__ import annotations

import shutil
import subprocess

from ..errors import CaffeError
from .diagram import Diagram
from .dot import dot_text
from .svg import svg_text

__all__ = ["render"]


def render(drawn: Diagram, kind: str) -> bytes:
    """Return the bytes of a picture: "dot", "svg", or a format of graphviz's.

    Raises
    ------
    CaffeError
        If graphviz is needed and missing, or fails.
    """
    text = dot_text(drawn)
    if kind == "dot":
        return text.encode()
    program = shutil.which("dot")
    if program is None:
        if kind == "svg":
            return svg_text(drawn).encode()
        raise CaffeError(
            f"to draw a .{kind} graphviz's program `dot` is needed: install graphviz, or draw .svg or .dot"
        )
    done = subprocess.run([program, f"-T{kind}"], input=text.encode(), capture_output=True)
    if done.returncode != 0:
        raise CaffeError(f"graphviz: {done.stderr.decode(errors='replace').strip() or done.returncode}")
    return done.stdout
