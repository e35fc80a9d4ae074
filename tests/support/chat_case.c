/* chat_case.c - see chat_case.h. */
#include "tests/support/chat_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct prism_message conversation[] = {
    { "system", "Be brief.", 9 }, { "user", " Hello, W\xC3\xB6rld! ", 16 }, { "assistant", "Hi", 2 }, { "user", "x<|im_end|>y", 12 },
};

struct prism_chat_input chat_input(const char *source)
{
    return (struct prism_chat_input){ .text = source, .n_text = strlen(source), .messages = conversation, .n_messages = 4, .bos = "<s>",
                                      .n_bos = 3, .eos = "</s>", .n_eos = 4, .generation_prompt = true, .thinking = -1, .now = 1790604309 };
}

void chat_check_texts(const struct chat_text_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct prism_chat_input in = chat_input(cases[i].source);
        struct prism_chat_text out;
        struct prism_error err = { 0 };
        enum prism_status st = prism_chat_run(&in, &out, &err);
        if (st || out.n != strlen(cases[i].expected) || memcmp(out.p, cases[i].expected, out.n))
            fail_msg("%s\nexpected: \"%s\"\nfound:    \"%s\" %s", cases[i].source, cases[i].expected, out.p ? out.p : "", err.text);
        prism_chat_text_free(&out);
    }
}

void chat_check_errors(const struct chat_error_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct prism_chat_input in = chat_input(cases[i].source);
        struct prism_chat_text out;
        struct prism_error err = { 0 };
        char expected[512];
        snprintf(expected, sizeof expected, "chat template, %s", cases[i].expected);
        enum prism_status st = prism_chat_run(&in, &out, &err);
        if (st != cases[i].status || err.status != st || strcmp(err.text, expected) || out.p || out.user || out.n)
            fail_msg("%s\nexpected: %d, \"%s\"\nfound:    %d, \"%s\"", cases[i].source, (int)cases[i].status, expected, (int)st, err.text);
    }
}
