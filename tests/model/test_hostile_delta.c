/* test_hostile_delta.c - files with delta nets (qwen35, qwen35moe) whose keys or tensors are wrong: refused in one line, or right to load. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/engine_test.h"
#include "tests/support/hostile.h"
#include "tests/support/near.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define U32(name, value) { name, .type = PRISM_GV_U32, .u = value }
#define U64(name, value) { name, .type = PRISM_GV_U64, .u = value }
#define I32(name, value) { name, .type = PRISM_GV_I32, .u = (uint32_t)(value) }
#define F32(name, value) { name, .type = PRISM_GV_F32, .f = value }
#define NO(name) { name, .remove = true }
#define BAD(what, says, ...) { 0, what, 'R', says, .family = "qwen35", __VA_ARGS__ }
#define GOOD(what, ...) { 0, what, 'A', "", .family = "qwen35", __VA_ARGS__ }

/* ---- keys ---- */

static void recurrent(struct gb *g, size_t n, const uint8_t *values) { gb_array(g, "qwen35.attention.recurrent_layers", PRISM_GV_BOOL, n, values, n); }
static void recurrent_3(struct gb *g) { recurrent(g, 3, (uint8_t[]){ 1, 0, 1 }); }
static void recurrent_none(struct gb *g) { recurrent(g, 0, (uint8_t[]){ 1 }); }
static void recurrent_turned(struct gb *g) { recurrent(g, 2, (uint8_t[]){ 0, 1 }); }
static void recurrent_same(struct gb *g)
{
    gb_u32(g, "qwen35.full_attention_interval", 4);
    recurrent(g, 2, (uint8_t[]){ 1, 0 });
}
static void recurrent_nan(struct gb *g) { gb_array(g, "qwen35.attention.recurrent_layers", PRISM_GV_F32, 2, (float[]){ 1, NAN }, 8); }

static void heads_65(struct gb *g)
{
    gb_u32(g, "qwen35.attention.head_count", 65);
    gb_u32(g, "qwen35.attention.head_count_kv", 1);
}

static void state_12(struct gb *g)
{
    gb_u32(g, "qwen35.ssm.state_size", 12);
    gb_u32(g, "qwen35.ssm.inner_size", 48);
}

/* 2^12 * 2^20: wraps around 2^32. */
static void inner_wraps(struct gb *g)
{
    gb_u32(g, "qwen35.ssm.time_step_rank", 4096);
    gb_u32(g, "qwen35.ssm.inner_size", 0);
}

static void sections_4(struct gb *g) { gb_array(g, "qwen35.rope.dimension_sections", PRISM_GV_I32, 4, (int32_t[]){ 2, 1, 1, 0 }, 16); }

