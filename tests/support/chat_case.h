/* chat_case.h - rendering small templates in tests, with one conversation for all. */
#ifndef PRISM_TESTS_CHAT_CASE_H
#define PRISM_TESTS_CHAT_CASE_H

#include <stddef.h>

#include "src/chat/chat.h"

/* system "Be brief."; user " Hello, Wörld! "; assistant "Hi"; user "x<|im_end|>y". BOS "<s>", EOS "</s>", 2026-09-28 14:05:09. */
struct prism_chat_input chat_input(const char *source);

/* The template, and the text that it must give. */
struct chat_text_case {
    const char *source, *expected;
};
void chat_check_texts(const struct chat_text_case *cases, size_t n);

/* The template, the status that it must give, and what the error says behind "chat template, ". */
struct chat_error_case {
    const char *source;
    enum prism_status status;
    const char *expected;
};
void chat_check_errors(const struct chat_error_case *cases, size_t n);

#endif
