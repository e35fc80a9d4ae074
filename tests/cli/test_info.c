/* test_info.c - what --info prints of layers that have experts and windows, and that it prints nothing of those where there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/child.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tool_check.h"

static const char *model_of(const char *family)
{
    if (strcmp(family, "gemma4") == 0)
        return "tests/golden/arch/gemma4.gguf";
    struct tiny_model t = tiny_family(family);
    t.n_layer = 12, t.rope_base = 1e6;
    return tiny_write(&t, "info.gguf");
}

static void lines_of_layers(void **state)
{
    static const struct {
        const char *family, *lines;
    } cases[] = {
        { "qwen3", "  feed-forward       128\n  rope               32 dims, half-split, base 1e+06, scaling none\n  rms epsilon" },
        { "qwen2moe", "  feed-forward       128\n  experts            6, 2 used, of 32\n  shared expert      64\n  rope               32 dims" },
        { "gemma3", "  feed-forward       128\n  window             16 tokens in 10 of 12 layers\n  rope               32 dims, half-split, base 1e+06, "
                    "scaling none\n  rope in windows    base 10000\n  rms epsilon" },
        { "gpt-oss", "  experts            6, 2 used, of 32\n  window             16 tokens in 6 of 12 layers\n  rope               32 dims, half-split, "
                     "base 1e+06, scaling yarn\n  rms epsilon" },
        { "gemma4", "  heads              4 query, 1 key/value, 24 wide\n  heads in windows   2 key/value, 16 wide\n  keys and values    of the last 2 layers: "
                    "those of earlier ones\n  feed-forward       24\n  window             24 tokens in 3 of 6 layers\n" },
    };
    struct child c;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        RUN(&c, "prism-run", "-m", model_of(cases[i].family), "--info");
        assert_worked(&c);
        if (!strstr(c.out, cases[i].lines))
            fail_msg("%s: expected\n%s\nfound\n%s", cases[i].family, cases[i].lines, c.out);
        child_free(&c);
    }
}

static void the_same_as_json(void **state)
{
    static const char *const members[] = {
        "\"n_expert\": 6", "\"n_expert_used\": 2", "\"n_ff_expert\": 32", "\"n_ff_shared\": 0", "\"window\": 16", "\"n_window_layers\": 6",
        "\"rope_freq_base\": 1e+06", "\"rope_freq_base_window\": 1e+06",
    };
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "-m", model_of("gpt-oss"), "--info", "--json");
    assert_worked(&c);
    assert_json(c.out);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!strstr(c.out, members[i]))
            fail_msg("no %s in\n%s", members[i], c.out);
    child_free(&c);
}

/* The bytes of the cache that the plan names. */
static double cache_mib(const char *family, const char *n_ctx)
{
    struct child c;
    double mib = 0;

    RUN(&c, "prism-run", "-m", model_of(family), "--info", "-c", n_ctx);
    assert_worked(&c);
    const char *line = strstr(c.out, "key/value cache");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "key/value cache %lf MiB", &mib), 1);
    child_free(&c);
    return mib;
}

/* 12 layers, of which 10 see 16 tokens: the plan counts rings of 2048 tokens (src/engine/kv.c), 2 whole layers, and rows that the rings share. */
static void rings_are_planned(void **state)
{
    const double layer = 65536 * 32 * 2 * 2 / 1048576.0; /* of one kv head of 32, keys and values, two bytes each */

    (void)state;
    assert_true(cache_mib("qwen3", "65536") >= 12 * layer);
    double mib = cache_mib("gemma3", "65536");
    assert_true(mib >= 2 * layer + 10 * layer / 32 && mib <= 3 * layer + 10 * layer / 32 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(lines_of_layers), cmocka_unit_test(the_same_as_json), cmocka_unit_test(rings_are_planned) };
    return cmocka_run_group_tests_name("info", tests, NULL, NULL);
}
