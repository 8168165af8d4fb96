/* The loops over one block of words, once per instruction set. A stream carries the set it runs with.

   Every set gives the same bits. What cannot be a loop over independent words (rejections, the walk through a
   ziggurat's rejects) is written once, over these, in csrc/. */
#ifndef CF_SIMD_H
#define CF_SIMD_H

#include <stddef.h>
#include <stdint.h>

/* A value is factor * ((u * 2^-32) * width + low); draws above `last` are rejected. */
typedef struct {
    float low, width, factor;
    uint32_t last;
} cf_range_f32;

typedef struct {
    double low, width, factor;
    uint32_t last;
} cf_range_f64;

typedef struct cf_simd {
    const char *name;
    void (*twist)(uint32_t *key);
    void (*temper)(uint32_t *out, const uint32_t *key, size_t n);
    /* From untempered words; the result is not 0 if a draw among them is rejected. */
    uint32_t (*uniform_f32)(float *out, const uint32_t *key, size_t n, const cf_range_f32 *range);
    uint32_t (*uniform_f64)(double *out, const uint32_t *key, size_t n, const cf_range_f64 *range);
    /* 1 where a draw is not above `last`. */
    void (*bernoulli_f32)(float *out, const uint32_t *key, size_t n, uint32_t last);
    void (*bernoulli_f64)(double *out, const uint32_t *key, size_t n, uint32_t last);
    void (*mask_f32)(float *out, const uint32_t *key, size_t n, uint32_t last);
    void (*mask_f64)(double *out, const uint32_t *key, size_t n, uint32_t last);
    /* Candidates of the ziggurats, each from one draw: `word` gets the tempered words, `z` what each gives if its point
       lies inside its layer, `open` a bit for each of which that is not certain. All three are written in whole
       vectors. NULL: there is no such loop. */
    void (*ziggurat_f32)(float *z, uint32_t *word, uint8_t *open, const uint32_t *key, size_t n, float mean, float sigma);
    /* From tempered pairs to values, up to the first that is open; returns how many. Writes `pairs` at most. */
    size_t (*ziggurat_f64)(double *out, const uint32_t *word, size_t pairs, double mean, double sigma);
} cf_simd;

/* The set of that name, or the best one for NULL; NULL if this processor or this build lacks it. */
const cf_simd *cf_simd_find(const char *name);

extern const cf_simd cf_simd_portable, cf_simd_avx2, cf_simd_avx512, cf_simd_neon;

#endif
