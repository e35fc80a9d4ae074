/* peak.c - AVX-VNNI: 32 multiply-adds of bytes, or 16 of int16, per instruction. */
#include "arch/avx2/peak.h"
#include "arch/avxvnni/avxvnni.h"

double prism_peak_i8_avxvnni(size_t n)
{
    double ops = 2.0 * 32 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("%{vex%} vpdpbusd %%ymm12, %%ymm13, %%ymm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}

double prism_peak_i16_avxvnni(size_t n)
{
    double ops = 2.0 * 16 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("%{vex%} vpdpwssd %%ymm12, %%ymm13, %%ymm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}
