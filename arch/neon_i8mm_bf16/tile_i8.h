/* tile_i8.h - the product of signed bytes with SMMLA: tiles of 6 rows by 8 columns, one scale for a group of 8 k times `steps`. Included by
 * linear_i8.c (groups of 32) and linear_i8w.c (64).
 *
 * SMMLA multiplies 2x8 by 8x2, so panels interleave two rows of 8 k. 12 integer and 12 fp32 accumulators hold 2x2 elements each. The products of a
 * group are summed exactly (at most 64 * 128 * 128 = 2^20) on top of the bits of START = 1.5 * 2^23, so that the integers are the
 * floats START + sum, without a conversion, which takes as long as four products. d_a is rounded to 22 bits: START * d_a is exact, and
 *     t = (START + sum) * d_a - START * d_a,   c += t * d_w
 * are two multiply-adds with the rounding of sum * d_a. Per group that is 12 SMMLA a step and 24 FMA (36 with a minimum: c += (d_a * sum of a) * m_w):
 * of the SMMLA peak the scheme can reach two thirds in groups of 32 and 80 % in groups of 64, for other work and loads have units of their own. START
 * and START * d_a come from memory each time, where a copy of a register would take the place of a product.
 * Activations beyond 2^110 become NaN or infinity (the engine refuses what is beyond 2^58). */
#ifndef PRISM_NEON_I8MM_BF16_TILE_I8_H
#define PRISM_NEON_I8MM_BF16_TILE_I8_H

#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

#include <assert.h>
#include <string.h>

enum { MR = 6, NR = 8 };

/* A group of activations: [steps of 8 k][3 pairs of rows][2][8] bytes, and behind them vectors of each pair of rows, {x0 x0 x1 x1}. */
struct a_numbers {
    float d[2 * MR], start[2 * MR]; /* d and -START * d */
    float d_sum[2 * MR];            /* with a minimum only: its factor, d * (sum of the group's integers), in the first part */
};

/* A group of weights: [steps of 8 k][4 pairs of columns][2][8] bytes, and behind them vectors of each pair of columns, {x0 x1 x0 x1}. */
struct w_numbers {
    float d[2 * NR], m[2 * NR]; /* m with a minimum only */
};

/* Steps of a group, and its bytes in the panels. */
struct layout {
    size_t steps, a_group, w_group;
};

#define START 0x1.8p23f

/* ---- packing ---- */

/* The bytes of row (column) i to their places in a group's steps of `width` rows. */
static inline void place_group(int8_t *group, const int8_t *q, size_t i, size_t width, size_t steps)
{
    for (size_t step = 0; step < steps; step++)
        memcpy(group + (step * width + i) * 8, q + step * 8, 8);
}

/* d rounded to 22 bits (Veltkamp 1968); what is not finite stays so. */
static inline float of_22_bits(float d)
{
    const float wide = 5 * d;
    return wide - (wide - d);
}

/* Where the numbers of row i of activations are, and one further on once more. */
static inline size_t row_place(size_t i) { return i / 2 * 4 + i % 2 * 2; }

/* The bytes and the scale of row i; d has 22 bits. Returns the group's numbers. */
static inline struct a_numbers *place_row(int8_t *group, size_t i, const int8_t *q, float d, size_t steps)
{
    struct a_numbers *n = (void *)(group + MR * 8 * steps);
    const size_t at = row_place(i);
    place_group(group, q, i, MR, steps);
    n->d[at] = n->d[at + 1] = d;
    n->start[at] = n->start[at + 1] = -START * d;
    return n;
}

/* ---- the product ---- */

static const int32_t start_bits[4] = { 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000 }; /* of START */

/* What is read after this is read there and not earlier, and not kept in a register for later: 12 sums of each kind leave no room. */
#define HERE __asm__ volatile("" ::: "memory");

#define EACH_PAIR(M) M(0) M(1) M(2) M(3)
#define ZERO(j) float32x4_t c0##j = vdupq_n_f32(0), c1##j = c0##j, c2##j = c0##j;
#define START_ONE(r, j) HERE i##r##j = vld1q_s32(start);
#define START_PAIR(j) START_ONE(0, j) START_ONE(1, j) START_ONE(2, j)
#define SMMLA(j)                            \
    HERE b = vld1q_s8(qw + 16 * (j));       \
    i0##j = vmmlaq_s32(i0##j, a0, b);       \
    i1##j = vmmlaq_s32(i1##j, a1, b);       \
    i2##j = vmmlaq_s32(i2##j, a2, b);
