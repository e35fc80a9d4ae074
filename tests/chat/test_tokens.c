/* test_tokens.c - a chat as tokens: special tokens of the template and not those that users type, BOS once, everything else as in one piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/model/model.h"
#include "src/text/internal.h"
#include "tests/support/data.h"
#include "tests/support/small_vocab.h"

#undef END
#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { MOST = 1 << 16 };

static prism_model *load(struct gb *file, const char *name)
{
    struct prism_error err;
    prism_model *m;

    if (prism_model_load(gb_write(file, name), &(struct prism_model_params){ .vocab_only = true }, &m, &err))
        fail_msg("%s", err.text);
    gb_free(file);
    return m;
}

/* ---- a vocabulary made here ---- */

enum { T_A, T_B, T_LT, T_GT, T_SLASH, T_S, T_BOS, T_IM, T_LONG, T_SHORT, T_USER, T_START, T_EOS, T_SPACE, N_MADE };
static const char *const made_tokens[N_MADE] = { "a", "b", "<", ">", "/", "s", "<s>", "<a>", "<a><b>", "<b>", "<u>", "<|start|>", "</s>",
                                                 "\xC4\xA0" };
static const int32_t made_types[N_MADE] = { 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 4, 3, 3, 1 };

static prism_model *made(const char *template_text, bool add_bos)
{
    struct gb *g = gb_new();

    gb_str(g, "general.architecture", "llama");
    gb_str(g, KEY("model"), "gpt2");
    gb_str(g, KEY("pre"), "gpt-2");
    gb_strings(g, KEY("tokens"), made_tokens, N_MADE);
    gb_array(g, KEY("token_type"), PRISM_GV_I32, N_MADE, made_types, sizeof made_types);
    gb_strings(g, KEY("merges"), NULL, 0);
    gb_u32(g, KEY("bos_token_id"), T_BOS);
    gb_u32(g, KEY("eos_token_id"), T_EOS);
    gb_bool(g, KEY("add_bos_token"), add_bos);
    if (template_text)
        gb_str(g, "tokenizer.chat_template", template_text);
    return load(g, "made.gguf");
}

static const char plain[] = "{% for m in messages %}{{ m.content }}{% endfor %}";

static void assert_ids(const prism_model *m, const char *role, const char *text, const int32_t *expected, size_t n_expected)
{
    struct prism_message message = { role, text, strlen(text) };
    struct prism_error err;
    int32_t ids[64];
    size_t n;

    if (prism_chat_tokenize(m, &message, 1, NULL, ids, COUNT(ids), &n, &err))
        fail_msg("%s", err.text);
    if (n != n_expected || memcmp(ids, expected, n * sizeof *ids)) {
        for (size_t i = 0; i < n; i++)
            print_error("%d ", ids[i]);
        fail_msg("\"%s\" by %s: %zu tokens, expected %zu", text, role, n, n_expected);
    }
}
#define CHAT(m, role, text, ...) assert_ids(m, role, text, (const int32_t[]){ __VA_ARGS__ }, COUNT(((const int32_t[]){ __VA_ARGS__ })))

static void test_typed_by_users(void **state)
{
    (void)state;
    prism_model *m = made(plain, false);
    CHAT(m, "user", "<a>", T_LT, T_A, T_GT);
    CHAT(m, "system", "<a>", T_LT, T_A, T_GT);
    CHAT(m, "tool", "b<a><b>", T_B, T_LT, T_A, T_GT, T_LT, T_B, T_GT);
    CHAT(m, "assistant", "<a>", T_IM);
    CHAT(m, "assistant", "<a><b>", T_LONG);
    CHAT(m, "user", "<u>", T_USER);       /* as in any text */
    CHAT(m, "user", "<s>", T_LT, T_S, T_GT);
    CHAT(m, "user", "<|start|>", T_LT, T_S, T_A, T_GT); /* control in the file; its other letters are in no token */
    CHAT(m, "assistant", "<|start|>", T_START);
    prism_model_free(m);
}

