/* test_hostile_gemma4.c - gemma4's keys and tensors, wrong ones: shapes that differ from layer to layer, keys and values of other layers, embeddings
 * of single layers, experts with norms of their own. Each is refused in one line, or right to load. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KEY(name) "gemma4." name
#define U32(name, value) { KEY(name), .type = PRISM_GV_U32, .u = value }
#define F32(name, value) { KEY(name), .type = PRISM_GV_F32, .f = value }
#define NO(name) { KEY(name), .remove = true }
#define BAD(what, says, ...) { 0, what, 'R', says, .golden = "gemma4", __VA_ARGS__ }
#define GOOD(what, ...) { 0, what, 'A', "", .golden = "gemma4", __VA_ARGS__ }
#define BAD_MOE(what, says, ...) { 0, what, 'R', says, .golden = "gemma4-moe", __VA_ARGS__ }
#define GOOD_MOE(what, ...) { 0, what, 'A', "", .golden = "gemma4-moe", __VA_ARGS__ }

static void of_6(struct gb *g, const char *key, const uint32_t v[6]) { gb_array(g, key, PRISM_GV_U32, 6, v, 6 * sizeof *v); }
static void pattern(struct gb *g, const uint8_t v[6]) { gb_array(g, KEY("attention.sliding_window_pattern"), PRISM_GV_BOOL, 6, v, 6); }

/* ---- layers that differ ---- */

static void kv_heads_of_5(struct gb *g) { gb_array(g, KEY("attention.head_count_kv"), PRISM_GV_U32, 5, (uint32_t[]){ 2, 1, 2, 1, 2 }, 20); }
static void kv_heads_3(struct gb *g) { of_6(g, KEY("attention.head_count_kv"), (uint32_t[]){ 2, 1, 2, 3, 2, 1 }); }
static void kv_heads_0(struct gb *g) { of_6(g, KEY("attention.head_count_kv"), (uint32_t[]){ 2, 1, 2, 0, 2, 1 }); }
static void kv_heads_swapped(struct gb *g) { of_6(g, KEY("attention.head_count_kv"), (uint32_t[]){ 1, 2, 2, 1, 2, 1 }); }
static void widths_wrong(struct gb *g) { of_6(g, KEY("feed_forward_length"), (uint32_t[]){ 24, 24, 24, 24, 24, 48 }); }
static void width_0(struct gb *g) { of_6(g, KEY("feed_forward_length"), (uint32_t[]){ 24, 24, 0, 24, 48, 48 }); }
static void one_width(struct gb *g) { gb_u32(g, KEY("feed_forward_length"), 24); }
static void heads_differ(struct gb *g) { of_6(g, KEY("attention.head_count"), (uint32_t[]){ 4, 4, 4, 4, 2, 2 }); }
static void no_pattern(struct gb *g) { gb_remove(g, KEY("attention.sliding_window_pattern")); }
static void short_q_norm(struct gb *g)
{
    gb_remove_tensor(g, "blk.1.attn_q_norm.weight");
    gb_add_f32(g, "blk.1.attn_q_norm.weight", 16);
}
static void no_freqs(struct gb *g) { gb_remove_tensor(g, "rope_freqs.weight"); }
static void freq_0(struct gb *g) { memset(gb_tensor(g, "rope_freqs.weight")->data + 4, 0, 4); }
static void freq_infinite(struct gb *g) { memcpy(gb_tensor(g, "rope_freqs.weight")->data + 8, &(float){ INFINITY }, 4); }

