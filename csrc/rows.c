#include "distributions.h"

/* In a sum in index order each addition waits for the one before it. Rows are independent of each other, so LANES of
   them are summed side by side. */
enum { LANES = 8 };

#define CF_BODY "rows.inc"
#include "reals.inc"
