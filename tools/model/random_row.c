/* random_row.c - see random_row.h. */
#include "tools/model/random_row.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tools/model/quantize.h"

/* Steele, Lea, Flood 2014, SplitMix64: a counter and a mixing function, any state is good. */
static inline uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint64_t random_seed(uint64_t seed, uint64_t i)
{
    uint64_t state = seed;
    state = next(&state) ^ i;
    return next(&state);
}

/* Irwin-Hall: the sum of four uniform numbers of 16 bits, scaled; within +-3.47 sd. */
static void fill_normal(float *x, size_t n, float sd, uint64_t seed)
{
    const float scale = sd * 1.7320508f / 65536; /* one of them has variance 1/12 */

    for (size_t i = 0; i < n; i++) {
        uint64_t u = next(&seed);
        int32_t sum = (int32_t)((u & 0xFFFF) + (u >> 16 & 0xFFFF) + (u >> 32 & 0xFFFF) + (u >> 48));
        x[i] = (float)(sum - 2 * 65535) * scale;
    }
}

/* What a block of random codes decodes to: d * u, less dmin * v where the format has a minimum. `unit` is the deviation of u - centre * v,
 * for codes and small scales that are uniform over their range; `centre` is the dmin / d that makes the mean 0 when each group's minimum
 * equals its scale. */
static const struct {
    int d_at, min_at;   /* of the two halves; -1: none */
    float unit, centre;
} blocks[PRISM_N_TYPES] = {
    [PRISM_Q4_1] = { 0, 2, 4.610f, -7.5f },        /* q 0..15; this format adds the second half */
    [PRISM_Q5_0] = { 0, -1, 9.233f, 0 },           /* q - 16, q 0..31 */
    [PRISM_Q5_1] = { 0, 2, 9.233f, -15.5f },
    [PRISM_Q2_K] = { 80, 82, 9.843f, 1.5f },       /* sc * q - mn * 1.5, sc = mn 0..15, q 0..3: 8.803 * 1.118 */
    [PRISM_Q3_K] = { 108, -1, 43.34f, 0 },         /* (sc - 32) * (q - 4): 18.48 * 2.345 */
    [PRISM_Q4_K] = { 0, 2, 168.3f, 7.5f },         /* sc * q - mn * 7.5, sc = mn 0..63: 36.52 * 4.610 */
    [PRISM_Q5_K] = { 0, 2, 337.2f, 15.5f },        /* 36.52 * 9.233 */
    [PRISM_Q6_K] = { 208, -1, 1365.f, 0 },         /* sc * (q - 32), sc -128..127: 73.90 * 18.48 */
    [PRISM_IQ4_NL] = { 0, -1, 67.44f, 0 },         /* the table's values */
    [PRISM_IQ4_XS] = { 0, -1, 1246.f, 0 },         /* (ls - 32) * table: 18.48 * 67.44 */
    [PRISM_MXFP4] = { -1, -1, 5.852f, 0 },         /* the table's values, at twice their size; the scale is a byte */
};

/* Q2_K, Q4_K and Q5_K store a minimum beside each small scale: equal to it, every group of values has mean 0. */
static void equal_minima(enum prism_type type, uint8_t *block)
{
    if (type == PRISM_Q2_K) {
        for (int i = 0; i < 16; i++)
            block[i] = (uint8_t)((block[i] & 15) * 17);
    } else if (type == PRISM_Q4_K || type == PRISM_Q5_K) {
        uint8_t *s = block + 4; /* six bits of scales 0..3, of minima 0..3, with the top bits of 4..7; then the nibbles of 4..7 */
        memcpy(s + 4, s, 4);
        for (int i = 8; i < 12; i++)
            s[i] = (uint8_t)((s[i] & 15) * 17);
    }
}

static void put_half(const struct prism_kernels *k, uint8_t *p, float value)
{
    uint16_t half;
    k->f32_to_f16(&half, &value, 1);
    memcpy(p, &half, sizeof half);
}

static float uniform(uint64_t *state) { return (float)(next(state) >> 40) * 0x1p-24f; }

/* e of 2^(e - 128), the scale of an MXFP4 block: one of the two powers of two around d, so that the mean square is that of d. */
static uint8_t power_scale(float d, uint64_t *state)
{
    int exponent;
    float r = 2 * frexpf(d, &exponent); /* d = r * 2^(exponent - 1), r in [1, 2) */

    return (uint8_t)(128 + exponent - 1 + (uniform(state) * 3 < r * r - 1));
}

static void fill_block(const struct prism_kernels *k, enum prism_type type, uint8_t *block, float d, uint64_t *state)
{
    size_t bytes = prism_types[type].bytes;

    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t u = next(state);
        memcpy(block + at, &u, bytes - at < 8 ? bytes - at : 8);
    }
    if (type == PRISM_MXFP4) {
        block[0] = power_scale(d, state);
        return;
    }
    equal_minima(type, block);
    d *= (0.75f + uniform(state) / 2) * 0.98974f; /* mean square (1 + 1/48) * 0.98974^2 = 1 */
    if (blocks[type].min_at >= 0)
        put_half(k, block + blocks[type].min_at, d * blocks[type].centre);
    else if (next(state) >> 63) /* codes such as -16..15 have a mean: not over all blocks */
        d = -d;
    put_half(k, block + blocks[type].d_at, d);
}

void random_row(const struct prism_kernels *k, enum prism_type type, void *y, float *x, size_t n, float sd, uint64_t seed)
{
    uint8_t *block = y;

    assert(n % prism_types[type].block == 0);
    if (quantize_supports(type)) {
        fill_normal(x, n, sd, seed);
        quantize_row(k, type, y, x, n);
        return;
    }
    for (size_t i = 0; i < n; i += prism_types[type].block, block += prism_types[type].bytes)
        fill_block(k, type, block, sd / blocks[type].unit, &seed);
}
