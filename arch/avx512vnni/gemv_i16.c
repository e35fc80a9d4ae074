/* gemv_i16.c - 1 to 8 rows of two-byte activations times stored weights of the common types: Q8_0, Q4_0, Q4_K, Q6_K. Contract: struct
 * prism_gemv of src/kernels.h.
 *
 * As arch/avx2/gemv_i16.c, but weights stay bytes: an activation is q = 256 * high + low, high in -127..127 and low in -128..127.
 * vpdpbusd multiplies 64 unsigned fields of weights with the high bytes, the sums are shifted left by 8, and the low bytes follow in
 * the same sums: |.| <= 4 * 255 * 32639 < 2^25, exact. A vector of sums holds two groups of 32 or four of 16, with a scale for each. */
#include <assert.h>
#include <string.h>

#include "arch/avx2/gemv_x.h"
#include "arch/avx2/stream.h"
#include "arch/avx512/unpack.h"
#include "arch/avx512vnni/avx512vnni.h"
#include "arch/generic/gemv_cols.h"
#include "arch/generic/gemv_i16.h"

struct x_256 {
    int8_t q[4][2][64]; /* 64 high bytes, 64 low ones */
    struct prism_x_scales s;
};
_Static_assert(sizeof(struct x_256) == 704, "eleven cache lines");

/* ---- 256 weights ---- */

struct layout {
    size_t bytes;  /* of a block */
    size_t blocks; /* in 256 values */
    int bias;      /* value = d * (field - bias); 0: value = d * field + m */
    bool by_16;    /* scales of 16 values */
};

PRISM_INLINE struct layout layout_of(enum prism_type type)
{
    switch (type) {
    case PRISM_Q8_0: return (struct layout){ 34, 8, 128, false };
    case PRISM_Q4_0: return (struct layout){ 18, 8, 8, false };
    case PRISM_Q4_K: return (struct layout){ 144, 1, 0, false };
    default: return (struct layout){ 210, 1, 32, true }; /* Q6_K */
    }
}

/* value = d * field + m: 8 groups of 32 in the low half, zeros above; or 16 groups of 16. */
struct scales {
    __m512 d, m;
};

PRISM_INLINE struct scales scales_256(const uint8_t *b, enum prism_type type)
{
    const struct layout l = layout_of(type);
    if (type == PRISM_Q4_K) {
        const struct q4_k_scales s = unpack_q4_k_scales(b);
        return (struct scales){ _mm512_zextps256_ps512(s.d), _mm512_zextps256_ps512(s.m) };
    }
    const __m512 d = l.by_16 ? unpack_q6_k_scales(b) : _mm512_zextps256_ps512(strided_halves(b, l.bytes));
    return (struct scales){ d, _mm512_mul_ps(d, _mm512_set1_ps((float)-l.bias)) };
}

/* a in the low 8 lanes, b in the high ones. */
PRISM_INLINE __m512i lanes_2(int a, int b)
{
    return _mm512_setr_epi32(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b);
}

PRISM_INLINE __m512i nibbles(__m512i x)
{
    return _mm512_and_si512(x, _mm512_set1_epi8(15));
}

PRISM_INLINE __m256i load_32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

PRISM_INLINE __m512i fields_q8_0(const uint8_t *b)
{
    const __m512i q = _mm512_inserti64x4(_mm512_castsi256_si512(load_32(b + 2)), load_32(b + 36), 1);
    return _mm512_xor_si512(q, _mm512_set1_epi8(-128));
}

/* Two blocks of 16 bytes of nibbles, each twice: the low nibbles are wanted of the first copy, the high ones of the second. */
PRISM_INLINE __m512i fields_q4_0(const uint8_t *b)
{
    const __m128i *first = (const __m128i *)(const void *)(b + 2), *second = (const __m128i *)(const void *)(b + 20);
    const __m512i q = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(_mm_loadu_si128(first)), 0xff00, _mm_loadu_si128(second));
    return nibbles(_mm512_srlv_epi32(q, _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4)));
}

PRISM_INLINE __m512i fields_q4_k(const uint8_t *b, int i)
{
    return nibbles(_mm512_srlv_epi32(_mm512_broadcast_i64x4(load_32(b + 16 + 32 * i)), lanes_2(0, 4)));
}

/* Four bits in a nibble of 64 bytes, two bits of 32 bytes: bits 0, 1 and 2, 3 for the low nibbles (i even), the others for the high. */
PRISM_INLINE __m512i fields_q6_k(const uint8_t *b, int i)
{
    const __m512i low = _mm512_loadu_si512(b + 64 * (i / 2)), high = _mm512_broadcast_i64x4(load_32(b + 128 + 32 * (i / 2)));
    const __m512i moved = i % 2 ? _mm512_srlv_epi32(high, lanes_2(0, 2)) : _mm512_sllv_epi32(high, lanes_2(4, 2));
    return _mm512_or_si512(nibbles(i % 2 ? _mm512_srli_epi32(low, 4) : low), _mm512_and_si512(moved, _mm512_set1_epi8(0x30)));
}

