/* prism_rows.c - the selector "prism-rows": a block is computed when any row of the query block needs it.
 *
 * Pooled scores lose what one row of 64 looks for. Here every row is scored with every key, in the coordinates of a sketch and in bytes
 * (sketch.h). Per row, the logit of a block is that of its best key, and p is the softmax of the logits over the row's causal blocks. A block
 * is chosen when
 *   some row gives it p >= t(e), or
 *   its rows give it p >= t(e) / PRISM_ROWS_MEAN on average: what many rows need a little, which is what prose is made of.
 * e is the position behind the query block, t(e) = t * min(1, (8192 / e)^PRISM_ROWS_FALL): a row that looks for one thing needs the same few
 * blocks at every length, one that reads broadly needs more of them, each with less of its mass.
 *
 * Most blocks are far below t, which shows early. 16 rows at a time meet the diagonal block, block 0, then blocks backwards from the
 * diagonal. After the first coordinates (prism_sketch_end) a block is dropped when no row's logit, raised by what its other coordinates
 * would add with PRISM_SKETCH_SIGMAS deviations, reaches log t below the log-sum of the blocks so far; its logit of the first coordinates
 * then stands for it in the softmax. The reach is |q'| |k'| / sqrt(n) of the n other coordinates, for the block's longest k': where keys have
 * covariance 1 that is the deviation of q'.k'. */
#include <math.h>
#include <string.h>

#include "src/attention/selectors.h"
#include "src/attention/sketch.h"
#include "src/base/size.h"

/* Measured on gutenberg-38m (persuasion.txt, 8192 x 2, prism p 0.95: 39.715 at density .241) and on a document of models/tasks (mv-8192, .122
 * without the mean): t .1 alone 39.936 at .130; with a mean of t/5 39.829 at .135; t/10 39.724 at .155; t/9 and 2.5 deviations for 2, 39.668 at
 * .151, and the document .136. 16384 x 1 (prism 42.610 at .249): a fall of 1.6 42.657 at .108, of 2.4 42.579 at .134, mv-16384 .093 and .107. */
#define PRISM_ROWS_FALL 2.4
#define PRISM_ROWS_MEAN 9
#define PRISM_ROWS_FROM 8192.0
enum { LANES = PRISM_SKETCH_ROWS };

struct work {
    const struct prism_select_call *c;
    size_t from;          /* first block of keys that is not sketched yet */
    double *mass;         /* [n_head][n_rows] */
    double t;             /* 0 < t <= 1 */
    uint8_t *failed;      /* [n_head_kv] */
};

static size_t n_rows(const struct prism_select_call *c) { return prism_select_blocks(c) - c->q_pos / c->block; }

static size_t shared_bytes(const struct prism_select_call *c)
{
    return prism_carved(c->n_head * n_rows(c), sizeof(double)) + prism_carved(c->n_head_kv, 1);
}

/* A tile of rows with what it has seen: the running softmax of the blocks' largest logits, in powers of two. */
struct tile {
    struct prism_sketch_query query;
    float most[LANES], sum[LANES], floor[LANES], mass[LANES]; /* floor: log2 of t times the sum */
};

static size_t max_tiles(const struct prism_select_call *c) { return c->block / LANES; }

static size_t thread_bytes(const struct prism_select_call *c)
{
    size_t n = prism_select_blocks(c), b = c->block;
    return prism_carved(b * n, sizeof(float)) + prism_carved(max_tiles(c), sizeof(struct tile)) + prism_carved(b * prism_sketch_dim(c->d), 1) +
           prism_sketch_scratch(c);
}

static uint8_t *thread_scratch(const struct work *w, uint32_t thread) { return w->c->scratch + (size_t)thread * w->c->scratch_bytes; }

static void basis_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    w->failed[job] = !prism_sketch_basis(w->c, job, thread_scratch(w, thread));
}

static void keys_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    size_t n = prism_select_blocks(w->c) - w->from;
    prism_sketch_keys(w->c, job / n, w->from + job % n, thread_scratch(w, thread));
}

/* Without a branch, so that the compiler makes vectors of the loops below. */
static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float pick(uint32_t mask, float a, float b) { return float_of((bits_of(a) & mask) | (bits_of(b) & ~mask)); }

/* 2^-|x|, 2e-7 relative; 2^-100 from there on. */
static inline float exp2_minus(float x)
{
    float y = fabsf(x);
    y = -pick(-(uint32_t)(y > 100), 100, y);
    float whole = y + 0x1.8p23f, f = y - (whole - 0x1.8p23f);
    float m = 1 + f * (0.693147182f + f * (0.240226462f + f * (0.0555033125f + f * (0.00961853798f + f * 0.00133990776f))));
    return float_of(bits_of(m) + (bits_of(whole) << 23));
}

