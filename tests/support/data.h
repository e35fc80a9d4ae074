/* data.h - where test data lies. Tests run from the root of the repository. */
#ifndef PRISM_TESTS_DATA_H
#define PRISM_TESTS_DATA_H

#include <stddef.h>

/* "../shared/<rel>" where that exists; else the running test is skipped, with the reason printed: "skipped: ../shared/<rel> is absent".
 * The result is valid until the call after the next. */
const char *test_shared(const char *rel);

/* Whole file into malloc'ed memory, terminated by a NUL that is not counted; fails the test when it can't be read. */
char *test_read_file(const char *path, size_t *n);

/* A fresh directory under $TMPDIR or /tmp, removed at exit. Same directory on each call. */
const char *test_tmp_dir(void);

#endif
