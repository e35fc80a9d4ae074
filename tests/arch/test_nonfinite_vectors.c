/* test_nonfinite_vectors.c - NaN and infinity in what works on single rows, at every level: norms, activations, rotations, conversions, stored
 * weights to numbers, the probabilities of pooled blocks. At every place of a row that has whole vectors and a tail. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

enum { N = 45 };

/* x with x[at] replaced; frozen. */
static float *spoilt(const float *x, size_t n, size_t at, float poison)
{
    float *y = kt_floats(n);
    memcpy(y, x, n * sizeof *y);
    y[at] = poison;
    kt_freeze(y);
    return y;
}

static void check_only(const float *got, const float *clean, size_t n, size_t at)
{
    kt_nonfinite(got + at, 1);
    kt_same_floats(got, clean, at);
    kt_same_floats(got + at + 1, clean + at + 1, n - at - 1);
}

static void check_norm_at(const struct prism_kernels *k, const float *x, const float *w, const float *clean, size_t at, float poison)
{
    float *y = kt_floats(N);

    kt_context("%s rms_norm, %g at %zu", k->name, (double)poison, at);
    k->rms_norm(y, spoilt(x, N, at, poison), w, N, 1e-6f);
    for (size_t i = 0; i < N; i++)
        kt_true(isnan(y[i]), "an element is a number");
    k->rms_norm(y, x, spoilt(w, N, at, poison), N, 1e-6f);
    check_only(y, clean, N, at);
}

static void check_layer_norm_at(const struct prism_kernels *k, const float *x, const float *w, const float *clean, size_t at, float poison)
{
    float *y = kt_floats(N);

    kt_context("%s layer_norm, %g at %zu", k->name, (double)poison, at);
    k->layer_norm(y, spoilt(x, N, at, poison), w, x, N, 1e-6f);
    for (size_t i = 0; i < N; i++)
        kt_true(isnan(y[i]), "an element is a number");
    k->layer_norm(y, x, spoilt(w, N, at, poison), x, N, 1e-6f);
    check_only(y, clean, N, at);
    k->layer_norm(y, x, w, spoilt(x, N, at, poison), N, 1e-6f);
    check_only(y, clean, N, at);
}

static void check_gate_at(const struct prism_kernels *k, int gate, const float *x, const float *w, const float *clean, size_t at, float poison)
{
    float *y = kt_floats(N);

    kt_context("%s gate %d, %g at %zu", k->name, gate, (double)poison, at);
    memcpy(y, x, N * sizeof *y);
    y[at] = poison;
    k->gate[gate](y, w, N);
    check_only(y, clean, N, at);
    memcpy(y, x, N * sizeof *y);
    y[at] = -200; /* whose activation is 0 */
    k->gate[gate](y, spoilt(w, N, at, poison), N);
    check_only(y, clean, N, at);
}

static void check_act_at(const struct prism_kernels *k, int act, const float *x, const float *clean, size_t at, float poison)
{
    float *y = kt_floats(N);

    kt_context("%s activation %d, %g at %zu", k->name, act, (double)poison, at);
    memcpy(y, x, N * sizeof *y);
    y[at] = poison;
    k->act[act](y, N);
    check_only(y, clean, N, at);
}

static void check_softcap_at(const struct prism_kernels *k, const float *x, size_t at, float poison)
{
    float *y = kt_floats(N), *clean = kt_floats(N);

    kt_context("%s softcap, %g at %zu", k->name, (double)poison, at);
    memcpy(clean, x, N * sizeof *y);
    k->softcap(clean, 30, N);
    memcpy(y, x, N * sizeof *y);
    y[at] = poison;
    k->softcap(y, 30, N);
    check_only(y, clean, N, at);
}

