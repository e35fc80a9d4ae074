/* bench_rows_other.c - rows of `prism-bench kernels`: vectors, attention, selection. */
#include <math.h>
#include <string.h>

#include "tools/bench/bench_rows.h"

/* ---- vectors ---- */

static bool make_vectors(struct bench_job *j, size_t bytes_per_value)
{
    size_t n = j->row->n;

    j->x = bench_floats(j, n);
    j->y = bench_floats(j, n);
    j->w = bench_floats(j, n);
    j->work = (double)(n * bytes_per_value);
    return true;
}

static bool make_6_bytes(struct bench_job *j) { return make_vectors(j, 6); }   /* float to half, or back */
static bool make_8_bytes(struct bench_job *j) { return make_vectors(j, 8); }   /* a word read, one written */
static bool make_12_bytes(struct bench_job *j) { return make_vectors(j, 12); } /* two read, one written */
static bool make_16_bytes(struct bench_job *j) { return make_vectors(j, 16); } /* three read, one written */
static bool make_28_bytes(struct bench_job *j) { return make_vectors(j, 28); } /* six read, one written */

static void run_rms_norm(struct bench_job *j) { j->k->rms_norm(j->y, j->x, j->w, j->row->n, 1e-6f); }

static void run_layer_norm(struct bench_job *j) { j->k->layer_norm(j->y, j->x, j->w, j->w, j->row->n, 1e-6f); }

/* These work in place: a copy each time keeps the numbers ordinary, and counts as part of the kernel. */
static float *copy_of_y(struct bench_job *j) { return memcpy(j->w, j->y, j->row->n * sizeof(float)); }

static void run_swiglu(struct bench_job *j) { j->k->gate[PRISM_GATE_SWIGLU](copy_of_y(j), j->x, j->row->n); }
static void run_geglu(struct bench_job *j) { j->k->gate[PRISM_GATE_GEGLU](copy_of_y(j), j->x, j->row->n); }
static void run_geglu_erf(struct bench_job *j) { j->k->gate[PRISM_GATE_GEGLU_ERF](copy_of_y(j), j->x, j->row->n); }
static void run_swiglu_clamped(struct bench_job *j) { j->k->gate[PRISM_GATE_SWIGLU_CLAMPED](copy_of_y(j), j->x, j->row->n); }
static void run_gelu(struct bench_job *j) { j->k->act[PRISM_ACT_GELU](copy_of_y(j), j->row->n); }
static void run_gelu_erf(struct bench_job *j) { j->k->act[PRISM_ACT_GELU_ERF](copy_of_y(j), j->row->n); }
static void run_relu2(struct bench_job *j) { j->k->act[PRISM_ACT_RELU2](copy_of_y(j), j->row->n); }
static void run_softcap(struct bench_job *j) { j->k->softcap(copy_of_y(j), 30, j->row->n); }
static void run_silu(struct bench_job *j) { j->k->act[PRISM_ACT_SILU](copy_of_y(j), j->row->n); }
static void run_add(struct bench_job *j) { j->k->add(copy_of_y(j), j->x, j->row->n); }
static void run_add_scaled(struct bench_job *j) { j->k->add_scaled(copy_of_y(j), 0.5f, j->x, j->row->n); }
static void run_scale(struct bench_job *j) { j->k->scale(copy_of_y(j), 0.5f, j->row->n); }

static void run_to_f16(struct bench_job *j) { j->k->f32_to_f16(j->w, j->x, j->row->n); }
static void run_to_bf16(struct bench_job *j) { j->k->f32_to_bf16(j->w, j->x, j->row->n); }
static void run_from_f16(struct bench_job *j) { j->k->f16_to_f32(j->y, j->w, j->row->n); }

static bool make_from_f16(struct bench_job *j)
{
    make_vectors(j, 6);
    j->k->f32_to_f16(j->w, j->x, j->row->n);
    return true;
}

/* ---- positions ---- */

static void fill_frequencies(double *freq, size_t n)
{
    for (size_t i = 0; i < n; i++)
        freq[i] = 1.0 / (double)(1 + i * i);
}

/* Cosines and sines that belong together: a head that is rotated over and over keeps its length. */
static bool make_rope(struct bench_job *j)
{
    size_t n = j->row->n;
    double *freq = bench_take(j, n / 2 * sizeof *freq);

    fill_frequencies(freq, n / 2);
    j->y = bench_floats(j, n);
    j->x = bench_floats(j, n / 2);
    j->w = bench_floats(j, n / 2);
    j->k->rope_table(j->x, j->w, freq, n / 2, 1000, 1, 1);
    j->work = (double)n * 3 * sizeof(float); /* the head read and written, and two tables of half its size */
    return true;
}

