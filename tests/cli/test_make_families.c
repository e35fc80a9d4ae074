/* test_make_families.c - make-model --shape of the architectures beyond llama and qwen3: every key and every tensor of a file, against lists
 * written down from the published configurations and from the tensors that llama.cpp's loaders ask for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/kernels.h"
#include "tests/support/data.h"
#include "tests/support/made_model.h"
#include "tests/support/tiny_model.h"

struct tensor_row {
    const char *name, *type;
    uint64_t ne[3]; /* 0 beyond the last dimension */
};

struct key_row {
    const char *suffix;
    uint32_t value;
};

struct family {
    const char *shape, *arch, *type;
    uint64_t parameters; /* of the whole model, as its card counts them */
    uint32_t n_layer, n_vocab;
    uint32_t n_made, n_alike; /* layers of the file, 0: one; tensors of theirs that are those of others */
    struct key_row keys[20]; /* end with NULL */
    struct tensor_row tensors[28];
};

#define VOCAB 289 /* tokens of the small vocabulary, in place of the model's */

static const struct family qwen3moe = {
    .shape = "qwen3-30b-a3b", .arch = "qwen3moe", .type = "Q4_K_M", .parameters = 30532122624, .n_layer = 48, .n_vocab = 151936,
    .keys = { { "block_count", 1 }, { "context_length", 40960 }, { "embedding_length", 2048 }, { "feed_forward_length", 6144 },
              { "attention.head_count", 32 }, { "attention.head_count_kv", 4 }, { "attention.key_length", 128 },
              { "attention.value_length", 128 }, { "rope.dimension_count", 128 }, { "vocab_size", VOCAB }, { "expert_count", 128 },
              { "expert_used_count", 8 }, { "expert_feed_forward_length", 768 } },
    .tensors = { { "token_embd.weight", "Q4_K", { 2048, VOCAB } }, { "output.weight", "Q6_K", { 2048, VOCAB } },
                 { "output_norm.weight", "F32", { 2048 } }, { "blk.0.attn_norm.weight", "F32", { 2048 } },
                 { "blk.0.attn_q.weight", "Q4_K", { 2048, 4096 } }, { "blk.0.attn_k.weight", "Q4_K", { 2048, 512 } },
                 { "blk.0.attn_v.weight", "Q6_K", { 2048, 512 } }, { "blk.0.attn_output.weight", "Q4_K", { 4096, 2048 } },
                 { "blk.0.attn_q_norm.weight", "F32", { 128 } }, { "blk.0.attn_k_norm.weight", "F32", { 128 } },
                 { "blk.0.ffn_norm.weight", "F32", { 2048 } }, { "blk.0.ffn_gate_inp.weight", "F32", { 2048, 128 } },
                 { "blk.0.ffn_gate_exps.weight", "Q4_K", { 2048, 768, 128 } }, { "blk.0.ffn_up_exps.weight", "Q4_K", { 2048, 768, 128 } },
                 { "blk.0.ffn_down_exps.weight", "Q6_K", { 768, 2048, 128 } } },
};

static const struct family gpt_oss = {
    .shape = "gpt-oss-20b", .arch = "gpt-oss", .type = "Q8_0", .parameters = 20914757184, .n_layer = 24, .n_vocab = 201088,
    .keys = { { "block_count", 1 }, { "context_length", 131072 }, { "embedding_length", 2880 }, { "feed_forward_length", 2880 },
              { "attention.head_count", 64 }, { "attention.head_count_kv", 8 }, { "attention.key_length", 64 },
              { "attention.value_length", 64 }, { "rope.dimension_count", 64 }, { "vocab_size", VOCAB }, { "expert_count", 32 },
              { "expert_used_count", 4 }, { "expert_feed_forward_length", 2880 }, { "attention.sliding_window", 128 },
              { "rope.scaling.original_context_length", 4096 } },
    .tensors = { { "token_embd.weight", "Q8_0", { 2880, VOCAB } }, { "output.weight", "Q8_0", { 2880, VOCAB } },
                 { "output_norm.weight", "F32", { 2880 } }, { "blk.0.attn_norm.weight", "F32", { 2880 } },
                 { "blk.0.attn_q.weight", "Q8_0", { 2880, 4096 } }, { "blk.0.attn_q.bias", "F32", { 4096 } },
                 { "blk.0.attn_k.weight", "Q8_0", { 2880, 512 } }, { "blk.0.attn_k.bias", "F32", { 512 } },
                 { "blk.0.attn_v.weight", "Q8_0", { 2880, 512 } }, { "blk.0.attn_v.bias", "F32", { 512 } },
                 { "blk.0.attn_output.weight", "Q8_0", { 4096, 2880 } }, { "blk.0.attn_output.bias", "F32", { 2880 } },
                 { "blk.0.attn_sinks.weight", "F32", { 64 } }, { "blk.0.post_attention_norm.weight", "F32", { 2880 } },
                 { "blk.0.ffn_gate_inp.weight", "F32", { 2880, 32 } }, { "blk.0.ffn_gate_inp.bias", "F32", { 32 } },
                 { "blk.0.ffn_gate_exps.weight", "MXFP4", { 2880, 2880, 32 } }, { "blk.0.ffn_gate_exps.bias", "F32", { 2880, 32 } },
                 { "blk.0.ffn_up_exps.weight", "MXFP4", { 2880, 2880, 32 } }, { "blk.0.ffn_up_exps.bias", "F32", { 2880, 32 } },
                 { "blk.0.ffn_down_exps.weight", "MXFP4", { 2880, 2880, 32 } }, { "blk.0.ffn_down_exps.bias", "F32", { 2880, 32 } } },
};

