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

cdef enum:
    # Bytes from which values are stored past the cache. Smaller arrays may be read from the cache next; of larger ones
    # a usual cache (8 to 36 MB) holds a part at most, and ordinary stores read from memory what they are about to
    # overwrite. But not in an array that is new: the system clears its pages as they are first written, so they are in
    # the cache by then.
    LARGE = 32 << 20
    BLOCKS_OF_CHUNK = 64  # what a chunk gives stays in the second cache
    WARM_UP = 2 * CF_MT_N
    MOST_THREADS = 16
    COST_OF_JUMP = 4000000  # as that of so many values
    # below these many values, starting a thread costs more than it gains
    WORTH_UNIFORM = 4000000
    WORTH_GAUSSIAN = 500000


cdef size_t threads_for(const cf_job *job, size_t n, int asked) except 0:
    """As many as were asked for, else all cores for large arrays, each for a chunk at least."""
    if asked == 0 and n < <size_t>(WORTH_GAUSSIAN if job.kind == CF_GAUSSIAN else WORTH_UNIFORM):
        return 1
    return min(limited(asked), n // (BLOCKS_OF_CHUNK * CF_MT_N) + 1)


cdef size_t limited(int asked) except 0:
    """As many threads as were asked for, else one for each core; CAFFE_FILLERS_THREADS limits both."""
    cdef size_t most = asked
    if asked == 0:
        most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("CAFFE_FILLERS_THREADS")
    if limit and most > 1:
        if not limit.isdecimal() or int(limit) < 1:
            raise CaffeError(f"CAFFE_FILLERS_THREADS={limit} must be a whole number, at least 1, or unset.")
        most = min(most, int(limit))
    return min(most, <size_t>MOST_THREADS)


cdef double COST_OF_SKIP = 0.3  # a draw, as a share of a value's


cdef class _Team:
    cdef cf_job job
    cdef char *out
    cdef size_t n, itemsize, size, room
    cdef uint64_t chunk, warm_up
    cdef uint64_t edge[MOST_THREADS + 1]  # of the chunks in the first round, in draws
    cdef bint direct  # values go to their places at once, as there is one for each draw
    cdef cf_mt start
    # what the chunks joined so far have come to; only touched by the thread whose turn it is
    cdef cf_mt reached
    cdef size_t filled
    cdef bint done
    cdef PyThread_type_lock turn[MOST_THREADS]
    cdef char *scratch

    cdef prepare(self, const cf_job *job, const cf_mt *start, char *out, size_t n, size_t size):
        cdef size_t i
        cdef bint all_accepted
        self.job, self.start, self.reached, self.out, self.n, self.size = job[0], start[0], start[0], out, n, size
        self.itemsize = 8 if job.wide else 4
        self.direct = job.kind != CF_GAUSSIAN
        self.chunk = BLOCKS_OF_CHUNK * CF_MT_N
        all_accepted = self.direct and (
            job.kind == CF_BERNOULLI or (job.range_f64.last if job.wide else job.range_f32.last) == 0xFFFFFFFF
        )
        if self.direct:
            # a rejection ends the team and wastes what is begun
            self.chunk *= min(n // (size * self.chunk) + 1, <size_t>48)
        for i in range(size + 1):
            self.edge[i] = i * self.chunk
        if all_accepted:
            self.share_out()
        self.warm_up = WARM_UP if job.kind == CF_GAUSSIAN and job.boost != CF_BOOST_147 else 0
        for i in range(size):
            self.turn[i] = PyThread_allocate_lock()
            if self.turn[i] is NULL:
                raise MemoryError
            if i > 0:
                PyThread_acquire_lock(self.turn[i], WAIT_LOCK)
        if not self.direct:
            self.room = self.chunk + 2
            self.scratch = <char *>PyMem_RawMalloc(size * 2 * self.room * self.itemsize)
            if self.scratch is NULL:
                raise MemoryError

    cdef void share_out(self) noexcept:
        """One chunk for each thread, the later ones smaller: they skip first what the others draw."""
        cdef double least = self.n / self.size, most = self.n, each, end
        cdef size_t i
        for _ in range(30):
            each = (least + most) / 2
            end = 0
            for i in range(self.size):
                self.edge[i] = <uint64_t>end // CF_MT_N * CF_MT_N
                end += max(each - min(end * COST_OF_SKIP, <double>COST_OF_JUMP), 0.0)
            if end < self.n:
                least = each
            else:
                most = each
        self.edge[self.size] = self.n

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
        cdef uint64_t origin = mt.drawn, begin = self.edge[me], end = self.edge[me + 1]
        cdef size_t count, room = self.room, half = 0
        cdef char *to = NULL
        cdef cf_parcel parcel
        parcel.to, parcel.source, parcel.bytes = self.out, self.out, 0
        while True:
            if not self.direct:
                # one half is filled while the other, whose place is known by now, is copied there
                to = self.scratch + (2 * me + half) * room * self.itemsize
                half = 1 - half
            if begin > 0 and not (self.direct and begin >= self.n):
                if mt.drawn - origin + self.warm_up < begin:
                    cf_mt_skip(&mt, begin - self.warm_up - (mt.drawn - origin))
                if self.warm_up:
                    cf_run(&self.job, &mt, to, room, begin - (mt.drawn - origin))
            before = mt
            if self.direct:
                room = 0 if begin >= self.n else self.n - begin
                to = self.out + begin * self.itemsize if room > 0 else NULL
                count = cf_run(&self.job, &mt, to, room, end - (mt.drawn - origin))
            else:
                count = cf_run_sending(&self.job, &mt, to, room, end - (mt.drawn - origin), &parcel)
            PyThread_acquire_lock(self.turn[me], WAIT_LOCK)
            if not self.done:
                self.done = before.drawn != self.reached.drawn or (self.direct and self.filled != begin)
                if not self.done and not self.direct and count >= self.n - self.filled:
                    # once more, to stop right behind the last value
                    mt = before
                    cf_run(&self.job, &mt, self.out + self.filled * self.itemsize, self.n - self.filled, CF_ANY)
                    self.filled, self.reached, self.done = self.n, mt, True
            if self.done:
                PyThread_release_lock(self.turn[(me + 1) % self.size])
                cf_send(&self.job, mt.simd, &parcel)
                return
            parcel.to = self.out + self.filled * self.itemsize
            parcel.source = to
            parcel.bytes = 0 if self.direct else count * self.itemsize
            self.filled += count
            self.reached = mt
            self.done = self.filled == self.n
            PyThread_release_lock(self.turn[(me + 1) % self.size])
            begin += self.edge[self.size]
            end += self.edge[self.size]

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
