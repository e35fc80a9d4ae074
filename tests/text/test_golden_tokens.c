/* test_golden_tokens.c - the prompt of tests/golden/arch through the vocabulary of every file there: the ids that llama.cpp gives (README.md there).
 * And what only BPE over the text itself does (tokenizer model "gemma4"). */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/small_vocab.h"

#define DIR_NAME "tests/golden/arch"
enum { N = 160, MAX_TEXT = 4096 };

static struct prism_gguf *open_gguf(const char *path)
{
    struct prism_gguf *g;
    struct prism_error err;
    if (prism_gguf_open(path, (struct prism_log){ 0 }, &g, &err))
        fail_msg("%s", err.text);
    return g;
}

/* False: the tokens are not those of the prompt, as llama.cpp was not run. */
static bool check_file(const char *name, const char *text, size_t len)
{
    char path[512];
    struct prism_error err;
    struct prism_vocab *v;
    int32_t found[MAX_TEXT];
    size_t n = 0;

    snprintf(path, sizeof path, DIR_NAME "/%s.logits.gguf", name);
    struct prism_gguf *logits = open_gguf(path);
    struct prism_str model = { name, strlen(name) }; /* where the file does not say whose logits it has */
    if (prism_gguf_get_str(logits, "golden.model", false, &model, &err))
        fail_msg("%s", err.text);
    bool named = model.p != name;
    snprintf(path, sizeof path, DIR_NAME "/%.*s%s", (int)model.n, model.p, named ? "" : ".gguf");
    struct prism_gguf *g = open_gguf(path);
    const struct prism_gguf_tensor *expected = prism_gguf_tensor_find(logits, "tokens"), *theirs = prism_gguf_tensor_find(logits, "logits");
    const struct prism_gguf_tensor *reference = prism_gguf_tensor_find(logits, "reference");

    assert_true(expected && theirs && reference && theirs->n_bytes == reference->n_bytes);
    bool run = memcmp(theirs->data, reference->data, reference->n_bytes) != 0;
    assert_int_equal(expected->ne[0], N);
    if (prism_vocab_load(g, 0, &v, &err) || prism_vocab_encode(v, text, len, PRISM_ADD_SPECIAL, found, MAX_TEXT, &n, &err))
        fail_msg("%s: %s", name, err.text);
    assert_in_range(n, N, MAX_TEXT);
    for (size_t i = 0; run && i < N; i++)
        if (found[i] != ((const int32_t *)expected->data)[i])
            fail_msg("%s: token %zu: expected %d, found %d", name, i, ((const int32_t *)expected->data)[i], found[i]);
    prism_vocab_free(v);
    prism_gguf_close(g);
    prism_gguf_close(logits);
    return run;
}

static void test_prompt(void **state)
{
    (void)state;
    char text[MAX_TEXT], name[256];
    FILE *f = fopen(DIR_NAME "/prompt.txt", "rb");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof text, f), files = 0;
    fclose(f);
    assert_in_range(len, N, MAX_TEXT - 1);
    DIR *dir = opendir(DIR_NAME);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        const char *end = strstr(e->d_name, ".logits.gguf");
        if (!end)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(end - e->d_name), e->d_name);
        files += check_file(name, text, len);
    }
    closedir(dir);
    assert_in_range(files, 29, 100);
}

/* ---- BPE over the text itself ---- */

enum { R_PAD, R_EOS, R_BOS, R_UNK, R_A, R_B, R_SP, R_SP_A, R_AB, R_N, R_NN, R_B41, R_B0A, R_BC3, R_BA9, R_B20, R_USER, R_E9, R_A_SP_A, R_NNN, R_TURN, N_RAW };
static const char *const raw_tokens[N_RAW] = { "<pad>", "<eos>", "<bos>", "<unk>", "a", "b", SP, SP "a", "ab", "\n", "\n\n", "<0x41>", "<0x0A>", "<0xC3>",
                                               "<0xA9>", "<0x20>", "<|x|>", "\xC3\xA8", "a" SP "a", "\n\n\n", "<turn|>" };
static const int32_t raw_types[N_RAW] = { 3, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 6, 6, 6, 6, 6, 4, 1, 1, 1, 3 };
static const char *const raw_merges[] = { SP " a", "a b", "a " SP "a", "\n \n" };

