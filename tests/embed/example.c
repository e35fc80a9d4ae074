/* example.c - the smallest application: continues a prompt by 16 tokens. Usage: example MODEL.gguf PROMPT
 * Built against the installed library, see test_embed.sh. */
#include <prism/prism.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct prism_error err;
    struct prism_context_params params = { .n_ctx = 1024 };
    struct prism_sampling greedy = { .temp = 0 };
    struct prism_model_info info;
    prism_model *model = NULL;
    prism_context *ctx = NULL;
    int32_t tokens[1000];
    size_t n;

    if (argc != 3) {
        fprintf(stderr, "usage: example MODEL.gguf PROMPT\n");
        return 2;
    }
    if (prism_model_load(argv[1], NULL, &model, &err) == PRISM_OK &&
        prism_context_create(model, &params, &ctx, &err) == PRISM_OK &&
        prism_tokenize(model, argv[2], strlen(argv[2]), PRISM_ADD_SPECIAL, tokens, 1000, &n, &err) == PRISM_OK &&
        prism_prefill(ctx, tokens, n < 1000 ? n : 1000, NULL, &err) == PRISM_OK) {
        prism_model_info(model, &info);
        for (int i = 0; i < 16; i++) {
            int32_t token = prism_sample(&greedy, prism_logits(ctx), info.n_vocab, NULL);
            char piece[256];
            size_t len = prism_token_bytes(model, token, false, false, piece, sizeof piece);
            if (prism_token_is_eog(model, token))
                break;
            fwrite(piece, 1, len < sizeof piece ? len : sizeof piece, stdout);
            if (prism_decode(ctx, token, &err) != PRISM_OK)
                break;
        }
        putchar('\n');
    }
    if (err.status != PRISM_OK)
        fprintf(stderr, "error: %s\n", err.text);
    prism_context_free(ctx);
    prism_model_free(model);
    return err.status == PRISM_OK ? 0 : 1;
}
