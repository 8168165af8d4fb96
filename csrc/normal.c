#include <float.h>
#include <math.h>
#include <string.h>

#include "distributions.h"
#include "math_f32.h"
#include "ziggurat_tables.h"

_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16, "every operation must round to its own type");

/* float64 takes its functions from the C library, float32 from math_f32.h. A square root is exact everywhere. */
static inline float cf_sqrt_f32(float x) { return sqrtf(x); }
static inline double cf_sqrt_f64(double x) { return sqrt(x); }
static inline double cf_log_f64(double x) { return log(x); }
static inline double cf_exp_f64(double x) { return exp(x); }

static inline void cf_sincos_f64(double angle, double *sine, double *cosine) {
    *sine = sin(angle);
    *cosine = cos(angle);
}

/* The number of draws for one fraction. */
enum { DRAWS_f32 = 1, DRAWS_f64 = 2 };

/* The largest draw that is not rounded up to 1. */
static const uint32_t largest_unit_f32 = 0xffffff7fu, largest_unit_f64 = UINT32_MAX;

#define CF_BODY "ziggurat.inc"
#include "reals.inc"

#define CF_BODY "box_muller.inc"
#include "reals.inc"

#define CF_BODY "drafts.inc"
#include "reals.inc"

#define CF_BODY "normal.inc"
#include "reals.inc"
