/* check.c - the optional scan of all weights for NaN and infinity. Only scales are read: a block with a good scale has good values. */
#include "src/gguf/reader.h"
#include "src/model/load.h"

enum number { NUMBER_HALF, NUMBER_BF16, NUMBER_F32, NUMBER_E8M0 };

/* Where the scales lie in a block, and what they are (formats: ggml's block structures). */
static const struct {
    enum number kind;
    unsigned n;
    unsigned at[2];
} scales[PRISM_N_TYPES] = {
    [PRISM_F32] = { NUMBER_F32, 1, { 0 } },         [PRISM_F16] = { NUMBER_HALF, 1, { 0 } },
    [PRISM_BF16] = { NUMBER_BF16, 1, { 0 } },       [PRISM_Q4_0] = { NUMBER_HALF, 1, { 0 } },
    [PRISM_Q4_1] = { NUMBER_HALF, 2, { 0, 2 } },    [PRISM_Q5_0] = { NUMBER_HALF, 1, { 0 } },
    [PRISM_Q5_1] = { NUMBER_HALF, 2, { 0, 2 } },    [PRISM_Q8_0] = { NUMBER_HALF, 1, { 0 } },
    [PRISM_Q2_K] = { NUMBER_HALF, 2, { 80, 82 } },  [PRISM_Q3_K] = { NUMBER_HALF, 1, { 108 } },
    [PRISM_Q4_K] = { NUMBER_HALF, 2, { 0, 2 } },    [PRISM_Q5_K] = { NUMBER_HALF, 2, { 0, 2 } },
    [PRISM_Q6_K] = { NUMBER_HALF, 1, { 208 } },     [PRISM_IQ4_NL] = { NUMBER_HALF, 1, { 0 } },
    [PRISM_IQ4_XS] = { NUMBER_HALF, 1, { 0 } },     [PRISM_MXFP4] = { NUMBER_E8M0, 1, { 0 } },
};

/* Bits that are all set when a number is not finite, and those that then tell NaN from infinity. */
static const uint32_t exponents[] = { 0x7C00, 0x7F80, 0x7F800000, 0xFF };
static const uint32_t fractions[] = { 0x03FF, 0x007F, 0x007FFFFF, 0 };

/* NULL: finite; else "NaN" or "infinite". */
static const char *defect(enum number kind, const uint8_t *p)
{
    uint32_t bits = kind == NUMBER_E8M0 ? p[0] : kind == NUMBER_F32 ? prism_le32(p) : prism_le16(p);
    if ((bits & exponents[kind]) != exponents[kind])
        return NULL;
    return kind == NUMBER_E8M0 || bits & fractions[kind] ? "NaN" : "infinite"; /* E8M0 has one NaN and no infinity (OCP MX 1.0) */
}

static enum prism_status check_tensor(const struct prism_gguf *g, const struct prism_gguf_tensor *t, struct prism_error *err)
{
    const struct prism_type_info *info = &prism_types[t->type];
    uint64_t blocks = t->n_bytes / info->bytes, per_row = t->ne[0] / info->block;

    for (uint64_t b = 0; b < blocks; b++)
        for (unsigned s = 0; s < scales[t->type].n; s++) {
            const char *what = defect(scales[t->type].kind, t->data + b * info->bytes + scales[t->type].at[s]);
            if (what)
                return prism_fail(err, PRISM_E_FORMAT, "%s: tensor %s: row %llu, %s %llu: expected a finite %s, found %s",
                                  g->path, t->name, (unsigned long long)(b / per_row), info->block > 1 ? "block" : "value",
                                  (unsigned long long)(b % per_row), info->block > 1 ? "scale" : "value", what);
        }
    return PRISM_OK;
}

enum prism_status prism_check_tensors(const struct prism_gguf *g, struct prism_error *err)
{
    enum prism_status status = PRISM_OK;
    for (uint64_t i = 0; !status && i < g->n_tensors; i++)
        if (g->tensors[i].type != PRISM_N_TYPES)
            status = check_tensor(g, &g->tensors[i], err);
    return status;
}
