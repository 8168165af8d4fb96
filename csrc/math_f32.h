/* log, exp, sin and cos of float32, with the values of glibc since 2.28: computed in double by its polynomials, with
   its coefficients (they are Arm's, from the optimized routines), and rounded once. So a value does not depend on the
   platform's C library. There are no branches, so loops over these functions vectorise.

   The ranges are those needed here: log of (0, 1], exp of [-8, 0], sin and cos of [0, 2 pi]. tests/c/libm.c tests them
   completely. */
#ifndef CF_MATH_F32_H
#define CF_MATH_F32_H

#include <stddef.h>
#include <stdint.h>

/* gcc vectorises with unions and indices of size_t, but not with memcpy or indices of 32 bits. */
typedef union {
    float number;
    uint32_t bits;
} cf_float_bits;

typedef union {
    double number;
    uint64_t bits;
} cf_double_bits;

/* For each sixteenth of an octave, with c near its middle: 1/c, and log(c). */
static const double cf_log_inverse[16] = {
    0x1.661ec79f8f3bep+0, 0x1.571ed4aaf883dp+0, 0x1.49539f0f010bp+0,  0x1.3c995b0b80385p+0, 0x1.30d190c8864a5p+0,
    0x1.25e227b0b8eap+0,  0x1.1bb4a4a1a343fp+0, 0x1.12358f08ae5bap+0, 0x1.0953f419900a7p+0, 0x1p+0,
    0x1.e608cfd9a47acp-1, 0x1.ca4b31f026aap-1,  0x1.b2036576afce6p-1, 0x1.9c2d163a1aa2dp-1, 0x1.886e6037841edp-1,
    0x1.767dcf5534862p-1};
static const double cf_log_center[16] = {
    -0x1.57bf7808caadep-2, -0x1.2bef0a7c06ddbp-2, -0x1.01eae7f513a67p-2, -0x1.b31d8a68224e9p-3, -0x1.6574f0ac07758p-3,
    -0x1.1aa2bc79c81p-3,   -0x1.a4e76ce8c0e5ep-4, -0x1.1973c5a611cccp-4, -0x1.252f438e10c1ep-5, 0x0p+0,
    0x1.aa5aa5df25984p-5,  0x1.c5e53aa362eb4p-4,  0x1.526e57720db08p-3,  0x1.bc2860d22477p-3,   0x1.1058bc8a07ee1p-2,
    0x1.4043057b6ee09p-2};

/* 2^(i/32), rounded. */
static const double cf_exp_power[32] = {
    0x1.0000000000000p+0, 0x1.059b0d3158574p+0, 0x1.0b5586cf9890fp+0, 0x1.11301d0125b51p+0, 0x1.172b83c7d517bp+0,
    0x1.1d4873168b9aap+0, 0x1.2387a6e756238p+0, 0x1.29e9df51fdee1p+0, 0x1.306fe0a31b715p+0, 0x1.371a7373aa9cbp+0,
    0x1.3dea64c123422p+0, 0x1.44e086061892dp+0, 0x1.4bfdad5362a27p+0, 0x1.5342b569d4f82p+0, 0x1.5ab07dd485429p+0,
    0x1.6247eb03a5585p+0, 0x1.6a09e667f3bcdp+0, 0x1.71f75e8ec5f74p+0, 0x1.7a11473eb0187p+0, 0x1.82589994cce13p+0,
    0x1.8ace5422aa0dbp+0, 0x1.93737b0cdc5e5p+0, 0x1.9c49182a3f090p+0, 0x1.a5503b23e255dp+0, 0x1.ae89f995ad3adp+0,
    0x1.b7f76f2fb5e47p+0, 0x1.c199bdd85529cp+0, 0x1.cb720dcef9069p+0, 0x1.d5818dcfba487p+0, 0x1.dfc97337b9b5fp+0,
    0x1.ea4afa2a490dap+0, 0x1.f50765b6e4540p+0};

static inline float cf_log_f32(float x) {
    cf_float_bits given = {.number = x}, scaled;
    uint32_t above = given.bits - 0x3f330000u; /* octaves begin near 0.7, so that log(1) is exact */
    size_t i = (above >> 19) & 15;
    scaled.bits = given.bits - (above & 0xff800000u);
    double r = (double)scaled.number * cf_log_inverse[i] - 1;
    double base = cf_log_center[i] + (double)((int32_t)above >> 23) * 0x1.62e42fefa39efp-1;
    double r2 = r * r;
    double y = 0x1.5575b0be00b6ap-2 * r + -0x1.ffffef20a4123p-2;
    y = -0x1.00ea348b88334p-2 * r2 + y;
    return (float)(y * r2 + (base + r));
}

static inline float cf_exp_f32(float x) {
    const double round = 0x1.8p52; /* adding it leaves the nearest whole number in the low bits */
    double z = 0x1.71547652b82fep+0 * 32 * (double)x;
    cf_double_bits k = {.number = z + round};
    double r = z - (k.number - round);
    cf_double_bits scale = {.number = cf_exp_power[k.bits & 31]};
    scale.bits += k.bits >> 5 << 52;
    double high = 0x1.c6af84b912394p-5 / 32 / 32 / 32 * r + 0x1.ebfce50fac4f3p-3 / 32 / 32;
    double y = 0x1.62e42ff0c52d6p-1 / 32 * r + 1;
    return (float)((high * (r * r) + y) * scale.number);
}

static inline void cf_sincos_f32(float angle, float *sine, float *cosine) {
    double x = angle;
    int32_t quadrant = ((int32_t)(x * 0x1.45f306dc9c883p+23) + 0x800000) >> 24;
    x -= quadrant * 0x1.921fb54442d18p0;
    double x2 = x * x, x3 = x * x2, x4 = x2 * x2;
    double s = x + x3 * -0x1.555545995a603p-3;
    s += x3 * x2 * (0x1.1107605230bc4p-7 + x2 * -0x1.994eb3774cf24p-13);
    double c = 1 + x2 * -0x1.ffffffd0c621cp-2 + x4 * 0x1.55553e1068f19p-5;
    c += x4 * x2 * (-0x1.6c087e89a359dp-10 + x2 * 0x1.99343027bf8c3p-16);
    double even = quadrant & 1 ? c : s, odd = quadrant & 1 ? s : c;
    *sine = (float)(quadrant & 2 ? -even : even);
    *cosine = (float)((quadrant + 1) & 2 ? -odd : odd);
}

#endif
