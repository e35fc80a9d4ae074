/* gemv.c - 1 to 8 rows of activations times stored weights: decode. Contract: prism_gemv_fn of src/kernels.h.
 *
 * A weight row is walked in steps of 32 values, which become two vectors in registers and enter two sums per row of activations.
 * The arithmetic of a row does not depend on the number of rows: four rows share the expansion, the rest go one by one. The
 * types that are not listed here go to the kernel of arch/avx2. */
#include <assert.h>

#include "arch/avx2/avx2.h"
#include "arch/avx512/avx512.h"
#include "arch/avx512/unpack.h"

/* Even and odd vectors of up to four rows: s.x + s.y is the row's sum. */
struct sums {
    __m512 x0, y0, x1, y1, x2, y2, x3, y3;
};

PRISM_INLINE void add_row(__m512 *sx, __m512 *sy, const float *x, __mmask16 in0, __mmask16 in1, __m512 w0, __m512 w1)
{
    *sx = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(in0, x), w0, *sx);
    *sy = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(in1, x + 16), w1, *sy);
}

/* n <= 32 values, 0 behind them in w0, w1; n and rows (4 or 1) constants but in tails. */
PRISM_INLINE void add_values(struct sums *s, int rows, const float *x, size_t ldx, __m512 w0, __m512 w1, size_t n)
{
    const __mmask16 in0 = vec_mask(n), in1 = vec_mask(n < 16 ? 0 : n - 16);
    add_row(&s->x0, &s->y0, x, in0, in1, w0, w1);
    if (rows == 4) {
        add_row(&s->x1, &s->y1, x + ldx, in0, in1, w0, w1);
        add_row(&s->x2, &s->y2, x + 2 * ldx, in0, in1, w0, w1);
        add_row(&s->x3, &s->y3, x + 3 * ldx, in0, in1, w0, w1);
    }
}

/* Stored values of 16 or 32 bits: n of them. */
PRISM_INLINE void add_stored(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *w, enum prism_kv_format format,
                             size_t n)
{
    const size_t bytes = format == PRISM_KVF_F32 ? 4 : 2;
    for (; n >= 32; n -= 32, x += 32, w += 32 * bytes) {
        vec_fetch_ahead(w, 32 * bytes);
        add_values(s, rows, x, ldx, vec_load_stored(w, format, 16), vec_load_stored(w + 16 * bytes, format, 16), 32);
    }
    if (n > 0)
        add_values(s, rows, x, ldx, vec_load_stored(w, format, n), vec_load_stored(w + 16 * bytes, format, n < 16 ? 0 : n - 16), n);
}

PRISM_INLINE void add_q8_0(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *b)
{
    const __m512 d = _mm512_set1_ps(first_half(b));
    const __m128i *q = (const __m128i *)(const void *)(b + 2);
    const __m512 w0 = vec_i8_to_f32(_mm_loadu_si128(q)), w1 = vec_i8_to_f32(_mm_loadu_si128(q + 1));
    add_values(s, rows, x, ldx, _mm512_mul_ps(d, w0), _mm512_mul_ps(d, w1), 32);
}

/* The 32 values of 16 bytes of nibbles: table[low nibble] and table[high nibble]. */
PRISM_INLINE void add_nibbles(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *q, __m512 table)
{
    const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)q)); /* the permutation sees 4 bits of each */
    add_values(s, rows, x, ldx, _mm512_permutexvar_ps(bytes, table), _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), table), 32);
}

PRISM_INLINE void add_q4_0(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *b)
{
    const __m512 values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    add_nibbles(s, rows, x, ldx, b + 2, _mm512_mul_ps(_mm512_set1_ps(first_half(b)), values));
}

/* Group 2 p is in the low nibbles of 32 bytes, group 2 p + 1 in the high ones. */
PRISM_INLINE void add_q4_k(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *b)
{
    const __m512 values = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _Alignas(32) float d[8], m[8];
    const struct q4_k_scales scales = unpack_q4_k_scales(b);
    _mm256_store_ps(d, scales.d);
    _mm256_store_ps(m, scales.m);
    KEEP_IN_MEMORY(d);
    KEEP_IN_MEMORY(m);
    for (int p = 0; p < 4; p++, x += 64) {
        const __m128i *q = (const __m128i *)(const void *)(b + 16 + 32 * p);
        const __m512i bytes0 = _mm512_cvtepu8_epi32(_mm_loadu_si128(q)), bytes1 = _mm512_cvtepu8_epi32(_mm_loadu_si128(q + 1));
        const __m512 low = _mm512_fmadd_ps(_mm512_set1_ps(d[2 * p]), values, _mm512_set1_ps(m[2 * p]));
        const __m512 high = _mm512_fmadd_ps(_mm512_set1_ps(d[2 * p + 1]), values, _mm512_set1_ps(m[2 * p + 1]));
        add_values(s, rows, x, ldx, _mm512_permutexvar_ps(bytes0, low), _mm512_permutexvar_ps(bytes1, low), 32);
        add_values(s, rows, x + 32, ldx, _mm512_permutexvar_ps(_mm512_srli_epi32(bytes0, 4), high),
                   _mm512_permutexvar_ps(_mm512_srli_epi32(bytes1, 4), high), 32);
    }
}

