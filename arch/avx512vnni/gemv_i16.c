/* gemv_i16.c - 1 to 8 rows of two-byte activations times stored weights of the common types: Q8_0, Q4_0, Q4_K, Q6_K. Contract: struct
 * prism_gemv of src/kernels.h. Here is what one row does, and the packing; the rest is gemv_rows.c.
 *
 * Weights stay unsigned fields of a byte. vpdpbusd multiplies 64 of them with the high bytes of activations, the sums are shifted left by 8, and the low
 * bytes follow in the same sums. The sums of 256 values are put together to one integer for each group, exactly. */
#include <assert.h>
#include <string.h>

#include "arch/avx2/gemv_x.h"
#include "arch/avx2/stream.h"
#include "arch/avx512/unpack.h"
#include "arch/avx512vnni/avx512vnni.h"
#include "arch/avx512vnni/gemv_i16.h"
#include "arch/generic/gemv_i16.h"

/* ---- 256 weights ---- */

struct layout {
    size_t bytes;  /* of a block */
    size_t blocks; /* in 256 values */
};

PRISM_INLINE struct layout layout_of(enum prism_type type)
{
    switch (type) {
    case PRISM_Q8_0: return (struct layout){ 34, 8 };
    case PRISM_Q4_0: return (struct layout){ 18, 8 };
    case PRISM_Q4_K: return (struct layout){ 144, 1 };
    default: return (struct layout){ 210, 1 }; /* Q6_K */
    }
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

/* Bytes of nibbles twice: of the first copy the low nibbles are wanted, of the second the high ones. These stay in their place, sixteen times
 * what they stand for, until they are summed (dots_of_16, dots_of_32). Two blocks of 16 bytes: */
PRISM_INLINE __m512i fields_q4_0(const uint8_t *b)
{
    const __m128i *first = (const __m128i *)(const void *)(b + 2), *second = (const __m128i *)(const void *)(b + 20);
    const __m512i q = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(_mm_loadu_si128(first)), 0xff00, _mm_loadu_si128(second));
    const int low = 0x0f0f0f0f, high = (int)0xf0f0f0f0;
    return _mm512_and_si512(q, _mm512_setr_epi32(low, low, low, low, high, high, high, high, low, low, low, low, high, high, high, high));
}

PRISM_INLINE __m512i fields_q4_k(const uint8_t *b, int i)
{
    return _mm512_and_si512(_mm512_broadcast_i64x4(load_32(b + 16 + 32 * i)), lanes_2(0x0f0f0f0f, (int)0xf0f0f0f0));
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

PRISM_INLINE __m512i add_unpacked_32(__m512i x, __m512i y) { return _mm512_add_epi32(_mm512_unpacklo_epi32(x, y), _mm512_unpackhi_epi32(x, y)); }

/* Of 256 values: lane l of s[i] has the products of values 64 i + 4 l and the next three. */
struct dots {
    __m512i s[4];
};

PRISM_INLINE struct dots dots_of(const uint8_t *b, const struct x_256 *x, enum prism_type type)
{
    struct dots d;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i q = fields(b, i, type), high = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, _mm512_load_si512(x->q[i][0]));
        d.s[i] = _mm512_dpbusd_epi32(_mm512_slli_epi32(high, 8), q, _mm512_load_si512(x->q[i][1]));
    }
    return d;
}

/* The sums of 16 values each: in 128 bits number j, number i is that of values 64 i + 16 j .. 64 i + 16 j + 15. */
PRISM_INLINE __m512i dots_of_16(const struct dots *d, enum prism_type type)
{
    const __m512i first = add_unpacked_32(d->s[0], d->s[1]), second = add_unpacked_32(d->s[2], d->s[3]);
    const __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
    return type == PRISM_Q4_0 ? _mm512_mask_mov_epi32(s, 0xf0f0, _mm512_srai_epi32(s, 4)) : s;
}

PRISM_INLINE __m256i load_8(const int32_t *p) { return _mm256_load_si256((const __m256i *)(const void *)p); }

