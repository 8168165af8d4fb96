/* The three normals of Boost for one type R; included once for each by normal.c.

   The tables are float64 whatever R is: an entry or a difference of two is rounded to R where it is used. */

#define X cf_normal_x
#define Y cf_normal_y
#define EX cf_exponential_x
#define EY cf_exponential_y

static inline R NAME(unit)(cf_block *block) {
    for (;;) {
        R v = (R)cf_draw(block) * (R)0x1p-32;
        if (v < 1) /* in float the largest 128 draws round to 1 */
            return v;
    }
}

/* A fraction in [0, 1) with all the bits R has, and eight bits more. */
static inline R NAME(pair)(cf_block *block, uint32_t *bucket) {
    uint32_t u = cf_draw(block);
    *bucket = u & 255;
    R fraction = (R)(u >> 8) * (R)0x1p-24;
#if DRAWS_PER_PAIR == 2
    fraction = (fraction + (R)(cf_draw(block) & 0x1fffffffu)) * (R)0x1p-29;
#endif
    return fraction;
}

/* Boost 1.47 .. 1.55: Box-Muller, the sine kept for the next value. */
static void NAME(box_muller)(cf_block *block, R *out, size_t n, R mean, R sigma) {
    const R two_pi = (R)2 * (R)3.14159265358979323846;
    for (size_t i = 0; i < n; i += 2) {
        R r1 = NAME(unit)(block), r2 = NAME(unit)(block);
        R rho = SQRT((R)-2 * LOG((R)1 - r2)), angle = two_pi * r1;
        out[i] = rho * COS(angle) * sigma + mean;
        if (i + 1 < n)
            out[i + 1] = rho * SIN(angle) * sigma + mean;
    }
}

/* Boost 1.64: is the point (x, height t between the layer's edges) under the exponential? The chord and the tangent
   settle most cases without exp. */
static R NAME(exponential)(cf_block *block) {
    R shift = 0;
    for (;;) {
        uint32_t i;
        R x = NAME(pair)(block, &i) * (R)EX[i];
        if (x < (R)EX[i + 1])
            return shift + x;
        if (i == 0) {
            shift += (R)EX[1];
            continue;
        }
        R t = NAME(unit)(block);
        R y = (R)EY[i] + t * (R)(EY[i + 1] - EY[i]);
        R above_chord = (R)(EX[i] - EX[i + 1]) * t - ((R)EX[i] - x);
        R above_tangent = y - ((R)EY[i + 1] + ((R)EX[i + 1] - x) * (R)EY[i + 1]);
        if (above_chord < 0 && (above_tangent < 0 || y < EXP(-x)))
            return x + shift;
    }
}

static inline R NAME(exponential_by_log)(cf_block *block) { return -LOG((R)1 - NAME(unit)(block)); }

static R NAME(tail)(cf_block *block, cf_boost boost) {
    const R start = (R)X[1];
    for (;;) {
        R x, y;
        if (boost >= CF_BOOST_164) {
            x = NAME(exponential)(block) / start;
            y = NAME(exponential)(block);
        } else {
            x = NAME(exponential_by_log)(block) / start;
            y = NAME(exponential_by_log)(block);
        }
        if (2 * y > x * x)
            return x + start;
    }
}

static int NAME(under_curve)(cf_block *block, uint32_t i, R x, cf_boost boost) {
    R t = NAME(unit)(block);
    R y = (R)Y[i] + t * (R)(Y[i + 1] - Y[i]);
    if (boost < CF_BOOST_164)
        return y < EXP(-x * x / 2);
    R chord = (R)(X[i] - X[i + 1]) * t - ((R)X[i] - x);
    R tangent = y - ((R)Y[i] + ((R)X[i] - x) * (R)Y[i] * (R)X[i]);
    int convex = X[i] >= 1;
    R upper = convex ? chord : tangent, lower = convex ? tangent : chord;
    return upper < 0 && (lower < 0 || y < EXP(-(x * x / 2)));
}

/* One value from a pair already drawn: 1 and the value, or 0 where Boost starts over. */
static int NAME(resolve)(cf_block *block, R fraction, uint32_t bucket, cf_boost boost, R *z) {
    uint32_t i = bucket >> 1;
    R sign = bucket & 1 ? 1 : -1;
    R x = fraction * (R)X[i];
    if (!(x < X[i + 1])) {
        if (i == 0)
            x = NAME(tail)(block, boost);
        else if (!NAME(under_curve)(block, i, x, boost))
            return 0;
    }
    *z = x * sign;
    return 1;
}

