/* peak.c - NEON with matrix products: 32 multiply-adds of bytes or 16 of bf16 per instruction. */
#include "arch/neon/peak.h"
#include "arch/neon_i8mm_bf16/neon_i8mm_bf16.h"

double prism_peak_i8_neon_i8mm_bf16(size_t n)
{
    double ops = 2.0 * 32 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("smmla v\\r\\().4s, v12.16b, v13.16b\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}

double prism_peak_bf16_neon_i8mm_bf16(size_t n)
{
    double ops = 2.0 * 16 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("bfmmla v\\r\\().4s, v12.8h, v13.8h\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}
