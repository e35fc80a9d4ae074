/* attention.c - bf16 attention: the two products of arch/neon/attn_body.h with BFDOT, tiles of 8 by 8 as in fp32 but with two
 * neighbouring d (scores) or keys (values) per step. q, k, v and the unnormalised probabilities are rounded to bf16, sums are
 * fp32. Pairs are multiplied by the same instruction, in the same order, wherever a row lies in its tile. */
#include "arch/neon/attn_body.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

#define DOT_PAIR(i, x0, x1, a, lane)                   \
    c##i##0 = vbfdotq_laneq_f32(c##i##0, x0, a, lane); \
    c##i##1 = vbfdotq_laneq_f32(c##i##1, x1, a, lane);
#define DOT_8(x0, x1, a0, a1)                                                                             \
    DOT_PAIR(0, x0, x1, a0, 0) DOT_PAIR(1, x0, x1, a0, 1) DOT_PAIR(2, x0, x1, a0, 2) DOT_PAIR(3, x0, x1, a0, 3) \
    DOT_PAIR(4, x0, x1, a1, 0) DOT_PAIR(5, x0, x1, a1, 1) DOT_PAIR(6, x0, x1, a1, 2) DOT_PAIR(7, x0, x1, a1, 3)

/* o[8 keys][8 rows]: the scores of one panel of keys. */
static void scores_8x8(float *o, const bfloat16_t *q, const bfloat16_t *k, size_t d)
{
    PRISM_TILE_EACH(PRISM_TILE_ZERO)
    for (size_t i = 0; i < d; i += 2, q += 16, k += 16) {
        bfloat16x8_t q0 = vld1q_bf16(q), q1 = vld1q_bf16(q + 8), k0 = vld1q_bf16(k), k1 = vld1q_bf16(k + 8);
        DOT_8(q0, q1, k0, k1)
    }
    PRISM_TILE_EACH(PRISM_TILE_STORE)
}

static void scores(float *s, const void *q, const void *k, size_t d, size_t n_keys)
{
    for (size_t j = 0; j < n_keys; j += 8)
        scores_8x8(s + j * 8, q, (const bfloat16_t *)k + j * d, d);
}

/* o[8 rows][8 dims] = alpha * o + p.v over n keys, n even. */
static void values_8x8(float *o, const bfloat16_t *p, const bfloat16_t *v, const float *alpha, size_t n)
{
    PRISM_TILE_EACH(PRISM_TILE_LOAD)
    for (size_t j = 0; j < n; j += 2, p += 16, v += 16) {
        bfloat16x8_t p0 = vld1q_bf16(p), p1 = vld1q_bf16(p + 8), v0 = vld1q_bf16(v), v1 = vld1q_bf16(v + 8);
        DOT_8(v0, v1, p0, p1)
    }
    PRISM_TILE_EACH(PRISM_TILE_STORE)
}

/* p[key][8] to bf16 pairs [key / 2][8][2]. */
static void pack_p(uint16_t *pairs, const float *p, size_t n_keys)
{
    for (size_t j = 0; j < n_keys; j += 2, p += 16, pairs += 16) {
        uint16x8_t first = vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(vld1q_f32(p)), vld1q_f32(p + 4)));
        uint16x8_t second = vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(vld1q_f32(p + 8)), vld1q_f32(p + 12)));
        vst1q_u16(pairs, vzip1q_u16(first, second));
        vst1q_u16(pairs + 8, vzip2q_u16(first, second));
    }
}

/* Row r's keys j..seen, j even; the value of a key that it does not see counts as 0. */
static void values_row(float *o, const uint16_t *pairs, const bfloat16_t *v, size_t r, size_t j, size_t seen)
{
    float32x4_t o0 = vld1q_f32(o), o1 = vld1q_f32(o + 4);
    for (; j < seen; j += 2) {
        const uint32x4_t keep = vdupq_n_u32(j + 1 < seen ? 0xffffffff : 0xffff);
        uint32x4_t v0 = vreinterpretq_u32_bf16(vld1q_bf16(v + 8 * j)), v1 = vreinterpretq_u32_bf16(vld1q_bf16(v + 8 * j + 8));
        uint32_t pair;
        memcpy(&pair, pairs + 8 * j + 2 * r, sizeof pair);
        bfloat16x8_t p = vreinterpretq_bf16_u32(vdupq_n_u32(pair));
        o0 = vbfdotq_f32(o0, vreinterpretq_bf16_u32(vandq_u32(v0, keep)), p);
        o1 = vbfdotq_f32(o1, vreinterpretq_bf16_u32(vandq_u32(v1, keep)), p);
    }
    vst1q_f32(o, o0);
    vst1q_f32(o + 4, o1);
}

static void values(float *o, const float *p, const void *v, void *pairs, const struct prism_attn_step *step)
{
    size_t all = prism_attn_row_keys(step, 0) & ~(size_t)1;
    const bfloat16_t *panel = v;

    pack_p(pairs, p, step->n_keys);
    for (size_t c = 0; c < step->d; c += 8, o += 64, panel += step->block * 8) {
        values_8x8(o, pairs, panel, step->alpha, all);
        for (size_t r = 0; r < 8; r++)
            values_row(o + 8 * r, pairs, panel, r, all, prism_attn_row_keys(step, r));
    }
}

static size_t block_bytes(size_t d, size_t block) { return block / 8 * prism_attn_panel_bytes(true, d); }
static size_t tile_scratch(size_t d, size_t block) { return prism_attn_scratch_bytes(true, d, block); }

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    prism_attn_pack_k(true, dst, src, format, n, d, block);
}

/* [d / 8][key / 2][8][2] */
static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    size_t row_bytes = d * (format == PRISM_KVF_F32 ? 4 : 2);
    float x[PRISM_MAX_HEAD_DIM];
    uint16_t y[2][PRISM_MAX_HEAD_DIM];

    assert(n <= block && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM && (uintptr_t)dst % 64 == 0);
    for (size_t j = 0; j < block; j += 2) {
        for (size_t i = 0; i < 2; i++) {
            if (j + i < n)
                prism_attn_floats(x, (const char *)src + (j + i) * row_bytes, format, d);
            else
                memset(x, 0, d * sizeof *x);
            prism_pairs_bf16(y[i], x, d);
        }
        for (size_t c = 0; c < d; c += 8) {
            uint16x8_t first = vld1q_u16(y[0] + c), second = vld1q_u16(y[1] + c);
            vst1q_u16((uint16_t *)dst + c * block + j * 8, vzip1q_u16(first, second));
            vst1q_u16((uint16_t *)dst + c * block + j * 8 + 8, vzip2q_u16(first, second));
        }
    }
}

static void tile(const struct prism_attn_tile *t)
{
    prism_attn_tile_body(t, (struct prism_attn_ops){ .bf16 = true, .scores = scores, .values = values });
}

const struct prism_attention prism_attention_bf16_neon_i8mm_bf16 = {
    .name = "bf16", .tile_rows = PRISM_ATTN_ROWS, .k_block_bytes = block_bytes, .v_block_bytes = block_bytes,
    .tile_scratch = tile_scratch, .pack_k = pack_k, .pack_v = pack_v, .tile = tile, .err = 0.05f,
};
