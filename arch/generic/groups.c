/* groups.c - stored weights to signed bytes in groups of 32, the block types. The formulas are in unpack.h; contract:
 * prism_to_i8_fn of src/kernels.h. */
#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"

#define TO_I8(A, NAME, name, ...)                                                                \
    void prism_to_i8_##name##_generic(int8_t *q, float *d, float *m, const void *x, size_t n)    \
    {                                                                                            \
        prism_expand_i8(q, d, m, x, n, prism_layout_of(PRISM_##NAME));                              \
    }
PRISM_BLOCK_TYPES(TO_I8, )
