/* pack_w_i8.c - stored weights to the int8 panels of panel_i8.h.
 *
 * Columns (stored rows) are taken 16 at a time. A chunk is 16 successive values of each of them: four vectors that each hold the chunk of
 * four columns are turned into four lines of the panel. The types that most files are made of are read where they are stored; the others
 * become bytes in a buffer first. */
#include <assert.h>
#include <string.h>

#include "arch/avx512/avx512.h"
#include "arch/avx512vnni/chunks.h"
#include "arch/avx512vnni/panel_i8.h"

size_t prism_i8_w_bytes(size_t k)
{
    return PRISM_I8_W_HEADER + k / 32 * PRISM_I8_W_GROUP(true);
}

PRISM_INLINE void put_group(const struct half_panel *h, size_t group, struct chunk low, struct chunk high)
{
    const __m512i sum = put_chunk(h, group, 1, high, put_chunk(h, group, 0, low, _mm512_setzero_si512()));
    put_line(h, group * h->group_bytes + PRISM_I8_W_START, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
}

static void pack_q8_0(const struct half_panel *h, const uint8_t *rows, size_t row_bytes, size_t groups)
{
    struct columns c;
    columns_begin(&c, rows, row_bytes, COLUMNS, true);
    for (size_t g = 0; g < groups; g++, columns_advance(&c, 34)) {
        fetch_next_columns(&c, 34, 0, 1);
        put_group(h, g, load_chunk(&c, 2), load_chunk(&c, 18));
        put_line(h, g * h->group_bytes + PRISM_I8_W_D, _mm512_castps_si512(low_halves(columns_4(&c, 0))));
    }
}

static void put_scales(const struct half_panel *h, size_t group, size_t n, float dm[16][16], bool has_min)
{
    __m512 r[16]; /* of column j; then of group j, and behind 8 of them their minima */
    for (size_t j = 0; j < 16; j++)
        r[j] = _mm512_load_ps(dm[j]);
    vec_transpose_16(r);
    for (size_t g = 0; g < n; g++) {
        put_line(h, (group + g) * h->group_bytes + PRISM_I8_W_D, _mm512_castps_si512(r[g]));
        if (has_min)
            put_line(h, (group + g) * h->group_bytes + PRISM_I8_W_M, _mm512_castps_si512(r[8 + g]));
    }
}

/* Any other type, any number of columns up to 16: 256 values of each become bytes in a buffer. */
static void pack_buffered(const struct half_panel *h, const uint8_t *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    _Alignas(64) uint8_t q[16][256];
    _Alignas(64) float dm[16][16];
    prism_to_i8_fn *to_i8 = prism_kernels_avx512.to_i8[type];
    const size_t row_part = prism_row_bytes(type, 256);
    struct columns stored, bytes;

    memset(q, 0, sizeof q);
    memset(dm, 0, sizeof dm);
    columns_begin(&stored, rows, row_bytes, cols, false);
    columns_begin(&bytes, q[0], sizeof q[0], COLUMNS, true);
    for (size_t k0 = 0; k0 < k; k0 += 256, columns_advance(&stored, row_part)) {
        const size_t n = k - k0 < 256 ? k - k0 : 256;
        for (size_t j = 0; j < cols; j++) {
            fetch_next_columns(&stored, row_part, j, COLUMNS);
            to_i8((int8_t *)q[j], dm[j], dm[j] + 8, column(&stored, j), n);
        }
        for (size_t g = 0; g < n / 32; g++)
            put_group(h, k0 / 32 + g, load_chunk(&bytes, 32 * g), load_chunk(&bytes, 32 * g + 16));
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
        else
            pack_buffered(&h, first, row_bytes, type, n, k);
    }
}
