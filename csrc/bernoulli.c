#include "distributions.h"

#define CF_BODY "bernoulli.inc"
#include "reals.inc"
