/* vec.h - small vector helpers of the AVX-512 levels: tails, maxima, 16-bit formats, exp2, transposes. Everything is static
 * inline: each file compiles its own copy with its own level's flags. */
#ifndef PRISM_AVX512_VEC_H
#define PRISM_AVX512_VEC_H

#include <stddef.h>
#include <stdint.h>

#include "arch/avx512/simd.h"
#include "src/kernels.h"

#define PRISM_INLINE static inline __attribute__((always_inline))

/* Holds a loaded vector in its register, so that gcc 12 does not fold the load into each instruction that uses it. */
#if defined(PRISM_SIMDE) /* no such register */
#define KEEP_IN_REGISTER(v) (void)(v)
#else
#define KEEP_IN_REGISTER(v) __asm__("" : "+v"(v))
#endif

/* Makes the compiler read the elements of an array back from memory: a broadcasting load needs no shuffle, while gcc 12 would take
 * each element out of the vector that was stored. */
#define KEEP_IN_MEMORY(array) __asm__("" : "+m"(array))

/* Lanes 0..n-1, at most 16. */
PRISM_INLINE __mmask16 vec_mask(size_t n)
{
    return n < 16 ? (__mmask16)((1u << n) - 1) : 0xffff;
}

/* The largest of n >= 1 floats. */
PRISM_INLINE float vec_max_of(const float *x, size_t n)
{
    __m512 max = _mm512_set1_ps(x[0]);
    for (size_t i = 0; i < n; i += 16)
        max = _mm512_max_ps(max, _mm512_mask_loadu_ps(max, vec_mask(n - i), x + i));
    return _mm512_reduce_max_ps(max);
}

/* Lanes 0..7 and 8..15, widened. */
PRISM_INLINE __m512d vec_low_pd(__m512 x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
PRISM_INLINE __m512d vec_high_pd(__m512 x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)); }

/* 16 halves or bf16 values, widened. */
PRISM_INLINE __m512 vec_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

PRISM_INLINE __m512 vec_load_bf16(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}

/* One half at any address. */
PRISM_INLINE float vec_half(const void *p)
{
    uint16_t h;
    __builtin_memcpy(&h, p, sizeof h);
    return _cvtsh_ss(h);
}

/* The n <= 16 values from number i on (i % 16 == 0) of the row of a cache at `row`, zeros behind; reads nothing past them. */
PRISM_INLINE __m512 vec_load_stored(const void *row, enum prism_kv_format format, size_t i, size_t n)
{
    if (format == PRISM_KVF_F32)
        return _mm512_maskz_loadu_ps(vec_mask(n), (const float *)row + i);
    if (format == PRISM_KVF_Q8_0) {
        if (n == 0)
            return _mm512_setzero_ps();
        const char *block = (const char *)row + i / 32 * 34;
        const __m128i q = _mm_loadu_si128((const __m128i *)(const void *)(block + 2 + i % 32));
        return _mm512_mul_ps(_mm512_set1_ps(vec_half(block)), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)));
    }
    const __m256i x = _mm256_maskz_loadu_epi16(vec_mask(n), (const uint16_t *)row + i);
    return format == PRISM_KVF_F16 ? _mm512_cvtph_ps(x) : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

PRISM_INLINE __m256i vec_to_f16(__m512 x)
{
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* bf16 in the low half of each lane, zeros above: round half to even in integers (vcvtneps2bf16 would drop subnormals), NaN
 * made quiet. */
PRISM_INLINE __m512i vec_to_bf16(__m512 x)
{
    const __m512i u = _mm512_castps_si512(x), upper = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd), 16);
    return _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), upper, _mm512_set1_epi32(0x40));
}

/* 2^x for x <= 0 (softmax: x = logit - maximum): relative error 2e-7 down to 2^-126; below that denormal rounding, and exactly
 * 0 for x <= -127 and -infinity; exactly 1 for x = 0; NaN stays NaN.
 * x = n + f, |f| <= 1/2, n from the low bits of x + 1.5*2^23. 2^f is a minimax polynomial of degree 5 with constant term 1
 * (Remez exchange, 9.2e-8); n is added to its exponent. At x = -127, f = 0 and the polynomial is exactly 1.0, whose exponent
 * field 127 becomes 0: that is why the clamp yields an exact zero. */
PRISM_INLINE __m512 vec_exp2_neg(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(0x1.8p23f);
    x = _mm512_max_ps(_mm512_set1_ps(-127.0f), x); /* the second operand wins when x is NaN */
    const __m512 t = _mm512_add_ps(x, magic);
    const __m512 f = _mm512_sub_ps(x, _mm512_sub_ps(t, magic));
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.00132645911f), f, _mm512_set1_ps(0.00967161916f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0555073507f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240222409f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693147004f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

/* tanh x = (1 - e) / (1 + e) with e = e^(-2 |x|), and the sign of x: off by 1.4e-7 at most (not relative to it); NaN stays NaN. SLEEF's takes 2.5 (3.5 ULP)
 * to 8 times (1 ULP) as long. */
PRISM_INLINE __m512 vec_tanh(__m512 x)
{
    const __m512 sign = _mm512_set1_ps(-0.0f), one = _mm512_set1_ps(1.0f);
    const __m512 e = vec_exp2_neg(_mm512_mul_ps(_mm512_set1_ps(2 * 0x1.715476p0f), _mm512_or_ps(sign, x))); /* log2(e) */
    const __m512 t = _mm512_div_ps(_mm512_sub_ps(one, e), _mm512_add_ps(one, e));
    return _mm512_or_ps(t, _mm512_and_ps(sign, x));
}

/* r[i][j] <-> r[j][i]: pairs, quads (unpack), then 128-bit lanes twice (shuffle): 64 instructions. */
PRISM_INLINE void vec_transpose_16(__m512 r[16])
{
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);
            r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    /* r[4 p + c], lane q: column 4 q + c of rows 4 p .. 4 p + 3 */
    for (int c = 0; c < 4; c++) {
        const __m512 low01 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x44), high01 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xee);
        const __m512 low23 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x44), high23 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xee);
        t[c] = _mm512_shuffle_f32x4(low01, low23, 0x88);
        t[4 + c] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        t[8 + c] = _mm512_shuffle_f32x4(high01, high23, 0x88);
        t[12 + c] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
    for (int i = 0; i < 16; i++)
        r[i] = t[i];
}

#endif
