/* The loops of csrc/layers/ on arrays of exactly the size that they are given: layers [portable|avx2|avx512].
   Every loop is held to the portable one's bits over items in two parts, so that a sanitizer sees each access, and
   columns and pooling to loops of a few lines besides. Prints what fails; exits with 77 where the set is not here. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers/layers.h"
#include "simd/simd.h"

static uint32_t state = 1;

static uint32_t draw(uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static int wide, failures, cases;

static size_t itemsize(void) { return wide ? sizeof(double) : sizeof(float); }

static void *array(size_t n) {
    void *made = malloc(n * itemsize() + (n == 0));
    for (size_t i = 0; i < n; ++i) {
        const double value = (double)draw(7) - 3 + draw(1000) * 1e-3;
        if (wide)
            ((double *)made)[i] = value;
        else
            ((float *)made)[i] = (float)value;
    }
    return made;
}

static void *copy(const void *of, size_t bytes) { return memcpy(malloc(bytes + (bytes == 0)), of, bytes); }

static void same(const char *what, const void *a, const void *b, size_t bytes) {
    ++cases;
    if (memcmp(a, b, bytes)) {
        ++failures;
        printf("%s (%s) differs\n", what, wide ? "double" : "float");
    }
}

static void in_two(cf_loop *loop, const void *of, size_t items) {
    loop(of, 0, items / 3);
    loop(of, items / 3, items);
}

static double at(const void *array, size_t i) { return wide ? ((const double *)array)[i] : ((const float *)array)[i]; }

static cf_window window_of(int dilated) {
    cf_window w;
    do {
        w = (cf_window){.height = 1 + draw(20), .width = 1 + draw(40)};
        w.kernel_h = 1 + draw(4), w.kernel_w = 1 + draw(4), w.stride_h = 1 + draw(3), w.stride_w = 1 + draw(3);
        w.pad_h = draw((uint32_t)w.kernel_h), w.pad_w = draw((uint32_t)w.kernel_w);
        w.dilation_h = 1 + (dilated && draw(2)), w.dilation_w = 1 + (dilated && draw(2));
        const ptrdiff_t down = w.height + 2 * w.pad_h - (w.dilation_h * (w.kernel_h - 1) + 1);
        const ptrdiff_t right = w.width + 2 * w.pad_w - (w.dilation_w * (w.kernel_w - 1) + 1);
        w.rows = down < 0 ? 0 : down / w.stride_h + 1;
        w.columns = right < 0 ? 0 : right / w.stride_w + 1;
    } while (w.rows < 1 || w.columns < 1);
    if (!dilated && draw(2)) { /* rounded up: windows hang over the far side */
        if (w.rows * w.stride_h < w.height + w.pad_h)
            ++w.rows;
        if (w.columns * w.stride_w < w.width + w.pad_w)
            ++w.columns;
    }
    return w;
}

static void columns(const cf_layers *set) {
    const cf_window w = window_of(1);
    const size_t planes = 1 + draw(4), area = (size_t)(w.height * w.width), places = (size_t)(w.rows * w.columns);
    const size_t kernel = (size_t)(w.kernel_h * w.kernel_w), bytes = planes * kernel * places * itemsize();
    void *image = array(planes * area), *made = array(planes * kernel * places), *oracle = copy(made, bytes);
    in_two(set->im2col[wide], &(cf_columns){w, image, made}, planes);
    cf_layers_portable.im2col[wide](&(cf_columns){w, image, oracle}, 0, planes);
    same("im2col", made, oracle, bytes);
    for (size_t i = 0; i < planes * kernel * places; ++i) {
        const ptrdiff_t place = (ptrdiff_t)(i % places), offset = (ptrdiff_t)(i / places % kernel);
        const ptrdiff_t y = place / w.columns * w.stride_h - w.pad_h + offset / w.kernel_w * w.dilation_h;
        const ptrdiff_t x = place % w.columns * w.stride_w - w.pad_w + offset % w.kernel_w * w.dilation_w;
        const int inside = y >= 0 && y < w.height && x >= 0 && x < w.width;
        const size_t from = i / places / kernel * area + (size_t)(inside ? y * w.width + x : 0);
        if (at(made, i) != (inside ? at(image, from) : 0)) {
            printf("im2col (%s) is wrong\n", wide ? "double" : "float");
            ++failures;
            break;
        }
    }
    void *back = copy(image, planes * area * itemsize()), *other = copy(image, planes * area * itemsize());
    in_two(set->col2im[wide], &(cf_columns){w, back, made}, planes);
    cf_layers_portable.col2im[wide](&(cf_columns){w, other, made}, 0, planes);
    same("col2im", back, other, planes * area * itemsize());
    const size_t channels = 1 + draw((uint32_t)planes);
    void *weight = array(channels * kernel), *bias = array(channels);
    void *a = array(planes * places), *b = copy(a, planes * places * itemsize());
    cf_depthwise job = {w, channels, image, weight, draw(2) ? bias : NULL, a};
    in_two(set->depthwise[wide], &job, planes);
    job.out = b;
    cf_layers_portable.depthwise[wide](&job, 0, planes);
    same("depthwise", a, b, planes * places * itemsize());
    free(image), free(made), free(oracle), free(back), free(other), free(weight), free(bias), free(a), free(b);
}

