/* lexer.h - what the two halves of the lexer share: lexer.c and lex_item.c. */
#ifndef PRISM_CHAT_LEXER_H
#define PRISM_CHAT_LEXER_H

#include "src/chat/internal.h"

struct lexer {
    struct chat *c;
    const char *p;
    size_t at, n;
    struct chat_token *tokens;
    size_t n_tokens, cap;
    uint32_t line;
    bool line_start; /* what was last read ends with a newline */
};

/* A token more; NULL after a failure. */
struct chat_token *chat_lex_emit(struct lexer *l, enum chat_token_kind kind);

/* Moves on, counting lines. */
void chat_lex_advance(struct lexer *l, size_t n);

/* Whether this text is next. */
bool chat_lex_starts(const struct lexer *l, const char *text);

/* One token inside a tag, at which there is neither white space nor the end. *brackets: how many are open. */
bool chat_lex_item(struct lexer *l, unsigned *brackets);

#endif
