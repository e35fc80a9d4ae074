/* prism.h - the public interface of prismcpu, the only header that an application includes.
 *
 * A *model* is a GGUF file mapped into memory: read-only after loading, shared freely between threads.
 * A *context* is one conversation with a model: its key/value cache, its scratch memory, its threads. It is
 * used by one thread at a time; several contexts of one model may run at once from several threads.
 *
 *     prism_model_load -> prism_context_create -> prism_tokenize -> prism_prefill -> prism_sample -> prism_decode ...
 *
 * Rules for all functions, where their own text does not say otherwise:
 *   Errors are values. Every function that can fail returns a prism_status and takes an optional prism_error, which it sets
 *   whether it fails or succeeds: it need not be initialised. A function that fails leaves its model and its context as they
 *   were, and NULL or zeros where a result would be. The library never prints, never exits and obeys no environment variable.
 *   Pointers. Models, contexts and places for results must not be NULL: functions that return a prism_status refuse it
 *   (PRISM_E_ARG), the others do not look. A text or array may be NULL when its length is 0.
 *   Threads. Functions without a context may be called from several threads at once, those of one context from one at a time.
 *   The library's own threads sleep when there is nothing to do, block the application's signals, and have nothing to do with OpenMP.
 *   After fork a child may use and free its contexts; their threads are started anew by its first call. (Not from a callback of this
 *   library: a child forked there can only exec or exit.) A call needs PRISM_MIN_STACK bytes of stack beside what its callbacks need.
 *   Callbacks run inside the call, must return, and must not use the context of the call; in the library's threads (prism_logits_fn)
 *   they have 512 KiB of stack.
 *   Strings that are returned are constants of the library or, of a model (prism_model_info, prism_model_chat_template), live as long as it.
 *   Counts are elements, sizes ending in `_bytes` are bytes, times ending in `_ms` are milliseconds of wall time.
 */
#ifndef PRISM_PRISM_H
#define PRISM_PRISM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* a struct and a function of one name, as in POSIX's stat: g++ sees a constructor hidden */
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

/* What the last call that was given it came to: its status and, after a failure, one printable line without a newline that names what was
 * wrong; PRISM_OK and an empty text after success. */
struct prism_error {
    enum prism_status status;
    char text[512];
};

/* A constant phrase such as "out of memory". Never NULL, whatever the number. */
PRISM_API const char *prism_status_text(enum prism_status status);

/* The version of the library that is linked in: PRISM_VERSION of its header. */
PRISM_API const char *prism_version(void);

/* One printable line (no newline) of advice or warning while a file is read. Called by the thread that loads; the line lives during the call. */
typedef void prism_log_fn(void *user, const char *line);

/* ---- levels, types, modes -------------------------------------------------------------------------------------- */

/* How linear layers and attention compute. */
enum prism_compute {
    PRISM_COMPUTE_AUTO = 0, /* the fastest arithmetic of the level: int8, int16, bf16 or f32 dot products */
    PRISM_COMPUTE_F32 = 1   /* activations, products and sums in fp32 everywhere: the reference behaviour */
};

/* Types of cached keys and values. Q8_0 is for heads of a multiple of 32 values (else PRISM_E_UNSUPPORTED): bytes with a scale for each 32 of
 * them, 0.53 times the memory of F16; a value is off by 1/254 of the largest of its 32 at most, where F16 is off by 1/2048 of itself. */
enum prism_kv_type { PRISM_KV_DEFAULT = 0, PRISM_KV_F16, PRISM_KV_BF16, PRISM_KV_F32, PRISM_KV_Q8_0 };

/* Number of levels compiled in (those of the processor family, at least one), best last; name of level i ("generic", "avx2", ...; NULL: there
 * is none with that number); whether this host runs it. */
PRISM_API int prism_level_count(void);
PRISM_API const char *prism_level_name(int level);
PRISM_API bool prism_level_supported(int level);

/* Writes a readable table of the kernels that `level` (-1: best of the host) uses: at most cap bytes with the final
 * NUL. Returns the length that the whole text has, as snprintf does. No such level: the list of levels alone. */
PRISM_API size_t prism_kernels_text(int level, char *buf, size_t cap);

/* ---- model ------------------------------------------------------------------------------------------------------ */

