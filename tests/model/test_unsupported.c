/* test_unsupported.c - files that need mathematics that this version lacks are refused, by key and by tensor; and so are numbers that are
 * sensible in double and not as the floats that are computed with. What must load: test_converted.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "src/model/model.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define U32(name, value) { name, .type = PRISM_GV_U32, .u = value }
#define BOOL(name, value) { name, .type = PRISM_GV_BOOL, .u = value }
#define F32(name, value) { name, .type = PRISM_GV_F32, .f = value }
#define STR(name, value) { name, .s = value }

/* ---- keys ---- */

static void sections(struct gb *g) { gb_array(g, "llama.rope.dimension_sections", PRISM_GV_U32, 4, (uint32_t[]){ 0, 0, 8, 0 }, 16); }
static void no_sections(struct gb *g) { gb_array(g, "llama.rope.dimension_sections", PRISM_GV_U32, 4, (uint32_t[]){ 0, 0, 0, 0 }, 16); }
static void labels(struct gb *g) { gb_strings(g, "llama.classifier.output_labels", (const char *[]){ "good", "bad" }, 2); }
static void unrotated(struct gb *g) { gb_array(g, "llama.attention.rope_pattern", PRISM_GV_BOOL, 2, (uint8_t[]){ 1, 0 }, 2); }
static void yarn(struct gb *g)
{
    gb_str(g, "llama.rope.scaling.type", "yarn");
    gb_f32(g, "llama.rope.scaling.factor", 4);
    gb_u32(g, "llama.rope.scaling.original_context_length", 128);
}
static void yarn_defaults(struct gb *g)
{
    yarn(g);
    gb_f32(g, "llama.rope.scaling.yarn_ext_factor", 1);
    gb_f32(g, "llama.rope.scaling.yarn_attn_factor", 1);
    gb_f32(g, "llama.rope.scaling.yarn_beta_fast", 32);
    gb_f32(g, "llama.rope.scaling.yarn_beta_slow", 1);
    gb_f32(g, "llama.rope.scaling.yarn_log_multiplier", 0);
}
static void two_unknown(struct gb *g)
{
    gb_u32(g, "llama.zzz", 1);
    gb_u32(g, "llama.yyy", 1);
    gb_u32(g, "other.yyy", 1); /* of another architecture: no business of ours */
}

