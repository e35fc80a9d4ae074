/* pack_a_i8.c - activations to the int8 panels of panel_i8.h, in bytes (i8) and pairs of bytes (i8x2). Round half to even.
 *
 * Sixteen groups of six rows at a time; all rows are measured before the first is written: one row's chain of steps hides behind the
 * others'. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/vec.h"
#include "arch/avx512vnni/panel_i8.h"

enum { MR = PRISM_I8_MR, GROUPS = 16 };

size_t prism_i8_a_bytes(size_t k) { return k / 32 * PRISM_I8_A_GROUP(1); }
size_t prism_i8x2_a_bytes(size_t k) { return k / 32 * PRISM_I8_A_GROUP(2); }

/* Lane i: the largest of the 16 lanes of v[i]; v is destroyed. Neighbours are interleaved and meet in one vector, four times. */
PRISM_INLINE __m512 max_of_each(__m512 v[16])
{
    for (int i = 0; i < 8; i++) /* lanes 4 l .. 4 l + 3 of v[i]: of 2 i, 2 i + 1, 2 i, 2 i + 1 */
        v[i] = _mm512_max_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 4; i++) { /* of 4 i .. 4 i + 3 */
        const __m512d a = _mm512_castps_pd(v[2 * i]), b = _mm512_castps_pd(v[2 * i + 1]);
        v[i] = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    /* 128-bit lanes: now of 0..3, 0..3, 4..7, 4..7, then of each four */
    const __m512 low = _mm512_max_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
    const __m512 high = _mm512_max_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
    return _mm512_max_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

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

/* Scales d = max / q_max of the 16 groups of one row, and their inverses; 0 where max is below `least`. */
PRISM_INLINE __m512 measure_row(float *inverse, const float *x, float q_max, float least)
{
    const __m512 c = _mm512_set1_ps(q_max);
    __m512 v[GROUPS];
    for (size_t g = 0; g < GROUPS; g++)
        v[g] = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + 32 * g)), _mm512_abs_ps(_mm512_loadu_ps(x + 32 * g + 16)));
    const __m512 max = max_of_each(v);
    const __mmask16 normal = _mm512_cmp_ps_mask(max, _mm512_set1_ps(least), _CMP_NLT_UQ);
    _mm512_store_ps(inverse, _mm512_maskz_div_ps(normal, c, max));
    return _mm512_maskz_div_ps(normal, max, c);
}

/* Two groups of bytes, or of words that fit in bytes, from the lanes of packs and packus to the order of k. */
PRISM_INLINE __m512i in_order(__m512i packed)
{
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}

/* 32 values times f as signed words; saturated. */
PRISM_INLINE __m512i words_of_group(const float *x, __m512 f)
{
    return _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), f)),
                              _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), f)));
}

PRISM_INLINE void put_two_groups(uint8_t *out, size_t group_bytes, __m512i bytes)
{
    _mm256_store_si256((__m256i *)(void *)out, _mm512_castsi512_si256(bytes));
    _mm256_store_si256((__m256i *)(void *)(out + group_bytes), _mm512_extracti64x4_epi64(bytes, 1));
}

