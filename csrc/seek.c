#include <string.h>

#include "seek.h"

void cf_clue_map(cf_clue *clue) {
    memset(clue->map, 0, sizeof clue->map);
    for (size_t i = 0; i < clue->ranges; ++i)
        for (uint32_t half = clue->range[2 * i] >> 16; half <= clue->range[2 * i + 1] >> 16; ++half)
            clue->map[half >> 5] |= 1u << (half & 31);
}

static int fits(const cf_clue *clue, uint32_t draw) {
    uint32_t key = draw >> clue->turn | draw << (31 - clue->turn) << 1;
    size_t low = 0, high = clue->ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (clue->range[2 * middle + 1] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < clue->ranges && clue->range[2 * low] <= key;
}

/* Which words of the seeding and of the first block a word of the first block is made of. */
static void mark(uint8_t *seeded, uint8_t *block, uint32_t k) {
    if (block[k])
        return;
    block[k] = seeded[k] = 1;
    if (k == CF_MT_N - 1)
        mark(seeded, block, 0);
    else
        seeded[k + 1] = 1;
    if (k < 227)
        seeded[k + 397] = 1;
    else
        mark(seeded, block, k - 227);
}

static void make_block(cf_seekers *room, const cf_simd *simd, const uint8_t *wanted, const cf_lanes *before) {
    for (size_t k = 0; k < CF_MT_N; ++k)
        if (wanted[k])
            simd->twist_lanes(room->block[k], before[k], k == CF_MT_N - 1 ? room->block[0] : before[k + 1],
                              k < 227 ? before[k + 397] : room->block[k - 227]);
}

static void make_draws(cf_seekers *room, const cf_simd *simd, const cf_clue *clue, size_t clues, uint64_t blocks,
                       const uint8_t *seeded, const uint8_t *block, cf_lanes *drawn) {
    uint32_t made = 0;
    for (uint32_t i = 0; i < CF_MT_N; ++i)
        if (seeded[i]) {
            simd->seed_on(room->word, made, i);
            memcpy(room->seeded[i], room->word, sizeof room->word);
            made = i;
        }
    for (uint64_t b = 0; b < blocks; ++b) {
        make_block(room, simd, block, (const cf_lanes *)(b == 0 ? room->seeded : room->block));
        for (size_t j = 0; j < clues; ++j)
            if (clue[j].at / CF_MT_N == b)
                simd->temper(drawn[j], room->block[clue[j].at % CF_MT_N], CF_LANES);
    }
}

size_t cf_seek(cf_seekers *room, const cf_simd *simd, const cf_clue *clue, size_t clues, const uint32_t *seed, size_t n,
               cf_lanes *drawn, uint32_t *found, uint32_t *possibility, size_t most) {
    uint8_t seeded[CF_MT_N] = {0}, block[CF_MT_N] = {0};
    uint64_t blocks = 0;
    size_t count = 0;
    for (size_t j = 0; j < clues; ++j)
        if (clue[j].at / CF_MT_N >= blocks)
            blocks = clue[j].at / CF_MT_N + 1;
    for (uint32_t k = 0; k < CF_MT_N; ++k)
        for (size_t j = 0; j < clues; ++j)
            if (blocks > 1 || clue[j].at == k)
                mark(seeded, block, k);
    for (size_t first = 0; first < n; first += CF_LANES) {
        size_t lanes = n - first < CF_LANES ? n - first : CF_LANES;
        memset(room->word, 0, sizeof room->word);
        memcpy(room->word, seed + first, lanes * sizeof *seed);
        make_draws(room, simd, clue, clues, blocks, seeded, block, drawn);
        for (size_t j = 0, next, which = 0; j < clues; j = next, ++which) {
            uint32_t any = 1;
            for (size_t lane = 0; lane < CF_LANES; ++lane)
                room->marked[lane] = lane < lanes;
            for (next = j; any && !(next > j && clue[next - 1].ends); ++next)
                any = simd->look_up(room->marked, drawn[next], clue[next].map, clue[next].turn);
            while (!clue[next - 1].ends)
                ++next;
            for (size_t lane = 0; any && lane < lanes; ++lane) {
                int right = room->marked[lane] & 1;
                for (size_t i = j; right && i < next; ++i)
                    right = fits(&clue[i], drawn[i][lane]);
                if (right && count++ < most) {
                    found[count - 1] = (uint32_t)(first + lane);
                    possibility[count - 1] = (uint32_t)which;
                }
            }
        }
    }
    return count;
}

void cf_seeds_of(const cf_simd *simd, uint32_t *word, size_t n, uint32_t i) {
    uint32_t lanes[CF_LANES] = {0};
    for (size_t first = 0; first < n; first += CF_LANES) {
        size_t k = n - first < CF_LANES ? n - first : CF_LANES;
        memcpy(lanes, word + first, k * sizeof *word);
        simd->seed_back(lanes, i);
        memcpy(word + first, lanes, k * sizeof *word);
    }
}