static void run_rope(struct bench_job *j) { j->k->rope(j->y, j->x, j->w, j->row->n, false); }
static void run_rope_interleaved(struct bench_job *j) { j->k->rope(j->y, j->x, j->w, j->row->n, true); }

/* m positions of n angles. */
static void run_rope_table(struct bench_job *j) { j->k->rope_table(j->x, j->y, j->w, j->row->n, 1000, j->row->m, 1); }

static bool make_rope_table(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    j->w = bench_take(j, r->n * sizeof(double));
    fill_frequencies(j->w, r->n);
    j->x = bench_floats(j, r->m * r->n);
    j->y = bench_floats(j, r->m * r->n);
    j->work = (double)(r->m * r->n) * 2 * sizeof(float);
    return true;
}

const struct bench_row bench_vector_rows[] = {
    { "rms_norm", make_16_bytes, run_rms_norm, BENCH_BY_OTHER, PRISM_F32, 0, 1024, 0 }, /* x is read twice */
    { "layer_norm", make_28_bytes, run_layer_norm, BENCH_BY_OTHER, PRISM_F32, 0, 1024, 0 }, /* x is read four times */
    { "rope", make_rope, run_rope, BENCH_BY_OTHER, PRISM_F32, 0, 128, 0 },
    { "rope_interleaved", make_rope, run_rope_interleaved, BENCH_BY_OTHER, PRISM_F32, 0, 128, 0 },
    { "rope_table", make_rope_table, run_rope_table, BENCH_BY_OTHER, PRISM_F32, 64, 64, 0 },
    { "swiglu", make_12_bytes, run_swiglu, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "geglu", make_12_bytes, run_geglu, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "geglu_erf", make_12_bytes, run_geglu_erf, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "swiglu_clamped", make_12_bytes, run_swiglu_clamped, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "gelu", make_8_bytes, run_gelu, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "gelu_erf", make_8_bytes, run_gelu_erf, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "relu2", make_8_bytes, run_relu2, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "silu", make_8_bytes, run_silu, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "softcap", make_8_bytes, run_softcap, BENCH_BY_OTHER, PRISM_F32, 0, 3072, 0 },
    { "add", make_12_bytes, run_add, BENCH_BY_OTHER, PRISM_F32, 0, 1024, 0 },
    { "add_scaled", make_12_bytes, run_add_scaled, BENCH_BY_OTHER, PRISM_F32, 0, 1024, 0 },
    { "scale", make_8_bytes, run_scale, BENCH_BY_OTHER, PRISM_F32, 0, 1024, 0 },
    { "f32_to_f16", make_6_bytes, run_to_f16, BENCH_BY_OTHER, PRISM_F32, 0, 4096, 0 },
    { "f32_to_bf16", make_6_bytes, run_to_bf16, BENCH_BY_OTHER, PRISM_F32, 0, 4096, 0 },
    { "f16_to_f32", make_from_f16, run_from_f16, BENCH_BY_OTHER, PRISM_F16, 0, 4096, 0 },
    { 0 },
};

/* ---- attention ---- */

/* All query rows of the last block against all keys: dense tiles at the end of a prompt. */
static void run_attention(struct bench_job *j)
{
    for (size_t r = 0; r < j->row->n; r += j->a->tile_rows) {
        struct prism_attn_tile t = j->tile;
        t.q += r * t.d;
        t.o += r * t.d;
        t.q_pos += r;
        j->a->tile(&t);
    }
}

/* window: 0, or so that all tiles of the last block see the same blocks. */
static bool make_attention(struct bench_job *j, const struct prism_attention *a, size_t window, float softcap)
{
    const size_t d = j->row->m, block = j->row->n, keys = j->row->k, n_blocks = keys / block;
    const size_t first = window ? (keys - block + 1 - window) / block : 0; /* block that is seen */
    const size_t k_bytes = a->k_block_bytes(d, block), v_bytes = a->v_block_bytes(d, block);
    const float *kv = bench_floats(j, 2 * block * d);
    char *k = bench_take(j, n_blocks * k_bytes), *v = bench_take(j, n_blocks * v_bytes);
    uint32_t *blocks = bench_take(j, n_blocks * sizeof *blocks);
    double seen = 0;

    for (uint32_t b = 0; b < n_blocks; b++) {
        a->pack_k(k + b * k_bytes, kv, PRISM_KVF_F32, block, d, block);
        a->pack_v(v + b * v_bytes, kv + block * d, PRISM_KVF_F32, block, d, block);
        blocks[b] = b;
    }
    for (size_t r = 0; r < block; r++)
        seen += (double)(window ? window : keys - block + r + 1);
    j->tile = (struct prism_attn_tile){ .q = bench_floats(j, block * d), .ldq = d, .o = bench_floats(j, block * d), .ldo = d,
        .rows = a->tile_rows, .d = d, .q_pos = keys - block, .kv_len = keys, .block = block, .k = k, .v = v, .blocks = blocks + first,
        .n_blocks = n_blocks - first, .scale = 0.1f, .window = window, .softcap = softcap, .scratch = bench_take(j, a->tile_scratch(d, block)) };
    j->a = a;
    j->kind = a->name;
    j->work = 4.0 * (double)d * seen;
    return true;
}

