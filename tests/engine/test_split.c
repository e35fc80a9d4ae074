/* test_split.c - how phases are split into jobs (src/engine/split.h, prism_attention_split), for 1 to 128 threads and every level of the host: each
 * output belongs to one job. Nothing is computed. That few threads idle is tests/cli/test_scaling.c's business. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/attention/attention.h"
#include "src/base/size.h"
#include "src/engine/context.h"
#include "src/engine/layer.h"
#include "src/engine/split.h"

enum { THREADS = 128 };

static const uint8_t some; /* what stands for the data of a matrix */

static const struct prism_kernels *level(int l) { return prism_level_runs_here((enum prism_level)l) ? prism_kernels_by_level[l] : NULL; }

/* ---- products ---- */

struct product_case {
    size_t n, cols[3], n_rows, k;
    bool gated, fine; /* fine: all but the first have the finer kind, if there is one */
    size_t first[3], rows[3]; /* of the call's rows; 0: all */
};

static const struct product_case cases[] = {
    { .n = 3, .cols = { 2048, 512, 512 }, .n_rows = 512, .k = 1024, .fine = true },
    { .n = 3, .cols = { 576, 192, 192 }, .n_rows = 47, .k = 576, .fine = true },
    { .n = 1, .cols = { 4096 }, .n_rows = 480, .k = 14336 },
    { .n = 1, .cols = { 3072 }, .n_rows = 511, .k = 256, .gated = true },
    { .n = 1, .cols = { 33 }, .n_rows = 18, .k = 64 },
    { .n = 3, .cols = { 768, 768, 768 }, .n_rows = 500, .k = 2048, .gated = true, .first = { 0, 48, 360 }, .rows = { 43, 300, 140 } },
};

static void fill(const struct prism_kernels *k, const struct product_case *c, struct prism_product *p)
{
    const struct prism_linear *coarse = k->linear_auto[PRISM_Q8_0], *fine = prism_fine_kind(k, PRISM_Q8_0, PRISM_Q8_0);

    for (size_t i = 0; i < c->n; i++)
        p[i] = (struct prism_product){ .m = { .data = &some, .rows = c->cols[i] }, .up = { .data = c->gated ? &some : NULL },
                                       .kind = i && c->fine ? fine : coarse, .first = c->first[i], .n_rows = c->rows[i] };
}

/* Adds one to every row of every panel of every job; cells: [product][n_rows][panels] one after the other. */
static void check_products(const struct prism_split *s, uint8_t *cells, size_t n_cells)
{
    memset(cells, 0, n_cells);
    for (size_t job = 0; job < s->n_jobs; job++) {
        struct prism_piece piece = prism_split_piece(s, job);
        uint8_t *of = cells;
        assert_true(piece.p >= s->p && piece.p < s->p + s->n && piece.n_rows > 0 && piece.cols > 0);
        size_t nr = piece.p->kind->nr, end = piece.col + piece.cols;
        assert_true(piece.row % PRISM_PACK_ROWS == 0 && piece.col % nr == 0 && (end % nr == 0 || end == piece.p->m.rows)); /* whole panels */
        assert_true(piece.cols <= prism_piece_cols(piece.p->kind, s->k) && piece.row + piece.n_rows <= s->n_rows && end <= piece.p->m.rows);
        for (const struct prism_product *p = s->p; p < piece.p; p++)
            of += s->n_rows * div_up(p->m.rows, p->kind->nr);
        for (size_t panel = piece.col / nr; panel < div_up(end, nr); panel++)
            for (size_t r = piece.row; r < piece.row + piece.n_rows; r++)
                of[panel * s->n_rows + r]++;
    }
    for (const struct prism_product *p = s->p; p < s->p + s->n; p++)
        for (size_t i = 0; i < s->n_rows * div_up(p->m.rows, p->kind->nr); i++, cells++) {
            size_t row = i % s->n_rows;
            bool taken = row >= p->first && row < p->first + prism_product_rows(p, s->n_rows);
            if (*cells != taken)
                fail_msg("product %zu, row %zu, panel %zu with %zu threads: in %u jobs", (size_t)(p - s->p), row, i / s->n_rows, s->n_threads, *cells);
        }
}

static void test_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int l = 0; l < PRISM_N_LEVELS; l++) {
            const struct product_case *c = &cases[i];
            struct prism_product p[3];
            size_t n_cells = c->n_rows * (c->cols[0] + c->cols[1] + c->cols[2]);
            uint8_t *cells = level(l) ? malloc(n_cells) : NULL;
            if (!cells)
                continue;
            fill(level(l), c, p);
            for (size_t t = 1; t <= THREADS; t++) {
                struct prism_split s = { .p = p, .n = c->n, .n_rows = c->n_rows, .k = c->k, .n_threads = t };
                prism_split_products(&s);
                check_products(&s, cells, n_cells);
            }
            free(cells);
        }
}