/* log2 x for normal x > 0, 1e-6 absolute. */
static inline float log2_of(float x)
{
    int32_t n = (int32_t)(bits_of(x) - 0x3f3504f3) >> 23; /* of x over a number in [sqrt(1/2), sqrt(2)) */
    float m = float_of(bits_of(x) - ((uint32_t)n << 23)), s = (m - 1) / (m + 1), z = s * s;
    return (float)n + s * (2.88539008f + z * (0.961796694f + z * (0.577078016f + z * 0.412198583f)));
}

/* Joins the logits of a block to what its rows have seen. */
static void count(struct tile *t, const float *x)
{
    for (size_t i = 0; i < LANES; i++) {
        float over = x[i] - t->most[i], e = exp2_minus(over), more = t->sum[i] * e + 1, less = t->sum[i] + e;
        uint32_t mask = -(uint32_t)(over > 0);
        t->sum[i] = pick(mask, more, less);
        t->most[i] = pick(mask, x[i], t->most[i]);
    }
}

static void set_floor(struct tile *t, float log_t)
{
    for (size_t i = 0; i < LANES; i++)
        t->floor[i] = t->most[i] + log2_of(t->sum[i]) + log_t;
}

/* Whether some row's logit plus reach * rest is not below its floor. */
static bool any_reaches(const struct tile *t, const float *x, const float *reach, float rest)
{
    uint32_t all = UINT32_MAX;
    for (size_t i = 0; i < LANES; i++)
        all &= -(uint32_t)(x[i] + reach[i] * rest < t->floor[i]);
    return !all;
}

/* x = the largest logit of each row with the keys of block v; of the first coordinates only, and false, where the rest cannot reach the floor. */
static bool score(const struct work *w, const struct tile *t, float *x, size_t kv, size_t v, size_t seen, bool whole)
{
    const struct prism_select_call *c = w->c;
    const struct prism_sketch *s = c->sketch;
    size_t r = s->rank[kv], at = kv * s->max_blocks + v;
    int32_t best[LANES];
    struct prism_sketch_tile k = { .best = best, .q = t->query.q, .keys = s->keys + at * c->block * prism_sketch_dim(c->d), .block = c->block,
                                   .seen = seen };

    for (size_t stage = whole ? PRISM_SKETCH_STAGES - 1 : 0;; stage++) {
        k.n = prism_sketch_end(r, stage);
        if (k.n == r)
            stage = PRISM_SKETCH_STAGES - 1;
        c->kernels->sketch_tile(&k);
        for (size_t i = 0; i < LANES; i++)
            x[i] = (float)(best[i] - t->query.bias[stage][i]) * (t->query.scale[i] * s->k_scale[at]);
        if (stage == PRISM_SKETCH_STAGES - 1)
            return true;
        if (!any_reaches(t, x, t->query.reach[stage], s->k_rest[stage][at]))
            return false;
    }
}

/* sum[i] += the part of row i's mass that a block has. */
static void add_shares(float *sum, const struct tile *t, const float *x, float log_t)
{
    for (size_t i = 0; i < LANES; i++)
        sum[i] += exp2_minus(t->floor[i] - log_t - x[i]);
}

/* The two rules for a block, x: [n_tiles][16]. A mean is not above the largest share, which is judged first. */
static bool is_needed(const struct tile *tiles, size_t n_tiles, const float *x, float log_t)
{
    static const float one[LANES] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    float sum[LANES] = { 0 }, all = 0, log_mean = log2_of(PRISM_ROWS_MEAN);
    bool some = false;

    for (size_t t = 0; t < n_tiles; t++) {
        if (any_reaches(&tiles[t], x + t * LANES, one, 0))
            return true;
        some |= any_reaches(&tiles[t], x + t * LANES, one, log_mean);
    }
    for (size_t t = 0; some && t < n_tiles; t++)
        add_shares(sum, &tiles[t], x + t * LANES, log_t);
    for (size_t i = 0; i < LANES; i++)
        all += sum[i];
    return some && log2_of(all / (float)(n_tiles * LANES)) >= log_t - log_mean;
}

/* log2 of t for rows that end at a position: from PRISM_ROWS_FROM on it falls with a power of it. */
static float log_threshold(double t, size_t end)
{
    double times = (double)end / PRISM_ROWS_FROM;
    return (float)(log2(t) - (times > 1 ? PRISM_ROWS_FALL * log2(times) : 0));
}

