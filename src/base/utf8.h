/* utf8.h - UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef PRISM_BASE_UTF8_H
#define PRISM_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define PRISM_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Length 1..4 of the well-formed sequence that starts at p, or 0. n >= 1 bytes are there. *part (may be NULL): when 0, the
 * longest prefix of a well-formed sequence found, at least 1; it reaches n when more bytes could complete it. */
unsigned prism_utf8_length(const char *p, size_t n, unsigned *part);
uint32_t prism_utf8_decode(const char *p, unsigned length); /* of a well-formed sequence */
unsigned prism_utf8_encode(uint32_t c, char *out);          /* 1..4 bytes */

#endif
