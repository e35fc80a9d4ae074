/* test_rope.c - rotary frequencies and magnitudes against the published formulas, written out here a second time. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "src/model/load.h"
#include "tests/support/hostile.h"

#define MAX_PAIRS 64

/* The formulas are evaluated twice in double with other operations in between: a few roundings of pow and log, no more. */
#define ULPS (64 * DBL_EPSILON)
static void near(double got, double want)
{
    if (!(fabs(got - want) <= ULPS * fabs(want)))
        fail_msg("expected %.17g, found %.17g", want, got);
}

static struct prism_rope_params params(const char *scaling, double factor, uint32_t original)
{
    return (struct prism_rope_params){ .n_rot = 128, .base = 1e6, .scaling = scaling, .factor = factor,
                                   .attn_factor = 1, .orig_ctx = original };
}

/* Pair i turns once in 2 pi base^(2i/n) positions (Su et al. 2021). */
static void test_plain(void **state)
{
    (void)state;
    struct prism_rope_params hp = params("none", 1, 0);
    double f[MAX_PAIRS];
    prism_rope_frequencies(&hp, NULL, f);
    assert_true(f[0] == 1);
    for (int i = 0; i < 64; i++)
        near(f[i], exp(-(double)i / 64 * log(1e6)));
    assert_true(prism_rope_magnitude(&hp) == 1);
}

/* Positions divided by the factor (Chen et al. 2023). */
static void test_linear(void **state)
{
    (void)state;
    struct prism_rope_params hp = params("linear", 4, 0);
    double f[MAX_PAIRS];
    prism_rope_frequencies(&hp, NULL, f);
    for (int i = 0; i < 64; i++)
        near(f[i], exp(-(double)i / 64 * log(1e6)) / 4);
    assert_true(prism_rope_magnitude(&hp) == 1);
    hp.attn_factor = 1.5;
    assert_true(prism_rope_magnitude(&hp) == 1.5);
}

/* YaRN (Peng et al. 2023) for base 1e6, 128 dims, original context 32768, factor 4: the changeover runs from dimension
 * floor(128 ln(32768 / (32 * 2 pi)) / (2 ln 1e6)) = floor(23.594) to ceil(128 ln(32768 / (2 pi)) / (2 ln 1e6)) = ceil(39.649). */
static void test_yarn(void **state)
{
    (void)state;
    struct prism_rope_params hp = params("yarn", 4, 32768);
    double f[MAX_PAIRS];
    prism_rope_frequencies(&hp, NULL, f);
    for (int i = 0; i < 64; i++) {
        double plain = exp(-(double)i / 64 * log(1e6));
        double kept = i <= 23 ? 1 : i >= 40 ? 0 : 1 - (i - 23) / 17.0;
        near(f[i], plain * kept + plain / 4 * (1 - kept));
    }
    near(prism_rope_magnitude(&hp), 1 + 0.1 * log(4));
    hp.attn_factor = 0.5;
    near(prism_rope_magnitude(&hp), 0.5 * (1 + 0.1 * log(4)));
    hp.factor = 1;
    assert_true(prism_rope_magnitude(&hp) == 0.5);
}

/* A very short original context: both ends are clamped and the ramp keeps a width of at least 0.001. */
static void test_yarn_clamped(void **state)
{
    (void)state;
    struct prism_rope_params hp = params("yarn", 2, 6); /* 6 / (2 pi) < 1 rotation: lo 0, hi <= 0 */
    double f[MAX_PAIRS];
    prism_rope_frequencies(&hp, NULL, f);
    assert_true(f[0] == 1);
    for (int i = 1; i < 64; i++)
        near(f[i], exp(-(double)i / 64 * log(1e6)) / 2);
}

/* llama 3.1 bakes its scaling into divisors: wavelengths above C/L are stretched F times, below C/H not at all. */
static void test_llama3_divisors(void **state)
{
    (void)state;
    struct prism_rope_params hp = params("none", 1, 0);
    const double C = 8192, F = 8, L = 1, H = 4;
    double f[MAX_PAIRS];
    float div[MAX_PAIRS];
    int kinds[3] = { 0, 0, 0 };

    hp.base = 5e5;
    for (int i = 0; i < 64; i++) {
        double wave = 2 * M_PI * pow(5e5, i / 64.0), s = (C / wave - L) / (H - L);
        div[i] = (float)(wave < C / H ? 1 : wave > C / L ? F : 1 / ((1 - s) / F + s));
        kinds[wave < C / H ? 0 : wave > C / L ? 1 : 2]++;
    }
    assert_true(kinds[0] && kinds[1] && kinds[2]); /* the case covers all three */
    prism_rope_frequencies(&hp, div, f);
    for (int i = 0; i < 64; i++)
        near(f[i], exp(-(double)i / 64 * log(5e5)) / div[i]);
}

