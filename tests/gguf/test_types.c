/* test_types.c - the registry of tensor types against itself and against the published numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "src/gguf/types.h"

/* Both tables describe the computable types: they must agree. */
static void test_tables_agree(void **state)
{
    (void)state;
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        const struct prism_type_info *a = &prism_types[t];
        const struct prism_file_type *b = prism_file_type_find(a->id);
        assert_non_null(b);
        assert_int_equal(b->type, t);
        assert_string_equal(b->name, a->name);
        assert_int_equal(b->block, a->block);
        assert_int_equal(b->bytes, a->bytes);
        assert_false(b->removed);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    int computable = 0;
    for (uint32_t id = 0; id < 43; id++) {
        const struct prism_file_type *t = prism_file_type_find(id);
        assert_non_null(t);
        assert_int_equal(t->id, id);
        assert_true(t->removed || (t->block > 0 && t->bytes > 0));
        computable += t->type >= 0;
        bool gone = id == 4 || id == 5 || (id >= 31 && id <= 33) || (id >= 36 && id <= 38);
        assert_int_equal(t->removed, gone);
    }
    assert_int_equal(computable, PRISM_N_TYPES);
    assert_null(prism_file_type_find(43));
    assert_null(prism_file_type_find(UINT32_MAX));
}

/* Bits per weight as published: a wrong block or size shows here. */
static void test_bits(void **state)
{
    (void)state;
    static const struct { enum prism_type type; double bits; } rows[] = {
        { PRISM_F32, 32 }, { PRISM_F16, 16 }, { PRISM_BF16, 16 }, { PRISM_Q4_0, 4.5 }, { PRISM_Q4_1, 5 }, { PRISM_Q5_0, 5.5 }, { PRISM_Q5_1, 6 },
        { PRISM_Q8_0, 8.5 }, { PRISM_Q2_K, 2.625 }, { PRISM_Q3_K, 3.4375 }, { PRISM_Q4_K, 4.5 }, { PRISM_Q5_K, 5.5 }, { PRISM_Q6_K, 6.5625 },
        { PRISM_IQ4_NL, 4.5 }, { PRISM_IQ4_XS, 4.25 }, { PRISM_MXFP4, 4.25 },
        { PRISM_IQ2_XXS, 2.0625 }, { PRISM_IQ2_XS, 2.3125 }, { PRISM_IQ2_S, 2.5625 }, { PRISM_IQ3_XXS, 3.0625 }, { PRISM_IQ3_S, 3.4375 },
        { PRISM_IQ1_S, 1.5625 }, { PRISM_IQ1_M, 1.75 }, { PRISM_NVFP4, 4.5 }, { PRISM_TQ1_0, 1.6875 }, { PRISM_TQ2_0, 2.0625 },
        { PRISM_Q1_0, 1.125 }, { PRISM_Q2_0, 2.25 },
    };
    assert_int_equal(sizeof rows / sizeof rows[0], PRISM_N_TYPES);
    for (size_t i = 0; i < PRISM_N_TYPES; i++)
        assert_true((double)prism_row_bytes(rows[i].type, 256) * 8 / 256 == rows[i].bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tables_agree), cmocka_unit_test(test_numbers), cmocka_unit_test(test_bits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
