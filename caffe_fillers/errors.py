"""What goes wrong, under one name."""

from __future__ import annotations

__all__ = ["CaffeError", "CaffeWarning"]


class CaffeError(ValueError):
    """Anything a caller or a file can get wrong.

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


class CaffeWarning(UserWarning):
    """Something that Caffe accepts, or that was skipped, and that the caller should look at."""
