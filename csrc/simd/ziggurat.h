/* The work on a draft of the ziggurat that is the same for all instruction sets. The including file defines TARGET and
   CF_WIDTH, the number of floats in a vector. */
#include <string.h>

#include "../mt19937.h"
#include "../ziggurat_tables.h"

/* Vector types of gcc and clang. */
typedef uint32_t cf_words __attribute__((vector_size(4 * CF_WIDTH)));
typedef uint16_t cf_halves __attribute__((vector_size(2 * CF_WIDTH)));
typedef uint8_t cf_bytes __attribute__((vector_size(CF_WIDTH)));
typedef int32_t cf_whole __attribute__((vector_size(4 * CF_WIDTH)));
typedef float cf_floats __attribute__((vector_size(4 * CF_WIDTH)));

/* Return the 32 bits at each index; look_up is for tables of 128. */
TARGET static inline cf_words fetch(const void *table, cf_words index);
TARGET static inline cf_words look_up(const void *table, cf_words index);

/* open_f32 and open_f64; `wide` is float64. */
TARGET static inline size_t open_either(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n,
                                        int wide);

/* Lists the places of the set bits among n; bit 0 is place `from`. Always writes four at a time, since a branch for
   each bit would be mispredicted. */
TARGET static inline size_t list_bits(uint16_t *place, size_t from, const uint64_t *bits, size_t n) {
    size_t count = 0;
    for (size_t at = 0; at < n; at += 64) {
        uint64_t word = bits[at / 64];
        if (n - at < 64)
            word &= ((uint64_t)1 << (n - at)) - 1;
        const size_t end = count + (size_t)__builtin_popcountll(word);
        do
            for (int i = 0; i < 4; ++i, word &= word - 1)
                place[count++] = (uint16_t)((int)(from + at) + __builtin_ctzll(word | (uint64_t)1 << 63));
        while (count < end);
        count = end;
    }
    return count;
}

/* Returns exp(-x*x/2) with a relative error below 2^-18, for x in [0, 4). */
TARGET static inline cf_floats curve_nearly(cf_floats x) {
    const float round = 0x1.8p23f; /* adding it leaves the nearest whole number in the low bits */
    cf_floats power = x * x * -0x1.715476p-1f, whole = power + round, r = power - (whole - round);
    cf_floats y = (0x1.ca1440p-5f + 0x1.3997d4p-7f * r) * r + 0x1.ec06dap-3f;
    y = (y * r + 0x1.62e0dcp-1f) * r + 0x1.ffffe8p-1f;
    return (cf_floats)((cf_words)y + ((cf_words)whole << 23));
}

TARGET static inline cf_floats fraction_of(cf_words u) {
    return __builtin_convertvector((cf_whole)(u >> 8), cf_floats) * 0x1p-24f;
}

/* Computed in float for both types, with a margin for the rounding errors here and in Boost; a point within the margin
   stays unsure. Outside it the versions of Boost agree, since chord and tangent are bounds of the curve. */
TARGET static inline void decide(uint8_t *verdict, const uint32_t *draft, const uint16_t *place, size_t n, int draws) {
    for (size_t j = 0; j < n; j += CF_WIDTH) {
        cf_halves halves;
        memcpy(&halves, place + j, sizeof halves);
        const cf_words at = __builtin_convertvector(halves, cf_words);
        const cf_words u = fetch(draft, at), behind = fetch(draft + draws, at), layer = u >> 1 & 127;
        const cf_floats width = (cf_floats)look_up(cf_normal_x_f32, layer);
        const cf_floats edge = (cf_floats)look_up(cf_normal_x_f32 + 1, layer);
        const cf_floats x = fraction_of(draws == 1 ? u : fetch(draft + 1, at) << 3) * width;
        const cf_floats low = curve_nearly(width), high = curve_nearly(edge), curve = curve_nearly(x);
        const cf_floats y = low + fraction_of(behind) * (high - low);
        const cf_words inside = (cf_words)(x < edge * (1 - 0x1p-20f)), outside = (cf_words)(x > edge * (1 + 0x1p-20f));
        const cf_words below = (cf_words)(y < curve * (1 - 0x1p-15f)), above = (cf_words)(y > curve * (1 + 0x1p-15f));
        const cf_words sure = outside & (cf_words)(layer > 0) & (cf_words)(behind <= 0xffffff7fu);
        const cf_words said = ~inside & ((sure & (below | above) & 1) | (~(sure & below) & 2));
        const cf_bytes bytes = __builtin_convertvector(said, cf_bytes);
        memcpy(verdict + j, &bytes, sizeof bytes);
    }
}

TARGET static size_t open_f32(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n) {
    return open_either(place, draft, from, key, n, 0);
}

TARGET static size_t open_f64(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n) {
    return open_either(place, draft, from, key, n, 1);
}

TARGET static void decide_f32(uint8_t *verdict, const uint32_t *draft, const uint16_t *place, size_t n) {
    decide(verdict, draft, place, n, 1);
}

TARGET static void decide_f64(uint8_t *verdict, const uint32_t *draft, const uint16_t *place, size_t n) {
    decide(verdict, draft, place, n, 2);
}

#define CF_DRAFTS \
    .open_f32 = open_f32, .open_f64 = open_f64, .decide_f32 = decide_f32, .decide_f64 = decide_f64, \
    .normal_f32 = normal_f32, .normal_f64 = normal_f64
