/* line.h - reading lines from a terminal, with editing and a history (libedit). */
#ifndef PRISM_TOOLS_LINE_H
#define PRISM_TOOLS_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct line_editor;

/* NULL when standard input is no terminal or there is no memory. What is edited appears on stderr. */
struct line_editor *line_open(void);
void line_close(struct line_editor *e); /* NULL allowed; the terminal is as before */

enum line_result { LINE_TEXT, LINE_INTERRUPT, LINE_END };
/* One line without its newline, valid until the next call; a Ctrl-C drops what was typed. */
enum line_result line_read(struct line_editor *e, const char **text, size_t *len);

#endif
