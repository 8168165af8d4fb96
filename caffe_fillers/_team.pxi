# One fill shared out among threads, with the bits and the stream of a fill by one.
#
# The stream is cut into chunks of draws, which the threads take in turn, each by a copy of the generator that skips
# what the others do. Where a chunk's first value begins is known only when the chunk before it is done: the ziggurat eats a
# varying number of draws. So a thread begins a little early, by when it is in step with any other beginning, and the
# chunks are joined in order: each must begin where the one before it ended. One that does not (after a draw was
# rejected that hardly ever is) ends the team there, and another begins.

import os
import threading

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.string cimport memcpy

cdef enum:
    BLOCKS_OF_CHUNK = 64  # what a chunk gives stays in the second cache
    WARM_UP = 2 * CF_MT_N
    MOST_THREADS = 16
    # below these many values, starting a thread costs more than it gains
    WORTH_UNIFORM = 4000000
    WORTH_GAUSSIAN = 500000


cdef struct Job:
    bint gaussian, double
    double mean, sigma
    cf_range_f32 range_f32
    cf_range_f64 range_f64
    cf_boost boost


cdef size_t run_job(const Job *job, cf_mt *mt, void *out, size_t n, uint64_t draws) noexcept nogil:
    if job.gaussian:
        if job.double:
            return cf_normal_f64(mt, <double *>out, n, draws, job.mean, job.sigma, job.boost)
        return cf_normal_f32(mt, <float *>out, n, draws, <float>job.mean, <float>job.sigma, job.boost)
    if job.double:
        return cf_uniform_f64(mt, <double *>out, n, draws, &job.range_f64)
    return cf_uniform_f32(mt, <float *>out, n, draws, &job.range_f32)


cdef size_t threads_for(const Job *job, size_t n, int asked) except 0:
    """As many as were asked for, else all cores for large arrays, each for a chunk at least; CAFFE_FILLERS_THREADS
    limits both."""
    cdef size_t most = asked
    if asked == 0:
        if n < <size_t>(WORTH_GAUSSIAN if job.gaussian else WORTH_UNIFORM):
            return 1
        most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("CAFFE_FILLERS_THREADS")
    if limit and most > 1:
        if not limit.isdecimal() or int(limit) < 1:
            raise CaffeError(f"CAFFE_FILLERS_THREADS={limit} must be a whole number, at least 1, or unset.")
        most = min(most, int(limit))
    return min(most, <size_t>MOST_THREADS, n // (BLOCKS_OF_CHUNK * CF_MT_N) + 1)


cdef class _Team:
    cdef Job job
    cdef char *out
    cdef size_t n, itemsize, size
    cdef uint64_t chunk, warm_up
    cdef bint direct  # values go to their places at once, as there is one for each draw
    cdef cf_mt start
    # what the chunks joined so far have come to; only touched by the thread whose turn it is
    cdef cf_mt reached
    cdef size_t filled
    cdef bint done
    cdef PyThread_type_lock turn[MOST_THREADS]
    cdef char *scratch

    cdef prepare(self, const Job *job, const cf_mt *start, char *out, size_t n, size_t size):
        cdef size_t i
        cdef bint all_accepted
        cdef uint64_t most
        self.job, self.start, self.reached, self.out, self.n, self.size = job[0], start[0], start[0], out, n, size
        self.itemsize = 8 if job.double else 4
        self.direct = not job.gaussian
        self.chunk = BLOCKS_OF_CHUNK * CF_MT_N
        if self.direct:
            all_accepted = (job.range_f64.last if job.double else job.range_f32.last) == 0xFFFFFFFF
            # one chunk for each thread, unless a rejection may end the team and waste what is begun
            most = MOST if all_accepted else 48
            self.chunk *= min(n // (size * self.chunk) + 1, most)
        self.warm_up = WARM_UP if job.gaussian and job.boost != CF_BOOST_147 else 0
        for i in range(size):
            self.turn[i] = PyThread_allocate_lock()
            if self.turn[i] is NULL:
                raise MemoryError
            if i > 0:
                PyThread_acquire_lock(self.turn[i], WAIT_LOCK)
        if not self.direct:
            self.scratch = <char *>PyMem_RawMalloc(size * (self.chunk + 2) * self.itemsize)
            if self.scratch is NULL:
                raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.scratch)
        cdef size_t i
        for i in range(self.size):
            if self.turn[i] is not NULL:
                PyThread_free_lock(self.turn[i])

    def work(self, size_t me):
        with nogil:
            self.take_chunks(me)

    cdef void take_chunks(self, size_t me) noexcept nogil:
        cdef cf_mt mt = self.start, before
        cdef uint64_t origin = mt.drawn, begin = me * self.chunk
        cdef size_t count, at, room = self.chunk + 2
        cdef char *to = NULL
        if not self.direct:
            to = self.scratch + me * room * self.itemsize
        while True:
            if begin > 0 and not (self.direct and begin >= self.n):
                if mt.drawn - origin + self.warm_up < begin:
                    cf_mt_skip(&mt, begin - self.warm_up - (mt.drawn - origin))
                if self.warm_up:
                    run_job(&self.job, &mt, to, room, begin - (mt.drawn - origin))
            before = mt
            if self.direct:
                room = 0 if begin >= self.n else self.n - begin
                to = self.out + begin * self.itemsize if room > 0 else NULL
            count = run_job(&self.job, &mt, to, room, begin + self.chunk - (mt.drawn - origin))
            PyThread_acquire_lock(self.turn[me], WAIT_LOCK)
            if not self.done:
                self.done = before.drawn != self.reached.drawn or (self.direct and self.filled != begin)
                if not self.done and not self.direct and count >= self.n - self.filled:
                    # once more, to stop right behind the last value
                    mt = before
                    run_job(&self.job, &mt, self.out + self.filled * self.itemsize, self.n - self.filled, CF_ANY)
                    self.filled, self.reached, self.done = self.n, mt, True
            if self.done:
                PyThread_release_lock(self.turn[(me + 1) % self.size])
                return
            at = self.filled
            self.filled += count
            self.reached = mt
            self.done = self.filled == self.n
            PyThread_release_lock(self.turn[(me + 1) % self.size])
            if not self.direct:
                memcpy(self.out + at * self.itemsize, to, count * self.itemsize)
            begin += self.size * self.chunk

    cdef run(self):
        """Fill some of the array, mostly all of it."""
        others = []
        try:
            for i in range(1, self.size):
                thread = threading.Thread(target=self.work, args=(i,))
                thread.start()
                others.append(thread)
        except RuntimeError:  # no more threads to be had: call those off that run
            self.done = True
            PyThread_release_lock(self.turn[1])
        else:
            self.work(0)
        finally:
            for thread in others:
                thread.join()
