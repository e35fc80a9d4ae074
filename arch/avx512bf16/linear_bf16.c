/* linear_bf16.c - linear layers in bf16 with fp32 sums: layout, blocking and product are arch/avx512/linear_body.h. */
#include "arch/avx512bf16/words.h"

#include "arch/avx512/linear_body.h"
#include "arch/avx512bf16/avx512bf16.h"

const struct prism_linear prism_linear_bf16_avx512bf16 = {
    .name = "bf16", .mr = MR, .nr = NR, .k_step = PER_WORD, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
    .a_err = 0x1p-8f, .w_err = 0x1p-8f, /* eight significant bits, half a step */
};
