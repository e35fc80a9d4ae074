/* pack_i8.c - weights and activations to the int8 panels of panel_i8.h. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512/vec.h"
#include "arch/avx512vnni/panel_i8.h"

size_t prism_i8_a_bytes(size_t k)
{
    return k / 32 * sizeof(struct prism_i8_a_group);
}

size_t prism_i8_w_bytes(size_t k)
{
    return PRISM_I8_W_HEADER + k / 32 * PRISM_I8_W_GROUP(true);
}

/* A whole line, past the caches: a layer's panels do not fit in L2, and reading the lines first would cost a third of the time. */
static inline void put_line(char *out, __m512i v)
{
    _mm512_stream_ps((float *)(void *)out, _mm512_castsi512_ps(v));
}

/* Two groups (64 bytes of k) of 16 columns: words transposed into their places, and the start value of each group. */
static inline void put_two_groups(char *out, size_t group_bytes, const int8_t (*q)[256], size_t n_groups)
{
    __m512 r[16];
    for (size_t j = 0; j < 16; j++)
        r[j] = _mm512_loadu_ps((const float *)(const void *)q[j]);
    vec_transpose_16(r);
    for (size_t g = 0; g < n_groups; g++, out += group_bytes) {
        __m512i sum = _mm512_setzero_si512();
        for (size_t i = 0; i < 8; i++) {
            __m512i w = _mm512_castps_si512(r[8 * g + i]);
            sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)128), w);
            put_line(out + 128 * i, w);
        }
        put_line(out + PRISM_I8_W_START, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
    }
}

/* 16 columns at a time, 256 values of each, become bytes in a buffer and are transposed from there. */
void prism_pack_w_i8_avx512vnni(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    _Alignas(64) int8_t q[16][256];
    _Alignas(64) float dm[16][16]; /* [column][d of 8 groups, m of 8 groups] */
    prism_to_i8_fn *to_i8 = prism_kernels_avx512.to_i8[type];
    const bool has_min = prism_types[type].has_min;
    const size_t group_bytes = PRISM_I8_W_GROUP(has_min);
    assert(cols >= 1 && cols <= PRISM_I8_NR && k % 32 == 0 && k % prism_types[type].block == 0);

    memset(panel, 0, PRISM_I8_W_HEADER);
    *(uint32_t *)panel = has_min;
    for (size_t j0 = 0; j0 < PRISM_I8_NR; j0 += 16) {
        memset(q, 0, sizeof q);
        memset(dm, 0, sizeof dm);
        for (size_t k0 = 0; k0 < k; k0 += 256) {
            const size_t n = k - k0 < 256 ? k - k0 : 256, n_groups = n / 32;
            for (size_t j = j0; j < cols && j < j0 + 16; j++) {
                const char *row = (const char *)rows + j * row_bytes + prism_row_bytes(type, k0);
                to_i8(q[j - j0], dm[j - j0], dm[j - j0] + 8, row, n);
            }

            char *out = (char *)panel + PRISM_I8_W_HEADER + k0 / 32 * group_bytes + j0 * 4;
            for (size_t g = 0; g < n_groups; g += 2)
                put_two_groups(out + g * group_bytes, group_bytes, (const int8_t (*)[256])&q[0][32 * g], n_groups - g < 2 ? 1 : 2);

            __m512 r[16];
            for (size_t j = 0; j < 16; j++)
                r[j] = _mm512_load_ps(dm[j]);
            vec_transpose_16(r);
            for (size_t g = 0; g < n_groups; g++) {
                put_line(out + g * group_bytes + PRISM_I8_W_D, _mm512_castps_si512(r[g]));
                if (has_min)
                    put_line(out + g * group_bytes + PRISM_I8_W_M, _mm512_castps_si512(r[8 + g]));
            }
        }
    }
    _mm_sfence();
}

/* Lane i = the operation over the 16 lanes of v[i]. v is destroyed. */
static inline __m512 max_of_each(__m512 v[16])
{
    vec_transpose_16(v);
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++)
            v[i] = _mm512_max_ps(v[i], v[i + step]);
    return v[0];
}

static inline __m512i sum_of_each(__m512 v[16])
{
    vec_transpose_16(v);
    __m512i sum = _mm512_castps_si512(v[0]);
    for (int i = 1; i < 16; i++)
        sum = _mm512_add_epi32(sum, _mm512_castps_si512(v[i]));
    return sum;
}

/* Up to 16 groups of one row. The operations of prism_quantize_32 (arch/generic/unpack.h), so that the bytes agree at every level. */
static void quantize_row(struct prism_i8_a_group *out, size_t row, const float *x, size_t n_groups)
{
    _Alignas(64) float d[16], inverse[16], d_sum[16];
    __m512 v[16];

    for (size_t g = 0; g < 16; g++) {
        _mm_prefetch((const char *)(x + 32 * (g + 16)), _MM_HINT_T0); /* the next call's */
        _mm_prefetch((const char *)(x + 32 * (g + 16) + 16), _MM_HINT_T0);
        v[g] = g < n_groups ? _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + 32 * g)), _mm512_abs_ps(_mm512_loadu_ps(x + 32 * g + 16)))
                            : _mm512_setzero_ps();
    }
    const __m512 max = max_of_each(v), c127 = _mm512_set1_ps(127.0f);
    const __mmask16 normal = _mm512_cmp_ps_mask(max, _mm512_set1_ps(0x1p-120f), _CMP_NLT_UQ);
    const __m512 scale = _mm512_maskz_div_ps(normal, max, c127);
    _mm512_store_ps(d, scale);
    _mm512_store_ps(inverse, _mm512_maskz_div_ps(normal, c127, max));
    KEEP_IN_MEMORY(inverse);

    for (size_t g = 0; g < n_groups; g++) {
        const __m512 f = _mm512_set1_ps(inverse[g]);
        const __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 32 * g), f));
        const __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 32 * g + 16), f));
        const __m256i bytes = _mm256_set_m128i(_mm512_cvtepi32_epi8(q1), _mm512_cvtepi32_epi8(q0));
        _mm256_storeu_si256((__m256i *)(void *)out[g].q[row], _mm256_xor_si256(bytes, _mm256_set1_epi8((char)128)));
        v[g] = _mm512_castsi512_ps(_mm512_add_epi32(q0, q1));
    }
    _mm512_store_ps(d_sum, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum_of_each(v))));
    for (size_t g = 0; g < n_groups; g++) {
        out[g].d[row] = d[g];
        out[g].d_sum[row] = d_sum[g];
    }
}

void prism_pack_a_i8_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    struct prism_i8_a_group *out = panel;
    const size_t groups = k / 32;
    assert(rows >= 1 && rows <= PRISM_I8_MR && k % 32 == 0);

    if (rows < PRISM_I8_MR)
        memset(panel, 0, prism_i8_a_bytes(k)); /* d = 0: whatever the bytes say, the product is 0 */
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < groups; g += 16)
            quantize_row(out + g, i, x + i * ldx + 32 * g, groups - g < 16 ? groups - g : 16);
}
