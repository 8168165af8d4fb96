/* Jumps ahead: n steps of the generator are the polynomial x^n modulo its characteristic polynomial over GF(2). For any
   n this costs as much as a few million steps. After Haramoto, Matsumoto, Nishimura, Panneton and L'Ecuyer, "Efficient
   Jump Ahead for F2-Linear Random Number Generators" (INFORMS Journal on Computing 20, 2008). */
#include <string.h>

#include "mt19937.h"

enum { DEGREE = 19937, WORDS = DEGREE / 64 + 1, TOP = DEGREE % 64 };

_Static_assert(WORDS % 8 == 0, "square() takes the upper words in groups of eight");

/* The exponents of the characteristic polynomial below x^19937, from mt_polynomial.py. */
static const uint16_t lower[] = {
    0,     1189,  1416,  1585,  1643,  1870,  2493,  2773,  3000,  3227,  3454,  3681,  3908,  4135,  4362,
    4753,  5661,  6337,  6569,  7129,  7477,  7525,  7583,  7752,  7979,  8206,  9505,  9901,  9969,  10128,
    10693, 10761, 10920, 11089, 11147, 11157, 11215, 11321, 11374, 11384, 11485, 11611, 11712, 11717, 11838,
    11881, 11944, 11997, 12277, 12335, 12393, 12504, 12509, 12620, 12673, 12731, 12736, 12789, 12905, 12958,
    12963, 13137, 13185, 13190, 13243, 13301, 13412, 13528, 13533, 13639, 13697, 13760, 13813, 13866, 14093,
    14151, 14209, 14320, 14325, 14436, 14547, 14552, 14605, 14721, 14774, 14779, 14953, 15001, 15006, 15059,
    15117, 15228, 15344, 15349, 15455, 15513, 15576, 15629, 15682, 15909, 15967, 16025, 16136, 16141, 16252,
    16363, 16368, 16421, 16537, 16590, 16595, 16817, 16822, 16875, 16933, 17044, 17160, 17271, 17329, 17445,
    17498, 17725, 17783, 17841, 17952, 18068, 18179, 18237, 18406, 18633, 18691, 18860, 19087, 19314};

/* Xors n words of coefficients into a polynomial and reduces it modulo the characteristic polynomial. The first
   coefficient is that of x^(DEGREE + at). */
static void fold(uint64_t *poly, const uint64_t *bits, size_t n, size_t at) {
    for (size_t i = 0; i < sizeof lower / sizeof *lower; ++i) {
        size_t bit = lower[i] + at, shift = bit % 64;
        uint64_t *to = poly + bit / 64;
        for (size_t j = 0; j < n; ++j)
            to[j] ^= bits[j] << shift;
        for (size_t j = 0; shift && j < n; ++j)
            to[j + 1] ^= bits[j] >> (64 - shift);
    }
}

/* Squares a polynomial over GF(2): puts a 0 between every two coefficients. */
static uint64_t spread(uint64_t x) {
    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
    x = (x | x << 2) & 0x3333333333333333u;
    return (x | x << 1) & 0x5555555555555555u;
}

/* Reduces from the top down, GROUP words at a time. The exponent below the leading one is 623 lower, so no word of a
   group is folded into the group itself. */
static void square(uint64_t poly[WORDS]) {
    enum { GROUP = 8 };
    uint64_t wide[2 * WORDS + GROUP] = {0};
    for (int i = 0; i < WORDS; ++i) {
        wide[2 * i] = spread(poly[i] & 0xffffffffu);
        wide[2 * i + 1] = spread(poly[i] >> 32);
    }
    for (int i = 2 * WORDS - GROUP; i >= WORDS; i -= GROUP) {
        uint64_t bits[GROUP];
        memcpy(bits, wide + i, sizeof bits);
        memset(wide + i, 0, sizeof bits);
        fold(wide, bits, GROUP, (size_t)i * 64 - DEGREE);
    }
    uint64_t bits = wide[WORDS - 1] >> TOP;
    wide[WORDS - 1] &= ((uint64_t)1 << TOP) - 1;
    fold(wide, &bits, 1, 0);
    memcpy(poly, wide, WORDS * sizeof *poly);
}

static void times_x(uint64_t poly[WORDS]) {
    for (int i = WORDS - 1; i > 0; --i)
        poly[i] = poly[i] << 1 | poly[i - 1] >> 63;
    poly[0] <<= 1;
    const uint64_t over = poly[WORDS - 1] >> TOP;
    poly[WORDS - 1] &= ((uint64_t)1 << TOP) - 1;
    fold(poly, &over, 1, 0);
}

static void power_of_x(uint64_t poly[WORDS], uint64_t n) {
    int bit = 63;
    while (bit > 0 && !(n >> bit))
        --bit;
    uint64_t start = n >> bit;
    for (; bit > 0 && start * 2 + 1 < DEGREE; --bit)
        start = n >> (bit - 1);
    memset(poly, 0, WORDS * sizeof *poly);
    poly[start / 64] = (uint64_t)1 << start % 64;
    for (--bit; bit >= 0; --bit) {
        square(poly);
        if (n >> bit & 1)
            times_x(poly);
    }
}

/* Applies the polynomial x^n to the words of the block: xors the states that lie as many steps ahead as its exponents
   say. The block must come from a twist, since the low bits of its first word are part of the state only then. */
void cf_mt_jump_blocks(cf_mt *mt, uint64_t blocks) {
    uint64_t poly[WORDS];
    uint32_t window[2 * CF_MT_N + CF_MT_PAD], sum[CF_MT_N] = {0};
    power_of_x(poly, blocks * CF_MT_N);
    for (size_t first = 0; first < DEGREE; first += CF_MT_N) {
        memcpy(window, mt->key, CF_MT_N * sizeof *window);
        mt->simd->twist(mt->key);
        memcpy(window + CF_MT_N, mt->key, CF_MT_N * sizeof *window);
        for (size_t i = first; i < first + CF_MT_N && i < DEGREE; ++i)
            if (poly[i / 64] >> i % 64 & 1)
                mt->simd->xor_into(sum, window + (i - first), CF_MT_N);
    }
    memcpy(mt->key, sum, sizeof sum);
}
