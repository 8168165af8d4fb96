/* Finds the seeds that give partly known draws. */
#ifndef CF_SEEK_H
#define CF_SEEK_H

#include "mt19937.h"

/* What is known about one draw. Its word is rotated right until the known bits come first. The rotated word must lie
   in one of the ranges. */
typedef struct {
    uint64_t block; /* 0: the first after seeding */
    uint32_t place; /* of the draw in its block */
    uint32_t rotation;
    uint32_t ends;   /* 1: the last clue of a possibility, whose clues must all hold */
    uint32_t ranges; /* pairs of first and last in `range`; they rise and do not overlap */
    const uint32_t *range;
    const uint32_t *map; /* of these ranges */
} cf_clue;

/* A bit for each upper half of a word that lies in a range. Clues with the same ranges should share a map: it then
   stays in L1. */
enum { CF_MAP_WORDS = (1 << 16) / 32 };

typedef uint32_t cf_map[CF_MAP_WORDS];

typedef uint32_t cf_lanes[CF_LANES];

/* The working memory of one thread: the states of all lanes, in columns that fit into L1. */
typedef struct {
    uint32_t state[CF_LANES / CF_COLUMN][CF_MT_N][CF_COLUMN];
    cf_lanes word, marked;
    cf_lanes *drawn; /* given by the caller: an entry for each clue */
} cf_seekers;

void cf_map_ranges(cf_map map, const uint32_t *range, size_t ranges);

/* Finds those of n seeds that satisfy all clues of a possibility. Writes the index of each seed and of its possibility,
   at most `most` of them. Returns how many there are. */
size_t cf_seek(cf_seekers *workspace, const cf_simd *simd, const cf_clue *clue, size_t clues, const uint32_t *seed,
               size_t n, uint32_t *found, uint32_t *possibility, size_t most);

/* Replaces each word, the i-th of a seeding, by its seed, in place. */
void cf_seeds_of(const cf_simd *simd, uint32_t *word, size_t n, uint32_t i);

#endif
