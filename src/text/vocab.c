/* vocab.c - the interface of vocab.h over the tables that load.c built. */
#include "src/text/vocab.h"

#include <stdlib.h>

#include "src/text/internal.h"

/* Positions are 32 bits, and SentencePiece text grows threefold at most. */
#define MAX_TEXT ((size_t)1 << 30)

void prism_vocab_facts(const struct prism_vocab *v, struct prism_vocab_facts *facts)
{
    *facts = (struct prism_vocab_facts){
        .model = v->model, .pre = v->pre, .n_tokens = v->n_tokens, .bos = v->bos, .eos = v->eos,
        .add_bos = v->add_bos, .add_eos = v->add_eos, .add_space_prefix = v->add_space_prefix,
    };
}

bool prism_vocab_is_eog(const struct prism_vocab *v, int32_t token)
{
    return v->eog && token >= 0 && (uint32_t)token < v->n_tokens && v->eog[token];
}

/* Plain text and special tokens, in order. Plain text is first or follows a special token, so SentencePiece prefixes each. */
static enum prism_status encode_fragments(struct prism_encoder *e, const char *text, const struct prism_fragment *f, size_t n)
{
    enum prism_status st = PRISM_OK;

    for (size_t i = 0; i < n && !st; i++) {
        if (f[i].token >= 0)
            prism_encoder_emit(e, f[i].token);
        else if (e->v->kind == PRISM_TOKENIZER_BPE)
            st = prism_bpe_encode(e, text + f[i].start, f[i].len);
        else if (e->v->kind == PRISM_TOKENIZER_RAW_BPE)
            st = prism_raw_bpe_encode(e, text + f[i].start, f[i].len);
        else
            st = prism_spm_encode(e, text + f[i].start, f[i].len, e->v->add_space_prefix);
    }
    return st;
}

static struct prism_str text_of(const struct prism_vocab *v, int32_t id) { return id >= 0 && v->text ? v->text[id] : (struct prism_str){ "", 0 }; }

struct prism_str prism_vocab_bos_text(const struct prism_vocab *v) { return text_of(v, v->bos); }
struct prism_str prism_vocab_eos_text(const struct prism_vocab *v) { return text_of(v, v->eos); }

/* user: of a chat, else NULL. */
static enum prism_status encode(const struct prism_vocab *v, const char *text, const bool *user, size_t len, unsigned flags, int32_t *tokens,
                                size_t cap, size_t *n, struct prism_error *err)
{
    struct prism_encoder e = {.v = v, .err = err, .tokens = tokens, .cap = cap};
    struct prism_fragment *fragments = NULL;
    size_t n_fragments = 0;
    uint64_t steps;

    *n = 0;
    if (v->kind == PRISM_TOKENIZER_NONE)
        return prism_fail(err, PRISM_E_UNSUPPORTED, "tokenizer: the model has no vocabulary (tokenizer.ggml.model = no_vocab)");
    if (flags & ~(unsigned)(PRISM_ADD_SPECIAL | PRISM_PARSE_SPECIAL | PRISM_ADD_BOS | PRISM_ADD_EOS))
        return prism_fail(err, PRISM_E_ARG, "tokenizer: unknown flags 0x%x", flags);
    if ((!text && len) || (!tokens && cap))
        return prism_fail(err, PRISM_E_ARG, "tokenizer: text or tokens is NULL");
    if (len > MAX_TEXT)
        return prism_fail(err, PRISM_E_ARG, "tokenizer: expected at most %zu bytes of text, found %zu", MAX_TEXT, len);

    enum prism_status st = PRISM_OK;
    if (len)
        st = prism_special_split_counted(v, text, user, len, flags & PRISM_PARSE_SPECIAL, &fragments, &n_fragments, &steps, err);
    bool has_bos = user && n_fragments && fragments[0].token == v->bos;
    if ((flags & (PRISM_ADD_SPECIAL | PRISM_ADD_BOS)) && v->add_bos && v->bos >= 0 && !has_bos)
        prism_encoder_emit(&e, v->bos);
    if (!st && v->whole_pieces && !(e.mapped = malloc(2 * v->longest)))
        st = prism_fail(err, PRISM_E_NOMEM, "tokenizer: out of memory");
    if (!st)
        st = encode_fragments(&e, text, fragments, n_fragments);
    if (!st && (flags & (PRISM_ADD_SPECIAL | PRISM_ADD_EOS)) && v->add_eos && v->eos >= 0)
        prism_encoder_emit(&e, v->eos);
    free(fragments);
    free(e.symbols);
    free(e.heap);
    free(e.mapped);
    if (!st)
        *n = e.n;
    return st;
}

enum prism_status prism_vocab_encode(const struct prism_vocab *v, const char *text, size_t len, unsigned flags, int32_t *tokens,
                                     size_t cap, size_t *n, struct prism_error *err)
{
    return encode(v, text, NULL, len, flags, tokens, cap, n, err);
}

enum prism_status prism_vocab_encode_chat(const struct prism_vocab *v, const char *text, const bool *user, size_t len, int32_t *tokens, size_t cap,
                                          size_t *n, struct prism_error *err)
{
    return encode(v, text, user, len, PRISM_PARSE_SPECIAL | PRISM_ADD_BOS, tokens, cap, n, err);
}
