/* books.h - the code books of the IQ types: rows of magnitudes (IQ1: of values) that a block names by number. They are parts of lattices that a
 * search found, data of the format and not computable: those of ggml (github.com/ggml-org/ggml, src/ggml-common.h: iq2xxs_grid and so on; MIT
 * licence, Copyright (c) 2023-2024 The ggml authors). */
#ifndef PRISM_ARCH_GENERIC_BOOKS_H
#define PRISM_ARCH_GENERIC_BOOKS_H

#include <stdint.h>

/* A byte for each value, the first the lowest. */
extern const uint64_t prism_iq2_xxs_book[256], prism_iq2_xs_book[512], prism_iq2_s_book[1024];
extern const uint32_t prism_iq3_xxs_book[256], prism_iq3_s_book[512];

/* Eight times the values: -8, 0 or 8. */
extern const int8_t prism_iq1_book[2048][8];

#endif
