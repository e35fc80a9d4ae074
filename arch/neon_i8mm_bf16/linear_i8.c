/* linear_i8.c - linear layers on signed bytes with SMMLA, exact scales per group of 32. Two kinds share panels and product (tile_i8.h): "i8" with
 * activations of one byte, "i8x2" with activations of two: a group of it is two of "i8", high and low bytes, with 256 d and d.
 * Accuracy: operands and exact sums are those of prism_linear_i8_generic, the scales of activations apart. */
#include "arch/generic/gemv_i16.h"
#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"
#include "arch/neon_i8mm_bf16/tile_i8.h"

enum { GROUP = 32, STEPS = GROUP / 8, PIECE = 256, HEADER = 64 };

#define A_GROUP 384 /* six cache lines */
#define W_GROUP (NR * GROUP + offsetof(struct w_numbers, m))
#define W_GROUP_MIN (NR * GROUP + sizeof(struct w_numbers))
_Static_assert(A_GROUP >= MR * GROUP + sizeof(struct a_numbers), "bytes and numbers");

/* A panel of weights begins with a header whose first word tells whether there is a minimum. */
static size_t a_bytes(size_t k) { return k / GROUP * A_GROUP; }
static size_t a_bytes_x2(size_t k) { return 2 * a_bytes(k); }
static size_t w_bytes(size_t k) { return HEADER + k / GROUP * W_GROUP_MIN; }

/* ---- packing ---- */

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    prism_to_i8_fn *const to_i8 = prism_kernels_neon.to_i8[type];
    const uint32_t has_min = prism_types[type].has_min;
    int8_t q[PIECE];
    float d[PIECE / GROUP], m[PIECE / GROUP];

    assert(cols >= 1 && cols <= NR && k % GROUP == 0 && to_i8 && (uintptr_t)panel % 64 == 0);
    memset(panel, 0, cols < NR ? w_bytes(k) : HEADER);
    memcpy(panel, &has_min, sizeof has_min);
    for (size_t j = 0; j < cols; j++) {
        int8_t *group = (int8_t *)panel + HEADER;
        for (size_t k0 = 0; k0 < k; k0 += PIECE) {
            size_t n = k - k0 < PIECE ? k - k0 : PIECE;
            to_i8(q, d, m, (const char *)rows + j * row_bytes + prism_row_bytes(type, k0), n);
            for (size_t g = 0; g < n / GROUP; g++, group += has_min ? W_GROUP_MIN : W_GROUP) {
                struct w_numbers *w = (void *)(group + NR * GROUP);
                const size_t at = j / 2 * 4 + j % 2;
                place_group(group, q + g * GROUP, j, NR, STEPS);
                w->d[at] = w->d[at + 2] = d[g];
                if (has_min)
                    w->m[at] = w->m[at + 2] = m[g];
            }
        }
    }
}

static void place_row_and_sum(int8_t *group, size_t i, const int8_t *q, float d, float d_sum)
{
    struct a_numbers *n = place_row(group, i, q, d, STEPS);
    const size_t at = row_place(i);
    n->d_sum[at] = n->d_sum[at + 1] = d_sum;
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    assert(rows >= 1 && rows <= MR && k % GROUP == 0 && (uintptr_t)panel % 64 == 0);
    if (rows < MR)
        memset(panel, 0, a_bytes(k));
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < k / GROUP; g++) {
            int8_t q[GROUP];
            const float d = of_22_bits(prism_quantize_32(q, x + i * ldx + g * GROUP));
            place_row_and_sum((int8_t *)panel + g * A_GROUP, i, q, d, d * (float)(vaddlvq_s8(vld1q_s8(q)) + vaddlvq_s8(vld1q_s8(q + 16))));
        }
}

/* Integers q = 256 * high + low, the high bytes first. */
static void pack_a_x2(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    assert(rows >= 1 && rows <= MR && k % GROUP == 0 && (uintptr_t)panel % 64 == 0);
    if (rows < MR)
        memset(panel, 0, a_bytes_x2(k));
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < k / GROUP; g++) {
            int8_t *group = (int8_t *)panel + 2 * g * A_GROUP;
            int16_t q[GROUP];
            int8_t high[GROUP], low[GROUP];
            int32_t sum = 0;
            const float d = of_22_bits(prism_quantize_32_i16(q, x + i * ldx + g * GROUP));
            for (size_t t = 0; t < GROUP; t++) {
                high[t] = (int8_t)((q[t] + 128) >> 8);
                low[t] = (int8_t)q[t];
                sum += q[t];
            }
            place_row_and_sum(group, i, high, 256 * d, d * (float)sum);
            place_row_and_sum(group + A_GROUP, i, low, d, 0);
        }
}

/* ---- the product ---- */

static const struct layout symmetric = { STEPS, A_GROUP, W_GROUP }, min = { STEPS, A_GROUP, W_GROUP_MIN };

#define OUT_OF_LINE static __attribute__((noinline)) void
OUT_OF_LINE tile_i8(float *out, const int8_t *a, const int8_t *w, size_t groups) { tile(out, a, w, groups, symmetric, 1, false); }
OUT_OF_LINE tile_i8_min(float *out, const int8_t *a, const int8_t *w, size_t groups) { tile(out, a, w, groups, min, 1, true); }
OUT_OF_LINE tile_i8x2(float *out, const int8_t *a, const int8_t *w, size_t groups) { tile(out, a, w, groups, symmetric, 2, false); }
OUT_OF_LINE tile_i8x2_min(float *out, const int8_t *a, const int8_t *w, size_t groups) { tile(out, a, w, groups, min, 2, true); }

static void gemm(const struct prism_gemm_args *g, size_t a_panel, tile_fn *tile_symmetric, tile_fn *tile_min)
{
    uint32_t has_min; /* all panels of a matrix have the type's */

    assert(g->k % GROUP == 0);
    memcpy(&has_min, g->w, sizeof has_min);
    gemm_tiles(g, has_min ? tile_min : tile_symmetric, g->k / GROUP, a_panel, w_bytes(g->k), HEADER);
}

static void gemm_i8(const struct prism_gemm_args *g) { gemm(g, a_bytes(g->k), tile_i8, tile_i8_min); }
static void gemm_i8x2(const struct prism_gemm_args *g) { gemm(g, a_bytes_x2(g->k), tile_i8x2, tile_i8x2_min); }

/* Activations: as in arch/generic/linear_i8.c, and d rounded by 2^-22. */
const struct prism_linear prism_linear_i8_neon_i8mm_bf16 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = GROUP, .a_part = GROUP, .a_bytes = a_bytes, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm_i8,
    .a_err = 0.5f / 127 + 0x1p-21f, .w_err = 0.5f / 127 + 0x1p-22f,
};

const struct prism_linear prism_linear_i8x2_neon_i8mm_bf16 = {
    .name = "i8x2", .mr = MR, .nr = NR, .k_step = GROUP, .a_part = GROUP, .a_bytes = a_bytes_x2, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a_x2, .gemm = gemm_i8x2,
    .a_err = PRISM_GEMV_X_ERR + 0x1p-22f, .w_err = 0.5f / 127 + 0x1p-22f,
};
