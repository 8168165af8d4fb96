/* The loops over one block of words, once per instruction set. Every cf_mt names the set it runs with.

   Every set gives the same bits. Code that is not a loop over independent words, such as rejection, is written once,
   in csrc/. */
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

enum {
    CF_DRAFT = 1872, /* draws of a draft of the ziggurat; more would gain little and need more stack */
    CF_DRAFT_PAD = 64
};

/* The number of generators that advance side by side: enough to hide the latency of a multiplication. */
enum { CF_LANES = 128, CF_COLUMN = 16 };

/* The verdict on a point that may lie outside its layer: whether it takes the next draw too, and whether it is
   rejected. */
typedef enum { CF_INSIDE, CF_EATS, CF_UNSURE, CF_REJECTED } cf_verdict;

typedef struct cf_simd {
    const char *name;
    void (*twist)(uint32_t *key);
    void (*temper)(uint32_t *out, const uint32_t *key, size_t n);
    void (*xor_into)(uint32_t *to, const uint32_t *from, size_t n);
    /* Fills from untempered words. Does not return 0 if a draw among them is rejected. */
    uint32_t (*uniform_f32)(float *out, const uint32_t *key, size_t n, const cf_range_f32 *range);
    uint32_t (*uniform_f64)(double *out, const uint32_t *key, size_t n, const cf_range_f64 *range);
    /* Writes 1 where a draw is at most `last`, else 0; mask multiplies by that. */
    void (*bernoulli_f32)(float *out, const uint32_t *key, size_t n, uint32_t last);
    void (*bernoulli_f64)(double *out, const uint32_t *key, size_t n, uint32_t last);
    void (*mask_f32)(float *out, const uint32_t *key, size_t n, uint32_t last);
    void (*mask_f64)(double *out, const uint32_t *key, size_t n, uint32_t last);
    /* Takes pairs of tempered words, none of which rounds up to 1. NULL: values are computed pair by pair. */
    void (*box_muller_f32)(float *out, const uint32_t *word, size_t pairs, float mean, float sigma);
    void (*box_muller_f64)(double *out, const uint32_t *word, size_t pairs, double mean, double sigma);
    /* Converts tempered words (one for a value, two in float64) to values, up to the first whose point lies outside its
       layer. Returns the number of values. */
    size_t (*ziggurat_run_f32)(float *out, const uint32_t *word, size_t values, float mean, float sigma);
    size_t (*ziggurat_run_f64)(double *out, const uint32_t *word, size_t values, double mean, double sigma);
    /* The next functions are for drafts; NULL: values are computed by runs. Every array has room for CF_DRAFT_PAD more.
       open tempers n words into the draft, from place `from` on. It lists the places whose point, if one begins there,
       may lie outside its layer. */
    size_t (*open_f32)(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n);
    size_t (*open_f64)(uint16_t *place, uint32_t *draft, size_t from, const uint32_t *key, size_t n);
    void (*decide_f32)(uint8_t *verdict, const uint32_t *draft, const uint16_t *place, size_t n);
    void (*decide_f64)(uint8_t *verdict, const uint32_t *draft, const uint16_t *place, size_t n);
    /* Computes the values of those of n words that are not dropped; returns how many. May overwrite the words. */
    size_t (*normal_f32)(float *out, uint32_t *draft, const uint8_t *drop, size_t n, float mean, float sigma);
    size_t (*normal_f64)(double *out, uint32_t *draft, const uint8_t *drop, size_t n, double mean, double sigma);
    /* Copies cache lines of 64 bytes to an aligned address by non-temporal stores, which bypass the caches. Other
       threads may read them after a fence. NULL: this set has no such stores. */
    void (*copy_nontemporal)(void *to, const void *from, size_t lines);
    void (*fence)(void);
    /* One word of each of CF_LANES generators: on from word i of the seeding to word `end`, or back to the seed. */
    void (*seed_on)(uint32_t *word, uint32_t i, uint32_t end);
    void (*seed_back)(uint32_t *word, uint32_t i);
    /* Computes the next block of CF_COLUMN generators, or some words of it, in rising order. */
    void (*twist_column)(uint32_t (*word)[CF_COLUMN], const uint16_t *row, size_t rows);
    /* Tempers each draw and rotates it right. Clears bit 0 of `marked` where the map lacks the upper 16 bits. Returns 0
       if no lane is left. */
    uint32_t (*sift)(uint32_t *marked, const uint32_t *draw, const uint32_t *map, uint32_t rotation);
} cf_simd;

/* Returns the set of that name, or the best one for NULL. Returns NULL if this processor or build lacks it. */
const cf_simd *cf_simd_find(const char *name);

extern const cf_simd cf_simd_portable, cf_simd_avx2, cf_simd_avx512, cf_simd_neon;

#endif
