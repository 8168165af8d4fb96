/* AVX-512 from Ice Lake and Zen 4 on: look-ups in registers need its byte permutations. */
#include "simd.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#ifdef __clang__
#define TARGET \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi,bmi,popcnt"), min_vector_width(512)))
#else
#define TARGET \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi,bmi,popcnt,prefer-vector-width=512")))
#endif

/* Truth tables of a ^ (b & c), a ^ b ^ c and (a ? b : c). */
#define XOR_AND 0x78
#define XOR_XOR 0x96
#define SELECT 0xca

#define CF_OWN_TWIST
TARGET static inline void twist_part(uint32_t *key, int from, int to, int ahead, __m512i *here, __m512i *far) {
    for (int i = from; i < to; i += 16) {
        __m512i next = _mm512_loadu_si512(key + i + 16), farther = _mm512_loadu_si512(key + i + ahead);
        __m512i low = _mm512_alignr_epi32(next, *here, 1);
        __m512i y = _mm512_ternarylogic_epi32(_mm512_set1_epi32(INT32_MIN), *here, low, SELECT);
        __m512i word = _mm512_xor_si512(_mm512_alignr_epi32(farther, *far, 13), _mm512_srli_epi32(y, 1));
        __mmask16 odd = _mm512_test_epi32_mask(low, _mm512_set1_epi32(1));
        word = _mm512_mask_xor_epi32(word, odd, word, _mm512_set1_epi32((int)0x9908b0dfu));
        _mm512_storeu_si512(key + i, word);
        *here = next;
        *far = farther;
    }
}

/* A load that straddles two stores waits until both have reached L1. So vectors are loaded at the addresses at which
   they were stored, and shifted in registers: words i + 397 and i - 227 both lie 13 words into such a vector. */
TARGET static void twist(uint32_t *key) {
    __m512i here = _mm512_loadu_si512(key), far = _mm512_loadu_si512(key + 384);
    twist_part(key, 0, 224, 400, &here, &far);
    _mm512_storeu_si512(key + 624, _mm512_loadu_si512(key));
    twist_part(key, 224, 624, -224, &here, &far);
}

#include "loops.h"

#define CF_WIDTH 16
#include "ziggurat.h"

TARGET static inline cf_words fetch(const void *table, cf_words index) {
    return (cf_words)_mm512_i32gather_epi32((__m512i)index, table, 4);
}

TARGET static inline __m512i temper_vector(__m512i y) {
    y = _mm512_xor_si512(y, _mm512_srli_epi32(y, 11));
    y = _mm512_ternarylogic_epi32(y, _mm512_slli_epi32(y, 7), _mm512_set1_epi32((int)0x9d2c5680u), XOR_AND);
    y = _mm512_ternarylogic_epi32(y, _mm512_slli_epi32(y, 15), _mm512_set1_epi32((int)0xefc60000u), XOR_AND);
    return _mm512_xor_si512(y, _mm512_srli_epi32(y, 18));
}

/* Looks up one of 128 by permutations, in half the time of a gather. Only the low seven bits of an index count. */
TARGET static inline __m512 permuted(const __m512 table[8], __m512i index) {
    __mmask16 bit5 = _mm512_test_epi32_mask(index, _mm512_set1_epi32(1 << 5));
    __mmask16 bit6 = _mm512_test_epi32_mask(index, _mm512_set1_epi32(1 << 6));
    __m512 first = _mm512_permutex2var_ps(table[0], index, table[1]);
    __m512 second = _mm512_permutex2var_ps(table[2], index, table[3]);
    __m512 third = _mm512_permutex2var_ps(table[4], index, table[5]);
    __m512 fourth = _mm512_permutex2var_ps(table[6], index, table[7]);
    return _mm512_mask_blend_ps(bit6, _mm512_mask_blend_ps(bit5, first, second),
                                _mm512_mask_blend_ps(bit5, third, fourth));
}

TARGET __attribute__((always_inline)) static inline cf_words look_up(const void *table, cf_words index) {
    __m512 whole[8];
    for (int i = 0; i < 8; ++i)
        whole[i] = _mm512_loadu_ps((const float *)table + 16 * i);
    return (cf_words)permuted(whole, (__m512i)index);
}

/* Only the top byte of the fraction decides whether a point lies in its layer, so one permutation of bytes serves all
   128 layers. A few points that do lie inside are left undecided. */
