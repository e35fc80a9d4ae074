/* kinds.c - which kind multiplies a matrix (layer.h). */
#include "src/engine/layer.h"

enum { FINE_BITS = 6 }; /* a stored weight of more bits than these deserves finer activations */

/* Keys and values (small, and read by every later token) and the down projection (its inputs are products of two activations, with heavy
 * tails) get the finer activations: on the 38M model in Q8_0 that takes the root mean square of the int8 error in the NLL from 0.028 to
 * 0.016. Not with weights of few bits, whose own error is far larger. In Q4_0 the root mean square goes from 0.025 to 0.016, too, and the
 * perplexity of 16 x 4096 tokens from +0.03 % to -0.01 % of that in fp32, each give or take 0.01 %; but the rounding of the weights is
 * +4 %, and a prefill of 512 tokens takes 1.2 times as long. */
const struct prism_linear *prism_fine_kind(const struct prism_kernels *kernels, enum prism_type type)
{
    const struct prism_linear *kind = kernels->linear_auto[type];
    const struct prism_type_info *t = &prism_types[type];
    return kind->finer && 8 * t->bytes > FINE_BITS * t->block ? kind->finer : kind;
}

/* kind, or fp32 where the context or the matrix asks for that. */
static const struct prism_linear *usable(const struct prism_context *c, const struct prism_matrix *m, const struct prism_linear *kind)
{
    return c->compute == PRISM_COMPUTE_F32 || m->k % kind->k_step ? c->kernels->linear_f32 : kind;
}

const struct prism_linear *prism_fine(const struct prism_context *c, const struct prism_matrix *m)
{
    return usable(c, m, prism_fine_kind(c->kernels, m->type));
}

const struct prism_linear *prism_coarse(const struct prism_context *c, const struct prism_matrix *m)
{
    return usable(c, m, c->kernels->linear_auto[m->type]);
}
