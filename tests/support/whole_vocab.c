/* whole_vocab.c - see whole_vocab.h. */
#include "tests/support/whole_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct whole_vocab open_vocab(const char *path)
{
    struct whole_vocab o;
    struct prism_error err = {0};
    if (prism_gguf_open(path, (struct prism_log){0}, &o.g, &err) || prism_vocab_load(o.g, 0, &o.v, &err))
        fail_msg("%s", err.text);
    return o;
}

void close_vocab(struct whole_vocab o)
{
    prism_vocab_free(o.v);
    prism_gguf_close(o.g);
}

struct token_ids encode_text(const struct prism_vocab *v, const char *text, size_t len, unsigned flags)
{
    struct token_ids t = {0};
    size_t n;
    struct prism_error err = {0};
    if (prism_vocab_encode(v, text, len, flags, NULL, 0, &t.n, &err))
        fail_msg("%s", err.text);
    t.id = malloc((t.n + 1) * sizeof *t.id);
    assert_non_null(t.id);
    t.id[t.n] = -77;
    assert_int_equal(prism_vocab_encode(v, text, len, flags, t.id, t.n, &n, NULL), PRISM_OK);
    assert_int_equal(n, t.n);
    assert_int_equal(t.id[t.n], -77);
    return t;
}

double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
