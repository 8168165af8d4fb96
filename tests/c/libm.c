/* csrc/math_f32.h against this C library, on every float32 input that can occur. Prints how many differ. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "math_f32.h"

static unsigned long wrong;

static void same(const char *name, float x, float ours, float theirs) {
    if (memcmp(&ours, &theirs, sizeof ours) && ++wrong <= 20)
        printf("%s(%a) = %a, the C library says %a\n", name, x, ours, theirs);
}

static void both(float unit) {
    const float angle = 2.0f * 3.14159265358979323846f * unit;
    float sine, cosine;
    cf_sincos_f32(angle, &sine, &cosine);
    same("sinf", angle, sine, sinf(angle));
    same("cosf", angle, cosine, cosf(angle));
}

int main(void) {
    for (int i = 1; i <= 1 << 24; ++i) {
        float x = (float)i * 0x1p-24f;
        same("logf", x, cf_log_f32(x), logf(x));
    }
    /* every float that a 32-bit draw can round to, the largest that is below 1 last */
    for (uint32_t u = 0; u < 1u << 24; ++u)
        both((float)u * 0x1p-32f);
    for (int bits = 1; bits <= 8; ++bits)
        for (uint32_t u = 1u << 23; u < 1u << 24; ++u)
            both((float)u * (float)(1 << bits) * 0x1p-32f);
    /* -x for x in the exponential's layers, -x*x/2 for x in the normal's: all of [-8, -2^-30], and 0 */
    same("expf", -0.0f, cf_exp_f32(-0.0f), expf(-0.0f));
    for (float x = 0x1p-30f; x <= 8; x = nextafterf(x, 9))
        same("expf", -x, cf_exp_f32(-x), expf(-x));
    printf("%lu differ\n", wrong);
    return wrong != 0;
}
