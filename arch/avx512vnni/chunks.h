/* chunks.h - 16 columns of stored weights at a time, and how they become lines of a panel: what pack_w_i8.c and pack_w_i8w.c share. */
#ifndef PRISM_AVX512VNNI_CHUNKS_H
#define PRISM_AVX512VNNI_CHUNKS_H

#include "arch/avx512vnni/columns.h"

/* Where the lines of a half panel go. */
struct half_panel {
    char *out;          /* of 16 columns, first group */
    size_t group_bytes;
};

static inline void put_line(const struct half_panel *h, size_t offset, __m512i v) { _mm512_store_si512(h->out + offset, v); }

/* 16 bytes of each column as columns.h loads them: vector i holds those of columns i, 4 + i, 8 + i, 12 + i. */
struct chunk {
    __m512i v[4];
};

PRISM_INLINE struct chunk load_chunk(const struct columns *c, size_t at)
{
    struct chunk chunk;
    lanes_16(chunk.v, c, at);
    return chunk;
}

/* Puts chunk `index` of a group, 16 of its values; returns sum + 128 * (sum of the values of each column). */
PRISM_INLINE __m512i put_chunk(const struct half_panel *h, size_t group, size_t index, struct chunk c, __m512i sum)
{
    __m512i line[4];
    columns_of_lanes(line, c.v);
    for (size_t i = 0; i < 4; i++) {
        put_line(h, group * h->group_bytes + 128 * (4 * index + i), line[i]);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)128), line[i]);
    }
    return sum;
}

#endif
