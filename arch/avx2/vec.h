/* vec.h - small vector helpers of the avx2 level: sums and maxima, tails, halves, exp2, transposes.
 * Everything is static inline: the file is compiled with this level's flags only and must not leak into another. */
#ifndef PRISM_AVX2_VEC_H
#define PRISM_AVX2_VEC_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/kernels.h"

#define PRISM_INLINE static inline __attribute__((always_inline))

/* Holds a loaded vector in its register, so that gcc 12 does not fold the load into each instruction that uses it. */
#define KEEP_IN_REGISTER(v) __asm__("" : "+x"(v))

/* Makes the compiler read the elements of an array back from memory: a broadcasting load needs no shuffle. */
#define KEEP_IN_MEMORY(array) __asm__("" : "+m"(array))

/* Lane i is active (sign bit set) when i < n; n 0..8. */
PRISM_INLINE __m256i vec_mask(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first n (0..8) floats, zeros behind; reads nothing past them. */
PRISM_INLINE __m256 vec_load_n(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, vec_mask(n));
}

PRISM_INLINE void vec_store_n(float *p, __m256 x, size_t n)
{
    _mm256_maskstore_ps(p, vec_mask(n), x);
}

PRISM_INLINE float vec_sum(__m256 x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

PRISM_INLINE double vec_sum_pd(__m256d x)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

PRISM_INLINE int32_t vec_sum_epi32(__m256i x)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* Magnitudes are compared as integers: a NaN, which vmaxps drops when it is the first operand, is above infinity then. */
PRISM_INLINE __m256 vec_magnitude(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

PRISM_INLINE __m256 vec_larger(__m256 x, __m256 y)
{
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(x), _mm256_castps_si256(y)));
}

PRISM_INLINE float vec_largest(__m256 x)
{
    const __m256i y = _mm256_castps_si256(x);
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1))));
}

PRISM_INLINE float vec_max(__m256 x)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* Lane i: the largest lane of m[i]. */
PRISM_INLINE __m256 vec_max_8(const __m256 m[8])
{
    __m256 pairs[4], quads[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        pairs[i] = _mm256_max_ps(_mm256_unpacklo_ps(m[2 * i], m[2 * i + 1]), _mm256_unpackhi_ps(m[2 * i], m[2 * i + 1]));
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const __m256 low = _mm256_shuffle_ps(pairs[2 * i], pairs[2 * i + 1], 0x44);
        quads[i] = _mm256_max_ps(low, _mm256_shuffle_ps(pairs[2 * i], pairs[2 * i + 1], 0xee));
    }
    return _mm256_max_ps(_mm256_permute2f128_ps(quads[0], quads[1], 0x20), _mm256_permute2f128_ps(quads[0], quads[1], 0x31));
}

/* The largest of n >= 1 floats. */
PRISM_INLINE float vec_max_of(const float *x, size_t n)
{
    const size_t whole = n - n % 8;
    __m256 max = _mm256_set1_ps(x[0]);
    for (size_t i = 0; i < whole; i += 8)
        max = _mm256_max_ps(max, _mm256_loadu_ps(x + i));
    if (whole == n)
        return vec_max(max);
    const __m256 rest = _mm256_max_ps(max, vec_load_n(x + whole, n % 8));
    return vec_max(_mm256_blendv_ps(max, rest, _mm256_castsi256_ps(vec_mask(n % 8))));
}

/* The sums of the lanes of a, b, c, d. */
PRISM_INLINE __m128 vec_sum_4(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

/* r[i], lane j <- r[j], lane i. */
PRISM_INLINE void vec_transpose_8(__m256 r[8])
{
    __m256 t[8], u[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) { /* pairs of rows: lanes 0 1 4 5 and 2 3 6 7 of both, interleaved */
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) { /* lanes c and c + 4 of four rows */
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

/* Lanes 0..3 and 4..7, widened. */
PRISM_INLINE __m256d vec_low_pd(__m256 x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x)); }
PRISM_INLINE __m256d vec_high_pd(__m256 x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)); }

/* 8 halves or bf16 values, widened. */
PRISM_INLINE __m256 vec_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

PRISM_INLINE __m256 vec_load_bf16(const uint16_t *p)
{
    __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}

