/* prism.h - the public interface of prismcpu, the only header that an application includes.
 *
 * A *model* is a GGUF file mapped into memory: read-only after loading, shared freely between threads.
 * A *context* is one conversation with a model: its key/value cache, its scratch memory, its threads. It is
 * used by one thread at a time; several contexts of one model may run at once from several threads.
 *
 *     prism_model_load -> prism_context_create -> prism_tokenize -> prism_prefill -> prism_sample -> prism_decode ...
 *
 * Errors are values. Every function that can fail returns a prism_status and takes an optional prism_error that
 * receives one line of text. The library never prints, never exits and reads no environment variable.
 * Counts are elements, sizes ending in `_bytes` are bytes, times ending in `_ms` are milliseconds.
 */
#ifndef PRISM_PRISM_H
#define PRISM_PRISM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PRISM_VERSION "0.1.0"
#define PRISM_API __attribute__((visibility("default")))

/* ---- errors ------------------------------------------------------------------------------------------------- */

/* Numbers are in tens by family and are never reused. */
enum prism_status {
    PRISM_OK = 0,
    PRISM_E_ARG = 10,         /* an argument is out of its documented range */
    PRISM_E_LENGTH = 11,      /* more tokens than the context holds */
    PRISM_E_NOMEM = 20,       /* memory could not be reserved */
    PRISM_E_IO = 30,          /* the operating system refused to open, map or read */
    PRISM_E_FORMAT = 40,      /* the file is damaged or contradicts itself */
    PRISM_E_UNSUPPORTED = 50, /* a well-formed file that this version does not run */
    PRISM_E_CANCELLED = 60,   /* a progress callback asked to stop */
    PRISM_E_NUMERIC = 70      /* a result is infinite or not a number: damaged weights, or values beyond the cache's type */
};

/* The failure of the last call that was given it, in one line without a newline; PRISM_OK and empty after success. */
struct prism_error {
    enum prism_status status;
    char text[512];
};

/* A constant phrase such as "out of memory". Never NULL. */
PRISM_API const char *prism_status_text(enum prism_status status);

/* The version of the library that is linked in: PRISM_VERSION of its header. */
PRISM_API const char *prism_version(void);

/* One line (no newline) of advice or warning while a file is read. Called from the thread that loads. */
typedef void prism_log_fn(void *user, const char *line);

/* ---- levels, types, modes -------------------------------------------------------------------------------------- */

/* How linear layers and attention compute. */
enum prism_compute {
    PRISM_COMPUTE_AUTO = 0, /* the fastest arithmetic of the level: int8, int16, bf16 or f32 dot products */
    PRISM_COMPUTE_F32 = 1   /* activations, products and sums in fp32 everywhere: the reference behaviour */
};

enum prism_kv_type { PRISM_KV_DEFAULT = 0, PRISM_KV_F16, PRISM_KV_BF16, PRISM_KV_F32 };

/* Number of levels compiled in, best last; name of level i ("generic", "avx2", ...); whether this host runs it. */
PRISM_API int prism_level_count(void);
PRISM_API const char *prism_level_name(int level);
PRISM_API bool prism_level_supported(int level);

/* Writes a readable table of the kernels that `level` (-1: best of the host) uses: at most cap bytes with the final
 * NUL. Returns the length that the whole text has, as snprintf does. */
PRISM_API size_t prism_kernels_text(int level, char *buf, size_t cap);

/* ---- model ------------------------------------------------------------------------------------------------------ */

typedef struct prism_model prism_model;

struct prism_model_params {
    bool vocab_only;        /* read metadata and vocabulary only; a file without tensors is enough */
    bool check_tensors;     /* also scan all weights for NaN and infinite scales */
    prism_log_fn *log;      /* warnings; NULL: none */
    void *log_user;
};

/* Facts of a loaded model. Strings live as long as the model. */
struct prism_model_info {
    const char *path, *architecture, *name, *type; /* type: "Q8_0", "Q4_K - Medium", ... */
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_rot, n_ff, n_vocab, n_ctx_train;
    float rope_freq_base, rms_eps;
    const char *rope_order, *rope_scaling, *tokenizer, *pre_tokenizer;
    bool tied_embeddings, add_bos, add_eos;
    int32_t bos, eos;         /* -1: none */
    uint32_t n_files, n_tensors;
    uint64_t n_params, tensor_bytes, file_bytes;
};

