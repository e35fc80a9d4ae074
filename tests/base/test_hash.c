/* test_hash.c - the seeded hashes: they are functions of the text, tell texts of all lengths apart, and every table has its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/hash.h"

static void test_same_text_same_hash(void **state)
{
    (void)state;
    struct prism_hash_seed s = prism_hash_new_seed();
    char room[64 + 8];
    for (size_t n = 0; n <= 64; n++)
        for (size_t shift = 0; shift < 8; shift++) {
            memset(room, 0xEE, sizeof room); /* what lies around does not count */
            for (size_t i = 0; i < n; i++)
                room[shift + i] = (char)(i * 37 + n);
            char copy[64];
            memcpy(copy, room + shift, n);
            assert_true(prism_hash_bytes(&s, room + shift, n) == prism_hash_bytes(&s, copy, n));
        }
}

/* 64 bits: two of these few thousand texts agree by chance once in 10^12 runs. */
static void test_other_text_other_hash(void **state)
{
    (void)state;
    struct prism_hash_seed s = prism_hash_new_seed();
    char zeros[65] = { 0 }, text[64];
    uint64_t seen[65];
    for (size_t n = 0; n <= 64; n++) { /* lengths alone */
        seen[n] = prism_hash_bytes(&s, zeros, n);
        for (size_t k = 0; k < n; k++)
            assert_true(seen[k] != seen[n]);
    }
    for (size_t n = 1; n <= 64; n++)
        for (size_t i = 0; i < n; i++) { /* each bit of each byte */
            memset(text, 0, sizeof text);
            for (int bit = 0; bit < 8; bit++) {
                text[i] = (char)(1 << bit);
                assert_true(prism_hash_bytes(&s, text, n) != seen[n]);
            }
        }
    uint64_t zero = prism_hash_u64(&s, 0);
    for (int bit = 0; bit < 64; bit++)
        assert_true(prism_hash_u64(&s, UINT64_C(1) << bit) != zero);
}

static void test_each_seed_is_another(void **state)
{
    (void)state;
    struct prism_hash_seed a = prism_hash_new_seed(), b = prism_hash_new_seed();
    assert_true(a.point != b.point && a.offset != b.offset);
    assert_true(a.point >= 2 && a.point < PRISM_HASH_PRIME && b.point >= 2 && b.point < PRISM_HASH_PRIME);
    assert_true(prism_hash_bytes(&a, "token", 5) != prism_hash_bytes(&b, "token", 5));
    assert_true(prism_hash_bytes(&a, "a longer token", 14) != prism_hash_bytes(&b, "a longer token", 14));
    assert_true(prism_hash_u64(&a, 77) != prism_hash_u64(&b, 77));
}

/* Numbers in a row, and numbers that differ in high bits only, fall into slots as chance would have it: of 4096 in 8192 slots about
 * 8192 (1 - exp(-1/2)) = 3223 slots are hit, with a standard deviation of less than 30. */
static void test_slots_are_spread(void **state)
{
    (void)state;
    static const int shifts[] = { 0, 16, 32, 51 };
    for (size_t k = 0; k < sizeof shifts / sizeof shifts[0]; k++) {
        struct prism_hash_seed s = prism_hash_new_seed();
        uint8_t by_number[8192] = { 0 }, by_text[8192] = { 0 };
        int numbers = 0, texts = 0;
        for (uint64_t i = 0; i < 4096; i++) {
            uint64_t key = i << shifts[k];
            by_number[prism_hash_u64(&s, key) & 8191] = 1;
            by_text[prism_hash_bytes(&s, &key, sizeof key) & 8191] = 1;
        }
        for (int i = 0; i < 8192; i++)
            numbers += by_number[i], texts += by_text[i];
        assert_true(numbers > 2500 && texts > 2500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_text_same_hash), cmocka_unit_test(test_other_text_other_hash), cmocka_unit_test(test_each_seed_is_another),
        cmocka_unit_test(test_slots_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
