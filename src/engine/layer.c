/* layer.c - see layer.h. The order of operations is that of formats-and-peers.md 1.5: norm, q/k/v, head norms, RoPE, attention,
 * output projection, norm, gated FFN, each half added to the residual stream. */
#include "src/engine/layer.h"

#include "src/base/size.h"
#include "src/engine/selection.h"

enum {
    ROPE_ROWS = 16, /* rows of one rotation job, unless it pools a block of keys */
    FINE_BITS = 6,  /* a stored weight of more bits than these deserves finer activations */
};

/* ---- which kind multiplies a matrix ---- */

/* Keys and values (small, and read by every later token) and the down projection (its inputs are products of two activations, with heavy
 * tails) get the finer activations: on the 38M model in Q8_0 that takes the root mean square of the int8 error in the NLL from 0.028 to
 * 0.016. Not with weights of few bits, whose own error is far larger. In Q4_0 the root mean square goes from 0.025 to 0.016, too, and the
 * perplexity of 16 x 4096 tokens from +0.03 % to -0.01 % of that in fp32, each give or take 0.01 %; but the rounding of the weights is
 * +4 %, and a prefill of 512 tokens takes 1.2 times as long. */
const struct prism_linear *prism_fine_kind(const struct prism_kernels *kernels, enum prism_type type)
{
    const struct prism_linear *kind = kernels->linear_auto[type];
    const struct prism_type_info *t = &prism_types[type];
    return kind->finer && 8 * t->bytes > FINE_BITS * t->block ? kind->finer : kind;
}

/* kind, or fp32 where the context or the matrix asks for that. */
static const struct prism_linear *usable(const struct prism_context *c, const struct prism_matrix *m, const struct prism_linear *kind)
{
    return c->compute == PRISM_COMPUTE_F32 || m->k % kind->k_step ? c->kernels->linear_f32 : kind;
}

static const struct prism_linear *fine(const struct prism_context *c, const struct prism_matrix *m)
{
    return usable(c, m, prism_fine_kind(c->kernels, m->type));
}

static const struct prism_linear *coarse(const struct prism_context *c, const struct prism_matrix *m)
{
    return usable(c, m, c->kernels->linear_auto[m->type]);
}

/* ---- queries, keys, values ---- */

struct rope_job {
    struct prism_context *c;
    const struct prism_layer *layer;
    size_t index, n_rows, pos, rope_row; /* rope_row: row of the call (and of the table) that row 0 is */
    size_t grain;
    float *q;             /* [n_rows][n_head][d], in place */
    float *kv;            /* [n_rows][y_width]: keys, then values */
};

/* False: the head is not tame before its norm, or without one. */
static bool head_norm_rope(const struct prism_context *c, float *head, const float *norm, size_t table_row)
{
    const struct prism_hparams *hp = &c->model->hp;
    size_t half = hp->n_rot / 2;
    double squares = norm ? c->kernels->rms_norm(head, head, norm, hp->head_dim, hp->rms_eps) : prism_head_squares(c, head);

    c->kernels->rope(head, c->rope_cos + table_row * half, c->rope_sin + table_row * half, hp->n_rot, hp->rope_interleaved);
    return prism_is_tame(squares);
}

/* One token's rotated keys and its values enter the cache. tame: of the keys before their rotation. */
static void store_head(const struct rope_job *j, size_t head, size_t pos, const float *k, const float *v, bool tame)
{
    struct prism_context *c = j->c;
    size_t d = c->model->hp.head_dim;

    if (!tame)
        prism_note_fault(c, PRISM_FAULT_KEYS, pos, head);
    if (!prism_store_kv(c, c->k_cache.format, prism_kv_at(c, c->k_cache, j->index, head, pos), k))
        prism_note_fault(c, prism_is_finite(k, d) ? PRISM_FAULT_KEY_RANGE : PRISM_FAULT_KEYS, pos, head);
    if (!prism_store_kv(c, c->v_cache.format, prism_kv_at(c, c->v_cache, j->index, head, pos), v))
        prism_note_fault(c, prism_is_finite(v, d) ? PRISM_FAULT_VALUE_RANGE : PRISM_FAULT_VALUES, pos, head);
}

