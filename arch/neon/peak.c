/* peak.c - NEON: four multiply-adds of floats per instruction. */
#include "arch/neon/peak.h"
#include "arch/neon/neon.h"

double prism_peak_f32_neon(size_t n)
{
    double ops = 2.0 * 4 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("fmla v\\r\\().4s, v12.4s, v13.4s\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}