/* One head of one query block: logits of its rows' best keys by block, likely blocks first, then the choice. */
static void choose(const struct work *w, size_t head, size_t row, uint8_t *scratch)
{
    const struct prism_select_call *c = w->c;
    size_t u = c->mask->first + row, n = u + 1, b = c->block, kv = head / (c->n_head / c->n_head_kv);
    size_t from = max_size(u * b, c->q_pos), rows = min_size((u + 1) * b, c->kv_len) - from, n_tiles = div_up(rows, LANES);
    float *x = prism_carve(&scratch, b * prism_select_blocks(c), sizeof *x), log_t = log_threshold(w->t, n * b);
    struct tile *tiles = prism_carve(&scratch, max_tiles(c), sizeof *tiles);
    int8_t *q = prism_carve(&scratch, b * prism_sketch_dim(c->d), 1);
    struct prism_sketch_query query[256 / LANES];
    uint64_t *bits = prism_mask_row(c->mask, head, row);
    double mass = 0;

    for (size_t t = 0; t < n_tiles; t++)
        query[t].q = q + t * LANES * prism_sketch_dim(c->d);
    prism_sketch_queries(c, head, from - c->q_pos, rows, query, scratch);
    for (size_t t = 0; t < n_tiles; t++) {
        tiles[t] = (struct tile){ .query = query[t] };
        for (size_t i = 0; i < LANES; i++)
            tiles[t].most[i] = -0x1p100f;
    }
    for (size_t k = 0; k < n; k++) {
        size_t v = k == 0 ? u : k == 1 ? 0 : u - (k - 1);
        if (isnan(c->sketch->k_scale[kv * c->sketch->max_blocks + v])) { /* attention is to find what is not finite */
            prism_set_bit(bits, v);
            for (size_t t = 0; t < n_tiles; t++)
                memset(x + (v * n_tiles + t) * LANES, 0, LANES * sizeof *x);
            continue;
        }
        for (size_t t = 0; t < n_tiles; t++) {
            float *at = x + (v * n_tiles + t) * LANES;
            bool finished = score(w, &tiles[t], at, kv, v, v == u ? from - u * b + t * LANES : b, k < 2);
            count(&tiles[t], at);
            if (finished)
                set_floor(&tiles[t], log_t);
        }
    }
    for (size_t t = 0; t < n_tiles; t++)
        set_floor(&tiles[t], log_t);
    for (size_t v = 0; v < n; v++)
        if (bits[v / 64] >> v % 64 & 1 || is_needed(tiles, n_tiles, x + v * n_tiles * LANES, log_t)) {
            prism_set_bit(bits, v);
            for (size_t t = 0; t < n_tiles; t++)
                add_shares(tiles[t].mass, &tiles[t], x + (v * n_tiles + t) * LANES, log_t);
        }
    for (size_t i = 0; i < rows; i++)
        mass += (double)tiles[i / LANES].mass[i % LANES];
    w->mass[head * c->mask->n_rows + row] = mass / (double)rows;
}

/* The heads of a group one after the other, so that they find the keys in the cache. Late rows first: they take longest. */
static void row_job(void *arg, size_t job, uint32_t thread)
{
    const struct work *w = arg;
    const struct prism_select_call *c = w->c;
    size_t group = c->n_head / c->n_head_kv, kv = job % c->n_head_kv, row = c->mask->n_rows - 1 - job / c->n_head_kv;

    for (size_t h = 0; h < group; h++)
        choose(w, kv * group + h, row, thread_scratch(w, thread));
}

static void choose_all(const struct prism_select_call *c)
{
    for (size_t h = 0; h < c->n_head; h++)
        for (size_t row = 0; row < c->mask->n_rows; row++)
            for (size_t v = 0; v <= c->mask->first + row; v++)
                prism_set_bit(prism_mask_row(c->mask, h, row), v);
}

static bool select_rows(const struct prism_select_call *c)
{
    uint8_t *at = c->shared;
    struct prism_sketch *s = c->sketch;
    struct work w = { .c = c, .t = c->params->row_mass };

    w.mass = prism_carve(&at, c->n_head * c->mask->n_rows, sizeof *w.mass);
    w.failed = prism_carve(&at, c->n_head_kv, 1);
    memset(w.failed, 0, c->n_head_kv);
    if (!s->rank[0] || c->q_pos <= *s->made_at) {
        memset(s->rank, 0, c->n_head_kv * sizeof *s->rank);
        *s->n_done = 0, *s->made_at = c->q_pos;
    }
    if (!s->rank[0] && !c->runner.run(c->runner.self, c->n_head_kv, 0, basis_job, &w))
        return false;
    for (size_t h = 0; h < c->n_head_kv; h++)
        if (w.failed[h]) { /* numbers that are not finite: attention will show them */
            memset(s->rank, 0, c->n_head_kv * sizeof *s->rank);
            choose_all(c);
            return true;
        }
    w.from = min_size(*s->n_done, c->q_pos / c->block);
    size_t n = prism_select_blocks(c);
    if (!c->runner.run(c->runner.self, c->n_head_kv * (n - w.from), 0, keys_job, &w))
        return false;
    *s->n_done = c->kv_len / c->block;
    double row_work = (double)(c->block * c->d * (c->n_head / c->n_head_kv)) * (double)c->kv_len / 8;
    if (!c->runner.run(c->runner.self, c->n_head_kv * c->mask->n_rows, row_work, row_job, &w))
        return false;
    for (size_t h = 0; h < c->n_head; h++) {
        c->mass[h] = 0;
        for (size_t r = 0; r < c->mask->n_rows; r++)
            c->mass[h] += w.mass[h * c->mask->n_rows + r] / (double)c->mask->n_rows;
    }
    return true;
}

const struct prism_selector prism_selector_rows = { "prism-rows", false, true, shared_bytes, thread_bytes, select_rows };
