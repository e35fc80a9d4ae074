/* chat_tool.c - see chat_tool.h. */
#include "tests/support/chat_tool.h"

#include <stdio.h>

#include "tests/support/tiny_model.h"

const char chat_turns[] = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}{{ '[assistant]' if add_generation_prompt }}"
                            "{{ 'think' ~ enable_thinking if enable_thinking is defined }}";
char chat_model[512], raw_model[512];

int chat_models(void **state)
{
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);

    (void)state;
    snprintf(raw_model, sizeof raw_model, "%s", gb_write(g, "raw.gguf"));
    gb_str(g, "tokenizer.chat_template", chat_turns);
    gb_strings(g, "tokenizer.chat_templates", (const char *const[]){ "tool\033use", "rag" }, 2);
    snprintf(chat_model, sizeof chat_model, "%s", gb_write(g, "chat.gguf"));
    gb_free(g);
    return 0;
}
