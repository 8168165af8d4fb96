#include "layers/products.h"

enum { ROW_MAJOR = 101, AS_IT_IS = 111, TRANSPOSED = 112 };

/* A part begins with a whole vector of the BLAS. */
static ptrdiff_t edge(const cf_product *job, ptrdiff_t length, size_t part) {
    return part == job->parts ? length : length * (ptrdiff_t)part / (ptrdiff_t)job->parts / 16 * 16;
}

static char *at(const cf_product *job, const cf_matrix *x, size_t which, ptrdiff_t row, ptrdiff_t column) {
    const ptrdiff_t element = x->transposed ? row + column * x->leading : row * x->leading + column;
    char *const start = (char *)x->start + (ptrdiff_t)(which / job->each) * x->step[0];
    return start + (ptrdiff_t)(which % job->each) * x->step[1] +
           element * (ptrdiff_t)(job->wide ? sizeof(double) : sizeof(float));
}

#define CALL(INTEGER, REAL)                                                                                            \
    ((void (*)(int, int, int, INTEGER, INTEGER, INTEGER, REAL, const void *, INTEGER, const void *, INTEGER, REAL,     \
               void *, INTEGER))job->routine)(                                                                         \
        ROW_MAJOR, job->left.transposed ? TRANSPOSED : AS_IT_IS, job->right.transposed ? TRANSPOSED : AS_IT_IS,        \
        (INTEGER)rows, (INTEGER)columns, (INTEGER)job->inner, 1, a, (INTEGER)job->left.leading, b,                     \
        (INTEGER)job->right.leading, 0, c, (INTEGER)job->out.leading)

static void multiply(const cf_product *job, ptrdiff_t rows, ptrdiff_t columns, const void *a, const void *b, void *c) {
    if (job->long_integers) {
        if (job->wide)
            CALL(int64_t, double);
        else
            CALL(int64_t, float);
    } else if (job->wide) {
        CALL(int, double);
    } else {
        CALL(int, float);
    }
}

void cf_multiply(const void *of, size_t begin, size_t end) {
    const cf_product *job = of;
    for (size_t i = begin; i < end; ++i) {
        const size_t which = i / job->parts, part = i % job->parts;
        const ptrdiff_t length = job->by_rows ? job->rows : job->columns;
        const ptrdiff_t from = edge(job, length, part), count = edge(job, length, part + 1) - from;
        const ptrdiff_t row = job->by_rows ? from : 0, column = job->by_rows ? 0 : from;
        multiply(job, job->by_rows ? count : job->rows, job->by_rows ? job->columns : count,
                 at(job, &job->left, which, row, 0), at(job, &job->right, which, 0, column),
                 at(job, &job->out, which, row, column));
    }
}
