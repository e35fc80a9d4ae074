/* linear_i8.c - linear layers on signed bytes by vpmaddubsw, for types whose bytes (prism_to_i8_fn) are at most 16 in size: "i8", the numbers of
 * arch/generic/linear_i8.c. The packer of activations serves linear_i8k.c and arch/avxvnni/linear_i8.c too.
 *
 * The instruction multiplies unsigned bytes by signed ones and adds two products in 16 bits, saturated: 2 * 255 * 16 is far from that. The 8
 * sums of a group are added to -128 * (sum of the weights), which takes back the +128 of the activations. They may wrap on the way, for they
 * end within 16 * 127 * 16 = 32512 < 2^15; so 16 products of a group are widened to 32 bits once.
 *
 * Two operations for 32 multiply-adds, one of them a multiplication; int16 take two of each (linear_i16.c). Tried on Zen 5, operands in L1,
 * operations per cycle, of which 132 multiplications of a group allow 93 on two ports:
 *   8 x 8, nibbles that the tile unpacks    82   bound by loads
 *   4 x 16 and 6 x 16, bytes                89
 * and in the whole layer: stored rows fetched ahead while they are packed, unpacking of Q4_0 2.9 -> 1.6 % of pp512. */
#include "arch/avx2/avx2.h"
#include "arch/avx2/words_i8.h"

#include "arch/avx2/group_gemm.h"
#include "arch/avx2/group_pack.h"

enum { MIDDLE = 16 }; /* of the five bits of Q5_1 */

static void row_words(int32_t *words, int32_t *start, float *d, float *m, const void *row, size_t n, enum prism_type type)
{
    __m256i *group = (__m256i *)(void *)words;

    prism_kernels_avx2.to_i8[type]((int8_t *)words, d, m, row, n);
    for (size_t g = 0; g < n / 32; g++) {
        if (type == PRISM_Q5_1) {
            group[g] = _mm256_sub_epi8(group[g], _mm256_set1_epi8(MIDDLE));
            m[g] += MIDDLE * d[g];
        }
        start[g] = start_of(group[g]);
    }
}

static void pack_w(void *panel, const void *rows, size_t row_bytes, enum prism_type type, size_t cols, size_t k)
{
    pack_columns(panel, rows, row_bytes, type, cols, k, prism_types[type].has_min);
}

/* A put_group_fn: bytes + 128. */
PRISM_INLINE __m256i put_bytes(char *out, struct group g, __m256 inverse)
{
    const __m256i q = bytes_of_group(g, inverse);
    _mm256_store_si256((__m256i *)(void *)out, _mm256_xor_si256(q, _mm256_set1_epi8((char)128)));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), q), _mm256_set1_epi16(1));
}

void prism_pack_a_i8_avx2(void *panel, const float *x, size_t ldx, size_t rows, size_t k)
{
    pack_rows(panel, x, ldx, rows, k, 127.0f, 0x1p-120f, put_bytes);
}

const struct prism_linear prism_linear_i8_avx2 = {
    .name = "i8", .mr = MR, .nr = NR, .k_step = 32, .a_part = 32,
    .a_bytes = a_bytes, .w_bytes = w_bytes, .pack_w = pack_w, .pack_a = prism_pack_a_i8_avx2, .gemm = gemm,
    .a_err = 0.5f / 127 + 0x1p-22f, .w_err = 0.0f, /* half a step of max / 127, and three roundings */
};
