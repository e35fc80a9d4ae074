/* test_hostile_layers.c - files whose layers are wrong: keys and tensors of experts, windows, sinks, multipliers and rotations of the architectures
 * that have them; and the image parts of models. Each is refused in one line, or right to load. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define U32(name, value) { name, .type = PRISM_GV_U32, .u = value }
#define U64(name, value) { name, .type = PRISM_GV_U64, .u = value }
#define I32(name, value) { name, .type = PRISM_GV_I32, .u = (uint32_t)(value) }
#define F32(name, value) { name, .type = PRISM_GV_F32, .f = value }
#define STR(name, value) { name, .s = value }
#define NO(name) { name, .remove = true }
#define BAD(arch, what, says, ...) { 0, what, 'R', says, .family = arch, __VA_ARGS__ }
#define GOOD(arch, what, ...) { 0, what, 'A', "", .family = arch, __VA_ARGS__ }

/* ---- keys of experts ---- */

static void widths_differ(struct gb *g) { gb_array(g, "qwen3moe.expert_feed_forward_length", PRISM_GV_U32, 2, (uint32_t[]){ 32, 64 }, 8); }
static void widths_of_3(struct gb *g) { gb_array(g, "qwen3moe.expert_feed_forward_length", PRISM_GV_U32, 3, (uint32_t[]){ 32, 32, 32 }, 12); }
static void widths_equal(struct gb *g) { gb_array(g, "qwen3moe.expert_feed_forward_length", PRISM_GV_U32, 2, (uint32_t[]){ 32, 32 }, 8); }
static void narrow_ffn(struct gb *g)
{
    gb_remove(g, "qwen3moe.expert_feed_forward_length");
    gb_u32(g, "qwen3moe.feed_forward_length", 1);
}
static void derived_width(struct gb *g)
{
    gb_remove(g, "qwen3moe.expert_feed_forward_length");
    gb_u32(g, "qwen3moe.feed_forward_length", 64);
}