static const struct family gemma3_1b = {
    .shape = "gemma-3-1b", .arch = "gemma3", .type = "Q4_K_M", .parameters = 999885952, .n_layer = 26, .n_vocab = 262144,
    .keys = { { "block_count", 1 }, { "context_length", 32768 }, { "embedding_length", 1152 }, { "feed_forward_length", 6912 },
              { "attention.head_count", 4 }, { "attention.head_count_kv", 1 }, { "attention.key_length", 256 },
              { "attention.value_length", 256 }, { "rope.dimension_count", 256 }, { "vocab_size", VOCAB },
              { "attention.sliding_window", 512 } },
    .tensors = { { "token_embd.weight", "Q8_0", { 1152, VOCAB } }, { "output_norm.weight", "F32", { 1152 } },
                 { "blk.0.attn_norm.weight", "F32", { 1152 } }, { "blk.0.attn_q.weight", "Q5_0", { 1152, 1024 } },
                 { "blk.0.attn_k.weight", "Q5_0", { 1152, 256 } }, { "blk.0.attn_v.weight", "Q8_0", { 1152, 256 } },
                 { "blk.0.attn_output.weight", "Q4_K", { 1024, 1152 } }, { "blk.0.attn_q_norm.weight", "F32", { 256 } },
                 { "blk.0.attn_k_norm.weight", "F32", { 256 } }, { "blk.0.post_attention_norm.weight", "F32", { 1152 } },
                 { "blk.0.ffn_norm.weight", "F32", { 1152 } }, { "blk.0.ffn_gate.weight", "Q5_0", { 1152, 6912 } },
                 { "blk.0.ffn_up.weight", "Q5_0", { 1152, 6912 } }, { "blk.0.ffn_down.weight", "Q6_K", { 6912, 1152 } },
                 { "blk.0.post_ffw_norm.weight", "F32", { 1152 } } },
};

static const struct family gemma3_4b = {
    .shape = "gemma-3-4b", .arch = "gemma3", .type = "BF16", .parameters = 3880263168, .n_layer = 34, .n_vocab = 262208,
    .keys = { { "block_count", 1 }, { "context_length", 131072 }, { "embedding_length", 2560 }, { "feed_forward_length", 10240 },
              { "attention.head_count", 8 }, { "attention.head_count_kv", 4 }, { "attention.key_length", 256 },
              { "attention.value_length", 256 }, { "rope.dimension_count", 256 }, { "vocab_size", VOCAB },
              { "attention.sliding_window", 1024 } },
    .tensors = { { "token_embd.weight", "BF16", { 2560, VOCAB } }, { "output_norm.weight", "F32", { 2560 } },
                 { "blk.0.attn_norm.weight", "F32", { 2560 } }, { "blk.0.attn_q.weight", "BF16", { 2560, 2048 } },
                 { "blk.0.attn_k.weight", "BF16", { 2560, 1024 } }, { "blk.0.attn_v.weight", "BF16", { 2560, 1024 } },
                 { "blk.0.attn_output.weight", "BF16", { 2048, 2560 } }, { "blk.0.attn_q_norm.weight", "F32", { 256 } },
                 { "blk.0.attn_k_norm.weight", "F32", { 256 } }, { "blk.0.post_attention_norm.weight", "F32", { 2560 } },
                 { "blk.0.ffn_norm.weight", "F32", { 2560 } }, { "blk.0.ffn_gate.weight", "BF16", { 2560, 10240 } },
                 { "blk.0.ffn_up.weight", "BF16", { 2560, 10240 } }, { "blk.0.ffn_down.weight", "BF16", { 10240, 2560 } },
                 { "blk.0.post_ffw_norm.weight", "F32", { 2560 } } },
};

