/* scaling.h - a model of how a layer's time falls with the number of threads: the jobs that the engine would split it into (src/engine/split.h,
 * prism_attention_split), each with a cost, handed out as a team hands them out. For prism-bench scaling; nothing is computed or allocated.
 *
 * Of layers with attention and a dense gated FFN, in calls from an empty cache. */
#ifndef PRISM_TOOLS_SCALING_H
#define PRISM_TOOLS_SCALING_H

#include "src/kernels.h"

enum scaling_matrix { SCALING_Q, SCALING_K, SCALING_V, SCALING_O, SCALING_GATE, SCALING_DOWN, SCALING_MATRICES };

/* In the order in which they run; those of linear layers once for each slab. */
enum scaling_phase {
    SCALING_NORM, SCALING_QKV, SCALING_ROPE, SCALING_PACK_KV, SCALING_TILES, SCALING_PACK_O,
    SCALING_OUT, SCALING_FFN_NORM, SCALING_GATE_UP, SCALING_PACK_DOWN, SCALING_DOWN_OUT, SCALING_PHASES
};
const char *scaling_phase_name(enum scaling_phase phase);

/* Nanoseconds of one thread. */
struct scaling_costs {
    double multiply[SCALING_MATRICES]; /* a multiply-add of its kind */
    double pack_w[SCALING_MATRICES];   /* a weight unpacked */
    double pack_a[SCALING_MATRICES];   /* an activation packed for its kind */
    double norm, activate, rotate;           /* of a value: normalised; of the gated product's output; of heads, all that is done before attention */
    double pack_kv;                          /* a value of a key, and of its value, into panels */
    double tile;                             /* a dimension of a row and a key, both products and the softmax */
    double phase;                            /* to open and close one */
};

struct scaling_layer {
    size_t n_tokens, n_embd, n_head, n_head_kv, head_dim, n_ff;
    const struct prism_linear *kind[SCALING_MATRICES];
    const struct prism_attention *attention;
    size_t block;            /* keys per block */
    struct scaling_costs cost;
};

struct scaling_time {
    size_t n_jobs;           /* of all slabs */
    double busy, span;       /* nanoseconds: of all threads in jobs; until the last one ends. Idle are n_threads * span - busy */
};
struct scaling {
    struct scaling_time phase[SCALING_PHASES], total;
};

/* n_threads: 1 .. PRISM_MAX_THREADS. */
void scaling_model(const struct scaling_layer *l, size_t n_threads, struct scaling *out);

static inline double scaling_idle(const struct scaling_time *t, size_t n_threads)
{
    return t->span > 0 ? 1 - t->busy / ((double)n_threads * t->span) : 0;
}

#endif
