/* split.c - see split.h. */
#include "src/engine/split.h"

#include "src/base/size.h"

enum {
    PIECE_BYTES = 2 << 20,   /* of panels at most. Narrow pieces let the activations stream from L3 too often: with 2 MiB in place of half of
                              * one AVX2 gains a third at k = 14336, and AVX-512 loses nothing */
    JOBS_PER_THREAD = 4,     /* at least, as far as a product can be cut */
    MAX_HALVINGS = 3,
    UNPACK_ROWS = 16,        /* rows that could be multiplied in the time that a piece of weights takes to be packed */
};

size_t prism_split_slab(size_t n_ctx, size_t n_threads)
{
    (void)n_threads;
    return min_size(PRISM_SLAB_TOKENS, n_ctx);
}

size_t prism_split_rows(size_t n_rows, size_t most, size_t least, size_t n_threads)
{
    size_t rows = most;

    for (size_t r = most; r >= least && div_up(n_rows, rows) < PRISM_SHORT_JOBS * n_threads; r--)
        if (most % r == 0 && r % least == 0)
            rows = r;
    return rows;
}

static size_t common_multiple(size_t a, size_t b)
{
    size_t m = a;
    while (m % b)
        m += a;
    return m;
}

size_t prism_split_pack(const struct prism_linear *const *kinds, size_t n_kinds, size_t n_rows, size_t n_threads)
{
    size_t least = 1;
    for (size_t i = 0; i < n_kinds; i++)
        least = common_multiple(least, kinds[i]->mr);
    return prism_split_rows(n_rows, PRISM_PACK_ROWS, least, n_threads);
}

size_t prism_piece_cols(const struct prism_linear *kind, size_t k)
{
    size_t panels = min_size(PRISM_PIECE_COLS / kind->nr, PIECE_BYTES / kind->w_bytes(k));
    return (panels ? panels : 1) * kind->nr;
}

/* A gated product has two half pieces, of one panel each at least. Grows with k. */
size_t prism_piece_bytes(const struct prism_linear *kind, size_t k)
{
    size_t panel = kind->w_bytes(k), whole = min_size(PRISM_PIECE_COLS / kind->nr * panel, PIECE_BYTES);
    return whole < 2 * panel ? 2 * panel : whole;
}

size_t prism_split_cols(const struct prism_split *s, const struct prism_product *p)
{
    size_t panels = prism_piece_cols(p->kind, s->k) / p->kind->nr >> (s->halvings + (p->up.data ? 1 : 0));
    return (panels ? panels : 1) * p->kind->nr;
}

static size_t pieces_of(const struct prism_split *s, const struct prism_product *p) { return div_up(p->m.rows, prism_split_cols(s, p)); }

/* Jobs of a product whose first pieces, `whole` of them at most, take all rows. */
static size_t jobs_of(const struct prism_split *s, const struct prism_product *p, size_t whole)
{
    size_t pieces = pieces_of(s, p), alone = min_size(pieces, whole);
    return alone + (pieces - alone) * div_up(prism_product_rows(p, s->n_rows), s->rows_per_job);
}

static size_t count_pieces(const struct prism_split *s)
{
    size_t pieces = 0;
    for (size_t i = 0; i < (prism_take_turns(s->p) ? 1 : s->n); i++)
        pieces += pieces_of(s, &s->p[i]);
    return pieces;
}

/* Rows for the `pieces` pieces of the last round, in `fewest` parts or more, with which they take the least time. */
static size_t rows_of_rest(const struct prism_split *s, size_t pieces, size_t fewest)
{
    size_t best = s->n_rows, least = SIZE_MAX;

    for (size_t parts = fewest; pieces > 0 && parts <= div_up(s->n_rows, PRISM_PACK_ROWS); parts++) {
        size_t rows = parts == 1 ? s->n_rows : round_up(div_up(s->n_rows, parts), PRISM_PACK_ROWS);
        size_t time = div_up(pieces * div_up(s->n_rows, rows), s->n_threads) * (rows + UNPACK_ROWS);
        if (time < least)
            least = time, best = rows;
    }
    return best;
}

static bool has_kinds(const struct prism_split *s)
{
    for (size_t i = 1; i < s->n; i++)
        if (s->p[i].kind != s->p[0].kind)
            return true;
    return false;
}

void prism_split_products(struct prism_split *s)
{
    size_t pieces;

    for (s->halvings = 0; (pieces = count_pieces(s)) < JOBS_PER_THREAD * s->n_threads && s->halvings < MAX_HALVINGS;)
        s->halvings++;
    size_t rest = pieces % s->n_threads;
    bool mixed = has_kinds(s) && s->n_threads > 1 && pieces >= s->n_threads;
    s->n_whole = prism_take_turns(s->p) ? pieces : pieces - rest - (mixed ? s->n_threads : 0);
    s->rows_per_job = rows_of_rest(s, pieces - s->n_whole, mixed ? 2 : 1);
    s->n_jobs = prism_take_turns(s->p) ? pieces : 0;
    for (size_t i = s->n, before = 0; !prism_take_turns(s->p) && i-- > 0; before += pieces_of(s, &s->p[i]))
        s->n_jobs += jobs_of(s, &s->p[i], s->n_whole > before ? s->n_whole - before : 0);
}

struct prism_piece prism_split_piece(const struct prism_split *s, size_t job)
{
    const struct prism_product *p = s->p + s->n - 1;
    size_t whole = s->n_whole;

    for (size_t n; job >= (n = jobs_of(s, p, whole)); p--) { /* which product the job belongs to */
        job -= n;
        whole -= min_size(whole, pieces_of(s, p));
    }
    whole = min_size(whole, pieces_of(s, p));
    size_t rows = prism_product_rows(p, s->n_rows), cols = prism_split_cols(s, p), n = rows, row = 0, piece = job;
    if (job >= whole) {
        size_t parts = div_up(rows, s->rows_per_job);
        piece = whole + (job - whole) / parts;
        row = (job - whole) % parts * s->rows_per_job;
        n = min_size(rows - row, s->rows_per_job);
    }
    return (struct prism_piece){ p, p->first + row, n, piece * cols, min_size(p->m.rows - piece * cols, cols) };
}

bool prism_split_in_parts(struct prism_split *s, const struct prism_linear *next)
{
    prism_split_products(s);
    return next->a_part && prism_split_cols(s, s->p) % next->a_part == 0;
}
