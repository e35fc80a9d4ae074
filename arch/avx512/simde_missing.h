/* simde_missing.h - the AVX-512 intrinsics through SIMDe 0.7.4 (make check-avx512), and those that it lacks, made of two AVX2
 * halves. Same results as the instructions; for tests only. The names are those of the intrinsics (gcc's own are declared, but
 * may not be called without -mavx512f, hence the defines). */
#ifndef PRISM_SIMDE_MISSING_H
#define PRISM_SIMDE_MISSING_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ---- halves ---- */

static inline __m256 simde_low_ps(__m512 x) { return _mm512_castps512_ps256(x); }

static inline __m256 simde_high_ps(__m512 x)
{
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
}

static inline __m512i simde_join_si256(__m256i low, __m256i high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline __m512 simde_join_ps(__m256 low, __m256 high)
{
    return _mm512_castsi512_ps(simde_join_si256(_mm256_castps_si256(low), _mm256_castps_si256(high)));
}

static inline __m512d simde_join_pd(__m256d low, __m256d high)
{
    return _mm512_castps_pd(simde_join_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high)));
}

static inline __m512 simde_zextps256_ps512(__m256 x) { return simde_join_ps(x, _mm256_setzero_ps()); }

/* ---- masked memory: element by element, so that nothing past the mask is touched ---- */

static inline void simde_copy_masked(void *to, const void *from, size_t bytes, uint32_t mask, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (mask >> i & 1)
            memcpy((char *)to + i * bytes, (const char *)from + i * bytes, bytes);
}

static inline __m512 simde_mask_loadu_ps(__m512 src, __mmask16 k, const void *p)
{
    float x[16];
    _mm512_storeu_ps(x, src);
    simde_copy_masked(x, p, 4, k, 16);
    return _mm512_loadu_ps(x);
}

static inline void simde_mask_storeu_ps(void *p, __mmask16 k, __m512 v)
{
    float x[16];
    _mm512_storeu_ps(x, v);
    simde_copy_masked(p, x, 4, k, 16);
}

static inline __m512i simde_maskz_loadu_epi32(__mmask16 k, const void *p)
{
    return _mm512_castps_si512(simde_mask_loadu_ps(_mm512_setzero_ps(), k, p));
}

static inline void simde_mask_storeu_epi32(void *p, __mmask16 k, __m512i v)
{
    simde_mask_storeu_ps(p, k, _mm512_castsi512_ps(v));
}

static inline __m512d simde_maskz_loadu_pd(__mmask8 k, const void *p)
{
    double x[8] = { 0 };
    simde_copy_masked(x, p, 8, k, 8);
    return _mm512_loadu_pd(x);
}

static inline void simde_mask_storeu_ps256(void *p, __mmask8 k, __m256 v)
{
    float x[8];
    _mm256_storeu_ps(x, v);
    simde_copy_masked(p, x, 4, k, 8);
}

static inline __m256i simde_maskz_loadu_epi16(__mmask16 k, const void *p)
{
    uint16_t x[16] = { 0 };
    simde_copy_masked(x, p, 2, k, 16);
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

static inline __m256i simde_mask_broadcastd_epi32_256(__m256i src, __mmask8 k, __m128i value)
{
    int32_t x[8];
    _mm256_storeu_si256((__m256i *)(void *)x, src);
    for (unsigned i = 0; i < 8; i++)
        x[i] = k >> i & 1 ? _mm_cvtsi128_si32(value) : x[i];
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

/* ---- conversions ---- */

static inline __m512 simde_cvtepi32_ps(__m512i x)
{
    return simde_join_ps(_mm256_cvtepi32_ps(_mm512_castsi512_si256(x)), _mm256_cvtepi32_ps(_mm512_extracti64x4_epi64(x, 1)));
}

static inline __m512i simde_cvtps_epi32(__m512 x)
{
    return simde_join_si256(_mm256_cvtps_epi32(simde_low_ps(x)), _mm256_cvtps_epi32(simde_high_ps(x)));
}

static inline __m512i simde_cvtepi8_epi32(__m128i x)
{
    return simde_join_si256(_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_bsrli_si128(x, 8)));
}

static inline __m512i simde_cvtepu8_epi32(__m128i x)
{
    return simde_join_si256(_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_bsrli_si128(x, 8)));
}

static inline __m512i simde_cvtepu16_epi32(__m256i x)
{
    return simde_join_si256(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1)));
}

