/* The target applies to the functions of this file only. All are static, so no other file calls code for AVX-512. */
#if defined(__x86_64__) && defined(__GNUC__)
#include <float.h>
#include <string.h>

#include "layers/layers.h"
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,prefer-vector-width=512")
#endif
#define LAYERS cf_layers_avx512
#define LAYERS_NAME "avx512"
#include "layers/all.inc"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int cf_no_avx512;
#endif
