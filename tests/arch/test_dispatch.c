/* test_dispatch.c - every table is complete and consistent with its level, whether or not the level runs here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/engine/context.h"
#include "src/kernels.h"
#include "tests/support/kernel_test.h"

/* Calls nothing of a table: its kernels may not run here. */
static void check_table(const struct prism_kernels *k, int level)
{
    assert_int_equal(k->level, level);
    assert_string_equal(k->name, prism_level_label((enum prism_level)level));
    kt_context("table %s", k->name);
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        kt_true(k->to_f32[t] != NULL, "a to_f32 is missing");
        kt_true((k->to_i8[t] != NULL) == (prism_types[t].block >= 32), "to_i8 must serve exactly the block types");
        kt_true(k->linear_auto[t] != NULL, "a linear_auto is missing");
    }
    for (int g = 0; g < PRISM_N_GATES; g++)
        kt_true(k->gate[g] != NULL, "a gate is missing");
    for (int a = 0; a < PRISM_N_ACTS; a++)
        kt_true(k->act[a] != NULL, "an activation is missing");
    kt_true(k->linear_f32 && k->gemv && k->rms_norm && k->layer_norm && k->rope && k->rope_table, "a kernel is missing");
    kt_true(k->add && k->add_scaled && k->scale, "a sum is missing");
    kt_true(k->matmul && k->decay, "what delta nets need is missing");
    kt_true(k->f32_to_f16 && k->f32_to_bf16 && k->f16_to_f32 && k->bf16_to_f32 && k->f32_to_q8_0, "a conversion is missing");
    kt_true(k->attention_f32 && k->attention_auto && k->attn_row && k->attn_row_auto, "an attention kernel is missing");
}

static void check_linear(const struct prism_linear *l)
{
    assert_true(l->name && l->mr >= 1 && l->nr >= 1 && l->nr <= 64);
    assert_int_equal(PRISM_PACK_ROWS % l->mr, 0); /* what the engine packs at a time is whole panels */
    assert_true(l->k_step == 1 || l->k_step == 2 || l->k_step == 32 || l->k_step == 64);
    assert_true(l->a_bytes && l->w_bytes && l->pack_w && l->pack_a && l->gemm);
    /* Rounding to eight bits, of either kind, is half a step of 1/127 or 1/128 of the largest; nothing we have is coarser, but for
     * the 0.03 of a step that factors of four-bit weights add. */
    assert_true(l->a_err >= 0 && l->a_err < 0.00395f && l->w_err >= 0 && l->w_err < (strcmp(l->name, "i8w") ? 0.00395f : 0.00426f));
}

static void check_attention(const struct prism_attention *a)
{
    assert_true(a->name && (a->tile_rows == 32 || a->tile_rows == 64));
    assert_true(a->k_block_bytes && a->v_block_bytes && a->tile_scratch && a->pack_k && a->pack_v && a->tile);
    assert_true(a->err > 0);
    /* Nothing coarser than steps of 1/32767 of a key's norm: keys may have outliers (tests/engine/test_key_outliers.c). */
    assert_true(!strcmp(a->name, "f32") || !strcmp(a->name, "i16"));
}

static void test_tables(void **state)
{
    (void)state;
    assert_non_null(prism_kernels_by_level[PRISM_LEVEL_GENERIC]);
    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        const struct prism_kernels *k = prism_kernels_by_level[l];
        if (!k)
            continue;
        check_table(k, l);
        check_linear(k->linear_f32);
        assert_string_equal(k->linear_f32->name, "f32");
        for (int t = 0; t < PRISM_N_TYPES; t++)
            for (int i = 0; i < PRISM_TYPE_KINDS; i++)
                if (prism_type_kind(k, (enum prism_type)t, i))
                    check_linear(prism_type_kind(k, (enum prism_type)t, i));
        check_attention(k->attention_f32);
        check_attention(k->attention_auto);
        assert_string_equal(k->attention_f32->name, "f32");
    }
}

static void test_labels(void **state)
{
    (void)state;
    for (int a = 0; a < PRISM_N_LEVELS; a++) {
        assert_non_null(prism_level_label((enum prism_level)a));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(prism_level_label((enum prism_level)a), prism_level_label((enum prism_level)b));
    }
    assert_string_equal(prism_level_label((enum prism_level)PRISM_N_LEVELS), "unknown");
    assert_string_equal(prism_level_label(PRISM_LEVEL_AVX512VNNI), "avx512vnni");
}

