/* kernels.h - the dispatch table: every kernel's type and contract (of attention and of linear layers in files of their own).
 *
 * A kernel is a leaf: it gets pointers, strides and a range, and computes. No malloc, no OpenMP, no globals, no errors; it
 * asserts its preconditions. One complete const table per level (arch/<level>/table.c), which begins with the entries of the
 * level below and says what is its own. arch/generic is the definition that every other level is compared with.
 *
 * Strides (ld*) count elements. Pointers need the alignment of their element type only, unless a line says otherwise.
 * Nothing is read or written outside the stated ranges. Buffers are disjoint unless a line allows aliasing.
 * Kernels add in a fixed order that depends on k (or d) only, never on how rows and columns were split into calls: the same
 * output element has the same bits whichever call computed it.
 * An output element in which a NaN or an infinity takes part, be its factor 0, is not finite, and the others keep their bits, unless a
 * line says otherwise; nor is one finite and wrong whose sum, or a part of it, is beyond the largest float.
 */
#ifndef PRISM_KERNELS_H
#define PRISM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/gguf/types.h" /* enum prism_type: the quantised types */
#include "src/kernels_attention.h"
#include "src/kernels_linear.h"

/* Best last within each processor family; the order is that of prism_level_name. */
enum prism_level {
    PRISM_LEVEL_GENERIC,
    PRISM_LEVEL_AVX2,       /* AVX2 + FMA + F16C */
    PRISM_LEVEL_AVXVNNI,    /* + AVX-VNNI, its 256-bit form (Alder Lake and later, where there is no AVX-512) */
    PRISM_LEVEL_AVX512,     /* AVX2 + AVX-512 F BW DQ VL */
    PRISM_LEVEL_AVX512VNNI, /* + VNNI (Cascade Lake and later; chosen on Intel's processors with BF16 too, where it is faster) */
    PRISM_LEVEL_AVX512BF16, /* + VNNI + BF16 (Zen 4 and later) */
    PRISM_LEVEL_NEON,       /* ARMv8-A */
    PRISM_LEVEL_NEON_I8MM_BF16,
    PRISM_N_LEVELS
};

/* ---- vectors ---------------------------------------------------------------------------------------------------------- */

/* y[i] = w[i] * x[i] / sqrt(mean(x^2) + eps), i < n. w NULL: all ones. y == x allowed. Returns the sum of squares, within 1e-6 relative. All y are
 * NaN when an x is not finite. */
typedef double prism_rms_norm_fn(float *y, const float *x, const float *w, size_t n, float eps);

/* y[i] = w[i] * (x[i] - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) + b[i], i < n. w NULL: all ones; b NULL: zeros. y == x allowed. Mean and variance
 * in double, the variance in a pass of its own. Returns the sum of squares of x, within 1e-6 relative. All y are NaN when an x is not finite. */
typedef double prism_layer_norm_fn(float *y, const float *x, const float *w, const float *b, size_t n, float eps);

/* Rotate the first n_rot values of one head in place by n_rot/2 angles; c, s: n_rot/2 cosines and sines (already times the
 * YaRN magnitude). interleaved: pairs (2i, 2i+1), the "NORM" order; else (i, i + n_rot/2), the "NEOX" order. */
typedef void prism_rope_fn(float *x, const float *c, const float *s, size_t n_rot, bool interleaved);

/* c[t][i] = mag * cos((pos + t) * freq[i]), s likewise, t < n_pos, i < n_freq; rows n_freq apart. Angles in double (SLEEF). */
typedef void prism_rope_table_fn(float *c, float *s, const double *freq, size_t n_freq, size_t pos, size_t n_pos, float mag);

/* x[i] = f(x[i]), i < n. f and its largest relative error, in units of FLT_EPSILON, also in the tails; but what is below 2^-120 may become 0:
 *   SILU      x / (1 + exp(-x)), 2
 *   GELU      x / (1 + exp(-t)), t = sqrt(8 / pi) (x + 0.044715 x^3), 2 + 2.5 |t| / (1 + exp(t)): 0.5 x (1 + tanh(t / 2)), which would cancel
 *   GELU_ERF  0.5 x erfc(-x / sqrt 2), 8, and x^2 / 4 more for x < 0: 0.5 x (1 + erf(x / sqrt 2)), which would cancel
 *   RELU2     max(0, x)^2, 0.5
 * exp is SLEEF's, 1.0 ULP. An infinity becomes NaN or +infinity, also -infinity, where the limits are 0.
 * An element's bits do not depend on its place. */
