/* avxvnni.h - what the files of this level share with one another; contracts are in src/kernels.h. */
#ifndef PRISM_AVXVNNI_H
#define PRISM_AVXVNNI_H

#include "src/kernels.h"

extern const struct prism_linear prism_linear_i8_avxvnni, prism_linear_i16_avxvnni;
extern const struct prism_attention prism_attention_i16_avxvnni;
prism_sketch_pack_fn prism_sketch_pack_avxvnni; /* sketch.c */
prism_sketch_scan_fn prism_sketch_scan_avxvnni;
prism_sketch_needed_fn prism_sketch_needed_avxvnni;
prism_peak_fn prism_peak_i8_avxvnni, prism_peak_i16_avxvnni;

#endif