typedef struct prism_model prism_model;

struct prism_model_params {
    bool vocab_only;        /* read metadata and vocabulary only; a file without tensors is enough */
    bool check_tensors;     /* also scan all weights for NaN and infinite scales (PRISM_E_FORMAT): reads the whole file */
    prism_log_fn *log;      /* warnings; NULL: none */
    void *log_user;
};

/* Facts of a loaded model. Strings live as long as the model; none is NULL. After vocab_only the network's numbers are 0. */
struct prism_model_info {
    const char *path;         /* as given to prism_model_load */
    const char *architecture, *name; /* "llama", "qwen3moe", ...; the name may be empty */
    const char *type;         /* of most weights: "Q8_0", "Q4_K - Medium", ... */
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_rot, n_ff, n_vocab; /* where layers differ: n_head_kv, head_dim and n_rot of those
                               * that see all tokens, n_ff of the first */
    uint32_t n_ctx_train;     /* tokens */
    uint32_t n_expert, n_expert_used; /* of each layer with experts, and those that take a token; 0: no experts */
    uint32_t n_ff_expert, n_ff_shared; /* activations between the products of one, and of the shared expert that takes every token; 0: none */
    uint32_t window, n_window_layers; /* tokens that a row of these layers sees, itself among them; the others see all. 0: there are none */
    uint32_t n_head_kv_window, head_dim_window; /* of layers with a window; without any those of the others */
    uint32_t n_shared_kv;     /* layers that read the keys and values of earlier ones */
    float rope_freq_base, rope_freq_base_window, rms_eps; /* of layers with a window; without any it is rope_freq_base */
    const char *rope_order;   /* of rotated pairs: "interleaved" or "half-split" */
    const char *rope_scaling; /* "none", "linear", "yarn" or "longrope" */
    const char *tokenizer, *pre_tokenizer; /* "gpt2", "llama" or "gemma4"; "qwen2", ..., empty: none */
    bool tied_embeddings, add_bos, add_eos;
    int32_t bos, eos;         /* -1: none */
    uint32_t n_files, n_tensors;
    uint64_t n_params, tensor_bytes, file_bytes; /* weights; bytes of all tensors, of all files */
};

/* Map a GGUF file (for a split model: its first part). params may be NULL. On success *out owns the mapping; free it with
 * prism_model_free after all its contexts; until then the file must not shrink or change: reading a page that is gone is SIGBUS.
 * On failure *out is NULL. Takes milliseconds whatever the size of the file.
 * Errors: PRISM_E_ARG (path is NULL), PRISM_E_IO, PRISM_E_FORMAT, PRISM_E_UNSUPPORTED, PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_model_load(const char *path, const struct prism_model_params *params, prism_model **out,
                                             struct prism_error *err);
PRISM_API void prism_model_free(prism_model *model); /* NULL is allowed */
PRISM_API void prism_model_info(const prism_model *model, struct prism_model_info *info);

/* Any value of the file's metadata as text: a string as it is, a number, "true" or "false", an array as [1, 2] or ["a", "b"]. buf receives at
 * most cap bytes with the final NUL. Returns the length that the whole text has, as snprintf does; -1: there is no such key, or it is NULL. */
PRISM_API int64_t prism_model_meta(const prism_model *model, const char *key, char *buf, size_t cap);

/* ---- text ------------------------------------------------------------------------------------------------------- */

enum prism_tokenize_flags {
    PRISM_ADD_SPECIAL = 1,   /* put BOS (and EOS) where the model's metadata says so */
    PRISM_PARSE_SPECIAL = 2, /* text such as "<|im_end|>" becomes the special token */
    PRISM_ADD_BOS = 4,       /* only BOS, where the metadata says so: for a text that is to be continued */
    PRISM_ADD_EOS = 8        /* only EOS */
};

