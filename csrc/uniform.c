#include <float.h>
#include <math.h>

#include "distributions.h"

_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16, "every operation must round to its own type");

static const float largest_f32 = FLT_MAX;
static const double largest_f64 = DBL_MAX;

static float next_above_f32(float x) { return nextafterf(x, FLT_MAX); }
static double next_above_f64(double x) { return nextafter(x, DBL_MAX); }

#define CF_BODY "uniform.inc"
#include "reals.inc"
