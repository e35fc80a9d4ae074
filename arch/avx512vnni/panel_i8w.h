/* panel_i8w.h - the panels of "i8w": bytes in wide groups, one scale for 64 activations and one for 256 weights of few bits. Written by
 * linear_i8w.c and pack_w_i8w.c, read by linear_i8w.c. */
#ifndef PRISM_AVX512VNNI_PANEL_I8W_H
#define PRISM_AVX512VNNI_PANEL_I8W_H

#include "arch/avx512vnni/panel.h"
#include "src/kernels.h"

/* Activation panel: per group of 64 values of k the bytes x / d + 128, [6 rows][64], then the line of d[6].
 * Weight panel, likewise: [16][32 columns][4] signed weights, [32] int32 -128 * (sum of the column's weights), [32] fp32 d, that of the slab: four
 * groups, or what is left of k. */
enum {
    I8W_GROUP = 64, I8W_SLAB = 4,
    I8W_A_D = MR * I8W_GROUP, I8W_A_GROUP = I8W_A_D + 64,
    I8W_START = I8W_GROUP * NR, I8W_D = I8W_START + NR * 4, I8W_W_GROUP = I8W_D + NR * 4,
};

/* prism_linear.pack_w, any type of blocks */
void prism_pack_w_i8w_avx512vnni(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k);

#endif