TARGET static inline size_t open_either(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n,
                                        int wide) {
    const __m512i low = _mm512_loadu_si512(cf_normal_surely), high = _mm512_loadu_si512(cf_normal_surely + 64);
    uint64_t bits[CF_MT_N / 64 + 1];
    if (wide)
        temper(draft + from, key, n);
    for (size_t at = 0; at < n; at += 16) {
        uint32_t *word = draft + from + at;
        __m512i u = _mm512_loadu_si512(wide ? word : key + at), fraction;
        if (wide) {
            fraction = _mm512_slli_epi32(_mm512_loadu_si512(word + 1), 3);
        } else {
            u = fraction = temper_vector(u);
            _mm512_storeu_si512(word, u);
        }
        __m512i inside = _mm512_maskz_permutex2var_epi8(0x8888888888888888u, low, _mm512_slli_epi32(u, 23), high);
        __mmask16 mask = _mm512_cmpge_epu32_mask(fraction, inside);
        memcpy((char *)bits + at / 8, &mask, sizeof mask);
    }
    return list_bits(place, from, bits, n - wide);
}

TARGET static inline __mmask16 kept_of(const uint8_t *drop) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)drop);
    return _mm_testn_epi8_mask(bytes, bytes);
}

TARGET static size_t normal_f32(float *out, uint32_t *draft, const uint8_t *drop, size_t n, float mean, float sigma) {
    size_t count = 0;
    __m512 x[8]; /* the widths of all layers stay in registers */
    for (int i = 0; i < 8; ++i)
        x[i] = _mm512_mul_ps(_mm512_loadu_ps(cf_normal_x_f32 + 16 * i), _mm512_set1_ps(0x1p-24f));
    for (size_t at = 0; at < n; at += 16) {
        __mmask16 keep = kept_of(drop + at);
        __m512i u = _mm512_loadu_si512(draft + at);
        __m512i layer = _mm512_ror_epi32(u, 1); /* and the inverted sign in the top bit */
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(u, 8)), permuted(x, layer));
        value = _mm512_castsi512_ps(
            _mm512_ternarylogic_epi32(_mm512_castps_si512(value), layer, _mm512_set1_epi32(INT32_MIN), XOR_AND));
        value = _mm512_add_ps(_mm512_mul_ps(value, _mm512_set1_ps(-sigma)), _mm512_set1_ps(mean));
        _mm512_storeu_ps(out + count, _mm512_maskz_compress_ps(keep, value));
        count += (size_t)__builtin_popcount(keep);
    }
    return count;
}

TARGET static size_t normal_f64(double *out, uint32_t *draft, const uint8_t *drop, size_t n, double mean,
                                double sigma) {
    size_t kept = 0;
    for (size_t at = 0; at < n; at += 16) {
        __mmask16 keep = kept_of(drop + at);
        _mm512_storeu_si512(draft + kept, _mm512_maskz_compress_epi32(keep, _mm512_loadu_si512(draft + at)));
        kept += (size_t)__builtin_popcount(keep);
    }
    for (size_t at = 0; at < kept; at += 16) {
        __m512i both = _mm512_loadu_si512(draft + at);
        __m512i layer = _mm512_and_si512(_mm512_srli_epi64(both, 1), _mm512_set1_epi64(127));
        __m512i fine = _mm512_and_si512(_mm512_srli_epi64(both, 8), _mm512_set1_epi64(0xffffff));
        __m512i coarse = _mm512_and_si512(_mm512_srli_epi64(both, 32), _mm512_set1_epi64(0x1fffffff));
        /* 24 and 29 bits: the fraction is exact, so both parts can be joined as integers */
        __m512d fraction = _mm512_cvtepi64_pd(_mm512_or_si512(_mm512_slli_epi64(coarse, 24), fine));
        __m512d edge = _mm512_i64gather_pd(layer, cf_normal_x, 8);
        __m512d value = _mm512_mul_pd(_mm512_mul_pd(fraction, _mm512_set1_pd(0x1p-53)), edge);
        __m512i sign = _mm512_slli_epi64(both, 63);
        value = _mm512_castsi512_pd(
            _mm512_ternarylogic_epi64(_mm512_castpd_si512(value), sign, _mm512_set1_epi64(INT64_MIN), XOR_XOR));
        _mm512_storeu_pd(out + at / 2,
                         _mm512_add_pd(_mm512_mul_pd(value, _mm512_set1_pd(sigma)), _mm512_set1_pd(mean)));
    }
    return kept / 2;
}

static void fence(void) { _mm_sfence(); }

TARGET static void copy_nontemporal(void *to, const void *from, size_t lines) {
    for (size_t i = 0; i < lines; ++i)
        _mm512_stream_si512((__m512i *)to + i, _mm512_loadu_si512((const __m512i *)from + i));
}

const cf_simd cf_simd_avx512 = {
    .name = "avx512",
    CF_LOOPS,
    CF_DRAFTS,
    .copy_nontemporal = copy_nontemporal,
    .fence = fence,
};
#endif
