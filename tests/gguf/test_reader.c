/* test_reader.c - the container: values of every type, arrays, alignment, lookup, a file without tensors, a file of 8 GB. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "src/gguf/index.h"
#include "tests/support/data.h"
#include "tests/support/gguf_build.h"

static struct prism_gguf *open_good(const char *path)
{
    struct prism_gguf *g;
    struct prism_error err = { 0 };
    if (prism_gguf_open(path, (struct prism_log){ 0 }, &g, &err) != PRISM_OK)
        fail_msg("%s", err.text);
    return g;
}

/* One key of each type, as the test sets it, and how typed access sees it. */
static struct prism_gguf *open_values(uint32_t version)
{
    struct gb *b = gb_new();
    b->version = version;
    gb_set(b, "u8", PRISM_GV_U8, "\xC8", 1);
    gb_set(b, "i8", PRISM_GV_I8, "\xFB", 1);
    gb_u16(b, "u16", 65535);
    gb_set(b, "i16", PRISM_GV_I16, (int16_t[]){ -300 }, 2);
    gb_u32(b, "u32", 4000000000u);
    gb_i32(b, "i32", -7);
    gb_f32(b, "f32", 0.1f);
    gb_bool(b, "true", 1);
    gb_bool(b, "false", 0);
    gb_str(b, "str", "gr\xC3\xBC\xC3\x9F");
    gb_str(b, "empty", "");
    gb_u64(b, "u64", UINT64_MAX);
    gb_set(b, "i64", PRISM_GV_I64, (int64_t[]){ INT64_MIN }, 8);
    gb_set(b, "f64", PRISM_GV_F64, (double[]){ 0.1 }, 8);
    gb_f32(b, "nan", NAN);
    gb_strings(b, "strings", (const char *[]){ "one", "", "three" }, 3);
    gb_array(b, "i16s", PRISM_GV_I16, 3, (int16_t[]){ 1, -2, 3 }, 6);
    gb_array(b, "none", PRISM_GV_F32, 0, NULL, 0);
    struct prism_gguf *g = open_good(gb_write(b, "values.gguf"));
    gb_free(b);
    return g;
}

static void test_integers(void **state)
{
    (void)state;
    static const struct { const char *key; uint64_t value; } good[] = {
        { "u8", 200 }, { "u16", 65535 }, { "u32", 4000000000u }, { "u64", UINT64_MAX },
    };
    for (uint32_t version = 2; version <= 3; version++) {
        struct prism_gguf *g = open_values(version);
        assert_int_equal(g->version, version);
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
            uint64_t v = 0;
            assert_int_equal(prism_gguf_get_uint(g, good[i].key, true, 0, UINT64_MAX, &v, NULL), PRISM_OK);
            assert_true(v == good[i].value);
            assert_int_equal(prism_gguf_get_uint(g, good[i].key, true, 0, good[i].value - 1, &v, NULL), PRISM_E_FORMAT);
        }
        prism_gguf_close(g);
    }
}

static void test_refused_integers(void **state)
{
    (void)state;
    static const struct { const char *key, *says; } bad[] = {
        { "i8", "key i8: expected >= 0, found -5" },
        { "i16", "key i16: expected >= 0, found -300" },
        { "i32", "key i32: expected >= 0, found -7" },
        { "i64", "key i64: expected >= 0, found -9223372036854775808" },
        { "f32", "key f32: type: expected integer, found f32" },
        { "str", "key str: type: expected integer, found str" },
        { "i16s", "key i16s: type: expected integer, found array" },
        { "absent", "key absent: missing" },
    };
    struct prism_gguf *g = open_values(3);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct prism_error err = { 0 };
        uint64_t v = 77;
        assert_int_equal(prism_gguf_get_uint(g, bad[i].key, true, 0, UINT64_MAX, &v, &err), PRISM_E_FORMAT);
        assert_non_null(strstr(err.text, bad[i].says));
        assert_int_equal(v, 77);
    }
    uint64_t v = 77;
    assert_int_equal(prism_gguf_get_uint(g, "absent", false, 0, 1, &v, NULL), PRISM_OK);
    assert_int_equal(v, 77);
    prism_gguf_close(g);
}

