/* The reference: the tests compare every other instruction set with it. */
#include "simd.h"

#define TARGET
#include "loops.h"

#include "runs.h"

const cf_simd cf_simd_portable = {
    .name = "portable",
    CF_LOOPS,
    .ziggurat_run_f32 = ziggurat_run_f32,
    .ziggurat_run_f64 = ziggurat_run_f64,
};
