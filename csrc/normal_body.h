/* The three normals of Boost for one type R; included once for each by normal.c.

   The tables are float64 whatever R is: an entry or a difference of two is rounded to R where it is used. */

#define X cf_normal_x
#define Y cf_normal_y
#define EX cf_exponential_x
#define EY cf_exponential_y

static inline R NAME(unit)(cf_block *block) {
    for (;;) {
        R v = (R)cf_draw(block) * (R)0x1p-32;
        if (v < 1) /* in float those above LARGEST_UNIT round to 1 */
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

static void NAME(box_muller_pair)(cf_block *block, R pair[2], R mean, R sigma) {
    const R two_pi = (R)2 * (R)3.14159265358979323846;
    R r1 = NAME(unit)(block), r2 = NAME(unit)(block), sine, cosine;
    R rho = SQRT((R)-2 * LOG((R)1 - r2));
    SINCOS(two_pi * r1, &sine, &cosine);
    pair[0] = rho * cosine * sigma + mean;
    pair[1] = rho * sine * sigma + mean;
}

/* Boost 1.47 .. 1.55: values come in pairs; the last sine of an odd number is thrown away. */
static size_t NAME(box_muller)(cf_block *block, R *out, size_t n, uint64_t limit, R mean, R sigma) {
    size_t made = 0;
    uint64_t left;
    while (made < n && (left = cf_left(block, limit)) > 0) {
#if DRAWS_PER_PAIR == 1
        if (block->at == block->end)
            cf_block_more(block, n - made);
        size_t draws = block->end - block->at, safe = 0;
        draws = draws < n - made ? draws : n - made;
        draws = draws < left ? draws : (size_t)left;
        const uint32_t *word = block->word + block->at;
        while (safe < draws && word[safe] <= LARGEST_UNIT)
            ++safe;
        safe -= safe % 2;
        block->mt->simd->box_muller_f32(out + made, word, safe / 2, mean, sigma);
        block->at += (uint32_t)safe;
        made += safe;
        if (safe > 0)
            continue;
#endif
        R pair[2];
        NAME(box_muller_pair)(block, pair, mean, sigma);
        out[made++] = pair[0];
        if (made < n)
            out[made++] = pair[1];
    }
    return made;
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
    R sign = (R)((int)(bucket & 1) * 2 - 1); /* no branch, which would be mispredicted half the time */
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

/* From pairs at once up to the first whose point is outside its layer; that one is done draw by draw. */
static size_t NAME(ziggurat)(cf_block *block, R *out, size_t n, uint64_t limit, R mean, R sigma, cf_boost boost) {
    size_t made = 0;
    uint64_t left;
    while (made < n && (left = cf_left(block, limit)) > 0) {
        uint64_t pairs = (block->end - block->at) / DRAWS_PER_PAIR;
        pairs = pairs < left / DRAWS_PER_PAIR ? pairs : left / DRAWS_PER_PAIR;
        pairs = pairs < n - made ? pairs : n - made;
        size_t run =
            block->mt->simd->NAME(ziggurat_run)(out + made, block->word + block->at, (size_t)pairs, mean, sigma);
        block->at += DRAWS_PER_PAIR * (uint32_t)run;
        made += run;
        if (made == n || cf_left(block, limit) == 0)
            break;
        if (block->at == block->end)
            cf_block_more(block, DRAWS_PER_PAIR * (n - made));
        uint32_t bucket;
        R z, fraction = NAME(pair)(block, &bucket);
        if (NAME(resolve)(block, fraction, bucket, boost, &z))
            out[made++] = z * sigma + mean;
    }
    return made;
}

/* Draws on their way to values. */
typedef struct {
    uint32_t word[CF_DRAFT + CF_DRAFT_PAD];
    uint16_t place[CF_DRAFT + CF_DRAFT_PAD]; /* where a point may lie outside its layer */
    uint8_t verdict[CF_DRAFT + CF_DRAFT_PAD];
    uint8_t drop[CF_DRAFT + CF_DRAFT_PAD]; /* 1: is no part of a value */
    R unsure[CF_DRAFT / DRAWS_PER_PAIR];   /* values that were made draw by draw */
} NAME(draft);

/* Values from the next draws, as many of them as n values need at least. What can be said of each draw alone is said
   first, in whole vectors. Then a walk in order over the few points that may lie outside their layers drops the draws
   that are no part of a value. What is left gives values, again in whole vectors. Writes up to CF_DRAFT_PAD past the
   values. */
static size_t NAME(ziggurat_draft)(cf_block *block, NAME(draft) * draft, R *out, size_t n, uint64_t left, R mean,
                                   R sigma, cf_boost boost) {
    enum { D = DRAWS_PER_PAIR };
    cf_mt *mt = block->mt;
    n = n < CF_DRAFT / D ? n * D : CF_DRAFT;
    n = n < left ? n : (size_t)left;
    uint32_t draws = 0, next = 0, dropped = 0;
    size_t opens = 0, unsure = 0;
    cf_block_close(block);
    while (draws < n) {
        const size_t k = cf_mt_available(mt, n - draws);
        opens += mt->simd->NAME(open)(draft->place + opens, draft->word, draws, mt->key + mt->pos, k);
        mt->pos += (uint32_t)k;
        mt->drawn += k;
        draws += (uint32_t)k;
        if (D == 2) /* what begins here is open, for its other half is still to come */
            draft->place[opens++] = (uint16_t)(draws - 1);
    }
    block->word = draft->word;
    block->at = block->end = draws;
    memset(draft->place + opens, 0, CF_DRAFT_PAD * sizeof *draft->place);
    mt->simd->NAME(decide)(draft->verdict, draft->word, draft->place, opens);
    memset(draft->drop, 0, draws);
    for (size_t j = 0; j < opens; ++j) {
        const uint32_t p = draft->place[j], verdict = draft->verdict[j];
        const uint32_t begins = p >= next && (p - next) % D == 0;
        if (verdict != CF_UNSURE && p + D < draws) {
            /* no branches, which would be mispredicted, and little that waits for what was found before */
            const uint32_t behind = p + D + (verdict & CF_EATS);
            const uint8_t seen = verdict & (0 - begins), eats = seen & CF_EATS, rejected = seen >> 1;
            for (int i = 0; i < D; ++i)
                draft->drop[p + i] |= rejected;
            draft->drop[p + D] |= eats;
            dropped += rejected * D + eats;
            next = begins ? behind : next;
        } else if (begins) {
            uint32_t bucket;
            R z;
            block->at = p;
            R fraction = NAME(pair)(block, &bucket);
            next = p;
            if (NAME(resolve)(block, fraction, bucket, boost, &z)) {
                draft->place[unsure] = (uint16_t)((p - dropped) / D);
                draft->unsure[unsure++] = z * sigma + mean;
                next += D;
            }
            if (block->word != draft->word) {
                draws = p;
                break;
            }
            for (; next < block->at; ++next, ++dropped)
                draft->drop[next] = 1;
            block->at = draws;
        }
    }
    memset(draft->drop + draws, 1, CF_DRAFT_PAD);
    size_t made = mt->simd->NAME(normal)(out, draft->word, draft->drop, draws, mean, sigma);
    for (size_t j = 0; j < unsure; ++j)
        out[draft->place[j]] = draft->unsure[j];
    /* the last of them may have begun in the draft and ended behind it */
    return made + (unsure > 0 && draft->place[unsure - 1] == made);
}

static size_t NAME(ziggurat_drafts)(cf_block *block, R *out, size_t n, uint64_t limit, R mean, R sigma,
                                    cf_boost boost) {
    enum { FEW = 640 };
    _Alignas(64) NAME(draft) draft;
    size_t made = 0;
    uint64_t left;
    while (made < n && (left = cf_left(block, limit)) > 0) {
        const size_t room = n - made;
        if (room >= FEW) {
            made += NAME(ziggurat_draft)(block, &draft, out + made, room - CF_DRAFT_PAD, left, mean, sigma, boost);
        } else {
            R last[FEW + CF_DRAFT_PAD];
            const size_t k = NAME(ziggurat_draft)(block, &draft, last, room, left, mean, sigma, boost);
            memcpy(out + made, last, k * sizeof *out);
            made += k;
        }
    }
    return made;
}

#undef X
#undef Y
#undef EX
#undef EY