static const struct family phi3 = {
    .shape = "phi-4-mini", .arch = "phi3", .type = "Q4_K_M", .parameters = 3836021760, .n_layer = 32, .n_vocab = 200064,
    .keys = { { "block_count", 1 }, { "context_length", 131072 }, { "embedding_length", 3072 }, { "feed_forward_length", 8192 },
              { "attention.head_count", 24 }, { "attention.head_count_kv", 8 }, { "attention.key_length", 128 },
              { "attention.value_length", 128 }, { "rope.dimension_count", 96 }, { "vocab_size", VOCAB },
              { "attention.sliding_window", 262144 }, { "rope.scaling.original_context_length", 4096 } },
    .tensors = { { "token_embd.weight", "Q6_K", { 3072, VOCAB } }, { "output_norm.weight", "F32", { 3072 } },
                 { "rope_factors_long.weight", "F32", { 48 } }, { "rope_factors_short.weight", "F32", { 48 } },
                 { "blk.0.attn_norm.weight", "F32", { 3072 } }, { "blk.0.attn_qkv.weight", "Q5_K", { 3072, 5120 } },
                 { "blk.0.attn_output.weight", "Q4_K", { 3072, 3072 } }, { "blk.0.ffn_norm.weight", "F32", { 3072 } },
                 { "blk.0.ffn_up.weight", "Q4_K", { 3072, 16384 } }, { "blk.0.ffn_down.weight", "Q6_K", { 8192, 3072 } } },
};

static const struct family qwen35 = {
    .shape = "qwen3.5-4b", .arch = "qwen35", .type = "Q4_K_M", .parameters = 4205751296, .n_layer = 32, .n_vocab = 248320, .n_made = 4, .n_alike = 2 * 14,
    .keys = { { "block_count", 4 }, { "context_length", 262144 }, { "embedding_length", 2560 }, { "feed_forward_length", 9216 },
              { "attention.head_count", 16 }, { "attention.head_count_kv", 4 }, { "attention.key_length", 256 },
              { "attention.value_length", 256 }, { "rope.dimension_count", 64 }, { "vocab_size", VOCAB }, { "full_attention_interval", 4 },
              { "ssm.conv_kernel", 4 }, { "ssm.state_size", 128 }, { "ssm.group_count", 16 }, { "ssm.time_step_rank", 32 },
              { "ssm.inner_size", 4096 } },
    .tensors = { { "token_embd.weight", "Q6_K", { 2560, VOCAB } }, { "output_norm.weight", "F32", { 2560 } },
                 { "blk.0.attn_norm.weight", "F32", { 2560 } }, { "blk.0.post_attention_norm.weight", "F32", { 2560 } },
                 { "blk.0.attn_qkv.weight", "Q5_K", { 2560, 8192 } }, { "blk.0.attn_gate.weight", "Q4_K", { 2560, 4096 } },
                 { "blk.0.ssm_alpha.weight", "Q4_K", { 2560, 32 } }, { "blk.0.ssm_beta.weight", "Q4_K", { 2560, 32 } },
                 { "blk.0.ssm_conv1d.weight", "F32", { 4, 8192 } }, { "blk.0.ssm_a", "F32", { 32 } }, { "blk.0.ssm_dt.bias", "F32", { 32 } },
                 { "blk.0.ssm_norm.weight", "F32", { 128 } }, { "blk.0.ssm_out.weight", "Q4_K", { 4096, 2560 } },
                 { "blk.0.ffn_gate.weight", "Q4_K", { 2560, 9216 } }, { "blk.0.ffn_up.weight", "Q4_K", { 2560, 9216 } },
                 { "blk.0.ffn_down.weight", "Q4_K", { 9216, 2560 } },
                 { "blk.3.attn_norm.weight", "F32", { 2560 } }, { "blk.3.post_attention_norm.weight", "F32", { 2560 } },
                 { "blk.3.attn_q.weight", "Q4_K", { 2560, 8192 } }, { "blk.3.attn_k.weight", "Q4_K", { 2560, 1024 } },
                 { "blk.3.attn_v.weight", "Q6_K", { 2560, 1024 } }, { "blk.3.attn_output.weight", "Q4_K", { 4096, 2560 } },
                 { "blk.3.attn_q_norm.weight", "F32", { 256 } }, { "blk.3.attn_k_norm.weight", "F32", { 256 } },
                 { "blk.3.ffn_gate.weight", "Q4_K", { 2560, 9216 } }, { "blk.3.ffn_up.weight", "Q4_K", { 2560, 9216 } },
                 { "blk.3.ffn_down.weight", "Q6_K", { 9216, 2560 } } },
};

