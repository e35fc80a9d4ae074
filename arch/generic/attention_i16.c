/* attention_i16.c - prefill attention on int16 with int32 sums, the definition: row by row, block by block. More of the operands is kept than
 * bf16 would keep with its eight bits, and the instructions do as much or more:
 *
 * - Queries and keys are rounded to integers of norm 32767, each with its own step. By Cauchy and Schwarz no sum of their products, and no
 *   part of one, passes 32775^2 < 2^31, whatever the head size.
 * - Probabilities of a block are P = 2^(S - m + 13) with m the largest logit S (base 2) that the row finds in this block, rounded to integers
 *   up to 8192: a block far below the running maximum keeps its precision.
 * - Values are rounded to integers up to 4095, with one step for each column of a chunk of 64 keys. Sums: 64 * 8192 * 4095 < 2^31.
 * - The part of a chunk is added to O times 2^(m - 13 - M), M the running maximum of m - 13, and of a sink. The sums that O is divided by are
 *   those of the rounded P; a sink adds 2^(sink - M).
 *
 * Bytes would go twice as fast. Divergence from fp32 that they add, in 1e-4 nats a token, where all other roundings of a prefill make 1.2 (38M model in
 * Q8_0, 6 x 1024 tokens): queries 0.2, keys 1.1, both 1.5 (rotated by a Hadamard matrix with random signs 0.2, 0.6, 0.8); probabilities 1.4, values
 * 0.3; everything 3.1.
 *
 * A key that is not finite makes NaN of its block for all rows that see any of it; a value, of its column of the chunk. */
#include <assert.h>
#include <math.h>
#include <sleef.h>
#include <string.h>

#include "arch/generic/attention_i16.h"
#include "arch/generic/attn_keys.h"
#include "arch/generic/generic.h"

enum { TILE_ROWS = 32, MAX_BLOCK = 256 };

/* [block][d] int16, then the steps: [block] of keys, [chunk][d] of values. */
static size_t k_block_bytes(size_t d, size_t block) { return block * d * sizeof(int16_t) + block * sizeof(float); }

static size_t v_block_bytes(size_t d, size_t block)
{
    return (block * d * sizeof(int16_t) + block / chunk_keys(block) * d * sizeof(float) + 63) / 64 * 64;
}

static float *steps_of(const void *packed, size_t d, size_t block) { return (float *)((int16_t *)(uintptr_t)packed + block * d); }

static size_t tile_scratch(size_t d, size_t block)
{
    (void)d, (void)block;
    return 64; /* none: a row's arrays are small */
}

static void load_row(float *x, const void *src, enum prism_kv_format format, size_t row, size_t d)
{
    prism_kernels_generic.to_f32[prism_kv_stored(format)](x, (const char *)src + row * prism_kv_row_bytes(format, d), d);
}

/* d values to integers of norm NORM; returns the step. */
static float quantize(int16_t *q, const float *x, size_t d)
{
    float square = 0, step;
    for (size_t i = 0; i < d; i++)
        square += x[i] * x[i];
    const float factor = norm_factor(square, &step);
    for (size_t i = 0; i < d; i++)
        q[i] = factor > 0 ? (int16_t)lrintf(x[i] * factor) : 0;
    return step;
}

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    float x[PRISM_MAX_HEAD_DIM], *step = steps_of(dst, d, block);

    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    memset(dst, 0, k_block_bytes(d, block));
    for (size_t key = 0; key < n; key++) {
        load_row(x, src, format, key, d);
        step[key] = quantize((int16_t *)dst + key * d, x, d);
    }
    spread_nan(step, n, block);
}

static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    const size_t chunk = chunk_keys(block);
    float x[CHUNK][PRISM_MAX_HEAD_DIM], *step = steps_of(dst, d, block);

    assert((uintptr_t)dst % 64 == 0 && n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM);
    memset(dst, 0, v_block_bytes(d, block));
    for (size_t first = 0; first < n; first += chunk, step += d) {
        const size_t keys = n - first < chunk ? n - first : chunk;
        for (size_t j = 0; j < keys; j++)
            load_row(x[j], src, format, first + j, d);
        for (size_t i = 0; i < d; i++) {
            float max = 0;
            for (size_t j = 0; j < keys; j++)
                max = fabsf(x[j][i]) > max || isnan(x[j][i]) ? fabsf(x[j][i]) : max;
            const bool some = max >= LEAST_V && max < INFINITY;
            step[i] = some ? max / V_MAX : max < LEAST_V ? 0 : NAN;
            for (size_t j = 0; j < keys && some; j++)
                ((int16_t *)dst)[(first + j) * d + i] = (int16_t)lrintf(x[j][i] * (V_MAX / max));
        }
    }
}

