/* hash.c - where seeds come from. */
#include "src/base/hash.h"

#include <sys/random.h>
#include <time.h>

/* Every bit of x moves every bit of the result (Stafford 2011). */
static uint64_t stir(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

struct prism_hash_seed prism_hash_new_seed(void)
{
    struct prism_hash_seed s;

    if (getrandom(&s, sizeof s, GRND_NONBLOCK) != (ssize_t)sizeof s) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        s.offset = stir((uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec << 32);
        s.point = stir(s.offset ^ (uintptr_t)&s);
    }
    s.point = 2 + s.point % (PRISM_HASH_PRIME - 3);
    return s;
}
