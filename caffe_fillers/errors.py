"""The package's exception and its warning: CaffeError and CaffeWarning."""

from __future__ import annotations

import re

from .encoding import shown

__all__ = ["CaffeError", "CaffeWarning", "printable"]

# characters that control a terminal or that no encoding holds; names in files may be hostile
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST = 3000


def printable(text: str) -> str:
    """Return the text with control characters, lone surrogates and undecodable bytes as escapes."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], shown(text))


def _bounded(text: object) -> str:
    shown = str(text)
    if len(shown) > _LONGEST:
        # the end of a text says what to do
        shown = f"{shown[: _LONGEST // 2]} ... {shown[-_LONGEST // 2 :]}"
    return printable(shown)


class CaffeError(ValueError):
    """Raised for every error in a call or a file.

    The text says what is wrong, what was received, where (file, line, layer) and what to do about it.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> try:
    ...     cf.fill((2, 3), {"type": "gaussian", "std": -1}, rng=1)
    ... except cf.CaffeError as error:
    ...     print(str(error).splitlines()[0])
    Check failed: sigma > 0 (-1 vs. 0)
    """

    def __init__(self, text: object = "") -> None:
        super().__init__(_bounded(text))


class CaffeWarning(UserWarning):
    """Warns of input that is accepted or skipped, but is probably a mistake.

    Examples
    --------
    >>> import warnings
    >>> from pathlib import Path
    >>> import caffe_fillers as cf
    >>> text = 'layer { name: "data" type: "Input" top: "data" colour: 3 input_param { shape { dim: 1 } } }'
    >>> Path("net.prototxt").write_text(text) > 0
    True
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     net = cf.Net("net.prototxt")
    >>> [warning.category.__name__ for warning in caught]
    ['CaffeWarning']
    """

    def __init__(self, text: object = "") -> None:
        super().__init__(_bounded(text))
