/* types.c - the registry of tensor types. */
#include "src/gguf/types.h"

#define INFO(A, NAME, name, id, block, bytes, group, has_min, scale, at, min_at, rms, file_type, label)           \
    [PRISM_##NAME] = { #NAME, id, block, bytes, group, has_min, has_min && group == 32, PRISM_SCALE_##scale, { at, min_at }, rms, file_type, label },
const struct prism_type_info prism_types[PRISM_N_TYPES] = { PRISM_TYPES(INFO, ) };

/* By number: the computed ones, and those that the format knows besides or has given up (the GGUF format document, ggml.h). */
#define COMPUTED(A, NAME, name, id, block, bytes, ...) [id] = { id, #NAME, block, bytes, PRISM_##NAME, false },
static const struct prism_file_type file_types[] = {
    PRISM_TYPES(COMPUTED, )
    [4] = { 4, "Q4_2", 0, 0, -1, true },
    [5] = { 5, "Q4_3", 0, 0, -1, true },
    [9] = { 9, "Q8_1", 32, 36, -1, false },
    [15] = { 15, "Q8_K", 256, 292, -1, false },
    [24] = { 24, "I8", 1, 1, -1, false },
    [25] = { 25, "I16", 1, 2, -1, false },
    [26] = { 26, "I32", 1, 4, -1, false },
    [27] = { 27, "I64", 1, 8, -1, false },
    [28] = { 28, "F64", 1, 8, -1, false },
    [31] = { 31, "Q4_0_4_4", 0, 0, -1, true },
    [32] = { 32, "Q4_0_4_8", 0, 0, -1, true },
    [33] = { 33, "Q4_0_8_8", 0, 0, -1, true },
    [36] = { 36, "IQ4_NL_4_4", 0, 0, -1, true },
    [37] = { 37, "IQ4_NL_4_8", 0, 0, -1, true },
    [38] = { 38, "IQ4_NL_8_8", 0, 0, -1, true },
};

const struct prism_file_type *prism_file_type_find(uint32_t id)
{
    return id < sizeof file_types / sizeof file_types[0] ? &file_types[id] : NULL;
}
