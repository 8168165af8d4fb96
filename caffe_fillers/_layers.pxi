# The loops of csrc/layers/. Each function returns whether it ran. It returns False, and writes nothing, for an array of
# another layout or type; the caller then uses the NumPy version.

from caffe_fillers._layers cimport (
    CF_INT_MASK,
    CF_MOST_TERMS,
    CF_NO_MASK,
    CF_REAL_MASK,
    cf_affine,
    cf_blocks,
    cf_columns,
    cf_crew,
    cf_crew_join,
    cf_crew_share,
    cf_depthwise,
    cf_each,
    cf_hand,
    cf_layers,
    cf_layers_find,
    cf_loop,
    cf_lrn,
    cf_matrix,
    cf_multiply,
    cf_pool,
    cf_product,
    cf_relu,
    cf_sgd,
    cf_sigmoid,
    cf_sum,
    cf_tiles,
    cf_transpose,
    cf_window,
)

cdef const cf_layers *LAYERS = cf_layers_find(SIMD.name)

include "_crew.pxi"


cdef class _Views:
    """Arrays of one float type, held for as long as this object lives."""

    cdef Py_buffer view[CF_MOST_TERMS + 1]
    cdef int held
    cdef int wide
    cdef bint fits

    def __cinit__(self):
        self.held, self.wide, self.fits = 0, -1, True

    def __dealloc__(self):
        for i in range(self.held):
            PyBuffer_Release(&self.view[i])

    cdef Py_buffer *any(self, object array, bint written, int layout=PyBUF_C_CONTIGUOUS):
        """Return the view of an array that may have another type, or NULL if it is not contiguous."""
        cdef int flags = layout | PyBUF_FORMAT | (PyBUF_WRITABLE if written else 0)
        cdef Py_buffer *view = &self.view[self.held]
        try:
            PyObject_GetBuffer(array, view, flags)
        except (BufferError, TypeError, ValueError):
            self.fits = False
            return NULL
        self.held += 1
        return view

    cdef Py_buffer *take(self, object array, bint written=False):
        return self._real(self.any(array, written, PyBUF_C_CONTIGUOUS))

    cdef Py_buffer *strided(self, object array, bint written):
        """The view of an array that need not be contiguous."""
        return self._real(self.any(array, written, PyBUF_STRIDES))

    cdef Py_buffer *_real(self, Py_buffer *view):
        cdef int wide
        if view is NULL:
            return NULL
        wide = 0 if view.format[0] == c"f" else 1 if view.format[0] == c"d" else -1
        if wide < 0 or view.format[1] or (self.wide >= 0 and wide != self.wide):
            self.fits = False
            return NULL
        self.wide = wide
        return view


cdef size_t _size_of(const Py_buffer *view) noexcept:
    return view.len // view.itemsize


cdef size_t _behind(const Py_buffer *view, int begin, int end) noexcept:
    cdef size_t count = 1
    for i in range(begin, end):
        count *= view.shape[i]
    return count


cdef _place(cf_window *w, object window, size, places):
    w.height, w.width = size
    w.rows, w.columns = places
    w.kernel_h, w.kernel_w = window.kernel
    w.stride_h, w.stride_w = window.stride
    w.pad_h, w.pad_w = window.pad
    w.dilation_h, w.dilation_w = window.dilation


cdef bint _columns(cf_loop *const *loop, object image, object columns, object window, object places, bint back):
    cdef _Views views = _Views()
    cdef cf_columns job
    cdef Py_buffer *x = views.take(image, back)
    cdef Py_buffer *c = views.take(columns, not back)
    if not views.fits or x.ndim != 4:
        return False
    _place(&job.window, window, (x.shape[2], x.shape[3]), places)
    cdef size_t planes = x.shape[0] * x.shape[1]
    cdef size_t each = job.window.kernel_h * job.window.kernel_w * job.window.rows * job.window.columns
    if _size_of(c) != planes * each:
        return False
    job.image, job.columns = x.buf, c.buf
    _share(loop[views.wide], &job, planes, _size_of(c))
    return True


