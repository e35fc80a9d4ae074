/* linear_bf16.c - linear layers in bf16 with fp32 sums: layout, blocking and product are arch/avx512/linear_body.h. */
#include "arch/avx512bf16/words.h"

#include "arch/avx512/linear_body.h"
#include "arch/avx512/unpack.h"
#include "arch/avx512bf16/avx512bf16.h"

/* 32 values of Q8_0 as words. */
PRISM_INLINE __m512 words_of_q8_0(const uint8_t *block)
{
    const __m512 d = _mm512_set1_ps(first_half(block));
    const __m128i *q = (const __m128i *)(const void *)(block + 2);
    return words_in_order(_mm512_mul_ps(d, vec_i8_to_f32(_mm_loadu_si128(q))), _mm512_mul_ps(d, vec_i8_to_f32(_mm_loadu_si128(q + 1))));
}

/* Q8_0, the type of most finer products, without a buffer: a third of the time. */
static void pack_w_q8_0(float *panel, const uint8_t *rows, size_t row_bytes, size_t cols, size_t k)
{
    for (size_t j0 = 0; j0 < NR; j0 += 16)
        for (size_t g = 0; g < k / 32; g++) {
            __m512 r[16];
            for (size_t j = 0; j < 16; j++)
                r[j] = j0 + j < cols ? words_of_q8_0(rows + (j0 + j) * row_bytes + g * 34) : _mm512_setzero_ps();
            vec_transpose_16(r);
            for (size_t l = 0; l < 16; l++)
                _mm512_store_ps(panel + (16 * g + l) * NR + j0, r[l]);
        }
}

static void pack_w_bf16(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    assert(cols >= 1 && cols <= NR);
    if (type == PRISM_Q8_0)
        pack_w_q8_0(panel, rows, row_bytes, cols, k);
    else
        pack_w(panel, rows, row_bytes, type, cols, k);
}

const struct prism_linear prism_linear_bf16_avx512bf16 = {
    .name = "bf16", .mr = MR, .nr = NR, .k_step = PER_WORD, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w_bf16, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0x1p-8f, .w_err = 0x1p-8f, /* eight significant bits, half a step */
};
