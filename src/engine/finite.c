/* finite.c - see finite.h. */
#include "src/engine/finite.h"

#include <string.h>

enum { LANES = 16 }; /* sums side by side, which the compiler turns into vectors */

static float sum_lanes(const float lane[LANES])
{
    float sum = 0;
    for (size_t i = 0; i < LANES; i++)
        sum += lane[i];
    return sum;
}

double prism_head_squares(const struct prism_context *c, const float *x, size_t d)
{
    float sum, none[2];

    c->kernels->band_dots(&sum, none, none + 1, x, x, 1, d, d, d);
    return (double)sum;
}

bool prism_is_finite(const float *x, size_t n)
{
    float lane[LANES] = { 0 };
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += x[i + l] - x[i + l]; /* 0, or NaN */
    for (; i < n; i++)
        lane[0] += x[i] - x[i];
    return sum_lanes(lane) == 0;
}

/* Whether all are below `limit`, the first of the numbers of infinity and NaN, in magnitude. */
static bool all_below(const uint16_t *x, size_t n, int16_t limit)
{
    int16_t most = 0;
    for (size_t i = 0; i < n; i++) {
        int16_t bits = (int16_t)(x[i] & 0x7fff);
        most = bits > most ? bits : most;
    }
    return most < limit;
}

/* Whether all scales of a row of Q8_0 are below infinity: no block held what is not finite, or passed its range. */
static bool scales_finite(const uint8_t *row, size_t n)
{
    uint16_t most = 0;
    for (size_t i = 0; i < n; i += 32, row += 34) {
        const uint16_t bits = (uint16_t)((row[1] & 0x7f) << 8 | row[0]);
        most = bits > most ? bits : most;
    }
    return most < 0x7c00;
}

bool prism_store_kv(const struct prism_context *c, enum prism_kv_format format, void *at, const float *x, size_t d)
{
    switch (format) {
    case PRISM_KVF_F16:
        c->kernels->f32_to_f16(at, x, d);
        return all_below(at, d, 0x7c00);
    case PRISM_KVF_BF16:
        c->kernels->f32_to_bf16(at, x, d);
        return all_below(at, d, 0x7f80) && prism_is_tame(prism_head_squares(c, x, d));
    case PRISM_KVF_Q8_0:
        c->kernels->f32_to_q8_0(at, x, d);
        return scales_finite(at, d);
    default:
        break;
    }
    memcpy(at, x, d * sizeof *x);
    return prism_is_tame(prism_head_squares(c, x, d));
}

/* ---- the first fault of a call ---- */

void prism_note_fault(struct prism_context *c, enum prism_fault fault, size_t pos, size_t head)
{
    uint64_t code = (uint64_t)pos << 32 | (uint64_t)fault << 24 | head, first = atomic_load_explicit(&c->fault, memory_order_relaxed);

    while (code < first && !atomic_compare_exchange_weak_explicit(&c->fault, &first, code, memory_order_relaxed, memory_order_relaxed))
        ;
}

static const char *const range_advice[] = {
    [PRISM_KVF_F16] = "exceed F16, which holds up to 65504: use a BF16 or F32 cache",
    [PRISM_KVF_BF16] = "exceed BF16, which holds up to 3.39e38",
    [PRISM_KVF_F32] = "are too large for sums in fp32",
    [PRISM_KVF_Q8_0] = "exceed Q8_0, which holds up to 8.3e6: use a BF16 or F32 cache",
};

/* What enters a layer is what came out of the one before. */
static enum prism_status fail_input(const struct prism_context *c, size_t pos, struct prism_error *err)
{
    if (c->running_layer == 0)
        return prism_fail(err, PRISM_E_NUMERIC, "layer 0: the embedding of the token at position %zu is not finite or beyond fp32 sums", pos);
    return prism_fail(err, PRISM_E_NUMERIC, "layer %zu: the output at position %zu is not finite or beyond fp32 sums", c->running_layer - 1, pos);
}

enum prism_status prism_fail_fault(const struct prism_context *c, struct prism_error *err)
{
    static const char *const names[] = { [PRISM_FAULT_QUERIES] = "queries", [PRISM_FAULT_KEYS] = "keys", [PRISM_FAULT_VALUES] = "values",
                                         [PRISM_FAULT_KEY_RANGE] = "keys", [PRISM_FAULT_VALUE_RANGE] = "values" };
    uint64_t code = atomic_load_explicit(&c->fault, memory_order_relaxed);
    size_t pos = (size_t)(code >> 32), head = (size_t)(code & 0xffffff), layer = c->running_layer;
    enum prism_fault fault = (enum prism_fault)(code >> 24 & 0xff);

    switch (fault) {
    case PRISM_FAULT_INPUT:
        return fail_input(c, pos, err);
    case PRISM_FAULT_QUERIES: case PRISM_FAULT_KEYS: case PRISM_FAULT_VALUES:
        return prism_fail(err, PRISM_E_NUMERIC, "layer %zu: %s of head %zu at position %zu are not finite or beyond fp32 sums", layer,
                          names[fault], head, pos);
    case PRISM_FAULT_KEY_RANGE: case PRISM_FAULT_VALUE_RANGE:
        return prism_fail(err, PRISM_E_NUMERIC, "layer %zu: %s of head %zu at position %zu %s", layer, names[fault], head, pos,
                          range_advice[fault == PRISM_FAULT_KEY_RANGE ? c->k_cache.format : c->v_cache.format]);
    case PRISM_FAULT_ATTENTION:
        return prism_fail(err, PRISM_E_NUMERIC, "layer %zu: attention's output at position %zu is not finite or beyond fp32 sums", layer, pos);
    case PRISM_FAULT_ROUTER:
        return prism_fail(err, PRISM_E_NUMERIC, "layer %zu: the router's output at position %zu is not finite", layer, pos);
    case PRISM_FAULT_FFN:
        return prism_fail(err, PRISM_E_NUMERIC, "layer %zu: the FFN's output at position %zu is not finite or beyond fp32 sums", layer, pos);
    case PRISM_FAULT_EMBD:
        return prism_fail(err, PRISM_E_NUMERIC, "layer %zu: its embedding of the token at position %zu is not finite or beyond fp32 sums", layer,
                          pos);
    case PRISM_FAULT_LOGITS:
        break;
    }
    return prism_fail(err, PRISM_E_NUMERIC, "logits at position %zu are not finite", pos);
}