static const struct hostile_case keys[] = {
    { 0, "logit cap", 'R', "key llama.final_logit_softcapping: unsupported: expected 0, found 30", .set = F32("llama.final_logit_softcapping", 30) },
    { 0, "score cap", 'R', "key llama.attn_logit_softcapping: unsupported: expected 0, found 50", .set = F32("llama.attn_logit_softcapping", 50) },
    { 0, "embedding scale", 'R', "key llama.embedding_scale: unsupported: expected 0 or 1, found 12", .set = F32("llama.embedding_scale", 12) },
    { 0, "residual scale", 'R', "key llama.residual_scale: unsupported", .set = F32("llama.residual_scale", 0.22) },
    { 0, "logit scale", 'R', "key qwen3.logit_scale: unsupported", BASE_QWEN3, .set = F32("qwen3.logit_scale", 16) },
    { 0, "logit scale NaN", 'R', "key llama.logit_scale: unsupported", .set = F32("llama.logit_scale", NAN) },
    { 0, "parallel layers", 'R', "key llama.use_parallel_residual: unsupported: expected 0, found 1", .set = BOOL("llama.use_parallel_residual", 1) },
    { 0, "clamped q, k, v", 'R', "key llama.attention.clamp_kqv: unsupported", .set = F32("llama.attention.clamp_kqv", 8) },
    { 0, "ALiBi", 'R', "key llama.attention.max_alibi_bias: unsupported", .set = F32("llama.attention.max_alibi_bias", 8) },
    { 0, "temperature", 'R', "key llama.attention.temperature_scale: unsupported", .set = F32("llama.attention.temperature_scale", 0.1) },
    { 0, "pooling", 'R', "key qwen3.pooling_type: unsupported", BASE_QWEN3, .set = U32("qwen3.pooling_type", 3) },
    { 0, "draft layers", 'R', "key llama.nextn_predict_layers: unsupported", .set = U32("llama.nextn_predict_layers", 1) },
    { 0, "sections", 'R', "key llama.rope.dimension_sections: unsupported: expected 0, found 8", .change = sections },
    { 0, "labels", 'R', "key llama.classifier.output_labels: unsupported: expected no such key, found \"good\"", .change = labels },
    { 0, "layers without rotation", 'R', "key llama.attention.rope_pattern: unsupported: expected 1, found 0", .change = unrotated },
    { 0, "gelu", 'R', "key llama.hidden_activation: unsupported: expected silu or swish, found \"gelu\"", .set = STR("llama.hidden_activation", "gelu") },
    { 0, "state space", 'R', "key llama.ssm.state_size: unsupported", .set = U32("llama.ssm.state_size", 0) },
    { 0, "AltUp", 'R', "key llama.altup.num_inputs: unsupported", .set = U32("llama.altup.num_inputs", 4) },
    { 0, "alpha", 'R', "key llama.rope.scaling.alpha: unsupported", .set = F32("llama.rope.scaling.alpha", 1000) },
    { 0, "another base in window layers", 'R', "key llama.rope.freq_base_swa: unsupported: expected 10000, found 5000", .set = F32("llama.rope.freq_base_swa", 5000) },
    { 0, "another head size in window layers", 'R', "key llama.attention.key_length_swa: unsupported: expected 32", .set = U32("llama.attention.key_length_swa", 64) },
    { 0, "shorter outputs", 'R', "key llama.embedding_length_out: unsupported: expected 64, found 32", .set = U32("llama.embedding_length_out", 32) },
    { 0, "YaRN, beta_fast", 'R', "key llama.rope.scaling.yarn_beta_fast: unsupported: expected 32, found 16", .change = yarn, .set = F32("llama.rope.scaling.yarn_beta_fast", 16) },
    { 0, "YaRN, log multiplier", 'R', "yarn_log_multiplier: unsupported", .change = yarn, .set = F32("llama.rope.scaling.yarn_log_multiplier", 1) },
    { 0, "YaRN, half", 'R', "yarn_ext_factor: unsupported", .change = yarn, .set = F32("llama.rope.scaling.yarn_ext_factor", 0.5) },
    { 0, "YaRN by its factor alone", 'R', "yarn_ext_factor: unsupported", .set = F32("llama.rope.scaling.yarn_ext_factor", 1) },
    { 0, "one unknown key", 'W', "key llama.zzz: unknown, ignored", .set = U32("llama.zzz", 1) },
    { 0, "two unknown keys", 'W', "key llama.zzz and 1 more: unknown, ignored", .change = two_unknown },
};

static void test_keys(void **state)
{
    (void)state;
    hostile_run(keys, COUNT(keys));
}

/* Values that change nothing load without a word. */
static const struct hostile_case quiet[] = {
    { 0, "cap 0", 'W', "", .set = F32("llama.final_logit_softcapping", 0) },
    { 0, "scale 1", 'W', "", .set = F32("llama.residual_scale", 1) },
    { 0, "not parallel", 'W', "", .set = BOOL("llama.use_parallel_residual", 0) },
    { 0, "no pooling", 'W', "", BASE_QWEN3, .set = U32("qwen3.pooling_type", 0) },
    { 0, "no sections", 'W', "", .change = no_sections },
    { 0, "silu", 'W', "", .set = STR("llama.hidden_activation", "silu") },
    { 0, "YaRN as always", 'W', "", .change = yarn_defaults },
    { 0, "YaRN, automatic", 'W', "", .change = yarn, .set = F32("llama.rope.scaling.yarn_ext_factor", -1) },
    { 0, "beta_fast without YaRN", 'W', "", .set = F32("llama.rope.scaling.yarn_beta_fast", 16) },
    { 0, "the same base in window layers", 'W', "", .set = F32("llama.rope.freq_base_swa", 10000) },
    { 0, "no experts", 'W', "", .set = U32("llama.expert_count", 0) },
    { 0, "window of the trained length", 'W', "", .set = U32("llama.attention.sliding_window", 512) },
    { 0, "no window", 'W', "", .set = U32("llama.attention.sliding_window", 0) },
};

static void test_harmless_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(quiet); i++) {
        struct tiny_model t = quiet[i].base == BASE_QWEN3 ? tiny_qwen3() : tiny_llama();
        struct gb *g = tiny_build(&t);
        hostile_apply(g, &quiet[i]);
        hostile_load_quietly(g, quiet[i].what);
        gb_free(g);
    }
}

/* ---- numbers that floats cannot hold, or that make others infinite ---- */

