/* attention.h - the flags that choose attention, and what was chosen as a table and as JSON. Shared by the tools. */
#ifndef PRISM_TOOLS_ATTENTION_H
#define PRISM_TOOLS_ATTENTION_H

#include "prism/prism.h"
#include "tools/common/cli.h"
#include "tools/common/json.h"

struct attention_options {
    const char *selector;            /* "auto", "dense" or a selector */
    int64_t block;                   /* 0: default, as in all fields below */
    double p, p_high, p_low;
    int64_t high_dim, low_dim;
    int bands, energy;               /* 0 default, 1 rule; 0 global, 1 causal */
    const char *dense_layers;        /* "0,1,5-7" */
    int64_t dense_tail;              /* -1: default; the field to set in an options struct's defaults */
    int64_t min_tokens;
    int64_t sink, window, vertical, slash, min_budget, stride;
    double gamma, tau, threshold, row_mass;
};

extern const struct cli_option attention_rows[]; /* all but the selector, for a CLI_ROWS row */

/* PROCESS_ERROR after one line. */
int attention_params(const struct attention_options *o, struct prism_attention_params *params);

/* Chosen part of the causal blocks of a layer, all heads; 1 when it was dense. */
double attention_layer_density(const prism_context *ctx, const struct prism_model_info *m, uint32_t layer);

/* The same for all layers that were not dense; 1 when all were. */
double attention_density(const prism_context *ctx, const struct prism_model_info *m);

/* Density and selected mass of every layer and head on stderr; nothing when attention was dense. */
void attention_print_stats(const prism_context *ctx, const struct prism_model_info *m, const struct prism_plan *p,
                           const struct prism_stats *s);

/* One member "attention": selector, block, density, times, and density per layer and head. */
void attention_json(struct json *j, const prism_context *ctx, const struct prism_model_info *m, const struct prism_plan *p,
                    const struct prism_stats *s);

#endif
