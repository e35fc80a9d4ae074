/* delta.c - a layer with a gated delta net, slab by slab: products, convolution and gates, chunks, output (delta.h). */
#include "src/engine/delta.h"

#include <math.h>
#include <string.h>

#include "src/base/size.h"
#include "src/engine/layer.h"

/* A slab of a layer and what its jobs share. */
struct slab_job {
    struct prism_context *c;
    const struct prism_delta_spec *s;
    size_t n, pos, row;              /* rows, the first at absolute position pos, which is row `row` of the call */
    size_t room;                     /* rows that a head has room for */
    size_t first;                    /* row of the slab that leaves first */
    const float *from;               /* the state before the slab; NULL: zeros */
    float *to, *mark;                /* after it; to == from but in the first slab of a call. mark: NULL or that of the mark */
};

/* ---- the convolution's inputs from before the slab ---- */

static float *inputs_of(const struct prism_delta_spec *s, float *state) { return state + (size_t)s->n_value * s->d * s->d; }

static float *state_of(const struct prism_context *c, int which, size_t ordinal)
{
    return which < 0 ? NULL : c->delta.state[which] + ordinal * prism_delta_floats(c->delta.shape);
}

/* The rows in front of the slab: from the state, or zeros where the text begins. */
static void load_inputs(struct prism_context *c, const struct prism_delta_spec *s, float *state)
{
    size_t n = (s->n_conv - 1) * prism_delta_channels(s);

    if (state)
        memcpy(c->delta.in, inputs_of(s, state), n * sizeof(float));
    else
        memset(c->delta.in, 0, n * sizeof(float));
}

/* Those that a slab of n rows leaves. */
static void store_inputs(struct prism_context *c, const struct prism_delta_spec *s, float *state, size_t n)
{
    size_t channels = prism_delta_channels(s);
    memcpy(inputs_of(s, state), c->delta.in + n * channels, (s->n_conv - 1) * channels * sizeof(float));
}

/* ---- convolution, lengths, gates ---- */

/* y[t][d] = silu of the convolution of head `head`'s channels at row t. */
static void convolve(const struct slab_job *j, size_t head, float *y)
{
    const struct prism_delta_spec *s = j->s;
    size_t d = s->d, channels = prism_delta_channels(s), n_conv = s->n_conv;
    float w[PRISM_MAX_CONV][PRISM_MAX_HEAD_DIM];

    for (size_t i = 0; i < d; i++)
        for (size_t tap = 0; tap < n_conv; tap++)
            w[tap][i] = s->conv[(head * d + i) * n_conv + tap];
    for (size_t t = 0; t < j->n; t++, y += d) {
        const float *in = j->c->delta.in + t * channels + head * d;
        for (size_t i = 0; i < d; i++)
            y[i] = w[0][i] * in[i];
        for (size_t tap = 1; tap < n_conv; tap++)
            for (size_t i = 0; i < d; i++)
                y[i] += w[tap][i] * in[tap * channels + i];
        j->c->kernels->act[PRISM_ACT_SILU](y, d);
    }
}

/* Each row divided by its length, times `scale`. */
static void normalise(const struct slab_job *j, float *y, float scale)
{
    const struct prism_kernels *k = j->c->kernels;
    size_t d = j->s->d;

    for (size_t t = 0; t < j->n; t++, y += d) {
        k->rms_norm(y, y, NULL, d, j->s->eps / (float)d);
        k->scale(y, scale, d);
    }
}

/* x, and NaN in the place of an infinity, which would vanish in a function that has limits. */
static float finite_or_nan(float x) { return x + 0 * x; }

/* Head `head`'s beta, and the sums of its logarithms of decay from the beginning of each chunk. */
static void gates(const struct slab_job *j, size_t head)
{
    const struct prism_delta_spec *s = j->s;
    const struct prism_delta *own = &j->c->delta;
    double sum = 0;

    for (size_t t = 0; t < j->n; t++) {
        const float *scalars = own->scalars + t * 2 * s->n_value + head;
        float a = finite_or_nan(scalars[s->n_value] + s->alpha_bias[head]), softplus = a > 0 ? a + log1pf(expf(-a)) : log1pf(expf(a));
        sum = ((j->pos + t) % PRISM_DELTA_CHUNK == 0 ? 0 : sum) + (double)softplus * (double)s->decay[head];
        own->sums[head * j->room + t] = sum;
        own->beta[head * j->room + t] = 1 / (1 + expf(-finite_or_nan(scalars[0])));
    }
}