static void pooling(const cf_layers *set) {
    cf_pool job = {.window = window_of(0), .kind = (cf_mask_kind)draw(3), .planes = 1 + draw(4), .fresh = (int)draw(2)};
    const cf_window *w = &job.window;
    const size_t area = (size_t)(w->height * w->width), places = (size_t)(w->rows * w->columns);
    const size_t size = job.planes * places, marks = job.kind == CF_INT_MASK ? sizeof(int32_t) : itemsize();
    void *image = array(job.planes * area), *made = array(size), *oracle = copy(made, size * itemsize());
    void *mask = calloc(size, marks), *other = calloc(size, marks);
    job.image = image, job.pooled = made, job.mask = mask;
    in_two(set->max_pool[wide], &job, job.planes);
    job.pooled = oracle, job.mask = other;
    cf_layers_portable.max_pool[wide](&job, 0, job.planes);
    same("max_pool", made, oracle, size * itemsize());
    same("max_pool's mask", mask, other, size * marks);
    for (size_t i = 0; i < size; ++i) {
        double best = -FLT_MAX;
        for (ptrdiff_t k = 0; k < w->kernel_h * w->kernel_w; ++k) {
            const ptrdiff_t y = (ptrdiff_t)(i % places) / w->columns * w->stride_h - w->pad_h + k / w->kernel_w;
            const ptrdiff_t x = (ptrdiff_t)(i % places) % w->columns * w->stride_w - w->pad_w + k % w->kernel_w;
            if (y >= 0 && y < w->height && x >= 0 && x < w->width) {
                const double value = at(image, i / places * area + (size_t)(y * w->width + x));
                best = value > best ? value : best;
            }
        }
        if (at(made, i) != best) {
            printf("max_pool (%s) is wrong\n", wide ? "double" : "float");
            ++failures;
            break;
        }
    }
    if (job.kind != CF_NO_MASK) {
        void *a = copy(image, job.planes * area * itemsize()), *b = copy(a, job.planes * area * itemsize());
        job.image = a, job.pooled = made;
        in_two(set->unpool[wide], &job, job.planes);
        job.image = b;
        cf_layers_portable.unpool[wide](&job, 0, job.planes);
        same("unpool", a, b, job.planes * area * itemsize());
        free(a), free(b);
    }
    job.image = image, job.pooled = made;
    in_two(set->average_pool[wide], &job, job.planes);
    job.pooled = oracle;
    cf_layers_portable.average_pool[wide](&job, 0, job.planes);
    same("average_pool", made, oracle, size * itemsize());
    void *a = copy(image, job.planes * area * itemsize()), *b = copy(a, job.planes * area * itemsize());
    job.image = a;
    in_two(set->average_spread[wide], &job, job.planes);
    job.image = b;
    cf_layers_portable.average_spread[wide](&job, 0, job.planes);
    same("average_spread", a, b, job.planes * area * itemsize());
    free(image), free(made), free(oracle), free(mask), free(other), free(a), free(b);
}