static const struct hostile_case layers[] = {
    GOOD("as it is", .check_tensors = true),
    BAD("no key_length", "key gemma4.attention.key_length: ", .set = NO("attention.key_length")),
    BAD("no value_length", "key gemma4.attention.value_length: missing", .set = NO("attention.value_length")),
    BAD("key_length 520", "key gemma4.attention.key_length: head size: expected a multiple of 8, 8..512, found 520", .set = U32("attention.key_length", 520)),
    BAD("no key_length_swa", "key gemma4.attention.key_length_swa: missing", .set = NO("attention.key_length_swa")),
    BAD("key_length_swa 0", "key gemma4.attention.key_length_swa: head size: expected a multiple of 8", .set = U32("attention.key_length_swa", 0)),
    BAD("key_length_swa 20", "key gemma4.attention.key_length_swa: head size: expected a multiple of 8", .set = U32("attention.key_length_swa", 20)),
    BAD("key_length_swa 2^32-1", "key gemma4.attention.key_length_swa: head size", .set = U32("attention.key_length_swa", UINT32_MAX)),
    BAD("no value_length_swa", "key gemma4.attention.value_length_swa: missing", .set = NO("attention.value_length_swa")),
    BAD("value_length_swa 24", "key gemma4.attention.value_length_swa: different K and V head sizes are unsupported: expected 16, found 24",
        .set = U32("attention.value_length_swa", 24)),
    BAD("rotates more than a head", "key gemma4.rope.dimension_count_swa: expected an even number, 2..16, found 18", .set = U32("rope.dimension_count_swa", 18)),
    BAD("odd rotation", "key gemma4.rope.dimension_count_swa: expected an even number, 2..16, found 7", .set = U32("rope.dimension_count_swa", 7)),
    BAD("base of windows NaN", "key gemma4.rope.freq_base_swa: expected a number, found NaN", .set = F32("rope.freq_base_swa", NAN)),
    BAD("no window", "key gemma4.attention.sliding_window: missing", .set = NO("attention.sliding_window")),
    BAD("no pattern", "key gemma4.attention.sliding_window_pattern: missing", .change = no_pattern),
    BAD("kv heads of 5 layers", "key gemma4.attention.head_count_kv: array length: expected 6", .change = kv_heads_of_5),
    BAD("3 kv heads of 4", "key gemma4.attention.head_count_kv: expected a divisor of head_count 4, found 3", .change = kv_heads_3),
    BAD("0 kv heads", "key gemma4.attention.head_count_kv: expected 1..65536, found 0", .change = kv_heads_0),
    BAD("kv heads of other layers", "tensor blk.0.attn_k.weight: shape: expected [48, 16], found [48, 32]", .change = kv_heads_swapped),
    BAD("query heads that differ", "key gemma4.attention.head_count: per-layer values are unsupported", .change = heads_differ),
    BAD("widths of other layers", "tensor blk.4.ffn_gate.weight: shape: expected [48, 24], found [48, 48]", .change = widths_wrong),
    BAD("width 0", "key gemma4.feed_forward_length: expected 1..16777216, found 0", .change = width_0),
    BAD("one width", "tensor blk.4.ffn_gate.weight: shape: expected [48, 24], found [48, 48]", .change = one_width),
    BAD("norm of queries of the other head size", "tensor blk.1.attn_q_norm.weight: expected f32 [24], found F32 [16]", .change = short_q_norm),
    BAD("no divisors", "tensor rope_freqs.weight: missing", .change = no_freqs),
    BAD("divisor 0", "tensor rope_freqs.weight: value 1: expected a finite number above 0, found 0", .change = freq_0),
    BAD("divisor infinite", "tensor rope_freqs.weight: value 2: expected a finite number above 0, found inf", .change = freq_infinite),
};

/* ---- keys and values of other layers ---- */

static void full_before(struct gb *g) { pattern(g, (uint8_t[]){ 1, 0, 0, 0, 1, 0 }); }
static void window_before(struct gb *g) { pattern(g, (uint8_t[]){ 1, 0, 1, 1, 1, 0 }); }
static void other_heads(struct gb *g) { of_6(g, KEY("attention.head_count_kv"), (uint32_t[]){ 2, 1, 2, 1, 1, 1 }); }
static void no_k_norm(struct gb *g) { gb_remove_tensor(g, "blk.3.attn_k_norm.weight"); }
static void no_k(struct gb *g) { gb_remove_tensor(g, "blk.2.attn_k.weight"); }
static void keys_of_a_shared_layer(struct gb *g)
{
    gb_add(g, "blk.4.attn_k.weight", 0, 2, (uint64_t[]){ 48, 32 }, NULL, 6144);
    gb_add(g, "blk.4.attn_v.weight", 0, 2, (uint64_t[]){ 48, 32 }, NULL, 6144);
    gb_add_f32(g, "blk.4.attn_k_norm.weight", 16);
}
static void wrong_keys_of_a_shared_layer(struct gb *g) { gb_add(g, "blk.4.attn_k.weight", 0, 2, (uint64_t[]){ 48, 24 }, NULL, 4608); }
static void values_are_keys(struct gb *g) { gb_remove_tensor(g, "blk.3.attn_v.weight"); }

