/* What follows the candidates of the float32 ziggurat; included by the files that define TARGET. */
#include <string.h>

#include "../math_f32.h"
#include "../ziggurat_tables.h"

/* The indices of the set bits. Four at a time, needed or not, since a branch for each would be mispredicted. */
TARGET static size_t indices_of(size_t *index, const uint8_t *bits, size_t n) {
    size_t count = 0;
    for (size_t group = 0; group < n; group += 64) {
        uint64_t word;
        memcpy(&word, bits + group / 8, sizeof word);
        if (n - group < 64)
            word &= ((uint64_t)1 << (n - group)) - 1;
        size_t end = count + (size_t)__builtin_popcountll(word);
        do
            for (int i = 0; i < 4; ++i, word &= word - 1)
                index[count++] = group + (size_t)__builtin_ctzll(word | (uint64_t)1 << 63);
        while (count < end);
        count = end;
    }
    return count;
}

/* The verdicts on open candidates u, `behind` being the draws that follow them. */
TARGET static void decide_f32(float *restrict value, uint32_t *restrict verdict, const uint32_t *restrict u,
                              const uint32_t *restrict behind, const cf_ziggurat_f32 *ziggurat) {
    const uint32_t bounds = ziggurat->bounds;
    const float mean = ziggurat->mean, sigma = ziggurat->sigma;
    for (size_t j = 0; j < CF_DECIDE; ++j) {
        int32_t i = (int32_t)(u[j] >> 1) & 127;
        float width = cf_normal_x_f32[i], height = cf_normal_y_f32[i];
        float x = (float)(int32_t)(u[j] >> 8) * 0x1p-24f * width, t = (float)behind[j] * 0x1p-32f;
        float y = height + t * cf_normal_dy_f32[i];
        float chord = cf_normal_dx_f32[i] * t - (width - x);
        float tangent = y - (height + (width - x) * height * width);
        float upper = width >= 1 ? chord : tangent, lower = width >= 1 ? tangent : chord;
        uint32_t below = y < cf_exp_f32(-(x * x / 2)), surely = lower < 0, not_over = upper < 0;
        uint32_t accepted = ((below | (surely & bounds)) & (not_over | !bounds)) ? CF_ACCEPTED : CF_REJECTED;
        uint32_t hard = (i == 0) | (behind[j] > 0xffffff7fu);
        verdict[j] = u[j] < cf_normal_inside[i] ? CF_INSIDE : hard ? CF_HARD : accepted;
        value[j] = (u[j] & 1 ? x : -x) * sigma + mean;
    }
}

/* Finishes the candidates, whose `open` bits are set: lists the open ones and decides them. In groups of a fixed size,
   so that the few there are go through whole vectors too. */
TARGET static size_t settle_f32(cf_candidates_f32 *all, size_t n, const cf_ziggurat_f32 *ziggurat) {
    size_t opens = indices_of(all->at, all->open, n);
    memset(all->at + opens, 0, CF_DECIDE * sizeof *all->at);
    for (size_t group = 0; group < opens; group += CF_DECIDE) {
        uint32_t u[CF_DECIDE], behind[CF_DECIDE];
        for (size_t j = 0; j < CF_DECIDE; ++j) {
            u[j] = all->word[all->at[group + j]];
            behind[j] = all->word[all->at[group + j] + 1];
        }
        decide_f32(all->decided + group, all->verdict + group, u, behind, ziggurat);
    }
    return opens;
}