/* Jobs: heads of queries, keys, values. */
static void head_job(void *arg, size_t job, uint32_t thread)
{
    const struct slab_job *j = arg;
    const struct prism_delta_spec *s = j->s;
    float *y = j->c->delta.heads + job * j->room * s->d, length = sqrtf((float)s->d);

    (void)thread;
    convolve(j, job, y);
    if (job < s->n_key)
        normalise(j, y, 1 / (length * length)); /* queries: 1 / sqrt(d) as well */
    else if (job < 2 * (size_t)s->n_key)
        normalise(j, y, 1 / length);
    else
        gates(j, job - 2 * s->n_key);
}

/* ---- chunks: rows of the slab between multiples of PRISM_DELTA_CHUNK of the position ---- */

static size_t count_chunks(const struct slab_job *j) { return (j->pos + j->n - 1) / PRISM_DELTA_CHUNK - j->pos / PRISM_DELTA_CHUNK + 1; }

/* Chunk `number` of a key head; the row of the slab that it begins at. */
static size_t set_chunk(const struct slab_job *j, size_t number, size_t key_head, uint32_t thread, struct prism_delta_chunk *chunk)
{
    struct prism_context *c = j->c;
    const struct prism_delta_spec *s = j->s;
    size_t begin = (j->pos / PRISM_DELTA_CHUNK + number) * PRISM_DELTA_CHUNK, from = max_size(begin, j->pos), row = from - j->pos;

    *chunk = (struct prism_delta_chunk){
        .kernels = c->kernels, .n = min_size(begin + PRISM_DELTA_CHUNK, j->pos + j->n) - from, .d = s->d,
        .queries = c->delta.heads + (key_head * j->room + row) * s->d, .keys = c->delta.heads + ((s->n_key + key_head) * j->room + row) * s->d,
        .raw = c->delta.raw + 2 * (number * s->n_key + key_head), .scratch = prism_thread_scratch(c, thread),
    };
    return row;
}

/* Jobs: chunks of key heads. */
static void raw_job(void *arg, size_t job, uint32_t thread)
{
    const struct slab_job *j = arg;
    struct prism_delta_chunk chunk;

    set_chunk(j, job / j->s->n_key, job % j->s->n_key, thread, &chunk);
    prism_delta_raw(&chunk);
}

/* Jobs: value heads. */
static void value_job(void *arg, size_t head, uint32_t thread)
{
    const struct slab_job *j = arg;
    struct prism_delta *own = &j->c->delta;
    size_t size = (size_t)j->s->d * j->s->d;
    const float *from = j->from ? j->from + head * size : NULL;
    struct prism_delta_chunk chunk;

    for (size_t i = 0, n = count_chunks(j); i < n; i++, from = chunk.to) {
        size_t row = set_chunk(j, i, head % j->s->n_key, thread, &chunk);
        chunk.sums = own->sums + head * j->room + row, chunk.beta = own->beta + head * j->room + row;
        chunk.values = own->heads + ((2 * j->s->n_key + head) * j->room + row) * j->s->d;
        chunk.from = from, chunk.to = j->to + head * size;
        prism_delta_run(&chunk);
        if (j->mark && j->pos + row + chunk.n == own->mark_at)
            memcpy(j->mark + head * size, chunk.to, size * sizeof *chunk.to);
    }
}

/* ---- the output ---- */

/* What `out` multiplies: norm(o) * silu(gate). */
static void gated_rows(struct prism_context *c, void *arg, size_t row, size_t n_rows, float *out)
{
    const struct slab_job *j = arg;
    const struct prism_delta_spec *s = j->s;
    size_t d = s->d, inner = (size_t)s->n_value * d;
    float normed[PRISM_MAX_HEAD_DIM];

    for (size_t r = j->first + row; r < j->first + row + n_rows; r++)
        for (size_t h = 0; h < s->n_value; h++, out += d) {
            prism_normalise(c->kernels, &s->norm, normed, c->delta.heads + ((2 * s->n_key + h) * j->room + r) * d, d);
            memcpy(out, c->delta.gate + r * inner + h * d, d * sizeof *out);
            c->kernels->gate[PRISM_GATE_SWIGLU](out, normed, d);
        }
}

/* ---- a layer ---- */

/* Rows of the slab at position pos: it ends where a chunk does, and no rest of few rows is left, which would be multiplied another way. */
static size_t slab_rows(const struct prism_context *c, size_t pos, size_t left)
{
    size_t slab = c->plan.slab_tokens;

    if (left <= slab)
        return left;
    size_t n = (pos + slab) / PRISM_DELTA_CHUNK * PRISM_DELTA_CHUNK - pos;
    return left - n <= PRISM_FEW_TOKENS ? n - PRISM_DELTA_CHUNK : n;
}

