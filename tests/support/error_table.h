/* error_table.h - a table of what the functions of prism.h return, held against what they do and what their docstrings say. */
#ifndef PRISM_TESTS_ERROR_TABLE_H
#define PRISM_TESTS_ERROR_TABLE_H

#include "prism/prism.h"

struct error_row {
    const char *function;
    enum prism_status status;                     /* that the call returns; PRISM_OK: succeeds */
    enum prism_status (*call)(struct prism_error *err); /* NULL: documented, and cannot be provoked from here */
};

/* What a call returns instead when this host cannot provoke its status. */
#define ERROR_ROW_DOES_NOT_APPLY ((enum prism_status)-1)

/* Each call with an err that holds anything, and without: the status, the same in err, one line of text exactly after a failure. */
void error_table_run(const struct error_row *rows, size_t n);

/* Calls after one another with the same err: what one left does not reach into the next. */
void error_table_mix(const struct error_row *rows, size_t n);

/* The errors that a function's comment in prism.h lists behind "Errors:" are those of its rows. Returns how many functions were compared. */
size_t error_table_documented(const struct error_row *rows, size_t n);

/* How many functions of prism.h return a status. */
size_t error_table_functions(void);

#endif
