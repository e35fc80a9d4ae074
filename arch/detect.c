/* detect.c - processor features to levels, and the choice of the best one; names of levels and peaks. */
#include "src/kernels.h"

extern const struct prism_kernels prism_kernels_generic;
#if defined(__x86_64__)
extern const struct prism_kernels prism_kernels_avx2, prism_kernels_avxvnni, prism_kernels_avx512, prism_kernels_avx512vnni,
    prism_kernels_avx512bf16;
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
extern const struct prism_kernels prism_kernels_neon, prism_kernels_neon_i8mm_bf16;
#endif

const struct prism_kernels *const prism_kernels_by_level[PRISM_N_LEVELS] = {
    [PRISM_LEVEL_GENERIC] = &prism_kernels_generic,
#if defined(__x86_64__)
    [PRISM_LEVEL_AVX2] = &prism_kernels_avx2,
    [PRISM_LEVEL_AVXVNNI] = &prism_kernels_avxvnni,
    [PRISM_LEVEL_AVX512] = &prism_kernels_avx512,
    [PRISM_LEVEL_AVX512VNNI] = &prism_kernels_avx512vnni,
    [PRISM_LEVEL_AVX512BF16] = &prism_kernels_avx512bf16,
#elif defined(__aarch64__)
    [PRISM_LEVEL_NEON] = &prism_kernels_neon,
    [PRISM_LEVEL_NEON_I8MM_BF16] = &prism_kernels_neon_i8mm_bf16,
#endif
};

static const char *const labels[PRISM_N_LEVELS] = {
    [PRISM_LEVEL_GENERIC] = "generic",       [PRISM_LEVEL_AVX2] = "avx2",
    [PRISM_LEVEL_AVXVNNI] = "avxvnni",       [PRISM_LEVEL_AVX512] = "avx512",
    [PRISM_LEVEL_AVX512VNNI] = "avx512vnni", [PRISM_LEVEL_AVX512BF16] = "avx512bf16",
    [PRISM_LEVEL_NEON] = "neon",             [PRISM_LEVEL_NEON_I8MM_BF16] = "neon_i8mm_bf16",
};

const char *prism_level_label(enum prism_level level)
{
    return (unsigned)level < PRISM_N_LEVELS ? labels[level] : "unknown";
}

const char *prism_peak_label(enum prism_peak_kind kind)
{
    static const char *const names[PRISM_N_PEAKS] = {
        [PRISM_PEAK_F32] = "f32", [PRISM_PEAK_I8] = "i8", [PRISM_PEAK_I16] = "i16", [PRISM_PEAK_BF16] = "bf16",
    };
    return names[kind];
}

bool prism_level_is_native(enum prism_level level)
{
    if ((unsigned)level >= PRISM_N_LEVELS || !prism_kernels_by_level[level])
        return false;
#if defined(__x86_64__)
    /* __builtin_cpu_supports also asks XGETBV whether the system saves the wide registers. */
    __builtin_cpu_init();
    switch (level) {
    case PRISM_LEVEL_AVX512BF16:
        return prism_level_is_native(PRISM_LEVEL_AVX512VNNI) && __builtin_cpu_supports("avx512bf16");
    case PRISM_LEVEL_AVX512VNNI:
        return prism_level_is_native(PRISM_LEVEL_AVX512) && __builtin_cpu_supports("avx512vnni");
    case PRISM_LEVEL_AVX512:
        return prism_level_is_native(PRISM_LEVEL_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case PRISM_LEVEL_AVXVNNI: /* leaf 7, subleaf 1, EAX bit 4 */
        return prism_level_is_native(PRISM_LEVEL_AVX2) && __builtin_cpu_supports("avxvnni");
    case PRISM_LEVEL_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    default:
        return true;
    }
#elif defined(__aarch64__)
    /* Advanced SIMD is part of every ARMv8-A processor that runs Linux. */
    const unsigned long need = HWCAP_ASIMDDP | HWCAP_FPHP | HWCAP_ASIMDHP, need2 = HWCAP2_I8MM | HWCAP2_BF16;
    return level != PRISM_LEVEL_NEON_I8MM_BF16 || ((getauxval(AT_HWCAP) & need) == need && (getauxval(AT_HWCAP2) & need2) == need2);
#else
    return true;
#endif
}

bool prism_level_runs_here(enum prism_level level)
{
#if defined(PRISM_SIMDE) /* the AVX-512 and AVX-VNNI kernels are compiled through SIMDe and run anywhere: make check-avx512 */
    return (unsigned)level < PRISM_N_LEVELS && prism_kernels_by_level[level];
#else
    return prism_level_is_native(level);
#endif
}

/* Measured: Intel's processors take two cycles for a vdpbf16ps, half the multiply-adds of fp32 (Emerald Rapids: 90 Gop/s against 180, and 375
 * of vpdpwssd); AMD's take one (Zen 4: 236 Gop/s, as vpdpwssd, and 118 of fp32). arch/avx512bf16/table.c says what uses it. */
static bool is_slow_here(enum prism_level level)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return level == PRISM_LEVEL_AVX512BF16 && __builtin_cpu_is("intel");
#else
    (void)level;
    return false;
#endif
}

enum prism_level prism_level_best(void)
{
    enum prism_level best = PRISM_LEVEL_GENERIC;
    for (int l = 0; l < PRISM_N_LEVELS; l++)
        if (prism_level_runs_here((enum prism_level)l) && !is_slow_here((enum prism_level)l))
            best = (enum prism_level)l;
    return best;
}