static prism_model *load(struct gb *g)
{
    struct loaded l;
    hostile_load(&l, gb_write(g, "rope.gguf"), false, false);
    assert_string_equal(l.err.text, "");
    assert_string_equal(l.log, "");
    gb_free(g);
    return l.model;
}

static void test_from_file(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    gb_str(g, "llama.rope.scaling.type", "yarn");
    gb_f32(g, "llama.rope.scaling.factor", 4);
    gb_u32(g, "llama.rope.scaling.original_context_length", 128);
    prism_model *m = load(g);
    assert_string_equal(m->hp.rope_scaling, "yarn");
    assert_int_equal(m->rope_orig_ctx, 128);
    assert_true(m->ropes[0].mag == (float)(1 + 0.1 * log(4)));
    assert_true(m->ropes[0].freq[0] == 1 && m->ropes[0].freq[15] < pow(1e4, -15.0 / 16));
    prism_model_free(m);

    g = tiny_build(&t); /* the old name of the factor; linear is the default type */
    gb_f32(g, "llama.rope.scale_linear", 2);
    m = load(g);
    assert_string_equal(m->hp.rope_scaling, "linear");
    near(m->ropes[0].freq[3], pow(1e4, -3.0 / 16) / 2);
    prism_model_free(m);

    g = tiny_build(&t); /* type none forces factor 1 */
    gb_str(g, "llama.rope.scaling.type", "none");
    gb_f32(g, "llama.rope.scaling.factor", 4);
    m = load(g);
    assert_string_equal(m->hp.rope_scaling, "none");
    near(m->ropes[0].freq[3], pow(1e4, -3.0 / 16));
    prism_model_free(m);
}

static void test_divisors_from_file(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    float div[16];
    for (int i = 0; i < 16; i++)
        div[i] = 1 + (float)i / 4;
    gb_add(g, "rope_freqs.weight", 0, 1, (uint64_t[]){ 16 }, div, sizeof div);
    prism_model *m = load(g);
    for (int i = 0; i < 16; i++)
        near(m->ropes[0].freq[i], pow(1e4, -i / 16.0) / div[i]);
    assert_null(m->ropes[0].freq_short);
    prism_model_free(m);
}

static void test_longrope(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    float wide[16], narrow[16];
    for (int i = 0; i < 16; i++)
        wide[i] = 2 + (float)i, narrow[i] = 1 + (float)i / 16;
    gb_str(g, "llama.rope.scaling.type", "longrope");
    gb_u32(g, "llama.rope.scaling.original_context_length", 64);
    gb_f32(g, "llama.rope.scaling.attn_factor", 1.25f);
    gb_add(g, "rope_factors_long.weight", 0, 1, (uint64_t[]){ 16 }, wide, sizeof wide);
    struct loaded l;
    hostile_load(&l, gb_write(g, "rope.gguf"), false, false);
    assert_true(hostile_judge(&l, 'R', "tensor rope_factors_short.weight: missing", "rope.gguf"));
    gb_add(g, "rope_factors_short.weight", 0, 1, (uint64_t[]){ 16 }, narrow, sizeof narrow);
    prism_model *m = load(g);
    for (int i = 0; i < 16; i++) {
        near(m->ropes[0].freq[i], pow(1e4, -i / 16.0) / wide[i]);
        near(m->ropes[0].freq_short[i], pow(1e4, -i / 16.0) / narrow[i]);
    }
    assert_int_equal(m->rope_orig_ctx, 64);
    assert_true(m->ropes[0].mag == 1.25f);
    prism_model_free(m);
}

/* Partial rotation: the first dimension_count dims of a head of 64. */
static void test_partial(void **state)
{
    (void)state;
    struct tiny_model t = tiny_qwen3();
    struct gb *g = tiny_build(&t);
    gb_u32(g, "qwen3.rope.dimension_count", 16);
    prism_model *m = load(g);
    assert_int_equal(m->hp.n_rot, 16);
    assert_int_equal(m->hp.head_dim, 64);
    for (int i = 0; i < 8; i++)
        near(m->ropes[0].freq[i], pow(1e4, -i / 8.0));
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_linear),             cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_yarn_clamped), cmocka_unit_test(test_llama3_divisors), cmocka_unit_test(test_from_file),
        cmocka_unit_test(test_divisors_from_file), cmocka_unit_test(test_longrope),  cmocka_unit_test(test_partial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
