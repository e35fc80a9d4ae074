/* pack_w_i8.c - stored weights to the int8 panels of panel_i8.h.
 *
 * Columns (stored rows) are taken 16 at a time. A chunk is 16 successive values of each of them: four vectors that each hold the chunk of
 * four columns are turned into four lines of the panel. The types that most files are made of are read where they are stored; the others
 * become bytes in a buffer first. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512/unpack.h"
#include "arch/avx512vnni/panel_i8.h"

size_t prism_i8_w_bytes(size_t k)
{
    return PRISM_I8_W_HEADER + k / 32 * PRISM_I8_W_GROUP(true);
}

/* Where the lines of a half panel go. */
struct half_panel {
    char *out;          /* of 16 columns, first group */
    size_t group_bytes;
};

static inline void put_line(const struct half_panel *h, size_t offset, __m512i v) { _mm512_store_si512(h->out + offset, v); }

/* The chunks of 16 columns: vector i holds those of columns i, 4 + i, 8 + i, 12 + i. */
struct chunk {
    __m512i v[4];
};

PRISM_INLINE struct chunk load_chunk(const uint8_t *p, size_t stride)
{
    struct chunk c;
    for (size_t i = 0; i < 4; i++, p += stride) {
        __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
        v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * stride)), 1);
        v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 8 * stride)), 2);
        c.v[i] = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 12 * stride)), 3);
    }
    return c;
}

/* Puts chunk `index` (0, 1) of a group; returns sum + 128 * (sum of the values of each column). */
PRISM_INLINE __m512i put_chunk(const struct half_panel *h, size_t group, size_t index, struct chunk c, __m512i sum)
{
    const __m512i a = _mm512_unpacklo_epi32(c.v[0], c.v[1]), b = _mm512_unpackhi_epi32(c.v[0], c.v[1]);
    const __m512i d = _mm512_unpacklo_epi32(c.v[2], c.v[3]), e = _mm512_unpackhi_epi32(c.v[2], c.v[3]);
    const __m512i line[4] = { _mm512_unpacklo_epi64(a, d), _mm512_unpackhi_epi64(a, d), _mm512_unpacklo_epi64(b, e),
                              _mm512_unpackhi_epi64(b, e) };
    for (size_t i = 0; i < 4; i++) {
        put_line(h, group * h->group_bytes + 128 * (4 * index + i), line[i]);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)128), line[i]);
    }
    return sum;
}

PRISM_INLINE void put_group(const struct half_panel *h, size_t group, struct chunk low, struct chunk high)
{
    const __m512i sum = put_chunk(h, group, 1, high, put_chunk(h, group, 0, low, _mm512_setzero_si512()));
    put_line(h, group * h->group_bytes + PRISM_I8_W_START, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
}

/* Fetches what the next 16 columns will read in place of the 64 bytes at offset. */
PRISM_INLINE void fetch_next(const uint8_t *rows, size_t row_bytes, size_t offset)
{
    for (size_t j = 16; j < 32; j++)
        _mm_prefetch((const char *)rows + j * row_bytes + offset, _MM_HINT_T0);
}

/* The halves at the beginning of 16 blocks. */
PRISM_INLINE __m512i halves_of_blocks(const uint8_t *block, size_t row_bytes)
{
    const __m256i index = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int)row_bytes));
    const __m256i low = _mm256_i32gather_epi32((const int *)(const void *)block, index, 1);
    const __m256i high = _mm256_i32gather_epi32((const int *)(const void *)(block + 8 * row_bytes), index, 1);
    return _mm512_castps_si512(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1))));
}

static void pack_q8_0(const struct half_panel *h, const uint8_t *rows, size_t row_bytes, size_t groups)
{
    for (size_t g = 0; g < groups; g++) {
        const uint8_t *b = rows + 34 * g;
        if (g % 2 == 0)
            fetch_next(rows, row_bytes, 34 * g);
        put_group(h, g, load_chunk(b + 2, row_bytes), load_chunk(b + 18, row_bytes));
        put_line(h, g * h->group_bytes + PRISM_I8_W_D, halves_of_blocks(b, row_bytes));
    }
}

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

PRISM_INLINE struct chunk minus_8(struct chunk c)
{
    for (int i = 0; i < 4; i++)
        c.v[i] = _mm512_sub_epi8(c.v[i], _mm512_set1_epi8(8));
    return c;
}

