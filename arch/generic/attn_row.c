/* attn_row.c - attention of one query row against a cache as stored: decode. Contract: prism_attn_row_fn of src/kernels.h. */
#include <assert.h>
#include <math.h>
#include <sleef.h>

#include "arch/generic/generic.h"

enum { LANES = 8 };

/* Row i of a cache of d values per row, as floats: in place for F32, else through buf. */
static const float *cache_row(float *buf, const void *cache, enum prism_kv_format format, size_t i, size_t d)
{
    if (format == PRISM_KVF_F32)
        return (const float *)cache + i * d;
    const uint16_t *row = (const uint16_t *)cache + i * d;
    if (format == PRISM_KVF_F16)
        prism_f16_to_f32_generic(buf, row, d);
    else
        prism_bf16_to_f32_generic(buf, row, d);
    return buf;
}

static float dot(const float *x, const float *y, size_t n)
{
    float s[LANES] = { 0 };
    for (size_t i = 0; i < n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            s[lane] += x[i + lane] * y[i + lane];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

void prism_attn_row_f32_generic(float *o, const float *q, const void *k, const void *v, enum prism_kv_format format, size_t kv_len,
                                size_t d, float scale, float *scores)
{
    float buf[PRISM_MAX_HEAD_DIM], max = -INFINITY, sum = 0;

    assert(kv_len >= 1 && d % LANES == 0 && d <= PRISM_MAX_HEAD_DIM);
    for (size_t i = 0; i < kv_len; i++) {
        scores[i] = scale * dot(q, cache_row(buf, k, format, i, d), d);
        max = scores[i] > max ? scores[i] : max;
    }
    for (size_t j = 0; j < d; j++)
        o[j] = 0;
    for (size_t i = 0; i < kv_len; i++) {
        float p = Sleef_expf_u10(scores[i] - max);
        const float *row = cache_row(buf, v, format, i, d);
        sum += p;
        for (size_t j = 0; j < d; j++)
            o[j] += p * row[j];
    }
    for (size_t j = 0; j < d; j++)
        o[j] /= sum;
}
