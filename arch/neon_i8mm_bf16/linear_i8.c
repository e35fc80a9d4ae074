/* linear_i8.c - linear layers on signed bytes with SMMLA: tiles of 4 rows by 8 columns, exact scales per group of 32.
 *
 * SMMLA multiplies 2x8 by 8x2, so panels interleave two rows of 8 k. Per group of 32 k:
 *     activations   [4 steps of 8 k][2 pairs of rows][2][8] bytes, then {d0 d0 d1 d1 d2 d2 d3 d3}       160 bytes
 *     weights       [4 steps of 8 k][4 pairs of columns][2][8] bytes, then d of 8 columns               288 bytes
 * and behind all groups the offsets: d * (sum of the group's bytes) in the order of the activations' d (32 bytes per group), m of
 * 8 columns (32 bytes per group). A panel of weights starts with 64 bytes that say whether it has offsets: the loop over them
 * is skipped for symmetric types, and for the others it is one more FMA per tile and group.
 *
 * 8 integer and 8 fp32 accumulators hold 2x2 elements each; 32 SMMLA per 24 loads and 8 x (convert, scale, FMA). The 32
 * products of a group are summed exactly (at most 32 * 127 * 128). Groups are added in the order of k, the offsets after them.
 * Accuracy: as prism_linear_i8_generic, whose operands are the same. */
#include "arch/generic/unpack.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

#include <assert.h>

enum {
    MR = 4, NR = 8, GROUP = 32, PIECE = 256, HEADER = 64,
    A_GROUP = MR * GROUP + MR * 8, A_OFFSET = MR * 8, /* bytes per group: values and scales; offsets */
    W_GROUP = NR * GROUP + NR * 4, W_OFFSET = NR * 4,
};

static size_t a_bytes(size_t k) { return k / GROUP * (A_GROUP + A_OFFSET); }
static size_t w_bytes(size_t k) { return HEADER + k / GROUP * (W_GROUP + W_OFFSET); }

/* 32 bytes of row (column) i to their places in the group's 4 steps of width rows. */
static void place_group(char *group, const int8_t *q, size_t i, size_t width)
{
    for (size_t step = 0; step < 4; step++)
        memcpy(group + (step * width + i) * 8, q + step * 8, 8);
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    char *groups = (char *)panel + HEADER, *offsets = groups + k / GROUP * W_GROUP;
    const uint32_t has_min = prism_types[type].has_min;
    int8_t q[PIECE];
    float d[PIECE / GROUP], m[PIECE / GROUP];

    assert(cols >= 1 && cols <= NR && k % GROUP == 0 && prism_kernels_neon.to_i8[type] && (uintptr_t)panel % 64 == 0);
    memset(panel, 0, cols < NR ? w_bytes(k) : HEADER);
    memcpy(panel, &has_min, sizeof has_min);
    for (size_t j = 0; j < cols; j++)
        for (size_t k0 = 0; k0 < k; k0 += PIECE) {
            size_t n = k - k0 < PIECE ? k - k0 : PIECE;
            prism_kernels_neon.to_i8[type](q, d, m, (const char *)rows + j * row_bytes + prism_row_bytes(type, k0), n);
            for (size_t g = 0; g < n / GROUP; g++) {
                char *group = groups + (k0 / GROUP + g) * W_GROUP;
                place_group(group, q + g * GROUP, j, NR);
                memcpy(group + NR * GROUP + 4 * j, d + g, 4);
                memcpy(offsets + (k0 / GROUP + g) * W_OFFSET + 4 * j, m + g, 4);
            }
        }
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    char *groups = panel, *offsets = groups + k / GROUP * A_GROUP;

    assert(rows >= 1 && rows <= MR && k % GROUP == 0 && (uintptr_t)panel % 64 == 0);
    if (rows < MR)
        memset(panel, 0, a_bytes(k));
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < k / GROUP; g++) {
            int8_t q[GROUP];
            float d = prism_quantize_32(q, x + i * ldx + g * GROUP);
            float sum = d * (float)(vaddlvq_s8(vld1q_s8(q)) + vaddlvq_s8(vld1q_s8(q + 16)));
            place_group(groups + g * A_GROUP, q, i, MR);
            vst1_f32((float *)(void *)(groups + g * A_GROUP + MR * GROUP + 8 * i), vdup_n_f32(d));
            vst1_f32((float *)(void *)(offsets + g * A_OFFSET + 8 * i), vdup_n_f32(sum));
        }
}

