/* attention_i16.c - attention on int16 with int32 sums by matrix products of bytes. What is rounded, and why no sum overflows, is said in
 * arch/generic/attention_i16.c; here norms are 32639, so that q = 256 * high + low has signed bytes.
 *
 * A product of integers is four of bytes, of 32 multiply-adds each: high by high over all of the sum, a shift by 8, high by low and low by high, a
 * shift, low by low; twice what FMA does, and exact. Tiles are 8 rows by 8 keys (columns): 16 sums of 2x2 elements, which stay in that order:
 * scores are [keys / 8][4 pairs of rows][4 pairs of keys][2][2], outputs [d / 8][4 pairs of rows][4 pairs of columns][2][2].
 * attention_i16.h has the operands; probabilities are like queries, of unsigned bytes, with keys along the sum.
 * Rows are worked on in panels of 8. The masked part of a panel's keys has probability 0. */
#include "arch/neon_i8mm_bf16/attention_i16.h"

enum { ROWS = 32, PANELS = ROWS / 8, MAX_BLOCK = 256 };

struct scratch {
    int8_t *q, *p;                               /* [PANELS][d / 8] steps; [block / 8] steps */
    float *o, *s;                                /* [PANELS][d / 8][64]; [block / 8][64] */
    float *max, *sum, *q_step, *to_cap;          /* [ROWS] each */
};

static size_t tile_scratch(size_t d, size_t block) { return PANELS * d * 48 + block * 48 + 4 * ROWS * sizeof(float); }

static struct scratch divide(void *memory, size_t d, size_t block)
{
    struct scratch w = { .q = memory };
    w.p = w.q + PANELS * d * 16;
    w.o = (float *)(void *)(w.p + block * 16);
    w.s = w.o + PANELS * d * 8;
    w.max = w.s + block * 8;
    w.sum = w.max + ROWS;
    w.q_step = w.sum + ROWS;
    w.to_cap = w.q_step + ROWS;
    return w;
}

/* ---- queries ---- */

static void pack_q(const struct scratch *w, const struct prism_attn_tile *t)
{
    float x[PRISM_MAX_HEAD_DIM];

    memset(w->q, 0, PANELS * t->d * 16);
    for (size_t r = 0; r < ROWS; r++) {
        w->q_step[r] = 0;
        if (r < t->rows) {
            memcpy(x, t->q + r * t->ldq, t->d * sizeof *x);
            w->q_step[r] = prism_quantize_i16_neon_i8mm_bf16(w->q + r / 8 * t->d * 16, r % 8, x, t->d) * (t->scale * LOG2_E);
        }
        start_cap(t->softcap * LOG2_E, &w->q_step[r], &w->to_cap[r]);
    }
}

/* ---- products ---- */

/* {x0 x1 x0 x1}, {x0 x0 x1 x1}: numbers of two columns, of two rows. */
static inline float32x4_t of_columns(const float *x) { return vreinterpretq_f32_f64(vld1q_dup_f64((const double *)(const void *)x)); }
static inline float32x4_t of_rows(const float *x) { return vcombine_f32(vdup_n_f32(x[0]), vdup_n_f32(x[1])); }

/* What is read after this is read there and not earlier: a copy of a register would take the place of a product. */
#define HERE __asm__ volatile("" ::: "memory");

static const int32_t no_sums[4];

#define EACH_SUM(M)                                                                                                            \
    M(0, 0) M(0, 1) M(0, 2) M(0, 3) M(1, 0) M(1, 1) M(1, 2) M(1, 3) M(2, 0) M(2, 1) M(2, 2) M(2, 3) M(3, 0) M(3, 1) M(3, 2) M(3, 3)
#define SUM_ZERO(r, j) HERE int32x4_t i##r##j = vld1q_s32(zeros);
#define SUM_SHIFT(r, j) i##r##j = vshlq_n_s32(i##r##j, 8);
#define SUM_SMMLA(j)                        \
    i0##j = vmmlaq_s32(i0##j, a0, b);       \
    i1##j = vmmlaq_s32(i1##j, a1, b);       \
    i2##j = vmmlaq_s32(i2##j, a2, b);       \
    i3##j = vmmlaq_s32(i3##j, a3, b);
