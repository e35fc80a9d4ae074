/* test_gates.c - activations and gates at every level, against their definitions in double: for every length of tail, hard values, and a walk
 * through the tails of the functions, where a sum would cancel. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/kernel_test.h"

/* Every remainder of up to two vectors of 16, then real sizes. */
static const size_t long_lengths[] = { 127, 576, 3072, 16387 };
enum { SHORT = 34, N_LENGTHS = SHORT + sizeof long_lengths / sizeof *long_lengths };

static size_t length(size_t i) { return i < SHORT ? i + 1 : long_lengths[i - SHORT]; }

/* A value and its bound in units of FLT_EPSILON (src/kernels.h). */
struct exact { double value, bound; };

static struct exact silu(double x) { return (struct exact){ x / (1 + exp(-x)), 2 }; }

/* 1 + tanh(t / 2) = 2 / (1 + exp(-t)): the right side where the left cancels. */
static struct exact gelu(double x)
{
    const double y = sqrt(2 / acos(-1)) * x * (1 + 0.044715 * x * x), t = 2 * y;
    return (struct exact){ x > -1 ? 0.5 * x * (1 + tanh(y)) : x / (1 + exp(-t)), 2 + (t < 700 ? 2.5 * fabs(t) / (1 + exp(t)) : 0) };
}

static struct exact gelu_erf(double x)
{
    return (struct exact){ x > -1 ? 0.5 * x * (1 + erf(x / sqrt(2))) : 0.5 * x * erfc(-x / sqrt(2)), x < 0 ? 8 + x * x / 4 : 8 };
}

static struct exact relu2(double x) { return (struct exact){ x > 0 ? x * x : 0, 0.5 }; }

static struct exact times(struct exact e, double up) { return (struct exact){ e.value * up, e.bound + 0.5 }; }

static struct exact swiglu(double g, double u) { return times(silu(g), u); }
static struct exact geglu(double g, double u) { return times(gelu(g), u); }
static struct exact geglu_erf(double g, double u) { return times(gelu_erf(g), u); }

static struct exact swiglu_clamped(double gate, double up)
{
    const double g = fmin(gate, 7), u = fmax(-7, fmin(up, 7)), z = 1.702 * g;
    return (struct exact){ g / (1 + exp(-z)) * (u + 1), 3 + fabs(z) / (1 + exp(z)) };
}

static struct exact sigmoid_gate(double g, double u) { return (struct exact){ u / (1 + exp(-g)), 3 }; }

static const struct act { enum prism_act id; const char *name; struct exact (*f)(double x); } acts[] = {
    { PRISM_ACT_GELU, "gelu", gelu }, { PRISM_ACT_GELU_ERF, "gelu_erf", gelu_erf }, { PRISM_ACT_RELU2, "relu2", relu2 }, { PRISM_ACT_SILU, "silu", silu },
};

static const struct gate { enum prism_gate id; const char *name; struct exact (*f)(double g, double u); } gates[] = {
    { PRISM_GATE_SWIGLU, "swiglu", swiglu },
    { PRISM_GATE_GEGLU, "geglu", geglu },
    { PRISM_GATE_GEGLU_ERF, "geglu_erf", geglu_erf },
    { PRISM_GATE_SWIGLU_CLAMPED, "swiglu_clamped", swiglu_clamped },
    { PRISM_GATE_SIGMOID, "sigmoid_gate", sigmoid_gate },
};

/* up: 1 for an activation. 2^-120: what may become 0. */
static void check_value(float got, struct exact want, double up, size_t i)
{
    if (fabs(want.value) > FLT_MAX)
        kt_true(isinf(got) && (got > 0) == (want.value > 0), "not the infinity");
    else
        kt_near((double)got, want.value, want.bound * FLT_EPSILON * fabs(want.value) + 0x1p-120 * (fabs(up) + 1), i, 0);
}

/* Normal values; hard ones, with some that reach past where exp overflows and some in the tails; a walk through -15 .. 15. */
enum values { NORMAL, HARD, WALK, N_VALUES };
static const char *const value_names[] = { "normal", "hard", "walk" };

static void fill(float *x, size_t n, enum values values)
{
    kt_fill(x, n, values == HARD ? KT_HARD : KT_NORMAL);
    for (size_t i = 0; i < n && values == HARD; i += 3)
        x[i] = (float)(i % 2 ? kt_uniform(-110, 110) : kt_uniform(-14, 0));
    for (size_t i = 0; i < n && values == WALK; i++)
        x[i] = (float)(-15 + 30 * ((double)i + 0.5) / (double)n);
}