/* Split len bytes of UTF-8 (NUL bytes and invalid sequences allowed) into token ids. Writes min(cap, *n) ids and sets *n to
 * the full count; cap 0 with tokens NULL counts only. flags: enum prism_tokenize_flags, or-ed. Allocates in proportion to len.
 * Thread-safe. On failure *n is 0.
 * Errors: PRISM_E_ARG (unknown flags, more than 2^30 bytes), PRISM_E_UNSUPPORTED (the model has no vocabulary), PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_tokenize(const prism_model *model, const char *text, size_t len, unsigned flags,
                                           int32_t *tokens, size_t cap, size_t *n, struct prism_error *err);

/* The exact bytes of one token (they may be part of a UTF-8 sequence). special: control tokens print as their text, else as
 * nothing. `first`: drop the leading space that a SentencePiece vocabulary puts before the first word.
 * Writes at most cap bytes, returns the full length. Thread-safe. An id out of range has no bytes. */
PRISM_API size_t prism_token_bytes(const prism_model *model, int32_t token, bool special, bool first, char *buf, size_t cap);

/* Whether a generation ends with it: end of text or of a turn, by the ids of the metadata and by the texts that models use. */
PRISM_API bool prism_token_is_eog(const prism_model *model, int32_t token);

/* A streaming decoder that never splits a code point: zero-initialise it, then feed it bytes. */
struct prism_utf8 {
    unsigned char held[4];
    unsigned n_held;
};
/* Appends len bytes; writes complete UTF-8 to out (out has room for 3 * (len + 4) bytes; an invalid sequence becomes U+FFFD)
 * and returns how many bytes it wrote. flush: also emit U+FFFD for an incomplete tail; s is then as new. Thread-safe for different s. */
PRISM_API size_t prism_utf8_push(struct prism_utf8 *s, const char *bytes, size_t len, bool flush, char *out);

/* ---- chat ------------------------------------------------------------------------------------------------------- */

/* One message of a conversation. */
struct prism_message {
    const char *role;    /* "system", "user", "assistant", ...: what the template knows */
    const char *content; /* n_content bytes of UTF-8; NUL bytes and invalid sequences are allowed */
    size_t n_content;
};

enum prism_thinking { PRISM_THINKING_DEFAULT = 0, PRISM_THINKING_ON, PRISM_THINKING_OFF };

/* Zero means the default for every field. */
struct prism_chat_params {
    const char *template_text;    /* Jinja, or "chatml" for the built-in one; NULL: that of the model */
    bool no_generation_prompt;    /* leave out the beginning of the answer that is to come */
    enum prism_thinking thinking; /* `enable_thinking` of the template: default undefined, which is not the same as on or off */
    int64_t now;                  /* today, for templates that tell: seconds since 1970-01-01 00:00 of *local* time; 0: the clock, in UTC */
};

/* The text of a conversation as the model was trained on it: out receives min(cap, *n) bytes without a NUL, *n is the full length; cap 0 with out
 * NULL counts only. The template comes from a file, so it runs within bounds: 100 levels of nesting, and memory, steps and output in proportion to
 * what it is given. params may be NULL. Thread-safe. On failure *n is 0 and the text of the error names the template's line.
 * Errors: PRISM_E_ARG (a NULL, a value out of its range, more than 2^30 bytes; or the template refuses these messages, and says why), PRISM_E_FORMAT
 * (what is no template, or trips over itself), PRISM_E_UNSUPPORTED (there is no template; a feature of Jinja that this version lacks; a bound),
 * PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_chat_render(const prism_model *model, const struct prism_message *messages, size_t n_messages,
                                              const struct prism_chat_params *params, char *out, size_t cap, size_t *n, struct prism_error *err);

/* The same as token ids, ready for prism_prefill; tokens, cap and *n as for prism_tokenize. Special tokens come from the template (and from
 * messages whose role is "assistant") alone: in all other contents "<|im_end|>" is plain text. BOS is there once: where the template
 * has it, else in front where the model's metadata says so.
 * Errors: those of prism_chat_render: PRISM_E_ARG, PRISM_E_FORMAT, PRISM_E_UNSUPPORTED (also: the model has no vocabulary), PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_chat_tokenize(const prism_model *model, const struct prism_message *messages, size_t n_messages,
                                                const struct prism_chat_params *params, int32_t *tokens, size_t cap, size_t *n,
                                                struct prism_error *err);

/* The model's chat template of that name (of those in tokenizer.chat_template.NAME, such as "tool_use"); name NULL: the default one. NULL: there is
 * none, or it has more than 2^20 bytes or a NUL. */
PRISM_API const char *prism_model_chat_template(const prism_model *model, const char *name);

