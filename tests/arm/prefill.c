/* prefill.c - prefills N tokens of a text on one thread: prefill MODEL.gguf LEVEL TEXT N. What tests/arm/count.sh counts the instructions of. */
#include <prism/prism.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number_of(const char *level)
{
    for (int i = 0; i < prism_level_count(); i++)
        if (!strcmp(prism_level_name(i), level))
            return i + 1;
    return -1;
}

int main(int argc, char **argv)
{
    static char text[65536];
    static int32_t tokens[65536];
    struct prism_error err;
    prism_model *model = NULL;
    prism_context *ctx = NULL;
    size_t n;

    if (argc != 5) {
        fprintf(stderr, "usage: prefill MODEL.gguf LEVEL TEXT N\n");
        return 2;
    }
    struct prism_context_params params = { .n_ctx = 2048, .n_threads = 1, .level = number_of(argv[2]) };
    const size_t wanted = strtoul(argv[4], NULL, 10);
    FILE *f = fopen(argv[3], "rb");
    const size_t bytes = f ? fread(text, 1, sizeof text, f) : 0;
    if (prism_model_load(argv[1], NULL, &model, &err) != PRISM_OK || prism_context_create(model, &params, &ctx, &err) != PRISM_OK ||
        prism_tokenize(model, text, bytes, PRISM_ADD_SPECIAL, tokens, sizeof tokens / sizeof *tokens, &n, &err) != PRISM_OK ||
        prism_prefill(ctx, tokens, wanted, NULL, &err) != PRISM_OK) {
        fprintf(stderr, "prefill: %s\n", err.text);
        return 1;
    }
    const bool fine = n >= wanted && isfinite(prism_logits(ctx)[0]);
    prism_context_free(ctx);
    prism_model_free(model);
    if (f)
        fclose(f);
    return fine ? 0 : 1;
}
