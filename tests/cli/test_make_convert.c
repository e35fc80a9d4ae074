/* test_make_convert.c - make-model --convert: rounding by definition, round trips bit for bit, metadata. Refusals: test_make_refusals.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "src/kernels.h"
#include "tests/support/data.h"
#include "tests/support/gguf_build.h"
#include "tests/support/tool_check.h"

static const char llama[] = "models/gutenberg-llama-16m-q8_0.gguf";

/* test_tmp_dir()/name, valid until the fourth next call. */
static const char *tmp(const char *name)
{
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ & 3];

    snprintf(path, sizeof paths[0], "%s/%s", test_tmp_dir(), name);
    return path;
}

static const char *convert(const char *from, const char *type, const char *name)
{
    const char *path = tmp(name);
    struct child c;

    RUN(&c, "make-model", "--convert", from, "--type", type, "-o", path);
    assert_worked(&c);
    assert_int_equal(c.n_out, 0);
    child_free(&c);
    return path;
}

static void assert_same_file(const char *a, const char *b)
{
    size_t n_a, n_b;
    char *x = test_read_file(a, &n_a), *y = test_read_file(b, &n_b);

    assert_int_equal(n_a, n_b);
    assert_memory_equal(x, y, n_a);
    free(x);
    free(y);
}

static struct prism_gguf *open_file(const char *path)
{
    struct prism_gguf *g;
    struct prism_error err = { 0 };

    if (prism_gguf_open(path, (struct prism_log){ 0 }, &g, &err) != PRISM_OK)
        fail_msg("%s", err.text);
    return g;
}

/* ---- rounding ----------------------------------------------------------------------------------------------------- */

enum { ROW = 64, N_ROWS = 6 };

/* Ties, both signs of the extreme, the first of equals, a block of zeros, one whose quotient 1/d overflows, the largest. */
static void hard_rows(float x[N_ROWS][ROW])
{
    uint32_t state = 1;

    for (int i = 0; i < ROW; i++) {
        x[0][i] = (float)(i % 32 - 8) / 2;                 /* extreme 11.5 */
        x[1][i] = i % 32 == 31 ? -127 : (float)(i % 32) + 0.5f; /* Q8_0: d = 1, ties at every half */
        x[2][i] = i % 32 == 5 ? -8 : i % 32 == 4 ? 8 : (float)(i % 16) - 7.5f; /* 8 comes first: d = -1 */
        x[3][i] = i < 32 ? 0 : 1e-41f * (float)i;
        x[4][i] = i % 2 ? 65000.f : -65000.f;
        state = state * 1664525 + 1013904223;
        x[5][i] = (float)(int32_t)state * 0x1p-31f;
    }
}

/* The definitions again, in double where that is the same. */
static void expect_q8_0(uint8_t *y, const float *x)
{
    const struct prism_kernels *k = prism_kernels_by_level[PRISM_LEVEL_GENERIC];
    float max = 0;
    uint16_t d16;

    for (int i = 0; i < 32; i++)
        max = fmaxf(max, fabsf(x[i]));
    float d = max / 127, inverse = 1 / d;
    k->f32_to_f16(&d16, &d, 1);
    memcpy(y, &d16, 2);
    for (int i = 0; i < 32; i++)
        y[2 + i] = isinf(inverse) ? 0 : (uint8_t)(int8_t)lround((double)(x[i] * inverse)); /* lround: half away from zero */
}

static void expect_q4_0(uint8_t *y, const float *x)
{
    const struct prism_kernels *k = prism_kernels_by_level[PRISM_LEVEL_GENERIC];
    float extreme = 0;
    uint16_t d16;
    int q[32];

    for (int i = 31; i >= 0; i--) /* backwards, so that the first of equals stays */
        if (fabsf(x[i]) >= fabsf(extreme))
            extreme = x[i];
    float d = extreme / -8, inverse = 1 / d;
    k->f32_to_f16(&d16, &d, 1);
    memcpy(y, &d16, 2);
    for (int i = 0; i < 32; i++)
        q[i] = isinf(inverse) ? 8 : (int)fmin(15, floor(x[i] * inverse + 8.5f));
    for (int i = 0; i < 16; i++)
        y[2 + i] = (uint8_t)(q[i] | q[i + 16] << 4);
}

static const char *write_rows(const char *name, const float *x, uint64_t n, uint64_t rows)
{
    struct gb *g = gb_new();
    gb_str(g, "general.architecture", "llama");
    gb_add(g, "w", 0, 2, (uint64_t[]){ n, rows }, x, n * rows * sizeof *x);
    const char *path = gb_write(g, name);
    gb_free(g);
    return path;
}

