/* test_damage.c - session files that are damaged, cut, extended, of another kind or made by an enemy: refused in one line, and the context is
 * as empty as before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "src/session/session.h"
#include "tests/support/engine_test.h"
#include "tests/support/session_file.h"
#include "tests/support/state_case.h"

enum { ROWS_CASE = 4 }; /* of state_cases: the selector that keeps most */

static prism_model *model;
static prism_context *saved, *into; /* into: what everything is loaded into, and must stay empty */
static unsigned char *good;
static size_t n_good;
static const char *path;

/* Refused, whatever the words; in one line. */
static void check_refused(const unsigned char *bytes, size_t n, const char *what, size_t at)
{
    struct prism_error err;

    session_write(path, bytes, n);
    enum prism_status s = prism_session_load(into, path, &err);
    if (s != PRISM_E_FORMAT && s != PRISM_E_UNSUPPORTED)
        fail_msg("%s at %zu: \"%s\"", what, at, prism_status_text(s));
    assert_true(err.status == s && err.text[0] && !strchr(err.text, '\n') && strstr(err.text, path));
    assert_int_equal(prism_length(into), 0);
    assert_null(prism_logits(into));
}

/* The good file after a bad one. */
static void check_good(void)
{
    prism_context *copy;
    struct prism_error err;

    session_write(path, good, n_good);
    session_load(into, path);
    assert_same_state(into, saved, model->n_vocab);
    must(prism_context_clone(saved, &copy, &err), &err);
    assert_same_future(into, copy, model->n_vocab);
    prism_context_free(copy);
    must(prism_truncate(into, 0, &err), &err);
}

static void test_flipped_bits(void **state)
{
    (void)state;
    unsigned char *bytes = malloc(n_good);
    uint32_t random = 7;

    memcpy(bytes, good, n_good);
    for (size_t i = 0; i < 600; i++) {
        random = random * 1664525u + 1013904223u;
        /* every part: the header's fields, its settings and zeros, the rows, the hashes */
        size_t at = i < 128 ? i : i < 160 ? 128 + (random >> 8) % (SESSION_HEADER - 128) : i < 170 ? SESSION_HEADER - 1 - (i - 160) :
                    i < 540 ? SESSION_HEADER + (random >> 4) % (n_good - SESSION_HEADER) : n_good - 1 - (random >> 8) % 2000;
        bytes[at] ^= (unsigned char)(1u << i % 8);
        check_refused(bytes, n_good, "a flipped bit", at);
        bytes[at] = good[at];
    }
    assert_memory_equal(bytes, good, n_good);
    bytes[n_good - 3] ^= 4;
    session_write(path, bytes, n_good);
    assert_load_fails(into, path, PRISM_E_FORMAT, "hashes: damaged");
    free(bytes);
    check_good();
}

/* What was half loaded is in no result: not even the basis of the selector. */
static void test_use_after_failure(void **state)
{
    (void)state;
    unsigned char *bytes = malloc(n_good);
    prism_context *c[2];
    int32_t tokens[300];
    struct prism_error err;
    struct session_rows r;
    struct prism_state_facts f = prism_state_facts(saved);

    assert_int_equal(session_rows_list(saved, &f, &r, NULL), PRISM_OK);
    memcpy(bytes, good, n_good);
    bytes[r.end - 1] ^= 1; /* of the last row */
    session_rows_free(&r);
    session_write(path, bytes, n_good);
    make_tokens(tokens, 300, model->n_vocab);
    for (int i = 0; i < 2; i++) {
        c[i] = make_context(model, &state_cases[ROWS_CASE].params);
        if (i)
            assert_load_fails(c[i], path, PRISM_E_FORMAT, "damaged");
        for (int t = 0; t < 5; t++)
            must(prism_decode(c[i], tokens[t], &err), &err);
        must(prism_prefill(c[i], tokens, 300, NULL, &err), &err);
    }
    assert_same_state(c[0], c[1], model->n_vocab);
    prism_context_free(c[0]);
    prism_context_free(c[1]);
    free(bytes);
    check_good();
}

static void test_lengths(void **state)
{
    (void)state;
    unsigned char *longer = calloc(1, n_good + 5000);
    size_t cuts[] = { 0, 1, 7, 8, 11, 12, 100, 4095, 4096, 4097, n_good / 3, n_good / 2, n_good - 4096, n_good - 9, n_good - 8, n_good - 1 };

    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        check_refused(good, cuts[i], "cut", cuts[i]);
    memcpy(longer, good, n_good);
    for (size_t more = 1; more <= 5000; more *= 9)
        check_refused(longer, n_good + more, "extended", more);
    memcpy(longer, good + 1, n_good - 1);
    check_refused(longer, n_good, "moved", 1);
    free(longer);
    check_good();
}

