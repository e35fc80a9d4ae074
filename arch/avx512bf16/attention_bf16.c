/* attention_bf16.c - prefill attention on bf16 queries, keys, values and probabilities, with fp32 sums: the algorithm is
 * arch/avx512/attention_body.h and attention_float.h. */
#include "arch/avx512bf16/words.h"

#include "arch/avx512/attention_float.h"
#include "arch/avx512bf16/avx512bf16.h"

/* err: as the generic bf16 attention, which rounds the same four operands. */
const struct prism_attention prism_attention_bf16_avx512bf16 = {
    .name = "bf16", .tile_rows = TILE_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_k, .pack_v = pack_v, .tile = attend, .err = 0.05f,
};
