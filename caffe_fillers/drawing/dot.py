"""Writes a diagram in graphviz's dot language."""

from __future__ import annotations

from .diagram import Diagram

__all__ = ["dot_text"]


def dot_text(drawn: Diagram) -> str:
    """Return the text for graphviz's programs."""
    # a vertical layout has room for lines beside each other, a horizontal one for lines below each other
    between = " " if drawn.rankdir in ("TB", "BT") else "\n"
    lines = [f"digraph {_quoted(drawn.name)} {{", f"  rankdir={drawn.rankdir};", "  node [style=filled];"]
    for name, box in drawn.boxes.items():
        shape = "octagon" if box.blob else "box"
        lines.append(
            f'  {_quoted(name)} [label={_quoted(between.join(box.lines))}, shape={shape}, fillcolor="{box.color}"];'
        )
    for source, target, label in drawn.arrows:
        said = f" [label={_quoted(label)}]" if label else ""
        lines.append(f"  {_quoted(source)} -> {_quoted(target)}{said};")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
