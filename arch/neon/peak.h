/* peak.h - the loop of the ARM peak kernels, as arch/avx2/peak.h is for x86. */
#ifndef PRISM_ARCH_NEON_PEAK_H
#define PRISM_ARCH_NEON_PEAK_H

enum { PEAK_CHAINS = 12 };

#define PEAK_CLOBBERED "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13"

/* Zeroes v0 to v13, then does `step` for each accumulator v\r of 0 to 11, %0 times. Operands: v12 and v13. */
#define PEAK_LOOP(step)                                                                   \
    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n movi v\\r\\().4s, #0\n .endr\n"             \
    "1: .irp r,0,1,2,3,4,5,6,7,8,9,10,11\n" step ".endr\n subs %0, %0, #1\n b.ne 1b\n"

#endif
