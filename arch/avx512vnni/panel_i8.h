/* panel_i8.h - the panels of the AVX-512 VNNI linear layers: written by pack_a_i8.c and pack_w_i8.c, read by linear_i8.c. Two kinds share
 * them: "i8" with activations of one byte, "i8x2" with activations of two. */
#ifndef PRISM_AVX512VNNI_PANEL_I8_H
#define PRISM_AVX512VNNI_PANEL_I8_H

#include "arch/avx512vnni/avx512vnni.h"
#include "arch/avx512vnni/panel.h"

/* Activation panel: per group of 32 values of k the bytes, [parts][6 rows][32], then the numbers below. parts is 1 for i8: x / d + 128; 2 for
 * i8x2: x / d + 32768, the high bytes first. */
struct prism_i8_numbers {
    float d[MR];
    float d_sum[MR]; /* d * (sum of the 32 signed values): the factor of the weights' minimum */
    float pad[4];
};
_Static_assert(sizeof(struct prism_i8_numbers) == 64, "a cache line");

#define PRISM_I8_A_BYTES(parts) ((parts) * MR * 32)
#define PRISM_I8_A_GROUP(parts) (PRISM_I8_A_BYTES(parts) + sizeof(struct prism_i8_numbers))

/* Weight panel: a header whose first word tells whether the type has a minimum, then per group of 32 k, in bytes:
 * [8][32 columns][4] signed weights, [32] int32 -128 * (sum of the column's weights), [32] fp32 d, and with a minimum
 * [32] fp32 m. */
enum { PRISM_I8_W_HEADER = 64, PRISM_I8_W_START = 1024, PRISM_I8_W_D = 1152, PRISM_I8_W_M = 1280 };
#define PRISM_I8_W_GROUP(has_min) ((has_min) ? 1408 : 1280)

/* prism_linear.a_bytes, .w_bytes (room for a type with a minimum), .pack_w, .pack_a */
size_t prism_i8_a_bytes(size_t k);
size_t prism_i8x2_a_bytes(size_t k);
size_t prism_i8_w_bytes(size_t k);
void prism_pack_w_i8_avx512vnni(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k);
void prism_pack_a_i8_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k);
void prism_pack_a_i8x2_avx512vnni(void *panel, const float *x, size_t ldx, size_t rows, size_t k);

#endif
