/* pack_w_i8w.c - stored weights of few bits to the panels of panel_i8w.h.
 *
 * 16 columns (stored rows) and a slab of 256 values at a time. Q4_0 and Q4_K: the 16 values that a group of 32 of a column can have become bytes in
 * units of 1/127 of the slab's largest, in a table that the nibbles look up. Q6_K: its numbers are multiplied as int16. The other types become floats
 * first. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512vnni/chunks.h"
#include "arch/avx512vnni/panel_i8w.h"
#include "arch/avx512vnni/quantize.h"

enum { SLAB = I8W_SLAB * I8W_GROUP, GROUPS = SLAB / 32 /* of 32 values */ };

PRISM_INLINE struct chunk low_nibbles(struct chunk c)
{
    for (int i = 0; i < 4; i++)
        c.v[i] = _mm512_and_si512(c.v[i], _mm512_set1_epi8(15));
    return c;
}

PRISM_INLINE struct chunk high_nibbles(struct chunk c)
{
    for (int i = 0; i < 4; i++)
        c.v[i] = _mm512_srli_epi16(c.v[i], 4);
    return low_nibbles(c);
}

/* Lane l of 128 bits: the low half of the number of column 4 l + i, in each word. */
PRISM_INLINE __m512i words_of_columns(__m512i numbers, int i)
{
    return _mm512_shuffle_epi8(numbers, _mm512_set1_epi16((short)(4 * i + 256 * (4 * i + 1))));
}

/* ---- weights of four bits on an even grid ---- */

/* The stored numbers of 16 columns: value = d[g] * nibble + m[g]. */
struct slab {
    __m512 d[GROUPS], m[GROUPS];
};

/* 127 * 256 over the largest magnitude of the n groups, where it is not tiny; *scale: 1/127 of it, or NaN. */
PRISM_INLINE __m512 inverse_of(const struct slab *s, size_t n, __m512 *scale)
{
    __m512 max = _mm512_setzero_ps(), finite = max;
    for (size_t g = 0; g < n; g++) {
        const __m512 last = _mm512_fmadd_ps(s->d[g], _mm512_set1_ps(15), s->m[g]);
        max = _mm512_max_ps(max, _mm512_max_ps(_mm512_abs_ps(s->m[g]), _mm512_abs_ps(last)));
        finite = _mm512_fmadd_ps(_mm512_setzero_ps(), _mm512_add_ps(s->d[g], s->m[g]), finite);
    }
    *scale = _mm512_add_ps(finite, _mm512_mul_ps(max, _mm512_set1_ps(1.0f / 127))); /* NaN stays NaN */
    return _mm512_maskz_div_ps(_mm512_cmp_ps_mask(max, _mm512_set1_ps(0x1p-100f), _CMP_GE_OQ), _mm512_set1_ps(127 * 256), max);
}

/* The bytes of a group's 16 values: v[i] holds those of columns i, 4 + i, 8 + i, 12 + i. q * a + b is in units of 1/256 of a byte, whose roundings
 * add 0.03 of a step to the half. As arch/generic/linear_i8w.c defines it. */
PRISM_INLINE struct chunk table_of(__m512 d, __m512 m, __m512 inverse)
{
    const __m512i a4 = _mm512_cvtps_epi32(_mm512_mul_ps(d, inverse));
    const __m512i b4 = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(m, inverse)), _mm512_set1_epi32(128));
    const __m512i q = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14));
    struct chunk c;
    for (int i = 0; i < 4; i++) {
        const __m512i a = words_of_columns(a4, i), b = words_of_columns(b4, i);
        const __m512i even = _mm512_add_epi16(_mm512_mullo_epi16(q, a), b), odd = _mm512_add_epi16(even, a);
        c.v[i] = _mm512_mask_mov_epi8(_mm512_srli_epi16(even, 8), 0xaaaaaaaaaaaaaaaa, odd);
    }
    return c;
}

