/* test_sketch.c - sketched queries against sketched keys (struct prism_sketch_scan, prism_sketch_rows) at every level: integers and bytes exactly as
 * the contract says, floats near doubles and the same bits as the generic level's, guarded memory, what is not finite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "tests/support/kernel_test.h"

enum { ROWS = PRISM_SKETCH_ROWS, TOGETHER = PRISM_SKETCH_TOGETHER, MAX_TILES = 4, BLOCKS = 21 };

/* ---- scan ---- */

/* One query block; memory that a kernel writes is apart from what it reads. */
struct scene {
    struct prism_sketch_scan scan;
    struct prism_sketch_tile *tiles;
    uint64_t *bits;
};

static struct scene make_scene(size_t n_tiles, size_t block, size_t rank, const struct scene *like)
{
    struct scene s = { .tiles = kt_alloc(n_tiles * sizeof *s.tiles, 64), .bits = kt_alloc(sizeof *s.bits, 8) };
    float *x = kt_floats(BLOCKS * n_tiles * ROWS);

    *s.bits = 0;
    if (like) {
        s.scan = like->scan;
        memcpy(s.tiles, like->tiles, n_tiles * sizeof *s.tiles);
    } else {
        uint8_t *keys = kt_alloc(BLOCKS * block * rank, 1), *means = kt_alloc(BLOCKS * (rank + 3), 1);
        float *scale = kt_floats(BLOCKS), *rest = kt_floats(BLOCKS);
        for (size_t i = 0; i < BLOCKS * block * rank; i++)
            keys[i] = (uint8_t)(1 + kt_random() % 255);
        for (size_t i = 0; i < BLOCKS * (rank + 3); i++)
            means[i] = (uint8_t)(1 + kt_random() % 255);
        for (size_t v = 0; v < BLOCKS; v++)
            scale[v] = (float)kt_uniform(0.8e-3, 1e-3), rest[v] = (float)kt_uniform(0.5, 1.5);
        kt_freeze(keys);
        kt_freeze(rest);
        kt_freeze(means);
        s.scan = (struct prism_sketch_scan){ .n_tiles = n_tiles, .keys = keys, .means = means, .k_scale = scale, .k_rest = rest, .block = block,
                                             .block_bytes = block * rank, .mean_bytes = rank + 3, .rank = rank,
                                             .lift = 0.375f, .log_t = -3, .log_mean = -6 };
        for (size_t t = 0; t < n_tiles; t++) {
            int8_t *q = kt_alloc(rank * ROWS, 1);
            s.tiles[t] = (struct prism_sketch_tile){ .q = q };
            for (size_t g = 0; g < rank * ROWS; g += 4 * ROWS) { /* rows that are alike need the same blocks; later coordinates are smaller */
                int first = (int)(kt_random() % 200) - 100, part = g < rank * ROWS / 4 ? 1 : g < rank * ROWS / 2 ? 4 : 8;
                for (size_t i = g; i < g + 4 * ROWS; i++)
                    q[i] = (int8_t)((first + (int)(kt_random() % 55) - 27) / part);
            }
            kt_freeze(q);
            for (size_t i = 0; i < ROWS; i++) {
                s.tiles[t].bias[i] = (int32_t)(kt_random() % 200000) - 100000;
                s.tiles[t].scale[i] = (float)kt_uniform(0.3, 0.5), s.tiles[t].reach[i] = (float)kt_uniform(1, 4);
                s.tiles[t].most[i] = -0x1p100f;
            }
        }
    }
    s.scan.tiles = s.tiles, s.scan.x = x;
    return s;
}

/* The logit of a row by the contract, from a product. */
static float scaled(const struct scene *s, size_t t, size_t i, size_t v, int64_t product)
{
    return (float)((int32_t)product - s->tiles[t].bias[i]) * (s->tiles[t].scale[i] * s->scan.k_scale[v]);
}

static float mean_logit(const struct scene *s, size_t t, size_t i, size_t v)
{
    const struct prism_sketch_scan *c = &s->scan;
    int64_t sum = 0;

    for (size_t k = 0; k < c->rank; k++)
        sum += (int64_t)s->tiles[t].q[(k / 4 * ROWS + i) * 4 + k % 4] * c->means[v * c->mean_bytes + k];
    return scaled(s, t, i, v, sum);
}

static float logit(const struct scene *s, size_t t, size_t i, size_t v, size_t seen)
{
    const struct prism_sketch_scan *c = &s->scan;
    const struct prism_sketch_tile *tile = &s->tiles[t];
    int64_t most = INT64_MIN;

    for (size_t j = 0; j < c->block && j <= seen + t * ROWS + i; j++) {
        int64_t sum = 0;
        for (size_t k = 0; k < c->rank; k++)
            sum += (int64_t)tile->q[(k / 4 * ROWS + i) * 4 + k % 4] * c->keys[v * c->block_bytes + (k / 4 * c->block + j) * 4 + k % 4];
        most = sum > most ? sum : most;
    }
    return scaled(s, t, i, v, most);
}

