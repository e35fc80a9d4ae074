/* peak.c - AVX-512 BF16: 32 multiply-adds of bf16 per instruction. */
#include "arch/avx2/peak.h"
#include "arch/avx512bf16/avx512bf16.h"

double prism_peak_bf16_avx512bf16(size_t n)
{
    double ops = 2.0 * 32 * PEAK_CHAINS * (double)n;
    __asm__ volatile(PEAK_LOOP("vdpbf16ps %%zmm12, %%zmm13, %%zmm\\r\n") : "+r"(n) : : PEAK_CLOBBERED);
    return ops;
}