static const struct hostile_case expert_keys[] = {
    BAD("qwen3moe", "no expert_count", "key qwen3moe.expert_count: missing", .set = NO("qwen3moe.expert_count")),
    BAD("qwen3moe", "expert_count 0", "key qwen3moe.expert_count: expected 1..4096, found 0", .set = U32("qwen3moe.expert_count", 0)),
    BAD("qwen3moe", "expert_count 2^32", "key qwen3moe.expert_count: expected 1..4096, found 4294967296", .set = U64("qwen3moe.expert_count", UINT64_C(1) << 32)),
    BAD("qwen3moe", "expert_count 4097", "key qwen3moe.expert_count: expected 1..4096, found 4097", .set = U32("qwen3moe.expert_count", 4097)),
    BAD("qwen3moe", "expert_count -1", "key qwen3moe.expert_count: expected 1..4096, found -1", .set = I32("qwen3moe.expert_count", -1)),
    BAD("qwen3moe", "expert_count f32", "key qwen3moe.expert_count: type: expected integer, found f32", .set = F32("qwen3moe.expert_count", 6)),
    BAD("mixtral", "more experts than tensors hold", "tensor blk.0.ffn_gate_inp.weight: shape: expected [64, 7], found [64, 6]", .set = U32("llama.expert_count", 7)),
    BAD("mixtral", "experts without expert_count", "tensor blk.0.ffn_gate.weight: missing (architecture llama, layer 0)", .set = U32("llama.expert_count", 0)),
    BAD("gpt-oss", "no expert_used_count", "key gpt-oss.expert_used_count: missing", .set = NO("gpt-oss.expert_used_count")),
    BAD("qwen2moe", "expert_used_count 0", "key qwen2moe.expert_used_count: expected 1..6, found 0", .set = U32("qwen2moe.expert_used_count", 0)),
    BAD("qwen2moe", "expert_used_count 7 of 6", "key qwen2moe.expert_used_count: expected 1..6, found 7", .set = U32("qwen2moe.expert_used_count", 7)),
    BAD("qwen3moe", "width 0", "key qwen3moe.expert_feed_forward_length: expected 1..", .set = U32("qwen3moe.expert_feed_forward_length", 0)),
    BAD("qwen3moe", "width 2^32-1", "key qwen3moe.expert_feed_forward_length: expected 1..16777216, found 4294967295",
        .set = U32("qwen3moe.expert_feed_forward_length", UINT32_MAX)),
    BAD("qwen3moe", "width 2^24", "tensor blk.0.ffn_gate_exps.weight: shape: expected [64, 16777216, 6], found [64, 32, ...]",
        .set = U32("qwen3moe.expert_feed_forward_length", 1 << 24)),
    BAD("qwen3moe", "widths differ", "key qwen3moe.expert_feed_forward_length: per-layer values are unsupported", .change = widths_differ),
    BAD("qwen3moe", "widths of 3 layers", "key qwen3moe.expert_feed_forward_length: array length: expected 2", .change = widths_of_3),
    BAD("qwen3moe", "no width, and the FFN's is smaller than expert_used_count", "key qwen3moe.expert_feed_forward_length: missing", .change = narrow_ffn),
    BAD("qwen3", "experts in an architecture without", "key qwen3.expert_count: unsupported: expected 0, found 8", .set = U32("qwen3.expert_count", 8)),
    BAD("gemma3", "experts in gemma3", "key gemma3.expert_count: unsupported", .set = U32("gemma3.expert_count", 8)),
    BAD("qwen3moe", "sigmoid", "key qwen3moe.expert_gating_func: unsupported: expected 1, found 2", .set = U32("qwen3moe.expert_gating_func", 2)),
    BAD("qwen3moe", "weights as they are", "key qwen3moe.expert_weights_norm: unsupported: expected 1, found 0",
        .set = { "qwen3moe.expert_weights_norm", .type = PRISM_GV_BOOL, .u = 0 }),
    BAD("qwen3moe", "scaled weights", "key qwen3moe.expert_weights_scale: unsupported: expected 0 or 1, found 2.5", .set = F32("qwen3moe.expert_weights_scale", 2.5)),
    BAD("mixtral", "groups of experts", "key llama.expert_group_count: unsupported", .set = U32("llama.expert_group_count", 2)),
    BAD("qwen2moe", "shared width 0", "key qwen2moe.expert_shared_feed_forward_length: expected 1..", .set = U32("qwen2moe.expert_shared_feed_forward_length", 0)),
    BAD("qwen2moe", "shared width wrong", "tensor blk.0.ffn_gate_shexp.weight: shape: expected [64, 65], found [64, 64]",
        .set = U32("qwen2moe.expert_shared_feed_forward_length", 65)),
    BAD("granitemoe", "shared width 2^32-1", "tensor blk.0.ffn_gate_shexp.weight: shape: expected [64, 4294967295], found [64, 64]",
        .set = U32("granitemoe.expert_shared_feed_forward_length", UINT32_MAX)),
    BAD("granitemoe", "a shared expert that no key names", "tensor blk.0.ffn_gate_shexp.weight and 5 more: unsupported in architecture granitemoe",
        .set = U32("granitemoe.expert_shared_feed_forward_length", 0)),
    GOOD("qwen3moe", "equal widths", .change = widths_equal),
    GOOD("qwen3moe", "the width of an FFN that all used experts share", .change = derived_width),
    GOOD("qwen3moe", "softmax", .set = U32("qwen3moe.expert_gating_func", 1)),
    GOOD("gpt-oss", "softmax of the chosen", .set = U32("gpt-oss.expert_gating_func", 3)),
    GOOD("qwen3moe", "weights scaled by 1", .set = F32("qwen3moe.expert_weights_scale", 1)),
    GOOD("qwen3", "sigmoid of no experts", .set = U32("qwen3.expert_gating_func", 2)),
};

/* ---- tensors of experts ---- */

static void rename_tensor(struct gb *g, const char *from, const char *to)
{
    struct gb_tensor *t = gb_tensor(g, from);
    assert_true(strlen(to) <= t->name_len);
    memcpy(t->name, to, strlen(to) + 1);
    t->name_len = strlen(to);
}

static void reshape(struct gb *g, const char *name, uint32_t n_dims, uint64_t ne0, uint64_t ne1, uint64_t ne2)
{
    struct gb_tensor *t = gb_tensor(g, name);
    t->n_dims = n_dims;
    t->ne[0] = ne0, t->ne[1] = ne1, t->ne[2] = ne2;
}

