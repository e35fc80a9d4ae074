/* linear_i8w.c - linear layers on weights of few bits with SMMLA: "i8w", one scale for 64 activations and one for 256 weights. What wider groups
 * cost: arch/avx512vnni/linear_i8w.c. The product is that of tile_i8.h in groups of 64, each with the scale of its 256 weights: a sum of its own for
 * the 256, scaled once, would take the 24 FMA of each group too, and 12 more for the 256.
 * Accuracy: operands and exact sums are those of prism_linear_i8w_generic, the scales of activations apart.
 * Weights of four bits: the 16 values that a group of 32 can have become bytes in a table that their nibbles look up. */
#include "arch/generic/unpack.h"
#include "arch/neon_i8mm_bf16/tile_i8.h"

#include <math.h>

enum { GROUP = 64, STEPS = GROUP / 8, SLAB = 256, GROUPS_OF_32 = SLAB / 32 };

#define A_GROUP 512 /* eight cache lines */
#define W_GROUP (NR * GROUP + offsetof(struct w_numbers, m))
_Static_assert(A_GROUP >= MR * GROUP + offsetof(struct a_numbers, d_sum), "bytes and scales");

static size_t a_bytes(size_t k) { return k / GROUP * A_GROUP; }
static size_t w_bytes(size_t k) { return k / GROUP * W_GROUP; }

#define LEAST_A 0x1p-120f /* below these magnitudes, all are zeros */
#define LEAST_W 0x1p-100f

/* Values become bytes in units of 1/127 of the largest magnitude among them: x * (127 / max) rounded half to even. Returns max / 127, NaN when a value
 * is not finite. */
static float scale_of(float max, float least, float *inverse)
{
    *inverse = max >= least && max < INFINITY ? 127 / max : 0;
    return max < least ? 0 : max < INFINITY ? max / 127 : NAN;
}

static float quantize(int8_t *q, const float *x, size_t n, float least)
{
    float inverse;
    const float scale = scale_of(prism_largest_neon(x, n), least, &inverse);

    for (size_t i = 0; i < n; i += 8)
        vst1_s8(q + i, prism_bytes_8_neon(vld1q_f32(x + i), vld1q_f32(x + i + 4), inverse));
    return scale;
}

/* d * q + m rounded twice, as floats are unpacked. */
static inline int8x8_t requantize_8(int8x8_t q, float32x4_t d, float32x4_t m, float inverse)
{
    const int16x8_t x = vmovl_s8(q);
    const float32x4_t x0 = vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))), x1 = vcvtq_f32_s32(vmovl_s16(vget_high_s16(x)));
    return prism_bytes_8_neon(vaddq_f32(vmulq_f32(x0, d), m), vaddq_f32(vmulq_f32(x1, d), m), inverse);
}

/* Values d[g] * q + m[g] of groups of 32 become bytes, in place. */
static float requantize(int8_t *restrict q, const float *restrict d, const float *restrict m, size_t n)
{
    float ends[2 * GROUPS_OF_32] = { 0 }, inverse;

    for (size_t g = 0; g < n / 32; g++) {
        const int8x16_t q0 = vld1q_s8(q + 32 * g), q1 = vld1q_s8(q + 32 * g + 16);
        ends[2 * g] = d[g] * (float)vminvq_s8(vminq_s8(q0, q1)) + m[g];
        ends[2 * g + 1] = d[g] * (float)vmaxvq_s8(vmaxq_s8(q0, q1)) + m[g];
    }
    const float scale = scale_of(prism_largest_neon(ends, 2 * GROUPS_OF_32), LEAST_W, &inverse);
    for (size_t i = 0; i < n; i += 16) {
        const float32x4_t step = vdupq_n_f32(d[i / 32]), first = vdupq_n_f32(m[i / 32]);
        const int8x16_t x = vld1q_s8(q + i);
        vst1q_s8(q + i, vcombine_s8(requantize_8(vget_low_s8(x), step, first, inverse), requantize_8(vget_high_s8(x), step, first, inverse)));
    }
    return scale;
}

/* The stored numbers of a slab of four-bit weights: value = d[g] * q + m[g] with q 0..15. */
struct nibbles {
    float d[GROUPS_OF_32], m[GROUPS_OF_32];
};

static struct nibbles numbers_of(const uint8_t *x, enum prism_type type, size_t n)
{
    struct nibbles s = { 0 };

    if (type == PRISM_Q4_K)
        prism_q4_k_scales(s.d, s.m, x);
    else
        for (size_t g = 0; g < n / 32; g++) {
            s.d[g] = prism_half_to_f32(prism_load_u16(x + 18 * g));
            s.m[g] = -8 * s.d[g];
        }
    return s;
}

/* table[g]: the bytes that q 0..15 become in group g, by way of d and m in units of 1/256 of a byte: quantize_nibbles of
 * arch/generic/linear_i8w.c. Returns the scale, not finite when a number is not. */
static float tables_of(int8x16_t table[GROUPS_OF_32], const struct nibbles *s)
{
    static const int16_t numbers[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const int16x8_t q = vld1q_s16(numbers);
    int16_t d[GROUPS_OF_32], m[GROUPS_OF_32];
    float32x4_t max = vdupq_n_f32(0); /* keeps a NaN */

    for (size_t g = 0; g < GROUPS_OF_32; g += 4) {
        const float32x4_t first = vld1q_f32(s->m + g), step = vld1q_f32(s->d + g);
        max = vmaxq_f32(max, vmaxq_f32(vabsq_f32(first), vabsq_f32(vfmaq_n_f32(first, step, 15))));
    }
    const float most = vmaxvq_f32(max), inverse = most >= LEAST_W && most < INFINITY ? 127 * 256 / most : 0;
    for (size_t g = 0; g < GROUPS_OF_32; g += 4) {
        vst1_s16(d + g, vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(s->d + g), inverse))));
        vst1_s16(m + g, vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(s->m + g), inverse))));
    }
    for (size_t g = 0; g < GROUPS_OF_32; g++) {
        const int16x8_t low = vmlaq_n_s16(vdupq_n_s16((int16_t)(m[g] + 128)), q, d[g]), high = vaddq_s16(low, vdupq_n_s16((int16_t)(8 * d[g])));
        table[g] = vcombine_s8(vshrn_n_s16(low, 8), vshrn_n_s16(high, 8));
    }
    return most * (1.0f / 127);
}

