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

typedef struct {
    float mean, sigma;
    uint32_t bounds; /* 1: Boost 1.64 asks the chord and the tangent before the curve itself */
} cf_ziggurat_f32;

typedef enum { CF_REJECTED, CF_ACCEPTED, CF_INSIDE, CF_HARD } cf_verdict;

enum { CF_BLOCK = 640, CF_DECIDE = 16, CF_RUN = 32 };

/* What each of up to 624 draws gives as a candidate for a value, whole vectors of them. */
typedef struct {
    uint32_t *word;             /* gets them tempered; a vector more than n has to fit in */
    float z[CF_BLOCK + CF_RUN]; /* the value, if the point lies inside its layer */
    uint8_t open[CF_BLOCK / 8]; /* a bit for each of which that is not certain */
    size_t at[CF_BLOCK];        /* where the open ones are */
    uint32_t verdict[CF_BLOCK]; /* on each open one, if the draw behind it is its own */
    float decided[CF_BLOCK];
} cf_candidates_f32;

typedef struct cf_simd {
    const char *name;
    void (*twist)(uint32_t *key);
    void (*temper)(uint32_t *out, const uint32_t *key, size_t n);
    /* Over GF(2). */
    void (*add)(uint32_t *to, const uint32_t *from, size_t n);
    /* From untempered words; the result is not 0 if a draw among them is rejected. */
    uint32_t (*uniform_f32)(float *out, const uint32_t *key, size_t n, const cf_range_f32 *range);
    uint32_t (*uniform_f64)(double *out, const uint32_t *key, size_t n, const cf_range_f64 *range);
    /* 1 where a draw is not above `last`. */
    void (*bernoulli_f32)(float *out, const uint32_t *key, size_t n, uint32_t last);
    void (*bernoulli_f64)(double *out, const uint32_t *key, size_t n, uint32_t last);
    void (*mask_f32)(float *out, const uint32_t *key, size_t n, uint32_t last);
    void (*mask_f64)(double *out, const uint32_t *key, size_t n, uint32_t last);
    /* Pairs of tempered words, none of which rounds up to 1. */
    void (*box_muller_f32)(float *out, const uint32_t *word, size_t pairs, float mean, float sigma);
    /* From tempered words (one for a value, or a pair in float64) to values, up to the first whose point may lie outside
       its layer; returns how many. May stop earlier, and writes `values` at most. */
    size_t (*ziggurat_run_f32)(float *out, const uint32_t *word, size_t values, float mean, float sigma);
    size_t (*ziggurat_run_f64)(double *out, const uint32_t *word, size_t values, double mean, double sigma);
    /* Fills `all` from n untempered words; returns how many are open. NULL: runs it is. */
    size_t (*ziggurat_f32)(cf_candidates_f32 *all, const uint32_t *key, size_t n, const cf_ziggurat_f32 *ziggurat);
    /* Closes the gaps in z, given by their indices, up to the last one; returns how many values that leaves. Reads and
       writes up to CF_RUN past that. */
    size_t (*close_gaps_f32)(float *out, const float *z, const uint32_t *gap, size_t gaps);
    /* Copies lines of 64 bytes to an aligned place past the cache; others may read them after a fence. NULL: no such
       stores. */
    void (*stream)(void *to, const void *from, size_t lines);
    void (*fence)(void);
} cf_simd;

/* The set of that name, or the best one for NULL; NULL if this processor or this build lacks it. */
const cf_simd *cf_simd_find(const char *name);

extern const cf_simd cf_simd_portable, cf_simd_avx2, cf_simd_avx512, cf_simd_neon;

#endif
