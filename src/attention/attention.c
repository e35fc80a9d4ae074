/* attention.c - see attention.h: tiles of packed blocks. rows.c has the rest. */
#include "src/attention/attention.h"

#include "src/attention/select.h"
#include "src/base/size.h"

enum { PACK_BLOCKS = 8 }; /* blocks that one packing job handles */

/* Work on kv heads [first, first + n_heads). */
struct batch {
    const struct prism_attention_call *a;
    size_t first, n_heads, n_blocks, kv_len, tile_rows, n_tiles, first_tile;
    size_t first_block; /* that a row sees */
};

size_t prism_attention_tile_rows(const struct prism_attention *family, size_t block) { return min_size(family->tile_rows, block); }

static size_t tile_bytes(const struct prism_attention *family, size_t d, size_t block)
{
    return (family->tile_scratch(d, block) + 63) & ~(size_t)63;
}

size_t prism_attention_scratch(const struct prism_attention *family, size_t d, size_t block, size_t n_ctx)
{
    size_t tiles = tile_bytes(family, d, block) + div_up(n_ctx, block) * sizeof(uint32_t);
    size_t rows = PRISM_ATTN_ROW_Q * PRISM_ATTN_ROW_KEYS * sizeof(float);
    return tiles > rows ? tiles : rows;
}

size_t prism_attention_head_bytes(const struct prism_attention *family, size_t d, size_t block, size_t kv_len)
{
    return div_up(kv_len, block) * (family->k_block_bytes(d, block) + family->v_block_bytes(d, block));
}

/* Panels lie side by side for the length of this call, so that a short one in a large context stays in few pages. */
static uint8_t *k_panels(const struct batch *b, size_t slot)
{
    const struct prism_attention_call *a = b->a;
    return a->panels + slot * b->n_blocks * a->family->k_block_bytes(a->d, a->block);
}

static uint8_t *v_panels(const struct batch *b, size_t slot)
{
    const struct prism_attention_call *a = b->a;
    return k_panels(b, a->heads_at_once) + slot * b->n_blocks * a->family->v_block_bytes(a->d, a->block);
}

static size_t pack_jobs(const struct batch *b) { return div_up(b->n_blocks - b->first_block, PACK_BLOCKS); }

static void pack_job(void *arg, size_t job, uint32_t thread)
{
    const struct batch *b = arg;
    const struct prism_attention_call *a = b->a;
    size_t per_head = pack_jobs(b), slot = job / per_head, block = b->first_block + job % per_head * PACK_BLOCKS;
    size_t head = b->first + slot, k_row = prism_kv_row_bytes(a->k_format, a->d), v_row = prism_kv_row_bytes(a->v_format, a->d);
    size_t k_bytes = a->family->k_block_bytes(a->d, a->block), v_bytes = a->family->v_block_bytes(a->d, a->block);

    (void)thread;
    for (size_t end = min_size(block + PACK_BLOCKS, b->n_blocks); block < end; block++) {
        size_t key = block * a->block, n = min_size(a->block, b->kv_len - key);
        a->family->pack_k(k_panels(b, slot) + block * k_bytes, a->k + head * a->k_head_bytes + key * k_row, a->k_format, n, a->d, a->block);
        a->family->pack_v(v_panels(b, slot) + block * v_bytes, a->v + head * a->v_head_bytes + key * v_row, a->v_format, n, a->d, a->block);
    }
}

/* Rows [pos, end) of a head, all inside one query block: in a chunked layer they see back to one key, the first of its block. */
static void run_tile(const struct batch *b, size_t head, size_t pos, size_t end, uint8_t *scratch)
{
    const struct prism_attention_call *a = b->a;
    size_t slot = head / (a->n_head / a->n_head_kv) - b->first, first = prism_first_key(a->window, a->chunked, pos) / a->block;
    size_t n = (end - 1) / a->block + 1 - first;
    float *q = a->q + ((pos - a->q_pos) * a->n_head + head) * a->d;
    const uint32_t *blocks = a->blocks + first;

    if (a->mask && pos < a->dense_from) {
        uint32_t *list = (uint32_t *)(void *)(scratch + tile_bytes(a->family, a->d, a->block));
        n = prism_mask_list(prism_mask_row(a->mask, head, pos / a->block - a->mask->first), a->mask->words, list);
        blocks = list;
    }
    a->family->tile(&(struct prism_attn_tile){
        .q = q, .ldq = a->n_head * a->d, .o = q, .ldo = a->n_head * a->d,
        .rows = end - pos, .d = a->d, .q_pos = pos, .kv_len = b->kv_len, .block = a->block,
        .k = k_panels(b, slot), .v = v_panels(b, slot), .blocks = blocks, .n_blocks = n, .scale = a->scale, .scratch = scratch,
        .window = a->chunked ? 0 : a->window, .softcap = a->softcap, .sink = a->sinks ? a->sinks + head : NULL,
    });
}

