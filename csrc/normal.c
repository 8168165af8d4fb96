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
#include "normal.inc"
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
#include "normal.inc"

size_t cf_normal_f32(cf_mt *mt, float *out, size_t n, uint64_t draws, float mean, float sigma, cf_boost boost) {
    const uint64_t limit = draws < CF_ANY - mt->drawn ? mt->drawn + draws : CF_ANY;
    cf_block block;
    size_t made;
    cf_block_open(&block, mt);
    if (boost < CF_BOOST_156)
        made = box_muller_f32(&block, out, n, limit, mean, sigma);
    else if (mt->simd->normal_f32)
        made = ziggurat_drafts_f32(&block, out, n, limit, mean, sigma, boost);
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
    else if (mt->simd->normal_f64)
        made = ziggurat_drafts_f64(&block, out, n, limit, mean, sigma, boost);
    else
        made = ziggurat_f64(&block, out, n, limit, mean, sigma, boost);
    cf_block_close(&block);
    return made;
}