static void tiles(const cf_layers *set) {
    cf_window w = {.height = 1 + draw(20), .width = 1 + draw(draw(8) ? 20 : 300), .kernel_h = 3, .kernel_w = 3};
    w.stride_h = w.stride_w = w.dilation_h = w.dilation_w = 1;
    w.pad_h = w.height < 3 ? 1 + draw(3) : draw(4), w.pad_w = w.width < 3 ? 1 + draw(3) : draw(4);
    w.rows = w.height + 2 * w.pad_h - 2, w.columns = w.width + 2 * w.pad_w - 2;
    const size_t channels = 1 + draw(draw(8) ? 5 : 150), outputs = 1 + draw(4), area = (size_t)(w.height * w.width);
    const size_t places = (size_t)(w.rows * w.columns);
    cf_tiles job = {.window = w, .channels = channels, .outputs = outputs};
    job.first = draw((uint32_t)(w.rows + 1) / 2);
    job.last = job.first + 1 + draw((uint32_t)((w.rows + 1) / 2 - job.first));
    const size_t held = (size_t)((job.last - job.first) * ((w.columns + 1) / 2));
    const struct {
        const char *what;
        cf_loop *ours, *portable;
        size_t items, from, to;
    } loops[] = {
        {"tile_kernels", set->tile_kernels[wide], cf_layers_portable.tile_kernels[wide], outputs, outputs * channels * 9,
         16 * outputs * channels},
        {"tile_image", set->tile_image[wide], cf_layers_portable.tile_image[wide], channels, channels * area,
         16 * channels * held},
        {"tile_sums", set->tile_sums[wide], cf_layers_portable.tile_sums[wide], outputs, 16 * outputs * held,
         outputs * places},
    };
    void *bias = array(outputs);
    unsigned char *broken = malloc(outputs), *other = malloc(outputs);
    job.bias = draw(2) ? bias : NULL;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; ++i) {
        void *from = array(loops[i].from), *a = array(loops[i].to), *b = copy(a, loops[i].to * itemsize());
        job.from = from, job.to = a, job.broken = broken;
        in_two(loops[i].ours, &job, loops[i].items);
        job.to = b, job.broken = other;
        loops[i].portable(&job, 0, loops[i].items);
        same(loops[i].what, a, b, loops[i].to * itemsize());
        free(from), free(a), free(b);
    }
    same("tile_sums' marks", broken, other, outputs);
    free(bias), free(broken), free(other);
}

/* Channel by channel, in tiles and one place after another: small whole numbers are exact in both. */
static void tiles_convolve(const cf_layers *set) {
    const cf_window w = {7, 9, 7, 9, 3, 3, 1, 1, 1, 1, 1, 1};
    void *image = array(63), *kernel = array(9), *made = array(63), *oracle = array(63);
    void *sums = array(16), *pixels = array(16 * 20);
    unsigned char broken;
    for (size_t i = 0; i < 63; ++i)
        if (wide)
            ((double *)image)[i] = draw(9) - 4.0;
        else
            ((float *)image)[i] = draw(9) - 4.0f;
    for (size_t i = 0; i < 9; ++i)
        if (wide)
            ((double *)kernel)[i] = draw(9) - 4.0;
        else
            ((float *)kernel)[i] = draw(9) - 4.0f;
    cf_tiles job = {.window = w, .last = 4, .channels = 1, .outputs = 1, .broken = &broken};
    job.from = kernel, job.to = sums;
    set->tile_kernels[wide](&job, 0, 1);
    job.from = image, job.to = pixels;
    set->tile_image[wide](&job, 0, 1);
    for (size_t i = 0; i < 16 * 20; ++i)
        if (wide)
            ((double *)pixels)[i] *= ((double *)sums)[i / 20];
        else
            ((float *)pixels)[i] *= ((float *)sums)[i / 20];
    job.from = pixels, job.to = made;
    set->tile_sums[wide](&job, 0, 1);
    set->depthwise[wide](&(cf_depthwise){w, 1, image, kernel, NULL, oracle}, 0, 1);
    for (size_t i = 0; i < 63; ++i)
        if (at(made, i) != at(oracle, i)) {
            printf("tiles (%s) are wrong\n", wide ? "double" : "float");
            ++failures;
            break;
        }
    free(image), free(kernel), free(made), free(oracle), free(sums), free(pixels);
}

