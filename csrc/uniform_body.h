/* uniform_real for one type R; included once for each by uniform.c. */

typedef struct {
    R low, width, factor;
    uint32_t last; /* the largest draw that is accepted */
} NAME(range);

static inline R NAME(before_factor)(const NAME(range) * range, uint32_t u) {
    return (R)u * (R)0x1p-32 * range->width + range->low;
}

/* Boost asks of every value whether it lies below the upper bound. The value never falls as the draw rises, so one
   search for the largest draw that passes answers for all. */
static cf_status NAME(make_range)(NAME(range) * range, R a, R b, cf_boost boost) {
    R high = NEXTAFTER(b, R_MAX);
    range->factor = 1;
    if (boost >= CF_BOOST_156 && high / 2 - a / 2 > R_MAX / 2) {
        a /= 2;
        high /= 2;
        range->factor = 2;
    }
    range->low = a;
    range->width = high - a;
    if (!(NAME(before_factor)(range, 0) < high))
        return CF_ENDLESS;
    uint32_t good = 0, step = 0x80000000u;
    if (NAME(before_factor)(range, UINT32_MAX) < high)
        good = UINT32_MAX;
    else
        for (; step; step >>= 1)
            if (NAME(before_factor)(range, good + step) < high)
                good += step;
    range->last = good;
    return CF_OK;
}

cf_status NAME(cf_uniform)(cf_mt *mt, R *out, size_t n, R a, R b, cf_boost boost) {
    NAME(range) range;
    cf_status status = NAME(make_range)(&range, a, b, boost);
    if (status != CF_OK)
        return status;
    cf_block block;
    cf_block_open(&block, mt);
    while (n > 0) {
        if (block.at == block.end)
            cf_block_more(&block, n);
        size_t k = block.end - block.at;
        k = k < n ? k : n;
        const uint32_t *word = block.word + block.at;
        uint32_t rejected = 0;
        for (size_t i = 0; i < k; ++i) {
            rejected |= word[i] > range.last;
            out[i] = range.factor * NAME(before_factor)(&range, word[i]);
        }
        block.at += (uint32_t)k;
        size_t kept = k;
        if (rejected) {
            kept = 0;
            for (size_t i = 0; i < k; ++i) {
                out[kept] = out[i];
                kept += word[i] <= range.last;
            }
        }
        out += kept;
        n -= kept;
    }
    cf_block_close(&block);
    return CF_OK;
}
