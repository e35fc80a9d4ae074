/* pack_a_i8.c - activations to the int8 panels of panel_i8.h, in bytes (i8) and pairs of bytes (i8x2). Round half to even.
 *
 * Two groups of six rows at a time, whose twelve scales are found in one vector: as fast for the 64 columns that a gated product hands over
 * piece by piece as for a whole panel. */
#include "arch/avx512vnni/panel_i8.h"
#include "arch/avx512vnni/quantize.h"

size_t prism_i8_a_bytes(size_t k) { return k / 32 * PRISM_I8_A_GROUP(1); }
size_t prism_i8x2_a_bytes(size_t k) { return k / 32 * PRISM_I8_A_GROUP(2); }

/* Lane i: the sum of the 8 lanes of half i % 2 of v[i / 2]. */
PRISM_INLINE __m512i sum_of_each_half(__m512i v[8])
{
    for (int i = 0; i < 4; i++) /* 128-bit lane l holds two lanes of 2 i, of 2 i + 1, twice */
        v[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 2; i++) /* of 4 i .. 4 i + 3; 128-bit lanes 0, 1 belong to the low halves, 2, 3 to the high ones */
        v[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi64(v[2 * i], v[2 * i + 1]));
    const __m512i even = _mm512_castps_si512(_mm512_shuffle_f32x4(_mm512_castsi512_ps(v[0]), _mm512_castsi512_ps(v[1]), 0x88));
    const __m512i odd = _mm512_castps_si512(_mm512_shuffle_f32x4(_mm512_castsi512_ps(v[0]), _mm512_castsi512_ps(v[1]), 0xdd));
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_add_epi32(even, odd)); /* from: low halves of 0..3, high halves of 0..3, ... of 4..7 */
}

PRISM_INLINE void put_two_groups(uint8_t *out, size_t group_bytes, __m512i bytes)
{
    _mm256_store_si256((__m256i *)(void *)out, _mm512_castsi512_si256(bytes));
    _mm256_store_si256((__m256i *)(void *)(out + group_bytes), _mm512_extracti64x4_epi64(bytes, 1));
}

/* The bytes of two groups of one row; out: their place in the first. Returns the two sums, each in the lanes of a half. */
PRISM_INLINE __m512i put_row(uint8_t *out, const float *x, const float *inverse, size_t parts)
{
    const __m512i low_byte = _mm512_set1_epi16(255), ones = _mm512_set1_epi8(1);
    const __m512i w0 = words_of_group(load_group(x), inverse[0]), w1 = words_of_group(load_group(x + 32), inverse[1]);
    if (parts == 1) {
        const __m512i q = in_order(_mm512_packs_epi16(w0, w1));
        put_two_groups(out, PRISM_I8_A_GROUP(parts), _mm512_xor_si512(q, _mm512_set1_epi8((char)128)));
        return _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, q);
    }
    const __m512i low = in_order(_mm512_packus_epi16(_mm512_and_si512(w0, low_byte), _mm512_and_si512(w1, low_byte)));
    const __m512i high = in_order(_mm512_packs_epi16(_mm512_srai_epi16(w0, 8), _mm512_srai_epi16(w1, 8)));
    put_two_groups(out, PRISM_I8_A_GROUP(parts), _mm512_xor_si512(high, _mm512_set1_epi8((char)128)));
    put_two_groups(out + MR * 32, PRISM_I8_A_GROUP(parts), low);
    return _mm512_dpbusd_epi32(_mm512_slli_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, high), 8), low, ones);
}

/* Two groups. i8: the operations of prism_quantize_32 (arch/generic/unpack.h), so that the bytes agree at every level. */
PRISM_INLINE void put_two(uint8_t *out, const float *x, size_t ldx, size_t parts, float q_max, float least)
{
    const __m512i first = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 16, 18, 20, 22, 24, 26, 12, 12, 12, 12); /* lane 12 is zero */
    const __m512i second = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 17, 19, 21, 23, 25, 27, 12, 12, 12, 12);
    _Alignas(64) float inverse[16];
    __m512i sum[8];

    const __m512 d = scales_of_rows(inverse, x, ldx, q_max, least);
    KEEP_IN_MEMORY(inverse);
    for (size_t i = 0; i < MR; i++)
        sum[i] = put_row(out + 32 * i, x + i * ldx, inverse + 2 * i, parts);
    for (size_t i = MR; i < 8; i++)
        sum[i] = _mm512_setzero_si512();
    const __m512 d_sum = _mm512_mul_ps(d, _mm512_cvtepi32_ps(sum_of_each_half(sum)));
    float *numbers = (float *)(void *)(out + PRISM_I8_A_BYTES(parts));
    _mm512_store_ps(numbers, _mm512_permutex2var_ps(d, first, d_sum));
    _mm512_store_ps(numbers + PRISM_I8_A_GROUP(parts) / sizeof(float), _mm512_permutex2var_ps(d, second, d_sum));
}

/* quantize_fn */
static __attribute__((noinline)) void quantize_i8(char *out, const float *x, size_t ldx, size_t n)
{
    for (; n > 0; n--, x += 64, out += 2 * PRISM_I8_A_GROUP(1))
        put_two((uint8_t *)out, x, ldx, 1, 127, 0x1p-120f);
}

static __attribute__((noinline)) void quantize_i8x2(char *out, const float *x, size_t ldx, size_t n)
{
    for (; n > 0; n--, x += 64, out += 2 * PRISM_I8_A_GROUP(2))
        put_two((uint8_t *)out, x, ldx, 2, 32767, 0x1p-112f);
}

void prism_pack_a_i8_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    quantize_panel(quantize_i8, PRISM_I8_A_GROUP(1), panel, x, ldx, rows, k);
}

void prism_pack_a_i8x2_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    quantize_panel(quantize_i8x2, PRISM_I8_A_GROUP(2), panel, x, ldx, rows, k);
}
