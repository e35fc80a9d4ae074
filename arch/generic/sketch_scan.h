/* sketch_scan.h - the body of sketch_scan, sketch_needed and sketch_pack, for each level (struct prism_sketch_scan). The level's file defines
 * best_products, and before may define SKETCH_BYTES, of a register (16), and SKETCH_SIGNS(mask), where bit i says that lane i of a register of
 * integers is negative. Floats are vectors of a register: gcc 12 compares longer ones lane by lane, and copies them in pieces of eight bytes. Each of
 * the 16 lanes of a tile meets the same operations in the same order, so the bits are the same everywhere. */
#ifndef PRISM_GENERIC_SKETCH_SCAN_H
#define PRISM_GENERIC_SKETCH_SCAN_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "src/kernels.h"

#define SKETCH_INLINE static inline __attribute__((always_inline))

#ifndef SKETCH_BYTES
#define SKETCH_BYTES 16
#endif
typedef float floats __attribute__((vector_size(SKETCH_BYTES)));
typedef int32_t ints __attribute__((vector_size(SKETCH_BYTES)));
enum { SKETCH_WIDTH = SKETCH_BYTES / 4 };

/* Four rows of a tile and a block of keys; row i of the four sees keys j <= seen + i. */
enum { SKETCH_PART = PRISM_SKETCH_TOGETHER, SKETCH_PARTS = PRISM_SKETCH_ROWS / SKETCH_PART };
struct sketch_part {
    const int8_t *q;     /* [n / 4][4 of 16][4] */
    const uint8_t *keys; /* [n / 4][block][4] */
    size_t seen;
};

/* best[4 p + i] = the product of row i of part p with its block, of n coordinates, a multiple of 16. */
static void best_products(int32_t best[PRISM_SKETCH_ROWS], const struct sketch_part part[SKETCH_PARTS], size_t block, size_t n);

/* out[i][16 t + r] = the product of row r of tile t with the mean of block v - i, i < n <= BATCH; rows of out from n on may become
 * anything. */
enum { BATCH = 8, MAX_TILES = 256 / PRISM_SKETCH_ROWS };
static void mean_products(int32_t out[BATCH][MAX_TILES * PRISM_SKETCH_ROWS], const struct prism_sketch_scan *s, size_t v, size_t n);