static const struct hostile_case keys[] = {
    BAD("no taps", "key qwen35.ssm.conv_kernel: missing", .set = NO("qwen35.ssm.conv_kernel")),
    BAD("0 taps", "key qwen35.ssm.conv_kernel: expected 1..8, found 0", .set = U32("qwen35.ssm.conv_kernel", 0)),
    BAD("9 taps", "key qwen35.ssm.conv_kernel: expected 1..8, found 9", .set = U32("qwen35.ssm.conv_kernel", 9)),
    BAD("2^32 taps", "key qwen35.ssm.conv_kernel: expected 1..8, found 4294967296", .set = U64("qwen35.ssm.conv_kernel", UINT64_C(1) << 32)),
    BAD("taps as f32", "key qwen35.ssm.conv_kernel: type: expected integer, found f32", .set = F32("qwen35.ssm.conv_kernel", 4)),
    BAD("no state", "key qwen35.ssm.state_size: missing", .set = NO("qwen35.ssm.state_size")),
    BAD("state of 0", "key qwen35.ssm.state_size: expected 8..512, found 0", .set = U32("qwen35.ssm.state_size", 0)),
    BAD("state of 520", "key qwen35.ssm.state_size: expected 8..512, found 520", .set = U32("qwen35.ssm.state_size", 520)),
    BAD("state of 12", "key qwen35.ssm.state_size: expected a multiple of 8", .change = state_12),
    BAD("state of -16", "key qwen35.ssm.state_size: expected 8..512, found -16", .set = I32("qwen35.ssm.state_size", -16)),
    BAD("no key heads", "key qwen35.ssm.group_count: missing", .set = NO("qwen35.ssm.group_count")),
    BAD("0 key heads", "key qwen35.ssm.group_count: expected 1..4096, found 0", .set = U32("qwen35.ssm.group_count", 0)),
    BAD("4097 key heads", "key qwen35.ssm.group_count: expected 1..4096, found 4097", .set = U32("qwen35.ssm.group_count", 4097)),
    BAD("3 key heads", "key qwen35.ssm.time_step_rank: expected a multiple of ssm.group_count 3, found 4", .set = U32("qwen35.ssm.group_count", 3)),
    BAD("no value heads", "key qwen35.ssm.time_step_rank: missing", .set = NO("qwen35.ssm.time_step_rank")),
    BAD("0 value heads", "key qwen35.ssm.time_step_rank: expected 1..4096, found 0", .set = U32("qwen35.ssm.time_step_rank", 0)),
    BAD("2 value heads", "key qwen35.ssm.inner_size: expected ssm.time_step_rank * ssm.state_size = 32, found 64", .set = U32("qwen35.ssm.time_step_rank", 2)),
    BAD("no inner size", "key qwen35.ssm.inner_size: missing", .set = NO("qwen35.ssm.inner_size")),
    BAD("inner size 0", "key qwen35.ssm.inner_size: expected 1..", .change = inner_wraps),
    BAD("inner size 2^32-1", "key qwen35.ssm.inner_size: expected ssm.time_step_rank * ssm.state_size = 64, found 4294967295",
        .set = U32("qwen35.ssm.inner_size", UINT32_MAX)),
    BAD("interval 0", "key qwen35.full_attention_interval: expected 1..4294967295, found 0", .set = U32("qwen35.full_attention_interval", 0)),
    BAD("interval 1: attention everywhere", "tensor blk.0.attn_qkv.weight: shape: expected [64, 192], found [64, 128]", .set = U32("qwen35.full_attention_interval", 1)),
    BAD("interval 3: attention nowhere", "tensor blk.1.attn_qkv.weight: missing", .set = U32("qwen35.full_attention_interval", 3)),
    BAD("3 layers told", "key qwen35.attention.recurrent_layers: expected 2 elements, one per layer, found 3", .change = recurrent_3),
    BAD("no layer told", "key qwen35.attention.recurrent_layers: expected 2 elements, one per layer, found 0", .change = recurrent_none),
    BAD("a layer NaN", "key qwen35.attention.recurrent_layers: element 1: expected true or false", .change = recurrent_nan),
    BAD("layers as a number", "key qwen35.attention.recurrent_layers: expected an array", .set = U32("qwen35.attention.recurrent_layers", 1)),
    BAD("layers turned", "tensor blk.0.attn_qkv.weight: shape", .change = recurrent_turned),
    BAD("all layers drafts", "key qwen35.nextn_predict_layers: expected 0..1, found 2", .set = U32("qwen35.nextn_predict_layers", 2)),
    BAD("drafts -1", "key qwen35.nextn_predict_layers: expected 0..1, found -1", .set = I32("qwen35.nextn_predict_layers", -1)),
    BAD("more heads than gates", "key qwen35.attention.head_count: heads with gates: expected at most 64, found 65", .change = heads_65),
    BAD("experts", "key qwen35.expert_count: unsupported", .set = U32("qwen35.expert_count", 8)),
    GOOD("layers told", .change = recurrent_same),
    GOOD("sections as signed numbers", .change = sections_4),
    GOOD("no sections", .set = NO("qwen35.rope.dimension_sections")),
    { 0, "a state elsewhere", 'R', "key qwen3.ssm.state_size: unsupported", .family = "qwen3", .set = U32("qwen3.ssm.state_size", 128) },
    { 0, "no experts", 'R', "key qwen35moe.expert_count: missing", .family = "qwen35moe", .set = NO("qwen35moe.expert_count") },
    { 0, "shared width 0", 'R', "key qwen35moe.expert_shared_feed_forward_length: expected 1..", .family = "qwen35moe",
      .set = U32("qwen35moe.expert_shared_feed_forward_length", 0) },
    { 0, "drafts of glm4", 'W', "tensors of layers >= 1 unused", .family = "glm4", .set = U32("glm4.nextn_predict_layers", 1) },
    { 0, "glm4 all drafts", 'R', "key glm4.nextn_predict_layers: expected 0..1, found 2", .family = "glm4", .set = U32("glm4.nextn_predict_layers", 2) },
    { 0, "drafts", 'W', "tensors of layers >= 1 unused", .family = "qwen35", .set = U32("qwen35.nextn_predict_layers", 1) },
};

