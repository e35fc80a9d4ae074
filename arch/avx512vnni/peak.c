/* peak.c - AVX-512 VNNI: 64 multiply-adds of bytes, or 32 of int16, per instruction. */
#include "arch/avx2/peak.h"
#include "arch/avx512vnni/avx512vnni.h"

double prism_peak_i8_avx512vnni(size_t n)
{
    double ops = 2.0 * 64 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vpdpbusd %%zmm12, %%zmm13, %%zmm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}

double prism_peak_i16_avx512vnni(size_t n)
{
    double ops = 2.0 * 32 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vpdpwssd %%zmm12, %%zmm13, %%zmm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}
