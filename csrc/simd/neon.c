/* Every aarch64 has NEON, so here the plain loops are NEON already. */
#include "simd.h"

#ifdef __aarch64__
#include <arm_neon.h>

#define TARGET
#include "loops.h"

#include "runs.h"
#include "ziggurat.h"

TARGET static size_t ziggurat_f32(cf_candidates_f32 *all, const uint32_t *key, size_t n,
                                  const cf_ziggurat_f32 *ziggurat) {
    const float mean = ziggurat->mean, sigma = ziggurat->sigma;
    static const uint32_t bit[4] = {1, 2, 4, 8};
    temper(all->word, key, n);
    for (size_t at = 0; at < n; at += 8) {
        uint32_t mask = 0;
        for (size_t half = 0; half < 8; half += 4) {
            uint32x4_t u = vld1q_u32(all->word + at + half);
            float width[4];
            uint32_t inside[4];
            for (int lane = 0; lane < 4; ++lane) {
                uint32_t layer = all->word[at + half + lane] >> 1 & 127;
                width[lane] = cf_normal_x_f32[layer];
                inside[lane] = cf_normal_inside[layer];
            }
            float32x4_t fraction = vmulq_n_f32(vcvtq_f32_u32(vshrq_n_u32(u, 8)), 0x1p-24f);
            float32x4_t value = vmulq_f32(fraction, vld1q_f32(width));
            uint32x4_t negative = veorq_u32(vshlq_n_u32(u, 31), vdupq_n_u32(0x80000000u));
            value = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(value), negative));
            vst1q_f32(all->z + at + half, vaddq_f32(vmulq_n_f32(value, sigma), vdupq_n_f32(mean)));
            mask |= vaddvq_u32(vandq_u32(vcgeq_u32(u, vld1q_u32(inside)), vld1q_u32(bit))) << half;
        }
        all->open[at / 8] = (uint8_t)mask;
    }
    return settle_f32(all, n, ziggurat);
}

/* By intrinsics, since compilers would make a call to memcpy of a loop, and that costs as much as the arithmetic. */
TARGET static inline void copy_vectors(float *out, const float *from) {
    for (int i = 0; i < CF_RUN; i += 4)
        vst1q_f32(out + i, vld1q_f32(from + i));
}

TARGET static size_t close_gaps_f32(float *out, const float *z, const uint32_t *gap, size_t gaps) {
    size_t made = 0, from = 0;
    for (size_t j = 0; j < gaps; ++j) {
        size_t run = gap[j] - from;
        for (size_t i = 0; i < run; i += CF_RUN)
            copy_vectors(out + made + i, z + from + i);
        made += run;
        from = gap[j] + 1;
    }
    return made;
}

const cf_simd cf_simd_neon = {
    .name = "neon",
    CF_LOOPS,
    .ziggurat_run_f32 = ziggurat_run_f32,
    .ziggurat_run_f64 = ziggurat_run_f64,
    .ziggurat_f32 = ziggurat_f32,
    .close_gaps_f32 = close_gaps_f32,
};
#endif
