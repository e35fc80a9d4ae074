/* load.h - the steps of prism_model_load, in this order. Internal to src/model. Each fails with one line that names the file and the
 * key or tensor; what it allocated belongs to the model and goes with prism_model_free. */
#ifndef PRISM_MODEL_LOAD_H
#define PRISM_MODEL_LOAD_H

#include "src/gguf/reader.h"
#include "src/model/model.h"

/* Floats that could not be used where they lie. */
struct prism_owned {
    struct prism_owned *next;
    float values[];
};

/* m->hp from the metadata, except n_vocab. Needs m->gguf, m->arch. */
enum prism_status prism_read_hparams(struct prism_model *m, struct prism_error *err);

/* Refuses keys that ask for mathematics that this version lacks, warns about unknown ones. Needs m->hp. */
enum prism_status prism_check_keys(const struct prism_model *m, struct prism_error *err);

/* Divisors of the rotary frequencies, each [n_rot/2] or NULL. */
struct prism_rope_divisors {
    const float *freqs;                    /* rope_freqs.weight (llama 3.1) */
    const float *long_ctx, *short_ctx;     /* rope_factors_{long,short}.weight (longrope) */
};

/* All tensors by name and shape into m, and m->hp.n_vocab. Refuses tensors of a layer, and others that take part in the computation, that
 * the architecture does not have here; warns about the rest that nothing uses. */
enum prism_status prism_bind_tensors(struct prism_model *m, struct prism_rope_divisors *div, struct prism_error *err);

/* m->rope_freq, rope_freq_short, rope_mag. */
enum prism_status prism_rope_setup(struct prism_model *m, const struct prism_rope_divisors *div, struct prism_error *err);

/* freq[i], i < n_rot/2: radians per position of pair i under hp's scaling; div: [n_rot/2] or NULL. */
void prism_rope_frequencies(const struct prism_hparams *hp, const float *div, double *freq);
/* What cosines and sines are multiplied with. */
double prism_rope_magnitude(const struct prism_hparams *hp);

/* Looks at every scale (of float types: every value) of every tensor; fails at the first that is NaN or infinite. */
enum prism_status prism_check_tensors(const struct prism_gguf *g, struct prism_error *err);

/* m->type_name from general.file_type, else guessed from the matrices. */
enum prism_status prism_label_type(struct prism_model *m, struct prism_error *err);

#endif