/* Map a GGUF file (for a split model: its first part). params may be NULL. On success *out owns the mapping; free it with
 * prism_model_free after all its contexts. On failure *out is NULL. Takes milliseconds whatever the size of the file.
 * Errors: PRISM_E_IO, PRISM_E_FORMAT, PRISM_E_UNSUPPORTED, PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_model_load(const char *path, const struct prism_model_params *params, prism_model **out,
                                             struct prism_error *err);
PRISM_API void prism_model_free(prism_model *model); /* NULL is allowed */
PRISM_API void prism_model_info(const prism_model *model, struct prism_model_info *info);

/* ---- text ------------------------------------------------------------------------------------------------------- */

enum prism_tokenize_flags {
    PRISM_ADD_SPECIAL = 1,  /* put BOS (and EOS) where the model's metadata says so */
    PRISM_PARSE_SPECIAL = 2 /* text such as "<|im_end|>" becomes the special token */
};

/* Split len bytes of UTF-8 (NUL bytes and invalid sequences allowed) into token ids. Writes min(cap, *n) ids and sets *n to
 * the full count; cap 0 with tokens NULL counts only. Thread-safe. Errors: PRISM_E_NOMEM, PRISM_E_ARG, PRISM_E_FORMAT. */
PRISM_API enum prism_status prism_tokenize(const prism_model *model, const char *text, size_t len, unsigned flags,
                                           int32_t *tokens, size_t cap, size_t *n, struct prism_error *err);

/* The exact bytes of one token (they may be part of a UTF-8 sequence). special: control tokens print as their text, else as
 * nothing. `first`: drop the leading space that a SentencePiece vocabulary puts before the first word.
 * Writes at most cap bytes, returns the full length. Thread-safe. An id out of range has no bytes. */
PRISM_API size_t prism_token_bytes(const prism_model *model, int32_t token, bool special, bool first, char *buf, size_t cap);

PRISM_API bool prism_token_is_eog(const prism_model *model, int32_t token); /* end of generation */

/* A streaming decoder that never splits a code point: zero-initialise it, then feed it bytes. */
struct prism_utf8 {
    unsigned char held[4];
    unsigned n_held;
};
/* Appends len bytes; writes complete UTF-8 to out (out has room for 3 * (len + 4) bytes; an invalid sequence becomes U+FFFD)
 * and returns how many bytes it wrote. flush: also emit U+FFFD for an incomplete tail. */
PRISM_API size_t prism_utf8_push(struct prism_utf8 *s, const char *bytes, size_t len, bool flush, char *out);

/* ---- context ---------------------------------------------------------------------------------------------------- */

typedef struct prism_context prism_context;

#define PRISM_MAX_THREADS 512

/* Which key blocks attention computes while it prefills. Zero means the default for every field. Terms and rules: Prism, arXiv 2602.08426. */
#define PRISM_NO_TAIL UINT32_MAX
struct prism_attention_params {
    const char *selector;          /* a name of prism_selector_name, "dense", or NULL / "auto" */
    uint32_t block;                /* tokens per block: 32, 64 (default), 128 or 256 */
    float p_high, p_low;           /* top-p of the high and the low frequency band, (0, 1]; default 0.95 */
    uint32_t high_dim, low_dim;    /* dims per band, even; default: n_rot / 2 and 3/4 n_rot plus the unrotated dims */
    bool bands_by_rule;            /* bands from the attenuation of each pair under pooling instead */
    bool causal_energy;            /* temperatures from the blocks so far instead of from the whole prompt */
    uint64_t dense_layers[8];      /* bit l of word l / 64: layer l is dense */
    uint32_t dense_tail;           /* last tokens of a call that attend to everything; default one block; PRISM_NO_TAIL: none (then
                                    * only the last layer's rows of a prefill that asks for 16 rows of logits or fewer) */
    uint32_t min_tokens;           /* below this many tokens in the cache everything is dense; default 0 ("auto": 8192) */
    uint32_t sink, window;         /* streaming: tokens; default 128, 2048 */
    uint32_t vertical, slash;      /* vertical-slash: columns and diagonals; default 1000, 6096 */
    float gamma, tau;              /* flexprefill; default 0.95, 0.1 */
    uint32_t min_budget;           /* flexprefill: tokens; default 0 */
    uint32_t stride;               /* xattention: default 8 */
    float threshold;               /* xattention: default 0.9 */
    float row_mass;                /* prism-rows: the part of a row's probability that makes it need a block; default 0.1 */
};

