/* public.c - prism_chat_render and prism_chat_tokenize: arguments checked, the template found, its text handed out or tokenized. */
#include <string.h>
#include <time.h>

#include "src/chat/chat.h"
#include "src/model/model.h"
#include "src/text/vocab.h"

#define MAX_TEXT ((size_t)1 << 30)

/* The form that models without one of their own are most often trained on (OpenAI 2023); llama.cpp takes the same word for it. */
static const char chatml[] = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static enum prism_status check_messages(const struct prism_message *messages, size_t n, struct prism_error *err)
{
    size_t total = 0;

    if (!messages || !n)
        return prism_fail(err, PRISM_E_ARG, "chat: expected at least one message");
    for (size_t i = 0; i < n; i++) {
        const struct prism_message *m = &messages[i];
        if (!m->role || (!m->content && m->n_content))
            return prism_fail(err, PRISM_E_ARG, "chat: message %zu: %s is NULL", i, m->role ? "content" : "role");
        size_t bytes = strnlen(m->role, MAX_TEXT + 1);
        if (m->n_content > MAX_TEXT - total || bytes > MAX_TEXT - total - m->n_content)
            return prism_fail(err, PRISM_E_ARG, "chat: expected messages of at most %zu bytes in all", MAX_TEXT);
        total += m->n_content + bytes;
    }
    return PRISM_OK;
}

static enum prism_status find_template(const prism_model *model, const struct prism_chat_params *p, struct prism_chat_input *in, struct prism_error *err)
{
    in->text = p->template_text ? p->template_text : prism_model_chat_template(model, NULL);
    if (!in->text)
        return prism_fail(err, PRISM_E_UNSUPPORTED, "chat: %s has no chat template (tokenizer.chat_template)", model->gguf->path);
    if (!strcmp(in->text, "chatml"))
        in->text = chatml;
    in->n_text = strnlen(in->text, PRISM_CHAT_MAX_TEMPLATE + 1);
    return PRISM_OK;
}

/* Everything that both functions have in common. */
static enum prism_status render(const prism_model *model, const struct prism_message *messages, size_t n_messages,
                                const struct prism_chat_params *params, struct prism_chat_text *out, struct prism_error *err)
{
    static const struct prism_chat_params defaults;
    const struct prism_chat_params *p = params ? params : &defaults;
    struct prism_chat_input in = { .messages = messages, .n_messages = n_messages, .generation_prompt = !p->no_generation_prompt };
    struct prism_str bos, eos;

    if (!model)
        return prism_fail(err, PRISM_E_ARG, "chat: the model is NULL");
    if ((unsigned)p->thinking > PRISM_THINKING_OFF)
        return prism_fail(err, PRISM_E_ARG, "chat: expected a value of enum prism_thinking, found %d", (int)p->thinking);
    enum prism_status st = check_messages(messages, n_messages, err);
    if (st || (st = find_template(model, p, &in, err)))
        return st;
    bos = prism_vocab_bos_text(model->vocab);
    eos = prism_vocab_eos_text(model->vocab);
    in.bos = bos.p, in.n_bos = bos.n;
    in.eos = eos.p, in.n_eos = eos.n;
    in.thinking = p->thinking == PRISM_THINKING_DEFAULT ? -1 : p->thinking == PRISM_THINKING_ON;
    in.now = p->now ? p->now : (int64_t)time(NULL);
    return prism_chat_run(&in, out, err);
}

enum prism_status prism_chat_render(const prism_model *model, const struct prism_message *messages, size_t n_messages,
                                    const struct prism_chat_params *params, char *out, size_t cap, size_t *n, struct prism_error *err)
{
    struct prism_chat_text text = { 0 };

    prism_error_clear(err);
    if (!n)
        return prism_fail(err, PRISM_E_ARG, "chat: there is nowhere to put the length (NULL)");
    *n = 0;
    if (!out && cap)
        return prism_fail(err, PRISM_E_ARG, "chat: there is nowhere to put the text (NULL)");
    enum prism_status st = render(model, messages, n_messages, params, &text, err);
    if (st)
        return st;
    if (cap && text.n)
        memcpy(out, text.p, cap < text.n ? cap : text.n);
    *n = text.n;
    prism_chat_text_free(&text);
    return PRISM_OK;
}

enum prism_status prism_chat_tokenize(const prism_model *model, const struct prism_message *messages, size_t n_messages,
                                      const struct prism_chat_params *params, int32_t *tokens, size_t cap, size_t *n, struct prism_error *err)
{
    struct prism_chat_text text = { 0 };

    prism_error_clear(err);
    if (!n)
        return prism_fail(err, PRISM_E_ARG, "chat: there is nowhere to put the count (NULL)");
    *n = 0;
    if (!tokens && cap)
        return prism_fail(err, PRISM_E_ARG, "chat: there is nowhere to put the tokens (NULL)");
    enum prism_status st = render(model, messages, n_messages, params, &text, err);
    if (!st)
        st = prism_vocab_encode_chat(model->vocab, text.p, text.user, text.n, tokens, cap, n, err);
    prism_chat_text_free(&text);
    return st;
}
