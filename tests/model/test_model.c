/* test_model.c - loading: facts of the models in models/, binding (fused and separate, tied and not, widened norms), architectures,
 * names of type mixes, vocabulary-only files. Damaged models are in test_hostile_model.c, frequencies in test_rope.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/kernels.h"
#include "src/model/model.h"
#include "tests/support/data.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static prism_model *load_good(const char *path)
{
    struct loaded l;
    hostile_load(&l, path, false, false);
    if (l.status)
        fail_msg("%s", l.err.text);
    assert_string_equal(l.log, "");
    return l.model;
}

static prism_model *load_gb(struct gb *g)
{
    static unsigned count;
    char name[32];
    snprintf(name, sizeof name, "model-%u.gguf", count++); /* an earlier one may still be mapped */
    prism_model *m = load_good(gb_write(g, name));
    gb_free(g);
    return m;
}

static void test_gutenberg_38m(void **state)
{
    (void)state;
    prism_model *m = load_good("models/gutenberg-38m-q8_0.gguf");
    struct prism_model_info i;
    prism_model_info(m, &i);
    assert_string_equal(i.path, "models/gutenberg-38m-q8_0.gguf");
    assert_string_equal(i.architecture, "qwen3");
    assert_string_equal(i.name, "Gutenberg 38M");
    assert_string_equal(i.type, "Q8_0");
    assert_int_equal(i.n_layer, 8);
    assert_int_equal(i.n_embd, 512);
    assert_int_equal(i.n_head, 8);
    assert_int_equal(i.n_head_kv, 2);
    assert_int_equal(i.head_dim, 128);
    assert_int_equal(i.n_rot, 128);
    assert_int_equal(i.n_ff, 1536);
    assert_int_equal(i.n_vocab, 16384);
    assert_int_equal(i.n_ctx_train, 32768);
    assert_true(i.rope_freq_base == 1e6f && i.rms_eps == 1e-6f);
    assert_string_equal(i.rope_order, "half-split");
    assert_string_equal(i.rope_scaling, "none");
    assert_string_equal(i.tokenizer, "gpt2");
    assert_string_equal(i.pre_tokenizer, "qwen2");
    assert_true(i.tied_embeddings);
    assert_false(i.add_bos || i.add_eos);
    assert_int_equal(i.bos, 0);
    assert_int_equal(i.eos, 0);
    assert_int_equal(i.n_files, 1);
    assert_int_equal(i.n_tensors, 90);
    /* 16384 x 512 embedding, 8 layers of q, o 1024 x 512, k, v 256 x 512, 3 x 1536 x 512, norms 2 x 512 + 2 x 128, one norm */
    assert_int_equal(i.n_params, 16384 * 512 + 8 * (2 * 1024 * 512 + 2 * 256 * 512 + 3 * 1536 * 512 + 2 * 512 + 2 * 128) + 512);
    assert_int_equal(i.file_bytes, 40724416);
    assert_true(i.tensor_bytes > 40000000 && i.tensor_bytes < i.file_bytes);
    assert_true(m->layers[7].attn.q_norm.kind && m->layers[7].attn.k_norm.kind && !m->layers[7].attn.q_bias);
    prism_model_free(m);
}

static void test_gutenberg_llama(void **state)
{
    (void)state;
    prism_model *m = load_good("models/gutenberg-llama-16m-q8_0.gguf");
    struct prism_model_info i;
    prism_model_info(m, &i);
    assert_string_equal(i.architecture, "llama");
    assert_string_equal(i.type, "Q8_0");
    assert_int_equal(i.n_layer, 8);
    assert_int_equal(i.n_embd, 384);
    assert_int_equal(i.n_head, 6);
    assert_int_equal(i.n_head_kv, 2);
    assert_int_equal(i.head_dim, 64);
    assert_int_equal(i.n_rot, 64);
    assert_int_equal(i.n_ff, 1024);
    assert_int_equal(i.n_vocab, 8192);
    assert_int_equal(i.n_ctx_train, 4096);
    assert_true(i.rope_freq_base == 5e5f);
    assert_string_equal(i.rope_order, "interleaved");
    assert_string_equal(i.tokenizer, "llama");
    assert_true(i.tied_embeddings && i.add_bos && !i.add_eos);
    assert_int_equal(i.bos, 1);
    assert_int_equal(i.eos, 2);
    assert_int_equal(m->layers[0].attn.q_norm.kind, PRISM_NORM_NONE);
    assert_true(m->layers[0].attn.scale == 0.125f);
    assert_true(m->ropes[0].mag == 1);
    prism_model_free(m);
}