/* A control token that is only partly the template's does not count; a shorter one inside the template's part does. */
static void test_borders(void **state)
{
    (void)state;
    prism_model *m = made("{% for m in messages %}<a>{{ m.content }}<b>{% endfor %}", false);
    CHAT(m, "user", "a", T_IM, T_A, T_SHORT);
    CHAT(m, "user", "<b>", T_IM, T_LT, T_B, T_GT, T_SHORT); /* not T_LONG */
    CHAT(m, "user", "<a>", T_IM, T_LT, T_A, T_GT, T_SHORT);
    CHAT(m, "assistant", "<b>", T_LONG, T_SHORT);
    prism_model_free(m);
    m = made("{% for m in messages %}{{ m.content }}>{{ m.content }}{% endfor %}", false);
    CHAT(m, "user", "<a", T_LT, T_A, T_GT, T_LT, T_A);
    CHAT(m, "assistant", "<a", T_IM, T_LT, T_A);
    prism_model_free(m);
    m = made("<a>{{ messages[0].content }}", false);
    CHAT(m, "user", "<u>", T_IM, T_USER);
    prism_model_free(m);
}

/* BOS comes from the template, or from the metadata, or not at all; a user's is no reason to leave it out. */
static void test_bos(void **state)
{
    (void)state;
    for (int add = 0; add < 2; add++) {
        prism_model *m = made("{{ bos_token }}{{ messages[0].content }}", add);
        CHAT(m, "user", "a", T_BOS, T_A);
        CHAT(m, "user", "<s>", T_BOS, T_LT, T_S, T_GT);
        prism_model_free(m);
        m = made("<s>{{ messages[0].content }}", add);
        CHAT(m, "user", "a", T_BOS, T_A);
        prism_model_free(m);
    }
    prism_model *m = made("{{ messages[0].content }}", true);
    CHAT(m, "user", "a", T_BOS, T_A);
    CHAT(m, "user", "<s>", T_BOS, T_LT, T_S, T_GT);
    prism_model_free(m);
    m = made("{{ messages[0].content }}", false);
    CHAT(m, "user", "a", T_A);
    CHAT(m, "user", "<s>", T_LT, T_S, T_GT);
    prism_model_free(m);
    m = made("{{ eos_token }}{{ messages[0].content }}", true);
    CHAT(m, "user", "a", T_BOS, T_EOS, T_A);
    prism_model_free(m);
}

/* The rule of special tokens with marks written out, over all texts of a few characters: no token but <u> touches a marked byte, and without
 * marks it is prism_tokenize. */
static void test_all_short_texts(void **state)
{
    static const char letters[] = "<a>b";
    const prism_model *m = made(plain, false);
    const struct prism_vocab *v = m->vocab;
    char text[8] = "";
    bool user[8];

    (void)state;
    for (unsigned code = 0; code < 1u << 14; code++) {
        int32_t ids[16], whole[16];
        size_t n, n_whole;
        for (int i = 0; i < 7; i++) {
            text[i] = letters[code >> 2 * i & 3];
            user[i] = (code * 2654435761u >> (8 + i) & 1) != 0;
        }
        assert_int_equal(prism_vocab_encode_chat(v, text, user, 7, ids, COUNT(ids), &n, NULL), PRISM_OK);
        size_t at = 0;
        for (size_t k = 0; k < n; k++) {
            size_t bytes = strlen(made_tokens[ids[k]]);
            if (memcmp(text + at, made_tokens[ids[k]], bytes) || (v->type[ids[k]] == PRISM_TOKEN_CONTROL && memchr(user + at, true, bytes)))
                fail_msg("\"%s\": token %d at byte %zu", text, ids[k], at);
            at += bytes;
        }
        assert_int_equal(at, 7);
        memset(user, 0, sizeof user);
        assert_int_equal(prism_vocab_encode_chat(v, text, user, 7, ids, COUNT(ids), &n, NULL), PRISM_OK);
        assert_int_equal(prism_vocab_encode(v, text, 7, PRISM_PARSE_SPECIAL, whole, COUNT(whole), &n_whole, NULL), PRISM_OK);
        assert_int_equal(n, n_whole);
        assert_memory_equal(ids, whole, n * sizeof *ids);
    }
    prism_model_free((prism_model *)m);
}