/* The first n of the third dimension are left. */
static void cut_slabs(struct gb *g, const char *name, uint64_t n)
{
    struct gb_tensor *t = gb_tensor(g, name);
    t->n_bytes = t->n_bytes / t->ne[2] * n;
    t->ne[2] = n;
}

static void set_float(struct gb *g, const char *name, size_t index, float value)
{
    memcpy(gb_tensor(g, name)->data + index * sizeof value, &value, sizeof value);
}

static void no_router(struct gb *g) { gb_remove_tensor(g, "blk.1.ffn_gate_inp.weight"); }
static void router_turned(struct gb *g) { reshape(g, "blk.0.ffn_gate_inp.weight", 2, 6, 64, 1); }
static void router_nan(struct gb *g) { set_float(g, "blk.1.ffn_gate_inp.weight", 64 * 3 + 5, NAN); }
static void router_5d(struct gb *g) { gb_tensor(g, "blk.0.ffn_gate_inp.weight")->n_dims = 5; }
static void five_down(struct gb *g) { cut_slabs(g, "blk.1.ffn_down_exps.weight", 5); }
static void flat_gate(struct gb *g) { reshape(g, "blk.0.ffn_gate_exps.weight", 2, 64, 192, 1); }
static void no_down(struct gb *g) { gb_remove_tensor(g, "blk.0.ffn_down_exps.weight"); }
static void no_up(struct gb *g) { gb_remove_tensor(g, "blk.1.ffn_up_exps.weight"); }
static void no_gate(struct gb *g) { gb_remove_tensor(g, "blk.0.ffn_gate_exps.weight"); }
static void dense_too(struct gb *g) { tiny_add_layers(g, "ffn_gate.weight", 64); }
static void exp_probs(struct gb *g) { tiny_add_layers(g, "exp_probs_b.bias", 6); }

/* gate_up of `rows` rows for each of the 6 experts, in both layers, instead of gate and up. */
static void fuse(struct gb *g, uint32_t rows)
{
    static const char *const gone[] = { "blk.0.ffn_gate_exps.weight", "blk.1.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight", "blk.1.ffn_up_exps.weight" };
    static const char *const added[] = { "blk.0.ffn_gate_up_exps.weight", "blk.1.ffn_gate_up_exps.weight" };

    for (size_t i = 0; i < COUNT(gone); i++)
        gb_remove_tensor(g, gone[i]);
    for (size_t i = 0; i < COUNT(added); i++)
        gb_add(g, added[i], prism_types[PRISM_Q8_0].id, 3, (uint64_t[]){ 64, rows, 6 }, NULL, prism_row_bytes(PRISM_Q8_0, 64) * rows * 6);
}
static void fused(struct gb *g) { fuse(g, 64); }
static void fused_half(struct gb *g) { fuse(g, 32); }
static void fused_and_gate(struct gb *g)
{
    fuse(g, 64);
    gb_add(g, "blk.0.ffn_up_exps.weight", prism_types[PRISM_Q8_0].id, 3, (uint64_t[]){ 64, 32, 6 }, NULL, prism_row_bytes(PRISM_Q8_0, 64) * 32 * 6);
}
static void one_by_one(struct gb *g)
{
    no_gate(g);
    gb_add(g, "blk.0.ffn_gate.0.weight", prism_types[PRISM_Q8_0].id, 2, (uint64_t[]){ 64, 32 }, NULL, prism_row_bytes(PRISM_Q8_0, 64) * 32);
}
static void gate_q8_k(struct gb *g)
{
    gb_remove_tensor(g, "blk.0.ffn_gate_exps.weight");
    gb_add(g, "blk.0.ffn_gate_exps.weight", 15, 3, (uint64_t[]){ 256, 8, 6 }, NULL, 292 * 8 * 6);
}
static void router_bias_short(struct gb *g)
{
    gb_remove_tensor(g, "blk.0.ffn_gate_inp.bias");
    gb_add_f32(g, "blk.0.ffn_gate_inp.bias", 5);
}
static void up_bias_turned(struct gb *g) { reshape(g, "blk.1.ffn_up_exps.bias", 2, 6, 32, 1); }
static void down_bias_flat(struct gb *g) { reshape(g, "blk.0.ffn_down_exps.bias", 1, 64 * 6, 1, 1); }
static void gate_bias_q8_0(struct gb *g)
{
    gb_remove_tensor(g, "blk.0.ffn_gate_exps.bias");
    gb_add(g, "blk.0.ffn_gate_exps.bias", prism_types[PRISM_Q8_0].id, 2, (uint64_t[]){ 32, 6 }, NULL, 34 * 6);
}
static void no_shared_up(struct gb *g) { gb_remove_tensor(g, "blk.1.ffn_up_shexp.weight"); }
static void no_shared_gate(struct gb *g) { gb_remove_tensor(g, "blk.1.ffn_gate_inp_shexp.weight"); }
static void shared_gate_short(struct gb *g)
{
    gb_remove_tensor(g, "blk.0.ffn_gate_inp_shexp.weight");
    gb_add_f32(g, "blk.0.ffn_gate_inp_shexp.weight", 32);
}
static void shared_down_turned(struct gb *g) { reshape(g, "blk.0.ffn_down_shexp.weight", 2, 32, 128, 1); }

