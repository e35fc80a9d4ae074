/* sketch.c - the largest products of sketched queries with the keys of a block: the definition. */
#include <assert.h>

#include "arch/generic/generic.h"

void prism_sketch_rows_generic(const struct prism_sketch_rows *a)
{
    assert(a->rank % 16 == 0 && a->block % 32 == 0);
    for (size_t i = 0; i < a->rows; i++) {
        size_t n = a->causal ? a->seen + i + 1 : a->block;
        int32_t most = INT32_MIN;
        for (size_t j = 0; j < n; j++) {
            int32_t sum = -a->bias[i];
            for (size_t c = 0; c < a->rank; c++)
                sum += a->q[i * a->rank + c] * a->keys[(c / 4 * a->block + j) * 4 + c % 4];
            most = sum > most ? sum : most;
        }
        a->best[i] = most;
    }
}
