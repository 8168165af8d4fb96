# Threads that share the loops of layers, and products of matrices.

# with fewer elements a loop takes less time than waking a thread
cdef size_t WORTH_A_THREAD = 1 << 16

cdef size_t LAYER_THREADS = 1
cdef size_t PRODUCT_THREADS = 1

cdef cf_crew CREW
CREW.threads = &THREADS
# held while a loop is shared
cdef PyThread_type_lock CREW_LOCK = PyThread_allocate_lock()


def layer_threads(size_t threads, size_t products=1):
    """Set how many threads share a loop, and how many a product, from now on; return both numbers before."""
    global LAYER_THREADS, PRODUCT_THREADS
    before = LAYER_THREADS, PRODUCT_THREADS
    LAYER_THREADS = max(<size_t>1, min(threads, <size_t>CF_MOST_THREADS))
    PRODUCT_THREADS = max(<size_t>1, min(products, LAYER_THREADS))
    return before


def product_threads():
    """Return how many threads share a product."""
    return PRODUCT_THREADS


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
    cdef size_t hands = (threads or LAYER_THREADS) - 1
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
