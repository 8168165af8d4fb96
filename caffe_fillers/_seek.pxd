# csrc/seek.h and csrc/ziggurat_tables.h
from libc.stdint cimport uint32_t, uint64_t

from caffe_fillers._mt19937 cimport cf_simd


cdef extern from "seek.h" nogil:
    enum: CF_LANES, CF_MAP_WORDS
    ctypedef struct cf_clue:
        uint64_t block
        uint32_t place, rotation, ends, ranges
        const uint32_t *range
        const uint32_t *map
    ctypedef uint32_t cf_map[CF_MAP_WORDS]
    ctypedef uint32_t cf_lanes[CF_LANES]
    ctypedef struct cf_seekers:
        cf_lanes *drawn
    void cf_map_ranges(cf_map map, const uint32_t *range, size_t ranges)
    size_t cf_seek(cf_seekers *workspace, const cf_simd *, const cf_clue *clue, size_t clues, const uint32_t *seed, size_t n,
                   uint32_t *found, uint32_t *possibility, size_t most)
    void cf_seeds_of(const cf_simd *, uint32_t *word, size_t n, uint32_t i)

cdef extern from "ziggurat_tables.h" nogil:
    enum: CF_NORMAL_LAYERS
    const double cf_normal_x[CF_NORMAL_LAYERS + 1]
