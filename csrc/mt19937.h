/* MT19937: Matsumoto and Nishimura, "Mersenne Twister: A 623-Dimensionally Equidistributed Uniform Pseudo-Random Number
   Generator" (ACM TOMACS 8, 1998), seeded as in their version of 2002. The words are those of Boost's
   mersenne_twister.hpp, NumPy's MT19937 and C++11's mt19937. A block of 624 is generated at a time; each word is
   tempered when it is drawn. */
#ifndef CF_MT19937_H
#define CF_MT19937_H

#include <stddef.h>
#include <stdint.h>

#include "simd/simd.h"

enum {
    CF_MT_N = 624,
    CF_MT_PAD = 16 /* words: a vector may reach past the last word */
};

typedef struct {
    uint32_t key[CF_MT_N + CF_MT_PAD]; /* untempered, as in NumPy's state */
    uint32_t pos;                      /* of the next word to draw; CF_MT_N: all are drawn */
    uint64_t drawn;                    /* since seeding */
    const cf_simd *simd;
} cf_mt;

void cf_mt_seed(cf_mt *mt, uint32_t seed, const cf_simd *simd);
void cf_mt_raw(cf_mt *mt, uint32_t *out, size_t n);
void cf_mt_skip(cf_mt *mt, uint64_t n);
void cf_mt_jump_blocks(cf_mt *mt, uint64_t blocks);

/* Returns how many of n words are left in the current block. If none are, makes a new block first. */
static inline size_t cf_mt_available(cf_mt *mt, uint64_t n) {
    if (mt->pos == CF_MT_N) {
        mt->simd->twist(mt->key);
        mt->pos = 0;
    }
    size_t left = CF_MT_N - mt->pos;
    return n < left ? (size_t)n : left;
}

/* Tempered words, for code that does not know in advance how many it draws. Words `at` to `end` are not drawn yet, but
   the stream counts them as drawn until the block is closed. */
typedef struct {
    cf_mt *mt;
    const uint32_t *word;
    uint32_t at, end;
    uint32_t own[CF_MT_N + CF_MT_PAD];
} cf_block;

void cf_block_open(cf_block *block, cf_mt *mt);
void cf_block_more(cf_block *block, size_t expected);
void cf_block_close(cf_block *block);

/* Returns the number of draws that remain before position `limit` of the stream. */
static inline uint64_t cf_left(const cf_block *block, uint64_t limit) {
    uint64_t drawn = block->mt->drawn - (block->end - block->at);
    return drawn < limit ? limit - drawn : 0;
}

static inline uint32_t cf_draw(cf_block *block) {
    if (block->at == block->end)
        cf_block_more(block, CF_MT_N);
    return block->word[block->at++];
}

#endif
