# Threads that share the loops of layers, and products of matrices.

# with fewer elements a loop takes less time than waking a thread
cdef size_t WORTH_A_THREAD = 1 << 16

cdef extern from *:
    """
    #ifdef _MSC_VER
    #define CF_OF_THREAD static __declspec(thread)
    #else
    #define CF_OF_THREAD static _Thread_local
    #endif
    CF_OF_THREAD size_t cf_loop_threads = 1, cf_product_threads = 1;
    """
    # of the calling thread: another one may run a pass with other numbers at the same time
    size_t cf_loop_threads
    size_t cf_product_threads

cdef cf_crew CREW
CREW.threads = &THREADS
# held while a loop is shared
cdef PyThread_type_lock CREW_LOCK = PyThread_allocate_lock()


def layer_threads(size_t threads, size_t products=1):
    """Set how many threads share a loop of the calling thread, and how many a product; return both numbers before."""
    global cf_loop_threads, cf_product_threads
    before = cf_loop_threads, cf_product_threads
    cf_loop_threads = max(<size_t>1, min(threads, <size_t>CF_MOST_THREADS))
    cf_product_threads = max(<size_t>1, min(products, cf_loop_threads))
    return before


def product_threads():
    """Return how many threads share a product of the calling thread."""
    return cf_product_threads


cdef void _gather(size_t hands):
    """Let more hands join until there are `hands`, or no thread can be started."""
    cdef cf_hand *hand
    while CREW.size < hands:
        hand = &CREW.hand[CREW.size]
        if hand.turn is NULL:
            hand.turn = _held_lock()
        if hand.ended is NULL:
            hand.ended = _held_lock()
        if hand.turn is NULL or hand.ended is NULL or not cf_crew_join(&CREW):
            return


cdef void *_held_lock():
    cdef PyThread_type_lock lock = PyThread_allocate_lock()
    if lock is not NULL:
        PyThread_acquire_lock(lock, WAIT_LOCK)
    return lock


cdef _share(cf_loop *loop, const void *of, size_t items, size_t elements, size_t threads=0):
    """Run ``loop(of, 0, items)``, by several threads where `elements` are many and no other loop has the threads."""
    cdef size_t hands = (threads or cf_loop_threads) - 1
    if hands == 0 or elements < WORTH_A_THREAD or not PyThread_acquire_lock(CREW_LOCK, NOWAIT_LOCK):
        with nogil:
            loop(of, 0, items)
        return
    _gather(hands)
    with nogil:
        cf_crew_share(&CREW, hands, loop, of, items)
        PyThread_release_lock(CREW_LOCK)


def _forget_crew():
    """Begin anew in a process that was forked: it has none of the threads."""
    global CREW_LOCK
    memset(&CREW, 0, sizeof(CREW))
    CREW.threads = &THREADS
    CREW_LOCK = PyThread_allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_crew)