/* Zero means the default for every field. */
struct prism_context_params {
    uint32_t n_ctx;                /* tokens that the cache holds; 0: the length the model was trained with */
    uint32_t n_threads;            /* 1..PRISM_MAX_THREADS; 0: one per physical core that this process may use */
    bool bind_threads;             /* pin each thread to its core; the caller's own binding is restored after each call */
    enum prism_compute compute;
    enum prism_kv_type kv_type;    /* default: F16, with PRISM_COMPUTE_F32: F32 */
    int level;                     /* 0: best of the host; otherwise 1 + an index for prism_level_name */
    struct prism_attention_params attention;
    uint32_t logits_rows;          /* rows that prism_prefill_params.logits gets at a time, at most one slab; 0: 16. More is faster where
                                    * all logits of a prompt are wanted, and costs vocabulary * 4 bytes each */
};

/* Names of the selectors, i in [0, prism_selector_count()). */
PRISM_API int prism_selector_count(void);
PRISM_API const char *prism_selector_name(int i);

/* What a context will hold, computed before anything is allocated. The bytes are all there is: nothing is allocated
 * later, except by the OpenMP runtime for its threads' stacks. */
struct prism_plan {
    uint32_t n_ctx, n_threads, slab_tokens;
    enum prism_kv_type kv_type;
    const char *level, *compute;          /* names; compute: "auto" or "f32" */
    const char *selector;                 /* "dense" or the selector in use */
    uint32_t block;                       /* tokens per attention block */
    const char *attention_type;           /* what attention multiplies: "f32", "i16" or "bf16" */
    uint64_t kv_bytes, activation_bytes, panel_bytes, attention_bytes, logits_bytes, total_bytes;
};

/* params may be NULL. Errors: PRISM_E_ARG (unknown level, too many threads), PRISM_E_UNSUPPORTED (level not on this host). */
PRISM_API enum prism_status prism_plan(const prism_model *model, const struct prism_context_params *params,
                                       struct prism_plan *plan, struct prism_error *err);

/* One reservation of plan.total_bytes. The model must outlive the context. On failure *out is NULL. */
PRISM_API enum prism_status prism_context_create(const prism_model *model, const struct prism_context_params *params,
                                                 prism_context **out, struct prism_error *err);
PRISM_API void prism_context_free(prism_context *ctx);

/* Done and total are in the same arbitrary unit of work; tokens_done estimates the tokens that this amounts to. Called by the
 * thread that called prism_prefill. Return non-zero to stop: prism_prefill then returns PRISM_E_CANCELLED and the context
 * keeps its previous length. */
struct prism_progress {
    uint64_t done, total;
    size_t tokens_done, tokens_total;
    double elapsed_ms;
};
typedef int prism_progress_fn(void *user, const struct prism_progress *progress);

/* Logits of prompt rows [row, row + n_rows), rows counted from the start of this call; logits: [n_rows][n_vocab] fp32, natural
 * log scale, valid during the call. Called from several threads at once, each row exactly once. */
typedef void prism_logits_fn(void *user, size_t row, size_t n_rows, const float *logits);

/* The blocks that a selector chose in one layer: per head and query block u = first_block + row, bit v of the row says that key block
 * v <= u is computed (the dense tail is not included). Valid during the call, which comes from the thread that prefills. */
struct prism_attention_mask {
    uint32_t layer, n_head, block, first_block, n_rows, n_words;
    const uint64_t *bits;          /* [n_head][n_rows][n_words] */
};
typedef void prism_mask_fn(void *user, const struct prism_attention_mask *mask);

struct prism_prefill_params {
    prism_progress_fn *progress;   /* NULL: none */
    void *progress_user;
    prism_mask_fn *mask;           /* NULL: none */
    void *mask_user;
    prism_logits_fn *logits;       /* NULL: only the last row is computed, see prism_logits */
    void *logits_user;
    size_t logits_from;            /* first row (token of this call) that `logits` receives */

    /* For measurements. 0: all layers. Otherwise stop after so many, each run for every row; there are no logits, and the cache of the
     * other layers lacks these tokens: truncate them away before the context is used for anything else. */
    uint32_t n_layers;
};