/* The parts of a fused matrix (and bias) have the bytes of the separate ones. */
static void check_fused(const char *arch, bool biases, enum prism_type type)
{
    struct tiny_model t = tiny_llama();
    t.arch = arch;
    t.biases = biases;
    t.type = type;
    prism_model *a = load_gb(tiny_build(&t));
    t.fused_qkv = true;
    struct gb *whole = tiny_build(&t); /* its layer 1 gets the weights of a's */
    const struct prism_layer *l = &a->layers[1];
    struct gb_tensor *qkv = gb_tensor(whole, "blk.1.attn_qkv.weight");
    size_t q = l->attn.q.rows * l->attn.q.row_bytes, k = l->attn.k.rows * l->attn.k.row_bytes, v = l->attn.v.rows * l->attn.v.row_bytes;
    assert_int_equal(qkv->n_bytes, q + k + v);
    memcpy(qkv->data, l->attn.q.data, q);
    memcpy(qkv->data + q, l->attn.k.data, k);
    memcpy(qkv->data + q + k, l->attn.v.data, v);
    bool has_bias = l->attn.q_bias != NULL;
    assert_int_equal(has_bias, biases || strcmp(arch, "qwen2") == 0);
    if (has_bias) {
        float *b = (float *)gb_tensor(whole, "blk.1.attn_qkv.bias")->data;
        memcpy(b, l->attn.q_bias, l->attn.q.rows * sizeof *b);
        memcpy(b + l->attn.q.rows, l->attn.k_bias, l->attn.k.rows * sizeof *b);
        memcpy(b + l->attn.q.rows + l->attn.k.rows, l->attn.v_bias, l->attn.v.rows * sizeof *b);
    }
    prism_model *m = load_gb(whole);
    const struct prism_layer *f = &m->layers[1];
    assert_true(f->attn.q.rows == l->attn.q.rows && f->attn.k.rows == l->attn.k.rows && f->attn.v.rows == l->attn.v.rows && f->attn.k.k == l->attn.k.k && f->attn.k.row_bytes == l->attn.k.row_bytes);
    assert_true(f->attn.v.type == type);
    assert_memory_equal(f->attn.q.data, l->attn.q.data, q);
    assert_memory_equal(f->attn.k.data, l->attn.k.data, k);
    assert_memory_equal(f->attn.v.data, l->attn.v.data, v);
    if (has_bias) {
        assert_memory_equal(f->attn.q_bias, l->attn.q_bias, l->attn.q.rows * sizeof(float));
        assert_memory_equal(f->attn.k_bias, l->attn.k_bias, l->attn.k.rows * sizeof(float));
        assert_memory_equal(f->attn.v_bias, l->attn.v_bias, l->attn.v.rows * sizeof(float));
    }
    prism_model_free(a);
    prism_model_free(m);
}

static void test_fused_qkv(void **state)
{
    (void)state;
    check_fused("llama", false, PRISM_Q8_0);
    check_fused("llama", true, PRISM_F32);
    check_fused("qwen2", false, PRISM_F16);
    check_fused("qwen3", false, PRISM_MXFP4); /* rows of odd bytes */
}

static void test_tied_and_untied(void **state)
{
    (void)state;
    struct prism_model_info info;
    struct tiny_model t = tiny_llama();
    prism_model *m = load_gb(tiny_build(&t));
    assert_ptr_equal(m->output.data, m->tok_embd.data);
    assert_int_equal(m->output.rows, tiny_n_vocab("gpt2"));
    assert_null(m->output_bias);
    prism_model_free(m);

    t.untied = t.biases = true;
    t.output_type = PRISM_F16;
    m = load_gb(tiny_build(&t));
    prism_model_info(m, &info);
    assert_false(info.tied_embeddings);
    assert_ptr_not_equal(m->output.data, m->tok_embd.data);
    assert_int_equal(m->output.type, PRISM_F16);
    assert_non_null(m->output_bias);
    const struct prism_layer *l = &m->layers[1];
    assert_true(l->attn.q_bias && l->attn.k_bias && l->attn.v_bias && l->attn.o_bias && l->ffn.dense.gate_bias && l->ffn.dense.up_bias && l->ffn.dense.down_bias);
    prism_model_free(m);
}

