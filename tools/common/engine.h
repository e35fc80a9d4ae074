/* engine.h - what every tool that runs a model shares: its flags, loading with warnings, the engine's facts as text and JSON.
 *
 * Messages go through process.h; nothing here exits. Not thread-safe. */
#ifndef PRISM_TOOLS_ENGINE_H
#define PRISM_TOOLS_ENGINE_H

#include <stdint.h>

#include "prism/prism.h"
#include "tools/common/attention.h"
#include "tools/common/cli.h"
#include "tools/common/json.h"

struct engine_options {
    const char *model;     /* NULL: not given */
    int64_t n_threads, n_threads_batch; /* 0: not given; one number serves both */
    const char *cpu_level; /* NULL: best */
    int compute;           /* enum prism_compute */
    int cache_k, cache_v;  /* index in "f16 bf16 f32 q8_0", -1: not given */
    bool no_bind, check_tensors;
    struct attention_options attention;
};

extern const struct engine_options engine_defaults;
extern const struct cli_option engine_rows[]; /* for a CLI_ROWS row */

/* Parameters of a context from the flags, n_ctx left 0. PROCESS_ERROR after one line. */
int engine_context_params(const struct engine_options *o, struct prism_context_params *params);

/* Load --model; warnings go to stderr, one line each. PROCESS_ERROR after one line (also without --model). */
int engine_load(const struct engine_options *o, bool vocab_only, prism_model **model);

/* One line for a call of the library that failed, with the flag that helps where values were beyond the cache's type; PROCESS_ERROR. */
int engine_error(const struct prism_error *err);

/* Whether logits are numbers to draw from; if not, *err tells which is none. */
bool engine_logits_finite(const float *logits, size_t n_vocab, struct prism_error *err);

/* Plan and create a context, with threads bound only when they take all cores. A warning when the system refused some of its threads:
 * plan->n_threads says how many there are. PROCESS_ERROR after one line. */
int engine_open_context(const prism_model *model, const struct prism_context_params *params, struct prism_plan *plan, prism_context **ctx);

/* All of a text as tokens, malloc'ed. PROCESS_ERROR after one line. */
int engine_tokenize(const prism_model *model, const char *text, size_t len, unsigned flags, int32_t **tokens, size_t *n);

/* On stdout: facts of the model and the plan of a context of n_ctx tokens (0: trained length), as a table or as JSON; the
 * kernels of --cpu-level. Exit status, PROCESS_ERROR after one line. */
int engine_show_info(const struct engine_options *o, uint32_t n_ctx, bool json);
int engine_show_kernels(const struct engine_options *o);

/* "f16", ... */
const char *engine_kv_type_name(enum prism_kv_type t);

/* One member each: "model", "plan", "threads", "stats". */
void engine_json_model(struct json *j, const struct prism_model_info *m);
void engine_json_plan(struct json *j, const struct prism_plan *p);
void engine_json_threads(struct json *j, prism_context *ctx);
void engine_json_stats(struct json *j, const struct prism_stats *s);

#endif