/* log2 of the sum of powers of two of the row's logits of blocks [from, to). */
static double log_sum(const struct scene *s, size_t t, size_t i, size_t from, size_t to)
{
    double sum = 0, most = -INFINITY;

    for (size_t v = from; v < to; v++)
        if (!isnan(s->scan.k_scale[v]))
            most = fmax(most, (double)s->scan.x[(v * s->scan.n_tiles + t) * ROWS + i]);
    for (size_t v = from; v < to; v++)
        if (!isnan(s->scan.k_scale[v]))
            sum += exp2((double)s->scan.x[(v * s->scan.n_tiles + t) * ROWS + i] - most);
    return most + log2(sum);
}

/* Logits of blocks [from, to) are those of the best keys or, where its reach stays below the floor for each of four rows, of the mean, lifted. */
static size_t check_logits(const struct scene *s, size_t from, size_t to, size_t seen, bool whole)
{
    const struct prism_sketch_scan *c = &s->scan;
    size_t n_dropped = 0;

    for (size_t v = from; v < to; v++)
        for (size_t row = 0; row < c->n_tiles * ROWS; row += TOGETHER) {
            size_t t = row / ROWS, begin = row % ROWS;
            bool dropped = !whole;
            for (size_t i = begin; i < begin + TOGETHER; i++) /* a floor only rises: what is below the last one may have been finished before */
                dropped = dropped && c->x[(v * c->n_tiles + t) * ROWS + i] == mean_logit(s, t, i, v) + s->tiles[t].reach[i] * c->k_rest[v] * c->lift;
            for (size_t i = begin; i < begin + TOGETHER; i++) {
                float x = c->x[(v * c->n_tiles + t) * ROWS + i];
                if (dropped)
                    kt_true(mean_logit(s, t, i, v) + s->tiles[t].reach[i] * c->k_rest[v] < s->tiles[t].floor[i], "what is dropped is below the floor");
                else if (!isnan(c->k_scale[v]))
                    kt_true(x == logit(s, t, i, v, seen), "a finished block has the logits of its best keys");
                else
                    kt_true(isnan(x), "a block of NaN has no logits");
            }
            n_dropped += dropped;
        }
    return n_dropped;
}

static void check_softmax(const struct scene *s, size_t from, size_t to)
{
    for (size_t t = 0; t < s->scan.n_tiles; t++)
        for (size_t i = 0; i < ROWS; i++) {
            double want = log_sum(s, t, i, from, to);
            kt_near((double)s->tiles[t].most[i] + log2((double)s->tiles[t].sum[i]), want, 1e-5, t, i);
            kt_near((double)s->tiles[t].floor[i], want + (double)s->scan.log_t, 1e-5 + 4e-7 * fabs(want), t, i);
        }
}

/* The choice by the contract; blocks within 1e-3 of a limit may go either way. */
static size_t check_needed(const struct scene *s, size_t n)
{
    const struct prism_sketch_scan *c = &s->scan;
    double mass[MAX_TILES][ROWS] = { 0 };
    size_t n_needed = 0;

    for (size_t v = 0; v < n; v++) {
        double most = 0, sum = 0, share[MAX_TILES][ROWS] = { 0 };
        for (size_t t = 0; t < c->n_tiles && !isnan(c->k_scale[v]); t++)
            for (size_t i = 0; i < ROWS; i++) {
                share[t][i] = exp2((double)c->x[(v * c->n_tiles + t) * ROWS + i] - log_sum(s, t, i, 0, n));
                most = fmax(most, share[t][i]), sum += share[t][i] / (double)(c->n_tiles * ROWS);
            }
        bool needed = *s->bits >> v & 1, unknown = isnan(c->k_scale[v]);
        double least = exp2((double)c->log_t), least_mean = exp2((double)c->log_mean);
        if (unknown || most > least * 1.001 || sum > least_mean * 1.001)
            kt_true(needed, "a block that a row needs, or all rows a little, or that is unknown, is chosen");
        else if (most < least * 0.999 && sum < least_mean * 0.999)
            kt_true(!needed, "no other block is chosen");
        n_needed += needed;
        for (size_t t = 0; t < c->n_tiles && needed; t++)
            for (size_t i = 0; i < ROWS; i++)
                mass[t][i] += share[t][i];
    }
    kt_true(n == 64 || *s->bits >> n == 0, "no bit beyond the blocks");
    for (size_t t = 0; t < c->n_tiles; t++)
        for (size_t i = 0; i < ROWS; i++)
            kt_near((double)s->tiles[t].mass[i], mass[t][i], 1e-4, t, i);
    return n_needed;
}

