# Threads for csrc/team.c: how many, with what locks and memory.
#
# These are not Python's threads. If a signal handler raised while a Python thread is started or waited for, the caller
# would get its array back while the thread still writes to it.

import os

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc

from caffe_fillers._team cimport (
    CF_CHUNK,
    CF_MOST_THREADS,
    CF_WORTH_GAUSSIAN,
    CF_WORTH_UNIFORM,
    cf_team,
    cf_team_fill,
    cf_team_gather,
    cf_team_scratch,
    cf_threads,
)


cdef extern from "pythread.h" nogil:
    unsigned long PyThread_start_new_thread(void (*work)(void *) noexcept nogil, void *of)
    unsigned long PYTHREAD_INVALID_THREAD_ID


cdef extern from *:
    """
    #ifdef _WIN32
    #include <windows.h>
    static void cf_give_way(void) { SwitchToThread(); }
    #else
    #include <sched.h>
    static void cf_give_way(void) {
    #if defined(__x86_64__) && defined(__GNUC__)
        /* a thread that looks leaves the other one on its core what it can */
        for (int i = 0; i < 32; ++i)
            __builtin_ia32_pause();
    #endif
        sched_yield();
    }
    #endif

    #ifdef __linux__
    static int cf_here(void) { return sched_getcpu(); }
    static void cf_keep_off(int processor) {
        static _Thread_local cpu_set_t allowed, given; /* before this function took one away, and after */
        cpu_set_t now;
        if (sched_getaffinity(0, sizeof now, &now))
            return;
        if (!CPU_EQUAL(&now, &given)) /* the first time, and where somebody else set it since */
            allowed = now;
        given = allowed;
        CPU_CLR(processor, &given);
        if (CPU_COUNT(&given))
            sched_setaffinity(0, sizeof given, &given);
    }
    #else
    static int cf_here(void) { return -1; }
    static void cf_keep_off(int processor) { (void)processor; }
    #endif
    """
    void cf_give_way() noexcept nogil
    int cf_here() noexcept nogil
    void cf_keep_off(int processor) noexcept nogil


# before a thread sleeps: about a millisecond on an idle processor
cdef int LOOKS = 1000


cdef void _acquire(void *lock) noexcept nogil:
    for _ in range(LOOKS):
        if PyThread_acquire_lock(lock, NOWAIT_LOCK):
            return
        cf_give_way()
    PyThread_acquire_lock(lock, WAIT_LOCK)


cdef void _release(void *lock) noexcept nogil:
    PyThread_release_lock(lock)


cdef int _start(void (*work)(void *) noexcept nogil, void *of) noexcept nogil:
    return PyThread_start_new_thread(work, of) != PYTHREAD_INVALID_THREAD_ID


cdef cf_threads THREADS
THREADS.acquire, THREADS.release, THREADS.start = _acquire, _release, _start
THREADS.here, THREADS.keep_off = cf_here, cf_keep_off


cdef size_t threads_for(const cf_job *job, size_t n, int asked) except 0:
    """Return the number of threads for a fill: the number asked for, else all cores for large arrays.

    Each thread has at least one chunk.
    """
    if asked == 1 or asked == 0 and n < <size_t>(CF_WORTH_GAUSSIAN if job.kind == CF_GAUSSIAN else CF_WORTH_UNIFORM):
        return 1
    return min(limited(asked), n // CF_CHUNK + 1)


cdef size_t limited(int asked) except 0:
    """Return the number of threads asked for, else one for each core; CAFFE_FILLERS_THREADS limits both."""
    cdef size_t most = asked
    if asked == 0:
        most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("CAFFE_FILLERS_THREADS")
    if limit and most > 1:
        if not limit.isdecimal() or int(limit) < 1:
            raise CaffeError(f"CAFFE_FILLERS_THREADS={limit} must be a whole number, at least 1, or unset.")
        most = min(most, int(limit))
    return min(most, <size_t>CF_MOST_THREADS)


cdef cf_team *gathered(const cf_job *job, size_t size) except NULL:
    """Return a team with all its memory and locks, so that nothing can fail after the first draw."""
    cdef size_t i, scratch = cf_team_scratch(job, size)
    cdef cf_team *team = <cf_team *>PyMem_RawCalloc(1, sizeof(cf_team))
    cdef bint complete = team is not NULL
    if complete and scratch:
        team.scratch = <char *>PyMem_RawMalloc(scratch)
        complete = team.scratch is not NULL
    for i in range(size):
        if complete:
            team.member[i].turn, team.member[i].ended = PyThread_allocate_lock(), PyThread_allocate_lock()
            complete = team.member[i].turn is not NULL and team.member[i].ended is not NULL
    if not complete:
        disband(team)
        raise MemoryError
    cf_team_gather(team, size, job, &THREADS)
    return team


cdef void disband(cf_team *team) noexcept:
    cdef size_t i
    if team is NULL:
        return
    for i in range(<size_t>CF_MOST_THREADS):
        if team.member[i].turn is not NULL:
            PyThread_free_lock(team.member[i].turn)
        if team.member[i].ended is not NULL:
            PyThread_free_lock(team.member[i].ended)
    PyMem_RawFree(team.scratch)
    PyMem_RawFree(team)
