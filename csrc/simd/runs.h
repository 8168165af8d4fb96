/* Runs of the ziggurat in plain C, for instruction sets without a faster way. The including file defines TARGET. */
#include "../ziggurat_tables.h"

TARGET static inline size_t ziggurat_run_f32(float *out, const uint32_t *word, size_t values, float mean, float sigma) {
    for (size_t i = 0; i < values; ++i) {
        uint32_t u = word[i], layer = (u >> 1) & 127;
        float x = (float)(int32_t)(u >> 8) * 0x1p-24f * cf_normal_x_f32[layer];
        if (u >= cf_normal_inside[layer])
            return i;
        /* no branch for the sign: it would be mispredicted half the time */
        out[i] = x * (float)((int32_t)(u & 1) * 2 - 1) * sigma + mean;
    }
    return values;
}

TARGET static inline size_t ziggurat_run_f64(double *out, const uint32_t *word, size_t values, double mean,
                                             double sigma) {
    for (size_t i = 0; i < values; ++i) {
        uint32_t u = word[2 * i], layer = (u >> 1) & 127;
        double fine = (double)(int32_t)(u >> 8) * 0x1p-24, coarse = (double)(int32_t)(word[2 * i + 1] & 0x1fffffff);
        double x = (fine + coarse) * 0x1p-29 * cf_normal_x[layer];
        if (!(x < cf_normal_x[layer + 1]))
            return i;
        out[i] = x * (double)((int32_t)(u & 1) * 2 - 1) * sigma + mean;
    }
    return values;
}
