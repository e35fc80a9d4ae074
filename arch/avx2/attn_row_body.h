/* attn_row_body.h - the row kernel of attention over a cache as stored (struct prism_attn_row of src/kernels.h), for vectors of any
 * width. Before including it, a file defines
 *
 *     LANES, vf                   floats of a vector, and its type
 *     MAX_ROWS                    query rows that share a pass over the keys: 2 or 4
 *     VALUE_SUMS                  vectors of sums in registers during the pass over the values: 8 or 16
 *     kv_load(p, format, i, n)    n <= LANES values of a cache from number i behind p on (where a block starts), zeros behind, as floats; n < LANES
 *                                 at the end of a head only, and not of Q8_0
 *     f_load(p, n), f_store(p, x, n), f_first(x, n)     the same of floats; x with zeros from lane n on
 *     i8_load(p)                  LANES signed bytes at p as floats; f16_load(p) LANES halves, 64-byte aligned
 *     f_zero(), f_set1(x), f_add, f_sub, f_mul, f_fma(x, y, sum), f_tanh(x), f_exp2(x) for x <= 0, exactly 0 for -infinity
 *     f_lane_0(x), f_sum(x), f_largest(p, n)            of lanes; of n >= 1 floats
 *     f_sum_4(a, b, c, d)         the sums of four vectors, as __m128
 *
 * Bound by memory for a few rows. Sums in fp32, in an order that depends on d and the piece of keys only. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "arch/avx2/stream.h"
#include "src/kernels.h"

enum { KEYS_AT_ONCE = 4, VALUES_AT_ONCE = 32 };

/* Element i of a cache of `format`, a constant at every call. Of Q8_0: the block that starts with it. */
PRISM_INLINE const char *element(const void *cache, size_t i, enum prism_kv_format format)
{
    return (const char *)cache + prism_kv_row_bytes(format, i);
}

/* Values that the pass over the keys takes at once: those of a vector, or of a block of Q8_0. */
PRISM_INLINE size_t step_of(enum prism_kv_format format) { return format == PRISM_KVF_Q8_0 ? 32 : LANES; }

PRISM_INLINE size_t at_most(size_t n, size_t most) { return n < most ? n : most; }

/* s[r][i] += the products of `in` values of row r's query and of four keys, from number `at` of the step on. */
PRISM_INLINE void add_products(vf (*s)[KEYS_AT_ONCE], int rows, const float *q, size_t ldq, const char *k0, const char *k1, const char *k2,
                               const char *k3, enum prism_kv_format format, size_t at, size_t in)
{
    const vf x0 = kv_load(k0, format, at, in), x1 = kv_load(k1, format, at, in);
    const vf x2 = kv_load(k2, format, at, in), x3 = kv_load(k3, format, at, in);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const vf x = f_load(q + (size_t)r * ldq + at, in);
        s[r][0] = f_fma(x, x0, s[r][0]);
        s[r][1] = f_fma(x, x1, s[r][1]);
        s[r][2] = f_fma(x, x2, s[r][2]);
        s[r][3] = f_fma(x, x3, s[r][3]);
    }
}

/* scores[r][i] = factor * q[r].k[i] for every key: the logits in powers of two, NaN where that is infinite, as -infinity would have no weight.
 * Up to three more behind repeat the last key. */
