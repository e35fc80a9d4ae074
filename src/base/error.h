/* error.h - errors as values. The library's functions return a status and note the first failure in words. */
#ifndef PRISM_BASE_ERROR_H
#define PRISM_BASE_ERROR_H

#include "prism/prism.h"

/* Records status and one line of text in err (err may be NULL; a failure already there is kept: the first one counts).
 * Bytes of the text that are control characters or not UTF-8 are shown as "\xNN"; the middle of a text that is too long is left out.
 * Returns status. */
enum prism_status prism_fail(struct prism_error *err, enum prism_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Every public function starts with it, so that an error of an earlier call does not hide this call's. err may be NULL. */
static inline void prism_error_clear(struct prism_error *err)
{
    if (err)
        *err = (struct prism_error){ 0 };
}

/* Formats one line the same way and hands it to log, when there is one. */
struct prism_log {
    prism_log_fn *fn;
    void *user;
};
void prism_warn(const struct prism_log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes a printable copy of n bytes (control characters and invalid UTF-8 as \xNN), at most cap bytes with the NUL; an
 * ellipsis ends a text that was cut. Returns out. */
char *prism_printable(char *out, size_t cap, const void *bytes, size_t n);

#endif