SKETCH_INLINE floats load(const float *p)
{
    floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

SKETCH_INLINE void store(float *p, floats v) { memcpy(p, &v, sizeof v); }

SKETCH_INLINE floats all_of(float x) { return x - (floats){ 0 }; }

/* Lanes of mask are 0 or -1. */
SKETCH_INLINE floats pick(ints mask, floats a, floats b) { return (floats)((mask & (ints)a) | (~mask & (ints)b)); }

/* Bit p: not all of lanes [4 p, 4 p + 4) are -1. */
SKETCH_INLINE unsigned open_parts(ints mask)
{
#ifdef SKETCH_SIGNS
    unsigned m = ((1u << SKETCH_WIDTH) - 1) & ~(unsigned)SKETCH_SIGNS(mask);
    m |= m >> 1, m |= m >> 2; /* bits 0, 4, 8, 12: of four */
    return (m & 1) | (m >> 3 & 2) | (m >> 6 & 4) | (m >> 9 & 8);
#else
    int64_t two[SKETCH_WIDTH / 2];
    unsigned open = 0;

    memcpy(two, &mask, sizeof two);
    for (size_t p = 0; p < SKETCH_WIDTH / SKETCH_PART; p++)
        open |= (unsigned)((two[2 * p] & two[2 * p + 1]) != -1) << p;
    return open;
#endif
}

/* 2^-|x|, 2e-7 relative; 2^-100 from there on. */
SKETCH_INLINE floats exp2_minus(floats x)
{
    floats y = (floats)((ints)x & 0x7fffffff);
    y = -pick(y > 100, all_of(100), y);
    floats whole = y + 0x1.8p23f, f = y - (whole - 0x1.8p23f);
    floats m = 1 + f * (0.693147182f + f * (0.240226462f + f * (0.0555033125f + f * (0.00961853798f + f * 0.00133990776f))));
    return (floats)((ints)m + ((ints)whole << 23));
}

/* log2 x for normal x > 0, 1e-6 absolute. */
SKETCH_INLINE floats log2_of(floats x)
{
    ints n = ((ints)x - 0x3f3504f3) >> 23; /* of x over a number in [sqrt(1/2), sqrt(2)) */
    floats m = (floats)((ints)x - (n << 23)), s = (m - 1) / (m + 1), z = s * s;
    return __builtin_convertvector(n, floats) + s * (2.88539008f + z * (0.961796694f + z * (0.577078016f + z * 0.412198583f)));
}

/* Joins the logits of n blocks to what the rows have seen, and renews the floors; x: those of the first block, the others `step` floats before each other. */
SKETCH_INLINE void count(struct prism_sketch_tile *t, const float *x, size_t step, size_t n, float log_t)
{
    for (size_t r = 0; r < PRISM_SKETCH_ROWS; r += SKETCH_WIDTH) {
        floats before = load(t->most + r), most = before, sum = { 0 };
        for (size_t i = 0; i < n; i++) {
            floats one = load(x - i * step + r);
            most = pick(one > most, one, most);
        }
        for (size_t i = 0; i < n; i++) {
            floats one = load(x - i * step + r);
            sum += pick(one == one, exp2_minus(most - one), all_of(0));
        }
        sum += load(t->sum + r) * exp2_minus(most - before);
        store(t->sum + r, sum);
        store(t->most + r, most);
        store(t->floor + r, most + log2_of(sum) + log_t);
    }
}

/* Bit p: the logit of a row of part p is not below its floor. x: those of rows [r, r + SKETCH_WIDTH). */
SKETCH_INLINE unsigned reaching(const struct prism_sketch_tile *t, size_t r, floats x)
{
    return open_parts(x < load(t->floor + r)) << r / SKETCH_PART;
}

/* Blocks v, v - 1, ... v - n + 1, n <= BATCH, with all tiles. */
struct batch {
    const struct prism_sketch_scan *s;
    size_t v, seen;
    float *x; /* of block v */
};

/* Rows [row, row + 4) of a tile and block v - i. */
struct place {
    uint8_t i, tile, row;
};

SKETCH_INLINE struct sketch_part part_at(const struct batch *b, struct place at)
{
    const struct prism_sketch_scan *s = b->s;
    return (struct sketch_part){ s->tiles[at.tile].q + at.row * 4, s->keys + (b->v - at.i) * s->block_bytes,
                                 b->seen + at.tile * PRISM_SKETCH_ROWS + at.row };
}

SKETCH_INLINE float *logits_at(const struct batch *b, struct place at)
{
    return b->x - (at.i * b->s->n_tiles - at.tile) * PRISM_SKETCH_ROWS + at.row;
}

/* The logits of the mean of a block, of rows [row, row + SKETCH_WIDTH) of a tile, from the products. */
SKETCH_INLINE floats mean_logits(const struct batch *b, struct place at, const int32_t *products)
{
    const struct prism_sketch_tile *t = &b->s->tiles[at.tile];
    ints product, bias;

    memcpy(&product, products, sizeof product);
    memcpy(&bias, t->bias + at.row, sizeof bias);
    return __builtin_convertvector(product - bias, floats) * (load(t->scale + at.row) * b->s->k_scale[b->v - at.i]);
}

/* Raises the logits of means at the rows of a tile and a block; bit p: part p is open. */
SKETCH_INLINE unsigned judge(const struct batch *b, struct place at, const int32_t *products)
{
    const struct prism_sketch_tile *t = &b->s->tiles[at.tile];
    unsigned parts = 0;

    for (; at.row < PRISM_SKETCH_ROWS; at.row += SKETCH_WIDTH) {
        floats x = mean_logits(b, at, products + at.row), reach = load(t->reach + at.row) * b->s->k_rest[b->v - at.i];
        store(logits_at(b, at), x + reach * b->s->lift);
        parts |= reaching(t, at.row, x + reach);
    }
    return parts;
}

/* The logits of the best keys at up to four places. */
SKETCH_INLINE void finish(const struct batch *b, const struct place *at, size_t n)
{
    typedef float four __attribute__((vector_size(16)));
    typedef int32_t four_ints __attribute__((vector_size(16)));
    struct sketch_part part[SKETCH_PARTS];
    int32_t best[PRISM_SKETCH_ROWS];

    for (size_t p = 0; p < SKETCH_PARTS; p++)
        part[p] = part_at(b, at[p < n ? p : n - 1]);
    best_products(best, part, b->s->block, b->s->rank);
    for (size_t p = 0; p < n; p++) {
        const struct prism_sketch_tile *t = &b->s->tiles[at[p].tile];
        four scale, x;
        four_ints product, bias;
        memcpy(&product, best + p * SKETCH_PART, sizeof product);
        memcpy(&bias, t->bias + at[p].row, sizeof bias);
        memcpy(&scale, t->scale + at[p].row, sizeof scale);
        x = __builtin_convertvector(product - bias, four) * (scale * b->s->k_scale[b->v - at[p].i]);
        memcpy(logits_at(b, at[p]), &x, sizeof x);
    }
}

/* The means of all, then the keys of those of four rows that are not dropped. */
SKETCH_INLINE void scan_batch(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole)
{
    const size_t n_tiles = s->n_tiles;
    const struct batch b = { s, v, seen, s->x + v * n_tiles * PRISM_SKETCH_ROWS };
    struct place open[BATCH * MAX_TILES * SKETCH_PARTS];
    int32_t mean[BATCH][MAX_TILES * PRISM_SKETCH_ROWS];
    size_t n_open = 0;

    if (!whole)
        mean_products(mean, s, v, n);
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < n_tiles; t++) {
            const struct place at = { (uint8_t)i, (uint8_t)t, 0 };
            unsigned parts = whole ? (1u << SKETCH_PARTS) - 1 : judge(&b, at, mean[i] + t * PRISM_SKETCH_ROWS);
            for (size_t p = 0; p < SKETCH_PARTS; p++) { /* no branch: which are open cannot be foreseen */
                open[n_open] = (struct place){ (uint8_t)i, (uint8_t)t, (uint8_t)(p * SKETCH_PART) };
                n_open += parts >> p & 1;
            }
        }
    for (size_t at = 0; at < n_open; at += SKETCH_PARTS)
        finish(&b, open + at, n_open - at < SKETCH_PARTS ? n_open - at : SKETCH_PARTS);
    for (size_t t = 0; t < n_tiles; t++)
        count(&s->tiles[t], b.x + t * PRISM_SKETCH_ROWS, n_tiles * PRISM_SKETCH_ROWS, n, s->log_t);
}

