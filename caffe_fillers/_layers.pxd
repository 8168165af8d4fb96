# csrc/layers/layers.h and csrc/layers/crew.h
from libc.stdint cimport int32_t

from caffe_fillers._team cimport cf_threads


cdef extern from "layers/layers.h" nogil:
    ctypedef void cf_loop(const void *of, size_t begin, size_t end) noexcept nogil
    ctypedef struct cf_window:
        Py_ssize_t height, width, rows, columns
        Py_ssize_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w
    ctypedef struct cf_columns:
        cf_window window
        void *image
        void *columns
    ctypedef enum cf_mask_kind: CF_NO_MASK, CF_INT_MASK, CF_REAL_MASK
    ctypedef struct cf_pool:
        cf_window window
        cf_mask_kind kind
        size_t planes
        int fresh
        void *image
        void *pooled
        void *mask
    ctypedef struct cf_depthwise:
        cf_window window
        size_t channels
        const void *image
        const void *weight
        const void *bias
        void *out
    ctypedef struct cf_tiles:
        cf_window window
        Py_ssize_t first, last
        size_t channels, outputs
        const void *source "from"
        const void *bias
        void *to
        unsigned char *broken
    ctypedef struct cf_affine:
        size_t channels, pixels
        const void *x
        const void *minus
        const void *by
        const void *times
        const void *plus
        void *out
    ctypedef struct cf_transpose:
        size_t rows, columns
        const void *x
        const void *bias
        void *out
    ctypedef struct cf_lrn:
        size_t channels, pixels, size
        double start, factor
        const void *x
        const void *dy
        const void *y
        const void *sums
        void *out
    size_t cf_blocks(size_t pixels)
    ctypedef struct cf_relu:
        double slope
        const void *x
        const void *dy
        void *out
    ctypedef struct cf_sigmoid:
        const void *dy
        const void *y
        void *out
    ctypedef struct cf_each:
        const void *x
        void *out
    enum: CF_MOST_TERMS
    ctypedef struct cf_sum:
        size_t terms
        const void *x[16]
        double coefficient[16]
        void *out
    ctypedef struct cf_sgd:
        double share, decay, rate, momentum
        int l1
        void *data
        void *diff
        void *history
    ctypedef struct cf_layers:
        cf_loop *im2col[2]
        cf_loop *col2im[2]
        cf_loop *max_pool[2]
        cf_loop *unpool[2]
        cf_loop *average_pool[2]
        cf_loop *average_spread[2]
        cf_loop *depthwise[2]
        cf_loop *tile_kernels[2]
        cf_loop *tile_image[2]
        cf_loop *tile_sums[2]
        cf_loop *affine[2]
        cf_loop *transpose[2]
        cf_loop *lrn_sums[2]
        cf_loop *lrn_gradient[2]
        cf_loop *relu[2]
        cf_loop *relu_gradient[2]
        cf_loop *sigmoid_gradient[2]
        cf_loop *sigmoid[2]
        cf_loop *tanh[2]
        cf_loop *sum[2]
        cf_loop *total[2]
        cf_loop *sgd[2]
    const cf_layers *cf_layers_find(const char *name)


cdef extern from "layers/crew.h" nogil:
    ctypedef struct cf_hand:
        void *turn
        void *ended
    ctypedef struct cf_crew:
        cf_hand hand[1]
        size_t size
        const cf_threads *threads
    int cf_crew_join(cf_crew *crew)
    void cf_crew_share(cf_crew *crew, size_t hands, cf_loop *loop, const void *of, size_t items)


cdef extern from "layers/products.h" nogil:
    ctypedef struct cf_matrix:
        void *start
        int transposed
        Py_ssize_t leading
        Py_ssize_t step[2]
    ctypedef struct cf_product:
        void (*routine)() noexcept nogil
        int wide, long_integers
        cf_matrix left, right, out
        Py_ssize_t rows, columns, inner
        size_t each, parts
        int by_rows
    void cf_multiply(const void *of, size_t begin, size_t end) noexcept nogil
