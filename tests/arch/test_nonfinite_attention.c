/* test_nonfinite_attention.c - NaN and infinity among the queries, keys and values of every attention family and of the row kernel of every
 * level: never a number that is wrong, not even where the weight is 0. From keys that it does not see a row may take nothing, or the NaN itself
 * (src/kernels.h); the same with windows, softcaps and sinks. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/generic/generic.h"
#include "src/base/size.h"
#include "tests/support/kernel_test.h"

/* Three blocks: all rows see the first, the tile begins in the second. */
enum { D = 40, BLOCK = 32, ROWS = 29, Q_POS = 50, N_KEYS = Q_POS + ROWS, N_BLOCKS = 3 };

struct operands {
    float q[ROWS][D], k[N_KEYS][D], v[N_KEYS][D];
};

/* What goes beyond dense causal attention. Of a window of 12 no row sees the first block, of one of 20 the first row sees its last key; both
 * let later rows see nothing of it. */
struct extras {
    size_t window;
    float softcap, sink;
};
static const struct extras extras[] = { { 0, 0, -INFINITY }, { 12, 0, -INFINITY }, { 20, 3, 0.5f }, { 40, 0, 1.5f }, { 0, 50, -INFINITY } };
enum { N_EXTRAS = sizeof extras / sizeof *extras };

static bool sees(const struct extras *x, size_t pos, size_t key) { return key <= pos && (x->window == 0 || pos - key < x->window); }

/* A family with packed operands, and the clean result. */
struct scene {
    const struct prism_attention *a;
    struct extras extras;
    struct operands x;
    char *k, *v;
    void *scratch;
    float clean[ROWS][D], o[ROWS][D];
};

static size_t keys_of_block(size_t b) { return min_size(BLOCK, N_KEYS - b * BLOCK); }

static void pack_k(struct scene *s, size_t b)
{
    s->a->pack_k(s->k + b * s->a->k_block_bytes(D, BLOCK), s->x.k[b * BLOCK], PRISM_KVF_F32, keys_of_block(b), D, BLOCK);
}

static void pack_v(struct scene *s, size_t b)
{
    s->a->pack_v(s->v + b * s->a->v_block_bytes(D, BLOCK), s->x.v[b * BLOCK], PRISM_KVF_F32, keys_of_block(b), D, BLOCK);
}

static void run(struct scene *s, float (*o)[D])
{
    static const uint32_t blocks[N_BLOCKS] = { 0, 1, 2 };
    const size_t hidden = !sees(&s->extras, Q_POS, BLOCK - 1); /* blocks that no row sees */
    s->a->tile(&(struct prism_attn_tile){ .q = s->x.q[0], .ldq = D, .o = o[0], .ldo = D, .rows = ROWS, .d = D, .q_pos = Q_POS, .kv_len = N_KEYS,
                                          .block = BLOCK, .k = s->k, .v = s->v, .blocks = blocks + hidden, .n_blocks = N_BLOCKS - hidden,
                                          .scale = 0.2f, .window = s->extras.window, .softcap = s->extras.softcap, .sink = &s->extras.sink,
                                          .scratch = s->scratch });
}

/* peak: the first key takes nearly all of the probability of every row, the rest lies more than 2^-50 below. */
static void make_operands(struct operands *x, bool peak)
{
    kt_fill(x->q[0], ROWS * D, KT_NORMAL);
    kt_fill(x->k[0], N_KEYS * D, KT_NORMAL);
    kt_fill(x->v[0], N_KEYS * D, KT_NORMAL);
    for (size_t r = 0; r < ROWS && peak; r++)
        x->q[r][3] = 20;
    if (peak)
        x->k[0][3] = 60;
}

static void make(struct scene *s, const struct prism_attention *a, bool peak, const struct extras *x)
{
    s->a = a;
    s->extras = *x;
    make_operands(&s->x, peak);
    s->k = kt_alloc(N_BLOCKS * a->k_block_bytes(D, BLOCK), 64);
    s->v = kt_alloc(N_BLOCKS * a->v_block_bytes(D, BLOCK), 64);
    s->scratch = kt_alloc(a->tile_scratch(D, BLOCK), 64);
    for (size_t b = 0; b < N_BLOCKS; b++)
        pack_k(s, b), pack_v(s, b);
    run(s, s->clean);
    for (size_t r = 0; r < ROWS; r++)
        kt_finite(s->clean[r], D);
}

static void check_queries(struct scene *s)
{
    for (size_t i = 0; i < D; i++)
        for (size_t r = i % 15; r < ROWS; r += 15) {
            const float was = s->x.q[r][i];
            s->x.q[r][i] = kt_poison[(i + r) % KT_N_POISONS];
            run(s, s->o);
            s->x.q[r][i] = was;
            for (size_t row = 0; row < ROWS; row++)
                if (row == r)
                    kt_nonfinite(s->o[row], D);
                else
                    kt_same_floats(s->o[row], s->clean[row], D);
        }
}

