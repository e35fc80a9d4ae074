/* chat_tool.h - what prism-run as a chat is tested with: tiny random models, of which what is said is compared with what is said when asked in another way. */
#ifndef PRISM_TESTS_CHAT_TOOL_H
#define PRISM_TESTS_CHAT_TOOL_H

#include "tests/support/tool_check.h"

/* The group's set-up writes two files, one with this template and one without any. */
extern const char chat_turns[];
extern char chat_model[512], raw_model[512];
int chat_models(void **state);

/* Everything but the model, so that answers can be told apart. */
#define ASK(child, ...) ASK_RAW(child, chat_model, __VA_ARGS__)
#define ASK_RAW(child, path, ...) RUN(child, "prism-run", "-m", path, "-n", "8", "--temp", "0", "-t", "1", "--ignore-eos", __VA_ARGS__)

#endif
