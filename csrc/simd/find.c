#include <string.h>

#include "simd.h"

static int supported(const cf_simd *simd) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (simd == &cf_simd_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("bmi") &&
               __builtin_cpu_supports("popcnt");
    if (simd == &cf_simd_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
#endif
    (void)simd;
    return 1;
}

const cf_simd *cf_simd_find(const char *name) {
    static const cf_simd *const best_first[] = {
#if defined(__x86_64__) && defined(__GNUC__)
        &cf_simd_avx512,
        &cf_simd_avx2,
#elif defined(__aarch64__)
        &cf_simd_neon,
#endif
        &cf_simd_portable,
    };
    for (size_t i = 0; i < sizeof best_first / sizeof *best_first; ++i)
        if ((!name || !strcmp(name, best_first[i]->name)) && supported(best_first[i]))
            return best_first[i];
    return NULL;
}
