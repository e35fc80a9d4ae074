/* bench_peak.h - what the processor can do at most, by the peak kernels of a level (src/kernels.h). */
#ifndef PRISM_TOOLS_BENCH_PEAK_H
#define PRISM_TOOLS_BENCH_PEAK_H

#include "src/kernels.h"
#include "tools/bench/bench_crew.h"

/* All threads of the crew together: 1e9 operations per second, two per multiply-add; the best round. 0: the level has no
 * instruction for it or is not native, or interrupted. */
double bench_peak_gops(struct bench_crew *c, enum prism_level level, enum prism_peak_kind kind, int rounds);


#endif