static void test_other_values(void **state)
{
    (void)state;
    struct prism_gguf *g = open_values(3);
    double d = 0;
    assert_int_equal(prism_gguf_get_float(g, "f32", true, &d, NULL), PRISM_OK);
    assert_true(d == (double)0.1f);
    assert_int_equal(prism_gguf_get_float(g, "f64", true, &d, NULL), PRISM_OK);
    assert_true(d == 0.1);
    assert_int_equal(prism_gguf_get_float(g, "i16", true, &d, NULL), PRISM_OK);
    assert_true(d == -300);
    assert_int_equal(prism_gguf_get_float(g, "nan", true, &d, NULL), PRISM_E_FORMAT);
    assert_int_equal(prism_gguf_get_float(g, "str", true, &d, NULL), PRISM_E_FORMAT);
    assert_int_equal(prism_gguf_get_float(g, "absent", true, &d, NULL), PRISM_E_FORMAT);
    assert_true(d == -300);

    bool t = false, f = true, keep = true;
    assert_int_equal(prism_gguf_get_bool(g, "true", &t, NULL), PRISM_OK);
    assert_int_equal(prism_gguf_get_bool(g, "false", &f, NULL), PRISM_OK);
    assert_int_equal(prism_gguf_get_bool(g, "absent", &keep, NULL), PRISM_OK);
    assert_int_equal(prism_gguf_get_bool(g, "u8", &keep, NULL), PRISM_E_FORMAT);
    assert_true(t && !f && keep);

    struct prism_str s = { NULL, 0 };
    assert_int_equal(prism_gguf_get_str(g, "str", true, &s, NULL), PRISM_OK);
    assert_int_equal(s.n, 6);
    assert_memory_equal(s.p, "gr\xC3\xBC\xC3\x9F", 6);
    assert_int_equal(prism_gguf_get_str(g, "empty", true, &s, NULL), PRISM_OK);
    assert_int_equal(s.n, 0);
    assert_int_equal(prism_gguf_get_str(g, "u8", true, &s, NULL), PRISM_E_FORMAT);
    prism_gguf_close(g);
}

static void test_arrays(void **state)
{
    (void)state;
    struct prism_gguf *g = open_values(3);
    const struct prism_gguf_kv *kv = prism_gguf_find(g, "strings");
    assert_int_equal(kv->type, PRISM_GV_ARR);
    assert_int_equal(kv->elem, PRISM_GV_STR);
    assert_int_equal(kv->n, 3);
    assert_int_equal(kv->strings[0].n, 3);
    assert_int_equal(kv->strings[1].n, 0);
    assert_memory_equal(kv->strings[2].p, "three", 5);

    kv = prism_gguf_find(g, "i16s");
    assert_int_equal(kv->n, 3);
    assert_memory_equal(kv->data, ((int16_t[]){ 1, -2, 3 }), 6);
    assert_int_equal(prism_gguf_find(g, "none")->n, 0);
    assert_null(prism_gguf_find(g, "string"));
    assert_int_equal(g->n_kv, 18);
    prism_gguf_close(g);
}

static void test_per_layer(void **state)
{
    (void)state;
    struct gb *b = gb_new();
    gb_u32(b, "one", 5);
    gb_array(b, "equal", PRISM_GV_I32, 3, (int32_t[]){ 5, 5, 5 }, 12);
    gb_array(b, "mixed", PRISM_GV_U32, 3, (uint32_t[]){ 5, 5, 6 }, 12);
    gb_array(b, "negative", PRISM_GV_I32, 3, (int32_t[]){ 5, 5, -1 }, 12);
    gb_strings(b, "strings", (const char *[]){ "5", "5", "5" }, 3);
    struct prism_gguf *g = open_good(gb_write(b, "per-layer.gguf"));
    gb_free(b);
    uint32_t v[4] = { 0 };
    assert_int_equal(prism_gguf_get_per_layer(g, "none", false, 1, 9, 3, v, NULL), PRISM_OK);
    assert_int_equal(v[0], 0);
    assert_int_equal(prism_gguf_get_per_layer(g, "one", true, 1, 9, 3, v, NULL), PRISM_OK);
    assert_true(v[0] == 5 && v[1] == 5 && v[2] == 5 && v[3] == 0);
    assert_int_equal(prism_gguf_get_per_layer(g, "mixed", true, 1, 9, 3, v, NULL), PRISM_OK);
    assert_true(v[0] == 5 && v[1] == 5 && v[2] == 6 && v[3] == 0);
    assert_int_equal(prism_gguf_get_per_layer(g, "equal", true, 1, 9, 4, v, NULL), PRISM_E_FORMAT);
    assert_int_equal(prism_gguf_get_per_layer(g, "mixed", true, 1, 5, 3, v, NULL), PRISM_E_FORMAT);
    assert_int_equal(prism_gguf_get_per_layer(g, "negative", true, 1, 9, 3, v, NULL), PRISM_E_FORMAT);
    assert_int_equal(prism_gguf_get_per_layer(g, "strings", true, 1, 9, 3, v, NULL), PRISM_E_FORMAT);
    prism_gguf_close(g);
}

