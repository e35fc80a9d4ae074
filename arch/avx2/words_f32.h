/* words_f32.h - floats for tile.h and attention_body.h. */
#ifndef PRISM_AVX2_WORDS_F32_H
#define PRISM_AVX2_WORDS_F32_H

#include "arch/avx2/vec.h"

enum { PER_WORD = 1 };

/* c += a * b, as an asm statement: from the intrinsic gcc also makes the forms that overwrite a or b and then moves and spills sums when it
 * unrolls; with it, it neither folds loads into FMAs. */
PRISM_INLINE void madd(__m256 *c, __m256 a, __m256 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*c) : "x"(a), "x"(b));
}

#endif
