/* generate.c - see generate.h. */
#include "tools/common/generate.h"

#include <math.h>
#include <stdlib.h>

#include "tools/common/engine.h"
#include "tools/common/process.h"

enum { PIECE = 4096 }; /* bytes that stream.text has room for */

const char *const generate_stop_names[] = { "length", "end of text", "context full", "interrupted" };

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

static int stream_token(struct stream *s, const struct generation *g, int32_t token)
{
    bool first = g->from_nothing && g->n_tokens == 1;
    char bytes[256], *all = bytes;
    size_t n = prism_token_bytes(g->model, token, false, first, bytes, sizeof bytes);

    if (n > sizeof bytes) { /* nothing bounds the text of a token */
        all = malloc(n);
        if (!all)
            return process_error("out of memory");
        prism_token_bytes(g->model, token, false, first, all, n);
    }
    int status = stream_bytes(s, all, n, false);
    if (all != bytes)
        free(all);
    return status;
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
    return engine_error(err, g->plan);
}

/* The loop proper, for at most `limit` tokens. */
static int run_loop(struct generation *g, size_t limit, struct sampler *sampler, struct stream *stream)
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
        int status = stream_token(stream, g, token);
        if (status != PROCESS_OK)
            return status;
        if (process_interrupted()) {
            g->stop = GENERATE_INTERRUPT;
            break;
        }
        if (g->n_tokens < limit && prism_decode(g->ctx, token, &err) != PRISM_OK)
            return broken_off(g, &err);
    }
    return stream_bytes(stream, "", 0, true);
}

int generate(struct generation *g)
{
    size_t limit = g->plan->n_ctx - prism_length(g->ctx) + 1; /* the last token need not enter the context */
    struct stream stream = { .out = g->out };
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
        status = run_loop(g, limit, &sampler, &stream);
    else
        status = process_error("out of memory");
    sampler_free(&sampler);
    g->ms = process_now_ms() - start;
    return status;
}
