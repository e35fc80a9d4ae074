/* fuzz_model.c - the fuzzer's target: whatever the bytes of a file are, loading it, tokenizing with it, a prefill of 64 tokens and a few
 * steps of decode end with a status, inside their memory, and logits that come with PRISM_OK are finite. Built with clang: make fuzz.
 *
 * The bytes behind the last tensor are the text that is tokenized; a hash of the input chooses the context's settings. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "prism/prism.h"
#include "tests/fuzz/mutate.h"

enum { N_TOKENS = 64, MOST_TEXT = 512, MOST_WEIGHTS = 1 << 18 };
static const uint64_t most_bytes = 32 << 20; /* of a context: larger ones are planned only */

#define EXPECT(condition) ((condition) ? (void)0 : found(__LINE__, #condition))

static void found(int line, const char *what)
{
    fprintf(stderr, "fuzz_model.c:%d: %s does not hold\n", line, what);
    abort();
}

static uint64_t hash(const uint8_t *bytes, size_t n) /* FNV-1a, of words */
{
    uint64_t h = UINT64_C(0xCBF29CE484222325), word = 0;
    for (size_t i = 0; i < n; i += sizeof word) {
        memcpy(&word, bytes + i, n - i < sizeof word ? n - i : sizeof word);
        h = (h ^ word) * UINT64_C(0x100000001B3);
        h ^= h >> 32;
    }
    return h;
}

/* A status and its text belong together. */
static void check(enum prism_status status, const struct prism_error *err)
{
    EXPECT(err->status == status);
    EXPECT((status == PRISM_OK) == (err->text[0] == 0));
    EXPECT(strlen(err->text) < sizeof err->text && !strchr(err->text, '\n'));
}

/* ---- text ---- */

static size_t tokenize(const prism_model *m, const char *text, size_t len, unsigned flags, int32_t *tokens, size_t cap, uint32_t n_vocab)
{
    struct prism_error err;
    size_t n = 0;
    enum prism_status status = prism_tokenize(m, text, len, flags, tokens, cap, &n, &err);

    check(status, &err);
    if (status)
        return 0;
    n = n < cap ? n : cap;
    for (size_t i = 0; i < n; i++) {
        char piece[64];
        EXPECT(tokens[i] >= 0 && (uint32_t)tokens[i] < n_vocab);
        prism_token_bytes(m, tokens[i], i % 2, i == 0, piece, sizeof piece);
        prism_token_is_eog(m, tokens[i]);
    }
    return n;
}

/* N_TOKENS tokens: those of the texts, then any. */
static void make_tokens(const prism_model *m, const char *text, size_t len, uint64_t h, uint32_t n_vocab, int32_t *tokens)
{
    static const char plain[] = "<s>The 2 cats aren't <|im_end|>\n\n  \xC3\xA9t\xC3\xA9 \xE2\x96\x81x \xFF 12345";
    int32_t room[MOST_TEXT + 16];
    size_t n = tokenize(m, plain, sizeof plain - 1, 3, room, N_TOKENS, n_vocab);

    memcpy(tokens, room, n * sizeof *room);
    size_t more = tokenize(m, text, len < MOST_TEXT ? len : MOST_TEXT, (unsigned)h & 3, room, MOST_TEXT + 16, n_vocab);
    for (size_t i = 0; n < N_TOKENS; n++, i++)
        tokens[n] = i < more ? room[i] : (int32_t)((h >> 7) * (n + 1) % n_vocab);
}

/* ---- contexts ---- */

static struct prism_context_params settings(uint64_t h)
{
    static const char *const selectors[] = { "dense", "prism", "meanpool", "streaming", "vertical-slash", "flexprefill", "xattention", NULL };
    struct prism_context_params p = { .n_ctx = N_TOKENS + 8, .n_threads = 1 };
    int level = (int)(h >> 8) % (prism_level_count() + 2);

    p.compute = h >> 16 & 1 ? PRISM_COMPUTE_F32 : PRISM_COMPUTE_AUTO;
    p.kv_type = (enum prism_kv_type)((h >> 17 & 7) % 5);
    p.v_type = (enum prism_kv_type)((h >> 46 & 7) % 5);
    p.level = level < prism_level_count() && prism_level_supported(level) ? 1 + level : 0;
    p.attention.selector = selectors[h >> 20 & 7];
    p.attention.block = 32;
    p.attention.min_tokens = 1;
    p.attention.dense_tail = PRISM_NO_TAIL;
    return p;
}

static void check_logits(prism_context *ctx, enum prism_status status, const struct prism_error *err, uint32_t n_vocab)
{
    check(status, err);
    const float *logits = prism_logits(ctx);
    if (status)
        return;
    EXPECT(logits);
    for (uint32_t i = 0; i < n_vocab; i++)
        EXPECT(isfinite(logits[i]));
    struct prism_sampling greedy = { 0 };
    int32_t token = prism_sample(&greedy, logits, n_vocab, NULL);
    EXPECT(token >= 0 && (uint32_t)token < n_vocab && prism_log_prob(logits, n_vocab, token) <= 0);
}

static void run(const prism_model *m, const int32_t *tokens, uint64_t h, uint32_t n_vocab)
{
    struct prism_context_params params = settings(h);
    struct prism_error err;
    struct prism_plan plan;
    prism_context *ctx;
    enum prism_status status = prism_plan(m, &params, &plan, &err);

    check(status, &err);
    if (status || plan.total_bytes > most_bytes)
        return;
    status = prism_context_create(m, &params, &ctx, &err);
    check(status, &err);
    if (status)
        return;
    size_t first = h >> 24 & 1 ? N_TOKENS : 1 + (size_t)(h >> 25) % (N_TOKENS - 1);
    status = prism_prefill(ctx, tokens, first, NULL, &err);
    check_logits(ctx, status, &err, n_vocab);
    if (status == PRISM_OK && first < N_TOKENS) {
        status = prism_prefill(ctx, tokens + first, N_TOKENS - first, NULL, &err);
        check_logits(ctx, status, &err, n_vocab);
    }
    EXPECT(status || prism_length(ctx) == N_TOKENS);
    if (status == PRISM_OK)
        for (int i = 0; i < 2; i++)
            check_logits(ctx, prism_decode(ctx, tokens[i], &err), &err, n_vocab);
    prism_context_free(ctx);
}

/* ---- libFuzzer ---- */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static int fd = -1;
    static char path[32];
    uint64_t h = hash(bytes, n);
    struct prism_model_params params = { .check_tensors = h >> 40 & 1, .vocab_only = (h >> 41 & 15) == 0 };
    struct prism_error err;
    prism_model *m;

    if (fd < 0) {
        fd = memfd_create("fuzz.gguf", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    EXPECT(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, bytes, n, 0) == (ssize_t)n);
    enum prism_status status = prism_model_load(path, &params, &m, &err);
    EXPECT((status == PRISM_OK) == (m != NULL));
    check(status, &err);
    if (status)
        return 0;

    struct prism_model_info info;
    prism_model_info(m, &info);
    if (info.n_vocab) {
        int32_t tokens[N_TOKENS];
        size_t text = fuzz_trailing(bytes, n);
        make_tokens(m, (const char *)bytes + text, n - text, h, info.n_vocab, tokens);
        if (!params.vocab_only && info.n_params <= MOST_WEIGHTS)
            run(m, tokens, h, info.n_vocab);
    }
    prism_model_free(m);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t cap, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t cap, unsigned seed) { return fuzz_mutate(bytes, n, cap, seed); }
