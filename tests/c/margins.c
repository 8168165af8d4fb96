/* The verdicts on points outside their layers against the draw-by-draw way, where they are hardest: points by the
   curve's and the inner edge's margins, in both ziggurats. margins SET; prints how many were tried and how many of the
   sure ones are wrong. */
#include <stdio.h>
#include <stdlib.h>

#include "../../csrc/normal.c"

static uint64_t state = 88172645463325252u;

static uint32_t random32(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static double within(double low, double high) { return low + (high - low) * (random32() * 0x1p-32); }

/* The draws of a point, and the one behind it. */
static void point(uint32_t *draw, int draws) {
    uint32_t i = random32() % 128, behind = random32();
    double inner = cf_normal_x[i + 1], width = cf_normal_x[i], x = within(inner, width);
    if (random32() % 8 == 0)
        x = inner * within(1 - 0x1p-18, 1 + 0x1p-18);
    uint32_t fraction = (uint32_t)fmin(x / width * 0x1p24, 0xffffff);
    double height = exp(-x * x / 2) * (1 + within(-0x1p-14, 0x1p-14));
    double t = (height - cf_normal_y[i]) / (cf_normal_y[i + 1] - cf_normal_y[i]);
    if (random32() % 8)
        behind = t <= 0 ? 0 : t >= 1 ? UINT32_MAX - behind % 300 : (uint32_t)(t * 0x1p32);
    draw[0] = (draws == 1 ? fraction : random32()) << 8 | i << 1 | random32() % 2;
    if (draws == 2)
        draw[1] = random32() << 29 | fraction << 5 | random32() % 32;
    draw[draws] = behind;
}

int main(int argc, char **argv) {
    enum { POINTS = 64, ROUNDS = 20000 };
    static uint32_t draw[3 * POINTS + CF_DRAFT_PAD];
    static uint16_t place[POINTS + CF_DRAFT_PAD];
    uint8_t verdict[POINTS + CF_DRAFT_PAD];
    const cf_simd *simd = cf_simd_find(argc > 1 ? argv[1] : NULL);
    long sure = 0, wrong = 0;
    if (!simd || !simd->decide_f32)
        return 77;
    for (int round = 0; round < ROUNDS; ++round) {
        const int draws = 1 + round % 2;
        for (int j = 0; j < POINTS; ++j)
            point(draw + 3 * j, draws), place[j] = (uint16_t)(3 * j);
        (draws == 1 ? simd->decide_f32 : simd->decide_f64)(verdict, draw, place, POINTS);
        for (int j = 0; j < POINTS; ++j)
            for (int boost = CF_BOOST_156; verdict[j] != CF_UNSURE && boost <= CF_BOOST_164; ++boost) {
                cf_mt mt = {.simd = simd};
                cf_block block = {.mt = &mt, .word = draw + 3 * j, .at = 0, .end = 3};
                uint32_t bucket;
                float narrow;
                double wide;
                int accepted;
                if (draws == 1) {
                    narrow = int_float_pair_f32(&block, &bucket);
                    accepted = normal_of_pair_f32(&block, narrow, bucket, (cf_boost)boost, &narrow);
                } else {
                    wide = int_float_pair_f64(&block, &bucket);
                    accepted = normal_of_pair_f64(&block, wide, bucket, (cf_boost)boost, &wide);
                }
                const int ate = block.at > (uint32_t)draws;
                const cf_verdict right = !accepted ? CF_REJECTED : ate ? CF_EATS : CF_INSIDE;
                ++sure;
                wrong += verdict[j] != right;
            }
    }
    printf("%s: %ld sure, %ld wrong\n", simd->name, sure, wrong);
    return wrong || sure < (long)POINTS * ROUNDS / 2;
}
