/* context.h - one conversation with a model: its cache, its planned memory, its team. Private to src/engine.
 *
 * Everything that a prefill touches is laid out once by prism_context_layout; nothing is allocated in layers. */
#ifndef PRISM_ENGINE_CONTEXT_H
#define PRISM_ENGINE_CONTEXT_H

#include <stdatomic.h>

#include "src/attention/select.h"
#include "src/attention/sketch.h"
#include "src/base/arena.h"
#include "src/engine/delta.h"
#include "src/engine/kv.h"
#include "src/kernels.h"
#include "src/model/model.h"
#include "src/threads/team.h"

enum {
    PRISM_SLAB_TOKENS = 512,  /* tokens that go through the linear layers together: activations of a slab stay near the cores */
    PRISM_DENSE_BLOCK = 128,  /* keys per packed block where nothing is ever selected */
    PRISM_MAX_KINDS = 3,      /* of linear layers that the products of one group (q, k, v) may need */
    PRISM_PACK_ROWS = 24,     /* rows that an activation job packs: a multiple of every kind's panel */
    PRISM_FEW_TOKENS = 16,    /* at most so many rows are multiplied straight from the stored weights, and attend row by row */
};

/* Where the time of a prefill goes. */
enum prism_phase {
    PRISM_PHASE_LINEAR, PRISM_PHASE_ATTENTION, PRISM_PHASE_SELECT, PRISM_PHASE_OTHER, PRISM_N_PHASES
};

/* Of a layer that may select; NULL in others. */
struct prism_pooled {
    float *k_sum;                   /* [n_head_kv][max_blocks][head_dim] fp32 sums of rotated keys: of the layer that makes them */
    float *k_sum_open;              /* [n_head_kv][head_dim]: those of the open block when the call began. NULL: another layer makes the keys */
    float *q_energy;                /* [n_head][max_blocks][3] */
};

/* What a context with a selector keeps beside its cache, and the scratch of one layer's selection. */
struct prism_selection {
    const struct prism_selector *selector; /* NULL: dense */
    struct prism_select_params params;
    uint64_t dense_layers[8];
    size_t dense_tail, min_tokens, max_blocks;
    size_t first, n_rows;           /* query blocks of the running call */
    uint32_t *dim_order;            /* [head_dim]: dims by frequency */
    struct prism_pooled *pooled;    /* [n_layer] */
    uint8_t *q_full;                /* [max_blocks] */
    struct prism_sketch *sketch;    /* [n_layer] of a selector that keeps one; empty where a layer never selects */
    float *q_mean, *k_mean;         /* [n_head][n_rows][head_dim], [n_head_kv][n_blocks][head_dim] of the layer; q: sums, then means */
    uint64_t *bits;
    uint32_t *order;
    uint8_t *shared;
    double *mass;                   /* [n_head] */
    struct prism_head_stats *stats; /* of all heads of all layers; mass: a sum over calls */
    double *mass_calls;             /* how many means that sum adds up */
    struct prism_head_stats *call_stats; /* of the running call; causal_blocks 0: the layer chose nothing */
    bool counted;                   /* the running call has some */
};

/* Calls with one progress, in turn; work in its units. */
struct prism_series {
    uint64_t total, before, now;    /* work: of all, of those that are done, of the one that is running */
    size_t n_tokens;                /* of all */
    double started_ms;
    bool last;
};

/* Rotations of the rows of a call. */
struct prism_rope_table {
    float *cos, *sin;               /* [n_ctx][n_rot / 2] */
};

struct prism_product; /* linear.h */

/* Which experts take which rows of the running call, see experts.c. */
struct prism_routes {
    uint32_t *expert;               /* [n_ctx][n_used] of each row, the best first */
    float *weight;                  /* of them */
    uint32_t *sorted;               /* pairs of a row and an expert, indices of the two above, by expert */
    size_t *begin;                  /* [n + 1] where an expert's pairs begin in `sorted` */
    float *logits;                  /* [slab][n] of the router */
    float *shared;                  /* [n_ctx] weights of the shared expert */
    uint32_t *to;                   /* of the rows of a group of experts: rows of the call */
    float *to_weight;
    struct prism_product *gated, *down; /* [n] */
    float *sum;                     /* [n_ctx][n_embd] what they add, where a norm follows; else NULL */
};

struct prism_context {
    const struct prism_model *model;
    const struct prism_kernels *kernels;
    const struct prism_attention *attention;
    struct prism_team *team;
    bool bind_threads;
    struct prism_plan plan;
    enum prism_compute compute;
    struct prism_selection selection;

    /* one reservation, handed out by prism_context_layout */
    uint8_t *base;
    uint64_t bytes, fixed_bytes;    /* fixed: at its beginning, what every call uses whole */
    struct prism_kv_cache k_cache, v_cache;
    struct prism_delta delta;
    float *x;                       /* [n_ctx][n_embd] residual stream of the call */
    float *q;                       /* [n_ctx][n_head * head_dim of the layer] queries, then attention output; then [n_ctx][n_embd] what experts
                                     * read */
    struct prism_rope_table rope[PRISM_MAX_ROPES];
    float *y;                       /* [slab][y_width] outputs of linear layers; those of gated products may be panels instead */
    size_t y_width;
    float *half;                    /* [slab][n_embd] what half a layer adds, where a norm follows; else NULL */
    struct prism_routes routes;
    uint8_t *a_panels;              /* activation panels of a slab */
    uint8_t *w_panels;              /* [n_threads][w_panel_bytes]: the piece of weights that a thread multiplies */
    size_t w_panel_bytes;
    uint8_t *attn_panels;           /* packed keys, then values, of prism_heads_at_once kv heads */
    uint8_t *thread_scratch;        /* [n_threads][thread_bytes] */
    size_t thread_bytes, thread_used; /* used: without what keeps threads apart */
    uint32_t *blocks;               /* 0, 1, 2, ...: the block list of dense attention, plan.block keys each */
    float *logits;                  /* [n_vocab] of the last token */
    float *logits_next;             /* [n_vocab] that the running call makes: they change places when it succeeds */
    float *logits_rows;             /* [logits_n][n_vocab] for the callback */
    size_t logits_n;

