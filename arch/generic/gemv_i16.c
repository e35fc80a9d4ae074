/* gemv_i16.c - a few rows of two-byte activations times stored weights: the definition of the gemv named "i16" (struct prism_gemv of
 * src/kernels.h). Integers of a group are multiplied and added exactly, everything else in fp32, in the order of k. A packed row is
 * k integers, then the scales of the groups. */
#include <assert.h>

#include "arch/generic/gemv_i16.h"
#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"

static size_t x_bytes(size_t k) { return (k * 2 + k / 32 * 4 + 63) / 64 * 64; }

static void pack_x(void *packed, const float *x, size_t k)
{
    assert(k % 32 == 0 && (uintptr_t)packed % 64 == 0);
    int16_t *q = packed;
    float *d = (float *)(void *)(q + k);
    for (size_t g = 0; g < k / 32; g++)
        d[g] = prism_quantize_32_i16(q + 32 * g, x + 32 * g);
}

/* One block: d, m: one per group; q: its values; x, xd: the activations and the scales of their groups. */
static float dot_block(const int8_t *q, const float *d, const float *m, const int16_t *x, const float *xd, struct prism_layout l)
{
    float sum = 0;
    for (size_t g = 0; g < l.block / l.group; g++) {
        int32_t qx = 0, x_sum = 0;
        for (size_t i = g * l.group; i < (g + 1) * l.group; i++) {
            qx += q[i] * x[i];
            x_sum += x[i];
        }
        float scale = xd[g * l.group / 32];
        sum += d[g] * scale * (float)qx;
        if (l.has_min)
            sum += m[g] * (scale * (float)x_sum);
    }
    return sum;
}

static void gemv(float *y, size_t ldy, const void *x, size_t n_rows, const void *w, size_t row_bytes, enum prism_type type, size_t cols,
                 size_t k)
{
    const struct prism_layout l = prism_layout_of(type);
    assert(n_rows >= 1 && n_rows <= PRISM_GEMV_ROWS && l.unpack && k % l.block == 0);

    for (size_t j = 0; j < cols; j++) {
        const uint8_t *b = (const uint8_t *)w + j * row_bytes;
        for (size_t i = 0; i < n_rows; i++)
            y[i * ldy + j] = 0;
        for (size_t g = 0; g < k; g += l.block, b += l.bytes) {
            int8_t q[256];
            float d[16], m[16];
            l.unpack(q, d, m, b);
            for (size_t i = 0; i < n_rows; i++) {
                const int16_t *row = (const int16_t *)(const void *)((const char *)x + i * x_bytes(k));
                const float *scales = (const float *)(const void *)(row + k);
                y[i * ldy + j] += dot_block(q, d, m, row + g, scales + g / 32, l);
            }
        }
    }
}

const struct prism_gemv prism_gemv_i16_generic = {
    .name = "i16", .x_bytes = x_bytes, .pack_x = pack_x, .gemv = gemv, .x_err = PRISM_GEMV_X_ERR,
};
