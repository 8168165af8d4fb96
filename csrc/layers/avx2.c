/* The target applies to the functions of this file only. All are static, so no other file calls code for AVX2. */
#if defined(__x86_64__) && defined(__GNUC__)
#include <float.h>
#include <string.h>

#include "layers/layers.h"
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define LAYERS cf_layers_avx2
#define LAYERS_NAME "avx2"
#include "layers/all.inc"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int cf_no_avx2;
#endif
