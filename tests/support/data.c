/* data.c - see data.h. */
#include "tests/support/data.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

const char *test_shared(const char *rel)
{
    static char path[2][512];
    static unsigned turn;
    char *p = path[turn++ & 1];

    snprintf(p, sizeof path[0], "../shared/%s", rel);
    if (access(p, R_OK) == 0)
        return p;
    print_message("skipped: %s is absent\n", p);
    skip();
    return NULL;
}

char *test_read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *buf = malloc((size_t)size + 1);
    assert_non_null(buf);
    assert_int_equal(fread(buf, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    buf[size] = 0;
    if (n)
        *n = (size_t)size;
    return buf;
}

static char tmp_dir[256];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void remove_tmp_dir(void) { nftw(tmp_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

const char *test_tmp_dir(void)
{
    if (!tmp_dir[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(tmp_dir, sizeof tmp_dir, "%s/prism-test-XXXXXX", base ? base : "/tmp");
        assert_non_null(mkdtemp(tmp_dir));
        atexit(remove_tmp_dir);
    }
    return tmp_dir;
}
