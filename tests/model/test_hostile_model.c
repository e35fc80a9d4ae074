/* test_hostile_model.c - files whose container is sound and whose model is not: rows 58-93 and 111-119 of the list of hostile files
 * (hyper-parameters, tensors by name and shape, tokenizer). See tests/gguf/test_hostile.c for the others. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define U32(name, value) { name, .type = PRISM_GV_U32, .u = value }
#define F32(name, value) { name, .type = PRISM_GV_F32, .f = value }
#define STR(name, value) { name, .s = value }
#define NO(name) { name, .remove = true }

/* ---- rows 58-93: hyper-parameters ---- */

static void undividable(struct gb *g)
{
    gb_u32(g, "llama.attention.head_count", 3);
    gb_remove(g, "llama.attention.key_length");
    gb_remove(g, "llama.attention.value_length");
}
static void heads_6_kv_4(struct gb *g)
{
    gb_u32(g, "llama.attention.head_count", 6);
    gb_u32(g, "llama.attention.head_count_kv", 4);
}
static void heads_of_3_layers(struct gb *g)
{
    gb_array(g, "llama.attention.head_count", PRISM_GV_U32, 3, (uint32_t[]){ 2, 2, 2 }, 12);
}
static void heads_differ(struct gb *g) { gb_array(g, "llama.attention.head_count", PRISM_GV_U32, 2, (uint32_t[]){ 2, 1 }, 8); }
static void yarn_0(struct gb *g)
{
    gb_str(g, "llama.rope.scaling.type", "yarn");
    gb_f32(g, "llama.rope.scaling.factor", 4);
    gb_u32(g, "llama.rope.scaling.original_context_length", 0);
}