static void check_key(struct scene *s, size_t key, size_t i, float poison, bool of_values)
{
    float *at = of_values ? &s->x.v[key][i] : &s->x.k[key][i], was = *at;
    const size_t b = key / BLOCK;

    *at = poison;
    (of_values ? pack_v : pack_k)(s, b);
    run(s, s->o);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < D; c++)
            if ((!of_values || c == i) && sees(&s->extras, Q_POS + r, key))
                kt_nonfinite(&s->o[r][c], 1);
            else if (key < BLOCK && !sees(&s->extras, Q_POS, BLOCK - 1)) /* of a block that is not listed */
                kt_same_floats(&s->o[r][c], &s->clean[r][c], 1);
            else if ((of_values && c != i) || isfinite(s->o[r][c]))
                kt_same_floats(&s->o[r][c], &s->clean[r][c], 1);
    *at = was;
    (of_values ? pack_v : pack_k)(s, b);
}

/* Keys of all blocks, each in a few dimensions, which together are all. */
static void check_keys(struct scene *s, const char *level, const char *what)
{
    for (size_t key = 0; key < N_KEYS; key += key < 8 || key + 40 > N_KEYS ? 1 : 3)
        for (size_t i = 3 * key % 20; i < D; i += 20)
            for (int of_values = 0; of_values < 2; of_values++) {
                const float poison = kt_poison[(key / 20 + key) % KT_N_POISONS];
                kt_context("%s attention %s, %s, %g in %s %zu, dimension %zu", level, s->a->name, what, (double)poison, of_values ? "value" : "key",
                           key, i);
                check_key(s, key, i, poison, of_values);
            }
}

/* A sink that is not a number makes none; one of -infinity none but the bits without (test_attention), the largest finite ones no NaN. */
static void check_sinks(struct scene *s)
{
    static const float sinks[] = { INFINITY, NAN, -FLT_MAX, -1e30f, 1e30f, FLT_MAX };

    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++) {
        s->extras.sink = sinks[i];
        run(s, s->o);
        for (size_t r = 0; r < ROWS; r++)
            for (size_t c = 0; c < D; c++)
                if (i < 2)
                    kt_nonfinite(&s->o[r][c], 1);
                else
                    kt_true(sinks[i] > 0 ? s->o[r][c] == 0 : isfinite(s->o[r][c]), "a large sink takes all of the probability, a small one none");
    }
}

static void check_family(const struct prism_kernels *k, const struct prism_attention *a)
{
    struct scene s;

    for (size_t x = 0; x < N_EXTRAS; x++)
        for (int peak = 0; peak < 2; peak++) {
            char what[80];
            snprintf(what, sizeof what, "%s, window %zu, softcap %g, sink %g", peak ? "a peak" : "even", extras[x].window,
                     (double)extras[x].softcap, (double)extras[x].sink);
            kt_context("%s attention %s, %s", k->name, a->name, what);
            make(&s, a, peak, &extras[x]);
            check_keys(&s, k->name, what);
            kt_context("%s attention %s, queries and sinks, %s", k->name, a->name, what);
            check_queries(&s);
            check_sinks(&s);
            kt_release();
        }
}

static void check_tiles(const struct prism_kernels *k)
{
    check_family(k, k->attention_f32);
    if (k->attention_auto != k->attention_f32)
        check_family(k, k->attention_auto);
    if (k == &prism_kernels_generic) /* a definition that its table does not choose */
        check_family(k, &prism_attention_i16_generic);
}

/* Finite keys whose products pass the largest float: the logit is not known, and neither is the row. */
static void check_overflow(const struct prism_kernels *k)
{
    struct scene s;

    for (int i = 0; i < 4; i++) {
        const int large_key = i & 1;
        kt_context("%s attention f32, products beyond the largest float", k->name);
        make(&s, k->attention_f32, false, &extras[i & 2 ? N_EXTRAS - 1 : 0]);
        for (size_t c = 0; c < 4; c++) { /* -inf, and then two more of the other sign: exactly 0 */
            s.x.q[7][c] = large_key ? 0x1p60f : 0x1p72f;
            s.x.k[3][c] = (c < 2 ? -1 : 1) * (large_key ? 0x1p72f : 0x1p60f);
        }
        pack_k(&s, 0);
        run(&s, s.o);
        kt_nonfinite(s.o[7], D);
        kt_release();
    }
}

/* ---- the row kernel ---- */

enum { Q = 5, PIECE = 37, SEEN = 2 * PIECE - 3 }; /* the last row sees SEEN keys, the others fewer */

struct cache {
    const struct prism_kernels *kernels;
    enum prism_kv_format format;
    struct extras extras;
    struct operands x;
    float clean[Q][D], o[Q][D];
};

static size_t keys_seen(size_t r) { return SEEN - (Q - 1 - r); }

