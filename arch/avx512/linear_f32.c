/* linear_f32.c - linear layers in fp32: layout, blocking and product are linear_body.h. */
#include "arch/avx512/words.h"

#include "arch/avx512/linear_body.h"

const struct prism_linear prism_linear_f32_avx512 = {
    .name = "f32", .mr = MR, .nr = NR, .k_step = PER_WORD, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = pack_a, .gemm = gemm,
};
