/* made_model.c - see made_model.h. */
#include "tests/support/made_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tool_check.h"

const char *made_model(const char *name, const char *const *args)
{
    static char paths[2][512];
    static unsigned turn;
    char *path = paths[turn++ & 1];
    const char *argv[CHILD_MAX_ARGS] = { "make-model", "-o", path };
    struct child c;

    snprintf(path, sizeof paths[0], "%s/%s", test_tmp_dir(), name);
    for (size_t i = 0; args[i]; i++)
        argv[3 + i] = args[i];
    child_run(&c, argv, "", 0);
    assert_worked(&c);
    assert_int_equal(c.n_out, 0);
    assert_int_equal(child_error_lines(&c), 1); /* what was written; no warnings */
    child_free(&c);
    return path;
}

void made_no_warning(void *user, const char *line)
{
    (void)user;
    fail_msg("warning: %s", line);
}

struct prism_gguf *open_made(const char *path)
{
    struct prism_gguf *g;
    struct prism_error err = { 0 };

    if (prism_gguf_open(path, (struct prism_log){ .fn = made_no_warning }, &g, &err) != PRISM_OK)
        fail_msg("%s", err.text);
    return g;
}

prism_model *load_made(const char *path)
{
    struct prism_model_params params = { .check_tensors = true, .log = made_no_warning };
    struct prism_error err = { 0 };
    prism_model *m;

    if (prism_model_load(path, &params, &m, &err) != PRISM_OK)
        fail_msg("%s", err.text);
    return m;
}

const char *made_vocab(const char *kind)
{
    struct tiny_model m = tiny_llama();

    m.vocab = kind;
    return tiny_write(&m, "vocab.gguf");
}

/* Of four bytes. */
static void has_value(const struct prism_gguf *g, const char *arch, const char *suffix, enum prism_gguf_vtype type, const void *value)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", arch, suffix);
    const struct prism_gguf_kv *kv = prism_gguf_find(g, key);
    if (!kv)
        fail_msg("no key %s", key);
    if (kv->type != type || memcmp(kv->data, value, 4) != 0)
        fail_msg("key %s has another value", key);
}

void has_u32(const struct prism_gguf *g, const char *arch, const char *suffix, uint32_t value)
{
    has_value(g, arch, suffix, PRISM_GV_U32, &value);
}

void has_f32(const struct prism_gguf *g, const char *arch, const char *suffix, float value)
{
    has_value(g, arch, suffix, PRISM_GV_F32, &value);
}

void has_str(const struct prism_gguf *g, const char *key, const char *value)
{
    struct prism_str s = { "", 0 };
    struct prism_error err = { 0 };

    if (prism_gguf_get_str(g, key, true, &s, &err) != PRISM_OK)
        fail_msg("%s", err.text);
    if (s.n != strlen(value) || memcmp(s.p, value, s.n) != 0)
        fail_msg("key %s: expected %s, found %.*s", key, value, (int)s.n, s.p);
}

void has_experts(const struct prism_gguf *g, const char *name, const char *type, uint64_t ne0, uint64_t ne1, uint64_t ne2)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, name);
    if (!t)
        fail_msg("no tensor %s", name);
    if (strcmp(t->file_type->name, type) != 0 || t->n_dims != 1u + (ne1 > 0) + (ne2 > 0) || t->ne[0] != ne0 || t->ne[1] != (ne1 ? ne1 : 1) ||
        t->ne[2] != (ne2 ? ne2 : 1))
        fail_msg("tensor %s: expected %s [%llu, %llu, %llu], found %s [%llu, %llu, %llu] of %u dimensions", name, type, (unsigned long long)ne0,
                 (unsigned long long)ne1, (unsigned long long)ne2, t->file_type->name, (unsigned long long)t->ne[0],
                 (unsigned long long)t->ne[1], (unsigned long long)t->ne[2], t->n_dims);
}

void has_tensor(const struct prism_gguf *g, const char *name, const char *type, uint64_t ne0, uint64_t ne1)
{
    has_experts(g, name, type, ne0, ne1, 0);
}
