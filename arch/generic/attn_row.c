/* attn_row.c - attention of a few query rows against a piece of a cache as stored: decode. Contract: struct prism_attn_row of
 * src/kernels.h. */
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
    prism_kernels_generic.to_f32[prism_kv_stored(format)](buf, (const char *)cache + i * prism_kv_row_bytes(format, d), d);
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

static void attend(const struct prism_attn_row *a, size_t r, size_t from, size_t seen)
{
    const size_t d = a->d;
    const float cap = a->softcap * 0x1.715476p0f; /* log2(e) */
    float buf[PRISM_MAX_HEAD_DIM], *o = a->o + r * d, *scores = a->scores + r * PRISM_ATTN_ROW_KEYS, max = a->max[r];

    for (size_t i = from; i < seen; i++) {
        scores[i] = a->scale * 0x1.715476p0f * dot(a->q + r * d, cache_row(buf, a->k, a->k_format, i, d), d);
        scores[i] += 0 * scores[i]; /* infinity to NaN: -infinity would have no weight */
        if (cap > 0)
            scores[i] = cap * Sleef_tanhf_u10(scores[i] / cap);
        max = scores[i] > max ? scores[i] : max;
    }
    float old = Sleef_exp2f_u10(a->max[r] - max);
    a->sum[r] *= old;
    a->max[r] = max;
    for (size_t j = 0; j < d; j++)
        o[j] *= old;
    for (size_t i = from; i < seen; i++) {
        float p = Sleef_exp2f_u10(scores[i] - max);
        const float *row = cache_row(buf, a->v, a->v_format, i, d);
        a->sum[r] += p;
        for (size_t j = 0; j < d; j++)
            o[j] += p * row[j];
    }
}

void prism_attn_row_f32_generic(const struct prism_attn_row *a)
{
    assert(a->n_q >= 1 && a->n_q <= PRISM_ATTN_ROW_Q && a->n_keys >= 1 && a->n_keys <= PRISM_ATTN_ROW_KEYS);
    assert(a->d % LANES == 0 && a->d <= PRISM_MAX_HEAD_DIM);
    for (size_t r = 0; r < a->n_q; r++) {
        const size_t from = a->from ? a->from[r] : 0;
        if (from < a->seen[r])
            attend(a, r, from, a->seen[r]);
    }
}
