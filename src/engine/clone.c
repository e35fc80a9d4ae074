/* clone.c - prism_context_clone: a second context with the settings and the tokens of a first. */
#include "src/engine/state.h"

#include <stdlib.h>
#include <string.h>

struct copy {
    const struct prism_state_piece *from, *to;
    size_t n;
};

/* A job is a row of a piece. */
static void copy_job(void *arg, size_t job, uint32_t thread)
{
    const struct copy *c = arg;
    size_t i = 0;

    (void)thread;
    for (; job >= c->from[i].count; i++)
        job -= c->from[i].count;
    memcpy(c->to[i].at + job * c->to[i].stride, c->from[i].at + job * c->from[i].stride, c->from[i].bytes);
}

static enum prism_status copy_state(const struct prism_context *from, struct prism_context *to, struct prism_error *err)
{
    struct prism_state_facts f = prism_state_facts(from);
    struct copy c = { 0 };
    struct prism_state_piece *a = prism_state_list(from, &f, &c.n), *b = prism_state_list(to, &f, &c.n);
    size_t jobs = 0;

    c.from = a, c.to = b;
    for (size_t i = 0; a && i < c.n; i++)
        jobs += a[i].count;
    if (a && b) {
        prism_kv_advise(to, 0, f.length);
        prism_team_run(to->team, jobs, copy_job, &c);
        prism_state_adopt(to, &f);
    }
    free(a);
    free(b);
    return a && b ? PRISM_OK : prism_fail(err, PRISM_E_NOMEM, "clone: out of memory");
}

enum prism_status prism_context_clone(const prism_context *c, prism_context **out, struct prism_error *err)
{
    struct prism_context *n;

    prism_error_clear(err);
    if (out)
        *out = NULL;
    if (!c || !out)
        return prism_fail(err, PRISM_E_ARG, "clone: %s (NULL)", c ? "there is nowhere to put it" : "there is no context");
    n = calloc(1, sizeof *n);
    if (!n)
        return prism_fail(err, PRISM_E_NOMEM, "clone: out of memory");
    n->model = c->model, n->kernels = c->kernels, n->attention = c->attention;
    n->plan = c->plan, n->compute = c->compute, n->k_cache = c->k_cache, n->v_cache = c->v_cache; /* their data comes with the layout */
    n->selection = c->selection, n->logits_n = c->logits_n, n->bind_threads = c->bind_threads;
    enum prism_status s = prism_context_open(n, err);
    if (!s)
        s = copy_state(c, n, err);
    if (s)
        prism_context_free(n);
    else
        *out = n;
    return s;
}