/* ---- context ---------------------------------------------------------------------------------------------------- */

typedef struct prism_context prism_context;

#define PRISM_MAX_THREADS 512
#define PRISM_MIN_STACK 65536      /* bytes of stack that a call of this library needs, on the thread that calls */
#define PRISM_MAX_CONTEXT 16777216 /* tokens: no model was trained for more (a file that declares more is read as this, with a warning) */
#define PRISM_MAX_TOKENS 1073741824 /* of the fields of prism_attention_params that count tokens, columns or diagonals: all there are */

/* Which key blocks attention computes while it prefills. Zero means the default for every field. Terms and rules: Prism, arXiv 2602.08426.
 * Counts of tokens (but for dense_tail), columns and diagonals: at most PRISM_MAX_TOKENS. NaN is in no range. */
#define PRISM_NO_TAIL UINT32_MAX
struct prism_attention_params {
    const char *selector;          /* a name of prism_selector_name, "dense", or NULL / "auto": prism-rows from 8192 tokens on. Read during the call */
    uint32_t block;                /* tokens per block: 32, 64 (default), 128 or 256 */
    float p_high, p_low;           /* top-p of the high and the low frequency band, (0, 1]; default 0.95 */
    uint32_t high_dim, low_dim;    /* dims per band, even, at most n_rot and head_dim; default: n_rot / 2 and 3/4 n_rot plus the unrotated dims */
    bool bands_by_rule;            /* bands from the attenuation of each pair under pooling instead */
    bool causal_energy;            /* temperatures from the blocks so far instead of from the whole prompt */
    uint64_t dense_layers[8];      /* bit l of word l / 64: layer l is dense */
    uint32_t dense_tail;           /* last tokens of a call that attend to everything; default one block; PRISM_NO_TAIL: none (then
                                    * only the last layer's rows of a prefill that asks for 16 rows of logits or fewer) */
    uint32_t min_tokens;           /* below this many tokens in the cache everything is dense; default 0 ("auto": 8192) */
    uint32_t sink, window;         /* streaming: tokens; default 128, 2048 */
    uint32_t vertical, slash;      /* vertical-slash: columns and diagonals; default 1000, 6096 */
    float gamma, tau;              /* flexprefill, (0, 1]; default 0.95, 0.1 */
    uint32_t min_budget;           /* flexprefill: tokens; default 0 */
    uint32_t stride;               /* xattention: a divisor of block; default 8 */
    float threshold;               /* xattention: (0, 1]; default 0.9 */
    float row_mass;                /* prism-rows, (0, 1]: the part of a row's probability that makes it need a block (beyond 8192 tokens less, and
                                    * all rows of a query block need a ninth of it on average); default 0.14 */
};

/* Zero means the default for every field. */
struct prism_context_params {
    uint32_t n_ctx;                /* tokens that the cache holds, 1..PRISM_MAX_CONTEXT; 0: the length the model was trained with. A model with a
                                    * sliding window runs within that window: more is PRISM_E_UNSUPPORTED */
    uint32_t n_threads;            /* 1..PRISM_MAX_THREADS; 0: one per physical core that this process may use, by the affinity masks
                                    * of all its threads, the cpuset and the CPU quota of its control group */
    bool bind_threads;             /* pin each thread to its core; the caller's own binding is restored after each call. Contexts of
                                    * one process get the cores that the fewest of them have */
    enum prism_compute compute;
    enum prism_kv_type kv_type;    /* of cached keys, and of values where v_type is not given; default: F16, with PRISM_COMPUTE_F32: F32 */
    enum prism_kv_type v_type;     /* of cached values; default: that of keys */
    int level;                     /* 0: best of the host; otherwise 1 + an index for prism_level_name */
    struct prism_attention_params attention;
    uint32_t logits_rows;          /* rows of logits that are computed together for prism_prefill_params.logits: 1..PRISM_MAX_CONTEXT, of which
                                    * one slab (prism_plan.slab_tokens) is used; 0: 16. More is faster where all logits of a prompt are wanted,
                                    * and costs vocabulary * 4 bytes each */
};

/* Names of the selectors, i in [0, prism_selector_count()); NULL for other i. */
PRISM_API int prism_selector_count(void);
PRISM_API const char *prism_selector_name(int i);

