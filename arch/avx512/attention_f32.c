/* attention_f32.c - prefill attention in fp32: the algorithm is attention_body.h and attention_float.h. */
#include "arch/avx512/words.h"

#include "arch/avx512/attention_float.h"

/* err: logits are off by d * 2^-24 * sum|q k| at most, which is 2e-5 for d = 512 and |logits| <= 30 when the products' errors are
 * independent (6 sigma); the exponential, the sums and the division add less than that again. */
const struct prism_attention prism_attention_f32_avx512 = {
    .name = "f32", .tile_rows = TILE_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_k, .pack_v = pack_v, .tile = attend, .err = 1e-4f,
};
