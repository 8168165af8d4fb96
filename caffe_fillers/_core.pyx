# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, embedsignature=False
"""The random stream: class RNG over csrc/.

No method holds the GIL while it draws, and none waits for the GIL while it holds a stream's lock. So threads that share
a stream can't deadlock, and each of their calls is atomic.
"""

import os
import re
from operator import index

import numpy as np

from caffe_fillers.errors import CaffeError

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.pythread cimport (
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
    NOWAIT_LOCK,
    PyThread_type_lock,
    WAIT_LOCK,
)
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset


from caffe_fillers._distributions cimport (
    CF_ANY,
    CF_BERNOULLI,
    CF_BOOST_147,
    CF_BOOST_156,
    CF_BOOST_164,
    CF_ENDLESS,
    CF_GAUSSIAN,
    CF_UNIFORM,
    cf_boost,
    cf_wants_nontemporal,
    cf_job,
    cf_mask_f32,
    cf_mask_f64,
    cf_normalize_rows_f32,
    cf_normalize_rows_f64,
    cf_range_of_f32,
    cf_range_of_f64,
    cf_run,
    cf_status,
)
from caffe_fillers._mt19937 cimport (
    CF_MT_N,
    cf_mt,
    cf_mt_raw,
    cf_mt_seed,
    cf_mt_skip,
    cf_simd,
    cf_simd_find,
)

__all__ = ["RNG", "Seekers", "check_gaussian", "check_uniform", "cores", "normalize_rows", "seeds_of", "simd", "ziggurat_edges"]


cdef const cf_simd *_find_simd() except NULL:
    name = os.environ.get("CAFFE_FILLERS_SIMD")
    cdef bytes encoded = os.fsencode(name or "")
    cdef const char *wanted = NULL
    if name:
        wanted = encoded
    cdef const cf_simd *found = cf_simd_find(wanted)
    if found is NULL:
        known = ("portable", "avx2", "avx512", "neon")
        raise CaffeError(
            f"CAFFE_FILLERS_SIMD={name} is " + ("not supported by this processor" if name in known else "unknown")
            + ": give one of portable, avx2, avx512, neon, or leave it unset."
        )
    return found


cdef const cf_simd *SIMD = _find_simd()
simd = SIMD.name.decode()

cdef uint64_t MOST = 0x7FFFFFFFFFFFFFFF

include "_team.pxi"


cdef class _Floats:
    """One C-contiguous array of native float32 or float64, held for as long as this object lives."""

    cdef Py_buffer view
    cdef bint held
    cdef bint double
    cdef size_t size

    def __cinit__(self, out):
        try:
            PyObject_GetBuffer(out, &self.view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE | PyBUF_FORMAT)
        except (BufferError, TypeError, ValueError) as error:
            raise CaffeError(
                f"cannot fill this {type(out).__name__}: {error}. A fill needs a writable, C-contiguous array."
            ) from None
        self.held = True
        # NumPy puts a "=" before the type of an unaligned array; other buffers don't
        cdef const char *kind = self.view.format + (self.view.format[0] == b"=")
        if kind[0] not in b"fd" or kind[1]:
            raise CaffeError(
                f"cannot fill an array of type {getattr(out, 'dtype', self.view.format.decode())}: "
                "only float32 and float64 in the machine's own byte order are filled."
            )
        if <size_t>self.view.buf % <size_t>self.view.itemsize and self.view.len:
            raise CaffeError(
                f"cannot fill this {type(out).__name__}: its memory does not begin at a multiple of its "
                f"{self.view.itemsize} bytes an element. Fill an aligned copy."
            )
        self.double = kind[0] == b"d"
        self.size = self.view.len // self.view.itemsize

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef str _shown(double value, bint double):
    """Return a number as a C++ stream prints it, rounded to the type that is compared."""
    if not double:
        value = <float>value
    if value != value:
        return "-nan" if np.signbit(value) else "nan"
    return "%g" % value