static inline __m128i simde_cvtepi32_epi8(__m512i v)
{
    int32_t x[16];
    int8_t y[16];
    _mm512_storeu_si512(x, v);
    for (int i = 0; i < 16; i++)
        y[i] = (int8_t)x[i];
    return _mm_loadu_si128((const __m128i *)(const void *)y);
}

static inline __m256i simde_cvtepi32_epi16(__m512i v)
{
    int32_t x[16];
    int16_t y[16];
    _mm512_storeu_si512(x, v);
    for (int i = 0; i < 16; i++)
        y[i] = (int16_t)x[i];
    return _mm256_loadu_si256((const __m256i *)(const void *)y);
}

static inline __m512 simde_cvtph_ps(__m256i x)
{
    return simde_join_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(x)), _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1)));
}

static inline __m256i simde_cvtps_ph(__m512 x) /* to nearest even, the only mode in use */
{
    return _mm256_set_m128i(_mm256_cvtps_ph(simde_high_ps(x), _MM_FROUND_TO_NEAREST_INT),
                            _mm256_cvtps_ph(simde_low_ps(x), _MM_FROUND_TO_NEAREST_INT));
}

static inline __m512d simde_cvtps_pd(__m256 x)
{
    return simde_join_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}

static inline __m256 simde_cvtpd_ps(__m512d x)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(_mm512_extractf64x4_pd(x, 1)), _mm256_cvtpd_ps(_mm512_castpd512_pd256(x)));
}

static inline __m256i simde_cvttpd_epi32(__m512d x)
{
    return _mm256_set_m128i(_mm256_cvttpd_epi32(_mm512_extractf64x4_pd(x, 1)), _mm256_cvttpd_epi32(_mm512_castpd512_pd256(x)));
}

/* ---- shuffles and sums ---- */

/* The order of additions and comparisons is gcc's: halves, quarters, and so on. */
static inline float simde_reduce_add_ps(__m512 v)
{
    float x[16];
    _mm512_storeu_ps(x, v);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++)
            x[i] += x[i + step];
    return x[0];
}

static inline double simde_reduce_add_pd(__m512d v)
{
    double x[8];
    _mm512_storeu_pd(x, v);
    for (int step = 4; step > 0; step /= 2)
        for (int i = 0; i < step; i++)
            x[i] += x[i + step];
    return x[0];
}

static inline int simde_reduce_add_epi32(__m512i v)
{
    int32_t x[16], sum = 0;
    _mm512_storeu_si512(x, v);
    for (int i = 0; i < 16; i++)
        sum += x[i];
    return sum;
}

