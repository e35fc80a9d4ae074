/* select_define.c - see select_define.h. */
#include "tests/support/select_define.h"
#include "src/base/size.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Logits are sums of at most MAX_TERMS products, whose magnitudes add up to less than MAX_LOGIT (checked): rounding moves one by less than
 * MAX_TERMS * 2^-24 * MAX_LOGIT < 7e-4, and a probability by twice that (its own logit and the sum) and 2e-6 for the softmax, relative. */
#define NEAR 1.5e-3
enum { MAX_TERMS = 384, MAX_LOGIT = 30, MAX_TOKENS = DEFINE_MAX_TOKENS, MAX_BLOCKS = DEFINE_MAX_BLOCKS };

struct entry {
    double x;
    size_t i;
};

static int descending(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->x != y->x ? (x->x < y->x) - (x->x > y->x) : (x->i > y->i) - (x->i < y->i);
}

static void sort(struct entry *e, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        e[i] = (struct entry){ x[i], i };
    qsort(e, n, sizeof *e, descending);
}

/* Whether the choice of the first `count` of sorted entries hangs on rounding. Values that are equal by force (infinite) do not. */
static bool near_tie(const struct entry *e, size_t count, size_t n)
{
    return count > 0 && count < n && isfinite(e[count - 1].x) && e[count - 1].x - e[count].x <= NEAR * e[count - 1].x;
}

static double logit(const struct select_case *c, size_t h, size_t q, size_t k)
{
    const float *a = c->q + (q * c->n_head + h) * c->d, *b = c->k + (h / (c->n_head / c->n_head_kv) * c->n_tokens + k) * c->d;
    double sum = 0, magnitude = 0;
    for (size_t i = 0; i < c->d; i++) {
        sum += (double)a[i] * (double)b[i];
        magnitude += fabs((double)a[i] * (double)b[i]);
    }
    assert_true((double)c->scale * magnitude < MAX_LOGIT);
    return (double)c->scale * sum;
}

