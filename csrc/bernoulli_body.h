/* Bernoulli for one type R; included once for each by bernoulli.c. */

/* The largest draw that counts as 1; rounding never falls as the draw rises. Draw 0 always counts. */
static uint32_t NAME(last_success)(R p) {
    R bound = p * (R)UINT32_MAX;
    if ((R)UINT32_MAX <= bound)
        return UINT32_MAX;
    uint32_t good = 0;
    for (uint32_t step = 0x80000000u; step; step >>= 1)
        if ((R)(good + step) <= bound)
            good += step;
    return good;
}

#define CF_EACH_BLOCK(loop) \
    for (uint32_t last = NAME(last_success)(p); n > 0;) { \
        size_t k = cf_mt_available(mt, n); \
        mt->simd->NAME(loop)(out, mt->key + mt->pos, k, last); \
        mt->pos += (uint32_t)k; \
        mt->drawn += k; \
        out += k; \
        n -= k; \
    }

void NAME(cf_bernoulli)(cf_mt *mt, R *out, size_t n, R p) {
    if (p > 0)
        CF_EACH_BLOCK(bernoulli)
    else
        for (size_t i = 0; i < n; ++i)
            out[i] = 0;
}

void NAME(cf_mask)(cf_mt *mt, R *out, size_t n, R p) {
    if (p > 0)
        CF_EACH_BLOCK(mask)
    else
        for (size_t i = 0; i < n; ++i)
            out[i] *= 0;
}

#undef CF_EACH_BLOCK
