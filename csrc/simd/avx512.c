/* AVX-512 as of Ice Lake and Zen 4: look-ups in registers want its byte permutations. */
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
        __m512i made = _mm512_xor_si512(_mm512_alignr_epi32(farther, *far, 13), _mm512_srli_epi32(y, 1));
        __mmask16 odd = _mm512_test_epi32_mask(low, _mm512_set1_epi32(1));
        made = _mm512_mask_xor_epi32(made, odd, made, _mm512_set1_epi32((int)0x9908b0dfu));
        _mm512_storeu_si512(key + i, made);
        *here = next;
        *far = farther;
    }
}

/* A load that straddles two stores waits until both have reached the cache. So vectors are loaded as they are stored,
   and shifted in registers: word i + 397 lies 13 words into such a vector, and so does word i - 227. */
TARGET static void twist(uint32_t *key) {
    __m512i here = _mm512_loadu_si512(key), far = _mm512_loadu_si512(key + 384);
    twist_part(key, 0, 224, 400, &here, &far);
    _mm512_storeu_si512(key + 624, _mm512_loadu_si512(key));
    twist_part(key, 224, 624, -224, &here, &far);
}

#include "loops.h"

#include "ziggurat.h"

TARGET static inline __m512i temper_vector(__m512i y) {
    y = _mm512_xor_si512(y, _mm512_srli_epi32(y, 11));
    y = _mm512_ternarylogic_epi32(y, _mm512_slli_epi32(y, 7), _mm512_set1_epi32((int)0x9d2c5680u), XOR_AND);
    y = _mm512_ternarylogic_epi32(y, _mm512_slli_epi32(y, 15), _mm512_set1_epi32((int)0xefc60000u), XOR_AND);
    return _mm512_xor_si512(y, _mm512_srli_epi32(y, 18));
}

/* Whether a point lies in its layer is looked up by the top byte of its fraction alone: one permutation of bytes serves
   all 128 layers, and leaves a few open that are inside. */
TARGET static size_t ziggurat_f32(cf_candidates_f32 *all, const uint32_t *key, size_t n,
                                  const cf_ziggurat_f32 *ziggurat) {
    const float mean = ziggurat->mean, sigma = ziggurat->sigma;
    const __m512i surely_low = _mm512_loadu_si512(cf_normal_surely),
                  surely_high = _mm512_loadu_si512(cf_normal_surely + 64);
    __m512 x[8]; /* the widths of all layers stay in registers */
    for (int i = 0; i < 8; ++i)
        x[i] = _mm512_mul_ps(_mm512_loadu_ps(cf_normal_x_f32 + 16 * i), _mm512_set1_ps(0x1p-24f));
    for (size_t at = 0; at < n; at += 16) {
        __m512i u = temper_vector(_mm512_loadu_si512(key + at));
        _mm512_storeu_si512(all->word + at, u);
        __m512i layer = _mm512_ror_epi32(u, 1); /* and the sign, turned, in the top bit */
        __mmask16 bit5 = _mm512_test_epi32_mask(u, _mm512_set1_epi32(1 << 6));
        __mmask16 bit6 = _mm512_test_epi32_mask(u, _mm512_set1_epi32(1 << 7));
        __m512 first = _mm512_permutex2var_ps(x[0], layer, x[1]), second = _mm512_permutex2var_ps(x[2], layer, x[3]);
        __m512 third = _mm512_permutex2var_ps(x[4], layer, x[5]), fourth = _mm512_permutex2var_ps(x[6], layer, x[7]);
        __m512 width = _mm512_mask_blend_ps(bit6, _mm512_mask_blend_ps(bit5, first, second),
                                            _mm512_mask_blend_ps(bit5, third, fourth));
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(u, 8)), width);
        value = _mm512_castsi512_ps(
            _mm512_ternarylogic_epi32(_mm512_castps_si512(value), layer, _mm512_set1_epi32(INT32_MIN), XOR_AND));
        _mm512_storeu_ps(all->z + at,
                         _mm512_add_ps(_mm512_mul_ps(value, _mm512_set1_ps(-sigma)), _mm512_set1_ps(mean)));
        __m512i inside =
            _mm512_maskz_permutex2var_epi8(0x8888888888888888u, surely_low, _mm512_slli_epi32(u, 23), surely_high);
        __mmask16 mask = _mm512_cmpge_epu32_mask(u, inside);
        all->open[at / 8] = (uint8_t)mask;
        all->open[at / 8 + 1] = (uint8_t)(mask >> 8);
    }
    return settle_f32(all, n, ziggurat);
}

