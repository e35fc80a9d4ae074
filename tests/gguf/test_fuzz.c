/* test_fuzz.c - random and systematic damage: whatever the bytes are, loading ends with a status, inside the mapping (run it under
 * ASan and UBSan too), and a refusal has a text. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/hostile.h"

/* The smallest valid model, with its bytes and marks. */
struct victim {
    struct gb *g;
    struct gb_image im;
    const char *path;
    int fd;
};

static int set_up(void **state)
{
    static struct victim v;
    struct tiny_model m = tiny_llama();
    m.n_layer = 1;
    v.g = tiny_build(&m);
    v.im = gb_assemble(v.g);
    v.path = gb_write_bytes("fuzz.gguf", v.im.bytes, v.im.n);
    v.fd = open(v.path, O_RDWR);
    *state = &v;
    return v.fd < 0;
}

static int tear_down(void **state)
{
    struct victim *v = *state;
    close(v->fd);
    gb_image_free(&v->im);
    gb_free(v->g);
    return 0;
}

static void put(const struct victim *v, size_t at, const void *bytes, size_t n)
{
    assert_int_equal(pwrite(v->fd, bytes, n, (off_t)at), (ssize_t)n);
}

/* Loads the file as it is now. True: it was accepted. */
static bool try_load(const struct victim *v, const char *what, size_t at)
{
    prism_model *m;
    struct prism_error err = { .status = PRISM_OK };
    struct prism_model_params params = { .check_tensors = true };
    enum prism_status status = prism_model_load(v->path, &params, &m, &err);
    if ((status == PRISM_OK) != (m != NULL) || err.status != status || (status != PRISM_OK && !strstr(err.text, "fuzz.gguf: ")))
        fail_msg("%s at byte %zu: status %d, text \"%s\"", what, at, (int)status, err.text);
    prism_model_free(m);
    return status == PRISM_OK;
}

static void test_flip_bytes(void **state)
{
    const struct victim *v = *state;
    static const uint8_t masks[] = { 0x01, 0x80, 0xFF };
    size_t end = v->im.n < 4096 ? v->im.n : 4096, accepted = 0;
    for (size_t at = 0; at < end; at++)
        for (size_t i = 0; i < sizeof masks; i++) {
            uint8_t flipped = v->im.bytes[at] ^ masks[i];
            put(v, at, &flipped, 1);
            accepted += try_load(v, "flip", at);
            put(v, at, &v->im.bytes[at], 1);
        }
    assert_true(accepted < end * sizeof masks);
    assert_true(try_load(v, "whole", 0)); /* everything was put back */
}

static const uint64_t hostile[] = { 0, 1, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX };

static void set_u64(const struct victim *v, size_t at)
{
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        put(v, at, &hostile[i], 8);
        try_load(v, "u64", at);
    }
    put(v, at, v->im.bytes + at, 8);
}

/* Every aligned u64 of the metadata, and every length, count, dimension and offset in it. */
static void test_hostile_numbers(void **state)
{
    const struct victim *v = *state;
    const struct gb_image *im = &v->im;
    for (size_t at = 0; at + 8 <= im->infos_end; at += 8)
        set_u64(v, at);
    for (size_t i = 0; i < v->g->n_pairs; i++) {
        const struct gb_pair *p = &v->g->pairs[i];
        set_u64(v, im->pair_at[i]);
        if (p->type == PRISM_GV_STR)
            set_u64(v, im->pair_value[i]);
        if (p->type == PRISM_GV_ARR)
            set_u64(v, im->pair_value[i] + 4);
    }
    for (size_t i = 0; i < v->g->n_tensors; i++) {
        set_u64(v, im->info_at[i]);
        set_u64(v, im->info_offset[i]);
        for (unsigned d = 0; d < v->g->tensors[i].n_dims; d++)
            set_u64(v, im->info_dims[i] + 4 + 8 * d);
    }
    assert_true(try_load(v, "whole", 0));
}

/* The length of each element of the array of tokens. */
static void test_element_lengths(void **state)
{
    const struct victim *v = *state;
    size_t i = gb_pair_index(v->g, "tokenizer.ggml.tokens"), at = v->im.pair_value[i] + 12;
    while (at < v->im.pair_end[i]) {
        uint64_t len;
        memcpy(&len, v->im.bytes + at, 8);
        set_u64(v, at);
        at += 8 + len;
    }
    assert_int_equal(at, v->im.pair_end[i]);
    assert_true(try_load(v, "whole", 0));
}

static void test_cuts(void **state)
{
    const struct victim *v = *state;
    for (size_t n = v->im.data_start + 64; n-- > 0;) {
        assert_int_equal(ftruncate(v->fd, (off_t)n), 0);
        assert_false(try_load(v, "cut", n));
    }
    put(v, 0, v->im.bytes, v->im.n);
    assert_true(try_load(v, "whole", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flip_bytes), cmocka_unit_test(test_hostile_numbers), cmocka_unit_test(test_element_lengths),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
