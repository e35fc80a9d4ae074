/* templates.c - see templates.h. */
#include "src/chat/templates.h"

#include <stdlib.h>
#include <string.h>

#include "src/chat/chat.h"
#include "src/model/model.h"

static const char prefix[] = "tokenizer.chat_template";

/* The name behind the prefix; false: another key. */
static bool is_template(const struct prism_gguf_kv *kv, struct prism_str *name)
{
    size_t n = sizeof prefix - 1;

    if (kv->type != PRISM_GV_STR || kv->key.n < n || memcmp(kv->key.p, prefix, n) || (kv->key.n > n && (kv->key.p[n] != '.' || kv->key.n == n + 1)))
        return false;
    *name = kv->key.n == n ? (struct prism_str){ kv->key.p, 0 } : (struct prism_str){ kv->key.p + n + 1, kv->key.n - n - 1 };
    return true;
}

enum prism_status prism_chat_templates_load(const struct prism_gguf *g, struct prism_chat_template **out, struct prism_error *err)
{
    struct prism_str name;

    *out = NULL;
    for (uint64_t i = 0; i < g->n_kv; i++) {
        if (!is_template(&g->kv[i], &name))
            continue;
        struct prism_str s = g->kv[i].strings[0];
        if (s.n > PRISM_CHAT_MAX_TEMPLATE || memchr(s.p, 0, s.n)) {
            prism_warn(&g->log, "%s: key %s%s%.*s: expected at most %zu bytes without a NUL, ignored", g->path, prefix, name.n ? "." : "",
                       (int)(name.n < 64 ? name.n : 64), name.p, PRISM_CHAT_MAX_TEMPLATE);
            continue;
        }
        struct prism_chat_template *t = *out = malloc(sizeof *t + s.n + 1);
        if (!t)
            return prism_fail(err, PRISM_E_NOMEM, "%s: key %s: out of memory", g->path, prefix);
        *t = (struct prism_chat_template){ .name = name };
        memcpy(t->text, s.p, s.n);
        t->text[s.n] = 0;
        out = &t->next;
    }
    return PRISM_OK;
}

void prism_chat_templates_free(struct prism_chat_template *list)
{
    while (list) {
        struct prism_chat_template *next = list->next;
        free(list);
        list = next;
    }
}

/* Keys are written with "_" for what is neither letter nor digit. */
static bool same_name(struct prism_str stored, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n && i < stored.n; i++) {
        char ch = name[i];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (stored.p[i] != ch && (plain || stored.p[i] != '_'))
            return false;
    }
    return n == stored.n;
}

const char *prism_model_chat_template(const prism_model *model, const char *name)
{
    const struct prism_chat_template *t = model ? model->chat_templates : NULL;

    while (t && (name && *name ? !t->name.n || !same_name(t->name, name) : t->name.n != 0))
        t = t->next;
    return t ? t->text : NULL;
}
