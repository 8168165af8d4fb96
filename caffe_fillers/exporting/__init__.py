"""Exports a net as an ONNX file or as a NumPy script."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CaffeError
from ..net import Net
from ..porting import BlobComparison

__all__ = ["Exported", "export"]


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of `export`.

    Attributes
    ----------
    files : list of Path
    inputs, outputs : dict of str to tuple
        Shapes by name. A dim that may change is a name instead of a number.
    values : dict of str to str
        The name in the file of each blob of the net.
    notes : list of str
        The layers that were left out, and why.
    check : BlobComparison or None
        The comparison of the file with the net, if `check` was asked for.
    """

    files: list[Path]
    inputs: dict[str, tuple[int | str, ...]]
    outputs: dict[str, tuple[int | str, ...]]
    values: dict[str, str]
    notes: list[str] = field(default_factory=list)
    check: BlobComparison | None = None


def export(
    net: Net,
    path: str | os.PathLike[str],
    *,
    end: str | None = None,
    opset: int | None = None,
    dynamic: bool = False,
    preprocess: Mapping[str, object] | None = None,
    external: bool | None = None,
    check: bool = False,
) -> Exported:
    """Write a net in phase TEST as an ONNX file, or as a script that needs only NumPy.

    Blobs keep their names as names of values, layers as names of nodes. If layers overwrite a blob in place, the last
    value has its name. Losses and accuracies are left out.

    Parameters
    ----------
    net : Net
        The net, with its weights. A net in phase TRAIN is exported as its prototxt has it in phase TEST.
    path : str or PathLike
        ``.onnx``, or ``.py``, with the parameters in an ``.npz`` beside it.
    end : str, optional
        The name of the last layer to export. None exports all.
    opset : int, optional
        The version of ONNX's operators, 13 or later. None is 17.
    dynamic : bool, optional
        Batches of any size and, where the net allows it, images of any height and width.
    preprocess : mapping, optional
        The preprocessing to include: ``mean`` (a number, one for each channel of the net, an image or the file of an
        image), ``scale``, and ``order``, the order of the channels in your images: "RGB" (the default) or "BGR". The
        file then takes images of 0..255.
    external : bool, optional
        Write the weights to a file of their own, ``model.onnx.data``. None does so only if they are too large for one
        file.
    check : bool, optional
        Run the file and the net on the same random input and compare each blob: an ONNX file by `onnxruntime`, if it
        is installed (else `onnx.reference`), within 1e-4 of the blob's largest value; a script bit for bit, in an
        interpreter of its own.

    Returns
    -------
    Exported

    Raises
    ------
    CaffeError
        If the suffix is another, the folder does not exist, a layer can't be exported or `onnx` is not installed.
        Older files stay unchanged.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> net = cf.Net("examples/mnist/lenet.prototxt", "TEST", rng=1701)
    >>> exported = cf.export(net, "lenet.onnx")
    >>> exported.inputs, exported.outputs
    ({'data': (64, 1, 28, 28)}, {'prob': (64, 10)})
    """
    from ..files import as_path
    from .dynamic import make_dynamic, mark_batch
    from .plan import make_plan
    from .preprocess import as_preprocess
    from .testing import twin

    target = as_path(path)
    kind = target.suffix.lower()
    _check_target(target)
    if kind == ".py":
        given = {"opset": opset, "dynamic": dynamic or None, "preprocess": preprocess, "external": external}
        if wrong := [name for name, value in given.items() if value is not None]:
            raise CaffeError(f"{target}: a script takes no {', '.join(wrong)}; that is for ONNX files")
    prepared = as_preprocess(preprocess)
    testing = twin(net, end)
    plan = make_plan(testing, end)
    if prepared is not None:
        prepared.image(plan)
    if kind == ".onnx":
        from .onnx import export_onnx

        if dynamic:
            make_dynamic(net, plan, end)
        files = export_onnx(testing, plan, target, opset=opset, preprocess=prepared, external=external)
    else:
        from .numpy_source import export_source

        with suppress(CaffeError):
            # then the script takes batches of any size too
            mark_batch(net, plan, end)
        files = export_source(testing, plan, target)
    compared = None
    if check:
        from .check import ONNX_TOLERANCE, check_onnx, check_source

        if kind == ".onnx":
            compared = check_onnx(testing, plan, target, prepared, ONNX_TOLERANCE)
        else:
            compared = check_source(testing, plan, target)
    return Exported(
        files,
        {value.blob: value.dims for value in plan.inputs},
        {value.blob: value.dims for value in plan.outputs},
        {name: value.name for name, value in plan.finals.items()},
        plan.notes,
        compared,
    )


def _check_target(target: Path) -> None:
    if target.suffix.lower() not in (".onnx", ".py"):
        raise CaffeError(f"{target}: the suffix names no format: use .onnx, or .py for a script of NumPy")
    if not target.parent.is_dir():
        raise CaffeError(f"{target}: cannot be written: the folder {target.parent} does not exist")