/* Positions of job on the absolute grid of j->grain, clipped to the rows of the slab. */
static void rope_job(void *arg, size_t job, uint32_t thread)
{
    const struct rope_job *j = arg;
    struct prism_context *c = j->c;
    const struct prism_hparams *hp = &c->model->hp;
    size_t d = hp->head_dim, from = (j->pos / j->grain + job) * j->grain, end = min_size(from + j->grain, j->pos + j->n_rows);

    (void)thread;
    for (size_t pos = from > j->pos ? from : j->pos; pos < end; pos++) {
        size_t row = pos - j->pos;
        float *k = j->kv + row * c->y_width, *v = k + hp->n_head_kv * d;
        for (size_t h = 0; h < hp->n_head; h++) {
            float *q = j->q + (row * hp->n_head + h) * d;
            if (!head_norm_rope(c, q, j->layer->q_norm, j->rope_row + row))
                prism_note_fault(c, PRISM_FAULT_QUERIES, pos, h);
            prism_selection_add_query(c, h, pos, q, pos % c->plan.block == 0 || j->rope_row + row == 0);
        }
        for (size_t h = 0; h < hp->n_head_kv; h++) {
            bool tame = head_norm_rope(c, k + h * d, j->layer->k_norm, j->rope_row + row);
            prism_selection_add_key(c, j->index, h, pos, k + h * d);
            store_head(j, h, pos, k + h * d, v + h * d, tame);
        }
    }
}

/* Rows of the slab at the beginning of the `left` rows of a call that are left. A rest of few rows would be multiplied another way than the
 * rows before it (linear.h), and the bits of a token's keys and values would depend on where its call began: so the slab before is shorter. */
static size_t slab_rows(const struct prism_context *c, size_t left)
{
    size_t slab = c->plan.slab_tokens;
    return left > slab && left - slab <= PRISM_FEW_TOKENS ? slab - 2 * PRISM_FEW_TOKENS : min_size(slab, left);
}

/* x -> c->q (rotated queries) and the cache, slab by slab. */
static bool run_qkv(struct prism_context *c, size_t index, struct prism_span span)
{
    const struct prism_hparams *hp = &c->model->hp;
    const struct prism_layer *l = &c->model->layers[index];
    size_t q_width = (size_t)hp->n_head * hp->head_dim, kv_width = (size_t)hp->n_head_kv * hp->head_dim;

    for (size_t row = 0, n; row < span.n; row += n) {
        n = slab_rows(c, span.n - row);
        struct prism_norm_rows source = { c->x + row * hp->n_embd, l->attn_norm, span.pos + row, PRISM_FAULT_INPUT };
        struct prism_product p[3] = {
            { .m = &l->q, .kind = coarse(c, &l->q), .bias = l->q_bias, .y = c->q + row * q_width, .ldy = q_width },
            { .m = &l->k, .kind = fine(c, &l->k), .bias = l->k_bias, .y = c->y, .ldy = c->y_width },
            { .m = &l->v, .kind = fine(c, &l->v), .bias = l->v_bias, .y = c->y + kv_width, .ldy = c->y_width },
        };
        size_t pos = span.pos + row, grain = c->selection.selector ? c->plan.block : ROPE_ROWS;
        struct rope_job r = { c, l, index, n, pos, row, grain, c->q + row * q_width, c->y };
        if (!prism_products(c, &(struct prism_rows){ .fn = prism_norm_rows, .arg = &source }, n, hp->n_embd, p, 3) ||
            !prism_context_run(c, PRISM_PHASE_OTHER, (pos + n - 1) / grain + 1 - pos / grain, 0, rope_job, &r))
            return false;
    }
    return true;
}

/* ---- attention ---- */

static bool run_attention_phase(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    return prism_context_run(self, PRISM_PHASE_ATTENTION, n_jobs, work, fn, arg);
}

static bool select_and_attend(struct prism_context *c, size_t index, struct prism_span span, size_t first)
{
    const struct prism_hparams *hp = &c->model->hp;
    struct prism_mask mask;
    struct prism_attention_call a = {
        .kernels = c->kernels, .family = c->attention,
        .attn_row = c->compute == PRISM_COMPUTE_F32 ? c->kernels->attn_row : c->kernels->attn_row_auto, .runner = { run_attention_phase, c },
        .q = c->q + first * hp->n_head * hp->head_dim, .n_rows = span.n - first, .q_pos = span.pos + first,
        .n_head = hp->n_head, .n_head_kv = hp->n_head_kv, .d = hp->head_dim, .scale = hp->attn_scale,
        .k = prism_kv_at(c, c->k_cache, index, 0, 0), .v = prism_kv_at(c, c->v_cache, index, 0, 0),
        .k_head_bytes = prism_kv_head_bytes(c, c->k_cache), .v_head_bytes = prism_kv_head_bytes(c, c->v_cache),
        .k_format = c->k_cache.format, .v_format = c->v_cache.format,
        .block = c->plan.block, .blocks = c->blocks, .order = c->selection.order,
        .panels = c->attn_panels, .heads_at_once = c->attn_heads,
        .scratch = c->thread_scratch, .scratch_bytes = c->thread_bytes,
    };
    if (prism_selection_active(c, index, span, a.n_rows)) {
        size_t end = span.pos + span.n;
        if (!prism_selection_run(c, index, span, &mask))
            return false;
        a.mask = &mask;
        a.dense_from = end - min_size(c->selection.dense_tail, end);
    } else if (!prism_selection_skip(c, index, span)) {
        return false;
    }
    return a.n_rows <= PRISM_FEW_TOKENS ? prism_attention_rows(&a) : prism_attention_tiles(&a);
}

