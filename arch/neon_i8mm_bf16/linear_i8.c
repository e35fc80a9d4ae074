/* linear_i8.c - linear layers on signed bytes with SMMLA: tiles of 6 rows by 8 columns, exact scales per group of 32. Three kinds share panels and
 * product: "i8" with activations of one byte, "i8x2" with activations of two, "i8sym" with requantised weights (Q4_K).
 *
 * SMMLA multiplies 2x8 by 8x2, so panels interleave two rows of 8 k. 12 integer and 12 fp32 accumulators hold 2x2 elements each. The 32
 * products of a group are summed exactly (at most 32 * 128 * 128 = 2^19) on top of the bits of START = 1.5 * 2^23, so that the integers are the
 * floats START + sum, without a conversion, which takes as long as four products. d_a is rounded to 22 bits: START * d_a is exact, and
 *     t = (START + sum) * d_a - START * d_a,   c += t * d_w
 * are two multiply-adds with the rounding of sum * d_a. Per group 48 SMMLA and 24 FMA (36 with a minimum: c += (d_a * sum of a) * m_w): two thirds
 * of the SMMLA peak is what the scheme can reach, for other work and loads have units of their own. START and START * d_a come from memory each
 * time, where a copy of a register would take the place of a product. A group of "i8x2" is two of "i8", high and low bytes, with 256 d and d.
 * Activations beyond 2^110 become NaN or infinity (the engine refuses what is beyond 2^58).
 * Accuracy: operands and exact sums are those of prism_linear_i8_generic, the scales of activations apart. */
#include "arch/generic/gemv_i16.h"
#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

#include <assert.h>

enum { MR = 6, NR = 8, GROUP = 32, PIECE = 256, HEADER = 64 };

/* Activations: a group of a part, [4 steps of 8 k][3 pairs of rows][2][8] bytes, and behind them vectors of each pair of rows, {x0 x0 x1 x1}. */
struct a_group {
    int8_t q[4 * MR * 8];
    float d[2 * MR], start[2 * MR]; /* d and -START * d */
    float d_sum[2 * MR];            /* d * (sum of the group's integers), with the first part: the factor of the weights' minimum */
    float pad[12];
};
_Static_assert(sizeof(struct a_group) == 384, "six cache lines");

/* Weights: [4 steps of 8 k][4 pairs of columns][2][8] bytes, and vectors of each pair of columns, {x0 x1 x0 x1}; m with a minimum only. A panel
 * begins with a header whose first word tells whether there is one. */
struct w_group {
    int8_t q[4 * NR * 8];
    float d[2 * NR], m[2 * NR];
};
_Static_assert(sizeof(struct w_group) == 384, "six cache lines");

static inline size_t w_step(bool has_min) { return has_min ? sizeof(struct w_group) : offsetof(struct w_group, m); }

static size_t a_bytes(size_t k) { return k / GROUP * sizeof(struct a_group); }
static size_t a_bytes_x2(size_t k) { return 2 * a_bytes(k); }
static size_t w_bytes(size_t k) { return HEADER + k / GROUP * sizeof(struct w_group); }

/* ---- packing ---- */

/* 32 bytes of row (column) i to their places in the group's 4 steps of width rows. */
static void place_group(int8_t *group, const int8_t *q, size_t i, size_t width)
{
    for (size_t step = 0; step < 4; step++)
        memcpy(group + (step * width + i) * 8, q + step * 8, 8);
}

static void pack_columns(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k, prism_to_i8_fn *to_i8,
                         bool has_min)
{
    const uint32_t header = has_min;
    int8_t q[PIECE];
    float d[PIECE / GROUP], m[PIECE / GROUP];

    assert(cols >= 1 && cols <= NR && k % GROUP == 0 && to_i8 && (uintptr_t)panel % 64 == 0);
    memset(panel, 0, cols < NR ? w_bytes(k) : HEADER);
    memcpy(panel, &header, sizeof header);
    for (size_t j = 0; j < cols; j++)
        for (size_t k0 = 0; k0 < k; k0 += PIECE) {
            size_t n = k - k0 < PIECE ? k - k0 : PIECE;
            to_i8(q, d, m, (const char *)rows + j * row_bytes + prism_row_bytes(type, k0), n);
            for (size_t g = 0; g < n / GROUP; g++) {
                struct w_group *w = (void *)((char *)panel + HEADER + (k0 / GROUP + g) * w_step(has_min));
                const size_t at = j / 2 * 4 + j % 2;
                place_group(w->q, q + g * GROUP, j, NR);
                w->d[at] = w->d[at + 2] = d[g];
                if (has_min)
                    w->m[at] = w->m[at + 2] = m[g];
            }
        }
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    pack_columns(panel, rows, row_bytes, type, cols, k, prism_kernels_neon.to_i8[type], prism_types[type].has_min);
}

