/* prism_reference.h - Prism and mean pooling of one call in double, written for reading: section 4 of the design document.
 *
 * It takes the tokens of a select_case and nothing else from it: pools, scores and chooses by itself. */
#ifndef PRISM_TESTS_PRISM_REFERENCE_H
#define PRISM_TESTS_PRISM_REFERENCE_H

#include "tests/support/select_case.h"

struct prism_reference {
    size_t n_head, first, n_rows, n;  /* query blocks first .. first + n_rows - 1 = n - 1 */
    double *p[2];                     /* high, low: [n_head][n_rows][n] probabilities; all 0 in a row whose band is skipped */
    double *error;                    /* [n_head][n_rows]: relative error that fp32 sums may leave in p */
    uint8_t *bits;                    /* [n_head][n_rows][n], with sink and diagonal */
    double *mass;                     /* [n_head]: mean over rows of the mean over bands of what top-p kept */
};

/* The last of n_calls calls; call i ends before token ends[i]. meanpool: one band, no temperature. */
struct prism_reference prism_reference_run(const struct select_case *c, const size_t *ends, size_t n_calls, bool meanpool);
void prism_reference_free(struct prism_reference *r);

/* Bits in which the last run of c differs. Fails the test at one that lies farther from the threshold, or from another entry of about the
 * same probability, than rounding explains, and at a mass that rounding does not explain. */
size_t prism_reference_differences(const struct prism_reference *r, const struct select_case *c);

/* Tokens as a model makes them: values that drift, grow along the prompt and are rotated (base 10000). size: standard deviation. */
void prism_reference_prompt(struct select_case *c, uint32_t seed, double size);

#endif
