#include "distributions.h"

#define R float
#define NAME(name) name##_f32
#include "bernoulli.inc"
#undef R
#undef NAME

#define R double
#define NAME(name) name##_f64
#include "bernoulli.inc"