static inline uint32_t simde_reduce_max_epu32(__m512i v)
{
    uint32_t x[16], most = 0;
    _mm512_storeu_si512(x, v);
    for (int i = 0; i < 16; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

static inline __m512i simde_mask_gather_bytes(__m512i src, __mmask16 k, __m512i at, const void *p)
{
    int32_t x[16], i[16];
    _mm512_storeu_si512(x, src);
    _mm512_storeu_si512(i, at);
    for (int lane = 0; lane < 16; lane++)
        if (k >> lane & 1)
            memcpy(x + lane, (const char *)p + i[lane], sizeof *x);
    return _mm512_loadu_si512(x);
}

static inline float simde_reduce_max_ps(__m512 v)
{
    float x[16], max = -INFINITY;
    _mm512_storeu_ps(x, v);
    for (int i = 0; i < 16; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static inline __m512 simde_shuffle_f32x4(__m512 a, __m512 b, int imm)
{
    float x[16], y[16], r[16];
    _mm512_storeu_ps(x, a);
    _mm512_storeu_ps(y, b);
    for (int lane = 0; lane < 4; lane++)
        memcpy(r + 4 * lane, (lane < 2 ? x : y) + 4 * (imm >> 2 * lane & 3), 16);
    return _mm512_loadu_ps(r);
}

#undef _mm512_mask_loadu_ps
#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#undef _mm512_maskz_loadu_epi32
#undef _mm512_mask_storeu_epi32
#undef _mm512_maskz_loadu_pd
#undef _mm256_mask_storeu_ps
#undef _mm256_maskz_loadu_epi16
#undef _mm512_cvtps_ph
#undef _mm512_cvttpd_epi32
#undef _mm512_shuffle_f32x4
#undef _mm512_extractf32x8_ps
#undef _mm512_shuffle_epi32
#undef _mm512_bsrli_epi128
#undef _mm256_mask_broadcastd_epi32
#define _mm256_mask_broadcastd_epi32(src, k, x) simde_mask_broadcastd_epi32_256(src, k, x)
#define _mm512_zextps256_ps512(x)        simde_zextps256_ps512(x)
#define _mm512_mask_loadu_ps(src, k, p)  simde_mask_loadu_ps(src, k, p)
#define _mm512_maskz_loadu_ps(k, p)      simde_mask_loadu_ps(_mm512_setzero_ps(), k, p)
#define _mm512_mask_storeu_ps(p, k, v)   simde_mask_storeu_ps(p, k, v)
#define _mm512_maskz_loadu_epi32(k, p)   simde_maskz_loadu_epi32(k, p)
#define _mm512_mask_storeu_epi32(p, k, v) simde_mask_storeu_epi32(p, k, v)
#define _mm512_maskz_loadu_pd(k, p)      simde_maskz_loadu_pd(k, p)
#define _mm256_mask_storeu_ps(p, k, v)   simde_mask_storeu_ps256(p, k, v)
#define _mm256_maskz_loadu_epi16(k, p)   simde_maskz_loadu_epi16(k, p)
#define _mm512_cvtepi32_ps(x)            simde_cvtepi32_ps(x)
#define _mm512_cvtps_epi32(x)            simde_cvtps_epi32(x)
#define _mm512_cvtepi8_epi32(x)          simde_cvtepi8_epi32(x)
#define _mm512_cvtepu8_epi32(x)          simde_cvtepu8_epi32(x)
#define _mm512_cvtepu16_epi32(x)         simde_cvtepu16_epi32(x)
#define _mm512_cvtepi32_epi8(x)          simde_cvtepi32_epi8(x)
#define _mm512_cvtepi32_epi16(x)         simde_cvtepi32_epi16(x)
#define _mm512_cvtph_ps(x)               simde_cvtph_ps(x)
#define _mm512_cvtps_ph(x, mode)         simde_cvtps_ph(x)
#define _mm512_cvtps_pd(x)               simde_cvtps_pd(x)
#define _mm512_cvtpd_ps(x)               simde_cvtpd_ps(x)
#define _mm512_cvttpd_epi32(x)           simde_cvttpd_epi32(x)
#define _mm512_reduce_add_ps(v)          simde_reduce_add_ps(v)
#define _mm512_reduce_add_epi32(v)       simde_reduce_add_epi32(v)
#define _mm512_reduce_add_pd(v)          simde_reduce_add_pd(v)
#define _mm512_reduce_max_ps(v)          simde_reduce_max_ps(v)
#undef _mm512_mask_i32gather_epi32
#define _mm512_mask_i32gather_epi32(src, k, at, p, scale) simde_mask_gather_bytes(src, k, at, p) /* a scale of 1, the only one in use */
#define _mm512_reduce_max_epu32(v)       simde_reduce_max_epu32(v)
#undef _mm512_zextsi256_si512
#define _mm512_zextsi256_si512(x)        simde_join_si256(x, _mm256_setzero_si256())
#undef _mm512_srai_epi32
#define _mm512_srai_epi32(x, n) \
    simde_join_si256(_mm256_srai_epi32(_mm512_castsi512_si256(x), n), _mm256_srai_epi32(_mm512_extracti64x4_epi64(x, 1), n))
#define _mm512_maskz_cvtps_epi32(k, x)   _mm512_maskz_mov_epi32(k, simde_cvtps_epi32(x))
#define _mm512_shuffle_f32x4(a, b, imm)  simde_shuffle_f32x4(a, b, imm)
#define _mm512_extractf32x8_ps(x, half)  ((half) ? simde_high_ps(x) : simde_low_ps(x))
/* In 128-bit lanes: two halves. */
#define _mm512_shuffle_epi32(x, imm) \
    simde_join_si256(_mm256_shuffle_epi32(_mm512_castsi512_si256(x), imm), _mm256_shuffle_epi32(_mm512_extracti64x4_epi64(x, 1), imm))
#define _mm512_bsrli_epi128(x, n) \
    simde_join_si256(_mm256_bsrli_epi128(_mm512_castsi512_si256(x), n), _mm256_bsrli_epi128(_mm512_extracti64x4_epi64(x, 1), n))

#endif
