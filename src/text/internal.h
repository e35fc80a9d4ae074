/* internal.h - what the files of this room share: the vocabulary's tables and the state of one encoding call.
 *
 *   load.c         GGUF keys -> tables, with every check        pairs.c        merges: (left id, right id) -> rank, result
 *   token_table.c  token text -> id                             merge.c        repeated merging of neighbours, all tokenizers
 *   special.c      special tokens, end of generation            bpe.c, spm.c, raw_bpe.c   one fragment of text -> ids
 *   special_split.c  where special tokens occur in text
 *   pretokenize.c  patterns that cut text into pieces           detok.c        id -> bytes
 *   utf8.c         well-formed sequences, streaming             vocab.c        the interface; public.c: the public one */
#ifndef PRISM_TEXT_INTERNAL_H
#define PRISM_TEXT_INTERNAL_H

#include "src/base/hash.h"
#include "src/base/utf8.h"
#include "src/text/vocab.h"

enum prism_tokenizer { PRISM_TOKENIZER_NONE, PRISM_TOKENIZER_BPE, PRISM_TOKENIZER_SPM, PRISM_TOKENIZER_RAW_BPE };

/* The numbers of tokenizer.ggml.token_type. */
enum prism_token_type {
    PRISM_TOKEN_UNDEFINED, PRISM_TOKEN_NORMAL, PRISM_TOKEN_UNKNOWN, PRISM_TOKEN_CONTROL, PRISM_TOKEN_USER, PRISM_TOKEN_UNUSED,
    PRISM_TOKEN_BYTE
};

/* Open addressing, a power of two of slots, at most two thirds full. */
struct prism_token_table {
    struct prism_token_slot {
        uint32_t hash;
        int32_t id; /* -1: free */
    } *slots;
    uint32_t mask;
};

struct prism_pairs {
    struct prism_pair {
        uint64_t key; /* left id << 32 | right id; UINT64_MAX: free */
        uint32_t rank;
        int32_t merged;
    } *slots;
    uint64_t mask;
};

struct prism_matcher;  /* special_split.c */
struct prism_splitter; /* compiled patterns, pretokenize.c */

struct prism_vocab {
    enum prism_tokenizer kind;
    const char *model, *pre;
    uint32_t n_tokens;
    const struct prism_str *text;   /* [n_tokens], the index of the GGUF reader; NULL for kind NONE */
    uint8_t *type;                  /* [n_tokens] enum prism_token_type */
    bool *eog;                      /* [n_tokens] ends a generation */
    size_t longest;                 /* bytes of the longest token text */
    struct prism_hash_seed seed;    /* of ids and pairs */
    struct prism_token_table ids;
    int32_t byte_token[256];        /* token of one byte, -1: none */
    int32_t bos, eos, unk, eot, eom; /* -1: none; SPM always has unk */
    bool add_bos, add_eos, add_space_prefix;
    struct prism_matcher *matcher[2]; /* special tokens: 0 user-defined ones, found in any text; 1 all, found on request */
    int32_t shown[4];               /* user-defined ones that are control tokens in the file, -1: none: not found in what a chat's users write */
    bool strip_right;               /* phi-3: white space behind most special tokens goes */
    struct prism_pairs pairs;       /* both BPE */
    struct prism_splitter *splitter;
    bool whole_pieces;              /* BPE: a piece that is a token is not merged from its bytes */
    uint32_t *priority;             /* SPM: [n_tokens], lower merges first: the order of falling scores */
    bool words_apart;               /* SPM: no token has U+2581 behind another character: words can be merged one by one */
};

/* ---- token_table.c, pairs.c: lookups ---- */

/* All texts but the empty ones. Two equal texts: PRISM_E_FORMAT. */
enum prism_status prism_token_table_build(struct prism_vocab *v, const char *path, struct prism_error *err);
int32_t prism_token_find(const struct prism_vocab *v, const char *text, size_t n); /* -1: none */

/* Merges are "left right", rank = index. Those without a space or about unknown tokens are skipped with one warning. */
enum prism_status prism_pairs_build(struct prism_vocab *v, const struct prism_gguf *g, const struct prism_gguf_kv *merges,
                                    struct prism_error *err);
const struct prism_pair *prism_pair_find(const struct prism_vocab *v, int32_t left, int32_t right); /* NULL: none */

/* ---- special.c, special_split.c ---- */

/* Fills matcher and eog; types and the ids of eos, eot and eom are set. */
enum prism_status prism_special_build(struct prism_vocab *v, struct prism_error *err);

/* Of n tokens with distinct texts that are not empty, ids in the byte order of the texts. *out belongs to the caller, on failure too. */
enum prism_status prism_matcher_build(const struct prism_vocab *v, const int32_t *ids, uint32_t n, struct prism_matcher **out,
                                      struct prism_error *err);
void prism_matcher_free(struct prism_matcher *m); /* NULL allowed */

