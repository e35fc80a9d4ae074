/* detect.c - processor features to levels, and the choice of the best one; names of levels and peaks. */
#include "src/kernels.h"

extern const struct prism_kernels prism_kernels_generic;
#if defined(__x86_64__)
#include <cpuid.h>
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

/* ---- what the processor has ---- */

#if defined(__x86_64__)
/* Bits of CPUID as Intel's and AMD's manuals number them, read here: compilers do not know all of their names. */
enum {
    LEAF_1_ECX_FMA = 1 << 12, LEAF_1_ECX_OSXSAVE = 1 << 27, LEAF_1_ECX_AVX = 1 << 28, LEAF_1_ECX_F16C = 1 << 29,
    LEAF_7_EBX_AVX2 = 1 << 5, LEAF_7_EBX_F = 1 << 16, LEAF_7_EBX_DQ = 1 << 17, LEAF_7_EBX_BW = 1 << 30,
    LEAF_7_ECX_AVX512VNNI = 1 << 11,
    LEAF_7_1_EAX_AVXVNNI = 1 << 4, LEAF_7_1_EAX_AVX512BF16 = 1 << 5,
    XCR0_YMM = 0x06, /* the system saves xmm and the upper halves of ymm */
    XCR0_ZMM = 0xe6, /* and mask registers, the upper halves of zmm, zmm16 to zmm31 */
};
#define LEAF_7_EBX_VL (1u << 31)

struct cpuid {
    unsigned a, b, c, d;
};

static struct cpuid cpuid(unsigned leaf, unsigned subleaf)
{
    struct cpuid r = { 0, 0, 0, 0 };
    __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d); /* zeros stay where there is no such leaf */
    return r;
}

static bool has(unsigned bits, unsigned need) { return (bits & need) == need; }

/* Whether the system saves these registers. */
static bool system_saves(unsigned registers)
{
    unsigned low, high;
    if (!has(cpuid(1, 0).c, LEAF_1_ECX_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return has(low, registers);
}

static bool has_avx2(void)
{
    return has(cpuid(1, 0).c, LEAF_1_ECX_AVX | LEAF_1_ECX_FMA | LEAF_1_ECX_F16C) && has(cpuid(7, 0).b, LEAF_7_EBX_AVX2) && system_saves(XCR0_YMM);
}

static bool has_avx512(void)
{
    return has_avx2() && has(cpuid(7, 0).b, LEAF_7_EBX_F | LEAF_7_EBX_DQ | LEAF_7_EBX_BW | LEAF_7_EBX_VL) && system_saves(XCR0_ZMM);
}

/* Leaf 7 says in its first EAX how many subleaves it has. */
static bool has_7_1(unsigned need) { return cpuid(7, 0).a >= 1 && has(cpuid(7, 1).a, need); }

static bool is_intel(void)
{
    const struct cpuid r = cpuid(0, 0);
    return r.b == signature_INTEL_ebx && r.d == signature_INTEL_edx && r.c == signature_INTEL_ecx;
}
#endif

bool prism_level_is_native(enum prism_level level)
{
    if ((unsigned)level >= PRISM_N_LEVELS || !prism_kernels_by_level[level])
        return false;
#if defined(__x86_64__)
    switch (level) {
    case PRISM_LEVEL_AVX512BF16:
        return has_avx512() && has(cpuid(7, 0).c, LEAF_7_ECX_AVX512VNNI) && has_7_1(LEAF_7_1_EAX_AVX512BF16);
    case PRISM_LEVEL_AVX512VNNI:
        return has_avx512() && has(cpuid(7, 0).c, LEAF_7_ECX_AVX512VNNI);
    case PRISM_LEVEL_AVX512:
        return has_avx512();
    case PRISM_LEVEL_AVXVNNI:
        return has_avx2() && has_7_1(LEAF_7_1_EAX_AVXVNNI);
    case PRISM_LEVEL_AVX2:
        return has_avx2();
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
    return level == PRISM_LEVEL_AVX512BF16 && is_intel();
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
