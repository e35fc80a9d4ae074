/* attn_body.h - causal attention of one query tile, online softmax: everything but the two products, which attention.c supplies.
 *
 * Rows are worked on in panels of 8, which are the lanes of two vectors: scores lie transposed, [key][8 rows], so that mask,
 * maximum, exponential and sum need no horizontal step, and the same memory is the left operand of P.V. Layouts:
 *     q, k   [row / 8][d][8]              v   [d / 8][key][8]              o   [row / 8][d / 8][8 rows][8 dims]
 * Keys right of a panel's last row and left of its first row's window are not touched (in steps of 8), and no product is made of a masked
 * key's value: a row does not see what lies behind its own position or before its window, be it NaN. The sums of a row go in the order of d
 * and of the keys, so its bits do not depend on the tile around it. Source: Milakov & Gimelshein 2018 (online softmax). */
#ifndef PRISM_ARCH_NEON_ATTN_BODY_H
#define PRISM_ARCH_NEON_ATTN_BODY_H

#include <math.h>

#include "arch/generic/attn_keys.h"
#include "arch/generic/pack.h"
#include "arch/neon/neon.h"

enum { PRISM_ATTN_ROWS = 32, PRISM_ATTN_PANELS = PRISM_ATTN_ROWS / 8 };

/* One panel of 8 rows, the first of them `row`, against one block. */
struct prism_attn_step {
    size_t d, block, row;
    struct keys keys;
    size_t begin, end;   /* keys to score: what some row sees, in steps of 8 */
    float cap;           /* the softcap in powers of two, or 0 */
    float alpha[8];      /* what the old output of each row is multiplied with */
};

/* Row r of the panel sees keys gone .. seen - 1 of the block. */
static inline size_t prism_attn_gone(const struct prism_attn_step *s, size_t r) { return keys_gone(&s->keys, s->row + r); }
static inline size_t prism_attn_seen(const struct prism_attn_step *s, size_t r) { return keys_seen(&s->keys, s->row + r); }

/* The products, of one panel of 8 rows: attention.c. */
static void scores(float *s, const float *q, const float *k, size_t d, size_t begin, size_t end); /* s[key][8] = k.q */
static void values(float *o, const float *p, const float *v, const struct prism_attn_step *step); /* o = alpha*o + p.v */

struct prism_attn_scratch {
    float *q;            /* PANELS panels of [d][8] */
    float *o, *s;        /* [PANELS][d][8], [block][8] */
    float *m, *l;        /* [ROWS]: running maximum and sum */
};

static inline size_t prism_attn_scratch_bytes(size_t d, size_t block)
{
    return (2 * PRISM_ATTN_PANELS * d * 8 + block * 8 + 2 * PRISM_ATTN_ROWS) * sizeof(float);
}

static inline struct prism_attn_scratch prism_attn_divide(void *memory, size_t d, size_t block)
{
    struct prism_attn_scratch s = { .q = memory };
    s.o = s.q + PRISM_ATTN_PANELS * d * 8;
    s.s = s.o + PRISM_ATTN_PANELS * d * 8;
    s.m = s.s + block * 8;
    s.l = s.m + PRISM_ATTN_ROWS;
    return s;
}

/* n stored numbers as floats. */
static inline void prism_attn_floats(float *y, const void *x, enum prism_kv_format format, size_t n)
{
    prism_kernels_neon.to_f32[prism_kv_stored(format)](y, x, n);
}

/* Four rows of d floats as four columns of [d][8]. */
static inline void prism_attn_put_4(uint32_t *dst, float (*x)[PRISM_MAX_HEAD_DIM], size_t d)
{
    uint32_t row[4][PRISM_PACK_PIECE];

    for (size_t c = 0, n; c < d; c += n) {
        n = d - c < PRISM_PACK_PIECE ? d - c : PRISM_PACK_PIECE;
        for (size_t i = 0; i < 4; i++)
            memcpy(row[i], x[i] + c, n * sizeof **x);
        prism_transpose_4(dst + c * 8, 8, 4, row, n);
    }
}

/* Keys (or queries: one row of each panel) to panels of 8. */
static inline void prism_attn_pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    size_t row_bytes = prism_kv_row_bytes(format, d);
    float x[4][PRISM_MAX_HEAD_DIM];

    assert(n <= block && block % 8 == 0 && d % 8 == 0 && d <= PRISM_MAX_HEAD_DIM && (uintptr_t)dst % 64 == 0);
    for (size_t j = 0; j < block; j += 4) {
        for (size_t i = 0; i < 4; i++) {
            if (j + i < n)
                prism_attn_floats(x[i], (const char *)src + (j + i) * row_bytes, format, d);
            else
                memset(x[i], 0, d * sizeof **x);
        }
        prism_attn_put_4((uint32_t *)dst + j / 8 * d * 8 + j % 8, x, d);
    }
}