static void rounding_is_the_formats_own(void **state)
{
    float x[N_ROWS][ROW];
    uint8_t expected[N_ROWS * ROW / 32 * 34];
    static const struct {
        const char *type;
        size_t bytes;
        void (*block)(uint8_t *, const float *);
    } types[] = { { "Q8_0", 34, expect_q8_0 }, { "Q4_0", 18, expect_q4_0 } };

    (void)state;
    hard_rows(x);
    for (size_t i = 0; i < 2; i++) {
        struct prism_gguf *g = open_file(convert(write_rows("rows.gguf", x[0], ROW, N_ROWS), types[i].type, "rounded.gguf"));
        size_t n_blocks = N_ROWS * ROW / 32;
        for (size_t b = 0; b < n_blocks; b++)
            types[i].block(expected + b * types[i].bytes, x[0] + 32 * b);
        assert_int_equal(g->tensors[0].n_bytes, n_blocks * types[i].bytes);
        for (size_t b = 0; b < n_blocks * types[i].bytes; b++)
            if (g->tensors[0].data[b] != expected[b])
                fail_msg("%s: byte %zu of block %zu: %u, expected %u", types[i].type, b % types[i].bytes, b / types[i].bytes,
                         g->tensors[0].data[b], expected[b]);
        prism_gguf_close(g);
    }
}

/* Rows that no block divides become F16, vectors F32; what the type cannot hold is refused. */
static void odd_rows_and_vectors(void **state)
{
    const struct prism_kernels *k = prism_kernels_by_level[PRISM_LEVEL_GENERIC];
    float x[33], got[33];
    uint16_t half[33], expected[33];

    (void)state;
    for (int i = 0; i < 33; i++)
        x[i] = (float)i / 7;
    struct prism_gguf *g = open_file(convert(write_rows("odd.gguf", x, 33, 1), "Q8_0", "odd-q8_0.gguf"));
    assert_string_equal(g->tensors[0].file_type->name, "F16");
    k->f32_to_f16(expected, x, 33);
    assert_memory_equal(g->tensors[0].data, expected, sizeof expected);
    prism_gguf_close(g);

    struct gb *vector = gb_new();
    k->f32_to_f16(half, x, 33);
    k->f16_to_f32(x, half, 33);
    gb_add(vector, "norm", 1, 1, (uint64_t[]){ 33 }, half, sizeof half);
    g = open_file(convert(gb_write(vector, "vector.gguf"), "F16", "vector-f32.gguf"));
    assert_string_equal(g->tensors[0].file_type->name, "F32");
    memcpy(got, g->tensors[0].data, sizeof got);
    assert_memory_equal(got, x, sizeof x);
    prism_gguf_close(g);
    gb_free(vector);
}

/* Biases of experts have two dimensions and stay F32, as does a router; experts get the type. */
static void experts(void **state)
{
    static const struct {
        const char *name, *type;
        uint32_t n_dims;
        uint64_t ne[3];
    } rows[] = {
        { "blk.0.ffn_gate_inp.weight", "F32", 2, { 32, 4, 1 } },
        { "blk.0.ffn_up_exps.bias", "F32", 2, { 32, 4, 1 } },
        { "blk.0.ffn_up_exps.weight", "Q8_0", 3, { 32, 2, 4 } },
    };
    struct gb *model = gb_new();
    float x[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        x[i] = (float)(i - 100) / 7;
    for (size_t i = 0; i < 3; i++)
        gb_add(model, rows[i].name, 0, rows[i].n_dims, rows[i].ne, x, rows[i].ne[0] * rows[i].ne[1] * rows[i].ne[2] * sizeof *x);
    struct prism_gguf *g = open_file(convert(gb_write(model, "experts.gguf"), "Q8_0", "experts-q8_0.gguf"));
    for (size_t i = 0; i < 3; i++) {
        const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, rows[i].name);
        assert_string_equal(t->file_type->name, rows[i].type);
        assert_int_equal(t->n_dims, rows[i].n_dims);
        for (int k = 0; k < 3; k++)
            assert_int_equal(t->ne[k], rows[i].ne[k]);
        if (i < 2)
            assert_memory_equal(t->data, x, 32 * 4 * sizeof *x);
    }
    prism_gguf_close(g);
    gb_free(model);
}

/* ---- whole models ------------------------------------------------------------------------------------------------- */

/* Everything but the type of the matrices comes back: the file is the original, byte for byte. */
static void round_trips(void **state)
{
    char f32[512], f16[512], bf16[512];

    (void)state;
    snprintf(f32, sizeof f32, "%s", convert(llama, "f32", "llama-f32.gguf"));
    assert_same_file(convert(f32, "Q8_0", "llama-q8_0.gguf"), llama);
    assert_same_file(convert(f32, "F32", "llama-again.gguf"), f32);
    assert_same_file(convert(llama, "Q8_0", "llama-again.gguf"), llama);

    snprintf(f16, sizeof f16, "%s", convert(f32, "F16", "llama-f16.gguf"));
    assert_same_file(convert(f16, "F16", "llama-again.gguf"), f16);
    assert_same_file(convert(convert(f16, "F32", "llama-wide.gguf"), "F16", "llama-again.gguf"), f16);
    snprintf(bf16, sizeof bf16, "%s", convert(f32, "BF16", "llama-bf16.gguf"));
    assert_same_file(convert(bf16, "BF16", "llama-again.gguf"), bf16);
    assert_same_file(convert(convert(bf16, "F32", "llama-wide.gguf"), "BF16", "llama-again.gguf"), bf16);
}

