/* text.c - see text.h. */
#include "tools/common/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/process.h"

static const size_t max_bytes = (size_t)256 << 20; /* sixty million tokens: a mistake such as /dev/zero */

/* Appends all that fd delivers. The text is left for the caller to free, also on failure. */
static int read_all(int fd, const char *name, struct text *t)
{
    size_t cap = 0;

    for (;;) {
        if (t->len == cap) {
            cap = cap ? 2 * cap : 1 << 16;
            char *grown = cap <= 2 * max_bytes ? realloc(t->bytes, cap) : NULL;
            if (!grown)
                return process_error("%s: more than %zu bytes of text, or no memory for it", name, t->len);
            t->bytes = grown;
        }
        ssize_t n = read(fd, t->bytes + t->len, cap - t->len);
        if (n == 0)
            return PROCESS_OK;
        if (n < 0 && process_interrupted())
            return process_report_interrupt("while reading the prompt");
        if (n < 0 && errno != EINTR)
            return process_error("cannot read %s: %s", name, strerror(errno));
        t->len += n > 0 ? (size_t)n : 0;
        if (t->len > max_bytes)
            return process_error("%s: text is longer than %zu bytes", name, max_bytes);
    }
}

int text_read(const char *path, bool whole, struct text *t)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

    *t = (struct text){ 0 };
    if (fd < 0)
        return process_error("cannot open %s: %s", name, strerror(errno));
    int status = read_all(fd, name, t);
    if (!is_stdin)
        close(fd);
    if (status != PROCESS_OK) {
        free(t->bytes);
        *t = (struct text){ 0 };
    } else if (!whole && t->len && t->bytes[t->len - 1] == '\n') {
        t->len--;
    }
    return status;
}

int text_read_or(const char *path, const char *missing, struct text *t)
{
    *t = (struct text){ 0 };
    if (!path && isatty(STDIN_FILENO))
        return process_error("%s", missing);
    return text_read(path ? path : "-", false, t);
}

int text_copy(const char *s, struct text *t)
{
    *t = (struct text){ .bytes = strdup(s), .len = strlen(s) };
    if (t->bytes)
        return PROCESS_OK;
    t->len = 0;
    return process_error("out of memory");
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* The byte that the escape at s stands for, or -1; *used bytes are consumed. n: bytes from the backslash to the end. */
static int escaped_byte(const char *s, size_t n, size_t *used)
{
    static const char names[] = "nrt'\"\\", bytes[] = "\n\r\t'\"\\";

    *used = 2;
    if (n < 2)
        return -1;
    const char *at = memchr(names, s[1], sizeof names - 1);
    if (at)
        return bytes[at - names];
    if (s[1] != 'x' || n < 4 || hex_digit(s[2]) < 0 || hex_digit(s[3]) < 0)
        return -1;
    *used = 4;
    return hex_digit(s[2]) * 16 + hex_digit(s[3]);
}

void text_unescape(struct text *t)
{
    size_t out = 0;

    for (size_t in = 0; in < t->len;) {
        size_t used;
        int byte = t->bytes[in] == '\\' ? escaped_byte(t->bytes + in, t->len - in, &used) : -1;
        if (byte >= 0) {
            t->bytes[out++] = (char)byte;
            in += used;
        } else {
            t->bytes[out++] = t->bytes[in++];
        }
    }
    t->len = out;
}
