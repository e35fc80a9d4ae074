/* attend.c - attention of a layer: chooses blocks where a selector does, then runs tiles or rows (layer.h). */
#include "src/engine/layer.h"

#include "src/attention/attention.h"
#include "src/base/size.h"
#include "src/engine/selection.h"

static bool run_phase(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    return prism_context_run(self, PRISM_PHASE_ATTENTION, n_jobs, work, fn, arg);
}

static bool select_and_attend(struct prism_context *c, size_t index, struct prism_span span, size_t first)
{
    const struct prism_attn_spec *spec = &c->model->layers[index].attn;
    const struct prism_kv_view kv = prism_kv_view(c, index, span.n);
    struct prism_mask mask;
    struct prism_attention_call a = {
        .kernels = c->kernels, .family = c->attention,
        .attn_row = c->compute == PRISM_COMPUTE_F32 ? c->kernels->attn_row : c->kernels->attn_row_auto, .runner = { run_phase, c },
        .n_threads = c->plan.n_threads,
        .q = c->q + first * spec->n_head * spec->head_dim, .n_rows = span.n - first, .q_pos = span.pos + first,
        .n_head = spec->n_head, .n_head_kv = spec->n_head_kv, .d = spec->head_dim,
        .scale = spec->scale, .softcap = spec->softcap, .window = spec->window, .chunked = spec->chunked, .sinks = spec->sinks,
        .k = kv.k, .v = kv.v, .k_head_bytes = kv.k_head_bytes, .v_head_bytes = kv.v_head_bytes, .capacity = kv.capacity,
        .k_format = c->k_cache.format, .v_format = c->v_cache.format,
        .block = c->plan.block, .blocks = c->blocks, .order = c->selection.order,
        .panels = c->attn_panels, .heads_at_once = prism_heads_at_once(c, index),
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

bool prism_layer_attend(struct prism_context *c, size_t index, struct prism_span span, size_t first)
{
    double attention = c->call_ms[PRISM_PHASE_ATTENTION], select = c->call_ms[PRISM_PHASE_SELECT];
    bool done = select_and_attend(c, index, span, first);

    c->layer_call[index].attention_ms = c->call_ms[PRISM_PHASE_ATTENTION] - attention;
    c->layer_call[index].select_ms = c->call_ms[PRISM_PHASE_SELECT] - select;
    return done;
}