/* ---- tensors ---- */

static void set_float(struct gb *g, const char *name, size_t i, float value)
{
    memcpy(gb_tensor(g, name)->data + i * sizeof value, &value, sizeof value);
}

static void reshape(struct gb *g, const char *name, uint64_t ne0, uint64_t ne1)
{
    struct gb_tensor *t = gb_tensor(g, name);
    t->ne[0] = ne0, t->ne[1] = ne1;
}

static void shorter(struct gb *g, const char *name, uint64_t n)
{
    gb_remove_tensor(g, name);
    gb_add_f32(g, name, n);
}

#define WITHOUT(id, name) static void no_##id(struct gb *g) { gb_remove_tensor(g, "blk.0." name); }
WITHOUT(qkv, "attn_qkv.weight")
WITHOUT(gate, "attn_gate.weight")
WITHOUT(beta, "ssm_beta.weight")
WITHOUT(alpha, "ssm_alpha.weight")
WITHOUT(conv, "ssm_conv1d.weight")
WITHOUT(dt, "ssm_dt.bias")
WITHOUT(a, "ssm_a")
WITHOUT(norm, "ssm_norm.weight")
WITHOUT(out, "ssm_out.weight")
WITHOUT(ffn_norm, "post_attention_norm.weight")

static void qkv_turned(struct gb *g) { reshape(g, "blk.0.attn_qkv.weight", 128, 64); }
static void gate_turned(struct gb *g) { reshape(g, "blk.0.attn_gate.weight", 32, 128); }
static void out_turned(struct gb *g) { reshape(g, "blk.0.ssm_out.weight", 32, 128); }
static void beta_turned(struct gb *g) { reshape(g, "blk.0.ssm_beta.weight", 128, 2); }
static void conv_turned(struct gb *g) { reshape(g, "blk.0.ssm_conv1d.weight", 128, 4); }
static void dt_short(struct gb *g) { shorter(g, "blk.0.ssm_dt.bias", 3); }
static void a_short(struct gb *g) { shorter(g, "blk.0.ssm_a", 3); }
static void norm_long(struct gb *g) { shorter(g, "blk.0.ssm_norm.weight", 64); }
static void q_without_gates(struct gb *g) { gb_u32(g, "qwen35.attention.head_count", 4); }
static void a_above_0(struct gb *g) { set_float(g, "blk.0.ssm_a", 2, 1e-3f); }
static void a_nan(struct gb *g) { set_float(g, "blk.0.ssm_a", 1, NAN); }
static void a_minus_infinity(struct gb *g) { set_float(g, "blk.0.ssm_a", 3, -INFINITY); }
static void a_0(struct gb *g) { set_float(g, "blk.0.ssm_a", 0, 0); }
static void a_least(struct gb *g) { set_float(g, "blk.0.ssm_a", 0, -3e38f); }
static void conv_nan(struct gb *g) { set_float(g, "blk.0.ssm_conv1d.weight", 17, NAN); }
static void dt_inf(struct gb *g) { set_float(g, "blk.0.ssm_dt.bias", 0, INFINITY); }
static void ssm_in(struct gb *g) { gb_add_f32(g, "blk.0.ssm_in.weight", 4); }

