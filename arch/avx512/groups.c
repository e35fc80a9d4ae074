/* groups.c - stored weights to signed bytes in groups of 32, for the types that most files are made of; the others, and all ways
 * to floats, are those of arch/avx2 (gcc 12 makes 0.04-0.15 ns per value of the plain C with 256-bit vectors, and 0.2-1.0 with 512).
 * Contract: prism_to_i8_fn of src/kernels.h; bit-equal to the generic functions. */
#include "arch/avx512/avx512.h"
#include "arch/avx512/unpack.h"

void prism_to_i8_q8_0_avx512(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    const uint8_t *b = x;
    for (size_t g = 0; g < n / 32; g++, b += 34) {
        _mm256_storeu_si256((__m256i *)(void *)(q + 32 * g), _mm256_loadu_si256((const __m256i *)(const void *)(b + 2)));
        d[g] = first_half(b);
        if (m)
            m[g] = 0;
    }
}

void prism_to_i8_q4_0_avx512(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    const uint8_t *b = x;
    for (size_t g = 0; g < n / 32; g++, b += 18) {
        _mm256_storeu_si256((__m256i *)(void *)(q + 32 * g), unpack_q4_0(b));
        d[g] = first_half(b);
        if (m)
            m[g] = 0;
    }
}

void prism_to_i8_q4_k_avx512(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    const uint8_t *b = x;
    for (size_t g = 0; g < n / 32; g += 8, b += 144) {
        const struct q4_k_scales scales = unpack_q4_k_scales(b);
        _mm256_storeu_ps(d + g, scales.d);
        if (m)
            _mm256_storeu_ps(m + g, scales.m);
        for (size_t p = 0; p < 4; p++) {
            const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(b + 16 + 32 * p)), mask = _mm256_set1_epi8(15);
            __m256i *out = (__m256i *)(void *)(q + 32 * g + 64 * p);
            _mm256_storeu_si256(out, _mm256_and_si256(low, mask));
            _mm256_storeu_si256(out + 1, _mm256_and_si256(_mm256_srli_epi16(low, 4), mask));
        }
    }
}

/* Lane i: the largest magnitude of the 16 bytes of value[16 i ..]; v: the same 256 bytes, a 128-bit lane per 16. */
static inline __m512i max_of_16(const __m512i v[4])
{
    __m512i max = _mm512_setzero_si512();
    for (int i = 0; i < 4; i++) {
        __m512i m = _mm512_abs_epi8(v[i]);
        m = _mm512_max_epu8(m, _mm512_bsrli_epi128(m, 8));
        m = _mm512_max_epu8(m, _mm512_bsrli_epi128(m, 4));
        m = _mm512_max_epu8(m, _mm512_srli_epi32(m, 16));
        m = _mm512_max_epu8(m, _mm512_srli_epi32(m, 8));
        max = _mm512_mask_mov_epi32(max, (__mmask16)(0x1111 << i), _mm512_shuffle_epi32(m, 0));
    }
    /* 32-bit lane 4 l + i holds the maximum of 128-bit lane l of v[i] */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_and_si512(max, _mm512_set1_epi32(255)));
}

/* Requantised from 16 scales of 16 values to 8 of 32, with the operations of prism_quantize_32: d = max/127, q = the value times
 * 127/max. Rounding is monotonic, so the largest |scale * q| of 16 values is |scale| times the largest |q|. */
void prism_to_i8_q6_k_avx512(int8_t *q, float *d, float *m, const void *x, size_t n)
{
    const uint8_t *b = x;
    for (size_t g = 0; g < n / 32; g += 8, b += 210) {
        _Alignas(64) float scale[16], inverse[8];
        _Alignas(64) int8_t value[256];
        __m512i v[4];

        unpack_q6_k(v, b);
        for (int i = 0; i < 4; i++)
            _mm512_store_si512(value + 64 * i, v[i]);
        const __m512 s = unpack_q6_k_scales(b);
        const __m512 max16 = _mm512_mul_ps(_mm512_abs_ps(s), _mm512_cvtepi32_ps(max_of_16(v)));
        /* pairs of neighbours: the larger one, then the even lanes */
        const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
        const __m512 pair_max = _mm512_max_ps(max16, _mm512_shuffle_ps(max16, max16, 0xb1));
        const __m256 max = _mm512_castps512_ps256(_mm512_permutexvar_ps(even, pair_max));
        const __m256 tiny = _mm256_cmp_ps(max, _mm256_set1_ps(0x1p-120f), _CMP_LT_OQ), c127 = _mm256_set1_ps(127.0f);
        _mm256_storeu_ps(d + g, _mm256_andnot_ps(tiny, _mm256_div_ps(max, c127)));
        _mm256_store_ps(inverse, _mm256_andnot_ps(tiny, _mm256_div_ps(c127, max)));
        _mm512_store_ps(scale, s);
        KEEP_IN_MEMORY(scale);
        KEEP_IN_MEMORY(inverse);
        for (int i = 0; i < 16; i++) {
            const __m512 f = vec_i8_to_f32(_mm_load_si128((__m128i *)(void *)(value + 16 * i)));
            const __m512 y = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(scale[i]), f), _mm512_set1_ps(inverse[i / 2]));
            _mm_storeu_si128((__m128i *)(void *)(q + 32 * g + 16 * i), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(y)));
        }
        if (m)
            _mm256_storeu_ps(m + g, _mm256_setzero_ps());
    }
}