/* {x0 x1 x0 x1}: the scales (offsets) of two columns against two rows. */
static inline float32x4_t pair_twice(const char *p) { return vreinterpretq_f32_f64(vld1q_dup_f64((const double *)(const void *)p)); }
static inline float32x4_t load_f32(const char *p) { return vld1q_f32((const float *)(const void *)p); }

/* Pair of columns j against both pairs of rows. */
#define SMMLA(j)                        \
    i0##j = vmmlaq_s32(i0##j, a0, b##j); \
    i1##j = vmmlaq_s32(i1##j, a1, b##j);
#define SCALE(j)                                                                     \
    scale = pair_twice(w + NR * GROUP + 8 * (j));                                    \
    c0##j = vfmaq_f32(c0##j, vcvtq_f32_s32(i0##j), vmulq_f32(scale, d0));             \
    c1##j = vfmaq_f32(c1##j, vcvtq_f32_s32(i1##j), vmulq_f32(scale, d1));
#define OFFSET(j)                                   \
    scale = pair_twice(w_offsets + 8 * (j));        \
    c0##j = vfmaq_f32(c0##j, scale, s0);            \
    c1##j = vfmaq_f32(c1##j, scale, s1);
/* Two 2x2 elements side by side are 4 columns of two rows. */
#define STORE(row, x, y)                                                          \
    vst1q_f32(t + NR * (row), vcombine_f32(vget_low_f32(x), vget_low_f32(y)));     \
    vst1q_f32(t + NR * ((row) + 1), vcombine_f32(vget_high_f32(x), vget_high_f32(y)));

/* t[4][8] = the product of two panels. */
static void tile_4x8(float *t, const char *a, const char *panel, size_t groups)
{
    const char *w = panel + HEADER, *a_offsets = a + groups * A_GROUP, *w_offsets = w + groups * W_GROUP;
    const float32x4_t zero = vdupq_n_f32(0);
    float32x4_t c00 = zero, c01 = zero, c02 = zero, c03 = zero, c10 = zero, c11 = zero, c12 = zero, c13 = zero, scale;
    uint32_t has_min;

    for (size_t g = 0; g < groups; g++, a += A_GROUP, w += W_GROUP) {
        int32x4_t i00 = vdupq_n_s32(0), i01 = i00, i02 = i00, i03 = i00, i10 = i00, i11 = i00, i12 = i00, i13 = i00;
        const int8_t *qa = (const int8_t *)a, *qw = (const int8_t *)w;
        for (size_t step = 0; step < 4; step++) {
            int8x16_t a0 = vld1q_s8(qa + 32 * step), a1 = vld1q_s8(qa + 32 * step + 16);
            int8x16_t b0 = vld1q_s8(qw + 64 * step), b1 = vld1q_s8(qw + 64 * step + 16);
            int8x16_t b2 = vld1q_s8(qw + 64 * step + 32), b3 = vld1q_s8(qw + 64 * step + 48);
            SMMLA(0) SMMLA(1) SMMLA(2) SMMLA(3)
        }
        float32x4_t d0 = load_f32(a + MR * GROUP), d1 = load_f32(a + MR * GROUP + 16);
        SCALE(0) SCALE(1) SCALE(2) SCALE(3)
    }
    memcpy(&has_min, panel, sizeof has_min);
    for (size_t g = 0; has_min && g < groups; g++, a_offsets += A_OFFSET, w_offsets += W_OFFSET) {
        float32x4_t s0 = load_f32(a_offsets), s1 = load_f32(a_offsets + 16);
        OFFSET(0) OFFSET(1) OFFSET(2) OFFSET(3)
    }
    STORE(0, c00, c01) STORE(2, c10, c11)
    t += 4;
    STORE(0, c02, c03) STORE(2, c12, c13)
}

static void gemm(const struct prism_gemm_args *g)
{
    float tile[MR * NR];

    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols && g->k % GROUP == 0);
    for (size_t j = 0; j < g->cols; j += NR)
        for (size_t i = 0; i < g->rows; i += MR) {
            tile_4x8(tile, (const char *)g->a + i / MR * a_bytes(g->k), (const char *)g->w + j / NR * w_bytes(g->k), g->k / GROUP);
            prism_tile_to_c_neon(g, i, j, tile, MR, NR, g->add);
        }
}

const struct prism_linear prism_linear_i8_neon_i8mm_bf16 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = GROUP, .a_bytes = a_bytes, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .finer = &prism_linear_bf16_neon_i8mm_bf16,
    /* As in arch/generic/linear_i8.c: half a step of max/127 and the roundings of the quotient. */
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.5f / 127 + 0x1p-22f,
};
