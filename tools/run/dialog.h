/* dialog.h - the messages of a conversation and what a chat template makes of them.
 *
 * Messages and their texts belong to the dialog. Functions that return int: PROCESS_OK, else after one line. */
#ifndef PRISM_TOOLS_DIALOG_H
#define PRISM_TOOLS_DIALOG_H

#include "prism/prism.h"
#include "tools/common/text.h"

/* What the flags ask for. */
struct dialog_options {
    const char *template_text, *template_file; /* NULL: not given */
    const char *system, *system_file;          /* likewise */
    bool escapes_text, escapes_file;           /* \n and its like are expanded there */
    int reasoning;                             /* enum prism_thinking */
    bool raw;                                  /* -no-cnv */
};

struct dialog {
    const prism_model *model;
    bool chat;                      /* there is a template, and -no-cnv is absent */
    struct prism_chat_params params;
    struct text template_text;      /* of --chat-template-file */
    struct prism_message *messages; /* system first, when there is one */
    size_t n, cap, n_system;
};

/* Chat is on when there is a template, of the flags or of the model, and -no-cnv is absent. Without a template flags that need one are
 * refused. */
int dialog_open(struct dialog *d, const struct dialog_options *o, const prism_model *model);
/* On stderr: that this is a chat, in one line, and a warning where --reasoning off does nothing. */
void dialog_announce(const struct dialog *d, const struct dialog_options *o);
void dialog_close(struct dialog *d);

int dialog_add(struct dialog *d, const char *role, const char *text, size_t len);
void dialog_cut(struct dialog *d, size_t n); /* keeps the first n messages */

/* The messages as tokens, with the beginning of an answer; malloc'ed. */
int dialog_tokens(const struct dialog *d, int32_t **tokens, size_t *n);

#endif
