/* hostile.c - see hostile.h. */
#include "tests/support/hostile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"

static void keep_line(void *user, const char *line)
{
    struct loaded *l = user;
    size_t n = strlen(line);
    assert_null(strchr(line, '\n'));
    if (l->log_len + n + 2 > sizeof l->log)
        return;
    memcpy(l->log + l->log_len, line, n);
    l->log_len += n;
    l->log[l->log_len++] = '\n';
    l->log[l->log_len] = 0;
}

void hostile_load(struct loaded *l, const char *path, bool check_tensors, bool vocab_only)
{
    *l = (struct loaded){ .status = PRISM_OK };
    struct prism_model_params p = { .check_tensors = check_tensors, .vocab_only = vocab_only, .log = keep_line, .log_user = l };
    l->status = prism_model_load(path, &p, &l->model, &l->err);
}

void hostile_load_quietly(struct gb *g, const char *what)
{
    struct loaded l;
    hostile_load(&l, gb_write(g, "quiet.gguf"), false, false);
    if (l.status || l.log_len)
        fail_msg("%s: status %d \"%s\", warnings: %s", what, (int)l.status, l.err.text, l.log);
    prism_model_free(l.model);
}

static struct gb *build_base(const struct hostile_case *c)
{
    if (c->golden) {
        char path[128];
        snprintf(path, sizeof path, "tests/golden/arch/%s.gguf", c->golden);
        return gb_read(path);
    }
    struct tiny_model m = c->family ? tiny_family(c->family) : c->base == BASE_QWEN3 ? tiny_qwen3() : tiny_llama();
    if (c->base == BASE_SPM)
        m.vocab = "llama";
    return tiny_build(&m);
}

static void apply_set(struct gb *g, const struct hostile_set *s)
{
    float f = (float)s->f;
    if (s->remove)
        gb_remove(g, s->key);
    else if (s->s)
        gb_str(g, s->key, s->s);
    else if (s->type == PRISM_GV_F32)
        gb_set(g, s->key, s->type, &f, sizeof f);
    else
        gb_set(g, s->key, s->type, &s->u, s->type < PRISM_GV_COUNT ? prism_gguf_vtype_bytes((enum prism_gguf_vtype)s->type) : 4);
}

bool hostile_judge(const struct loaded *l, char verdict, const char *says, const char *name)
{
    const char *wrong = NULL;
    if (verdict == 'R') {
        wrong = l->status == PRISM_OK ? "was accepted" : l->model ? "left a model" : l->err.status != l->status ? "status and error differ"
              : !strstr(l->err.text, says) ? "says something else" : !strstr(l->err.text, name) ? "does not name the file"
              : strchr(l->err.text, '\n') ? "has several lines" : NULL;
    } else {
        wrong = l->status ? "was refused" : !l->model ? "gave no model" : verdict == 'A' && l->log_len ? "warned"
              : verdict == 'W' && !strstr(l->log, says) ? "did not warn" : NULL;
    }
    if (wrong)
        print_message("%s: %s: expected %c with \"%s\", found status %d \"%s\", warnings:\n%s", name, wrong, verdict, says, (int)l->status,
                      l->err.text, l->log);
    return !wrong;
}

void hostile_apply(struct gb *g, const struct hostile_case *c)
{
    if (c->set.key)
        apply_set(g, &c->set);
    if (c->change)
        c->change(g);
}

static bool run_one(const struct hostile_case *c, size_t i)
{
    char name[64];
    struct loaded l;
    struct gb *g = build_base(c);
    hostile_apply(g, c);
    struct gb_image im = gb_assemble(g);
    if (c->patch)
        c->patch(g, &im);
    snprintf(name, sizeof name, "hostile-%03d-%zu.gguf", c->row, i);
    const char *path = gb_write_bytes(name, im.bytes, im.n);
    hostile_load(&l, path, c->check_tensors, false);
    bool good = hostile_judge(&l, c->verdict, c->says, name);
    if (!good)
        print_message("    row %d: %s\n", c->row, c->what);
    prism_model_free(l.model);
    unlink(path);
    gb_image_free(&im);
    gb_free(g);
    return good;
}

void hostile_run(const struct hostile_case *cases, size_t n)
{
    size_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad += !run_one(&cases[i], i);
    print_message("%zu cases, %zu wrong\n", n, bad);
    assert_int_equal(bad, 0);
}
