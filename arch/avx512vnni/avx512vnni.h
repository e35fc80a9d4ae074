/* avx512vnni.h - what the AVX-512 VNNI level offers to the level above. Contracts: src/kernels.h. */
#ifndef PRISM_AVX512VNNI_H
#define PRISM_AVX512VNNI_H

#include "src/kernels.h"

extern const struct prism_linear prism_linear_i8_avx512vnni, prism_linear_i8w_avx512vnni, prism_linear_i8x2_avx512vnni,
    prism_linear_i16_avx512vnni;
prism_sketch_pack_fn prism_sketch_pack_avx512vnni; /* sketch.c */
prism_sketch_scan_fn prism_sketch_scan_avx512vnni;
prism_sketch_needed_fn prism_sketch_needed_avx512vnni;
extern const struct prism_attention prism_attention_i16_avx512vnni;
prism_attn_row_fn prism_attn_row_i16_avx512vnni;
extern const struct prism_gemv prism_gemv_i16_avx512vnni; /* Q8_0, Q4_0, Q4_K, Q6_K */
prism_peak_fn prism_peak_i8_avx512vnni, prism_peak_i16_avx512vnni;

#endif