/* What a context will hold, computed before it exists. The bytes are all there is beside a few KiB of its own and the stacks of n_threads - 1
 * threads (1 MiB of addresses each, of which some 50 KiB are touched): nothing is allocated after prism_context_create, except
 * while a session file is written or read, and that a child of fork starts the threads again. */
struct prism_plan {
    uint32_t n_ctx, n_threads;
    uint32_t slab_tokens;                 /* that go through the linear layers together */
    enum prism_kv_type kv_type, v_type;   /* of cached keys, of cached values */
    const char *level, *compute;          /* names; compute: "auto" or "f32" */
    const char *selector;                 /* "dense" or the selector in use */
    uint32_t block;                       /* tokens per attention block */
    const char *attention_type;           /* what attention multiplies: "f32" or "i16" */
    uint64_t kv_bytes;                    /* keys and values, and the states of layers that have such in their place */
    uint64_t activation_bytes, panel_bytes, attention_bytes, logits_bytes;
    uint64_t total_bytes;                 /* the sum of these */
};

/* params may be NULL. On failure *plan is all zeros.
 * Errors: PRISM_E_ARG (a parameter out of its range; a model of which only the vocabulary was loaded), PRISM_E_UNSUPPORTED (a level that is not
 * on this host; a context beyond the model's sliding window; a Q8_0 cache of heads that are no multiple of 32), PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_plan(const prism_model *model, const struct prism_context_params *params,
                                       struct prism_plan *plan, struct prism_error *err);

/* One reservation of plan.total_bytes, touched as it is used. params may be NULL and are not needed afterwards; the model must outlive the
 * context. Threads that the system refuses to start (ulimit -u) are no failure: the context works with those that there are, at least
 * the caller's, and prism_threads tells. On failure *out is NULL.
 * Errors: those of prism_plan: PRISM_E_ARG, PRISM_E_UNSUPPORTED, PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_context_create(const prism_model *model, const struct prism_context_params *params,
                                                 prism_context **out, struct prism_error *err);
PRISM_API void prism_context_free(prism_context *ctx); /* NULL is allowed */

/* A second context with the parameters of ctx, as many threads of its own, and a copy of all that ctx holds (cache, what its selector keeps,
 * tokens, logits): they share nothing but the model, and what is then done with either gives the same bits. Statistics begin anew. For several
 * conversations about one document. Takes the time of copying the cache, and as much memory as that fills. On failure *out is NULL.
 * Errors: PRISM_E_ARG (ctx or out is NULL), PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_context_clone(const prism_context *ctx, prism_context **out, struct prism_error *err);

/* Done and total are in the same arbitrary unit of work, done never falls; tokens_done estimates the tokens that this amounts to.
 * Called by the thread that called prism_prefill after every job that this thread finishes and after every phase (packing, a product,
 * attention) of every layer: up to thousands of times a second, so draw less often. The last call of a prefill that succeeds, and no other, has
 * done == total. Return non-zero to stop: no further job is begun, prism_prefill returns PRISM_E_CANCELLED (within a fraction of a second),
 * and the function is not called again. */
struct prism_progress {
    uint64_t done, total;             /* total > 0, the same in all calls */
    size_t tokens_done, tokens_total; /* tokens_total: those of the prism_prefill */
    double elapsed_ms;                /* since prism_prefill began */
};
typedef int prism_progress_fn(void *user, const struct prism_progress *progress);

/* Logits of prompt rows [row, row + n_rows), rows counted from the start of this call; logits: [n_rows][n_vocab] fp32, natural
 * log scale, valid during the call. Called from several threads at once; a prefill that succeeds has delivered each row exactly once. */
typedef void prism_logits_fn(void *user, size_t row, size_t n_rows, const float *logits);

/* The blocks that a selector chose in one layer: per head and query block u = first_block + row, bit v of the row says that key block
 * v <= u is computed (the dense tail is not included). Valid during the call, which comes from the thread that prefills. */
struct prism_attention_mask {
    uint32_t layer, n_head, block, first_block, n_rows, n_words;
    const uint64_t *bits;          /* [n_head][n_rows][n_words] */
};
typedef void prism_mask_fn(void *user, const struct prism_attention_mask *mask);