static bool run_attention(struct prism_context *c, size_t index, struct prism_span span, size_t first)
{
    double attention = c->call_ms[PRISM_PHASE_ATTENTION], select = c->call_ms[PRISM_PHASE_SELECT];
    bool done = select_and_attend(c, index, span, first);

    c->layer_call[index].attention_ms = c->call_ms[PRISM_PHASE_ATTENTION] - attention;
    c->layer_call[index].select_ms = c->call_ms[PRISM_PHASE_SELECT] - select;
    return done;
}

/* ---- output projection and FFN ---- */

static void add_bias(const struct prism_context *c, float *x, const float *bias, size_t n_rows)
{
    for (size_t r = 0; bias && r < n_rows; r++)
        c->kernels->add(x + r * c->model->hp.n_embd, bias, c->model->hp.n_embd);
}

/* Rows [first, end) of the call, whose row 0 stands at absolute position pos. */
static bool run_ffn(struct prism_context *c, size_t index, size_t pos, size_t first, size_t end)
{
    const struct prism_hparams *hp = &c->model->hp;
    const struct prism_layer *l = &c->model->layers[index];
    size_t q_width = (size_t)hp->n_head * hp->head_dim;

    for (size_t row = first, n; row < end; row += n) {
        n = slab_rows(c, end - row);
        float *x = c->x + row * hp->n_embd;
        struct prism_norm_rows source = { x, l->ffn_norm, pos + row, PRISM_FAULT_ATTENTION };
        struct prism_rows attended = { .x = c->q + row * q_width, .ldx = q_width }, activated = { .x = c->y, .ldx = c->y_width };
        struct prism_product o = { .m = &l->o, .kind = coarse(c, &l->o), .y = x, .ldy = hp->n_embd, .add = true };
        struct prism_product gated = { .m = &l->gate, .kind = coarse(c, &l->gate), .bias = l->gate_bias, .y = c->y, .ldy = c->y_width,
                                       .up = &l->up, .up_bias = l->up_bias };
        struct prism_product down = { .m = &l->down, .kind = fine(c, &l->down), .y = x, .ldy = hp->n_embd, .add = true };

        gated.next = prism_next_kind(c, n, hp->n_embd, &gated, &down);
        activated.panels = gated.next ? (uint8_t *)c->y : NULL;
        add_bias(c, x, l->o_bias, n);
        if (!prism_products(c, &attended, n, q_width, &o, 1))
            return false;
        if (!prism_products(c, &(struct prism_rows){ .fn = prism_norm_rows, .arg = &source }, n, hp->n_embd, &gated, 1))
            return false;
        add_bias(c, x, l->down_bias, n);
        if (!prism_products(c, &activated, n, hp->n_ff, &down, 1))
            return false;
    }
    return true;
}

bool prism_layer_run(struct prism_context *c, size_t index, struct prism_span span, size_t first_needed)
{
    c->running_layer = index;
    return run_qkv(c, index, span) && run_attention(c, index, span, first_needed) && run_ffn(c, index, span.pos, first_needed, span.n);
}

double prism_layers_work(const struct prism_context *c, size_t n_layers, struct prism_span span, size_t first_needed)
{
    const struct prism_hparams *hp = &c->model->hp;
    double work = 0;

    for (size_t i = 0; i < n_layers; i++) {
        const struct prism_layer *l = &c->model->layers[i];
        double all = (double)span.n, out = i + 1 == n_layers ? (double)(span.n - first_needed) : all;
        double keys = out * ((double)(span.pos + span.n) - 0.5 * out);
        work += 2 * all * (double)hp->n_embd * (double)(l->q.rows + l->k.rows + l->v.rows);
        work += 2 * out * ((double)l->o.k * (double)hp->n_embd + 3 * (double)hp->n_embd * (double)hp->n_ff);
        work += 4 * keys * (double)hp->head_dim * (double)hp->n_head;
    }
    return work;
}
