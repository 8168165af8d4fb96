/* The goldens on the C core alone, with no Python: python streams.py | goldens [portable|avx2|avx512|neon [libm]]
   With libm, values of Box-Muller in double may differ, since the C library is not the measured one; its draws may not.
   Also what must be refused. Prints what fails; the last line says how many cases were held. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "distributions.h"

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* SHA-256 as 64 hex digits. */
static void sha256(const void *data, size_t size, char hex[65]) {
    uint32_t h[8], k[64];
    for (int i = 0, prime = 2; i < 64; ++prime) {
        int divisor = 2;
        while (prime % divisor)
            ++divisor;
        if (divisor != prime)
            continue;
        if (i < 8)
            h[i] = (uint32_t)(uint64_t)(fmod(sqrt(prime), 1) * 0x1p32);
        k[i++] = (uint32_t)(uint64_t)(fmod(cbrt(prime), 1) * 0x1p32);
    }
    const size_t padded = (size + 8) / 64 * 64 + 64;
    unsigned char *bytes = calloc(padded, 1);
    memcpy(bytes, data, size);
    bytes[size] = 0x80;
    for (int i = 0; i < 8; ++i)
        bytes[padded - 1 - i] = (unsigned char)((uint64_t)size * 8 >> 8 * i);
    for (size_t at = 0; at < padded; at += 64) {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; ++i) {
            const unsigned char *b = bytes + at + 4 * i;
            w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        }
        for (int i = 16; i < 64; ++i) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
                   (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
        }
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 64; ++i) {
            uint32_t a = v[0], e = v[4];
            uint32_t t =
                v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
            uint32_t s = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += t;
            v[0] = t + s;
        }
        for (int i = 0; i < 8; ++i)
            h[i] += v[i];
    }
    free(bytes);
    for (int i = 0; i < 8; ++i)
        snprintf(hex + 8 * i, 9, "%08" PRIx32, h[i]);
}

static int uniform(cf_mt *mt, int wide, void *out, size_t n, double a, double b, cf_boost boost) {
    cf_range_f32 range;
    cf_range_f64 range_wide;
    if (wide)
        return cf_range_of_f64(&range_wide, a, b, boost) != CF_OK ||
               cf_uniform_f64(mt, out, n, CF_ANY, &range_wide) != n;
    return cf_range_of_f32(&range, (float)a, (float)b, boost) != CF_OK ||
           cf_uniform_f32(mt, out, n, CF_ANY, &range) != n;
}

/* The goldens are hashes of little-endian bytes; the values are needed again, so they are turned back. */
static void sha256_little_endian(void *data, size_t n, size_t width, char hex[65]) {
    const uint16_t one = 1;
    const int big = !*(const unsigned char *)&one;
    for (int turn = 0; turn < 2; ++turn) {
        unsigned char *at = data;
        for (size_t i = 0; big && i < n; ++i, at += width)
            for (size_t j = 0; j < width / 2; ++j) {
                unsigned char byte = at[j];
                at[j] = at[width - 1 - j];
                at[width - 1 - j] = byte;
            }
        if (!turn)
            sha256(data, n * width, hex);
    }
}

static int fill(cf_mt *mt, const char *kind, int wide, void *out, size_t n, size_t rows, double a, double b,
                cf_boost boost) {
    if (!strcmp(kind, "uniform"))
        return uniform(mt, wide, out, n, a, b, boost);
    if (!strcmp(kind, "gaussian"))
        return n != (wide ? cf_normal_f64(mt, out, n, CF_ANY, a, b, boost)
                          : cf_normal_f32(mt, out, n, CF_ANY, (float)a, (float)b, boost));
    if (!strcmp(kind, "mask"))
        wide ? cf_mask_f64(mt, out, n, a) : cf_mask_f32(mt, out, n, (float)a);
    else
        wide ? cf_normalize_rows_f64(out, rows, n / rows) : cf_normalize_rows_f32(out, rows, n / rows);
    return 0;
}

static int refusals(void) {
    int failed = 0;
    const double most = 0x1.fffffep127,
                 bounds[][2] = {{-INFINITY, 0}, {INFINITY, INFINITY}, {most, most}, {-most, most}};
    for (int i = 0; i < 4; ++i)
        for (int boost = CF_BOOST_147; boost <= CF_BOOST_164; ++boost) {
            cf_range_f32 range;
            int endless =
                cf_range_of_f32(&range, (float)bounds[i][0], (float)bounds[i][1], (cf_boost)boost) == CF_ENDLESS;
            if (endless != (i < 3 || boost == CF_BOOST_147))
                failed += printf("uniform(%g, %g) in profile %d\n", bounds[i][0], bounds[i][1], boost) > 0;
        }
    return failed;
}