/* What of the tokens in a context prism_prefill_to may keep. */
enum prism_reuse {
    PRISM_REUSE_EXACT = 0, /* what a fresh context would make with the same bits */
    PRISM_REUSE_ALL = 1    /* all that are common, those that prism_decode appended as well: results differ by roundings, and with a selector by
                            * what was chosen while other tokens followed */
};

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

    /* For prism_prefill_to. */
    enum prism_reuse reuse;
    size_t cut, cut_every;         /* with a selector: where calls end: at so many of the n tokens, and at multiples of so many. 0: nowhere. With
                                    * layers that have a state, `cut` keeps that state */
};

/* Append n >= 1 tokens to the context, at whatever length it has (continuation). tokens: ids in [0, n_vocab). params may be NULL. The result
 * has the same bits for any number of threads.
 * Errors: PRISM_E_ARG (a token id, n == 0, logits_from >= n, n_layers beyond the model's or with `logits`), PRISM_E_LENGTH (n tokens more than the
 * context holds), PRISM_E_CANCELLED, PRISM_E_NUMERIC. After each of them the context is as before the call: its tokens, its logits (whatever
 * the callbacks have received by then) and its statistics.
 *
 * PRISM_E_NUMERIC: NaN or infinity turned up, in the weights or on the way, and the text says where: "logits", or the layer and the position
 * in the context that is the first, as in "layer 3: keys of head 1 at position 57 exceed F16, which holds up to 65504: use a BF16 or F32
 * cache". Values too large for the sums of their squares in fp32 count as well. No logits that are not finite are ever delivered.
 *
 * Models with rope_scaling "longrope" have one set of rotations for as many tokens as they were first trained with and one for more. Which
 * it is depends on the tokens in the context at the end of the call, not on n_ctx: so do the logits. A call that comes to the other side of
 * that length, also by way of prism_truncate, makes the keys and values of all tokens in the context anew, and takes as long as
 * a prefill of them all (in the progress it is part of the work; the tokens counted there and by prism_stats are those of the call). */
PRISM_API enum prism_status prism_prefill(prism_context *ctx, const int32_t *tokens, size_t n,
                                          const struct prism_prefill_params *params, struct prism_error *err);

/* Makes the context hold exactly these n >= 1 tokens, whatever it holds: keeps the longest usable prefix of what is there, forgets the
 * rest, prefills what is missing. *reused (may be NULL): tokens that were kept; n: nothing was computed, as the context held just them with
 * their logits. params may be NULL; `logits` and `n_layers` must not be set, the other callbacks see the calls that prefill the rest.
 *
 * With PRISM_REUSE_EXACT the logits have the bits of a fresh context, of any size and number of threads:
 *   Where attention is dense (also that of a selector below its min_tokens) those of one prism_prefill of all n. A prefix is kept up to a
 *   multiple of prism_plan.block (128 unless set; 64 with a selector, "auto" included), so that at least 17 tokens are prefilled: up to 16
 *   go through other kernels. Tokens that came by themselves (prism_decode, calls of up to 16) and what follows them are not kept, nor
 *   are those of a call that began inside a block.
 *   Where a selector chose, what it chose for a token depends on the whole call that the token came in (min_tokens, the dense tail,
 *   temperatures, and the basis of "prism-rows", which is that of the first call that chose). So a prefix is kept up to the end of a call,
 *   if that is a multiple of the block, and the bits are those of a fresh context that gets the tokens in the same calls.
 *   `cut` makes such an end, for questions about a document: the tokens of the document (rounded down to a multiple of the block, so that
 *   at least 17 tokens follow). What is not kept is then prefilled by two calls instead of one, with one progress; the first ends with what
 *   is kept for the next question, whose answer has the bits that it has when it is the only one, or after prism_session_load. Where it is
 *   not known what will be common, cut_every (a multiple of the block; 4096) makes an end at each of its multiples.
 *   Models whose layers have a state in place of keys (qwen35): a prefix is kept where there is a state, see prism_truncate; `cut` makes one, without
 *   another call, at the last multiple of the block and of 64 with 16 tokens between it and the cut: at least 17 are prefilled after it.
 *   Models with rope_scaling "longrope": a prefix rotated for another length than n has is not kept, nor with a selector one that ends at or
 *   before the length of the first set of rotations when n is beyond it.
 *
 * Errors: PRISM_E_ARG (a token id, n == 0, reuse, cut > n, cut_every, `logits` or `n_layers`), PRISM_E_LENGTH (n tokens are more than the
 * context holds), PRISM_E_CANCELLED, PRISM_E_NUMERIC. After the first two the context is as before; after the others it holds what was kept, or
 * has come as far as an end that cuts made, and has no logits if anything was forgotten. *reused is 0. */
