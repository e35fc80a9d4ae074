/* gemv.c - 1 to 8 rows of activations times stored weights: decode. Contract: prism_gemv_fn of src/kernels.h.
 *
 * A weight row is walked in groups of 32 values, which become four vectors in registers (blocks.h). The group's dot product is
 * a chain of four multiplies, whose sum enters the row's accumulator: one dependent operation per 32 values, so that one row
 * keeps the FMA units busy. The arithmetic of a row does not depend on the number of rows: up to four
 * share the expansion of a group. */
#include "arch/avx2/avx2.h"

#include <assert.h>
#include <string.h>

#include "arch/avx2/blocks.h"
#include "arch/avx2/stream.h"
#include "arch/generic/gemv_cols.h"

PRISM_INLINE struct group group_f32(const float *p)
{
    return (struct group){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8), _mm256_loadu_ps(p + 16), _mm256_loadu_ps(p + 24)};
}

PRISM_INLINE struct group group_f16(const uint16_t *p)
{
    return (struct group){vec_load_f16(p), vec_load_f16(p + 8), vec_load_f16(p + 16), vec_load_f16(p + 24)};
}

PRISM_INLINE struct group group_bf16(const uint16_t *p)
{
    return (struct group){vec_load_bf16(p), vec_load_bf16(p + 8), vec_load_bf16(p + 16), vec_load_bf16(p + 24)};
}

/* Accumulators of up to four rows. */
struct sums {
    __m256 s0, s1, s2, s3;
};

/* sum + d * (g . x) */
PRISM_INLINE __m256 add_group(__m256 sum, const float *x, struct group g, __m256 d)
{
    __m256 t = _mm256_mul_ps(g.w0, _mm256_loadu_ps(x));
    t = _mm256_fmadd_ps(g.w1, _mm256_loadu_ps(x + 8), t);
    t = _mm256_fmadd_ps(g.w2, _mm256_loadu_ps(x + 16), t);
    t = _mm256_fmadd_ps(g.w3, _mm256_loadu_ps(x + 24), t);
    return _mm256_fmadd_ps(d, t, sum);
}

/* rows: 4, 2 or 1, a constant here and below. */
PRISM_INLINE void add_rows(struct sums *s, int rows, const float *x, size_t ldx, struct group g, __m256 d)
{
    s->s0 = add_group(s->s0, x, g, d);
    if (rows >= 2)
        s->s1 = add_group(s->s1, x + ldx, g, d);
    if (rows == 4) {
        s->s2 = add_group(s->s2, x + 2 * ldx, g, d);
        s->s3 = add_group(s->s3, x + 3 * ldx, g, d);
    }
}

/* One block. Types with one scale per 32 and no offset apply it to the group's dot product. */
PRISM_INLINE void add_block(struct sums *sums, int rows, const float *x, size_t ldx, const uint8_t *b, enum prism_type type)
{
    const struct prism_layout l = prism_layout_of(type);
    struct block_scales s;
    block_scales(&s, b, type);
#pragma GCC unroll 8
    for (int j = 0; j < (int)l.block / 32; j++, x += 32)
        if (l.group == 32 && !l.has_min)
            add_rows(sums, rows, x, ldx, group_of_bytes(block_bytes(b, &s, j, type)), _mm256_broadcast_ss(s.d + j));
        else
            add_rows(sums, rows, x, ldx, block_group(b, &s, j, type), _mm256_set1_ps(1.0f));
}

/* n < 32 values of F32, F16 or BF16 at the end of a row, as a group filled up with zeros. */
PRISM_INLINE void add_tail(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *w, enum prism_type type, size_t n)
{
    float w_full[32] = {0}, x_full[4 * 32] = {0};
    prism_kernels_avx2.to_f32[type](w_full, w, n);
    for (int i = 0; i < rows; i++)
        memcpy(x_full + 32 * i, x + (size_t)i * ldx, n * sizeof *x);
    add_rows(s, rows, x_full, 32, group_f32(w_full), _mm256_set1_ps(1.0f));
}

PRISM_INLINE void add_floats(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *w, enum prism_type type,
                             size_t n)
{
    const size_t bytes = type == PRISM_F32 ? 4 : 2;
    for (; n >= 32; n -= 32, x += 32, w += 32 * bytes) {
        const struct group g = type == PRISM_F32   ? group_f32((const float *)(const void *)w)
                               : type == PRISM_F16 ? group_f16((const uint16_t *)(const void *)w)
                                                   : group_bf16((const uint16_t *)(const void *)w);
        stream_ahead(w, 32 * bytes);
        add_rows(s, rows, x, ldx, g, _mm256_set1_ps(1.0f));
    }
    if (n)
        add_tail(s, rows, x, ldx, w, type, n);
}

/* gemv_dot_fn */
PRISM_INLINE void dot_rows(float *y, size_t ldy, int rows, const char *rows_of_x, size_t x_bytes, const uint8_t *w, enum prism_type type,
                           size_t k)
{
    const float *x = (const float *)(const void *)rows_of_x;
    const size_t ldx = x_bytes / sizeof *x;
    const __m256 zero = _mm256_setzero_ps();
    struct sums s = {zero, zero, zero, zero};
    if (type == PRISM_F32 || type == PRISM_F16 || type == PRISM_BF16) {
        add_floats(&s, rows, x, ldx, w, type, k);
    } else {
        const struct prism_layout l = prism_layout_of(type);
        for (size_t i = 0; i < k; i += l.block, w += l.bytes) {
            stream_ahead(w, l.bytes);
            add_block(&s, rows, x + i, ldx, w, type);
        }
    }
    y[0] = vec_sum(s.s0);
    if (rows >= 2)
        y[ldy] = vec_sum(s.s1);
    if (rows == 4) {
        y[2 * ldy] = vec_sum(s.s2);
        y[3 * ldy] = vec_sum(s.s3);
    }
}

#include "arch/avx2/gemv_blocks_body.h"

static void gemv_f32(const struct gemv_args *g) { gemv_all_rows(g, PRISM_F32, dot_rows); }
static void gemv_f16(const struct gemv_args *g) { gemv_all_rows(g, PRISM_F16, dot_rows); }
static void gemv_bf16(const struct gemv_args *g) { gemv_all_rows(g, PRISM_BF16, dot_rows); }

void prism_gemv_f32_avx2(float *y, size_t ldy, const float *x, size_t ldx, size_t n_rows, const void *w, size_t row_bytes,
                         enum prism_type type, size_t cols, size_t k)
{
    const struct gemv_args g = {y, ldy, (const char *)x, ldx * sizeof *x, n_rows, w, row_bytes, cols, k};
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && k % prism_types[type].block == 0);
    switch (type) {
    case PRISM_F32: gemv_f32(&g); break;
    case PRISM_F16: gemv_f16(&g); break;
    case PRISM_BF16: gemv_bf16(&g); break;
    default: gemv_by_type[type](&g);
    }
}
