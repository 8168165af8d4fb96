#include <string.h>

#include "mt19937.h"

/* From this many blocks on, a jump is cheaper than generating the blocks in between. */
enum { CF_JUMP_BLOCKS = 20000 };

void cf_mt_seed(cf_mt *mt, uint32_t seed, const cf_simd *simd) {
    memset(mt, 0, sizeof *mt);
    mt->simd = simd;
    mt->key[0] = seed;
    for (uint32_t i = 1; i < CF_MT_N; ++i) {
        uint32_t before = mt->key[i - 1];
        mt->key[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    mt->pos = CF_MT_N;
}

void cf_mt_raw(cf_mt *mt, uint32_t *out, size_t n) {
    mt->drawn += n;
    while (n > 0) {
        size_t k = cf_mt_available(mt, n);
        mt->simd->temper(out, mt->key + mt->pos, k);
        mt->pos += (uint32_t)k;
        out += k;
        n -= k;
    }
}

void cf_mt_skip(cf_mt *mt, uint64_t n) {
    const uint64_t left = CF_MT_N - mt->pos;
    mt->drawn += n;
    if (n <= left) {
        mt->pos += (uint32_t)n;
        return;
    }
    n -= left + 1;
    _Alignas(64) cf_mt aligned = *mt;
    mt->simd->twist(aligned.key);
    uint64_t blocks = n / CF_MT_N;
    if (blocks > CF_JUMP_BLOCKS)
        cf_mt_jump_blocks(&aligned, blocks);
    else
        for (; blocks > 0; --blocks)
            mt->simd->twist(aligned.key);
    memcpy(mt->key, aligned.key, sizeof mt->key);
    mt->pos = (uint32_t)(n % CF_MT_N) + 1;
}

void cf_block_open(cf_block *block, cf_mt *mt) {
    block->mt = mt;
    block->word = block->own;
    block->at = block->end = 0;
}

/* Tempers only as many words as the caller expects to draw: most blobs are biases of a few elements. */
void cf_block_more(cf_block *block, size_t expected) {
    size_t k = cf_mt_available(block->mt, expected);
    cf_mt_raw(block->mt, block->own, k);
    block->word = block->own;
    block->at = 0;
    block->end = (uint32_t)k;
}

void cf_block_close(cf_block *block) {
    const uint32_t left = block->end - block->at;
    block->mt->drawn -= left;
    block->mt->pos -= left;
}
