/* reach.h - how many deviations from the mean of its keys a block is given before it is dropped (prism_rows.c): counted, for each head.
 *
 * A row that looks for one thing points at its key, so that in some heads the needed blocks have 3 deviations at most, in others 5. */
#ifndef PRISM_ATTENTION_REACH_H
#define PRISM_ATTENTION_REACH_H

#include "src/kernels.h"

/* Counts are by deviations, rounded up to eighths; the last one: these or more. */
enum { PRISM_REACH_STEPS = 80, PRISM_REACH_PER_DEVIATION = 8 };
#define PRISM_REACH_LEAST 2.25f

/* Adds to counts[PRISM_REACH_STEPS], for each row and each of the blocks 1 .. u - 1 that it needs, the deviations that keep it: the least that one
 * of the four rows needs which are finished together. s was scanned with all keys, its tiles' reach being one deviation;
 * mean: [blocks][n_tiles][16] logits of the means. */
void prism_reach_count(uint32_t *counts, const struct prism_sketch_scan *s, const float *mean, size_t u);

/* The deviations that lose one needed block of a thousand, of n counts together: PRISM_REACH_LEAST or more; 4 where few were counted. */
float prism_reach(const uint32_t *counts, size_t n);

#endif