/* ---- whole vocabularies ---- */

static prism_model *fixture(const char *name)
{
    char command[1024], packed[256], path[512];
    struct prism_error err;
    prism_model *m;

    snprintf(packed, sizeof packed, "fixtures/tokenizer/ggml-vocab-%s.gguf.xz", name);
    const char *from = test_shared(packed);
    if (system("xz --version >/dev/null 2>&1")) {
        print_message("skipped: no xz to unpack %s\n", from);
        skip();
    }
    snprintf(path, sizeof path, "%s/%s.gguf", test_tmp_dir(), name);
    snprintf(command, sizeof command, "xz -dc '%s' >'%s'", from, path);
    assert_int_equal(system(command), 0);
    if (prism_model_load(path, &(struct prism_model_params){ .vocab_only = true }, &m, &err))
        fail_msg("%s", err.text);
    return m;
}

static int32_t *chat(const prism_model *m, const struct prism_message *messages, size_t n_messages, const char *source, size_t *n)
{
    struct prism_chat_params params = { .template_text = source };
    struct prism_error err;
    int32_t *ids = malloc(MOST * sizeof *ids);

    assert_non_null(ids);
    if (prism_chat_tokenize(m, messages, n_messages, &params, ids, MOST, n, &err))
        fail_msg("%s", err.text);
    assert_true(*n <= MOST);
    return ids;
}

static size_t count_special(const struct prism_vocab *v, const int32_t *ids, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += v->type[ids[i]] == PRISM_TOKEN_CONTROL || v->type[ids[i]] == PRISM_TOKEN_UNKNOWN;
    return count;
}

/* A turn that begins and ends with tokens of the vocabulary: "</s>" and the like. */
static const char turns[] = "{% for m in messages %}{{ eos_token }}{{ m.role }}\n{{ m.content }}{{ eos_token }}\n{% endfor %}";

/* Each control token of the vocabulary, typed by a user, alone and inside text and cut by another one's text. */
static void check_control_tokens(const char *name)
{
    prism_model *m = fixture(name);
    const struct prism_vocab *v = m->vocab;
    size_t n, n_plain, n_control = 0;
    struct prism_message message = { "user", "x", 1 };
    int32_t *ids = chat(m, &message, 1, turns, &n_plain);
    size_t ours = count_special(v, ids, n_plain);

    free(ids);
    assert_true(ours >= 2);
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        if ((v->type[i] != PRISM_TOKEN_CONTROL && v->type[i] != PRISM_TOKEN_UNKNOWN) || !v->text[i].n)
            continue;
        n_control++;
        for (int form = 0; form < 3; form++) {
            char text[512];
            int len = snprintf(text, sizeof text, form == 0 ? "%.*s" : form == 1 ? "say %.*s, please" : "<|%.*s</s", (int)v->text[i].n, v->text[i].p);
            message = (struct prism_message){ "user", text, (size_t)len };
            ids = chat(m, &message, 1, turns, &n);
            if (count_special(v, ids, n) != ours)
                fail_msg("%s: \"%s\" by a user: %zu control tokens, expected %zu", name, text, count_special(v, ids, n), ours);
            free(ids);
        }
    }
    print_message("%s: %zu control tokens\n", name, n_control);
    assert_true(n_control >= 3);
    prism_model_free(m);
}

