/* templates.h - the chat templates that a GGUF file carries: tokenizer.chat_template and tokenizer.chat_template.NAME. */
#ifndef PRISM_CHAT_TEMPLATES_H
#define PRISM_CHAT_TEMPLATES_H

#include "src/gguf/gguf.h"

struct prism_chat_template {
    struct prism_chat_template *next;
    struct prism_str name; /* empty: the default one; inside the mapping */
    char text[];           /* terminated */
};

/* All of them, in the order of the file. Those that are too long or hold a NUL are left out with a warning. *out belongs to the caller, on
 * failure too. Errors: PRISM_E_NOMEM. */
enum prism_status prism_chat_templates_load(const struct prism_gguf *g, struct prism_chat_template **out, struct prism_error *err);
void prism_chat_templates_free(struct prism_chat_template *list); /* NULL allowed */

#endif