static void test_alignment(void **state)
{
    (void)state;
    for (uint32_t alignment = 1; alignment <= 4096; alignment *= 2) {
        struct gb *b = gb_new();
        b->alignment = alignment;
        gb_u32(b, "general.alignment", alignment);
        gb_add(b, "a", 24, 1, (uint64_t[]){ 5 }, "hello", 5);
        gb_add(b, "b", 0, 2, (uint64_t[]){ 1, 2 }, (float[]){ 1, 2 }, 8);
        gb_add(b, "c", 24, 4, (uint64_t[]){ 1, 1, 1, 3 }, "end", 3);
        const char *path = gb_write(b, "aligned.gguf");
        struct prism_gguf *g = open_good(path);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(g->file_bytes, st.st_size);
        assert_int_equal(g->tensor_bytes, 16);
        const struct prism_gguf_tensor *a = prism_gguf_tensor_find(g, "a"), *c = prism_gguf_tensor_find(g, "c");
        assert_memory_equal(a->data, "hello", 5);
        assert_memory_equal(c->data, "end", 3);
        assert_int_equal((uintptr_t)c->data % alignment, 0); /* the mapping starts on a page */
        assert_int_equal(c->ne[3], 3);
        assert_int_equal(a->type, PRISM_N_TYPES);
        assert_string_equal(a->file_type->name, "I8");
        assert_null(prism_gguf_tensor_find(g, "d"));
        prism_gguf_close(g);
        gb_free(b);
    }
}

static void test_no_tensors(void **state)
{
    (void)state;
    struct gb *b = gb_new();
    gb_str(b, "general.architecture", "llama");
    struct prism_gguf *g = open_good(gb_write(b, "no-tensors.gguf"));
    assert_int_equal(g->n_tensors, 0);
    prism_gguf_close(g);
    gb_free(b);

    b = gb_new(); /* not even a pair */
    g = open_good(gb_write(b, "nothing.gguf"));
    assert_int_equal(g->n_kv, 0);
    assert_null(prism_gguf_find(g, "general.architecture"));
    prism_gguf_close(g);
    gb_free(b);
}

static void test_index(void **state)
{
    (void)state;
    enum { N = 5000 };
    static char names[N][16];
    struct prism_index *ix = prism_index_new();
    uint64_t held;
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        assert_int_equal(prism_index_add(ix, names[i], strlen(names[i]), (uint64_t)i, &held), 0);
        assert_true(held == PRISM_INDEX_NONE);
    }
    for (int i = 0; i < N; i++)
        assert_true(prism_index_find(ix, names[i], strlen(names[i])) == (uint64_t)i);
    assert_int_equal(prism_index_add(ix, "n42", 3, 9999, &held), 0);
    assert_int_equal(held, 42);
    assert_true(prism_index_find(ix, "n42", 3) == 42);
    assert_true(prism_index_find(ix, "n5000", 5) == PRISM_INDEX_NONE);
    prism_index_free(ix);
}

/* Processor time of this process: other work on the machine does not count. */
static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Bytes of the mapping that are in memory: what was read, and what the system read ahead. */
static uint64_t resident_bytes(const struct prism_gguf *g)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (g->map_bytes + page - 1) / page, resident = 0;
    unsigned char *in_memory = malloc(n);
    assert_non_null(in_memory);
    assert_int_equal(mincore((void *)g->map, g->map_bytes, in_memory), 0);
    for (size_t i = 0; i < n; i++)
        resident += in_memory[i] & 1;
    free(in_memory);
    return resident * page;
}

static void test_8_gb(void **state)
{
    (void)state;
    const uint64_t rows = UINT64_C(1) << 21, bytes = rows * 1024 * 4;
    struct gb *b = gb_new();
    gb_add(b, "big", 0, 2, (uint64_t[]){ 1024, rows }, NULL, 0);
    struct gb_image im = gb_assemble(b);
    const char *path = gb_write_bytes("big.gguf", im.bytes, im.n);
    int refused = truncate(path, (off_t)(im.n + bytes));
    gb_image_free(&im);
    gb_free(b);
    if (refused) {
        unlink(path);
        print_message("skipped: the file system refuses a sparse file of 8 GiB\n");
        skip();
    }
    double least = 1e9;
    for (int i = 0; i < 5; i++) { /* the best of five: caches may be cold */
        double start = now_ms();
        struct prism_gguf *g = open_good(path);
        double ms = now_ms() - start;
        least = ms < least ? ms : least;
        assert_true(g->tensor_bytes == bytes);
        assert_true(resident_bytes(g) < (UINT64_C(16) << 20)); /* read-ahead is some hundred KiB */
        assert_int_equal(g->tensors[0].data[bytes - 1], 0); /* it is mapped to the end */
        prism_gguf_close(g);
    }
    unlink(path);
    print_message("8 GiB opened in %.3f ms\n", least);
    assert_true(least < 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),  cmocka_unit_test(test_refused_integers), cmocka_unit_test(test_other_values),
        cmocka_unit_test(test_arrays),    cmocka_unit_test(test_per_layer),        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_no_tensors), cmocka_unit_test(test_index),           cmocka_unit_test(test_8_gb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