static const struct hostile_case tensors[] = {
    BAD("no qkv", "tensor blk.0.attn_qkv.weight: missing (architecture qwen35, layer 0)", .change = no_qkv),
    BAD("no gate", "tensor blk.0.attn_gate.weight: missing", .change = no_gate),
    BAD("no beta", "tensor blk.0.ssm_beta.weight: missing", .change = no_beta),
    BAD("no alpha", "tensor blk.0.ssm_alpha.weight: missing", .change = no_alpha),
    BAD("no convolution", "tensor blk.0.ssm_conv1d.weight: missing", .change = no_conv),
    BAD("no dt", "tensor blk.0.ssm_dt.bias: missing", .change = no_dt),
    BAD("no a", "tensor blk.0.ssm_a: missing", .change = no_a),
    BAD("no norm of heads", "tensor blk.0.ssm_norm.weight: missing", .change = no_norm),
    BAD("no output", "tensor blk.0.ssm_out.weight: missing", .change = no_out),
    BAD("no norm before the FFN", "tensor blk.0.post_attention_norm.weight: missing", .change = no_ffn_norm),
    BAD("qkv turned", "tensor blk.0.attn_qkv.weight: shape: expected [64, 128], found [128, 64]", .change = qkv_turned),
    BAD("gate turned", "tensor blk.0.attn_gate.weight: shape: expected [64, 64], found [32, 128]", .change = gate_turned),
    BAD("output turned", "tensor blk.0.ssm_out.weight: shape: expected [64, 64], found [32, 128]", .change = out_turned),
    BAD("beta turned", "tensor blk.0.ssm_beta.weight: shape: expected [64, 4], found [128, 2]", .change = beta_turned),
    BAD("convolution turned", "tensor blk.0.ssm_conv1d.weight: expected f32 [4, 128], found F32 [128, ...]", .change = conv_turned),
    BAD("dt too short", "tensor blk.0.ssm_dt.bias: expected f32 [4], found F32 [3]", .change = dt_short),
    BAD("a too short", "tensor blk.0.ssm_a: expected f32 [4], found F32 [3]", .change = a_short),
    BAD("norm of all heads", "tensor blk.0.ssm_norm.weight: expected f32 [16], found F32 [64]", .change = norm_long),
    BAD("queries without gates", "tensor blk.1.attn_q.weight: shape: expected [64, 256], found [64, 128]", .change = q_without_gates),
    BAD("a state that grows", "tensor blk.0.ssm_a: value 2: expected a finite number of at most 0, found 0.001", .change = a_above_0),
    BAD("a NaN", "tensor blk.0.ssm_a: value 1: expected a finite number of at most 0, found", .change = a_nan),
    BAD("a -infinity", "tensor blk.0.ssm_a: value 3: expected a finite number of at most 0, found -inf", .change = a_minus_infinity),
    BAD("a NaN in the convolution", "tensor blk.0.ssm_conv1d.weight: row 4, value 1: expected a finite value, found NaN", .change = conv_nan, .check_tensors = true),
    BAD("an infinity in dt", "tensor blk.0.ssm_dt.bias: row 0, value 0: expected a finite value, found infinite", .change = dt_inf, .check_tensors = true),
    BAD("the tensors of qwen3next", "tensor blk.0.ssm_in.weight: unsupported in architecture qwen35", .change = ssm_in),
    GOOD("a 0", .change = a_0),
    GOOD("a -3e38", .change = a_least),
};

/* ---- numbers that no check at loading sees ---- */