PRISM_API enum prism_status prism_prefill_to(prism_context *ctx, const int32_t *tokens, size_t n, const struct prism_prefill_params *params,
                                             size_t *reused, struct prism_error *err);

/* prism_prefill of one token, without callbacks. Errors: PRISM_E_ARG (token id), PRISM_E_LENGTH, PRISM_E_NUMERIC. */
PRISM_API enum prism_status prism_decode(prism_context *ctx, int32_t token, struct prism_error *err);

/* n_vocab logits after the last token, natural log scale; owned by the context, valid until a call appends or truncates successfully.
 * NULL while ctx is NULL, empty or just truncated, and after a prefill of n_layers. */
PRISM_API const float *prism_logits(const prism_context *ctx);

PRISM_API size_t prism_length(const prism_context *ctx); /* tokens in the cache; ctx NULL: 0 */

/* The prism_length tokens in the cache; owned by the context, valid until a call appends or truncates. NULL: none, or ctx is NULL. */
PRISM_API const int32_t *prism_tokens(const prism_context *ctx);

/* Forget all tokens from position n on. With n == prism_length nothing changes: the logits stay. Layers that see a window keep its tokens and at
 * least 1024 more, not all: so many can be taken back, or all (n == 0); where less is left than the next token sees, PRISM_E_UNSUPPORTED says from
 * which position on there are keys and values, and nothing changes. Layers with a state in place of keys (qwen35) cannot be cut back: the context
 * keeps two states beside that of its length, of where calls ended or left a mark (the last multiple of the block and of 64 with 17 tokens behind it,
 * or `cut` of prism_prefill_to), those that save most; to another length than these and 0 it is PRISM_E_UNSUPPORTED. A call that fails may
 * have cost one of the two.
 * Errors: PRISM_E_ARG (n > prism_length), PRISM_E_UNSUPPORTED. */
PRISM_API enum prism_status prism_truncate(prism_context *ctx, size_t n, struct prism_error *err);

/* ---- sessions on disk --------------------------------------------------------------------------------------------- */

/* Write all that the context holds (cache, what its selector keeps, tokens, logits) to the file `path`, so that prism_session_load goes on
 * from there with the same bits: in another process, on another day. The file holds the conversation; only its owner may read it.
 *
 * It is written as `path`.tmp, synchronised with the disk and renamed, so `path` is the old file or the new one, whole, whenever the process
 * or the machine stops. After a failure it is the old one (but for a folder that cannot be synchronised, which the text says). What a
 * process that was killed left of path.tmp, the next one overwrites. Of two that write to the same path at once the second fails. A
 * symbolic link stays one: the file that it names is replaced. Allocates a few hundred KiB at most.
 * Errors: PRISM_E_ARG (ctx or path is NULL, the context is empty), PRISM_E_IO (no room on the disk: the text has the bytes that are needed;
 * no regular file; what else the operating system says), PRISM_E_NOMEM. */
PRISM_API enum prism_status prism_session_save(prism_context *ctx, const char *path, struct prism_error *err);

/* Fill an empty context (of any n_ctx and n_threads) from the file. Everything is checked against the checksums in the file, and what numbers
 * depend on must be the same as when it was saved: the model (its metadata, its shapes, samples of its weights), the level, the
 * arithmetic, the cache's type, the selector and its parameters, the version of this library. On failure the context is empty, and the text
 * says what is wrong with the file, or what differs. Statistics do not change. Allocates a few hundred KiB at most.
 * Errors: PRISM_E_ARG (ctx or path is NULL, the context is not empty), PRISM_E_LENGTH (more tokens than the context holds), PRISM_E_NOMEM,
 * PRISM_E_IO (cannot be opened or read), PRISM_E_FORMAT (no session file, or damaged), PRISM_E_UNSUPPORTED (of another model, of other
 * settings, of another version). */
