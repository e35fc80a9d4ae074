/* divergence.h - how far one distribution over tokens is from another. */
#ifndef PRISM_TOOLS_DIVERGENCE_H
#define PRISM_TOOLS_DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>

/* Kullback-Leibler divergence of softmax(other) from softmax(base), the sum of p_base log(p_base / p_other), in nats and double; n >= 1. Never
 * below 0. NaN: logits are not finite. *same_first: the largest logit of both is that of one token, the lowest of equals. */
double divergence_of(const float *base, const float *other, size_t n, bool *same_first);

#endif
