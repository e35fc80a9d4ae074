/* peak.c - AVX2: eight multiply-adds of floats, or 32 of bytes by way of 16-bit sums, per instruction or three. */
#include "arch/avx2/avx2.h"
#include "arch/avx2/peak.h"

double prism_peak_f32_avx2(size_t n)
{
    double ops = 2.0 * 8 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vfmadd231ps %%ymm12, %%ymm13, %%ymm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}

double prism_peak_i8_avx2(size_t n)
{
    double ops = 2.0 * 32 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vpmaddubsw %%ymm12, %%ymm13, %%ymm14\n vpmaddwd %%ymm12, %%ymm14, %%ymm14\n"
                               "vpaddd %%ymm14, %%ymm\\r, %%ymm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}

double prism_peak_i16_avx2(size_t n)
{
    double ops = 2.0 * 16 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vpmaddwd %%ymm12, %%ymm13, %%ymm14\n vpaddd %%ymm14, %%ymm\\r, %%ymm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}
