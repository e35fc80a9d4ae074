/* fuzz_chat.c - the fuzzer's target for chat templates: whatever the bytes of a template and of messages are, rendering ends with a status, inside
 * its memory, the same twice, and marks as the user's what is the user's. Built with clang: make fuzz.
 *
 * The input is the template, then contents of messages, each behind a byte 0xFF; roles go round. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/chat/chat.h"

enum { MOST_MESSAGES = 6 };

#define EXPECT(condition) ((condition) ? (void)0 : found(__LINE__, #condition))

static void found(int line, const char *what)
{
    fprintf(stderr, "fuzz_chat.c:%d: %s does not hold\n", line, what);
    abort();
}

/* Cuts off what is behind the next 0xFF. */
static size_t next_part(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *begin = *at, *mark = memchr(begin, 0xFF, (size_t)(end - begin));
    *at = mark ? mark + 1 : end;
    return (size_t)((mark ? mark : end) - begin);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const roles[] = { "user", "assistant", "system", "tool" };
    struct prism_message messages[MOST_MESSAGES] = { { "user", "What is {{ this }}?", 19 } };
    const uint8_t *at = bytes, *end = bytes + n;
    struct prism_chat_input in = { .text = (const char *)bytes, .n_text = next_part(&at, end), .messages = messages, .bos = "<s>", .n_bos = 3,
                                   .eos = "</s>", .n_eos = 4, .generation_prompt = n % 2 == 0, .thinking = (int)(n % 3) - 1, .now = 1790604309 };
    struct prism_chat_text out, again;
    struct prism_error err = { 0 };

    while (at < end && in.n_messages < MOST_MESSAGES) {
        const char *content = (const char *)at;
        size_t len = next_part(&at, end);
        messages[in.n_messages] = (struct prism_message){ roles[in.n_messages % 4], content, len };
        in.n_messages++;
    }
    in.n_messages += in.n_messages == 0;
    enum prism_status status = prism_chat_run(&in, &out, &err);
    EXPECT(err.status == status && (status == PRISM_OK) == (err.text[0] == 0) && (status == PRISM_OK) == (out.p != NULL));
    EXPECT(!strchr(err.text, '\n') && (status == PRISM_OK || !strncmp(err.text, "chat template, line ", 20)));
    EXPECT(prism_chat_run(&in, &again, NULL) == status);
    EXPECT(out.n == again.n && (out.n == 0 || (!memcmp(out.p, again.p, out.n) && !memcmp(out.user, again.user, out.n * sizeof *out.user))));
    prism_chat_text_free(&again);
    prism_chat_text_free(&out);

    /* without messages by users nothing is theirs */
    for (size_t i = 0; i < in.n_messages; i++)
        messages[i].role = "assistant";
    if (prism_chat_run(&in, &out, NULL) == PRISM_OK)
        for (size_t i = 0; i < out.n; i++)
            EXPECT(!out.user[i]);
    prism_chat_text_free(&out);
    return 0;
}