def im2col(image, columns, window, places):
    """`ops.im2col` of images with two axes: (images, channels, height, width)."""
    return _columns(LAYERS.im2col, image, columns, window, places, False)


def col2im(columns, image, window, places):
    """`ops.col2im`."""
    return _columns(LAYERS.col2im, image, columns, window, places, True)


cdef bint _pool(cf_loop *const *loop, object image, bint back, object pooled, object mask, object window,
                bint fresh=False):
    cdef _Views views = _Views()
    cdef cf_pool job
    cdef Py_buffer *x = views.take(image, back)
    cdef Py_buffer *y = views.take(pooled, not back)
    cdef Py_buffer *m
    if not views.fits or x.ndim != 4 or y.ndim != 4 or x.shape[0] != y.shape[0] or x.shape[1] != y.shape[1]:
        return False
    job.kind, job.mask = CF_NO_MASK, NULL
    if mask is not None:
        m = views.any(mask, not back)
        if m is NULL or _size_of(m) != _size_of(y) or m.format[1]:
            return False
        if m.format[0] == c"i" and m.itemsize == 4:
            job.kind = CF_INT_MASK
        elif m.format[0] == y.format[0]:
            job.kind = CF_REAL_MASK
        else:
            return False
        job.mask = m.buf
    size, places = (x.shape[2], x.shape[3]), (y.shape[2], y.shape[3])
    if x.shape[2] * x.shape[3] > 0x7fffffff:
        return False
    if window is None:
        job.window.height, job.window.width = size
        job.window.rows, job.window.columns = places
    else:
        _place(&job.window, window, size, places)
        if job.window.dilation_h != 1 or job.window.dilation_w != 1:
            return False
    job.fresh = fresh
    job.image, job.pooled, job.planes = x.buf, y.buf, x.shape[0] * x.shape[1]
    _share(loop[views.wide], &job, x.shape[0] * x.shape[1], max(_size_of(x), _size_of(y)))
    return True


def max_pool(x, window, out, mask):
    """`ops.max_pool`."""
    return _pool(LAYERS.max_pool, x, False, out, mask, window)


def unpool(dy, mask, dx, bint fresh):
    """`ops.unpool`; each index in the mask must lie within a channel."""
    return mask is not None and _pool(LAYERS.unpool, dx, True, dy, mask, None, fresh)


def average_pool(x, window, out):
    """`ops.average_pool`."""
    return _pool(LAYERS.average_pool, x, False, out, None, window)


def average_pool_backward(dy, window, dx):
    """`ops.average_pool_backward`."""
    return _pool(LAYERS.average_spread, dx, True, dy, None, window)


def depthwise(x, weight, bias, window, out):
    """`ops.depthwise_convolution`."""
    cdef _Views views = _Views()
    cdef cf_depthwise job
    cdef Py_buffer *image = views.take(x)
    cdef Py_buffer *kernels = views.take(weight)
    cdef Py_buffer *y = views.take(out, True)
    cdef Py_buffer *terms = NULL
    if bias is not None:
        terms = views.take(bias)
    if not views.fits or image.ndim != 4 or y.ndim != 4:
        return False
    _place(&job.window, window, (image.shape[2], image.shape[3]), (y.shape[2], y.shape[3]))
    job.channels = image.shape[1]
    job.image, job.weight, job.bias, job.out = image.buf, kernels.buf, NULL if terms is NULL else terms.buf, y.buf
    cdef size_t kernel = job.window.kernel_h * job.window.kernel_w
    if _size_of(kernels) != job.channels * kernel or (terms is not NULL and _size_of(terms) != job.channels):
        return False
    if y.shape[0] != image.shape[0] or y.shape[1] != image.shape[1]:
        return False
    _share(LAYERS.depthwise[views.wide], &job, image.shape[0] * image.shape[1], _size_of(y) * kernel)
    return True