SKETCH_INLINE void scan(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole)
{
    for (size_t done = 0; done < n; done += BATCH)
        scan_batch(s, v - done, n - done < BATCH ? n - done : BATCH, seen, whole);
}

/* Of the softmax of all blocks seen: what rows [r, r + SKETCH_WIDTH) of tile i give to a block whose logits are x. */
SKETCH_INLINE floats shares(const struct prism_sketch_scan *s, size_t i, size_t r, const float *x)
{
    return exp2_minus(load(s->tiles[i].floor + r) - s->log_t - load(x + i * PRISM_SKETCH_ROWS + r));
}

SKETCH_INLINE float total_share(const struct prism_sketch_scan *s, const float *x)
{
    float part[PRISM_SKETCH_ROWS], all = 0;

    for (size_t r = 0; r < PRISM_SKETCH_ROWS; r += SKETCH_WIDTH) {
        floats sum = { 0 };
        for (size_t i = 0; i < s->n_tiles; i++)
            sum += shares(s, i, r, x);
        store(part + r, sum);
    }
    for (size_t i = 0; i < PRISM_SKETCH_ROWS; i++)
        all += part[i];
    return all;
}

/* A mean is not above the largest share, which is judged first: log_mean <= log_t. */
SKETCH_INLINE void needed(const struct prism_sketch_scan *s, size_t n, uint64_t *bits)
{
    const size_t n_tiles = s->n_tiles;
    const float mean = s->log_mean - s->log_t, least = exp2f(s->log_mean) * (float)(n_tiles * PRISM_SKETCH_ROWS);

    for (size_t v = 0; v < n; v++) {
        const float *x = s->x + v * n_tiles * PRISM_SKETCH_ROWS;
        bool unknown = isnan(s->k_scale[v]), one = unknown, some = false;
        for (size_t row = 0; row < n_tiles * PRISM_SKETCH_ROWS && !one; row += SKETCH_WIDTH) {
            const struct prism_sketch_tile *t = &s->tiles[row / PRISM_SKETCH_ROWS];
            one = reaching(t, row % PRISM_SKETCH_ROWS, load(x + row));
            some |= reaching(t, row % PRISM_SKETCH_ROWS, load(x + row) - mean) != 0;
        }
        if (!one && !(some && total_share(s, x) >= least))
            continue;
        bits[v / 64] |= (uint64_t)1 << v % 64;
        for (size_t i = 0; i < n_tiles && !unknown; i++)
            for (size_t r = 0; r < PRISM_SKETCH_ROWS; r += SKETCH_WIDTH)
                store(s->tiles[i].mass + r, load(s->tiles[i].mass + r) + shares(s, i, r, x));
    }
}

