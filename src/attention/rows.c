/* rows.c - see attention.h: a few query rows against the cache as stored. The heads of a group share a kv head, whose keys and values are
 * read once for all of them; long caches are cut into spans, so that all threads find work whatever the number of heads. */
#include "src/attention/attention.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "src/base/size.h"

enum { SPAN = 1024 }; /* keys of a job: the same for any number of threads, so that sums are */

/* The query rows of the heads of one kv head, [n_rows][group] as they lie: row i is a token's, i / group, and sees what it sees. */
struct row_jobs {
    const struct prism_attention_call *a;
    size_t group, n_q, n_passes, n_spans;
    size_t first_span; /* in which a row sees a key */
    float *parts; /* [n_head_kv][n_spans][n_q] x (maximum, sum, sums[d]), when there are several spans */
};

static float *query_row(const struct row_jobs *j, size_t kv, size_t i)
{
    return j->a->q + (i / j->group * j->a->n_head + kv * j->group + i % j->group) * j->a->d;
}

static float *part(const struct row_jobs *j, size_t kv, size_t span, size_t i)
{
    return j->parts + ((kv * j->n_spans + span) * j->n_q + i) * (j->a->d + 2);
}

size_t prism_attention_rows_bytes(size_t n_rows, size_t n_head, size_t d, size_t n_ctx)
{
    return n_rows * n_head * div_up(n_ctx, SPAN) * (d + 2) * sizeof(float);
}

/* A logit without a value, in the units of struct prism_attn_row. */
static void begin_with_sink(float sink, float *max, float *sum)
{
    if (sink == -INFINITY)
        return;
    *max = fminf(sink * 0x1.715476p0f, FLT_MAX); /* log2(e) */
    *sum = 1 + 0 * sink; /* NaN for +infinity and NaN */
}

/* Up to PRISM_ATTN_ROW_Q query rows of one kv head against the keys of one span. */
static void span_job(void *arg, size_t job, uint32_t thread)
{
    const struct row_jobs *j = arg;
    const struct prism_attention_call *a = j->a;
    size_t pass = job % j->n_passes, span = job / j->n_passes % j->n_spans, kv = job / j->n_passes / j->n_spans, d = a->d;
    size_t from[PRISM_ATTN_ROW_Q];
    size_t first = pass * PRISM_ATTN_ROW_Q, n = min_size(PRISM_ATTN_ROW_Q, j->n_q - first), seen[PRISM_ATTN_ROW_Q];
    size_t k_bytes = prism_kv_row_bytes(a->k_format, d), v_bytes = prism_kv_row_bytes(a->v_format, d), last = first + n - 1;
    size_t begin = (j->first_span + span) * SPAN, end = min_size(begin + SPAN, a->q_pos + last / j->group + 1);
    float q[PRISM_ATTN_ROW_Q * PRISM_MAX_HEAD_DIM], o[PRISM_ATTN_ROW_Q * PRISM_MAX_HEAD_DIM] = { 0 };
    float max[PRISM_ATTN_ROW_Q], sum[PRISM_ATTN_ROW_Q] = { 0 };

    for (size_t i = 0; i < n; i++) {
        max[i] = -INFINITY;
        if (a->sinks && span + 1 == j->n_spans)
            begin_with_sink(a->sinks[kv * j->group + (first + i) % j->group], &max[i], &sum[i]);
        memcpy(q + i * d, query_row(j, kv, first + i), d * sizeof *q);
    }
    for (size_t key = begin; key < end; key += PRISM_ATTN_ROW_KEYS) {
        size_t n_keys = min_size(PRISM_ATTN_ROW_KEYS, end - key), at = key % a->capacity;
        const uint8_t *k = a->k + kv * a->k_head_bytes + at * k_bytes, *v = a->v + kv * a->v_head_bytes + at * v_bytes;
        if (key + n_keys <= prism_first_key(a->window, a->chunked, a->q_pos + first / j->group))
            continue;
        for (size_t i = 0; i < n; i++) {
            size_t pos = a->q_pos + (first + i) / j->group, low = prism_first_key(a->window, a->chunked, pos);
            seen[i] = pos + 1 < key ? 0 : min_size(pos + 1 - key, n_keys);
            from[i] = low > key ? min_size(low - key, seen[i]) : 0;
        }
        a->attn_row(&(struct prism_attn_row){
            .q = q, .n_q = n, .d = d, .k = k, .v = v, .k_format = a->k_format, .v_format = a->v_format, .n_keys = n_keys, .seen = seen,
            .from = a->window ? from : NULL, .scale = a->scale, .softcap = a->softcap, .o = o, .max = max, .sum = sum,
            .scores = (float *)(void *)(a->scratch + (size_t)thread * a->scratch_bytes),
        });
    }
    for (size_t i = 0; i < n; i++) {
        float *to = j->n_spans == 1 ? query_row(j, kv, first + i) : part(j, kv, span, first + i) + 2;
        float divisor = j->n_spans == 1 ? sum[i] : 1;
        for (size_t c = 0; c < d; c++)
            to[c] = o[i * d + c] / divisor;
        if (j->n_spans > 1) {
            to[-2] = max[i];
            to[-1] = sum[i];
        }
    }
}

/* One query row: the spans' sums, each scaled to the largest maximum. */
static void merge_job(void *arg, size_t job, uint32_t thread)
{
    const struct row_jobs *j = arg;
    size_t kv = job / j->n_q, i = job % j->n_q, d = j->a->d;
    float *o = query_row(j, kv, i), max = -INFINITY, sum = 0;

    (void)thread;
    for (size_t s = 0; s < j->n_spans; s++)
        max = fmaxf(max, part(j, kv, s, i)[0]);
    memset(o, 0, d * sizeof *o);
    for (size_t s = 0; s < j->n_spans; s++) {
        const float *p = part(j, kv, s, i);
        float scale = exp2f(p[0] - max);
        sum += scale * p[1];
        for (size_t c = 0; c < d; c++)
            o[c] += scale * p[2 + c];
    }
    for (size_t c = 0; c < d; c++)
        o[c] /= sum;
}

bool prism_attention_rows(const struct prism_attention_call *a)
{
    size_t first = prism_first_key(a->window, a->chunked, a->q_pos);
    struct row_jobs j = { .a = a, .group = a->n_head / a->n_head_kv, .first_span = first / SPAN, .parts = (float *)(void *)a->panels };
    double work = 4.0 * (double)(a->q_pos + a->n_rows - first) * (double)a->d * (double)(a->n_rows * a->n_head);

    j.n_spans = div_up(a->q_pos + a->n_rows, SPAN) - j.first_span;
    j.n_q = a->n_rows * j.group;
    j.n_passes = div_up(j.n_q, PRISM_ATTN_ROW_Q);
    size_t jobs = a->n_head_kv * j.n_spans * j.n_passes;
    if (!a->runner.run(a->runner.self, jobs, work / (double)jobs, span_job, &j))
        return false;
    return j.n_spans == 1 || a->runner.run(a->runner.self, a->n_head_kv * j.n_q, 0, merge_job, &j);
}
