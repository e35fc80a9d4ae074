/* kernels_linear.h - stored weights and linear layers: part of kernels.h, where the rules for all kernels are. */
#ifndef PRISM_KERNELS_LINEAR_H
#define PRISM_KERNELS_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/gguf/types.h"

/* ---- stored weights to numbers ------------------------------------------------------------------------------------ */

/* y[0..n) = the n stored values at x. n is a multiple of the type's block (prism_type_info). Exact formula of
 * formats-and-peers.md 3.2: halves widened to fp32, products in fp32, d*q then -m; bit-equal at every level. */
typedef void prism_to_f32_fn(float *y, const void *x, size_t n);

/* The same values as signed bytes in groups of 32: value = d[g] * q[i] + m[g], where d or m is not finite when one of the values is not.
 * q: n bytes, d, m: n/32 floats. m is NULL or receives 0 for types that are symmetric (prism_type_info.has_min false). Exact for types whose
 * scales span 32 values or more; those with scales of 16 are requantised: d = max|value|/127, round half to even. n as above. */
typedef void prism_to_i8_fn(int8_t *q, float *d, float *m, const void *x, size_t n);

/* ---- linear layers -------------------------------------------------------------------------------------------------- */

struct prism_gemm_args {
    float *c;              /* [rows][cols], row stride ldc >= cols */
    size_t ldc;
    const void *a;         /* ceil(rows / mr) activation panels, one after the other; 64-byte aligned */
    const void *w;         /* ceil(cols / nr) weight panels, one after the other; 64-byte aligned */
    size_t rows, cols, k;
    bool add;              /* c += a.w instead of c = a.w */
};

/* One way to multiply: how weights and activations are laid out in panels, and the kernel that reads them. Panels are opaque
 * to the caller, who asks for their size (a multiple of 64 bytes each) and keeps them back to back.
 * A panel that is only partly filled (last rows or columns) is padded with zeros by the packer. */
struct prism_linear {
    const char *name;      /* "f32", "i8", "i8w", "i8x2", "i16", "bf16": printed by --kernels */
    unsigned mr, nr;       /* activation rows per panel (divides 24), weight columns (= output features) per panel (at most 64) */
    unsigned k_step;       /* k must be a multiple of this (1, 2, 32 or 64) */
    unsigned few_rows;     /* up to so many rows the level's gemv takes less time than packing: measured; 0: up to 16 */
    unsigned a_part;       /* an activation panel of k is the panels of its parts, one after the other, when k is cut at multiples of this:
                            * a_bytes(part) before the next, each packed on its own. 0: only as a whole */
    size_t (*a_bytes)(size_t k);
    size_t (*w_bytes)(size_t k);

    /* One weight panel from cols <= nr stored rows of k values of `type`, row_bytes apart. 64-byte aligned panel. */
    void (*pack_w)(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k);

    /* One activation panel from rows <= mr rows of k floats, stride ldx. i8: groups of 32 with d = max|x|/127 and
     * round half to even, i8w (groups of 64) the same, i8x2 and i16 (groups of k_step) likewise with finer steps; bf16: round half to even. */
    void (*pack_a)(void *panel, const float *x, size_t ldx, size_t rows, size_t k);

    void (*gemm)(const struct prism_gemm_args *args);

    /* Bound for |c - exact|, exact = the double product of the *original* float activations and dequantised weights:
     * a_err * sum|x_max32 * w| + w_err * sum|x * w_max32| + a_err * w_err * sum|x_max32 * w_max32| + k * FLT_EPSILON * sum|x * w|,
     * where x_max32, w_max32 stand for the largest magnitude in the value's group of 32 (of k_step, if that is more; bf16: the value itself;
     * weights of i8w: the 256; of Q4_0, Q4_K and Q6_K: the largest that the scales of these can express). f32: 0, 0. */
    float a_err, w_err;
};

/* y[i][j] = sum over k of x[i][.] * w[j][.], straight from stored rows: decode and very short prompts, bound by memory.
 * x: [n_rows][k] fp32 stride ldx, y: [n_rows][cols] stride ldy. n_rows 1..PRISM_GEMV_ROWS. Sums in fp32. Activations stay fp32. */
#define PRISM_GEMV_ROWS 8
typedef void prism_gemv_fn(float *y, size_t ldy, const float *x, size_t ldx, size_t n_rows, const void *w, size_t row_bytes,
                           enum prism_type type, size_t cols, size_t k);

/* The same product from quantised weights by integers: activations are rounded to two bytes once, and a vector instruction then does
 * two or four times the multiply-adds of fp32, which is what makes the narrow types bound by memory. */
struct prism_gemv {
    const char *name;                      /* "i16": printed by --kernels */
    size_t (*x_bytes)(size_t k);           /* of one packed row: a multiple of 64 */
    void (*pack_x)(void *packed, const float *x, size_t k); /* groups of 32 with d = max|x| / 32639, round half to even; 64-byte aligned */

    /* x: n_rows packed rows, x_bytes(k) apart. The rest as prism_gemv_fn. k % 32 == 0. */
    void (*gemv)(float *y, size_t ldy, const void *x, size_t n_rows, const void *w, size_t row_bytes, enum prism_type type, size_t cols,
                 size_t k);

    /* Bound for |y - exact|: x_err * sum|x_max32 * w| + k * FLT_EPSILON * sum|x| * (|d * u| + |m|), where a stored value is d * u + m:
     * u the field without a sign, 0 .. 2^bits - 1, where the type has one (Q8_0: its byte + 128), else the integer itself, with m = 0. */
    float x_err;
};

/* The types of "i8w" where a level has it: of at most six bits, those that models are rounded to and not trained in. Beside them also Q6_K. */
#define PRISM_I8W_TYPES(X, A)                                                                               \
    X(A, Q4_0) X(A, Q4_1) X(A, Q5_0) X(A, Q5_1) X(A, Q2_K) X(A, Q3_K) X(A, Q4_K) X(A, Q5_K) X(A, IQ4_NL)    \
    X(A, IQ4_XS) X(A, IQ2_XXS) X(A, IQ2_XS) X(A, IQ2_S) X(A, IQ3_XXS) X(A, IQ3_S) X(A, IQ1_S) X(A, IQ1_M)

#endif