static void test_packing(void **state)
{
    (void)state;
    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        const struct prism_kernels *k = level(l);
        for (int type = 0; k && type < PRISM_N_TYPES; type++) {
            const struct prism_linear *kinds[] = { k->linear_auto[type], k->linear_f32 };
            for (size_t n_kinds = 1; kinds[0] && n_kinds <= 2; n_kinds++)
                for (size_t t = 1; t <= THREADS; t++) {
                    size_t rows = prism_split_pack(kinds, n_kinds, 512, t);
                    assert_true(rows > 0 && PRISM_PACK_ROWS % rows == 0 && rows % kinds[0]->mr == 0 && (n_kinds == 1 || rows % kinds[1]->mr == 0));
                    assert_true(t > 2 || rows == PRISM_PACK_ROWS);
                    for (size_t more = 2 * rows; more <= PRISM_PACK_ROWS; more += rows)
                        assert_true(PRISM_PACK_ROWS % more || div_up(512, more) < PRISM_SHORT_JOBS * t);
                }
        }
    }
    const struct prism_linear four = { .mr = 4 }, six = { .mr = 6 }; /* neither a multiple of the other */
    assert_int_equal(prism_split_pack((const struct prism_linear *[]){ &six, &four }, 2, 512, THREADS), 12);
    assert_int_equal(prism_split_rows(512, 16, 1, 2), 16);
    assert_int_equal(prism_split_rows(512, 16, 1, 16), 4);
    assert_int_equal(prism_split_rows(512, 24, 6, 64), 6);
    assert_int_equal(prism_split_rows(1, 16, 1, 128), 1);
}

/* ---- attention ---- */

static void check_attention(const struct prism_attention_split *s)
{
    size_t heads = s->n_heads * s->group, before = SIZE_MAX;
    uint8_t *rows = calloc(heads, s->n_rows), *blocks = calloc(s->n_heads, s->n_blocks);

    for (size_t job = 0; job < prism_attention_pack_jobs(s); job++) {
        struct prism_attention_pack p = prism_attention_pack_of(s, job);
        assert_true(p.slot < s->n_heads && p.block < p.end && p.end <= s->n_blocks);
        for (size_t b = p.block; b < p.end; b++)
            blocks[p.slot * s->n_blocks + b]++;
    }
    for (size_t job = 0; job < prism_attention_tile_jobs(s); job++) {
        struct prism_attention_rows_of_head r = prism_attention_tile_of(s, job);
        assert_true(r.head < heads && r.pos < r.end && r.pos >= s->q_pos && r.end <= s->kv_len && r.pos / s->tile_rows == (r.end - 1) / s->tile_rows);
        assert_true(r.n_blocks > 0 && (r.first_block + r.n_blocks - 1) * s->block < r.end && r.first_block >= s->first_block);
        assert_true(s->window || r.n_blocks <= before); /* the longest first */
        before = r.n_blocks;
        for (size_t row = r.pos; row < r.end; row++)
            rows[r.head * s->n_rows + row - s->q_pos]++;
    }
    for (size_t i = 0; i < heads * s->n_rows; i++)
        assert_int_equal(rows[i], 1);
    for (size_t i = 0; i < s->n_heads * s->n_blocks; i++)
        assert_int_equal(blocks[i], i % s->n_blocks >= s->first_block);
    free(rows);
    free(blocks);
}

static void test_attention(void **state)
{
    static const struct prism_attention_split splits[] = {
        { .n_rows = 1000, .block = 128, .tile_rows = 64, .n_heads = 4, .group = 3 },
        { .n_rows = 333, .q_pos = 77, .block = 64, .tile_rows = 32, .n_heads = 8, .group = 1 },
        { .n_rows = 300, .q_pos = 900, .block = 64, .tile_rows = 64, .n_heads = 2, .group = 2, .window = 200 },
        { .n_rows = 300, .q_pos = 900, .block = 64, .tile_rows = 64, .n_heads = 2, .group = 2, .window = 256, .chunked = true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        for (size_t t = 1; t <= THREADS; t++) {
            struct prism_attention_split s = splits[i];
            s.n_threads = t;
            prism_attention_split(&s);
            check_attention(&s);
            assert_true(t > 1 || s.pack_blocks == 8 || s.n_heads < 4);
            assert_true(s.pack_blocks == 1 || prism_attention_pack_jobs(&s) >= 4 * t);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_products), cmocka_unit_test(test_packing), cmocka_unit_test(test_attention) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
