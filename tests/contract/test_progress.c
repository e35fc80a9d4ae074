/* test_progress.c - what prism.h says about progress and cancelling, none of it by the clock: calls follow the work, the last one has it all. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prism/prism.h"
#include "tests/support/contract_model.h"
#include "tests/support/engine_test.h"

enum { N = 700, N_LAYER = 3 };

struct watcher {
    pthread_t thread;
    uint64_t calls, stop_from;         /* stop_from: asks to stop once so much is done */
    uint64_t done, total, largest_step;
    size_t tokens_done, tokens_total, full; /* full: calls with done == total */
    double elapsed_ms;
    bool asked, strange;               /* asked: to stop; strange: something that must not happen */
};

static int watch(void *user, const struct prism_progress *p)
{
    struct watcher *w = user;
    uint64_t step = p->done - w->done;

    w->strange |= !pthread_equal(w->thread, pthread_self()) || w->full > 0 || w->asked;
    w->strange |= p->total == 0 || (w->calls && p->total != w->total) || p->done < w->done || p->done > p->total;
    w->strange |= p->tokens_total != w->tokens_total || p->tokens_done < w->tokens_done || p->tokens_done > p->tokens_total;
    w->strange |= !(p->elapsed_ms >= w->elapsed_ms) || (p->done == p->total) != (p->tokens_done == p->tokens_total);
    w->largest_step = step > w->largest_step ? step : w->largest_step;
    w->calls++;
    w->full += p->done == p->total;
    w->done = p->done, w->total = p->total, w->tokens_done = p->tokens_done, w->elapsed_ms = p->elapsed_ms;
    return w->asked = p->done >= w->stop_from;
}

static struct watcher watcher(size_t n) { return (struct watcher){ .thread = pthread_self(), .stop_from = UINT64_MAX, .tokens_total = n }; }

static enum prism_status run(prism_context *c, size_t n, struct watcher *w)
{
    struct prism_error err;
    return prism_prefill(c, tokens, n, &(struct prism_prefill_params){ .progress = watch, .progress_user = w }, &err);
}

static prism_context *context(const char *selector, uint32_t n_threads)
{
    struct prism_context_params p = trace_params(N);
    p.attention.selector = selector, p.n_threads = n_threads;
    return make_context(model, &p);
}

/* One thread: a job, far less than a tenth. Others may take all jobs of a phase: at most a layer's attention, here a third. */
static uint64_t largest_step(uint32_t n_threads, uint64_t total) { return n_threads == 1 ? total / 10 : total / 2; }

/* At least the phases of each layer are told, however quick the machine and whoever takes the jobs. No step is large, the last one neither: the
 * phases' work adds up to the total. */
static void check_whole(const char *selector, uint32_t n_threads, size_t n)
{
    prism_context *c = context(selector, n_threads);
    struct watcher w = watcher(n);

    assert_int_equal(run(c, n, &w), PRISM_OK);
    assert_false(w.strange);
    assert_int_equal(w.full, 1); /* and no call after it, or it were strange */
    assert_int_equal(w.done, w.total);
    assert_int_equal(w.tokens_done, n);
    assert_true(w.calls >= 8 * N_LAYER);
    assert_true(w.largest_step <= largest_step(n_threads, w.total));
    prism_context_free(c);
}

static void test_whole(void **state)
{
    static const uint32_t threads[] = { 1, 2, 7 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        check_whole("dense", threads[i], N);
        for (int s = 0; s < (threads[i] == 1 ? prism_selector_count() : 1); s++)
            check_whole(prism_selector_name(s), threads[i], N);
        check_whole("dense", threads[i], 20);
    }
    for (int again = 0; again < 30; again++) /* who takes the jobs is chance */
        check_whole("dense", 7, again % 2 ? N : 20);
}

/* A prompt of one token, and logits for every row. */
static void test_extremes(void **state)
{
    struct watcher w = watcher(1);
    prism_context *c = context("dense", 2);

    (void)state;
    assert_int_equal(run(c, 1, &w), PRISM_OK);
    assert_true(!w.strange && w.full == 1 && w.done == w.total);
    w = watcher(N - 1);
    assert_int_equal(run(c, N - 1, &w), PRISM_OK); /* a continuation counts its own tokens */
    assert_true(!w.strange && w.full == 1 && w.done == w.total);
    prism_context_free(c);
}

/* Wherever the callback asks to stop, the call stops there: what follows is at most what other threads had begun. */
static void test_stops(void **state)
{
    (void)state;
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        prism_context *c = context("prism", n_threads);
        struct watcher whole = watcher(N);
        assert_int_equal(run(c, N, &whole), PRISM_OK);
        for (unsigned tenth = 0; tenth <= 10; tenth++) {
            struct watcher w = watcher(N);
            assert_int_equal(prism_truncate(c, 0, NULL), PRISM_OK);
            w.stop_from = whole.total / 10 * tenth + (tenth == 10 ? whole.total % 10 : 0);
            assert_int_equal(run(c, N, &w), PRISM_E_CANCELLED);
            assert_false(w.strange); /* no call after the one that asked */
            assert_true(w.done >= w.stop_from && w.done - w.stop_from <= largest_step(n_threads, whole.total));
            assert_int_equal(prism_length(c), 0);
        }
        prism_context_free(c);
    }
}

static int set_up(void **state)
{
    (void)state;
    return contract_set_up("progress.gguf", N_LAYER, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole), cmocka_unit_test(test_extremes), cmocka_unit_test(test_stops) };
    return cmocka_run_group_tests_name("progress", tests, set_up, contract_tear_down);
}