static void check_add_at(const struct prism_kernels *k, const float *x, const float *w, const float *clean, size_t at, float poison)
{
    float *y = kt_floats(N);

    kt_context("%s add, %g at %zu", k->name, (double)poison, at);
    memcpy(y, x, N * sizeof *y);
    k->add(y, spoilt(w, N, at, poison), N);
    check_only(y, clean, N, at);
    for (int scaled = 0; scaled < 2; scaled++) { /* a factor of 0 hides nothing; a factor that is not finite spoils all */
        kt_context("%s add_scaled %d, %g at %zu", k->name, scaled, (double)poison, at);
        memcpy(y, x, N * sizeof *y);
        k->add_scaled(y, scaled ? poison : 0, scaled ? w : spoilt(w, N, at, poison), N);
        if (scaled)
            kt_nonfinite(y, N);
        else
            check_only(y, x, N, at);
        memcpy(y, x, N * sizeof *y);
        if (!scaled)
            y[at] = poison;
        k->scale(y, scaled ? poison : 1, N);
        if (scaled)
            kt_nonfinite(y, N);
        else
            check_only(y, x, N, at);
    }
}

/* Both values of the pair, nothing else. */
static void check_rope_at(const struct prism_kernels *k, const float *x, const float *w, size_t at, float poison, bool interleaved)
{
    const size_t n = N / 2 * 2, half = n / 2, first = interleaved ? at / 2 * 2 : at % half, second = interleaved ? first + 1 : first + half;
    const size_t angle = interleaved ? at / 2 : first;
    float *clean = kt_floats(n), *y = kt_floats(n);

    kt_context("%s rope %d, %g at %zu", k->name, interleaved, (double)poison, at);
    memcpy(clean, x, n * sizeof *y);
    k->rope(clean, w, w + half, n, interleaved);
    for (int of_angles = 0; of_angles < 2; of_angles++) {
        memcpy(y, x, n * sizeof *y);
        if (!of_angles)
            y[at] = poison;
        k->rope(y, of_angles ? spoilt(w, half, angle, poison) : w, w + half, n, interleaved);
        for (size_t i = 0; i < n; i++)
            if (i == first || i == second)
                kt_nonfinite(y + i, 1);
            else
                kt_same_floats(y + i, clean + i, 1);
    }
}

static void check_rows(const struct prism_kernels *k)
{
    float x[N], w[N], norm[N], layer_norm[N], gated[PRISM_N_GATES][N], acted[PRISM_N_ACTS][N], sum[N];

    kt_fill(x, N, KT_NORMAL);
    kt_fill(w, N, KT_NORMAL);
    k->rms_norm(norm, x, w, N, 1e-6f);
    k->layer_norm(layer_norm, x, w, x, N, 1e-6f);
    for (int g = 0; g < PRISM_N_GATES; g++)
        k->gate[g](memcpy(gated[g], x, sizeof x), w, N);
    for (int a = 0; a < PRISM_N_ACTS; a++)
        k->act[a](memcpy(acted[a], x, sizeof x), N);
    memcpy(sum, x, sizeof x);
    k->add(sum, w, N);
    for (size_t at = 0; at < N; at++)
        for (int n = 0; n < KT_N_POISONS; n++) {
            check_norm_at(k, x, w, norm, at, kt_poison[n]);
            check_layer_norm_at(k, x, w, layer_norm, at, kt_poison[n]);
            for (int g = 0; g < PRISM_N_GATES; g++)
                check_gate_at(k, g, x, w, gated[g], at, kt_poison[n]);
            for (int a = 0; a < PRISM_N_ACTS; a++)
                check_act_at(k, a, x, acted[a], at, kt_poison[n]);
            check_add_at(k, x, w, sum, at, kt_poison[n]);
            check_softcap_at(k, x, at, kt_poison[n]);
            for (int interleaved = 0; interleaved < 2 && at < N / 2 * 2; interleaved++)
                check_rope_at(k, x, w, at, kt_poison[n], interleaved);
            kt_release();
        }
}

