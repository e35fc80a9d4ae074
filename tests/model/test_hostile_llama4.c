/* test_hostile_llama4.c - llama4's and phimoe's keys and tensors, wrong ones: chunks, experts in every second layer, biases of norms. Each is refused
 * in one line, or right to load. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define U32(name, value) { name, .type = PRISM_GV_U32, .u = value }
#define F32(name, value) { name, .type = PRISM_GV_F32, .f = value }
#define NO(name) { name, .remove = true }
#define BAD(arch, what, says, ...) { 0, what, 'R', says, .golden = arch, __VA_ARGS__ }
#define GOOD(arch, what, ...) { 0, what, 'A', "", .golden = arch, __VA_ARGS__ }

static void no_router(struct gb *g) { gb_remove_tensor(g, "blk.1.ffn_gate_inp.weight"); }
static void no_shared(struct gb *g) { gb_remove_tensor(g, "blk.3.ffn_up_shexp.weight"); }
static void head_norm(struct gb *g) { gb_add_f32(g, "blk.0.attn_q_norm.weight", 16); }
static void pattern_of_4(struct gb *g) { gb_array(g, "llama4.attention.sliding_window_pattern", PRISM_GV_BOOL, 4, (uint8_t[]){ 1, 1, 1, 0 }, 4); }

static const struct hostile_case llama4[] = {
    GOOD("llama4", "as it is", .check_tensors = true),
    GOOD("llama4", "chunks that the file names", .set = U32("llama4.attention.sliding_window", 8192)),
    BAD("llama4", "no chunks", "key llama4.attention.sliding_window: layers that all see all tokens are unsupported",
        .set = U32("llama4.attention.sliding_window", 0)),
    BAD("llama4", "chunks of text", "key llama4.attention.sliding_window: type: expected integer, found str",
        .set = { "llama4.attention.sliding_window", .s = "8192" }),
    BAD("llama4", "pattern of 4 layers", "key llama4.attention.sliding_window_pattern: expected 5 elements, one per layer, found 4", .change = pattern_of_4),
    BAD("llama4", "no step", "key llama4.interleave_moe_layer_step: missing", .set = NO("llama4.interleave_moe_layer_step")),
    BAD("llama4", "step 0", "key llama4.interleave_moe_layer_step: expected 1..5, found 0", .set = U32("llama4.interleave_moe_layer_step", 0)),
    BAD("llama4", "step 6", "key llama4.interleave_moe_layer_step: expected 1..5, found 6", .set = U32("llama4.interleave_moe_layer_step", 6)),
    BAD("llama4", "step 1", "tensor blk.0.ffn_gate_inp.weight: missing (architecture llama4, layer 0)", .set = U32("llama4.interleave_moe_layer_step", 1)),
    BAD("llama4", "step 3", "tensor blk.1.ffn_gate.weight: missing (architecture llama4, layer 1)", .set = U32("llama4.interleave_moe_layer_step", 3)),
    BAD("llama4", "no experts", "key llama4.expert_count: missing", .set = NO("llama4.expert_count")),
    BAD("llama4", "softmax", "key llama4.expert_gating_func: unsupported: expected 2, found 1", .set = U32("llama4.expert_gating_func", 1)),
    BAD("llama4", "base of windows", "key llama4.rope.freq_base_swa: unsupported: expected 100000, found 5000", .set = F32("llama4.rope.freq_base_swa", 5000)),
    BAD("llama4", "half a head rotated", "key llama4.rope.dimension_count: expected the head size 16, found 8", .set = U32("llama4.rope.dimension_count", 8)),
    BAD("llama4", "no router", "tensor blk.1.ffn_gate_inp.weight: missing", .change = no_router),
    BAD("llama4", "no shared expert", "tensor blk.3.ffn_up_shexp.weight: missing", .change = no_shared),
    BAD("llama4", "norms of heads with weights", "tensor blk.0.attn_q_norm.weight: unsupported in architecture llama4", .change = head_norm),
};

static void short_norm_bias(struct gb *g)
{
    gb_remove_tensor(g, "blk.1.ffn_norm.bias");
    gb_add_f32(g, "blk.1.ffn_norm.bias", 16);
}
static void norm_bias_nan(struct gb *g) { memcpy(gb_tensor(g, "output_norm.bias")->data, &(float){ NAN }, 4); }
static void no_norm_bias(struct gb *g) { gb_remove_tensor(g, "blk.1.ffn_norm.bias"); }
static void no_q_bias(struct gb *g) { gb_remove_tensor(g, "blk.0.attn_q.bias"); }
static void short_output_bias(struct gb *g)
{
    gb_remove_tensor(g, "output.bias");
    gb_add_f32(g, "output.bias", 319);
}

static const struct hostile_case phimoe[] = {
    GOOD("phimoe", "as it is", .check_tensors = true),
    GOOD("phimoe", "a norm without a bias", .change = no_norm_bias),
    GOOD("phimoe", "a window that nobody applies", .set = U32("phimoe.attention.sliding_window", 47)),
    BAD("phimoe", "bias of a norm too short", "tensor blk.1.ffn_norm.bias: expected f32 [48], found F32 [16]", .change = short_norm_bias),
    BAD("phimoe", "bias of a norm NaN", "tensor output_norm.bias: row 0, value 0: expected a finite value, found NaN", .change = norm_bias_nan,
        .check_tensors = true),
    BAD("phimoe", "no bias of queries", "tensor blk.0.attn_q.bias: missing", .change = no_q_bias),
    BAD("phimoe", "bias of the output too short", "tensor output.bias: expected f32 [320], found F32 [319]", .change = short_output_bias),
    BAD("phimoe", "no experts", "key phimoe.expert_count: missing", .set = NO("phimoe.expert_count")),
    BAD("phimoe", "sigmoid", "key phimoe.expert_gating_func: unsupported: expected 1, found 2", .set = U32("phimoe.expert_gating_func", 2)),
};

#define RUN(name) static void test_##name(void **state) { (void)state; hostile_run(name, COUNT(name)); }
RUN(llama4)
RUN(phimoe)

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_llama4), cmocka_unit_test(test_phimoe) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
