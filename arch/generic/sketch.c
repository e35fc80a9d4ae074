/* sketch.c - products of sketched queries with the keys of a block: the definition. */
#include <assert.h>

#include "arch/generic/generic.h"

void prism_sketch_tile_generic(const struct prism_sketch_tile *t)
{
    assert(t->n % 16 == 0 && t->n > 0 && t->block % 32 == 0);
    for (size_t i = 0; i < PRISM_SKETCH_ROWS; i++) {
        t->best[i] = INT32_MIN;
        for (size_t j = 0; j < t->block && j <= t->seen + i; j++) {
            int32_t sum = 0;
            for (size_t c = 0; c < t->n; c++)
                sum += t->q[(c / 4 * PRISM_SKETCH_ROWS + i) * 4 + c % 4] * t->keys[(c / 4 * t->block + j) * 4 + c % 4];
            t->best[i] = sum > t->best[i] ? sum : t->best[i];
        }
    }
}