/* ---- conversions ---- */

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* A NaN with one bit of payload, anywhere, stays one on the way to 16 bits and back; infinity stays infinity, as does what passes the largest. */
static void check_conversion(const struct prism_kernels *k, prism_to_16_fn *narrow, prism_from_16_fn *widen, const char *name)
{
    float x[N], back[N], clean[N];
    uint16_t y[N];

    kt_fill(x, N, KT_NORMAL);
    narrow(y, x, N);
    widen(clean, y, N);
    for (size_t at = 0; at < N; at++) {
        const float was = x[at];
        for (int bit = 0; bit < 23; bit++) {
            const uint32_t u = (at % 2 ? 0xff800000u : 0x7f800000u) | 1u << bit;
            kt_context("%s %s, NaN of bit %d at %zu", k->name, name, bit, at);
            memcpy(x + at, &u, sizeof u);
            narrow(y, x, N);
            widen(back, y, N);
            kt_true(isnan(back[at]), "a NaN became a number");
            check_only(back, clean, N, at);
        }
        for (int sign = 0; sign < 2; sign++)
            for (int largest = 0; largest < 2; largest++) {
                kt_context("%s %s, infinity at %zu", k->name, name, at);
                x[at] = (float)(largest ? 0x1.fffffep127 : (double)INFINITY) * (float)(1 - 2 * sign);
                narrow(y, x, N);
                widen(back, y, N);
                kt_true(bits_of(back[at]) == (sign ? 0xff800000u : 0x7f800000u), "not the infinity");
                check_only(back, clean, N, at);
            }
        x[at] = was;
    }
}

static void check_conversions(const struct prism_kernels *k)
{
    check_conversion(k, k->f32_to_f16, k->f16_to_f32, "f16");
    check_conversion(k, k->f32_to_bf16, k->bf16_to_f32, "bf16");
}

/* ---- stored weights ---- */

/* Three blocks, one half of the middle one spoilt: all of its values, and of its groups d or m; none of the others. */
static void check_scale(const struct prism_kernels *k, enum prism_type type, int half, uint16_t poison)
{
    const size_t block = prism_types[type].block, n = 3 * block, groups = block / 32;
    uint8_t *b = kt_alloc(prism_row_bytes(type, n), 1);
    float *y = kt_floats(n), *clean = kt_floats(n), *d = kt_floats(n / 32), *m = kt_floats(n / 32);
    int8_t *q = kt_alloc(n, 1);

    kt_context("%s %s, half %d is %#x", k->name, prism_types[type].name, half, poison);
    kt_fill_blocks(b, type, n);
    k->to_f32[type](clean, b, n);
    memcpy(b + prism_types[type].bytes + kt_half_at(type, half), &poison, sizeof poison);
    k->to_f32[type](y, b, n);
    kt_same_floats(y, clean, block);
    kt_nonfinite(y + block, block);
    kt_same_floats(y + 2 * block, clean + 2 * block, block);
    k->to_i8[type](q, d, m, b, n);
    for (size_t g = 0; g < 3 * groups; g++)
        kt_true((isfinite(d[g]) && isfinite(m[g])) == (g < groups || g >= 2 * groups), "a group's scales");
    kt_release();
}

static void check_stored(const struct prism_kernels *k)
{
    static const uint16_t poisons[] = { 0x7c01, 0xfe00, 0x7c00, 0xfc00 };

    for (int t = 0; t < PRISM_N_TYPES; t++)
        for (int half = 0; half < 2; half++)
            for (size_t i = 0; i < sizeof poisons / sizeof *poisons && kt_half_at((enum prism_type)t, half) >= 0; i++)
                check_scale(k, (enum prism_type)t, half, poisons[i]);
}

/* ---- probabilities of pooled blocks ---- */

static void check_softmax(const struct prism_kernels *k)
{
    for (size_t n = 1; n <= N; n += n < 20 ? 1 : 5)
        for (size_t at = 0; at < n; at++)
            for (int i = 0; i < 2; i++) { /* NaN, +infinity */
                float *x = kt_floats(n);
                uint32_t *p = kt_alloc(n * sizeof *p, 4);
                kt_context("%s softmax_q30, %g at %zu of %zu", k->name, (double)kt_poison[i], at, n);
                kt_fill(x, n, KT_NORMAL);
                x[at] = kt_poison[i];
                k->softmax_q30(p, x, n);
                for (size_t j = 0; j < n; j++)
                    kt_true(p[j] == 0, "a probability beside a NaN");
                kt_release();
            }
}

static void test_rows(void **state) { (void)state, kt_levels(check_rows); }
static void test_conversions(void **state) { (void)state, kt_levels(check_conversions); }
static void test_stored(void **state) { (void)state, kt_levels(check_stored); }
static void test_softmax(void **state) { (void)state, kt_levels(check_softmax); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_softmax),
    };
    return cmocka_run_group_tests_name("arch/nonfinite_vectors", tests, NULL, NULL);
}
