/* gemv_i16.c - 1 to 8 rows of two-byte activations times stored weights (struct prism_gemv of src/kernels.h), all quantised types.
 *
 * A weight row is walked 256 values at a time: eight blocks of 32, or one. Each group of 32 becomes 32 two-byte integers, vpmaddwd
 * adds their products with those of the activations exactly, and the sums enter the row's fp32 sums scaled by both scales. Types
 * whose fields are unsigned are not shifted to signed values: an offset enters by the sum of the activations, once per 256 values.
 * The arithmetic of a row does not depend on the number of rows: up to four share the expansion. */
#include <assert.h>
#include <string.h>

#include "arch/avx2/avx2.h"
#include "arch/avx2/blocks.h"
#include "arch/avx2/gemv_x.h"
#include "arch/avx2/stream.h"
#include "arch/generic/gemv_cols.h"
#include "arch/generic/gemv_i16.h"

/* ---- scales of 256 weights ---- */

/* value = d * field + m: of 8 groups of 32 in the first of each pair, of 16 groups of 16 in both. */
struct scales {
    __m256 d[2], m[2];
    struct block_scales block; /* what block_bytes needs of it; all 256 values, unless in_registers */
};

/* What block_words (below) leaves to the scales: value = field - bias. */
PRISM_INLINE int field_bias(enum prism_type type)
{
    return type == PRISM_Q4_0 ? 8 : type == PRISM_Q6_K ? 32 : 0;
}

/* 2^(e - 128) of 8 blocks; the two smallest are subnormal. */
PRISM_INLINE __m256 scales_of_8_mxfp4(const uint8_t *b)
{
    const __m256i e = _mm256_setr_epi32(b[0], b[17], b[34], b[51], b[68], b[85], b[102], b[119]);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}

PRISM_INLINE struct scales scales_256(const uint8_t *b, enum prism_type type)
{
    const struct prism_layout l = prism_layout_of(type);
    struct scales r;
    struct block_scales *s = &r.block;
    r.d[0] = r.d[1] = r.m[0] = r.m[1] = _mm256_setzero_ps();
    if (!in_registers(type) || l.block == 256) {
        if (in_registers(type))
            block_scales(s, b, type);
        for (unsigned i = 0; !in_registers(type) && i < 256; i += l.block, b += l.bytes)
            l.unpack(s->q + i, s->d + i / l.group, s->m + i / l.group, b);
        for (int i = 0; i < (l.group == 16 ? 2 : 1); i++) {
            r.d[i] = _mm256_loadu_ps(s->d + 8 * i);
            if (l.has_min)
                r.m[i] = _mm256_loadu_ps(s->m + 8 * i);
        }
    } else if (type == PRISM_MXFP4) {
        r.d[0] = scales_of_8_mxfp4(b);
    } else if (type == PRISM_NVFP4) {
        const __m128i bytes = _mm_setr_epi32((int)prism_load_u32(b), (int)prism_load_u32(b + 36), (int)prism_load_u32(b + 72),
                                             (int)prism_load_u32(b + 108));
        r.d[0] = halves_of_e4m3(bytes);
        r.d[1] = halves_of_e4m3(_mm_srli_si128(bytes, 8));
    } else {
        r.d[0] = strided_halves(b, l.bytes);
        if (l.has_min)
            r.m[0] = strided_halves(b + 2, l.bytes);
    }
    if (field_bias(type))
        for (int i = 0; i < 2; i++)
            r.m[i] = _mm256_mul_ps(r.d[i], _mm256_set1_ps((float)-field_bias(type)));
    return r;
}

/* ---- 32 weights as integers ---- */

struct words {
    __m256i low, high; /* values 0..15 and 16..31 of a group */
};

PRISM_INLINE __m256i widened(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

PRISM_INLINE struct words words_of_bytes(__m256i q)
{
    return (struct words){_mm256_cvtepi8_epi16(_mm256_castsi256_si128(q)), _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1))};
}

PRISM_INLINE __m256i fields_q6_k(const uint8_t *b, int j)
{
    const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(b + 128 + j / 4 * 32));
    const int shift = 4 - j % 4 * 2;
    const __m256i moved = shift > 0 ? _mm256_slli_epi16(high, shift) : _mm256_srli_epi16(high, -shift);
    return _mm256_or_si256(bit_field(b + j / 4 * 64 + j % 2 * 32, j % 4 / 2 * 4, 4), _mm256_and_si256(moved, _mm256_set1_epi8(0x30)));
}

