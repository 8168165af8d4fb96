/* Loops for layers, except matrix products: one pass over memory where NumPy takes several.

   Every loop gives the bits of the NumPy function of caffe_fillers/ops/ that it replaces: the same operations, each
   rounded by itself, and sums in the same order. It computes items `begin` to `end`; items are independent of each
   other, so threads can share them. Arrays are in C order, and do not overlap unless a comment allows it. In a table
   of two loops, 0 is float and 1 double. */
#ifndef CF_LAYERS_H
#define CF_LAYERS_H

#include <stddef.h>
#include <stdint.h>

typedef void cf_loop(const void *of, size_t begin, size_t end);

/* The positions of a kernel on images of height x width. */
typedef struct {
    ptrdiff_t height, width, rows, columns; /* size of an image; number of positions down and along it */
    ptrdiff_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
} cf_window;

/* Items: planes, one for each channel of each image. */
typedef struct {
    cf_window window;
    void *image;   /* height x width */
    void *columns; /* kernel x places */
} cf_columns;

typedef enum { CF_NO_MASK, CF_INT_MASK, CF_REAL_MASK } cf_mask_kind;

/* Items: planes. */
typedef struct {
    cf_window window;
    cf_mask_kind kind;
    size_t planes; /* of all items together */
    int fresh;     /* unpool clears the image first */
    void *image, *pooled;
    void *mask; /* the index of each maximum in its plane; -1 if it has none */
} cf_pool;

/* Items: planes. Each of the `channels` has its own kernel. */
typedef struct {
    cf_window window;
    size_t channels;
    const void *image, *weight, *bias; /* bias may be NULL */
    void *out;
} cf_depthwise;

/* A convolution by kernels of 3x3 with stride 1, in tiles of 2x2 places. The tiles of rows `first` to `last` - 1 are
   contiguous.
   - tile_kernels: items are outputs; `from` outputs x channels x 3 x 3 `to` 16 x outputs x channels.
   - tile_image: items are channels; `from` an image `to` 16 x channels x tiles.
   - tile_sums: items are outputs; `from` 16 x outputs x tiles `to` an image of places. */
typedef struct {
    cf_window window;
    ptrdiff_t first, last;
    size_t channels, outputs;
    const void *from, *bias; /* bias may be NULL */
    void *to;
    unsigned char *broken; /* of tile_sums: for each output, whether one of its places is not a finite number */
} cf_tiles;

/* Items: planes of `pixels` numbers. out = (x - minus) / by * times + plus, with one number of each per channel; a
   step whose array is NULL is left out. `out` may be `x`. */
typedef struct {
    size_t channels, pixels;
    const void *x, *minus, *by, *times, *plus;
    void *out;
} cf_affine;

/* Items: rows of `out`, rows x columns: what is in `x`, columns x rows, plus the bias of its column. */
typedef struct {
    size_t rows, columns;
    const void *x, *bias; /* bias may be NULL */
    void *out;
} cf_transpose;

/* Items: blocks of CF_PIXELS pixels in each image, the last one smaller: images * cf_blocks(pixels). */
typedef struct {
    size_t channels, pixels, size;
    double start, factor;
    const void *x;
    const void *dy; /* NULL: lrn_sums, which sums factor * x * x; else lrn_gradient, which sums dy * y / sums */
    const void *y, *sums;
    void *out; /* lrn_sums: the sums; lrn_gradient: out * dy - factor * x * sum */
} cf_lrn;

enum { CF_PIXELS = 64 };
static inline size_t cf_blocks(size_t pixels) { return (pixels + CF_PIXELS - 1) / CF_PIXELS; }

/* Items: elements. `out` may be `x` or `dy`. */
typedef struct {
    double slope;
    const void *x, *dy;
    void *out;
} cf_relu;

/* Items: elements. `out` may be `y` or `dy`. */
typedef struct {
    const void *dy, *y;
    void *out;
} cf_sigmoid;

/* Items: elements. `out` may be `x`. */
typedef struct {
    const void *x;
    void *out;
} cf_each;

enum { CF_MOST_TERMS = 16 };

/* Items: elements. */
typedef struct {
    size_t terms;
    const void *x[CF_MOST_TERMS];
    double coefficient[CF_MOST_TERMS];
    void *out;
} cf_sum;

/* Items: elements of one parameter. */
typedef struct {
    double share, decay, rate, momentum; /* share 1 and decay 0 are not computed */
    int l1;
    void *data, *diff, *history;
} cf_sgd;

typedef struct cf_layers {
    const char *name;
    cf_loop *im2col[2], *col2im[2];
    cf_loop *max_pool[2], *unpool[2]; /* unpool adds to the image; if `fresh`, it clears the image first */
    cf_loop *average_pool[2], *average_spread[2];
    cf_loop *depthwise[2];
    cf_loop *tile_kernels[2], *tile_image[2], *tile_sums[2];
    cf_loop *affine[2];
    cf_loop *transpose[2];
    cf_loop *lrn_sums[2], *lrn_gradient[2];
    cf_loop *relu[2], *relu_gradient[2];
    cf_loop *sigmoid_gradient[2];
    cf_loop *sigmoid[2], *tanh[2];
    cf_loop *sum[2];
    cf_loop *total[2]; /* of the items in one number; its items may not be shared out */
    cf_loop *sgd[2];
} cf_layers;

extern const cf_layers cf_layers_portable, cf_layers_avx2, cf_layers_avx512;
/* Returns the loops for the instruction set of that name. The names are those of cf_simd_find. */
const cf_layers *cf_layers_find(const char *name);

#endif