static bool project(const struct slab_job *j, const struct prism_layer *l)
{
    struct prism_context *c = j->c;
    const struct prism_delta_spec *s = &l->delta;
    size_t n_embd = c->model->n_embd, channels = prism_delta_channels(s), inner = (size_t)s->n_value * s->d;
    struct prism_norm_rows source = { c->x + j->row * n_embd, &l->attn_norm, j->pos, PRISM_FAULT_INPUT };
    struct prism_product p[] = {
        { .m = s->qkv, .kind = prism_coarse(c, &s->qkv), .y = c->delta.in + (s->n_conv - 1) * channels, .ldy = channels },
        { .m = s->gate, .kind = prism_coarse(c, &s->gate), .y = c->delta.gate, .ldy = inner },
        { .m = s->beta, .kind = c->kernels->linear_f32, .y = c->delta.scalars, .ldy = 2 * s->n_value },
        { .m = s->alpha, .kind = c->kernels->linear_f32, .y = c->delta.scalars + s->n_value, .ldy = 2 * s->n_value },
    };

    return prism_products(c, &(struct prism_rows){ .fn = prism_norm_rows, .arg = &source }, j->n, n_embd, p, 4);
}

/* Operations of the chunks of n rows. */
static double chunk_work(const struct prism_delta_spec *s, double n)
{
    return n / PRISM_DELTA_CHUNK * (s->n_key * prism_delta_raw_work(PRISM_DELTA_CHUNK, s->d) + s->n_value * prism_delta_run_work(PRISM_DELTA_CHUNK, s->d));
}

static bool mix(struct slab_job *j)
{
    struct prism_context *c = j->c;
    const struct prism_delta_spec *s = j->s;

    return prism_context_run(c, PRISM_PHASE_ATTENTION, 2 * s->n_key + s->n_value, 0, head_job, j) &&
           prism_context_run(c, PRISM_PHASE_ATTENTION, count_chunks(j) * s->n_key, 0, raw_job, j) &&
           prism_context_run(c, PRISM_PHASE_ATTENTION, s->n_value, chunk_work(s, (double)j->n) / s->n_value, value_job, j);
}

static bool run_slab(struct slab_job *j, size_t index)
{
    struct prism_context *c = j->c;
    const struct prism_layer *l = &c->model->layers[index];
    const struct prism_delta *own = &c->delta;
    size_t end = j->pos + j->n;

    load_inputs(c, j->s, (float *)j->from);
    if (!project(j, l))
        return false;
    double attention = c->call_ms[PRISM_PHASE_ATTENTION];
    if (!mix(j))
        return false;
    c->layer_call[index].attention_ms += c->call_ms[PRISM_PHASE_ATTENTION] - attention;
    store_inputs(c, j->s, j->to, j->n);
    if (j->mark && own->mark_at > j->pos && own->mark_at <= end)
        store_inputs(c, j->s, j->mark, own->mark_at - j->pos);
    if (j->first >= j->n)
        return true;
    return prism_add_half(c, l, &(struct prism_half){ &l->delta.out, NULL, &(struct prism_rows){ .fn = gated_rows, .arg = j } }, j->row + j->first,
                          j->n - j->first, j->pos + j->first);
}

bool prism_layer_delta(struct prism_context *c, size_t index, struct prism_span span, size_t first)
{
    const struct prism_delta_spec *s = &c->model->layers[index].delta;
    size_t ordinal = 0;

    for (size_t l = 0; l < index; l++)
        ordinal += prism_is_delta(&c->model->layers[l]);
    float *to = state_of(c, c->delta.to, ordinal);
    struct slab_job j = { .c = c, .s = s, .room = c->plan.slab_tokens, .from = state_of(c, c->delta.from, ordinal), .to = to,
                          .mark = state_of(c, c->delta.mark, ordinal) };
    for (; j.row < span.n; j.row += j.n) {
        j.pos = span.pos + j.row;
        j.n = slab_rows(c, j.pos, span.n - j.row);
        j.first = first > j.row ? first - j.row : 0;
        if (!run_slab(&j, index))
            return false;
        j.from = to;
    }
    return true;
}

size_t prism_delta_scratch(const struct prism_context *c) { return c->delta.shape ? prism_delta_chunk_bytes(c->delta.shape->d) : 0; }

double prism_delta_work(const struct prism_context *c, const struct prism_layer *l, double rows, double out)
{
    const struct prism_delta_spec *s = &l->delta;
    double n_embd = c->model->n_embd;

    return 2 * rows * n_embd * (double)(s->qkv.rows + s->gate.rows + s->beta.rows + s->alpha.rows) + 2 * out * n_embd * (double)s->out.k +
           chunk_work(s, rows);
}
