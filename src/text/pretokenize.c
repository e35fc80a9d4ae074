/* pretokenize.c - cuts text into the pieces inside which byte-level BPE merges: the patterns as published with the models, one
 * table row per family, matched by PCRE2.
 *
 * PCRE2 10.42 knows Unicode 14. The classes below add the letters, numbers, marks, punctuation and symbols of Unicode 15 and 15.1, and spell
 * out white space because PCRE2's \s also takes U+180E. A newer PCRE2 makes the additions redundant, not wrong. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#include "src/text/internal.h"

/* Members of a character class. */
#define SPACES "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define NEW_LOWER "\\x{1DF25}-\\x{1DF2A}"
#define NEW_UNCASED                                                                                                      \
    "\\x{1123F}-\\x{11240}\\x{11F02}\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}\\x{1342F}\\x{13441}-\\x{13446}\\x{1B132}" \
    "\\x{1B155}\\x{1E030}-\\x{1E06D}\\x{1E4D0}-\\x{1E4EB}\\x{2B739}\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}"
#define MARKS                                                                                                            \
    "\\p{M}\\x{CF3}\\x{ECE}\\x{10EFD}-\\x{10EFF}\\x{11241}\\x{11F00}\\x{11F01}\\x{11F03}\\x{11F34}-\\x{11F3A}"           \
    "\\x{11F3E}-\\x{11F42}\\x{13440}\\x{13447}-\\x{13455}\\x{1E08F}\\x{1E4EC}-\\x{1E4EF}"
#define LETTERS "\\p{L}" NEW_LOWER NEW_UNCASED
#define UPPERS "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}" NEW_UNCASED MARKS
#define LOWERS "\\p{Ll}\\p{Lm}\\p{Lo}" NEW_LOWER NEW_UNCASED MARKS
#define NUMBERS "\\p{N}\\x{11F50}-\\x{11F59}\\x{1D2C0}-\\x{1D2D3}\\x{1E4F0}-\\x{1E4F9}"
#define PUNCTUATION "\\p{P}\\x{11B00}-\\x{11B09}\\x{11F43}-\\x{11F4F}"
#define SIGNS                                                                                                            \
    "\\p{S}\\x{2FFC}-\\x{2FFF}\\x{31EF}\\x{1F6DC}\\x{1F774}-\\x{1F776}\\x{1F77B}-\\x{1F77F}\\x{1F7D9}"                  \
    "\\x{1FA75}-\\x{1FA77}\\x{1FA87}\\x{1FA88}\\x{1FAAD}-\\x{1FAAF}\\x{1FABB}-\\x{1FABD}\\x{1FABF}\\x{1FACE}\\x{1FACF}" \
    "\\x{1FADA}\\x{1FADB}\\x{1FAE8}\\x{1FAF7}\\x{1FAF8}"

/* Parts of patterns. */
#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define BEFORE_WORD "[^\\r\\n" LETTERS NUMBERS "]?"
#define TRAILING_SPACE "[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"
#define LINES_AND_SPACE "|[" SPACES "]*[\\r\\n]+|" TRAILING_SPACE
#define SYMBOLS " ?[^" SPACES LETTERS NUMBERS "]+"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTERS "]+| ?[" NUMBERS "]+|" SYMBOLS "|" TRAILING_SPACE
#define UPPER_LOWER BEFORE_WORD "[" UPPERS "]*[" LOWERS "]+"
#define UPPER_ONLY BEFORE_WORD "[" UPPERS "]+[" LOWERS "]*"

static const char *const llama3_patterns[] = {
    CONTRACTIONS "|" BEFORE_WORD "[" LETTERS "]+|[" NUMBERS "]{1,3}|" SYMBOLS "[\\r\\n]*" LINES_AND_SPACE, NULL};
static const char *const qwen2_patterns[] = {
    CONTRACTIONS "|" BEFORE_WORD "[" LETTERS "]+|[" NUMBERS "]|" SYMBOLS "[\\r\\n]*" LINES_AND_SPACE, NULL};
