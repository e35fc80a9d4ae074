/* gemv_rows.c - gemv_i16 of several rows of activations: weights are taken 16 rows at a time, one in each lane (columns.h), as
 * unsigned fields. What is unpacked and transposed serves all rows of activations, whose bytes are broadcast. vpdpbusd adds the products of a group with
 * the high bytes and with the low ones, 256 and 1 times: |.| <= 32 * 255 * 32639 < 2^28, exact. Each sum is multiplied by both scales in fp32.
 *
 * On Zen 5 a row costs 24 cycles for 64 weights of 16 columns (18 are those of the multiplications), what all rows share 60 to 75: with the operands in
 * the second-level cache 8 rows take 2.2 to 2.8 times as long as 2. */
#include <string.h>

#include "arch/avx512vnni/columns.h"
#include "arch/avx512vnni/gemv_i16.h"

/* Sums of up to PRISM_GEMV_ROWS rows of activations with 16 columns, and the activations, step of 256 values apart. */
struct rows {
    float (*sum)[8][COLUMNS];
    size_t n, step;
};

/* ---- 64 weights of each column ---- */

PRISM_INLINE __m512 add_scaled(__m512 sum, __m512i x, __m512 w_scale, const float *x_scale)
{
    return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(x), w_scale), _mm512_set1_ps(*x_scale), sum);
}

PRISM_INLINE __m512i dot_4(__m512i sum, __m512i w, const int32_t *x) { return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(*x)); }

PRISM_INLINE __m512i both_bytes(__m512i high, __m512i low) { return _mm512_add_epi32(_mm512_slli_epi32(high, 8), low); }

/* Two groups of 32: w[0 .. 8), w[8 .. 16). min: NULL, or what is added times the sum of activations. i: which 64 values of x. */
PRISM_INLINE void add_64(const struct rows *r, const struct x_256 *x, size_t i, const __m512i w[16], const __m512 scale[2], const __m512 *min,
                         enum prism_type type)
{
    for (size_t row = 0; row < r->n; row++, x += r->step) {
        const int32_t *high = x->q[i][0], *low = x->q[i][1], *bias = type == PRISM_Q8_0 ? x->bias_q8_0 : x->bias_q4_0;
        __m512i h[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() }, l[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() };
        if (!min)
            l[0] = _mm512_set1_epi32(bias[2 * i]), l[1] = _mm512_set1_epi32(bias[2 * i + 1]);
#pragma GCC unroll 8
        for (size_t g = 0; g < 8; g++) {
            h[0] = dot_4(h[0], w[g], high + g);
            l[0] = dot_4(l[0], w[g], low + g);
            h[1] = dot_4(h[1], w[8 + g], high + 8 + g);
            l[1] = dot_4(l[1], w[8 + g], low + 8 + g);
        }
#pragma GCC unroll 2
        for (size_t g = 0; g < 2; g++) {
            float *sum = r->sum[row][2 * i + g];
            __m512 s = add_scaled(_mm512_load_ps(sum), both_bytes(h[g], l[g]), scale[g], &x->d[2 * i + g]);
            if (min)
                s = _mm512_fmadd_ps(min[g], _mm512_set1_ps(x->d_sum[2 * i + g]), s);
            _mm512_store_ps(sum, s);
        }
    }
}

