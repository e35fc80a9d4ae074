/* special.c - tokens with a meaning of their own: which they are, and which of them end a generation. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>

/* Files rarely name all the tokens that end a turn, so they are known by their texts, as in llama.cpp. */
static const char *const eog_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>",
    "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "[e~[", ("<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"),
    "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
};
/* Without tokenizer.ggml.eot_token_id these end a turn, and count as control tokens whatever their stored type. */
static const char *const eot_texts[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"};
/* Markers of a message format that are meant to be seen. */
static const char *const shown_texts[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static int32_t find_text(const struct prism_vocab *v, const char *text) { return prism_token_find(v, text, strlen(text)); }

static void unmark(struct prism_vocab *v, const char *text)
{
    int32_t id = find_text(v, text);
    if (id >= 0)
        v->eog[id] = false;
}

static void mark_end_of_generation(struct prism_vocab *v)
{
    int32_t id;

    for (size_t i = 0; i < COUNT(eog_texts); i++)
        if ((id = find_text(v, eog_texts[i])) >= 0)
            v->eog[id] = true;
    for (size_t i = 0; v->eot < 0 && i < COUNT(eot_texts); i++)
        if ((id = find_text(v, eot_texts[i])) >= 0)
            v->type[id] = PRISM_TOKEN_CONTROL;
    for (size_t i = 0; i < COUNT(shown_texts); i++)
        if ((id = find_text(v, shown_texts[i])) >= 0) {
            v->shown[i] = v->type[id] == PRISM_TOKEN_CONTROL ? id : -1;
            v->type[id] = PRISM_TOKEN_USER;
        } else {
            v->shown[i] = -1;
        }
    /* In some formats these end a part of an answer, or are the name of a part. */
    if (find_text(v, "<|return|>") >= 0 && find_text(v, "<|call|>") >= 0)
        unmark(v, "<|end|>");
    if (find_text(v, "<|tool_response>") >= 0)
        unmark(v, "</s>");
    if (v->eos >= 0)
        v->eog[v->eos] = true;
    if (v->eot >= 0)
        v->eog[v->eot] = true;
    if (v->eom >= 0)
        v->eog[v->eom] = true;
}

static bool is_candidate(const struct prism_vocab *v, int32_t id)
{
    return v->text[id].n && (v->type[id] == PRISM_TOKEN_CONTROL || v->type[id] == PRISM_TOKEN_USER || v->type[id] == PRISM_TOKEN_UNKNOWN);
}

static int by_text(const void *a, const void *b, void *user)
{
    const struct prism_vocab *v = user;
    const struct prism_str x = v->text[*(const int32_t *)a], y = v->text[*(const int32_t *)b];
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : x.n < y.n ? -1 : x.n > y.n;
}

/* kept: room for all candidates. user_only: what is found in any text. */
static enum prism_status build_matcher(struct prism_vocab *v, bool user_only, int32_t *kept, struct prism_matcher **out, struct prism_error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_tokens; i++)
        if (is_candidate(v, (int32_t)i) && (!user_only || v->type[i] == PRISM_TOKEN_USER))
            kept[n++] = (int32_t)i;
    qsort_r(kept, n, sizeof *kept, by_text, v);
    return prism_matcher_build(v, kept, n, out, err);
}

enum prism_status prism_special_build(struct prism_vocab *v, struct prism_error *err)
{
    int32_t *kept = malloc(v->n_tokens * sizeof *kept);

    if (!kept)
        return prism_fail(err, PRISM_E_NOMEM, "tokenizer: no memory for special tokens");
    mark_end_of_generation(v);
    enum prism_status st = build_matcher(v, true, kept, &v->matcher[0], err);
    if (!st)
        st = build_matcher(v, false, kept, &v->matcher[1], err);
    free(kept);
    return st;
}
