/* near.h - comparing numbers so that a NaN cannot pass: it counts as infinitely far from everything, itself included. */
#ifndef PRISM_TESTS_NEAR_H
#define PRISM_TESTS_NEAR_H

#include <stdbool.h>
#include <stddef.h>

/* The larger one; infinity when either is a NaN (fmax drops it). For running maxima. */
double larger(double a, double b);

/* Largest |got - expected| of n numbers. Infinity: there was a NaN, or an infinity where the other side has another value. */
double largest_difference(const float *got, const double *expected, size_t n);
double largest_difference_f32(const float *got, const float *expected, size_t n);

/* Root mean square of the difference, relative to that of the expected values. Infinity as above, or when all expected values are 0. */
double relative_distance(const float *got, const double *expected, size_t n);

/* Fails the test unless distance <= bound; what: what was compared. */
void assert_within(double distance, double bound, const char *what);

/* Every value of rows x columns is finite, and no row has one value throughout, as logits of a model never have. */
bool is_sound(const float *x, size_t rows, size_t columns);
/* Fails the test otherwise, and says where. In the test's own thread only: a callback notes is_sound. */
void assert_sound(const float *x, size_t rows, size_t columns);

#endif