    size_t length;                  /* tokens in the cache */
    int32_t *tokens;                /* [n_ctx] of the reservation: those in the cache, then those of the running call */
    const double *cached_freq;      /* that the cached keys were rotated with; NULL: the cache must be made again from the tokens */
    size_t kept_from;               /* keys and values from this position on are there in all layers, see kv.h */
    bool logits_valid;

    /* what of them prism_prefill_to may keep, see reuse.h */
    uint8_t *cuts;                  /* [n_blocks + 1], entry b: of the first b blocks */
    size_t whole;                   /* tokens whose keys and values are there in all layers */
    bool logits_exact;

    /* the call that is running */
    const struct prism_prefill_params *params;
    const struct prism_series *series; /* NULL: it stands alone */
    size_t call_tokens;
    uint64_t work_total;
    double started_ms;
    _Atomic uint64_t work_done;
    size_t running_layer;           /* n_layer: the logits */
    _Atomic uint64_t fault;         /* UINT64_MAX: none, see finite.h */
    atomic_bool cancelled;
    double call_ms[PRISM_N_PHASES];
    struct prism_layer_stats *layer_call;  /* [n_layer], of the reservation */

    /* totals of the calls that succeeded */
    struct prism_stats stats;
    struct prism_layer_stats *layer_stats; /* [n_layer], of the reservation */
};

/* The level of an index of prism_level_name: the levels compiled in, in the order of enum prism_level. -1: out of range. */
int prism_level_at(int index);

/* Hands out (or, with a->base NULL, adds up) every buffer of c, whose model, kernels and plan parameters are set. */
void prism_context_layout(struct prism_context *c, struct prism_arena *a);

/* Before a call over n tokens from absolute position pos on touches the memory: huge pages where it fills whole ones. */
void prism_context_advise(struct prism_context *c, size_t pos, size_t n);

/* What of c's memory, and of its model's file, lies where on a machine with several memory nodes (src/threads/memory.h): what jobs of any thread
 * read and write is shared, cache and activations too, as jobs go to whichever thread is free. areas: NULL, or room for all. Returns how many. */
struct prism_memory_area;
size_t prism_context_areas(const struct prism_context *c, struct prism_memory_area *areas);

/* The reservation and the team of c, whose plan and parameters are set: an empty context. After a failure, free c. */
enum prism_status prism_context_open(struct prism_context *c, struct prism_error *err);

/* Whether n tokens are ids of the vocabulary: PRISM_E_ARG names the first that is none. */
enum prism_status prism_check_ids(const struct prism_context *c, const int32_t *tokens, size_t n, struct prism_error *err);

/* Units of work of an ordinary call over n tokens from position pos on. */
double prism_call_work(const struct prism_context *c, size_t pos, size_t n);

/* Before and after the phases of a call: the clock and the progress, whose units are `work`. When the phases are done, the end tells the
 * progress so, which is the last chance to cancel; returns whether the call succeeds. */
void prism_context_begin(struct prism_context *c, const struct prism_prefill_params *params, size_t n_tokens, double work);
bool prism_context_end(struct prism_context *c, bool done);

/* Adds what the call of n_tokens took to the statistics. Calls that fail are not counted. */
void prism_context_count(struct prism_context *c, size_t n_tokens);

/* Run jobs of one phase on the team: time goes to `phase`, `work` units per job to the progress, which is told after every job of the
 * calling thread and at the end. Jobs are skipped once the call is cancelled. Returns false then, and when a value was found not to be
 * finite (finite.h). */
bool prism_context_run(struct prism_context *c, enum prism_phase phase, size_t n_jobs, double work, prism_job_fn *fn, void *arg);

static inline void *prism_thread_scratch(const struct prism_context *c, uint32_t thread)
{
    return c->thread_scratch + (size_t)thread * c->thread_bytes;
}

static inline uint8_t *prism_thread_panels(const struct prism_context *c, uint32_t thread)
{
    return c->w_panels + (size_t)thread * c->w_panel_bytes;
}

static inline const struct prism_attn_spec *prism_heads(const struct prism_context *c, size_t layer) { return &c->model->layers[layer].attn; }

/* The most of each that a layer has. */
struct prism_widths {
    size_t n_head, q, kv; /* q, kv: values of a token's queries, of its keys */
    size_t ff, expert, embd; /* embd: of an embedding for the layer alone */
    size_t gates, inner;     /* of all heads: where attention has gates, where a delta net is in its place */
    bool post_norm, experts, sums; /* a norm follows half a layer; there are experts; one follows what they add */
};
struct prism_widths prism_widths(const struct prism_model *m);

/* kv heads of a layer whose keys and values are packed at once. */
uint32_t prism_heads_at_once(const struct prism_context *c, size_t layer);

double prism_now_ms(void);

#endif
