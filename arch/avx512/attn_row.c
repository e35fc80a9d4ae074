/* attn_row.c - attention of a few query rows against a piece of a cache, in fp32: arch/avx2/attn_row_body.h with vectors of 16. */
#include "arch/avx512/attn_row.h"

void prism_attn_row_f32_avx512(const struct prism_attn_row *a) { attend(a); }
