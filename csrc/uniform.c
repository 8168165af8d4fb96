#include <float.h>
#include <math.h>

#include "distributions.h"

_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16, "every operation must round to its own type");

#define R float
#define NAME(name) name##_f32
#define R_MAX FLT_MAX
#define NEXTAFTER nextafterf
#include "uniform.inc"
#undef R
#undef NAME
#undef R_MAX
#undef NEXTAFTER

#define R double
#define NAME(name) name##_f64
#define R_MAX DBL_MAX
#define NEXTAFTER nextafter
#include "uniform.inc"