/* The query rows, times the softmax scale and log2(e): the exponential is one of base 2. Missing rows become zeros. */
static inline void prism_attn_pack_q(float *dst, const struct prism_attn_tile *t)
{
    float scale = t->scale * LOG2_E, x[4][PRISM_MAX_HEAD_DIM];

    for (size_t r = 0; r < PRISM_ATTN_ROWS; r += 4) {
        for (size_t i = 0; i < 4; i++) {
            if (r + i >= t->rows) {
                memset(x[i], 0, t->d * sizeof **x);
                continue;
            }
            for (size_t c = 0; c < t->d; c += 4)
                vst1q_f32(x[i] + c, vmulq_n_f32(vld1q_f32(t->q + (r + i) * t->ldq + c), scale));
        }
        prism_attn_put_4((uint32_t *)(void *)dst + r / 8 * t->d * 8 + r % 8, x, t->d);
    }
}

/* Scores become logits with the cap. */
static inline void prism_attn_cap(float *s, const struct prism_attn_step *step)
{
    const float inverse = 1 / step->cap;
    for (size_t i = 8 * step->begin; i < 8 * step->end; i += 4) {
        const float32x4_t x = vld1q_f32(s + i), number = vfmaq_f32(x, x, vdupq_n_f32(0)); /* infinity to NaN */
        vst1q_f32(s + i, vmulq_n_f32(prism_tanh_neon(vmulq_n_f32(number, inverse)), step->cap));
    }
}

/* Scores to unnormalised probabilities in place; updates the running maximum m and sum l, sets step->alpha. */
static __attribute__((noinline)) void prism_attn_softmax(float *s, float *m, float *l, struct prism_attn_step *step)
{
    const float32x4_t none = vdupq_n_f32(-INFINITY), zero = vdupq_n_f32(0);
    const uint32x4_t row0 = { 0, 1, 2, 3 }, row1 = { 4, 5, 6, 7 };
    float32x4_t old0 = vld1q_f32(m), old1 = vld1q_f32(m + 4), max0 = old0, max1 = old1;
    const size_t seen = prism_attn_seen(step, 0), gone = prism_attn_gone(step, 7), all = gone < seen ? seen - gone : 0; /* that every row sees */

    for (size_t j = step->begin; j < step->end; j++) {
        float32x4_t s0 = vld1q_f32(s + 8 * j), s1 = vld1q_f32(s + 8 * j + 4);
        s0 = vfmaq_f32(s0, s0, zero); /* infinity to NaN, which the maximum keeps: -infinity would have no weight */
        s1 = vfmaq_f32(s1, s1, zero);
        if (__builtin_expect(j - gone >= all, 0)) { /* or before gone; rows first .. end - 1 see key j. Rare: out of the way */
            const uint32x4_t first = vdupq_n_u32((uint32_t)keys_first_row(&step->keys, step->row, j, 8));
            const uint32x4_t end = vdupq_n_u32((uint32_t)keys_end_row(&step->keys, step->row, j, 8));
            s0 = vbslq_f32(vandq_u32(vcgeq_u32(row0, first), vcltq_u32(row0, end)), s0, none);
            s1 = vbslq_f32(vandq_u32(vcgeq_u32(row1, first), vcltq_u32(row1, end)), s1, none);
            vst1q_f32(s + 8 * j, s0);
            vst1q_f32(s + 8 * j + 4, s1);
        }
        max0 = vmaxq_f32(max0, s0);
        max1 = vmaxq_f32(max1, s1);
    }
    vst1q_f32(m, max0);
    vst1q_f32(m + 4, max1);
    /* A row that has seen nothing yet: -inf - -inf would be NaN; its probabilities are 0. */
    max0 = vbslq_f32(vceqq_f32(max0, none), vdupq_n_f32(0), max0);
    max1 = vbslq_f32(vceqq_f32(max1, none), vdupq_n_f32(0), max1);

    float32x4_t alpha0 = prism_exp2_neon(vsubq_f32(old0, max0)), alpha1 = prism_exp2_neon(vsubq_f32(old1, max1));
    float32x4_t sum0 = vmulq_f32(vld1q_f32(l), alpha0), sum1 = vmulq_f32(vld1q_f32(l + 4), alpha1);
    for (size_t j = step->begin; j < step->end; j++) {
        float32x4_t p0 = prism_exp2_neon(vsubq_f32(vld1q_f32(s + 8 * j), max0));
        float32x4_t p1 = prism_exp2_neon(vsubq_f32(vld1q_f32(s + 8 * j + 4), max1));
        vst1q_f32(s + 8 * j, p0);
        vst1q_f32(s + 8 * j + 4, p1);
        sum0 = vaddq_f32(sum0, p0);
        sum1 = vaddq_f32(sum1, p1);
    }
    vst1q_f32(l, sum0);
    vst1q_f32(l + 4, sum1);
    vst1q_f32(step->alpha, alpha0);
    vst1q_f32(step->alpha + 4, alpha1);
}

