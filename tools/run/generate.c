/* generate.c - see generate.h. */
#include "tools/run/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/engine.h"
#include "tools/common/process.h"

enum { PIECE = 4096 }; /* bytes that stream.text has room for */

const char *const generate_stop_names[] = { "length", "end of text", "context full", "interrupted", "stop text" };

int stream_bytes(struct stream *s, const char *bytes, size_t len, bool end)
{
    do {
        size_t n = len < PIECE ? len : PIECE;
        size_t n_text = prism_utf8_push(&s->utf8, bytes, n, end && n == len, s->text);
        if (fwrite(s->text, 1, n_text, s->out) != n_text || fflush(s->out) != 0)
            return process_flush_stdout();
        bytes += n;
        len -= n;
    } while (len > 0);
    return PROCESS_OK;
}

/* ---- the text of the answer ---- */

/* What has been printed of g->text, and how much of it there is room for. */
struct printed {
    struct stream stream;
    size_t n, cap;
};

/* Appends the bytes of a token to g->text: nothing bounds how many. */
static bool append_token(struct generation *g, struct printed *p, int32_t token)
{
    bool first = g->from_nothing && g->n_tokens == 1;
    size_t n = prism_token_bytes(g->model, token, false, first, NULL, 0);

    if (g->n_text + n + 1 > p->cap) {
        size_t cap = 2 * (g->n_text + n) + 256;
        char *wider = realloc(g->text, cap);
        if (!wider)
            return false;
        g->text = wider;
        p->cap = cap;
    }
    prism_token_bytes(g->model, token, false, first, g->text + g->n_text, n);
    g->n_text += n;
    g->text[g->n_text] = 0;
    return true;
}

/* The earliest stop text that ends behind byte `from`; its beginning, or SIZE_MAX. */
static size_t find_stop(const struct generation *g, size_t from)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < g->n_stops; i++) {
        size_t n = strlen(g->stops[i]), begin = from >= n ? from - n + 1 : 0;
        const char *at = begin < g->n_text ? memmem(g->text + begin, g->n_text - begin, g->stops[i], n) : NULL;
        if (at && (size_t)(at - g->text) < best)
            best = (size_t)(at - g->text);
    }
    return best;
}

/* Bytes at the end of the text that may become a stop text. */
static size_t held_back(const struct generation *g)
{
    size_t most = 0;

    for (size_t i = 0; i < g->n_stops; i++)
        for (size_t n = strlen(g->stops[i]) - 1; n > most; n--)
            if (n <= g->n_text && !memcmp(g->text + g->n_text - n, g->stops[i], n))
                most = n;
    return most;
}

static int print_text(struct generation *g, struct printed *p, size_t end)
{
    size_t from = p->n;

    if (end <= from)
        return PROCESS_OK;
    p->n = end;
    return stream_bytes(&p->stream, g->text + from, end - from, false);
}

/* Prints what the token adds. A stop text that is complete now is cut off, and g->stop says so. */
static int take_token(struct generation *g, struct printed *p, int32_t token)
{
    size_t before = g->n_text;

    if (!append_token(g, p, token))
        return process_error("out of memory");
    size_t stop = find_stop(g, before);
    if (stop == SIZE_MAX)
        return print_text(g, p, g->n_text - held_back(g));
    g->n_text = stop;
    g->text[stop] = 0;
    g->stop = GENERATE_TEXT;
    return print_text(g, p, stop);
}

/* Draws tokens, from its own copy of the logits where --ignore-eos changes them. */
struct sampler {
    struct prism_sampling params;
    size_t n_vocab;
    float *logits; /* [n_vocab], NULL without --ignore-eos */
    void *scratch;
};

static bool sampler_init(struct sampler *s, const struct generation *g)
{
    struct prism_model_info info;

    prism_model_info(g->model, &info);
    *s = (struct sampler){
        .params = g->sampling,
        .n_vocab = info.n_vocab,
        .logits = g->ignore_eos ? malloc(info.n_vocab * sizeof(float)) : NULL,
        .scratch = malloc(8 * (size_t)info.n_vocab),
    };
    return s->scratch && (s->logits || !g->ignore_eos);
}

static void sampler_free(struct sampler *s)
{
    free(s->logits);
    free(s->scratch);
}

/* False: the logits are no numbers to draw from. */
static bool sampler_draw(struct sampler *s, const struct generation *g, int32_t *token, struct prism_error *err)
{
    const float *logits = prism_logits(g->ctx);

    if (!engine_logits_finite(logits, s->n_vocab, err))
        return false;
    if (s->logits) {
        for (size_t i = 0; i < s->n_vocab; i++)
            s->logits[i] = prism_token_is_eog(g->model, (int32_t)i) ? -INFINITY : logits[i];
        logits = s->logits;
    }
    *token = prism_sample(&s->params, logits, s->n_vocab, s->scratch);
    return true;
}

/* The text ends here, and with it its line. */
static int broken_off(const struct generation *g, const struct prism_error *err)
{
    if (g->n_tokens > 0 && fputc('\n', g->out) != EOF)
        fflush(g->out);
    return engine_error(err);
}

/* The loop proper, for at most `limit` tokens. */
static int run_loop(struct generation *g, size_t limit, struct sampler *sampler, struct printed *p)
{
    struct prism_error err = { 0 };

    while (g->n_tokens < limit) {
        int32_t token;
        if (!sampler_draw(sampler, g, &token, &err))
            return broken_off(g, &err);
        if (!g->ignore_eos && prism_token_is_eog(g->model, token)) {
            g->stop = GENERATE_END;
            break;
        }
        g->tokens[g->n_tokens++] = token;
        int status = take_token(g, p, token);
        if (status != PROCESS_OK)
            return status;
        if (g->stop == GENERATE_TEXT)
            break;
        if (process_interrupted()) {
            g->stop = GENERATE_INTERRUPT;
            break;
        }
        if (g->n_tokens < limit && prism_decode(g->ctx, token, &err) != PRISM_OK)
            return broken_off(g, &err);
    }
    int status = print_text(g, p, g->n_text);
    return status == PROCESS_OK ? stream_bytes(&p->stream, "", 0, true) : status;
}

int generate(struct generation *g)
{
    size_t limit = g->plan->n_ctx - prism_length(g->ctx) + 1; /* the last token need not enter the context */
    struct printed printed = { .stream.out = g->out };
    struct sampler sampler;
    double start = process_now_ms();
    int status;

    g->stop = GENERATE_CONTEXT;
    if (g->n_predict >= 0 && (size_t)g->n_predict <= limit) {
        limit = (size_t)g->n_predict;
        g->stop = GENERATE_LENGTH;
    }
    g->tokens = malloc((limit + 1) * sizeof *g->tokens);
    if (sampler_init(&sampler, g) && g->tokens)
        status = run_loop(g, limit, &sampler, &printed);
    else
        status = process_error("out of memory");
    g->sampling.state = sampler.params.state;
    sampler_free(&sampler);
    g->ms = process_now_ms() - start;
    return status;
}
