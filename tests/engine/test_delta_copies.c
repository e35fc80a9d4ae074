/* test_delta_copies.c - clones and session files of a model with delta nets: the states go along, and files that contradict themselves are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/session/session.h"
#include "tests/support/delta_case.h"
#include "tests/support/engine_test.h"
#include "tests/support/session_file.h"

static void check_copy(prism_context *copy, prism_context *c)
{
    assert_int_equal(prism_length(copy), prism_length(c));
    delta_assert_logits(copy, prism_logits(c));
    delta_prefill(copy, 330, 400);
    delta_prefill(c, 330, 400);
    delta_assert_logits(copy, prism_logits(c));
    delta_cut(copy, 256);
    delta_cut(c, 256);
    delta_prefill(copy, 256, 280);
    delta_prefill(c, 256, 280);
    delta_assert_logits(copy, prism_logits(c));
}

static void test_clone(void **state)
{
    (void)state;
    prism_context *c = delta_dense(), *copy;
    struct prism_error err;

    delta_prefill(c, 0, 300);
    delta_prefill(c, 300, 330);
    must(prism_context_clone(c, &copy, &err), &err);
    check_copy(copy, c);
    prism_context_free(copy);
    prism_context_free(c);
}

static void test_session(void **state)
{
    (void)state;
    prism_context *c = delta_dense(), *copy = delta_dense();
    const char *path = session_path("delta.session");

    delta_prefill(c, 0, 300);
    delta_prefill(c, 300, 330);
    session_save(c, path);
    session_load(copy, path);
    check_copy(copy, c);
    prism_context_free(copy);
    prism_context_free(c);
}

/* Loads the file with these lengths of states and hashes that are right. */
static void check_states(const prism_model *m, const unsigned char *file, size_t n, const uint64_t states[PRISM_DELTA_STATES])
{
    unsigned char *bytes = malloc(n);
    struct session_header h;

    assert_non_null(bytes);
    memcpy(bytes, file, n);
    memcpy(&h, file, sizeof h);
    memcpy(h.facts.states, states, sizeof h.facts.states);
    h.hash = session_header_hash(&h);
    memcpy(bytes, &h, sizeof h);
    session_write(session_path("hostile.session"), bytes, n);
    prism_context *c = delta_dense_of(m);
    assert_load_fails(c, session_path("hostile.session"), PRISM_E_FORMAT, "contradicts itself");
    prism_context_free(c);
    free(bytes);
}

static unsigned char *saved(const prism_model *m, size_t *n)
{
    prism_context *c = delta_dense_of(m);
    delta_prefill(c, 0, 300);
    session_save(c, session_path("whole.session"));
    prism_context_free(c);
    return session_bytes(session_path("whole.session"), n);
}

/* As many states as there are (of 300 and of 256 tokens), and other numbers of them. */
static void test_hostile_session(void **state)
{
    (void)state;
    static const uint64_t states[][PRISM_DELTA_STATES] = {
        { 301, 300 }, { 256, 128 }, { UINT64_MAX, 300 }, { 0 }, { 300 }, { 300, 256, 128 },
    };
    size_t n;
    unsigned char *bytes = saved(delta.model, &n);

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        check_states(delta.model, bytes, n, states[i]);
    free(bytes);

    struct tiny_model t = tiny_llama();
    prism_model *m = load_tiny(&t, "stateless.gguf");
    bytes = saved(m, &n);
    check_states(m, bytes, n, (uint64_t[PRISM_DELTA_STATES]){ 300 });
    free(bytes);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clone),
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_hostile_session),
    };
    return cmocka_run_group_tests_name("engine/delta_copies", tests, delta_set_up, delta_tear_down);
}