/* Four groups of 16. */
PRISM_INLINE void add_64_by_16(const struct rows *r, const struct x_256 *x, size_t i, const __m512i w[16], const __m512 scale[4])
{
    for (size_t row = 0; row < r->n; row++, x += r->step) {
        __m512i h[4], l[4];
#pragma GCC unroll 4
        for (size_t g = 0; g < 4; g++)
            h[g] = _mm512_setzero_si512(), l[g] = _mm512_set1_epi32(x->bias_q6_k[g % 2 * 8 + 2 * i + g / 2]);
#pragma GCC unroll 16
        for (size_t g = 0; g < 16; g++) {
            const size_t to = g % 4, from = g % 4 * 4 + g / 4;
            h[to] = dot_4(h[to], w[from], x->q[i][0] + from);
            l[to] = dot_4(l[to], w[from], x->q[i][1] + from);
        }
#pragma GCC unroll 2
        for (size_t g = 0; g < 4; g += 2) {
            float *sum = r->sum[row][2 * i + g / 2];
            const __m512 a = _mm512_mul_ps(_mm512_cvtepi32_ps(both_bytes(h[g], l[g])), scale[g]);
            const __m512 b = _mm512_fmadd_ps(_mm512_cvtepi32_ps(both_bytes(h[g + 1], l[g + 1])), scale[g + 1], a);
            _mm512_store_ps(sum, _mm512_fmadd_ps(b, _mm512_set1_ps(x->d[2 * i + g / 2]), _mm512_load_ps(sum)));
        }
    }
}

/* ---- the types ---- */

PRISM_INLINE __m512i low_nibbles(__m512i x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
PRISM_INLINE __m512i high_nibbles(__m512i x) { return low_nibbles(_mm512_srli_epi16(x, 4)); }

PRISM_INLINE void add_q8_0(const struct rows *r, const struct x_256 *x, struct columns *c, size_t k)
{
    for (size_t i = 0; i * 64 < k; i++, columns_advance(c, 68)) {
        const bool both = k - i * 64 > 32;
        const __m512 scale[2] = { low_halves(columns_4(c, 0)), both ? low_halves(columns_4(c, 34)) : _mm512_setzero_ps() };
        __m512i w[16] = { 0 };
        fetch_next_columns(c, 68, 0, 1);
        columns_32(w, c, 2);
        if (both)
            columns_32(w + 8, c, 36);
#pragma GCC unroll 16
        for (size_t g = 0; g < 16; g++)
            w[g] = _mm512_xor_si512(w[g], _mm512_set1_epi8(-BIAS_Q8_0));
        add_64(r, x + i / 4, i % 4, w, scale, NULL, PRISM_Q8_0);
    }
}

PRISM_INLINE void add_q4_0(const struct rows *r, const struct x_256 *x, struct columns *c, size_t k)
{
    for (size_t i = 0; i * 64 < k; i++, columns_advance(c, 36)) {
        const bool both = k - i * 64 > 32;
        const __m512 scale[2] = { low_halves(columns_4(c, 0)), both ? low_halves(columns_4(c, 18)) : _mm512_setzero_ps() };
        __m512i q[8] = { 0 }, w[16];
        fetch_next_columns(c, 36, 0, 1);
        columns_16(q, c, 2);
        if (both)
            columns_16(q + 4, c, 20);
#pragma GCC unroll 8
        for (size_t g = 0; g < 8; g++) {
            w[g / 4 * 8 + g % 4] = low_nibbles(q[g]);
            w[g / 4 * 8 + 4 + g % 4] = high_nibbles(q[g]);
        }
        add_64(r, x + i / 4, i % 4, w, scale, NULL, PRISM_Q4_0);
    }
}

PRISM_INLINE void add_q4_k(const struct rows *r, const struct x_256 *x, struct columns *c, size_t k)
{
    for (; k > 0; k -= 256, x++, columns_advance(c, 144)) {
        __m512 scale[8], min[8];
        q4_k_scales(scale, min, c);
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            __m512i q[8], w[16];
            fetch_next_columns(c, 144, i, 4);
            columns_32(q, c, 16 + 32 * i);
#pragma GCC unroll 8
            for (size_t g = 0; g < 8; g++) {
                w[g] = low_nibbles(q[g]);
                w[8 + g] = high_nibbles(q[g]);
            }
            add_64(r, x, i, w, scale + 2 * i, min + 2 * i, PRISM_Q4_K);
        }
    }
}

