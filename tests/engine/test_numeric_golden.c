/* test_numeric_golden.c - values that are not finite in the parts that gemma4 alone has (keys that are values, keys of other layers, embeddings of
 * single layers, scales, experts with norms of their own), phimoe (biases of norms) and llama4 (weights on what experts read): files of
 * tests/golden/arch. PRISM_E_NUMERIC and where, at every level; never a finite logit that is wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/support/numeric_case.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct gb *poked(const char *file, const char *tensor, size_t index, float value)
{
    char path[128];
    snprintf(path, sizeof path, "tests/golden/arch/%s.gguf", file);
    struct gb *g = gb_read(path);
    numeric_poke(g, tensor, index, value);
    return g;
}

struct numeric_row {
    const char *file, *tensor;
    size_t index;
    const char *text;
};

static void check(const struct numeric_row *rows, size_t n, const float *values, size_t n_values)
{
    for (size_t i = 0; i < n; i++)
        for (size_t v = 0; v < n_values; v++)
            numeric_check_failure(poked(rows[i].file, rows[i].tensor, rows[i].index, values[v]), PRISM_KV_F32, rows[i].text);
}

/* Files are 48 wide; heads of 16 and 24; embeddings of layers of 8. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const struct numeric_row rows[] = {
        { "gemma4", "blk.1.attn_k.weight", 48 * 3 + 5, "layer 1: keys of head 0 at position 0 are not finite" }, /* and its values, which are its keys */
        { "gemma4", "blk.0.attn_k.weight", 48 * 17 + 5, "layer 0: keys of head 1 at position 0 are not finite" },
        { "gemma4", "blk.0.attn_v.weight", 48 * 17 + 5, "layer 0: values of head 1 at position 0 are not finite" },
        { "gemma4", "blk.4.attn_q.weight", 48 * 17 + 5, "layer 4: queries of head 1 at position 0 are not finite" },
        { "gemma4", "blk.5.attn_q_norm.weight", 23, "layer 5: attention's output at position" },
        { "gemma4", "per_layer_model_proj.weight", 48 * (8 * 2 + 3) + 7, "layer 2: its embedding of the token at position 0 is not finite" },
        { "gemma4", "per_layer_proj_norm.weight", 5, "layer 0: its embedding of the token at position 0 is not finite" },
        { "gemma4", "blk.0.inp_gate.weight", 48 * 3 + 7, "layer 0: its embedding of the token at position 0 is not finite" },
        { "gemma4", "blk.3.proj.weight", 8 * 40 + 7, "layer 3: its embedding of the token at position 0 is not finite" },
        { "gemma4", "blk.0.post_norm.weight", 7, "layer 0: the output at position 0 is not finite" },
        { "gemma4", "blk.2.layer_output_scale.weight", 0, "layer 2: the output at position 0 is not finite" },
        { "gemma4", "blk.5.layer_output_scale.weight", 0, "layer 5: the output at position" },
        { "gemma4-moe", "blk.0.ffn_gate_inp.scale", 40, "layer 0: the router's output at position 0 is not finite" },
        { "gemma4-moe", "blk.0.ffn_gate_inp.weight", 48 * 2 + 40, "layer 0: the router's output at position 0 is not finite" },
        { "gemma4-moe", "blk.0.pre_ffw_norm_2.weight", 7, "layer 0: the FFN's output at position 0 is not finite" },
        { "gemma4-moe", "blk.1.post_ffw_norm_1.weight", 7, "layer 1: the FFN's output at position 0 is not finite" },
        { "gemma4-moe", "blk.0.post_ffw_norm_2.weight", 47, "layer 0: the FFN's output at position 0 is not finite" },
        { "gemma4-moe", "blk.0.ffn_down.weight", 30, "layer 0: the FFN's output at position 0 is not finite" },
        { "gemma4-moe", "blk.0.post_ffw_norm.weight", 0, "layer 0: the output at position 0 is not finite" },
        { "phimoe", "blk.0.attn_norm.bias", 47, "layer 0: queries of head 0 at position 0 are not finite" },
        { "phimoe", "blk.1.ffn_norm.bias", 7, "layer 1: the router's output at position" },
        { "phimoe", "output_norm.bias", 7, "logits at position" },
        { "phimoe", "output.bias", 300, "logits at position" },
        { "llama4", "blk.0.attn_q.weight", 48 * 16, "layer 0: queries of head 1 at position 0 are not finite" }, /* rotated, then normalised */
        { "llama4", "blk.3.attn_q.weight", 48 * 16, "layer 3: queries of head 1 at position 0 are not finite" }, /* neither */
        { "llama4", "blk.1.ffn_gate_inp.weight", 48 * 3 + 5, "layer 1: the router's output at position 0 is not finite" },
        { "llama4", "blk.3.ffn_down_shexp.weight", 3, "layer 3: the output at position 0 is not finite" },
    };
    check(rows, COUNT(rows), bad, COUNT(bad));
}

