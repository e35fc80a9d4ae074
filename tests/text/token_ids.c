/* token_ids.c - prints the ids that a vocabulary gives to texts, for tests/text/peers.mjs: token_ids VOCAB.gguf [special] <TEXTS.
 *
 * TEXTS are length-prefixed (4 bytes, little-endian) UTF-8. One line of decimal ids per text, without BOS and EOS; with `special` the texts of
 * special tokens are those tokens. Exit status: 0, or 1 after one line on stderr. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/text/vocab.h"

static int print_ids(const struct prism_vocab *v, unsigned flags, const char *text, size_t len, struct prism_error *err)
{
    size_t n, cap;

    if (prism_vocab_encode(v, text, len, flags, NULL, 0, &cap, err))
        return 1;
    int32_t *ids = malloc((cap + 1) * sizeof *ids);
    if (!ids)
        return prism_fail(err, PRISM_E_NOMEM, "no memory for %zu ids", cap) != PRISM_OK;
    int status = prism_vocab_encode(v, text, len, flags, ids, cap, &n, err) != PRISM_OK;
    for (size_t i = 0; !status && i < n; i++)
        printf(i ? " %d" : "%d", ids[i]);
    putchar('\n');
    free(ids);
    return status;
}

static int print_all(const struct prism_vocab *v, unsigned flags, struct prism_error *err)
{
    unsigned char head[4];

    while (fread(head, 1, 4, stdin) == 4) {
        size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        char *text = malloc(len + 1);
        if (!text || fread(text, 1, len, stdin) != len) {
            free(text);
            return prism_fail(err, PRISM_E_ARG, "standard input: expected %zu bytes of text", len) != PRISM_OK;
        }
        int status = print_ids(v, flags, text, len, err);
        free(text);
        if (status)
            return status;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct prism_error err = { 0 };
    struct prism_gguf *g = NULL;
    struct prism_vocab *v = NULL;
    unsigned flags = argc > 2 && !strcmp(argv[2], "special") ? PRISM_PARSE_SPECIAL : 0;

    if (argc < 2) {
        fprintf(stderr, "token_ids: use VOCAB.gguf [special] <TEXTS\n");
        return 1;
    }
    int status = prism_gguf_open(argv[1], (struct prism_log){ 0 }, &g, &err) || prism_vocab_load(g, 0, &v, &err) || print_all(v, flags, &err);
    if (status)
        fprintf(stderr, "token_ids: %s\n", err.text);
    prism_vocab_free(v);
    prism_gguf_close(g);
    return status || fflush(stdout) != 0;
}
