/* attention_i16.c - prefill attention on int16: the algorithm is attention_i16_body.h. */
#include "arch/avx2/words_i16.h"

#include "arch/avx2/attention_i16_body.h"
#include "arch/avx2/avx2.h"

const struct prism_attention prism_attention_i16_avx2 = {
    .name = "i16", .tile_rows = Q_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = tile_scratch,
    .pack_k = pack_k, .pack_v = pack_v, .tile = attention_tile, .err = ATTENTION_I16_ERR,
};