static void write_changed(const unsigned char *bytes) { session_write(path, bytes, n_good); }

/* Two rows of the same size change places: each is whole. */
static void test_places(void **state)
{
    (void)state;
    struct session_rows r;
    struct prism_state_facts f = prism_state_facts(saved);
    unsigned char *bytes = malloc(n_good);
    size_t keys = 0;

    assert_int_equal(session_rows_list(saved, &f, &r, NULL), PRISM_OK);
    while (strcmp(session_row(&r, keys).name, "keys"))
        keys++;
    struct session_row a = session_row(&r, keys), b = session_row(&r, keys + 1);
    memcpy(bytes, good, n_good);
    memcpy(bytes + a.offset, good + b.offset, a.bytes);
    memcpy(bytes + b.offset, good + a.offset, a.bytes);
    uint64_t *hashes = (uint64_t *)(void *)(bytes + r.end);
    uint64_t first = hashes[keys];
    hashes[keys] = hashes[keys + 1], hashes[keys + 1] = first;
    struct session_header *h = (struct session_header *)(void *)bytes;
    h->hash_of_hashes = session_hash(hashes, r.n_rows * sizeof *hashes, 0);
    h->hash = session_header_hash(h);
    write_changed(bytes);
    assert_load_fails(into, path, PRISM_E_FORMAT, "keys: damaged");
    session_rows_free(&r);
    free(bytes);
    check_good();
}

/* ---- with good hashes ---- */

static void rehash(unsigned char *bytes)
{
    struct session_rows r;
    struct prism_state_facts f = prism_state_facts(saved);
    struct session_header *h = (struct session_header *)(void *)bytes;

    assert_int_equal(session_rows_list(saved, &f, &r, NULL), PRISM_OK);
    uint64_t *hashes = (uint64_t *)(void *)(bytes + r.end);
    for (size_t i = 0; i < r.n_rows; i++) {
        struct session_row row = session_row(&r, i);
        hashes[i] = session_hash(bytes + row.offset, row.bytes, i);
    }
    h->hash_of_hashes = session_hash(hashes, r.n_rows * sizeof *hashes, 0);
    h->hash = session_header_hash(h);
    session_rows_free(&r);
}

/* Offset in the file of the first row of that name. */
static size_t offset_of(const char *name)
{
    struct session_rows r;
    struct prism_state_facts f = prism_state_facts(saved);
    size_t i = 0;

    assert_int_equal(session_rows_list(saved, &f, &r, NULL), PRISM_OK);
    while (strcmp(session_row(&r, i).name, name))
        assert_true(++i < r.n_rows);
    size_t offset = session_row(&r, i).offset;
    session_rows_free(&r);
    return offset;
}

static void check_rows(const char *name, size_t skip, const void *value, size_t n)
{
    unsigned char *bytes = malloc(n_good);

    memcpy(bytes, good, n_good);
    memcpy(bytes + offset_of(name) + skip, value, n);
    rehash(bytes);
    write_changed(bytes);
    assert_load_fails(into, path, PRISM_E_FORMAT, "contradicts itself");
    free(bytes);
}

static void test_hostile_rows(void **state)
{
    (void)state;
    static const int32_t beyond = INT32_MAX, negative = -1;
    static const uint32_t rank = 16000, odd = 17, none = 0;
    static const size_t many = SIZE_MAX;
    static const uint32_t nan = 0x7FC00000;
    unsigned char *bytes = malloc(n_good);

    memcpy(bytes, good, n_good);
    rehash(bytes);
    assert_memory_equal(bytes, good, n_good); /* that is how they are made */
    free(bytes);
    check_rows("tokens", 40, &beyond, sizeof beyond);
    check_rows("tokens", (STATE_TOKENS - 1) * sizeof beyond, &negative, sizeof negative);
    check_rows("sketch: ranks", 0, &rank, sizeof rank);
    check_rows("sketch: ranks", 4, &odd, sizeof odd);
    check_rows("sketch: ranks", 4, &none, sizeof none);
    check_rows("sketch: blocks", 0, &many, sizeof many);
    check_rows("logits", 8, &nan, sizeof nan);
    check_good();
}

static void check_header(void (*change)(struct session_header *), enum prism_status s, const char *text)
{
    unsigned char *bytes = malloc(n_good);
    struct session_header *h = (struct session_header *)(void *)bytes;

    memcpy(bytes, good, n_good);
    change(h);
    h->hash = session_header_hash(h);
    write_changed(bytes);
    assert_load_fails(into, path, s, text);
    free(bytes);
}

