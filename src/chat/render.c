/* render.c - the variables that a template sees, and its text as the result. */
#include <stdlib.h>
#include <string.h>

#include "src/chat/internal.h"

/* Limits in proportion to what is given; memory is never reused while a template runs. */
#define BASE_MEMORY ((size_t)64 << 20)
#define BASE_STEPS UINT64_C(4000000)
#define BASE_OUTPUT ((size_t)1 << 20)

static bool set(struct chat *c, const char *name, struct chat_value v)
{
    struct chat_value text;

    return chat_text(c, name, strlen(name), &text) && chat_assign(c, c->globals, text.s, v);
}

static bool set_text(struct chat *c, const char *name, const char *p, size_t n)
{
    struct chat_value v;

    return chat_text(c, p ? p : "", n, &v) && set(c, name, v);
}

static bool put(struct chat *c, struct chat_dict *d, const char *key, const char *p, size_t n, bool user)
{
    struct chat_value k, v;
    struct chat_string *s = chat_alloc(c, 1, sizeof *s);

    if (!s || !chat_text(c, key, strlen(key), &k))
        return false;
    *s = (struct chat_string){ .p = p ? p : "", .n = n, .user = user };
    v = (struct chat_value){ .type = CHAT_STRING, .s = s };
    return chat_dict_set(c, d, k, v);
}

static bool set_messages(struct chat *c, const struct prism_chat_input *in)
{
    struct chat_list *list;
    struct chat_value v;

    if (!chat_new_list(c, in->n_messages, false, &list, &v))
        return false;
    for (size_t i = 0; i < list->n; i++) {
        const struct prism_message *m = &in->messages[i];
        if (!chat_new_dict(c, CHAT_DICT, &list->v[i]) || !put(c, list->v[i].dict, "role", m->role, strlen(m->role), false) ||
            !put(c, list->v[i].dict, "content", m->content, m->n_content, strcmp(m->role, "assistant") != 0))
            return false;
    }
    return set(c, "messages", v);
}

static bool prepare(struct chat *c, const struct prism_chat_input *in)
{
    if (!(c->globals = chat_alloc(c, 1, sizeof *c->globals)) || !chat_add_globals(c) || !set_messages(c, in))
        return false;
    return set_text(c, "bos_token", in->bos, in->n_bos) && set_text(c, "eos_token", in->eos, in->n_eos) &&
           set(c, "add_generation_prompt", chat_bool(in->generation_prompt)) &&
           (in->thinking < 0 || set(c, "enable_thinking", chat_bool(in->thinking != 0)));
}

static bool run(struct chat *c, const struct prism_chat_input *in)
{
    struct chat_token *tokens;
    struct chat_node *list = NULL;

    c->line = 1;
    if (in->n_text > PRISM_CHAT_MAX_TEMPLATE)
        return chat_fail(c, PRISM_E_UNSUPPORTED, "expected a template of at most %zu bytes, found %zu", PRISM_CHAT_MAX_TEMPLATE, in->n_text);
    if (!prepare(c, in) || !chat_lex(c, in->text, in->n_text, &tokens) || !chat_parse(c, tokens, &list))
        return false;
    c->depth = 0;
    return chat_exec(c, c->globals, list) != CHAT_FAILED;
}

/* Out of the arena. */
static bool take(struct chat *c, const struct chat_builder *b, struct prism_chat_text *out)
{
    out->p = malloc(b->n + 1);
    out->user = malloc((b->n + 1) * sizeof *out->user);
    if (!out->p || !out->user) {
        prism_chat_text_free(out);
        return chat_fail(c, PRISM_E_NOMEM, "no memory for %zu bytes of text", b->n);
    }
    if (b->n)
        memcpy(out->p, b->p, b->n);
    if (b->n && b->mark)
        memcpy(out->user, b->mark, b->n * sizeof *out->user);
    else
        memset(out->user, b->user, b->n * sizeof *out->user);
    out->p[b->n] = 0;
    out->n = b->n;
    return true;
}

enum prism_status prism_chat_run(const struct prism_chat_input *in, struct prism_chat_text *out, struct prism_error *err)
{
    struct chat_builder text = { 0 };
    struct chat c = { .err = err, .now = in->now, .out = &text };
    size_t input = in->n_text < PRISM_CHAT_MAX_TEMPLATE ? in->n_text : PRISM_CHAT_MAX_TEMPLATE;

    *out = (struct prism_chat_text){ 0 };
    for (size_t i = 0; i < in->n_messages; i++) {
        size_t n = in->messages[i].n_content + strlen(in->messages[i].role) + 64;
        input = input < SIZE_MAX / 128 - n && n < SIZE_MAX / 128 ? input + n : SIZE_MAX / 128;
    }
    c.max_memory = BASE_MEMORY + 32 * input;
    c.max_steps = BASE_STEPS + 64 * (uint64_t)input;
    text.limit = BASE_OUTPUT + 4 * input;
    if (run(&c, in))
        take(&c, &text, out);
    chat_free(&c);
    return c.status;
}

void prism_chat_text_free(struct prism_chat_text *t)
{
    free(t->p);
    free(t->user);
    *t = (struct prism_chat_text){ 0 };
}
