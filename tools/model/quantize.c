/* quantize.c - see quantize.h. Formats and rounding: the reference functions of ggml-quants.c describe them, nothing is copied. */
#include "tools/model/quantize.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Past the largest half, 65504, by half a unit of its last place: rounds to infinity. BF16 likewise. */
#define HALF_LIMIT 65520.0f
#define BF16_LIMIT 0x1.ffp127f

static const struct {
    bool supported;
    float limit;
} targets[PRISM_N_TYPES] = {
    [PRISM_F32] = { true, INFINITY },
    [PRISM_F16] = { true, HALF_LIMIT },
    [PRISM_BF16] = { true, BF16_LIMIT },
    [PRISM_Q8_0] = { true, HALF_LIMIT * 127 },
    [PRISM_Q4_0] = { true, HALF_LIMIT * 8 },
};

bool quantize_supports(enum prism_type type) { return targets[type].supported; }
float quantize_limit(enum prism_type type) { return targets[type].limit; }

/* The block's scale as a half to y. Returns 1/d of the fp32 value, which makes the codes; 0 when that is infinite: the half is 0 then. */
static float put_scale(const struct prism_kernels *k, uint8_t *y, float d)
{
    uint16_t half;

    k->f32_to_f16(&half, &d, 1);
    memcpy(y, &half, sizeof half);
    return isfinite(1 / d) ? 1 / d : 0;
}

/* Half away from zero: roundf without a call. |v| < 2^24: the rest is exact. */
static int round_half_away(float v)
{
    int whole = (int)v;
    float rest = v - (float)whole;

    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/* d = max|x| / 127, round half away from zero. */
static void to_q8_0(const struct prism_kernels *k, uint8_t *y, const float *x)
{
    float max = 0;

    for (int i = 0; i < 32; i++)
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    float inverse = put_scale(k, y, max / 127);
    for (int i = 0; i < 32; i++)
        y[2 + i] = (uint8_t)round_half_away(x[i] * inverse);
}

/* d = x / -8 of the value of largest magnitude, the first of equals: it gets code 0, which is -8. Round half up, codes above 15 are 15. */
static void to_q4_0(const struct prism_kernels *k, uint8_t *y, const float *x)
{
    float extreme = 0;

    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    float inverse = put_scale(k, y, extreme / -8);
    for (int i = 0; i < 16; i++) {
        int low = (int)(x[i] * inverse + 8.5f), high = (int)(x[i + 16] * inverse + 8.5f);
        y[2 + i] = (uint8_t)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
    }
}

void quantize_row(const struct prism_kernels *k, enum prism_type type, void *y, const float *x, size_t n)
{
    uint8_t *block = y;

    assert(n % prism_types[type].block == 0);
    switch (type) {
    case PRISM_F32: memcpy(y, x, n * sizeof *x); break;
    case PRISM_F16: k->f32_to_f16(y, x, n); break;
    case PRISM_BF16: k->f32_to_bf16(y, x, n); break;
    case PRISM_Q8_0:
        for (size_t i = 0; i < n; i += 32, block += 34)
            to_q8_0(k, block, x + i);
        break;
    case PRISM_Q4_0:
        for (size_t i = 0; i < n; i += 32, block += 18)
            to_q4_0(k, block, x + i);
        break;
    default: assert(!"no quantisation to this type");
    }
}

/* llama.cpp's choice for a type with blocks of 256. */
static enum prism_type smaller(enum prism_type type)
{
    switch (type) {
    case PRISM_Q2_K:
    case PRISM_Q3_K: return PRISM_Q4_0;
    case PRISM_Q4_K: return PRISM_Q5_0;
    case PRISM_Q5_K: return PRISM_Q5_1;
    case PRISM_Q6_K: return PRISM_Q8_0;
    default: return PRISM_IQ4_NL;
    }
}

enum prism_type quantize_type_for(enum prism_type type, size_t n)
{
    if (prism_types[type].block == 256 && n % 256)
        type = smaller(type);
    return n % prism_types[type].block ? PRISM_F16 : type;
}
