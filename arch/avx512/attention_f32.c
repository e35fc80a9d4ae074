/* attention_f32.c - prefill attention in fp32. The algorithm is attention_body.h; here is how fp32 words are multiplied. */
#include "arch/avx512/avx512.h"
#include "arch/avx512/tile.h"

enum { PER_WORD = 1 };

PRISM_INLINE void madd(struct pair *c, __m512 a, struct pair b)
{
    pair_fma(c, a, b);
}

/* Rows p[0] and p[1] of P times the same 16 columns. */
PRISM_INLINE void madd_rows(struct pair *c, const float *p, __m512 v)
{
    c->x = _mm512_fmadd_ps(_mm512_set1_ps(p[0]), v, c->x);
    c->y = _mm512_fmadd_ps(_mm512_set1_ps(p[1]), v, c->y);
}

PRISM_INLINE __m512 words_from_floats(const float *x)
{
    return _mm512_load_ps(x);
}

/* Two neighbouring keys: one row of words each, `row` apart. */
PRISM_INLINE void join(float *out, size_t row, __m512 p0, __m512 p1)
{
    _mm512_store_ps(out, p0);
    _mm512_store_ps(out + row, p1);
}

#include "arch/avx512/attention_body.h"

/* err: logits are off by d * 2^-24 * sum|q k| at most, which is 1e-5 for d = 256 and |logits| <= 30 when the products' errors are
 * independent (6 sigma); the exponential, the sums and the division add less than that again. */
const struct prism_attention prism_attention_f32_avx512 = {
    .name = "f32", .tile_rows = TILE_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_k, .pack_v = pack_v, .tile = attend, .err = 1e-4f,
};