/* A job is a tile of a head: without a mask the last tile (the longest) of every head first, else as ordered. */
static void tile_job(void *arg, size_t job, uint32_t thread)
{
    const struct batch *b = arg;
    const struct prism_attention_call *a = b->a;
    size_t group = a->n_head / a->n_head_kv, heads = b->n_heads * group, code = a->mask ? a->order[job] : job;
    size_t tile = b->first_tile + b->n_tiles - 1 - code / heads, head = b->first * group + code % heads;
    size_t pos = tile * b->tile_rows, end = min_size(pos + b->tile_rows, a->q_pos + a->n_rows);
    uint8_t *scratch = a->scratch + (size_t)thread * a->scratch_bytes;

    if (pos < a->q_pos)
        pos = a->q_pos;
    if (a->mask && pos < a->dense_from && a->dense_from < end) { /* the dense tail starts inside this tile */
        run_tile(b, head, pos, a->dense_from, scratch);
        pos = a->dense_from;
    }
    run_tile(b, head, pos, end, scratch);
}

/* Blocks that a job attends to. */
static size_t job_blocks(const struct batch *b, size_t code)
{
    const struct prism_attention_call *a = b->a;
    size_t group = a->n_head / a->n_head_kv, heads = b->n_heads * group, n = 0;
    size_t tile = b->first_tile + b->n_tiles - 1 - code / heads, pos = tile * b->tile_rows;

    if (pos + b->tile_rows > a->dense_from)
        return pos / a->block + 1;
    const uint64_t *row = prism_mask_row(a->mask, b->first * group + code % heads, pos / a->block - a->mask->first);
    for (size_t w = 0; w < a->mask->words; w++)
        n += (size_t)__builtin_popcountll(row[w]);
    return n;
}

/* Longest first, by halves of length (a thread that draws a long job last would keep the others waiting). */
static void order_jobs(const struct batch *b, size_t n_jobs)
{
    uint32_t *order = b->a->order, *length = order + n_jobs;

    for (size_t code = 0; code < n_jobs; code++)
        length[code] = (uint32_t)job_blocks(b, code);
    for (int bit = 31; bit >= 0; bit--)
        for (size_t code = 0; code < n_jobs; code++)
            if (length[code] >> bit == 1)
                *order++ = (uint32_t)code;
}

bool prism_attention_tiles(const struct prism_attention_call *a)
{
    struct batch b = { .a = a, .kv_len = a->q_pos + a->n_rows, .tile_rows = prism_attention_tile_rows(a->family, a->block) };

    b.n_blocks = div_up(b.kv_len, a->block);
    b.first_block = prism_first_key(a->window, a->chunked, a->q_pos) / a->block;
    b.first_tile = a->q_pos / b.tile_rows;
    b.n_tiles = (b.kv_len - 1) / b.tile_rows + 1 - b.first_tile;
    for (b.first = 0; b.first < a->n_head_kv; b.first += b.n_heads) {
        b.n_heads = min_size(a->heads_at_once, a->n_head_kv - b.first);
        size_t jobs = b.n_tiles * b.n_heads * (a->n_head / a->n_head_kv);
        double keys = prism_keys_seen(a->window, a->chunked, (double)a->q_pos, (double)a->n_rows);
        double work = 4.0 * keys * (double)a->d * (double)(b.n_heads * (a->n_head / a->n_head_kv));
        if (a->mask)
            order_jobs(&b, jobs);
        if (!a->runner.run(a->runner.self, b.n_heads * pack_jobs(&b), 0, pack_job, &b) ||
            !a->runner.run(a->runner.self, jobs, work / (double)jobs, tile_job, &b))
            return false;
    }
    return true;
}
