/* run.c - see context.h: a call's beginning and end, the running of its phases, progress, what it adds to the statistics. */
#include <string.h>
#include <time.h>

#include "src/base/redzone.h"
#include "src/engine/finite.h"

double prism_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

struct guarded_job {
    struct prism_context *c;
    prism_job_fn *fn;
    void *arg;
    uint64_t work;
};

static bool is_cancelled(const struct prism_context *c) { return atomic_load_explicit(&c->cancelled, memory_order_relaxed); }

/* By the thread that called prism_prefill. Only at the end of a call, or of the last of a series, all its work is done, whatever the estimate
 * said. */
static void report(struct prism_context *c, bool end)
{
    if (!c->params || !c->params->progress || is_cancelled(c))
        return;
    struct prism_series alone = { c->work_total, 0, c->work_total, c->call_tokens, c->started_ms, true };
    const struct prism_series *s = c->series ? c->series : &alone;
    uint64_t done = end ? s->now : atomic_load_explicit(&c->work_done, memory_order_relaxed);
    bool all = end && s->last;
    done = s->before + (done < s->now ? done : s->now);
    done = all ? s->total : done < s->total ? done : s->total - 1;
    struct prism_progress p = {
        .done = done, .total = s->total, .tokens_total = s->n_tokens, .elapsed_ms = prism_now_ms() - s->started_ms,
        .tokens_done = all ? s->n_tokens : (size_t)((double)done / (double)s->total * (double)s->n_tokens),
    };
    if (c->params->progress(c->params->progress_user, &p))
        atomic_store_explicit(&c->cancelled, true, memory_order_relaxed);
}

void prism_context_begin(struct prism_context *c, const struct prism_prefill_params *params, size_t n_tokens, double work)
{
    c->params = params;
    c->call_tokens = n_tokens;
    c->work_total = work >= 1 ? (uint64_t)work : 1;
    c->started_ms = prism_now_ms();
    atomic_store(&c->work_done, 0);
    atomic_store(&c->cancelled, false);
    atomic_store(&c->fault, UINT64_MAX);
    memset(c->call_ms, 0, sizeof c->call_ms);
    memset(c->layer_call, 0, c->model->n_layer * sizeof *c->layer_call);
}

bool prism_context_end(struct prism_context *c, bool done)
{
    if (done)
        report(c, true);
    c->params = NULL;
    return done && !is_cancelled(c);
}

void prism_context_count(struct prism_context *c, size_t n_tokens)
{
    struct prism_stats *s = &c->stats;
    double all = prism_now_ms() - c->started_ms, linear = c->call_ms[PRISM_PHASE_LINEAR], attention = c->call_ms[PRISM_PHASE_ATTENTION];
    double select = c->call_ms[PRISM_PHASE_SELECT], other = all - linear - attention - select;

    if (n_tokens == 1) {
        s->decode_tokens++, s->decode_ms += all;
        s->decode_linear_ms += linear, s->decode_attention_ms += attention, s->decode_select_ms += select, s->decode_other_ms += other;
    } else {
        s->prefill_tokens += n_tokens, s->prefill_ms += all;
        s->linear_ms += linear, s->attention_ms += attention, s->select_ms += select, s->other_ms += other;
    }
    for (uint32_t i = 0; i < c->model->n_layer; i++) {
        c->layer_stats[i].attention_ms += c->layer_call[i].attention_ms;
        c->layer_stats[i].select_ms += c->layer_call[i].select_ms;
    }
}

static void guarded_job(void *arg, size_t job, uint32_t thread)
{
    struct guarded_job *g = arg;

    if (is_cancelled(g->c))
        return;
    prism_unpoison(prism_thread_scratch(g->c, thread), g->c->thread_used); /* each kind of job cuts it into its own pieces */
    g->fn(g->arg, job, thread);
    if (g->work)
        atomic_fetch_add_explicit(&g->c->work_done, g->work, memory_order_relaxed);
    if (thread == 0)
        report(g->c, false);
}

bool prism_context_run(struct prism_context *c, enum prism_phase phase, size_t n_jobs, double work, prism_job_fn *fn, void *arg)
{
    struct guarded_job g = { c, fn, arg, (uint64_t)work };
    double start = prism_now_ms();

    prism_team_run(c->team, n_jobs, guarded_job, &g);
    c->call_ms[phase] += prism_now_ms() - start;
    report(c, false); /* the other threads may have taken all the jobs */
    return !is_cancelled(c) && !prism_has_fault(c);
}
