#include "simd.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,popcnt")))
#include "loops.h"

#define CF_WIDTH 8
#include "ziggurat.h"

TARGET static inline cf_words fetch(const void *table, cf_words index) {
    return (cf_words)_mm256_i32gather_epi32(table, (__m256i)index, 4);
}

TARGET static inline cf_words look_up(const void *table, cf_words index) { return fetch(table, index); }

TARGET static inline size_t open_either(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n,
                                        int wide) {
    uint64_t bits[CF_MT_N / 64 + 1];
    temper(draft + from, key, n);
    for (size_t at = 0; at < n; at += 8) {
        const uint32_t *word = draft + from + at;
        __m256i u = _mm256_loadu_si256((const __m256i *)word), fraction = u;
        __m256i inside = (__m256i)look_up(cf_normal_inside, (cf_words)_mm256_srli_epi32(u, 1) & 127);
        if (wide) { /* float64 points are certain by the top byte of the bound only */
            fraction = _mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(word + 1)), 3);
            inside = _mm256_and_si256(inside, _mm256_set1_epi32((int)0xff000000u));
        }
        __m256i outside = _mm256_cmpeq_epi32(_mm256_max_epu32(fraction, inside), fraction);
        ((uint8_t *)bits)[at / 8] = (uint8_t)_mm256_movemask_ps(_mm256_castsi256_ps(outside));
    }
    return list_bits(place, from, bits, n - wide);
}

TARGET static inline int kept_of(const uint8_t *drop) {
    __m128i bytes = _mm_loadl_epi64((const __m128i *)drop);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128())) & 0xff;
}

/* Returns those of eight words whose bit is set, moved together. */
TARGET static inline __m256i kept(const uint32_t *word, int keep) {
    __m256i places = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(cf_places + keep)));
    return _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i *)word), places);
}

TARGET static size_t normal_f32(float *out, uint32_t *draft, const uint8_t *drop, size_t n, float mean, float sigma) {
    size_t count = 0;
    for (size_t at = 0; at < n; at += 8) {
        int keep = kept_of(drop + at);
        __m256i u = kept(draft + at, keep);
        __m256i layer = _mm256_and_si256(_mm256_srli_epi32(u, 1), _mm256_set1_epi32(127));
        __m256 fraction = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(u, 8)), _mm256_set1_ps(0x1p-24f));
        __m256 value = _mm256_mul_ps(fraction, _mm256_i32gather_ps(cf_normal_x_f32, layer, 4));
        __m256i negative = _mm256_andnot_si256(_mm256_slli_epi32(u, 31), _mm256_set1_epi32(INT32_MIN));
        value = _mm256_xor_ps(value, _mm256_castsi256_ps(negative));
        value = _mm256_add_ps(_mm256_mul_ps(value, _mm256_set1_ps(sigma)), _mm256_set1_ps(mean));
        _mm256_storeu_ps(out + count, value);
        count += (size_t)__builtin_popcount((unsigned)keep);
    }
    return count;
}

TARGET static size_t normal_f64(double *out, uint32_t *draft, const uint8_t *drop, size_t n, double mean,
                                double sigma) {
    const __m256d two52 = _mm256_set1_pd(0x1p52);
    size_t words = 0;
    for (size_t at = 0; at < n; at += 8) {
        int keep = kept_of(drop + at);
        _mm256_storeu_si256((__m256i *)(draft + words), kept(draft + at, keep));
        words += (size_t)__builtin_popcount((unsigned)keep);
    }
    for (size_t at = 0; at < words; at += 8) {
        __m256i both = _mm256_loadu_si256((const __m256i *)(draft + at));
        __m256i layer = _mm256_and_si256(_mm256_srli_epi64(both, 1), _mm256_set1_epi64x(127));
        __m256i fine = _mm256_and_si256(_mm256_srli_epi64(both, 8), _mm256_set1_epi64x(0xffffff));
        __m256i coarse = _mm256_and_si256(_mm256_srli_epi64(both, 32), _mm256_set1_epi64x(0x1fffffff));
        /* AVX2 can't convert 64-bit integers: give each part the exponent of 2^52, then subtract 2^52 */
        __m256d low = _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(fine), two52), two52);
        __m256d high = _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(coarse), two52), two52);
        __m256d fraction =
            _mm256_mul_pd(_mm256_add_pd(_mm256_mul_pd(low, _mm256_set1_pd(0x1p-24)), high), _mm256_set1_pd(0x1p-29));
        __m256d value = _mm256_mul_pd(fraction, _mm256_i64gather_pd(cf_normal_x, layer, 8));
        __m256i negative = _mm256_andnot_si256(_mm256_slli_epi64(both, 63), _mm256_set1_epi64x(INT64_MIN));
        value = _mm256_xor_pd(value, _mm256_castsi256_pd(negative));
        _mm256_storeu_pd(out + at / 2,
                         _mm256_add_pd(_mm256_mul_pd(value, _mm256_set1_pd(sigma)), _mm256_set1_pd(mean)));
    }
    return words / 2;
}

static void fence(void) { _mm_sfence(); }

TARGET static void copy_nontemporal(void *to, const void *from, size_t lines) {
    for (size_t i = 0; i < 2 * lines; ++i)
        _mm256_stream_si256((__m256i *)to + i, _mm256_loadu_si256((const __m256i *)from + i));
}

const cf_simd cf_simd_avx2 = {
    .name = "avx2",
    CF_LOOPS,
    CF_DRAFTS,
    .copy_nontemporal = copy_nontemporal,
    .fence = fence,
};
#endif
