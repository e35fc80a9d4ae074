/* to_q8_0.c - rows of fp32 to blocks of Q8_0, the definition: what a cache of that type stores. Contract: prism_to_q8_0_fn of src/kernels.h. */
#include <assert.h>
#include <math.h>

#include "arch/generic/generic.h"
#include "arch/generic/to_q8_0.h"

static void to_block(uint8_t *out, const float *x)
{
    uint32_t largest = 0; /* magnitudes as integers: infinity is above all numbers, NaN above infinity */
    float inverse;

    for (size_t i = 0; i < 32; i++) {
        const uint32_t u = prism_f32_bits(x[i]) & 0x7fffffff;
        largest = u > largest ? u : largest;
    }
    const uint16_t scale = prism_q8_0_scale(prism_bits_f32(largest), &inverse);
    memcpy(out, &scale, sizeof scale);
    for (size_t i = 0; i < 32; i++)
        out[2 + i] = inverse > 0 ? (uint8_t)(int8_t)lrintf(x[i] * inverse) : 0;
}

void prism_f32_to_q8_0_generic(void *y, const float *x, size_t n)
{
    assert(n % 32 == 0);
    for (size_t i = 0; i < n; i += 32)
        to_block((uint8_t *)y + i / 32 * 34, x + i);
}
