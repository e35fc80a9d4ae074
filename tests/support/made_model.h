/* made_model.h - files of make-model and what a test says about them. Each function ends the test with what it found when it does not agree. */
#ifndef PRISM_TESTS_MADE_MODEL_H
#define PRISM_TESTS_MADE_MODEL_H

#include "prism/prism.h"
#include "src/gguf/gguf.h"

/* Runs make-model with -o test_tmp_dir()/name; returns that path, valid until the call after the next. */
#define MAKE(name, ...) made_model(name, (const char *const[]){ __VA_ARGS__, NULL })
const char *made_model(const char *name, const char *const *args);

/* Without a warning. */
struct prism_gguf *open_made(const char *path);
void made_no_warning(void *user, const char *line);

/* The same as a model of the library, its tensors checked. */
prism_model *load_made(const char *path);

/* A file with a vocabulary of some hundred tokens: "gpt2" or "llama". */
const char *made_vocab(const char *kind);

/* The key arch.suffix. */
void has_u32(const struct prism_gguf *g, const char *arch, const char *suffix, uint32_t value);
void has_f32(const struct prism_gguf *g, const char *arch, const char *suffix, float value);
void has_str(const struct prism_gguf *g, const char *key, const char *value);

/* ne1, ne2: 0 beyond the last dimension. */
void has_tensor(const struct prism_gguf *g, const char *name, const char *type, uint64_t ne0, uint64_t ne1);
void has_experts(const struct prism_gguf *g, const char *name, const char *type, uint64_t ne0, uint64_t ne1, uint64_t ne2);

#endif
