/* gemv.c - a few rows times stored weights, fp32 sums: decode. Contract: prism_gemv_fn of src/kernels.h.
 *
 * Weights are expanded 32 at a time to 8 vectors, which 4 rows of x (or 1) share; each dot product runs in 4 vectors of partial
 * sums. F32, F16, Q8_0 and Q4_0 are expanded in registers over all of k; the other types through a buffer of PIECE values,
 * and the pieces' products are added in order. Either way the order depends on k and the type only. */
#include <assert.h>

#include "arch/generic/unpack.h"
#include "arch/neon/neon.h"

enum { STEP = 32, PIECE = 256 };

struct values {
    float32x4_t v0, v1, v2, v3, v4, v5, v6, v7;
};

typedef struct values load_fn(const uint8_t *p); /* 32 stored values */

static struct values load_f32(const uint8_t *p)
{
    const float *x = (const float *)(const void *)p;
    return (struct values){ vld1q_f32(x),      vld1q_f32(x + 4),  vld1q_f32(x + 8),  vld1q_f32(x + 12),
                            vld1q_f32(x + 16), vld1q_f32(x + 20), vld1q_f32(x + 24), vld1q_f32(x + 28) };
}

static struct values load_f16(const uint8_t *p)
{
    const float16_t *h = (const float16_t *)(const void *)p;
    float16x8_t a = vld1q_f16(h), b = vld1q_f16(h + 8), c = vld1q_f16(h + 16), d = vld1q_f16(h + 24);
    return (struct values){ vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a), vcvt_f32_f16(vget_low_f16(b)), vcvt_high_f32_f16(b),
                            vcvt_f32_f16(vget_low_f16(c)), vcvt_high_f32_f16(c), vcvt_f32_f16(vget_low_f16(d)), vcvt_high_f32_f16(d) };
}

/* d * q, 32 signed bytes. */
static inline struct values scaled_bytes(int8x16_t low, int8x16_t high, float d)
{
    int16x8_t a = vmovl_s8(vget_low_s8(low)), b = vmovl_high_s8(low), c = vmovl_s8(vget_low_s8(high)), e = vmovl_high_s8(high);
    return (struct values){
        vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))), d), vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(a)), d),
        vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(b))), d), vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(b)), d),
        vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(c))), d), vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(c)), d),
        vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(e))), d), vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(e)), d),
    };
}

static struct values load_q8_0(const uint8_t *p)
{
    const int8_t *q = (const int8_t *)p + 2;
    return scaled_bytes(vld1q_s8(q), vld1q_s8(q + 16), prism_half_to_f32(prism_load_u16(p)));
}

static struct values load_q4_0(const uint8_t *p)
{
    uint8x16_t b = vld1q_u8(p + 2);
    int8x16_t low = vreinterpretq_s8_u8(vandq_u8(b, vdupq_n_u8(15))), high = vreinterpretq_s8_u8(vshrq_n_u8(b, 4));
    return scaled_bytes(vsubq_s8(low, vdupq_n_s8(8)), vsubq_s8(high, vdupq_n_s8(8)), prism_half_to_f32(prism_load_u16(p)));
}

struct sums {
    float32x4_t s0, s1, s2, s3;
};

static inline struct sums fma_32(struct sums s, const float *x, const struct values *w)
{
    s.s0 = vfmaq_f32(s.s0, vld1q_f32(x), w->v0);
    s.s1 = vfmaq_f32(s.s1, vld1q_f32(x + 4), w->v1);
    s.s2 = vfmaq_f32(s.s2, vld1q_f32(x + 8), w->v2);
    s.s3 = vfmaq_f32(s.s3, vld1q_f32(x + 12), w->v3);
    s.s0 = vfmaq_f32(s.s0, vld1q_f32(x + 16), w->v4);
    s.s1 = vfmaq_f32(s.s1, vld1q_f32(x + 20), w->v5);
    s.s2 = vfmaq_f32(s.s2, vld1q_f32(x + 24), w->v6);
    s.s3 = vfmaq_f32(s.s3, vld1q_f32(x + 28), w->v7);
    return s;
}

static inline float total(struct sums s) { return vaddvq_f32(vaddq_f32(vaddq_f32(s.s0, s.s1), vaddq_f32(s.s2, s.s3))); }

/* The products of one stored row: y[i * ldy] for n_rows rows of x; n a multiple of 32, block_bytes per 32 values. */
struct dot_args {
    float *y;
    size_t ldy;
    const float *x;
    size_t ldx, n_rows, n, block_bytes;
    bool add;
};