#define SUM_USMMLA(j)                       \
    i0##j = vusmmlaq_s32(i0##j, a0, b);     \
    i1##j = vusmmlaq_s32(i1##j, a1, b);     \
    i2##j = vusmmlaq_s32(i2##j, a2, b);     \
    i3##j = vusmmlaq_s32(i3##j, a3, b);

/* The products of the bytes at a and b, high (0) or low (64), of a step. */
#define BYTES(type, load, dot, a, b_at)                                                                     \
    {                                                                                                       \
        HERE const type a0 = load(a), a1 = load((a) + 16), a2 = load((a) + 32), a3 = load((a) + 48);        \
        int8x16_t b = vld1q_s8(b_at);                                                                       \
        dot(0) HERE b = vld1q_s8((b_at) + 16);                                                              \
        dot(1) HERE b = vld1q_s8((b_at) + 32);                                                              \
        dot(2) HERE b = vld1q_s8((b_at) + 48);                                                              \
        dot(3)                                                                                              \
    }
#define PASS(type, load, dot, a, b)                                         \
    at = 0;                                                                 \
    do {                                                                    \
        BYTES(type, load, dot, (a) + at, (b) + at)                          \
        at += STEP;                                                         \
    } while (at < end);
/* The sums of n >= 1 steps of integers. */
#define INTEGERS(type, load, dot, a, b, n)                                                          \
    const size_t end = (n) * STEP;                                                                  \
    const int32_t *zeros = no_sums;                                                                 \
    size_t at;                                                                                      \
    __asm__("" : "+r"(zeros)); /* not known to be constant: loads take no place of a product */     \
    EACH_SUM(SUM_ZERO)                                                                              \
    PASS(type, load, dot, a, b)                                                                     \
    EACH_SUM(SUM_SHIFT)                                                                             \
    PASS(type, load, dot, a, (b) + 64)                                                              \
    PASS(type, load, dot, (a) + 64, b)                                                              \
    EACH_SUM(SUM_SHIFT)                                                                             \
    PASS(type, load, dot, (a) + 64, (b) + 64)

/* The scores of 8 rows and 8 keys, in units of the queries' steps. */
static __attribute__((noinline)) void scores_8x8(float *s, const int8_t *q, const int8_t *k, const float *k_step, size_t d)
{
    INTEGERS(int8x16_t, vld1q_s8, SUM_SMMLA, q, k, d / 8)
    HERE const float32x4_t step0 = of_columns(k_step), step1 = of_columns(k_step + 2), step2 = of_columns(k_step + 4), step3 = of_columns(k_step + 6);
#define PUT(r, j) vst1q_f32(s + 16 * (r) + 4 * (j), vmulq_f32(vcvtq_f32_s32(i##r##j), step##j));
    EACH_SUM(PUT)
}

