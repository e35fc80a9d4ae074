/* panel_i8.h - the panels of the AVX-512 VNNI linear layer: written by pack_i8.c, read by linear_i8.c. */
#ifndef PRISM_AVX512VNNI_PANEL_I8_H
#define PRISM_AVX512VNNI_PANEL_I8_H

#include "arch/avx512vnni/avx512vnni.h"

enum { PRISM_I8_MR = 6, PRISM_I8_NR = 32 };

/* One group of 32 values of k of one activation panel. */
struct prism_i8_a_group {
    uint8_t q[PRISM_I8_MR][32]; /* x / d + 128 */
    float d[PRISM_I8_MR];
    float d_sum[PRISM_I8_MR];   /* d * (sum of the 32 signed values): the factor of the weights' minimum */
    char pad[16];
};
_Static_assert(sizeof(struct prism_i8_a_group) == 256, "four cache lines");

/* Weight panel: a header whose first word tells whether the type has a minimum, then per group of 32 k, in bytes:
 * [8][32 columns][4] signed weights, [32] int32 -128 * (sum of the column's weights), [32] fp32 d, and with a minimum
 * [32] fp32 m. */
enum { PRISM_I8_W_HEADER = 64, PRISM_I8_W_START = 1024, PRISM_I8_W_D = 1152, PRISM_I8_W_M = 1280 };
#define PRISM_I8_W_GROUP(has_min) ((has_min) ? 1408 : 1280)

size_t prism_i8_a_bytes(size_t k);
size_t prism_i8_w_bytes(size_t k); /* room for a type with a minimum */

/* prism_linear.pack_w, .pack_a */
void prism_pack_w_i8_avx512vnni(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k);
void prism_pack_a_i8_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k);

#endif
