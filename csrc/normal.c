#include <float.h>
#include <math.h>
#include <string.h>

#include "distributions.h"
#include "math_f32.h"
#include "ziggurat_tables.h"

_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16, "every operation must round to its own type");

#define R float
#define NAME(name) name##_f32
#define DRAWS_PER_PAIR 1
#define LARGEST_UNIT 0xffffff7fu
#define LOG cf_log_f32
#define EXP cf_exp_f32
#define SINCOS cf_sincos_f32
#define SQRT sqrtf
#include "normal_body.h"
#undef R
#undef NAME
#undef DRAWS_PER_PAIR
#undef LOG
#undef EXP
#undef SINCOS
#undef SQRT

/* float64 rests on the C library. */
static void sincos_f64(double angle, double *sine, double *cosine) {
    *sine = sin(angle);
    *cosine = cos(angle);
}

#define R double
#define NAME(name) name##_f64
#define DRAWS_PER_PAIR 2
#define LOG log
#define EXP exp
#define SINCOS sincos_f64
#define SQRT sqrt
#include "normal_body.h"

/* Values from n draws at most of the rest of a block: those that follow from one draw each are made at once, and the
   few open ones decided as if the draw behind each were theirs. A walk in order then finds which of them were eaten
   themselves, and does the hard ones draw by draw. Writes up to CF_RUN past the values. */
static size_t ziggurat_block(cf_block *block, float *out, uint64_t n, const cf_ziggurat_f32 *ziggurat, cf_boost boost) {
    const cf_simd *simd = block->mt->simd;
    cf_candidates_f32 all;
    uint32_t gap[CF_BLOCK];
    size_t gaps = 0, next = 0;
    cf_block_more(block, 0);
    const size_t base = block->at, k = cf_mt_available(block->mt, n);
    const uint32_t turns = block->turns;
    all.word = block->word + base;
    block->end = (uint32_t)(base + k);
    size_t opens = simd->ziggurat_f32(&all, block->mt->key + base, k, ziggurat);
    for (size_t j = 0; j < opens; ++j) {
        uint32_t p = (uint32_t)all.at[j], verdict = all.verdict[j];
        if (p < next)
            continue;
        next = p + 1;
        if (verdict == CF_HARD || next == k) {
            uint32_t u = all.word[p];
            float value;
            block->at = (uint32_t)(base + next);
            int accepted = resolve_f32(block, (float)(u >> 8) * 0x1p-24f, u & 255, boost, &value);
            if (accepted)
                all.z[p] = value * ziggurat->sigma + ziggurat->mean;
            else
                gap[gaps++] = p;
            if (block->turns != turns) {
                gap[gaps++] = p + 1;
                return simd->close_gaps_f32(out, all.z, gap, gaps);
            }
            for (; next < block->at - base; ++next)
                gap[gaps++] = (uint32_t)next;
            continue;
        }
        all.z[p] = all.decided[j];
        gap[gaps] = p;
        gaps += verdict == CF_REJECTED;
        gap[gaps] = p + 1;
        gaps += verdict != CF_INSIDE;
        next += verdict != CF_INSIDE;
    }
    if (next < k)
        next = k;
    block->at = block->end = (uint32_t)(base + next);
    gap[gaps++] = (uint32_t)next;
    return simd->close_gaps_f32(out, all.z, gap, gaps);
}

static size_t ziggurat_blocks(cf_block *block, float *out, size_t n, uint64_t limit, const cf_ziggurat_f32 *ziggurat,
                              cf_boost boost) {
    size_t made = 0;
    uint64_t left;
    while (made < n && (left = cf_left(block, limit)) > 0) {
        float last[CF_MT_N + CF_RUN];
        size_t room = n - made;
        if (room >= CF_MT_N + CF_RUN) {
            made += ziggurat_block(block, out + made, left, ziggurat, boost);
        } else {
            size_t k = ziggurat_block(block, last, room < left ? room : left, ziggurat, boost);
            memcpy(out + made, last, k * sizeof *out);
            made += k;
        }
    }
    return made;
}

size_t cf_normal_f32(cf_mt *mt, float *out, size_t n, uint64_t draws, float mean, float sigma, cf_boost boost) {
    const uint64_t limit = draws < CF_ANY - mt->drawn ? mt->drawn + draws : CF_ANY;
    const cf_ziggurat_f32 ziggurat = {mean, sigma, boost >= CF_BOOST_164};
    cf_block block;
    size_t made;
    cf_block_open(&block, mt);
    if (boost < CF_BOOST_156)
        made = box_muller_f32(&block, out, n, limit, mean, sigma);
    else if (mt->simd->ziggurat_f32)
        made = ziggurat_blocks(&block, out, n, limit, &ziggurat, boost);
    else
        made = ziggurat_f32(&block, out, n, limit, mean, sigma, boost);
    cf_block_close(&block);
    return made;
}

size_t cf_normal_f64(cf_mt *mt, double *out, size_t n, uint64_t draws, double mean, double sigma, cf_boost boost) {
    const uint64_t limit = draws < CF_ANY - mt->drawn ? mt->drawn + draws : CF_ANY;
    cf_block block;
    size_t made;
    cf_block_open(&block, mt);
    if (boost < CF_BOOST_156)
        made = box_muller_f64(&block, out, n, limit, mean, sigma);
    else
        made = ziggurat_f64(&block, out, n, limit, mean, sigma, boost);
    cf_block_close(&block);
    return made;
}
