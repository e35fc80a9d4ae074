/* test_scaling.c - the model of scaling (tools/bench/scaling.h), and by it that the engine's splits leave few of 1 to 128 threads idle at every level
 * of the host. That each output belongs to one job is tests/engine/test_split.c's business. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "src/engine/layer.h"
#include "tools/bench/scaling.h"

enum { THREADS = 128 };

static const struct prism_kernels *level(int l) { return prism_level_runs_here((enum prism_level)l) ? prism_kernels_by_level[l] : NULL; }

/* The 8B shape in Q8_0. Costs: an EPYC with Zen 5 cores, AVX-512 BF16 (prism-bench scaling), in nanoseconds. */
static struct scaling_layer layer_8b(const struct prism_kernels *k)
{
    const struct prism_linear *coarse = k->linear_auto[PRISM_Q8_0], *fine = prism_fine_kind(k, PRISM_Q8_0, PRISM_Q8_0);
    const double one = 0.0025, two = fine != coarse ? 0.0048 : one, unpacked = 0.03, packed = 0.085;
    return (struct scaling_layer){
        .n_tokens = 4096, .n_embd = 4096, .n_head = 32, .n_head_kv = 8, .head_dim = 128, .n_ff = 14336,
        .kind = { coarse, fine, fine, coarse, coarse, fine }, .attention = k->attention_auto, .block = PRISM_DENSE_BLOCK,
        .cost = { .multiply = { one, two, two, one, one, two }, .pack_w = { unpacked, unpacked, unpacked, unpacked, unpacked, unpacked },
                  .pack_a = { packed, packed, packed, packed, packed, packed }, .norm = 0.09, .activate = 1.2, .rotate = 0.15, .pack_kv = 0.2,
                  .tile = 0.009, .phase = 500 },
    };
}

/* The whole, and each phase that takes a hundredth of the time. */
static void test_idle(void **state)
{
    (void)state;
    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        if (!level(l))
            continue;
        struct scaling_layer layer = layer_8b(level(l));
        for (size_t t = 1; t <= THREADS; t++) {
            struct scaling s;
            scaling_model(&layer, t, &s);
            double idle = scaling_idle(&s.total, t);
            if (!(idle >= -1e-9 && idle < (t <= 64 ? 0.05 : 0.08)))
                fail_msg("level %s, %zu threads: %.3f of their time is idle", level(l)->name, t, idle);
            for (int i = 0; i < SCALING_PHASES; i++) {
                double of_phase = scaling_idle(&s.phase[i], t);
                if (s.phase[i].busy > 0.01 * s.total.busy && !(of_phase < (t == 64 ? 0.10 : 0.15)))
                    fail_msg("level %s, %zu threads, %s: %.3f idle", level(l)->name, t, scaling_phase_name((enum scaling_phase)i), of_phase);
            }
        }
    }
}

/* What can be said of it without a model: one thread never waits, work grows only by weights that are unpacked again, and no phase ends before its
 * work is done. */
static void test_model(void **state)
{
    struct scaling one, s;
    struct scaling_layer layer = layer_8b(prism_kernels_by_level[PRISM_LEVEL_GENERIC]);
    const double work = 4096.0 * 4096 * 4096 * 0.0025; /* of the output projection */

    (void)state;
    scaling_model(&layer, 1, &one);
    assert_true(fabs(one.total.span / one.total.busy - 1) < 1e-9);
    assert_true(one.phase[SCALING_OUT].busy > work && one.phase[SCALING_OUT].busy < 1.03 * work);
    assert_true(one.phase[SCALING_TILES].busy > 32 * 128 * 4096.0 * 4096 / 2 * 0.009);
    assert_true(one.phase[SCALING_TILES].busy < 1.05 * 32 * 128 * 4096.0 * 4096 / 2 * 0.009);
    for (size_t t = 2; t <= THREADS; t++) {
        scaling_model(&layer, t, &s);
        for (int i = 0; i < SCALING_PHASES; i++) {
            const struct scaling_time *a = &one.phase[i], *b = &s.phase[i];
            if (i == SCALING_PACK_DOWN && a->n_jobs == 0)
                continue; /* narrow pieces of the gated product are not packed as they come */
            if (!(b->busy >= a->busy * (1 - 1e-9) && b->busy <= a->busy * 1.15 && b->span * (double)t >= b->busy && b->n_jobs >= a->n_jobs))
                fail_msg("%s, %zu threads: %.0f in %zu jobs, one: %.0f in %zu", scaling_phase_name((enum scaling_phase)i), t, b->busy, b->n_jobs,
                         a->busy, a->n_jobs);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_idle), cmocka_unit_test(test_model) };

    return cmocka_run_group_tests_name("cli/scaling", tests, NULL, NULL);
}
