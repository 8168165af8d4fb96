/* Boost's distributions over one stream, bit for bit. No Python, no allocation, no globals.

   They are those of boost/random/uniform_real_distribution.hpp, normal_distribution.hpp, exponential_distribution.hpp
   and bernoulli_distribution.hpp, as they are since 1.47, over mersenne_twister.hpp.

   Every function draws what Boost draws and leaves the stream where Boost leaves it. The caller checks the arguments:
   a <= b, sigma > 0, 0 <= p <= 1, no NaN. */
#ifndef CF_DISTRIBUTIONS_H
#define CF_DISTRIBUTIONS_H

#include "mt19937.h"

/* The versions of Boost that changed a distribution: 1.56 brought the ziggurat and the rule for wide ranges, 1.64 the
   ziggurat of the exponential distribution and the bounds by chord and tangent. */
typedef enum { CF_BOOST_147, CF_BOOST_156, CF_BOOST_164 } cf_boost;

typedef enum {
    CF_OK,
    CF_ENDLESS /* no draw can ever be accepted: Caffe hangs or overflows its stack */
} cf_status;

cf_status cf_range_of_f32(cf_range_f32 *range, float a, float b, cf_boost boost);
cf_status cf_range_of_f64(cf_range_f64 *range, double a, double b, cf_boost boost);

/* Fill n values, or fewer if `draws` draws do not suffice: a try at a value may end after them, but none begins there.
   Return the number of values. A fill that is not shared among threads takes CF_ANY draws. */
#define CF_ANY UINT64_MAX
size_t cf_uniform_f32(cf_mt *mt, float *out, size_t n, uint64_t draws, const cf_range_f32 *range);
size_t cf_uniform_f64(cf_mt *mt, double *out, size_t n, uint64_t draws, const cf_range_f64 *range);
size_t cf_normal_f32(cf_mt *mt, float *out, size_t n, uint64_t draws, float mean, float sigma, cf_boost boost);
size_t cf_normal_f64(cf_mt *mt, double *out, size_t n, uint64_t draws, double mean, double sigma, cf_boost boost);

/* Fill with 1 or 0; p == 0 draws nothing. */
void cf_bernoulli_f32(cf_mt *mt, float *out, size_t n, float p);
void cf_bernoulli_f64(cf_mt *mt, double *out, size_t n, double p);
/* Multiply the values of the array by such numbers. */
void cf_mask_f32(cf_mt *mt, float *out, size_t n, float p);
void cf_mask_f64(cf_mt *mt, double *out, size_t n, double p);

/* The kind of a fill. */
typedef enum { CF_UNIFORM, CF_GAUSSIAN, CF_BERNOULLI } cf_kind;

typedef struct {
    cf_kind kind;
    int wide;        /* float64 */
    int nontemporal; /* bypass the caches with stores, if the instruction set has such stores */
    cf_boost boost;
    double mean, sigma, p;
    cf_range_f32 range_f32;
    cf_range_f64 range_f64;
} cf_job;

/* Returns whether non-temporal stores are faster for an array of that many bytes. */
int cf_wants_nontemporal(const void *out, size_t bytes);

size_t cf_run(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws);

/* Values that are computed but not yet copied into the array. */
typedef struct {
    char *to;
    const char *from;
    size_t bytes;
} cf_parcel;

/* Like cf_run, into scratch memory that stays in L2. In turns with the fill it copies a parcel. */
size_t cf_run_sending(const cf_job *job, cf_mt *mt, void *out, size_t n, uint64_t draws, cf_parcel *parcel);
/* Copies the remaining values. After this, other threads may read them. */
void cf_send(const cf_job *job, const cf_simd *simd, cf_parcel *parcel);

/* Divides each row by its sum, which is added up in index order. */
void cf_normalize_rows_f32(float *out, size_t rows, size_t columns);
void cf_normalize_rows_f64(double *out, size_t rows, size_t columns);

#endif
