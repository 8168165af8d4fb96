/* The loops that compilers vectorise by themselves. Each instruction set's file defines TARGET and includes this. */
#include <math.h>

#include "../math_f32.h"

static inline uint32_t mix(uint32_t high, uint32_t low, uint32_t far) {
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ (y >> 1) ^ ((0u - (low & 1u)) & 0x9908b0dfu);
}

static inline uint32_t temper_word(uint32_t y) {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

#ifndef CF_OWN_TWIST
/* In parts, each of which reads a word that it wrote only 227 words later or more: so each vectorises at any width. */
TARGET static void twist(uint32_t *key) {
    for (int i = 0; i < 227; ++i)
        key[i] = mix(key[i], key[i + 1], key[i + 397]);
    for (int i = 227; i < 454; ++i)
        key[i] = mix(key[i], key[i + 1], key[i - 227]);
    for (int i = 454; i < 623; ++i)
        key[i] = mix(key[i], key[i + 1], key[i - 227]);
    key[623] = mix(key[623], key[0], key[396]);
}
#endif

TARGET static void temper(uint32_t *restrict out, const uint32_t *restrict key, size_t n) {
    for (size_t i = 0; i < n; ++i)
        out[i] = temper_word(key[i]);
}

TARGET static void xor_into(uint32_t *restrict to, const uint32_t *restrict from, size_t n) {
    for (size_t i = 0; i < n; ++i)
        to[i] ^= from[i];
}

#define CF_BODY "simd/loops.inc"
#include "../reals.inc"

TARGET static void box_muller_f32(float *restrict out, const uint32_t *restrict word, size_t pairs, float mean,
                                  float sigma) {
    const float two_pi = 2.0f * 3.14159265358979323846f;
    for (size_t i = 0; i < pairs; ++i) {
        float r1 = (float)word[2 * i] * 0x1p-32f, r2 = (float)word[2 * i + 1] * 0x1p-32f, sine, cosine;
        float rho = sqrtf(-2.0f * cf_log_f32(1.0f - r2));
        cf_sincos_f32(two_pi * r1, &sine, &cosine);
        out[2 * i] = rho * cosine * sigma + mean;
        out[2 * i + 1] = rho * sine * sigma + mean;
    }
}

/* Advances many generators side by side: computes words i + 1 to `end` of their seeding from word i. */
TARGET static void seed_on(uint32_t *restrict word, uint32_t i, uint32_t end) {
    while (i++ < end)
        for (size_t lane = 0; lane < CF_LANES; ++lane)
            word[lane] = 1812433253u * (word[lane] ^ (word[lane] >> 30)) + i;
}

/* Goes back from word i to word 0, the seed. */
TARGET static void seed_back(uint32_t *restrict word, uint32_t i) {
    for (; i > 0; --i)
        for (size_t lane = 0; lane < CF_LANES; ++lane) {
            uint32_t y = (word[lane] - i) * 2520285293u;
            word[lane] = y ^ (y >> 30);
        }
}

TARGET static void twist_column(uint32_t (*word)[CF_COLUMN], const uint16_t *row, size_t rows) {
    for (size_t i = 0; i < rows; ++i) {
        size_t k = row[i];
        const uint32_t *low = word[k == 623 ? 0 : k + 1], *far = word[k < 227 ? k + 397 : k - 227];
        for (size_t lane = 0; lane < CF_COLUMN; ++lane)
            word[k][lane] = mix(word[k][lane], low[lane], far[lane]);
    }
}

TARGET static uint32_t sift(uint32_t *restrict marked, const uint32_t *restrict draw, const uint32_t *restrict map,
                            uint32_t rotation) {
    uint32_t any = 0;
    for (size_t lane = 0; lane < CF_LANES; ++lane) {
        uint32_t u = temper_word(draw[lane]);
        uint32_t key = u >> rotation | u << (31 - rotation) << 1;
        any |= marked[lane] &= map[key >> 21] >> (key >> 16 & 31);
    }
    return any & 1;
}

#define CF_LOOPS \
    .twist = twist, .temper = temper, .xor_into = xor_into, .uniform_f32 = uniform_f32, .uniform_f64 = uniform_f64, \
    .bernoulli_f32 = bernoulli_f32, .bernoulli_f64 = bernoulli_f64, .mask_f32 = mask_f32, .mask_f64 = mask_f64, \
    .box_muller_f32 = box_muller_f32, .seed_on = seed_on, .seed_back = seed_back, .twist_column = twist_column, \
    .sift = sift
