# csrc/distributions.h
from libc.stdint cimport uint64_t

from caffe_fillers._mt19937 cimport cf_mt


cdef extern from "distributions.h" nogil:
    ctypedef enum cf_boost: CF_BOOST_147, CF_BOOST_156, CF_BOOST_164
    ctypedef enum cf_status: CF_OK, CF_ENDLESS
    ctypedef struct cf_range_f32:
        pass
    ctypedef struct cf_range_f64:
        pass
    uint64_t CF_ANY
    cf_status cf_range_of_f32(cf_range_f32 *range, float a, float b, cf_boost boost)
    cf_status cf_range_of_f64(cf_range_f64 *range, double a, double b, cf_boost boost)
    ctypedef enum cf_kind: CF_UNIFORM, CF_GAUSSIAN, CF_BERNOULLI
    ctypedef struct cf_job:
        cf_kind kind
        bint wide, nontemporal
        cf_boost boost
        double mean, sigma, p
        cf_range_f32 range_f32
        cf_range_f64 range_f64
    bint cf_wants_nontemporal(const void *out, size_t bytes)
    size_t cf_run(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws)
    void cf_mask_f32(cf_mt *mt, float *out, size_t n, float p)
    void cf_mask_f64(cf_mt *mt, double *out, size_t n, double p)
    void cf_normalize_rows_f32(float *out, size_t rows, size_t columns)
    void cf_normalize_rows_f64(double *out, size_t rows, size_t columns)