static const char *const qwen35_patterns[] = {
    CONTRACTIONS "|" BEFORE_WORD "[" LETTERS MARKS "]+|[" NUMBERS "]| ?[^" SPACES LETTERS MARKS NUMBERS "]+[\\r\\n]*"
    LINES_AND_SPACE, NULL};
static const char *const gpt2_patterns[] = {GPT2, NULL};
static const char *const smollm_patterns[] = {"[" NUMBERS "]", GPT2, NULL};
static const char *const default_patterns[] = {"[" PUNCTUATION "$+<=>^~|]+", GPT2, "[" NUMBERS "]+", "[0-9][0-9][0-9]", NULL};
static const char *const falcon_patterns[] = {"[" PUNCTUATION "$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]", NULL};
static const char *const seed_coder_patterns[] = {
    CONTRACTIONS "|" BEFORE_WORD "[" LETTERS "]+|[" NUMBERS "]|" SYMBOLS LINES_AND_SPACE, NULL};
/* The second: Han from U+4E00, Hiragana and Katakana. */
static const char *const hunyuan_dense_patterns[] = {
    "[" NUMBERS "]{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{30FF}]+",
    "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n" LETTERS PUNCTUATION SIGNS "]?[" LETTERS MARKS "]+| ?[" PUNCTUATION SIGNS "]+[\\r\\n]*"
    LINES_AND_SPACE, NULL};
static const char *const tekken_patterns[] = {
    UPPER_LOWER "|" UPPER_ONLY "|[" NUMBERS "]|" SYMBOLS "[\\r\\n/]*" LINES_AND_SPACE, NULL};
static const char *const gpt4o_patterns[] = {
    UPPER_LOWER CONTRACTIONS "?|" UPPER_ONLY CONTRACTIONS "?|[" NUMBERS "]{1,3}|" SYMBOLS "[\\r\\n/]*" LINES_AND_SPACE, NULL};

static const char *const llama3_names[] = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                                           "lfm2", "jina-v5-nano", NULL};
static const char *const dbrx_names[] = {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe", NULL};
static const char *const qwen2_names[] = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "hunyuan", "solar-open", "grok-2",
                                          "megrez", "stablelm2", NULL};
static const char *const qwen35_names[] = {"qwen35", NULL};
static const char *const gpt2_names[] = {"gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat", "a.x-4.0",
                                         "mellum", "modern-bert", "exaone4", "mpt", "olmo", "jais", "jina-v1-en", "jina-v2-code",
                                         "roberta-bpe", "trillion", "granite-docling", NULL};
static const char *const smollm_names[] = {"smollm", "command-r", "starcoder", "refact", "codeshell", "exaone", "minerva-7b",
                                           "mellum2", NULL};
static const char *const default_names[] = {"default", NULL};
static const char *const falcon_names[] = {"falcon", NULL};
static const char *const seed_coder_names[] = {"seed-coder", NULL};
static const char *const hunyuan_dense_names[] = {"hunyuan-dense", NULL};
static const char *const tekken_names[] = {"tekken", NULL};
static const char *const gpt4o_names[] = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2", NULL};

static const struct prism_pre pre_table[] = {
    {.names = llama3_names, .patterns = llama3_patterns, .whole_pieces = true, .add_bos = true},
    {.names = dbrx_names, .patterns = llama3_patterns},
    {.names = qwen2_names, .patterns = qwen2_patterns},
    {.names = qwen35_names, .patterns = qwen35_patterns},
    {.names = gpt2_names, .patterns = gpt2_patterns},
    {.names = smollm_names, .patterns = smollm_patterns},
    {.names = default_names, .patterns = default_patterns},
    {.names = falcon_names, .patterns = falcon_patterns},
    {.names = seed_coder_names, .patterns = seed_coder_patterns},
    {.names = hunyuan_dense_names, .patterns = hunyuan_dense_patterns},
    {.names = tekken_names, .patterns = tekken_patterns, .whole_pieces = true, .add_bos = true},
    {.names = gpt4o_names, .patterns = gpt4o_patterns},
};

const struct prism_pre *prism_pre_find(struct prism_str value, const char **name)
{
    for (size_t i = 0; i < sizeof pre_table / sizeof *pre_table; i++)
        for (const char *const *n = pre_table[i].names; *n; n++)
            if (strlen(*n) == value.n && !memcmp(*n, value.p, value.n)) {
                *name = *n;
                return &pre_table[i];
            }
    return NULL;
}

