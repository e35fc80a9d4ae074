/* test_cut.c - the radix descent against sorting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/attention/cut.h"
#include "tests/support/kernel_test.h"

enum { MAX = 300 };

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* The first `count` of the sorted entries, and of equal ones those with the lower index. */
static void check(const uint64_t *x, const uint64_t *sorted, size_t n, size_t count, struct prism_cut cut)
{
    size_t above = 0, taken = 0;

    assert_int_equal(cut.count, count);
    while (above < count && count < n && sorted[above] > sorted[count])
        above++;
    for (size_t i = 0, equal = 0; i < n; i++) {
        bool want = count == n || (count > 0 && (x[i] > sorted[count] || (x[i] == sorted[count] && equal++ < count - above)));
        assert_int_equal(prism_cut_takes(&cut, x[i]), want);
        taken += want;
    }
    assert_int_equal(taken, count);
}

/* Entries of up to `bits` bits: the fewer, the more ties. */
static void compare(size_t n, int bits)
{
    uint64_t x[MAX], sorted[MAX], total = 0;

    for (size_t i = 0; i < n; i++) {
        x[i] = sorted[i] = ((uint64_t)kt_random() << 32 | kt_random()) >> (64 - bits);
        total += x[i];
    }
    qsort(sorted, n, sizeof *sorted, descending);
    for (size_t most = 0; most <= n + 1; most += 1 + n / 20)
        check(x, sorted, n, most < n ? most : n, prism_cut_count(x, n, most));
    for (int i = 0; i <= 20; i++) {
        uint64_t most = i == 20 ? total : total / 20 * (uint64_t)i, sum = 0;
        size_t count = 0;
        for (; count < n && sum + sorted[count] <= most; count++)
            sum += sorted[count];
        check(x, sorted, n, count, prism_cut_sum(x, n, most));
    }
}

static void cuts_are_those_of_the_sorted_entries(void **state)
{
    (void)state;
    kt_seed(1);
    for (size_t n = 1; n <= MAX; n += n < 8 ? 1 : 73)
        for (int bits = 1; bits <= 52; bits += 3)
            compare(n, bits);
}

static void the_largest_number_comes_first(void **state)
{
    (void)state;
    const uint64_t x[] = { 7, UINT64_MAX, 0, UINT64_MAX, 9 };
    struct prism_cut cut = prism_cut_count(x, 5, 3);
    const bool want[] = { false, true, false, true, true };

    for (size_t i = 0; i < 5; i++)
        assert_int_equal(prism_cut_takes(&cut, x[i]), want[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_those_of_the_sorted_entries),
        cmocka_unit_test(the_largest_number_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
