/* csv.h - reads what a tool printed as comma-separated values (RFC 4180). */
#ifndef PRISM_TESTS_CSV_H
#define PRISM_TESTS_CSV_H

#include <stddef.h>

enum { CSV_MAX_ROWS = 64, CSV_MAX_COLUMNS = 64 };

/* A table whose cells point into the text it was read from. */
struct csv {
    char *cell[CSV_MAX_ROWS][CSV_MAX_COLUMNS]; /* row 0 is the header */
    size_t n_rows, n_columns;
};

/* Cuts `text` up. Fails unless all rows have as many cells as the header. */
void csv_read(struct csv *t, char *text);

/* The cell of a named column, rows counted from 0 after the header; fails where there is none. */
const char *csv_cell(const struct csv *t, size_t row, const char *name);

#endif
