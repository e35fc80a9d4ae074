/* peak.c - see peak.h. One loop per instruction, in assembly: 12 independent chains hide a latency of 4 to 6 cycles on two ports, and
 * no compiler can move, merge or spill them. All operands are zero. */
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

enum { CHAINS = 12 };

/* Runs n steps of CHAINS instructions and returns the operations done. */
typedef double chain_fn(size_t n);

#if defined(__x86_64__)

#define CLOBBERED "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
                  "xmm13", "xmm14"
#define ZERO_ALL ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n xorps %%xmm\\r, %%xmm\\r\n .endr\n"
#define ZERO_ALL_WIDE ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n vxorps %%xmm\\r, %%xmm\\r, %%xmm\\r\n .endr\n" /* and the upper parts */
#define FOR_EACH_CHAIN "1: .irp r,0,1,2,3,4,5,6,7,8,9,10,11\n"
#define AGAIN ".endr\n dec %0\n jnz 1b\n"

static double fp32_sse2(size_t n)
{
    double ops = 2.0 * 4 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL FOR_EACH_CHAIN "mulps %%xmm12, %%xmm\\r\n addps %%xmm13, %%xmm\\r\n" AGAIN : "+r"(n) : : CLOBBERED);
    return ops;
}

static double fp32_avx2(size_t n)
{
    double ops = 2.0 * 8 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL_WIDE FOR_EACH_CHAIN "vfmadd231ps %%ymm12, %%ymm13, %%ymm\\r\n"
                     AGAIN "vzeroupper" : "+r"(n) : : CLOBBERED);
    return ops;
}

static double int8_avx2(size_t n)
{
    double ops = 2.0 * 32 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL_WIDE FOR_EACH_CHAIN "vpmaddubsw %%ymm12, %%ymm13, %%ymm14\n vpmaddwd %%ymm12, %%ymm14, %%ymm14\n"
                     "vpaddd %%ymm14, %%ymm\\r, %%ymm\\r\n"
                     AGAIN "vzeroupper" : "+r"(n) : : CLOBBERED);
    return ops;
}

static double fp32_avx512(size_t n)
{
    double ops = 2.0 * 16 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL_WIDE FOR_EACH_CHAIN "vfmadd231ps %%zmm12, %%zmm13, %%zmm\\r\n"
                     AGAIN "vzeroupper" : "+r"(n) : : CLOBBERED);
    return ops;
}

static double int8_avx512(size_t n)
{
    double ops = 2.0 * 64 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL_WIDE FOR_EACH_CHAIN "vpmaddubsw %%zmm12, %%zmm13, %%zmm14\n vpmaddwd %%zmm12, %%zmm14, %%zmm14\n"
                     "vpaddd %%zmm14, %%zmm\\r, %%zmm\\r\n"
                     AGAIN "vzeroupper" : "+r"(n) : : CLOBBERED);
    return ops;
}

static double int8_avx512vnni(size_t n)
{
    double ops = 2.0 * 64 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL_WIDE FOR_EACH_CHAIN "vpdpbusd %%zmm12, %%zmm13, %%zmm\\r\n"
                     AGAIN "vzeroupper" : "+r"(n) : : CLOBBERED);
    return ops;
}

static double bf16_avx512bf16(size_t n)
{
    double ops = 2.0 * 32 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL_WIDE FOR_EACH_CHAIN "vdpbf16ps %%zmm12, %%zmm13, %%zmm\\r\n"
                     AGAIN "vzeroupper" : "+r"(n) : : CLOBBERED);
    return ops;
}

/* Under PRISM_SIMDE levels run that the processor lacks; these loops never do. */
static bool level_is_native(enum prism_level level)
{
    switch (level) {
    case PRISM_LEVEL_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case PRISM_LEVEL_AVX512: return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    case PRISM_LEVEL_AVX512VNNI: return level_is_native(PRISM_LEVEL_AVX512) && __builtin_cpu_supports("avx512vnni");
    case PRISM_LEVEL_AVX512BF16: return level_is_native(PRISM_LEVEL_AVX512VNNI) && __builtin_cpu_supports("avx512bf16");
    default: return level == PRISM_LEVEL_GENERIC;
    }
}