/* The same for the groups of 32, in their order. */
PRISM_INLINE __m256i dots_of_32(const struct dots *d, enum prism_type type)
{
    const __m512i s = dots_of_16(d, type);
    const __m512i halves = _mm512_add_epi32(s, _mm512_shuffle_i32x4(s, s, 0xb1)); /* 128 bits: groups 2 i, the same, groups 2 i + 1, the same */
    const __m256i r = _mm512_castsi512_si256(_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 0, 0, 0, 0, 0, 0, 0), halves));
    return type == PRISM_Q4_K ? _mm256_srav_epi32(r, _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4)) : r;
}

/* The scales of a Q6_K block, first those of the even groups. */
PRISM_INLINE __m512 scales_q6_k(const uint8_t *b)
{
    const __m128i s = _mm_loadu_si128((const __m128i *)(const void *)(b + 192));
    const __m128i even_odd = _mm_shuffle_epi8(s, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    return _mm512_mul_ps(_mm512_set1_ps(vec_half(b + 208)), vec_i8_to_f32(even_odd));
}

PRISM_INLINE __m256 upper_half(__m512 x) { return _mm512_extractf32x8_ps(x, 1); }

PRISM_INLINE __m256 add_q6_k(__m256 sum, const struct dots *dots, const uint8_t *b, const struct x_256 *x)
{
    const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15); /* as the scales */
    const __m512i s = _mm512_add_epi32(_mm512_permutexvar_epi32(order, dots_of_16(dots, PRISM_Q6_K)), _mm512_load_si512(x->bias_q6_k));
    const __m512 f = _mm512_cvtepi32_ps(s), d = scales_q6_k(b);
    const __m256 even = _mm256_mul_ps(_mm512_castps512_ps256(f), _mm512_castps512_ps256(d));
    return _mm256_fmadd_ps(_mm256_fmadd_ps(upper_half(f), upper_half(d), even), _mm256_load_ps(x->d), sum);
}

PRISM_INLINE __m256 add_q4_k(__m256 sum, const struct dots *dots, const uint8_t *b, const struct x_256 *x)
{
    const struct q4_k_scales w = unpack_q4_k_scales(b);
    const __m256 f = _mm256_cvtepi32_ps(dots_of_32(dots, PRISM_Q4_K));
    return _mm256_fmadd_ps(w.m, _mm256_load_ps(x->d_sum), _mm256_fmadd_ps(_mm256_mul_ps(f, w.d), _mm256_load_ps(x->d), sum));
}

/* Eight sums, by the groups' number. dots: of the same b and x. */
PRISM_INLINE __m256 add_256(__m256 sum, const struct dots *dots, const uint8_t *b, const struct x_256 *x, enum prism_type type)
{
    if (type == PRISM_Q6_K)
        return add_q6_k(sum, dots, b, x);
    if (type == PRISM_Q4_K)
        return add_q4_k(sum, dots, b, x);
    const __m256i s = _mm256_add_epi32(dots_of_32(dots, type), load_8(type == PRISM_Q8_0 ? x->bias_q8_0 : x->bias_q4_0));
    return _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(s), strided_halves(b, layout_of(type).bytes)), _mm256_load_ps(x->d), sum);
}

PRISM_INLINE float sum_of_8(__m256 sum)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1)); /* in the order of gemv_rows.c */
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* The blocks at the end of a row, of k < 256 values: those that are missing count as zero, since their activations have d = 0. */
PRISM_INLINE __m256 add_last(__m256 sum, const uint8_t *w, const struct x_256 *x, enum prism_type type, size_t k)
{
    uint8_t last[8 * 34] = { 0 };
    memcpy(last, w, k / 32 * layout_of(type).bytes);
    const struct dots dots = dots_of(last, x, type);
    return add_256(sum, &dots, last, x, type);
}

/* The sums of 256 products are put together after the next 256 are multiplied, be they of the next row: instructions that wait for others
 * take the room in which the processor looks for what it can do meanwhile (Zen 4, second-level cache, Q4_K: 18.1 in place of 16.6 GB/s). */
