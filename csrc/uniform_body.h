/* uniform_real for one type R; included once for each by uniform.c. */

static inline int NAME(accepted)(const NAME(cf_range) * range, uint32_t u, R high) {
    return (R)u * (R)0x1p-32 * range->width + range->low < high;
}

/* Boost asks of every value whether it lies below the upper bound. The value never falls as the draw rises, so one
   search for the largest draw that passes answers for all. */
cf_status NAME(cf_range_of)(NAME(cf_range) * range, R a, R b, cf_boost boost) {
    R high = NEXTAFTER(b, R_MAX);
    range->factor = 1;
    if (boost >= CF_BOOST_156 && high / 2 - a / 2 > R_MAX / 2) {
        a /= 2;
        high /= 2;
        range->factor = 2;
    }
    range->low = a;
    range->width = high - a;
    range->last = UINT32_MAX;
    if (!NAME(accepted)(range, 0, high))
        return CF_ENDLESS;
    if (NAME(accepted)(range, UINT32_MAX, high))
        return CF_OK;
    range->last = 0;
    for (uint32_t step = 0x80000000u; step; step >>= 1)
        if (NAME(accepted)(range, range->last + step, high))
            range->last += step;
    return CF_OK;
}

/* Closes the gaps that rejected draws left; returns how many values stay. */
static size_t NAME(drop_rejected)(R *out, const cf_mt *mt, size_t n, uint32_t last) {
    uint32_t word[CF_MT_N];
    size_t kept = 0;
    mt->simd->temper(word, mt->key + mt->pos, n);
    for (size_t i = 0; i < n; ++i) {
        out[kept] = out[i];
        kept += word[i] <= last;
    }
    return kept;
}

size_t NAME(cf_uniform)(cf_mt *mt, R *out, size_t n, uint64_t draws, const NAME(cf_range) * range) {
    size_t made = 0;
    while (made < n && draws > 0) {
        size_t k = cf_mt_available(mt, n - made < draws ? n - made : draws), kept = k;
        if (mt->simd->NAME(uniform)(out + made, mt->key + mt->pos, k, range))
            kept = NAME(drop_rejected)(out + made, mt, k, range->last);
        mt->pos += (uint32_t)k;
        mt->drawn += k;
        made += kept;
        draws -= k;
    }
    return made;
}
