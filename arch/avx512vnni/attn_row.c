/* attn_row.c - attention of a few query rows against a piece of a cache as stored, whose keys and values in Q8_0 are multiplied as integers; the
 * rest is arch/avx2/attn_row_body.h in fp32. Contract: struct prism_attn_row of src/kernels.h. In fp32 the unpacking of four rows' values takes
 * longer than memory does.
 *
 * Keys (vpdpbusd) are taken 16 at a time, one in each lane: two blocks of 32 of each are transposed so that a vector holds four neighbouring
 * values of 16 keys, which serves all rows. A query block becomes integers n of 15 bits, n = round(x * 16256 / max|x|) = 128 high + low with
 * -127 <= high <= 127, -64 <= low <= 63; a key's byte k is taken as k + 128, without a sign, and the sum of 128 n is subtracted. A sum of 32
 * products is 128 times that of high plus that of low: below 2^28, exact. It is multiplied by both scales in fp32.
 *
 * Values (vpdpwssd) are taken two at a time, a column in each lane. What a block of a value is multiplied by, probability times scale, becomes an
 * integer up to 32767, with one step for each row and block of CHUNK keys: sums of CHUNK products with bytes are exact as well. */
#include <assert.h>

#include "arch/avx512/attn_row.h"
#include "arch/avx512vnni/avx512vnni.h"

enum { AT_ONCE = 16, UNIT = 16256, CHUNK = PRISM_ATTN_ROW_CHUNK, CHUNK_VECTORS = CHUNK / 16, WEIGHT_UNIT = 32767 };

/* The scales of a block of up to 16 rows, the first at p; 0 behind the last. */
PRISM_INLINE __m512 scales_of(const char *p, size_t row_bytes, size_t n)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i at = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)row_bytes));
    const __m512i x = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), vec_mask(n), at, p, 1); /* and the first two bytes */
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
}

/* The largest magnitude: infinity is above all numbers, NaN above infinity. */
PRISM_INLINE float largest_of(__m512i magnitudes)
{
    const uint32_t bits = _mm512_reduce_max_epu32(magnitudes);
    float most;
    __builtin_memcpy(&most, &bits, sizeof most);
    return most;
}

PRISM_INLINE __m512i magnitude(__m512 x) { return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)); }

/* A block of a query: its integers as groups of four bytes, what the keys' 128 adds to their sum with the sign turned, and the value of a unit
 * times the factor of logits: NaN where the block is not finite. */
struct query_block {
    int32_t high[8], low[8];
    int32_t bias;
    float step;
};

static void make_query_block(struct query_block *to, const float *x, float factor)
{
    const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
    const float most = largest_of(_mm512_max_epu32(magnitude(x0), magnitude(x1)));
    const bool normal = most >= 0x1p-100f && most < INFINITY; /* below: nothing that counts against keys up to 2^23 */
    const __m512 inverse = _mm512_set1_ps(normal ? UNIT / most : 0);
    const __mmask16 some = normal ? 0xffff : 0;
    const __m512i n0 = _mm512_maskz_cvtps_epi32(some, _mm512_mul_ps(x0, inverse));
    const __m512i n1 = _mm512_maskz_cvtps_epi32(some, _mm512_mul_ps(x1, inverse));
    const __m512i half = _mm512_set1_epi32(64);
    const __m512i h0 = _mm512_srai_epi32(_mm512_add_epi32(n0, half), 7), h1 = _mm512_srai_epi32(_mm512_add_epi32(n1, half), 7);
    const __m512i l0 = _mm512_sub_epi32(n0, _mm512_slli_epi32(h0, 7)), l1 = _mm512_sub_epi32(n1, _mm512_slli_epi32(h1, 7));

    _mm_storeu_si128((__m128i *)(void *)to->high, _mm512_cvtepi32_epi8(h0));
    _mm_storeu_si128((__m128i *)(void *)(to->high + 4), _mm512_cvtepi32_epi8(h1));
    _mm_storeu_si128((__m128i *)(void *)to->low, _mm512_cvtepi32_epi8(l0));
    _mm_storeu_si128((__m128i *)(void *)(to->low + 4), _mm512_cvtepi32_epi8(l1));
    to->bias = -128 * _mm512_reduce_add_epi32(_mm512_add_epi32(n0, n1));
    to->step = normal ? most / UNIT * factor : most < 1 ? 0 : NAN;
}

