/* linear_i8w.c - linear layers on weights of few bits as signed bytes in wide groups: the definition of "i8w". Activations have one scale for 64
 * values, weights are requantised to one for 256 (or for what is left of k); per 256 values
 *     c += d_w * sum over groups of 64 (d_a * sum(qa * qw))
 * in fp32, the inner sums exact as integers. */
#include <math.h>
#include <string.h>

#include "arch/generic/generic.h"
#include "arch/generic/pack.h"
#include "arch/generic/unpack.h"

enum { MR = 4, NR = 8, GROUP = 64, SLAB = 256 };

/* Panels: of each row or column the bytes of k, then the scales of all, rows or columns side by side. */
static size_t a_bytes(size_t k) { return prism_round_up_64(k * MR + k / GROUP * MR * sizeof(float)); }
static size_t w_bytes(size_t k) { return prism_round_up_64(k * NR + (k + SLAB - 1) / SLAB * NR * sizeof(float)); }

/* Bytes of n values: d = max|x| / 127, q = x * (127 / max|x|) rounded half to even; zeros where max is below `least`. Not finite: d is that. */
static float quantize(int8_t *q, const float *x, size_t n, float least)
{
    float max = 0, finite = 0;
    for (size_t i = 0; i < n; i++) {
        max = fmaxf(max, fabsf(x[i]));
        finite += 0 * x[i];
    }
    const float inverse = max >= least && max < INFINITY ? 127 / max : 0;
    for (size_t i = 0; i < n; i++)
        q[i] = inverse > 0 && isfinite(finite) ? (int8_t)prism_round_i32(x[i] * inverse) : 0;
    return finite + (max >= least ? max / 127 : 0);
}

/* Weights of four bits on an even grid become bytes by way of d and m in units of 1/256 of the step, and the largest is what a group's numbers can
 * express. */
static float quantize_nibbles(int8_t *q, const void *x, enum prism_type type, size_t n)
{
    float d[SLAB / 32], m[SLAB / 32], max = 0, finite = 0;

    prism_kernels_generic.to_i8[type](q, d, m, x, n);
    for (size_t g = 0; g < n / 32; g++) {
        if (type == PRISM_Q4_0) { /* from -8..7 to 0..15 */
            m[g] = -8 * d[g];
            for (int i = 0; i < 32; i++)
                q[32 * g + i] = (int8_t)(q[32 * g + i] + 8);
        }
        max = fmaxf(max, fmaxf(fabsf(m[g]), fabsf(fmaf(15, d[g], m[g]))));
        finite += 0 * (d[g] + m[g]);
    }
    const float inverse = max >= 0x1p-100f && max < INFINITY ? 127 * 256 / max : 0;
    for (size_t g = 0; g < n / 32; g++) {
        const int a = inverse > 0 && isfinite(finite) ? (int)lrintf(d[g] * inverse) : 0;
        const int b = inverse > 0 && isfinite(finite) ? (int)lrintf(m[g] * inverse) : 0;
        for (int i = 0; i < 32; i++)
            q[32 * g + i] = (int8_t)((a * q[32 * g + i] + b + 128 + 256 * 256) / 256 - 256); /* rounded down, whatever the sign */
    }
    return finite + max * (1.0f / 127);
}

/* A block of Q6_K: numbers -32..31 by way of the scales of its groups of 16 in units of 1/8192 of the step, and the largest is what these can
 * express. */
static float quantize_q6_k(int8_t *q, const void *x)
{
    float d[SLAB / 16], max = 0, finite = 0;

    prism_unpack_q6_k(q, d, NULL, x);
    for (size_t g = 0; g < SLAB / 16; g++) {
        max = fmaxf(max, 32 * fabsf(d[g]));
        finite += 0 * d[g];
    }
    const float inverse = max >= 0x1p-100f && max < INFINITY ? 127 * 8192 / max : 0;
    for (size_t g = 0; g < SLAB / 16; g++) {
        const int a = inverse > 0 && isfinite(finite) ? (int)lrintf(d[g] * inverse) : 0;
        for (int i = 0; i < 16; i++)
            q[16 * g + i] = (int8_t)((a * q[16 * g + i] + 4096 + 256 * 8192) / 8192 - 256); /* rounded down, whatever the sign */
    }
    return finite + max * (1.0f / 127);
}

static float quantize_slab(int8_t *q, const void *x, enum prism_type type, size_t n)
{
    float values[SLAB];

    if (type == PRISM_Q6_K)
        return quantize_q6_k(q, x);
    if (type == PRISM_Q4_0 || type == PRISM_Q4_K)
        return quantize_nibbles(q, x, type, n);
    prism_kernels_generic.to_f32[type](values, x, n);
    return quantize(q, values, n, 0x1p-100f);
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    float *d = (float *)(void *)((char *)panel + k * NR);

    assert(cols >= 1 && cols <= NR && k % GROUP == 0 && k % prism_types[type].block == 0);
    memset(panel, 0, w_bytes(k));
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < k; i += SLAB)
            d[i / SLAB * NR + j] = quantize_slab((int8_t *)panel + j * k + i, (const char *)rows + j * row_bytes + prism_row_bytes(type, i), type,
                                                 k - i < SLAB ? k - i : SLAB);
}

static void pack_a(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    float *d = (float *)(void *)((char *)panel + k * MR);

    assert(rows >= 1 && rows <= MR && k % GROUP == 0);
    memset(panel, 0, a_bytes(k));
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i += GROUP)
            d[i / GROUP * MR + r] = quantize((int8_t *)panel + r * k + i, x + r * ldx + i, GROUP, 0x1p-120f);
}

/* One row of a panel and one column: the bytes, and the first scale, whose successors are MR or NR apart. */
static float dot(const int8_t *a, const float *d_a, const int8_t *w, const float *d_w, size_t k)
{
    float c = 0;

    for (size_t i = 0; i < k; i += SLAB) {
        float t = 0;
        for (size_t g = i; g < k && g < i + SLAB; g += GROUP) {
            int32_t sum = 0;
            for (size_t s = g; s < g + GROUP; s++)
                sum += a[s] * w[s];
            t += d_a[g / GROUP * MR] * (float)sum;
        }
        c += d_w[i / SLAB * NR] * t;
    }
    return c;
}

static void gemm(const struct prism_gemm_args *g)
{
    for (size_t i = 0; i < g->rows; i++)
        for (size_t j = 0; j < g->cols; j++) {
            const int8_t *a = (const int8_t *)g->a + i / MR * a_bytes(g->k), *w = (const int8_t *)g->w + j / NR * w_bytes(g->k);
            const float *d_a = (const float *)(const void *)(a + g->k * MR), *d_w = (const float *)(const void *)(w + g->k * NR);
            const float sum = dot(a + i % MR * g->k, d_a + i % MR, w + j % NR * g->k, d_w + j % NR, g->k);
            float *c = g->c + i * g->ldc + j;
            *c = g->add ? *c + sum : sum;
        }
}

const struct prism_linear prism_linear_i8w_generic = {
    .name = "i8w", .mr = MR, .nr = NR, .k_step = GROUP,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    /* Half a step of max/127, plus three roundings of at most 127 half units. The weights: 0.03 of a step more from the factors. */
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.54f / 127,
};
