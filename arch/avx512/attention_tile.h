/* attention_tile.h - the register tiles of attention_body.h, over the madd and madd_rows of a level's words.h. */
#ifndef PRISM_AVX512_ATTENTION_TILE_H
#define PRISM_AVX512_ATTENTION_TILE_H

#include "arch/avx512/tile.h"

/* While the scores of a block are computed its values are fetched into L2, then the next block's keys: they come from L3 or
 * memory, and the processor's own prefetching stops at every page. 16 bytes per step make a block in as many steps as a full
 * tile takes. */
enum { FETCH_STEP = 16 };

/* The last words of a product are multiplied row by row, so that what becomes of a row (scaled, stored) runs beside the products of the next: on
 * Zen 4 a store of 512 bits takes 1.6 cycles of the multiply-add units. */
enum { LAST = 4 };

/* Register tiles: eight rows of 32 columns, and of 16 (the last ones of a head size that is no multiple of 32, of queries the last rows): two rows in
 * each pair. */
struct tile {
    struct pair c0, c1, c2, c3, c4, c5, c6, c7;
};

struct half_tile {
    struct pair c01, c23, c45, c67;
};

PRISM_INLINE struct tile tile_zero(void)
{
    const struct pair z = pair_zero();
    return (struct tile){ z, z, z, z, z, z, z, z };
}

PRISM_INLINE struct half_tile half_tile_zero(void)
{
    const struct pair z = pair_zero();
    return (struct half_tile){ z, z, z, z };
}

/* t += a.b over n words: a advances by a_step, b by 32. Meanwhile n * FETCH_STEP bytes from `ahead` come into L2. */
PRISM_INLINE void tile_run(struct tile *t, const float *a, size_t a_step, const float *b, size_t n, const char *ahead)
{
    for (; n > 0; n--, a += a_step, b += 32, ahead += FETCH_STEP) {
        _mm_prefetch(ahead, _MM_HINT_T1);
        const struct pair w = pair_load(b, b + 16);
        madd(&t->c0, _mm512_set1_ps(a[0]), w);
        madd(&t->c1, _mm512_set1_ps(a[1]), w);
        madd(&t->c2, _mm512_set1_ps(a[2]), w);
        madd(&t->c3, _mm512_set1_ps(a[3]), w);
        madd(&t->c4, _mm512_set1_ps(a[4]), w);
        madd(&t->c5, _mm512_set1_ps(a[5]), w);
        madd(&t->c6, _mm512_set1_ps(a[6]), w);
        madd(&t->c7, _mm512_set1_ps(a[7]), w);
    }
}

/* Likewise; b advances by b_step. */
PRISM_INLINE void half_tile_run(struct half_tile *t, const float *a, size_t a_step, const float *b, size_t b_step, size_t n, const char *ahead)
{
    for (; n > 0; n--, a += a_step, b += b_step, ahead += FETCH_STEP) {
        _mm_prefetch(ahead, _MM_HINT_T1);
        const __m512 w = _mm512_load_ps(b);
        madd_rows(&t->c01, a, w);
        madd_rows(&t->c23, a + 2, w);
        madd_rows(&t->c45, a + 4, w);
        madd_rows(&t->c67, a + 6, w);
    }
}

/* The last words of the left and right side. */
struct last {
    const float *a;
    size_t a_step;
    struct pair b[LAST];
};

PRISM_INLINE struct last last_words(const float *a, size_t a_step, const float *b)
{
    struct last l = { .a = a, .a_step = a_step };
#pragma GCC unroll 4
    for (size_t i = 0; i < LAST; i++)
        l.b[i] = pair_load(b + 32 * i, b + 32 * i + 16);
    return l;
}

PRISM_INLINE struct pair last_of_row(const struct last *l, size_t row, struct pair sums)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < LAST; i++)
        madd(&sums, _mm512_set1_ps(l->a[i * l->a_step + row]), l->b[i]);
    return sums;
}

#endif