enum prism_act { PRISM_ACT_GELU, PRISM_ACT_GELU_ERF, PRISM_ACT_RELU2, PRISM_ACT_SILU, PRISM_N_ACTS };
typedef void prism_act_fn(float *x, size_t n);

/* gate[i] = f(gate[i], up[i]), i < n, as above; the last product adds 0.5 to the error, and the small number is 2^-120 times |u|:
 *   SWIGLU, GEGLU, GEGLU_ERF  SILU, GELU, GELU_ERF of the gate, times up
 *   SIGMOID                   up / (1 + exp(-gate)), 3
 *   SWIGLU_CLAMPED            g / (1 + exp(-1.702 g)) * (u + 1), g = min(gate, 7), u = up within -7 .. 7, 3 + 1.702 |g| / (1 + exp(1.702 g)): that of
 *                             gpt-oss. An infinity of either becomes NaN, not the limit */
enum prism_gate { PRISM_GATE_SWIGLU, PRISM_GATE_GEGLU, PRISM_GATE_GEGLU_ERF, PRISM_GATE_SWIGLU_CLAMPED, PRISM_GATE_SIGMOID, PRISM_N_GATES };
typedef void prism_gate_fn(float *gate, const float *up, size_t n);

/* A small product of rows as they lie, for operands that stay near a core: c[i][j] = c[i][j] or 0, plus a[i * a_row + p * a_k] * b[p][j] for p = 0, 1,
 * ... k - 1 in this order. Rows of b and c are ldb and ldc apart, cols long. k 0: c stays, or becomes 0. */
struct prism_matmul {
    float *c;
    size_t ldc;
    const float *a;
    size_t a_row, a_k;
    const float *b;
    size_t ldb;
    size_t rows, cols, k;
    bool add;              /* to what c holds */
};
typedef void prism_matmul_fn(const struct prism_matmul *m);

/* y[i] = exp(to - from[i]), i < n, for from[i] >= to: what is left between two places of a sum of logarithms. The difference in double, rounded once;
 * 1.5 ULP, and what is below 2^-120 may become 0. NaN when `to` or from[i] is not finite. */
typedef void prism_decay_fn(float *y, double to, const double *from, size_t n);

/* x[i] = cap * tanh(x[i] / cap), i < n, cap > 0 and finite: off by 4e-7 * cap (PRISM_ATTN_CAP_ERR says of what) plus FLT_EPSILON * |result|. An
 * infinity becomes NaN, though its limit is the cap. An element's bits do not depend on its place. */
typedef void prism_softcap_fn(float *x, float cap, size_t n);

/* Every level gives the same bits. */
typedef void prism_add_fn(float *y, const float *x, size_t n);                 /* y += x */
typedef void prism_add_scaled_fn(float *y, float a, const float *x, size_t n); /* y += a * x, the product rounded first */
typedef void prism_scale_fn(float *y, float a, size_t n);                      /* y *= a */

/* fp32 <-> half and bf16, round half to even, NaN stays NaN, overflow to infinity. */
typedef void prism_to_16_fn(uint16_t *y, const float *x, size_t n);
typedef void prism_from_16_fn(float *y, const uint16_t *x, size_t n);

/* fp32 to blocks of Q8_0, n % 32 == 0; y of any alignment. The scale s is max|x| / 127 as the nearest half or, where that lies so far below
 * (subnormal halves) that a byte would not reach, the next; a byte is x * (1 / s) rounded half to even: off by s / 2 and a rounding of fp32 at
 * most. A block with a NaN, an infinity, or more than 127 * 65519 becomes a scale that is not finite and bytes 0: all NaN when it is read.
 * The same bits at every level, but for the payload of a NaN. */
typedef void prism_to_q8_0_fn(void *y, const float *x, size_t n);

/* ---- what the processor can do at most ---- */

enum prism_peak_kind { PRISM_PEAK_F32, PRISM_PEAK_I8, PRISM_PEAK_I16, PRISM_PEAK_BF16, PRISM_N_PEAKS };

const char *prism_peak_label(enum prism_peak_kind kind); /* "f32", "i8", "i16", "bf16" */

/* n >= 1 steps of the level's multiply-add of a kind on registers alone: floats; bytes, and pairs of int16, into int32 by the fastest
 * sequence that never saturates; pairs of bf16 into floats. Returns the operations done, two per multiply-add; a microsecond is about 300 steps. */
typedef double prism_peak_fn(size_t n);

