/* prefill.c - the whole prompt through layer i before layer i + 1, then the logits that were asked for. */
#include "src/base/size.h"
#include "src/engine/layer.h"
#include "src/engine/reuse.h"
#include "src/engine/selection.h"

#include <string.h>

enum { EMBED_ROWS = 64, ROPE_TABLE_ROWS = 64, SCALE_LOGITS = 8192 };

struct call {
    struct prism_context *c;
    struct prism_span span; /* of c->tokens */
    size_t n_again;         /* its first rows, which were in the cache before but with the other frequencies */
    const double *freq;
    size_t first_needed;    /* row that leaves the last of n_layers layers first */
    size_t n_layers, n_logits;
};

static void embed_job(void *arg, size_t job, uint32_t thread)
{
    const struct call *call = arg;
    struct prism_context *c = call->c;

    (void)thread;
    for (size_t t = job * EMBED_ROWS, end = min_size(t + EMBED_ROWS, call->span.n); t < end; t++)
        prism_embed(c, c->tokens[call->span.pos + t], c->x + t * c->model->n_embd);
}

static size_t rope_jobs(const struct call *call) { return div_up(call->span.n, ROPE_TABLE_ROWS); }

static void rope_table_job(void *arg, size_t job, uint32_t thread)
{
    const struct call *call = arg;
    struct prism_context *c = call->c;
    size_t i = job / rope_jobs(call), row = job % rope_jobs(call) * ROPE_TABLE_ROWS;
    const struct prism_rope *r = &c->model->ropes[i];
    size_t half = r->n_rot / 2;

    (void)thread;
    c->kernels->rope_table(c->rope[i].cos + row * half, c->rope[i].sin + row * half, i == 0 ? call->freq : r->freq, half, call->span.pos + row,
                           min_size(ROPE_TABLE_ROWS, call->span.n - row), r->mag);
}

/* ---- logits ---- */

/* Whether a row may be delivered. */
static bool check_logits(const struct call *call, size_t row, const float *logits)
{
    bool finite = prism_is_finite(logits, call->c->model->n_vocab);

    if (!finite)
        prism_note_fault(call->c, PRISM_FAULT_LOGITS, call->span.pos + row, 0);
    return finite;
}

struct deliver_job {
    const struct call *call;
    size_t row, n; /* rows of the call's span */
};

enum { DELIVER_ROWS = 8 };

static void deliver_job(void *arg, size_t job, uint32_t thread)
{
    const struct deliver_job *d = arg;
    struct prism_context *c = d->call->c;
    size_t row = job * DELIVER_ROWS, n = min_size(DELIVER_ROWS, d->n - row), good = 0;
    const float *logits = c->logits_rows + row * c->model->n_vocab;

    (void)thread;
    while (good < n && check_logits(d->call, d->row + row + good, logits + good * c->model->n_vocab))
        good++;
    if (good > 0)
        c->params->logits(c->params->logits_user, d->row + row - d->call->n_again, good, logits);
}

/* Scale, then cap, in the order of the models that do both. The cap of an infinity is NaN, which check_logits finds. */
struct scale_job {
    const struct prism_context *c;
    float *logits; /* [n], of all rows */
    size_t n;
};

static void scale_job(void *arg, size_t job, uint32_t thread)
{
    const struct scale_job *j = arg;
    const struct prism_model *m = j->c->model;
    size_t at = job * SCALE_LOGITS, n = min_size(SCALE_LOGITS, j->n - at);

    (void)thread;
    if (m->logit_scale != 1)
        j->c->kernels->scale(j->logits + at, m->logit_scale, n);
    if (m->logit_softcap != 0)
        j->c->kernels->softcap(j->logits + at, m->logit_softcap, n);
}

static bool scale_logits(struct prism_context *c, float *logits, size_t n)
{
    struct scale_job j = { c, logits, n };
    bool plain = c->model->logit_scale == 1 && c->model->logit_softcap == 0;
    return plain || prism_context_run(c, PRISM_PHASE_OTHER, div_up(n, SCALE_LOGITS), 0, scale_job, &j);
}