static void pack_w_sym(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    assert(type == PRISM_Q4_K);
    pack_columns(panel, rows, row_bytes, type, cols, k, prism_to_i8sym_q4_k_generic, false);
}

#define START 0x1.8p23f

/* The bytes and numbers of row i; d has 22 bits. */
static void place_row(struct a_group *g, size_t i, const int8_t *q, float d, float d_sum)
{
    const size_t at = i / 2 * 4 + i % 2 * 2;
    place_group(g->q, q, i, MR);
    g->d[at] = g->d[at + 1] = d;
    g->start[at] = g->start[at + 1] = -START * d;
    g->d_sum[at] = g->d_sum[at + 1] = d_sum;
}

/* d rounded to 22 bits (Veltkamp 1968); what is not finite stays so. */
static float of_22_bits(float d)
{
    const float wide = 5 * d;
    return wide - (wide - d);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    struct a_group *groups = panel;

    assert(rows >= 1 && rows <= MR && k % GROUP == 0 && (uintptr_t)panel % 64 == 0);
    if (rows < MR)
        memset(panel, 0, a_bytes(k));
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < k / GROUP; g++) {
            int8_t q[GROUP];
            const float d = of_22_bits(prism_quantize_32(q, x + i * ldx + g * GROUP));
            place_row(groups + g, i, q, d, d * (float)(vaddlvq_s8(vld1q_s8(q)) + vaddlvq_s8(vld1q_s8(q + 16))));
        }
}

/* Integers q = 256 * high + low, the high bytes first. */
static void pack_a_x2(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    struct a_group *groups = panel;

    assert(rows >= 1 && rows <= MR && k % GROUP == 0 && (uintptr_t)panel % 64 == 0);
    if (rows < MR)
        memset(panel, 0, a_bytes_x2(k));
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < k / GROUP; g++) {
            int16_t q[GROUP];
            int8_t high[GROUP], low[GROUP];
            int32_t sum = 0;
            const float d = of_22_bits(prism_quantize_32_i16(q, x + i * ldx + g * GROUP));
            for (size_t t = 0; t < GROUP; t++) {
                high[t] = (int8_t)((q[t] + 128) >> 8);
                low[t] = (int8_t)q[t];
                sum += q[t];
            }
            place_row(groups + 2 * g, i, high, 256 * d, d * (float)sum);
            place_row(groups + 2 * g + 1, i, low, d, 0);
        }
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
#define STEP(s)                                                                                            \
    qw = w->q + 64 * (s);                                                                                  \
    a0 = vld1q_s8(a->q + 48 * (s)), a1 = vld1q_s8(a->q + 48 * (s) + 16), a2 = vld1q_s8(a->q + 48 * (s) + 32); \
    EACH_PAIR(SMMLA)