static uint32_t layers_made(const struct family *f) { return f->n_made ? f->n_made : 1; }

/* Parameters of the whole model from those of a file with some of its layers and VOCAB tokens. */
static uint64_t whole_parameters(const struct prism_gguf *g, const struct family *f)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct prism_gguf_tensor *t = &g->tensors[i];
        uint64_t here = t->ne[0] * t->ne[1] * t->ne[2];
        if (!strncmp(t->name, "blk.", 4))
            n += here * (f->n_layer / layers_made(f));
        else if (t->n_dims == 2)
            n += here / VOCAB * f->n_vocab;
        else if (strncmp(t->name, "rope_factors_", 13) != 0)
            n += here;
    }
    return n;
}

/* Makes the file of one layer, or of a few, and compares it with the lists; the caller closes it. */
static struct prism_gguf *check_family(const struct family *f)
{
    struct tiny_model m = tiny_llama();
    char vocab[512], key[96], layers[16];
    uint64_t n_tensors = 0, n_keys = 0;

    m.vocab = "gpt2";
    assert_int_equal(tiny_n_vocab(m.vocab), VOCAB);
    snprintf(vocab, sizeof vocab, "%s", tiny_write(&m, "vocab.gguf"));
    snprintf(layers, sizeof layers, "%u", layers_made(f));
    const char *path = MAKE("family.gguf", "--shape", f->shape, "--layers", layers, "--type", f->type, "--vocab", vocab, "--keep-vocab");
    struct prism_gguf *g = open_made(path);
    unlink(path); /* the reader holds the file */

    has_str(g, "general.architecture", f->arch);
    for (const struct key_row *k = f->keys; k->suffix; k++, n_keys++)
        has_u32(g, f->arch, k->suffix, k->value);
    for (uint64_t i = 0; i < g->n_kv; i++) { /* no other integers */
        snprintf(key, sizeof key, "%.*s", (int)g->kv[i].key.n, g->kv[i].key.p);
        n_keys -= !strncmp(key, f->arch, strlen(f->arch)) && g->kv[i].type == PRISM_GV_U32;
    }
    assert_int_equal(n_keys, 0);
    for (const struct tensor_row *t = f->tensors; t->name; t++, n_tensors++)
        has_experts(g, t->name, t->type, t->ne[0], t->ne[1], t->ne[2]);
    assert_int_equal(g->n_tensors, n_tensors + f->n_alike);
    assert_true(whole_parameters(g, f) == f->parameters);
    return g;
}

/* Mean 0 and the deviation, of the first n values of a tensor, each within `bound` deviations. */
static void is_random(const struct prism_gguf *g, const char *name, size_t n, double deviation, double bound)
{
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, name);
    float *x = malloc(n * sizeof *x);
    double sum = 0, squares = 0;

    assert_non_null(x);
    prism_kernels_by_level[PRISM_LEVEL_GENERIC]->to_f32[t->type](x, t->data, n);
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    double mean = sum / (double)n, found = sqrt(squares / (double)n);
    if (!(fabs(mean) < bound * deviation) || !(fabs(found - deviation) < bound * deviation))
        fail_msg("%s: mean %g, deviation %g; expected 0, %g", name, mean, found, deviation);
    free(x);
}

static const float *floats(const struct prism_gguf *g, const char *name) { return (const float *)prism_gguf_tensor_find(g, name)->data; }

/* Experts have different weights. Bounds: 6 / sqrt(n) for the mean of n independent values, of which the deviation has less. */
static void experts_of_qwen3moe(void **state)
{
    struct prism_gguf *g = check_family(&qwen3moe);
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "blk.0.ffn_up_exps.weight");

    (void)state;
    assert_null(prism_gguf_find(g, "qwen3moe.rope.scaling.type"));
    has_f32(g, "qwen3moe", "rope.freq_base", 1e6f);
    has_f32(g, "qwen3moe", "attention.layer_norm_rms_epsilon", 1e-6f);
    assert_int_equal(t->n_bytes, 113246208); /* 2048 * 768 * 128 values at 144 bytes for 256 */
    assert_memory_not_equal(t->data, t->data + t->n_bytes / 128, t->n_bytes / 128);
    is_random(g, "blk.0.ffn_gate_inp.weight", 2048 * 128, 1 / sqrt(2048), 0.012);
    prism_gguf_close(g);
}

