/* special.c - tokens with a meaning of their own: where they occur in text, and which of them end a generation. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>

/* Files rarely name all the tokens that end a turn, so they are known by their texts, as in llama.cpp. */
static const char *const eog_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>",
    "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
    "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
};
/* Without tokenizer.ggml.eot_token_id these end a turn, and count as control tokens whatever their stored type. */
static const char *const eot_texts[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"};
/* Markers of a message format that are meant to be seen. */
static const char *const shown_texts[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static int32_t find_text(const struct prism_vocab *v, const char *text) { return prism_token_find(v, text, strlen(text)); }

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
        if ((id = find_text(v, shown_texts[i])) >= 0)
            v->type[id] = PRISM_TOKEN_USER;
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

static int longest_first(const void *a, const void *b, void *user)
{
    const struct prism_vocab *v = user;
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (v->text[x].n != v->text[y].n)
        return v->text[x].n > v->text[y].n ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int by_text(const void *a, const void *b, void *user)
{
    const struct prism_vocab *v = user;
    const struct prism_str x = v->text[*(const int32_t *)a], y = v->text[*(const int32_t *)b];
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : x.n < y.n ? -1 : x.n > y.n;
}

enum prism_status prism_special_build(struct prism_vocab *v, struct prism_error *err)
{
    mark_end_of_generation(v);
    for (uint32_t i = 0; i < v->n_tokens; i++)
        v->n_special += is_candidate(v, (int32_t)i);
    v->special = malloc((v->n_special + (size_t)1) * sizeof *v->special);
    v->special_by_text = malloc((v->n_special + (size_t)1) * sizeof *v->special_by_text);
    if (!v->special || !v->special_by_text)
        return prism_fail(err, PRISM_E_NOMEM, "tokenizer: no memory for %u special tokens", v->n_special);
    for (uint32_t i = 0, k = 0; i < v->n_tokens; i++)
        if (is_candidate(v, (int32_t)i))
            v->special[k++] = (int32_t)i;
    memcpy(v->special_by_text, v->special, v->n_special * sizeof *v->special);
    qsort_r(v->special, v->n_special, sizeof *v->special, longest_first, v);
    qsort_r(v->special_by_text, v->n_special, sizeof *v->special_by_text, by_text, v);
    return PRISM_OK;
}

/* First index in [lo, hi) whose byte at depth is >= b (b may be 256). The texts there agree before depth and are longer. */
static uint32_t lower_bound(const struct prism_vocab *v, uint32_t lo, uint32_t hi, size_t depth, unsigned b)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((uint8_t)v->text[v->special_by_text[mid]].p[depth] < b)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Sets present[id] for the candidates that occur anywhere in text: one pass, whatever their number. */
static bool mark_present(const struct prism_vocab *v, const char *text, size_t len, bool *present)
{
    uint32_t first[257]; /* range of the texts that start with each byte */
    bool any = false;

    for (unsigned b = 0; b <= 256; b++)
        first[b] = lower_bound(v, 0, v->n_special, 0, b);
    for (size_t i = 0; i < len; i++) {
        uint32_t lo = first[(uint8_t)text[i]], hi = first[(uint8_t)text[i] + 1];
        for (size_t depth = 1; lo < hi; depth++) {
            int32_t id = v->special_by_text[lo]; /* a text that ends here sorts before those that go on */
            if (v->text[id].n == depth) {
                present[id] = any = true;
                lo++;
            }
            if (i + depth == len)
                break;
            uint8_t b = (uint8_t)text[i + depth];
            uint32_t from = lower_bound(v, lo, hi, depth, b);
            hi = lower_bound(v, from, hi, depth, b + 1u);
            lo = from;
        }
    }
    return any;
}

struct fragments {
    struct prism_fragment *f;
    size_t n, cap;
};

static bool append(struct fragments *a, struct prism_fragment f)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 16;
        struct prism_fragment *grown = realloc(a->f, cap * sizeof *grown);
        if (!grown)
            return false;
        a->f = grown;
        a->cap = cap;
    }
    a->f[a->n++] = f;
    return true;
}

/* Copies from to `to`, cutting the stretches of plain text at token id, leftmost occurrence first. */
static bool cut_at(const struct prism_vocab *v, const char *text, const struct fragments *from, int32_t id, struct fragments *to)
{
    const struct prism_str t = v->text[id];
    bool ok = true;

    to->n = 0;
    for (size_t i = 0; i < from->n && ok; i++) {
        struct prism_fragment f = from->f[i];
        const char *hit;
        while (f.token < 0 && ok && (hit = memmem(text + f.start, f.len, t.p, t.n))) {
            size_t before = (size_t)(hit - text) - f.start;
            ok = (!before || append(to, (struct prism_fragment){f.start, before, -1})) &&
                 append(to, (struct prism_fragment){f.start + before, t.n, id});
            f.start += before + t.n;
            f.len -= before + t.n;
        }
        ok = ok && (!f.len || append(to, f));
    }
    return ok;
}

enum prism_status prism_special_split(const struct prism_vocab *v, const char *text, size_t len, bool parse,
                                      struct prism_fragment **out, size_t *n, struct prism_error *err)
{
    struct fragments a = {0}, b = {0};
    bool *present = calloc(v->n_tokens + (size_t)1, sizeof *present);
    bool ok = present && append(&a, (struct prism_fragment){0, len, -1});

    if (ok && mark_present(v, text, len, present))
        for (uint32_t i = 0; i < v->n_special && ok; i++) {
            int32_t id = v->special[i];
            if (!present[id] || (!parse && v->type[id] != PRISM_TOKEN_USER))
                continue;
            ok = cut_at(v, text, &a, id, &b);
            struct fragments swap = a;
            a = b;
            b = swap;
        }
    free(present);
    free(b.f);
    if (!ok) {
        free(a.f);
        return prism_fail(err, PRISM_E_NOMEM, "tokenizer: no memory to split %zu bytes of text", len);
    }
    *out = a.f;
    *n = a.n;
    return PRISM_OK;
}