PRISM_INLINE void all_columns(const struct gemv *g, enum prism_type type)
{
    const struct gemv a = *g; /* which the stores to y might change */
    const struct layout l = layout_of(type);
    const size_t bytes = l.blocks * l.bytes, whole = a.k / 256;
    struct dots dots = { 0 };

    if (whole > 0)
        dots = dots_of(a.w, a.x, type);
    for (size_t j = 0; j < a.cols; j++) {
        const uint8_t *w = a.w + j * a.row_bytes, *next_row = j + 1 < a.cols ? w + a.row_bytes : a.w; /* behind the last: any */
        const struct x_256 *x = a.x;
        __m256 sum = _mm256_setzero_ps();
        for (size_t i = 0; i < whole; i++, x++, w += bytes) {
            const bool more = i + 1 < whole;
            const struct dots next = dots_of(more ? w + bytes : next_row, more ? x + 1 : a.x, type);
            stream_ahead(w, bytes);
            sum = add_256(sum, &dots, w, x, type);
            dots = next;
        }
        if (l.blocks == 8 && a.k % 256 > 0)
            sum = add_last(sum, w, x, type, a.k % 256);
        a.y[j] = sum_of_8(sum);
    }
}

static void gemv_q8_0(const struct gemv *g) { all_columns(g, PRISM_Q8_0); }
static void gemv_q4_0(const struct gemv *g) { all_columns(g, PRISM_Q4_0); }
static void gemv_q4_k(const struct gemv *g) { all_columns(g, PRISM_Q4_K); }
static void gemv_q6_k(const struct gemv *g) { all_columns(g, PRISM_Q6_K); }

static void gemv(float *y, size_t ldy, const void *x, size_t n_rows, const void *w, size_t row_bytes, enum prism_type type, size_t cols,
                 size_t k)
{
    static void (*const one_row[PRISM_N_TYPES])(const struct gemv *) = {
        [PRISM_Q8_0] = gemv_q8_0, [PRISM_Q4_0] = gemv_q4_0, [PRISM_Q4_K] = gemv_q4_k, [PRISM_Q6_K] = gemv_q6_k,
    };
    const struct gemv g = { y, ldy, n_rows, x, w, row_bytes, cols, k };

    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && one_row[type] && k % prism_types[type].block == 0 && (uintptr_t)x % 64 == 0);
    if (n_rows == 1)
        one_row[type](&g);
    else
        prism_gemv_rows_avx512vnni(&g, type);
}

/* ---- activations: the words of arch/avx2, split into their bytes ---- */

PRISM_INLINE int sum_of_16(const int16_t *q)
{
    const __m256i pairs = _mm256_madd_epi16(load_8((const int32_t *)(const void *)q), _mm256_set1_epi16(1));
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
}

static void pack_x(void *packed, const float *x, size_t k)
{
    struct x_256 *out = packed;
    struct prism_x_words words __attribute__((aligned(64)));
    assert(k % 32 == 0 && (uintptr_t)packed % 64 == 0);

    for (size_t from = 0; from < k; from += 256, out++) {
        prism_pack_x_words_avx2(&words, x + from, k - from < 256 ? k - from : 256);
        memcpy(out->d, words.s.d, sizeof out->d);
        memcpy(out->d_sum, words.s.sum, sizeof out->d_sum);
        for (size_t i = 0; i < 8; i++) {
            const __m512i q = _mm512_load_si512(words.q + 32 * i);
            const __m512i high = _mm512_srai_epi16(_mm512_add_epi16(q, _mm512_set1_epi16(128)), 8);
            const int first = sum_of_16(words.q + 32 * i), second = sum_of_16(words.q + 32 * i + 16);
            _mm256_store_si256((__m256i *)(void *)(out->q[i / 2][0] + i % 2 * 8), _mm512_cvtepi16_epi8(high));
            _mm256_store_si256((__m256i *)(void *)(out->q[i / 2][1] + i % 2 * 8), _mm512_cvtepi16_epi8(q));
            out->bias_q6_k[i] = -BIAS_Q6_K * first;
            out->bias_q6_k[8 + i] = -BIAS_Q6_K * second;
            out->bias_q8_0[i] = -BIAS_Q8_0 * (first + second);
            out->bias_q4_0[i] = -BIAS_Q4_0 * (first + second);
        }
    }
}

const struct prism_gemv prism_gemv_i16_avx512vnni = {
    .name = "i16", .x_bytes = x_bytes, .pack_x = pack_x, .gemv = gemv, .x_err = PRISM_GEMV_X_ERR,
};