cdef object _failed(str what, double left, double right, bint double, str advice):
    return CaffeError(f"Check failed: {what} ({_shown(left, double)} vs. {_shown(right, double)})\n{advice}")


cdef double _number(object value, str name) except? -1:
    try:
        return value
    except (TypeError, ValueError, OverflowError):
        raise CaffeError(f"{name} must be a number, not {value!r}") from None


cdef bint _is_double(object dtype) except -1:
    cdef object kind
    if dtype is np.float32:
        return False
    if dtype is np.float64:
        return True
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is not None and kind.isnative and kind.char in "fd":
        return kind.char == "d"
    raise CaffeError(f"dtype must be float32 or float64, not {dtype!r}")


cdef object _empty(object size, object dtype):
    """Return a new array of a caller's size: None (0 axes), a whole number or a tuple of them."""
    shape = () if size is None else size if isinstance(size, (tuple, list)) else (size,)
    total = np.dtype(dtype).itemsize
    try:
        shape = tuple([index(n) for n in shape])
    except TypeError:
        raise CaffeError(f"size must be a whole number or a tuple of them, not {size!r}") from None
    for n in shape:
        if n < 0:
            raise CaffeError(f"size must not be negative: {size!r}")
    for n in shape:
        total *= n
    if total > 0x7FFFFFFFFFFFFFFF or len(shape) > 32:
        raise CaffeError(f"size {size!r} is more than an array can hold")
    return np.empty(shape, dtype)


cdef object _count(object n, str name):
    try:
        n = index(n)
    except TypeError:
        raise CaffeError(f"{name} must be a whole number, not {n!r}") from None
    return n


cdef int _threads(object threads) except -1:
    if threads is None:
        return 0
    threads = _count(threads, "threads")
    if threads < 1:
        raise CaffeError(f"threads must be at least 1, not {threads}")
    return min(threads, 1024)


cdef uint32_t _seed(object seed) except? 0:
    if isinstance(seed, (bool, np.bool_)):
        raise CaffeError(f"seed must be an integer, not {seed!r}")
    seed = _count(seed, "seed")
    if not 0 <= seed <= 0xFFFFFFFF:
        raise CaffeError(
            f"seed {seed} is outside 0 .. 4294967295. Caffe would use {seed % (1 << 32)}: "
            "give that number if it is the one you mean."
        )
    return seed


cdef cf_boost _boost(object version) except *:
    match = isinstance(version, str) and re.fullmatch(r"1\.([0-9]{2,3})(\.[0-9]+)?", version)
    if not match:
        raise CaffeError(f'boost must be a version such as "1.74", not {version!r}')
    minor = int(match[1])
    if minor < 47:
        raise CaffeError(f"Boost {version} is not known here; give 1.47 or later. Most builds of Caffe had 1.54 or later.")
    return CF_BOOST_147 if minor < 56 else CF_BOOST_156 if minor < 64 else CF_BOOST_164


cdef int _plan_uniform(cf_job *job, object low, object high, bint double, cf_boost profile, str boost) except -1:
    """Set up a uniform fill, or refuse what Caffe refuses or hangs on."""
    cdef double a = _number(low, "low"), b = _number(high, "high")
    cdef cf_status status
    if not (a <= b if double else <float>a <= <float>b):
        raise _failed("a <= b", a, b, double, "The lower bound (min) must not be above the upper one (max).")
    if double:
        status = cf_range_of_f64(&job.range_f64, a, b, profile)
    else:
        status = cf_range_of_f32(&job.range_f32, <float>a, <float>b, profile)
    if status == CF_ENDLESS:
        raise CaffeError(
            f"Caffe with Boost {boost} never returns from a uniform fill from {_shown(a, double)} to "
            f"{_shown(b, double)}: no draw falls below the upper bound. Give a narrower, finite range."
        )
    job.kind = CF_UNIFORM
    return 0


