#include "mt19937.h"

static inline uint32_t mix(uint32_t high, uint32_t low, uint32_t far) {
    uint32_t y = (high & 0x80000000u) | (low & 0x7fffffffu);
    return far ^ (y >> 1) ^ ((0u - (low & 1u)) & 0x9908b0dfu);
}

void cf_mt_seed(cf_mt *mt, uint32_t seed) {
    mt->key[0] = seed;
    for (uint32_t i = 1; i < CF_MT_N; ++i) {
        uint32_t before = mt->key[i - 1];
        mt->key[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    mt->pos = CF_MT_N;
    mt->drawn = 0;
}

/* In three parts, at 227 and 454, none of which reads what it writes less than 227 words later: each vectorises at
   any width. */
void cf_mt_twist(uint32_t key[CF_MT_N]) {
    const int lag = CF_MT_N - CF_MT_M;
    for (int i = 0; i < lag; ++i)
        key[i] = mix(key[i], key[i + 1], key[i + CF_MT_M]);
    for (int i = lag; i < 2 * lag; ++i)
        key[i] = mix(key[i], key[i + 1], key[i - lag]);
    for (int i = 2 * lag; i < CF_MT_N - 1; ++i)
        key[i] = mix(key[i], key[i + 1], key[i - lag]);
    key[CF_MT_N - 1] = mix(key[CF_MT_N - 1], key[0], key[CF_MT_M - 1]);
}

void cf_mt_temper(uint32_t *out, const uint32_t *key, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        uint32_t y = key[i];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680u;
        y ^= (y << 15) & 0xefc60000u;
        out[i] = y ^ (y >> 18);
    }
}

/* How many of n words the current block still has; makes a new block where it has none. */
static size_t available(cf_mt *mt, uint64_t n) {
    if (mt->pos == CF_MT_N) {
        cf_mt_twist(mt->key);
        mt->pos = 0;
    }
    size_t left = CF_MT_N - mt->pos;
    return n < left ? (size_t)n : left;
}

void cf_mt_raw(cf_mt *mt, uint32_t *out, size_t n) {
    mt->drawn += n;
    while (n > 0) {
        size_t k = available(mt, n);
        cf_mt_temper(out, mt->key + mt->pos, k);
        mt->pos += (uint32_t)k;
        out += k;
        n -= k;
    }
}

void cf_mt_skip(cf_mt *mt, uint64_t n) {
    mt->drawn += n;
    while (n > 0) {
        size_t k = available(mt, n);
        mt->pos += (uint32_t)k;
        n -= k;
    }
}

void cf_block_open(cf_block *block, cf_mt *mt) {
    block->mt = mt;
    block->at = block->end = mt->pos;
}

/* Only as many as are expected are tempered: most blobs are biases of a few elements. */
void cf_block_more(cf_block *block, size_t expected) {
    cf_mt *mt = block->mt;
    mt->drawn += block->at - mt->pos;
    mt->pos = block->at;
    size_t k = available(mt, expected);
    block->at = mt->pos;
    block->end = mt->pos + (uint32_t)k;
    cf_mt_temper(block->word + block->at, mt->key + block->at, k);
}

void cf_block_close(cf_block *block) {
    block->mt->drawn += block->at - block->mt->pos;
    block->mt->pos = block->at;
}