/* The output matrix is never multiplied with int8 activations, whose steps would show undamped in the logits: many rows are multiplied in
 * fp32, a few (the one row of an ordinary prefill) as stored, with activations of two bytes at least.
 * logits[n][n_vocab] of n rows that start at row `row` of the call. */
static bool compute_logits(const struct call *call, size_t row, size_t n, float *logits)
{
    struct prism_context *c = call->c;
    const struct prism_model *m = c->model;
    struct prism_norm_rows source = { c->x + row * m->n_embd, &m->output_norm, call->span.pos + row, PRISM_FAULT_INPUT };
    struct prism_product p = { .m = m->output, .kind = c->kernels->linear_f32, .bias = m->output_bias, .y = logits, .ldy = m->n_vocab };

    return prism_products(c, &(struct prism_rows){ .fn = prism_norm_rows, .arg = &source }, n, m->n_embd, &p, 1) &&
           scale_logits(c, logits, n * m->n_vocab);
}

static bool run_logits(const struct call *call)
{
    struct prism_context *c = call->c;

    c->running_layer = call->n_layers;
    if (c->params && c->params->logits)
        for (size_t row = call->first_needed; row < call->span.n; row += c->logits_n) {
            struct deliver_job d = { call, row, min_size(c->logits_n, call->span.n - row) };
            if (!compute_logits(call, row, d.n, c->logits_rows) ||
                !prism_context_run(c, PRISM_PHASE_OTHER, (d.n + DELIVER_ROWS - 1) / DELIVER_ROWS, 0, deliver_job, &d))
                return false;
            if (row + d.n == call->span.n)
                memcpy(c->logits_next, c->logits_rows + (d.n - 1) * c->model->n_vocab, c->model->n_vocab * sizeof(float));
        }
    else if (!compute_logits(call, call->span.n - 1, 1, c->logits_next) || !check_logits(call, call->span.n - 1, c->logits_next))
        return false;
    return true;
}

/* ---- the call ---- */

static bool run(const struct call *call)
{
    struct prism_context *c = call->c;
    size_t n = call->span.n;

    if (!prism_context_run(c, PRISM_PHASE_OTHER, (n + EMBED_ROWS - 1) / EMBED_ROWS, 0, embed_job, (void *)call) ||
        !prism_context_run(c, PRISM_PHASE_OTHER, c->model->n_ropes * rope_jobs(call), 0, rope_table_job, (void *)call))
        return false;
    for (size_t i = 0; i < call->n_layers; i++)
        if (!prism_layer_run(c, i, call->span, i + 1 == call->n_layers ? call->first_needed : 0))
            return false;
    return call->n_logits == 0 || run_logits(call);
}

enum prism_status prism_check_ids(const struct prism_context *c, const int32_t *tokens, size_t n, struct prism_error *err)
{
    uint32_t n_vocab = c->model->n_vocab;

    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab)
            return prism_fail(err, PRISM_E_ARG, "token %zu: expected an id of 0..%u, found %d", i, n_vocab - 1, tokens[i]);
    return PRISM_OK;
}

static enum prism_status check_tokens(const prism_context *c, const int32_t *tokens, size_t n, struct prism_error *err)
{
    if (n == 0)
        return prism_fail(err, PRISM_E_ARG, "prefill: expected at least 1 token, found 0");
    if (n > c->plan.n_ctx - c->length)
        return prism_fail(err, PRISM_E_LENGTH, "%zu tokens after %zu in the cache: the context holds %u", n, c->length, c->plan.n_ctx);
    return prism_check_ids(c, tokens, n, err);
}

/* longrope has two sets of frequencies: one for as many tokens as the model was first trained with, one for more. Which it is depends on the
 * tokens in the cache when the call is done, as in the models' own code, so that logits depend on the tokens alone. Keys that were
 * rotated with the other set are made again, and with them everything that later layers made of them. */
static void set_span(struct call *call, size_t n)
{
    const struct prism_context *c = call->c;
    const struct prism_model *m = c->model;

    call->freq = prism_frequencies(m, c->length + n);
    call->n_again = c->cached_freq == call->freq ? 0 : c->length;
    call->span = (struct prism_span){ call->n_again + n, c->length - call->n_again };
}