/* O of 8 rows and 8 columns += beta * (step * P.V) over n steps of a chunk; beta: [4] vectors of pairs of rows. */
static __attribute__((noinline)) void values_8x8(float *o, const uint8_t *p, const int8_t *v, const float *beta, const float *v_step, size_t n)
{
    INTEGERS(uint8x16_t, vld1q_u8, SUM_USMMLA, p, v, n)
    HERE const float32x4_t step0 = of_columns(v_step), step1 = of_columns(v_step + 2), step2 = of_columns(v_step + 4), step3 = of_columns(v_step + 6);
#define ADD(r, j)                                                                                                                   \
    vst1q_f32(o + 16 * (r) + 4 * (j),                                                                                               \
              vfmaq_f32(vld1q_f32(o + 16 * (r) + 4 * (j)), vmulq_f32(vcvtq_f32_s32(i##r##j), step##j), vld1q_f32(beta + 4 * (r))));
    EACH_SUM(ADD)
}

/* ---- softmax ---- */

/* One panel of rows against one block: keys 8 * begin .. 8 * end - 1 are scored. Vectors of pairs of rows. */
struct step {
    size_t begin, end;
    int32x4_t gone[4], seen[4];          /* keys that the rows see */
    size_t all_begin, all_end;           /* groups of 8 keys of which all rows see all */
    float unit[16], alpha[16], beta[16]; /* log2 of a unit of P in this block; factors of what was, and of this block, in O */
};

/* Rare: the compiler puts what follows out of the way. */
#define PARTLY_SEEN(st, g) __builtin_expect((g) < (st)->all_begin || (g) >= (st)->all_end, 0)

/* Whether the rows of pair r see the keys of vector j of group g. */
static inline uint32x4_t sees(const struct step *st, size_t r, size_t g, size_t j)
{
    static const int32_t lanes[4] = { 0, 1, 0, 1 };
    const int32x4_t key = vaddq_s32(vld1q_s32(lanes), vdupq_n_s32((int32_t)(8 * g + 2 * j)));
    return vandq_u32(vcgeq_s32(key, st->gone[r]), vcltq_s32(key, st->seen[r]));
}

/* {rows r, r + 1}: the largest scores of pair r of what its rows see; -infinity for none. */
static __attribute__((noinline)) float32x2_t largest(const struct step *st, const float *s, size_t r)
{
    const float32x4_t none = vdupq_n_f32(-INFINITY);
    float32x4_t m0 = none, m1 = none, m2 = none, m3 = none;
    for (size_t g = st->begin; g < st->end; g++) {
        const float *at = s + 64 * g + 16 * r;
        float32x4_t s0 = vld1q_f32(at), s1 = vld1q_f32(at + 4), s2 = vld1q_f32(at + 8), s3 = vld1q_f32(at + 12);
        if (PARTLY_SEEN(st, g)) {
            s0 = vbslq_f32(sees(st, r, g, 0), s0, none);
            s1 = vbslq_f32(sees(st, r, g, 1), s1, none);
            s2 = vbslq_f32(sees(st, r, g, 2), s2, none);
            s3 = vbslq_f32(sees(st, r, g, 3), s3, none);
        }
        m0 = vmaxq_f32(m0, s0);
        m1 = vmaxq_f32(m1, s1);
        m2 = vmaxq_f32(m2, s2);
        m3 = vmaxq_f32(m3, s3);
    }
    const float32x4_t m = vmaxq_f32(vmaxq_f32(m0, m1), vmaxq_f32(m2, m3));
    return vget_low_f32(vpmaxq_f32(m, m));
}

/* Constants of the exponential to which something is added, read where they are needed: a copy of a register would take the place of an operation. */
struct exp2_numbers {
    float magic[4], c0[4], c1[4], c2[4], c3[4];
};
static const struct exp2_numbers exp2_numbers = {
    { 0x1.8p23f, 0x1.8p23f, 0x1.8p23f, 0x1.8p23f },
    { 1, 1, 1, 1 },
    { 0.693114638f, 0.693114638f, 0.693114638f, 0.693114638f },
    { 0.240200251f, 0.240200251f, 0.240200251f, 0.240200251f },
    { 0.0559772737f, 0.0559772737f, 0.0559772737f, 0.0559772737f },
};

/* x = n + f, |f| <= 1/2; the low bits of t are n + 127, the exponent of 2^n. */
struct exponent {
    float32x4_t t, f;
};

/* Of x = s * step + minus_unit <= 13, where minus_unit is read. */
static inline struct exponent exponent_of(const float *s, float32x4_t step, const float *minus_unit)
{
    const float32x4_t biased = vdupq_n_f32(0x1.8p23f + 127);
    HERE const float32x4_t x = vmaxq_f32(vfmaq_f32(vld1q_f32(minus_unit), vld1q_f32(s), step), vdupq_n_f32(-20.0f));
    const float32x4_t t = vaddq_f32(x, biased);
    return (struct exponent){ t, vsubq_f32(x, vsubq_f32(t, biased)) };
}

/* An integer whose lower 16 bits are 2^x, rounded. As exp2_int of arch/avx2/attention_i16_body.h: 2^f by a polynomial of degree 4 (relative error
 * 4.5e-6, 0.04 of a unit at most; none at 0). */
static inline uint16x8_t exp2_bits(struct exponent x, const struct exp2_numbers *c)
{
    HERE float32x4_t p = vfmaq_f32(vld1q_f32(c->c3), x.f, vdupq_n_f32(0.00981465727f));
    HERE p = vfmaq_f32(vld1q_f32(c->c2), p, x.f);
    HERE p = vfmaq_f32(vld1q_f32(c->c1), p, x.f);
    HERE p = vfmaq_f32(vld1q_f32(c->c0), p, x.f);
    const float32x4_t power = vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(x.t), 23));
    HERE return vreinterpretq_u16_f32(vfmaq_f32(vld1q_f32(c->magic), p, power));
}

/* Scores of pair r to probabilities; returns their sums, {row r, row r + 1}. The exponents of a group of keys are found while the powers of the one
 * before are, because a window of instructions does not hold more than two groups from beginning to end. */
static __attribute__((noinline)) uint32x2_t probabilities(const struct step *st, uint8_t *p, const float *s, size_t r, float32x4_t q_step,
                                                          const float *minus_unit)
{
    static const uint8_t by_rows[16] = { 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15 };
    const uint8x16_t order = vld1q_u8(by_rows);
    const struct exp2_numbers *numbers = &exp2_numbers;
    const float *at = s + 64 * st->begin + 16 * r;
    uint32x4_t sum = vdupq_n_u32(0);

    __asm__("" : "+r"(numbers), "+r"(minus_unit)); /* not known to be constant */
    struct exponent x0 = exponent_of(at, q_step, minus_unit), x1 = exponent_of(at + 4, q_step, minus_unit);
    struct exponent x2 = exponent_of(at + 8, q_step, minus_unit), x3 = exponent_of(at + 12, q_step, minus_unit);
    for (size_t g = st->begin; g < st->end; g++) {
        at += g + 1 < st->end ? 64 : 0;
        uint16x8_t p0 = vuzp1q_u16(exp2_bits(x0, numbers), exp2_bits(x1, numbers));
        x0 = exponent_of(at, q_step, minus_unit);
        x1 = exponent_of(at + 4, q_step, minus_unit);
        uint16x8_t p1 = vuzp1q_u16(exp2_bits(x2, numbers), exp2_bits(x3, numbers));
        x2 = exponent_of(at + 8, q_step, minus_unit);
        x3 = exponent_of(at + 12, q_step, minus_unit);
        if (PARTLY_SEEN(st, g)) {
            p0 = vandq_u16(p0, vuzp1q_u16(vreinterpretq_u16_u32(sees(st, r, g, 0)), vreinterpretq_u16_u32(sees(st, r, g, 1))));
            p1 = vandq_u16(p1, vuzp1q_u16(vreinterpretq_u16_u32(sees(st, r, g, 2)), vreinterpretq_u16_u32(sees(st, r, g, 3))));
        }
        sum = vpadalq_u16(vpadalq_u16(sum, p0), p1);
        const uint8x16_t b0 = vreinterpretq_u8_u16(p0), b1 = vreinterpretq_u8_u16(p1);
        vst1q_u8(p + g * STEP + 16 * r, vqtbl1q_u8(vuzp2q_u8(b0, b1), order));
        vst1q_u8(p + g * STEP + 64 + 16 * r, vqtbl1q_u8(vuzp1q_u8(b0, b1), order));
    }
    return vadd_u32(vget_low_u32(sum), vget_high_u32(sum));
}

/* Unit, alpha and beta of row i of the panel, from the largest of its scores; a row that sees nothing keeps what it has. */
static void next_unit(struct step *st, float *max, size_t i, float top, float q_step, bool sees_some)
{
    const size_t at = i / 2 * 4 + i % 2 * 2;
    const float exact = fmaf(top, q_step, -P_BITS);
    const float unit = fmaf(fabsf(exact), 0x1p-23f, exact); /* one step up: no S - unit passes P_BITS by rounding */
    const float before = *max, now = unit > before || isnan(unit) ? unit : before;

    st->unit[at] = st->unit[at + 1] = sees_some ? unit : 0;
    st->alpha[at] = before - now;
    st->beta[at] = unit - now;
    if (sees_some)
        *max = now;
    else
        st->alpha[at] = 0, st->beta[at] = -INFINITY;
    st->alpha[at + 1] = st->alpha[at];
    st->beta[at + 1] = st->beta[at];
}

static __attribute__((noinline)) void softmax(struct step *st, const struct scratch *w, const struct keys *keys, size_t row)
{
    float minus_unit[16], top[8], here[8];

    for (size_t r = 0; r < 4; r++)
        vst1_f32(top + 2 * r, largest(st, w->s, r));
    for (size_t i = 0; i < 8; i++)
        next_unit(st, w->max + row + i, i, top[i], w->q_step[row + i], keys_gone(keys, row + i) < keys_seen(keys, row + i));
    for (size_t r = 0; r < 4; r++) {
        vst1q_f32(st->alpha + 4 * r, prism_exp2_neon(vld1q_f32(st->alpha + 4 * r)));
        vst1q_f32(st->beta + 4 * r, prism_exp2_neon(vld1q_f32(st->beta + 4 * r)));
        vst1q_f32(minus_unit + 4 * r, vnegq_f32(vld1q_f32(st->unit + 4 * r)));
        const uint32x2_t sums = probabilities(st, (uint8_t *)w->p, w->s, r, of_rows(w->q_step + row + 2 * r), minus_unit + 4 * r);
        vst1_f32(here + 2 * r, vcvt_f32_u32(sums));
    }
    for (size_t i = 0; i < 8; i++) {
        const size_t at = i / 2 * 4 + i % 2 * 2;
        w->sum[row + i] = w->sum[row + i] * st->alpha[at] + st->beta[at] * here[i];
    }
}

/* Scores become logits with the cap, in powers of two. */
static void cap_scores(const struct step *st, const struct scratch *w, size_t row, float cap)
{
    for (size_t g = st->begin; g < st->end; g++)
        for (size_t i = 0; i < 16; i++) {
            float *s = w->s + 64 * g + 4 * i;
            vst1q_f32(s, vmulq_n_f32(prism_tanh_neon(vmulq_f32(vld1q_f32(s), of_rows(w->to_cap + row + i / 4 * 2))), cap));
        }
}

/* ---- the tile ---- */

static struct step step_of(const struct keys *keys, size_t row)
{
    struct step st = { .begin = keys_gone(keys, row) / 8, .end = (keys_seen(keys, row + 7) + 7) / 8,
                       .all_begin = (keys_gone(keys, row + 7) + 7) / 8, .all_end = keys_seen(keys, row) / 8 };
    for (size_t r = 0; r < 4; r++) {
        const int32_t gone0 = (int32_t)keys_gone(keys, row + 2 * r), gone1 = (int32_t)keys_gone(keys, row + 2 * r + 1);
        const int32_t seen0 = (int32_t)keys_seen(keys, row + 2 * r), seen1 = (int32_t)keys_seen(keys, row + 2 * r + 1);
        st.gone[r] = vcombine_s32(vdup_n_s32(gone0), vdup_n_s32(gone1));
        st.seen[r] = vcombine_s32(vdup_n_s32(seen0), vdup_n_s32(seen1));
    }
    return st;
}

/* O *= alpha, where some alpha is not 1. */
static void rescale(float *o, const float *alpha, size_t d)
{
    float32x4_t same = vdupq_n_f32(0);
    for (size_t r = 0; r < 16; r += 4)
        same = vmaxq_f32(same, vabdq_f32(vld1q_f32(alpha + r), vdupq_n_f32(1)));
    if (vmaxvq_f32(same) <= 0)
        return;
    for (size_t i = 0; i < 8 * d; i += 4)
        vst1q_f32(o + i, vmulq_f32(vld1q_f32(o + i), vld1q_f32(alpha + i / 16 % 4 * 4)));
}

static void values(float *o, const struct step *st, const struct scratch *w, const int8_t *v, size_t d, size_t block)
{
    const float *v_step = (const float *)(const void *)(v + block * d * 2);
    const size_t chunk = chunk_keys(block) / 8;
    rescale(o, st->alpha, d);
    for (size_t c = 0; c < d; c += 8)
        for (size_t g = st->begin, end; g < st->end; g = end) {
            end = (g / chunk + 1) * chunk;
            end = st->end < end ? st->end : end;
            values_8x8(o + 8 * c, (const uint8_t *)w->p + g * STEP, v + (c / 8 * (block / 8) + g) * STEP, st->beta,
                       v_step + g / chunk * d + c, end - g);
        }
}

/* O over the sums, to the caller's rows. */
static void finish(const struct prism_attn_tile *t, const struct scratch *w)
{
    for (size_t r = 0; r < t->rows; r++) {
        const float *o = w->o + r / 8 * t->d * 8 + r % 8 / 2 * 16 + r % 2 * 2, inverse = 1 / w->sum[r];
        for (size_t c = 0; c < t->d; c += 2)
            vst1_f32(t->o + r * t->ldo + c, vmul_n_f32(vld1_f32(o + c / 8 * 64 + c % 8 / 2 * 4), inverse));
    }
}

static void tile(const struct prism_attn_tile *t)
{
    const size_t d = t->d, block = t->block;
    const struct scratch w = divide(t->scratch, d, block);

    assert(t->rows >= 1 && t->rows <= ROWS && d % 8 == 0 && d >= 8 && d <= PRISM_MAX_HEAD_DIM && t->n_blocks > 0);
    assert(block % ROWS == 0 && block <= MAX_BLOCK && t->kv_len >= t->q_pos + t->rows && (uintptr_t)t->scratch % 64 == 0);
    pack_q(&w, t);
    memset(w.o, 0, PANELS * d * 8 * sizeof *w.o);
    for (size_t r = 0; r < ROWS; r++)
        start_row(t, LOG2_E, &w.max[r], &w.sum[r]);

    for (size_t b = 0; b < t->n_blocks; b++) {
        const struct keys keys = keys_of_block(t, t->blocks[b]);
        const int8_t *k = (const int8_t *)t->k + t->blocks[b] * k_block_bytes(d, block);
        const int8_t *v = (const int8_t *)t->v + t->blocks[b] * v_block_bytes(d, block);
        const float *k_step = (const float *)(const void *)(k + block * d * 2);
        for (size_t row = 0; row < t->rows; row += 8) {
            struct step st = step_of(&keys, row);
            if (st.begin >= st.end)
                continue;
            for (size_t g = st.begin; g < st.end; g++)
                scores_8x8(w.s + 64 * g, w.q + row * d * 2, k + g * d * 16, k_step + 8 * g, d);
            if (t->softcap > 0)
                cap_scores(&st, &w, row, t->softcap * LOG2_E);
            softmax(&st, &w, &keys, row);
            values(w.o + row * d, &st, &w, v, d, block);
        }
    }
    finish(t, &w);
}

/* err: as arch/generic/attention_i16.c. */
const struct prism_attention prism_attention_i16_neon_i8mm_bf16 = {
    .name = "i16", .tile_rows = ROWS, .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = prism_pack_k_i16_neon_i8mm_bf16, .pack_v = prism_pack_v_i16_neon_i8mm_bf16, .tile = tile, .err = 3e-3f,
};
