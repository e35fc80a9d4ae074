/* cut.c - see cut.h. A radix descent: one byte of the value at which the cut falls per pass over the entries. */
#include "src/attention/cut.h"

struct bin {
    uint64_t sum;
    size_t count;
};

static int top_shift(const uint64_t *x, size_t n)
{
    uint64_t all = 1;
    for (size_t i = 0; i < n; i++)
        all |= x[i];
    return (63 - __builtin_clzll(all)) / 8 * 8;
}

static struct prism_cut cut(const uint64_t *x, size_t n, uint64_t most, bool by_sum)
{
    uint64_t value = 0; /* its bytes above shift */
    size_t taken = 0;

    for (int shift = top_shift(x, n); shift >= 0; shift -= 8) {
        struct bin bins[256] = { { 0, 0 } };
        int b = 255;
        for (size_t i = 0; i < n; i++)
            if (x[i] >> shift >> 8 == value) {
                struct bin *bin = &bins[x[i] >> shift & 255];
                bin->sum += x[i], bin->count++;
            }
        for (; b >= 0; b--) {
            uint64_t weight = by_sum ? bins[b].sum : bins[b].count;
            if (weight > most)
                break;
            most -= weight;
            taken += bins[b].count;
        }
        if (b < 0) /* on the first pass only: everything fits */
            return (struct prism_cut){ 0, n, n };
        value = value << 8 | (unsigned)b;
    }
    size_t equal = by_sum ? most / value : most; /* a value of 0 weighs nothing: no cut by sum falls on it */
    return (struct prism_cut){ value, equal, taken + equal };
}

struct prism_cut prism_cut_count(const uint64_t *x, size_t n, size_t most) { return cut(x, n, most, false); }
struct prism_cut prism_cut_sum(const uint64_t *x, size_t n, uint64_t most) { return cut(x, n, most, true); }

bool prism_cut_takes(struct prism_cut *c, uint64_t x)
{
    if (x != c->value)
        return x > c->value;
    if (c->equal == 0)
        return false;
    c->equal--;
    return true;
}