/* ---- packing ---- */

SKETCH_INLINE ints magnitude(floats x) { return (ints)x & 0x7fffffff; }
SKETCH_INLINE ints larger(ints a, ints b) { return (a & (a > b)) | (b & ~(a > b)); }

SKETCH_INLINE int32_t sum_lanes(ints v)
{
    int32_t sum = 0;
    for (size_t i = 0; i < SKETCH_WIDTH; i++)
        sum += v[i];
    return sum;
}

/* Lane i and lane i + 8, and so on. */
SKETCH_INLINE float sum_rows(float x[PRISM_SKETCH_ROWS])
{
    for (size_t half = PRISM_SKETCH_ROWS / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

/* As integers magnitudes are in order, infinity and NaN above all numbers. */
SKETCH_INLINE float scale_of(const float *x, size_t n)
{
    ints most = { 0 };
    for (size_t c = 0; c < n; c += SKETCH_WIDTH)
        most = larger(most, magnitude(load(x + c)));
    int32_t bits = 0;
    for (size_t i = 0; i < SKETCH_WIDTH; i++)
        bits = most[i] > bits ? most[i] : bits;
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    return isfinite(largest) ? largest / 127 : NAN;
}

SKETCH_INLINE void pack_row(const struct prism_sketch_rows *r, size_t i, float scale)
{
    typedef uint8_t bytes __attribute__((vector_size(SKETCH_WIDTH)));
    const float *x = r->x + i * r->rank;
    float step = scale > 0 ? 1 / scale : 0, squares[PRISM_SKETCH_ROWS] = { 0 };
    ints sum = { 0 };

    for (size_t c = 0; c < r->rank; c += SKETCH_WIDTH) {
        floats v = load(x + c);
        float *lanes = squares + c % PRISM_SKETCH_ROWS;
        store(lanes, load(lanes) + v * v * load(r->weights + c));
        /* rounded by the sum with 1.5 * 2^23, whose last bits are the integer */
        ints n = (ints)(v * step + 0x1.8p23f) - (ints)all_of(0x1.8p23f);
        sum += n;
        bytes b = __builtin_convertvector(n + r->offset, bytes);
        for (size_t g = 0; g < SKETCH_WIDTH / 4; g++)
            memcpy(r->out + ((c / 4 + g) * r->lanes + i) * 4, (const uint8_t *)&b + g * 4, 4);
    }
    r->scale[i] = scale;
    r->length[i] = sqrtf(sum_rows(squares));
    r->sum[i] = sum_lanes(sum);
}

SKETCH_INLINE void pack(const struct prism_sketch_rows *r)
{
    float scale = r->common ? scale_of(r->x, r->n * r->rank) : 0;

    for (size_t i = 0; i < r->n; i++)
        pack_row(r, i, r->common ? scale : scale_of(r->x + i * r->rank, r->rank));
}

#endif
