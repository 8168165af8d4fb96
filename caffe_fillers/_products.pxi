# Products of matrices by NumPy's BLAS. Threads that share a product call it without Python, whose lock would make them
# wait for each other.

ctypedef int (*_Ask)() noexcept nogil
ctypedef void (*_Give)(int) noexcept nogil

cdef size_t GEMM[2]
cdef bint LONG_INTEGERS
# its own number of threads
cdef _Ask ASK_BLAS = NULL
cdef _Give GIVE_BLAS = NULL


def use_blas(size_t sgemm, size_t dgemm, bint long_integers, size_t ask, size_t give):
    """Set the addresses of cblas_sgemm, cblas_dgemm and of two functions that get and set the number of threads.

    `long_integers` says whether the integers of the first two have 64 bits.
    """
    global LONG_INTEGERS, ASK_BLAS, GIVE_BLAS
    GEMM[0], GEMM[1], LONG_INTEGERS = sgemm, dgemm, long_integers
    ASK_BLAS, GIVE_BLAS = <_Ask>ask, <_Give>give


cdef bint _laid_out(cf_matrix *matrix, const Py_buffer *x, const Py_buffer *out, bint turned):
    """Describe the matrices of an array, transposed if `turned`; return False if a BLAS needs a copy of them."""
    cdef int first = x.ndim - 2, last = x.ndim - 1, i, axis
    if turned:
        first, last = last, first
    cdef Py_ssize_t each = x.itemsize, down = x.strides[first], along = x.strides[last]
    matrix.start = x.buf
    matrix.transposed = not (along == each and down >= x.shape[last] * each and down % each == 0)
    if matrix.transposed:
        if not (down == each and along >= x.shape[first] * each and along % each == 0):
            return False
        down = along
    matrix.leading = down // each
    # an array may lack the first axes of matrices, or have one matrix for all
    for i in range(2):
        axis = x.ndim - 4 + i
        matrix.step[i] = x.strides[axis] if axis >= 0 and x.shape[axis] > 1 else 0
        if axis >= 0 and x.shape[axis] > 1 and x.shape[axis] != out.shape[out.ndim - 4 + i]:
            return False
    return True


def product(left, right, out, size_t parts, bint by_rows):
    """`ops.products.product`: each matrix of the result has `parts` parts, which are rows or columns of it."""
    cdef _Views views = _Views()
    cdef cf_product job
    cdef Py_buffer *a = views.strided(left, False)
    cdef Py_buffer *b = views.strided(right, False)
    cdef Py_buffer *c = views.strided(out, True)
    if not views.fits or not 2 <= min(a.ndim, b.ndim) <= max(a.ndim, b.ndim) <= c.ndim <= 4 or a.buf == b.buf:
        return False
    job.routine, job.wide, job.long_integers = <void (*)() noexcept nogil>GEMM[views.wide], views.wide, LONG_INTEGERS
    if job.routine is NULL:
        return False
    job.rows, job.columns, job.inner = c.shape[c.ndim - 2], c.shape[c.ndim - 1], a.shape[a.ndim - 1]
    if a.shape[a.ndim - 2] != job.rows or b.shape[b.ndim - 2] != job.inner or b.shape[b.ndim - 1] != job.columns:
        return False
    if min(job.rows, job.columns, job.inner) < 2 or not _laid_out(&job.out, c, c, False):
        return False
    # NumPy computes a result that is transposed in memory from the transposed factors
    cdef bint turned = job.out.transposed
    if turned:
        a, b = b, a
        job.rows, job.columns, by_rows = job.columns, job.rows, not by_rows
        job.out.transposed = False
    if not _laid_out(&job.left, a, c, turned) or not _laid_out(&job.right, b, c, turned):
        return False
    cdef size_t count = 1
    for i in range(c.ndim - 2):
        count *= c.shape[i]
    if not LONG_INTEGERS and max(job.rows, job.columns, job.inner, job.left.leading, job.right.leading,
                                 job.out.leading) > 0x7fffffff:
        return False
    job.each = c.shape[c.ndim - 3] if c.ndim > 2 else 1
    job.parts, job.by_rows = parts, by_rows
    _share(cf_multiply, &job, count * parts, WORTH_A_THREAD, cf_product_threads)
    return True
