/* test_q8_0_cache.c - keys and values cached as Q8_0: what is stored of a row (every level the same bits, errors by the definition, every scale
 * there is, what is not finite), and what the kernels of attention read of it: what they read from the floats that the blocks mean. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "tests/support/kernel_test.h"

enum { B = 32, BYTES = 34 };

/* ---- storing ---- */

/* In float: gcc 12 for AArch64 fails on this loop in double. */
static double largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    return (double)most;
}

static uint16_t scale_of(const uint8_t *block) { return (uint16_t)(block[0] | block[1] << 8); }

/* A block of finite numbers: a scale that is the nearest half, or the one above where bytes would not reach; bytes within half a step. */
static void check_block(const float *x, const uint8_t *block)
{
    float y[B], scale;
    const double most = largest(x, B);
    const uint16_t half = scale_of(block), below = (uint16_t)(half - 1);

    prism_f16_to_f32_generic(&scale, &half, 1);
    if (half >= 0x7c00) {
        kt_true(most >= 127.0 * 65519, "an infinite scale of numbers that are small enough");
        return;
    }
    prism_to_f32_q8_0_generic(y, block, B);
    for (size_t i = 0; i < B; i++)
        kt_near((double)y[i], (double)x[i], 0.5 * (double)scale * (1 + 256 * (double)FLT_EPSILON), i, half);
    kt_true(127.25 * (double)scale * (1 + 4 * (double)FLT_EPSILON) >= most, "the scale is too small");
    if (half > 0) {
        prism_f16_to_f32_generic(&scale, &below, 1);
        const double nearest = most / 127, gap = ldexp(1, half < 0x0400 ? -24 : (half >> 10) - 25);
        kt_true(fabs((double)scale + gap - nearest) <= 0.5 * gap * 1.001 || 127.25 * (double)scale < most * (1 + 4 * (double)FLT_EPSILON),
                "the scale is not the nearest");
    }
}

static void store_both(const struct prism_kernels *k, const float *x, size_t n)
{
    uint8_t *got = kt_alloc(n / B * BYTES, 1), *want = kt_alloc(n / B * BYTES, 1);

    k->f32_to_q8_0(got, x, n);
    prism_f32_to_q8_0_generic(want, x, n);
    for (size_t i = 0; i < n / B; i++) {
        const uint16_t half = scale_of(want + i * BYTES);
        bool finite = true;
        for (size_t j = 0; j < B; j++)
            finite = finite && isfinite(x[i * B + j]);
        if ((half & 0x7fff) > 0x7c00)
            kt_true((scale_of(got + i * BYTES) & 0x7fff) > 0x7c00, "a NaN became a scale");
        else
            kt_true(scale_of(got + i * BYTES) == half, "another scale than generic's");
        kt_true(!memcmp(got + i * BYTES + 2, want + i * BYTES + 2, B), "other bytes than generic's");
        if (finite) {
            check_block(x + i * B, got + i * BYTES);
            continue;
        }
        kt_true((half & 0x7c00) == 0x7c00, "what is not finite became a number");
        for (size_t j = 0; j < B; j++)
            kt_true(got[i * BYTES + 2 + j] == 0, "a byte beside a scale that is not finite");
    }
}

static void check_store(const struct prism_kernels *k)
{
    for (int values = 0; values < KT_N_VALUES; values++)
        for (size_t n = B; n <= 8 * B; n += B) {
            float *x = kt_floats(n);
            kt_context("%s f32_to_q8_0, values %d, n %zu", k->name, values, n);
            kt_fill(x, n, (enum kt_values)values);
            kt_freeze(x);
            store_both(k, x, n);
            kt_release();
        }
    /* Largest values all over the range of scales: subnormal halves, every binade, around the last one; ties of bytes; each place. */
    for (int e = -160; e < 40; e++)
        for (int step = 0; step < 64; step++) {
            float *x = kt_floats(B);
            kt_context("%s f32_to_q8_0, 2^%d, step %d", k->name, e, step);
            for (size_t i = 0; i < B; i++)
                x[i] = ldexpf((float)kt_uniform(-1, 1), e);
            x[(e + 160 + step) % B] = ldexpf(1 + (float)step / 64, e) * (step % 2 ? -1.0f : 1.0f);
            kt_freeze(x);
            store_both(k, x, B);
            kt_release();
        }
    for (size_t at = 0; at < B; at++)
        for (int p = 0; p < KT_N_POISONS; p++) {
            float *x = kt_floats(2 * B);
            kt_context("%s f32_to_q8_0, poison %d at %zu", k->name, p, at);
            kt_fill(x, 2 * B, KT_NORMAL);
            x[B + at] = kt_poison[p];
            kt_freeze(x);
            store_both(k, x, 2 * B);
            kt_release();
        }
    float ties[B];
    uint8_t block[BYTES];
    for (int i = 0; i < B; i++) /* with a scale of 1: half way between two bytes, which one is even */
        ties[i] = (float)(4 * i) - 63.5f;
    ties[0] = 127;
    kt_context("%s f32_to_q8_0, ties", k->name);
    k->f32_to_q8_0(block, ties, B);
    kt_true(scale_of(block) == 0x3c00, "a scale that is not 1");
    for (int i = 1; i < B; i++)
        kt_true((int8_t)block[2 + i] == 4 * i - 64, "a tie that was not rounded to even");
}