/* To its own type a tensor is copied, not rounded again: numbers that the type would refuse stay, so do blocks that no rounding makes. */
static void own_type_is_a_copy(void **state)
{
    uint16_t halves[32] = { 0x7C00, 0xFC00, 0x7D01, 0xFE05, 0x8000, 0x0001 }; /* infinities, NaNs, -0, the least */
    uint8_t q4[18] = { 0x00, 0x3C, 0x99 }, q8[34] = { 0x00, 0x3C, 5 };      /* d = 1, no code at the end of the range */
    const struct {
        const char *type;
        uint32_t id;
        const void *bytes;
        size_t n;
    } cases[] = {
        { "F16", 1, halves, sizeof halves },
        { "BF16", 30, halves, sizeof halves },
        { "Q4_0", 2, q4, sizeof q4 },
        { "Q8_0", 8, q8, sizeof q8 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gb *g = gb_new();
        gb_add(g, "w", cases[i].id, 2, (uint64_t[]){ 32, 1 }, cases[i].bytes, cases[i].n);
        struct prism_gguf *copy = open_file(convert(gb_write(g, "own.gguf"), cases[i].type, "own-copy.gguf"));
        assert_string_equal(copy->tensors[0].file_type->name, cases[i].type);
        assert_memory_equal(copy->tensors[0].data, cases[i].bytes, cases[i].n);
        prism_gguf_close(copy);
        gb_free(g);
    }
}

/* The input may be the output, and a link stays a link. */
static void in_place_through_a_link(void **state)
{
    char file[512], link[512];
    struct stat st;

    (void)state;
    snprintf(file, sizeof file, "%s", convert(llama, "F32", "place.gguf"));
    snprintf(link, sizeof link, "%s", tmp("link.gguf"));
    assert_int_equal(symlink("place.gguf", link), 0);
    convert(link, "Q8_0", "link.gguf");
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_same_file(file, llama);
}

static void file_type_is_set(void **state)
{
    static const struct {
        const char *type;
        uint32_t id;
    } cases[] = { { "F32", 0 }, { "F16", 1 }, { "BF16", 32 }, { "Q8_0", 7 }, { "Q4_0", 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct prism_gguf *g = open_file(convert(llama, cases[i].type, "typed.gguf"));
        const struct prism_gguf_kv *kv = prism_gguf_find(g, "general.file_type");
        assert_non_null(kv);
        assert_memory_equal(kv->data, &cases[i].id, 4);
        assert_string_equal(prism_gguf_tensor_find(g, "blk.0.attn_q.weight")->file_type->name, cases[i].type);
        assert_string_equal(prism_gguf_tensor_find(g, "blk.0.attn_norm.weight")->file_type->name, "F32");
        prism_gguf_close(g);
    }
}

/* Two parts become one file without the keys that tell of parts, and its alignment is 32 whatever that of the parts was. */
static void parts_become_one(void **state)
{
    float x[64] = { 1, 2, 3 };

    (void)state;
    for (uint16_t i = 0; i < 2; i++) {
        struct gb *g = gb_new();
        gb_u32(g, "general.alignment", 64);
        g->alignment = 64;
        gb_u16(g, "split.no", i);
        gb_u16(g, "split.count", 2);
        gb_i32(g, "split.tensors.count", 2);
        gb_str(g, i ? "lost.key" : "kept.key", "text");
        gb_add(g, i ? "b" : "a", 0, 2, (uint64_t[]){ 32, 2 }, x, sizeof x);
        gb_write(g, i ? "part-00002-of-00002.gguf" : "part-00001-of-00002.gguf");
        gb_free(g);
    }
    struct prism_gguf *g = open_file(convert(tmp("part-00001-of-00002.gguf"), "F16", "whole.gguf"));
    assert_int_equal(g->n_files, 1);
    assert_int_equal(g->n_kv, 3); /* kept.key, and the two that were added */
    assert_non_null(prism_gguf_find(g, "kept.key"));
    assert_non_null(prism_gguf_find(g, "general.file_type"));
    assert_non_null(prism_gguf_find(g, "general.quantization_version"));
    assert_int_equal(g->n_tensors, 2);
    assert_string_equal(g->tensors[1].name, "b");
    assert_int_equal(g->tensors[1].n_bytes, 128);
    prism_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_the_formats_own),
        cmocka_unit_test(odd_rows_and_vectors),
        cmocka_unit_test(experts),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(own_type_is_a_copy),
        cmocka_unit_test(in_place_through_a_link),
        cmocka_unit_test(file_type_is_set),
        cmocka_unit_test(parts_become_one),
    };
    return cmocka_run_group_tests_name("cli/make_convert", tests, NULL, NULL);
}