static size_t n_dropped, n_needed, n_left;

static void run(const struct prism_kernels *k, const struct scene *s, size_t seen)
{
    k->sketch_scan(&s->scan, BLOCKS - 1, 1, seen, true); /* the block that rows are in */
    k->sketch_scan(&s->scan, BLOCKS - 2, BLOCKS - 1, s->scan.block, false);
    k->sketch_needed(&s->scan, BLOCKS, s->bits);
}

static void check_scan(const struct prism_kernels *k, size_t n_tiles, size_t block, size_t rank, size_t seen, bool unknown)
{
    kt_context("%s sketch_scan: %zu tiles, block %zu, rank %zu, seen %zu%s", k->name, n_tiles, block, rank, seen, unknown ? ", NaN" : "");
    struct scene s = make_scene(n_tiles, block, rank, NULL);
    if (unknown)
        ((float *)s.scan.k_scale)[3] = NAN;
    struct scene generic = make_scene(n_tiles, block, rank, &s);

    run(k, &s, seen);
    check_logits(&s, BLOCKS - 1, BLOCKS, seen, true);
    n_dropped += check_logits(&s, 0, BLOCKS - 1, block, false);
    check_softmax(&s, 0, BLOCKS);
    size_t needed = check_needed(&s, BLOCKS);
    n_needed += needed, n_left += BLOCKS - needed;
    run(prism_kernels_by_level[PRISM_LEVEL_GENERIC], &generic, seen);
    kt_same_floats(s.scan.x, generic.scan.x, BLOCKS * n_tiles * ROWS);
    kt_true(*s.bits == *generic.bits, "the blocks of the generic level");
    for (size_t t = 0; t < n_tiles; t++) {
        kt_same_floats(s.tiles[t].sum, generic.tiles[t].sum, ROWS);
        kt_same_floats(s.tiles[t].floor, generic.tiles[t].floor, ROWS);
        kt_same_floats(s.tiles[t].mass, generic.tiles[t].mass, ROWS);
    }
    kt_release();
}

static void check_scans(const struct prism_kernels *k)
{
    static const size_t blocks[] = { 32, 64, 96, 128, 256 };

    kt_seed(5);
    n_dropped = n_needed = n_left = 0;
    for (size_t rank = 16; rank <= 160; rank += 16)
        check_scan(k, 1 + rank / 16 % MAX_TILES, 64, rank, 0, rank % 64 == 0);
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        for (size_t seen = 0; seen <= blocks[b]; seen += seen < 40 ? 7 : 61)
            check_scan(k, 1 + seen % 3, blocks[b], 32, seen, false);
    kt_context("%s sketch_scan: %zu dropped, %zu needed, %zu left out", k->name, n_dropped, n_needed, n_left);
    kt_true(n_dropped > 100 && n_needed > 100 && n_left > 100, "blocks are dropped, needed and left out");
}

/* The largest bytes of keys, and of queries in the first coordinates; in the others m, of all rows or of one in five: products reach 127 * 255 * n,
 * which no step may saturate. */
static void check_extreme(const struct prism_kernels *k, size_t n, int m, size_t every)
{
    struct scene s = make_scene(1, 64, n, NULL);
    int8_t *q = kt_alloc(n * ROWS, 1);
    uint8_t *keys = kt_alloc(BLOCKS * 64 * n, 1), *means = kt_alloc(BLOCKS * n, 1);

    kt_context("%s sketch_scan, largest bytes, rank %zu, %d in a row of %zu", k->name, n, m, every);
    memset(keys, 255, BLOCKS * 64 * n);
    memset(means, 255, BLOCKS * n);
    for (size_t i = 0; i < n * ROWS; i++) {
        size_t row = i / 4 % ROWS;
        int size = i < n * ROWS / 3 ? 127 : row % every ? 1 : m;
        q[i] = (int8_t)(row % 2 ? size : -size);
    }
    s.tiles[0].q = q, s.scan.keys = keys, s.scan.means = means, s.scan.mean_bytes = n, s.scan.lift = 0;
    k->sketch_scan(&s.scan, 4, 1, 64, true);
    check_logits(&s, 4, 5, 64, true);
    for (size_t i = 0; i < ROWS; i++)
        s.tiles[0].reach[i] = -0x1p30f; /* all are dropped */
    k->sketch_scan(&s.scan, 3, 4, 64, false);
    kt_true(check_logits(&s, 0, 4, 64, false) == 4 * ROWS / TOGETHER, "means of the largest bytes");
    kt_release();
}