/* 32 bytes at low and 32 at high (NULL: zeros), with 128 added. */
PRISM_INLINE __m512 two_blocks(const char *low, const char *high)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)low);
    const __m512i both = high ? _mm512_inserti64x4(_mm512_castsi256_si512(x), _mm256_loadu_si256((const __m256i *)(const void *)high), 1)
                              : _mm512_zextsi256_si512(x);
    return _mm512_castsi512_ps(_mm512_xor_si512(both, _mm512_set1_epi8((char)0x80)));
}

/* s += scale * step * the products of a query block and of 16 keys, whose groups of four bytes are k[0..8). Meanwhile `bytes`, a constant, from
 * `ahead` on are fetched: all at once would wait for each other. */
PRISM_INLINE __m512 add_block(__m512 s, const struct query_block *q, const __m512 k[8], __m512 scale, const char *ahead, size_t bytes)
{
    __m512i high[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() }, low[2] = { _mm512_set1_epi32(q->bias), _mm512_setzero_si512() };
#pragma GCC unroll 8
    for (size_t g = 0; g < 8; g++) { /* two short chains of each: a long one waits for itself */
        for (size_t line = (g * bytes + 511) / 512; line * 64 < (g + 1) * bytes / 8; line++)
            _mm_prefetch(ahead + line * 64, _MM_HINT_T0);
        high[g & 1] = _mm512_dpbusd_epi32(high[g & 1], _mm512_castps_si512(k[g]), _mm512_set1_epi32(q->high[g]));
        low[g & 1] = _mm512_dpbusd_epi32(low[g & 1], _mm512_castps_si512(k[g]), _mm512_set1_epi32(q->low[g]));
    }
    const __m512i all_high = _mm512_add_epi32(high[0], high[1]), all_low = _mm512_add_epi32(low[0], low[1]);
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(all_high, 7), all_low));
    return _mm512_fmadd_ps(_mm512_mul_ps(sum, scale), _mm512_set1_ps(q->step), s);
}

/* Logits of rows [row, row + rows) and keys [i, i + n), n <= 16, behind which the last is repeated; rows: 1, 2 or 4, a constant. */
PRISM_INLINE void logits_of_16(const struct prism_attn_row *a, struct query_block (*q)[MAX_BLOCKS], size_t i, size_t n, size_t row, int rows)
{
    const size_t blocks = a->d / 32, row_bytes = prism_kv_row_bytes(PRISM_KVF_Q8_0, a->d);
    const char *keys = (const char *)a->k + i * row_bytes, *ahead = keys + STREAM_AHEAD;
    const size_t part = AT_ONCE * 34 / (size_t)rows; /* of what is fetched ahead */
    __m512 s[4];

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        s[r] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b += 2) {
        const bool pair = b + 1 < blocks;
        __m512 k[16];
#pragma GCC unroll 16
        for (size_t j = 0; j < 16; j++) {
            const char *at = keys + at_most(j, n - 1) * row_bytes + b * 34 + 2;
            k[j] = two_blocks(at, pair ? at + 34 : NULL);
        }
        vec_transpose_16(k);
        const __m512 scale = scales_of(keys + b * 34, row_bytes, n);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++, ahead += part)
            s[r] = add_block(s[r], &q[row + (size_t)r][b], k, scale, ahead, part);
        if (pair) {
            const __m512 next = scales_of(keys + b * 34 + 34, row_bytes, n);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++, ahead += part)
                s[r] = add_block(s[r], &q[row + (size_t)r][b + 1], k + 8, next, ahead, part);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) /* infinity to NaN: -infinity would have no weight */
        _mm512_store_ps(a->scores + (row + (size_t)r) * PRISM_ATTN_ROW_KEYS + i, _mm512_fmadd_ps(s[r], _mm512_setzero_ps(), s[r]));
}