#define SCALE_ONE(r, j)                                                              \
    HERE t = vfmaq_f32(vld1q_f32(na->start + 4 * (r)), vreinterpretq_f32_s32(i##r##j), d##r); \
    c##r##j = vfmaq_f32(c##r##j, t, scale);
#define SCALE(j) HERE scale = vld1q_f32(nw->d + 4 * (j)); SCALE_ONE(0, j) SCALE_ONE(1, j) SCALE_ONE(2, j)
#define MINIMUM(j)                           \
    HERE scale = vld1q_f32(nw->m + 4 * (j)); \
    c0##j = vfmaq_f32(c0##j, d0, scale);     \
    c1##j = vfmaq_f32(c1##j, d1, scale);     \
    c2##j = vfmaq_f32(c2##j, d2, scale);
#define LOAD_ROWS(x) d0 = vld1q_f32(na->x), d1 = vld1q_f32(na->x + 4), d2 = vld1q_f32(na->x + 8);
/* Two 2x2 elements of pair of rows r side by side are 4 columns of two rows. */
#define STORE(r, x, y, at)                                                                              \
    vst1q_f32(out + NR * 2 * (r) + (at), vcombine_f32(vget_low_f32(x), vget_low_f32(y)));               \
    vst1q_f32(out + NR * (2 * (r) + 1) + (at), vcombine_f32(vget_high_f32(x), vget_high_f32(y)));

/* out[6][8] = the product of the groups of two panels; of activations, `parts` one after the other for each group. l, parts, has_min: constants. */
static inline __attribute__((always_inline)) void tile(float *out, const int8_t *a, const int8_t *w, size_t groups, struct layout l, size_t parts,
                                                       bool has_min)
{
    const int32_t *start = start_bits;
    EACH_PAIR(ZERO)

    __asm__("" : "+r"(start)); /* not known to be constant */
    for (; groups > 0; groups--, w += l.w_group) {
        const struct w_numbers *nw = (const void *)(w + NR * 8 * l.steps);
        int32x4_t i00, i01, i02, i03, i10, i11, i12, i13, i20, i21, i22, i23;
        float32x4_t d0, d1, d2, scale, t;
        int8x16_t a0, a1, a2, b;
        if (has_min) {
            const struct a_numbers *na = (const void *)(a + MR * 8 * l.steps);
            LOAD_ROWS(d_sum)
            EACH_PAIR(MINIMUM)
        }
#pragma GCC unroll 2
        for (size_t part = 0; part < parts; part++, a += l.a_group) {
            const struct a_numbers *na = (const void *)(a + MR * 8 * l.steps);
            EACH_PAIR(START_PAIR)
#pragma GCC unroll 8
            for (size_t s = 0; s < l.steps; s++) {
                const int8_t *qa = a + MR * 8 * s, *qw = w + NR * 8 * s;
                a0 = vld1q_s8(qa), a1 = vld1q_s8(qa + 16), a2 = vld1q_s8(qa + 32);
                EACH_PAIR(SMMLA)
            }
            LOAD_ROWS(d)
            EACH_PAIR(SCALE)
        }
    }
    STORE(0, c00, c01, 0) STORE(0, c02, c03, 4)
    STORE(1, c10, c11, 0) STORE(1, c12, c13, 4)
    STORE(2, c20, c21, 0) STORE(2, c22, c23, 4)
}

typedef void tile_fn(float *out, const int8_t *a, const int8_t *w, size_t groups);

/* A prism_linear.gemm from the bytes of a panel of each kind; weights begin behind a header. */
static inline void gemm_tiles(const struct prism_gemm_args *g, tile_fn *tile_of, size_t groups, size_t a_panel, size_t w_panel, size_t header)
{
    float out[MR * NR];

    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols);
    for (size_t j = 0; j < g->cols; j += NR)
        for (size_t i = 0; i < g->rows; i += MR) {
            tile_of(out, (const int8_t *)g->a + i / MR * a_panel, (const int8_t *)g->w + j / NR * w_panel + header, groups);
            prism_tile_to_c_neon(g, i, j, out, MR, NR, g->add);
        }
}

#endif
