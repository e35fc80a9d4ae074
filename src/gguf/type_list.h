/* type_list.h - the tensor types that are computed, one row each; what else there is of a type is made from its row, but for two things: its
 * unpacker, prism_unpack_<name> in arch/generic (unpack.h), and a golden block in tests/arch/test_dequant.c. A level may have a
 * faster unpacker of its own.
 *
 * X(A, NAME, name, id, block, bytes, group, has_min, scale, at, min_at, rms, file_type, label); A is handed through:
 *   NAME, name  as in PRISM_Q4_0 and "Q4_0", and as in prism_unpack_q4_0
 *   id          the number in a GGUF file; block: values of a block, and bytes: its bytes
 *   group       values that share a scale, 16 or 32: blocks with one for more repeat it; has_min: value = d * q + m, and m is not 0
 *   scale       what the scales of a block are (enum prism_scale), at: where the first lies, min_at: where the second, -1: none
 *   rms         root mean square of the values when the scale is 1 and all other bits are random (minima, where there are any, so
 *               that the mean of each group is 0)
 *   file_type   general.file_type of a file of mostly this type (llama.h, enum llama_ftype), and what other GGUF tools call such a file
 *
 * Numbers and sizes: the GGUF format document and ggml's type list (ggml.h). */
#ifndef PRISM_GGUF_TYPE_LIST_H
#define PRISM_GGUF_TYPE_LIST_H

/* Without blocks: unpacked by functions of arch/generic/dequant.c. */
#define PRISM_PLAIN_TYPES(X, A)                                                                                 \
    X(A, F32,     f32,      0,   1,   4,  1, false, F32,     0, -1, 1.0f,    0, "all F32")                      \
    X(A, F16,     f16,      1,   1,   2,  1, false, HALF,    0, -1, 1.0f,    1, "F16")                          \
    X(A, BF16,    bf16,    30,   1,   2,  1, false, BF16,    0, -1, 1.0f,   32, "BF16")

#define PRISM_BLOCK_TYPES(X, A)                                                                                 \
    X(A, Q4_0,    q4_0,     2,  32,  18, 32, false, HALF,    0, -1, 4.610f,  2, "Q4_0")                         \
    X(A, Q4_1,    q4_1,     3,  32,  20, 32, true,  HALF,    0,  2, 4.610f,  3, "Q4_1")                         \
    X(A, Q5_0,    q5_0,     6,  32,  22, 32, false, HALF,    0, -1, 9.233f,  8, "Q5_0")                         \
    X(A, Q5_1,    q5_1,     7,  32,  24, 32, true,  HALF,    0,  2, 9.233f,  9, "Q5_1")                         \
    X(A, Q8_0,    q8_0,     8,  32,  34, 32, false, HALF,    0, -1, 73.90f,  7, "Q8_0")                         \
    X(A, Q2_K,    q2_k,    10, 256,  84, 16, true,  HALF,   80, 82, 9.843f, 10, "Q2_K - Medium")                \
    X(A, Q3_K,    q3_k,    11, 256, 110, 16, false, HALF,  108, -1, 43.34f, 12, "Q3_K - Medium")                \
    X(A, Q4_K,    q4_k,    12, 256, 144, 32, true,  HALF,    0,  2, 168.3f, 15, "Q4_K - Medium")                \
    X(A, Q5_K,    q5_k,    13, 256, 176, 32, true,  HALF,    0,  2, 337.2f, 17, "Q5_K - Medium")                \
    X(A, Q6_K,    q6_k,    14, 256, 210, 16, false, HALF,  208, -1, 1365.f, 18, "Q6_K")                         \
    X(A, IQ4_NL,  iq4_nl,  20,  32,  18, 32, false, HALF,    0, -1, 67.44f, 25, "IQ4_NL - 4.5 bpw")             \
    X(A, IQ4_XS,  iq4_xs,  23, 256, 136, 32, false, HALF,    0, -1, 1246.f, 30, "IQ4_XS - 4.25 bpw")            \
    X(A, MXFP4,   mxfp4,   39,  32,  17, 32, false, E8M0,    0, -1, 5.852f, 38, "MXFP4 MoE")                    \
    X(A, IQ2_XXS, iq2_xxs, 16, 256,  66, 32, false, HALF,    0, -1, 53.47f, 19, "IQ2_XXS - 2.0625 bpw")         \
    X(A, IQ2_XS,  iq2_xs,  17, 256,  74, 16, false, HALF,    0, -1, 55.85f, 20, "IQ2_XS - 2.3125 bpw")          \
    X(A, IQ2_S,   iq2_s,   22, 256,  82, 16, false, HALF,    0, -1, 56.36f, 28, "IQ2_S - 2.5 bpw")              \
    X(A, IQ3_XXS, iq3_xxs, 18, 256,  98, 32, false, HALF,    0, -1, 142.5f, 23, "IQ3_XXS - 3.0625 bpw")         \
    X(A, IQ3_S,   iq3_s,   21, 256, 110, 32, false, HALF,    0, -1, 140.1f, 26, "IQ3_S - 3.4375 bpw")           \
    X(A, IQ1_S,   iq1_s,   19, 256,  50, 32, false, HALF,    0, -1, 7.198f, 24, "IQ1_S - 1.5625 bpw")           \
    X(A, IQ1_M,   iq1_m,   29, 256,  56, 16, false, NIBBLES, 48, -1, 7.198f, 31, "IQ1_M - 1.75 bpw")            \
    X(A, NVFP4,   nvfp4,   40,  64,  36, 16, false, E4M3,    0, -1, 5.852f, 39, "NVFP4")                        \
    X(A, TQ1_0,   tq1_0,   34, 256,  54, 32, false, HALF,   52, -1, 0.817f, 36,  "TQ1_0 - 1.69 bpw ternary")    \
    X(A, TQ2_0,   tq2_0,   35, 256,  66, 32, false, HALF,   64, -1, 1.225f, 37, "TQ2_0 - 2.06 bpw ternary")     \
    X(A, Q1_0,    q1_0,    41, 128,  18, 32, false, HALF,    0, -1, 1.0f,   40, "Q1_0")                         \
    X(A, Q2_0,    q2_0,    42,  64,  18, 32, false, HALF,    0, -1, 1.225f, 41, "Q2_0")

#define PRISM_TYPES(X, A) PRISM_PLAIN_TYPES(X, A) PRISM_BLOCK_TYPES(X, A)

#endif