/* Append n >= 1 tokens to the context, at whatever length it has (continuation). params may be NULL.
 * Errors: PRISM_E_ARG (token id out of range, n == 0), PRISM_E_LENGTH, PRISM_E_CANCELLED; on each the context keeps its
 * previous length. n_layers: at most the model's, and not with `logits` (PRISM_E_ARG). The result has the same bits for any number of
 * threads. */
PRISM_API enum prism_status prism_prefill(prism_context *ctx, const int32_t *tokens, size_t n,
                                          const struct prism_prefill_params *params, struct prism_error *err);

/* prism_prefill of one token. */
PRISM_API enum prism_status prism_decode(prism_context *ctx, int32_t token, struct prism_error *err);

/* n_vocab logits after the last token, natural log scale; owned by the context, valid until the next call that appends or
 * truncates. NULL while the context is empty or just truncated, and after a prefill of n_layers. */
PRISM_API const float *prism_logits(const prism_context *ctx);

PRISM_API size_t prism_length(const prism_context *ctx); /* tokens in the cache */

/* Forget all tokens from position n on. n > prism_length: PRISM_E_ARG. */
PRISM_API enum prism_status prism_truncate(prism_context *ctx, size_t n, struct prism_error *err);

/* ---- sampling --------------------------------------------------------------------------------------------------- */

/* Applied in this order: top_k, top_p, min_p, temperature, draw. Out of range values switch a filter off. */
struct prism_sampling {
    float temp;      /* <= 0: greedy, the largest logit, lowest id on ties */
    int32_t top_k;   /* <= 0: off */
    float top_p;     /* >= 1: off */
    float min_p;     /* <= 0: off */
    uint64_t state;  /* the random state: set it to the seed before the first call; advanced by each draw */
};

/* One token id drawn from n_vocab logits. scratch: n_vocab entries of 8 bytes, or NULL when temp <= 0. Thread-safe. */
PRISM_API int32_t prism_sample(struct prism_sampling *s, const float *logits, size_t n_vocab, void *scratch);

/* Natural-log probability of `token` under softmax(logits), in double. */
PRISM_API double prism_log_prob(const float *logits, size_t n_vocab, int32_t token);

/* ---- statistics ------------------------------------------------------------------------------------------------- */

/* Totals since the context was created or prism_stats_reset. */
struct prism_stats {
    uint64_t prefill_tokens, decode_tokens;
    double prefill_ms, decode_ms;
    /* where prefill went, wall time of the whole team */
    double linear_ms, attention_ms, select_ms, other_ms;
};

/* What the selector chose in a head of a layer, since the same moment. Density = chosen / causal. */
struct prism_head_stats {
    uint64_t chosen_blocks, causal_blocks;
    double mass;                   /* mean probability (of pooled scores) that the chosen blocks hold; NaN: unknown to this selector */
};
/* Errors: false when layer or head is out of range. Dense layers count nothing. */
PRISM_API bool prism_get_head_stats(const prism_context *ctx, uint32_t layer, uint32_t head, struct prism_head_stats *stats);

/* Where the time of a layer's attention went, since the same moment, calls of one token included. */
struct prism_layer_stats {
    double attention_ms, select_ms;
};
/* Errors: false when layer is out of range. */
PRISM_API bool prism_get_layer_stats(const prism_context *ctx, uint32_t layer, struct prism_layer_stats *stats);
PRISM_API void prism_get_stats(const prism_context *ctx, struct prism_stats *stats);
PRISM_API void prism_stats_reset(prism_context *ctx);

/* Threads in use; core_of[i] (cap entries) receives the operating system's number of the processor that thread i is bound
 * to, read back from the system, or -1 when unbound. Runs the team once. */
PRISM_API uint32_t prism_threads(prism_context *ctx, int *core_of, size_t cap);

/* What the threads of the context reach together in multiply-adds of a type ("f32", "i8", "i16" or "bf16") on registers alone with its level's
 * instructions: 1e9 operations per second, two per multiply-add, the best of a few rounds. Takes about 50 ms. 0: the level has no
 * instruction for that type. */
PRISM_API double prism_peak_gops(prism_context *ctx, const char *type);

#ifdef __cplusplus
}
#endif
#endif
