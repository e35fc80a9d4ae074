/* session.c - see session.h: rows, hashes, settings. */
#include "src/session/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void session_rows_free(struct session_rows *r)
{
    free(r->piece);
    free(r->offset);
    *r = (struct session_rows){ 0 };
}

enum prism_status session_rows_list(const struct prism_context *c, const struct prism_state_facts *f, struct session_rows *r,
                                    struct prism_error *err)
{
    *r = (struct session_rows){ .end = SESSION_HEADER };
    r->piece = prism_state_list(c, f, &r->n_pieces);
    r->offset = calloc(r->n_pieces + 1, sizeof *r->offset);
    if (!r->piece || !r->offset) {
        session_rows_free(r);
        return prism_fail(err, PRISM_E_NOMEM, "session: out of memory");
    }
    for (size_t i = 0; i < r->n_pieces; i++) {
        r->offset[i] = r->end;
        r->n_rows += r->piece[i].count;
        r->end += (uint64_t)r->piece[i].count * r->piece[i].bytes;
    }
    return PRISM_OK;
}

struct session_row session_row(const struct session_rows *r, size_t i)
{
    const struct prism_state_piece *p = r->piece;

    for (; i >= p->count; p++)
        i -= p->count;
    return (struct session_row){ p->at + i * p->stride, p->bytes, r->offset[p - r->piece] + (uint64_t)i * p->bytes, p->name };
}

uint64_t session_hash(const void *bytes, size_t n, uint64_t seed) { return XXH3_64bits_withSeed(bytes, n, seed); }

uint64_t session_header_hash(const struct session_header *h) { return session_hash(h, offsetof(struct session_header, hash), 0); }

/* ---- settings ---- */

struct lines {
    char *text;
    size_t n; /* written */
};

__attribute__((format(printf, 2, 3))) static void add(struct lines *l, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(l->text + l->n, SESSION_SETTINGS - l->n, format, args);
    va_end(args);
    l->n += n > 0 && (size_t)n < SESSION_SETTINGS - l->n ? (size_t)n : 0; /* all of them take less than half of the room */
}

/* A number in [0, 1], for people and with all its bits; without the decimal point of a locale. */
static void add_share(struct lines *l, const char *name, double share)
{
    float x = (float)share;
    uint32_t bits, millionths = (uint32_t)(share * 1e6 + 0.5);

    memcpy(&bits, &x, sizeof bits);
    add(l, "%s %" PRIu32 ".%06" PRIu32 " (%08" PRIx32 ")\n", name, millionths / 1000000, millionths % 1000000, bits);
}

static void add_selector(const struct prism_selection *s, struct lines *l)
{
    const struct prism_select_params *p = &s->params;

    add(l, "min_tokens %zu\ndense_tail %zu\ndense_layers", s->min_tokens, s->dense_tail);
    for (int i = 0; i < 8; i++)
        add(l, " %" PRIx64, s->dense_layers[i]);
    add(l, "\nhigh_band %zu\nlow_band %zu\nenergies %s\n", p->bands.high_end, p->bands.low_begin,
        p->energy == PRISM_ENERGY_CAUSAL ? "causal" : "global");
    add(l, "sink %" PRIu32 "\nwindow %" PRIu32 "\nvertical %" PRIu32 "\nslash %" PRIu32 "\nmin_budget %" PRIu32 "\nstride %" PRIu32 "\n",
        p->sink, p->window, p->vertical, p->slash, p->min_budget, p->stride);
    add_share(l, "p_high", p->p_high);
    add_share(l, "p_low", p->p_low);
    add_share(l, "gamma", p->gamma);
    add_share(l, "tau", p->tau);
    add_share(l, "threshold", p->threshold);
    add_share(l, "row_mass", p->row_mass);
}

void session_settings(const struct prism_context *c, char text[SESSION_SETTINGS])
{
    static const char *const caches[] = { [PRISM_KV_F16] = "f16", [PRISM_KV_BF16] = "bf16", [PRISM_KV_F32] = "f32", [PRISM_KV_Q8_0] = "q8_0" };
    struct lines l = { text, 0 };

    memset(text, 0, SESSION_SETTINGS);
    add(&l, "library %s\nlevel %s\ncompute %s\nkeys %s\nvalues %s\nselector %s\nblock %" PRIu32 "\n", PRISM_VERSION, c->plan.level, c->plan.compute,
        caches[c->plan.kv_type], caches[c->plan.v_type], c->plan.selector, c->plan.block);
    if (c->selection.selector)
        add_selector(&c->selection, &l);
}