def tile_kernels(weight, tiles):
    """`ops.tiles.tile_kernels`."""
    cdef _Views views = _Views()
    cdef cf_tiles job
    cdef Py_buffer *w = views.take(weight)
    cdef Py_buffer *t = views.take(tiles, True)
    if not views.fits or w.ndim != 4 or w.shape[2] != 3 or w.shape[3] != 3 or _size_of(t) != _size_of(w) // 9 * 16:
        return False
    job.outputs, job.channels = w.shape[0], w.shape[1]
    job.source, job.to = w.buf, t.buf
    _share(LAYERS.tile_kernels[views.wide], &job, job.outputs, _size_of(t))
    return True


cdef bint _rows_of_tiles(cf_tiles *job, object window, size, places, Py_ssize_t first, Py_ssize_t last, size_t held):
    """Set the window of a job; return whether `held` is the size of these rows of tiles in each channel."""
    _place(&job.window, window, size, places)
    job.first, job.last = first, last
    if not 0 <= first < last <= (job.window.rows + 1) // 2:
        return False
    return held == 16 * <size_t>((last - first) * ((job.window.columns + 1) // 2))


def tile_image(x, window, places, Py_ssize_t first, Py_ssize_t last, tiles):
    """`ops.tiles.tile_image`."""
    cdef _Views views = _Views()
    cdef cf_tiles job
    cdef Py_buffer *image = views.take(x)
    cdef Py_buffer *t = views.take(tiles, True)
    if not views.fits or image.ndim != 3 or image.shape[0] == 0 or _size_of(t) % image.shape[0]:
        return False
    job.channels = image.shape[0]
    size = (image.shape[1], image.shape[2])
    if not _rows_of_tiles(&job, window, size, places, first, last, _size_of(t) // job.channels):
        return False
    job.source, job.to = image.buf, t.buf
    _share(LAYERS.tile_image[views.wide], &job, job.channels, _size_of(t))
    return True


def tile_sums(products, bias, window, Py_ssize_t first, Py_ssize_t last, out):
    """`ops.tiles.tile_sums`; None if it did not run."""
    cdef _Views views = _Views()
    cdef cf_tiles job
    cdef Py_buffer *t = views.take(products)
    cdef Py_buffer *y = views.take(out, True)
    cdef Py_buffer *terms = NULL
    cdef unsigned char[::1] broken
    if bias is not None:
        terms = views.take(bias)
    if not views.fits or y.ndim != 3 or y.shape[0] == 0 or _size_of(t) % y.shape[0]:
        return None
    job.outputs = y.shape[0]
    if terms is not NULL and _size_of(terms) != job.outputs:
        return None
    places = (y.shape[1], y.shape[2])
    # tile_sums does not use the size of the image, so the places stand in for it
    if not _rows_of_tiles(&job, window, places, places, first, last, _size_of(t) // job.outputs):
        return None
    flags = bytearray(job.outputs)
    broken = flags
    job.source, job.to, job.bias = t.buf, y.buf, NULL if terms is NULL else terms.buf
    job.broken = &broken[0]
    _share(LAYERS.tile_sums[views.wide], &job, job.outputs, _size_of(t))
    return not any(flags)


def affine(x, minus, by, times, plus, out, size_t pixels):
    """Write ``(x - minus) / by * times + plus``, by channel of `pixels` numbers; a step that is None is left out."""
    cdef _Views views = _Views()
    cdef cf_affine job
    cdef Py_buffer *a = views.take(x)
    cdef Py_buffer *y = views.take(out, True)
    cdef Py_buffer *view
    cdef const void *of[4]
    job.channels, job.pixels = 0, pixels
    for i, each in enumerate((minus, by, times, plus)):
        of[i] = NULL
        if each is not None:
            view = views.take(each)
            if view is NULL or (job.channels and _size_of(view) != job.channels):
                return False
            job.channels, of[i] = _size_of(view), view.buf
    if not views.fits or _size_of(a) != _size_of(y) or job.channels == 0 or pixels == 0:
        return False
    if _size_of(a) % (job.channels * pixels):
        return False
    job.x, job.out = a.buf, y.buf
    job.minus, job.by, job.times, job.plus = of[0], of[1], of[2], of[3]
    _share(LAYERS.affine[views.wide], &job, _size_of(a) // pixels, _size_of(a))
    return True


def transpose(x, bias, out):
    """`ops.dense.transposed`."""
    cdef _Views views = _Views()
    cdef cf_transpose job
    cdef Py_buffer *a = views.take(x)
    cdef Py_buffer *b = NULL if bias is None else views.take(bias)
    cdef Py_buffer *y = views.take(out, True)
    if not views.fits or a.ndim != 2 or y.ndim != 2 or a.shape[0] != y.shape[1] or a.shape[1] != y.shape[0]:
        return False
    if b is not NULL and (b.ndim != 1 or b.shape[0] != a.shape[0]):
        return False
    job.rows, job.columns = y.shape[0], y.shape[1]
    job.x, job.bias, job.out = a.buf, NULL if b is NULL else b.buf, y.buf
    _share(LAYERS.transpose[views.wide], &job, job.rows, 2 * _size_of(y))
    return True


def lrn_sums(x, size_t size, double factor, double start, out):
    """Write ``start`` plus the sum of ``factor * x * x`` over `size` neighbouring channels."""
    cdef _Views views = _Views()
    cdef cf_lrn job
    cdef Py_buffer *a = views.take(x)
    cdef Py_buffer *y = views.take(out, True)
    if not views.fits or a.ndim < 2 or _size_of(a) != _size_of(y) or size % 2 == 0 or _size_of(a) == 0:
        return False
    job.channels, job.pixels = a.shape[1], _behind(a, 2, a.ndim)
    job.size, job.factor, job.start = size, factor, start
    job.x, job.out, job.dy, job.y, job.sums = a.buf, y.buf, NULL, NULL, NULL
    _share(LAYERS.lrn_sums[views.wide], &job, a.shape[0] * cf_blocks(job.pixels), 4 * _size_of(a))
    return True


def lrn_gradient(dy, x, y, sums, size_t size, double factor, out):
    """Write ``out * dy - factor * x * s``, where s sums ``dy * y / sums`` over `size` neighbouring channels."""
    cdef _Views views = _Views()
    cdef cf_lrn job
    cdef Py_buffer *given[4]
    for i, each in enumerate((dy, x, y, sums)):
        given[i] = views.take(each)
    cdef Py_buffer *to = views.take(out, True)
    if not views.fits or to.ndim < 2 or size % 2 == 0 or _size_of(to) == 0:
        return False
    for i in range(4):
        if _size_of(given[i]) != _size_of(to) or given[i].buf == to.buf:
            return False
    job.channels, job.pixels = to.shape[1], _behind(to, 2, to.ndim)
    job.size, job.factor, job.start = size, factor, 0
    job.dy, job.x, job.y, job.sums, job.out = given[0].buf, given[1].buf, given[2].buf, given[3].buf, to.buf
    _share(LAYERS.lrn_gradient[views.wide], &job, to.shape[0] * cf_blocks(job.pixels), 8 * _size_of(to))
    return True


def relu(x, double slope, out):
    """`ops.relu`."""
    cdef _Views views = _Views()
    cdef cf_relu job
    cdef Py_buffer *a = views.take(x)
    cdef Py_buffer *y = views.take(out, True)
    if not views.fits or _size_of(a) != _size_of(y):
        return False
    job.slope, job.x, job.dy, job.out = slope, a.buf, NULL, y.buf
    _share(LAYERS.relu[views.wide], &job, _size_of(a), _size_of(a))
    return True


def relu_backward(dy, x, double slope, out):
    """`ops.relu_backward`."""
    cdef _Views views = _Views()
    cdef cf_relu job
    cdef Py_buffer *d = views.take(dy)
    cdef Py_buffer *a = views.take(x)
    cdef Py_buffer *y = views.take(out, True)
    if not views.fits or _size_of(a) != _size_of(y) or _size_of(d) != _size_of(y):
        return False
    job.slope, job.x, job.dy, job.out = slope, a.buf, d.buf, y.buf
    _share(LAYERS.relu_gradient[views.wide], &job, _size_of(a), _size_of(a))
    return True


def sigmoid_backward(dy, y, out):
    """`ops.sigmoid_backward`."""
    cdef _Views views = _Views()
    cdef cf_sigmoid job
    cdef Py_buffer *d = views.take(dy)
    cdef Py_buffer *a = views.take(y)
    cdef Py_buffer *to = views.take(out, True)
    if not views.fits or _size_of(a) != _size_of(to) or _size_of(d) != _size_of(to):
        return False
    job.dy, job.y, job.out = d.buf, a.buf, to.buf
    _share(LAYERS.sigmoid_gradient[views.wide], &job, _size_of(to), _size_of(to))
    return True


cdef bint _each(cf_loop *const *loop, object x, object out, size_t weight):
    """A loop over elements, each of which costs as much as `weight` of a simple one."""
    cdef _Views views = _Views()
    cdef cf_each job
    cdef Py_buffer *a = views.take(x)
    cdef Py_buffer *y = views.take(out, True)
    if not views.fits or _size_of(a) != _size_of(y):
        return False
    job.x, job.out = a.buf, y.buf
    _share(loop[views.wide], &job, _size_of(a), weight * _size_of(a))
    return True


def sigmoid(x, out):
    """`ops.sigmoid`."""
    return _each(LAYERS.sigmoid, x, out, 4)


def tanh(x, out):
    """`ops.tangent.tanh`."""
    return _each(LAYERS.tanh, x, out, 4)


def weighted_sum(xs, coefficients, out):
    """Write the sum of arrays, each times its coefficient, added to 0 in order; none of them may be `out`."""
    cdef _Views views = _Views()
    cdef cf_sum job
    cdef Py_buffer *y = views.take(out, True)
    cdef Py_buffer *view
    if not 0 < len(xs) <= CF_MOST_TERMS:
        return False
    job.terms = 0
    for x, coefficient in zip(xs, coefficients):
        view = views.take(x)
        if view is NULL or y is NULL or _size_of(view) != _size_of(y) or view.buf == y.buf:
            return False
        job.x[job.terms], job.coefficient[job.terms] = view.buf, coefficient
        job.terms += 1
    if not views.fits:
        return False
    job.out = y.buf
    _share(LAYERS.sum[views.wide], &job, _size_of(y), _size_of(y) * job.terms)
    return True


def total(x):
    """`ops.targets.in_order`: the sum, or None where it is left to NumPy."""
    cdef _Views views = _Views()
    cdef cf_each job
    cdef float single
    cdef double wide
    cdef Py_buffer *a = views.take(x)
    if not views.fits:
        return None
    job.x, job.out = a.buf, &wide if views.wide else <void *>&single
    cdef size_t size = _size_of(a)
    with nogil:
        LAYERS.total[views.wide](&job, 0, size)
    return wide if views.wide else single


def sgd(data, diff, history, double share, double decay, double rate, double momentum, bint l1):
    """`training.updates.SGD` of one parameter."""
    cdef _Views views = _Views()
    cdef cf_sgd job
    cdef Py_buffer *a = views.take(data, True)
    cdef Py_buffer *d = views.take(diff, True)
    cdef Py_buffer *h = views.take(history, True)
    if not views.fits or _size_of(d) != _size_of(a) or _size_of(h) != _size_of(a):
        return False
    job.share, job.decay, job.rate, job.momentum, job.l1 = share, decay, rate, momentum, l1
    job.data, job.diff, job.history = a.buf, d.buf, h.buf
    _share(LAYERS.sgd[views.wide], &job, _size_of(a), 2 * _size_of(a))
    return True


include "_products.pxi"
include "_passes.pxi"