/* In the same place of every expert, as a token takes two of six. */
static void test_experts(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const struct {
        const char *file, *tensor;
        size_t index, slab;
        const char *text;
    } rows[] = {
        { "gemma4-moe", "blk.0.ffn_down_exps.scale", 0, 1, "layer 0: the FFN's output at position 0 is not finite" },
        { "gemma4-moe", "blk.0.ffn_gate_up_exps.weight", 48 * 20, 48 * 32, "layer 0: the FFN's output at position 0 is not finite" },
        { "gemma4-moe", "blk.0.ffn_down_exps.weight", 3, 16 * 48, "layer 0: the FFN's output at position 0 is not finite" },
        { "llama4", "blk.1.ffn_gate_exps.weight", 48 * 15, 48 * 16, "layer 1: the output at position 0 is not finite" },
        { "llama4", "blk.1.ffn_down_exps.weight", 3, 16 * 48, "layer 1: the output at position 0 is not finite" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t v = 0; v < COUNT(bad); v++) {
            struct gb *g = poked(rows[i].file, rows[i].tensor, rows[i].index, bad[v]);
            for (size_t e = 1; e < 6; e++)
                numeric_poke(g, rows[i].tensor, e * rows[i].slab + rows[i].index, bad[v]);
            numeric_check_failure(g, PRISM_KV_F32, rows[i].text);
        }
}

/* Finite, but its square is not: a norm would make zeros of the others. */
static void test_squares(void **state)
{
    (void)state;
    static const float large[] = { 3e24f };
    static const struct numeric_row rows[] = {
        { "gemma4", "blk.1.attn_k.weight", 48 * 3 + 5, "layer 1: keys of head 0 at position" },
        { "gemma4", "per_layer_model_proj.weight", 48 * (8 * 2 + 3) + 7, "layer 2: its embedding of the token at position" },
        { "gemma4", "blk.3.proj.weight", 8 * 40 + 7, "layer 3: its embedding of the token at position" },
        { "gemma4-moe", "blk.0.ffn_down.weight", 30, "layer 0: the FFN's output at position" },
    };
    check(rows, COUNT(rows), large, COUNT(large));
}

/* A row of the table that is not finite fails the tokens that have it, and no others. */
static void test_table(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const struct numeric_row rows[] = {
        { "gemma4", "per_layer_token_embd.weight", 0, "layer 0: its embedding of the token at position 0 is not finite" },
        { "gemma4", "per_layer_token_embd.weight", 8 * 4 + 1, "layer 4: its embedding of the token at position 0 is not finite" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t v = 0; v < COUNT(bad); v++) {
            struct gb *g = gb_read("tests/golden/arch/gemma4.gguf");
            for (size_t token = 0; token < 320; token++)
                numeric_poke(g, rows[i].tensor, token * 48 + rows[i].index, bad[v]);
            numeric_check_failure(g, PRISM_KV_F32, rows[i].text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_experts), cmocka_unit_test(test_squares), cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests_name("numeric, golden files", tests, NULL, NULL);
}
