/* tool_check.h - running a tool in one line, and what every tool promises: a status, one line per error, valid JSON. */
#ifndef PRISM_TESTS_TOOL_CHECK_H
#define PRISM_TESTS_TOOL_CHECK_H

#include "tests/support/child.h"

/* The tool and its arguments, without standard input. */
#define RUN(child, ...) child_run(child, (const char *const[]){ __VA_ARGS__, NULL }, "", 0)

/* Exit status 0. */
void assert_worked(const struct child *c);

/* Exit status 1, nothing on stdout, and exactly one line on stderr, which has `text` in it. */
void assert_refused(const struct child *c, const char *text);

/* One JSON document (RFC 8259) and nothing else. */
void assert_json(const char *text);

#endif