#define SCALE_ONE(r, j)                                                              \
    HERE t = vfmaq_f32(vld1q_f32(a->start + 4 * (r)), vreinterpretq_f32_s32(i##r##j), d##r); \
    c##r##j = vfmaq_f32(c##r##j, t, scale);
#define SCALE(j) HERE scale = vld1q_f32(w->d + 4 * (j)); SCALE_ONE(0, j) SCALE_ONE(1, j) SCALE_ONE(2, j)
#define MINIMUM(j)                           \
    HERE scale = vld1q_f32(w->m + 4 * (j));  \
    c0##j = vfmaq_f32(c0##j, d0, scale);     \
    c1##j = vfmaq_f32(c1##j, d1, scale);     \
    c2##j = vfmaq_f32(c2##j, d2, scale);
#define LOAD_ROWS(x) d0 = vld1q_f32(a->x), d1 = vld1q_f32(a->x + 4), d2 = vld1q_f32(a->x + 8);
/* Two 2x2 elements of pair of rows r side by side are 4 columns of two rows. */
#define STORE(r, x, y, at)                                                                              \
    vst1q_f32(out + NR * 2 * (r) + (at), vcombine_f32(vget_low_f32(x), vget_low_f32(y)));               \
    vst1q_f32(out + NR * (2 * (r) + 1) + (at), vcombine_f32(vget_high_f32(x), vget_high_f32(y)));

/* out[6][8] = the product of two panels. parts, has_min: constants. */
static inline __attribute__((always_inline)) void tile(float *out, const struct a_group *a, const char *panel, size_t groups, size_t parts,
                                                       bool has_min)
{
    const char *at = panel + HEADER;
    const int32_t *start = start_bits;
    EACH_PAIR(ZERO)

    __asm__("" : "+r"(start)); /* not known to be constant */
    for (; groups > 0; groups--, at += w_step(has_min)) {
        const struct w_group *w = (const void *)at;
        int32x4_t i00, i01, i02, i03, i10, i11, i12, i13, i20, i21, i22, i23;
        float32x4_t d0, d1, d2, scale, t;
        int8x16_t a0, a1, a2, b;
        const int8_t *qw;
        if (has_min) {
            LOAD_ROWS(d_sum)
            EACH_PAIR(MINIMUM)
        }
#pragma GCC unroll 2
        for (size_t part = 0; part < parts; part++, a++) {
            EACH_PAIR(START_PAIR)
            STEP(0) STEP(1) STEP(2) STEP(3)
            LOAD_ROWS(d)
            EACH_PAIR(SCALE)
        }
    }
    STORE(0, c00, c01, 0) STORE(0, c02, c03, 4)
    STORE(1, c10, c11, 0) STORE(1, c12, c13, 4)
    STORE(2, c20, c21, 0) STORE(2, c22, c23, 4)
}

typedef void tile_fn(float *out, const struct a_group *a, const char *panel, size_t groups);
#define OUT_OF_LINE static __attribute__((noinline)) void
OUT_OF_LINE tile_i8(float *out, const struct a_group *a, const char *panel, size_t groups) { tile(out, a, panel, groups, 1, false); }
OUT_OF_LINE tile_i8_min(float *out, const struct a_group *a, const char *panel, size_t groups) { tile(out, a, panel, groups, 1, true); }
OUT_OF_LINE tile_i8x2(float *out, const struct a_group *a, const char *panel, size_t groups) { tile(out, a, panel, groups, 2, false); }
OUT_OF_LINE tile_i8x2_min(float *out, const struct a_group *a, const char *panel, size_t groups) { tile(out, a, panel, groups, 2, true); }

static void gemm(const struct prism_gemm_args *g, size_t a_panel, tile_fn *symmetric, tile_fn *min)
{
    float out[MR * NR];
    uint32_t has_min; /* all panels of a matrix have the type's */

    assert((uintptr_t)g->a % 64 == 0 && (uintptr_t)g->w % 64 == 0 && g->ldc >= g->cols && g->k % GROUP == 0);
    memcpy(&has_min, g->w, sizeof has_min);
    for (size_t j = 0; j < g->cols; j += NR)
        for (size_t i = 0; i < g->rows; i += MR) {
            const void *a = (const char *)g->a + i / MR * a_panel;
            (has_min ? min : symmetric)(out, a, (const char *)g->w + j / NR * w_bytes(g->k), g->k / GROUP);
            prism_tile_to_c_neon(g, i, j, out, MR, NR, g->add);
        }
}

static void gemm_i8(const struct prism_gemm_args *g) { gemm(g, a_bytes(g->k), tile_i8, tile_i8_min); }
static void gemm_i8x2(const struct prism_gemm_args *g) { gemm(g, a_bytes_x2(g->k), tile_i8x2, tile_i8x2_min); }

/* Activations: as in arch/generic/linear_i8.c, and d rounded by 2^-22. */
const struct prism_linear prism_linear_i8_neon_i8mm_bf16 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = GROUP, .a_part = GROUP, .a_bytes = a_bytes, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm_i8,
    .a_err = 0.5f / 127 + 0x1p-21f, .w_err = 0.5f / 127 + 0x1p-22f,
};

const struct prism_linear prism_linear_i8sym_neon_i8mm_bf16 = {
    .name = "i8sym", .mr = MR, .nr = NR, .k_step = GROUP, .a_part = GROUP, .a_bytes = a_bytes, .w_bytes = w_bytes,
    .pack_w = pack_w_sym, .pack_a = pack_a, .gemm = gemm_i8,
    .a_err = 0.5f / 127 + 0x1p-21f, .w_err = 0.54f / 127,
};

const struct prism_linear prism_linear_i8x2_neon_i8mm_bf16 = {
    .name = "i8x2", .mr = MR, .nr = NR, .k_step = GROUP, .a_part = GROUP, .a_bytes = a_bytes_x2, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a_x2, .gemm = gemm_i8x2,
    .a_err = PRISM_GEMV_X_ERR + 0x1p-22f, .w_err = 0.5f / 127 + 0x1p-22f,
};