/* Non-temporal stores held to usual ones: every place in a line that values may begin and end at. */
static int stores(const cf_simd *simd) {
    enum { GUARD = 80, MOST = 40000 };
    static const size_t lengths[] = {1, 4991, 4992, 5000, 9999, MOST};
    static const cf_kind kinds[] = {CF_UNIFORM, CF_GAUSSIAN, CF_BERNOULLI};
    static double expected[MOST + 2 * GUARD], got[MOST + 2 * GUARD], aside[MOST], beside[MOST];
    int failed = 0;
    for (int i = 0; i < 3 * 3 * 2 * 6 * 17; ++i) {
        const size_t offset = (size_t)i % 17, n = lengths[i / 17 % 6];
        cf_job job = {.kind = kinds[i / 612], .wide = i / 102 % 2, .boost = (cf_boost)(i / 204 % 3)};
        const size_t width = job.wide ? 8 : 4, bytes = (MOST + 2 * GUARD) * width;
        cf_mt mt, other;
        job.sigma = 1;
        job.p = 0.3;
        /* of 0.5 .. 0.5 half the draws are rejected */
        cf_range_of_f32(&job.range_f32, 0.5, offset % 2 ? 0.5f : 1, job.boost);
        cf_range_of_f64(&job.range_f64, 0.5, offset % 2 ? 0.5 : 1, job.boost);
        cf_mt_seed(&mt, (uint32_t)i, simd);
        cf_mt_skip(&mt, (uint64_t)i % 700);
        other = mt;
        memset(expected, 7, bytes);
        memset(got, 7, bytes);
        for (int part = 0; part < 2; ++part) {
            const uint64_t draws = part ? CF_ANY : 5555;
            char *to = (char *)expected + (GUARD + offset) * width,
                 *nontemporal_to = (char *)got + (GUARD + offset) * width;
            size_t made = cf_run(&job, &mt, to, n, draws);
            job.nontemporal = 1;
            failed += made != cf_run(&job, &other, nontemporal_to, n, draws);
            job.nontemporal = 0;
            memcpy(to + made * width, nontemporal_to + made * width, (n - made) * width); /* nothing is said of those */
            failed += memcmp(expected, got, bytes) || mt.drawn != other.drawn || mt.pos != other.pos;
            failed += memcmp(mt.key, other.key, CF_MT_N * sizeof *mt.key) != 0;
        }
        memset(got, 7, bytes);
        cf_parcel parcel = {(char *)got + (GUARD + offset) * width, (char *)expected + (GUARD + offset) * width,
                            n * width};
        mt = other;
        job.nontemporal = 1;
        failed += cf_run_sending(&job, &mt, aside, n / 2, 2000, &parcel) != cf_run(&job, &other, beside, n / 2, 2000);
        cf_send(&job, simd, &parcel);
        failed += memcmp(expected, got, bytes) || mt.drawn != other.drawn;
    }
    if (failed)
        printf("non-temporal stores: %d failures\n", failed);
    return failed;
}

int main(int argc, char **argv) {
    const cf_simd *simd = cf_simd_find(argc > 1 ? argv[1] : NULL);
    char word[16], id[64] = "", type[8], a[64], b[64], sha[65], second[65], got[65];
    int failed = 0, held = 0, other = 0, wide = 0, started = 0;
    const int libm = argc > 2 && !strcmp(argv[2], "libm");
    unsigned boost_version;
    uint32_t seed, following = 0;
    cf_boost boost = CF_BOOST_164;
    cf_mt mt;
    void *out = NULL;
    size_t n, rows, room = 0;
    if (!simd)
        return fprintf(stderr, "no such instruction set here: %s\n", argv[1]), 77;
    failed += refusals();
    failed += stores(simd);
    for (;;) {
        int more = scanf("%15s", word) == 1, next_case = more && !strcmp(word, "case");
        if (started && (next_case || !more)) {
            uint32_t draw;
            cf_mt_raw(&mt, &draw, 1);
            if (draw != following)
                failed += printf("%s: the stream is left elsewhere\n", id) > 0;
            ++held;
        }
        if (!more)
            break;
        if (next_case) {
            if (scanf("%63s %" SCNu32 " %u %7s %" SCNu32, id, &seed, &boost_version, type, &following) != 5)
                return fprintf(stderr, "cannot read the case after %s\n", id), 2;
            wide = !strcmp(type, "double");
            boost = boost_version < 156 ? CF_BOOST_147 : boost_version < 164 ? CF_BOOST_156 : CF_BOOST_164;
            cf_mt_seed(&mt, seed, simd);
            started = 1;
            continue;
        }
        if (scanf("%zu %zu %63s %63s %64s %64s", &n, &rows, a, b, sha, second) != 6)
            return fprintf(stderr, "cannot read a call of %s\n", id), 2;
        if (n * 8 > room)
            out = realloc(out, room = n * 8);
        if (fill(&mt, word, wide, out, n, rows, strtod(a, NULL), strtod(b, NULL), boost))
            failed += printf("%s: refused\n", id) > 0;
        sha256_little_endian(out, n, wide ? 8 : 4, got);
        if (*sha == '-' || !strcmp(got, sha) || !strcmp(got, second))
            continue;
        if (libm && wide && boost == CF_BOOST_147 && (!strcmp(word, "gaussian") || !strcmp(word, "mask")))
            ++other;
        else
            failed += printf("%s: %s of %zu differs\n", id, word, n) > 0;
    }
    free(out);
    printf("%s: %d cases held, %d failures", simd->name, held, failed);
    printf(libm ? "; %d fills by Box-Muller in double as this C library has it\n" : "\n", other);
    return failed || !held;
}
