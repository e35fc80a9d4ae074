/* utf8.c - see utf8.h; and the streaming decoder of the public interface. */
#include "src/base/utf8.h"

#include "prism/prism.h"

#include <string.h>

unsigned prism_utf8_length(const char *p, size_t n, unsigned *part)
{
    const uint8_t *s = (const uint8_t *)p;
    unsigned length, lo = 0x80, hi = 0xBF, good = 1;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF)
        length = 2;
    else if ((s[0] & 0xF0) == 0xE0)
        length = 3;
    else if (s[0] >= 0xF0 && s[0] <= 0xF4)
        length = 4;
    else
        length = 0;

    /* The second byte carries the exclusions (table 3-7 of the Unicode standard). */
    if (s[0] == 0xE0)
        lo = 0xA0;
    else if (s[0] == 0xED)
        hi = 0x9F;
    else if (s[0] == 0xF0)
        lo = 0x90;
    else if (s[0] == 0xF4)
        hi = 0x8F;
    while (good < length && good < n && s[good] >= lo && s[good] <= hi) {
        good++;
        lo = 0x80;
        hi = 0xBF;
    }
    if (good == length)
        return length;
    if (part)
        *part = good;
    return 0;
}

uint32_t prism_utf8_decode(const char *p, unsigned length)
{
    static const uint8_t lead_mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c = (uint8_t)p[0] & lead_mask[length];

    for (unsigned i = 1; i < length; i++)
        c = c << 6 | ((uint8_t)p[i] & 0x3F);
    return c;
}

unsigned prism_utf8_encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    unsigned length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (unsigned i = length - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00 >> length & 0xFF) | c);
    return length;
}

/* Writes the complete sequences of n bytes to out. Returns how many bytes of p were used up: all but an incomplete tail. */
static size_t push_complete(const char *p, size_t n, char *out, size_t *written)
{
    size_t i = 0, w = 0;

    while (i < n) {
        unsigned part, length = prism_utf8_length(p + i, n - i, &part);
        if (length) {
            memcpy(out + w, p + i, length);
            w += length;
            i += length;
            continue;
        }
        /* A lone continuation byte cannot be the start of anything, even at the end. */
        if (i + part == n && (uint8_t)p[i] >= 0xC2 && (uint8_t)p[i] <= 0xF4)
            break;
        memcpy(out + w, PRISM_REPLACEMENT, 3); /* one per maximal subpart, as the Unicode standard recommends */
        w += 3;
        i += part;
    }
    *written = w;
    return i;
}

size_t prism_utf8_push(struct prism_utf8 *s, const char *bytes, size_t len, bool flush, char *out)
{
    size_t total = 0, w;

    /* Complete the held tail with as few new bytes as it takes. */
    while (s->n_held && len) {
        s->held[s->n_held++] = (unsigned char)*bytes++;
        len--;
        size_t used = push_complete((const char *)s->held, s->n_held, out + total, &w);
        total += w;
        s->n_held -= (unsigned)used;
        memmove(s->held, s->held + used, s->n_held);
    }
    if (len) { /* nothing is held then */
        size_t used = push_complete(bytes, len, out + total, &w);
        total += w;
        s->n_held = (unsigned)(len - used);
        memcpy(s->held, bytes + used, s->n_held);
    }
    if (flush && s->n_held) {
        memcpy(out + total, PRISM_REPLACEMENT, 3);
        total += 3;
        s->n_held = 0;
    }
    return total;
}