static struct gb *raw_file(void)
{
    struct gb *g = gb_new();
    gb_str(g, "general.architecture", "gemma4");
    gb_str(g, KEY("model"), "gemma4");
    gb_strings(g, KEY("tokens"), raw_tokens, N_RAW);
    gb_array(g, KEY("token_type"), PRISM_GV_I32, N_RAW, raw_types, sizeof raw_types);
    gb_strings(g, KEY("merges"), raw_merges, sizeof raw_merges / sizeof *raw_merges);
    gb_u32(g, KEY("bos_token_id"), R_BOS);
    gb_u32(g, KEY("eos_token_id"), R_EOS);
    gb_bool(g, KEY("add_bos_token"), 0);
    return g;
}

static void test_raw(void **state)
{
    (void)state;
    struct small_vocab l;
    struct prism_vocab_facts facts;

    small_load_good(&l, raw_file());
    prism_vocab_facts(l.v, &facts);
    assert_true(facts.add_bos && !facts.add_eos && !facts.add_space_prefix && facts.bos == R_BOS);
    assert_string_equal(facts.model, "gemma4");
    assert_string_equal(facts.pre, "gemma4");
    IDS(l.v, "", 0, END);
    IDS(l.v, "ab", PRISM_ADD_SPECIAL, R_BOS, R_AB, END);      /* BOS whatever the file says, no space in front */
    IDS(l.v, "a a", 0, R_A_SP_A, END);                        /* merges cross words */
    IDS(l.v, "ab a", 0, R_AB, R_SP_A, END);
    IDS(l.v, "b  a", 0, R_B, R_SP, R_SP_A, END);
    IDS(l.v, "a\nb", 0, R_A, R_N, R_B, END);
    IDS(l.v, "a\n\n\nb", 0, R_A, R_NNN, R_B, END);            /* a run that is a token: no merge makes it */
    IDS(l.v, "\n\n\n\n\n", 0, R_NN, R_NN, R_N, END);          /* one that is none is merged */
    IDS(l.v, "\xC3\xA9", 0, R_BC3, R_BA9, END);               /* a character without a token: its bytes */
    IDS(l.v, "\xC3\xA8", 0, R_E9, END);
    IDS(l.v, "A", 0, R_B41, END);
    IDS(l.v, "aZb", 0, R_A, R_B, END);                        /* nor has the byte one: it vanishes */
    IDS(l.v, "a\xFF" "b", 0, R_A, R_B, END);                  /* U+FFFD, of which no byte has a token */
    IDS(l.v, "a<|x|>b<bos>", 0, R_A, R_USER, R_B, R_B, END); /* of "<bos>" one letter has a token */
    IDS(l.v, "<turn|><bos>a", PRISM_PARSE_SPECIAL, R_TURN, R_BOS, R_A, END);
    assert_true(prism_vocab_is_eog(l.v, R_TURN) && prism_vocab_is_eog(l.v, R_EOS) && !prism_vocab_is_eog(l.v, R_BOS));
    small_unload(&l);
}

static void test_raw_bytes(void **state)
{
    (void)state;
    struct small_vocab l;
    static const struct {
        int32_t token;
        const char *bytes;
    } rows[] = { { R_SP_A, " a" }, { R_SP, " " }, { R_A_SP_A, "a a" }, { R_NN, "\n\n" }, { R_BC3, "\xC3" }, { R_B0A, "\n" }, { R_USER, "<|x|>" }, { R_BOS, "" } };
    char buf[32];

    small_load_good(&l, raw_file());
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int first = 0; first < 2; first++) {
            size_t n = prism_vocab_bytes(l.v, rows[i].token, false, first, buf, sizeof buf);
            assert_int_equal(n, strlen(rows[i].bytes));
            assert_memory_equal(buf, rows[i].bytes, n);
        }
    small_unload(&l);
}

static void no_merges(struct gb *g) { gb_remove(g, KEY("merges")); }
static void merges_numbers(struct gb *g) { gb_array(g, KEY("merges"), PRISM_GV_I32, 2, raw_types, 8); }

static void test_raw_refusals(void **state)
{
    (void)state;
    void (*const damages[])(struct gb *) = { no_merges, merges_numbers };

    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct small_vocab l;
        struct gb *g = raw_file();
        damages[i](g);
        small_load(&l, g, 0);
        assert_int_equal(l.status, PRISM_E_FORMAT);
        assert_non_null(strstr(l.err.text, KEY("merges") ": expected an array of strings"));
        small_unload(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompt), cmocka_unit_test(test_raw), cmocka_unit_test(test_raw_bytes), cmocka_unit_test(test_raw_refusals),
    };
    return cmocka_run_group_tests_name("golden tokens", tests, NULL, NULL);
}
