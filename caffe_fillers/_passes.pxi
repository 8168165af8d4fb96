# What a pass does with threads: its own numbers of them, and one thread for the BLAS.
#
# There is no Python code between a change and its record. So a signal handler that raises (Ctrl-C) can't leave the BLAS
# with one thread for good.

cdef extern from *:
    """
    CF_OF_THREAD size_t cf_passes = 0;
    """
    # passes that the calling thread is in
    size_t cf_passes

# passes that all threads are in, and how many threads the BLAS had before the first
cdef size_t PASSES = 0
cdef int OWN_OF_BLAS = 1


cdef class LayerThreads:
    """The context of a pass; see `blas.threads_for_layers`."""

    cdef size_t threads
    cdef tuple before

    def __cinit__(self, size_t threads):
        self.threads = threads

    def __enter__(self):
        global PASSES, OWN_OF_BLAS, cf_passes
        if PASSES == 0:
            OWN_OF_BLAS = 1 if ASK_BLAS is NULL else ASK_BLAS()
            if OWN_OF_BLAS > 1:
                GIVE_BLAS(1)
        PASSES += 1
        cf_passes += 1
        self.before = layer_threads(self.threads, min(self.threads, <size_t>OWN_OF_BLAS))

    def __exit__(self, *_):
        self._leave()

    def __dealloc__(self):
        # where a Python lets a signal handler raise after __enter__ returned, but before its result is taken
        self._leave()

    cdef void _leave(self):
        global PASSES, cf_passes
        if self.before is None:
            return
        layer_threads(*self.before)
        self.before = None
        PASSES -= 1
        cf_passes -= 1
        if PASSES == 0 and OWN_OF_BLAS > 1:
            GIVE_BLAS(OWN_OF_BLAS)


def _end_passes_of_others():
    """End the passes of other threads in a process that was forked: it has none of the threads."""
    global PASSES
    others = PASSES - cf_passes
    PASSES = cf_passes
    if others and PASSES == 0 and OWN_OF_BLAS > 1:
        GIVE_BLAS(OWN_OF_BLAS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_passes_of_others)
