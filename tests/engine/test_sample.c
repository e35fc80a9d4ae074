/* test_sample.c - the filters keep exactly the sets they promise, and the draw has the right frequencies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"

#define MAX_VOCAB 4096

static int32_t draw(struct prism_sampling *s, const float *logits, size_t n)
{
    static uint64_t scratch[MAX_VOCAB];
    return prism_sample(s, logits, n, scratch);
}

/* Bit i: token i came up at least once in 4000 draws. The least likely kept token of the tests has probability 1/20 or more, so
 * it is missed with probability (19/20)^4000 < 1e-89. */
static unsigned support(struct prism_sampling s, const float *logits, size_t n)
{
    unsigned seen = 0;

    for (int i = 0; i < 4000; i++) {
        int32_t id = draw(&s, logits, n);
        assert_in_range(id, 0, n - 1);
        seen |= 1u << id;
    }
    return seen;
}

/* ids in mixed order; probabilities 1: 0.4, 3: 0.3, 0: 0.15, 4: 0.1, 2: 0.05 */
static const float five[] = {-1.89711998f, -0.91629073f, -2.99573227f, -1.20397280f, -2.30258509f};

static void greedy_takes_the_lowest_of_equal_ids(void **state)
{
    (void)state;
    const float logits[] = {-3, 2, 7, 7, -INFINITY, 7};
    const float with_nan[] = {NAN, 1, NAN, 3};
    struct prism_sampling s = {.temp = 0, .top_k = 1, .state = 5};

    assert_int_equal(prism_sample(&s, logits, 6, NULL), 2);
    assert_int_equal(prism_sample(&s, logits, 2, NULL), 1);
    assert_int_equal(prism_sample(&s, with_nan, 4, NULL), 3);
    s.temp = -1;
    assert_int_equal(prism_sample(&s, logits, 6, NULL), 2);
    assert_int_equal(s.state, 5); /* no draw */
}

static void filters_off_keep_everything(void **state)
{
    (void)state;
    const struct prism_sampling off[] = {
        {.temp = 1, .top_p = 1},
        {.temp = 1, .top_p = 2, .min_p = -1, .top_k = -4},
        {.temp = 1, .top_p = NAN, .min_p = NAN, .top_k = 5},
        {.temp = 1, .top_p = -0.5f, .min_p = 1.5f, .top_k = 100},
    };
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        assert_int_equal(support(off[i], five, 5), 0x1F);
}

static void top_k_keeps_k(void **state)
{
    (void)state;
    static const unsigned kept[] = {1u << 1, 1u << 1 | 1u << 3, 1u << 1 | 1u << 3 | 1u << 0, 0x1B, 0x1F};
    for (int k = 1; k <= 5; k++)
        assert_int_equal(support((struct prism_sampling){.temp = 1, .top_k = k, .top_p = 1}, five, 5), kept[k - 1]);

    const float ties[] = {1, 2, 2, 2, 1};
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_k = 2, .top_p = 1}, ties, 5), 0x06); /* lower ids first */
}

static void top_p_keeps_the_smallest_set_that_reaches_p(void **state)
{
    (void)state;
    static const struct {
        float p;
        unsigned kept;
    } rows[] = {{0, 0x02}, {0.39f, 0x02}, {0.41f, 0x0A}, {0.69f, 0x0A}, {0.71f, 0x0B}, {0.86f, 0x1B}, {0.96f, 0x1F}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(support((struct prism_sampling){.temp = 1, .top_p = rows[i].p}, five, 5), rows[i].kept);

    /* after top_k the probabilities are those of the set that is left: 0.4/0.85, 0.3/0.85, 0.15/0.85 */
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_k = 3, .top_p = 0.46f}, five, 5), 0x02);
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_k = 3, .top_p = 0.81f}, five, 5), 0x0A);
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_k = 3, .top_p = 0.84f}, five, 5), 0x0B);
}

static void min_p_is_relative_to_the_largest(void **state)
{
    (void)state;
    static const struct {
        float p;
        unsigned kept;
    } rows[] = {{1, 0x02}, {0.76f, 0x02}, {0.74f, 0x0A}, {0.37f, 0x0B}, {0.24f, 0x1B}, {0.12f, 0x1F}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(support((struct prism_sampling){.temp = 1, .top_p = 1, .min_p = rows[i].p}, five, 5), rows[i].kept);
    const float ties[] = {1, 2, 2, 1.9f};
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_p = 1, .min_p = 1}, ties, 4), 0x06);
}

/* The filters see the probabilities before the temperature. */
static void temperature_comes_last(void **state)
{
    (void)state;
    assert_int_equal(support((struct prism_sampling){.temp = 3, .top_p = 0.69f}, five, 5), 0x0A);
    assert_int_equal(support((struct prism_sampling){.temp = 3, .top_p = 1, .min_p = 0.74f}, five, 5), 0x0A);
    assert_int_equal(support((struct prism_sampling){.temp = 0.001f, .top_p = 1}, five, 5), 0x02);
}