/* What a level names after the types (src/gguf/type_list.h): prism_to_f32_q4_0_avx2 and so on; and entries of its table for each of them. */
#define PRISM_DECLARE_TO_F32(level, NAME, name, ...) extern prism_to_f32_fn prism_to_f32_##name##_##level;
#define PRISM_DECLARE_TO_I8(level, NAME, name, ...)  extern prism_to_i8_fn prism_to_i8_##name##_##level;
#define PRISM_ENTRY_TO_F32(level, NAME, name, ...)   [PRISM_##NAME] = prism_to_f32_##name##_##level,
#define PRISM_ENTRY_TO_I8(level, NAME, name, ...)    [PRISM_##NAME] = prism_to_i8_##name##_##level,
#define PRISM_ENTRY(value, NAME, ...)                [PRISM_##NAME] = value,

/* ---- the table --------------------------------------------------------------------------------------------------------- */

struct prism_kernels {
    enum prism_level level;
    const char *name;                                  /* "generic", "avx2", ... */

    prism_to_f32_fn *to_f32[PRISM_N_TYPES];            /* complete */
    prism_to_i8_fn *to_i8[PRISM_N_TYPES];              /* NULL where the type has no blocks of 32 (F32, F16, BF16) */

    const struct prism_linear *linear_f32;             /* --compute f32 */
    const struct prism_linear *linear_auto[PRISM_N_TYPES]; /* --compute auto, by type of the weights; measured choice */
    const struct prism_linear *linear_finer[PRISM_N_TYPES]; /* finer activations, for the products where an int8 step is seen most
                                                             * (src/engine/kinds.c); NULL: linear_auto's are fine enough */
    const struct prism_linear *linear_beside_few[PRISM_N_TYPES]; /* for these products beside weights of few bits; NULL: linear_auto */
    prism_gemv_fn *gemv;                               /* complete: --compute f32, and types without an entry in gemv_auto */
    const struct prism_gemv *gemv_auto[PRISM_N_TYPES]; /* --compute auto; NULL: gemv */

    prism_rms_norm_fn *rms_norm;
    prism_layer_norm_fn *layer_norm;
    prism_rope_fn *rope;
    prism_rope_table_fn *rope_table;
    prism_gate_fn *gate[PRISM_N_GATES];
    prism_act_fn *act[PRISM_N_ACTS];
    prism_matmul_fn *matmul;
    prism_decay_fn *decay;
    prism_softcap_fn *softcap;
    prism_add_fn *add;
    prism_add_scaled_fn *add_scaled;
    prism_scale_fn *scale;
    prism_to_16_fn *f32_to_f16, *f32_to_bf16;
    prism_from_16_fn *f16_to_f32, *bf16_to_f32;
    prism_to_q8_0_fn *f32_to_q8_0;

    const struct prism_attention *attention_f32;       /* --compute f32 */
    const struct prism_attention *attention_auto;
    prism_attn_row_fn *attn_row;                       /* in fp32: --compute f32 */
    prism_attn_row_fn *attn_row_auto;                  /* --compute auto: of Q8_0 it may multiply integers, PRISM_ATTN_ROW_Q_STEP */

    prism_band_dots_fn *band_dots;
    prism_softmax_q30_fn *softmax_q30;
    prism_sketch_pack_fn *sketch_pack;
    prism_sketch_scan_fn *sketch_scan;
    prism_sketch_needed_fn *sketch_needed;

    prism_peak_fn *peak[PRISM_N_PEAKS];                /* NULL where the level has no instruction for it; fp32 always */
};

/* What a level multiplies weights of a type with, i < PRISM_TYPE_KINDS; NULL where it has nothing for case i. Some may be the same. */
enum { PRISM_TYPE_KINDS = 3 };
static inline const struct prism_linear *prism_type_kind(const struct prism_kernels *k, enum prism_type t, int i)
{
    return (i == 0 ? k->linear_auto : i == 1 ? k->linear_finer : k->linear_beside_few)[t];
}

/* Tables that this build contains, indexed by level; NULL where the level belongs to another processor family. */
extern const struct prism_kernels *const prism_kernels_by_level[PRISM_N_LEVELS];

/* arch/detect.c: what the processor (and the operating system's register saving) supports. */
bool prism_level_runs_here(enum prism_level level);
bool prism_level_is_native(enum prism_level level); /* by its own instructions: under PRISM_SIMDE more levels run; peak kernels do not */
enum prism_level prism_level_best(void); /* the last that runs here, but for one that is slower here than the one before */
const char *prism_level_label(enum prism_level level); /* also for levels that are not compiled in */

#endif
