/* linear_i16.c - the linear layers of arch/avx2/linear_i16.c, whose panels and numbers these are, with vpdpwssd. */
#include "arch/avx2/avx2.h"
#include "arch/avxvnni/avxvnni.h"
#include "arch/avxvnni/words_i16.h"

#include "arch/avx2/group_gemm.h"

const struct prism_linear prism_linear_i16_avxvnni = {
    .name = "i16", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = prism_pack_w_i16_avx2, .pack_a = prism_pack_a_i16_avx2, .gemm = gemm,
    .a_err = 0.5f / PRISM_I16_A_MAX + 3 * 0x1p-24f, .w_err = 0.5f / PRISM_I16_W_MAX + 3 * 0x1p-24f, /* as there */
};
