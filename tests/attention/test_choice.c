/* test_choice.c - top-p against a sort and a running sum: random rows with ties, zeros and spikes, thresholds on and beside every sum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/attention/choice.h"
#include "tests/support/kernel_test.h"

enum { MAX_N = 5000 };

struct entry {
    uint32_t p, index;
};

static int better(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->p != y->p)
        return x->p > y->p ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* The definition: in order, an entry is kept when the sum of those before it is below the threshold. */
static uint64_t choose_by_sorting(uint64_t *bits, const struct entry *sorted, size_t n, uint64_t threshold)
{
    uint64_t before = 0;
    for (size_t i = 0; i < n && before < threshold; i++) {
        bits[sorted[i].index / 64] |= UINT64_C(1) << sorted[i].index % 64;
        before += sorted[i].p;
    }
    return before;
}

enum kind { SOFTMAX, TIES, EQUAL, ZEROS, SPIKE, SMALL, ROUNDED_UP, N_KINDS };

static void fill(uint32_t *p, size_t n, enum kind kind)
{
    double sum = 0, x[MAX_N];
    const double unit = 0x1p30;

    for (size_t i = 0; i < n; i++)
        sum += x[i] = kind == SPIKE && i == n / 2 ? 1e9 : kt_uniform(0, 1) * kt_uniform(0, 1) * kt_uniform(0, 1) + 1e-12;
    for (size_t i = 0; i < n; i++)
        switch (kind) {
        case SOFTMAX: case SPIKE: p[i] = (uint32_t)(x[i] / sum * unit + 0.5); break;
        case ROUNDED_UP: p[i] = (uint32_t)(x[i] / sum * unit + 1); break; /* the sum exceeds one */
        case TIES: p[i] = (uint32_t)(unit / (double)n / (1 + kt_random() % 4)); break; /* and the sum stays below one */
        case EQUAL: p[i] = (uint32_t)(unit / (double)n + 0.5); break;
        case ZEROS: p[i] = kt_random() % 3 ? 0 : (uint32_t)(x[i] / sum * unit); break;
        case SMALL: p[i] = kt_random() % 40; break; /* the leading bits that bins count by are whole values here */
        case N_KINDS: break;
        }
}

static void check_row(const uint32_t *p, const struct entry *sorted, size_t n, uint64_t threshold)
{
    size_t words = (n + 63) / 64, bytes = words * sizeof(uint64_t);
    uint64_t *bits = kt_alloc(bytes, sizeof *bits), want[(MAX_N + 63) / 64];
    void *scratch = kt_alloc(prism_choice_scratch(n), sizeof(uint64_t));

    for (size_t w = 0; w < words; w++) /* bits are added to those that are there */
        want[w] = bits[w] = kt_random() % 4 ? 0 : UINT64_C(1) << kt_random() % 64;
    uint64_t kept = choose_by_sorting(want, sorted, n, threshold);
    kt_context("%zu entries, threshold %llu", n, (unsigned long long)threshold);
    kt_true(prism_choose_top_p(bits, p, n, threshold, scratch) == kept, "the sum of what is kept");
    kt_true(!memcmp(bits, want, bytes), "which entries are kept");
}

static void check_rows(size_t n, enum kind kind, size_t n_thresholds)
{
    static const double share[] = { 0.5, 0.8, 0.9, 0.95, 0.999999 };
    struct entry sorted[MAX_N];
    uint32_t *p = kt_alloc(n * sizeof *p, sizeof *p);
    uint64_t total = 0;

    fill(p, n, kind);
    kt_freeze(p);
    for (size_t i = 0; i < n; i++)
        total += (sorted[i] = (struct entry){ p[i], (uint32_t)i }).p;
    qsort(sorted, n, sizeof *sorted, better);
    const uint64_t fixed[] = { 0, 1, UINT64_C(1) << 30, total, total + 1, UINT64_MAX };
    for (size_t i = 0; i < n_thresholds; i++) {
        uint64_t threshold;
        if (i < sizeof fixed / sizeof *fixed) {
            threshold = fixed[i];
        } else if (i % 2) {
            threshold = (uint64_t)(share[kt_random() % 5] * 0x1p30 + 0.5);
        } else { /* the sum before some entry, one less, one more */
            threshold = kt_random() % 3;
            for (size_t j = kt_random() % n; j-- > 0;)
                threshold += sorted[j].p;
            threshold -= threshold > 0;
        }
        check_row(p, sorted, n, threshold);
    }
    kt_release();
}

/* Once with guard pages behind the buffers and once before them; nothing here depends on the level. */
static void check_all(const struct prism_kernels *k)
{
    if (k->level != PRISM_LEVEL_GENERIC)
        return;
    for (int kind = 0; kind < N_KINDS; kind++) {
        for (size_t n = 1; n <= 130; n++)
            check_rows(n, (enum kind)kind, 16);
        for (int i = 0; i < 12; i++)
            check_rows(131 + kt_random() % (MAX_N - 130), (enum kind)kind, 12);
        check_rows(MAX_N, (enum kind)kind, 12);
    }
}

static void test_against_sorting(void **state)
{
    (void)state;
    kt_levels(check_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_sorting) };
    return cmocka_run_group_tests_name("choice", tests, NULL, NULL);
}