/* Every type loads, is named as other tools name it, and passes the scan; so the random files of the tests are sound. */
static void test_types(void **state)
{
    (void)state;
    static const char *const names[PRISM_N_TYPES] = {
        "all F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K - Medium", "Q3_K - Medium", "Q4_K - Medium",
        "Q5_K - Medium", "Q6_K", "IQ4_NL - 4.5 bpw", "IQ4_XS - 4.25 bpw", "MXFP4 MoE", "IQ2_XXS - 2.0625 bpw",
        "IQ2_XS - 2.3125 bpw", "IQ2_S - 2.5 bpw", "IQ3_XXS - 3.0625 bpw", "IQ3_S - 3.4375 bpw", "IQ1_S - 1.5625 bpw", "IQ1_M - 1.75 bpw",
        "NVFP4", "TQ1_0 - 1.69 bpw ternary", "TQ2_0 - 2.06 bpw ternary", "Q1_0", "Q2_0",
    };
    for (int type = 0; type < PRISM_N_TYPES; type++) {
        struct tiny_model t = tiny_qwen3();
        struct loaded l;
        struct prism_model_info info;
        t.type = t.output_type = (enum prism_type)type;
        t.n_embd = t.n_ff = 256;
        t.n_head = 4;
        hostile_load(&l, tiny_write(&t, "type.gguf"), true, false);
        assert_string_equal(l.err.text, "");
        prism_model_info(l.model, &info);
        assert_string_equal(info.type, names[type]);
        assert_int_equal(l.model->layers[0].ffn.dense.down.type, type);

        /* standard deviation within a factor of 1.25 of what tiny_model.h promises */
        float row[256];
        double sum = 0;
        const struct prism_matrix *w = &l.model->layers[0].ffn.dense.gate;
        for (size_t r = 0; r < w->rows; r++) {
            prism_kernels_by_level[PRISM_LEVEL_GENERIC]->to_f32[type](row, w->data + r * w->row_bytes, 256);
            for (int i = 0; i < 256; i++)
                sum += (double)row[i] * row[i] * (w->scale ? (double)w->scale[0] * w->scale[0] : 1);
        }
        double variance = sum / (double)(w->rows * 256) * 256;
        assert_true(variance > 1 / 1.5625 && variance < 1.5625);
        prism_model_free(l.model);
    }
}

/* Norms in half precision are widened; general.alignment 2 puts an f32 norm on an odd multiple of two. */
static void test_widened_norms(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    uint16_t half[64], brain[64];
    for (int i = 0; i < 64; i++) {
        half[i] = (uint16_t)(0x3C00 + i);  /* 1 + i / 1024 */
        brain[i] = (uint16_t)(0x3F80 + i); /* 1 + i / 128 */
    }
    struct gb_tensor *n = gb_tensor(g, "blk.0.attn_norm.weight");
    n->type = prism_types[PRISM_F16].id;
    n->n_bytes = sizeof half;
    memcpy(n->data, half, sizeof half);
    n = gb_tensor(g, "blk.0.ffn_norm.weight");
    n->type = prism_types[PRISM_BF16].id;
    n->n_bytes = sizeof brain;
    memcpy(n->data, brain, sizeof brain);
    prism_model *m = load_gb(g);
    for (int i = 0; i < 64; i++) {
        assert_true(m->layers[0].attn_norm.weight[i] == 1 + (float)i / 1024);
        assert_true(m->layers[0].ffn_norm.weight[i] == 1 + (float)i / 128);
    }
    prism_model_free(m);

    g = tiny_build(&t);
    gb_u32(g, "general.alignment", 2);
    g->alignment = 2;
    float expected[64];
    memcpy(expected, gb_tensor(g, "blk.1.attn_norm.weight")->data, sizeof expected);
    m = load_gb(g);
    assert_int_equal((uintptr_t)m->layers[1].attn_norm.weight % sizeof(float), 0);
    assert_memory_equal(m->layers[1].attn_norm.weight, expected, sizeof expected);
    prism_model_free(m);
}

static void test_alignment_of_matrices(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct loaded l;
    struct gb *g = tiny_build(&t);
    gb_u32(g, "general.alignment", 1);
    g->alignment = 1;
    struct gb_image im = gb_assemble(g);
    gb_str(g, "general.name", im.data_start % 2 ? "tiny" : "tiny!"); /* the data starts at an odd byte */
    gb_image_free(&im);
    hostile_load(&l, gb_write(g, "unaligned.gguf"), false, false);
    assert_true(hostile_judge(&l, 'R', "tensor token_embd.weight: data: expected to start at a multiple of 2 bytes", "unaligned.gguf"));
    gb_free(g);
}