PRISM_INLINE void logits(const struct prism_attn_row *a, size_t row, int rows, enum prism_kv_format format, float factor)
{
    const size_t d = a->d, n = a->n_keys, width = step_of(format), step = prism_kv_row_bytes(format, width);
    for (size_t i = 0; i < n; i += KEYS_AT_ONCE) {
        const char *k0 = element(a->k, i * d, format), *k1 = element(a->k, at_most(i + 1, n - 1) * d, format);
        const char *k2 = element(a->k, at_most(i + 2, n - 1) * d, format), *k3 = element(a->k, at_most(i + 3, n - 1) * d, format);
        const float *q = a->q + row * d, *end = q + d;
        vf s[MAX_ROWS][KEYS_AT_ONCE];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            s[r][0] = s[r][1] = s[r][2] = s[r][3] = f_zero();
        const char *ahead = k0; /* a part of the next keys with each step: all at once would wait for each other */
        for (; q + width <= end; q += width, k0 += step, k1 += step, k2 += step, k3 += step, ahead += KEYS_AT_ONCE * step) {
            stream_ahead(ahead, KEYS_AT_ONCE * step);
#pragma GCC unroll 4
            for (size_t at = 0; at < width; at += LANES)
                add_products(s, rows, q, d, k0, k1, k2, k3, format, at, LANES);
        }
        if (q < end)
            add_products(s, rows, q, d, k0, k1, k2, k3, format, 0, (size_t)(end - q));
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const __m128 x = _mm_mul_ps(_mm_set1_ps(factor), f_sum_4(s[r][0], s[r][1], s[r][2], s[r][3]));
            _mm_store_ps(a->scores + (row + (size_t)r) * PRISM_ATTN_ROW_KEYS + i, _mm_fmadd_ps(x, _mm_setzero_ps(), x));
        }
    }
}

/* Logits in powers of two get the cap: those from number i (a multiple of LANES) to n - 1, and what is behind them in the last vector. */
PRISM_INLINE void cap_logits(float *p, size_t i, size_t n, float softcap)
{
    const vf cap = f_set1(softcap * 0x1.715476p0f), inverse = f_set1(1 / (softcap * 0x1.715476p0f)); /* log2(e) */
    for (; i < n; i += LANES)
        f_store(p + i, f_mul(cap, f_tanh(f_mul(inverse, f_load(p + i, LANES)))), LANES);
}

/* One row's logits to 2^(logit - maximum) in place, 0 where it does not see the key; what it had summed up is scaled to the maximum. */
static void probabilities(const struct prism_attn_row *a, size_t row)
{
    const size_t seen = a->seen[row], from = a->from ? a->from[row] : 0, begin = from & ~(size_t)(LANES - 1);
    float *p = a->scores + row * PRISM_ATTN_ROW_KEYS, *o = a->o + row * a->d;

    if (from >= seen) {
        memset(p, 0, a->n_keys * sizeof *p);
        return;
    }
    if (a->softcap > 0)
        cap_logits(p, begin, seen, a->softcap);
    const float before = a->max[row], here = f_largest(p + from, seen - from), max = before > here ? before : here;
    const vf old = f_exp2(f_set1(before - max)), m = f_set1(max);
    vf sum = f_zero();
    for (size_t i = 0; i < from; i++)
        p[i] = i < begin ? 0 : -INFINITY;
    for (size_t i = begin; i < seen; i += LANES) {
        const vf x = f_first(f_exp2(f_sub(f_load(p + i, LANES), m)), seen - i);
        f_store(p + i, x, LANES);
        sum = f_add(sum, x);
    }
    a->max[row] = max;
    a->sum[row] = a->sum[row] * f_lane_0(old) + f_sum(sum);
    for (size_t j = 0, in; j < a->d; j += in) {
        in = at_most(a->d - j, LANES);
        f_store(o + j, f_mul(old, f_load(o + j, in)), in);
    }
    for (size_t i = seen; i < a->n_keys; i++)
        p[i] = 0;
}

