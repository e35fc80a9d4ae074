/* attention.c - see attention.h. */
#include "tools/common/attention.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/process.h"

#define AT(field) offsetof(struct attention_options, field)

const struct cli_option attention_rows[] = {
    { .kind = CLI_INT, .names = "--prism-block", .arg = "N", .offset = AT(block), .min = 32, .max = 256, .initial = "64",
      .help = "tokens per block: 32, 64, 128 or 256" },
    { .kind = CLI_REAL, .names = "--prism-p", .arg = "P", .offset = AT(p), .min = 1e-6, .max = 1, .initial = "0.95",
      .help = "top-p of both frequency bands" },
    { .kind = CLI_REAL, .names = "--prism-p-high", .arg = "P", .offset = AT(p_high), .min = 1e-6, .max = 1, .initial = "--prism-p",
      .help = "top-p of the high band" },
    { .kind = CLI_REAL, .names = "--prism-p-low", .arg = "P", .offset = AT(p_low), .min = 1e-6, .max = 1, .initial = "--prism-p",
      .help = "top-p of the low band" },
    { .kind = CLI_INT, .names = "--prism-high-dim", .arg = "N", .offset = AT(high_dim), .min = 2, .max = 512, .initial = "half of the rotated dims",
      .help = "dims of the high band, even" },
    { .kind = CLI_INT, .names = "--prism-low-dim", .arg = "N", .offset = AT(low_dim), .min = 2, .max = 512, .initial = "three quarters, and all unrotated",
      .help = "dims of the low band, even" },
    { .kind = CLI_CHOICE, .names = "--prism-bands", .arg = "default|rule", .offset = AT(bands), .choices = "default rule",
      .help = "rule: bands from what pooling leaves of each pair" },
    { .kind = CLI_CHOICE, .names = "--prism-energy", .arg = "global|causal", .offset = AT(energy), .choices = "global causal",
      .help = "temperatures from the whole prompt or from the blocks so far" },
    { .kind = CLI_TEXT, .names = "--prism-dense-layers", .arg = "LIST", .offset = AT(dense_layers), .initial = "none",
      .help = "layers with dense attention: 0,1,5-7" },
    { .kind = CLI_INT, .names = "--prism-dense-tail", .arg = "N", .offset = AT(dense_tail), .min = 0, .max = 1 << 30, .initial = "one block",
      .help = "last tokens of a prompt that attend to everything" },
    { .kind = CLI_REAL, .names = "--prism-t", .arg = "T", .offset = AT(row_mass), .min = 1e-6, .max = 1, .initial = "0.14",
      .help = "prism-rows: part of a row's attention that makes it need a block" },
    { .kind = CLI_INT, .names = "--prism-min-tokens", .arg = "N", .offset = AT(min_tokens), .min = 1, .max = 1 << 30, .initial = "8192 with auto",
      .help = "shorter prompts are dense" },
    { .kind = CLI_INT, .names = "--stream-sink", .arg = "N", .offset = AT(sink), .min = 1, .max = 1 << 30, .initial = "128",
      .help = "streaming: first tokens" },
    { .kind = CLI_INT, .names = "--stream-window", .arg = "N", .offset = AT(window), .min = 1, .max = 1 << 30, .initial = "2048",
      .help = "streaming: last tokens" },
    { .kind = CLI_INT, .names = "--vs-vertical", .arg = "N", .offset = AT(vertical), .min = 1, .max = 1 << 30, .initial = "1000",
      .help = "vertical-slash: columns" },
    { .kind = CLI_INT, .names = "--vs-slash", .arg = "N", .offset = AT(slash), .min = 1, .max = 1 << 30, .initial = "6096",
      .help = "vertical-slash: diagonals" },
    { .kind = CLI_REAL, .names = "--flex-gamma", .arg = "P", .offset = AT(gamma), .min = 1e-6, .max = 1, .initial = "0.95",
      .help = "flexprefill: mass to cover" },
    { .kind = CLI_REAL, .names = "--flex-tau", .arg = "T", .offset = AT(tau), .min = 1e-6, .max = 1, .initial = "0.1",
      .help = "flexprefill: distance below which a head is query-aware" },
    { .kind = CLI_INT, .names = "--flex-min-budget", .arg = "N", .offset = AT(min_budget), .min = 0, .max = 1 << 30, .initial = "0",
      .help = "flexprefill: least tokens" },
    { .kind = CLI_INT, .names = "--xattn-stride", .arg = "N", .offset = AT(stride), .min = 2, .max = 64, .initial = "8",
      .help = "xattention: stride" },
    { .kind = CLI_REAL, .names = "--xattn-threshold", .arg = "P", .offset = AT(threshold), .min = 1e-6, .max = 1, .initial = "0.9",
      .help = "xattention: mass to cover" },
    { 0 },
};

/* "0,1,5-7" to bits. */
static int parse_layers(const char *text, uint64_t bits[8])
{
    for (const char *p = text; *p;) {
        char *end;
        errno = 0;
        unsigned long from = strtoul(p, &end, 10), to = from;
        bool good = end != p && *p != '-' && *p != '+';
        if (good && *end == '-') {
            p = end + 1;
            to = strtoul(p, &end, 10);
            good = end != p;
        }
        if (!good || errno || to < from || to >= 512 || (*end && *end != ','))
            return process_error("--prism-dense-layers %s: expected numbers and ranges of 0..511, as in 0,1,5-7", text);
        for (; from <= to; from++)
            bits[from / 64] |= UINT64_C(1) << from % 64;
        p = *end ? end + 1 : end;
    }
    return PROCESS_OK;
}

