#include "simd.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,popcnt")))
#include "loops.h"

#include "ziggurat.h"

TARGET static size_t ziggurat_f32(cf_candidates_f32 *all, const uint32_t *key, size_t n,
                                  const cf_ziggurat_f32 *ziggurat) {
    const float mean = ziggurat->mean, sigma = ziggurat->sigma;
    const __m256i top = _mm256_set1_epi32(INT32_MIN);
    temper(all->word, key, n);
    for (size_t at = 0; at < n; at += 8) {
        __m256i u = _mm256_loadu_si256((const __m256i *)(all->word + at));
        __m256i layer = _mm256_and_si256(_mm256_srli_epi32(u, 1), _mm256_set1_epi32(127));
        __m256i inside = _mm256_i32gather_epi32((const int *)cf_normal_inside, layer, 4);
        __m256 fraction = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(u, 8)), _mm256_set1_ps(0x1p-24f));
        __m256 value = _mm256_mul_ps(fraction, _mm256_i32gather_ps(cf_normal_x_f32, layer, 4));
        __m256i negative = _mm256_xor_si256(_mm256_slli_epi32(u, 31), top);
        value = _mm256_xor_ps(value, _mm256_castsi256_ps(negative));
        _mm256_storeu_ps(all->z + at, _mm256_add_ps(_mm256_mul_ps(value, _mm256_set1_ps(sigma)), _mm256_set1_ps(mean)));
        __m256i below = _mm256_cmpgt_epi32(_mm256_xor_si256(inside, top), _mm256_xor_si256(u, top));
        all->open[at / 8] = (uint8_t)~_mm256_movemask_ps(_mm256_castsi256_ps(below));
    }
    return settle_f32(all, n, ziggurat);
}

/* By intrinsics, since compilers would make a call to memcpy of a loop, and that costs as much as the arithmetic. */
TARGET static inline void copy_vectors(float *out, const float *from) {
    for (int i = 0; i < CF_RUN; i += 8)
        _mm256_storeu_ps(out + i, _mm256_loadu_ps(from + i));
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

/* None past the last whole vector. */
TARGET static size_t ziggurat_run_f64(double *out, const uint32_t *word, size_t pairs, double mean, double sigma) {
    const __m256d two52 = _mm256_set1_pd(0x1p52);
    size_t at = 0;
    for (; at + 4 <= pairs; at += 4) {
        __m256i both = _mm256_loadu_si256((const __m256i *)(word + 2 * at));
        __m256i layer = _mm256_and_si256(_mm256_srli_epi64(both, 1), _mm256_set1_epi64x(127));
        __m256i fine = _mm256_and_si256(_mm256_srli_epi64(both, 8), _mm256_set1_epi64x(0xffffff));
        __m256i coarse = _mm256_and_si256(_mm256_srli_epi64(both, 32), _mm256_set1_epi64x(0x1fffffff));
        /* there is no conversion from 64 bits: put each part under the exponent of 2^52 and take that away again */
        __m256d low = _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(fine), two52), two52);
        __m256d high = _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(coarse), two52), two52);
        __m256d fraction =
            _mm256_mul_pd(_mm256_add_pd(_mm256_mul_pd(low, _mm256_set1_pd(0x1p-24)), high), _mm256_set1_pd(0x1p-29));
        __m256d value = _mm256_mul_pd(fraction, _mm256_i64gather_pd(cf_normal_x, layer, 8));
        __m256d below = _mm256_cmp_pd(value, _mm256_i64gather_pd(cf_normal_x + 1, layer, 8), _CMP_LT_OQ);
        __m256i negative = _mm256_xor_si256(_mm256_slli_epi64(both, 63), _mm256_set1_epi64x(INT64_MIN));
        value = _mm256_xor_pd(value, _mm256_castsi256_pd(negative));
        _mm256_storeu_pd(out + at, _mm256_add_pd(_mm256_mul_pd(value, _mm256_set1_pd(sigma)), _mm256_set1_pd(mean)));
        int inside = _mm256_movemask_pd(below);
        if (inside != 15)
            return at + (size_t)__builtin_ctz(~inside);
    }
    return at;
}

static void fence(void) { _mm_sfence(); }

TARGET static void stream(void *to, const void *from, size_t lines) {
    for (size_t i = 0; i < 2 * lines; ++i)
        _mm256_stream_si256((__m256i *)to + i, _mm256_loadu_si256((const __m256i *)from + i));
}

const cf_simd cf_simd_avx2 = {
    .name = "avx2",
    CF_LOOPS,
    .ziggurat_f32 = ziggurat_f32,
    .close_gaps_f32 = close_gaps_f32,
    .ziggurat_run_f64 = ziggurat_run_f64,
    .stream = stream,
    .fence = fence,
};
#endif
