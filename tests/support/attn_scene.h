/* attn_scene.h - an attention tile, or what a row kernel is given, with operands at random, and the judge of its rows: double. For the tests of
 * arch/ that look at numbers. */
#ifndef PRISM_TESTS_ATTN_SCENE_H
#define PRISM_TESTS_ATTN_SCENE_H

#include "src/kernels.h"

enum attn_logits {
    MODERATE,    /* scaled so that the largest magnitude is 30, where struct prism_attention.err holds */
    EQUAL,       /* q = 0: the output is the mean of the visible values */
    PEAKED,      /* one visible key is 1000 above the rest: the output is its value */
    HUGE_LOGITS, /* from -1e4 to 1e4 */
    N_ATTN_LOGITS
};

enum attn_list { ALL_BLOCKS, SINK_AND_DIAGONAL, EVERY_THIRD };

struct attn_shape {
    size_t d, block;
    size_t rows;         /* 0: tile_rows; more than tile_rows: one less */
    size_t q_pos, more;  /* kv_len = q_pos + rows + more */
    enum attn_list list;
    enum prism_kv_format format;
    const char *why;
};

/* What goes beyond dense causal attention: fields of struct prism_attn_tile. */
struct attn_extras {
    size_t window;
    float softcap;
    const float *sink;
};

/* One tile: the operands as a caller has them and as doubles. */
struct attn_scene {
    const struct prism_attention *a; /* NULL: a row kernel */
    struct prism_attn_tile t;
    size_t piece;            /* of keys, of a row kernel that rounds queries (values) in Q8_0; else 0 */
    float *q;                /* [rows][d] stride ldq */
    float *k, *v;            /* [kv_len][d] as the cache's rounding left them */
    uint32_t *blocks;
    bool *is_listed;         /* by block */
};

extern const char *const attn_logit_names[N_ATTN_LOGITS];

/* Window number w (0: none) for blocks of `block` keys, or pieces, with a softcap and a sink that take turns by i + w. */
enum { N_ATTN_WINDOWS = 9 };
struct attn_extras attn_scene_extras(size_t i, size_t w, size_t block);

/* The tile of a shape: its operands are frozen, blocks that are not listed stay the NaN pattern of kt_alloc. o is NULL. extras: NULL for none. */
void attn_scene_make(struct attn_scene *s, const struct prism_attention *a, const struct attn_shape *shape, enum attn_logits logits,
                     const struct attn_extras *extras);

/* kv_len keys and values of d, as a cache of the format stores them at *k and *v, against the queries of the last `rows` positions: as rows of a
 * tile with one block that holds everything. */
void attn_scene_make_rows(struct attn_scene *s, size_t d, size_t kv_len, size_t rows, enum prism_kv_format format, enum attn_logits logits,
                          const struct attn_extras *extras, void **k, void **v);

/* The first key that row r sees. */
size_t attn_scene_first_key(const struct attn_scene *s, size_t r);

/* Judge: double, rows one by one. o: stride ldo. */
void attn_scene_check_rows(const struct attn_scene *s, const float *o, size_t ldo, enum attn_logits logits);

#endif