PRISM_INLINE struct chunk look_up(struct chunk table, struct chunk nibbles)
{
    for (int i = 0; i < 4; i++)
        nibbles.v[i] = _mm512_shuffle_epi8(table.v[i], nibbles.v[i]);
    return nibbles;
}

/* Half a group of 64: 32 nibbles of each column. Returns sum + 128 * (sum of their values). */
PRISM_INLINE __m512i put_half(const struct half_panel *h, size_t half, struct chunk table, struct chunk low, struct chunk high, __m512i sum)
{
    return put_chunk(h, 0, 2 * half + 1, look_up(table, high), put_chunk(h, 0, 2 * half, look_up(table, low), sum));
}

PRISM_INLINE void put_numbers(const struct half_panel *h, __m512i sum, __m512 scale)
{
    put_line(h, I8W_START, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
    put_line(h, I8W_D, _mm512_castps_si512(scale));
}

static __attribute__((noinline)) void pack_q4_0(struct half_panel h, const uint8_t *rows, size_t row_bytes, size_t k)
{
    struct columns c;
    columns_begin(&c, rows, row_bytes, COLUMNS, true);
    for (size_t g0 = 0; g0 < k / 32; g0 += GROUPS) {
        const size_t n = k / 32 - g0 < GROUPS ? k / 32 - g0 : GROUPS;
        struct slab s;
        __m512 scale;
        for (size_t g = 0; g < n; g++) {
            s.d[g] = low_halves(columns_4(&c, 18 * g));
            s.m[g] = _mm512_mul_ps(s.d[g], _mm512_set1_ps(-8));
        }
        const __m512 inverse = inverse_of(&s, n, &scale);
        for (size_t g = 0; g < n; g += 2, h.out += h.group_bytes, columns_advance(&c, 36)) {
            __m512i sum = _mm512_setzero_si512();
            for (size_t half = 0; half < 2; half++) {
                fetch_next_columns(&c, 36, half, 2);
                const struct chunk q = load_chunk(&c, 18 * half + 2);
                sum = put_half(&h, half, table_of(s.d[g + half], s.m[g + half], inverse), low_nibbles(q), high_nibbles(q), sum);
            }
            put_numbers(&h, sum, scale);
        }
    }
}

static __attribute__((noinline)) void pack_q4_k(struct half_panel h, const uint8_t *rows, size_t row_bytes, size_t k)
{
    struct columns c;
    columns_begin(&c, rows, row_bytes, COLUMNS, true);
    for (; k > 0; k -= 256, columns_advance(&c, 144)) {
        struct slab s;
        __m512 scale;
        q4_k_scales(s.d, s.m, &c);
        const __m512 inverse = inverse_of(&s, GROUPS, &scale);
        for (size_t i = 0; i < I8W_SLAB; i++, h.out += h.group_bytes) {
            fetch_next_columns(&c, 144, i, I8W_SLAB);
            const struct chunk c0 = load_chunk(&c, 16 + 32 * i), c1 = load_chunk(&c, 32 + 32 * i);
            const struct chunk low = table_of(s.d[2 * i], s.m[2 * i], inverse), high = table_of(s.d[2 * i + 1], s.m[2 * i + 1], inverse);
            __m512i sum = put_half(&h, 0, low, low_nibbles(c0), low_nibbles(c1), _mm512_setzero_si512());
            put_numbers(&h, put_half(&h, 1, high, high_nibbles(c0), high_nibbles(c1), sum), scale);
        }
    }
}

/* ---- Q6_K ---- */

/* The low half of lane j: what the numbers of group g of 16 of column j become bytes by, in units of 1/8192; as arch/generic/linear_i8w.c defines it. */
PRISM_INLINE __m512 q6_k_factors(__m512i factor[16], const struct columns *c)
{
    __m512 d[16], max = _mm512_setzero_ps(), finite = max;
    q6_k_scales(d, c);
    for (size_t g = 0; g < 16; g++) {
        max = _mm512_max_ps(max, _mm512_abs_ps(d[g]));
        finite = _mm512_fmadd_ps(_mm512_setzero_ps(), d[g], finite);
    }
    max = _mm512_mul_ps(max, _mm512_set1_ps(32));
    const __mmask16 some = _mm512_cmp_ps_mask(max, _mm512_set1_ps(0x1p-100f), _CMP_GE_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(127 * 8192), max);
    for (size_t g = 0; g < 16; g++)
        factor[g] = _mm512_cvtps_epi32(_mm512_mul_ps(d[g], inverse));
    return _mm512_add_ps(finite, _mm512_mul_ps(max, _mm512_set1_ps(1.0f / 127))); /* NaN stays NaN */
}

/* Numbers of six bits times the factor of their column. A byte of `low` has the lower four bits at bit 2, one of `high` the others at bit 6: so joined
 * they are four times the number, as the rounding multiplication wants it. */
PRISM_INLINE struct chunk bytes_of_six(struct chunk low, struct chunk high, __m512i factor)
{
    const __m512i zero = _mm512_setzero_si512(), half = _mm512_set1_epi16(128);
    for (int i = 0; i < 4; i++) {
        const __m512i a = words_of_columns(factor, i);
        const __m512i q = _mm512_or_si512(_mm512_and_si512(low.v[i], _mm512_set1_epi8(0x3c)), _mm512_and_si512(high.v[i], _mm512_set1_epi8((char)0xc0)));
        const __m512i first = _mm512_mulhrs_epi16(a, _mm512_sub_epi16(_mm512_unpacklo_epi8(q, zero), half));
        low.v[i] = _mm512_packs_epi16(first, _mm512_mulhrs_epi16(a, _mm512_sub_epi16(_mm512_unpackhi_epi8(q, zero), half)));
    }
    return low;
}

PRISM_INLINE struct chunk shifted(struct chunk c, int left)
{
    for (int i = 0; i < 4; i++)
        c.v[i] = left < 0 ? _mm512_srli_epi16(c.v[i], (unsigned)-left) : _mm512_slli_epi16(c.v[i], (unsigned)left);
    return c;
}

static __attribute__((noinline)) void pack_q6_k(struct half_panel h, const uint8_t *rows, size_t row_bytes, size_t k)
{
    struct columns c;
    columns_begin(&c, rows, row_bytes, COLUMNS, true);
    for (; k > 0; k -= SLAB, columns_advance(&c, 210)) {
        __m512i factor[16];
        const __m512 scale = q6_k_factors(factor, &c);
        for (size_t n = 0; n < 4; n += 2) { /* two groups of 64: the low nibbles and the high ones of 64 bytes */
            __m512i sum[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() };
            for (size_t part = 0; part < 2; part++) {
                fetch_next_columns(&c, 210, n + part, 4);
                const struct chunk high = load_chunk(&c, 128 + 16 * n + 16 * part);
                const struct chunk low0 = load_chunk(&c, 32 * n + 16 * part), low1 = load_chunk(&c, 32 * n + 32 + 16 * part);
                const __m512i *f = factor + 4 * n + part;
                sum[0] = put_chunk(&h, 0, part, bytes_of_six(shifted(low0, 2), shifted(high, 6), f[0]), sum[0]);
                sum[0] = put_chunk(&h, 0, 2 + part, bytes_of_six(shifted(low1, 2), shifted(high, 4), f[2]), sum[0]);
                sum[1] = put_chunk(&h, 1, part, bytes_of_six(shifted(low0, -2), shifted(high, 2), f[4]), sum[1]);
                sum[1] = put_chunk(&h, 1, 2 + part, bytes_of_six(shifted(low1, -2), high, f[6]), sum[1]);
            }
            for (size_t g = 0; g < 2; g++, h.out += h.group_bytes)
                put_numbers(&h, sum[g], scale);
        }
    }
}

/* ---- any type, any number of columns up to 16 ---- */

/* The largest magnitude of n values is among the lanes. */
PRISM_INLINE __m512 magnitudes_of(const float *x, size_t n)
{
    __m512 most = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16)
        most = larger(most, magnitude(_mm512_load_ps(x + i)));
    return most;
}

