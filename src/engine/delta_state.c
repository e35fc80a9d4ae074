/* delta_state.c - the states of delta nets: memory, which of them a call reads and writes, what a context may be cut to (delta.h). */
#include "src/engine/delta.h"

#include <string.h>

#include "src/base/size.h"
#include "src/engine/context.h"
#include "src/engine/layer.h"

/* ---- memory ---- */

static void find_shape(struct prism_context *c)
{
    struct prism_delta *d = &c->delta;

    d->n_layers = 0;
    d->shape = NULL;
    for (size_t l = 0; l < c->model->n_layer; l++)
        if (prism_is_delta(&c->model->layers[l])) {
            d->shape = &c->model->layers[l].delta;
            d->n_layers++;
        }
}

size_t prism_delta_floats(const struct prism_delta_spec *s)
{
    return round_up((size_t)s->n_value * s->d * s->d + (s->n_conv - 1) * prism_delta_channels(s), 16);
}

void prism_delta_layout(struct prism_context *c, struct prism_arena *a)
{
    struct prism_delta *d = &c->delta;

    find_shape(c);
    if (!d->shape)
        return;
    const struct prism_delta_spec *s = d->shape;
    size_t slab = c->plan.slab_tokens, chunks = slab / PRISM_DELTA_CHUNK + 2; /* the first and the last may be parts */
    d->in = prism_arena_take(a, (s->n_conv - 1 + slab) * prism_delta_channels(s), sizeof(float));
    d->gate = prism_arena_take(a, slab * s->n_value * s->d, sizeof(float));
    d->scalars = prism_arena_take(a, slab * 2 * s->n_value, sizeof(float));
    d->heads = prism_arena_take(a, slab * prism_delta_channels(s), sizeof(float));
    d->beta = prism_arena_take(a, slab * s->n_value, sizeof(float));
    d->sums = prism_arena_take(a, slab * s->n_value, sizeof(double));
    d->raw = prism_arena_take(a, chunks * s->n_key * 2, sizeof *d->raw);
}

void prism_delta_layout_states(struct prism_context *c, struct prism_arena *a)
{
    for (size_t i = 0; c->delta.shape && i < PRISM_DELTA_STATES; i++)
        c->delta.state[i] = prism_arena_take(a, c->delta.n_layers * prism_delta_floats(c->delta.shape), sizeof(float));
}

/* ---- which state ---- */

static int find(const struct prism_delta *d, size_t end)
{
    for (int i = 0; i < PRISM_DELTA_STATES; i++)
        if (end > 0 && d->end[i] == end)
            return i;
    return -1;
}

/* Tokens that would have to be computed again if this state were gone: to the state before it. */
static uint64_t worth(const struct prism_delta *d, int which)
{
    uint64_t before = 0;
    for (int i = 0; i < PRISM_DELTA_STATES; i++)
        if (d->end[i] < d->end[which] && d->end[i] > before)
            before = d->end[i];
    return d->end[which] - before;
}

/* A state to write: a free one, or that of least worth, which is forgotten. Not `from`, nor `other`. */
static int take(struct prism_delta *d, int from, int other)
{
    int best = -1;

    for (int i = 0; i < PRISM_DELTA_STATES; i++)
        if (i != from && i != other && (best < 0 || worth(d, i) < worth(d, best)))
            best = i;
    d->end[best] = 0;
    return best;
}

/* Where the call leaves a mark: behind which more than a few rows follow, those of this call, or those of any that goes on at `wanted`. */
static size_t mark_of(const struct prism_context *c, struct prism_span span)
{
    size_t grid = prism_delta_grid(c), end = span.pos + span.n, few = PRISM_FEW_TOKENS;
    size_t last = end > few ? (end - few - 1) / grid * grid : 0, wanted = c->delta.wanted > few ? (c->delta.wanted - few) / grid * grid : 0;

    if (wanted > span.pos && wanted < last)
        return wanted;
    return last > span.pos ? last : 0;
}

void prism_delta_begin(struct prism_context *c, struct prism_span span)
{
    struct prism_delta *d = &c->delta;

    if (!d->shape)
        return;
    if (span.pos == 0) /* also when all tokens are made again */
        memset(d->end, 0, sizeof d->end);
    d->from = find(d, span.pos);
    d->to = take(d, d->from, -1);
    d->mark_at = mark_of(c, span);
    d->mark = d->mark_at ? take(d, d->from, d->to) : -1;
}

void prism_delta_commit(struct prism_context *c, size_t length)
{
    struct prism_delta *d = &c->delta;

    if (!d->shape)
        return;
    d->end[d->to] = length;
    if (d->mark >= 0)
        d->end[d->mark] = d->mark_at;
}

/* ---- cuts ---- */

size_t prism_delta_grid(const struct prism_context *c)
{
    return c->delta.shape ? max_size(c->plan.block, PRISM_DELTA_CHUNK) : c->plan.block;
}

bool prism_delta_can_cut(const struct prism_context *c, size_t n) { return n == 0 || !c->delta.shape || find(&c->delta, n) >= 0; }

void prism_delta_truncate(struct prism_context *c)
{
    for (int i = 0; i < PRISM_DELTA_STATES; i++)
        if (c->delta.end[i] > c->length)
            c->delta.end[i] = 0;
}

size_t prism_delta_kept(const struct prism_context *c, size_t n, size_t grid)
{
    uint64_t most = 0;

    if (!c->delta.shape)
        return n;
    for (int i = 0; i < PRISM_DELTA_STATES; i++)
        if (c->delta.end[i] <= n && c->delta.end[i] % grid == 0 && c->delta.end[i] > most)
            most = c->delta.end[i];
    return (size_t)most;
}