/* Fields of four bits and of two, those at place 2 * `pair` of `high`. */
PRISM_INLINE __m512i with_high(__m512i nibbles, __m512i high, unsigned pair)
{
    const __m512i moved = pair < 2 ? _mm512_slli_epi16(high, 4 - 2 * pair) : pair == 2 ? high : _mm512_srli_epi16(high, 2);
    return _mm512_or_si512(nibbles, _mm512_and_si512(moved, _mm512_set1_epi8(0x30)));
}

PRISM_INLINE void add_q6_k(const struct rows *r, const struct x_256 *x, struct columns *c, size_t k)
{
    for (; k > 0; k -= 256, x++, columns_advance(c, 210)) {
        __m512 scale[16];
        q6_k_scales(scale, c);
        for (size_t half = 0; half < 2; half++) {
            __m512i low[16], high[8], w[16];
            columns_32(high, c, 128 + 32 * half);
            columns_32(low, c, 64 * half);
            columns_32(low + 8, c, 64 * half + 32);
#pragma GCC unroll 2
            for (unsigned part = 0; part < 2; part++) {
                fetch_next_columns(c, 210, 2 * half + part, 4);
#pragma GCC unroll 16
                for (size_t g = 0; g < 16; g++)
                    w[g] = with_high(part ? high_nibbles(low[g]) : low_nibbles(low[g]), high[g % 8], 2 * part + (unsigned)(g / 8));
                add_64_by_16(r, x, 2 * half + part, w, scale + 8 * half + 4 * part);
            }
        }
    }
}

/* ---- the product ---- */

typedef void add_fn(const struct rows *r, const struct x_256 *x, struct columns *c, size_t k);

/* In the order of vec_sum of arch/avx2. */
PRISM_INLINE __m512 sum_of_8(float (*s)[COLUMNS])
{
    __m512 t[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        t[i] = _mm512_add_ps(_mm512_load_ps(s[i]), _mm512_load_ps(s[i + 4]));
    return _mm512_add_ps(_mm512_add_ps(t[0], t[2]), _mm512_add_ps(t[1], t[3]));
}

PRISM_INLINE void multiply_columns(const struct gemv *g, size_t col, size_t n, add_fn *add)
{
    _Alignas(64) float sum[PRISM_GEMV_ROWS][8][COLUMNS];
    const struct rows r = { sum, g->n_rows, x_bytes(g->k) / sizeof(struct x_256) };
    struct columns c;

    memset(sum, 0, g->n_rows * sizeof *sum);
    columns_begin(&c, g->w + col * g->row_bytes, g->row_bytes, n, n == COLUMNS);
    add(&r, g->x, &c, g->k);
    for (size_t row = 0; row < g->n_rows; row++)
        _mm512_mask_storeu_ps(g->y + row * g->ldy + col, vec_mask(n), sum_of_8(sum[row]));
}

PRISM_INLINE void all_columns(const struct gemv *g, add_fn *add)
{
    size_t col = 0;

    for (; col + COLUMNS <= g->cols; col += COLUMNS)
        multiply_columns(g, col, COLUMNS, add);
    if (col < g->cols)
        multiply_columns(g, col, g->cols - col, add);
}

static void gemv_q8_0(const struct gemv *g) { all_columns(g, add_q8_0); }
static void gemv_q4_0(const struct gemv *g) { all_columns(g, add_q4_0); }
static void gemv_q4_k(const struct gemv *g) { all_columns(g, add_q4_k); }
static void gemv_q6_k(const struct gemv *g) { all_columns(g, add_q6_k); }

void prism_gemv_rows_avx512vnni(const struct gemv *g, enum prism_type type)
{
    switch (type) {
    case PRISM_Q8_0: gemv_q8_0(g); break;
    case PRISM_Q4_0: gemv_q4_0(g); break;
    case PRISM_Q4_K: gemv_q4_k(g); break;
    default: gemv_q6_k(g);
    }
}
