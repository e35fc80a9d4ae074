/* load.c - the tokenizer.ggml.* keys of a GGUF file: checked, then turned into the tables of struct prism_vocab. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEY(name) "tokenizer.ggml." name

static bool str_is(struct prism_str s, const char *text) { return s.n == strlen(text) && !memcmp(s.p, text, s.n); }

static enum prism_status out_of_memory(const struct prism_gguf *g, uint64_t n, struct prism_error *err)
{
    return prism_fail(err, PRISM_E_NOMEM, "%s: key " KEY("tokens") ": no memory for %llu tokens", g->path, (unsigned long long)n);
}

/* The array of key with elements of type a or b and at least n_min entries. Absent: *out is NULL, a failure if required. */
static enum prism_status get_array(const struct prism_gguf *g, const char *key, enum prism_gguf_vtype a, enum prism_gguf_vtype b,
                                   uint64_t n_min, bool required, const struct prism_gguf_kv **out, struct prism_error *err)
{
    const struct prism_gguf_kv *kv = *out = prism_gguf_find(g, key);
    const char *what = a == PRISM_GV_STR ? "strings" : a == PRISM_GV_F32 ? "f32" : "i32";

    if (!kv && !required)
        return PRISM_OK;
    if (!kv)
        return prism_fail(err, PRISM_E_FORMAT, "%s: key %s: expected an array of %s, found nothing", g->path, key, what);
    if (kv->type != PRISM_GV_ARR || (kv->elem != a && kv->elem != b))
        return prism_fail(err, PRISM_E_FORMAT, "%s: key %s: expected an array of %s, found another type", g->path, key, what);
    if (kv->n < n_min)
        return prism_fail(err, PRISM_E_FORMAT, "%s: key %s: expected %llu entries, found %llu", g->path, key, (unsigned long long)n_min,
                          (unsigned long long)kv->n);
    return PRISM_OK;
}

static enum prism_status load_tokens(struct prism_vocab *v, const struct prism_gguf *g, uint64_t n_expected, struct prism_error *err)
{
    const struct prism_gguf_kv *tokens, *types, *scores;
    enum prism_status st = get_array(g, KEY("tokens"), PRISM_GV_STR, PRISM_GV_STR, 1, true, &tokens, err);

    if (st)
        return st;
    if (n_expected && tokens->n != n_expected)
        return prism_fail(err, PRISM_E_FORMAT, "%s: key " KEY("tokens") ": expected %llu entries (from token_embd.weight), found %llu",
                          g->path, (unsigned long long)n_expected, (unsigned long long)tokens->n);
    if (tokens->n > INT32_MAX)
        return prism_fail(err, PRISM_E_FORMAT, "%s: key " KEY("tokens") ": expected at most 2^31 - 1 entries, found %llu", g->path,
                          (unsigned long long)tokens->n);
    st = get_array(g, KEY("token_type"), PRISM_GV_I32, PRISM_GV_I32, tokens->n, false, &types, err);
    if (!st) /* of no use to BPE, but a short array is a damaged file */
        st = get_array(g, KEY("scores"), PRISM_GV_F32, PRISM_GV_I32, tokens->n, false, &scores, err);
    if (st)
        return st;
    v->n_tokens = (uint32_t)tokens->n;
    v->text = tokens->strings;
    v->type = malloc(tokens->n);
    v->eog = calloc(tokens->n, sizeof *v->eog);
    if (!v->type || !v->eog)
        return out_of_memory(g, tokens->n, err);
    uint32_t n_empty = 0, first_empty = 0;
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        int32_t type = PRISM_TOKEN_NORMAL;
        if (types)
            memcpy(&type, types->data + 4 * (size_t)i, 4);
        v->type[i] = type >= 0 && type <= PRISM_TOKEN_BYTE ? (uint8_t)type : PRISM_TOKEN_UNDEFINED;
        if (!v->text[i].n && n_empty++ == 0)
            first_empty = i;
    }
    if (n_empty)
        prism_warn(&g->log, "%s: key " KEY("tokens") ": expected texts, found %u empty ones, ignored; first: token %u", g->path, n_empty,
                   first_empty);
    return prism_token_table_build(v, g->path, err);
}

