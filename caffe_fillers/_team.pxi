# One fill shared out among threads, with the bits and the stream of a fill by one.
#
# The stream is cut into chunks of draws, which the threads take in turn, each by a copy of the generator that skips
# what the others do. Where a chunk's first value begins is known only when the chunk before it is done: the ziggurat eats a
# varying number of draws. So a thread begins a little early, by when it is in step with any other beginning, and the
# chunks are joined in order: each must begin where the one before it ended. One that does not (after a draw was
# rejected that hardly ever is) ends the round there, and another begins.
#
# The threads are not Python's, for those can be interrupted: a signal's handler that raises while one is started or
# waited for would leave it writing to an array that its caller takes for his own again.

import os

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport NOWAIT_LOCK


cdef extern from "pythread.h" nogil:
    unsigned long PyThread_start_new_thread(void (*work)(void *) noexcept nogil, void *with_what)
    unsigned long PYTHREAD_INVALID_THREAD_ID

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


cdef struct Team

cdef struct Member:
    Team *team
    size_t me
    PyThread_type_lock turn, ended

cdef struct Team:
    cf_job job
    char *out
    size_t n, itemsize, size, room
    uint64_t chunk, warm_up
    uint64_t edge[MOST_THREADS + 1]  # of the chunks that each member takes first, in draws
    bint direct  # values go to their places at once, as there is one for each draw
    bint all_accepted
    cf_mt start
    # what the chunks joined so far have come to; only touched by the member whose turn it is
    cf_mt reached
    size_t filled
    bint done
    Member member[MOST_THREADS]
    char *scratch


cdef Team *gathered(const cf_job *job, size_t size) except NULL:
    """A team of so many; all that it needs, so that nothing fails once there are draws."""
    cdef Team *team = <Team *>PyMem_RawCalloc(1, sizeof(Team))
    cdef Member *member
    cdef bint complete = True
    cdef size_t i
    if team is NULL:
        raise MemoryError
    team.job, team.size = job[0], size
    team.itemsize = 8 if job.wide else 4
    team.direct = job.kind != CF_GAUSSIAN
    team.all_accepted = team.direct and (
        job.kind == CF_BERNOULLI or (job.range_f64.last if job.wide else job.range_f32.last) == 0xFFFFFFFF
    )
    team.chunk = BLOCKS_OF_CHUNK * CF_MT_N
    team.warm_up = WARM_UP if job.kind == CF_GAUSSIAN and job.boost != CF_BOOST_147 else 0
    for i in range(size):
        member = &team.member[i]
        member.team, member.me = team, i
        member.turn, member.ended = PyThread_allocate_lock(), PyThread_allocate_lock()
        complete = complete and member.turn is not NULL and member.ended is not NULL
        if complete:
            PyThread_acquire_lock(member.ended, WAIT_LOCK)
    if not team.direct:
        team.room = team.chunk + 2
        team.scratch = <char *>PyMem_RawMalloc(size * 2 * team.room * team.itemsize)
        complete = complete and team.scratch is not NULL
    if not complete:
        disband(team)
        raise MemoryError
    return team


cdef void disband(Team *team) noexcept:
    cdef size_t i
    for i in range(team.size):
        if team.member[i].turn is not NULL:
            PyThread_free_lock(team.member[i].turn)
        if team.member[i].ended is not NULL:
            PyThread_free_lock(team.member[i].ended)
    PyMem_RawFree(team.scratch)
    PyMem_RawFree(team)


cdef void share_out(Team *team) noexcept nogil:
    """One chunk for each member, the later ones smaller: they skip first what the others draw."""
    cdef double least = team.n / team.size, most = team.n, each, end
    cdef size_t i
    for _ in range(30):
        each = (least + most) / 2
        end = 0
        for i in range(team.size):
            team.edge[i] = <uint64_t>end // CF_MT_N * CF_MT_N
            end += max(each - min(end * COST_OF_SKIP, <double>COST_OF_JUMP), 0.0)
        if end < team.n:
            least = each
        else:
            most = each
    team.edge[team.size] = team.n