static const void *stored(void *buf, const float *x, enum prism_kv_format format, size_t n)
{
    if (format == PRISM_KVF_F32)
        return x;
    (format == PRISM_KVF_F16 ? prism_f32_to_f16_generic : prism_f32_to_bf16_generic)(buf, x, n);
    return buf;
}

static void attend(const struct cache *c, float (*o)[D])
{
    static _Alignas(64) float scores[Q * PRISM_ATTN_ROW_KEYS];
    static uint16_t k[PIECE * D], v[PIECE * D];
    float max[Q], sum[Q];

    for (size_t r = 0; r < Q; r++) {
        max[r] = c->extras.sink * 0x1.715476p0f; /* log2(e) */
        sum[r] = 1;
    }
    memset(o, 0, Q * sizeof *o);
    for (size_t key = 0; key < SEEN; key += PIECE) {
        const size_t n = min_size(PIECE, SEEN - key);
        size_t seen[Q], from[Q];
        for (size_t r = 0; r < Q; r++) {
            const size_t first = c->extras.window ? keys_seen(r) - c->extras.window : 0;
            seen[r] = min_size(n, keys_seen(r) - key);
            from[r] = first < key ? 0 : min_size(n, first - key);
        }
        c->kernels->attn_row(&(struct prism_attn_row){ .q = c->x.q[0], .n_q = Q, .d = D, .k = stored(k, c->x.k[key], c->format, n * D),
                                                       .v = stored(v, c->x.v[key], c->format, n * D), .k_format = c->format,
                                                       .v_format = c->format, .n_keys = n,
                                                       .seen = seen, .from = from, .scale = 0.2f, .softcap = c->extras.softcap,
                                                       .o = o[0], .max = max, .sum = sum, .scores = scores });
    }
    for (size_t r = 0; r < Q; r++)
        for (size_t i = 0; i < D; i++)
            o[r][i] /= sum[r];
}

static void check_row_key(struct cache *c, size_t key, size_t i, float poison, bool of_values)
{
    float *at = of_values ? &c->x.v[key][i] : &c->x.k[key][i], was = *at;

    *at = poison;
    attend(c, c->o);
    *at = was;
    for (size_t r = 0; r < Q; r++)
        for (size_t d = 0; d < D; d++)
            if (of_values && d != i)
                kt_same_floats(&c->o[r][d], &c->clean[r][d], 1);
            else if (sees(&c->extras, keys_seen(r) - 1, key))
                kt_nonfinite(&c->o[r][d], 1);
}

static void check_row_format(struct cache *c, const char *what)
{
    attend(c, c->clean);
    for (size_t r = 0; r < Q; r++)
        kt_finite(c->clean[r], D);
    for (size_t key = 0; key < SEEN; key++)
        for (size_t i = 3 * key % 20; i < D; i += 20)
            for (int of_values = 0; of_values < 2; of_values++) {
                const float poison = kt_poison[(key / 20 + key) % KT_N_POISONS];
                kt_context("%s attn_row, format %d, %s, %g in %s %zu, dimension %zu", c->kernels->name, c->format, what, (double)poison,
                           of_values ? "value" : "key", key, i);
                check_row_key(c, key, i, poison, of_values);
            }
    for (size_t i = 0; i < D; i++)
        for (size_t r = 0; r < Q; r++) {
            const float was = c->x.q[r][i];
            kt_context("%s attn_row, format %d, %s, poison in dimension %zu of query %zu", c->kernels->name, c->format, what, i, r);
            c->x.q[r][i] = kt_poison[(i + r) % KT_N_POISONS];
            attend(c, c->o);
            c->x.q[r][i] = was;
            for (size_t row = 0; row < Q; row++)
                if (row == r)
                    kt_nonfinite(c->o[row], D);
                else
                    kt_same_floats(c->o[row], c->clean[row], D);
        }
}

static void check_rows(const struct prism_kernels *k)
{
    struct cache c = { .kernels = k };
    for (int f = PRISM_KVF_F16; f <= PRISM_KVF_F32; f++)
        for (size_t x = 0; x < N_EXTRAS; x++)
            for (int peak = 0; peak < 2; peak++) {
                char what[80];
                snprintf(what, sizeof what, "%s, window %zu, softcap %g", peak ? "a peak" : "even", extras[x].window, (double)extras[x].softcap);
                c.format = (enum prism_kv_format)f;
                c.extras = extras[x];
                make_operands(&c.x, peak);
                check_row_format(&c, what);
            }
}

static void test_tiles(void **state) { (void)state, kt_levels(check_tiles); }
static void test_overflow(void **state) { (void)state, kt_levels(check_overflow); }
static void test_rows(void **state) { (void)state, kt_levels(check_rows); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tiles), cmocka_unit_test(test_overflow), cmocka_unit_test(test_rows) };
    return cmocka_run_group_tests_name("arch/nonfinite_attention", tests, NULL, NULL);
}
