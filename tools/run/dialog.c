/* dialog.c - see dialog.h. */
#include "tools/run/dialog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/common/engine.h"
#include "tools/common/process.h"

/* Seconds since 1970 on this place's clocks. */
static int64_t local_now(void)
{
    time_t t = time(NULL);
    struct tm here;

    return localtime_r(&t, &here) ? (int64_t)t + here.tm_gmtoff : (int64_t)t;
}

static int choose_template(struct dialog *d, const struct dialog_options *o)
{
    if (o->template_text && o->template_file)
        return process_error("--chat-template and --chat-template-file: give one of them");
    d->params.template_text = o->template_text;
    if (o->template_text && strcmp(o->template_text, "chatml") && !strchr(o->template_text, '{'))
        return process_error("--chat-template %s: expected chatml, or the text of a template", o->template_text);
    if (!o->template_file)
        return PROCESS_OK;
    int status = text_read(o->template_file, true, &d->template_text);
    if (status != PROCESS_OK)
        return status;
    if (memchr(d->template_text.bytes ? d->template_text.bytes : "", 0, d->template_text.len))
        return process_error("%s: a template holds no NUL", o->template_file);
    char *terminated = realloc(d->template_text.bytes, d->template_text.len + 1);
    if (!terminated)
        return process_error("out of memory");
    terminated[d->template_text.len] = 0;
    d->template_text.bytes = terminated;
    d->params.template_text = terminated;
    return PROCESS_OK;
}

static int add_system(struct dialog *d, const struct dialog_options *o)
{
    struct text t = { 0 };
    int status = PROCESS_OK;

    if (o->system && o->system_file)
        return process_error("-sys and -sysf: give one of them");
    if (!o->system && !o->system_file)
        return PROCESS_OK;
    status = o->system ? text_copy(o->system, &t) : text_read(o->system_file, false, &t);
    if (status == PROCESS_OK && (o->system ? o->escapes_text : o->escapes_file))
        text_unescape(&t);
    if (status == PROCESS_OK)
        status = dialog_add(d, "system", t.bytes, t.len);
    free(t.bytes);
    d->n_system = d->n;
    return status;
}

/* The flag that needs a template; NULL: none was given. */
static const char *needs_template(const struct dialog_options *o)
{
    return o->system ? "-sys" : o->system_file ? "-sysf" : o->reasoning ? "--reasoning" : NULL;
}

/* A template that does not look at enable_thinking makes the same text with it and without. */
static bool ignores_thinking(const struct dialog *d)
{
    static const struct prism_message hello = { "user", "Hello", 5 };
    struct prism_chat_params other = d->params;
    char text[2][1 << 14];
    size_t n[2];

    other.thinking = PRISM_THINKING_DEFAULT;
    if (prism_chat_render(d->model, &hello, 1, &d->params, text[0], sizeof text[0], &n[0], NULL) != PRISM_OK ||
        prism_chat_render(d->model, &hello, 1, &other, text[1], sizeof text[1], &n[1], NULL) != PRISM_OK)
        return false;
    return n[0] == n[1] && !memcmp(text[0], text[1], n[0] < sizeof text[0] ? n[0] : sizeof text[0]);
}

int dialog_open(struct dialog *d, const struct dialog_options *o, const prism_model *model)
{
    *d = (struct dialog){ .model = model, .params = { .thinking = (enum prism_thinking)o->reasoning } };
    if (o->raw)
        return needs_template(o) ? process_error("%s needs a chat template, and -no-cnv is there", needs_template(o)) : PROCESS_OK;
    int status = choose_template(d, o);
    if (status != PROCESS_OK)
        return status;
    const char *of_model = prism_model_chat_template(model, NULL);
    d->chat = d->params.template_text || of_model;
    if (!d->chat)
        return needs_template(o) ? process_error("%s: the model has no chat template; --chat-template chatml, or the text of another, sets one",
                                                 needs_template(o))
                                 : PROCESS_OK;
    d->params.now = local_now();
    return add_system(d, o);
}

void dialog_announce(const struct dialog *d, const struct dialog_options *o)
{
    if (!d->chat)
        return;
    fprintf(stderr, "chat      with the template of %s; -no-cnv continues the raw text\n",
            o->template_file ? "--chat-template-file" : o->template_text ? "--chat-template" : "the model");
    if (o->reasoning == PRISM_THINKING_OFF && ignores_thinking(d))
        process_warning("--reasoning off: the chat template takes no notice of it");
}

void dialog_cut(struct dialog *d, size_t n)
{
    while (d->n > n)
        free((char *)d->messages[--d->n].content);
}

void dialog_close(struct dialog *d)
{
    dialog_cut(d, 0);
    free(d->messages);
    free(d->template_text.bytes);
}

int dialog_add(struct dialog *d, const char *role, const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 8;
        struct prism_message *wider = realloc(d->messages, cap * sizeof *wider);
        if (wider)
            d->messages = wider, d->cap = cap;
    }
    if (!copy || d->n == d->cap) {
        free(copy);
        return process_error("out of memory");
    }
    if (len)
        memcpy(copy, text, len);
    copy[len] = 0;
    d->messages[d->n++] = (struct prism_message){ role, copy, len };
    return PROCESS_OK;
}

int dialog_tokens(const struct dialog *d, int32_t **tokens, size_t *n)
{
    struct prism_error err = { 0 };
    size_t cap = 256; /* and one per byte: rarely exceeded */

    *tokens = NULL;
    for (size_t i = 0; i < d->n; i++)
        cap += d->messages[i].n_content + 16;
    int32_t *ids = malloc(cap * sizeof *ids);
    while (ids && prism_chat_tokenize(d->model, d->messages, d->n, &d->params, ids, cap, n, &err) == PRISM_OK) {
        if (*n <= cap) {
            *tokens = ids;
            return PROCESS_OK;
        }
        free(ids);
        cap = *n;
        ids = malloc(cap * sizeof *ids);
    }
    free(ids);
    return err.status != PRISM_OK ? engine_error(&err) : process_error("out of memory for the tokens");
}