/* ---- reading ---- */

static const struct shape {
    size_t d, block, n;
} shapes[] = {
    { 32, 32, 32 }, { 64, 64, 64 }, { 64, 64, 37 }, { 96, 32, 31 }, { 96, 128, 1 }, { 128, 128, 100 }, { 160, 64, 50 }, { 256, 256, 201 },
    { 512, 64, 50 },
};

/* n rows of Q8_0, with blocks that are not finite where `poisoned`, and as floats what they mean. */
static uint8_t *make_rows(float *x, size_t n, size_t d, bool poisoned)
{
    uint8_t *p = kt_alloc(n * d / B * BYTES, 1);

    kt_fill(x, n * d, KT_NORMAL);
    for (size_t i = 0; poisoned && i < n; i += 3)
        x[i * d + kt_random() % d] = kt_poison[i / 3 % KT_N_POISONS];
    kt_store_kv(p, x, n * d, PRISM_KVF_Q8_0);
    kt_freeze(p);
    kt_freeze(x);
    return p;
}

/* Packed panels: the same bits, two NaN counting as the same. Panels of pairs of int16 hold no NaN, their steps do. */
static void check_packing(const struct prism_kernels *k, const struct prism_attention *a, const struct shape *s, bool poisoned)
{
    float *x = kt_floats(s->n * s->d);
    uint8_t *rows = make_rows(x, s->n, s->d, poisoned);

    for (int values = 0; values < 2; values++) {
        const size_t bytes = values ? a->v_block_bytes(s->d, s->block) : a->k_block_bytes(s->d, s->block);
        float *got = kt_alloc(bytes, 64), *want = kt_alloc(bytes, 64);
        kt_context("%s attention %s, %s of Q8_0, d %zu, block %zu, n %zu%s", k->name, a->name, values ? "values" : "keys", s->d, s->block, s->n,
                   poisoned ? ", poisoned" : "");
        (values ? a->pack_v : a->pack_k)(got, rows, PRISM_KVF_Q8_0, s->n, s->d, s->block);
        (values ? a->pack_v : a->pack_k)(want, x, PRISM_KVF_F32, s->n, s->d, s->block);
        kt_same_floats(got, want, bytes / sizeof *got);
    }
    kt_release();
}

static void check_family(const struct prism_kernels *k, const struct prism_attention *a)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int poisoned = 0; poisoned < 2; poisoned++)
            check_packing(k, a, &shapes[i], poisoned);
}

static void check_packings(const struct prism_kernels *k)
{
    check_family(k, k->attention_f32);
    if (k->attention_auto != k->attention_f32)
        check_family(k, k->attention_auto);
    if (k == &prism_kernels_generic)
        check_family(k, &prism_attention_i16_generic);
}

struct cache {
    const void *k, *v;
    enum prism_kv_format k_format, v_format;
};

static void attend(prism_attn_row_fn *fn, const struct cache *c, const float *q, size_t n_q, const struct shape *s, float *o)
{
    float max[PRISM_ATTN_ROW_Q], sum[PRISM_ATTN_ROW_Q] = { 0 };
    size_t seen[PRISM_ATTN_ROW_Q];
    float *scores = kt_alloc(n_q * PRISM_ATTN_ROW_KEYS * sizeof *scores, 64);

    for (size_t r = 0; r < n_q; r++) {
        max[r] = -INFINITY;
        seen[r] = s->n - (r < s->n ? r : s->n - 1);
    }
    memset(o, 0, n_q * s->d * sizeof *o);
    fn(&(struct prism_attn_row){ .q = q, .n_q = n_q, .d = s->d, .k = c->k, .v = c->v, .k_format = c->k_format, .v_format = c->v_format,
                                 .n_keys = s->n, .seen = seen, .scale = 0.1f, .o = o, .max = max, .sum = sum, .scores = scores });
    for (size_t r = 0; r < n_q; r++)
        for (size_t i = 0; i < s->d; i++)
            o[r * s->d + i] /= sum[r];
}

