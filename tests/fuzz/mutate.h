/* mutate.h - changes GGUF files with their structure in mind: a file is taken apart into pairs, tensors and what follows them, a piece is
 * changed, and the file is put together again with the right counts, paddings and offsets, so that most mutants get past the reader. */
#ifndef PRISM_TESTS_FUZZ_MUTATE_H
#define PRISM_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* Changes n bytes at `bytes` (room for cap) in place and returns their new number. A file that cannot be taken apart is changed without
 * regard to structure. */
size_t fuzz_mutate(uint8_t *bytes, size_t n, size_t cap, unsigned seed);

/* Where the bytes behind the last tensor begin (n: there are none): the reader ignores them, the fuzzer takes them for a text. */
size_t fuzz_trailing(const uint8_t *bytes, size_t n);

/* libFuzzer's own mutation of n bytes; returns their new number, at most cap. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n, size_t cap);

#endif
