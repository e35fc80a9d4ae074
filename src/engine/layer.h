/* layer.h - one transformer layer over all tokens of a call: its parts in the order in which they run. Private to src/engine. */
#ifndef PRISM_ENGINE_LAYER_H
#define PRISM_ENGINE_LAYER_H

#include "src/engine/linear.h"

/* The tokens of the call: n rows of c->x, the first at absolute position pos. */
struct prism_span {
    size_t n, pos;
};

/* Runs layer `index`. Only rows from first_needed on leave the layer (the last layer of a prompt needs one); keys and values of all
 * rows enter the cache. Returns false when cancelled. */
bool prism_layer_run(struct prism_context *c, size_t index, struct prism_span span, size_t first_needed);

/* Progress units of the first n_layers layers for a call; attention counts like in prism_layer_run. */
double prism_layers_work(const struct prism_context *c, size_t n_layers, struct prism_span span, size_t first_needed);

/* ---- the parts; each returns false when cancelled ---- */

/* x -> c->q (rotated queries) and the layer's cache. qkv.c */
bool prism_layer_qkv(struct prism_context *c, size_t index, struct prism_span span);

/* c->q of rows from `first` on becomes the output of attention. attend.c */
bool prism_layer_attend(struct prism_context *c, size_t index, struct prism_span span, size_t first);

/* What attention (its output projection) and the FFN add to rows [first, end) of the call, whose row 0 stands at absolute position pos. Both:
 * rows pass through one after the other while they are hot. ffn.c */
enum prism_halves { PRISM_BOTH_HALVES, PRISM_ATTENTION, PRISM_FFN };
bool prism_layer_halves(struct prism_context *c, size_t index, size_t pos, size_t first, size_t end, enum prism_halves halves);

/* The product that ends the first half of a layer: rows of m.k activations, m and its bias or NULL. */
struct prism_half {
    const struct prism_matrix *m;
    const float *bias;
    const struct prism_rows *rows;
};

/* Adds it to n rows of x from row `row` of the call on, the first at absolute position pos, normalised where the layer has such a norm. ffn.c */
bool prism_add_half(struct prism_context *c, const struct prism_layer *l, const struct prism_half *half, size_t row, size_t n, size_t pos);

/* The products of a layer's queries, or of the gates of its heads: one, or one for each head where both lie in one matrix. y: row stride of all heads.
 * Returns how many. qkv.c */
enum prism_query_part { PRISM_QUERIES, PRISM_GATES };
enum { PRISM_MAX_QUERY_PRODUCTS = PRISM_MAX_GATED_HEADS };
size_t prism_query_products(const struct prism_context *c, const struct prism_attn_spec *a, enum prism_query_part part, float *y,
                            struct prism_product *p);

/* x += what the chosen experts make of the rows [first, end) of x, normalised, and the shared expert if there is one. Uses c->q. experts.c */
bool prism_layer_experts(struct prism_context *c, size_t index, size_t pos, size_t first, size_t end);

/* Whether what the experts of a layer add, and what the dense FFN beside them does, waits for norms. */
static inline bool prism_experts_wait(const struct prism_layer *l)
{
    return l->ffn.experts.n > 0 && (l->ffn_post_norm.kind || l->ffn.experts.post_norm.kind || l->ffn.dense_post_norm.kind);
}

/* What of rows [first, end) is left to do behind both halves: the layer's own embedding, its scale. embed.c */
bool prism_layer_end(struct prism_context *c, size_t index, size_t pos, size_t first, size_t end);

/* out = the embedding of a token, n_embd values. embed.c */
void prism_embed(const struct prism_context *c, int32_t token, float *out);

/* x += factor * norm(c->half), n rows of which row 0 stands at pos; a row that is not tame is noted as `fault`. ffn.c */
bool prism_add_normalised(struct prism_context *c, const struct prism_norm *norm, float factor, float *x, size_t n, size_t pos, enum prism_fault fault);

/* What experts take of memory. */
void prism_experts_layout(struct prism_context *c, struct prism_arena *a);
size_t prism_experts_rows(const struct prism_context *c, size_t n_tokens); /* of their products, at most; 0: the model has no experts */
size_t prism_experts_scratch(const struct prism_context *c); /* bytes of a thread, for the numbers of a row's experts */

/* ---- shared by them ---- */

/* Rows of the slab at the beginning of the `left` rows of a call that are left. A rest of few rows would be multiplied another way than the
 * rows before it (linear.h), and the bits of a token's keys and values would depend on where its call began: so the slab before is shorter. */
size_t prism_slab_rows(const struct prism_context *c, size_t left);

/* One FFN, `act(gate, up)` then `down`, on rows of the call: x from row `row` on, source as given, becomes
 * x += factor * weight * ffn(source). Or, where `made` is not NULL, made = ffn(source). */
struct prism_ffn_rows {
    const struct prism_ffn *ffn;
    const struct prism_rows *source;
    size_t n;
    float *x;                /* [n][n_embd] */
    float factor;
    const float *weight;     /* [n] or NULL */
    float *made;             /* [n][n_embd] or NULL */
};
bool prism_run_ffn(struct prism_context *c, const struct prism_ffn_rows *f);

/* Of the kinds for weights of a type (compute auto), that of the products which need finer activations most: keys, values, down. beside: the type of
 * the matrix whose error they share: that of queries, which reads the same; up, whose product down reads. kinds.c */
const struct prism_linear *prism_fine_kind(const struct prism_kernels *kernels, enum prism_type type, enum prism_type beside);

/* The kind for a matrix whose products need finer activations, and for the others. */
const struct prism_linear *prism_fine(const struct prism_context *c, const struct prism_matrix *m, const struct prism_matrix *beside);
const struct prism_linear *prism_coarse(const struct prism_context *c, const struct prism_matrix *m);

#endif
