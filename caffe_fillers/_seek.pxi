# The search for seeds whose draws are partly known.

from caffe_fillers._seek cimport (
    CF_NORMAL_LAYERS,
    cf_clue,
    cf_lanes,
    cf_map,
    cf_map_ranges,
    cf_normal_x,
    cf_seeds_of,
    cf_seek,
    cf_seekers,
)

ziggurat_edges = np.array([cf_normal_x[i] for i in range(CF_NORMAL_LAYERS + 1)])


cdef class Seekers:
    """Test seeds against possibilities, each a list of clues: (draw, rotation, ranges).

    A draw is counted from seeding; its word is rotated right by `rotation` bits. `ranges` is an array of uint32, n x 2,
    of first and last. A possibility holds for a seed if each of its draws lies in one of the draw's ranges.
    """

    cdef cf_clue *clue
    cdef cf_seekers *workspace
    cdef cf_lanes *drawn
    cdef cf_map *maps
    cdef size_t clues
    cdef list kept

    def __cinit__(self, possibilities):
        cdef const uint32_t[:, ::1] ranges
        cdef size_t j = 0, k
        known = {id(clue[2]): clue[2] for possibility in possibilities for clue in possibility}
        places = {key: k for k, key in enumerate(known)}
        self.clues = sum(map(len, possibilities))
        self.kept = list(known.values())
        self.clue = <cf_clue *>PyMem_RawCalloc(self.clues, sizeof(cf_clue))
        self.workspace = <cf_seekers *>PyMem_RawMalloc(sizeof(cf_seekers))
        self.drawn = <cf_lanes *>PyMem_RawMalloc(self.clues * sizeof(cf_lanes))
        self.maps = <cf_map *>PyMem_RawMalloc(len(known) * sizeof(cf_map))
        if self.clue is NULL or self.workspace is NULL or self.drawn is NULL or self.maps is NULL:
            raise MemoryError
        self.workspace.drawn = self.drawn
        for k, each in enumerate(self.kept):
            ranges = each
            cf_map_ranges(self.maps[k], &ranges[0, 0] if len(each) else NULL, len(each))
        for possibility in possibilities:
            for at, rotation, each in possibility:
                ranges = each
                self.clue[j].block, self.clue[j].place = divmod(at, CF_MT_N)
                self.clue[j].rotation = rotation
                self.clue[j].ranges = ranges.shape[0]
                if ranges.shape[0] > 0:
                    self.clue[j].range = &ranges[0, 0]
                k = places[id(each)]
                self.clue[j].map = self.maps[k]
                j += 1
            self.clue[j - 1].ends = 1

    def __dealloc__(self):
        PyMem_RawFree(self.clue)
        PyMem_RawFree(self.workspace)
        PyMem_RawFree(self.drawn)
        PyMem_RawFree(self.maps)

    def among(self, const uint32_t[::1] seeds):
        """Return the seeds for which a possibility holds, and its index. For one thread at a time."""
        cdef size_t n = seeds.shape[0], count = 0
        found, possibility = np.empty(n, np.uint32), np.empty(n, np.uint32)
        cdef uint32_t[::1] to = found, which = possibility
        if n == 0 or self.clues == 0:
            return found[:0], possibility[:0]
        while True:
            with nogil:
                count = cf_seek(self.workspace, SIMD, self.clue, self.clues, &seeds[0], n, &to[0], &which[0], to.shape[0])
            if count <= <size_t>to.shape[0]:
                return np.asarray(seeds)[found[:count]], possibility[:count]
            # several possibilities may hold for one seed
            found, possibility = np.empty(count, np.uint32), np.empty(count, np.uint32)
            to, which = found, possibility


def seeds_of(uint32_t[::1] words, uint32_t i):
    """Replace each word, the i-th of a seeding, by its seed, in place."""
    if words.shape[0] > 0:
        with nogil:
            cf_seeds_of(SIMD, &words[0], words.shape[0], i)


def cores(threads=None):
    """Return the number of threads to use: the number asked for, else all cores; CAFFE_FILLERS_THREADS limits both."""
    return limited(_threads(threads))