static chain_fn *const chains[PRISM_N_LEVELS][PEAK_N_KINDS] = {
    [PRISM_LEVEL_GENERIC] = { [PEAK_FP32] = fp32_sse2 },
    [PRISM_LEVEL_AVX2] = { [PEAK_FP32] = fp32_avx2, [PEAK_INT8] = int8_avx2 },
    [PRISM_LEVEL_AVX512] = { [PEAK_FP32] = fp32_avx512, [PEAK_INT8] = int8_avx512 },
    [PRISM_LEVEL_AVX512VNNI] = { [PEAK_FP32] = fp32_avx512, [PEAK_INT8] = int8_avx512vnni },
    [PRISM_LEVEL_AVX512BF16] = { [PEAK_FP32] = fp32_avx512, [PEAK_INT8] = int8_avx512vnni, [PEAK_BF16] = bf16_avx512bf16 },
};

#elif defined(__aarch64__)

/* Zeroes the registers, then per step one instruction on each of the accumulators v0 to v11 with v12 and v13. */
#define CLOBBERED "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13"
#define ZERO_ALL ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n movi v\\r\\().4s, #0\n .endr\n"
#define FOR_EACH_CHAIN "1: .irp r,0,1,2,3,4,5,6,7,8,9,10,11\n"
#define AGAIN ".endr\n subs %0, %0, #1\n b.ne 1b\n"

static double fp32_neon(size_t n)
{
    double ops = 2.0 * 4 * CHAINS * (double)n;
    __asm__ volatile(ZERO_ALL FOR_EACH_CHAIN "fmla v\\r\\().4s, v12.4s, v13.4s\n" AGAIN : "+r"(n) : : CLOBBERED);
    return ops;
}

static double int8_i8mm(size_t n)
{
    double ops = 2.0 * 32 * CHAINS * (double)n;
    __asm__ volatile(".arch armv8.2-a+i8mm\n" ZERO_ALL FOR_EACH_CHAIN "smmla v\\r\\().4s, v12.16b, v13.16b\n" AGAIN : "+r"(n) : : CLOBBERED);
    return ops;
}

static double bf16_bf16(size_t n)
{
    double ops = 2.0 * 16 * CHAINS * (double)n;
    __asm__ volatile(".arch armv8.2-a+bf16\n" ZERO_ALL FOR_EACH_CHAIN "bfmmla v\\r\\().4s, v12.8h, v13.8h\n" AGAIN : "+r"(n) : : CLOBBERED);
    return ops;
}

static bool level_is_native(enum prism_level level) { return prism_level_runs_here(level); }

static chain_fn *const chains[PRISM_N_LEVELS][PEAK_N_KINDS] = {
    [PRISM_LEVEL_GENERIC] = { [PEAK_FP32] = fp32_neon },
    [PRISM_LEVEL_NEON] = { [PEAK_FP32] = fp32_neon },
    [PRISM_LEVEL_NEON_I8MM_BF16] = { [PEAK_FP32] = fp32_neon, [PEAK_INT8] = int8_i8mm, [PEAK_BF16] = bf16_bf16 },
};

#else

static bool level_is_native(enum prism_level level) { return level == PRISM_LEVEL_GENERIC; }
static chain_fn *const chains[PRISM_N_LEVELS][PEAK_N_KINDS] = { { 0 } };

#endif

double peak_gops(enum prism_level level, enum peak_kind kind)
{
    static double kept[PRISM_N_LEVELS][PEAK_N_KINDS];
    chain_fn *run = chains[level][kind];

    if (kept[level][kind] > 0 || !run || !level_is_native(level))
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
