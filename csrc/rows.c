#include "distributions.h"

/* A sum in index order waits for every addition. The rows do not depend on each other, so some are summed side by
   side. */
enum { LANES = 8 };

#define CF_BODY "rows.inc"
#include "reals.inc"