static void channels(const cf_layers *set) {
    const size_t images = 1 + draw(3), many = 1 + draw(9), pixels = 1 + draw(150), n = images * many * pixels;
    void *x = array(n), *y = array(n), *dy = array(n), *a = array(n), *b = copy(a, n * itemsize());
    void *factor = array(many), *term = array(many), *sums = array(n);
    cf_affine job = {many, pixels, x, draw(2) ? factor : NULL, draw(2) ? factor : NULL, factor, draw(2) ? term : NULL, a};
    in_two(set->affine[wide], &job, images * many);
    job.out = b;
    cf_layers_portable.affine[wide](&job, 0, images * many);
    same("affine", a, b, n * itemsize());
    cf_transpose turn = {pixels, images * many, x, draw(2) ? dy : NULL, a};
    in_two(set->transpose[wide], &turn, pixels);
    turn.out = b;
    cf_layers_portable.transpose[wide](&turn, 0, pixels);
    same("transpose", a, b, n * itemsize());
    cf_lrn norm = {many, pixels, 1 + 2 * draw(5), 1, 0.3, x, NULL, NULL, NULL, a};
    in_two(set->lrn_sums[wide], &norm, images * cf_blocks(pixels));
    norm.out = b;
    cf_layers_portable.lrn_sums[wide](&norm, 0, images * cf_blocks(pixels));
    same("lrn_sums", a, b, n * itemsize());
    norm.dy = dy, norm.y = y, norm.sums = sums, norm.out = a;
    in_two(set->lrn_gradient[wide], &norm, images * cf_blocks(pixels));
    norm.out = b;
    cf_layers_portable.lrn_gradient[wide](&norm, 0, images * cf_blocks(pixels));
    same("lrn_gradient", a, b, n * itemsize());
    free(x), free(y), free(dy), free(a), free(b), free(factor), free(term), free(sums);
}

static void elements(const cf_layers *set) {
    const size_t n = draw(3000);
    void *x = array(n), *dy = array(n), *a = array(n), *b = copy(a, n * itemsize());
    void *data[2], *diff[2], *history[2];
    cf_relu relu = {draw(2) * 0.1, x, dy, a};
    in_two(set->relu[wide], &relu, n);
    relu.out = b;
    cf_layers_portable.relu[wide](&relu, 0, n);
    same("relu", a, b, n * itemsize());
    in_two(set->relu_gradient[wide], &relu, n);
    relu.out = a;
    cf_layers_portable.relu_gradient[wide](&relu, 0, n);
    same("relu_gradient", a, b, n * itemsize());
    cf_sigmoid sigmoid = {dy, x, a};
    in_two(set->sigmoid_gradient[wide], &sigmoid, n);
    sigmoid.out = b;
    cf_layers_portable.sigmoid_gradient[wide](&sigmoid, 0, n);
    same("sigmoid_gradient", a, b, n * itemsize());
    cf_each each = {x, a};
    in_two(set->sigmoid[wide], &each, n);
    each.out = b;
    cf_layers_portable.sigmoid[wide](&each, 0, n);
    same("sigmoid", a, b, n * itemsize());
    in_two(set->tanh[wide], &each, n);
    each.out = a;
    cf_layers_portable.tanh[wide](&each, 0, n);
    same("tanh", a, b, n * itemsize());
    cf_sum sum = {2, {x, dy}, {1, 0.5}, a};
    in_two(set->sum[wide], &sum, n);
    sum.out = b;
    cf_layers_portable.sum[wide](&sum, 0, n);
    same("sum", a, b, n * itemsize());
    double one = 0, other = 0;
    set->total[wide](&(cf_each){x, &one}, 0, n);
    cf_layers_portable.total[wide](&(cf_each){x, &other}, 0, n);
    same("total", &one, &other, itemsize());
    for (int i = 0; i < 2; ++i)
        data[i] = copy(x, n * itemsize()), diff[i] = copy(dy, n * itemsize()), history[i] = copy(a, n * itemsize());
    cf_sgd sgd = {draw(2) ? 1 : 0.25, draw(2) * 0.01, draw(3) * 0.1, draw(2) * 0.9, (int)draw(2), data[0], diff[0], history[0]};
    in_two(set->sgd[wide], &sgd, n);
    sgd.data = data[1], sgd.diff = diff[1], sgd.history = history[1];
    cf_layers_portable.sgd[wide](&sgd, 0, n);
    same("sgd's data", data[0], data[1], n * itemsize());
    same("sgd's diff", diff[0], diff[1], n * itemsize());
    same("sgd's history", history[0], history[1], n * itemsize());
    for (int i = 0; i < 2; ++i)
        free(data[i]), free(diff[i]), free(history[i]);
    free(x), free(dy), free(a), free(b);
}

int main(int argc, char **argv) {
    const cf_simd *simd = cf_simd_find(argc > 1 ? argv[1] : NULL);
    if (!simd)
        return 77;
    const cf_layers *set = cf_layers_find(simd->name);
    for (int i = 0; i < 400; ++i)
        for (wide = 0; wide < 2; ++wide) {
            columns(set);
            pooling(set);
            tiles(set);
            tiles_convolve(set);
            channels(set);
            elements(set);
        }
    printf("%s: %d cases, %d failures\n", set->name, cases, failures);
    return failures != 0;
}
