/* peak.c - AVX-512: 16 multiply-adds of floats, or 64 of bytes by way of 16-bit sums, per instruction or three. */
#include "arch/avx2/peak.h"
#include "arch/avx512/avx512.h"

double prism_peak_f32_avx512(size_t n)
{
    double ops = 2.0 * 16 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vfmadd231ps %%zmm12, %%zmm13, %%zmm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}

double prism_peak_i8_avx512(size_t n)
{
    double ops = 2.0 * 64 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vpmaddubsw %%zmm12, %%zmm13, %%zmm14\n vpmaddwd %%zmm12, %%zmm14, %%zmm14\n"
                               "vpaddd %%zmm14, %%zmm\\r, %%zmm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}

double prism_peak_i16_avx512(size_t n)
{
    double ops = 2.0 * 32 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vpmaddwd %%zmm12, %%zmm13, %%zmm14\n vpaddd %%zmm14, %%zmm\\r, %%zmm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}
