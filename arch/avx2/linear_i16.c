/* linear_i16.c - linear layers on two-byte integers: "i16", the product and its panels. Panels serve arch/avxvnni/linear_i16.c too.
 *
 * Per group of 32 values of k: activations are q * d with |q| <= 16383 and d = max|x| / 16383, round half to even. Weights are
 * integers times a scale, exactly: the bytes of prism_to_i8_fn; of Q3_K and Q6_K the product of a value and the scale of its 16, at
 * most 4096 in size; the other types with scales of 16, F16 and BF16 are rounded, to 4095ths of the group's largest. A sum of 32
 * products is at most 32 * 16383 * 4096 < 2^31.
 *
 * pmaddwd and paddd share three ports (four on Zen 5), fp32 multiply-adds have two, for the same number of products per operation. Full bytes
 * would gain nothing: pmaddubsw wants an unsigned operand and its 16-bit sums hold one pair of full bytes, so that 32 products cost four
 * operations (absolute weights, signs moved to the activations), two fewer loads and 1/64 of the accuracy. Smaller ones do: linear_i8.c.
 *
 * Tried on Zen 5, in L1, part of what the 216 multiplications of a group allow on two ports: 6 x 16, each sum right after its product, 0.94;
 * 4 x 16, sums three products later, 0.96. Sums that no multiplying port takes (vaddps in their place) 1.00, but there is none of integers. */
#include "arch/avx2/avx2.h"
#include "arch/avx2/words_i16.h"

#include "arch/avx2/group_gemm.h"
#include "arch/avx2/group_pack.h"

#define TINY 0x1p-112f /* a group below counts as zero */

/* 32 values, in order. */
struct words {
    __m256i low, high;
};

PRISM_INLINE struct words words_of_bytes(__m256i q)
{
    return (struct words){ _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q)), _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1)) };
}

PRISM_INLINE void put_words(int32_t *out, struct words w)
{
    _mm256_store_si256((__m256i *)(void *)out, w.low);
    _mm256_store_si256((__m256i *)(void *)out + 1, w.high);
}

/* Two vectors of 8 numbers, scaled, round half to even. */
PRISM_INLINE __m256i round_16(__m256 x0, __m256 x1, __m256 inverse)
{
    return vec_pack_16(_mm256_cvtps_epi32(_mm256_mul_ps(x0, inverse)), _mm256_cvtps_epi32(_mm256_mul_ps(x1, inverse)));
}

/* A put_group_fn. */
PRISM_INLINE __m256i put_rounded(char *out, struct group g, __m256 inverse)
{
    const struct words q = { round_16(g.w0, g.w1, inverse), round_16(g.w2, g.w3, inverse) };
    const __m256i one = _mm256_set1_epi16(1);
    put_words((int32_t *)(void *)out, q);
    return _mm256_add_epi32(_mm256_madd_epi16(q.low, one), _mm256_madd_epi16(q.high, one));
}

/* ---- weights ---- */

/* Q3_K, Q6_K: value * scale of its 16. scale: of the group's two halves. */
PRISM_INLINE void put_scaled(int32_t *out, __m256i bytes, const int8_t *scale)
{
    const struct words w = words_of_bytes(bytes);
    put_words(out, (struct words){ _mm256_mullo_epi16(w.low, _mm256_set1_epi16(scale[0])),
                                   _mm256_mullo_epi16(w.high, _mm256_set1_epi16(scale[1])) });
}

static void words_q3_k(int32_t *words, float *d, const uint8_t *b)
{
    uint8_t scale[16];
    prism_q3_k_scales(scale, b + 96);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        const int8_t s[2] = { (int8_t)(scale[2 * g] - 32), (int8_t)(scale[2 * g + 1] - 32) };
        put_scaled(words + WORDS * g, bytes_q3_k(b, g), s);
    }
    _mm256_store_ps(d, _mm256_set1_ps(vec_half(b + 108)));
}

static void words_q6_k(int32_t *words, float *d, const uint8_t *b)
{
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++)
        put_scaled(words + WORDS * g, bytes_q6_k(b, g), (const int8_t *)b + 192 + 2 * g);
    _mm256_store_ps(d, _mm256_set1_ps(vec_half(b + 208)));
}

/* Other types without a scale of 32 values. */
static void words_rounded(int32_t *words, float *d, const void *row, size_t n, enum prism_type type)
{
    _Alignas(32) float x[PIECE];
    struct group_scales s;
    prism_kernels_avx2.to_f32[type](x, row, n);
    quantize_groups(&s, (char *)words, WORDS * sizeof *words, x, n / 32, PRISM_I16_W_MAX, TINY, put_rounded);
    memcpy(d, s.d, n / 32 * sizeof *d);
}

static void row_words(int32_t *words, int32_t *start, float *d, float *m, const void *row, size_t n, enum prism_type type)
{
    _Alignas(32) int8_t q[PIECE];
    (void)start;
    if (type == PRISM_Q3_K) {
        words_q3_k(words, d, row);
    } else if (type == PRISM_Q6_K) {
        words_q6_k(words, d, row);
    } else if (prism_types[type].group != 32) {
        words_rounded(words, d, row, n, type);
    } else {
        prism_kernels_avx2.to_i8[type](q, d, m, row, n);
        for (size_t g = 0; g < n / 32; g++)
            put_words(words + WORDS * g, words_of_bytes(_mm256_load_si256((const __m256i *)(void *)q + g)));
    }
}

void prism_pack_w_i16_avx2(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    pack_columns(panel, rows, row_bytes, type, cols, k, prism_types[type].has_min);
}

/* ---- activations ---- */

void prism_pack_a_i16_avx2(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    pack_rows(panel, x, ldx, rows, k, PRISM_I16_A_MAX, TINY, put_rounded);
}

const struct prism_linear prism_linear_i16_avx2 = {
    .name = "i16", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = prism_pack_w_i16_avx2, .pack_a = prism_pack_a_i16_avx2, .gemm = gemm,
    /* Half a step, and three roundings of the largest. The weights only of types without a scale of 32 values. */
    .a_err = 0.5f / PRISM_I16_A_MAX + 3 * 0x1p-24f, .w_err = 0.5f / PRISM_I16_W_MAX + 3 * 0x1p-24f,
};
