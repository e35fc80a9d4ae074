/* check.c - the optional scan of all weights for NaN and infinity. Only scales are read: a block with a good scale has good values. */
#include "src/gguf/reader.h"
#include "src/model/load.h"

/* Bits that are all set when a number is not finite, and those that then tell NaN from infinity. */
static const struct {
    uint32_t exponent, fraction;
} numbers[] = {
    [PRISM_SCALE_HALF] = { 0x7C00, 0x03FF },
    [PRISM_SCALE_BF16] = { 0x7F80, 0x007F },
    [PRISM_SCALE_F32] = { 0x7F800000, 0x007FFFFF },
    [PRISM_SCALE_E8M0] = { 0xFF, 0 },
    [PRISM_SCALE_NIBBLES] = { 0x7C00, 0x03FF },
};

/* NULL: finite; else "NaN" or "infinite". */
static const char *defect(enum prism_scale kind, const uint8_t *p)
{
    uint32_t bits;
    switch (kind) {
    case PRISM_SCALE_E4M3: return NULL;
    case PRISM_SCALE_E8M0: bits = p[0]; break;
    case PRISM_SCALE_F32: bits = prism_le32(p); break;
    case PRISM_SCALE_NIBBLES: bits = (uint32_t)(p[1] >> 4 | (p[3] & 0xF0) | (p[5] & 0xF0) << 4 | (p[7] & 0xF0) << 8); break;
    default: bits = prism_le16(p);
    }
    if ((bits & numbers[kind].exponent) != numbers[kind].exponent)
        return NULL;
    return kind == PRISM_SCALE_E8M0 || bits & numbers[kind].fraction ? "NaN" : "infinite"; /* E8M0 has one NaN and no infinity (OCP MX 1.0) */
}

static enum prism_status check_tensor(const struct prism_gguf *g, const struct prism_gguf_tensor *t, struct prism_error *err)
{
    const struct prism_type_info *info = &prism_types[t->type];
    uint64_t blocks = t->n_bytes / info->bytes, per_row = t->ne[0] / info->block;

    for (uint64_t b = 0; b < blocks; b++)
        for (int s = 0; s < 2 && info->scale_at[s] >= 0; s++) {
            const char *what = defect(info->scale, t->data + b * info->bytes + info->scale_at[s]);
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