static bool make_attention_f32(struct bench_job *j) { return make_attention(j, j->k->attention_f32, 0, 0); }
static bool make_attention_auto(struct bench_job *j) { return make_attention(j, j->k->attention_auto, 0, 0); }
static bool make_attention_window(struct bench_job *j) { return make_attention(j, j->k->attention_auto, 128, 0); }
static bool make_attention_softcap(struct bench_job *j) { return make_attention(j, j->k->attention_auto, 0, 50); }

/* Keys and values of a cache in memory, the next ones every time. */
static void run_attn_row(struct bench_job *j)
{
    const enum prism_kv_format format = j->row->type == PRISM_Q8_0 ? PRISM_KVF_Q8_0 : PRISM_KVF_F16;
    const size_t d = j->row->m, n_q = j->row->n, keys = j->row->k, row_bytes = prism_kv_row_bytes(format, d), bytes = keys * row_bytes;
    const char *kv = bench_walk_next(j->walk, 2 * bytes);
    float max[PRISM_ATTN_ROW_Q], sum[PRISM_ATTN_ROW_Q];
    size_t seen[PRISM_ATTN_ROW_Q];

    for (size_t i = 0; i < n_q; i++) {
        max[i] = -INFINITY;
        sum[i] = 0;
        seen[i] = PRISM_ATTN_ROW_KEYS;
    }
    memset(j->y, 0, n_q * d * sizeof(float));
    for (size_t key = 0; key < keys; key += PRISM_ATTN_ROW_KEYS)
        j->k->attn_row_auto(&(struct prism_attn_row){
            .q = j->x, .n_q = n_q, .d = d, .k = kv + key * row_bytes, .v = kv + bytes + key * row_bytes,
            .k_format = format, .v_format = format, .n_keys = PRISM_ATTN_ROW_KEYS, .seen = seen, .scale = 0.1f, .o = j->y, .max = max, .sum = sum, .scores = j->w,
        });
}

static bool make_attn_row(struct bench_job *j)
{
    const size_t d = j->row->m, n_q = j->row->n, keys = j->row->k;

    bench_walk_fill(j->walk, j->row->type);
    j->x = bench_floats(j, n_q * d);
    j->y = bench_floats(j, n_q * d);
    j->w = bench_floats(j, n_q * PRISM_ATTN_ROW_KEYS);
    j->work = (double)(2 * prism_row_bytes(j->row->type, keys * d));
    return true;
}

/* ---- selection of key blocks ---- */

static void run_band_dots(struct bench_job *j)
{
    const size_t d = j->row->m, n = j->row->n;
    float *y = j->y;

    j->k->band_dots(y, y + n, y + 2 * n, j->x, j->w, n, d, d / 4, d / 2);
}

static bool make_band_dots(struct bench_job *j)
{
    const size_t d = j->row->m, n = j->row->n;

    j->x = bench_floats(j, d);
    j->w = bench_floats(j, n * d);
    j->y = bench_floats(j, 3 * n);
    j->work = (double)(n * d) * sizeof(float);
    return true;
}

static void run_softmax_q30(struct bench_job *j) { j->k->softmax_q30(j->y, j->x, j->row->n); }

/* 64 rows against blocks of 64 keys, or against the means of their keys alone. */
static void scan_blocks(struct bench_job *j, bool whole)
{
    const struct prism_sketch_scan *s = j->x;

    for (size_t t = 0; t < s->n_tiles; t++)
        for (size_t i = 0; i < PRISM_SKETCH_ROWS; i++)
            s->tiles[t].most[i] = -0x1p100f, s->tiles[t].sum[i] = 0;
    j->k->sketch_scan(s, j->row->k / s->block - 1, j->row->k / s->block, s->block, whole);
}

