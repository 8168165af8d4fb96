/* Products of matrices, which threads share. The BLAS is the caller's, and is to use one thread for each call. */
#ifndef CF_PRODUCTS_H
#define CF_PRODUCTS_H

#include "layers/layers.h"

typedef struct {
    void *start;
    int transposed;    /* the elements of a column follow one another, not those of a row */
    ptrdiff_t leading; /* elements from one row or column to the next */
    ptrdiff_t step[2]; /* bytes from one matrix to the next, along both axes of matrices */
} cf_matrix;

/* out = left * right. Items: the parts of the first matrix, then those of the next. */
typedef struct {
    void (*routine)(void); /* cblas_sgemm or cblas_dgemm */
    int wide, long_integers;
    cf_matrix left, right, out;
    ptrdiff_t rows, columns, inner;
    size_t each;  /* matrices along the second axis */
    size_t parts; /* of a matrix of the result */
    int by_rows;  /* a part is some rows, not some columns */
} cf_product;

cf_loop cf_multiply;

#endif
