/* table.c - the AVX-512 BF16 level (Zen 4 and later; Intel's processors do better at the level below, see arch/detect.c): linear layers whose
 * weights are stored as BF16 and the finer products, the rest from the levels below. vdpbf16ps and vpdpwssd do the same number of
 * multiply-adds, so bf16 only saves the scaling of integers. What that costs was measured on Zen 4 (AMD EPYC, family 25, model 17), on a text
 * of 2048 tokens and the 38M model:
 *
 *                          i16           bf16          divergence from fp32, i16    bf16
 *   weights of BF16        193 Gop/s     208           4e-7 nats a token            1.7e-5   (int8 on weights of Q8_0: 1.1e-4)
 *   weights of F16         193           208           4e-7                         3.4e-5
 *   attention, heads 128   200           206           1.4e-7                       1.4e-5
 *   attention, heads 64    184           187           7e-6 .. 7e-5                 5e-3 .. 4e-2, keys with outliers (test_key_outliers.c)
 *
 * Finer products of int8 weights: bf16. On Zen 5, operands in L2, 548 Gop/s on one thread of a vpdpbusd peak of 1107, where pairs of bytes (i8x2,
 * the level below) do 462; the divergence of the 38M model in Q8_0 from fp32 is 1.2e-4 nats a token in place of 1.1e-4, int8 alone 2.6e-4.
 *
 * BF16 weights: bf16, 7 % faster, for weights are exact and activations keep the bits that they were trained with; F16 has three more
 * bits, which bf16 would drop. Attention: i16, as accurate as its level below and 1 to 3 % slower than bf16. */
#include "arch/avx2/avx2.h"
#include "arch/avx512/avx512.h"
#include "arch/avx512bf16/avx512bf16.h"
#include "arch/avx512vnni/avx512vnni.h"
#include "arch/generic/generic.h"

#pragma GCC diagnostic ignored "-Woverride-init" /* entries.h */

const struct prism_kernels prism_kernels_avx512bf16 = {
#include "arch/avx512vnni/entries.h"
    .level = PRISM_LEVEL_AVX512BF16,
    .name = "avx512bf16",

    .linear_auto[PRISM_BF16] = &prism_linear_bf16_avx512bf16,
    .linear_finer = { PRISM_BLOCK_TYPES(PRISM_ENTRY, &prism_linear_bf16_avx512bf16) },

    .peak[PRISM_PEAK_BF16] = prism_peak_bf16_avx512bf16,
};