cdef void work(void *of) noexcept nogil:
    cdef Member *member = <Member *>of
    take_chunks(member.team, member.me)
    PyThread_release_lock(member.ended)


cdef void take_chunks(Team *team, size_t me) noexcept nogil:
    cdef cf_mt mt = team.start, before
    cdef uint64_t origin = mt.drawn, begin = team.edge[me], end = team.edge[me + 1]
    cdef size_t count, room = team.room, half = 0
    cdef char *to = NULL
    cdef cf_parcel parcel
    parcel.to, parcel.source, parcel.bytes = team.out, team.out, 0
    while True:
        if not team.direct:
            # one half is filled while the other, whose place is known by now, is copied there
            to = team.scratch + (2 * me + half) * room * team.itemsize
            half = 1 - half
        if begin > 0 and not (team.direct and begin >= team.n):
            if mt.drawn - origin + team.warm_up < begin:
                cf_mt_skip(&mt, begin - team.warm_up - (mt.drawn - origin))
            if team.warm_up:
                cf_run(&team.job, &mt, to, room, begin - (mt.drawn - origin))
        before = mt
        if team.direct:
            room = 0 if begin >= team.n else team.n - begin
            to = team.out + begin * team.itemsize if room > 0 else NULL
            count = cf_run(&team.job, &mt, to, room, end - (mt.drawn - origin))
        else:
            count = cf_run_sending(&team.job, &mt, to, room, end - (mt.drawn - origin), &parcel)
        PyThread_acquire_lock(team.member[me].turn, WAIT_LOCK)
        if not team.done:
            team.done = before.drawn != team.reached.drawn or (team.direct and team.filled != begin)
            if not team.done and not team.direct and count >= team.n - team.filled:
                # once more, to stop right behind the last value
                mt = before
                cf_run(&team.job, &mt, team.out + team.filled * team.itemsize, team.n - team.filled, CF_ANY)
                team.filled, team.reached, team.done = team.n, mt, True
        if team.done:
            PyThread_release_lock(team.member[(me + 1) % team.size].turn)
            cf_send(&team.job, mt.simd, &parcel)
            return
        parcel.to = team.out + team.filled * team.itemsize
        parcel.source = to
        parcel.bytes = 0 if team.direct else count * team.itemsize
        team.filled += count
        team.reached = mt
        team.done = team.filled == team.n
        PyThread_release_lock(team.member[(me + 1) % team.size].turn)
        begin += team.edge[team.size]
        end += team.edge[team.size]


cdef void run_round(Team *team, const cf_mt *start, char *out, size_t n) noexcept nogil:
    """Fill some of the array, mostly all of it."""
    cdef uint64_t chunk = team.chunk
    cdef size_t i, others = 0
    team.start, team.reached, team.out, team.n, team.filled, team.done = start[0], start[0], out, n, 0, False
    if team.direct:
        # a rejection ends the round and wastes what is begun
        chunk *= min(n // (team.size * chunk) + 1, <size_t>48)
    for i in range(team.size + 1):
        team.edge[i] = i * chunk
    if team.all_accepted:
        share_out(team)
    for i in range(team.size):
        PyThread_acquire_lock(team.member[i].turn, NOWAIT_LOCK)  # or it is held already
    PyThread_release_lock(team.member[0].turn)
    while others + 1 < team.size:
        if PyThread_start_new_thread(work, &team.member[others + 1]) == PYTHREAD_INVALID_THREAD_ID:
            break
        others += 1
    if others + 1 < team.size:  # no more threads to be had: call those off that run
        team.done = True
        PyThread_release_lock(team.member[1].turn)
    else:
        take_chunks(team, 0)
    for i in range(others):
        PyThread_acquire_lock(team.member[i + 1].ended, WAIT_LOCK)
