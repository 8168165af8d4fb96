#include <string.h>

#include "distributions.h"

enum {
    LINE = 64,
    /* Below this a copy of the generator costs more than it gains. */
    WORTH_ALIGNING = 8 * CF_MT_N
};

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

void cf_copy_far(const cf_simd *simd, void *out, const void *from, size_t bytes) {
    size_t head = -(uintptr_t)out % LINE, lines;
    if (!simd->stream || bytes < LINE) {
        memcpy(out, from, bytes);
        return;
    }
    memcpy(out, from, head);
    lines = (bytes - head) / LINE;
    simd->stream((char *)out + head, (const char *)from + head, lines);
    head += lines * LINE;
    memcpy((char *)out + head, (const char *)from + head, bytes - head);
    simd->fence();
}

/* A block (or a draft) at a time by way of a scratch in the first cache, so that the arithmetic on one goes on while the stores of
   the block before it are under way. What does not fill a line waits for the next block: a line written in part would
   have to be read first. */
static size_t draw_far(const cf_job *job, cf_mt *mt, char *out, size_t n, uint64_t draws) {
    enum { ROOM = CF_DRAFT + CF_DRAFT_PAD + 2 };
    _Alignas(LINE) char room[LINE + ROOM * sizeof(double)];
    char *const values = room + LINE;
    const size_t width = job->wide ? sizeof(double) : sizeof(float);
    const uint64_t limit = draws < CF_ANY - mt->drawn ? mt->drawn + draws : CF_ANY;
    size_t made = 0, held = 0;
    while (made < n && mt->drawn < limit) {
        const uint64_t left = limit - mt->drawn;
        const uint64_t most = job->kind == CF_GAUSSIAN ? CF_DRAFT : CF_MT_N - mt->pos % CF_MT_N;
        const size_t k = draw(job, mt, values, n - made < ROOM ? n - made : ROOM, left < most ? left : most);
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
