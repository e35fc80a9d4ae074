/* vertical_slash.c - the vertical-slash pattern of MInference (Jiang et al. 2024, arXiv 2407.02490).
 *
 * The last 64 queries attend to all keys; the keys and the distances that got most of it are taken for every query. The first 30 keys and
 * the 100 nearest distances come before all others. A continued prefill estimates from the last queries of its own call.
 *
 * Deviations: a mask of blocks, not of tokens: a key takes its whole block column, a distance o the block diagonals floor(o/B) and
 * ceil(o/B), so more is attended to than with the paper's kernel, which gathers keys one by one. All heads have the same two budgets,
 * where the paper searches them offline for each head. Equal sums: the lower key or distance first. */
#include <math.h>
#include <string.h>

#include "src/attention/cut.h"
#include "src/attention/lines.h"
#include "src/attention/selectors.h"
#include "src/base/size.h"

enum { LAST = 64, FIRST_KEYS = 30, NEAREST = 100, MIN_SLASH = 50 };

static size_t shared_bytes(const struct prism_select_call *c)
{
    (void)c;
    return 0;
}

static size_t bit_words(const struct prism_select_call *c) { return prism_select_blocks(c) / 64 + 1; }

static size_t thread_bytes(const struct prism_select_call *c)
{
    return 2 * prism_carved(c->kv_len, sizeof(uint64_t)) + 2 * prism_carved(bit_words(c), sizeof(uint64_t)) + prism_lines_bytes(c);
}

struct work {
    const struct prism_select_call *c;
};

static void head_job(void *arg, size_t head, uint32_t thread)
{
    const struct prism_select_call *c = ((const struct work *)arg)->c;
    uint8_t *at = c->scratch + (size_t)thread * c->scratch_bytes;
    size_t n = c->kv_len, words = bit_words(c);
    uint64_t *vertical = prism_carve(&at, n, sizeof *vertical), *slash = prism_carve(&at, n, sizeof *slash);
    uint64_t *columns = prism_carve(&at, words, sizeof *columns), *diagonals = prism_carve(&at, words, sizeof *diagonals);

    prism_lines_measure(c, head, min_size(LAST, c->n_tokens), vertical, slash, NULL, at);
    for (size_t i = 0; i < n && i < FIRST_KEYS; i++)
        vertical[i] = UINT64_MAX;
    for (size_t i = 0; i < n && i < NEAREST; i++)
        slash[i] = UINT64_MAX;

    struct prism_cut of_keys = prism_cut_count(vertical, n, max_size(c->params->vertical, FIRST_KEYS));
    struct prism_cut of_distances = prism_cut_count(slash, n, max_size(c->params->slash, MIN_SLASH));
    memset(columns, 0, words * sizeof *columns);
    memset(diagonals, 0, words * sizeof *diagonals);
    for (size_t i = 0; i < n; i++) {
        if (prism_cut_takes(&of_keys, vertical[i]))
            prism_set_bit(columns, i / c->block);
        if (prism_cut_takes(&of_distances, slash[i])) {
            prism_set_bit(diagonals, i / c->block);
            prism_set_bit(diagonals, (i + c->block - 1) / c->block);
        }
    }
    prism_lines_draw(c, head, columns, diagonals);
    c->mass[head] = NAN;
}

static bool select_vertical_slash(const struct prism_select_call *c)
{
    struct work w = { c };
    return c->runner.run(c->runner.self, c->n_head, (double)LAST * (double)c->d * (double)c->kv_len, head_job, &w);
}

const struct prism_selector prism_selector_vertical_slash = { "vertical-slash", false, false, shared_bytes, thread_bytes, select_vertical_slash };