static const struct hostile_case expert_tensors[] = {
    BAD("qwen3moe", "no router", "tensor blk.1.ffn_gate_inp.weight: missing (architecture qwen3moe, layer 1)", .change = no_router),
    BAD("qwen3moe", "router turned", "tensor blk.0.ffn_gate_inp.weight: shape: expected [64, 6], found [6, 64]", .change = router_turned),
    BAD("qwen3moe", "router of 5 dimensions", "blk.0.ffn_gate_inp.weight", .change = router_5d),
    BAD("qwen3moe", "NaN in the router", "tensor blk.1.ffn_gate_inp.weight: row 3, value 5: expected a finite value, found NaN", .change = router_nan,
        .check_tensors = true),
    BAD("qwen3moe", "down of 5 experts", "tensor blk.1.ffn_down_exps.weight: shape: expected [32, 64, 6], found [32, 64, ...]", .change = five_down),
    BAD("qwen3moe", "gate without its third dimension", "tensor blk.0.ffn_gate_exps.weight: shape: expected [64, 32, 6], found [64, 192]", .change = flat_gate),
    BAD("qwen3moe", "no down", "tensor blk.0.ffn_down_exps.weight: missing", .change = no_down),
    BAD("granitemoe", "no up", "tensor blk.1.ffn_up_exps.weight: missing", .change = no_up),
    BAD("mixtral", "no gate", "tensor blk.0.ffn_gate_exps.weight: missing", .change = no_gate),
    BAD("mixtral", "a tensor for each expert", "tensor blk.0.ffn_gate.0.weight: a tensor for each expert is unsupported", .change = one_by_one),
    BAD("qwen3moe", "dense FFN beside experts", "tensor blk.0.ffn_gate.weight and 1 more: unsupported in architecture qwen3moe", .change = dense_too),
    BAD("qwen3moe", "bias of the choice", "tensor blk.0.exp_probs_b.bias and 1 more: unsupported in architecture qwen3moe", .change = exp_probs),
    BAD("qwen3moe", "half of gate_up", "tensor blk.0.ffn_gate_up_exps.weight: shape: expected [64, 64, 6], found [64, 32, ...]", .change = fused_half),
    BAD("qwen3moe", "gate_up and up", "tensor blk.0.ffn_up_exps.weight: unsupported in architecture qwen3moe", .change = fused_and_gate),
    BAD("qwen3moe", "Q8_K", "tensor blk.0.ffn_gate_exps.weight: type Q8_K unsupported; supported: F32", .change = gate_q8_k),
    BAD("gpt-oss", "bias of the router too short", "tensor blk.0.ffn_gate_inp.bias: expected f32 [6], found F32 [5]", .change = router_bias_short),
    BAD("gpt-oss", "bias of up turned", "tensor blk.1.ffn_up_exps.bias: expected f32 [32, 6], found F32 [6, ...]", .change = up_bias_turned),
    BAD("gpt-oss", "bias of down in one row", "tensor blk.0.ffn_down_exps.bias: expected f32 [64, 6], found F32 [384]", .change = down_bias_flat),
    BAD("gpt-oss", "bias of gate in Q8_0", "tensor blk.0.ffn_gate_exps.bias: expected f32 [32, 6], found Q8_0 [32, ...]", .change = gate_bias_q8_0),
    BAD("qwen2moe", "no shared up", "tensor blk.1.ffn_up_shexp.weight: missing", .change = no_shared_up),
    BAD("qwen2moe", "no shared gate", "tensor blk.1.ffn_gate_inp_shexp.weight: missing", .change = no_shared_gate),
    BAD("qwen2moe", "shared gate too short", "tensor blk.0.ffn_gate_inp_shexp.weight: shape: expected [64, 1], found [32, 1]", .change = shared_gate_short),
    BAD("granitemoe", "shared down of the wrong width", "tensor blk.0.ffn_down_shexp.weight: shape: expected [64, 64], found [32, 128]", .change = shared_down_turned),
    GOOD("qwen3moe", "gate_up", .change = fused),
};