#define MAX_PATTERNS 4
struct prism_splitter {
    pcre2_code *code[MAX_PATTERNS]; /* read-only once compiled */
    pcre2_match_context *limits;
    size_t n;
};

void prism_splitter_free(struct prism_splitter *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        pcre2_code_free(s->code[i]);
    pcre2_match_context_free(s->limits);
    free(s);
}

enum prism_status prism_splitter_create(const struct prism_pre *pre, struct prism_splitter **out, struct prism_error *err)
{
    struct prism_splitter *s = calloc(1, sizeof *s);

    *out = NULL;
    if (s)
        s->limits = pcre2_match_context_create(NULL);
    if (!s || !s->limits) {
        free(s);
        return prism_fail(err, PRISM_E_NOMEM, "pre-tokenizer %s: out of memory", pre->names[0]);
    }
    /* Each pattern backtracks over one run of characters at a time: linear in the text, however long. The default limit of
     * ten million steps would stop at a few megabytes of blanks. */
    pcre2_set_match_limit(s->limits, UINT32_MAX);
    for (; pre->patterns[s->n]; s->n++) {
        int code;
        PCRE2_SIZE at;
        s->code[s->n] = pcre2_compile((PCRE2_SPTR)pre->patterns[s->n], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        if (!s->code[s->n]) {
            prism_splitter_free(s);
            return prism_fail(err, PRISM_E_NOMEM, "pre-tokenizer %s: PCRE2 error %d at offset %zu of pattern", pre->names[0], code, at);
        }
        pcre2_jit_compile(s->code[s->n], PCRE2_JIT_COMPLETE); /* without JIT the same call to pcre2_match interprets */
    }
    *out = s;
    return PRISM_OK;
}

struct split_call {
    const struct prism_splitter *s;
    pcre2_match_data *match;
    prism_piece_fn *piece;
    void *user;
    struct prism_error *err;
};

/* Patterns are fixed and the text is well-formed, so what is left are PCRE2's bounds on memory and steps. */
static enum prism_status match_failed(const struct split_call *c, int code)
{
    char message[128];

    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message) < 0)
        message[0] = 0;
    return prism_fail(c->err, PRISM_E_NOMEM, "pre-tokenizer: PCRE2 error %d: %s", code, message);
}

/* Cuts text by patterns k, k + 1, ...: matches of pattern k and the gaps between them are cut on by pattern k + 1. To a pattern
 * the end of its text is the end of everything. */
static enum prism_status split_from(const struct split_call *c, size_t k, const char *text, size_t len)
{
    if (k == c->s->n)
        return c->piece(c->user, text, len);

    for (size_t at = 0; at < len;) {
        int rc = pcre2_match(c->s->code[k], (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, c->match, c->s->limits);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
            rc = pcre2_match(c->s->code[k], (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, c->match, c->s->limits);
        if (rc == PCRE2_ERROR_NOMATCH)
            return split_from(c, k + 1, text + at, len - at);
        if (rc < 0)
            return match_failed(c, rc);
        const PCRE2_SIZE *o = pcre2_get_ovector_pointer(c->match);
        size_t from = o[0], to = o[1]; /* no pattern matches nothing, so to > at; the inner call overwrites o */
        enum prism_status st = from > at ? split_from(c, k + 1, text + at, from - at) : PRISM_OK;
        if (!st)
            st = split_from(c, k + 1, text + from, to - from);
        if (st)
            return st;
        at = to;
    }
    return PRISM_OK;
}

enum prism_status prism_split(const struct prism_splitter *s, const char *text, size_t len, prism_piece_fn *piece, void *user,
                              struct prism_error *err)
{
    struct split_call c = {s, pcre2_match_data_create(1, NULL), piece, user, err};

    if (!c.match)
        return prism_fail(err, PRISM_E_NOMEM, "pre-tokenizer: out of memory");
    enum prism_status st = split_from(&c, 0, text, len);
    pcre2_match_data_free(c.match);
    return st;
}
