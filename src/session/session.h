/* session.h - session files: what a context holds of its tokens, on disk. Private to src/session.
 *
 *     header        4096 bytes, struct session_header and zeros
 *     rows          those of prism_state_list, one behind the other, without gaps: tokens, cuts, logits, keys, values, states, what the selector keeps
 *     hashes        one for each row: XXH3, 64 bits, seed: its number
 *
 * Little-endian. Every byte lies under a hash: rows under theirs, hashes under one in the header, the header under its last field. Hashes
 * tell damage, not malice; so what is read as a size or an index is checked as well.
 *
 * The rows' sizes follow from the settings and the facts, so a reader knows them before it has seen them. Rows are read straight into the
 * cache, by all threads: see load.c. A change of what prism_state_list lists, or of the layout of anything there, needs another
 * SESSION_VERSION. */
#ifndef PRISM_SESSION_SESSION_H
#define PRISM_SESSION_SESSION_H

#include "src/engine/state.h"

#define SESSION_MAGIC "PRISMSES"
enum { SESSION_VERSION = 4, SESSION_HEADER = 4096, SESSION_SETTINGS = 2048 };

struct session_header {
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t file_bytes;
    uint64_t fingerprint[2];              /* prism_model_fingerprint */
    struct prism_state_facts facts;
    uint64_t n_rows;
    uint64_t hash_of_hashes;
    char settings[SESSION_SETTINGS];      /* lines "name value", terminated: what changes numbers */
    uint8_t zeros[SESSION_HEADER - SESSION_SETTINGS - 136];
    uint64_t hash;                        /* of all before it */
};
_Static_assert(sizeof(struct session_header) == SESSION_HEADER, "no gaps");

/* The pieces of a context with the offsets in the file that their rows begin at. */
struct session_rows {
    struct prism_state_piece *piece;
    uint64_t *offset;                     /* [n_pieces] */
    size_t n_pieces;
    uint64_t n_rows, end;                 /* end: of the rows, where the hashes begin */
};

enum prism_status session_rows_list(const struct prism_context *c, const struct prism_state_facts *f, struct session_rows *r,
                                    struct prism_error *err);
void session_rows_free(struct session_rows *r);

/* Row i: its memory, size and offset. */
struct session_row {
    uint8_t *at;
    size_t bytes;
    uint64_t offset;
    const char *name;
};
struct session_row session_row(const struct session_rows *r, size_t i);

uint64_t session_hash(const void *bytes, size_t n, uint64_t seed);
uint64_t session_header_hash(const struct session_header *h);

/* The lines for this context. */
void session_settings(const struct prism_context *c, char text[SESSION_SETTINGS]);

#endif