cdef int _plan_gaussian(cf_job *job, object mean, object std, bint double) except -1:
    """Set up a gaussian fill, or refuse what Caffe refuses."""
    job.mean, job.sigma = _number(mean, "mean"), _number(std, "std")
    if not (job.sigma > 0 if double else <float>job.sigma > 0):
        raise _failed("sigma > 0", job.sigma, 0, double, "The standard deviation (std) must be above 0.")
    job.kind = CF_GAUSSIAN
    return 0


def check_uniform(low, high, dtype, str boost="1.74"):
    """Raise what ``RNG.uniform`` would raise for these numbers."""
    cdef cf_job job
    _plan_uniform(&job, low, high, _is_double(dtype), _boost(boost), boost)


def check_gaussian(mean, std, dtype):
    """Raise what ``RNG.gaussian`` would raise for these numbers."""
    cdef cf_job job
    _plan_gaussian(&job, mean, std, _is_double(dtype))


def _restore(boost, seed, key, pos, drawn, c_rand=0):
    """Rebuild an RNG from a pickle."""
    cdef RNG rng = RNG(0, boost=boost)
    rng.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": pos}}
    rng.mt.drawn = drawn
    rng._seed = seed
    rng.c_rand = c_rand
    return rng


cdef class RNG:
    """The random stream of Caffe: MT19937, and Boost's distributions over it.

    All draws of Caffe come from one stream, in order; so fillers take an ``RNG`` and advance it. Threads may share one:
    every call is atomic.

    Parameters
    ----------
    seed : int, optional
        0 .. 2**32 - 1, as in ``Caffe::set_random_seed``. None takes one from the system's entropy; the attribute
        ``seed`` holds it.
    boost : str
        The version of Boost that Caffe was built with, from "1.47" on. Its normal distribution changed in 1.56 and
        in 1.64.

    Raises
    ------
    CaffeError
        If the seed is not an integer in the range, or the version of Boost is unknown.

    Notes
    -----
    **Compatibility guarantee**

    ``RNG`` guarantees that a fixed seed and a fixed ``boost`` always give the same values, with every version of this
    package, on every machine, instruction set and number of threads. The exception is float64 gaussians: they use the
    C library's ``exp``, ``log``, ``sin`` and ``cos``, whose last bit may differ between libraries. The raw draws are
    those that ``numpy.random.MT19937`` guarantees for the same state.

    References
    ----------
    M. Matsumoto and T. Nishimura, "Mersenne Twister: A 623-Dimensionally Equidistributed Uniform Pseudo-Random Number
    Generator", ACM Transactions on Modeling and Computer Simulation 8 (1998).

    Boost.Random: ``mersenne_twister.hpp``, ``uniform_real_distribution.hpp``, ``bernoulli_distribution.hpp`` and
    ``normal_distribution.hpp`` of Boost 1.47, 1.56 and 1.64.

    G. E. P. Box and M. E. Muller, "A Note on the Generation of Random Normal Deviates", Annals of Mathematical
    Statistics 29 (1958): Boost up to 1.55.

    G. Marsaglia and W. W. Tsang, "The Ziggurat Method for Generating Random Variables", Journal of Statistical
    Software 5 (2000): Boost from 1.56 on, which takes the layer and the fraction from different bits of a draw.

    H. Haramoto, M. Matsumoto, T. Nishimura, F. Panneton and P. L'Ecuyer, "Efficient Jump Ahead for F2-Linear Random
    Number Generators", INFORMS Journal on Computing 20 (2008): ``skip``.

    Examples
    --------
    >>> from caffe_fillers import RNG
    >>> rng = RNG(1701)
    >>> int(rng.random_raw()), rng.position
    (384112814, 1)
    >>> rng.uniform(-1, 1, 3).dtype
    dtype('float32')
    """

    cdef cf_mt mt
    cdef PyThread_type_lock lock
    cdef cf_boost profile
    cdef readonly str boost
    cdef public unsigned long long c_rand
    """How many numbers of C's ``rand``, a process's other stream, the data layers beside this one have drawn."""
    cdef object _seed

    def __cinit__(self, seed=None, *, boost="1.74"):
        self.lock = PyThread_allocate_lock()
        if self.lock is NULL:
            raise MemoryError
        self.profile = _boost(boost)
        self.boost = boost
        self._seed = int.from_bytes(os.urandom(4), "little") if seed is None else _seed(seed)
        cf_mt_seed(&self.mt, self._seed, SIMD)

    def __dealloc__(self):
        if self.lock is not NULL:
            PyThread_free_lock(self.lock)

    cdef inline void acquire(self) noexcept nogil:
        PyThread_acquire_lock(self.lock, WAIT_LOCK)

    cdef inline void release(self) noexcept nogil:
        PyThread_release_lock(self.lock)

    cdef cf_mt snapshot(self) noexcept:
        cdef cf_mt mt
        with nogil:
            self.acquire()
            mt = self.mt
            self.release()
        return mt

    def __repr__(self):
        return f"RNG(seed={self.seed}, boost={self.boost!r}, position={self.position})"

    @property
    def seed(self):
        """The seed given or drawn; None once ``state`` was set."""
        return self._seed

    @property
    def position(self):
        """The number of draws since seeding, or since ``state`` was set."""
        cdef uint64_t drawn
        with nogil:
            self.acquire()
            drawn = self.mt.drawn
            self.release()
        return drawn

    @property
    def state(self):
        """The stream as ``numpy.random.MT19937().state``: a dict that you can assign to either.

        Raises
        ------
        CaffeError
            If you assign something else. The stream stays unchanged.
        """
        cdef cf_mt mt = self.snapshot()
        key = np.empty(CF_MT_N, np.uint32)
        cdef uint32_t[::1] words = key
        memcpy(&words[0], mt.key, CF_MT_N * sizeof(uint32_t))
        return {"bit_generator": "MT19937", "state": {"key": key, "pos": int(mt.pos)}}

    @state.setter
    def state(self, value):
        cdef cf_mt mt
        cdef const uint32_t[::1] words
        try:
            name, inner = value["bit_generator"], value["state"]
            key, pos = np.asarray(inner["key"]), index(inner["pos"])
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise CaffeError(f"not a state of NumPy's MT19937: {type(error).__name__}: {error}") from None
        if name != "MT19937":
            raise CaffeError(f"a state of MT19937 is needed, not of {name!r}")
        if key.shape != (CF_MT_N,) or key.dtype.kind not in "iu" or key.min() < 0 or key.max() > 0xFFFFFFFF:
            raise CaffeError(
                f"the key of a state must be {CF_MT_N} whole numbers of 32 bits, not {key.dtype} of shape {key.shape}"
            )
        if not 0 <= pos <= CF_MT_N:
            raise CaffeError(f"the pos of a state must be 0 .. {CF_MT_N}, not {pos}")
        if not (key[1:].any() or int(key[0]) >> 31):
            raise CaffeError("a key of zeros is no state: it would give only zeros")
        words = np.ascontiguousarray(key, np.uint32)
        mt = self.snapshot()
        memcpy(mt.key, &words[0], CF_MT_N * sizeof(uint32_t))
        mt.pos, mt.drawn = pos, 0
        with nogil:
            self.acquire()
            self.mt = mt
            self.release()
        self._seed = None

    def copy(self):
        """Return another RNG at the same place of the same stream."""
        cdef RNG other = RNG.__new__(RNG, 0, boost=self.boost)
        other.mt = self.snapshot()
        other._seed, other.c_rand = self._seed, self.c_rand
        return other

    def become(self, RNG other not None):
        """Take over the state of `other`: this stream continues as that one would.

        Raises
        ------
        CaffeError
            If `other` is of another version of Boost.
        """
        if other.boost != self.boost:
            raise CaffeError(f"a stream of Boost {self.boost} can't become one of Boost {other.boost}")
        cdef cf_mt mt = other.snapshot()
        with nogil:
            self.acquire()
            self.mt = mt
            self.release()
        self._seed, self.c_rand = other._seed, other.c_rand

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        cdef cf_mt mt = self.snapshot()
        key = (<char *>mt.key)[:CF_MT_N * sizeof(uint32_t)]
        words = np.frombuffer(key, np.uint32)
        return _restore, (self.boost, self._seed, words, int(mt.pos), int(mt.drawn), self.c_rand)

    def random_raw(self, size=None):
        """Draw as ``caffe_rng_rand()`` does.

        Parameters
        ----------
        size : int or tuple of int, optional
            The shape of the result; None for a single draw.

        Returns
        -------
        int or ndarray of uint32
        """
        cdef uint32_t one
        cdef uint32_t[::1] words
        cdef size_t n
        if size is None:
            with nogil:
                self.acquire()
                cf_mt_raw(&self.mt, &one, 1)
                self.release()
            return int(one)
        out = _empty(size, np.uint32)
        if out.size:
            words = out.reshape(-1)
            n = words.shape[0]
            with nogil:
                self.acquire()
                cf_mt_raw(&self.mt, &words[0], n)
                self.release()
        return out

    def skip(self, n):
        """Discard n draws.

        Parameters
        ----------
        n : int
            The number of draws: 0 or more. ``position`` must stay below 2**63.

        Raises
        ------
        CaffeError
            If n is another number. The stream stays unchanged.
        """
        n = _count(n, "n")
        if n < 0:
            raise CaffeError(f"cannot skip {n} draws: a stream only goes forward")
        if n > MOST:
            raise CaffeError(f"cannot skip {n} draws: a position stays below 2**63")
        cdef uint64_t draws = n
        cdef bint fits
        with nogil:
            self.acquire()
            fits = self.mt.drawn <= MOST and draws <= MOST - self.mt.drawn
            if fits:
                cf_mt_skip(&self.mt, draws)
            self.release()
        if not fits:
            raise CaffeError(f"cannot skip {n} draws: a position stays below 2**63")

    def uniform(self, low=0.0, high=1.0, size=None, dtype=np.float32):
        """Draw as ``caffe_rng_uniform`` does: from low to high, high included.

        Parameters
        ----------
        low, high : float
            The bounds, rounded to dtype first.
        size : int or tuple of int, optional
            The shape of the result; None for a single number.
        dtype : float32 or float64
            The type of the result.

        Returns
        -------
        ndarray or scalar of dtype

        Raises
        ------
        CaffeError
            If low > high, a bound is NaN, or Caffe would hang on the range. Nothing is drawn then.

        Examples
        --------
        >>> from caffe_fillers import RNG
        >>> RNG(1).uniform(-1, 1, (2, 3)).shape
        (2, 3)
        """
        out = _empty(size, np.float64 if _is_double(dtype) else np.float32)
        self.fill_uniform(out, low, high)
        return out[()] if size is None else out

    def gaussian(self, mean=0.0, std=1.0, size=None, dtype=np.float32):
        """Draw as ``caffe_rng_gaussian`` does.

        Parameters
        ----------
        mean, std : float
            Mean and standard deviation, rounded to dtype first.
        size : int or tuple of int, optional
            The shape of the result; None for a single number.
        dtype : float32 or float64
            The type of the result.

        Returns
        -------
        ndarray or scalar of dtype

        Raises
        ------
        CaffeError
            If std is not above 0. Nothing is drawn then.

        Examples
        --------
        >>> from caffe_fillers import RNG
        >>> RNG(1).gaussian(0, 0.01, 10).shape
        (10,)
        """
        out = _empty(size, np.float64 if _is_double(dtype) else np.float32)
        self.fill_gaussian(out, mean, std)
        return out[()] if size is None else out

    def bernoulli(self, p, size=None, dtype=np.float32):
        """Draw 1 with probability p and else 0, as ``caffe_rng_bernoulli`` does. p = 0 draws nothing.

        Parameters
        ----------
        p : float
            The probability, 0 .. 1, rounded to dtype first.
        size : int or tuple of int, optional
            The shape of the result; None for a single number.
        dtype : float32 or float64
            The type of the comparison of a draw with p, and of the result.

        Returns
        -------
        ndarray or scalar of dtype

        Raises
        ------
        CaffeError
            If p is not in 0 .. 1. Nothing is drawn then.

        Examples
        --------
        >>> from caffe_fillers import RNG
        >>> RNG(1).bernoulli(1, 3).tolist()
        [1.0, 1.0, 1.0]
        """
        out = _empty(size, np.float64 if _is_double(dtype) else np.float32)
        self.fill_bernoulli(out, p)
        return out[()] if size is None else out

    def fill_uniform(self, out, low, high, threads=None):
        """``uniform`` into a C-contiguous array of native float32 or float64."""
        cdef _Floats to = _Floats(out)
        cdef cf_job job
        cdef int asked = _threads(threads)
        _plan_uniform(&job, low, high, to.double, self.profile, self.boost)
        self._fill(&job, to, asked)

    def fill_gaussian(self, out, mean, std, threads=None):
        """``gaussian`` into a C-contiguous array of native float32 or float64."""
        cdef _Floats to = _Floats(out)
        cdef cf_job job
        cdef int asked = _threads(threads)
        _plan_gaussian(&job, mean, std, to.double)
        self._fill(&job, to, asked)

    cdef _fill(self, cf_job *job, _Floats to, int asked):
        cdef size_t size = threads_for(job, to.size, asked)
        cdef cf_team *team = NULL
        job.wide, job.boost = to.double, self.profile
        job.nontemporal = cf_wants_nontemporal(to.view.buf, to.view.len)
        if size > 1:
            team = gathered(job, size)
        with nogil:
            self.acquire()
            if team is NULL:
                cf_run(job, &self.mt, to.view.buf, to.size, CF_ANY)
            else:
                cf_team_fill(team, &self.mt, to.view.buf, to.size)
            self.release()
        disband(team)

    def fill_bernoulli(self, out, p):
        """``bernoulli`` into a C-contiguous array of native float32 or float64."""
        self._bernoulli(_Floats(out), p, False)

    def mask_bernoulli(self, out, p):
        """Multiply an array by ``bernoulli`` of its size, as Caffe's sparse gaussian does."""
        self._bernoulli(_Floats(out), p, True)

    cdef _bernoulli(self, _Floats to, object probability, bint mask):
        cdef double p = _number(probability, "p")
        if not to.double:
            p = <float>p
        if not p >= 0:
            raise _failed("p >= 0", p, 0, to.double, "A probability lies between 0 and 1.")
        if not p <= 1:
            raise _failed("p <= 1", p, 1, to.double, "A probability lies between 0 and 1.")
        cdef cf_job job
        if not mask:
            job.kind, job.p = CF_BERNOULLI, p
            self._fill(&job, to, 0 if p > 0 else 1)
            return
        with nogil:
            self.acquire()
            if to.double:
                cf_mask_f64(&self.mt, <double *>to.view.buf, to.size, p)
            else:
                cf_mask_f32(&self.mt, <float *>to.view.buf, to.size, <float>p)
            self.release()


def normalize_rows(out):
    """Divide each row of a C-contiguous 2-d array by its sum, added up in index order as Caffe does."""
    cdef _Floats to = _Floats(out)
    if to.view.ndim != 2:
        raise CaffeError(f"the rows of an array need 2 axes, not {to.view.ndim}")
    cdef size_t rows = to.view.shape[0], columns = to.view.shape[1]
    with nogil:
        if to.double:
            cf_normalize_rows_f64(<double *>to.view.buf, rows, columns)
        else:
            cf_normalize_rows_f32(<float *>to.view.buf, rows, columns)


include "_seek.pxi"

include "_layers.pxi"