static void impossible_tokens_never_come_up(void **state)
{
    (void)state;
    const float logits[] = {-INFINITY, 0, NAN, 0, -INFINITY};
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_p = 1}, logits, 5), 0x0A);
    const float none[] = {-INFINITY, -INFINITY}, certain[] = {0, INFINITY, 3};
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_p = 1}, none, 2), 0x01);
    assert_int_equal(support((struct prism_sampling){.temp = 1, .top_p = 1}, certain, 3), 0x02);
}

/* Pearson's statistic of 200000 draws over 16 tokens, with temperature and with each filter path. 15 degrees of freedom: a right
 * sampler exceeds 44.3 with probability 1e-4; the seeds are fixed, so the test always gives the same answer. */
static void frequencies_fit(void **state)
{
    (void)state;
    enum { N = 16, DRAWS = 200000 };
    static const struct prism_sampling settings[] = {
        {.temp = 1, .top_p = 1, .state = 1},
        {.temp = 0.7f, .top_p = 1, .state = 2},
        {.temp = 2, .top_k = N + 1, .top_p = 1, .state = 3},
        {.temp = 1, .top_p = 0.999999f, .min_p = 1e-6f, .state = 4},
    };
    float logits[N];
    for (int i = 0; i < N; i++)
        logits[i] = (float)((i * 7) % N) * 0.2f;

    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        struct prism_sampling s = settings[k];
        double total = 0, chi2 = 0;
        unsigned count[N] = {0};
        for (int i = 0; i < N; i++)
            total += exp((double)logits[i] / s.temp);
        for (int i = 0; i < DRAWS; i++)
            count[draw(&s, logits, N)]++;
        for (int i = 0; i < N; i++) {
            double expected = DRAWS * exp((double)logits[i] / s.temp) / total;
            chi2 += (count[i] - expected) * (count[i] - expected) / expected;
        }
        assert_true(chi2 < 44.3);
    }
}

static void same_seed_same_sequence(void **state)
{
    (void)state;
    static float logits[MAX_VOCAB];
    for (int i = 0; i < MAX_VOCAB; i++)
        logits[i] = (float)(i * 37 % 101) * 0.05f;
    struct prism_sampling a = {.temp = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .state = 42}, b = a, c = a;
    c.state = 43;
    int differ = 0;
    for (int i = 0; i < 200; i++) {
        int32_t x = draw(&a, logits, MAX_VOCAB);
        assert_int_equal(x, draw(&b, logits, MAX_VOCAB));
        differ += x != draw(&c, logits, MAX_VOCAB);
    }
    assert_int_equal(a.state, b.state);
    assert_true(differ > 100);
}

/* Published outputs of SplitMix64 for seed 1234567. With 4096 equal logits the id drawn is the top 12 bits. */
static void draws_are_splitmix64(void **state)
{
    (void)state;
    static const uint64_t outputs[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u,
                                       16408922859458223821u};
    static const float equal[MAX_VOCAB];
    struct prism_sampling s = {.temp = 1, .top_p = 1, .state = 1234567};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        assert_int_equal(draw(&s, equal, MAX_VOCAB), outputs[i] >> 52);
}

static void log_prob_matches_long_double(void **state)
{
    (void)state;
    static float logits[MAX_VOCAB];
    long double sum = 0;
    for (int i = 0; i < MAX_VOCAB; i++) {
        logits[i] = (float)((i * 7919) % 1000) * 0.03f - 12;
        sum += expl(logits[i]);
    }
    /* MAX_VOCAB - 1 additions of relative error 2^-53 in the sum, one unit in the last place per exp; |log p| < 64 */
    const double bound = 2.0 * MAX_VOCAB * 0x1p-53 + 64 * 0x1p-52;
    for (int i = 0; i < MAX_VOCAB; i += 97)
        assert_true(fabs(prism_log_prob(logits, MAX_VOCAB, i) - (double)(logits[i] - logl(sum))) <= bound);

    const float far[] = {1000, 0, -INFINITY};
    assert_true(prism_log_prob(far, 3, 0) == 0);
    assert_true(prism_log_prob(far, 3, 1) == -1000);
    assert_true(prism_log_prob(far, 3, 2) == -INFINITY);
    assert_true(prism_log_prob(far, 3, 3) == -INFINITY);
    assert_true(prism_log_prob(far, 3, -1) == -INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_lowest_of_equal_ids),
        cmocka_unit_test(filters_off_keep_everything),
        cmocka_unit_test(top_k_keeps_k),
        cmocka_unit_test(top_p_keeps_the_smallest_set_that_reaches_p),
        cmocka_unit_test(min_p_is_relative_to_the_largest),
        cmocka_unit_test(temperature_comes_last),
        cmocka_unit_test(impossible_tokens_never_come_up),
        cmocka_unit_test(frequencies_fit),
        cmocka_unit_test(same_seed_same_sequence),
        cmocka_unit_test(draws_are_splitmix64),
        cmocka_unit_test(log_prob_matches_long_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