TARGET static size_t close_gaps_f32(float *out, const float *z, const uint32_t *gap, size_t gaps) {
    uint16_t keep[CF_BLOCK / 16];
    size_t made = 0, end = gap[gaps - 1];
    memset(keep, 0xff, sizeof keep);
    for (size_t j = 0; j < gaps; ++j)
        keep[gap[j] / 16] &= (uint16_t)~(1u << gap[j] % 16);
    keep[end / 16] &= (uint16_t)((1u << end % 16) - 1);
    for (size_t at = 0; at < end; at += 16) {
        __mmask16 mask = keep[at / 16];
        _mm512_storeu_ps(out + made, _mm512_maskz_compress_ps(mask, _mm512_loadu_ps(z + at)));
        made += (size_t)__builtin_popcount(mask);
    }
    return made;
}

/* None past the last whole vector. */
TARGET static size_t ziggurat_run_f64(double *out, const uint32_t *word, size_t pairs, double mean, double sigma) {
    const __m512i surely_low = _mm512_loadu_si512(cf_normal_surely),
                  surely_high = _mm512_loadu_si512(cf_normal_surely + 64);
    size_t at = 0;
    for (; at + 8 <= pairs; at += 8) {
        __m512i both = _mm512_loadu_si512(word + 2 * at);
        __m512i layer = _mm512_and_si512(_mm512_srli_epi64(both, 1), _mm512_set1_epi64(127));
        __m512i fine = _mm512_and_si512(_mm512_srli_epi64(both, 8), _mm512_set1_epi64(0xffffff));
        __m512i coarse = _mm512_and_si512(_mm512_srli_epi64(both, 32), _mm512_set1_epi64(0x1fffffff));
        /* 24 and 29 bits: the fraction is exact, so it may as well be put together as a whole number */
        __m512d fraction = _mm512_cvtepi64_pd(_mm512_or_si512(_mm512_slli_epi64(coarse, 24), fine));
        __m512d edge = _mm512_i64gather_pd(layer, cf_normal_x, 8);
        __m512d value = _mm512_mul_pd(_mm512_mul_pd(fraction, _mm512_set1_pd(0x1p-53)), edge);
        __m512i inside = _mm512_maskz_permutex2var_epi8(0x0101010101010101u, surely_low, layer, surely_high);
        __mmask8 open = _mm512_cmpge_epu64_mask(_mm512_srli_epi64(coarse, 21), inside);
        __m512i sign = _mm512_slli_epi64(both, 63);
        value = _mm512_castsi512_pd(
            _mm512_ternarylogic_epi64(_mm512_castpd_si512(value), sign, _mm512_set1_epi64(INT64_MIN), XOR_XOR));
        _mm512_storeu_pd(out + at, _mm512_add_pd(_mm512_mul_pd(value, _mm512_set1_pd(sigma)), _mm512_set1_pd(mean)));
        if (open)
            return at + (size_t)__builtin_ctz(open);
    }
    return at;
}

static void fence(void) { _mm_sfence(); }

TARGET static void stream(void *to, const void *from, size_t lines) {
    for (size_t i = 0; i < lines; ++i)
        _mm512_stream_si512((__m512i *)to + i, _mm512_loadu_si512((const __m512i *)from + i));
}

const cf_simd cf_simd_avx512 = {
    .name = "avx512",
    CF_LOOPS,
    .ziggurat_f32 = ziggurat_f32,
    .close_gaps_f32 = close_gaps_f32,
    .ziggurat_run_f64 = ziggurat_run_f64,
    .stream = stream,
    .fence = fence,
};
#endif
