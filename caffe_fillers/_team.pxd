# csrc/team.h
from caffe_fillers._distributions cimport cf_job
from caffe_fillers._mt19937 cimport cf_mt


cdef extern from "team.h" nogil:
    enum: CF_MOST_THREADS, CF_CHUNK, CF_WORTH_UNIFORM, CF_WORTH_GAUSSIAN
    ctypedef struct cf_threads:
        void (*acquire)(void *lock) noexcept
        void (*release)(void *lock) noexcept
        int (*start)(void (*work)(void *) noexcept nogil, void *of) noexcept
        int (*here)() noexcept
        void (*keep_off)(int processor) noexcept
    ctypedef struct cf_member:
        void *turn
        void *ended
    ctypedef struct cf_team:
        cf_member member[CF_MOST_THREADS]
        char *scratch
    size_t cf_team_scratch(const cf_job *job, size_t size)
    void cf_team_gather(cf_team *team, size_t size, const cf_job *job, const cf_threads *threads)
    void cf_team_fill(cf_team *team, cf_mt *mt, void *out, size_t n)