PRISM_INLINE void put_bytes(uint8_t *q, const float *x, size_t n, float inverse)
{
    for (size_t i = 0; i < n; i += 16) {
        const __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(x + i), _mm512_set1_ps(inverse)));
        _mm_store_si128((__m128i *)(void *)(q + i), _mm512_cvtepi32_epi8(v));
    }
}

static void pack_buffered(struct half_panel h, const uint8_t *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    _Alignas(64) float values[16][SLAB], inverse[16];
    _Alignas(64) uint8_t q[16][SLAB];
    struct columns stored, bytes;
    __m512 v[16];

    memset(values, 0, sizeof values);
    columns_begin(&stored, rows, row_bytes, cols, false);
    columns_begin(&bytes, q[0], SLAB, COLUMNS, true);
    for (size_t i = 0; i < k; i += SLAB, columns_advance(&stored, prism_row_bytes(type, SLAB))) {
        const size_t n = k - i < SLAB ? k - i : SLAB;
        for (size_t j = 0; j < cols; j++) {
            fetch_next_columns(&stored, prism_row_bytes(type, SLAB), j, COLUMNS);
            prism_kernels_avx512.to_f32[type](values[j], column(&stored, j), n);
        }
        for (size_t j = 0; j < 16; j++)
            v[j] = magnitudes_of(values[j], n);
        const __m512 scale = scales_of(inverse, v, 127, 0x1p-100f);
        KEEP_IN_MEMORY(inverse);
        for (size_t j = 0; j < 16; j++)
            put_bytes(q[j], values[j], n, inverse[j]);
        for (size_t g = 0; g < n / I8W_GROUP; g++, h.out += h.group_bytes) {
            __m512i sum = _mm512_setzero_si512();
            for (size_t c = 0; c < I8W_GROUP / 16; c++)
                sum = put_chunk(&h, 0, c, load_chunk(&bytes, I8W_GROUP * g + 16 * c), sum);
            put_numbers(&h, sum, scale);
        }
    }
}

