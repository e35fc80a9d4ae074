/* peak.h - what this core can do at most: the peak kernels of a level, and reading. For benches: a share of a peak measured in the same
 * run says more than a rate on a shared machine. */
#ifndef PRISM_TESTS_PEAK_H
#define PRISM_TESTS_PEAK_H

#include "src/kernels.h"

/* The level's instructions are the processor's own: under PRISM_SIMDE levels run that the processor lacks, their peak kernels do not. */
bool peak_is_native(enum prism_level level);

/* Operations per second in units of 1e9, two per multiply-add, on one thread: the best of several short runs, measured at the first
 * call and kept. 0 where the level has no instruction for it or is not native. */
double peak_gops(enum prism_level level, enum prism_peak_kind kind);

/* GB/s of reading a buffer of this many bytes once, on one thread; best of several runs, of the last size asked for kept. */
double peak_read_gbs(size_t bytes);

/* Processor time of this thread in seconds: on a shared machine wall time mostly shows the neighbours. */
double peak_seconds(void);

#endif
