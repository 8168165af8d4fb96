/* Runs a fill of any kind. Its values are written to the array by ordinary stores, by non-temporal stores, or through
   scratch memory while earlier values are copied. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* for mincore */
#include <sys/mman.h>
#include <unistd.h>
#endif
#include <string.h>

#include "distributions.h"

enum {
    LINE = 64,
    /* Bytes from which stores are non-temporal. A smaller array may still be in L3 (8 to 36 MB) when it is read next.
       A larger one does not fit, and an ordinary store first reads the cache line that it overwrites. */
    LARGE = 32 << 20,
    /* Draws per step. With more the stores fall behind; with fewer the arithmetic does not reach full speed. */
    STEP = CF_MT_N / 3,
    GAUSSIAN_STEP = 2 * CF_MT_N,
    /* Below this a copy of the generator costs more than it gains. */
    WORTH_ALIGNING = 8 * CF_MT_N
};

/* Returns whether the memory at an address was ever written. Only speed depends on the answer: swapped-out memory
   counts as new, and memory counts as written on the rare systems that do not tell. */
static int in_memory(const char *place) {
#ifdef __linux__
    unsigned char page = 1;
    mincore((char *)place - (uintptr_t)place % (uintptr_t)sysconf(_SC_PAGESIZE), 1, &page);
    return page & 1;
#else
    return place != NULL;
#endif
}

/* An array that was never written takes ordinary stores: the system clears each page at the first write to it, and so
   the page is in L2 already. */
int cf_wants_nontemporal(const void *out, size_t bytes) {
    return bytes >= LARGE && in_memory((const char *)out + bytes / 2);
}

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

static void copy(const cf_simd *simd, int nontemporal, char *to, const char *from, size_t bytes) {
    size_t head = -(uintptr_t)to % LINE, lines;
    if (!nontemporal || !simd->copy_nontemporal || bytes < LINE) {
        memcpy(to, from, bytes);
        return;
    }
    memcpy(to, from, head);
    lines = (bytes - head) / LINE;
    simd->copy_nontemporal(to + head, from + head, lines);
    head += lines * LINE;
    memcpy(to + head, from + head, bytes - head);
}

static uint64_t limit_of(const cf_mt *mt, uint64_t draws) {
    return draws < CF_ANY - mt->drawn ? mt->drawn + draws : CF_ANY;
}

/* Returns the number of draws for the values that are stored or copied together. */
static uint64_t next_draws(const cf_job *job, const cf_mt *mt, uint64_t limit) {
    const uint64_t left = limit - mt->drawn, block = CF_MT_N - mt->pos % CF_MT_N;
    const uint64_t most = job->kind == CF_GAUSSIAN ? GAUSSIAN_STEP : block < STEP ? block : STEP;
    return left < most ? left : most;
}

/* Draws one step at a time into scratch memory in L1, so that its arithmetic overlaps with the stores of the step
   before it. Values that do not fill a cache line wait for the next step: a line written in part is read first.
   Storing a line with each vector of the next step, or some between the parts of its draft, gains nothing on Zen 4. */
static size_t draw_nontemporal(const cf_job *job, cf_mt *mt, char *out, size_t n, uint64_t draws) {
    enum { CAPACITY = GAUSSIAN_STEP + CF_DRAFT_PAD + 2 };
    _Alignas(LINE) char buffer[LINE + CAPACITY * sizeof(double)];
    char *const values = buffer + LINE;
    const size_t width = job->wide ? sizeof(double) : sizeof(float);
    const uint64_t limit = limit_of(mt, draws);
    size_t filled = 0, held = 0;
    while (filled < n && mt->drawn < limit) {
        const size_t k =
            draw(job, mt, values, n - filled < CAPACITY ? n - filled : CAPACITY, next_draws(job, mt, limit));
        const char *from = values - held;
        size_t ready = held + k * width, part = -(uintptr_t)out % LINE;
        filled += k;
        if (part > 0) {
            part = part < ready ? part : ready;
            memcpy(out, from, part);
            out += part;
            from += part;
            ready -= part;
        }
        held = ready % LINE;
        mt->simd->copy_nontemporal(out, from, ready / LINE);
        out += ready - held;
        memmove(values - held, from + ready - held, held);
    }
    memcpy(out, values - held, held);
    mt->simd->fence();
    return filled;
}

size_t cf_run(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws) {
    if (n < WORTH_ALIGNING || draws < WORTH_ALIGNING)
        return draw(job, mt, out, n, draws);
    _Alignas(LINE) cf_mt aligned = *mt;
    n = job->nontemporal && mt->simd->copy_nontemporal ? draw_nontemporal(job, &aligned, out, n, draws)
                                                       : draw(job, &aligned, out, n, draws);
    *mt = aligned;
    return n;
}

/* Copies up to the end of a cache line, so that only the first and the last line are written in part. */
static void send(const cf_job *job, const cf_simd *simd, cf_parcel *parcel, size_t bytes) {
    if (bytes < parcel->bytes)
        bytes -= (uintptr_t)(parcel->to + bytes) % LINE;
    else
        bytes = parcel->bytes;
    copy(simd, job->nontemporal, parcel->to, parcel->from, bytes);
    parcel->to += bytes;
    parcel->from += bytes;
    parcel->bytes -= bytes;
}

void cf_send(const cf_job *job, const cf_simd *simd, cf_parcel *parcel) {
    send(job, simd, parcel, parcel->bytes);
    if (job->nontemporal && simd->copy_nontemporal)
        simd->fence();
}

size_t cf_run_sending(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws, cf_parcel *parcel) {
    _Alignas(LINE) cf_mt aligned = *mt;
    const uint64_t limit = limit_of(mt, draws);
    const size_t width = job->wide ? sizeof(double) : sizeof(float);
    size_t filled = 0;
    while (filled < n && aligned.drawn < limit) {
        const size_t k =
            draw(job, &aligned, (char *)out + filled * width, n - filled, next_draws(job, &aligned, limit));
        filled += k;
        send(job, mt->simd, parcel, k * width + 2 * LINE);
    }
    send(job, mt->simd, parcel, parcel->bytes);
    *mt = aligned;
    return filled;
}
