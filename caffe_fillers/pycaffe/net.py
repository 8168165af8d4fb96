"""pycaffe's Net, built on `caffe_fillers.Net`."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import net as nets
from ..errors import CaffeError
from ..layers.python import BlobView, PythonOperation
from ..layers.rule import Layer
from ..planning import Step
from . import common
from .batches import Collected, batches, items_of
from .layer import Imported

if TYPE_CHECKING:
    from ..layers.delivering import MemoryData

__all__ = ["Net", "NetLayer", "PathLike"]

Array = np.ndarray
PathLike = str | os.PathLike[str]


class NetLayer:
    """A layer of a net: its type and its parameters."""

    __slots__ = ("blobs", "type")

    def __init__(self, layer: Layer) -> None:
        self.type = layer.type
        self.blobs = [BlobView(blob) for blob in layer.blobs]

    def __getattr__(self, name: str) -> object:
        if name in ("setup", "reshape"):
            raise CaffeError(f"{name} of a single layer is not supported: net.reshape() reshapes all of them")
        raise AttributeError(name)


class Net:
    """A net: ``Net(model, phase, weights=None, level=0, stages=None)``, or of old ``Net(model, weights, phase)``.

    Parameters
    ----------
    network_file : str or PathLike
        The prototxt.
    phase : {caffe.TRAIN, caffe.TEST}
    level : int, optional
    stages : list of str, optional
        With `phase`, what include and exclude rules are matched with.
    weights : str or PathLike, optional
        The file to copy weights from.

    Attributes
    ----------
    blobs : OrderedDict of str to BlobView
        Every blob, those of inserted Splits included, with `data`, `diff`, `shape`, `num` ..., `count`, `reshape`.
    params : OrderedDict of str to list of BlobView
    layers : list of NetLayer, or of the objects that Python layers are
    layer_dict : OrderedDict of str to layer
    blob_loss_weights : OrderedDict of str to float
    inputs, outputs : list of str
    top_names, bottom_names : OrderedDict of str to list of str
    wrapped : caffe_fillers.Net
        The net itself, for what pycaffe has no name for.

    Raises
    ------
    CaffeError
        Where Caffe would stop.

    Examples
    --------
    >>> import numpy as np
    >>> from caffe_fillers import pycaffe as caffe
    >>> caffe.set_random_seed(1701)
    >>> net = caffe.Net("examples/mnist/lenet.prototxt", caffe.TEST)
    >>> net.blobs["data"].reshape(1, 1, 28, 28)
    >>> net.forward(data=np.zeros((1, 1, 28, 28)))["prob"].shape
    (1, 10)
    """

    def __init__(
        self,
        network_file: PathLike,
        *args: Any,
        phase: Any = None,
        level: int = 0,
        stages: Iterable[str] | None = None,
        weights: PathLike | None = None,
    ) -> None:
        if args and isinstance(args[0], (str, os.PathLike)):
            weights, *args = args  # type: ignore[assignment]
        given = dict(zip(("phase", "level", "stages", "weights"), args, strict=False))
        phase, level = given.get("phase", phase), given.get("level", level)
        stages, weights = given.get("stages", stages), given.get("weights", weights)
        if phase is None or len(args) > 4:
            raise CaffeError(f"a Net is Net(model, phase, weights=None), or Net(model, weights, phase); got {args!r}")
        self._wrap(
            nets.Net(
                network_file,
                phase,
                level=level,
                stages=stages or (),
                # a path, since a comma in a str separates file names
                weights=None if weights is None else Path(weights),
                rng=common.stream(),
                python=Imported(),
            )
        )

    @classmethod
    def of(cls, net: nets.Net) -> Net:
        """Wrap a net of the package's own: what a solver does with its nets."""
        created = cls.__new__(cls)
        created._wrap(net)
        return created

    def _wrap(self, net: nets.Net) -> None:
        self.wrapped = net
        self._steps: list[Step] = net.steps
        self._layer_names = [step.layer.name for step in self._steps]
        self.blobs: OrderedDict[str, BlobView] = OrderedDict()
        self.blob_loss_weights: OrderedDict[str, float] = OrderedDict()
        self.layers: list[Any] = []
        self.top_names: OrderedDict[str, list[str]] = OrderedDict()
        self.bottom_names: OrderedDict[str, list[str]] = OrderedDict()
        for step in self._steps:
            running = step.layer.running
            self.layers.append(running.instance if isinstance(running, PythonOperation) else NetLayer(step.layer))
            losses = step.losses()
            for i, (name, blob) in enumerate(zip(step.layer.tops, step.tops, strict=True)):
                self.blobs.setdefault(name, BlobView(blob))
                self.blob_loss_weights[name] = losses.get(i, 0.0)
            self.top_names[step.layer.name] = list(step.layer.tops)
            self.bottom_names[step.layer.name] = list(step.node.wired)
        named = list(zip(self._layer_names, self.layers, strict=True))
        self.layer_dict: OrderedDict[str, Any] = OrderedDict(named)
        self.params: OrderedDict[str, list[BlobView]] = OrderedDict(
            (name, layer.blobs) for name, layer in named if len(layer.blobs)
        )
        self.inputs, self.outputs = net.inputs, net.outputs

    # --- forward and backward ----------------------------------------------------------------------------------------

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: object
    ) -> dict[str, Array]:
        """Run the net forward.

        Parameters
        ----------
        blobs : list of str, optional
            Blobs to return beside the outputs.
        start, end : str, optional
            The first and the last layer to run.
        **kwargs : ndarray
            Values for all inputs.

        Returns
        -------
        dict of str to ndarray
            The data of the outputs (with `end`, of that layer's tops) and of `blobs`: their own memory.

        Raises
        ------
        CaffeError
            If names or shapes don't fit, or a layer can't be run.
        """
        first, last = self._place(start, 0), self._place(end, len(self.layers) - 1)
        outputs = self._named([*(self.outputs if end is None else self.top_names[end]), *(blobs or ())])
        if kwargs:
            self._give(kwargs, self.inputs, "data", "Input blob arguments do not match net inputs.", "Input")
        self._forward(first, last)
        return {name: blob.data for name, blob in outputs.items()}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: object
    ) -> dict[str, Array]:
        """Run the net backward; gradients of parameters add to their diffs.

        Parameters
        ----------
        diffs : list of str, optional
            Blobs whose diff to return beside the inputs'.
        start, end : str, optional
            The first layer to run, nearest to the loss, and the last.
        **kwargs : ndarray
            Values for the diffs of all outputs.

        Returns
        -------
        dict of str to ndarray
            The diffs of the inputs (with `end`, of that layer's bottoms) and of `diffs`: their own memory.

        Raises
        ------
        CaffeError
            If names or shapes don't fit, or a layer can't be run.
        """
        first, last = self._place(start, len(self.layers) - 1), self._place(end, 0)
        outputs = self._named([*(self.inputs if end is None else self.bottom_names[end]), *(diffs or ())])
        if kwargs:
            self._give(kwargs, self.outputs, "diff", "Top diff arguments do not match net outputs.", "Diff")
        self._backward(first, last)
        return {name: blob.diff for name, blob in outputs.items()}

    def _forward(self, start: int, end: int) -> float:
        for step in self._steps:
            if step.layer.type == "Input":
                # in Caffe an input that nobody wrote is zeros
                for blob in step.tops:
                    _ = blob.data
        self.wrapped.tape.forward(start, end + 1)
        return self.wrapped.tape.loss()

    def _backward(self, start: int, end: int) -> None:
        self.wrapped.tape.backward(start, end - 1)

    def _place(self, layer: str | None, default: int) -> int:
        if layer is None:
            return default
        if layer not in self._layer_names:
            raise CaffeError(f"no layer is named {layer!r}; there are {', '.join(self._layer_names)}")
        return self._layer_names.index(layer)

    def _named(self, names: Iterable[str]) -> dict[str, BlobView]:
        missing = [name for name in names if name not in self.blobs]
        if missing:
            raise CaffeError(f"no blob is named {missing[0]!r}; there are {', '.join(self.blobs)}")
        return {name: self.blobs[name] for name in names}

    def _give(self, values: dict[str, object], names: list[str], part: str, unlike: str, what: str) -> None:
        """Write `values` to the data or diff of all of `names`; nothing is written where one does not fit."""
        if set(values) != set(names):
            raise CaffeError(f"{unlike}\ngot {', '.join(values)}; there are {', '.join(names) or 'none'}")
        todo = []
        for name, value in values.items():
            target, array = getattr(self.blobs[name], part), np.asarray(value)
            if array.shape[:1] != target.shape[:1]:
                raise CaffeError(f"{what} is not batch sized\n{name!r} is of shape {target.shape}, got {array.shape}")
            try:
                todo.append((target, np.broadcast_to(array, target.shape)))
            except ValueError:
                raise CaffeError(f"{name!r} is of shape {target.shape}, got {array.shape}") from None
        for target, array in todo:
            target[...] = array

    # --- any number of items -----------------------------------------------------------------------------------------

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: object) -> dict[str, Array]:
        """Run any number of items through the net, a batch at a time; the last batch is filled up with zeros.

        Parameters
        ----------
        blobs : list of str, optional
            Blobs to return beside the outputs.
        **kwargs : ndarray
            For each input, (items, ...).

        Returns
        -------
        dict of str to ndarray
            (items, ...) for each output and each of `blobs`; a value for each batch where a blob has no batch axis.

        Raises
        ------
        CaffeError
            As `forward`.
        """
        created = Collected(items_of(kwargs))
        for batch in self._batch(kwargs):
            created.add(self.forward(blobs, None, None, **batch))
        return created.arrays()

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **kwargs: object
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run any number of items forward and backward, a batch at a time.

        Parameters
        ----------
        blobs, diffs : list of str, optional
            As for `forward` and `backward`.
        **kwargs : ndarray
            For inputs their data, for outputs their diffs; both (items, ...).

        Returns
        -------
        tuple of dict of str to ndarray
            The data, and the diffs.

        Raises
        ------
        CaffeError
            As `forward` and `backward`.
        """
        unknown = set(kwargs) - set(self.inputs) - set(self.outputs)
        if unknown:
            raise CaffeError(f"{', '.join(sorted(unknown))}: neither an input nor an output of this net")
        self.reshape()
        items = items_of(kwargs)
        data, gradients = Collected(items), Collected(items)
        ahead, back = ({n: kwargs[n] for n in names if n in kwargs} for names in (self.inputs, self.outputs))
        cut = (self._batch(given) if given else iter(()) for given in (ahead, back))
        for given, diff in zip_longest(*cut, fillvalue={}):
            data.add(self.forward(blobs, None, None, **given))
            gradients.add(self.backward(diffs, None, None, **diff))
        return data.arrays(), gradients.arrays()

    def _batch(self, blobs: dict[str, object]) -> Iterator[dict[str, Array]]:
        """Cut arrays into batches; the last one is filled up with zeros."""
        size = self.blobs[next(iter(blobs))].shape[0] if blobs else 0
        return batches(blobs, size)

    # --- parameters and inputs ---------------------------------------------------------------------------------------

    def reshape(self) -> None:
        """Carry new shapes of the inputs through the net; `forward` does it by itself."""
        self.wrapped.reshape()

    def clear_param_diffs(self) -> None:
        """Set the diff of every parameter to zero."""
        self.wrapped.clear_param_diffs()

    def copy_from(self, filename: PathLike) -> None:
        """Copy weights by layer name, from a .caffemodel, HDF5 or any other format that is read here."""
        self.wrapped.copy_from(Path(filename))

    load_hdf5 = copy_from

    def share_with(self, other: Net) -> None:
        """Use the parameters of `other`, layer by layer of the same name."""
        self.wrapped.share_with(other.wrapped)

    def save(self, filename: PathLike) -> None:
        """Write the weights as a .caffemodel, whatever the name ends in."""
        from ..weights import caffemodel

        caffemodel.write(Path(filename), self.wrapped.weight_set())

    def save_hdf5(self, filename: PathLike) -> None:
        """Write the weights as HDF5 (the extra `hdf5`), whatever the name ends in."""
        from ..weights import hdf5

        hdf5.write(Path(filename), self.wrapped.weight_set())

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Give a net whose first layer is MemoryData its data and labels, which it goes through batch by batch.

        Parameters
        ----------
        data : ndarray of float32, shape (items, channels, height, width)
            Items must be a multiple of the layer's batch_size.
        labels : ndarray of float32, shape (items,) or (items, 1, 1, 1)

        Raises
        ------
        CaffeError
            If the first layer is another, or an array does not fit it.
        """
        layer = self._steps[0].layer
        if layer.type != "MemoryData":
            raise CaffeError("set_input_arrays may only be called if the first layer is a MemoryDataLayer")
        param = layer.message.memory_data_param
        if labels.ndim == 1:
            labels = labels[:, None, None, None]
        shapes = ((param.channels, param.height, param.width), (1, 1, 1))
        for name, array, shape in zip(("data array", "labels array"), (data, labels), shapes, strict=True):
            if array.dtype != np.float32 or array.ndim != 4 or array.shape[1:] != shape:
                raise CaffeError(f"{name} must be float32 of shape (items, {shape}), got {array.dtype} {array.shape}")
        entry = self.wrapped.tape.entries[0]
        operation = cast("MemoryData", entry.operation)
        operation.give(entry.work, data, labels)
        for blob in self._steps[0].tops:
            _ = blob.data

    # --- what else pycaffe has ---------------------------------------------------------------------------------------

    def before_forward(self, run: Callable[[int], object]) -> None:
        """Have `run` called with the number of each layer before it is run forward."""
        self.wrapped.tape.before_forward.append(run)

    def after_forward(self, run: Callable[[int], object]) -> None:
        """Have `run` called with the number of each layer after it is run forward."""
        self.wrapped.tape.after_forward.append(run)

    def before_backward(self, run: Callable[[int], object]) -> None:
        """Have `run` called with the number of each layer before it is run backward."""
        self.wrapped.tape.before_backward.append(run)

    def after_backward(self, run: Callable[[int], object]) -> None:
        """Have `run` called with the number of each layer after it is run backward."""
        self.wrapped.tape.after_backward.append(run)

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> list[BlobView]:
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._steps[layer].layer.tops]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self._steps[layer].node.wired]

    def __repr__(self) -> str:
        return repr(self.wrapped)
