# csrc/mt19937.h
from libc.stdint cimport uint32_t, uint64_t


cdef extern from "mt19937.h" nogil:
    enum: CF_MT_N
    ctypedef struct cf_simd:
        const char *name
    ctypedef struct cf_mt:
        uint32_t key[CF_MT_N]  # and some room behind it
        uint32_t pos
        uint64_t drawn
    const cf_simd *cf_simd_find(const char *name)
    void cf_mt_seed(cf_mt *mt, uint32_t seed, const cf_simd *simd)
    void cf_mt_raw(cf_mt *mt, uint32_t *out, size_t n)
    void cf_mt_skip(cf_mt *mt, uint64_t n)
