/* attention.c - see attention.h: tiles of packed blocks. rows.c has the rest. */
#include "src/attention/attention.h"

#include "src/attention/select.h"
#include "src/base/size.h"

enum {
    PACK_BLOCKS = 8,     /* that one packing job handles, at most */
    PACKS_PER_THREAD = 4 /* at least, as far as there are blocks */
};

/* Work on kv heads [first, first + split.n_heads). */
struct batch {
    const struct prism_attention_call *a;
    size_t first;
    struct prism_attention_split split;
};

/* ---- jobs ---- */

void prism_attention_split(struct prism_attention_split *s)
{
    s->kv_len = s->q_pos + s->n_rows;
    s->n_blocks = div_up(s->kv_len, s->block);
    s->first_block = prism_first_key(s->window, s->chunked, s->q_pos) / s->block;
    s->first_tile = s->q_pos / s->tile_rows;
    s->n_tiles = (s->kv_len - 1) / s->tile_rows + 1 - s->first_tile;
    for (s->pack_blocks = PACK_BLOCKS;; s->pack_blocks /= 2) {
        s->packs_per_head = div_up(s->n_blocks - s->first_block, s->pack_blocks);
        if (s->pack_blocks == 1 || prism_attention_pack_jobs(s) >= PACKS_PER_THREAD * s->n_threads)
            return;
    }
}

struct prism_attention_pack prism_attention_pack_of(const struct prism_attention_split *s, size_t job)
{
    size_t block = s->first_block + job % s->packs_per_head * s->pack_blocks;
    return (struct prism_attention_pack){ job / s->packs_per_head, block, min_size(block + s->pack_blocks, s->n_blocks) };
}

struct prism_attention_rows_of_head prism_attention_tile_of(const struct prism_attention_split *s, size_t job)
{
    size_t heads = s->n_heads * s->group, tile = s->first_tile + s->n_tiles - 1 - job / heads, pos = tile * s->tile_rows;
    size_t end = min_size(pos + s->tile_rows, s->kv_len);

    pos = pos < s->q_pos ? s->q_pos : pos;
    size_t first = prism_first_key(s->window, s->chunked, pos) / s->block;
    return (struct prism_attention_rows_of_head){ job % heads, pos, end, first, (end - 1) / s->block + 1 - first };
}

/* ---- memory ---- */

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
    return a->panels + slot * b->split.n_blocks * a->family->k_block_bytes(a->d, a->block);
}

static uint8_t *v_panels(const struct batch *b, size_t slot)
{
    const struct prism_attention_call *a = b->a;
    return k_panels(b, a->heads_at_once) + slot * b->split.n_blocks * a->family->v_block_bytes(a->d, a->block);
}

static void pack_job(void *arg, size_t job, uint32_t thread)
{
    const struct batch *b = arg;
    const struct prism_attention_call *a = b->a;
    struct prism_attention_pack p = prism_attention_pack_of(&b->split, job);
    size_t head = b->first + p.slot, k_row = prism_kv_row_bytes(a->k_format, a->d), v_row = prism_kv_row_bytes(a->v_format, a->d);
    size_t k_bytes = a->family->k_block_bytes(a->d, a->block), v_bytes = a->family->v_block_bytes(a->d, a->block);

    (void)thread;
    for (size_t block = p.block; block < p.end; block++) {
        size_t key = block * a->block, n = min_size(a->block, b->split.kv_len - key);
        a->family->pack_k(k_panels(b, p.slot) + block * k_bytes, a->k + head * a->k_head_bytes + key * k_row, a->k_format, n, a->d, a->block);
        a->family->pack_v(v_panels(b, p.slot) + block * v_bytes, a->v + head * a->v_head_bytes + key * v_row, a->v_format, n, a->d, a->block);
    }
}

/* Rows of a head, all inside one query block. */
static void run_tile(const struct batch *b, const struct prism_attention_rows_of_head *r, uint8_t *scratch)
{
    const struct prism_attention_call *a = b->a;
    size_t head = b->first * b->split.group + r->head, slot = r->head / b->split.group, n = r->n_blocks;
    float *q = a->q + ((r->pos - a->q_pos) * a->n_head + head) * a->d;
    const uint32_t *blocks = a->blocks + r->first_block;

    if (a->mask && r->pos < a->dense_from) {
        uint32_t *list = (uint32_t *)(void *)(scratch + tile_bytes(a->family, a->d, a->block));
        n = prism_mask_list(prism_mask_row(a->mask, head, r->pos / a->block - a->mask->first), a->mask->words, list);
        blocks = list;
    }
    a->family->tile(&(struct prism_attn_tile){
        .q = q, .ldq = a->n_head * a->d, .o = q, .ldo = a->n_head * a->d,
        .rows = r->end - r->pos, .d = a->d, .q_pos = r->pos, .kv_len = b->split.kv_len, .block = a->block,
        .k = k_panels(b, slot), .v = v_panels(b, slot), .blocks = blocks, .n_blocks = n, .scale = a->scale, .scratch = scratch,
        .window = a->chunked ? 0 : a->window, .softcap = a->softcap, .sink = a->sinks ? a->sinks + head : NULL,
    });
}

/* A job is a tile of a head: without a mask the last tile (the longest) of every head first, else as ordered. */
static void tile_job(void *arg, size_t job, uint32_t thread)
{
    const struct batch *b = arg;
    const struct prism_attention_call *a = b->a;
    struct prism_attention_rows_of_head t = prism_attention_tile_of(&b->split, a->mask ? a->order[job] : job);
    uint8_t *scratch = a->scratch + (size_t)thread * a->scratch_bytes;

    if (a->mask && t.pos < a->dense_from && a->dense_from < t.end) { /* the dense tail starts inside this tile */
        struct prism_attention_rows_of_head before = t;
        before.end = t.pos = a->dense_from;
        run_tile(b, &before, scratch);
    }
    run_tile(b, &t, scratch);
}

/* Blocks that a job attends to. */
static size_t job_blocks(const struct batch *b, size_t code)
{
    const struct prism_attention_call *a = b->a;
    struct prism_attention_rows_of_head t = prism_attention_tile_of(&b->split, code);
    size_t n = 0;

    if (t.end > a->dense_from)
        return t.n_blocks;
    const uint64_t *row = prism_mask_row(a->mask, b->first * b->split.group + t.head, t.pos / a->block - a->mask->first);
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
    struct batch b = { .a = a, .split = { .q_pos = a->q_pos, .n_rows = a->n_rows, .block = a->block, .n_threads = a->n_threads,
                                          .tile_rows = prism_attention_tile_rows(a->family, a->block), .window = a->window,
                                          .chunked = a->chunked, .group = a->n_head / a->n_head_kv } };

    for (b.first = 0; b.first < a->n_head_kv; b.first += b.split.n_heads) {
        b.split.n_heads = min_size(a->heads_at_once, a->n_head_kv - b.first);
        prism_attention_split(&b.split);
        size_t jobs = prism_attention_tile_jobs(&b.split);
        double keys = prism_keys_seen(a->window, a->chunked, (double)a->q_pos, (double)a->n_rows);
        double work = 4.0 * keys * (double)a->d * (double)(b.split.n_heads * b.split.group);
        if (a->mask)
            order_jobs(&b, jobs);
        if (!a->runner.run(a->runner.self, prism_attention_pack_jobs(&b.split), 0, pack_job, &b) ||
            !a->runner.run(a->runner.self, jobs, work / (double)jobs, tile_job, &b))
            return false;
    }
    return true;
}