/* What the parameters ask for: layers, rows, logits. */
static enum prism_status set_extent(struct call *call, const struct prism_prefill_params *params, struct prism_error *err)
{
    size_t n = call->span.n - call->n_again;

    call->n_layers = call->c->model->n_layer;
    call->first_needed = call->span.n - 1;
    call->n_logits = 1;
    if (params && params->n_layers) {
        if (params->n_layers > call->n_layers)
            return prism_fail(err, PRISM_E_ARG, "n_layers: expected 0..%zu, found %u", call->n_layers, params->n_layers);
        if (params->logits)
            return prism_fail(err, PRISM_E_ARG, "n_layers: there are no logits after %u layers", params->n_layers);
        call->n_layers = params->n_layers;
        call->first_needed = call->n_logits = 0;
    } else if (params && params->logits) {
        if (params->logits_from >= n)
            return prism_fail(err, PRISM_E_ARG, "logits_from: expected 0..%zu, found %zu", n - 1, params->logits_from);
        call->first_needed = call->n_again + params->logits_from;
        call->n_logits = n - params->logits_from;
    }
    return PRISM_OK;
}

/* Nothing of the context that a caller can see changes before this. */
static void commit(const struct call *call, size_t length, bool all_rows)
{
    struct prism_context *c = call->c;
    float *last = c->logits;

    c->cached_freq = call->n_again && call->n_layers < c->model->n_layer ? NULL : call->freq;
    c->length = length;
    prism_delta_commit(c, length);
    c->kept_from = prism_kv_kept_from(c, call->span.pos ? c->kept_from : 0, length);
    c->logits_valid = call->n_logits > 0;
    if (c->logits_valid) {
        c->logits = c->logits_next;
        c->logits_next = last;
    }
    prism_reuse_note(c, call->span, call->n_layers == c->model->n_layer, all_rows);
    prism_context_count(c, call->span.n - call->n_again);
    prism_selection_count(c);
}

double prism_call_work(const struct prism_context *c, size_t pos, size_t n)
{
    return prism_layers_work(c, c->model->n_layer, (struct prism_span){ n, pos }, n - 1) + 2.0 * c->model->n_embd * c->model->n_vocab;
}

enum prism_status prism_prefill(prism_context *c, const int32_t *tokens, size_t n, const struct prism_prefill_params *params,
                                struct prism_error *err)
{
    struct call call = { .c = c };
    size_t length = prism_length(c);

    prism_error_clear(err);
    if (!c || (!tokens && n))
        return prism_fail(err, PRISM_E_ARG, "prefill: the %s NULL", c ? "tokens are" : "context is");
    enum prism_status s = check_tokens(c, tokens, n, err);
    if (s)
        return s;
    set_span(&call, n);
    if ((s = set_extent(&call, params, err)))
        return s;
    memcpy(c->tokens + length, tokens, n * sizeof *tokens);
    prism_context_begin(c, params, n, prism_layers_work(c, call.n_layers, call.span, call.first_needed) +
                                          2.0 * (double)call.n_logits * c->model->n_embd * c->model->n_vocab);
    c->length = call.span.pos;
    prism_context_advise(c, call.span.pos, call.span.n);
    prism_selection_begin(c, call.span.n);
    prism_delta_begin(c, call.span);
    prism_team_begin(c->team);
    bool done = run(&call);
    prism_team_end(c->team);
    if (!prism_context_end(c, done)) {
        prism_selection_cancel(c);
        c->length = length;
        c->kept_from = min_size(prism_kv_kept_from(c, c->kept_from, call.span.pos + call.span.n), length);
        if (call.n_again || !prism_kv_can_cut(c, length))
            c->cached_freq = NULL;
        return prism_has_fault(c) ? prism_fail_fault(c, err) : prism_fail(err, PRISM_E_CANCELLED, "prefill: cancelled");
    }
    commit(&call, length + n, params && params->logits);
    return PRISM_OK;
}

enum prism_status prism_decode(prism_context *c, int32_t token, struct prism_error *err) { return prism_prefill(c, &token, 1, NULL, err); }
