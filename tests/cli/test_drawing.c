/* test_drawing.c - the library tells its progress after every job; the tools' bar is drawn ten times a second at most, by the caller's clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tools/common/progress.c"

/* How often the bar was drawn on a file in place of stderr while n calls came every step_ms. */
static size_t drawings(size_t n, double step_ms, bool on)
{
    struct progress p = progress_start();
    char path[256];
    size_t count = 0, length;
    int saved = dup(STDERR_FILENO);

    snprintf(path, sizeof path, "%s/bar", test_tmp_dir());
    assert_non_null(freopen(path, "w", stderr));
    p.on = on;
    for (size_t i = 0; i < n; i++)
        progress_draw(&p, "prefill", (double)i / (double)n, i, n, (double)i * step_ms);
    fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    char *text = test_read_file(path, &length);
    for (size_t i = 0; i < length; i++)
        count += text[i] == '\r';
    free(text);
    return count;
}

static void test_often(void **state)
{
    (void)state;
    assert_int_equal(drawings(100000, 0.05, false), 0);
    size_t n = drawings(100000, 0.05, true); /* five seconds */
    assert_true(n >= 49 && n <= 51);
    assert_int_equal(drawings(20, 1000, true), 20); /* seldom: each time */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_often) };
    return cmocka_run_group_tests_name("drawing", tests, NULL, NULL);
}