static void f64(struct gb *g, const char *key, double v) { gb_set(g, key, PRISM_GV_F64, &v, sizeof v); }
static void scale_1e300(struct gb *g) { f64(g, "llama.attention.scale", 1e300); }
static void scale_minus(struct gb *g) { f64(g, "llama.attention.scale", -0.125); }
static void scale_1e_300(struct gb *g) { f64(g, "llama.attention.scale", 1e-300); }
static void eps_1e_60(struct gb *g) { f64(g, "llama.attention.layer_norm_rms_epsilon", 1e-60); }
static void eps_near_1(struct gb *g) { f64(g, "llama.attention.layer_norm_rms_epsilon", 1 - 1e-12); }
static void base_1e300(struct gb *g) { f64(g, "llama.rope.freq_base", 1e300); }
static void base_near_1(struct gb *g) { f64(g, "llama.rope.freq_base", 1 + 1e-12); }
static void factor_1e_300(struct gb *g) { f64(g, "llama.rope.scaling.factor", 1e-300); }
static void attn_3e38(struct gb *g)
{
    yarn(g);
    gb_f32(g, "llama.rope.scaling.attn_factor", 3e38f);
}
static void attn_1e_38(struct gb *g)
{
    yarn(g);
    gb_f32(g, "llama.rope.scaling.attn_factor", 1e-38f);
}
static void tiny_divisors(struct gb *g)
{
    float div[16];
    for (int i = 0; i < 16; i++)
        div[i] = 1e-30f;
    gb_add(g, "rope_freqs.weight", prism_types[PRISM_F32].id, 1, (uint64_t[]){ 16 }, div, sizeof div);
}

static const struct hostile_case numbers[] = {
    { 0, "scale 1e300", 'R', "key llama.attention.scale: expected a finite number above 1e-06 and below 1000, found 1e+300", .change = scale_1e300 },
    { 0, "scale -0.125", 'R', "key llama.attention.scale: expected a finite number above", .change = scale_minus },
    { 0, "scale 1e-300", 'R', "key llama.attention.scale: expected a finite number above", .change = scale_1e_300 },
    { 0, "epsilon 1e-60", 'R', "key llama.attention.layer_norm_rms_epsilon: expected a finite number above 0 and below 1, found 1e-60", .change = eps_1e_60 },
    { 0, "epsilon that rounds to 1", 'R', "key llama.attention.layer_norm_rms_epsilon: expected", .change = eps_near_1 },
    { 0, "base 1e300", 'R', "key llama.rope.freq_base: expected a finite number above 1 and below 1e+15, found 1e+300", .change = base_1e300 },
    { 0, "base that rounds to 1", 'R', "key llama.rope.freq_base: expected a finite number above 1", .change = base_near_1 },
    { 0, "factor 1e-300", 'R', "key llama.rope.scaling.factor: expected a finite number above", .change = factor_1e_300 },
    { 0, "attn_factor 3e38", 'R', "key llama.rope.scaling.attn_factor: expected a finite number above 0.001 and below 1000, found 3e+38", .change = attn_3e38 },
    { 0, "attn_factor 1e-38", 'R', "key llama.rope.scaling.attn_factor: expected a finite number above", .change = attn_1e_38 },
    { 0, "divisors 1e-30", 'R', "rotation of pair 0: expected 0..10000 radians per token, found 1e+30", .change = tiny_divisors },
};

static void test_numbers(void **state)
{
    (void)state;
    hostile_run(numbers, COUNT(numbers));
}

/* At the ends of all ranges together, what derives from them is finite. */
static void test_extremes(void **state)
{
    (void)state;
    static const float ends[2][5] = { { 1.1e-6f, 1e-37f, 1.0001f, 1.1e-3f, 1.1e-3f }, { 999, 0.99f, 9e14f, 9e5f, 999 } };
    for (int i = 0; i < 2; i++) {
        struct tiny_model t = tiny_llama();
        struct loaded l;
        struct gb *g = tiny_build(&t);
        yarn(g);
        gb_f32(g, "llama.attention.scale", ends[i][0]);
        gb_f32(g, "llama.attention.layer_norm_rms_epsilon", ends[i][1]);
        gb_f32(g, "llama.rope.freq_base", ends[i][2]);
        gb_f32(g, "llama.rope.scaling.factor", ends[i][3]);
        gb_f32(g, "llama.rope.scaling.attn_factor", ends[i][4]);
        hostile_load(&l, gb_write(g, "extreme.gguf"), false, false);
        assert_string_equal(l.err.text, "");
        assert_true(isfinite(l.model->ropes[0].mag) && l.model->ropes[0].mag > 0);
        assert_true(isfinite(l.model->layers[0].attn.scale) && l.model->layers[0].attn.scale > 0);
        assert_true(l.model->hp.rms_eps > 0 && l.model->hp.rms_eps < 1);
        for (uint32_t k = 0; k < l.model->hp.n_rot / 2; k++)
            assert_true(l.model->ropes[0].freq[k] >= 0 && l.model->ropes[0].freq[k] <= 1e4);
        prism_model_free(l.model);
        gb_free(g);
    }
}

