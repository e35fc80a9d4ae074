/* kinds.c - which kind multiplies a matrix (layer.h). */
#include "src/engine/layer.h"

enum { FINE_BITS = 6 }; /* a stored weight of more bits than these deserves finer activations */

/* Keys and values (small, and read by every later token) and the down projection (its inputs are products of two activations, with heavy
 * tails) get the finer activations: on the 38M model in Q8_0, 6 x 1024 tokens, the mean divergence from fp32 falls from 2.6e-4 nats a token to
 * 1.1e-4 (two bytes) or 1.2e-4 (bf16). Of that, down makes 1.2e-4, v .34e-4, k .13e-4; what stays int8 adds .65e-4 (gate and up), .35e-4 (o),
 * .1e-4 (q). Every layer has its equal share. What was tried for the three products (time: in those of int8, by the ports of Zen 4):
 *
 *     activations                                                              divergence   time
 *     int8, groups of 32 values / of 16 / of 64                                2.6 / 2.0 / 3.4e-4   1 / 1.2 / .9
 *     bf16                                                                     1.2e-4       1.7
 *     two bytes                                                                1.1e-4       1.9
 *     two bytes where a group's step^2 is above the mean of its row (29 %)     1.5e-4       1.3 and a branch for each row and group
 *     above half of the mean (55 %) / twice the mean (9 %)                     1.2 / 1.9e-4 1.6 / 1.1, likewise
 *     int8 of 32 or 64 values rotated (Hadamard, random signs), exact weights  1.6e-4       (weights of floats)
 *     the same, the rotated weights rounded to bytes again                     2.5e-4       1
 *
 * Not with weights of few bits, whose own error is far larger: in Q4_0 the root mean square of the NLL's error goes from 0.025 to 0.016, too, and the
 * perplexity of 16 x 4096 tokens from +0.03 % to -0.01 % of that in fp32, each give or take 0.01 %; but the rounding of the weights is +4 %, and a
 * prefill of 512 tokens takes 1.2 times as long. Beside such weights Q6_K (v and down in a file of Q4_K_M) is multiplied as they are, in wide
 * groups: divergence of the 38M model in Q4_K_M 6.2e-4 -> 7.1e-4 (rounding to Q4_K_M is +1.6 % of perplexity), a prefill 1.03 times as fast. */
static bool is_fine(enum prism_type type) { return 8 * prism_types[type].bytes > FINE_BITS * prism_types[type].block; }

const struct prism_linear *prism_fine_kind(const struct prism_kernels *kernels, enum prism_type type, enum prism_type beside)
{
    const struct prism_linear *kind = !is_fine(beside) ? kernels->linear_beside_few[type] : is_fine(type) ? kernels->linear_finer[type] : NULL;
    return kind ? kind : kernels->linear_auto[type];
}

/* kind, or fp32 where the context or the matrix asks for that. */
static const struct prism_linear *usable(const struct prism_context *c, const struct prism_matrix *m, const struct prism_linear *kind)
{
    return c->compute == PRISM_COMPUTE_F32 || m->k % kind->k_step ? c->kernels->linear_f32 : kind;
}

const struct prism_linear *prism_fine(const struct prism_context *c, const struct prism_matrix *m, const struct prism_matrix *beside)
{
    return usable(c, m, prism_fine_kind(c->kernels, m->type, beside->type));
}

const struct prism_linear *prism_coarse(const struct prism_context *c, const struct prism_matrix *m)
{
    return usable(c, m, c->kernels->linear_auto[m->type]);
}
