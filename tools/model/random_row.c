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

/* The dmin / d that makes the mean of a group of values d * q + dmin * v (Q4_1, Q5_1; the others subtract) 0 when its minimum v equals its
 * scale. */
static float centre(enum prism_type type)
{
    switch (type) {
    case PRISM_Q4_1: return -7.5f;
    case PRISM_Q5_1: return -15.5f;
    case PRISM_Q2_K: return 1.5f;
    case PRISM_Q4_K: return 7.5f;
    default: return 15.5f; /* Q5_K */
    }
}

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

/* e of 2^(e - 128), a scale of E8M0 whose values are doubled: one of the two powers of two around d, so that the mean square is that of d. */
static uint8_t power_scale(float d, uint64_t *state)
{
    int exponent;
    float r = 2 * frexpf(d, &exponent); /* d = r * 2^(exponent - 1), r in [1, 2) */

    return (uint8_t)(128 + exponent - 1 + (uniform(state) * 3 < r * r - 1));
}

/* The E4M3 whose half is nearest to d; from 2^-10 on. */
static uint8_t e4m3_scale(float d)
{
    int exponent;
    float r = 2 * frexpf(2 * d, &exponent); /* 2 d = r * 2^(exponent - 1), r in [1, 2) */

    if (exponent - 1 < -6)
        return (uint8_t)lrintf(2 * d * 0x1p9f);
    return (uint8_t)((exponent + 6) * 8 + lrintf(8 * r) - 8); /* r of 2: the next exponent */
}

/* A half in the upper four bits of four words. */
static void put_nibbles(const struct prism_kernels *k, uint8_t *p, float value)
{
    uint16_t half;
    k->f32_to_f16(&half, &value, 1);
    for (int i = 0; i < 4; i++)
        p[2 * i + 1] = (uint8_t)((p[2 * i + 1] & 15) | (half >> 4 * i & 15) << 4);
}

static void fill_block(const struct prism_kernels *k, enum prism_type type, uint8_t *block, float d, uint64_t *state)
{
    const struct prism_type_info *info = &prism_types[type];

    for (size_t at = 0; at < info->bytes; at += 8) {
        uint64_t u = next(state);
        memcpy(block + at, &u, info->bytes - at < 8 ? info->bytes - at : 8);
    }
    if (info->scale == PRISM_SCALE_E8M0) {
        block[info->scale_at[0]] = power_scale(d, state);
        return;
    }
    if (info->scale == PRISM_SCALE_E4M3) {
        for (uint32_t g = 0; g < info->block / info->group; g++)
            block[info->scale_at[0] + (int)g] = e4m3_scale(d * (0.75f + uniform(state) / 2) * 0.98974f);
        return;
    }
    equal_minima(type, block);
    d *= (0.75f + uniform(state) / 2) * 0.98974f; /* mean square (1 + 1/48) * 0.98974^2 = 1 */
    if (info->stored_min)
        put_half(k, block + info->scale_at[1], d * centre(type));
    else if (next(state) >> 63) /* codes such as -16..15 have a mean: not over all blocks */
        d = -d;
    (info->scale == PRISM_SCALE_NIBBLES ? put_nibbles : put_half)(k, block + info->scale_at[0], d);
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
        fill_block(k, type, block, sd / prism_types[type].rms, &seed);
}