/* Values 64 i .. 64 i + 63 of the 256 that begin at b, as unsigned bytes. */
PRISM_INLINE __m512i fields(const uint8_t *b, int i, enum prism_type type)
{
    switch (type) {
    case PRISM_Q8_0: return fields_q8_0(b + 68 * i);
    case PRISM_Q4_0: return fields_q4_0(b + 36 * i);
    case PRISM_Q4_K: return fields_q4_k(b, i);
    default: return fields_q6_k(b, i);
    }
}

/* ---- dot products ---- */

/* Two sums per row: a single chain of additions would be slower than the multiplications. */
struct sums {
    __m512 even, odd;
};

/* The products of 64 fields with 64 activations, in sums of four. */
PRISM_INLINE __m512 dot_64(__m512i w, const int8_t (*x)[64])
{
    const __m512i high = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, _mm512_load_si512(x[0]));
    return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_slli_epi32(high, 8), w, _mm512_load_si512(x[1])));
}

/* The scales of the groups in 64 values, each in the lanes of its sums. */
PRISM_INLINE __m512 scales_64(__m512 s, int i, bool by_16)
{
    const int n = 4 * i;
    return _mm512_permutexvar_ps(by_16 ? _mm512_setr_epi32(n, n, n, n, n + 1, n + 1, n + 1, n + 1, n + 2, n + 2, n + 2, n + 2,
                                                            n + 3, n + 3, n + 3, n + 3)
                                       : lanes_2(2 * i, 2 * i + 1), s);
}

/* 256 values of one weight row with those of `rows` (1, 2 or 4: a constant) rows of activations, x_step apart. */
PRISM_INLINE void add_256(struct sums *sum, int rows, const struct x_256 *x, size_t x_step, const uint8_t *b, enum prism_type type)
{
    const bool by_16 = layout_of(type).by_16;
    const struct scales w = scales_256(b, type);
    __m512 s[4];

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const struct prism_x_scales *xs = &x[(size_t)r * x_step].s;
        const __m512 d = by_16 ? _mm512_load_ps(xs->d16) : _mm512_zextps256_ps512(_mm256_load_ps(xs->d));
        const __m512 x_sum = by_16 ? _mm512_load_ps(xs->sum16) : _mm512_zextps256_ps512(_mm256_load_ps(xs->sum));
        s[r] = _mm512_mul_ps(w.d, d);
        sum[r].even = _mm512_fmadd_ps(w.m, x_sum, sum[r].even);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i q = fields(b, i, type);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            __m512 *to = i % 2 ? &sum[r].odd : &sum[r].even;
            *to = _mm512_fmadd_ps(scales_64(s[r], i, by_16), dot_64(q, x[(size_t)r * x_step].q[i]), *to);
        }
    }
}

/* gemv_dot_fn */
PRISM_INLINE void dot_rows(float *y, size_t ldy, int rows, const char *packed, size_t packed_bytes, const uint8_t *w, enum prism_type type,
                           size_t k)
{
    const struct layout l = layout_of(type);
    const struct x_256 *x = (const struct x_256 *)(const void *)packed;
    const size_t x_step = packed_bytes / sizeof *x, bytes = l.blocks * l.bytes;
    struct sums sum[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        sum[r].even = sum[r].odd = _mm512_setzero_ps();
    for (; k >= 256; k -= 256, x++, w += bytes) {
        stream_ahead(w, bytes);
        add_256(sum, rows, x, x_step, w, type);
    }
    if (l.blocks == 8 && k > 0) { /* blocks that are missing count as zero: their activations have d = 0 */
        uint8_t last[8 * 34] = { 0 };
        memcpy(last, w, k / 32 * l.bytes);
        add_256(sum, rows, x, x_step, last, type);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        y[(size_t)r * ldy] = _mm512_reduce_add_ps(_mm512_add_ps(sum[r].even, sum[r].odd));
}

#include "arch/generic/gemv_i16_body.h"

/* ---- activations: the words of arch/avx2, split into their bytes ---- */

static void pack_x(void *packed, const float *x, size_t k)
{
    struct x_256 *out = packed;
    struct prism_x_words words __attribute__((aligned(64)));
    assert(k % 32 == 0 && (uintptr_t)packed % 64 == 0);

    for (size_t from = 0; from < k; from += 256, out++) {
        prism_pack_x_words_avx2(&words, x + from, k - from < 256 ? k - from : 256);
        out->s = words.s;
        for (size_t i = 0; i < 8; i++) {
            const __m512i q = _mm512_load_si512(words.q + 32 * i);
            const __m512i high = _mm512_srai_epi16(_mm512_add_epi16(q, _mm512_set1_epi16(128)), 8);
            _mm256_store_si256((__m256i *)(void *)(out->q[i / 2][0] + i % 2 * 32), _mm512_cvtepi16_epi8(high));
            _mm256_store_si256((__m256i *)(void *)(out->q[i / 2][1] + i % 2 * 32), _mm512_cvtepi16_epi8(q));
        }
    }
}

const struct prism_gemv prism_gemv_i16_avx512vnni = {
    .name = "i16", .x_bytes = x_bytes, .pack_x = pack_x, .gemv = gemv, .x_err = PRISM_GEMV_X_ERR,
};
