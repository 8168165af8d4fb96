"""Compares the arrays of a port with the blobs of a net."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import CaffeError
from .files import as_path, replacing
from .net import Net

__all__ = ["BlobComparison", "BlobDifference", "compare_blobs", "save_blobs"]


@dataclass(frozen=True, slots=True)
class BlobDifference:
    """The comparison of one array of a port with the blob of that name.

    Attributes
    ----------
    name : str
    layer : str
        The last layer that wrote the blob.
    shape, other : tuple of int
        The shapes of the blob and of the port's array.
    largest : float
        The largest absolute difference; NaN if the shapes differ.
    relative : float
        The same divided by the blob's largest absolute value.
    at : tuple of int
        The index of the largest difference.
    same : bool
        True if the difference is within the tolerance.
    hint : str
        A likely cause in the port.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    other: tuple[int, ...]
    largest: float
    relative: float
    at: tuple[int, ...]
    same: bool
    hint: str = ""

    def __str__(self) -> str:
        if self.shape != self.other:
            said = f"shape {self.shape} here, {self.other} in the port"
        else:
            said = f"differs by {self.largest:.3g} ({self.relative:.2g} of its largest value) at {self.at}"
        return f"blob '{self.name}' of layer '{self.layer}': {said}" + (f"; {self.hint}" if self.hint else "")


@dataclass(frozen=True, slots=True)
class BlobComparison:
    """The comparison of a port's arrays with a net's blobs, in the net's order.

    Attributes
    ----------
    rows : list of BlobDifference
    first : BlobDifference or None
        The first blob that differs.
    missing : list of str
        Blobs that the port did not give.
    """

    rows: list[BlobDifference] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def first(self) -> BlobDifference | None:
        """The first blob, in the net's order, that differs."""
        return next((row for row in self.rows if not row.same), None)

    def __bool__(self) -> bool:
        return self.first is None

    def __str__(self) -> str:
        first = self.first
        if first is None:
            return f"all {len(self.rows)} blobs agree"
        before = self.rows.index(first)
        return f"{before} of {len(self.rows)} blobs agree, then {first}"


def compare_blobs(net: Net, arrays: Mapping[str, object], tolerance: float = 1e-4) -> BlobComparison:
    """Compare the arrays of a port with a net's blobs, and name the first that differs.

    Parameters
    ----------
    net : Net
        The net, after a forward pass over the port's input.
    arrays : mapping of str to array_like
        The port's results by the blobs' names; you may leave blobs out.
    tolerance : float, optional
        The largest difference allowed, as a fraction of the blob's largest absolute value.

    Returns
    -------
    BlobComparison
        True if all agree; its text names the first that does not.

    Raises
    ------
    CaffeError
        If `arrays` is empty, or names a blob that the net does not have.

    Notes
    -----
    If layers work in place, a blob holds the values of the last of them.

    Examples
    --------
    >>> import numpy as np, caffe_fillers as cf
    >>> net = cf.Net("examples/mnist/lenet.prototxt", "TEST", rng=1701)
    >>> net.blobs["data"].reshape(1, 1, 28, 28)
    >>> outputs = net.forward(data=np.ones((1, 1, 28, 28)))
    >>> port = {name: blob.data.copy() for name, blob in net.blobs.items()}
    >>> port["pool2"] = port["pool2"].transpose(0, 2, 3, 1)
    >>> print(cf.compare_blobs(net, port))
    4 of 8 blobs agree, then blob 'pool2' of layer 'pool2': shape (1, 50, 4, 4) here, (1, 4, 4, 50) in the port; \
the port's channels are last: transpose(0, 3, 1, 2)
    """
    unknown = [name for name in arrays if name not in net.blobs]
    if unknown or not arrays:
        raise CaffeError(
            f"the net has no blob named {', '.join(map(repr, unknown))}; it has {', '.join(net.blobs)}"
            if unknown
            else "there is nothing to compare: give the port's arrays by the blobs' names"
        )
    makers = {name: layer.name for layer in net.layers for name in layer.tops}
    rows = [
        _difference(name, makers[name], blob.data, np.asarray(arrays[name]), tolerance)
        for name, blob in net.blobs.items()
        if name in arrays
    ]
    return BlobComparison(rows, [name for name in net.blobs if name not in arrays])


def _difference(name: str, layer: str, ours: np.ndarray, other: np.ndarray, tolerance: float) -> BlobDifference:
    if ours.shape != other.shape:
        last = ours.ndim == 4 and other.shape == (ours.shape[0], *ours.shape[2:], ours.shape[1])
        hint = "the port's channels are last: transpose(0, 3, 1, 2)" if last else ""
        return BlobDifference(name, layer, ours.shape, other.shape, np.nan, np.nan, (), False, hint)
    if not ours.size:
        return BlobDifference(name, layer, ours.shape, other.shape, 0.0, 0.0, (), True)
    with np.errstate(invalid="ignore"):
        # equal infinities are no difference, and NaN is one only where the other side has none
        apart = np.abs(np.where(ours == other, 0, ours.astype(np.float64) - other))
    apart = np.where(np.isnan(ours) & np.isnan(other), 0, np.where(np.isnan(apart), np.inf, apart))
    at = np.unravel_index(int(apart.argmax()), apart.shape)
    largest, scale = float(apart.max()), float(np.nan_to_num(np.abs(ours)).max())
    relative = largest / scale if scale else (0.0 if largest == 0 else float("inf"))
    return BlobDifference(
        name, layer, ours.shape, other.shape, largest, relative, tuple(map(int, at)), relative <= tolerance
    )


def save_blobs(net: Net, path: str | os.PathLike[str], names: Iterable[str] | None = None) -> None:
    """Write the blobs of the last pass by name to an ``.npz`` that `numpy.load` reads.

    Parameters
    ----------
    net : Net
        The net, after a forward pass.
    path : str or PathLike
    names : iterable of str, optional
        The blobs to write. None writes all.

    Raises
    ------
    CaffeError
        If no blob has such a name, the suffix is not ``.npz``, or the file can't be written. An older file stays
        unchanged.

    Examples
    --------
    >>> import numpy as np, caffe_fillers as cf
    >>> net = cf.Net("examples/mnist/lenet.prototxt", "TEST", rng=1701)
    >>> net.blobs["data"].reshape(1, 1, 28, 28)
    >>> outputs = net.forward(data=np.ones((1, 1, 28, 28)))
    >>> cf.save_blobs(net, "blobs.npz", ["pool2", "prob"])
    >>> np.load("blobs.npz")["pool2"].shape
    (1, 50, 4, 4)
    """
    target = as_path(path)
    if target.suffix.lower() != ".npz":
        raise CaffeError(f"{target}: blobs are written to an .npz")
    chosen = list(net.blobs) if names is None else list(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in net.blobs]
    if unknown:
        raise CaffeError(f"no blob is named {', '.join(map(repr, unknown))}; there are {', '.join(net.blobs)}")
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in chosen:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, net.blobs[name].data, allow_pickle=False)