static const struct hostile_case shared[] = {
    BAD("all layers", "key gemma4.attention.shared_kv_layers: expected 0..5, found 6", .set = U32("attention.shared_kv_layers", 6)),
    BAD("none", "tensor blk.4.attn_k.weight: missing (architecture gemma4, layer 4)", .set = U32("attention.shared_kv_layers", 0)),
    BAD("3: a window last", "key gemma4.attention.shared_kv_layers: a shared layer without a window has no layer like it",
        .set = U32("attention.shared_kv_layers", 3)),
    BAD("5: only one of its own", "key gemma4.attention.shared_kv_layers: a shared layer without a window has no layer like it",
        .set = U32("attention.shared_kv_layers", 5)),
    BAD("no window before", "key gemma4.attention.shared_kv_layers: a shared layer with a window has no layer like it", .change = full_before),
    BAD("no full layer before", "key gemma4.attention.shared_kv_layers: a shared layer with a window has no layer like it", .change = window_before),
    BAD("other heads", "key gemma4.attention.shared_kv_layers: a shared layer with a window has no layer like it", .change = other_heads),
    BAD("no keys in a layer of its own", "tensor blk.2.attn_k.weight: missing", .change = no_k),
    BAD("no norm of keys in a layer of its own", "tensor blk.3.attn_k_norm.weight: missing", .change = no_k_norm),
    BAD("wrong keys in a shared layer", "tensor blk.4.attn_k.weight: shape: expected [48, 32], found [48, 24]", .change = wrong_keys_of_a_shared_layer),
    GOOD("keys in a shared layer, which nobody uses", .change = keys_of_a_shared_layer),
    GOOD("values that are keys", .change = values_are_keys),
};

/* ---- embeddings of single layers, scales ---- */

static void no_table(struct gb *g) { gb_remove_tensor(g, "per_layer_token_embd.weight"); }
static void no_proj(struct gb *g) { gb_remove_tensor(g, "per_layer_model_proj.weight"); }
static void no_proj_norm(struct gb *g) { gb_remove_tensor(g, "per_layer_proj_norm.weight"); }
static void no_gate(struct gb *g) { gb_remove_tensor(g, "blk.3.inp_gate.weight"); }
static void no_out(struct gb *g) { gb_remove_tensor(g, "blk.0.proj.weight"); }
static void no_post_norm(struct gb *g) { gb_remove_tensor(g, "blk.5.post_norm.weight"); }
static void short_table(struct gb *g)
{
    gb_remove_tensor(g, "per_layer_token_embd.weight");
    gb_add(g, "per_layer_token_embd.weight", 0, 2, (uint64_t[]){ 48, 319 }, NULL, 48 * 319 * 4);
}
static void q8_0_table(struct gb *g)
{
    gb_remove_tensor(g, "per_layer_token_embd.weight");
    gb_u32(g, KEY("embedding_length_per_layer_input"), 16);
    gb_add(g, "per_layer_token_embd.weight", 8, 2, (uint64_t[]){ 96, 320 }, NULL, 96 / 32 * 34 * 320);
    gb_remove_tensor(g, "per_layer_model_proj.weight");
    gb_add(g, "per_layer_model_proj.weight", 0, 2, (uint64_t[]){ 48, 96 }, NULL, 48 * 96 * 4);
    gb_remove_tensor(g, "per_layer_proj_norm.weight");
    gb_add_f32(g, "per_layer_proj_norm.weight", 16);
}
static void two_scales(struct gb *g)
{
    gb_remove_tensor(g, "blk.1.layer_output_scale.weight");
    gb_add_f32(g, "blk.1.layer_output_scale.weight", 2);
}
static void no_scale(struct gb *g) { gb_remove_tensor(g, "blk.1.layer_output_scale.weight"); }
static void scale_nan(struct gb *g) { memcpy(gb_tensor(g, "blk.1.layer_output_scale.weight")->data, &(float){ NAN }, 4); }

static const struct hostile_case embeddings[] = {
    BAD("no width", "key gemma4.embedding_length_per_layer_input: missing", .set = NO("embedding_length_per_layer_input")),
    BAD("width 2^32-1", "key gemma4.embedding_length_per_layer_input: expected 0..65536", .set = U32("embedding_length_per_layer_input", UINT32_MAX)),
    BAD("another width", "tensor per_layer_token_embd.weight: shape: expected [96, 320], found [48, 320]", .set = U32("embedding_length_per_layer_input", 16)),
    BAD("tensors without a width", "tensor per_layer_token_embd.weight and", .set = U32("embedding_length_per_layer_input", 0)),
    BAD("no table", "tensor per_layer_token_embd.weight: missing", .change = no_table),
    BAD("a table of fewer tokens", "tensor per_layer_token_embd.weight: shape: expected [48, 320], found [48, 319]", .change = short_table),
    BAD("parts of blocks", "tensor per_layer_token_embd.weight: a layer's values are no whole blocks of the type", .change = q8_0_table),
    BAD("no projection", "tensor per_layer_model_proj.weight: missing", .change = no_proj),
    BAD("no norm", "tensor per_layer_proj_norm.weight: missing", .change = no_proj_norm),
    BAD("no gate", "tensor blk.3.inp_gate.weight: missing (architecture gemma4, layer 3)", .change = no_gate),
    BAD("no way out", "tensor blk.0.proj.weight: missing", .change = no_out),
    BAD("no norm behind it", "tensor blk.5.post_norm.weight: missing", .change = no_post_norm),
    BAD("two scales", "tensor blk.1.layer_output_scale.weight: expected f32 [1], found F32 [2]", .change = two_scales),
    BAD("scale NaN", "tensor blk.1.layer_output_scale.weight: row 0, value 0: expected a finite value, found NaN", .change = scale_nan, .check_tensors = true),
    BAD("cap -1", "key gemma4.final_logit_softcapping: expected a finite number", .set = F32("final_logit_softcapping", -1)),
    BAD("cap NaN", "key gemma4.final_logit_softcapping: expected a number, found NaN", .set = F32("final_logit_softcapping", NAN)),
    GOOD("no cap", .set = F32("final_logit_softcapping", 0)),
    GOOD("no key of the cap", .set = NO("final_logit_softcapping")),
    GOOD("no scale", .change = no_scale),
};

