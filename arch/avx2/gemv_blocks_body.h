/* gemv_blocks_body.h - the gemv of each block type, and which is whose. Included by gemv.c and gemv_i16.c behind their dot_rows (gemv_dot_fn). */
#ifndef PRISM_AVX2_GEMV_BLOCKS_BODY_H
#define PRISM_AVX2_GEMV_BLOCKS_BODY_H

#include "arch/generic/gemv_cols.h"

#define GEMV(A, NAME, name, ...) \
    static void gemv_##name(const struct gemv_args *g) { gemv_all_rows(g, PRISM_##NAME, dot_rows); }
PRISM_BLOCK_TYPES(GEMV, )

#define GEMV_ENTRY(A, NAME, name, ...) [PRISM_##NAME] = gemv_##name,
static void (*const gemv_by_type[PRISM_N_TYPES])(const struct gemv_args *) = { PRISM_BLOCK_TYPES(GEMV_ENTRY, ) };

#endif