/* ---- windows, sinks, norms ---- */

static void pattern_of(struct gb *g, const char *key, size_t n, const int32_t *values)
{
    gb_array(g, key, PRISM_GV_I32, n, values, n * sizeof *values);
}
static void pattern_3(struct gb *g) { pattern_of(g, "gemma3.attention.sliding_window_pattern", 3, (int32_t[]){ 1, 0, 1 }); }
static void pattern_0(struct gb *g) { pattern_of(g, "gemma3.attention.sliding_window_pattern", 0, (int32_t[]){ 1 }); }
static void pattern_2(struct gb *g) { pattern_of(g, "gemma3.attention.sliding_window_pattern", 2, (int32_t[]){ 1, 2 }); }
static void pattern_minus(struct gb *g) { pattern_of(g, "gemma3.attention.sliding_window_pattern", 2, (int32_t[]){ -1, 0 }); }
static void pattern_ok(struct gb *g) { pattern_of(g, "gemma3.attention.sliding_window_pattern", 2, (int32_t[]){ 0, 1 }); }
static void pattern_bools(struct gb *g) { gb_array(g, "gemma3.attention.sliding_window_pattern", PRISM_GV_BOOL, 2, (uint8_t[]){ 0, 1 }, 2); }
static void pattern_nan(struct gb *g) { gb_array(g, "gemma3.attention.sliding_window_pattern", PRISM_GV_F32, 2, (float[]){ NAN, 0 }, 8); }
static void pattern_words(struct gb *g) { gb_strings(g, "gemma3.attention.sliding_window_pattern", (const char *[]){ "yes", "no" }, 2); }
static void no_windows(struct gb *g)
{
    gb_u32(g, "gemma3.attention.sliding_window", 0);
    gb_f32(g, "gemma3.rope.freq_base_swa", 5000);
}
static void no_sinks(struct gb *g) { gb_remove_tensor(g, "blk.1.attn_sinks.weight"); }
static void sinks_short(struct gb *g)
{
    gb_remove_tensor(g, "blk.0.attn_sinks.weight");
    gb_add_f32(g, "blk.0.attn_sinks.weight", 1);
}
static void sinks_nan(struct gb *g) { set_float(g, "blk.0.attn_sinks.weight", 1, NAN); }
static void sinks_inf(struct gb *g) { set_float(g, "blk.1.attn_sinks.weight", 0, INFINITY); }
static void no_post_attention(struct gb *g) { gb_remove_tensor(g, "blk.0.post_attention_norm.weight"); }
static void no_post_ffw(struct gb *g) { gb_remove_tensor(g, "blk.1.post_ffw_norm.weight"); }
static void short_post_ffw(struct gb *g)
{
    gb_remove_tensor(g, "blk.1.post_ffw_norm.weight");
    gb_add_f32(g, "blk.1.post_ffw_norm.weight", 32);
}
static void ffn_norm_in_gpt_oss(struct gb *g) { rename_tensor(g, "blk.0.post_attention_norm.weight", "blk.0.ffn_norm.weight"); }
static void short_head_norm(struct gb *g)
{
    gb_remove_tensor(g, "blk.0.attn_k_norm.weight");
    gb_add_f32(g, "blk.0.attn_k_norm.weight", 64);
}
static void fused_up_half(struct gb *g) { reshape(g, "blk.0.ffn_up.weight", 2, 128, 128, 1); }
static void fused_up_as_gate(struct gb *g) { gb_u32(g, "phi3.feed_forward_length", 256); }
static void no_v_bias(struct gb *g) { gb_remove_tensor(g, "blk.1.attn_v.bias"); }

