/* choice.h - top-p over integer probabilities, without sorting rows. */
#ifndef PRISM_ATTENTION_CHOICE_H
#define PRISM_ATTENTION_CHOICE_H

#include <stddef.h>
#include <stdint.h>

/* Scratch of prism_choose_top_p for n entries, in bytes. */
size_t prism_choice_scratch(size_t n);

/* Sets the bit of each kept entry of p[0..n), which are probabilities in units of 2^-30. Order: p descending, then index ascending; an
 * entry is kept when the sum of the entries before it is below threshold (also in 2^-30). Returns the sum of what is kept. */
uint64_t prism_choose_top_p(uint64_t *bits, const uint32_t *p, size_t n, uint64_t threshold, void *scratch);

#endif