/* Of all keys. */
PRISM_INLINE void logits_of_rows(const struct prism_attn_row *a, struct query_block (*q)[MAX_BLOCKS], size_t row, int rows)
{
    size_t i = 0;
    for (; i + AT_ONCE <= a->n_keys; i += AT_ONCE)
        logits_of_16(a, q, i, AT_ONCE, row, rows);
    if (i < a->n_keys)
        logits_of_16(a, q, i, a->n_keys - i, row, rows);
}

static void logits_q8_0(const struct prism_attn_row *a)
{
    struct query_block q[PRISM_ATTN_ROW_Q][MAX_BLOCKS];
    size_t row = 0;

    for (size_t r = 0; r < a->n_q; r++)
        for (size_t b = 0; b < a->d / 32; b++)
            make_query_block(&q[r][b], a->q + r * a->d + b * 32, a->scale * 0x1.715476p0f); /* log2(e) */
    for (; row + 4 <= a->n_q; row += 4)
        logits_of_rows(a, q, row, 4);
    for (; row + 2 <= a->n_q; row += 2)
        logits_of_rows(a, q, row, 2);
    if (row < a->n_q)
        logits_of_rows(a, q, row, 1);
}

/* ---- values ---- */

/* What one block of the values of a chunk is multiplied by. */
struct row_weights {
    _Alignas(64) int16_t w[CHUNK]; /* 0 behind the last */
    float step;                    /* NaN: a scale is not finite */
};

/* p[n] times the scales of a block. */
static void make_row_weights(struct row_weights *to, const float *p, const __m512 scale[CHUNK_VECTORS], size_t n)
{
    __m512 w[CHUNK_VECTORS];
    __m512i most_bits = _mm512_setzero_si512();

#pragma GCC unroll 8
    for (size_t i = 0; i < CHUNK_VECTORS; i++) {
        w[i] = _mm512_mul_ps(_mm512_maskz_loadu_ps(vec_mask(n < 16 * i ? 0 : n - 16 * i), p + 16 * i), scale[i]);
        most_bits = _mm512_max_epu32(most_bits, magnitude(w[i]));
    }
    const float most = largest_of(most_bits);
    const bool normal = most >= 0x1p-100f && most < INFINITY; /* below: nothing that counts beside the sum of the probabilities */
    const __m512 inverse = _mm512_set1_ps(normal ? WEIGHT_UNIT / most : 0);
    const __mmask16 some = normal ? 0xffff : 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < CHUNK_VECTORS; i++) {
        const __m512i x = _mm512_maskz_cvtps_epi32(some, _mm512_mul_ps(w[i], inverse));
        _mm256_store_si256((__m256i *)(void *)(to->w + 16 * i), _mm512_cvtepi32_epi16(x));
    }
    to->step = normal ? most / WEIGHT_UNIT : most < 1 ? 0 : NAN;
}

/* o[32] += step * sums, whose columns are those of unpacked words: in each 128 bits four of eight. */
PRISM_INLINE void add_columns(float *o, __m512i low, __m512i high, float step)
{
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i second = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    const __m512 s = _mm512_set1_ps(step);
    const __m512 x = _mm512_cvtepi32_ps(_mm512_permutex2var_epi32(low, first, high));
    const __m512 y = _mm512_cvtepi32_ps(_mm512_permutex2var_epi32(low, second, high));
    _mm512_storeu_ps(o, _mm512_fmadd_ps(x, s, _mm512_loadu_ps(o)));
    _mm512_storeu_ps(o + 16, _mm512_fmadd_ps(y, s, _mm512_loadu_ps(o + 16)));
}

PRISM_INLINE __m512i words_of(const char *p) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p)); }