static void pack_q4_0(const struct half_panel *h, const uint8_t *rows, size_t row_bytes, size_t groups)
{
    for (size_t g = 0; g < groups; g++) {
        const uint8_t *b = rows + 18 * g;
        if (g % 4 == 0)
            fetch_next(rows, row_bytes, 18 * g);
        const struct chunk c = load_chunk(b + 2, row_bytes);
        put_group(h, g, minus_8(low_nibbles(c)), minus_8(high_nibbles(c)));
        put_line(h, g * h->group_bytes + PRISM_I8_W_D, halves_of_blocks(b, row_bytes));
    }
}

/* dm[column]: d of 8 groups, then m of the same groups; becomes r[g], r[8 + g]: of 16 columns. */
PRISM_INLINE void scales_of_columns(__m512 r[16], float dm[16][16])
{
    for (size_t j = 0; j < 16; j++)
        r[j] = _mm512_load_ps(dm[j]);
    vec_transpose_16(r);
}

static void put_scales(const struct half_panel *h, size_t group, size_t n, float dm[16][16], bool has_min)
{
    __m512 r[16];
    scales_of_columns(r, dm);
    for (size_t g = 0; g < n; g++) {
        put_line(h, (group + g) * h->group_bytes + PRISM_I8_W_D, _mm512_castps_si512(r[g]));
        if (has_min)
            put_line(h, (group + g) * h->group_bytes + PRISM_I8_W_M, _mm512_castps_si512(r[8 + g]));
    }
}

/* The 16 values d * q + m that a group of a column can have, as bytes: v[i] holds those of columns i, 4 + i, 8 + i, 12 + i. *scale: d, then the
 * bytes' step, 1/127 of the largest. q * a + b is in units of 1/256 of it, whose roundings add 0.03 of a step to the half. As
 * arch/generic/linear_i8.c defines it. */
PRISM_INLINE struct chunk tables(__m512 m, __m512 *scale)
{
    const __m512 d = *scale;
    const __m512 max = _mm512_max_ps(_mm512_abs_ps(m), _mm512_abs_ps(_mm512_fmadd_ps(d, _mm512_set1_ps(15), m)));
    const __mmask16 normal = _mm512_cmp_ps_mask(max, _mm512_set1_ps(0x1p-100f), _CMP_GE_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(normal, _mm512_set1_ps(127 * 256), max);
    *scale = _mm512_fmadd_ps(_mm512_setzero_ps(), _mm512_add_ps(d, m), _mm512_mul_ps(max, _mm512_set1_ps(1.0f / 127))); /* NaN stays NaN */

    /* two bytes for each column, those of columns 4 l .. 4 l + 3 in 128-bit lane l */
    const __m512i spread = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    const __m256i a16 = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(d, inverse)));
    const __m256i b16 = _mm512_cvtepi32_epi16(_mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(m, inverse)), _mm512_set1_epi32(128)));
    const __m512i a4 = _mm512_permutexvar_epi64(spread, _mm512_castsi256_si512(a16));
    const __m512i b4 = _mm512_permutexvar_epi64(spread, _mm512_castsi256_si512(b16));
    const __m512i q = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
    struct chunk c;
    for (int i = 0; i < 4; i++) {
        const __m512i which = _mm512_set1_epi16((short)(2 * i + 256 * (2 * i + 1)));
        const __m512i a = _mm512_shuffle_epi8(a4, which), b = _mm512_shuffle_epi8(b4, which);
        const __m512i low = _mm512_add_epi16(_mm512_mullo_epi16(q, a), b), high = _mm512_add_epi16(low, _mm512_slli_epi16(a, 3));
        c.v[i] = _mm512_packs_epi16(_mm512_srai_epi16(low, 8), _mm512_srai_epi16(high, 8));
    }
    return c;
}

PRISM_INLINE struct chunk look_up(struct chunk table, struct chunk nibbles)
{
    for (int i = 0; i < 4; i++)
        nibbles.v[i] = _mm512_shuffle_epi8(table.v[i], nibbles.v[i]);
    return nibbles;
}