static const struct hostile_case keys[] = {
    { 58, "no architecture", 'R', "key general.architecture: missing", .set = NO("general.architecture") },
    { 59, "architecture a number", 'R', "key general.architecture: type: expected str, found u32", .set = U32("general.architecture", 1) },
    { 60, "architecture zzz", 'R', "unsupported architecture \"zzz\"; supported: llama mistral3 ", .set = STR("general.architecture", "zzz") },
    { 61, "architecture gpt2", 'R', "unsupported architecture \"gpt2\"", .set = STR("general.architecture", "gpt2") },
    { 61, "architecture bert", 'R', "unsupported architecture \"bert\"", .set = STR("general.architecture", "bert") },
    { 61, "architecture clip", 'R', "\"clip\" is the image part of a model (mmproj), and images are unsupported", .set = STR("general.architecture", "clip") },
    { 62, "no context_length", 'R', "key llama.context_length: missing", .set = NO("llama.context_length") },
    { 63, "context_length f32", 'R', "key llama.context_length: type: expected integer, found f32", .set = F32("llama.context_length", 512) },
    { 64, "context_length 0", 'R', "key llama.context_length: expected 1..4294967295, found 0", .set = U32("llama.context_length", 0) },
    { 65, "context_length 2^32-1", 'W', "key llama.context_length: trained context 4294967295 capped to", .set = U32("llama.context_length", UINT32_MAX) },
    { 66, "embedding_length 0", 'R', "key llama.embedding_length: expected 1..", .set = U32("llama.embedding_length", 0) },
    { 67, "embedding_length 2^31", 'R', "key llama.embedding_length: expected 1..1048576", .set = U32("llama.embedding_length", UINT32_C(1) << 31) },
    { 67, "embedding_length not that of the tensor", 'R', "tensor token_embd.weight: shape: expected [128", .set = U32("llama.embedding_length", 128) },
    { 68, "block_count 0", 'R', "key llama.block_count: expected 1..512, found 0", .set = U32("llama.block_count", 0) },
    { 69, "block_count 600", 'R', "key llama.block_count: expected 1..512, found 600", .set = U32("llama.block_count", 600) },
    { 69, "block_count 2^32-1", 'R', "key llama.block_count: expected 1..512, found 4294967295", .set = U32("llama.block_count", UINT32_MAX) },
    { 70, "more layers than present", 'R', "tensor blk.2.attn_norm.weight: missing (architecture llama, layer 2)", .set = U32("llama.block_count", 3) },
    { 71, "fewer layers than present", 'W', "9 tensors of layers >= 1 unused", .set = U32("llama.block_count", 1) },
    { 72, "head_count 0", 'R', "key llama.attention.head_count: expected 1..", .set = U32("llama.attention.head_count", 0) },
    { 73, "head_count 3", 'R', "key llama.embedding_length: 64 is not divisible by attention.head_count 3", .change = undividable },
    { 74, "head_count_kv 0", 'R', "key llama.attention.head_count_kv: expected 1..", .set = U32("llama.attention.head_count_kv", 0) },
    { 75, "head_count 6, head_count_kv 4", 'R', "key llama.attention.head_count_kv: expected a divisor of head_count 6, found 4", .change = heads_6_kv_4 },
    { 76, "head_count_kv above head_count", 'R', "key llama.attention.head_count_kv: expected a divisor of head_count 2, found 4",
      .set = U32("llama.attention.head_count_kv", 4) },
    { 77, "head_count array of 3", 'R', "key llama.attention.head_count: array length: expected 2", .change = heads_of_3_layers },
    { 78, "head counts differ", 'R', "key llama.attention.head_count: per-layer values are unsupported", .change = heads_differ },
    { 79, "key_length 33", 'R', "key llama.attention.key_length: head size: expected a multiple of 8", .set = U32("llama.attention.key_length", 33) },
    { 79, "key_length 0", 'R', "key llama.attention.key_length: head size", .set = U32("llama.attention.key_length", 0) },
    { 79, "key_length 2048", 'R', "key llama.attention.key_length: head size", .set = U32("llama.attention.key_length", 2048) },
    { 80, "value_length 64", 'R', "key llama.attention.value_length: different K and V head sizes", .set = U32("llama.attention.value_length", 64) },
    { 81, "no feed_forward_length", 'R', "key llama.feed_forward_length: missing", .set = NO("llama.feed_forward_length") },
    { 81, "feed_forward_length 0", 'R', "key llama.feed_forward_length: expected 1..", .set = U32("llama.feed_forward_length", 0) },
    { 82, "no epsilon", 'R', "key llama.attention.layer_norm_rms_epsilon: missing", .set = NO("llama.attention.layer_norm_rms_epsilon") },
    { 83, "epsilon NaN", 'R', "key llama.attention.layer_norm_rms_epsilon: expected a number, found NaN",
      .set = F32("llama.attention.layer_norm_rms_epsilon", NAN) },
    { 83, "epsilon negative", 'R', "key llama.attention.layer_norm_rms_epsilon: expected", .set = F32("llama.attention.layer_norm_rms_epsilon", -1e-5) },
    { 83, "epsilon 1", 'R', "key llama.attention.layer_norm_rms_epsilon: expected", .set = F32("llama.attention.layer_norm_rms_epsilon", 1) },
    { 83, "epsilon 0", 'R', "key llama.attention.layer_norm_rms_epsilon: expected", .set = F32("llama.attention.layer_norm_rms_epsilon", 0) },
    { 84, "freq_base NaN", 'R', "key llama.rope.freq_base: expected a number, found NaN", .set = F32("llama.rope.freq_base", NAN) },
    { 84, "freq_base inf", 'R', "key llama.rope.freq_base: expected a finite number above 1", .set = F32("llama.rope.freq_base", INFINITY) },
    { 85, "freq_base -5", 'R', "key llama.rope.freq_base: expected a finite number above 1", .set = F32("llama.rope.freq_base", -5) },
    { 85, "freq_base 0", 'R', "key llama.rope.freq_base: expected a finite number above 1", .set = F32("llama.rope.freq_base", 0) },
    { 85, "freq_base 1", 'R', "key llama.rope.freq_base: expected a finite number above 1", .set = F32("llama.rope.freq_base", 1) },
    { 86, "dimension_count odd", 'R', "key qwen3.rope.dimension_count: expected an even number, 2..64, found 31", .base = BASE_QWEN3, .set = U32("qwen3.rope.dimension_count", 31) },
    { 86, "dimension_count 0", 'R', "key qwen3.rope.dimension_count: expected an even number", .base = BASE_QWEN3, .set = U32("qwen3.rope.dimension_count", 0) },
    { 86, "dimension_count 128", 'R', "key qwen3.rope.dimension_count: expected an even number", .base = BASE_QWEN3, .set = U32("qwen3.rope.dimension_count", 128) },
    { 87, "dimension_count below the head", 'R', "key llama.rope.dimension_count: expected the head size 32, found 16", .set = U32("llama.rope.dimension_count", 16) },
    { 88, "scaling type zzz", 'R', "key llama.rope.scaling.type: expected none, linear, yarn or longrope, found \"zzz\"", .set = STR("llama.rope.scaling.type", "zzz") },
    { 89, "factor NaN", 'R', "key llama.rope.scaling.factor: expected", .set = F32("llama.rope.scaling.factor", NAN) },
    { 89, "factor negative", 'R', "key llama.rope.scaling.factor: expected", .set = F32("llama.rope.scaling.factor", -2) },
    { 89, "factor 1e30", 'R', "key llama.rope.scaling.factor: expected", .set = F32("llama.rope.scaling.factor", 1e30) },
    { 90, "factor 0", 'W', "key llama.rope.scaling.factor: 0 read as 1", .set = F32("llama.rope.scaling.factor", 0) },
    { 91, "yarn from context 0", 'R', "key llama.rope.scaling.original_context_length: expected 1..", .change = yarn_0 },
    { 92, "8 experts", 'R', "key llama.expert_used_count: missing", .set = U32("llama.expert_count", 8) },
    { 93, "file_type 999", 'W', "key general.file_type: 999 unknown, type reported from the tensors: (guessed) Q8_0", .set = U32("general.file_type", 999) },
    { 93, "no file_type", 'W', "key general.file_type: missing, type reported from the tensors: (guessed) Q8_0", .set = NO("general.file_type") },
};

