/* prism-run as a chat: the prompt becomes a message where there is a template, documents and questions, stop texts, and what --info tells.
 * Conversations on a terminal: test_conversation.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/chat_tool.h"
#include "tests/support/gguf_build.h"
#include "tests/support/tool_check.h"

static const char announced[] = "chat      with the template of the model; -no-cnv continues the raw text\n";

static void same_answer(struct child *a, struct child *b)
{
    assert_worked(a);
    assert_worked(b);
    if (a->n_out != b->n_out || memcmp(a->out, b->out, a->n_out) != 0)
        fail_msg("\"%s\"\nand \"%s\"", a->out, b->out);
    child_free(a);
    child_free(b);
}

static void other_answer(struct child *a, struct child *b)
{
    assert_worked(a);
    assert_worked(b);
    assert_string_not_equal(a->out, b->out);
    child_free(a);
    child_free(b);
}

/* ---- chat or not ---- */

static void the_template_makes_the_prompt(void **state)
{
    struct child chat, raw;

    (void)state;
    ASK(&chat, "-p", "Hello");
    assert_non_null(strstr(chat.err, announced));
    assert_int_equal(child_error_lines(&chat), 1 + 4); /* and the summary */
    ASK_RAW(&raw, raw_model, "-p", "[user]Hello\\n[assistant]");
    assert_null(strstr(raw.err, "chat"));
    same_answer(&chat, &raw);
    ASK(&chat, "-p", "Hello", "-no-cnv");
    assert_null(strstr(chat.err, "chat"));
    ASK_RAW(&raw, raw_model, "-p", "Hello");
    same_answer(&chat, &raw);
    ASK(&chat, "-p", "Hello");
    ASK(&raw, "-p", "Hello", "-no-cnv");
    other_answer(&chat, &raw);
    child_run(&chat, (const char *const[]){ "prism-run", "-m", chat_model, "-n", "8", "--temp", "0", "-t", "1", "--ignore-eos", NULL }, "Hello\n", 6);
    ASK(&raw, "-p", "Hello");
    same_answer(&chat, &raw);
}

static void system_messages(void **state)
{
    struct child a, b;
    const char *file = gb_write_bytes("system.txt", "Be\nbrief\n", 9);

    (void)state;
    ASK(&a, "-p", "Hello", "-sys", "Be\\nbrief");
    ASK_RAW(&b, raw_model, "-p", "[system]Be\\nbrief\\n[user]Hello\\n[assistant]");
    same_answer(&a, &b);
    ASK(&a, "-p", "Hello", "-sysf", file);
    ASK(&b, "-p", "Hello", "-sys", "Be\\nbrief");
    same_answer(&a, &b);
}

static void templates_of_the_flags(void **state)
{
    struct child a, b;
    const char *file = gb_write_bytes("t.jinja", "<{{ messages[0].content }}>\n", 28);

    (void)state;
    ASK_RAW(&a, raw_model, "-p", "Hello", "--chat-template", "<{{ messages[0].content }}>");
    assert_non_null(strstr(a.err, "chat      with the template of --chat-template; -no-cnv"));
    ASK_RAW(&b, raw_model, "-p", "<Hello>");
    same_answer(&a, &b);
    ASK(&a, "-p", "Hello", "--chat-template-file", file);
    assert_non_null(strstr(a.err, "chat      with the template of --chat-template-file; -no-cnv"));
    ASK_RAW(&b, raw_model, "-p", "<Hello>");
    same_answer(&a, &b);
    ASK(&a, "-p", "Hello", "--chat-template", "chatml");
    ASK_RAW(&b, raw_model, "-p", "<|im_start|>user\\nHello<|im_end|>\\n<|im_start|>assistant\\n");
    same_answer(&a, &b);
}

static void thinking(void **state)
{
    static const char *const words[] = { "on", "off" }, *const values[] = { "True", "False" };
    struct child a, b;
    char prompt[128];

    (void)state;
    for (int i = 0; i < 2; i++) {
        ASK(&a, "-p", "Hello", "--reasoning", words[i]);
        assert_null(strstr(a.err, "warning"));
        snprintf(prompt, sizeof prompt, "[user]Hello\\n[assistant]think%s", values[i]);
        ASK_RAW(&b, raw_model, "-p", prompt);
        same_answer(&a, &b);
    }
    ASK(&a, "-p", "Hello", "--reasoning", "auto");
    ASK(&b, "-p", "Hello");
    same_answer(&a, &b);
    ASK(&a, "-p", "Hello", "--reasoning", "off", "--chat-template", "chatml");
    assert_worked(&a);
    assert_non_null(strstr(a.err, "prism-run: warning: --reasoning off: the chat template takes no notice of it\n"));
    child_free(&a);
}

/* ---- documents and questions ---- */

static void a_document_and_a_question(void **state)
{
    struct child a, b;
    const char *file = gb_write_bytes("doc.txt", "One line.\nTwo \\n lines.\n", 23), *open = gb_write_bytes("open.txt", "One line.\n\n", 11);

    (void)state;
    ASK(&a, "-f", file, "-p", "What?");
    ASK(&b, "--no-escape", "-p", "One line.\nTwo \\n lines.\n\nWhat?");
    same_answer(&a, &b);
    ASK(&a, "-f", file, "-p", "What?", "-no-cnv");
    ASK_RAW(&b, raw_model, "--no-escape", "-p", "One line.\nTwo \\n lines.\n\nWhat?");
    same_answer(&a, &b);
    ASK(&a, "-f", open, "-p", "What?");
    ASK(&b, "-p", "One line.\\n\\nWhat?");
    same_answer(&a, &b);
    ASK(&a, "-bf", open, "-p", "What?");
    ASK(&b, "-p", "One line.\\n\\n\\nWhat?");
    same_answer(&a, &b);
}