PRISM_INLINE __m512i dot_pairs(__m512i sum, __m512i v, const int16_t *w)
{
    int32_t pair;
    __builtin_memcpy(&pair, w, sizeof pair);
    sum = _mm512_dpwssd_epi32(sum, v, _mm512_set1_epi32(pair));
    KEEP_IN_REGISTER(sum); /* gcc 12 would copy every sum before each product */
    return sum;
}

/* o[r][0 .. 32) += the products of n values' blocks, the first at v, for `rows` rows: 1, 2 or 4, a constant. Fetches 34 n bytes from `ahead` on. */
PRISM_INLINE void add_block_values(float *o, size_t ldo, const struct row_weights *w, int rows, const char *v, size_t row_bytes, size_t n,
                                   const char *ahead)
{
    __m512i low[4], high[4];

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        low[r] = high[r] = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 2, v += 2 * row_bytes, ahead += 68) {
        const __m512i x = words_of(v), y = words_of(i + 1 < n ? v + row_bytes : v); /* the weight of the one behind the last is 0 */
        const __m512i xy0 = _mm512_unpacklo_epi16(x, y), xy1 = _mm512_unpackhi_epi16(x, y);
        _mm_prefetch(ahead, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            low[r] = dot_pairs(low[r], xy0, w[r].w + i);
            high[r] = dot_pairs(high[r], xy1, w[r].w + i);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        add_columns(o + (size_t)r * ldo, low[r], high[r], w[r].step);
}

static void add_values_q8_0(const struct prism_attn_row *a)
{
    const size_t d = a->d, row_bytes = prism_kv_row_bytes(PRISM_KVF_Q8_0, d);
    struct row_weights w[PRISM_ATTN_ROW_Q];

    for (size_t i = 0; i < a->n_keys; i += CHUNK) {
        const size_t n = at_most(a->n_keys - i, CHUNK);
        for (size_t b = 0; b < d / 32; b++) {
            const char *v = (const char *)a->v + i * row_bytes + b * 34;
            const char *ahead = (const char *)a->v + (i + CHUNK) * row_bytes + b * CHUNK * 34;
            float *o = a->o + b * 32;
            __m512 scale[CHUNK_VECTORS];
            size_t r = 0;
            for (size_t j = 0; j < CHUNK_VECTORS; j++)
                scale[j] = 16 * j < n ? scales_of(v + 16 * j * row_bytes, row_bytes, n - 16 * j) : _mm512_setzero_ps();
            for (size_t j = 0; j < a->n_q; j++)
                make_row_weights(&w[j], a->scores + j * PRISM_ATTN_ROW_KEYS + i, scale, n);
            for (; r + 4 <= a->n_q; r += 4)
                add_block_values(o + r * d, d, w + r, 4, v + 2, row_bytes, n, ahead);
            for (; r + 2 <= a->n_q; r += 2)
                add_block_values(o + r * d, d, w + r, 2, v + 2, row_bytes, n, ahead);
            if (r < a->n_q)
                add_block_values(o + r * d, d, w + r, 1, v + 2, row_bytes, n, ahead);
        }
    }
}

void prism_attn_row_i16_avx512vnni(const struct prism_attn_row *a)
{
    assert(a->n_q >= 1 && a->n_q <= PRISM_ATTN_ROW_Q && a->n_keys >= 1 && a->n_keys <= PRISM_ATTN_ROW_KEYS);
    assert(a->d % 8 == 0 && a->d <= PRISM_MAX_HEAD_DIM && (uintptr_t)a->scores % 64 == 0);
    assert(a->d % 32 == 0 || (a->k_format != PRISM_KVF_Q8_0 && a->v_format != PRISM_KVF_Q8_0));
    if (a->k_format == PRISM_KVF_Q8_0)
        logits_q8_0(a);
    else
        logits_all(a);
    for (size_t r = 0; r < a->n_q; r++)
        probabilities(a, r);
    if (a->v_format == PRISM_KVF_Q8_0)
        add_values_q8_0(a);
    else
        add_values_all(a);
}