/* Keeps *id (a default, -1: none) when the key is absent or names no token. */
static enum prism_status load_id(const struct prism_vocab *v, const struct prism_gguf *g, const char *key, int32_t *id,
                                 struct prism_error *err)
{
    uint64_t value = UINT64_MAX;
    enum prism_status st = prism_gguf_get_uint(g, key, false, 0, UINT32_MAX, &value, err);

    if (st)
        return st;
    if (value < v->n_tokens)
        *id = (int32_t)value;
    else if (value != UINT64_MAX)
        prism_warn(&g->log, "%s: key %s: expected an id below %u, found %llu, ignored", g->path, key, v->n_tokens, (unsigned long long)value);
    if (*id >= 0 && (uint32_t)*id >= v->n_tokens)
        *id = -1;
    return PRISM_OK;
}

static enum prism_status load_ids(struct prism_vocab *v, const struct prism_gguf *g, struct prism_error *err)
{
    int32_t fim[3] = {-1, -1, -1};
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {
        {KEY("bos_token_id"), &v->bos},         {KEY("eos_token_id"), &v->eos},         {KEY("unknown_token_id"), &v->unk},
        {KEY("eot_token_id"), &v->eot},         {KEY("eom_token_id"), &v->eom},         {KEY("fim_pad_token_id"), &fim[0]},
        {KEY("fim_rep_token_id"), &fim[1]},     {KEY("fim_sep_token_id"), &fim[2]},
    };
    const struct {
        const char *key;
        bool *value;
    } flags[] = {
        {KEY("add_bos_token"), &v->add_bos},
        {KEY("add_eos_token"), &v->add_eos},
        {KEY("add_space_prefix"), &v->add_space_prefix},
    };

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        enum prism_status st = load_id(v, g, ids[i].key, ids[i].id, err);
        if (st)
            return st;
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        enum prism_status st = prism_gguf_get_bool(g, flags[i].key, flags[i].value, err);
        if (st)
            return st;
    }
    for (size_t i = 0; i < 3; i++)
        if (fim[i] >= 0)
            v->eog[fim[i]] = true;
    return PRISM_OK;
}

/* Files do not store that a special token takes the white space behind it along; phi-3 is known by its name, as in llama.cpp. */
static enum prism_status load_stripping(struct prism_vocab *v, const struct prism_gguf *g, struct prism_error *err)
{
    struct prism_str name = { "", 0 };
    enum prism_status st = prism_gguf_get_str(g, "general.name", false, &name, err);
    for (size_t i = 0; !st && i + 4 <= name.n; i++)
        if (!strncasecmp(name.p + i, "phi3", 4) || (i + 5 <= name.n && !strncasecmp(name.p + i, "phi-3", 5)))
            v->strip_right = true;
    return st;
}

static enum prism_status load_bpe(struct prism_vocab *v, const struct prism_gguf *g, struct prism_error *err)
{
    struct prism_str pre = {"default", 7};
    const struct prism_gguf_kv *merges;
    enum prism_status st = prism_gguf_get_str(g, KEY("pre"), false, &pre, err);

    if (st)
        return st;
    const struct prism_pre *row = prism_pre_find(pre, &v->pre);
    if (!row)
        return prism_fail(err, PRISM_E_UNSUPPORTED,
                          "%s: key " KEY("pre") ": expected a pre-tokenizer of this version, found unknown value \"%.*s\"", g->path,
                          (int)(pre.n < 64 ? pre.n : 64), pre.p);
    if (str_is(pre, "default"))
        prism_warn(&g->log,
                   "%s: key " KEY("pre") ": expected the model's pre-tokenizer, found none or \"default\"; token ids may be wrong", g->path);
    st = get_array(g, KEY("merges"), PRISM_GV_STR, PRISM_GV_STR, 0, true, &merges, err);
    if (!st)
        st = prism_pairs_build(v, g, merges, err);
    if (!st)
        st = prism_splitter_create(row, &v->splitter, err);
    if (st)
        return st;
    prism_bpe_prepare(v);
    v->model = "gpt2";
    v->whole_pieces = row->whole_pieces;
    v->add_bos = row->add_bos;
    v->bos = v->eos = 11; /* what llama.cpp assumes when the keys are absent */
    return PRISM_OK;
}