/* The text cut at special tokens: token -1 is plain text. */
struct prism_fragment {
    size_t start, len;
    int32_t token;
};
/* parse: control and unknown tokens count too, user-defined ones always do. *out is malloc'ed, the caller frees it. */
enum prism_status prism_special_split(const struct prism_vocab *v, const char *text, size_t len, bool parse,
                                      struct prism_fragment **out, size_t *n, struct prism_error *err);
/* The same; steps receives how many moves it took, in proportion to the time. user (NULL: nothing): user[i] says that on byte i only
 * user-defined tokens count, and not v->shown. */
enum prism_status prism_special_split_counted(const struct prism_vocab *v, const char *text, const bool *user, size_t len, bool parse,
                                              struct prism_fragment **out, size_t *n, uint64_t *steps, struct prism_error *err);

/* ---- pretokenize.c ---- */

struct prism_pre {
    const char *const *names;    /* ends with NULL; values of tokenizer.ggml.pre */
    const char *const *patterns; /* ends with NULL; applied one after the other */
    bool whole_pieces, add_bos;
};
/* name is set to the table's copy of the name. NULL: unknown, or not in this version. */
const struct prism_pre *prism_pre_find(struct prism_str value, const char **name);
enum prism_status prism_splitter_create(const struct prism_pre *pre, struct prism_splitter **out, struct prism_error *err);
void prism_splitter_free(struct prism_splitter *s);

/* Calls piece for each piece of well-formed UTF-8, in order; stops at the first failure. Thread-safe. */
typedef enum prism_status prism_piece_fn(void *user, const char *piece, size_t len);
enum prism_status prism_split(const struct prism_splitter *s, const char *text, size_t len, prism_piece_fn *piece, void *user,
                              struct prism_error *err);

/* ---- merge.c ---- */

struct prism_symbol {
    uint32_t start, len;         /* bytes of the text */
    int32_t id;                  /* -1: not a token */
    uint32_t prev, next;         /* neighbours; PRISM_NO_SYMBOL at the ends */
    uint32_t priority;           /* of merging with next, PRISM_NO_MERGE: never */
    int32_t merged;              /* token that this gives */
};
#define PRISM_NO_SYMBOL UINT32_MAX
#define PRISM_NO_MERGE UINT32_MAX

/* One call of prism_vocab_encode. */
struct prism_encoder {
    const struct prism_vocab *v;
    struct prism_error *err;
    int32_t *tokens;             /* room for cap ids */
    size_t cap, n;               /* n counts on past cap */
    struct prism_symbol *symbols;
    uint64_t *heap;
    size_t symbols_cap;
    char *mapped;                /* whole_pieces: room for 2 * v->longest bytes */
};

/* Room for n symbols. */
enum prism_status prism_encoder_reserve(struct prism_encoder *e, size_t n);
void prism_encoder_emit(struct prism_encoder *e, int32_t token);

/* Sets left->priority and left->merged for the pair (left, right), whose bytes lie side by side in text. */
typedef void prism_pair_fn(const struct prism_vocab *v, const char *text, struct prism_symbol *left,
                           const struct prism_symbol *right);
/* Symbols 0..n-1 (start, len, id set) cover a stretch of text. Merges the pair of lowest priority, leftmost on ties, until
 * no pair can merge: O(n log n). Afterwards the symbols left over are linked from symbol 0 by `next`. */
void prism_merge(struct prism_encoder *e, const char *text, size_t n, prism_pair_fn *pair);

/* For merging by the table of pairs. */
prism_pair_fn prism_pair_merge;

/* ---- bpe.c, raw_bpe.c, spm.c: one fragment ---- */

enum prism_status prism_bpe_encode(struct prism_encoder *e, const char *text, size_t len);
enum prism_status prism_raw_bpe_encode(struct prism_encoder *e, const char *text, size_t len);
/* space_prefix: put a space before the fragment. */
enum prism_status prism_spm_encode(struct prism_encoder *e, const char *text, size_t len, bool space_prefix);

void prism_bpe_prepare(struct prism_vocab *v); /* byte_token; the token table exists */
void prism_spm_bytes(struct prism_vocab *v);   /* the same: "<0xHH>", else the byte itself */
enum prism_status prism_spm_prepare(struct prism_vocab *v, const struct prism_gguf_kv *scores, struct prism_error *err);

/* A malloc'ed copy in which each byte that starts no well-formed sequence is U+FFFD, or NULL when there is none such or no memory: *bad, their
 * number, tells. bpe.c */
char *prism_replace_invalid(const char *text, size_t len, size_t *out_len, size_t *bad);

/* The text with U+2581 for each space to `out`, which has room for 3 * len bytes; returns its length. spm.c */
size_t prism_escape_spaces(char *out, const char *text, size_t len);

/* The byte map of GPT-2 (Radford et al. 2019): each byte has a printable character in U+0021..U+0143. */
uint32_t prism_byte_to_char(uint8_t byte);
int prism_char_to_byte(uint32_t c); /* -1: not a character of the map */

#define PRISM_SPM_SPACE "\xE2\x96\x81" /* U+2581 */

#endif
