/* gemv_blocks_body.h - the gemv of each block type, and which is whose. Included by gemv.c and gemv_i16.c behind their dot_rows (gemv_dot_fn). */
#ifndef PRISM_AVX2_GEMV_BLOCKS_BODY_H
#define PRISM_AVX2_GEMV_BLOCKS_BODY_H

#include "arch/generic/gemv_cols.h"

static void gemv_q4_0(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q4_0, dot_rows); }
static void gemv_q4_1(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q4_1, dot_rows); }
static void gemv_q5_0(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q5_0, dot_rows); }
static void gemv_q5_1(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q5_1, dot_rows); }
static void gemv_q8_0(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q8_0, dot_rows); }
static void gemv_q2_k(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q2_K, dot_rows); }
static void gemv_q3_k(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q3_K, dot_rows); }
static void gemv_q4_k(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q4_K, dot_rows); }
static void gemv_q5_k(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q5_K, dot_rows); }
static void gemv_q6_k(const struct gemv_args *g) { gemv_all_rows(g, PRISM_Q6_K, dot_rows); }
static void gemv_iq4_nl(const struct gemv_args *g) { gemv_all_rows(g, PRISM_IQ4_NL, dot_rows); }
static void gemv_iq4_xs(const struct gemv_args *g) { gemv_all_rows(g, PRISM_IQ4_XS, dot_rows); }
static void gemv_mxfp4(const struct gemv_args *g) { gemv_all_rows(g, PRISM_MXFP4, dot_rows); }

static void (*const gemv_by_type[PRISM_N_TYPES])(const struct gemv_args *) = {
    [PRISM_Q4_0] = gemv_q4_0,
    [PRISM_Q4_1] = gemv_q4_1,
    [PRISM_Q5_0] = gemv_q5_0,
    [PRISM_Q5_1] = gemv_q5_1,
    [PRISM_Q8_0] = gemv_q8_0,
    [PRISM_Q2_K] = gemv_q2_k,
    [PRISM_Q3_K] = gemv_q3_k,
    [PRISM_Q4_K] = gemv_q4_k,
    [PRISM_Q5_K] = gemv_q5_k,
    [PRISM_Q6_K] = gemv_q6_k,
    [PRISM_IQ4_NL] = gemv_iq4_nl,
    [PRISM_IQ4_XS] = gemv_iq4_xs,
    [PRISM_MXFP4] = gemv_mxfp4,
};

#endif