static void set_length_0(struct session_header *h) { h->facts.length = 0; }
static void set_length_long(struct session_header *h) { h->facts.length = UINT64_MAX / 8; }
static void set_length_more(struct session_header *h) { h->facts.length += 1; }
static void set_length_all(struct session_header *h) { h->facts.length = PRISM_MAX_CONTEXT; }
static void set_whole(struct session_header *h) { h->facts.whole = h->facts.length + 1; }
static void set_kept(struct session_header *h) { h->facts.kept_from = h->facts.length + 1; }
static void set_logits(struct session_header *h) { h->facts.logits = 2; }
static void set_no_logits(struct session_header *h) { h->facts.logits = 0; }
static void set_sketched(struct session_header *h) { h->facts.sketched = 0; }
static void set_rotations(struct session_header *h) { h->facts.rotations = 3; }
static void set_short(struct session_header *h) { h->facts.rotations = PRISM_ROTATIONS_SHORT; }
static void set_rows(struct session_header *h) { h->n_rows++; }
static void set_bytes(struct session_header *h) { h->file_bytes++; }
static void set_header_bytes(struct session_header *h) { h->header_bytes = 8192; }
static void set_version(struct session_header *h) { h->version = 0; }
static void set_later(struct session_header *h) { h->version = SESSION_VERSION + 1; }
static void set_library(struct session_header *h) { memcpy(h->settings + strlen("library "), "9", 1); }
static void set_no_settings(struct session_header *h) { h->settings[0] = 0; }
static void set_endless(struct session_header *h) { memset(h->settings, 'x', sizeof h->settings); }
static void set_control(struct session_header *h) { memcpy(h->settings, "\033[2J", 4); }
static void set_magic(struct session_header *h) { memcpy(h->magic, "ggsn", 4); }

static void test_hostile_headers(void **state)
{
    (void)state;
    check_header(set_length_0, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_length_long, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_length_more, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_length_all, PRISM_E_LENGTH, "16777216 tokens, the context holds");
    check_header(set_whole, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_kept, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_logits, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_no_logits, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_sketched, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_rotations, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_short, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_rows, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_bytes, PRISM_E_FORMAT, "expected ");
    check_header(set_header_bytes, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_version, PRISM_E_UNSUPPORTED, "made in version 0 of the format, this library has 4");
    check_header(set_later, PRISM_E_UNSUPPORTED, "made in version 5 of the format, this library has 4");
    check_header(set_library, PRISM_E_UNSUPPORTED, "made with library 9");
    check_header(set_no_settings, PRISM_E_UNSUPPORTED, "this context has library");
    check_header(set_endless, PRISM_E_FORMAT, "header: contradicts itself");
    check_header(set_control, PRISM_E_UNSUPPORTED, "\\x1B[2J");
    check_header(set_magic, PRISM_E_FORMAT, "not a session file");
    check_good();
}

/* ---- no file at all ---- */

static void test_no_file(void **state)
{
    (void)state;
    struct prism_session_info info;
    const char *pipe = session_path("pipe");
    struct prism_error err;

    assert_load_fails(into, session_path("absent"), PRISM_E_IO, "No such file");
    assert_load_fails(into, "/", PRISM_E_IO, "not a regular file");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_load_fails(into, pipe, PRISM_E_IO, "not a regular file"); /* and does not wait */
    assert_load_fails(into, "models/gutenberg-llama-16m-q8_0.gguf", PRISM_E_FORMAT, "not a session file");
    assert_int_equal(prism_session_info(session_path("absent"), &info, &err), PRISM_E_IO);
    assert_true(info.n_tokens == 0 && info.file_bytes == 0);
    session_write(path, good, 4096);
    assert_int_equal(prism_session_info(path, &info, &err), PRISM_E_FORMAT);
    assert_true(info.n_tokens == 0 && info.file_bytes == 0);
    assert_int_equal(prism_session_save(saved, "/", &err), PRISM_E_IO);
    assert_int_equal(prism_session_save(saved, "/nonexistent/x.session", &err), PRISM_E_IO);
    assert_int_equal(prism_session_save(saved, "", &err), PRISM_E_IO);
    assert_int_equal(prism_session_save(saved, pipe, &err), PRISM_E_IO);
    assert_non_null(strstr(err.text, "not a regular file"));
    check_good();
}

static int set_up(void **state)
{
    (void)state;
    model = state_model("damage.gguf");
    saved = state_context(model, &state_cases[ROWS_CASE].params);
    into = make_context(model, &state_cases[ROWS_CASE].params);
    path = strdup(session_path("damaged.session"));
    session_save(saved, path);
    good = session_bytes(path, &n_good);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    prism_context_free(saved);
    prism_context_free(into);
    prism_model_free(model);
    free(good);
    free((void *)path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_use_after_failure), cmocka_unit_test(test_lengths), cmocka_unit_test(test_places),
        cmocka_unit_test(test_hostile_rows), cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests_name("damaged sessions", tests, set_up, tear_down);
}
