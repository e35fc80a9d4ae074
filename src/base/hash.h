/* hash.h - seeded hashes for tables whose keys come from files: nobody who does not know the seed can write keys that collide.
 *
 * Texts: a polynomial over the field of 2^61 - 1 elements at a random point (Carter and Wegman 1979): two different texts of n bytes
 * agree with a probability of about n / 7 in 2^61. Numbers: multiplication by a random odd number (Dietzfelbinger et al. 1997). Then the
 * bits are stirred, since neighbours are still evenly spaced; low bits choose a slot. Here and not in hash.c since the tokenizers look up a few of them per byte of text. */
#ifndef PRISM_BASE_HASH_H
#define PRISM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct prism_hash_seed {
    uint64_t point;  /* in [2, 2^61 - 2] */
    uint64_t offset; /* any */
};

/* Random, another one at each call: from the operating system, or when it has none to give at once from the time and addresses. */
struct prism_hash_seed prism_hash_new_seed(void);

#define PRISM_HASH_PRIME ((UINT64_C(1) << 61) - 1)

/* a * b modulo the prime, up to two too large; a < 2^62, b < 2^61. */
static inline uint64_t prism_hash_multiply(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t sum = ((uint64_t)product & PRISM_HASH_PRIME) + (uint64_t)(product >> 61); /* below 2^61 + 2^62 */
    return (sum & PRISM_HASH_PRIME) + (sum >> 61);
}

static inline uint64_t prism_hash_mix(const struct prism_hash_seed *s, uint64_t h)
{
    h = (h ^ h >> 32) * (s->offset | 1);
    h = (h ^ h >> 29) * UINT64_C(0x94D049BB133111EB);
    return h ^ h >> 32;
}

/* The n <= 7 bytes at p as a number, lowest first. */
static inline uint64_t prism_hash_tail(const unsigned char *p, size_t n)
{
    uint32_t first, last;
    if (n < 4)
        return n ? p[0] | (uint64_t)p[n / 2] << 8 * (n / 2) | (uint64_t)p[n - 1] << 8 * (n - 1) : 0;
    memcpy(&first, p, 4);
    memcpy(&last, p + n - 4, 4);
    return first | (uint64_t)last << 8 * (n - 4);
}

/* Seven bytes at a time are less than the prime, so that different texts are different polynomials. The length leads, in short texts
 * above their bytes. */
static inline uint64_t prism_hash_bytes(const struct prism_hash_seed *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    if (n < 8)
        return prism_hash_mix(s, prism_hash_multiply(prism_hash_tail(p, n) + ((uint64_t)(n + 1) << 56), s->point));
    uint64_t h = prism_hash_multiply(n + 1, s->point), word;
    for (; n >= 8; n -= 7, p += 7) {
        memcpy(&word, p, 8);
        h = prism_hash_multiply(h + (word & UINT64_C(0xFFFFFFFFFFFFFF)), s->point);
    }
    return prism_hash_mix(s, prism_hash_multiply(h + prism_hash_tail(p, n), s->point));
}

static inline uint64_t prism_hash_u64(const struct prism_hash_seed *s, uint64_t key)
{
    return prism_hash_mix(s, key * (s->point | 1));
}

#endif