static void test_type_names(void **state)
{
    (void)state;
    static const struct { uint32_t id; const char *name; } rows[] = {
        { 15, "Q4_K - Medium" }, { 14, "Q4_K - Small" }, { 7 + 1024, "(guessed) Q8_0" }, { 30, "IQ4_XS - 4.25 bpw" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tiny_model t = tiny_llama();
        struct prism_model_info info;
        struct gb *g = tiny_build(&t);
        gb_u32(g, "general.file_type", rows[i].id);
        prism_model *m = load_gb(g);
        prism_model_info(m, &info);
        assert_string_equal(info.type, rows[i].name);
        prism_model_free(m);
    }
}

static void test_key_variants(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    gb_u64(g, "llama.context_length", 777); /* any integer type whose value fits */
    gb_i32(g, "llama.block_count", 2);
    gb_array(g, "llama.attention.head_count", PRISM_GV_U32, 2, (uint32_t[]){ 2, 2 }, 8);
    gb_array(g, "llama.feed_forward_length", PRISM_GV_I32, 2, (int32_t[]){ 128, 128 }, 8);
    gb_remove(g, "llama.attention.key_length"); /* n_embd / n_head */
    gb_remove(g, "llama.attention.value_length");
    gb_remove(g, "llama.rope.freq_base");
    gb_f32(g, "llama.attention.scale", 0.5f);
    prism_model *m = load_gb(g);
    assert_int_equal(m->hp.n_ctx_train, 777);
    assert_int_equal(m->hp.n_head, 2);
    assert_int_equal(m->hp.n_ff, 128);
    assert_int_equal(m->hp.head_dim, 32);
    assert_true(m->hp.rope_base == 10000);
    assert_true(m->layers[0].attn.scale == 0.5f);
    prism_model_free(m);

    g = tiny_build(&t);
    gb_remove(g, "llama.attention.head_count_kv"); /* head_count: then k and v are too small */
    struct loaded l;
    hostile_load(&l, gb_write(g, "mha.gguf"), false, false);
    assert_true(hostile_judge(&l, 'R', "tensor blk.0.attn_k.weight: shape: expected [64, 64], found [64, 32]", "mha.gguf"));
    gb_free(g);
}

static void test_causal(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct loaded l;
    struct gb *g = tiny_build(&t);
    gb_bool(g, "llama.attention.causal", 0);
    hostile_load(&l, gb_write(g, "causal.gguf"), false, false);
    assert_true(hostile_judge(&l, 'R', "key llama.attention.causal: ", "causal.gguf"));
    assert_int_equal(l.status, PRISM_E_UNSUPPORTED);
    gb_free(g);
}

/* A vocabulary is read from a file without tensors, of any architecture; as a model the same file is refused. */
static void test_vocab_only(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct loaded l;
    struct prism_model_info info;
    struct gb *g = tiny_build(&t);
    while (g->n_tensors)
        gb_remove_tensor(g, g->tensors[0].name);
    gb_str(g, "general.architecture", "starcoder");
    const char *path = gb_write(g, "vocab.gguf");
    gb_free(g);
    hostile_load(&l, path, false, true);
    assert_int_equal(l.status, PRISM_OK);
    prism_model_info(l.model, &info);
    assert_string_equal(info.architecture, "starcoder");
    assert_int_equal(info.n_vocab, tiny_n_vocab("gpt2"));
    assert_int_equal(info.n_layer, 0);
    assert_false(info.tied_embeddings);
    prism_model_free(l.model);
    hostile_load(&l, path, false, false);
    assert_true(hostile_judge(&l, 'R', "unsupported architecture \"starcoder\"", "vocab.gguf"));
    assert_int_equal(l.status, PRISM_E_UNSUPPORTED);
}

static void test_null_arguments(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    const char *path = tiny_write(&t, "null.gguf");
    prism_model *m = NULL;
    assert_int_equal(prism_model_load(path, NULL, &m, NULL), PRISM_OK);
    prism_model_free(m);
    prism_model_free(NULL);
    assert_int_equal(prism_model_load("no/such/file", NULL, &m, NULL), PRISM_E_IO);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gutenberg_38m),  cmocka_unit_test(test_gutenberg_llama),       cmocka_unit_test(test_fused_qkv),
        cmocka_unit_test(test_tied_and_untied), cmocka_unit_test(test_types),                cmocka_unit_test(test_widened_norms),
        cmocka_unit_test(test_alignment_of_matrices), cmocka_unit_test(test_type_names),     cmocka_unit_test(test_key_variants),
        cmocka_unit_test(test_causal), cmocka_unit_test(test_vocab_only), cmocka_unit_test(test_null_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