static const struct hostile_case layers[] = {
    BAD("gpt-oss", "no window", "key gpt-oss.attention.sliding_window: missing", .set = NO("gpt-oss.attention.sliding_window")),
    BAD("gpt-oss", "window 0", "key gpt-oss.attention.sliding_window: expected 1..4294967295, found 0", .set = U32("gpt-oss.attention.sliding_window", 0)),
    BAD("gemma3", "window -1", "key gemma3.attention.sliding_window: expected 0..4294967295, found -1", .set = I32("gemma3.attention.sliding_window", -1)),
    BAD("gemma2", "window 2^32", "key gemma2.attention.sliding_window: expected 0..4294967295, found 4294967296",
        .set = U64("gemma2.attention.sliding_window", UINT64_C(1) << 32)),
    BAD("gemma3", "window f32", "key gemma3.attention.sliding_window: type: expected integer, found f32", .set = F32("gemma3.attention.sliding_window", 16)),
    BAD("gemma3", "pattern of 3 layers", "key gemma3.attention.sliding_window_pattern: expected 2 elements, one per layer, found 3", .change = pattern_3),
    BAD("gemma3", "empty pattern", "key gemma3.attention.sliding_window_pattern: expected 2 elements, one per layer, found 0", .change = pattern_0),
    BAD("gemma3", "pattern with a 2", "key gemma3.attention.sliding_window_pattern: element 1: expected true or false", .change = pattern_2),
    BAD("gemma3", "pattern with a -1", "key gemma3.attention.sliding_window_pattern: element 0: expected true or false", .change = pattern_minus),
    BAD("gemma3", "pattern with a NaN", "key gemma3.attention.sliding_window_pattern: element 0: expected true or false", .change = pattern_nan),
    BAD("gemma3", "pattern of words", "key gemma3.attention.sliding_window_pattern: element 0: expected true or false", .change = pattern_words),
    BAD("gemma3", "pattern a word", "key gemma3.attention.sliding_window_pattern: type: expected integer, found str",
        .set = STR("gemma3.attention.sliding_window_pattern", "all")),
    BAD("gemma3", "pattern -2", "key gemma3.attention.sliding_window_pattern: expected 0..", .set = I32("gemma3.attention.sliding_window_pattern", -2)),
    BAD("gpt-oss", "no sinks", "tensor blk.1.attn_sinks.weight: missing (architecture gpt-oss, layer 1)", .change = no_sinks),
    BAD("gpt-oss", "sinks too short", "tensor blk.0.attn_sinks.weight: expected f32 [2], found F32 [1]", .change = sinks_short),
    BAD("gpt-oss", "sink NaN", "tensor blk.0.attn_sinks.weight: row 0, value 1: expected a finite value, found NaN", .change = sinks_nan, .check_tensors = true),
    BAD("gpt-oss", "sink infinite", "tensor blk.1.attn_sinks.weight: row 0, value 0: expected a finite value, found infinite", .change = sinks_inf,
        .check_tensors = true),
    BAD("gemma2", "no norm after attention", "tensor blk.0.post_attention_norm.weight: missing (architecture gemma2, layer 0)", .change = no_post_attention),
    BAD("gemma3", "no norm after the FFN", "tensor blk.1.post_ffw_norm.weight: missing (architecture gemma3, layer 1)", .change = no_post_ffw),
    BAD("gemma3", "norm after the FFN too short", "tensor blk.1.post_ffw_norm.weight: expected f32 [64], found F32 [32]", .change = short_post_ffw),
    BAD("gemma3", "norm of keys too long", "tensor blk.0.attn_k_norm.weight: expected f32 [32], found F32 [64]", .change = short_head_norm),
    BAD("gpt-oss", "another name of the FFN's norm", "tensor blk.0.post_attention_norm.weight: missing", .change = ffn_norm_in_gpt_oss),
    BAD("gpt-oss", "no bias of values", "tensor blk.1.attn_v.bias: missing", .change = no_v_bias),
    BAD("phi3", "gate and up of the wrong shape", "tensor blk.0.ffn_up.weight: shape: expected [64, 256], found [128, 128]", .change = fused_up_half),
    BAD("phi3", "gate and up half as long", "tensor blk.0.ffn_up.weight: shape: expected [64, 512], found [64, 256]", .change = fused_up_as_gate),
    GOOD("gemma3", "window 2^32-1", .set = U32("gemma3.attention.sliding_window", UINT32_MAX)),
    GOOD("gemma3", "no window", .set = NO("gemma3.attention.sliding_window")),
    GOOD("gemma3", "window 0, with a base for windows", .change = no_windows),
    GOOD("gemma3", "pattern as numbers", .change = pattern_ok),
    GOOD("gemma3", "pattern as booleans", .change = pattern_bools),
    GOOD("gemma3", "pattern 0: all", .set = U32("gemma3.attention.sliding_window_pattern", 0)),
    GOOD("gemma3", "pattern 1: none", .set = U32("gemma3.attention.sliding_window_pattern", 1)),
    GOOD("phi3", "a window that nobody applies", .set = U32("phi3.attention.sliding_window", 47)),
};