/* o[r][j ..) += sum of p[r][i] * v[i][j ..) over n values from number i0 on: `vectors` whole vectors, or one of `in` lanes. */
PRISM_INLINE void add_tile(const struct prism_attn_row *a, size_t row, int rows, enum prism_kv_format format, size_t i0, size_t n, size_t j,
                           int vectors, size_t in)
{
    const size_t d = a->d;
    const char *v = element(a->v, i0 * d + j, format);
    const float *p = a->scores + row * PRISM_ATTN_ROW_KEYS + i0;
    float *o = a->o + row * d + j;
    vf s[MAX_ROWS][8];

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < vectors; c++)
            s[r][c] = f_load(o + (size_t)r * d + (size_t)c * LANES, in);
    for (size_t i = 0; i < n; i++, v = element(v, d, format)) {
        vf pr[MAX_ROWS];
        stream_ahead(v, prism_kv_row_bytes(format, (size_t)vectors * LANES));
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            pr[r] = f_set1(p[(size_t)r * PRISM_ATTN_ROW_KEYS + i]);
#pragma GCC unroll 8
        for (int c = 0; c < vectors; c++) {
            const vf x = kv_load(v, format, (size_t)c * LANES, in);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                s[r][c] = f_fma(pr[r], x, s[r][c]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < vectors; c++)
            f_store(o + (size_t)r * d + (size_t)c * LANES, s[r][c], in);
}

PRISM_INLINE void add_values(const struct prism_attn_row *a, size_t row, int rows, enum prism_kv_format format)
{
    const int most = VALUE_SUMS / rows < 8 ? VALUE_SUMS / rows : 8;
    const size_t d = a->d;
    for (size_t i = 0; i < a->n_keys; i += VALUES_AT_ONCE) {
        const size_t n = at_most(a->n_keys - i, VALUES_AT_ONCE);
        size_t j = 0;
        for (; j + (size_t)most * LANES <= d; j += (size_t)most * LANES)
            add_tile(a, row, rows, format, i, n, j, most, LANES);
        for (; most > 4 && j + 4 * LANES <= d; j += 4 * LANES)
            add_tile(a, row, rows, format, i, n, j, 4, LANES);
        for (; j < d; j += LANES)
            add_tile(a, row, rows, format, i, n, j, 1, at_most(d - j, LANES));
    }
}

/* ---- values of Q8_0: the scales go to the probabilities, which are fewer ---- */

enum { MAX_BLOCKS = PRISM_MAX_HEAD_DIM / 32 };

/* What the values of each block of a row are multiplied by: probability times scale, of up to VALUES_AT_ONCE keys. */
struct weights {
    _Alignas(64) uint16_t half[MAX_BLOCKS][VALUES_AT_ONCE];
    _Alignas(64) float w[MAX_BLOCKS][4][VALUES_AT_ONCE];
};

/* Of values i0 .. i0 + n - 1. */
PRISM_INLINE void make_weights(struct weights *to, const struct prism_attn_row *a, size_t row, int rows, size_t i0, size_t n)
{
    const size_t row_bytes = prism_kv_row_bytes(PRISM_KVF_Q8_0, a->d);
    const char *v = (const char *)a->v + i0 * row_bytes;

    for (size_t i = 0; i < n; i++, v += row_bytes)
        for (size_t b = 0; b < a->d / 32; b++)
            __builtin_memcpy(&to->half[b][i], v + b * 34, sizeof(uint16_t));
    for (size_t b = 0; b < a->d / 32; b++)
        for (size_t i = 0; i < n; i += LANES) {
            const vf scale = f16_load(to->half[b] + i);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                f_store(to->w[b][r] + i, f_mul(scale, f_load(a->scores + (row + (size_t)r) * PRISM_ATTN_ROW_KEYS + i0 + i, LANES)), LANES);
        }
}

/* o[r][j ..) += sum of w[r][i] * v[i][j ..) over n values from number i0 on: `blocks` blocks of 32. */
PRISM_INLINE void add_q8_0_tile(const struct prism_attn_row *a, const struct weights *w, size_t row, int rows, size_t i0, size_t n, size_t j,
                                int blocks)
{
    const size_t d = a->d, row_bytes = prism_kv_row_bytes(PRISM_KVF_Q8_0, d);
    const int vectors = 32 / LANES;
    const char *v = element(a->v, i0 * d + j, PRISM_KVF_Q8_0);
    float *o = a->o + row * d + j;
    vf s[MAX_ROWS][8];

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < blocks * vectors; c++)
            s[r][c] = f_load(o + (size_t)r * d + (size_t)c * LANES, LANES);
    for (size_t i = 0; i < n; i++, v += row_bytes) {
        stream_ahead(v, (size_t)blocks * 34);
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++)
#pragma GCC unroll 4
            for (int c = 0; c < vectors; c++) {
                const vf x = i8_load(v + b * 34 + 2 + c * LANES);
#pragma GCC unroll 4
                for (int r = 0; r < rows; r++)
                    s[r][b * vectors + c] = f_fma(f_set1(w->w[j / 32 + (size_t)b][r][i]), x, s[r][b * vectors + c]);
            }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < blocks * vectors; c++)
            f_store(o + (size_t)r * d + (size_t)c * LANES, s[r][c], LANES);
}

