#include <string.h>

#include "seek.h"

void cf_map_ranges(cf_map map, const uint32_t *range, size_t ranges) {
    memset(map, 0, sizeof(cf_map));
    for (size_t i = 0; i < ranges; ++i)
        for (uint32_t half = range[2 * i] >> 16; half <= range[2 * i + 1] >> 16; ++half)
            map[half >> 5] |= 1u << (half & 31);
}

static int fits(const cf_clue *clue, uint32_t draw) {
    uint32_t key = draw >> clue->rotation | draw << (31 - clue->rotation) << 1;
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

/* Marks the words of the seeding and of the first block that word k of the first block is computed from. */
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

/* Computes the draws that the clues name, untempered. */
static void make_draws(cf_seekers *workspace, const cf_simd *simd, const cf_clue *clue, size_t clues, uint64_t blocks,
                       const uint8_t *seeded, const uint16_t *row, size_t rows) {
    uint32_t seeded_to = 0;
    for (uint32_t i = 0; i < CF_MT_N; ++i)
        if (seeded[i]) {
            simd->seed_on(workspace->word, seeded_to, i);
            for (size_t c = 0; c < CF_LANES / CF_COLUMN; ++c)
                memcpy(workspace->state[c][i], workspace->word + c * CF_COLUMN, sizeof workspace->state[c][i]);
            seeded_to = i;
        }
    for (size_t c = 0; c < CF_LANES / CF_COLUMN; ++c)
        for (uint64_t b = 0; b < blocks; ++b) {
            simd->twist_column(workspace->state[c], row, rows);
            for (size_t j = 0; j < clues; ++j)
                if (clue[j].block == b)
                    memcpy(workspace->drawn[j] + c * CF_COLUMN, workspace->state[c][clue[j].place],
                           sizeof workspace->state[c][0]);
        }
}

size_t cf_seek(cf_seekers *workspace, const cf_simd *simd, const cf_clue *clue, size_t clues, const uint32_t *seed,
               size_t n, uint32_t *found, uint32_t *possibility, size_t most) {
    uint8_t seeded[CF_MT_N] = {0}, block[CF_MT_N] = {0};
    uint16_t row[CF_MT_N];
    uint64_t blocks = 0;
    size_t rows = 0, count = 0;
    for (size_t j = 0; j < clues; ++j)
        if (clue[j].block >= blocks)
            blocks = clue[j].block + 1;
    for (uint32_t k = 0; k < CF_MT_N; ++k)
        for (size_t j = 0; j < clues; ++j)
            if (blocks > 1 || clue[j].place == k)
                mark(seeded, block, k);
    for (uint16_t k = 0; k < CF_MT_N; ++k)
        if (block[k])
            row[rows++] = k;
    for (size_t first = 0; first < n; first += CF_LANES) {
        size_t lanes = n - first < CF_LANES ? n - first : CF_LANES;
        memset(workspace->word, 0, sizeof workspace->word);
        memcpy(workspace->word, seed + first, lanes * sizeof *seed);
        make_draws(workspace, simd, clue, clues, blocks, seeded, row, rows);
        for (size_t j = 0, next, which = 0; j < clues; j = next, ++which) {
            uint32_t any = 1;
            for (size_t lane = 0; lane < CF_LANES; ++lane)
                workspace->marked[lane] = lane < lanes;
            for (next = j; any && !(next > j && clue[next - 1].ends); ++next)
                any = simd->sift(workspace->marked, workspace->drawn[next], clue[next].map, clue[next].rotation);
            while (!clue[next - 1].ends)
                ++next;
            for (size_t lane = 0; any && lane < lanes; ++lane) {
                int right = workspace->marked[lane] & 1;
                for (size_t i = j; right && i < next; ++i) {
                    uint32_t draw;
                    simd->temper(&draw, &workspace->drawn[i][lane], 1);
                    right = fits(&clue[i], draw);
                }
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