/* Group j of the 256 values that begin at b, whose scales are s. */
PRISM_INLINE struct words block_words(const uint8_t *b, const struct scales *s, int j, enum prism_type type)
{
    const struct prism_layout l = prism_layout_of(type);
    const __m256i nibble = _mm256_set1_epi16(15);
    const int groups = (int)l.block / 32;
    const uint8_t *p = b + (unsigned)(j / groups) * l.bytes; /* unless all values lie in s */
    __m256i x, y;
    switch (type) {
    case PRISM_Q8_0:
        return (struct words){_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p + 2))),
                              _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p + 18)))};
    case PRISM_Q4_0:
    case PRISM_Q4_1:
        x = widened(p + (type == PRISM_Q4_0 ? 2 : 4));
        return (struct words){_mm256_and_si256(x, nibble), _mm256_srli_epi16(x, 4)};
    case PRISM_Q4_K: /* group 2 i in the low nibbles of 32 bytes, group 2 i + 1 in the high ones */
        x = widened(p + 16 + j / 2 * 32), y = widened(p + 32 + j / 2 * 32);
        return j % 2 ? (struct words){_mm256_srli_epi16(x, 4), _mm256_srli_epi16(y, 4)}
                     : (struct words){_mm256_and_si256(x, nibble), _mm256_and_si256(y, nibble)};
    case PRISM_Q6_K: return words_of_bytes(fields_q6_k(p, j));
    default: return words_of_bytes(block_bytes(p, &s->block, in_registers(type) ? j % groups : j, type));
    }
}

/* ---- dot products ---- */

/* Two sums per row: a single chain of additions would be slower than the multiplications. */
struct sums {
    __m256 even, odd;
};

PRISM_INLINE __m256i dot(__m256i w, const int16_t *x)
{
    return _mm256_madd_epi16(w, _mm256_load_si256((const __m256i *)(const void *)x));
}

/* sum + s * t, s read from memory by a broadcasting load */
PRISM_INLINE __m256 add_scaled(__m256 sum, __m256i t, const float *s)
{
    return _mm256_fmadd_ps(_mm256_broadcast_ss(s), _mm256_cvtepi32_ps(t), sum);
}

/* 256 values of one weight row with those of `rows` (1, 2 or 4: a constant) rows of activations, x_step apart. */
PRISM_INLINE void add_256(struct sums *sum, int rows, const struct prism_x_words *x, size_t x_step, const uint8_t *b, enum prism_type type)
{
    const struct prism_layout l = prism_layout_of(type);
    const struct scales w = scales_256(b, type);
    const bool by_16 = l.group == 16;
    float products[4][16]; /* of both scales */

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const struct prism_x_scales *xs = &x[(size_t)r * x_step].s;
        const float *d = by_16 ? xs->d16 : xs->d, *x_sum = by_16 ? xs->sum16 : xs->sum;
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            if (i == 1 && !by_16)
                break;
            _mm256_storeu_ps(products[r] + 8 * i, _mm256_mul_ps(w.d[i], _mm256_load_ps(d + 8 * i)));
            if (l.has_min || field_bias(type))
                sum[r].even = _mm256_fmadd_ps(w.m[i], _mm256_load_ps(x_sum + 8 * i), sum[r].even);
        }
    }
    /* Read back by broadcasting loads: gcc 12 would take them out of the vectors by shuffles, or keep the address of each. */
    const float *s = products[0];
    __asm__("" : "+r"(s) : "m"(products));
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        const struct words q = block_words(b, &w, j, type);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const int16_t *xq = x[(size_t)r * x_step].q + 32 * j;
            if (by_16) {
                sum[r].even = add_scaled(sum[r].even, dot(q.low, xq), s + 16 * r + 2 * j);
                sum[r].odd = add_scaled(sum[r].odd, dot(q.high, xq + 16), s + 16 * r + 2 * j + 1);
            } else {
                __m256 *to = j % 2 ? &sum[r].odd : &sum[r].even;
                *to = add_scaled(*to, _mm256_add_epi32(dot(q.low, xq), dot(q.high, xq + 16)), s + 16 * r + j);
            }
        }
    }
}