PRISM_INLINE void add_q8_0_values(const struct prism_attn_row *a, size_t row, int rows)
{
    const int most = at_most((size_t)(VALUE_SUMS / rows), 8) * LANES / 32;
    const size_t d = a->d;
    struct weights w;
    memset(w.half, 0, sizeof w.half); /* what is behind the last key */
    for (size_t i = 0; i < a->n_keys; i += VALUES_AT_ONCE) {
        const size_t n = at_most(a->n_keys - i, VALUES_AT_ONCE);
        size_t j = 0;
        make_weights(&w, a, row, rows, i, n);
        for (; j + (size_t)most * 32 <= d; j += (size_t)most * 32)
            add_q8_0_tile(a, &w, row, rows, i, n, j, most);
        for (; j < d; j += 32)
            add_q8_0_tile(a, &w, row, rows, i, n, j, 1);
    }
}

/* ---- by format ---- */

/* rows: 1, 2 or 4, a constant. */
PRISM_INLINE void logits_any_format(const struct prism_attn_row *a, size_t row, int rows)
{
    const float factor = a->scale * 0x1.715476p0f; /* log2(e) */
    switch (a->k_format) {
    case PRISM_KVF_F16: logits(a, row, rows, PRISM_KVF_F16, factor); break;
    case PRISM_KVF_BF16: logits(a, row, rows, PRISM_KVF_BF16, factor); break;
    case PRISM_KVF_F32: logits(a, row, rows, PRISM_KVF_F32, factor); break;
    default: logits(a, row, rows, PRISM_KVF_Q8_0, factor);
    }
}

PRISM_INLINE void add_values_any_format(const struct prism_attn_row *a, size_t row, int rows)
{
    switch (a->v_format) {
    case PRISM_KVF_F16: add_values(a, row, rows, PRISM_KVF_F16); break;
    case PRISM_KVF_BF16: add_values(a, row, rows, PRISM_KVF_BF16); break;
    case PRISM_KVF_F32: add_values(a, row, rows, PRISM_KVF_F32); break;
    default: add_q8_0_values(a, row, rows);
    }
}

PRISM_INLINE void logits_all(const struct prism_attn_row *a)
{
    size_t row = 0;
    for (; MAX_ROWS == 4 && row + 4 <= a->n_q; row += 4)
        logits_any_format(a, row, 4);
    for (; row + 2 <= a->n_q; row += 2)
        logits_any_format(a, row, 2);
    if (row < a->n_q)
        logits_any_format(a, row, 1);
}

PRISM_INLINE void add_values_all(const struct prism_attn_row *a)
{
    size_t row = 0;
    for (; MAX_ROWS == 4 && row + 4 <= a->n_q; row += 4)
        add_values_any_format(a, row, 4);
    for (; row + 2 <= a->n_q; row += 2)
        add_values_any_format(a, row, 2);
    if (row < a->n_q)
        add_values_any_format(a, row, 1);
}

PRISM_INLINE void attend(const struct prism_attn_row *a)
{
    assert(a->n_q >= 1 && a->n_q <= PRISM_ATTN_ROW_Q && a->n_keys >= 1 && a->n_keys <= PRISM_ATTN_ROW_KEYS);
    assert(a->d % 8 == 0 && a->d <= PRISM_MAX_HEAD_DIM && (uintptr_t)a->scores % 64 == 0);
    assert(a->d % 32 == 0 || (a->k_format != PRISM_KVF_Q8_0 && a->v_format != PRISM_KVF_Q8_0));
    logits_all(a);
    for (size_t r = 0; r < a->n_q; r++)
        probabilities(a, r);
    add_values_all(a);
}
