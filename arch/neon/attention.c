/* attention.c - fp32 attention: the two products of attn_body.h as tiles of 8 by 8 (16 accumulators, 4 operand vectors,
 * 16 FMA per 4 loads). */
#include "arch/neon/attn_body.h"

#define FMA_PAIR(i, x0, x1, a, lane)                 \
    c##i##0 = vfmaq_laneq_f32(c##i##0, x0, a, lane); \
    c##i##1 = vfmaq_laneq_f32(c##i##1, x1, a, lane);
#define FMA_8(x0, x1, a0, a1)                                                                             \
    FMA_PAIR(0, x0, x1, a0, 0) FMA_PAIR(1, x0, x1, a0, 1) FMA_PAIR(2, x0, x1, a0, 2) FMA_PAIR(3, x0, x1, a0, 3) \
    FMA_PAIR(4, x0, x1, a1, 0) FMA_PAIR(5, x0, x1, a1, 1) FMA_PAIR(6, x0, x1, a1, 2) FMA_PAIR(7, x0, x1, a1, 3)

/* o[8 keys][8 rows]: the scores of one panel of keys. */
static __attribute__((noinline)) void scores_8x8(float *o, const float *q, const float *k, size_t d)
{
    PRISM_TILE_EACH(PRISM_TILE_ZERO)
    for (size_t i = 0; i < d; i++, q += 8, k += 8) {
        float32x4_t q0 = vld1q_f32(q), q1 = vld1q_f32(q + 4), k0 = vld1q_f32(k), k1 = vld1q_f32(k + 4);
        FMA_8(q0, q1, k0, k1)
    }
    PRISM_TILE_EACH(PRISM_TILE_STORE)
}

static void scores(float *s, const float *q, const float *k, size_t d, size_t begin, size_t end)
{
    for (size_t j = begin; j < end; j += 8)
        scores_8x8(s + j * 8, q, k + j * d, d);
}

/* o[8 rows][8 dims] = alpha * o + p.v over n keys. */
static __attribute__((noinline)) void values_8x8(float *o, const float *p, const float *v, const float *alpha, size_t n)
{
    PRISM_TILE_EACH(PRISM_TILE_LOAD)
    for (size_t j = 0; j < n; j++, p += 8, v += 8) {
        float32x4_t p0 = vld1q_f32(p), p1 = vld1q_f32(p + 4), v0 = vld1q_f32(v), v1 = vld1q_f32(v + 4);
        FMA_8(v0, v1, p0, p1)
    }
    PRISM_TILE_EACH(PRISM_TILE_STORE)
}

/* o[8 dims] of a row += p.v over keys begin .. end - 1; p: the row's column of [key][8]. */
static void add_row(float *o, const float *p, const float *v, size_t begin, size_t end)
{
    float32x4_t o0 = vld1q_f32(o), o1 = vld1q_f32(o + 4);
    for (size_t j = begin; j < end; j++) {
        o0 = vfmaq_n_f32(o0, vld1q_f32(v + 8 * j), p[8 * j]);
        o1 = vfmaq_n_f32(o1, vld1q_f32(v + 8 * j + 4), p[8 * j]);
    }
    vst1q_f32(o, o0);
    vst1q_f32(o + 4, o1);
}

/* The keys that every row sees, begin .. end - 1, go through the tile, the up to 7 before and after them row by row, in the same order. */
static void values(float *o, const float *p, const float *v, const struct prism_attn_step *step)
{
    static const float once[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const size_t gone = prism_attn_gone(step, 7), end = prism_attn_seen(step, 0), begin = gone < end ? gone : end;
    const bool window = gone > 0; /* then alpha comes before the keys that only some rows see */

    for (size_t c = 0; c < step->d; c += 8, o += 64, v += step->block * 8) {
        for (size_t r = 0; r < 8 && window; r++) {
            for (size_t i = 0; i < 8; i += 4)
                vst1q_f32(o + 8 * r + i, vmulq_n_f32(vld1q_f32(o + 8 * r + i), step->alpha[r]));
            add_row(o + 8 * r, p + r, v, prism_attn_gone(step, r), begin);
        }
        values_8x8(o, p + 8 * begin, v + 8 * begin, window ? once : step->alpha, end - begin);
        for (size_t r = 1; r < 8; r++) {
            const size_t first = prism_attn_gone(step, r);
            add_row(o + 8 * r, p + r, v, first > end ? first : end, prism_attn_seen(step, r));
        }
    }
}

static size_t block_bytes(size_t d, size_t block) { return block * d * sizeof(float); }
static size_t tile_scratch(size_t d, size_t block) { return prism_attn_scratch_bytes(d, block); }

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    prism_attn_pack_k(dst, src, format, n, d, block);
}

/* [d / 8][key][8] */
static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    size_t row_bytes = prism_kv_row_bytes(format, d);
    float x[PRISM_MAX_HEAD_DIM];

    assert(n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM && (uintptr_t)dst % 64 == 0);
    for (size_t j = 0; j < block; j++) {
        if (j < n)
            prism_attn_floats(x, (const char *)src + j * row_bytes, format, d);
        else
            memset(x, 0, d * sizeof *x);
        for (size_t c = 0; c < d; c += 8)
            memcpy((float *)dst + c * block + j * 8, x + c, 8 * sizeof *x);
    }
}

static void tile(const struct prism_attn_tile *t)
{
    prism_attn_tile_body(t);
}

const struct prism_attention prism_attention_f32_neon = {
    .name = "f32", .tile_rows = PRISM_ATTN_ROWS, .k_block_bytes = block_bytes, .v_block_bytes = block_bytes,
    .tile_scratch = tile_scratch, .pack_k = pack_k, .pack_v = pack_v, .tile = tile, .err = 2e-5f,
};