static void beta_nan(struct gb *g) { set_float(g, "blk.0.ssm_beta.weight", 5, NAN); }
static void alpha_inf(struct gb *g) { set_float(g, "blk.0.ssm_alpha.weight", 70, INFINITY); }
static void alpha_minus_inf(struct gb *g) { set_float(g, "blk.0.ssm_alpha.weight", 70, -INFINITY); }
static void beta_inf(struct gb *g) { set_float(g, "blk.0.ssm_beta.weight", 130, INFINITY); }
static void beta_minus_inf(struct gb *g) { set_float(g, "blk.0.ssm_beta.weight", 130, -INFINITY); }
static void qkv_nan(struct gb *g) { set_float(g, "blk.0.attn_qkv.weight", 40 * 64, NAN); }
static void queries_nan(struct gb *g) { set_float(g, "blk.0.attn_qkv.weight", 0, NAN); }
static void gate_inf(struct gb *g) { set_float(g, "blk.0.attn_gate.weight", 3, INFINITY); }
static void norm_nan(struct gb *g) { set_float(g, "blk.0.ssm_norm.weight", 3, NAN); }
static void out_nan(struct gb *g) { set_float(g, "blk.0.ssm_out.weight", 64, NAN); }
static void head_gate_nan(struct gb *g) { set_float(g, "blk.1.attn_q.weight", 33 * 64, NAN); }

/* Each is PRISM_E_NUMERIC, in a prompt and in one token, and leaves the context as it was. */
static void test_numbers(void **state)
{
    (void)state;
    static const struct { const char *what; void (*change)(struct gb *g); } cases[] = {
        { "convolution", conv_nan }, { "dt", dt_inf }, { "beta", beta_nan }, { "beta inf", beta_inf },
        { "beta -inf", beta_minus_inf }, { "alpha", alpha_inf }, { "alpha -inf", alpha_minus_inf }, { "keys", qkv_nan }, { "queries", queries_nan },
        { "gate", gate_inf }, { "norm", norm_nan }, { "output", out_nan }, { "gates of heads", head_gate_nan },
    };
    int32_t tokens[70];

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t n = 1; n <= 70; n += 69) {
            struct tiny_model t = tiny_family("qwen35");
            t.type = t.output_type = PRISM_F32;
            struct gb *g = tiny_build(&t);
            cases[i].change(g);
            prism_model *m = load_built(g, "numbers.gguf");
            prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = 128, .n_threads = 2 });
            struct prism_error err;
            make_tokens(tokens, 70, tiny_n_vocab(t.vocab));
            enum prism_status s = prism_prefill(c, tokens, n, NULL, &err);
            if (s != PRISM_E_NUMERIC)
                fail_msg("%s, %zu tokens: status %d", cases[i].what, n, (int)s);
            assert_int_equal(prism_length(c), 0);
            prism_context_free(c);
            prism_model_free(m);
        }
}

/* A state that is forgotten at once, or never, is a state. */
static void test_decays(void **state)
{
    (void)state;
    void (*const changes[])(struct gb *g) = { a_0, a_least };
    int32_t tokens[200];

    for (size_t i = 0; i < COUNT(changes); i++) {
        struct tiny_model t = tiny_family("qwen35");
        struct gb *g = tiny_build(&t);
        changes[i](g);
        prism_model *m = load_built(g, "decays.gguf");
        prism_context *c = make_context(m, &(struct prism_context_params){ .n_ctx = 200, .n_threads = 2 });
        make_tokens(tokens, 200, tiny_n_vocab(t.vocab));
        float *logits = all_logits(c, tokens, 200, tiny_n_vocab(t.vocab));
        assert_sound(logits, 200, tiny_n_vocab(t.vocab));
        free(logits);
        prism_context_free(c);
        prism_model_free(m);
    }
}

#define RUN(name) static void test_##name(void **state) { (void)state; hostile_run(name, COUNT(name)); }
RUN(keys)
RUN(tensors)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys), cmocka_unit_test(test_tensors), cmocka_unit_test(test_numbers), cmocka_unit_test(test_decays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