/* ---- multipliers and rotations ---- */

static void temperature_of_0(struct gb *g)
{
    gb_str(g, "mistral3.rope.scaling.type", "none");
    gb_u32(g, "mistral3.rope.scaling.original_context_length", 0);
}

static const struct hostile_case numbers[] = {
    BAD("gemma2", "cap -50", "key gemma2.attn_logit_softcapping: expected a finite number above 1e-06 and below 1e+06, found -50",
        .set = F32("gemma2.attn_logit_softcapping", -50)),
    BAD("gemma2", "cap 0", "key gemma2.attn_logit_softcapping: expected a finite number", .set = F32("gemma2.attn_logit_softcapping", 0)),
    BAD("gemma2", "cap 1e-38", "key gemma2.attn_logit_softcapping: expected a finite number", .set = F32("gemma2.attn_logit_softcapping", 1e-38)),
    BAD("gemma2", "cap NaN", "key gemma2.final_logit_softcapping: expected a number, found NaN", .set = F32("gemma2.final_logit_softcapping", NAN)),
    BAD("gemma2", "cap infinite", "key gemma2.final_logit_softcapping: expected a finite number", .set = F32("gemma2.final_logit_softcapping", INFINITY)),
    BAD("gemma3", "cap of logits -1", "key gemma3.final_logit_softcapping: expected a finite number", .set = F32("gemma3.final_logit_softcapping", -1)),
    BAD("gemma3", "cap of logits NaN", "key gemma3.final_logit_softcapping: expected a number, found NaN", .set = F32("gemma3.final_logit_softcapping", NAN)),
    BAD("gemma3", "cap of attention in gemma3", "key gemma3.attn_logit_softcapping: unsupported: expected 0, found 50", .set = F32("gemma3.attn_logit_softcapping", 50)),
    BAD("granite", "no logit_scale", "key granite.logit_scale: missing", .set = NO("granite.logit_scale")),
    BAD("granite", "logit_scale 0", "key granite.logit_scale: expected a finite number above 1e-06", .set = F32("granite.logit_scale", 0)),
    BAD("granitemoe", "logit_scale -8", "key granitemoe.logit_scale: expected a finite number above 1e-06", .set = F32("granitemoe.logit_scale", -8)),
    BAD("granite", "logit_scale infinite", "key granite.logit_scale: expected a finite number", .set = F32("granite.logit_scale", INFINITY)),
    BAD("granite", "embedding_scale NaN", "key granite.embedding_scale: expected a number, found NaN", .set = F32("granite.embedding_scale", NAN)),
    BAD("granite", "residual_scale NaN", "key granite.residual_scale: expected a number, found NaN", .set = F32("granite.residual_scale", NAN)),
    BAD("granitemoe", "residual_scale -1", "key granitemoe.residual_scale: expected a finite number", .set = F32("granitemoe.residual_scale", -1)),
    BAD("granite", "rotation a number", "key granite.rope.scaling.finetuned: type: expected bool, found u32", .set = U32("granite.rope.scaling.finetuned", 0)),
    BAD("gemma3", "base of windows 0", "key gemma3.rope.freq_base_swa: expected a finite number above 1", .set = F32("gemma3.rope.freq_base_swa", 0)),
    BAD("gemma3", "base of windows NaN", "key gemma3.rope.freq_base_swa: expected a number, found NaN", .set = F32("gemma3.rope.freq_base_swa", NAN)),
    BAD("gemma2", "base of windows in gemma2", "key gemma2.rope.freq_base_swa: unsupported: expected 10000, found 5000", .set = F32("gemma2.rope.freq_base_swa", 5000)),
    BAD("mistral3", "beta_fast -1", "key mistral3.rope.scaling.yarn_beta_fast: expected a finite number above 0", .set = F32("mistral3.rope.scaling.yarn_beta_fast", -1)),
    BAD("mistral3", "beta_slow NaN", "key mistral3.rope.scaling.yarn_beta_slow: expected a number, found NaN", .set = F32("mistral3.rope.scaling.yarn_beta_slow", NAN)),
    BAD("mistral3", "log multiplier NaN", "key mistral3.rope.scaling.yarn_log_multiplier: expected a number, found NaN",
        .set = F32("mistral3.rope.scaling.yarn_log_multiplier", NAN)),
    BAD("mistral3", "log multiplier -1", "key mistral3.rope.scaling.yarn_log_multiplier: expected a finite number", .set = F32("mistral3.rope.scaling.yarn_log_multiplier", -1)),
    BAD("mistral3", "temperature infinite", "key mistral3.attention.temperature_scale: expected a finite number", .set = F32("mistral3.attention.temperature_scale", INFINITY)),
    BAD("mistral3", "temperature from token 0", "key mistral3.rope.scaling.original_context_length: expected 1..", .change = temperature_of_0),
    BAD("phi3", "odd dimension_count", "key phi3.rope.dimension_count: expected an even number, 2..32, found 23", .set = U32("phi3.rope.dimension_count", 23)),
    BAD("gpt-oss", "dimension_count below the head", "key gpt-oss.rope.dimension_count: expected the head size 32, found 16", .set = U32("gpt-oss.rope.dimension_count", 16)),
    GOOD("gemma3", "no cap of logits", .set = F32("gemma3.final_logit_softcapping", 0)),
    GOOD("granite", "no scale of embeddings", .set = F32("granite.embedding_scale", 0)),
    GOOD("granite", "no rotation", .set = { "granite.rope.scaling.finetuned", .type = PRISM_GV_BOOL, .u = 0 }),
    GOOD("mistral3", "no temperature", .set = F32("mistral3.attention.temperature_scale", 0)),
};

