/* test_fuzz.c - random and systematic damage over a whole file: whatever the bytes are, loading ends with a status, inside the mapping (run it
 * under ASan and UBSan too), and a refusal has a text. What is accepted is used: text is cut into tokens, tokens into bytes, and in one file of
 * eight a few tokens are prefilled, by the generic kernels and by the best ones of the machine. */
#include <fcntl.h>
#include <math.h>
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
    size_t n_accepted; /* files: their vocabulary was used */
    size_t n_run;      /* of these, one in PER_RUN: their network too */
    size_t n_finite;   /* of these, with logits that are numbers */
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
    print_message("%zu files accepted, %zu run, %zu with logits that are numbers\n", v->n_accepted, v->n_run, v->n_finite);
    assert_true(v->n_accepted > 1000 && v->n_run > 200 && v->n_finite > v->n_run / 2);
    close(v->fd);
    gb_image_free(&v->im);
    gb_free(v->g);
    return 0;
}

/* ---- use of an accepted file ---- */

enum { PER_RUN = 8 }; /* a context takes milliseconds, most of them for the processors of the machine */

static const char text[] = "the and\n <|im_start|>\xC3\xA9\xFF 42 \0 of a";

static size_t tokenize(const prism_model *m, int32_t *tokens, size_t cap)
{
    struct prism_error err = { .status = PRISM_OK };
    size_t n = 0, n_plain = 0;
    char bytes[64];
    enum prism_status status = prism_tokenize(m, text, sizeof text, PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL, tokens, cap, &n, &err);
    assert_int_equal(status, err.status);
    assert_int_equal(prism_tokenize(m, text, sizeof text, 0, NULL, 0, &n_plain, NULL), status);
    n = n < cap ? n : cap;
    for (size_t i = 0; i < n; i++) {
        prism_token_bytes(m, tokens[i], i % 2, i == 0, bytes, sizeof bytes);
        prism_token_is_eog(m, tokens[i]);
    }
    return n;
}

/* Tokens that the model does not have are refused; all others give logits or, with values beyond all bounds, PRISM_E_NUMERIC. */
static bool prefill(const prism_model *m, const int32_t *tokens, size_t n, int level)
{
    prism_context *c;
    struct prism_error err = { .status = PRISM_OK };
    struct prism_context_params params = { .n_ctx = 16, .n_threads = 1, .level = level };
    bool finite = false;
    enum prism_status status = prism_context_create(m, &params, &c, &err);
    if (status != PRISM_OK)
        assert_true(err.text[0] && !c);
    else if ((status = prism_prefill(c, tokens, n, NULL, &err)) == PRISM_OK)
        finite = isfinite(prism_logits(c)[0]) != 0;
    else
        assert_true(err.text[0] && err.status == status);
    prism_context_free(c);
    return finite;
}

static void use(struct victim *v, const prism_model *m)
{
    int32_t tokens[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    struct prism_model_info info;
    prism_model_info(m, &info);
    size_t n = tokenize(m, tokens, 8);
    if (n == 0)
        n = 8;
    if (v->n_accepted++ % PER_RUN)
        return;
    bool generic = prefill(m, tokens, n, 1), best = prefill(m, tokens, n, 0);
    v->n_run++;
    v->n_finite += generic && best;
}

/* ---- damage ---- */

static void put(const struct victim *v, size_t at, const void *bytes, size_t n)
{
    assert_int_equal(pwrite(v->fd, bytes, n, (off_t)at), (ssize_t)n);
}

/* Loads the file as it is now. True: it was accepted. */
static bool try_load(struct victim *v, const char *what, size_t at)
{
    prism_model *m;
    struct prism_error err = { .status = PRISM_OK };
    struct prism_model_params params = { .check_tensors = true };
    enum prism_status status = prism_model_load(v->path, &params, &m, &err);
    if ((status == PRISM_OK) != (m != NULL) || err.status != status || (status != PRISM_OK && !strstr(err.text, "fuzz.gguf: ")))
        fail_msg("%s at byte %zu: status %d, text \"%s\"", what, at, (int)status, err.text);
    if (m)
        use(v, m);
    prism_model_free(m);
    return status == PRISM_OK;
}

static bool flip(struct victim *v, size_t at, uint8_t mask)
{
    uint8_t flipped = v->im.bytes[at] ^ mask;
    put(v, at, &flipped, 1);
    bool accepted = try_load(v, "flip", at);
    put(v, at, &v->im.bytes[at], 1);
    return accepted;
}

/* Every byte of the metadata and of the descriptions of tensors, one bit, the sign, or all of it. */
static void test_flip_bytes(void **state)
{
    struct victim *v = *state;
    static const uint8_t masks[] = { 0x01, 0x80, 0xFF };
    size_t accepted = 0, tried = 0;
    for (size_t at = 0; at < v->im.infos_end; at++)
        for (size_t i = at % 2; i < sizeof masks; i += 2, tried++) /* 2 of 3, and 1 of 3 */
            accepted += flip(v, at, masks[i]);
    assert_true(accepted > 0 && accepted < tried);
    assert_true(try_load(v, "whole", 0)); /* everything was put back */
}

/* Weights: a bit here and there, up to the last byte. They are always accepted, unless a scale is no number any more. */
static void test_flip_weights(void **state)
{
    struct victim *v = *state;
    size_t accepted = 0, tried = 0, step = (v->im.n - v->im.data_start) / 500 + 1;
    for (size_t at = v->im.n; at-- > v->im.data_start; tried++, at -= at > step ? step - 1 : at)
        accepted += flip(v, at, (uint8_t)(1u << tried % 8));
    assert_true(tried >= 400 && accepted > tried / 2);
    assert_true(try_load(v, "whole", 0));
}

static const uint64_t hostile[] = { 0, 1, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX };

static void set_u64(struct victim *v, size_t at)
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
    struct victim *v = *state;
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
    struct victim *v = *state;
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
    struct victim *v = *state;
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
        cmocka_unit_test(test_flip_bytes), cmocka_unit_test(test_flip_weights), cmocka_unit_test(test_hostile_numbers), cmocka_unit_test(test_element_lengths),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
