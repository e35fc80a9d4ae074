/* peak.c - see peak.h. */
#include "tests/support/peak.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double peak_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool peak_is_native(enum prism_level level)
{
#if defined(__x86_64__)
    switch (level) {
    case PRISM_LEVEL_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case PRISM_LEVEL_AVX512: return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    case PRISM_LEVEL_AVX512VNNI: return peak_is_native(PRISM_LEVEL_AVX512) && __builtin_cpu_supports("avx512vnni");
    case PRISM_LEVEL_AVX512BF16: return peak_is_native(PRISM_LEVEL_AVX512VNNI) && __builtin_cpu_supports("avx512bf16");
    default: break;
    }
#endif
    return prism_level_runs_here(level);
}

double peak_gops(enum prism_level level, enum prism_peak_kind kind)
{
    static double kept[PRISM_N_LEVELS][PRISM_N_PEAKS];
    prism_peak_fn *run = prism_kernels_by_level[level]->peak[kind];

    if (kept[level][kind] > 0 || !run || !peak_is_native(level))
        return kept[level][kind];
    for (int i = 0; i < 9; i++) {
        double start = peak_seconds(), ops = run(200000), gops = 1e-9 * ops / (peak_seconds() - start);
        if (gops > kept[level][kind])
            kept[level][kind] = gops;
    }
    return kept[level][kind];
}

double peak_read_gbs(size_t bytes)
{
    static size_t last_bytes;
    static double kept;
    const size_t n = bytes / 64;

    if (bytes == last_bytes)
        return kept;
    uint64_t *p = aligned_alloc(64, n * 64);
    if (!p)
        return 0;
    memset(p, 1, n * 64);
    last_bytes = bytes;
    kept = 0;
    for (int i = 0; i < 15; i++) {
        /* Eight sums over consecutive words: gcc makes vectors of them, and reading is what takes the time. */
        uint64_t sums[8] = { 0 };
        double start = peak_seconds();
        for (size_t line = 0; line < n; line++)
            for (size_t w = 0; w < 8; w++)
                sums[w] += p[line * 8 + w];
        for (size_t w = 0; w < 8; w++)
            __asm__ volatile("" : : "r"(sums[w]));
        double gbs = 1e-9 * (double)(n * 64) / (peak_seconds() - start);
        kept = gbs > kept ? gbs : kept;
    }
    free(p);
    return kept;
}