/* Requantised by tables, without a minimum. */
static __attribute__((noinline)) void pack_q4_k(const struct half_panel *h, const uint8_t *rows, size_t row_bytes, size_t groups)
{
    _Alignas(64) float dm[16][16];
    __m512 r[16];
    for (size_t g = 0; g < groups; g += 8) {
        const uint8_t *b = rows + 144 * (g / 8);
        for (size_t i = 0; i < 144; i += 64)
            fetch_next(b, row_bytes, i);
        for (size_t j = 0; j < 16; j++) {
            const struct q4_k_scales scales = unpack_q4_k_scales(b + j * row_bytes);
            _mm256_store_ps(dm[j], scales.d);
            _mm256_store_ps(dm[j] + 8, scales.m);
        }
        scales_of_columns(r, dm);
        for (size_t i = 0; i < 8; i++) {
            const struct chunk c0 = load_chunk(b + 16 + 16 * (i & 6), row_bytes), c1 = load_chunk(b + 32 + 16 * (i & 6), row_bytes);
            const struct chunk table = tables(r[8 + i], &r[i]);
            put_group(h, g + i, look_up(table, i % 2 ? high_nibbles(c0) : low_nibbles(c0)),
                      look_up(table, i % 2 ? high_nibbles(c1) : low_nibbles(c1)));
            put_line(h, (g + i) * h->group_bytes + PRISM_I8_W_D, _mm512_castps_si512(r[i]));
        }
    }
}

/* Any other type, any number of columns up to 16: 256 values of each become bytes in a buffer. */
static void pack_buffered(const struct half_panel *h, const uint8_t *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    _Alignas(64) uint8_t q[16][256];
    _Alignas(64) float dm[16][16];
    prism_to_i8_fn *to_i8 = prism_kernels_avx512.to_i8[type];

    memset(q, 0, sizeof q);
    memset(dm, 0, sizeof dm);
    for (size_t k0 = 0; k0 < k; k0 += 256) {
        const size_t n = k - k0 < 256 ? k - k0 : 256;
        for (size_t j = 0; j < cols; j++)
            to_i8((int8_t *)q[j], dm[j], dm[j] + 8, rows + j * row_bytes + prism_row_bytes(type, k0), n);
        for (size_t g = 0; g < n / 32; g++)
            put_group(h, k0 / 32 + g, load_chunk(q[0] + 32 * g, sizeof q[0]), load_chunk(q[0] + 32 * g + 16, sizeof q[0]));
        put_scales(h, k0 / 32, n / 32, dm, prism_types[type].has_min);
    }
}

static struct half_panel half_of_panel(void *panel, size_t col, bool has_min)
{
    return (struct half_panel){ (char *)panel + PRISM_I8_W_HEADER + 4 * col, PRISM_I8_W_GROUP(has_min) };
}

static void put_header(void *panel, bool has_min)
{
    memset(panel, 0, PRISM_I8_W_HEADER);
    *(uint32_t *)panel = has_min;
}

void prism_pack_w_i8_avx512vnni(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    const bool has_min = prism_types[type].has_min;
    assert(cols >= 1 && cols <= NR && k % 32 == 0 && k % prism_types[type].block == 0);

    put_header(panel, has_min);
    for (size_t j = 0; j < NR; j += 16) {
        const struct half_panel h = half_of_panel(panel, j, has_min);
        const uint8_t *first = (const uint8_t *)rows + (j < cols ? j : 0) * row_bytes;
        const size_t n = cols <= j ? 0 : cols - j < 16 ? cols - j : 16;
        if (n == 16 && type == PRISM_Q8_0)
            pack_q8_0(&h, first, row_bytes, k / 32);
        else if (n == 16 && type == PRISM_Q4_0)
            pack_q4_0(&h, first, row_bytes, k / 32);
        else
            pack_buffered(&h, first, row_bytes, type, n, k);
    }
}

/* Fewer than 16 columns: block by block from a copy, the missing ones zeros. */
void prism_pack_w_i8sym_avx512vnni(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    (void)type;
    assert(type == PRISM_Q4_K && cols >= 1 && cols <= NR && k % 256 == 0);

    put_header(panel, false);
    for (size_t j = 0; j < NR; j += 16) {
        struct half_panel h = half_of_panel(panel, j, false);
        const uint8_t *first = (const uint8_t *)rows + (j < cols ? j : 0) * row_bytes;
        const size_t n = cols <= j ? 0 : cols - j < 16 ? cols - j : 16;
        if (n == 16) {
            pack_q4_k(&h, first, row_bytes, k / 32);
            continue;
        }
        for (size_t g = 0; g < k / 32; g += 8, h.out += 8 * h.group_bytes) {
            uint8_t blocks[16][144] = { 0 };
            for (size_t i = 0; i < n; i++)
                memcpy(blocks[i], first + i * row_bytes + 144 * (g / 8), sizeof *blocks);
            pack_q4_k(&h, blocks[0], sizeof *blocks, 8);
        }
    }
}
