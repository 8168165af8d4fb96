/* The reference: what every other set is held against. */
#include "simd.h"

#define TARGET
#include "loops.h"

const cf_simd cf_simd_portable = {
    .name = "portable",
    CF_LOOPS,
};
