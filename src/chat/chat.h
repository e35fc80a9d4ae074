/* chat.h - chat templates: a list of messages becomes the text that a model was trained on.
 *
 * Templates are written in a subset of Jinja 3.1 with the settings of Hugging Face's transformers (trim_blocks, lstrip_blocks, break and
 * continue, a pass-through `generation` block) and come from strangers' files: an interpreter in bounds of memory, steps, depth and output.
 * Language: jinja.palletsprojects.com/en/3.1.x/templates; what templates use of it was counted over 70 public ones. */
#ifndef PRISM_CHAT_CHAT_H
#define PRISM_CHAT_CHAT_H

#include "src/base/error.h"

#define PRISM_CHAT_MAX_TEMPLATE ((size_t)1 << 20) /* bytes; the longest known has 17 thousand */

struct prism_chat_input {
    const char *text;                     /* of the template */
    size_t n_text;
    const struct prism_message *messages; /* checked: no NULL */
    size_t n_messages;
    const char *bos, *eos;                /* texts of these tokens, may be empty */
    size_t n_bos, n_eos;
    bool generation_prompt;
    int thinking;                         /* -1: enable_thinking is undefined, 0, 1 */
    int64_t now;                          /* seconds of local time */
};

/* n bytes, each with its origin: true for what users wrote (the contents of messages whose role is not "assistant"). Both malloc'ed. */
struct prism_chat_text {
    char *p;
    bool *user;
    size_t n;
};

/* On failure *out is empty. Errors begin with "chat template, line N: ": PRISM_E_FORMAT (not a template, or one that trips over itself),
 * PRISM_E_UNSUPPORTED (a feature that is not here; a limit), PRISM_E_ARG (raise_exception: the template refuses the messages), PRISM_E_NOMEM. */
enum prism_status prism_chat_run(const struct prism_chat_input *in, struct prism_chat_text *out, struct prism_error *err);
void prism_chat_text_free(struct prism_chat_text *t);

#endif
