/* Bernoulli and what Caffe's fillers do with blobs afterwards, for one type R; included once for each. */

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

/* One loop for both: `keep` says whether what is there counts. */
static void NAME(bernoulli)(cf_mt *mt, R *out, size_t n, R p, int keep) {
    cf_block block;
    uint32_t last = NAME(last_success)(p);
    if (p == 0) {
        for (size_t i = 0; i < n; ++i)
            out[i] = keep ? out[i] * 0 : 0;
        return;
    }
    cf_block_open(&block, mt);
    while (n > 0) {
        cf_block_more(&block, n);
        size_t k = block.end - block.at;
        const uint32_t *word = block.word + block.at;
        if (keep)
            for (size_t i = 0; i < k; ++i)
                out[i] *= (R)(word[i] <= last);
        else
            for (size_t i = 0; i < k; ++i)
                out[i] = (R)(word[i] <= last);
        block.at = block.end;
        out += k;
        n -= k;
    }
    cf_block_close(&block);
}

void NAME(cf_bernoulli)(cf_mt *mt, R *out, size_t n, R p) { NAME(bernoulli)(mt, out, n, p, 0); }

void NAME(cf_mask)(cf_mt *mt, R *out, size_t n, R p) { NAME(bernoulli)(mt, out, n, p, 1); }

void NAME(cf_normalize_rows)(R *out, size_t rows, size_t columns) {
    for (; rows > 0; --rows, out += columns) {
        R sum = 0;
        for (size_t i = 0; i < columns; ++i)
            sum += out[i];
        for (size_t i = 0; i < columns; ++i)
            out[i] /= sum;
    }
}
