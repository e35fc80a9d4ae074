/* public.c - the text functions of prism.h; the vocabulary does the work. prism_utf8_push is in utf8.c. */
#include "src/model/model.h"
#include "src/text/vocab.h"

enum prism_status prism_tokenize(const prism_model *model, const char *text, size_t len, unsigned flags, int32_t *tokens, size_t cap,
                                 size_t *n, struct prism_error *err)
{
    prism_error_clear(err);
    if (!n)
        return prism_fail(err, PRISM_E_ARG, "tokenizer: there is nowhere to put the count (NULL)");
    *n = 0;
    if (!model)
        return prism_fail(err, PRISM_E_ARG, "tokenizer: the model is NULL");
    return prism_vocab_encode(model->vocab, text, len, flags, tokens, cap, n, err);
}

size_t prism_token_bytes(const prism_model *model, int32_t token, bool special, bool first, char *buf, size_t cap)
{
    return prism_vocab_bytes(model->vocab, token, special, first, buf, cap);
}

bool prism_token_is_eog(const prism_model *model, int32_t token) { return prism_vocab_is_eog(model->vocab, token); }