/* ---- rows 111-116: tensors ---- */

static void no_ffn_up(struct gb *g) { gb_remove_tensor(g, "blk.0.ffn_up.weight"); }
static void no_q_norm(struct gb *g) { gb_remove_tensor(g, "blk.1.attn_q_norm.weight"); }
static void only_q_bias(struct gb *g) { gb_add_f32(g, "blk.0.attn_q.bias", 64); }
static void transposed(struct gb *g)
{
    struct gb_tensor *t = gb_tensor(g, "blk.0.ffn_up.weight");
    t->ne[0] = 128;
    t->ne[1] = 64;
}
static void norm_q8_0(struct gb *g)
{
    struct gb_tensor *t = gb_tensor(g, "output_norm.weight");
    t->type = prism_types[PRISM_Q8_0].id;
    t->n_bytes = 68;
}
static void norm_short(struct gb *g)
{
    struct gb_tensor *t = gb_tensor(g, "output_norm.weight");
    t->ne[0] = 32;
    t->n_bytes = 128;
}
static void freqs_q8_0(struct gb *g) { gb_add(g, "rope_freqs.weight", prism_types[PRISM_Q8_0].id, 1, (uint64_t[]){ 32 }, NULL, 34); }
static void freqs_short(struct gb *g) { gb_add_f32(g, "rope_freqs.weight", 8); }
static void freqs_zero(struct gb *g) { gb_add_f32(g, "rope_freqs.weight", 16); }
static void extra(struct gb *g) { gb_add_f32(g, "zzz.weight", 8); }
static void extra_scale(struct gb *g) { gb_add_f32(g, "blk.0.attn_q.scale", 1); }

/* Row 3, block 1 of a matrix of 64 columns: block 7 of 34 bytes. */
static void scale_bits(struct gb *g, uint16_t bits) { memcpy(gb_tensor(g, "blk.0.ffn_up.weight")->data + 7 * 34, &bits, 2); }
static void scale_nan(struct gb *g) { scale_bits(g, 0x7E00); }
static void scale_inf(struct gb *g) { scale_bits(g, 0xFC00); }
static void norm_nan(struct gb *g) { memcpy(gb_tensor(g, "output_norm.weight")->data + 20, (float[]){ (float)NAN }, 4); }

static const struct hostile_case tensors[] = {
    { 111, "no ffn_up", 'R', "tensor blk.0.ffn_up.weight: missing (architecture llama, layer 0)", .change = no_ffn_up },
    { 112, "no attn_q_norm", 'R', "tensor blk.1.attn_q_norm.weight: missing (architecture qwen3, layer 1)", BASE_QWEN3, .change = no_q_norm },
    { 112, "one bias of three", 'R', "tensor blk.0.attn_k.bias: missing (architecture llama, layer 0)", .change = only_q_bias },
    { 113, "transposed", 'R', "tensor blk.0.ffn_up.weight: shape: expected [64, 128], found [128, 64]", .change = transposed },
    { 114, "norm in Q8_0", 'R', "tensor output_norm.weight: expected f32 [64], found Q8_0 [64]", .change = norm_q8_0 },
    { 114, "norm too short", 'R', "tensor output_norm.weight: expected f32 [64], found F32 [32]", .change = norm_short },
    { 114, "rope_freqs in Q8_0", 'R', "tensor rope_freqs.weight: expected f32 [16], found Q8_0 [32]", .change = freqs_q8_0 },
    { 114, "rope_freqs too short", 'R', "tensor rope_freqs.weight: expected f32 [16], found F32 [8]", .change = freqs_short },
    { 114, "rope_freqs of zeros", 'R', "tensor rope_freqs.weight: value 0: expected a finite number above 0", .change = freqs_zero },
    { 115, "unknown tensor", 'W', "tensor zzz.weight: unused", .change = extra },
    { 115, "scale of a whole tensor", 'R', "tensor blk.0.attn_q.scale: scales of whole tensors are unsupported", .change = extra_scale },
    { 116, "scale NaN", 'R', "tensor blk.0.ffn_up.weight: row 3, block 1: expected a finite scale, found NaN", .change = scale_nan, .check_tensors = true },
    { 116, "scale infinite", 'R', "tensor blk.0.ffn_up.weight: row 3, block 1: expected a finite scale, found infinite", .change = scale_inf,
      .check_tensors = true },
    { 116, "norm NaN", 'R', "tensor output_norm.weight: row 0, value 5: expected a finite value, found NaN", .change = norm_nan, .check_tensors = true },
};

