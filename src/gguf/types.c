/* types.c - the registry of tensor types. Numbers and sizes: the GGUF format document and ggml's type list (ggml.h). */
#include "src/gguf/types.h"

const struct prism_type_info prism_types[PRISM_N_TYPES] = {
    [PRISM_F32]    = { "F32",     0,   1,   4, false },
    [PRISM_F16]    = { "F16",     1,   1,   2, false },
    [PRISM_BF16]   = { "BF16",   30,   1,   2, false },
    [PRISM_Q4_0]   = { "Q4_0",    2,  32,  18, false },
    [PRISM_Q4_1]   = { "Q4_1",    3,  32,  20, true },
    [PRISM_Q5_0]   = { "Q5_0",    6,  32,  22, false },
    [PRISM_Q5_1]   = { "Q5_1",    7,  32,  24, true },
    [PRISM_Q8_0]   = { "Q8_0",    8,  32,  34, false },
    [PRISM_Q2_K]   = { "Q2_K",   10, 256,  84, false },
    [PRISM_Q3_K]   = { "Q3_K",   11, 256, 110, false },
    [PRISM_Q4_K]   = { "Q4_K",   12, 256, 144, true },
    [PRISM_Q5_K]   = { "Q5_K",   13, 256, 176, true },
    [PRISM_Q6_K]   = { "Q6_K",   14, 256, 210, false },
    [PRISM_IQ4_NL] = { "IQ4_NL", 20,  32,  18, false },
    [PRISM_IQ4_XS] = { "IQ4_XS", 23, 256, 136, false },
    [PRISM_MXFP4]  = { "MXFP4",  39,  32,  17, false },
};

/* Computable types repeat their row here so that a file's number is looked up in one place; test_types.c keeps both equal. */
static const struct prism_file_type file_types[] = {
    {  0, "F32",       1,   4, PRISM_F32,    false },
    {  1, "F16",       1,   2, PRISM_F16,    false },
    {  2, "Q4_0",     32,  18, PRISM_Q4_0,   false },
    {  3, "Q4_1",     32,  20, PRISM_Q4_1,   false },
    {  4, "Q4_2",      0,   0, -1,           true },
    {  5, "Q4_3",      0,   0, -1,           true },
    {  6, "Q5_0",     32,  22, PRISM_Q5_0,   false },
    {  7, "Q5_1",     32,  24, PRISM_Q5_1,   false },
    {  8, "Q8_0",     32,  34, PRISM_Q8_0,   false },
    {  9, "Q8_1",     32,  36, -1,           false },
    { 10, "Q2_K",    256,  84, PRISM_Q2_K,   false },
    { 11, "Q3_K",    256, 110, PRISM_Q3_K,   false },
    { 12, "Q4_K",    256, 144, PRISM_Q4_K,   false },
    { 13, "Q5_K",    256, 176, PRISM_Q5_K,   false },
    { 14, "Q6_K",    256, 210, PRISM_Q6_K,   false },
    { 15, "Q8_K",    256, 292, -1,           false },
    { 16, "IQ2_XXS", 256,  66, -1,           false },
    { 17, "IQ2_XS",  256,  74, -1,           false },
    { 18, "IQ3_XXS", 256,  98, -1,           false },
    { 19, "IQ1_S",   256,  50, -1,           false },
    { 20, "IQ4_NL",   32,  18, PRISM_IQ4_NL, false },
    { 21, "IQ3_S",   256, 110, -1,           false },
    { 22, "IQ2_S",   256,  82, -1,           false },
    { 23, "IQ4_XS",  256, 136, PRISM_IQ4_XS, false },
    { 24, "I8",        1,   1, -1,           false },
    { 25, "I16",       1,   2, -1,           false },
    { 26, "I32",       1,   4, -1,           false },
    { 27, "I64",       1,   8, -1,           false },
    { 28, "F64",       1,   8, -1,           false },
    { 29, "IQ1_M",   256,  56, -1,           false },
    { 30, "BF16",      1,   2, PRISM_BF16,   false },
    { 31, "Q4_0_4_4",  0,   0, -1,           true },
    { 32, "Q4_0_4_8",  0,   0, -1,           true },
    { 33, "Q4_0_8_8",  0,   0, -1,           true },
    { 34, "TQ1_0",   256,  54, -1,           false },
    { 35, "TQ2_0",   256,  66, -1,           false },
    { 36, "IQ4_NL_4_4", 0,  0, -1,           true },
    { 37, "IQ4_NL_4_8", 0,  0, -1,           true },
    { 38, "IQ4_NL_8_8", 0,  0, -1,           true },
    { 39, "MXFP4",    32,  17, PRISM_MXFP4,  false },
    { 40, "NVFP4",    64,  36, -1,           false },
    { 41, "Q1_0",    128,  18, -1,           false },
    { 42, "Q2_0",     64,  18, -1,           false },
};

const struct prism_file_type *prism_file_type_find(uint32_t id)
{
    return id < sizeof file_types / sizeof file_types[0] ? &file_types[id] : NULL;
}