/* Keys, values or both as Q8_0 against the floats that they mean; n_q rows, which see 0 .. n_q - 1 keys less. */
static void check_row(const struct prism_kernels *k, const struct shape *s, size_t n_q)
{
    float *keys = kt_floats(s->n * s->d), *values = kt_floats(s->n * s->d), *q = kt_floats(n_q * s->d);
    uint8_t *k_rows = make_rows(keys, s->n, s->d, false), *v_rows = make_rows(values, s->n, s->d, false);
    float *want = kt_floats(n_q * s->d), *got = kt_floats(n_q * s->d);

    kt_fill(q, n_q * s->d, KT_NORMAL);
    kt_freeze(q);
    attend(k->attn_row, &(struct cache){ keys, values, PRISM_KVF_F32, PRISM_KVF_F32 }, q, n_q, s, want);
    kt_finite(want, n_q * s->d);
    const double most = largest(values, s->n * s->d);
    for (int which = 1; which < 4; which++) {
        const struct cache c = { which & 1 ? (void *)k_rows : keys, which & 2 ? (void *)v_rows : values, which & 1 ? PRISM_KVF_Q8_0 : PRISM_KVF_F32,
                                 which & 2 ? PRISM_KVF_Q8_0 : PRISM_KVF_F32 };
        kt_context("%s attn_row, %s of Q8_0, d %zu, %zu keys, %zu queries", k->name, which == 1 ? "keys" : which == 2 ? "values" : "both", s->d, s->n,
                   n_q);
        attend(k->attn_row, &c, q, n_q, s, got);
        for (size_t i = 0; i < n_q * s->d; i++) /* scales of values go to the probabilities: a rounding more for each product */
            kt_near((double)got[i], (double)want[i], which & 2 ? (double)FLT_EPSILON * most : 0, i / s->d, i % s->d);
    }
    kt_release();
}

/* Poison in one value of a cache: the block of a key makes the rows that see it NaN, that of a value their 32 columns. */
static void check_poison(const struct prism_kernels *k, prism_attn_row_fn *fn, size_t at, bool of_values)
{
    static const struct shape s = { 64, 64, 45 };
    enum { Q = 5 };
    float *keys = kt_floats(s.n * s.d), *values = kt_floats(s.n * s.d), *q = kt_floats(Q * s.d), *o = kt_floats(Q * s.d);
    const size_t key = at / s.d, block = at % s.d / B;

    kt_context("%s attn_row of Q8_0, poison in dimension %zu of %s %zu", k->name, at % s.d, of_values ? "value" : "key", key);
    kt_fill(q, Q * s.d, KT_NORMAL);
    kt_fill(keys, s.n * s.d, KT_NORMAL);
    kt_fill(values, s.n * s.d, KT_NORMAL);
    (of_values ? values : keys)[at] = kt_poison[at % KT_N_POISONS];
    uint8_t *k_rows = kt_alloc(s.n * s.d / B * BYTES, 1), *v_rows = kt_alloc(s.n * s.d / B * BYTES, 1);
    kt_store_kv(k_rows, keys, s.n * s.d, PRISM_KVF_Q8_0);
    kt_store_kv(v_rows, values, s.n * s.d, PRISM_KVF_Q8_0);
    attend(fn, &(struct cache){ k_rows, v_rows, PRISM_KVF_Q8_0, PRISM_KVF_Q8_0 }, q, Q, &s, o);
    for (size_t r = 0; r < Q; r++)
        for (size_t i = 0; i < s.d; i += B) {
            if (key < s.n - r && (!of_values || i / B == block))
                kt_nonfinite(o + r * s.d + i, B);
            else if (of_values && i / B != block)
                kt_finite(o + r * s.d + i, B);
        }
    kt_release();
}

/* Scales that only memory errors make: negative ones count as what they are; those that are not finite beside bytes of any kind make NaN. */
static void check_scales(prism_attn_row_fn *fn)
{
    static const struct shape s = { 32, 32, 40 };
    float *x = kt_floats(s.n * s.d), *q = kt_floats(s.d), *o = kt_floats(s.d);
    uint8_t *rows = kt_alloc(s.n * BYTES, 1);
    const struct cache c = { rows, rows, PRISM_KVF_Q8_0, PRISM_KVF_Q8_0 };
    static const uint16_t bad[] = { 0x7c00, 0xfc00, 0x7e01 };
    double p[40], sum = 0;

    kt_fill(x, s.n * s.d, KT_NORMAL);
    kt_fill(q, s.d, KT_NORMAL);
    kt_store_kv(rows, x, s.n * s.d, PRISM_KVF_Q8_0);
    for (size_t i = 0; i < s.n; i += 2)
        rows[i * BYTES + 1] ^= 0x80;
    prism_to_f32_q8_0_generic(x, rows, s.n * s.d);
    for (size_t j = 0; j < s.n; j++) {
        double dot = 0;
        for (size_t i = 0; i < s.d; i++)
            dot += (double)q[i] * (double)x[j * s.d + i];
        sum += p[j] = exp(0.1 * dot);
    }
    attend(fn, &c, q, 1, &s, o);
    for (size_t i = 0; i < s.d; i++) {
        double exact = 0;
        for (size_t j = 0; j < s.n; j++)
            exact += p[j] / sum * (double)x[j * s.d + i];
        kt_near((double)o[i], exact, 3e-3 * largest(x, s.n * s.d), i, 0); /* what test_attn_row.c allows integers; a sign is a hundred times that */
    }
    for (size_t i = 0; i < 3; i++)
        for (size_t key = 0; key < s.n; key += 13) {
            const uint16_t was = scale_of(rows + key * BYTES);
            memcpy(rows + key * BYTES, &bad[i], sizeof bad[i]);
            attend(fn, &c, q, 1, &s, o);
            memcpy(rows + key * BYTES, &was, sizeof was);
            kt_nonfinite(o, s.d);
        }
    kt_release();
}

