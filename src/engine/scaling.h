/* scaling.h - a model of how a layer's time falls with the number of threads: the jobs that the engine would split it into (split.h,
 * prism_attention_split), each with a cost, handed out as a team hands them out. For prism-bench scaling; nothing is computed or allocated.
 *
 * Of layers with attention and a dense gated FFN, in calls from an empty cache. */
#ifndef PRISM_ENGINE_SCALING_H
#define PRISM_ENGINE_SCALING_H

#include "src/kernels.h"

enum prism_scaling_matrix { PRISM_SCALING_Q, PRISM_SCALING_K, PRISM_SCALING_V, PRISM_SCALING_O, PRISM_SCALING_GATE, PRISM_SCALING_DOWN, PRISM_SCALING_MATRICES };

/* In the order in which they run; those of linear layers once for each slab. */
enum prism_scaling_phase {
    PRISM_SCALING_NORM, PRISM_SCALING_QKV, PRISM_SCALING_ROPE, PRISM_SCALING_PACK_KV, PRISM_SCALING_TILES, PRISM_SCALING_PACK_O,
    PRISM_SCALING_OUT, PRISM_SCALING_FFN_NORM, PRISM_SCALING_GATE_UP, PRISM_SCALING_PACK_DOWN, PRISM_SCALING_DOWN_OUT, PRISM_SCALING_PHASES
};
const char *prism_scaling_phase_name(enum prism_scaling_phase phase);

/* Nanoseconds of one thread. */
struct prism_scaling_costs {
    double multiply[PRISM_SCALING_MATRICES]; /* a multiply-add of its kind */
    double pack_w[PRISM_SCALING_MATRICES];   /* a weight unpacked */
    double pack_a[PRISM_SCALING_MATRICES];   /* an activation packed for its kind */
    double norm, activate, rotate;           /* of a value: normalised; of the gated product's output; of heads, all that is done before attention */
    double pack_kv;                          /* a value of a key, and of its value, into panels */
    double tile;                             /* a dimension of a row and a key, both products and the softmax */
    double phase;                            /* to open and close one */
};

struct prism_scaling_layer {
    size_t n_tokens, n_embd, n_head, n_head_kv, head_dim, n_ff;
    const struct prism_linear *kind[PRISM_SCALING_MATRICES];
    const struct prism_attention *attention;
    size_t block;            /* keys per block */
    struct prism_scaling_costs cost;
};

struct prism_scaling_time {
    size_t n_jobs;           /* of all slabs */
    double busy, span;       /* nanoseconds: of all threads in jobs; until the last one ends. Idle are n_threads * span - busy */
};
struct prism_scaling {
    struct prism_scaling_time phase[PRISM_SCALING_PHASES], total;
};

/* n_threads: 1 .. PRISM_MAX_THREADS. */
void prism_scaling(const struct prism_scaling_layer *l, size_t n_threads, struct prism_scaling *out);

static inline double prism_scaling_idle(const struct prism_scaling_time *t, size_t n_threads)
{
    return t->span > 0 ? 1 - t->busy / ((double)n_threads * t->span) : 0;
}

#endif
