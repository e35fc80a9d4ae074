/* linear_i16.c - the linear layers of arch/avx2/linear_i16.c, whose panels and numbers these are, with vpdpwssd.
 *
 * Tried in its place as the finer kind on Zen 5: two vpdpbusd passes over bytes of activations (i8x2 of arch/avx512vnni/linear_i8.c). They take as
 * many operations; a product 224 -> 223 Gop/s, 0.42 of the vpdpbusd peak, of the 0.44 that the ports allow; with all packing Q8_0 192 -> 199,
 * Q6_K 199 -> 199 with weights that are no longer exact. */
#include "arch/avx2/avx2.h"
#include "arch/avxvnni/avxvnni.h"
#include "arch/avxvnni/words_i16.h"

#include "arch/avx2/group_gemm.h"

const struct prism_linear prism_linear_i16_avxvnni = {
    .name = "i16", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = prism_pack_w_i16_avx2, .pack_a = prism_pack_a_i16_avx2, .gemm = gemm,
    .a_err = 0.5f / PRISM_I16_A_MAX + 3 * 0x1p-24f, .w_err = 0.5f / PRISM_I16_W_MAX + 3 * 0x1p-24f, /* as there */
};