static void check_act(const struct prism_kernels *k, const struct act *a, size_t n, enum values values)
{
    float *x = kt_floats(n), *parts = kt_floats(n), *old = kt_floats(n);

    kt_context("%s %s n %zu, %s", k->name, a->name, n, value_names[values]);
    fill(old, n, values);
    memcpy(x, old, n * sizeof *x);
    memcpy(parts, old, n * sizeof *x);
    k->act[a->id](x, n);
    for (size_t i = 0; i < n; i++)
        check_value(x[i], a->f((double)old[i]), 1, i);
    k->act[a->id](parts, n / 3);
    k->act[a->id](parts + n / 3, n - n / 3);
    kt_same_floats(parts, x, n);
    kt_release();
}

static void check_gate(const struct prism_kernels *k, const struct gate *g, size_t n, enum values values)
{
    float *x = kt_floats(n), *parts = kt_floats(n), *old = kt_floats(n), *up = kt_floats(n);

    kt_context("%s %s n %zu, %s", k->name, g->name, n, value_names[values]);
    fill(old, n, values);
    kt_fill(up, n, KT_NORMAL);
    for (size_t i = 0; i < n; i += 2)
        up[i] *= 5; /* also past 7 */
    kt_freeze(up);
    memcpy(x, old, n * sizeof *x);
    memcpy(parts, old, n * sizeof *x);
    k->gate[g->id](x, up, n);
    for (size_t i = 0; i < n; i++)
        check_value(x[i], g->f((double)old[i], (double)up[i]), (double)up[i], i);
    k->gate[g->id](parts, up, n / 3);
    k->gate[g->id](parts + n / 3, up + n / 3, n - n / 3);
    kt_same_floats(parts, x, n);
    kt_release();
}

static void check_acts(const struct prism_kernels *k)
{
    for (size_t a = 0; a < sizeof acts / sizeof *acts; a++)
        for (size_t l = 0; l < N_LENGTHS; l++)
            for (int values = 0; values < N_VALUES; values++)
                check_act(k, &acts[a], length(l), (enum values)values);
}

static void check_gates(const struct prism_kernels *k)
{
    for (size_t g = 0; g < sizeof gates / sizeof *gates; g++)
        for (size_t l = 0; l < N_LENGTHS; l++)
            for (int values = 0; values < N_VALUES; values++)
                check_gate(k, &gates[g], length(l), (enum values)values);
}

/* Off by PRISM_ATTN_CAP_ERR of the cap, and a rounding; also values whose quotient overflows. */
static void check_softcap(const struct prism_kernels *k, float cap, size_t n, enum values values)
{
    float *x = kt_floats(n), *parts = kt_floats(n), *old = kt_floats(n);

    kt_context("%s softcap %g n %zu, %s", k->name, (double)cap, n, value_names[values]);
    fill(old, n, values);
    for (size_t i = 0; i < n && values == WALK; i++)
        old[i] *= cap / 3;
    if (values == HARD)
        old[n / 2] = n % 2 ? FLT_MAX : -FLT_MAX;
    memcpy(x, old, n * sizeof *x);
    memcpy(parts, old, n * sizeof *x);
    k->softcap(x, cap, n);
    for (size_t i = 0; i < n; i++) {
        const double want = (double)cap * tanh((double)old[i] / (double)cap);
        kt_near((double)x[i], want, (double)PRISM_ATTN_CAP_ERR * (double)cap + FLT_EPSILON * fabs(want), i, 0);
    }
    k->softcap(parts, cap, n / 3);
    k->softcap(parts + n / 3, cap, n - n / 3);
    kt_same_floats(parts, x, n);
    kt_release();
}

static void check_softcaps(const struct prism_kernels *k)
{
    static const float caps[] = { 30, 4, 1e-6f, 1e6f };
    for (size_t c = 0; c < sizeof caps / sizeof *caps; c++)
        for (size_t l = 0; l < N_LENGTHS; l++)
            for (int values = 0; values < N_VALUES; values++)
                check_softcap(k, caps[c], length(l), (enum values)values);
}

static void test_softcap(void **state) { (void)state, kt_levels(check_softcaps); }
static void test_acts(void **state) { (void)state, kt_levels(check_acts); }
static void test_gates(void **state) { (void)state, kt_levels(check_gates); }

int main(void)
{
    _Static_assert(sizeof acts / sizeof *acts == PRISM_N_ACTS && sizeof gates / sizeof *gates == PRISM_N_GATES, "a function has no row");
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_acts), cmocka_unit_test(test_gates), cmocka_unit_test(test_softcap) };
    return cmocka_run_group_tests_name("arch/gates", tests, NULL, NULL);
}
