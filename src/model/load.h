/* load.h - the steps of prism_model_load, in this order. Internal to src/model. Each fails with one line that names the file and the
 * key or tensor; what it allocated belongs to the model and goes with prism_model_free. */
#ifndef PRISM_MODEL_LOAD_H
#define PRISM_MODEL_LOAD_H

#include "src/model/build.h"

/* Floats that could not be used where they lie. */
struct prism_owned {
    struct prism_owned *next;
    float values[];
};

/* Everything of the network: keys, tensors, layers, rotations. Needs m->gguf, m->arch. */
enum prism_status prism_build(struct prism_model *m, struct prism_error *err);

/* Keys of the architecture that nothing read: refuses those that ask for mathematics that this version lacks, warns about unknown ones. */
void prism_check_unread_keys(struct prism_builder *b);

/* Tensors that nothing asked for: refuses those that take part in the computation, warns about the rest. */
void prism_check_unread_tensors(struct prism_builder *b);

/* m->ropes from b->ropes. */
void prism_rope_setup(struct prism_builder *b);

/* freq[i], i < n_rot/2: radians per position of pair i; div: [n_rot/2] or NULL. */
void prism_rope_frequencies(const struct prism_rope_params *p, const float *div, double *freq);
/* What cosines and sines are multiplied with. */
double prism_rope_magnitude(const struct prism_rope_params *p);

/* Looks at every scale (of float types: every value) of every tensor; fails at the first that is NaN or infinite. */
enum prism_status prism_check_tensors(const struct prism_gguf *g, struct prism_error *err);

/* m->type_name from general.file_type, else guessed from the matrices. */
enum prism_status prism_label_type(struct prism_model *m, struct prism_error *err);

#endif
