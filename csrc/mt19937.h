/* MT19937 as Boost, NumPy and C++11 have it: 624 words are made at a time, then tempered as they are drawn. */
#ifndef CF_MT19937_H
#define CF_MT19937_H

#include <stddef.h>
#include <stdint.h>

enum { CF_MT_N = 624, CF_MT_M = 397 };

typedef struct {
    uint32_t key[CF_MT_N]; /* untempered, so that it is NumPy's state too */
    uint32_t pos;          /* of the next word to draw; CF_MT_N: the block is used up */
    uint64_t drawn;        /* since seeding */
} cf_mt;

void cf_mt_seed(cf_mt *mt, uint32_t seed);
void cf_mt_twist(uint32_t key[CF_MT_N]);
void cf_mt_temper(uint32_t *out, const uint32_t *key, size_t n);
void cf_mt_raw(cf_mt *mt, uint32_t *out, size_t n);
void cf_mt_skip(cf_mt *mt, uint64_t n);

/* The tempered words of the current block, for code that cannot know how many it will draw. Index i of `word` is
   index i of the key; only those from `at` to `end` are filled. */
typedef struct {
    cf_mt *mt;
    uint32_t at, end;
    uint32_t word[CF_MT_N];
} cf_block;

void cf_block_open(cf_block *block, cf_mt *mt);
void cf_block_more(cf_block *block, size_t expected);
void cf_block_close(cf_block *block);

static inline uint32_t cf_draw(cf_block *block) {
    if (block->at == block->end)
        cf_block_more(block, CF_MT_N);
    return block->word[block->at++];
}

#endif
