"""Net: the layers, shapes and initial weights of a prototxt, as Caffe's Net sets them up."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import numpy as np

from . import fillers, graph, schema
from ._core import RNG
from ._version import __version__
from .blob import Blob
from .errors import CaffeError, CaffeWarning
from .filling import carry_out
from .layers.rule import Inputs, Layer
from .ledger import fills, plain
from .planning import Allowed, Options, header, plan_net, unfollowed, with_inputs
from .sources import Source, net_source

if TYPE_CHECKING:
    import numpy.typing as npt

    from .copying import CopyReport
    from .files import Files
    from .ledger import FillRow
    from .prototxt import Text
    from .running import Tape
    from .weights import WeightSet

__all__ = ["Net", "NetLike", "as_names", "warn_of_unused"]

NetLike: TypeAlias = "str | os.PathLike[str] | fillers.Message | Text[schema.NetParameter]"
"""A net as callers hand it over: the path of a prototxt, a NetParameter or a Text of one."""


class LayerTime(TypedDict):
    """The time that a layer takes, in milliseconds: a row of `Net.time`."""

    layer: str
    type: str
    forward: float
    backward: float


def as_names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _as_array(name: str, values: npt.ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of several lengths
        raise CaffeError(f"blob {name!r} takes an array of numbers: {error}") from None


def warn_of_unused(given: Inputs, nets: Sequence[Net]) -> None:
    """Warn of shapes from the caller that none of these nets asked for."""
    unused = given.unused({net.phase for net in nets})
    if not unused:
        return
    # the names in the file, including layers that this phase or stage leaves out
    layers = [layer for net in nets for layer in net.source.message.layer]
    known = {name for layer in layers for name in (layer.name, *layer.top)}
    for key in unused:
        name = key.rpartition("@")[0] if key.endswith(("@TRAIN", "@TEST")) else key
        if name in known:
            continue
        tops = [top for net in nets for layer in net.layers if not layer.bottoms for top in layer.tops]
        where = f"{nets[0].source.name}: " if nets[0].source.name else ""
        warnings.warn(
            f"{where}the shape given for {name!r} has no effect: no layer and no top has that name\n"
            f"inputs of the net are {', '.join(dict.fromkeys(tops)) or 'none'}",
            CaffeWarning,
            stacklevel=4,
        )


class Net:
    """The layers, shapes and initial weights of a net, as Caffe would have set it up.

    Parameters
    ----------
    source : str, PathLike, NetParameter or Text
        The path of a prototxt of any age, its message, or the result of `read_prototxt`.
    phase : {"TRAIN", "TEST"}, optional
    level : int, optional
    stages : sequence of str, optional
        The level and the stages of the net's state, which include and exclude rules are matched with.
    weights : str, PathLike or sequence of them, optional
        Files to copy weights from after the fill; one string may name several, separated by commas.
    rng : RNG, int or None, optional
        The stream, which advances; or Caffe's random_seed, 0 to 2**32 - 1. None seeds a new stream from entropy.
    inputs : mapping, optional
        Shapes that the prototxt lacks, by layer or top name: of one image, for a data layer. ``NAME@TEST`` is for one
        phase.
    dtype : {numpy.float32, numpy.float64}, optional
    boost, caffe : str, optional
        The versions of Boost and of Caffe to follow. None is Boost "1.74", or that of `rng`; `caffe` is "master" by
        default.
    strict : bool, optional
        Refuse what BVLC Caffe refuses. Otherwise the additions of forks are skipped with one warning.
    weightless : sequence of str, optional
        Layers of unknown types, by name or type, that hold no parameters and draw nothing.
    ignore : sequence of str, optional
        Forks' fields to ignore although they change shapes.
    fill : bool, optional
        False plans shapes and draws only; no weight is allocated.
    max_bytes : int, optional
        Refuse a net whose parameters need more bytes. The constant tops of DummyData, and the values that recurrent
        layers fill at each time step, count too.
    threads : int, optional
        Number of threads to fill and to run with. The values are the same for any number, if NumPy's BLAS is an
        OpenBLAS. None is all cores; CAFFE_FILLERS_THREADS limits it.
    python : mapping of str to class, optional
        The classes of Python layers, by ``module.layer`` or ``layer`` of their `python_param`. A class needs the
        methods ``setup(bottom, top)``, ``reshape``, ``forward`` and ``backward(top, propagate_down, bottom)``, as in
        pycaffe.

    Attributes
    ----------
    params : OrderedDict of str to list of Blob
        The parameters by layer name; of several layers with one name, those of the last.
    blobs : OrderedDict of str to Blob
        Every named top.
    layers : list of Layer
        In order; each has its `blobs` and its `draws`, the ledger.
    seed : int or None
        The seed of the stream.
    rng : RNG
        The stream, from which Dropout and other layers draw when the net runs.
    report : CopyReport or None
        The report on the copy of `weights`.

    Raises
    ------
    CaffeError
        If Caffe would stop; the text names file, line and layer. A stream that you passed stays unchanged.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> net = cf.Net("examples/mnist/lenet_train_test.prototxt", rng=1701, inputs={"data": (1, 28, 28)})
    >>> net.params["conv1"][0].data.shape
    (20, 1, 5, 5)
    >>> [draw.count for draw in net.layers[1].draws]
    [500]
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | fillers.Message | Text[schema.NetParameter],
        phase: str = "TRAIN",
        *,
        level: int = 0,
        stages: Iterable[str] = (),
        weights: Files | None = None,
        rng: RNG | int | None = None,
        inputs: Mapping[str, object] | None = None,
        dtype: npt.DTypeLike = np.float32,
        boost: str | None = None,
        caffe: str = "master",
        strict: bool = False,
        weightless: Iterable[str] = (),
        ignore: Iterable[str] = (),
        fill: bool = True,
        max_bytes: int | None = None,
        threads: int | None = None,
        python: Mapping[str, type] | None = None,
    ) -> None:
        if isinstance(phase, int) and phase in (0, 1):  # as pycaffe's caffe.TRAIN and caffe.TEST
            phase = ("TRAIN", "TEST")[phase]
        if phase not in ("TRAIN", "TEST"):
            raise CaffeError(f'phase is "TRAIN" or "TEST", got {phase!r}')
        origin = net_source(source, strict)
        options = Options.of(
            inputs,
            dtype,
            caffe,
            python,
            allowed=Allowed(strict, as_names(weightless), as_names(ignore)),
            fill=fill,
            max_bytes=max_bytes,
            threads=threads,
            weights=weights,
        )
        stages = [stages] if isinstance(stages, str) else list(stages)
        state = graph.net_state(origin.message.state, phase, level, stages)
        stream = fillers.as_rng(rng, boost)
        self._build(origin, state, stream, options)

    @classmethod
    def of_state(cls, source: Source, state: schema.NetState, stream: RNG, options: Options) -> Net:
        """Build a net whose state is already merged; what a solver does."""
        net = cls.__new__(cls)
        net._build(source, state, stream, options)
        return net

    def _build(self, source: Source, state: schema.NetState, stream: RNG, options: Options) -> None:
        source = with_inputs(source, state, options.inputs)
        self.source, self.state = source, state
        self.name: str = source.message.name
        self.phase = "TRAIN" if state.phase == schema.enum("Phase")["TRAIN"] else "TEST"
        self.caffe, self.dtype, self.allowed = options.caffe, options.dtype, options.allowed
        self.boost, self.seed = stream.boost, stream.seed
        try:
            self.steps, self.blobs = plan_net(source, state, stream, options)
        except CaffeError:
            source.warn(source.skipped)
            raise
        source.warn(unfollowed(source, self.steps))
        self._check_size(options.max_bytes)
        self.rng, self._max_bytes, self._threads = stream, options.max_bytes, options.threads
        self._built_tape: Tape | None = None
        before = stream.copy()
        try:
            for step in self.steps:
                carry_out(step, self.blobs, stream, options.fill, options.threads)
            self._collect()
            if options.alone:
                warn_of_unused(options.inputs, [self])
            if options.weights is not None:
                self.copy_from(options.weights)
            if not options.allowed.strict:  # Caffe accepts these without a message, so this does too
                self._warn_of_nothing(options.fill and options.weights is None)
        except BaseException as error:
            stream.become(before)
            if isinstance(error, MemoryError):
                raise CaffeError(
                    f"no memory for this net: its parameters need {self._parameter_bytes():,} bytes"
                ) from None
            raise

    def _parameter_bytes(self) -> int:
        return sum(
            blob.count() * self.dtype.itemsize
            for step in self.steps
            for blob, owner in zip(step.layer.blobs, step.owners, strict=True)
            if owner is None
        )

    def _check_size(self, max_bytes: int | None) -> None:
        if max_bytes is None:
            return
        # DummyData fills tops, and for a recurrent layer Caffe fills its parameters anew at each time step
        extra = sum(step.work_besides(self.blobs) for step in self.steps) * self.dtype.itemsize
        needed = self._parameter_bytes() + extra
        if needed > max_bytes:
            besides = f", {extra:,} of them for time steps and constant tops" if extra else ""
            raise CaffeError(
                f"the parameters of this net need {needed:,} bytes{besides}, more than max_bytes={max_bytes:,}"
            )

    def _warn_of_nothing(self, filled: bool) -> None:
        """Warn of a net without layers, and of one whose weights would all start from zero in Caffe."""
        where = f"{self.source.name}: " if self.source.name else ""
        if not self.layers:
            there = len(self.source.message.layer)
            why = f"none of its {there} layers is for this phase, level and stage" if there else "it has no layers"
            warnings.warn(f"{where}the net is empty: {why}", CaffeWarning, stacklevel=5)
        fillers = [
            param.filler
            for step in self.steps
            for param, plan in zip(step.setup.params, step.plans, strict=False)
            if plan is not None and "weight" in param.name
        ]
        if filled and fillers and all(each.type == "constant" and each.value == 0 for each in fillers):
            warnings.warn(
                f"{where}all weights of this net are 0: none of the {len(fillers)} has a filler, as in deploy nets"
                "\nfill the net that was trained (train_val.prototxt), or give weights to copy",
                CaffeWarning,
                stacklevel=5,
            )

    def _collect(self) -> None:
        self.layers: list[Layer] = [step.layer for step in self.steps if not step.node.inserted]
        self.params: OrderedDict[str, list[Blob]] = OrderedDict()
        self.report: CopyReport | None = None
        for layer in self.layers:
            if layer.blobs:
                self.params[layer.name] = layer.blobs

    @property
    def layer_dict(self) -> OrderedDict[str, Layer]:
        """The layers by name; of several with the same name, the last."""
        return OrderedDict((layer.name, layer) for layer in self.layers)

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's bottoms, as the prototxt names them."""
        return OrderedDict((layer.name, layer.bottoms) for layer in self.layers)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's tops, as the prototxt names them."""
        return OrderedDict((layer.name, layer.tops) for layer in self.layers)

    @property
    def inputs(self) -> list[str]:
        """The tops of Input layers, which the prototxt's `input:` fields become."""
        return [name for layer in self.layers if layer.type == "Input" for name in layer.tops]

    @property
    def outputs(self) -> list[str]:
        """The tops that no layer reads, in Caffe's order: by name."""
        free: dict[str, None] = {}
        for step in self.steps:
            for name in step.node.wired:
                free.pop(name, None)
            free.update(dict.fromkeys(step.layer.tops))
        return sorted(name for name in free if name in self.blobs)

    # --- at work -----------------------------------------------------------------------------------------------------

    @property
    def tape(self) -> Tape:
        """The net's operations in order, made when first asked for."""
        if self._built_tape is None:
            from .running import Tape

            force = self.source.message.force_backward
            self._built_tape = Tape(self.steps, self.rng, force, self._max_bytes, self._threads)
        return self._built_tape

    def forward(
        self,
        blobs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: npt.ArrayLike,
    ) -> OrderedDict[str, np.ndarray]:
        """Run the layers forward, as pycaffe's `forward`.

        Parameters
        ----------
        blobs : iterable of str, optional
            Names of blobs to return besides the outputs.
        start, end : str, optional
            Names of the first and the last layer to run. None runs the whole net.
        **inputs : array_like
            Values for the inputs by name, of the blobs' shapes.

        Returns
        -------
        OrderedDict of str to numpy.ndarray
            The data of the outputs (with `end`, of that layer's tops) and of `blobs`: the blobs' own memory, which the
            next pass overwrites.

        Raises
        ------
        CaffeError
            If no layer has that name, an input was never given or has another shape, or a layer can't be run.

        Examples
        --------
        >>> import caffe_fillers as cf
        >>> net = cf.Net("examples/mnist/lenet.prototxt", "TEST", rng=1701)
        >>> net.blobs["data"].reshape(1, 1, 28, 28)
        >>> net.forward(data=np.ones((1, 1, 28, 28)))["prob"].shape
        (1, 10)
        """
        tape = self.tape
        first, last = self._place(start, 0), self._place(end, len(self.steps) - 1)
        names = [*(self.outputs if end is None else self.steps[last].layer.tops), *(blobs or ())]
        found = [
            (name, self._blob(name)) for name in dict.fromkeys(names) if name in self.blobs or name in (blobs or ())
        ]
        self._give(inputs, "data")
        tape.forward(first, last + 1)
        return OrderedDict((name, blob.data) for name, blob in found)

    def backward(
        self,
        diffs: Iterable[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **tops: npt.ArrayLike,
    ) -> OrderedDict[str, np.ndarray]:
        """Run the layers backward, as pycaffe's `backward`: gradients of parameters add to their diffs.

        Parameters
        ----------
        diffs : iterable of str, optional
            Names of blobs whose diff to return besides the inputs'.
        start, end : str, optional
            Names of the first (nearest to the loss) and the last layer to run. None runs the whole net.
        **tops : array_like
            Values for the diffs of outputs by name. The diff of a loss is its loss_weight.

        Returns
        -------
        OrderedDict of str to numpy.ndarray
            The diffs of the inputs (with `end`, of that layer's bottoms) and of `diffs`: the blobs' own memory.

        Raises
        ------
        CaffeError
            If no layer or blob has that name, a value has another shape, or a layer has no gradient.

        Notes
        -----
        As in Caffe a bottom gets a gradient only if it depends on a learned parameter (lr_mult other than 0) and a loss
        depends on it, or if the net says `force_backward: true`.
        """
        tape = self.tape
        first, last = self._place(start, len(self.steps) - 1), self._place(end, 0)
        names = [*(self.inputs if end is None else self.steps[last].layer.bottoms), *(diffs or ())]
        found = [(name, self._blob(name)) for name in dict.fromkeys(names)]
        self._give(tops, "diff")
        tape.backward(first, last - 1)
        return OrderedDict((name, blob.diff) for name, blob in found)

    def forward_backward(self) -> float:
        """Run forward, then backward, and return the loss: each top with a loss_weight times it, added up."""
        self.tape.forward(0, len(self.steps))
        loss = self.tape.loss()
        self.tape.backward(len(self.steps) - 1, -1)
        return loss

    def forward_all(self, blobs: Iterable[str] | None = None, **inputs: npt.ArrayLike) -> OrderedDict[str, np.ndarray]:
        """Run any number of items through the net, a batch at a time; the last batch is filled up with zeros.

        Parameters
        ----------
        blobs : iterable of str, optional
            Names of blobs to return beside the outputs.
        **inputs : array_like
            For each input, (items, *shape without the batch).

        Returns
        -------
        OrderedDict of str to numpy.ndarray
            (items, ...) for each output and each of `blobs`: copies.

        Raises
        ------
        CaffeError
            As `forward`, or if the inputs are of different numbers of items.
        """
        arrays = {name: np.atleast_1d(_as_array(name, values)) for name, values in inputs.items()}
        counts = {len(values) for values in arrays.values()}
        if len(counts) != 1:
            raise CaffeError(f"forward_all takes inputs of one number of items, got {sorted(counts) or 'none'}")
        (items,) = counts
        batch = self._blob(next(iter(arrays))).shape[0]
        if batch == 0:
            raise CaffeError("forward_all needs a batch above 0; reshape the inputs first")
        parts: OrderedDict[str, list[np.ndarray]] = OrderedDict()
        for begin in range(0, items, batch):
            piece = {}
            for name, values in arrays.items():
                part = values[begin : begin + batch]
                rest = batch - len(part)
                piece[name] = np.concatenate([part, np.zeros((rest, *part.shape[1:]), part.dtype)]) if rest else part
            for name, values in self.forward(blobs, None, None, **piece).items():
                parts.setdefault(name, []).append(np.atleast_1d(values).copy())
        return OrderedDict(
            (name, np.concatenate([np.atleast_1d(v) for v in result])[:items]) for name, result in parts.items()
        )

    def time(self, iterations: int = 50) -> list[LayerTime]:
        """Measure how long each layer takes, as `caffe time`.

        Parameters
        ----------
        iterations : int, optional
            The number of passes to average over, after one that is not counted.

        Returns
        -------
        list of dict
            One row per layer, inserted Splits included: `layer`, `type`, `forward` and `backward` in milliseconds.

        Raises
        ------
        CaffeError
            As `forward`, or if `iterations` is below 1.

        Notes
        -----
        Inputs that were never given are filled with noise.
        """
        if iterations < 1:
            raise CaffeError(f"iterations is a number above 0, got {iterations}")
        noise = np.random.default_rng(0)
        for name in self.inputs:
            if not self.blobs[name].written:
                self.blobs[name].data[...] = noise.standard_normal(self.blobs[name].shape)
        rows = zip(self.steps, self.tape.time(iterations), strict=True)
        return [
            {"layer": step.layer.name, "type": step.layer.type, "forward": 1e3 * ahead, "backward": 1e3 * back}
            for step, (ahead, back) in rows
        ]

    def reshape(self) -> None:
        """Propagate new shapes of the inputs through the net; parameters stay. `forward` does it by itself.

        Raises
        ------
        CaffeError
            If the shapes don't fit a layer or its parameters.
        """
        self.tape.reshape()

    def clear_param_diffs(self) -> None:
        """Set the diff of every parameter to zero."""
        for blob in self.learnable:
            if blob.has_diff:
                blob.diff[...] = 0

    def share_with(self, other: Net) -> None:
        """Use the parameters of `other`, layer by layer of the same name, as Caffe's test nets use the train net's.

        Raises
        ------
        CaffeError
            If a layer of the same name has blobs of other shapes; nothing is shared then.
        """
        pairs: list[tuple[Blob, Blob]] = []
        # names need not be unique: for each layer of the other net Caffe takes the first of this name
        first = {layer.name: layer for layer in reversed(self.layers)}
        for trained in other.layers:
            layer = first.get(trained.name)
            if layer is None:
                continue
            mine, theirs = ([blob.shape for blob in each.blobs] for each in (layer, trained))
            if mine != theirs:
                raise CaffeError(
                    f"layer '{layer.name}' has blobs of shapes {mine} here, of {theirs} in the net to share with"
                )
            pairs += zip(layer.blobs, trained.blobs, strict=True)
        for blob, owner in pairs:
            blob.share_data(owner)

    @property
    def learnable(self) -> list[Blob]:
        """The parameters in order, those that layers share once: what a solver walks."""
        return [blob for blob, _, _ in self._learnable()]

    @property
    def multipliers(self) -> list[tuple[float, float]]:
        """lr_mult and decay_mult of each blob of `learnable`."""
        return [(rate, decay) for _, rate, decay in self._learnable()]

    @property
    def loss_weights(self) -> dict[str, float]:
        """The tops that are part of the loss, by name, each with its weight."""
        return {step.layer.tops[i]: weight for step in self.steps for i, weight in step.losses().items()}

    def _learnable(self) -> list[tuple[Blob, float, float]]:
        found: dict[int, tuple[Blob, list[float | None]]] = {}
        for step in self.steps:
            for i, (blob, owner) in enumerate(zip(step.layer.blobs, step.owners, strict=True)):
                said = found.setdefault(id(owner or blob), (owner or blob, [None, None]))[1]
                for k, kind in enumerate(("lr_mult", "decay_mult")):
                    # of the layers that share it, the first with a value
                    if said[k] is None:
                        said[k] = step.multiplier(kind, i)
        return [
            (blob, 1.0 if rate is None else rate, 1.0 if decay is None else decay)
            for blob, (rate, decay) in found.values()
        ]

    def _place(self, layer: str | None, default: int) -> int:
        if layer is None:
            return default
        for i, step in enumerate(self.steps):
            if step.layer.name == layer:
                return i
        raise CaffeError(f"no layer is named {layer!r}; there are {', '.join(self.layer_dict) or 'none'}")

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise CaffeError(f"no blob is named {name!r}; there are {', '.join(self.blobs) or 'none'}")
        return self.blobs[name]

    def _give(self, values: Mapping[str, npt.ArrayLike], part: str) -> None:
        """Write `values` to the data or the diff of blobs; all are checked before any is written."""
        todo = []
        for name, value in values.items():
            blob = self._blob(name)
            array = _as_array(name, value)
            if array.dtype.kind not in "biuf":
                raise CaffeError(f"blob {name!r} takes numbers, got an array of {array.dtype}")
            if array.shape != blob.shape:
                raise CaffeError(
                    f"blob {name!r} has shape {blob.shape}, got values of shape {array.shape}\n"
                    f"for another shape call net.blobs[{name!r}].reshape(...) first"
                )
            todo.append((getattr(blob, part), array))
        for target, array in todo:
            target[...] = array

    def fills(self) -> list[FillRow]:
        """Return one row per parameter blob, with the filler that filled it.

        Returns
        -------
        list of dict
            `layer`, `type`, `index`, `name` (weight, bias ...), `shape`, `filler` (a dict, or None if nothing fills the
            blob), `fan_in`, `fan_out` (None if the shape has no fans), `std` (the standard deviation that the filler is
            designed to give), `start` and `draws` (the place in the stream), `shared_with` (layer and index of the
            owner, or None).
        """
        return fills(self.steps, self.caffe)

    def provenance(self) -> dict[str, object]:
        """Return the origin of the weights as plain values, which `save` writes beside them."""
        return {
            "version": __version__,
            "prototxt_sha256": self.source.sha256,
            "seed": self.seed,
            "boost": self.boost,
            "caffe": self.caffe,
            "phase": self.phase,
            "blobs": plain(self.fills()),
        }

    def weight_set(self, diffs: bool = False) -> WeightSet:
        """Return the content of a file of weights of this net, with inserted Splits and shared blobs.

        With `diffs` the gradients too, as a snapshot under `snapshot_diff` holds them.
        """
        from .weights import LayerBlobs, WeightSet

        layers = [
            LayerBlobs(
                step.layer.name,
                [blob.data for blob in step.layer.blobs],
                header(step),
                [owner is None for owner in step.owners],
                diffs=[blob.diff for blob in step.layer.blobs] if diffs else None,
            )
            for step in self.steps
        ]
        return WeightSet(layers, self.name, self.provenance())

    def save(self, path: str | os.PathLike[str], names: str | None = None) -> None:
        """Write the weights in the format of the suffix: .npz, .caffemodel, .h5 or .safetensors.

        Parameters
        ----------
        path : str or PathLike
        names : {None, "torch"}, optional
            "torch" writes PyTorch's names and layouts, for layers that PyTorch has too. None writes Caffe's.

        Raises
        ------
        CaffeError
            If the file can't be written, or can't hold this net. An older file stays unchanged.
        """
        from .weights import save_weights

        save_weights(path, self.weight_set(), names=names)

    def copy_from(self, weights: Files) -> CopyReport:
        """Copy weights by layer name, as Caffe's fine-tuning does; nothing is drawn.

        Parameters
        ----------
        weights : str, PathLike or sequence of them
            Files, copied one after another; one string may name several, separated by commas.

        Returns
        -------
        CopyReport
            The layers that were copied, those that keep their fill, and those of the file that were ignored.

        Raises
        ------
        CaffeError
            If a file can't be read, or shapes or numbers of blobs differ. The weights stay unchanged.
        """
        from .copying import copy_weights

        self.report = copy_weights(self, weights)
        return self.report

    def __repr__(self) -> str:
        values = sum(blob.count() for blobs in self.params.values() for blob in blobs)
        return f"<Net {self.name!r} {self.phase}: {len(self.layers)} layers, {values:,} parameters>"
