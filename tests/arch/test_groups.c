/* test_groups.c - stored weights to signed bytes in groups of 32, bit for bit at every level, and right: d * q + m is the value. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "arch/generic/unpack.h"
#include "tests/support/kernel_test.h"

static bool requantised(int type) { return prism_types[type].group == 16; }

/* Judge: the floats of to_f32, bit for bit where scales span 32 values; a requantised value within half a step of d, and three
 * roundings of at most 127 half units. m may be NULL only for symmetric types. */
static void check_values(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        if (!k->to_i8[t])
            continue;
        const size_t n = 4096;
        uint8_t *x = kt_alloc(prism_row_bytes((enum prism_type)t, n), 1);
        int8_t *q = kt_alloc(n, 1);
        float *d = kt_floats(n / 32), *m = kt_floats(n / 32), *want = kt_floats(n);

        kt_fill_blocks(x, (enum prism_type)t, n);
        kt_freeze(x);
        prism_kernels_generic.to_f32[t](want, x, n);
        k->to_i8[t](q, d, m, x, n);
        kt_context("%s to_i8 %s", k->name, prism_types[t].name);
        for (size_t i = 0; i < n; i++) {
            float v = d[i / 32] * (float)q[i];
            if (prism_types[t].has_min)
                v += m[i / 32];
            else
                kt_true(!m[i / 32], "m of a symmetric type is not 0");
            if (requantised(t))
                kt_near((double)v, (double)want[i], (double)d[i / 32] * (0.5 + 127 * 0x1p-22), i, 0);
            else
                kt_same_floats(&v, &want[i], 1);
        }
        kt_release();
    }
}

/* Judge: generic, on any bits with finite scales, in blocks of every count; NULL for m. */
static void check_same(const struct prism_kernels *k)
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        assert_int_equal(k->to_i8[t] != NULL, prism_types[t].block > 1);
        for (size_t blocks = 1; k->to_i8[t] && blocks < 20; blocks++) {
            size_t n = blocks * prism_types[t].block;
            uint8_t *x = kt_alloc(prism_row_bytes((enum prism_type)t, n), 1);
            int8_t *q = kt_alloc(n, 1), *want_q = kt_alloc(n, 1);
            float *d = kt_floats(n / 32), *m = kt_floats(n / 32), *want_d = kt_floats(n / 32), *want_m = kt_floats(n / 32);

            kt_fill_blocks(x, (enum prism_type)t, n);
            if (blocks == 3) /* all zeros: groups whose largest magnitude is 0 */
                memset(x, 0, prism_row_bytes((enum prism_type)t, n));
            kt_freeze(x);
            if (!prism_types[t].has_min && blocks & 1)
                m = NULL;
            prism_kernels_generic.to_i8[t](want_q, want_d, want_m, x, n);
            k->to_i8[t](q, d, m, x, n);
            kt_context("%s to_i8 %s, %zu blocks", k->name, prism_types[t].name, blocks);
            kt_true(!memcmp(q, want_q, n), "bytes differ from generic");
            kt_same_floats(d, want_d, n / 32);
            if (m)
                kt_same_floats(m, want_m, n / 32);
            kt_release();
        }
    }
}

/* The rounding of activations that every int8 packer shares: ties to even, tiny groups zero, the largest float. */
static void test_quantize_32(void **state)
{
    (void)state;
    float x[32] = { 127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f, 126.5f };
    int8_t q[32];
    const int8_t want[8] = { 127, 0, 2, 2, 0, -2, -126, 126 };

    assert_true(prism_quantize_32(q, x) == 1.0f);
    assert_memory_equal(q, want, 8);
    for (int i = 0; i < 32; i++)
        x[i] = 0x1p-121f;
    assert_true(prism_quantize_32(q, x) == 0.0f);
    assert_int_equal(q[7], 0);
    x[3] = -0x1.fffffep127f;
    assert_true(isfinite(prism_quantize_32(q, x)));
    assert_int_equal(q[3], -127);
    assert_int_equal(q[4], 0);
}

static void test_values(void **state) { (void)state, kt_levels(check_values); }
static void test_same(void **state) { (void)state, kt_levels(check_same); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_quantize_32),
    };
    return cmocka_run_group_tests_name("arch/groups", tests, NULL, NULL);
}