/* Generic runs everywhere, nothing that is not in the build does, and the best level is the last one that runs, but for a slow one: BF16 on
 * Intel's processors. */
static void test_choice(void **state)
{
    (void)state;
    enum prism_level best = prism_level_best();

    assert_true(prism_level_runs_here(PRISM_LEVEL_GENERIC));
    assert_false(prism_level_runs_here((enum prism_level)PRISM_N_LEVELS));
    assert_true(prism_level_runs_here(best));
    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        if (!prism_kernels_by_level[l])
            assert_false(prism_level_runs_here((enum prism_level)l));
        if (prism_level_runs_here((enum prism_level)l))
            assert_true(l <= (int)best || (l == PRISM_LEVEL_AVX512BF16 && best == PRISM_LEVEL_AVX512VNNI));
    }
    /* A level that runs implies those it was built upon. */
    if (prism_level_runs_here(PRISM_LEVEL_AVX512BF16))
        assert_true(prism_level_runs_here(PRISM_LEVEL_AVX512VNNI));
    if (prism_level_runs_here(PRISM_LEVEL_AVX512VNNI))
        assert_true(prism_level_runs_here(PRISM_LEVEL_AVX512));
    if (prism_level_runs_here(PRISM_LEVEL_AVX512))
        assert_true(prism_level_runs_here(PRISM_LEVEL_AVX2));
    if (prism_level_runs_here(PRISM_LEVEL_AVXVNNI))
        assert_true(prism_level_runs_here(PRISM_LEVEL_AVX2));
    if (prism_level_runs_here(PRISM_LEVEL_NEON_I8MM_BF16))
        assert_true(prism_level_runs_here(PRISM_LEVEL_NEON));
    /* On an emulated processor it is known what must be found: make check-arm. */
    const char *expected = getenv("PRISM_TEST_LEVEL");
    if (expected)
        assert_string_equal(prism_level_label(best), expected);
}

#if defined(__x86_64__)
/* All words of `need` are among the flags that Linux prints. */
static bool cpuinfo_has(const char *flags, const char *need)
{
    char words[128], *at;

    snprintf(words, sizeof words, "%s", need);
    for (char *word = strtok_r(words, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
        char spaced[32];
        snprintf(spaced, sizeof spaced, " %s ", word);
        if (!strstr(flags, spaced))
            return false;
    }
    return true;
}

/* The kernel reads CPUID too, and leaves out what it does not save the registers of. */
static void test_cpuinfo(void **state)
{
    (void)state;
#define AVX2_FLAGS "avx2 fma f16c"
#define AVX512_FLAGS AVX2_FLAGS " avx512f avx512bw avx512dq avx512vl"
    static const struct {
        enum prism_level level;
        const char *flags;
        bool always; /* older kernels know the flag too */
    } levels[] = {
        { PRISM_LEVEL_AVX2, AVX2_FLAGS, true },
        { PRISM_LEVEL_AVXVNNI, AVX2_FLAGS " avx_vnni", false },
        { PRISM_LEVEL_AVX512, AVX512_FLAGS, true },
        { PRISM_LEVEL_AVX512VNNI, AVX512_FLAGS " avx512_vnni", true },
        { PRISM_LEVEL_AVX512BF16, AVX512_FLAGS " avx512_vnni avx512_bf16", false },
    };
    char line[8192] = "";
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof line, f) && strncmp(line, "flags", 5))
        continue;
    if (!f || strncmp(line, "flags", 5)) {
        if (f)
            fclose(f);
        skip();
    }
    fclose(f);
    line[strcspn(line, "\n")] = ' ';
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        const bool listed = cpuinfo_has(line, levels[i].flags), native = prism_level_is_native(levels[i].level);
        kt_context("%s", prism_level_label(levels[i].level));
        kt_true(native || !listed, "the kernel has it, we do not see it");
        kt_true(!native || listed || !levels[i].always, "we see what the kernel does not");
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_choice),
#if defined(__x86_64__)
        cmocka_unit_test(test_cpuinfo),
#endif
    };
    return cmocka_run_group_tests_name("arch/dispatch", tests, NULL, NULL);
}
