#include <float.h>
#include <math.h>
#include <string.h>

#include "distributions.h"
#include "ziggurat_tables.h"

_Static_assert(FLT_EVAL_METHOD == 0, "every operation must round to its own type");

#define R float
#define NAME(name) name##_f32
#define DRAWS_PER_PAIR 1
#define LOG logf
#define EXP expf
#define COS cosf
#define SIN sinf
#define SQRT sqrtf
#include "normal_body.h"
#undef R
#undef NAME
#undef DRAWS_PER_PAIR
#undef LOG
#undef EXP
#undef COS
#undef SIN
#undef SQRT

#define R double
#define NAME(name) name##_f64
#define DRAWS_PER_PAIR 2
#define LOG log
#define EXP exp
#define COS cos
#define SIN sin
#define SQRT sqrt
#include "normal_body.h"
