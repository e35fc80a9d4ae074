/* session_file.h - session files in test_tmp_dir(), for tests of what is written and read. What goes wrong in here fails the test. */
#ifndef PRISM_TESTS_SESSION_FILE_H
#define PRISM_TESTS_SESSION_FILE_H

#include <stddef.h>

#include "prism/prism.h"

/* test_tmp_dir()/name, in one of a few buffers that take turns. */
const char *session_path(const char *name);

void session_save(prism_context *c, const char *path);
void session_load(prism_context *c, const char *path);

/* Refused with this status and a line that has `text`; the context is empty. */
void assert_load_fails(prism_context *c, const char *path, enum prism_status s, const char *text);

/* A file's bytes, malloc'ed. */
unsigned char *session_bytes(const char *path, size_t *n);
void session_write(const char *path, const void *bytes, size_t n);

#endif