/* One half at any address. */
PRISM_INLINE float vec_half(const void *p)
{
    uint16_t h;
    __builtin_memcpy(&h, p, sizeof h);
    return _cvtsh_ss(h);
}

/* Values i .. i + 7 of the row of a cache at p; i % 8 == 0. */
PRISM_INLINE __m256 vec_load_stored(const char *p, enum prism_kv_format format, size_t i)
{
    if (format == PRISM_KVF_F32)
        return _mm256_loadu_ps((const float *)(const void *)p + i);
    if (format == PRISM_KVF_F16)
        return vec_load_f16((const uint16_t *)(const void *)p + i);
    if (format == PRISM_KVF_BF16)
        return vec_load_bf16((const uint16_t *)(const void *)p + i);
    const char *block = p + i / 32 * 34;
    const __m256i q = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(block + 2 + i % 32)));
    return _mm256_mul_ps(_mm256_set1_ps(vec_half(block)), _mm256_cvtepi32_ps(q));
}

/* Two vectors of 8 integers as 16 of two bytes, in order. */
PRISM_INLINE __m256i vec_pack_16(__m256i q0, __m256i q1)
{
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(q0, q1), 0xd8); /* packed by 128-bit lanes */
}

/* 8 signed bytes in the low half of q, as floats. */
PRISM_INLINE __m256 vec_i8_to_f32(__m128i q)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
}

/* 2^x for x <= 0 (softmax: x = logit - maximum), relative error 2e-7 down to 2^-126; below that up to half too small, and
 * exactly 0 for x <= -127 and -infinity; exactly 1 for x = 0; NaN stays NaN. x = n + f, |f| <= 1/2, n from the low bits of x +
 * 1.5*2^23. 2^f is a minimax polynomial of degree 5 with constant term 1 (Remez exchange, 9.2e-8); n is added to its exponent.
 * At x = -127, f = 0 and the polynomial is exactly 1.0, whose exponent field 127 becomes 0: that is why the clamp yields an
 * exact zero. */
PRISM_INLINE __m256 vec_exp2_neg(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(0x1.8p23f);
    x = _mm256_max_ps(_mm256_set1_ps(-127.0f), x); /* second operand wins when x is NaN */
    __m256 t = _mm256_add_ps(x, magic);
    __m256 f = _mm256_sub_ps(x, _mm256_sub_ps(t, magic));
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(0.00132645911f), f, _mm256_set1_ps(0.00967161916f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.0555073507f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.240222409f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.693147004f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}

/* tanh x = (1 - e) / (1 + e) with e = e^(-2 |x|), and the sign of x: off by 1.4e-7 at most (not relative to it); NaN stays NaN. SLEEF's takes 2.5 (3.5 ULP)
 * to 8 times (1 ULP) as long. */
PRISM_INLINE __m256 vec_tanh(__m256 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    const __m256 e = vec_exp2_neg(_mm256_mul_ps(_mm256_set1_ps(2 * 0x1.715476p0f), _mm256_or_ps(sign, x))); /* log2(e) */
    const __m256 t = _mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e));
    return _mm256_or_ps(t, _mm256_and_ps(sign, x));
}

/* x, and NaN in the place of an infinity: as a logit -infinity would have no weight. */
PRISM_INLINE __m256 vec_finite_or_nan(__m256 x) { return _mm256_fmadd_ps(x, _mm256_setzero_ps(), x); }

/* n floats, a multiple of 8; 32-byte aligned. */
PRISM_INLINE bool vec_all_finite(const float *x, size_t n)
{
    __m256 sum = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 8)
        sum = _mm256_fmadd_ps(_mm256_load_ps(x + i), _mm256_setzero_ps(), sum);
    return _mm256_movemask_ps(_mm256_cmp_ps(sum, sum, _CMP_UNORD_Q)) == 0;
}

/* Fetch part `part` of `parts` of the panel that is needed next into L2, while a part of the work on the present one is done:
 * panels come from L3 or memory, and the processor's own prefetching stops at every page. */
PRISM_INLINE void vec_fetch_ahead(const void *next, size_t bytes, size_t part, size_t parts)
{
    const size_t lines = (bytes / 64 + parts - 1) / parts;
    const char *p = (const char *)next + part * lines * 64;
    for (size_t i = 0; i < lines; i++)
        _mm_prefetch(p + i * 64, _MM_HINT_T1);
}

#endif
