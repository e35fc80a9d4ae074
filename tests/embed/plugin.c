/* plugin.c - the library inside a shared object: reads a prompt and says which token follows. host.c loads it, see test_embed.sh. */
#include <prism/prism.h>

#include <stdio.h>
#include <string.h>

__attribute__((visibility("default"))) int32_t plugin_next_token(const char *model_path, const char *prompt);

/* -1 after an error, which is printed. */
int32_t plugin_next_token(const char *model_path, const char *prompt)
{
    struct prism_error err = { 0 };
    struct prism_context_params params = { .n_ctx = 512 };
    struct prism_sampling greedy = { .temp = 0 };
    struct prism_model_info info;
    prism_model *model = NULL;
    prism_context *ctx = NULL;
    int32_t tokens[512], next = -1;
    size_t n;

    if (prism_model_load(model_path, NULL, &model, &err) == PRISM_OK &&
        prism_context_create(model, &params, &ctx, &err) == PRISM_OK &&
        prism_tokenize(model, prompt, strlen(prompt), PRISM_ADD_SPECIAL, tokens, 512, &n, &err) == PRISM_OK &&
        prism_prefill(ctx, tokens, n < 512 ? n : 512, NULL, &err) == PRISM_OK) {
        prism_model_info(model, &info);
        next = prism_sample(&greedy, prism_logits(ctx), info.n_vocab, NULL);
    }
    if (next < 0)
        fprintf(stderr, "plugin: %s\n", err.text);
    prism_context_free(ctx);
    prism_model_free(model);
    return next;
}