static void NAME(ziggurat)(cf_block *block, R *out, size_t n, R mean, R sigma, cf_boost boost) {
    for (size_t i = 0; i < n;) {
        uint32_t bucket;
        R z, fraction = NAME(pair)(block, &bucket);
        if (NAME(resolve)(block, fraction, bucket, boost, &z))
            out[i++] = z * sigma + mean;
    }
}

#if DRAWS_PER_PAIR == 1

enum { STRIDE = 16, BLOCK = CF_MT_N + CF_MT_PAD };

/* Inlined, since a call per run costs as much as the arithmetic. May write up to STRIDE - 1 past the end. */
static inline void copy_run(float *out, const float *from, size_t n) {
    for (size_t i = 0; i < n; i += STRIDE)
        memcpy(out + i, from + i, STRIDE * sizeof *out);
}

/* The values of one block that follow from one draw each are made at once, wherever their runs start. The few open
   ones are walked in order: each may end a run by eating the draws behind it. Returns how many of n are made. */
static size_t block_of_f32(cf_block *block, float *out, size_t n, float mean, float sigma, cf_boost boost) {
    cf_mt *mt = block->mt;
    float z[BLOCK + STRIDE];
    uint8_t open_bits[BLOCK / 8];
    cf_block_more(block, 0);
    size_t k = cf_mt_available(mt, n), base = mt->pos, from = 0, made = 0;
    mt->simd->ziggurat_f32(z, block->word + base, open_bits, mt->key + base, k, mean, sigma);
    block->end = (uint32_t)(base + k);
    for (size_t group = 0; group < k; group += 64) {
        uint64_t open;
        memcpy(&open, open_bits + group / 8, sizeof open);
        for (; open; open &= open - 1) {
            size_t p = group + (size_t)__builtin_ctzll(open);
            if (p >= k)
                break;
            if (p < from)
                continue;
            uint32_t word = block->word[base + p], turns = block->turns;
            float value;
            block->at = (uint32_t)(base + p + 1);
            int accepted = resolve_f32(block, (float)(word >> 8) * 0x1p-24f, word & 255, boost, &value);
            if (accepted)
                z[p] = value * sigma + mean;
            size_t run = p + (size_t)accepted - from;
            copy_run(out + made, z + from, run);
            made += run;
            if (block->turns != turns)
                return made;
            from = block->at - base;
        }
    }
    if (from < k) {
        copy_run(out + made, z + from, k - from);
        made += k - from;
        block->at = (uint32_t)(base + k);
    }
    return made;
}

static void fast_ziggurat_f32(cf_block *block, float *out, size_t n, float mean, float sigma, cf_boost boost) {
    for (; n >= BLOCK + STRIDE;) {
        size_t made = block_of_f32(block, out, CF_MT_N, mean, sigma, boost);
        out += made;
        n -= made;
    }
    while (n > 0) {
        float last[BLOCK + STRIDE];
        size_t made = block_of_f32(block, last, n, mean, sigma, boost);
        memcpy(out, last, made * sizeof *out);
        out += made;
        n -= made;
    }
}

#else

static void fast_ziggurat_f64(cf_block *block, double *out, size_t n, double mean, double sigma, cf_boost boost) {
    while (n > 0) {
        size_t pairs = (block->end - block->at) / 2;
        size_t made = block->mt->simd->ziggurat_f64(out, block->word + block->at, pairs < n ? pairs : n, mean, sigma);
        block->at += 2 * (uint32_t)made;
        out += made;
        n -= made;
        if (n == 0)
            return;
        uint32_t bucket;
        double z, fraction = pair_f64(block, &bucket);
        if (resolve_f64(block, fraction, bucket, boost, &z)) {
            *out++ = z * sigma + mean;
            --n;
        }
    }
}

#endif

void NAME(cf_normal)(cf_mt *mt, R *out, size_t n, R mean, R sigma, cf_boost boost) {
    cf_block block;
    cf_block_open(&block, mt);
    if (boost < CF_BOOST_156)
        NAME(box_muller)(&block, out, n, mean, sigma);
    else if (mt->simd->NAME(ziggurat))
        NAME(fast_ziggurat)(&block, out, n, mean, sigma, boost);
    else
        NAME(ziggurat)(&block, out, n, mean, sigma, boost);
    cf_block_close(&block);
}

#undef X
#undef Y
#undef EX
#undef EY