PRISM_API enum prism_status prism_session_load(prism_context *ctx, const char *path, struct prism_error *err);

struct prism_session_info {
    uint64_t n_tokens, file_bytes;
};
/* What the header of a session file says, without a model. On failure *info is all zeros.
 * Errors: PRISM_E_ARG (path or info is NULL), PRISM_E_IO, PRISM_E_FORMAT, PRISM_E_UNSUPPORTED (of another version). */
PRISM_API enum prism_status prism_session_info(const char *path, struct prism_session_info *info, struct prism_error *err);

/* ---- sampling --------------------------------------------------------------------------------------------------- */

/* Applied in this order: top_k, top_p, min_p, temperature, draw. Out of range values and NaN switch a filter off. */
struct prism_sampling {
    float temp;      /* <= 0 or NaN: greedy, the largest logit, lowest id on ties */
    int32_t top_k;   /* <= 0: off */
    float top_p;     /* [0, 1); others: off */
    float min_p;     /* (0, 1]; others: off */
    uint64_t state;  /* the random state: set it to the seed before the first call; advanced by each draw */
};

/* One token id drawn from n_vocab logits, of which those that are NaN count as impossible. scratch: n_vocab entries of 8 bytes aligned as int32_t,
 * or NULL when temp <= 0. Thread-safe for different s. -1: logits is NULL (as prism_logits of an empty context is), n_vocab is 0, or scratch
 * is needed and NULL. */
PRISM_API int32_t prism_sample(struct prism_sampling *s, const float *logits, size_t n_vocab, void *scratch);

/* Natural-log probability of `token` under softmax(logits), in double. -infinity: an id out of range, or logits NULL. Thread-safe. */
PRISM_API double prism_log_prob(const float *logits, size_t n_vocab, int32_t token);

/* ---- statistics ------------------------------------------------------------------------------------------------- */

/* Totals of the calls that succeeded since the context was created or prism_stats_reset: calls of one token count as decode, all others as
 * prefill. Calls that failed count in none of the statistics. */
struct prism_stats {
    uint64_t prefill_tokens, decode_tokens;
    double prefill_ms, decode_ms;
    /* where prefill_ms went, together all of it: linear layers, attention, choice of blocks, everything else */
    double linear_ms, attention_ms, select_ms, other_ms;
    /* likewise decode_ms */
    double decode_linear_ms, decode_attention_ms, decode_select_ms, decode_other_ms;
};

/* What the selector chose in a head of a layer, since the same moment. Density = chosen / causal. */
struct prism_head_stats {
    uint64_t chosen_blocks, causal_blocks;
    double mass;                   /* mean probability (of pooled scores) that the chosen blocks hold; NaN: unknown to this selector, or
                                    * nothing was chosen yet; dense contexts: 0 */
};
/* Returns false when layer or head is out of range. Dense layers count nothing. */
PRISM_API bool prism_get_head_stats(const prism_context *ctx, uint32_t layer, uint32_t head, struct prism_head_stats *stats);

/* Where the time of a layer's attention went, since the same moment, calls of one token included. */
struct prism_layer_stats {
    double attention_ms, select_ms;
};
/* Returns false when layer is out of range. */
PRISM_API bool prism_get_layer_stats(const prism_context *ctx, uint32_t layer, struct prism_layer_stats *stats);
PRISM_API void prism_get_stats(const prism_context *ctx, struct prism_stats *stats);
PRISM_API void prism_stats_reset(prism_context *ctx);

/* Threads in use, the caller's included; core_of[i] (min(cap, threads) entries) receives the operating system's number of the processor
 * that thread i is bound to during a call, read back from the system, or -1 when unbound. Runs the team once. */
PRISM_API uint32_t prism_threads(prism_context *ctx, int *core_of, size_t cap);

/* What the threads of the context reach together in multiply-adds of a type ("f32", "i8", "i16" or "bf16") on registers alone with its level's
 * instructions: 1e9 operations per second, two per multiply-add, the best of a few rounds. Takes about 50 ms. 0: the level has no
 * instruction for that type, or there is no such type. */
PRISM_API double prism_peak_gops(prism_context *ctx, const char *type);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif
