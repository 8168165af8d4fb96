/* A fill of any kind, and where its values go: straight to their places, past the cache, or aside while others are
   copied. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* for mincore */
#include <sys/mman.h>
#include <unistd.h>
#endif
#include <string.h>

#include "distributions.h"

enum {
    LINE = 64,
    /* Bytes from which values are stored past the cache. Smaller arrays may be read from the cache next; of larger ones
       a usual cache (8 to 36 MB) holds a part at most, and ordinary stores read from memory what they are about to
       overwrite. */
    LARGE = 32 << 20,
    /* Draws at a time: so few that stores keep up with the arithmetic, so many as that needs. */
    STEP = CF_MT_N / 3,
    GAUSSIAN_STEP = 2 * CF_MT_N,
    /* Below this a copy of the generator costs more than it gains. */
    WORTH_ALIGNING = 8 * CF_MT_N
};

/* Whether a place of an array was ever written. It decides on speed alone: what was swapped out counts as new, and so do
   the rare systems that will not say as written. */
static int in_memory(const char *place) {
#ifdef __linux__
    unsigned char page = 1;
    mincore((char *)place - (uintptr_t)place % (uintptr_t)sysconf(_SC_PAGESIZE), 1, &page);
    return page & 1;
#else
    return place != NULL;
#endif
}

/* Not an array that is new: the system clears its pages as they are first written, so they are in the cache by then. */
int cf_is_large(const void *out, size_t bytes) { return bytes >= LARGE && in_memory((const char *)out + bytes / 2); }

static size_t draw(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws) {
    switch (job->kind) {
    case CF_UNIFORM:
        return job->wide ? cf_uniform_f64(mt, out, n, draws, &job->range_f64)
                         : cf_uniform_f32(mt, out, n, draws, &job->range_f32);
    case CF_GAUSSIAN:
        return job->wide ? cf_normal_f64(mt, out, n, draws, job->mean, job->sigma, job->boost)
                         : cf_normal_f32(mt, out, n, draws, (float)job->mean, (float)job->sigma, job->boost);
    case CF_BERNOULLI:
        n = n < draws ? n : (size_t)draws;
        job->wide ? cf_bernoulli_f64(mt, out, n, job->p) : cf_bernoulli_f32(mt, out, n, (float)job->p);
    }
    return n;
}

static void copy(const cf_simd *simd, int far, char *to, const char *from, size_t bytes) {
    size_t head = -(uintptr_t)to % LINE, lines;
    if (!far || !simd->stream || bytes < LINE) {
        memcpy(to, from, bytes);
        return;
    }
    memcpy(to, from, head);
    lines = (bytes - head) / LINE;
    simd->stream(to + head, from + head, lines);
    head += lines * LINE;
    memcpy(to + head, from + head, bytes - head);
}

static uint64_t limit_of(const cf_mt *mt, uint64_t draws) {
    return draws < CF_ANY - mt->drawn ? mt->drawn + draws : CF_ANY;
}

/* What is made before it is stored or sent. */
static uint64_t next_draws(const cf_job *job, const cf_mt *mt, uint64_t limit) {
    const uint64_t left = limit - mt->drawn, block = CF_MT_N - mt->pos % CF_MT_N;
    const uint64_t most = job->kind == CF_GAUSSIAN ? GAUSSIAN_STEP : block < STEP ? block : STEP;
    return left < most ? left : most;
}

/* A step at a time by way of a scratch in the first cache, so that the arithmetic on one goes on while the stores of
   the one before it are under way. What does not fill a line waits for the next step: a line written in part would have
   to be read first. */
static size_t draw_far(const cf_job *job, cf_mt *mt, char *out, size_t n, uint64_t draws) {
    enum { ROOM = GAUSSIAN_STEP + CF_DRAFT_PAD + 2 };
    _Alignas(LINE) char room[LINE + ROOM * sizeof(double)];
    char *const values = room + LINE;
    const size_t width = job->wide ? sizeof(double) : sizeof(float);
    const uint64_t limit = limit_of(mt, draws);
    size_t made = 0, held = 0;
    while (made < n && mt->drawn < limit) {
        const size_t k = draw(job, mt, values, n - made < ROOM ? n - made : ROOM, next_draws(job, mt, limit));
        const char *from = values - held;
        size_t ready = held + k * width, part = -(uintptr_t)out % LINE;
        made += k;
        if (part > 0) {
            part = part < ready ? part : ready;
            memcpy(out, from, part);
            out += part;
            from += part;
            ready -= part;
        }
        held = ready % LINE;
        mt->simd->stream(out, from, ready / LINE);
        out += ready - held;
        memmove(values - held, from + ready - held, held);
    }
    memcpy(out, values - held, held);
    mt->simd->fence();
    return made;
}

size_t cf_run(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws) {
    if (n < WORTH_ALIGNING || draws < WORTH_ALIGNING)
        return draw(job, mt, out, n, draws);
    _Alignas(LINE) cf_mt aligned = *mt;
    n = job->large && mt->simd->stream ? draw_far(job, &aligned, out, n, draws) : draw(job, &aligned, out, n, draws);
    *mt = aligned;
    return n;
}

/* Up to a line's end, so that only the first and the last line are written in part. */
static void send(const cf_job *job, const cf_simd *simd, cf_parcel *parcel, size_t bytes) {
    if (bytes < parcel->bytes)
        bytes -= (uintptr_t)(parcel->to + bytes) % LINE;
    else
        bytes = parcel->bytes;
    copy(simd, job->large, parcel->to, parcel->from, bytes);
    parcel->to += bytes;
    parcel->from += bytes;
    parcel->bytes -= bytes;
}

void cf_send(const cf_job *job, const cf_simd *simd, cf_parcel *parcel) {
    send(job, simd, parcel, parcel->bytes);
    if (job->large && simd->stream)
        simd->fence();
}

size_t cf_run_sending(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws, cf_parcel *parcel) {
    _Alignas(LINE) cf_mt aligned = *mt;
    const uint64_t limit = limit_of(mt, draws);
    const size_t width = job->wide ? sizeof(double) : sizeof(float);
    size_t made = 0;
    while (made < n && aligned.drawn < limit) {
        const size_t k = draw(job, &aligned, (char *)out + made * width, n - made, next_draws(job, &aligned, limit));
        made += k;
        send(job, mt->simd, parcel, k * width + 2 * LINE);
    }
    send(job, mt->simd, parcel, parcel->bytes);
    *mt = aligned;
    return made;
}