/* ---- tensors ---- */

static void q_norm(struct gb *g)
{
    tiny_add_layers(g, "attn_q_norm.weight", 32);
    tiny_add_layers(g, "attn_k_norm.weight", 32);
}
static void post_norm(struct gb *g) { tiny_add_layers(g, "post_attention_norm.weight", 64); }
static void sinks(struct gb *g) { gb_add_f32(g, "blk.1.attn_sinks.weight", 2); }
static void embd_norm(struct gb *g) { gb_add_f32(g, "token_embd_norm.weight", 64); }
static void norm_bias(struct gb *g) { gb_add_f32(g, "output_norm.bias", 64); }
static void factors(struct gb *g)
{
    gb_add_f32(g, "rope_factors_long.weight", 16);
    gb_add_f32(g, "rope_factors_short.weight", 16);
}
static void head(struct gb *g) { gb_add_f32(g, "cls.output.weight", 64); }
static void leftovers(struct gb *g)
{
    tiny_add_layers(g, "attn_rot_embd.weight", 16);
    tiny_add_layers(g, "ffn_up.inp_scale", 1);
}

static const struct hostile_case tensors[] = {
    { 0, "q and k norms", 'R', "tensor blk.0.attn_q_norm.weight and 3 more: unsupported in architecture llama", .change = q_norm },
    { 0, "norms after attention", 'R', "tensor blk.0.post_attention_norm.weight and 1 more: unsupported in architecture llama", .change = post_norm },
    { 0, "one layer with sinks", 'R', "tensor blk.1.attn_sinks.weight: unsupported in architecture llama", .change = sinks },
    { 0, "norm of the embedding", 'R', "tensor token_embd_norm.weight: unsupported", .change = embd_norm },
    { 0, "bias of a norm", 'R', "tensor output_norm.bias: unsupported in architecture qwen3", BASE_QWEN3, .change = norm_bias },
    { 0, "factors without longrope", 'R', "tensor rope_factors_long.weight and 1 more: unsupported", .change = factors },
    { 0, "classifier", 'R', "tensor cls.output.weight: unsupported", .change = head },
};

static void test_tensors(void **state)
{
    (void)state;
    hostile_run(tensors, COUNT(tensors));
    struct tiny_model t = tiny_llama();
    struct gb *g = tiny_build(&t);
    leftovers(g);
    hostile_load_quietly(g, "leftovers");
    gb_free(g);
}

/* ---- windows ---- */

static void test_window(void **state)
{
    (void)state;
    struct tiny_model t = tiny_llama();
    struct loaded l;
    struct prism_plan plan;
    struct prism_error err = { 0 };
    struct prism_model_info info;
    struct prism_context_params params = { .n_threads = 1 };
    struct gb *g = tiny_build(&t);
    yarn(g);
    gb_remove(g, "llama.rope.scaling.original_context_length");
    gb_u32(g, "llama.attention.sliding_window", 128);
    hostile_load(&l, gb_write(g, "window.gguf"), false, false);
    assert_true(hostile_judge(&l, 'W', "key llama.attention.sliding_window: contexts up to 128 tokens only", "window.gguf"));
    prism_model_info(l.model, &info);
    assert_int_equal(info.n_ctx_train, 128);
    assert_int_equal(l.model->rope_orig_ctx, 512); /* rotation was trained for the whole length */
    assert_int_equal(prism_plan(l.model, &params, &plan, &err), PRISM_OK);
    assert_int_equal(plan.n_ctx, 128);
    params.n_ctx = 128;
    assert_int_equal(prism_plan(l.model, &params, &plan, &err), PRISM_OK);
    params.n_ctx = 129;
    assert_int_equal(prism_plan(l.model, &params, &plan, &err), PRISM_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "context of 129 tokens: expected at most 128"));
    prism_context *c;
    assert_int_equal(prism_context_create(l.model, &params, &c, &err), PRISM_E_UNSUPPORTED);
    assert_null(c);
    prism_model_free(l.model);
    gb_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),     cmocka_unit_test(test_harmless_values), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_extremes), cmocka_unit_test(test_tensors),         cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