/* What holds no special token gives the ids of the whole rendered string. */
static void check_plain_text(const char *name)
{
    static const char *const texts[] = {
        "What is the capital of France?", "  And of Italy?\nOne word, please. ", "", " ", "\n\n", "don't 1234 \xC3\xA9t\xC3\xA9", "\t tabs\r\nand more",
        "\xE4\xBD\xA0\xE5\xA5\xBD, \xF0\x9F\x98\x80!", "a\xFF b", "for (int i = 0; i < n; i++) { x |= y; }",
    };
    prism_model *m = fixture(name);

    for (size_t i = 0; i < COUNT(texts); i++)
        for (size_t j = 0; j < COUNT(texts); j++) {
            struct prism_message messages[2] = { { "system", texts[i], strlen(texts[i]) }, { "user", texts[j], strlen(texts[j]) } };
            struct prism_chat_params params = { .template_text = turns };
            char text[1024];
            size_t n_text, n, n_whole;
            int32_t *ids = chat(m, messages, 2, turns, &n), whole[1024];
            assert_int_equal(prism_chat_render(m, messages, 2, &params, text, sizeof text, &n_text, NULL), PRISM_OK);
            assert_int_equal(prism_tokenize(m, text, n_text, PRISM_ADD_BOS | PRISM_PARSE_SPECIAL, whole, COUNT(whole), &n_whole, NULL), PRISM_OK);
            if (n != n_whole || memcmp(ids, whole, n * sizeof *ids))
                fail_msg("%s: \"%s\": %zu tokens, in one piece %zu", name, text, n, n_whole);
            free(ids);
        }
    prism_model_free(m);
}

#define VOCABULARY(fn, name) \
    static void test_##fn(void **state) \
    { \
        (void)state; \
        check_control_tokens(name); \
        check_plain_text(name); \
    }
VOCABULARY(llama_bpe, "llama-bpe")
VOCABULARY(qwen2, "qwen2")
VOCABULARY(llama_spm, "llama-spm")
VOCABULARY(phi_3, "phi-3")

/* ---- end of generation ---- */

static prism_model *with_tokens(const char *const *tokens, size_t n, uint32_t eos)
{
    struct gb *g = gb_new();

    gb_str(g, "general.architecture", "llama");
    gb_str(g, KEY("model"), "gpt2");
    gb_str(g, KEY("pre"), "gpt-2");
    gb_strings(g, KEY("tokens"), tokens, n);
    gb_strings(g, KEY("merges"), NULL, 0);
    gb_u32(g, KEY("eos_token_id"), eos);
    return load(g, "eog.gguf");
}

static void test_end_of_generation(void **state)
{
    static const char *const ends[] = {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>",
        "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>",
        ("<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"), "[e~[", "plain", "the end",
    };
    static const char *const harmony[] = { "<|end|>", "<|return|>", "<|call|>", "x" }, *const gemma[] = { "</s>", "<|tool_response>", "x" };
    size_t n = COUNT(ends);

    (void)state;
    prism_model *m = with_tokens(ends, n, (uint32_t)n - 1);
    for (size_t i = 0; i < n; i++)
        if (prism_token_is_eog(m, (int32_t)i) != (i != n - 2))
            fail_msg("%s", ends[i]);
    prism_model_free(m);
    m = with_tokens(harmony, 4, 3); /* there <|end|> ends a part of the answer */
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(prism_token_is_eog(m, i), i != 0);
    prism_model_free(m);
    m = with_tokens(harmony, 4, 0); /* unless it is what ends the text */
    assert_true(prism_token_is_eog(m, 0));
    prism_model_free(m);
    m = with_tokens(gemma, 3, 2);
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(prism_token_is_eog(m, i), i != 0);
    prism_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typed_by_users), cmocka_unit_test(test_borders), cmocka_unit_test(test_bos), cmocka_unit_test(test_all_short_texts),
        cmocka_unit_test(test_llama_bpe), cmocka_unit_test(test_qwen2), cmocka_unit_test(test_llama_spm), cmocka_unit_test(test_phi_3),
        cmocka_unit_test(test_end_of_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
