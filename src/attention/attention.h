/* attention.h - causal attention of one layer over the cache: packs keys and values, lists blocks, cuts tiles into jobs.
 *
 * Owns the order of the work; the arithmetic is the kernels', memory and threads are the caller's (engine). */
#ifndef PRISM_ATTENTION_ATTENTION_H
#define PRISM_ATTENTION_ATTENTION_H

#include "src/kernels.h"
#include "src/threads/team.h"

/* Runs jobs on the caller's team and counts `work` units per job as progress; false: the caller wants to stop. */
struct prism_runner {
    bool (*run)(void *self, size_t n_jobs, double work, prism_job_fn *fn, void *arg);
    void *self;
};

struct prism_mask; /* select.h */

struct prism_attention_call {
    const struct prism_kernels *kernels;
    const struct prism_attention *family; /* for tiles */
    prism_attn_row_fn *attn_row;          /* for rows */
    struct prism_runner runner;
    size_t n_threads;                     /* that the runner has */

    float *q;                  /* [n_rows][n_head][d], rotated, unscaled; replaced by the attention output */
    size_t n_rows, q_pos;      /* row 0 stands at absolute position q_pos; the cache holds q_pos + n_rows tokens */
    size_t n_head, n_head_kv, d;
    float scale, softcap;      /* as in struct prism_attn_tile */
    size_t window;             /* keys that a row sees, itself among them; 0: all before it. Not with a mask */
    bool chunked;              /* of a window, a multiple of the block: a row sees back to the last multiple of it */
    const float *sinks;        /* [n_head] or NULL: struct prism_attn_tile.sink of each head */

    const uint8_t *k, *v;      /* cache of the layer: [n_head_kv] of `capacity` rows, heads k_head_bytes (v_head_bytes) apart; a token's keys at */
    size_t k_head_bytes, v_head_bytes; /* position p lie in row p % capacity. capacity: at least kv_len for tiles, for rows the window */
    size_t capacity;           /* and n_rows, a multiple of PRISM_ATTN_ROW_KEYS where it is below kv_len */
    enum prism_kv_format k_format, v_format;

    size_t block;              /* keys per packed block */
    const uint32_t *blocks;    /* 0, 1, 2, ...: block list of dense attention, at least ceil(kv_len / block) */
    const struct prism_mask *mask; /* NULL: dense. Else the blocks of each head and query block; rows of the call's blocks from q_pos on */
    size_t dense_from;         /* with a mask: rows at this absolute position and later attend to everything */
    uint32_t *order;           /* with a mask: scratch of two entries per head and tile */
    uint8_t *panels;           /* heads_at_once times prism_attention_head_bytes; of rows: prism_attention_rows_bytes */
    size_t heads_at_once;
    uint8_t *scratch;          /* per thread, scratch_bytes apart: see prism_attention_scratch */
    size_t scratch_bytes;
};

/* Bytes of scratch that a thread needs for up to n_ctx tokens, tiles or rows. */
size_t prism_attention_scratch(const struct prism_attention *family, size_t d, size_t block, size_t n_ctx);

/* Bytes of the packed keys and values of a kv head. */
size_t prism_attention_head_bytes(const struct prism_attention *family, size_t d, size_t block, size_t kv_len);

/* Rows of a query tile: a tile lies in one block of the grid. */
size_t prism_attention_tile_rows(const struct prism_attention *family, size_t block);

/* The first key that the row at position pos sees; window 0: none. */
static inline size_t prism_first_key(size_t window, bool chunked, size_t pos)
{
    return !window ? 0 : chunked ? pos / window * window : pos + 1 > window ? pos + 1 - window : 0;
}

/* How many keys n rows from position pos on see, for estimates of work. */
static inline double prism_keys_seen(size_t window, bool chunked, double pos, double n)
{
    double all = n * (pos + 0.5 * (n + 1)), most = n * (double)window * (chunked ? 0.5 : 1);
    return window && most < all ? most : all;
}

/* How attention by tiles is split into jobs: pure functions, which the model of scaling (tools/bench/scaling.h) shares. */
struct prism_attention_split {
    size_t q_pos, n_rows, block, tile_rows, n_threads;
    size_t window;              /* and chunked: as in struct prism_attention_call */
    bool chunked;
    size_t n_heads, group;      /* kv heads at once; query heads of each */
    /* by prism_attention_split */
    size_t kv_len, n_blocks, first_block; /* first_block: that a row sees */
    size_t first_tile, n_tiles; /* of the grid */
    size_t pack_blocks, packs_per_head; /* blocks of a packing job; such jobs of a kv head */
};
void prism_attention_split(struct prism_attention_split *s);

static inline size_t prism_attention_pack_jobs(const struct prism_attention_split *s) { return s->n_heads * s->packs_per_head; }
static inline size_t prism_attention_tile_jobs(const struct prism_attention_split *s) { return s->n_tiles * s->n_heads * s->group; }

/* Blocks [block, end) of kv head `slot` of those at once. */
struct prism_attention_pack {
    size_t slot, block, end;
};
struct prism_attention_pack prism_attention_pack_of(const struct prism_attention_split *s, size_t job);

/* Rows [pos, end) of query head `head` of those at once; n_blocks: that they see without a mask. In ascending order the longest come first. */
struct prism_attention_rows_of_head {
    size_t head, pos, end, first_block, n_blocks;
};
struct prism_attention_rows_of_head prism_attention_tile_of(const struct prism_attention_split *s, size_t job);

/* Query tiles against packed blocks: for prompts. Returns false when the runner wanted to stop. */
bool prism_attention_tiles(const struct prism_attention_call *a);

/* From the cache as stored, which is read once for the query heads that share a kv head: for decode and a few tokens. */
bool prism_attention_rows(const struct prism_attention_call *a);

/* Bytes of panels that it needs for n_rows rows that end at n_ctx tokens at most. */
size_t prism_attention_rows_bytes(size_t n_rows, size_t n_head, size_t d, size_t n_ctx);

#endif
