/* error.c - see error.h. */
#include "src/base/error.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"

const char *prism_version(void) { return PRISM_VERSION; }

const char *prism_status_text(enum prism_status status)
{
    switch (status) {
    case PRISM_OK: return "no error";
    case PRISM_E_ARG: return "argument out of range";
    case PRISM_E_LENGTH: return "context too short";
    case PRISM_E_NOMEM: return "out of memory";
    case PRISM_E_IO: return "input/output error";
    case PRISM_E_FORMAT: return "damaged or inconsistent file";
    case PRISM_E_UNSUPPORTED: return "unsupported";
    case PRISM_E_CANCELLED: return "cancelled";
    case PRISM_E_NUMERIC: return "result not finite";
    }
    return "unknown status";
}

/* Length of what may be shown as it is at p: 0 for control characters (C1 too) and bytes that are not UTF-8. */
static size_t printable_length(const char *p, size_t left)
{
    size_t n = prism_utf8_length(p, left, NULL);
    bool c0 = n == 1 && ((unsigned char)*p < 0x20 || *p == 0x7F), c1 = n == 2 && (unsigned char)p[0] == 0xC2 && (unsigned char)p[1] < 0xA0;
    return c0 || c1 ? 0 : n;
}

char *prism_printable(char *out, size_t cap, const void *bytes, size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *p = bytes;
    size_t o = 0;

    if (cap == 0)
        return out;
    for (size_t i = 0; i < n;) {
        size_t len = printable_length((const char *)p + i, n - i);
        size_t need = len ? len : 4;
        if (o + need + 4 > cap) { /* room for the ellipsis and the NUL */
            if (o + 4 <= cap)
                memcpy(out + o, "...", 3), o += 3;
            break;
        }
        if (len) {
            memcpy(out + o, p + i, len);
            i += len;
        } else {
            memcpy(out + o, (char[4]){ '\\', 'x', hex[p[i] >> 4], hex[p[i] & 15] }, 4);
            i++;
        }
        o += need;
    }
    out[o] = 0;
    return out;
}

/* Bytes that prism_printable writes for a text without an end. */
static size_t shown_length(const char *p, size_t n)
{
    size_t shown = 0, len;
    for (size_t i = 0; i < n; i += len ? len : 1) {
        len = printable_length(p + i, n - i);
        shown += len ? len : 4;
    }
    return shown;
}

/* The caller's file names and keys may hold anything, so the finished line is made printable as a whole. A line that is too long, mostly by the
 * path that it begins with, loses its middle: the reason at its end stays. */
static void format_line(char *out, size_t cap, const char *format, va_list args)
{
    char raw[PATH_MAX + 1024];
    int n = vsnprintf(raw, sizeof raw, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof raw ? (size_t)n : sizeof raw - 1, head = cap / 4, tail = cap - head - 1, start = len;

    if (shown_length(raw, len) < cap - 4) {
        prism_printable(out, cap, raw, len);
        return;
    }
    prism_printable(out, head, raw, len); /* ends in an ellipsis */
    head = strlen(out);
    while (start > 0 && shown_length(raw + start - 1, len - start + 1) < tail - 4)
        start--;
    while (start < len && (raw[start] & 0xC0) == 0x80) /* not inside a character */
        start++;
    prism_printable(out + head, cap - head, raw + start, len - start);
}

enum prism_status prism_fail(struct prism_error *err, enum prism_status status, const char *format, ...)
{
    if (err && err->status == PRISM_OK) {
        va_list args;
        va_start(args, format);
        format_line(err->text, sizeof err->text, format, args);
        va_end(args);
        err->status = status;
    }
    return status;
}

void prism_warn(const struct prism_log *log, const char *format, ...)
{
    if (!log || !log->fn)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    format_line(line, sizeof line, format, args);
    va_end(args);
    log->fn(log->user, line);
}
