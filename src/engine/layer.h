/* layer.h - one transformer layer over all tokens of a call. Private to src/engine. */
#ifndef PRISM_ENGINE_LAYER_H
#define PRISM_ENGINE_LAYER_H

#include "src/engine/linear.h"

/* The tokens of the call: n rows of c->x, the first at absolute position pos. */
struct prism_span {
    size_t n, pos;
};

/* Runs layer `index`. Only rows from first_needed on leave the layer (the last layer of a prompt needs one); keys and values of all
 * rows enter the cache. Returns false when cancelled. */
bool prism_layer_run(struct prism_context *c, size_t index, struct prism_span span, size_t first_needed);

/* Of the kinds for weights of a type (compute auto), that of the products which need finer activations most: keys, values, down. */
const struct prism_linear *prism_fine_kind(const struct prism_kernels *kernels, enum prism_type type);

/* Progress units of the first n_layers layers for a call; attention counts like in prism_layer_run. */
double prism_layers_work(const struct prism_context *c, size_t n_layers, struct prism_span span, size_t first_needed);

#endif