int attention_params(const struct attention_options *o, struct prism_attention_params *a)
{
    bool known = !strcmp(o->selector, "auto") || !strcmp(o->selector, "dense");
    char names[256] = "auto dense";

    for (int i = 0; i < prism_selector_count(); i++) {
        known |= !strcmp(o->selector, prism_selector_name(i));
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", prism_selector_name(i));
    }
    if (!known)
        return process_error("--attn %s: expected one of: %s", o->selector, names);
    *a = (struct prism_attention_params){
        .selector = o->selector, .block = (uint32_t)o->block,
        .p_high = (float)(o->p_high > 0 ? o->p_high : o->p), .p_low = (float)(o->p_low > 0 ? o->p_low : o->p),
        .high_dim = (uint32_t)o->high_dim, .low_dim = (uint32_t)o->low_dim,
        .bands_by_rule = o->bands == 1, .causal_energy = o->energy == 1,
        .dense_tail = o->dense_tail == 0 ? PRISM_NO_TAIL : o->dense_tail < 0 ? 0 : (uint32_t)o->dense_tail,
        .min_tokens = (uint32_t)o->min_tokens, .sink = (uint32_t)o->sink, .window = (uint32_t)o->window,
        .vertical = (uint32_t)o->vertical, .slash = (uint32_t)o->slash, .min_budget = (uint32_t)o->min_budget,
        .stride = (uint32_t)o->stride, .gamma = (float)o->gamma, .tau = (float)o->tau, .threshold = (float)o->threshold, .row_mass = (float)o->row_mass,
    };
    return o->dense_layers ? parse_layers(o->dense_layers, a->dense_layers) : PROCESS_OK;
}

/* Sums over the heads of a layer. */
static struct prism_head_stats layer_stats(const prism_context *ctx, const struct prism_model_info *m, uint32_t layer)
{
    struct prism_head_stats sum = { 0 }, head;
    for (uint32_t h = 0; h < m->n_head && prism_get_head_stats(ctx, layer, h, &head); h++) {
        sum.chosen_blocks += head.chosen_blocks;
        sum.causal_blocks += head.causal_blocks;
        sum.mass += head.mass / m->n_head;
    }
    return sum;
}

static double density(const struct prism_head_stats *s)
{
    return s->causal_blocks ? (double)s->chosen_blocks / (double)s->causal_blocks : 1;
}

double attention_layer_density(const prism_context *ctx, const struct prism_model_info *m, uint32_t layer)
{
    struct prism_head_stats sum = layer_stats(ctx, m, layer);
    return density(&sum);
}

static struct prism_head_stats all_stats(const prism_context *ctx, const struct prism_model_info *m)
{
    struct prism_head_stats sum = { 0 };
    for (uint32_t l = 0; l < m->n_layer; l++) {
        struct prism_head_stats s = layer_stats(ctx, m, l);
        sum.chosen_blocks += s.chosen_blocks;
        sum.causal_blocks += s.causal_blocks;
    }
    return sum;
}

double attention_density(const prism_context *ctx, const struct prism_model_info *m)
{
    struct prism_head_stats sum = all_stats(ctx, m);
    return density(&sum);
}

void attention_print_stats(const prism_context *ctx, const struct prism_model_info *m, const struct prism_plan *p,
                           const struct prism_stats *s)
{
    struct prism_head_stats all = all_stats(ctx, m), head;

    if (!all.causal_blocks)
        return;
    fprintf(stderr, "attention       %s, blocks of %u tokens, density %.4f, selection %.1f ms, attention %.1f ms\n", p->selector, p->block,
            density(&all), s->select_ms, s->attention_ms);
    fprintf(stderr, "layer  density   mass  density of each head\n");
    for (uint32_t l = 0; l < m->n_layer; l++) {
        struct prism_head_stats sum = layer_stats(ctx, m, l);
        if (!sum.causal_blocks) {
            fprintf(stderr, "%5u   dense\n", l);
            continue;
        }
        fprintf(stderr, "%5u    %.4f  ", l, density(&sum));
        fprintf(stderr, isnan(sum.mass) ? "   - " : "%.3f", sum.mass);
        for (uint32_t h = 0; h < m->n_head && prism_get_head_stats(ctx, l, h, &head); h++)
            fprintf(stderr, " %s%.3f", h && h % 16 == 0 ? "\n                       " : "", density(&head));
        fputc('\n', stderr);
    }
}

void attention_json(struct json *j, const prism_context *ctx, const struct prism_model_info *m, const struct prism_plan *p,
                    const struct prism_stats *s)
{
    struct prism_head_stats all = all_stats(ctx, m), head;

    json_object(j, "attention");
    json_text(j, "selector", all.causal_blocks ? p->selector : "dense");
    json_int(j, "block", p->block);
    json_real(j, "density", density(&all));
    json_real(j, "select_ms", s->select_ms);
    json_real(j, "attention_ms", s->attention_ms);
    json_array(j, "layers");
    for (uint32_t l = 0; l < m->n_layer; l++) {
        struct prism_head_stats sum = layer_stats(ctx, m, l);
        json_object(j, NULL);
        json_real(j, "density", density(&sum));
        if (sum.causal_blocks && !isnan(sum.mass))
            json_real(j, "mass", sum.mass);
        json_array(j, "heads");
        for (uint32_t h = 0; h < m->n_head && prism_get_head_stats(ctx, l, h, &head); h++)
            json_real(j, NULL, density(&head));
        json_close(j);
        json_close(j);
    }
    json_close(j);
    json_close(j);
}
