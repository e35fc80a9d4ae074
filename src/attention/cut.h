/* cut.h - the largest of many integers, without sorting them: by number or by sum. */
#ifndef PRISM_ATTENTION_CUT_H
#define PRISM_ATTENTION_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first entries of x in descending order, equal ones by ascending index: all that exceed value, and `equal` of those that equal it. */
struct prism_cut {
    uint64_t value;
    size_t equal, count; /* count: entries in all */
};

/* The `most` largest; all when there are no more. */
struct prism_cut prism_cut_count(const uint64_t *x, size_t n, size_t most);

/* As many of the largest as have a sum of at most `most`. The sum of x must not overflow. */
struct prism_cut prism_cut_sum(const uint64_t *x, size_t n, uint64_t most);

/* Whether an entry belongs to the cut; to be asked once for each, by ascending index. */
bool prism_cut_takes(struct prism_cut *cut, uint64_t x);

#endif
