/* reach.c - see reach.h. */
#include "src/attention/reach.h"

#include <math.h>

enum { ROWS = PRISM_SKETCH_ROWS, TOGETHER = PRISM_SKETCH_TOGETHER, PER_LOST = 1000, FEW = 200 };

void prism_reach_count(uint32_t *counts, const struct prism_sketch_scan *s, const float *mean, size_t u)
{
    for (size_t v = 1; v < u; v++)
        for (size_t row = 0; row < s->n_tiles * ROWS; row += TOGETHER) {
            const struct prism_sketch_tile *t = &s->tiles[row / ROWS];
            const float *floor = t->floor + row % ROWS, *reach = t->reach + row % ROWS;
            const float *all = s->x + v * s->n_tiles * ROWS + row, *middle = mean + v * s->n_tiles * ROWS + row;
            float least = INFINITY;
            uint32_t needed = 0;
            for (size_t i = 0; i < TOGETHER; i++) {
                float asked = (floor[i] - middle[i]) / (reach[i] * s->k_rest[v]);
                least = asked < least ? asked : least;
                needed += all[i] >= floor[i];
            }
            if (needed)
                counts[(size_t)fminf(fmaxf(ceilf(least * PRISM_REACH_PER_DEVIATION), 0), PRISM_REACH_STEPS - 1)] += needed;
        }
}

float prism_reach(const uint32_t *counts, size_t n)
{
    uint64_t sum[PRISM_REACH_STEPS] = { 0 }, all = 0, above = 0;
    size_t step = PRISM_REACH_STEPS - 1;

    for (size_t i = 0; i < n * PRISM_REACH_STEPS; i++)
        sum[i % PRISM_REACH_STEPS] += counts[i], all += counts[i];
    if (all < FEW)
        return 4;
    while (step > 0 && (above + sum[step]) * PER_LOST <= all)
        above += sum[step--];
    return fmaxf((float)step / PRISM_REACH_PER_DEVIATION, PRISM_REACH_LEAST);
}