static void check_extremes(const struct prism_kernels *k)
{
    static const int sizes[] = { 127, 33, 32, 17, 16 }; /* up to 32 and 16 the products of eight and of 16 coordinates fit into 16 bits */

    for (size_t n = 16; n <= PRISM_MAX_HEAD_DIM; n += 160)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t every = 1; every <= 5; every += 4)
                check_extreme(k, n, sizes[i], every);
}

/* ---- packing ---- */

static void check_pack(const struct prism_kernels *k, size_t n, size_t lanes, size_t rank, bool common)
{
    uint8_t offset = common ? 128 : 0;
    float *x = kt_floats(n * rank), *weights = kt_floats(rank), *scale = kt_floats(n), *length = kt_floats(n);
    int32_t *sum = kt_alloc(n * 4, 4);
    uint8_t *out = kt_alloc(rank * lanes, 1);

    kt_context("%s sketch_pack: %zu of %zu rows, rank %zu%s", k->name, n, lanes, rank, common ? ", one scale" : "");
    kt_fill(x, n * rank, KT_NORMAL);
    memset(x, 0, common ? 0 : rank * sizeof *x);
    float all = 0;
    for (size_t i = 0; i < n * rank; i++)
        all = fmaxf(all, fabsf(x[i]));
    for (size_t c = 0; c < rank; c++)
        weights[c] = (float)kt_uniform(0, 2);
    kt_freeze(x);
    kt_freeze(weights);
    k->sketch_pack(&(struct prism_sketch_rows){ .out = out, .x = x, .n = n, .lanes = lanes, .rank = rank, .weights = weights, .scale = scale,
                                                .length = length, .sum = sum, .offset = offset, .common = common });
    for (size_t i = 0; i < n; i++) {
        float most = common ? all : 0;
        int32_t want = 0;
        double squares = 0;
        for (size_t c = 0; c < rank && !common; c++)
            most = fmaxf(most, fabsf(x[i * rank + c]));
        kt_true(scale[i] == most / 127, "the scale is the largest magnitude / 127");
        for (size_t c = 0; c < rank; c++) {
            double exact = most > 0 ? (double)x[i * rank + c] / (double)scale[i] : 0;
            int byte = out[(c / 4 * lanes + i) * 4 + c % 4] - offset;
            byte = common ? byte : (int8_t)byte;
            kt_near(byte, exact, 0.5 + 1e-4, i, c);
            want += byte;
            squares += (double)weights[c] * (double)x[i * rank + c] * (double)x[i * rank + c];
        }
        kt_true(sum[i] == want, "the sums of the bytes");
        kt_near((double)length[i], sqrt(squares), 1e-6 * sqrt(squares), i, 0);
    }
    kt_release();
}

/* A coordinate that is not finite makes the scale NaN, wherever it is. */
static void check_poison(const struct prism_kernels *k)
{
    enum { RANK = 32, N = 2 };
    const float weights[RANK] = { 1 };

    for (size_t at = 0; at < N * RANK; at++)
        for (size_t p = 0; p < 2 * KT_N_POISONS; p++) {
            float *x = kt_floats(N * RANK), scale[N], length[N];
            int32_t sum[N];
            uint8_t *out = kt_alloc(RANK * N, 1);
            bool common = p % 2;
            kt_context("%s sketch_pack, poison %zu at %zu", k->name, p, at);
            kt_fill(x, N * RANK, KT_NORMAL);
            x[at] = kt_poison[p / 2];
            k->sketch_pack(&(struct prism_sketch_rows){ .out = out, .x = x, .n = N, .lanes = N, .rank = RANK, .weights = weights, .scale = scale,
                                                        .length = length, .sum = sum, .common = common });
            for (size_t i = 0; i < N; i++)
                kt_true(isnan(scale[i]) == (common || i == at / RANK), "the scale is NaN where a coordinate is not finite");
            kt_release();
        }
}

static void check_packs(const struct prism_kernels *k)
{
    kt_seed(6);
    for (size_t rank = 16; rank <= PRISM_MAX_HEAD_DIM; rank += 16)
        for (size_t common = 0; common < 2; common++)
            check_pack(k, 1 + rank % 15, 16 + rank, rank, common);
    check_pack(k, 64, 64, 96, true);
    check_poison(k);
}

static void scans_are_those_of_the_contract(void **state) { (void)state; kt_levels(check_scans); }
static void sums_of_the_largest_bytes(void **state) { (void)state; kt_levels(check_extremes); }
static void rows_become_the_bytes_of_the_contract(void **state) { (void)state; kt_levels(check_packs); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_are_those_of_the_contract),
        cmocka_unit_test(sums_of_the_largest_bytes),
        cmocka_unit_test(rows_become_the_bytes_of_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
