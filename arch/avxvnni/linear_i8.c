/* linear_i8.c - linear layers on signed bytes with vpdpbusd: the numbers of the "i8" linear of arch/generic/linear_i8.c.
 *
 * The instruction wants unsigned activations: they are stored + 128, and the integer sums of a group start at -128 * (sum of the
 * weights), which takes that back at no cost. |128 * sum w| + 32 * 255 * 128 < 2^21. Per group and vector of sums 8 vpdpbusd and 3
 * (4) other instructions of the same two ports: 0.73 (0.67) of the vpdpbusd peak is what this scheme can reach. */
#include "arch/avx2/avx2.h"
#include "arch/avx2/blocks.h"
#include "arch/avxvnni/avxvnni.h"
#include "arch/avxvnni/words_i8.h"

#include "arch/avx2/group_gemm.h"
#include "arch/avx2/group_pack.h"

/* start: -128 * (sum of the 32 bytes of a group), which takes back the +128 of the activations. */
static void row_words(int32_t *words, int32_t *start, float *d, float *m, const void *row, size_t n, enum prism_type type)
{
    prism_kernels_avx2.to_i8[type]((int8_t *)words, d, m, row, n);
    for (size_t g = 0; g < n / 32; g++) {
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), _mm256_load_si256((const __m256i *)(const void *)words + g));
        start[g] = vec_sum_epi32(_mm256_madd_epi16(pairs, _mm256_set1_epi16(-128)));
    }
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    pack_columns(panel, rows, row_bytes, type, cols, k, prism_types[type].has_min);
}

const struct prism_linear prism_linear_i8_avxvnni = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = prism_pack_a_i8_avx2, .gemm = gemm,
    /* As for the generic "i8" linear: half a step of max / 127, and three roundings. */
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.5f / 127 + 0x1p-22f,
};