static inline __attribute__((always_inline)) void dot_rows(const struct dot_args *a, const uint8_t *w, load_fn *load)
{
    const struct sums zero = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    size_t i = 0;

    for (; i + 4 <= a->n_rows; i += 4) {
        const float *x0 = a->x + i * a->ldx, *x1 = x0 + a->ldx, *x2 = x1 + a->ldx, *x3 = x2 + a->ldx;
        const uint8_t *p = w;
        struct sums s0 = zero, s1 = zero, s2 = zero, s3 = zero;
        for (size_t k = 0; k < a->n; k += STEP, p += a->block_bytes) {
            struct values v = load(p);
            s0 = fma_32(s0, x0 + k, &v);
            s1 = fma_32(s1, x1 + k, &v);
            s2 = fma_32(s2, x2 + k, &v);
            s3 = fma_32(s3, x3 + k, &v);
        }
        float *y = a->y + i * a->ldy, t[4] = { total(s0), total(s1), total(s2), total(s3) };
        for (size_t r = 0; r < 4; r++)
            y[r * a->ldy] = a->add ? y[r * a->ldy] + t[r] : t[r];
    }
    for (; i < a->n_rows; i++) {
        const float *x0 = a->x + i * a->ldx;
        const uint8_t *p = w;
        struct sums s0 = zero;
        for (size_t k = 0; k < a->n; k += STEP, p += a->block_bytes) {
            struct values v = load(p);
            s0 = fma_32(s0, x0 + k, &v);
        }
        float *y = a->y + i * a->ldy;
        *y = a->add ? *y + total(s0) : total(s0);
    }
}

static void dot_f32(const struct dot_args *a, const uint8_t *w) { dot_rows(a, w, load_f32); }
static void dot_f16(const struct dot_args *a, const uint8_t *w) { dot_rows(a, w, load_f16); }
static void dot_q8_0(const struct dot_args *a, const uint8_t *w) { dot_rows(a, w, load_q8_0); }
static void dot_q4_0(const struct dot_args *a, const uint8_t *w) { dot_rows(a, w, load_q4_0); }

static void (*const fused[PRISM_N_TYPES])(const struct dot_args *a, const uint8_t *w) = {
    [PRISM_F32] = dot_f32, [PRISM_F16] = dot_f16, [PRISM_Q8_0] = dot_q8_0, [PRISM_Q4_0] = dot_q4_0,
};

/* Values k0..k0+n of a stored row through a buffer of floats, padded with zeros to a multiple of 32 together with x. */
static void dot_piece(struct dot_args a, const uint8_t *row, enum prism_type type, size_t k0, size_t n)
{
    float w[PIECE], x[PRISM_GEMV_ROWS][STEP] = { { 0 } };
    size_t whole = n / STEP * STEP;

    prism_kernels_neon.to_f32[type](w, row + prism_row_bytes(type, k0), n);
    a.block_bytes = STEP * sizeof *w;
    a.add = k0 > 0;
    a.x += k0;
    a.n = whole;
    if (whole) {
        dot_f32(&a, (const uint8_t *)w);
        a.add = true;
    }
    if (whole < n) {
        for (size_t i = 0; i < a.n_rows; i++)
            memcpy(x[i], a.x + i * a.ldx + whole, (n - whole) * sizeof *w);
        memset(w + n, 0, (whole + STEP - n) * sizeof *w);
        a.x = x[0];
        a.ldx = STEP;
        a.n = STEP;
        dot_f32(&a, (const uint8_t *)(w + whole));
    }
}

void prism_gemv_f32_neon(float *y, size_t ldy, const float *x, size_t ldx, size_t n_rows, const void *w, size_t row_bytes,
                         enum prism_type type, size_t cols, size_t k)
{
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && k % prism_types[type].block == 0);
    struct dot_args a = { .y = y, .ldy = ldy, .x = x, .ldx = ldx, .n_rows = n_rows };
    size_t whole = fused[type] ? k / STEP * STEP : 0;

    for (size_t j = 0; j < cols; j++, a.y++) {
        const uint8_t *row = (const uint8_t *)w + j * row_bytes;
        if (whole) {
            a.n = whole;
            a.block_bytes = prism_row_bytes(type, STEP);
            fused[type](&a, row);
        }
        for (size_t k0 = whole; k0 < k; k0 += PIECE)
            dot_piece(a, row, type, k0, k - k0 < PIECE ? k - k0 : PIECE);
    }
}