PRISM_INLINE void add_q6_k(struct sums *s, int rows, const float *x, size_t ldx, const uint8_t *b)
{
    _Alignas(64) float scale[16];
    _Alignas(64) int8_t value[256];
    __m512i v[4];
    unpack_q6_k(v, b);
    for (int i = 0; i < 4; i++)
        _mm512_store_si512(value + 64 * i, v[i]);
    _mm512_store_ps(scale, unpack_q6_k_scales(b));
    KEEP_IN_MEMORY(scale);
    const __m128i *q = (const __m128i *)(void *)value;
    for (int i = 0; i < 8; i++)
        add_values(s, rows, x + 32 * i, ldx, _mm512_mul_ps(_mm512_set1_ps(scale[2 * i]), vec_i8_to_f32(_mm_load_si128(q + 2 * i))),
                   _mm512_mul_ps(_mm512_set1_ps(scale[2 * i + 1]), vec_i8_to_f32(_mm_load_si128(q + 2 * i + 1))), 32);
}

/* type and rows: constants at every call. y: rows results, ldy apart. */
PRISM_INLINE void dot_rows(float *y, size_t ldy, int rows, const float *x, size_t ldx, const uint8_t *w, enum prism_type type, size_t k)
{
    const __m512 z = _mm512_setzero_ps();
    struct sums s = { z, z, z, z, z, z, z, z };
    size_t i = 0;
    switch (type) {
    case PRISM_F32:
        add_stored(&s, rows, x, ldx, w, PRISM_KVF_F32, k);
        break;
    case PRISM_F16:
        add_stored(&s, rows, x, ldx, w, PRISM_KVF_F16, k);
        break;
    case PRISM_BF16:
        add_stored(&s, rows, x, ldx, w, PRISM_KVF_BF16, k);
        break;
    case PRISM_Q8_0:
        for (; i < k; i += 32, w += 34) {
            vec_fetch_ahead(w, 34);
            add_q8_0(&s, rows, x + i, ldx, w);
        }
        break;
    case PRISM_Q4_0:
        for (; i < k; i += 32, w += 18) {
            vec_fetch_ahead(w, 18);
            add_q4_0(&s, rows, x + i, ldx, w);
        }
        break;
    case PRISM_Q4_K:
        for (; i < k; i += 256, w += 144) {
            vec_fetch_ahead(w, 144);
            add_q4_k(&s, rows, x + i, ldx, w);
        }
        break;
    case PRISM_Q6_K:
        for (; i < k; i += 256, w += 210) {
            vec_fetch_ahead(w, 210);
            add_q6_k(&s, rows, x + i, ldx, w);
        }
        break;
    default:
        break;
    }
    y[0] = _mm512_reduce_add_ps(_mm512_add_ps(s.x0, s.y0));
    if (rows == 4) {
        y[ldy] = _mm512_reduce_add_ps(_mm512_add_ps(s.x1, s.y1));
        y[2 * ldy] = _mm512_reduce_add_ps(_mm512_add_ps(s.x2, s.y2));
        y[3 * ldy] = _mm512_reduce_add_ps(_mm512_add_ps(s.x3, s.y3));
    }
}

struct gemv_args {
    float *y;
    size_t ldy;
    const float *x;
    size_t ldx, n_rows;
    const uint8_t *w;
    size_t row_bytes, cols, k;
};

PRISM_INLINE void all_cols(const struct gemv_args *g, enum prism_type type)
{
    for (size_t j = 0; j < g->cols; j++) {
        const uint8_t *w = g->w + j * g->row_bytes;
        size_t i = 0;
        for (; i + 4 <= g->n_rows; i += 4)
            dot_rows(g->y + i * g->ldy + j, g->ldy, 4, g->x + i * g->ldx, g->ldx, w, type, g->k);
        for (; i < g->n_rows; i++)
            dot_rows(g->y + i * g->ldy + j, g->ldy, 1, g->x + i * g->ldx, g->ldx, w, type, g->k);
    }
}

static __attribute__((noinline)) void gemv_f32(const struct gemv_args *g) { all_cols(g, PRISM_F32); }
static __attribute__((noinline)) void gemv_f16(const struct gemv_args *g) { all_cols(g, PRISM_F16); }
static __attribute__((noinline)) void gemv_bf16(const struct gemv_args *g) { all_cols(g, PRISM_BF16); }
static __attribute__((noinline)) void gemv_q8_0(const struct gemv_args *g) { all_cols(g, PRISM_Q8_0); }
static __attribute__((noinline)) void gemv_q4_0(const struct gemv_args *g) { all_cols(g, PRISM_Q4_0); }
static __attribute__((noinline)) void gemv_q4_k(const struct gemv_args *g) { all_cols(g, PRISM_Q4_K); }
static __attribute__((noinline)) void gemv_q6_k(const struct gemv_args *g) { all_cols(g, PRISM_Q6_K); }

void prism_gemv_f32_avx512(float *y, size_t ldy, const float *x, size_t ldx, size_t n_rows, const void *w, size_t row_bytes,
                           enum prism_type type, size_t cols, size_t k)
{
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && k % prism_types[type].block == 0);
    static void (*const by_type[PRISM_N_TYPES])(const struct gemv_args *) = {
        [PRISM_F32] = gemv_f32,   [PRISM_F16] = gemv_f16,   [PRISM_BF16] = gemv_bf16, [PRISM_Q8_0] = gemv_q8_0,
        [PRISM_Q4_0] = gemv_q4_0, [PRISM_Q4_K] = gemv_q4_k, [PRISM_Q6_K] = gemv_q6_k,
    };
    if (by_type[type])
        by_type[type](&(struct gemv_args){ y, ldy, x, ldx, n_rows, w, row_bytes, cols, k });
    else
        prism_gemv_f32_avx2(y, ldy, x, ldx, n_rows, w, row_bytes, type, cols, k);
}
