/* peak.c - what portable C reaches: a multiplication and an addition of vectors of four floats, all in registers. */
#include "arch/generic/generic.h"

typedef float vec4 __attribute__((vector_size(16)));

/* Twelve separate variables, each with its own value: an array would live in memory with gcc 12, and equal ones would become one. */
double prism_peak_f32_generic(size_t n)
{
    const float part = 1.0f / (float)(n + 2);
    const vec4 m = { part, part, part, part }, b = m + 1.0f;
    vec4 c0 = b, c1 = c0 + b, c2 = c1 + b, c3 = c2 + b, c4 = c3 + b, c5 = c4 + b, c6 = c5 + b, c7 = c6 + b, c8 = c7 + b, c9 = c8 + b,
         c10 = c9 + b, c11 = c10 + b;

    for (size_t i = 0; i < n; i++) {
        c0 = c0 * m + b, c1 = c1 * m + b, c2 = c2 * m + b, c3 = c3 * m + b;
        c4 = c4 * m + b, c5 = c5 * m + b, c6 = c6 * m + b, c7 = c7 * m + b;
        c8 = c8 * m + b, c9 = c9 * m + b, c10 = c10 * m + b, c11 = c11 * m + b;
    }
    vec4 sum = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11;
    __asm__ volatile("" : : "m"(sum)); /* somebody may look at it */
    return 2.0 * 4 * 12 * (double)n;
}