/* 16 columns of what needs no floats. */
typedef void pack_16_fn(struct half_panel h, const uint8_t *rows, size_t row_bytes, size_t k);

/* Of fewer than 16 columns: slab by slab from a copy, the missing ones zeros. */
static void pack_few(pack_16_fn *pack, struct half_panel h, const uint8_t *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    for (size_t i = 0; i < k; i += SLAB, h.out += I8W_SLAB * h.group_bytes) {
        const size_t part = k - i < SLAB ? k - i : SLAB;
        uint8_t blocks[16][210] = { 0 }; /* 8 blocks of Q4_0, one of Q4_K or Q6_K */
        for (size_t j = 0; j < cols; j++)
            memcpy(blocks[j], rows + j * row_bytes + prism_row_bytes(type, i), prism_row_bytes(type, part));
        pack(h, blocks[0], sizeof *blocks, part);
    }
}

void prism_pack_w_i8w_avx512vnni(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    pack_16_fn *const pack = type == PRISM_Q4_0 ? pack_q4_0 : type == PRISM_Q4_K ? pack_q4_k : type == PRISM_Q6_K ? pack_q6_k : NULL;

    assert(cols >= 1 && cols <= NR && k % I8W_GROUP == 0 && k % prism_types[type].block == 0);
    for (size_t j = 0; j < NR; j += 16) {
        const struct half_panel h = { (char *)panel + 4 * j, I8W_W_GROUP };
        const uint8_t *first = (const uint8_t *)rows + (j < cols ? j : 0) * row_bytes;
        const size_t n = cols <= j ? 0 : cols - j < 16 ? cols - j : 16;
        if (!pack)
            pack_buffered(h, first, row_bytes, type, n, k);
        else if (n == 16)
            pack(h, first, row_bytes, k);
        else
            pack_few(pack, h, first, row_bytes, type, n, k);
    }
}