/* ---- rows 117-119: tokenizer ---- */

static void tokens_numbers(struct gb *g) { gb_array(g, "tokenizer.ggml.tokens", PRISM_GV_U32, 2, (uint32_t[]){ 1, 2 }, 8); }
static void tokens_two(struct gb *g) { gb_strings(g, "tokenizer.ggml.tokens", (const char *[]){ "a", "b" }, 2); }
static void types_two(struct gb *g) { gb_array(g, "tokenizer.ggml.token_type", PRISM_GV_I32, 2, (int32_t[]){ 1, 1 }, 8); }
static void scores_two(struct gb *g) { gb_array(g, "tokenizer.ggml.scores", PRISM_GV_F32, 2, (float[]){ 0, 0 }, 8); }

/* The text of the first token that is `from` becomes `to`, of the same length. */
static void retext(struct gb *g, const char *key, const char *from, const char *to)
{
    struct gb_pair *p = gb_pair(g, key);
    size_t n = strlen(from);
    for (size_t at = 12; at + 8 + n <= p->value_len;) {
        uint64_t len;
        memcpy(&len, p->value + at, 8);
        if (len == n && memcmp(p->value + at + 8, from, n) == 0) {
            memcpy(p->value + at + 8, to, n);
            return;
        }
        at += 8 + len;
    }
    fail_msg("no element %s", from);
}
static void token_twice(struct gb *g) { retext(g, "tokenizer.ggml.tokens", "and", "the"); }
static void merge_no_space(struct gb *g) { retext(g, "tokenizer.ggml.merges", "t h", "tzh"); }
static void merge_unknown(struct gb *g) { retext(g, "tokenizer.ggml.merges", "an d", "ax d"); }

/* Token 5 becomes empty; the array keeps its count. */
static void token_empty(struct gb *g)
{
    struct gb_pair *p = gb_pair(g, "tokenizer.ggml.tokens");
    size_t at = 12;
    uint64_t len;
    for (int i = 0; i < 5; i++) {
        memcpy(&len, p->value + at, 8);
        at += 8 + len;
    }
    memcpy(&len, p->value + at, 8);
    memset(p->value + at, 0, 8);
    memmove(p->value + at + 8, p->value + at + 8 + len, p->value_len - (at + 8 + len));
    p->value_len -= len;
}

static const struct hostile_case tokenizer[] = {
    { 117, "no tokens", 'R', "tokenizer.ggml.tokens: ", .set = NO("tokenizer.ggml.tokens") },
    { 117, "tokens are numbers", 'R', "tokenizer.ggml.tokens: ", .change = tokens_numbers },
    { 117, "two tokens", 'R', "tokenizer.ggml.tokens: expected 289", .change = tokens_two },
    { 118, "token_type too short", 'R', "tokenizer.ggml.token_type: expected", .change = types_two },
    { 118, "scores too short", 'R', "tokenizer.ggml.scores: expected", BASE_SPM, .change = scores_two },
    { 118, "no merges", 'R', "tokenizer.ggml.merges: ", .set = NO("tokenizer.ggml.merges") },
    { 118, "unknown model", 'R', "tokenizer.ggml.model: ", .set = STR("tokenizer.ggml.model", "zzz") },
    { 118, "unknown pre", 'R', "tokenizer.ggml.pre: ", .set = STR("tokenizer.ggml.pre", "zzz") },
    { 118, "token text twice", 'R', "tokenizer.ggml.tokens: ", .change = token_twice },
    { 119, "merge without a space", 'W', "tokenizer.ggml.merges: ", .change = merge_no_space },
    { 119, "merge of an unknown token", 'W', "tokenizer.ggml.merges: ", .change = merge_unknown },
    { 119, "bos out of range", 'W', "tokenizer.ggml.bos_token_id: ", .set = U32("tokenizer.ggml.bos_token_id", 100000) },
    { 119, "eos out of range", 'W', "tokenizer.ggml.eos_token_id: ", .set = U32("tokenizer.ggml.eos_token_id", 289) },
    { 119, "empty token", 'W', "tokenizer.ggml.tokens: ", .change = token_empty },
};

static void test_keys(void **state)
{
    (void)state;
    hostile_run(keys, COUNT(keys));
}

static void test_tensors(void **state)
{
    (void)state;
    hostile_run(tensors, COUNT(tensors));
}

static void test_tokenizer(void **state)
{
    (void)state;
    hostile_run(tokenizer, COUNT(tokenizer));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_keys), cmocka_unit_test(test_tensors), cmocka_unit_test(test_tokenizer) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
