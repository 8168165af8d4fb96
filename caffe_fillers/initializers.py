"""Initializers as functions: Caffe's fillers, and others from papers that Caffe lacks.

Caffe's own are thin calls of `fill`, so their bits are Caffe's. The others go through one rule, `variance_scaling`,
which computes its scale as Caffe computes xavier's and msra's and draws from the same stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Concatenate,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypedDict,
    Unpack,
    cast,
    overload,
)

import numpy as np

from ._core import RNG
from .arrays import Array
from .blob import Blob
from .errors import CaffeError
from .fillers import Dims, Given, fill, fill_by, scaled_plan
from .revisions import check_revision

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "bilinear",
    "constant",
    "gaussian",
    "he_normal",
    "lecun_normal",
    "msra",
    "positive_unitball",
    "uniform",
    "variance_scaling",
    "xavier",
    "xavier_normal",
]

VarianceNorm = Literal["FAN_IN", "FAN_OUT", "AVERAGE"]

Target: TypeAlias = Dims | np.ndarray | Blob
Filled: TypeAlias = np.ndarray | Blob
Rest = ParamSpec("Rest")


class _Shaped(Protocol[Rest]):
    """A filler as type checkers see it: an array in, the same array out; a shape in, a new array out."""

    @overload
    def __call__(self, shape: Given, *args: Rest.args, **kwargs: Rest.kwargs) -> Given: ...
    @overload
    def __call__(self, shape: Dims, *args: Rest.args, **kwargs: Rest.kwargs) -> Array: ...


def _shaped(function: Callable[Concatenate[Target, Rest], Filled]) -> _Shaped[Rest]:
    return cast("_Shaped[Rest]", function)


class Options(TypedDict, total=False):
    """The options that all fillers share; `fill` describes them."""

    rng: RNG | int | None
    dtype: npt.DTypeLike
    caffe: str
    boost: str | None
    threads: int | None


@_shaped
def variance_scaling(
    shape: Target,
    scale: float,
    variance_norm: VarianceNorm = "FAN_IN",
    distribution: Literal["uniform", "normal"] = "normal",
    *,
    rng: RNG | int | None = None,
    dtype: npt.DTypeLike = np.float32,
    caffe: str = "master",
    boost: str | None = None,
    threads: int | None = None,
) -> Filled:
    """Fill with values of mean 0 and variance ``scale / n``: the rule behind xavier and msra.

    Caffe has no name for the rule itself. Its ``xavier`` is ``scale=1`` uniform, its ``msra`` is ``scale=2`` normal,
    bit for bit.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place. Axis 0 counts the outputs, axis 1 the inputs.
    scale : float
        Above 0 and finite.
    variance_norm : {"FAN_IN", "FAN_OUT", "AVERAGE"}, optional
        The fan n: ``count / shape[0]``, ``count / shape[1]`` or the mean of both, in Caffe's arithmetic (see `fans`).
    distribution : {"uniform", "normal"}, optional
        Uniform between ``-sqrt(3 scale / n)`` and ``sqrt(3 scale / n)``, or normal with deviation ``sqrt(scale / n)``.
        The normal is not truncated.
    rng, dtype, caffe, boost, threads : optional
        As in `fill`.

    Returns
    -------
    numpy.ndarray or Blob
        A new array of `dtype`, or `shape` itself if it is an array or a Blob.

    Raises
    ------
    CaffeError
        If scale, variance_norm or distribution is another value, or Caffe would refuse the shape. The array and the
        stream stay unchanged.

    Notes
    -----
    The scale is computed in the array's type, as Caffe does: every division and root is rounded to float32 in a
    float32 array.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> by_rule = cf.variance_scaling((500, 800), 1, "FAN_IN", "uniform", rng=1701)
    >>> bool((by_rule == cf.xavier((500, 800), rng=1701)).all())
    True
    >>> round(float(cf.variance_scaling((500, 800), 4, rng=1).var()) * 800, 1)
    4.0
    """
    draw = {"uniform": "uniform", "normal": "gaussian"}.get(distribution)
    if draw is None:
        raise CaffeError(f'distribution is "uniform" or "normal", got {distribution!r}')
    if not (0 < scale < math.inf):
        raise CaffeError(f"scale is a finite number above 0, got {scale!r}")
    check_revision(caffe)
    return fill_by(
        lambda dims, kind: scaled_plan(draw, scale, variance_norm, dims, kind, caffe), shape, rng, dtype, boost, threads
    )


# --- Caffe's own ---------------------------------------------------------------------------------------------------


@_shaped
def xavier(shape: Target, variance_norm: VarianceNorm = "FAN_IN", **options: Unpack[Options]) -> Filled:
    """Fill uniformly with variance ``1 / n``: Caffe's ``xavier``.

    Between ``-sqrt(3 / n)`` and ``sqrt(3 / n)``. With ``AVERAGE``, n = (fan_in + fan_out) / 2, this is the rule of
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), equation 16:
    the limit is ``sqrt(6 / (fan_in + fan_out))``. Caffe's default, ``FAN_IN``, looks forward only.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place; at least one axis.
    variance_norm : {"FAN_IN", "FAN_OUT", "AVERAGE"}, optional
        The fan n, as in `variance_scaling`.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        Where Caffe would stop.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> weights = cf.xavier((50, 20, 5, 5), rng=1701)
    >>> bool(abs(weights).max() < (3 / 500) ** 0.5)
    True
    """
    return fill(shape, {"type": "xavier", "variance_norm": variance_norm}, **options)


@_shaped
def msra(shape: Target, variance_norm: VarianceNorm = "FAN_IN", **options: Unpack[Options]) -> Filled:
    """Fill normally with variance ``2 / n``: Caffe's ``msra``.

    He et al., "Delving Deep into Rectifiers" (2015), section 2.2: equation 10 with ``FAN_IN`` (the signal forward keeps
    its variance through ReLUs), equation 14 with ``FAN_OUT`` (the gradient backward does).

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place; at least one axis.
    variance_norm : {"FAN_IN", "FAN_OUT", "AVERAGE"}, optional
        The fan n, as in `variance_scaling`.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        Where Caffe would stop.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> round(float(cf.msra((256, 128, 3, 3), rng=1).var()) * 1152, 2)
    2.0
    """
    return fill(shape, {"type": "msra", "variance_norm": variance_norm}, **options)


@_shaped
def gaussian(
    shape: Target, mean: float = 0.0, std: float = 1.0, sparse: int = -1, **options: Unpack[Options]
) -> Filled:
    """Fill normally with a given mean and standard deviation: Caffe's ``gaussian``.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place.
    mean, std : float, optional
        Rounded to float32, as the fields of a FillerParameter are; std above 0.
    sparse : int, optional
        The mean number of outputs, out of ``shape[0]``, that each input feeds; the other values become 0. -1 keeps all.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        Where Caffe would stop: std not above 0, more of `sparse` than there are outputs.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> round(float(cf.gaussian(100_000, std=0.01, rng=1701).std()), 4)
    0.01
    >>> kept = cf.gaussian((100, 1000), sparse=15, rng=1701) != 0
    >>> round(float(kept.mean()), 2)
    0.15
    """
    return fill(shape, {"type": "gaussian", "mean": mean, "std": std, "sparse": sparse}, **options)


@_shaped
def uniform(shape: Target, min: float = 0.0, max: float = 1.0, **options: Unpack[Options]) -> Filled:
    """Fill uniformly between two numbers: Caffe's ``uniform``.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place.
    min, max : float, optional
        The lowest and the highest value, both included; rounded to float32, as the fields of a FillerParameter are.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        If Caffe would stop or never end: `min` above `max`, NaN, or a range that is too wide.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> values = cf.uniform((2, 3), -0.5, 0.5, rng=1701)
    >>> bool(((values >= -0.5) & (values <= 0.5)).all())
    True
    """
    return fill(shape, {"type": "uniform", "min": min, "max": max}, **options)


@_shaped
def constant(shape: Target, value: float = 0.0, **options: Unpack[Options]) -> Filled:
    """Fill with one value: Caffe's ``constant``, its default. Nothing is drawn.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place.
    value : float, optional
        Rounded to float32, as the fields of a FillerParameter are.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        Where Caffe would stop.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> cf.constant(3, 0.25)
    array([0.25, 0.25, 0.25], dtype=float32)
    """
    return fill(shape, {"type": "constant", "value": value}, **options)


@_shaped
def positive_unitball(shape: Target, **options: Unpack[Options]) -> Filled:
    """Fill with positive values, where those of each output sum to 1: Caffe's ``positive_unitball``.

    Draws uniformly between 0 and 1, then divides each row (the values of one index of axis 0) by its sum.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place; at least one axis.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        Where Caffe would stop.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> [round(float(total), 3) for total in cf.positive_unitball((2, 100), rng=1701).sum(axis=1)]
    [1.0, 1.0]
    """
    return fill(shape, {"type": "positive_unitball"}, **options)


@_shaped
def bilinear(shape: Target, **options: Unpack[Options]) -> Filled:
    """Fill with the kernel of bilinear interpolation: Caffe's ``bilinear``. Nothing is drawn.

    For a Deconvolution that enlarges f times: kernel_size ``2 f - f % 2``, stride f, pad ``ceil((f - 1) / 2)``, group
    and num_output the number of channels. Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
    Segmentation" (2015), section 3.3, begin their upsampling so.

    Parameters
    ----------
    shape : sequence of 4 int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place; height and width are equal.
    **options
        `rng` (not drawn from), `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        If the shape has not four axes, or its kernels are not square.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> cf.bilinear((1, 1, 4, 4))[0, 0, 0]
    array([0.0625, 0.1875, 0.1875, 0.0625], dtype=float32)
    """
    return fill(shape, {"type": "bilinear"}, **options)


# --- what Caffe lacks ----------------------------------------------------------------------------------------------


@_shaped
def lecun_normal(shape: Target, **options: Unpack[Options]) -> Filled:
    """Fill normally with variance ``1 / fan_in``. Caffe has no name for it; its ``xavier`` is the uniform counterpart.

    LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), section 4.6, equation 16: the sum of fan_in inputs of
    variance 1 then has variance 1.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place; at least one axis.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        If the shape has no fans.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> round(float(cf.lecun_normal((500, 800), rng=1701).var()) * 800, 2)
    1.0
    """
    return variance_scaling(shape, 1.0, "FAN_IN", "normal", **options)


@_shaped
def xavier_normal(shape: Target, **options: Unpack[Options]) -> Filled:
    """Fill normally with variance ``2 / (fan_in + fan_out)``. Caffe has no name for it.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), equation 12:
    a compromise between keeping the signal's variance forward and the gradient's backward. Their own experiments draw
    uniformly, which is ``xavier(variance_norm="AVERAGE")``.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place; at least one axis.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        If the shape has no fans.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> round(float(cf.xavier_normal((500, 800), rng=1701).var()) * 1300 / 2, 2)
    1.0
    """
    return variance_scaling(shape, 1.0, "AVERAGE", "normal", **options)


@_shaped
def he_normal(
    shape: Target,
    negative_slope: float = 0.0,
    variance_norm: VarianceNorm = "FAN_IN",
    **options: Unpack[Options],
) -> Filled:
    """Fill normally with variance ``2 / ((1 + a^2) n)``, for a PReLU or leaky ReLU of slope a.

    He et al., "Delving Deep into Rectifiers" (2015), section 2.2, equation 15. Without a slope it is Caffe's ``msra``,
    bit for bit; for one Caffe has no name. Slope 1 is the linear case, variance ``1 / n``.

    Parameters
    ----------
    shape : int, sequence of int, numpy.ndarray or Blob
        The shape of a new array, or the array to fill in place; at least one axis.
    negative_slope : float, optional
        The slope a for negative inputs: ReLU's ``negative_slope``, or PReLU's initial slope (0.25 unless filled).
    variance_norm : {"FAN_IN", "FAN_OUT", "AVERAGE"}, optional
        The fan n, as in `variance_scaling`.
    **options
        `rng`, `dtype`, `caffe`, `boost` and `threads`, as in `fill`.

    Returns
    -------
    numpy.ndarray or Blob

    Raises
    ------
    CaffeError
        If the slope is not a finite number, or the shape has no fans.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> bool((cf.he_normal((50, 40), rng=1) == cf.msra((50, 40), rng=1)).all())
    True
    >>> round(float(cf.he_normal((500, 800), 0.25, rng=1701).var()) * 800, 2)
    1.88
    """
    if not math.isfinite(negative_slope):
        raise CaffeError(f"negative_slope is a finite number, got {negative_slope!r}")
    return variance_scaling(shape, 2.0 / (1.0 + negative_slope**2), variance_norm, "normal", **options)