static void run_sketch_scan(struct bench_job *j) { scan_blocks(j, true); }
static void run_sketch_means(struct bench_job *j) { scan_blocks(j, false); }

static bool make_sketch_scan(struct bench_job *j)
{
    enum { TILES = 4 };
    const size_t rank = j->row->m, block = j->row->n, n_blocks = j->row->k / block;
    struct prism_sketch_scan *s = j->x = bench_take(j, sizeof *s);
    uint8_t *keys = bench_take(j, j->row->k * rank);
    int8_t *q = bench_take(j, TILES * PRISM_SKETCH_ROWS * rank);
    float *scale = bench_take(j, n_blocks * sizeof *scale);

    for (size_t i = 0; i < j->row->k * rank; i++)
        keys[i] = (uint8_t)(1 + i * 37 % 255);
    for (size_t i = 0; i < TILES * PRISM_SKETCH_ROWS * rank; i++)
        q[i] = (int8_t)(((int)(i * 91 % 255) - 127) * 10 / (int)(10 + i / (4 * PRISM_SKETCH_ROWS) % (rank / 4) * 4)); /* as a sketch's: sorted */
    for (size_t v = 0; v < n_blocks; v++)
        scale[v] = 1e-3f;
    *s = (struct prism_sketch_scan){ .tiles = bench_take(j, TILES * sizeof *s->tiles), .n_tiles = TILES, .keys = keys, .means = keys, .k_scale = scale, .k_rest = scale,
                                     .x = bench_floats(j, n_blocks * TILES * PRISM_SKETCH_ROWS), .block = block, .block_bytes = block * rank,
                                     .mean_bytes = rank, .rank = rank };
    for (size_t t = 0; t < TILES; t++) {
        s->tiles[t] = (struct prism_sketch_tile){ .q = q + t * PRISM_SKETCH_ROWS * rank };
        for (size_t i = 0; i < PRISM_SKETCH_ROWS; i++)
            s->tiles[t].scale[i] = 1e-2f, s->tiles[t].reach[i] = -0x1p100f; /* where means are judged, all are dropped */
    }
    j->kind = "i8";
    j->work = 2.0 * TILES * PRISM_SKETCH_ROWS * (double)(j->row->k * rank);
    return true;
}

static bool make_sketch_means(struct bench_job *j)
{
    bool made = make_sketch_scan(j);
    j->work /= (double)j->row->n;
    return made;
}

const struct bench_row bench_attention_rows[] = {
    { "attention_f32", make_attention_f32, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 64, 64, 1024 },
    { "attention_f32", make_attention_f32, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 128, 128, 2048 },
    { "attention_f32", make_attention_f32, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 256, 128, 2048 },
    { "attention_f32", make_attention_f32, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 512, 128, 2048 },
    { "attention_auto", make_attention_auto, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 64, 64, 1024 },
    { "attention_auto", make_attention_auto, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 128, 128, 2048 },
    { "attention_auto", make_attention_auto, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 256, 128, 2048 },
    { "attention_auto", make_attention_auto, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 512, 128, 2048 },
    { "attention_window", make_attention_window, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 64, 64, 1024 },
    { "attention_softcap", make_attention_softcap, run_attention, BENCH_BY_MULTIPLYING, PRISM_F32, 128, 128, 2048 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_F16, 64, 1, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_F16, 128, 1, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_F16, 128, 2, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_F16, 128, 4, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_Q8_0, 64, 1, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_Q8_0, 64, 4, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_Q8_0, 128, 1, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_Q8_0, 128, 2, 4096 },
    { "attn_row", make_attn_row, run_attn_row, BENCH_BY_MEMORY, PRISM_Q8_0, 128, 4, 4096 },
    { "band_dots", make_band_dots, run_band_dots, BENCH_BY_OTHER, PRISM_F32, 64, 256, 0 },
    { "band_dots", make_band_dots, run_band_dots, BENCH_BY_OTHER, PRISM_F32, 128, 1024, 0 },
    { "softmax_q30", make_8_bytes, run_softmax_q30, BENCH_BY_OTHER, PRISM_F32, 0, 256, 0 },
    { "softmax_q30", make_8_bytes, run_softmax_q30, BENCH_BY_OTHER, PRISM_F32, 0, 1024, 0 },
    { "sketch_means", make_sketch_means, run_sketch_means, BENCH_BY_MULTIPLYING, PRISM_F32, 96, 64, 65536 },
    { "sketch_scan", make_sketch_scan, run_sketch_scan, BENCH_BY_MULTIPLYING, PRISM_F32, 96, 64, 4096 },
    { 0 },
};