/* The pre-tokenizer is a part of the model's name, and BOS is always in front, whatever the file says. */
static enum prism_status load_raw_bpe(struct prism_vocab *v, const struct prism_gguf *g, struct prism_error *err)
{
    const struct prism_gguf_kv *merges;
    enum prism_status st = get_array(g, KEY("merges"), PRISM_GV_STR, PRISM_GV_STR, 0, true, &merges, err);

    if (!st)
        st = prism_pairs_build(v, g, merges, err);
    prism_spm_bytes(v);
    v->model = v->pre = "gemma4";
    return st;
}

static enum prism_status load_spm(struct prism_vocab *v, const struct prism_gguf *g, struct prism_error *err)
{
    const struct prism_gguf_kv *scores;
    enum prism_status st = get_array(g, KEY("scores"), PRISM_GV_F32, PRISM_GV_I32, v->n_tokens, true, &scores, err);

    if (!st)
        st = prism_spm_prepare(v, scores, err);
    v->model = "llama";
    v->pre = "default";
    v->unk = 0;
    v->bos = 1;
    v->eos = 2;
    v->add_bos = v->add_space_prefix = true;
    return st;
}

/* A file without a vocabulary (synthetic models): ids only. */
static enum prism_status load_none(struct prism_vocab *v, const struct prism_gguf *g, uint64_t n_expected, struct prism_error *err)
{
    v->kind = PRISM_TOKENIZER_NONE;
    v->model = "no_vocab";
    v->pre = "none";
    if (n_expected > INT32_MAX)
        return prism_fail(err, PRISM_E_FORMAT, "%s: tensor token_embd.weight: expected at most 2^31 - 1 rows, found %llu", g->path,
                          (unsigned long long)n_expected);
    v->n_tokens = (uint32_t)n_expected;
    return PRISM_OK;
}

static enum prism_status load(struct prism_vocab *v, const struct prism_gguf *g, uint64_t n_expected, struct prism_error *err)
{
    struct prism_str model;
    enum prism_status st = prism_gguf_get_str(g, KEY("model"), true, &model, err);

    v->bos = v->eos = v->unk = v->eot = v->eom = -1;
    if (st)
        return st;
    if (str_is(model, "no_vocab") || str_is(model, "none"))
        return load_none(v, g, n_expected, err);
    v->kind = str_is(model, "gpt2") ? PRISM_TOKENIZER_BPE : str_is(model, "gemma4") ? PRISM_TOKENIZER_RAW_BPE : PRISM_TOKENIZER_SPM;
    if (v->kind == PRISM_TOKENIZER_SPM && !str_is(model, "llama"))
        return prism_fail(err, PRISM_E_UNSUPPORTED, "%s: key " KEY("model") ": expected gpt2, llama or gemma4, found unknown value \"%.*s\"", g->path,
                          (int)(model.n < 64 ? model.n : 64), model.p);
    st = load_tokens(v, g, n_expected, err);
    if (!st)
        st = (v->kind == PRISM_TOKENIZER_BPE ? load_bpe : v->kind == PRISM_TOKENIZER_RAW_BPE ? load_raw_bpe : load_spm)(v, g, err);
    if (!st)
        st = load_ids(v, g, err);
    v->add_bos |= v->kind == PRISM_TOKENIZER_RAW_BPE;
    if (!st)
        st = load_stripping(v, g, err);
    if (!st)
        st = prism_special_build(v, err);
    return st;
}

enum prism_status prism_vocab_load(const struct prism_gguf *g, uint64_t n_expected, struct prism_vocab **out, struct prism_error *err)
{
    struct prism_vocab *v = *out = calloc(1, sizeof *v);

    if (!v)
        return out_of_memory(g, n_expected, err);
    enum prism_status st = load(v, g, n_expected, err);
    if (st) {
        prism_vocab_free(v);
        *out = NULL;
    }
    return st;
}

void prism_vocab_free(struct prism_vocab *v)
{
    if (!v)
        return;
    prism_splitter_free(v->splitter);
    free(v->type);
    free(v->eog);
    free(v->ids.slots);
    free(v->pairs.slots);
    free(v->priority);
    prism_matcher_free(v->matcher[0]);
    prism_matcher_free(v->matcher[1]);
    free(v);
}