static void several_questions(void **state)
{
    static const char *const questions[] = { "What is it?", "Who was that?", "Why?" };
    struct child all, one;
    char joined[4096] = "";
    char document[9 * 57 + 1] = ""; /* longer than a few blocks */
    for (int i = 0; i < 9; i++)
        strcat(document, "A document of some length, that all questions are about.\n");
    const char *file = gb_write_bytes("doc.txt", document, strlen(document));

    (void)state;
    for (int i = 0; i < 3; i++) {
        ASK(&one, "-f", file, "-p", questions[i]);
        assert_worked(&one);
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", i ? "\n" : "", one.out);
        child_free(&one);
    }
    ASK(&all, "-f", file, "-p", questions[0], "-p", questions[1], "-p", questions[2]);
    assert_worked(&all);
    assert_string_equal(all.out, joined);
    size_t reused, total, answers = 0;
    for (const char *at = all.err; (at = strstr(at, "answer    ")); at++, answers++) {
        assert_int_equal(sscanf(at, "answer    %zu of %zu tokens were in the context", &reused, &total), 2);
        if (answers ? 2 * reused < total || reused >= total : reused != 0)
            fail_msg("answer %zu: %zu of %zu tokens reused", answers, reused, total);
    }
    assert_int_equal(answers, 3);
    child_free(&all);
}

/* ---- ends of answers ---- */

#define LONG_ANSWER "-n", "480", "--temp", "1", "-s", "3", "-t", "1", "--ignore-eos", "-p", "Hello"

static bool is_letter(char c) { return c > ' ' && c < 0x7f; }

/* A random model's text has bytes of all kinds: the stop text is cut out of what it says without one. */
static void stop_texts(void **state)
{
    struct child free_answer, stopped;
    char stop[8] = "", expected[4096];

    (void)state;
    RUN(&free_answer, "prism-run", "-m", chat_model, LONG_ANSWER);
    assert_worked(&free_answer);
    size_t at = 0;
    for (const char *p = free_answer.out + 4; p[1] && p[2] && !*stop; p++) /* three letters, of several tokens, first seen there */
        if (is_letter(p[0]) && is_letter(p[1]) && is_letter(p[2])) {
            snprintf(stop, sizeof stop, "%.3s", p);
            at = (size_t)(strstr(free_answer.out, stop) - free_answer.out);
        }
    if (!*stop)
        fail_msg("no three letters in \"%s\"", free_answer.out);
    snprintf(expected, sizeof expected, "%.*s\n", (int)at, free_answer.out);
    RUN(&stopped, "prism-run", "-m", chat_model, LONG_ANSWER, "-r", "never said", "-r", stop);
    assert_worked(&stopped);
    if (strcmp(stopped.out, expected))
        fail_msg("-r \"%s\" of \"%s\": \"%s\"", stop, free_answer.out, stopped.out);
    child_free(&stopped);
    RUN(&stopped, "prism-run", "-m", chat_model, LONG_ANSWER, "-r", stop, "--json");
    assert_worked(&stopped);
    assert_json(stopped.out);
    assert_non_null(strstr(stopped.out, "\"stop\": \"stop text\""));
    assert_non_null(strstr(stopped.out, "\"chat\": true"));
    child_free(&stopped);
    RUN(&stopped, "prism-run", "-m", chat_model, LONG_ANSWER, "-r", "never said");
    same_answer(&stopped, &free_answer); /* what was held back is printed in the end */
}

/* ---- facts ---- */

static void info_names_the_template(void **state)
{
    struct child c;
    char expected[128];

    (void)state;
    RUN(&c, "prism-run", "-m", chat_model, "--info");
    assert_worked(&c);
    snprintf(expected, sizeof expected, "  chat template      tokenizer.chat_template, %zu bytes, further ones: [\"tool?use\", \"rag\"]\n", strlen(chat_turns));
    if (!strstr(c.out, expected))
        fail_msg("%s", c.out);
    child_free(&c);
    RUN(&c, "prism-run", "-m", raw_model, "--info");
    assert_worked(&c);
    assert_non_null(strstr(c.out, "  chat template      none\n"));
    child_free(&c);
    RUN(&c, "prism-run", "-m", chat_model, "--info", "--json");
    assert_worked(&c);
    assert_json(c.out);
    assert_non_null(strstr(c.out, "\"chat_template\": \"{% for m in messages %}"));
    child_free(&c);
}

/* ---- no terminal ---- */

/* Standard input is a pipe that nobody closes: nothing is read from it. */
static void no_terminal_no_waiting(void **state)
{
    struct child a, b;

    (void)state;
    ASK(&a, "-p", "Hello", "-cnv");
    ASK(&b, "-p", "Hello");
    same_answer(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_makes_the_prompt),
        cmocka_unit_test(system_messages),
        cmocka_unit_test(templates_of_the_flags),
        cmocka_unit_test(thinking),
        cmocka_unit_test(a_document_and_a_question),
        cmocka_unit_test(several_questions),
        cmocka_unit_test(stop_texts),
        cmocka_unit_test(info_names_the_template),
        cmocka_unit_test(no_terminal_no_waiting),
    };
    return cmocka_run_group_tests(tests, chat_models, NULL);
}
