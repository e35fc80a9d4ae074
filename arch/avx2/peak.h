/* peak.h - the loop of the x86 peak kernels. In assembly, so that no compiler can move, merge or spill the chains: 12 of them hide a
 * latency of 4 to 6 cycles on two ports. All operands are zero. PRISM_SIMDE does not translate these. */
#ifndef PRISM_AVX2_PEAK_H
#define PRISM_AVX2_PEAK_H

enum { PEAK_CHAINS = 12 };

#define PEAK_CLOBBERED "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
                       "xmm12", "xmm13", "xmm14"

/* Zeroes registers 0 to 14 in full width, then does `step` for each accumulator \r of 0 to 11, %0 times. Operands: 12 and 13; 14 is free. */
#define PEAK_LOOP(step)                                                                              \
    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14\n vxorps %%xmm\\r, %%xmm\\r, %%xmm\\r\n .endr\n"      \
    "1: .irp r,0,1,2,3,4,5,6,7,8,9,10,11\n" step ".endr\n"                                           \
    "dec %0\n jnz 1b\n vzeroupper"

#endif