static void softmax(double *x, size_t n)
{
    double most = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = fmax(most, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += x[i] = exp(x[i] - most);
    for (size_t i = 0; i < n; i++)
        x[i] /= sum;
}

/* Columns and distances of the `last` queries before to, as mean over the queries. */
static void measure(const struct select_case *c, size_t to, size_t h, size_t last, double *column, double *distance)
{
    double p[MAX_TOKENS];

    memset(column, 0, to * sizeof *column);
    memset(distance, 0, to * sizeof *distance);
    for (size_t q = to - last; q < to; q++) {
        for (size_t k = 0; k <= q; k++)
            p[k] = logit(c, h, q, k);
        softmax(p, q + 1);
        for (size_t k = 0; k <= q; k++)
            column[k] += p[k] / (double)last, distance[q - k] += p[k] / (double)last;
    }
}

/* ---- streaming ---- */

void select_define_streaming(const struct select_case *c, size_t from, size_t to, size_t h, struct select_choice *out)
{
    (void)h;
    *out = (struct select_choice){ 0 };
    for (size_t u = from / c->block; u <= (to - 1) / c->block; u++)
        for (size_t key = 0; key < (u + 1) * c->block; key++)
            out->want[u][key / c->block] |= key < c->params.sink || u * c->block < key + c->params.window; /* key > uB - window */
}

/* ---- vertical-slash ---- */

void select_define_vertical_slash(const struct select_case *c, size_t from, size_t to, size_t h, struct select_choice *out)
{
    double column[MAX_TOKENS], distance[MAX_TOKENS];
    struct entry e[MAX_TOKENS];
    size_t v = min_size(to, max_size(c->params.vertical, 30)), s = min_size(to, max_size(c->params.slash, 50)), B = c->block;

    *out = (struct select_choice){ 0 };
    measure(c, to, h, min_size(64, to - from), column, distance);
    for (size_t i = 0; i < to; i++) {
        column[i] = i < 30 ? INFINITY : column[i];
        distance[i] = i < 100 ? INFINITY : distance[i];
    }
    sort(e, column, to);
    bool near = near_tie(e, v, to);
    for (size_t i = 0; i < v; i++)
        for (size_t u = 0; u < MAX_BLOCKS; u++)
            out->want[u][e[i].i / B] = true;
    sort(e, distance, to);
    near |= near_tie(e, s, to);
    for (size_t i = 0; i < s; i++)
        for (size_t pos = e[i].i; pos < MAX_BLOCKS * B; pos++) /* all pairs of tokens at this distance */
            out->want[pos / B][(pos - e[i].i) / B] = true;
    memset(out->near, near, sizeof out->near);
}

/* ---- flexprefill ---- */

/* Entries of descending e whose sum is at most the share, and one more; *near: rounding may change its number of blocks. */
static size_t flex_blocks(const double *x, size_t n, double gamma, size_t least, bool *near)
{
    struct entry e[MAX_TOKENS];
    size_t count[3] = { 0 };

    sort(e, x, n);
    for (int j = 0; j < 3; j++) {
        double sum = 0;
        while (count[j] < n && sum + e[count[j]].x <= gamma + (j - 1) * NEAR)
            sum += e[count[j]++].x;
        count[j] = max_size(min_size(count[j] + 1, n) / 128 + 1, least);
    }
    *near |= count[0] != count[1] || count[1] != count[2];
    return count[1];
}

/* Blocks 0..n-1 of a line: sums, the first one forced; the `count` largest to chosen. */
static void flex_lines(const struct select_case *c, const double *x, size_t n_tokens, size_t count, bool *chosen, bool *near)
{
    double block[MAX_BLOCKS] = { 0 };
    struct entry e[MAX_BLOCKS];
    size_t n = (n_tokens - 1) / c->block + 1;

    for (size_t i = 0; i < n_tokens; i++)
        block[i / c->block] += x[i];
    block[0] = INFINITY;
    sort(e, block, n);
    *near |= near_tie(e, count, n);
    for (size_t i = 0; i < count && i < n; i++)
        chosen[e[i].i] = true;
}

/* Mean of q.k over queries [q0, q1) and keys [k0, k1): the score of their means. */
static double mean_logit(const struct select_case *c, size_t h, size_t q0, size_t q1, size_t k0, size_t k1)
{
    double a[32] = { 0 }, b[32] = { 0 }, sum = 0;
    for (size_t i = 0; i < c->d; i++) {
        for (size_t q = q0; q < q1; q++)
            a[i] += (double)c->q[(q * c->n_head + h) * c->d + i] / (double)(q1 - q0);
        for (size_t k = k0; k < k1; k++)
            b[i] += (double)c->k[(h / (c->n_head / c->n_head_kv) * c->n_tokens + k) * c->d + i] / (double)(k1 - k0);
        sum += a[i] * b[i];
    }
    return (double)c->scale * sum;
}

static double flex_distance(const struct select_case *c, size_t from, size_t to, size_t h, const double *column)
{
    double a[MAX_BLOCKS], b[MAX_BLOCKS] = { 0 }, divergence = 0;
    size_t B = c->block, n = (to - 1) / B + 1;

    for (size_t i = 0; i < to; i++)
        b[i / B] += column[i];
    for (size_t v = 0; v < n; v++)
        a[v] = mean_logit(c, h, to - min_size(B, to - from), to, v * B, min_size((v + 1) * B, to));
    softmax(a, n);
    for (size_t v = 0; v < n; v++) {
        divergence += a[v] > 0 ? a[v] * log(a[v] / ((a[v] + b[v]) / 2)) / 2 : 0;
        divergence += b[v] > 0 ? b[v] * log(b[v] / ((a[v] + b[v]) / 2)) / 2 : 0;
    }
    return sqrt(divergence);
}

static void flex_pooled(const struct select_case *c, size_t from, size_t to, size_t h, bool (*want)[MAX_BLOCKS], bool *near)
{
    static double all[MAX_BLOCKS * MAX_BLOCKS];
    static struct entry e[MAX_BLOCKS * MAX_BLOCKS];
    size_t B = c->block, first = from / B, n = (to - 1) / B + 1, count = 0;
    double sum = 0, most = c->params.gamma * (double)(n - first);

    memset(all, 0, sizeof all);
    for (size_t u = first; u < n; u++) {
        for (size_t v = 0; v <= u; v++)
            all[u * n + v] = mean_logit(c, h, max_size(u * B, from), min_size((u + 1) * B, to), v * B, min_size((v + 1) * B, to));
        softmax(all + u * n, u + 1);
    }
    sort(e, all, n * n);
    for (; count < n * n && sum + e[count].x <= most; count++) {
        sum += e[count].x;
        want[e[count].i / n][e[count].i % n] = true;
    }
    *near |= near_tie(e, count, n * n) || most - sum < NEAR * most || sum + e[count].x - most < NEAR * most;
}

void select_define_flexprefill(const struct select_case *c, size_t from, size_t to, size_t h, struct select_choice *out)
{
    double column[MAX_TOKENS], distance[MAX_TOKENS];
    bool columns[MAX_BLOCKS] = { false }, diagonals[MAX_BLOCKS] = { false }, near = false;
    size_t B = c->block, least = max_size(1, (c->params.min_budget + B - 1) / B);

    *out = (struct select_choice){ 0 };
    if (to <= max_size(2 * B, c->params.min_budget)) {
        memset(out->want, 1, sizeof out->want);
        return;
    }
    measure(c, to, h, min_size(B, to - from), column, distance);
    double d = flex_distance(c, from, to, h, column);
    bool aware = d < c->params.tau;
    near |= fabs(d - c->params.tau) < 1e-3;
    flex_lines(c, column, to, aware ? least : flex_blocks(column, to, c->params.gamma, least, &near), columns, &near);
    flex_lines(c, distance, to, aware ? least : flex_blocks(distance, to, c->params.gamma, least, &near), diagonals, &near);
    if (aware)
        flex_pooled(c, from, to, h, out->want, &near);
    for (size_t u = 0; u < MAX_BLOCKS; u++)
        for (size_t v = 0; v <= u; v++)
            out->want[u][v] |= columns[v] || diagonals[u - v];
    memset(out->near, near, sizeof out->near);
}

/* ---- xattention ---- */

/* Mass of the blocks in row u. */
static void antidiagonals(const struct select_case *c, size_t from, size_t to, size_t h, size_t u, double *mass)
{
    size_t S = c->params.stride, per_block = c->block / S;
    double p[MAX_TOKENS];

    assert_in_range(S * c->d, 0, MAX_TERMS);
    memset(mass, 0, MAX_BLOCKS * sizeof *mass);
    for (size_t a = u * per_block; a < (u + 1) * per_block; a++) {
        if ((a + 1) * S <= from || a * S >= to)
            continue;
        for (size_t b = 0; b <= a; b++) {
            p[b] = 0;
            for (size_t t = 0; t < S; t++) {
                size_t q = a * S + S - 1 - t, k = b * S + t;
                p[b] += q >= from && q < to && k < to ? logit(c, h, q, k) / (double)S : 0;
            }
        }
        softmax(p, a + 1);
        for (size_t b = 0; b <= a; b++)
            mass[b / per_block] += p[b];
    }
}

void select_define_xattention(const struct select_case *c, size_t from, size_t to, size_t h, struct select_choice *out)
{
    *out = (struct select_choice){ 0 };
    for (size_t u = from / c->block; u <= (to - 1) / c->block; u++) {
        double mass[MAX_BLOCKS], all = 0;
        struct entry e[MAX_BLOCKS];
        antidiagonals(c, from, to, h, u, mass);
        for (size_t v = 0; v <= u; v++)
            all += mass[v];
        double kept = u ? mass[0] + mass[u] : mass[0], need = c->params.threshold * all;
        bool near = fabs(kept - need) < NEAR * all;
        mass[0] = mass[u] = -1;
        sort(e, mass, u + 1);
        size_t count = 0;
        for (; count <= u && kept < need && e[count].x >= 0; count++) {
            out->want[u][e[count].i] = true;
            kept += e[count].x;
            near |= fabs(kept - need) < NEAR * all;
        }
        out->near[u] = near || near_tie(e, count, u + 1);
    }
}
