/* attention.c - a query tile against listed key blocks with the online softmax, built from a linear layer of this level: for the
 * scores a key block is the weights of a layer d -> block; for the output the values are those of a layer block -> d.
 * Contract: struct prism_attention of src/kernels.h.
 *
 * Packed keys:    block/nr panels of the linear for k = d.
 * Packed values:  d/nr panels of the linear for k = block.
 * Source: Milakov & Gimelshein 2018 (online softmax); Dao et al. 2022 (FlashAttention: by blocks). */
#include <assert.h>
#include <math.h>
#include <sleef.h>

#include "arch/generic/attn_keys.h"
#include "arch/generic/generic.h"
#include "arch/generic/pack.h"

enum { TILE_ROWS = 32, MAX_BLOCK = 256, NR = 8 };

static const struct prism_linear *const linear = &prism_linear_f32_generic;

/* Parts of the scratch, in floats from its start. */
struct parts {
    float *scores;   /* [TILE_ROWS][block], then the probabilities in place */
    float *out;      /* [TILE_ROWS][d], not normalised */
    float *max, *sum; /* [TILE_ROWS], of the logits seen */
    char *q, *p;     /* packed activations of the linear */
};

static size_t k_block_bytes(size_t d, size_t block) { return block / NR * linear->w_bytes(d); }
static size_t v_block_bytes(size_t d, size_t block) { return d / NR * linear->w_bytes(block); }

static size_t a_panels_bytes(size_t k) { return TILE_ROWS / linear->mr * linear->a_bytes(k); }

static size_t scratch_bytes(size_t d, size_t block)
{
    return TILE_ROWS * (block + d + 2) * sizeof(float) + a_panels_bytes(d) + a_panels_bytes(block);
}

static struct parts scratch_parts(void *scratch, size_t d, size_t block)
{
    float *f = scratch;
    struct parts s = { .scores = f, .out = f + TILE_ROWS * block, .max = f + TILE_ROWS * (block + d) };
    s.sum = s.max + TILE_ROWS;
    s.q = (char *)(s.sum + TILE_ROWS);
    s.p = s.q + a_panels_bytes(d);
    return s;
}

static void pack_k(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    size_t row_bytes = prism_kv_row_bytes(format, d);

    assert(n <= block && linear->nr == NR);
    for (size_t j = 0; j < block; j += NR) {
        char *panel = (char *)dst + j / NR * linear->w_bytes(d);
        if (j < n)
            linear->pack_w(panel, (const char *)src + j * row_bytes, row_bytes, prism_kv_stored(format), n - j < NR ? n - j : NR, d);
        else
            memset(panel, 0, linear->w_bytes(d));
    }
}

static void pack_v(void *dst, const void *src, enum prism_kv_format format, size_t n, size_t d, size_t block)
{
    enum { COLUMNS = 32 }; /* dims at a time: a block of Q8_0 */
    enum prism_type type = prism_kv_stored(format);
    float columns[COLUMNS][MAX_BLOCK]; /* of all keys: rows of the layer block -> d */

    assert(n <= block && block <= MAX_BLOCK && d % NR == 0);
    memset(columns, 0, sizeof columns);
    for (size_t c = 0; c < d; c += COLUMNS) {
        const size_t width = d - c < COLUMNS ? d - c : COLUMNS;
        for (size_t i = 0; i < n; i++) {
            float row[COLUMNS];
            prism_kernels_generic.to_f32[type](row, (const char *)src + i * prism_kv_row_bytes(format, d) + prism_kv_row_bytes(format, c), width);
            for (size_t j = 0; j < width; j++)
                columns[j][i] = row[j];
        }
        for (size_t j = 0; j < width; j += NR)
            linear->pack_w((char *)dst + (c + j) / NR * linear->w_bytes(block), columns[j], sizeof columns[0], PRISM_F32, NR, block);
    }
}

static void pack_rows(char *panels, const float *x, size_t ldx, size_t rows, size_t k)
{
    for (size_t i = 0; i < rows; i += linear->mr)
        linear->pack_a(panels + i / linear->mr * linear->a_bytes(k), x + i * ldx, ldx, rows - i < linear->mr ? rows - i : linear->mr, k);
}

/* One row of raw products to probabilities exp(logit - max): keys begin .. end - 1 are seen, the rest of the block is 0. Rescales what the row
 * had. */
static void softmax_row(const struct parts *s, size_t row, size_t begin, size_t end, const struct prism_attn_tile *t)
{
    float *p = s->scores + row * t->block, max = s->max[row], sum = 0;

    for (size_t j = begin; j < end; j++) {
        p[j] *= t->scale;
        p[j] += 0 * p[j]; /* infinity to NaN: -infinity would have no weight */
        if (t->softcap > 0)
            p[j] = t->softcap * Sleef_tanhf_u10(p[j] / t->softcap);
        max = p[j] > max ? p[j] : max;
    }
    for (size_t j = begin; j < end; j++) {
        p[j] = Sleef_expf_u10(p[j] - max);
        sum += p[j];
    }
    for (size_t j = 0; j < t->block; j++)
        if (j < begin || j >= end)
            p[j] = 0;
    if (begin == end)
        return;
    float alpha = Sleef_expf_u10(s->max[row] - max); /* exp(-inf) = 0 at the row's first block */
    s->max[row] = max;
    s->sum[row] = s->sum[row] * alpha + sum;
    for (size_t j = 0; j < t->d; j++)
        s->out[row * t->d + j] *= alpha;
}

static void attend(const struct prism_attn_tile *t)
{
    struct parts s = scratch_parts(t->scratch, t->d, t->block);
    size_t k_bytes = k_block_bytes(t->d, t->block), v_bytes = v_block_bytes(t->d, t->block);

    assert(t->rows >= 1 && t->rows <= TILE_ROWS && t->d % NR == 0 && t->d <= PRISM_MAX_HEAD_DIM && t->kv_len >= t->q_pos + t->rows);
    pack_rows(s.q, t->q, t->ldq, t->rows, t->d);
    memset(s.out, 0, t->rows * t->d * sizeof(float));
    for (size_t r = 0; r < t->rows; r++)
        start_row(t, 1, &s.max[r], &s.sum[r]);
    for (size_t i = 0; i < t->n_blocks; i++) {
        const struct keys keys = keys_of_block(t, t->blocks[i]);
        linear->gemm(&(struct prism_gemm_args){ .c = s.scores, .ldc = t->block, .a = s.q, .rows = t->rows, .cols = t->block, .k = t->d,
                                           .w = (const char *)t->k + t->blocks[i] * k_bytes });
        for (size_t r = 0; r < t->rows; r++)
            softmax_row(&s, r, keys_gone(&keys, r), keys_seen(&keys, r), t);
        pack_rows(s.p, s.scores, t->block, t->rows, t->block);
        linear->gemm(&(struct prism_gemm_args){ .c = s.out, .ldc = t->d, .a = s.p, .rows = t->rows, .cols = t->d, .k = t->block,
                                           .w = (const char *)t->v + t->blocks[i] * v_bytes, .add = true });
    }
    for (size_t r = 0; r < t->rows; r++)
        for (size_t j = 0; j < t->d; j++)
            t->o[r * t->ldo + j] = s.out[r * t->d + j] / s.sum[r];
}

const struct prism_attention prism_attention_f32_generic = {
    .name = "f32", .tile_rows = TILE_ROWS,
    .k_block_bytes = k_block_bytes, .v_block_bytes = v_block_bytes, .tile_scratch = scratch_bytes,
    .pack_k = pack_k, .pack_v = pack_v, .tile = attend,
    .err = 1e-4f,
};
