/* lines.h - vertical and slash lines: how much attention the last queries of a call give to each key and to each distance, and masks of
 * whole block columns and block diagonals. Shared by vertical_slash.c and flexprefill.c. */
#ifndef PRISM_ATTENTION_LINES_H
#define PRISM_ATTENTION_LINES_H

#include "src/attention/select.h"

size_t prism_lines_bytes(const struct prism_select_call *c);

/* Exact causal softmax of the last n_last tokens of the call against all keys from position 0, for one query head, in units of 2^-30:
 * vertical[key] and slash[distance] are its sums over the rows, kv_len entries each. logit, unless NULL: for each key block the mean of
 * scale * q.k over these rows and the keys that the block has, without regard to causality, which is the score of the two means.
 * scratch: prism_lines_bytes, aligned to 64 bytes. */
void prism_lines_measure(const struct prism_select_call *c, size_t head, size_t n_last, uint64_t *vertical, uint64_t *slash, double *logit,
                         uint8_t *scratch);

/* Adds to every row u of a head the blocks v = j for each bit j of columns, and v = u - j for each bit j of diagonals, as far as v <= u.
 * Both have bits for 0..n_blocks. */
void prism_lines_draw(const struct prism_select_call *c, size_t head, const uint64_t *columns, const uint64_t *diagonals);

#endif
