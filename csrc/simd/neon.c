/* Every aarch64 has NEON, so the compiler uses it for the plain loops too. */
#include "simd.h"

#ifdef __aarch64__
#include <arm_neon.h>

#define TARGET
#include "loops.h"

#define CF_WIDTH 4
#include "ziggurat.h"

/* NEON has no gather: look-ups go lane by lane. */
TARGET static inline cf_words fetch(const void *table, cf_words index) {
    cf_words found;
    for (int lane = 0; lane < CF_WIDTH; ++lane)
        found[lane] = ((const uint32_t *)table)[index[lane]];
    return found;
}

TARGET static inline cf_words look_up(const void *table, cf_words index) { return fetch(table, index); }

TARGET static inline size_t open_either(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n,
                                        int wide) {
    uint64_t bits[CF_MT_N / 64 + 1] = {0};
    temper(draft + from, key, n);
    for (size_t at = 0; at < n; ++at) {
        const uint32_t *word = draft + from + at;
        uint32_t top = (wide ? word[1] << 3 : *word) >> 24;
        bits[at / 64] |= (uint64_t)(top >= cf_normal_surely[*word >> 1 & 127]) << at % 64;
    }
    return list_bits(place, from, bits, n - wide);
}

TARGET static size_t keep(uint32_t *draft, const uint8_t *drop, size_t n) {
    size_t kept = 0;
    for (size_t at = 0; at < n; ++at) {
        draft[kept] = draft[at];
        kept += !drop[at];
    }
    return kept;
}

TARGET static size_t normal_f32(float *out, uint32_t *draft, const uint8_t *drop, size_t n, float mean, float sigma) {
    const size_t kept = keep(draft, drop, n);
    for (size_t at = 0; at < kept; at += 4) {
        float width[4];
        for (int lane = 0; lane < 4; ++lane)
            width[lane] = cf_normal_x_f32[draft[at + lane] >> 1 & 127];
        uint32x4_t u = vld1q_u32(draft + at);
        float32x4_t fraction = vmulq_n_f32(vcvtq_f32_u32(vshrq_n_u32(u, 8)), 0x1p-24f);
        float32x4_t value = vmulq_f32(fraction, vld1q_f32(width));
        uint32x4_t negative = veorq_u32(vshlq_n_u32(u, 31), vdupq_n_u32(0x80000000u));
        value = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(value), negative));
        vst1q_f32(out + at, vaddq_f32(vmulq_n_f32(value, sigma), vdupq_n_f32(mean)));
    }
    return kept;
}

TARGET static size_t normal_f64(double *out, uint32_t *draft, const uint8_t *drop, size_t n, double mean,
                                double sigma) {
    const size_t kept = keep(draft, drop, n);
    for (size_t at = 0; at < kept; at += 2) {
        uint32_t u = draft[at];
        double fine = (double)(u >> 8) * 0x1p-24, coarse = (double)(draft[at + 1] & 0x1fffffff);
        double x = (fine + coarse) * 0x1p-29 * cf_normal_x[u >> 1 & 127];
        out[at / 2] = x * (double)((int32_t)(u & 1) * 2 - 1) * sigma + mean;
    }
    return kept / 2;
}

const cf_simd cf_simd_neon = {
    .name = "neon",
    CF_LOOPS,
    CF_DRAFTS,
};
#endif