/* ---- images ---- */

static void projector(struct gb *g)
{
    gb_str(g, "general.architecture", "clip");
    gb_str(g, "general.type", "mmproj");
}
static void type_number(struct gb *g) { gb_u32(g, "general.type", 1); }

static const struct hostile_case images[] = {
    BAD("qwen3vl", "mmproj", "key general.architecture: \"clip\" is the image part of a model (mmproj), and images are unsupported; the file of the text model "
        "works without it", .change = projector),
    BAD("qwen3vl", "mmproj by its type alone", "\"qwen3vl\" is the image part of a model", .set = STR("general.type", "mmproj")),
    BAD("qwen3", "sections without images", "key qwen3.rope.dimension_sections: unsupported", .set = U32("qwen3.rope.dimension_sections", 6)),
    GOOD("qwen3vl", "a text model", .set = STR("general.type", "model")),
    GOOD("qwen3vl", "a type that is no text", .change = type_number),
    GOOD("qwen3vlmoe", "no sections", .set = NO("qwen3vlmoe.rope.dimension_sections")),
};

#define RUN(name) static void test_##name(void **state) { (void)state; hostile_run(name, COUNT(name)); }
RUN(expert_keys)
RUN(expert_tensors)
RUN(layers)
RUN(numbers)
RUN(images)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expert_keys), cmocka_unit_test(test_expert_tensors), cmocka_unit_test(test_layers), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