/* The bytes of 16 groups of one row; out: its place in the first. Returns the sum of each group. */
PRISM_INLINE __m512i put_row(uint8_t *out, const float *x, const float *inverse, size_t parts)
{
    const __m512i low_byte = _mm512_set1_epi16(255), ones = _mm512_set1_epi8(1);
    __m512i sum[8];
    for (size_t g = 0; g < GROUPS; g += 2) {
        const __m512i w0 = words_of_group(x + 32 * g, _mm512_set1_ps(inverse[g]));
        const __m512i w1 = words_of_group(x + 32 * g + 32, _mm512_set1_ps(inverse[g + 1]));
        uint8_t *to = out + g * PRISM_I8_A_GROUP(parts);
        if (parts == 1) {
            const __m512i q = in_order(_mm512_packs_epi16(w0, w1));
            put_two_groups(to, PRISM_I8_A_GROUP(parts), _mm512_xor_si512(q, _mm512_set1_epi8((char)128)));
            sum[g / 2] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, q);
        } else {
            const __m512i low = in_order(_mm512_packus_epi16(_mm512_and_si512(w0, low_byte), _mm512_and_si512(w1, low_byte)));
            const __m512i high = in_order(_mm512_packs_epi16(_mm512_srai_epi16(w0, 8), _mm512_srai_epi16(w1, 8)));
            put_two_groups(to, PRISM_I8_A_GROUP(parts), _mm512_xor_si512(high, _mm512_set1_epi8((char)128)));
            put_two_groups(to + MR * 32, PRISM_I8_A_GROUP(parts), low);
            sum[g / 2] = _mm512_dpbusd_epi32(_mm512_slli_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, high), 8), low, ones);
        }
    }
    return sum_of_each_half(sum);
}

/* i8: the operations of prism_quantize_32 (arch/generic/unpack.h), so that the bytes agree at every level. */
PRISM_INLINE void quantize(uint8_t *out, const float *x, size_t ldx, size_t parts, float q_max, float least)
{
    _Alignas(64) float inverse[MR][GROUPS];
    __m512 numbers[16]; /* d, then d_sum, of each row */

    for (size_t i = 0; i < MR; i++)
        numbers[i] = measure_row(inverse[i], x + i * ldx, q_max, least);
    KEEP_IN_MEMORY(inverse);
    for (size_t i = 0; i < MR; i++)
        numbers[MR + i] = _mm512_mul_ps(numbers[i], _mm512_cvtepi32_ps(put_row(out + 32 * i, x + i * ldx, inverse[i], parts)));
    for (size_t i = 2 * MR; i < 16; i++)
        numbers[i] = _mm512_setzero_ps();
    vec_transpose_16(numbers); /* of each group */
    for (size_t g = 0; g < GROUPS; g++)
        _mm512_store_ps((float *)(void *)(out + g * PRISM_I8_A_GROUP(parts) + PRISM_I8_A_BYTES(parts)), numbers[g]);
}

static __attribute__((noinline)) void quantize_i8(uint8_t *out, const float *x, size_t ldx) { quantize(out, x, ldx, 1, 127, 0x1p-120f); }
static __attribute__((noinline)) void quantize_i8x2(uint8_t *out, const float *x, size_t ldx) { quantize(out, x, ldx, 2, 32767, 0x1p-112f); }

/* Fewer groups or rows go by way of a buffer; missing ones become zeros. */
static void pack(uint8_t *panel, const float *x, size_t ldx, size_t rows, size_t k, size_t parts)
{
    void (*run)(uint8_t *, const float *, size_t) = parts == 1 ? quantize_i8 : quantize_i8x2;
    assert(rows >= 1 && rows <= MR && k % 32 == 0 && (uintptr_t)panel % 64 == 0);

    for (size_t i = 0; i < k; i += 32 * GROUPS, panel += GROUPS * PRISM_I8_A_GROUP(parts)) {
        const size_t n = k - i < 32 * GROUPS ? k - i : 32 * GROUPS;
        if (rows == MR && n == 32 * GROUPS) {
            run(panel, x + i, ldx);
            continue;
        }
        _Alignas(64) float values[MR][32 * GROUPS] = { 0 };
        _Alignas(64) uint8_t whole[GROUPS * PRISM_I8_A_GROUP(2)];
        for (size_t r = 0; r < rows; r++)
            memcpy(values[r], x + i + r * ldx, n * sizeof *x);
        run(whole, values[0], 32 * GROUPS);
        memcpy(panel, whole, n / 32 * PRISM_I8_A_GROUP(parts));
    }
}

void prism_pack_a_i8_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k) { pack(panel, x, ldx, rows, k, 1); }
void prism_pack_a_i8x2_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k) { pack(panel, x, ldx, rows, k, 2); }
