/* csv.c - see csv.h. */
#include "tests/support/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* One cell at *p, quoted or not, its doubled quotes halved; *p is behind it. */
static char *take_cell(char **p)
{
    char *in = *p, *out = *p, *cell = *p;

    if (*in != '"') {
        *p += strcspn(*p, ",\n");
        return cell;
    }
    for (in++; *in != '"' || in[1] == '"'; in++) {
        assert_true(*in);
        in += *in == '"';
        *out++ = *in;
    }
    *out = 0;
    *p = in + 1;
    return cell;
}

void csv_read(struct csv *t, char *text)
{
    *t = (struct csv){ 0 };
    for (char *p = text; *p; t->n_rows++) {
        size_t column = 0;
        char end;
        assert_true(t->n_rows < CSV_MAX_ROWS);
        do {
            assert_true(column < CSV_MAX_COLUMNS);
            t->cell[t->n_rows][column++] = take_cell(&p);
            end = *p;
            assert_true(end == ',' || end == '\n');
            *p++ = 0;
        } while (end == ',');
        if (t->n_rows == 0)
            t->n_columns = column;
        assert_int_equal(column, t->n_columns);
    }
}

const char *csv_cell(const struct csv *t, size_t row, const char *name)
{
    assert_true(row + 1 < t->n_rows);
    for (size_t i = 0; i < t->n_columns; i++)
        if (!strcmp(t->cell[0][i], name))
            return t->cell[row + 1][i];
    fail_msg("no column %s", name);
    return NULL;
}