/* o[row] = accumulated output / sum, for the rows that exist. */
static inline void prism_attn_finish(const struct prism_attn_tile *t, const float *o, const float *l)
{
    for (size_t r = 0; r < t->rows; r++) {
        const float *from = o + r / 8 * t->d * 8 + r % 8 * 8;
        float inverse = 1.0f / l[r];
        for (size_t c = 0; c < t->d; c += 8, from += 64) {
            vst1q_f32(t->o + r * t->ldo + c, vmulq_n_f32(vld1q_f32(from), inverse));
            vst1q_f32(t->o + r * t->ldo + c + 4, vmulq_n_f32(vld1q_f32(from + 4), inverse));
        }
    }
}

/* The tile. Blocks outside, panels inside: a block of K and V is read by all panels while it is in the cache. */
static inline void prism_attn_tile_body(const struct prism_attn_tile *t)
{
    size_t d = t->d, block = t->block, panels = (t->rows + 7) / 8;
    struct prism_attn_scratch w = prism_attn_divide(t->scratch, d, block);

    assert(t->rows >= 1 && t->rows <= PRISM_ATTN_ROWS && d % 8 == 0 && d >= 8 && d <= PRISM_MAX_HEAD_DIM && t->n_blocks > 0);
    assert(block % PRISM_ATTN_ROWS == 0 && t->kv_len >= t->q_pos + t->rows && (uintptr_t)t->scratch % 64 == 0);
    prism_attn_pack_q(w.q, t);
    memset(w.o, 0, panels * d * 8 * sizeof *w.o);
    for (size_t r = 0; r < PRISM_ATTN_ROWS; r++)
        start_row(t, LOG2_E, &w.m[r], &w.l[r]);

    for (size_t b = 0; b < t->n_blocks; b++) {
        const float *k = (const float *)t->k + t->blocks[b] * block * d, *v = (const float *)t->v + t->blocks[b] * block * d;
        for (size_t p = 0; p < panels; p++) {
            struct prism_attn_step step = { .d = d, .block = block, .row = 8 * p, .keys = keys_of_block(t, t->blocks[b]) };
            step.cap = t->softcap * LOG2_E;
            step.begin = prism_attn_gone(&step, 0) / 8 * 8;
            step.end = (prism_attn_seen(&step, 7) + 7) / 8 * 8;
            if (step.begin >= step.end)
                continue;
            scores(w.s, w.q + p * d * 8, k, d, step.begin, step.end);
            if (step.cap > 0)
                prism_attn_cap(w.s, &step);
            prism_attn_softmax(w.s, w.m + 8 * p, w.l + 8 * p, &step);
            values(w.o + p * d * 8, w.s, v, &step);
        }
    }
    prism_attn_finish(t, w.o, w.l);
}

/* ---- the tile of 8 by 8 of both products: accumulators c00..c71, two vectors for each of 8 rows (scores: keys) ---- */

#define PRISM_TILE_ZERO(i) float32x4_t c##i##0 = vdupq_n_f32(0), c##i##1 = c##i##0;
#define PRISM_TILE_LOAD(i)                                                         \
    float32x4_t c##i##0 = vmulq_n_f32(vld1q_f32(o + 8 * (i)), alpha[i]),           \
                c##i##1 = vmulq_n_f32(vld1q_f32(o + 8 * (i) + 4), alpha[i]);
#define PRISM_TILE_STORE(i)              \
    vst1q_f32(o + 8 * (i), c##i##0);     \
    vst1q_f32(o + 8 * (i) + 4, c##i##1);
#define PRISM_TILE_EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)

#endif