/* ---- experts ---- */

static void no_router_scale(struct gb *g) { gb_remove_tensor(g, "blk.1.ffn_gate_inp.scale"); }
static void short_router_scale(struct gb *g)
{
    gb_remove_tensor(g, "blk.0.ffn_gate_inp.scale");
    gb_add_f32(g, "blk.0.ffn_gate_inp.scale", 6);
}
static void short_down_scale(struct gb *g)
{
    gb_remove_tensor(g, "blk.2.ffn_down_exps.scale");
    gb_add_f32(g, "blk.2.ffn_down_exps.scale", 5);
}
static void no_down_scale(struct gb *g) { gb_remove_tensor(g, "blk.2.ffn_down_exps.scale"); }
static void up_scale(struct gb *g) { gb_add_f32(g, "blk.0.ffn_gate_up_exps.scale", 6); }
static void no_pre_norm_2(struct gb *g) { gb_remove_tensor(g, "blk.0.pre_ffw_norm_2.weight"); }
static void no_post_norm_1(struct gb *g) { gb_remove_tensor(g, "blk.1.post_ffw_norm_1.weight"); }
static void no_post_norm_2(struct gb *g) { gb_remove_tensor(g, "blk.2.post_ffw_norm_2.weight"); }
static void no_dense(struct gb *g) { gb_remove_tensor(g, "blk.2.ffn_up.weight"); }

static void a_dense_layer(struct gb *g)
{
    static const char *const gone[] = { "blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_inp.scale", "blk.0.ffn_gate_up_exps.weight", "blk.0.ffn_down_exps.weight",
                                        "blk.0.ffn_down_exps.scale", "blk.0.pre_ffw_norm_2.weight", "blk.0.post_ffw_norm_1.weight",
                                        "blk.0.post_ffw_norm_2.weight" };
    for (size_t i = 0; i < COUNT(gone); i++)
        gb_remove_tensor(g, gone[i]);
}

static const struct hostile_case experts[] = {
    GOOD_MOE("as it is", .check_tensors = true),
    BAD_MOE("no scale of the router", "tensor blk.1.ffn_gate_inp.scale: missing", .change = no_router_scale),
    BAD_MOE("scale of the router too short", "tensor blk.0.ffn_gate_inp.scale: expected f32 [48], found F32 [6]", .change = short_router_scale),
    BAD_MOE("scales of 5 experts", "tensor blk.2.ffn_down_exps.scale: expected f32 [6], found F32 [5]", .change = short_down_scale),
    BAD_MOE("scales of gate and up", "tensor blk.0.ffn_gate_up_exps.scale: scales of whole tensors are unsupported", .change = up_scale),
    BAD_MOE("no norm before experts", "tensor blk.0.pre_ffw_norm_2.weight: missing", .change = no_pre_norm_2),
    BAD_MOE("no norm behind the dense FFN", "tensor blk.1.post_ffw_norm_1.weight: missing", .change = no_post_norm_1),
    BAD_MOE("no norm behind experts", "tensor blk.2.post_ffw_norm_2.weight: missing", .change = no_post_norm_2),
    BAD_MOE("no dense FFN", "tensor blk.2.ffn_up.weight: missing", .change = no_dense),
    BAD_MOE("expert_count 0", "tensor blk.0.ffn_gate_inp.scale: scales of whole tensors are unsupported", .set = U32("expert_count", 0)),
    BAD_MOE("no expert_used_count", "key gemma4.expert_used_count: missing", .set = NO("expert_used_count")),
    GOOD_MOE("experts without scales", .change = no_down_scale),
    GOOD_MOE("a layer without experts", .change = a_dense_layer),
};

#define RUN(name) static void test_##name(void **state) { (void)state; hostile_run(name, COUNT(name)); }
RUN(layers)
RUN(shared)
RUN(embeddings)
RUN(experts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers), cmocka_unit_test(test_shared), cmocka_unit_test(test_embeddings), cmocka_unit_test(test_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