static void biases_sinks_and_experts_of_gpt_oss(void **state)
{
    struct prism_gguf *g = check_family(&gpt_oss);
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(g, "blk.0.ffn_down_exps.weight");

    (void)state;
    has_str(g, "gpt-oss.rope.scaling.type", "yarn");
    has_f32(g, "gpt-oss", "rope.scaling.factor", 32);
    has_f32(g, "gpt-oss", "rope.freq_base", 150000);
    has_f32(g, "gpt-oss", "attention.layer_norm_rms_epsilon", 1e-5f);
    assert_int_equal(t->n_bytes, 141004800); /* 2880 * 2880 * 32 values at 17 bytes for 32 */
    /* scales are powers of two: groups of 32 share one, so 2880 * 2880 / 32 independent squares, each of a relative deviation below 1.5 */
    is_random(g, "blk.0.ffn_down_exps.weight", 2880 * 2880, 1 / sqrt(2880), 6 * 1.5 / 2 / sqrt(2880 * 2880 / 32));
    is_random(g, "blk.0.ffn_gate_inp.weight", 2880 * 32, 1 / sqrt(2880), 0.02);
    is_random(g, "blk.0.ffn_up_exps.bias", 2880 * 32, 0.1, 0.02);
    is_random(g, "blk.0.attn_q.bias", 4096, 0.1, 0.094);
    is_random(g, "blk.0.attn_sinks.weight", 64, 1, 0.75);
    prism_gguf_close(g);
}

static void norms_and_window_of_gemma3(void **state)
{
    struct prism_gguf *g = check_family(&gemma3_1b);

    (void)state;
    assert_null(prism_gguf_find(g, "gemma3.rope.scaling.type"));
    has_f32(g, "gemma3", "rope.freq_base", 1e6f);
    has_f32(g, "gemma3", "attention.layer_norm_rms_epsilon", 1e-6f);
    for (int i = 0; i < 1152; i++)
        assert_true(floats(g, "blk.0.post_ffw_norm.weight")[i] == 1 && floats(g, "blk.0.post_attention_norm.weight")[i] == 1);
    prism_gguf_close(g);
    g = check_family(&gemma3_4b);
    has_str(g, "gemma3.rope.scaling.type", "linear");
    has_f32(g, "gemma3", "rope.scaling.factor", 8);
    has_f32(g, "gemma3", "rope.freq_base", 1e6f);
    prism_gguf_close(g);
}

static void factors_of_phi3(void **state)
{
    struct prism_gguf *g = check_family(&phi3);
    const float *near = floats(g, "rope_factors_short.weight"), *far = floats(g, "rope_factors_long.weight");

    (void)state;
    has_str(g, "phi3.rope.scaling.type", "longrope");
    has_f32(g, "phi3", "rope.scaling.attn_factor", 1.1902381f); /* sqrt(1 + ln 32 / ln 4096) = sqrt(17 / 12) */
    has_f32(g, "phi3", "rope.freq_base", 10000);
    has_f32(g, "phi3", "attention.layer_norm_rms_epsilon", 1e-5f);
    for (int i = 0; i < 48; i++) /* 32^(i/32) up to 32 */
        if (near[i] != 1 || !(fabs(far[i] / exp2(i < 32 ? 5 * i / 32.0 : 5) - 1) < 1e-6))
            fail_msg("pair %d: factors %g and %g", i, (double)near[i], (double)far[i]);
    prism_gguf_close(g);
}

static void states_of_qwen35(void **state)
{
    struct prism_gguf *g = check_family(&qwen35);
    const struct prism_gguf_kv *sections = prism_gguf_find(g, "qwen35.rope.dimension_sections");
    const float *decay = floats(g, "blk.0.ssm_a");

    (void)state;
    has_f32(g, "qwen35", "rope.freq_base", 1e7f);
    has_f32(g, "qwen35", "attention.layer_norm_rms_epsilon", 1e-6f);
    assert_true(sections && sections->n == 4);
    for (int i = 0; i < 32; i++)
        assert_true(decay[i] < -0.02f && decay[i] > -8); /* -exp of a normal value of deviation 1/2 around -1 */
    assert_true(decay[0] != decay[1]);
    is_random(g, "blk.0.ssm_conv1d.weight", 4 * 8192, 0.5, 0.034);
    prism_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(experts_of_qwen3moe),
        cmocka_unit_test(biases_sinks_and_experts_of_gpt_oss),
        cmocka_unit_test(norms_and_window_of_gemma3),
        cmocka_unit_test(factors_of_phi3), cmocka_unit_test(states_of_qwen35),
    };
    return cmocka_run_group_tests_name("cli/make_families", tests, NULL, NULL);
}