/* A query row on its way through the blocks. */
struct row {
    int16_t q[PRISM_MAX_HEAD_DIM];
    float step, max, sum, o[PRISM_MAX_HEAD_DIM];
};

/* S, a logit in powers of two, with the cap of the tile. */
static float capped(float s, float softcap)
{
    return softcap > 0 ? softcap * LOG2_E * Sleef_tanhf_u10(s / (softcap * LOG2_E)) : s;
}

/* Its keys begin .. end - 1 of a block, one at least. */
static void attend_block(struct row *r, const struct prism_attn_tile *t, const int16_t *k, const int16_t *v, size_t begin, size_t end)
{
    const float *k_step = steps_of(k, t->d, t->block), *v_step = steps_of(v, t->d, t->block);
    float s[MAX_BLOCK], top = -INFINITY;
    int16_t p[MAX_BLOCK];
    int32_t p_sum = 0;

    for (size_t j = begin; j < end; j++) {
        int32_t dot = 0;
        for (size_t i = 0; i < t->d; i++)
            dot += r->q[i] * k[j * t->d + i];
        s[j] = capped((float)dot * k_step[j] * r->step, t->softcap);
        top = s[j] > top || isnan(s[j]) ? s[j] : top;
    }
    const float unit = top - P_BITS, now = unit > r->max || isnan(unit) ? unit : r->max;
    for (size_t j = begin; j < end; j++) {
        p[j] = isnan(unit) ? 0 : (int16_t)lrintf(Sleef_exp2f_u10(s[j] - top) * (1 << P_BITS));
        p_sum += p[j];
    }
    const float alpha = Sleef_exp2f_u10(r->max - now), beta = Sleef_exp2f_u10(unit - now);
    r->max = now;
    r->sum = r->sum * alpha + beta * (float)p_sum;
    for (size_t i = 0; i < t->d; i++) {
        r->o[i] *= alpha;
        for (size_t first = begin / CHUNK * CHUNK; first < end; first += CHUNK) {
            int32_t dot = 0;
            for (size_t j = first < begin ? begin : first; j < end && j < first + CHUNK; j++)
                dot += p[j] * v[j * t->d + i];
            r->o[i] += beta * ((float)dot * v_step[first / CHUNK * t->d + i]);
        }
    }
}

static void tile(const struct prism_attn_tile *t)
{
    assert(t->rows >= 1 && t->rows <= TILE_ROWS && t->block <= MAX_BLOCK && t->d <= PRISM_MAX_HEAD_DIM && t->kv_len >= t->q_pos + t->rows);
    for (size_t i = 0; i < t->rows; i++) {
        struct row r = { .step = 0 };
        start_row(t, LOG2_E, &r.max, &r.sum);
        r.step = quantize(r.q, t->q + i * t->ldq, t->d) * (t->scale * LOG2_E);
        for (size_t b = 0; b < t->n_blocks; b++) {
            const struct keys keys = keys_of_block(t, t->blocks[b]);
            if (keys_gone(&keys, i) < keys_seen(&keys, i))
                attend_block(&r, t, (const int16_t *)(const void *)((const char *)t->k + t->blocks[b] * k_block_bytes(t->d, t->block)),
                             (const int16_t *)(const void *)((const char *)t->v + t->blocks[b] * v_block_bytes(t->d, t->block)),
                             keys_gone(&keys, i), keys_seen(&keys, i));
        }
        for (size_t c = 0; c < t->d; c++)
            t->o[i * t->ldo + c] = r.o[c] / r.sum;
    }
}

/* err: the roundings of up to 256 values of P (half a unit of 8192 of the block's largest) and of V (half of 1/4095) are independent of each
 * other: 0.29 / 8192 * sqrt(256) * 5 sigma = 3e-3, and that of the logits is less. */
const struct prism_attention prism_attention_i16_generic = {
    .name = "i16", .tile_rows = TILE_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_k, .pack_v = pack_v, .tile = tile, .err = 3e-3f,
};