/* Queries that are not finite, or zeros. */
static void check_queries(const struct prism_kernels *k, prism_attn_row_fn *fn)
{
    static const struct shape s = { 96, 32, 35 };
    enum { Q = 3 };

    for (size_t at = 0; at < s.d; at += 7) {
        float *x = kt_floats(s.n * s.d), *q = kt_floats(Q * s.d), *o = kt_floats(Q * s.d);
        uint8_t *rows = make_rows(x, s.n, s.d, false);
        kt_context("%s attn_row of Q8_0, poison in dimension %zu of a query", k->name, at);
        kt_fill(q, Q * s.d, KT_NORMAL);
        q[s.d + at] = kt_poison[at % KT_N_POISONS];
        memset(q + 2 * s.d, 0, s.d * sizeof *q);
        attend(fn, &(struct cache){ rows, rows, PRISM_KVF_Q8_0, PRISM_KVF_Q8_0 }, q, Q, &s, o);
        kt_finite(o, s.d);
        kt_nonfinite(o + s.d, s.d);
        for (size_t i = 0; i < s.d; i++) { /* zeros: the mean of what it sees */
            double mean = 0;
            for (size_t j = 0; j < s.n - 2; j++)
                mean += (double)x[j * s.d + i] / (double)(s.n - 2);
            kt_near((double)o[2 * s.d + i], mean, 3e-3 * largest(x, s.n * s.d), i, at);
        }
        kt_release();
    }
}

/* A logit of a key that is finite itself, below or above all floats: -infinity would leave the key out without a word. */
static void check_infinite_logits(const struct prism_kernels *k, prism_attn_row_fn *fn)
{
    static const struct shape s = { 64, 64, 40 };
    enum { Q = 4 };

    for (size_t key = 0; key + Q <= s.n; key += 9) {
        float *x = kt_floats(s.n * s.d), *q = kt_floats(Q * s.d), *o = kt_floats(Q * s.d);
        uint8_t *rows = kt_alloc(s.n * s.d / B * BYTES, 1);
        kt_context("%s attn_row of Q8_0, infinite logits of key %zu", k->name, key);
        kt_fill(x, s.n * s.d, KT_NORMAL);
        kt_fill(q, Q * s.d, KT_NORMAL);
        for (size_t i = 0; i < s.d; i++) {
            x[key * s.d + i] = 1000;
            q[i] = -0x1p122f;
            q[s.d + i] = 0x1p122f;
        }
        kt_store_kv(rows, x, s.n * s.d, PRISM_KVF_Q8_0);
        attend(fn, &(struct cache){ rows, rows, PRISM_KVF_Q8_0, PRISM_KVF_Q8_0 }, q, Q, &s, o);
        kt_nonfinite(o, 2 * s.d);
        kt_finite(o + 2 * s.d, 2 * s.d);
        kt_release();
    }
}

static void check_rows(const struct prism_kernels *k)
{
    check_queries(k, k->attn_row);
    check_queries(k, k->attn_row_auto);
    check_infinite_logits(k, k->attn_row);
    check_infinite_logits(k, k->attn_row_auto);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t n_q = 1; n_q <= PRISM_ATTN_ROW_Q; n_q++)
            check_row(k, &shapes[i], n_q);
    for (size_t at = 0; at < 45 * 64; at += 29)
        for (int of_values = 0; of_values < 2; of_values++)
            check_poison(k, at / 29 % 2 ? k->attn_row : k->attn_row_auto, at, of_values);
    check_scales(k->attn_row);
    check_scales(k->attn_row_auto);
}

static void test_store(void **state) { (void)state, kt_levels(check_store); }
static void test_packing(void **state) { (void)state, kt_levels(check_packings); }
static void test_rows(void **state) { (void)state, kt_levels(check_rows); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_store), cmocka_unit_test(test_packing), cmocka_unit_test(test_rows) };
    return cmocka_run_group_tests_name("arch/q8_0_cache", tests, NULL, NULL);
}
