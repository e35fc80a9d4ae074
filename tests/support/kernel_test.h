/* kernel_test.h - what the tests of arch/ share: the loop over levels, guarded memory, data, and judgement.
 *
 * A kernel has three judges: generic (the same answer, bit for bit or within a bound), double (the right answer, within a bound that
 * the test derives), and the guards (nothing else was touched). A new level is covered by its row in prism_kernels_by_level. */
#ifndef PRISM_TESTS_KERNEL_TEST_H
#define PRISM_TESTS_KERNEL_TEST_H

#include "src/kernels.h"

/* Calls check with every table that runs here, twice: with guard pages right behind every buffer, then right before. Levels
 * of this build that the processor lacks are printed once per program: "skipped: no avx512bf16". */
void kt_levels(void (*check)(const struct prism_kernels *k));

/* ---- guarded memory: an inaccessible page at one end of the buffer, canaries at the other ---- */

/* bytes of memory aligned to align (a power of two) and, when the guard is behind, to no more than that if bytes allows it:
 * floats asked for with align 4 lie at odd addresses. Filled with a pattern that is a NaN as float. */
void *kt_alloc(size_t bytes, size_t align);
float *kt_floats(size_t n);           /* kt_alloc of n floats with the alignment of a float */
void kt_freeze(void *p);              /* the buffer is input from now on: writing to it faults */
bool kt_untouched(const void *p, size_t bytes); /* still the pattern of kt_alloc */
void kt_release(void);                /* checks the canaries of all buffers and frees them */

/* ---- data, the same on every run ---- */

void kt_seed(uint32_t seed);
uint32_t kt_random(void);
double kt_uniform(double low, double high);

enum kt_values {
    KT_NORMAL,   /* about a normal distribution, variance 1 */
    KT_HARD,     /* normal mixed with zeros of both signs, subnormals, and magnitudes from 1e-30 to 1e30 */
    KT_EXTREME,  /* any finite bits */
    KT_ANY,      /* any bits, NaN and infinity as well */
    KT_N_VALUES
};
void kt_fill(float *x, size_t n, enum kt_values values);

/* n values of stored weights: random bits, scales of either sign and magnitude about 1/64 so that the values are near 1. */
void kt_fill_blocks(void *x, enum prism_type type, size_t n);

/* Stores n values as a cache does (n % 32 == 0 for Q8_0), prism_kv_row_bytes(f, n) bytes at p, and rounds x to what is stored. */
void kt_store_kv(void *p, float *x, size_t n, enum prism_kv_format f);

/* What must not become a number: NaN, +infinity, -infinity, a NaN with a sign. */
enum { KT_N_POISONS = 4 };
extern const float kt_poison[KT_N_POISONS];

/* Where the halves that scale a block of the type lie in it: number 0 or 1, -1: there is none. */
int kt_half_at(enum prism_type type, int number);

/* A half as IQ1_M has it: in the upper four bits of four words at p. */
void kt_put_nibbles(uint8_t *p, uint16_t half);

/* ---- judgement ---- */

/* What is being checked, printed by a failing judgement. */
__attribute__((format(printf, 1, 2))) void kt_context(const char *format, ...);

/* |got - exact| <= bound, which is finite, and none is a NaN. i, j: which element. */
void kt_near(double got, double exact, double bound, size_t i, size_t j);

/* The same bits; two NaN count as the same. */
void kt_same_floats(const float *got, const float *want, size_t n);

/* None is a NaN or an infinity; all are. */
void kt_finite(const float *x, size_t n);
void kt_nonfinite(const float *x, size_t n);

/* Fails with the context and this sentence unless ok. */
void kt_true(bool ok, const char *sentence);

#endif