/* 16 bytes hold the values from `low` on and those from `high` on: 16 behind, in Q4_K 32. */
static float quantize_nibbles(int8_t *q, const uint8_t *x, enum prism_type type, size_t n)
{
    const struct nibbles s = numbers_of(x, type, n);
    int8x16_t table[GROUPS_OF_32];
    const float scale = tables_of(table, &s);

    for (size_t i = 0; i < n / 32; i++) {
        const size_t low = type == PRISM_Q4_K ? i / 2 * 64 + i % 2 * 16 : 32 * i, high = low + (type == PRISM_Q4_K ? 32 : 16);
        const uint8x16_t c = vld1q_u8(type == PRISM_Q4_K ? x + 16 + 16 * i : x + 18 * i + 2);
        vst1q_s8(q + low, vqtbl1q_s8(table[low / 32], vandq_u8(c, vdupq_n_u8(15))));
        vst1q_s8(q + high, vqtbl1q_s8(table[high / 32], vshrq_n_u8(c, 4)));
    }
    return scale;
}

/* A block of Q6_K: numbers by way of the scales of their groups of 16 in units of 1/8192 of a byte: quantize_q6_k of arch/generic/linear_i8w.c. */
static float quantize_q6_k(int8_t *q, const uint8_t *x)
{
    float d[SLAB / 16];

    prism_unpack_q6_k(q, d, NULL, x);
    const float most = 32 * prism_largest_neon(d, SLAB / 16), inverse = most >= LEAST_W && most < INFINITY ? 127 * 8192 / most : 0;
    for (size_t g = 0; g < SLAB / 16; g++) {
        const int8x16_t x16 = vld1q_s8(q + 16 * g);
        const int16_t a = inverse > 0 ? (int16_t)vcvtns_s32_f32(d[g] * inverse) : 0;
        const int16x8_t low = vqrdmulhq_n_s16(vshll_n_s8(vget_low_s8(x16), 2), a), high = vqrdmulhq_n_s16(vshll_n_s8(vget_high_s8(x16), 2), a);
        vst1q_s8(q + 16 * g, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    }
    return most * (1.0f / 127);
}

static float quantize_slab(int8_t *q, const void *x, enum prism_type type, size_t n)
{
    float values[SLAB], d[GROUPS_OF_32], m[GROUPS_OF_32];

    if (type == PRISM_Q4_0 || type == PRISM_Q4_K)
        return quantize_nibbles(q, x, type, n);
    if (type == PRISM_Q6_K)
        return quantize_q6_k(q, x);
    if (prism_types[type].group == 32) {
        prism_kernels_neon.to_i8[type](q, d, m, x, n);
        return requantize(q, d, m, n);
    }
    prism_kernels_neon.to_f32[type](values, x, n);
    return quantize(q, values, n, LEAST_W);
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    int8_t q[SLAB];

    assert(cols >= 1 && cols <= NR && k % GROUP == 0 && k % prism_types[type].block == 0 && (uintptr_t)panel % 64 == 0);
    if (cols < NR)
        memset(panel, 0, w_bytes(k));
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < k; i += SLAB) {
            const size_t n = k - i < SLAB ? k - i : SLAB, at = j / 2 * 4 + j % 2;
            const float d = quantize_slab(q, (const char *)rows + j * row_bytes + prism_row_bytes(type, i), type, n);
            for (size_t g = 0; g < n; g += GROUP) {
                int8_t *group = (int8_t *)panel + w_bytes(i + g);
                struct w_numbers *w = (void *)(group + NR * GROUP);
                place_group(group, q + g, j, NR, STEPS);
                w->d[at] = w->d[at + 2] = d;
            }
        }
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    int8_t q[GROUP];

    assert(rows >= 1 && rows <= MR && k % GROUP == 0 && (uintptr_t)panel % 64 == 0);
    if (rows < MR)
        memset(panel, 0, a_bytes(k));
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < k; g += GROUP) {
            const float d = quantize(q, x + i * ldx + g, GROUP, LEAST_A);
            place_row((int8_t *)panel + a_bytes(g), i, q, of_22_bits(d), STEPS);
        }
}

static __attribute__((noinline)) void tile_i8w(float *out, const int8_t *a, const int8_t *w, size_t groups)
{
    tile(out, a, w, groups, (struct layout){ STEPS, A_GROUP, W_GROUP }, 1, false);
}

static void gemm(const struct prism_gemm_args *g)
{
    assert(g->k % GROUP == 0);
    gemm_tiles(g, tile_i8w, g->k / GROUP, a_bytes(g->k), w_bytes(g->k), 0);
}

/* As arch/generic/linear_i8w.c, and the scale of activations rounded by 2^-22. */
const struct prism_linear prism_linear_i8w_neon_i8mm_bf16 = {
    .name = "i8w", .mr = MR, .nr = NR, .k_step = GROUP, .a_part = GROUP, .a_bytes = a_bytes, .w_bytes = w_bytes,
    .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0.5f / 127 + 0x1p-21f, .w_err = 0.54f / 127,
};
