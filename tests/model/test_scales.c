/* test_scales.c - scales in a model's file: those of blocks, which the scan looks at, and the numbers beside matrices in NVFP4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/kernels.h"
#include "src/model/model.h"
#include "tests/support/hostile.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tiny_model.h"

/* Writes n bytes over those of a matrix at `at`, in the file that the model came from. */
static void patch(const char *path, const struct prism_model *m, const uint8_t *at, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)(at - m->gguf->map), SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* An infinite or NaN scale in block 2 of row 3, of each type that can have one: refused by the scan, and the place named. */
static void check_bad_scale(enum prism_type type, int number, const char *what)
{
    const struct prism_type_info *info = &prism_types[type];
    struct tiny_model t = tiny_qwen3();
    struct loaded l;
    char says[128];
    t.type = t.output_type = type;
    t.n_embd = t.n_ff = 1024;
    t.n_head = 4;
    const char *path = tiny_write(&t, "scale.gguf");

    hostile_load(&l, path, true, false);
    assert_string_equal(l.err.text, "");
    const struct prism_matrix *w = &l.model->layers[1].ffn.dense.gate;
    const uint8_t *block = w->data + 3 * w->row_bytes + 2 * info->bytes + (info->block > 1 ? info->scale_at[number] : 0);
    const bool nan = strcmp(what, "NaN") == 0;
    const uint16_t half = nan ? 0x7c01 : 0xfc00, bf16 = nan ? 0x7f81 : 0xff80;
    const uint32_t f32 = nan ? 0x7f800001 : 0xff800000;
    uint8_t e8m0 = 0xff, e4m3 = 0x7f, words[8];
    memcpy(words, block, sizeof words);
    kt_put_nibbles(words, half);
    switch (info->scale) {
    case PRISM_SCALE_HALF: patch(path, l.model, block, &half, sizeof half); break;
    case PRISM_SCALE_BF16: patch(path, l.model, block, &bf16, sizeof bf16); break;
    case PRISM_SCALE_F32: patch(path, l.model, block, &f32, sizeof f32); break;
    case PRISM_SCALE_E8M0: patch(path, l.model, block, &e8m0, 1); break;
    case PRISM_SCALE_E4M3: patch(path, l.model, block, &e4m3, 1); break;
    case PRISM_SCALE_NIBBLES: patch(path, l.model, block, words, sizeof words); break;
    }
    prism_model_free(l.model);
    hostile_load(&l, path, true, false);
    snprintf(says, sizeof says, "%s: tensor blk.1.ffn_gate.weight: row 3, %s 2: expected a finite %s, found %s", path,
             info->block > 1 ? "block" : "value", info->block > 1 ? "scale" : "value", what);
    assert_string_equal(l.err.text, info->scale == PRISM_SCALE_E4M3 ? "" : says); /* its NaN counts as zero */
    prism_model_free(l.model);
}

static void test_bad_scales(void **state)
{
    (void)state;
    for (int type = 0; type < PRISM_N_TYPES; type++)
        for (int number = 0; number < 2 && prism_types[type].scale_at[number] >= 0; number++) {
            check_bad_scale((enum prism_type)type, number, "NaN");
            if (prism_types[type].scale != PRISM_SCALE_E8M0)
                check_bad_scale((enum prism_type)type, number, "infinite");
        }
}

/* ---- the numbers beside NVFP4 ---- */

static float scale_in_file(const struct prism_model *m, const char *name, size_t slab)
{
    float v;
    const struct prism_gguf_tensor *t = prism_gguf_tensor_find(m->gguf, name);
    assert_non_null(t);
    assert_true(slab < t->ne[0]);
    memcpy(&v, t->data + slab * sizeof v, sizeof v);
    return v;
}

static void has_scale(const struct prism_model *m, const struct prism_matrix *w, const char *name, size_t slab)
{
    assert_non_null(w->scale);
    assert_true(w->scale[0] == scale_in_file(m, name, slab));
}

static struct gb *nvfp4(const char *arch, bool fused)
{
    struct tiny_model t = tiny_family(arch);
    t.type = PRISM_NVFP4, t.output_type = PRISM_NVFP4;
    t.n_head = 4, t.n_head_kv = 2, t.n_ff_expert = t.n_ff_expert ? 64 : 0;
    t.fused_qkv = fused, t.untied = true;
    return tiny_build(&t);
}

/* Each matrix, each slice of a fused one and each expert has its own; embeddings have none. */
static void test_nvfp4_scales(void **state)
{
    (void)state;
    struct gb *g = nvfp4("qwen2moe", false);
    struct loaded l;
    hostile_load(&l, gb_write(g, "nvfp4.gguf"), true, false);
    assert_string_equal(l.err.text, "");
    const struct prism_model *m = l.model;
    const struct prism_layer *layer = &m->layers[1];
    const struct prism_ffn *each = &layer->ffn.experts.each;
    assert_null(m->tok_embd.scale);
    has_scale(m, &m->output, "output.scale", 0);
    has_scale(m, &layer->attn.q, "blk.1.attn_q.scale", 0);
    has_scale(m, &layer->attn.o, "blk.1.attn_output.scale", 0);
    for (size_t e = 0; e < layer->ffn.experts.n; e++) {
        struct prism_matrix up = prism_matrix_rows(&each->up, e * each->stride, each->width);
        struct prism_matrix down = prism_matrix_rows(&each->down, e * m->n_embd, m->n_embd);
        has_scale(m, &up, "blk.1.ffn_up_exps.scale", e);
        has_scale(m, &down, "blk.1.ffn_down_exps.scale", e);
    }
    prism_model_free(l.model);
    gb_free(g);

    g = nvfp4("qwen2", true);
    gb_add_f32(g, "blk.0.attn_qkv.input_scale", 1); /* of activations: for arithmetic in fp4 */
    hostile_load(&l, gb_write(g, "nvfp4.gguf"), true, false);
    assert_string_equal(l.err.text, "");
    assert_int_equal(l.log_len, 0);
    has_scale(l.model, &l.model->layers[0].attn.q, "blk.0.attn_qkv.scale", 0);
    has_scale(l.model, &l.model->layers[0].attn.v, "blk.0.attn_qkv.scale", 0);
    prism_model_free(l.model);
    gb_free(g);
}

/* A scale of another length or type. */
static void test_bad_nvfp4_scales(void **state)
{
    (void)state;
    struct loaded l;
    for (int i = 0; i < 3; i++) {
        struct gb *g = nvfp4("qwen3moe", false);
        struct gb_tensor *t = gb_tensor(g, i < 2 ? "blk.1.attn_k.scale" : "blk.1.ffn_gate_exps.scale");
        if (i == 0)
            t->type = prism_types[PRISM_Q8_0].id, t->ne[0] = 32, t->n_bytes = 34;
        else
            t->ne[0] = i == 1 ? 2 : 1, t->n_bytes = 4 * t->ne[0];
        t->data = realloc(t->data, 64);
        hostile_load(&l, gb_write(g, "bad.gguf"), false, false);
        assert_null(l.model);
        assert_non_null(strstr(l.err.text, i == 0   ? "tensor blk.1.attn_k.scale: expected f32 [1], found Q8_0 [32]"
                                           : i == 1 ? "tensor blk.1.attn_k.scale: expected f32 [1], found F32 [2]"
                                                    : "tensor blk.1.ffn_gate_exps.scale: expected f32 [6], found F32 [1]"));
        gb_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_scales),
        cmocka_unit_test(test_nvfp4_scales),
        cmocka_unit_test(test_bad_nvfp4_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