/* gemv_dot_fn */
PRISM_INLINE void dot_rows(float *y, size_t ldy, int rows, const char *packed, size_t packed_bytes, const uint8_t *w, enum prism_type type,
                           size_t k)
{
    const struct prism_layout l = prism_layout_of(type);
    const struct prism_x_words *x = (const struct prism_x_words *)(const void *)packed;
    const size_t bytes = 256 / l.block * l.bytes, x_step = packed_bytes / sizeof *x;
    struct sums sum[4];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        sum[r].even = sum[r].odd = _mm256_setzero_ps();
    for (; k >= 256; k -= 256, x++, w += bytes) {
        stream_ahead(w, bytes);
        add_256(sum, rows, x, x_step, w, type);
    }
    if (l.block < 256 && k > 0) { /* blocks that are missing count as zero: their activations have d = 0 */
        uint8_t last[8 * 34] = {0};
        memcpy(last, w, k / l.block * l.bytes);
        add_256(sum, rows, x, x_step, last, type);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        y[(size_t)r * ldy] = vec_sum(_mm256_add_ps(sum[r].even, sum[r].odd));
}

#include "arch/avx2/gemv_blocks_body.h"

static size_t x_bytes(size_t k) { return (k + 255) / 256 * sizeof(struct prism_x_words); }

static void gemv(float *y, size_t ldy, const void *x, size_t n_rows, const void *w, size_t row_bytes, enum prism_type type, size_t cols,
                 size_t k)
{
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && gemv_by_type[type] && k % prism_types[type].block == 0 && (uintptr_t)x % 64 == 0);
    gemv_by_type[type](&(struct gemv_args){y, ldy, x, x_bytes(k), n_rows, w, row_bytes, cols, k});
}

/* ---- activations ---- */

/* The sums of 16 words each of q[0 .. 16), q[16 .. 32), q[32 .. 48), q[48 .. 64). */
PRISM_INLINE __m128i sums_of_16(const int16_t *q)
{
    const __m256i one = _mm256_set1_epi16(1);
    const __m256i a = _mm256_hadd_epi32(dot(one, q), dot(one, q + 16)), b = _mm256_hadd_epi32(dot(one, q + 32), dot(one, q + 48));
    const __m256i s = _mm256_hadd_epi32(a, b);
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/* From the integers and the scales of the groups of 32. */
static void set_sums(struct prism_x_words *out)
{
    const __m256i pairs = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    const __m256 d = _mm256_load_ps(out->s.d);
    __m256i sum[2];
    for (int i = 0; i < 2; i++) {
        const __m256 d16 = _mm256_permutevar8x32_ps(d, i ? _mm256_add_epi32(pairs, _mm256_set1_epi32(4)) : pairs);
        sum[i] = _mm256_set_m128i(sums_of_16(out->q + 128 * i + 64), sums_of_16(out->q + 128 * i));
        _mm256_store_ps(out->s.d16 + 8 * i, d16);
        _mm256_store_ps(out->s.sum16 + 8 * i, _mm256_mul_ps(d16, _mm256_cvtepi32_ps(sum[i])));
    }
    const __m256i by_32 = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[0], sum[1]), 0xd8);
    _mm256_store_ps(out->s.sum, _mm256_mul_ps(d, _mm256_cvtepi32_ps(by_32)));
}

void prism_pack_x_words_avx2(struct prism_x_words *out, const float *x, size_t n)
{
    float inverse[8];
    assert(n <= 256 && n % 32 == 0 && (uintptr_t)out % 64 == 0);

    for (size_t g = 0; g < 8; g++)
        out->s.d[g] = 32 * g < n ? group_max(load_group(x + 32 * g)) : 0.0f;
    const __m256 max = _mm256_load_ps(out->s.d), whole = _mm256_set1_ps(PRISM_GEMV_X_MAX);
    const __m256 zero = _mm256_cmp_ps(max, _mm256_set1_ps(PRISM_GEMV_X_TINY), _CMP_LT_OQ);
    _mm256_store_ps(out->s.d, _mm256_andnot_ps(zero, _mm256_div_ps(max, whole)));
    _mm256_storeu_ps(inverse, _mm256_andnot_ps(zero, _mm256_div_ps(whole, max)));
    for (size_t g = 0; g < 8; g++) {
        struct group v = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
        if (32 * g < n)
            v = load_group(x + 32 * g);
        const __m256 f = _mm256_broadcast_ss(inverse + g);
        const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(v.w0, f)), b = _mm256_cvtps_epi32(_mm256_mul_ps(v.w1, f));
        const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(v.w2, f)), d = _mm256_cvtps_epi32(_mm256_mul_ps(v.w3, f));
        __m256i *q = (__m256i *)(void *)(out->q + 32 * g); /* packing works within 128-bit lanes: undone by the permutation */
        _mm256_store_si256(q, _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8));
        _mm256_store_si256(q + 1, _mm256_permute4x64_epi64(_mm256_packs_epi32(c, d), 0xd8));
    }
    set_sums(out);
}

static void pack_x(void *packed, const float *x, size_t k)
{
    struct prism_x_words *out = packed;
    assert(k % 32 == 0);
    for (size_t i = 0; i < k; i += 256)
        prism_pack_x_words_avx2(out++, x + i, k - i < 256 ? k - i : 256);
}

const struct prism_gemv prism_gemv_i16_avx2 = {
    .name = "i16", .x_bytes = x_bytes, .pack_x = pack_x, .gemv = gemv, .x_err = PRISM_GEMV_X_ERR,
};
