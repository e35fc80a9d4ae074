/* test_peak.c - the peak kernels do the work that they say: counted in operations, and no faster than any processor could. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

/* Operations of a step: 12 chains of two per lane. Lanes of each kind by level; 0: the level has no such instruction. */
static const struct {
    enum prism_level level;
    unsigned lanes[PRISM_N_PEAKS]; /* f32, i8, i16, bf16 */
} expected[] = {
    { PRISM_LEVEL_GENERIC, { 4, 0, 0, 0 } },      { PRISM_LEVEL_AVX2, { 8, 32, 16, 0 } },         { PRISM_LEVEL_AVXVNNI, { 8, 32, 16, 0 } },
    { PRISM_LEVEL_AVX512, { 16, 64, 32, 0 } },    { PRISM_LEVEL_AVX512VNNI, { 16, 64, 32, 0 } },  { PRISM_LEVEL_AVX512BF16, { 16, 64, 32, 32 } },
    { PRISM_LEVEL_NEON, { 4, 0, 0, 0 } },         { PRISM_LEVEL_NEON_I8MM_BF16, { 4, 32, 0, 16 } },
};

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_work(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct prism_kernels *k = prism_kernels_by_level[expected[i].level];
        for (int kind = 0; k && kind < PRISM_N_PEAKS; kind++) {
            kt_context("peak %d of %s", kind, k->name);
            kt_true((k->peak[kind] != NULL) == (expected[i].lanes[kind] > 0), "a kernel where there is an instruction, and only there");
            if (!k->peak[kind] || !prism_level_is_native(expected[i].level))
                continue;
            double step = 24.0 * expected[i].lanes[kind], start = processor_seconds();
            kt_true(k->peak[kind](1) == step && k->peak[kind](100000) == 100000 * step, "operations of a step");
            /* 1.2 million instructions: a loop that the compiler threw away takes no time. Nothing runs 8 of them per cycle at 10 GHz. */
            kt_true(processor_seconds() - start > 1.2e6 / 80e9, "too fast to be true");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_work) };
    return cmocka_run_group_tests_name("arch/peak", tests, NULL, NULL);
}
