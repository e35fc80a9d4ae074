/* make_seeds.c - make_seeds DIR: writes the files that the fuzzer starts from, one small model for each way through the loader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/model/model.h"
#include "tests/support/tiny_model.h"

static const char *dir;

static struct tiny_model smallest(struct tiny_model m)
{
    m.n_layer = 1;
    m.n_embd = 32, m.n_head = 2, m.n_head_kv = 1, m.head_dim = 16, m.n_ff = 32, m.n_ctx = 256;
    return m;
}

static void write_seed(struct gb *g, const char *name)
{
    static const char text[] = "It was a dark night, and <|im_start|>the 3 cats </s>";
    struct gb_image im = gb_assemble(g);
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (size_t pad = (32 - im.n % 32) % 32; pad; pad--) /* the text begins on the grid of tensors */
        im.bytes = realloc(im.bytes, im.n + 1), im.bytes[im.n++] = 0;
    assert_int_equal(fwrite(im.bytes, 1, im.n, f), im.n);
    assert_int_equal(fwrite(text, 1, sizeof text - 1, f), sizeof text - 1);
    assert_int_equal(fclose(f), 0);
    gb_image_free(&im);
    gb_free(g);
}

/* Gate and up of a type with blocks of 256 values, whose rows are as long as the residual stream; the rest stays small. */
static struct gb *with_long_blocks(struct tiny_model m, enum prism_type type)
{
    static const char *const names[] = { "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight" };
    uint64_t state = 7;

    m.n_embd = 256, m.output_type = PRISM_Q4_0;
    struct gb *g = tiny_build(&m);
    for (int i = 0; i < 2; i++) {
        size_t n = (size_t)m.n_embd * m.n_ff, bytes = prism_row_bytes(type, n);
        uint8_t *data = malloc(bytes);
        assert_non_null(data);
        tiny_random_weights(data, type, n, 1.0 / 16, &state);
        gb_remove_tensor(g, names[i]);
        gb_add(g, names[i], prism_types[type].id, 2, (uint64_t[]){ m.n_embd, m.n_ff }, data, bytes);
        free(data);
    }
    return g;
}

static void seeds_of_types(void)
{
    for (int t = 0; t < PRISM_N_TYPES; t++) {
        struct tiny_model m = smallest(tiny_llama());
        char name[64];
        snprintf(name, sizeof name, "llama-%s", prism_types[t].name);
        m.vocab = t % 2 ? "llama" : "gpt2";
        m.biases = t % 3 == 0;
        bool long_blocks = prism_types[t].block > 32;
        m.type = long_blocks ? PRISM_Q8_0 : (enum prism_type)t;
        write_seed(long_blocks ? with_long_blocks(m, (enum prism_type)t) : tiny_build(&m), name);
    }
}

static void seeds_of_architectures(void)
{
    struct tiny_model m;
    for (size_t i = 0; i <= prism_n_archs; i++) {
        const char *name = i < prism_n_archs ? prism_archs[i]->name : "mixtral";
        m = smallest(tiny_family(name));
        m.n_ff_shared = m.n_ff_shared ? 32 : 0;
        write_seed(tiny_build(&m), name);
    }
    m = smallest(tiny_qwen2());
    m.fused_qkv = true;
    write_seed(tiny_build(&m), "qwen2-fused");
    m = smallest(tiny_qwen3());
    m.untied = true;
    write_seed(tiny_build(&m), "qwen3-untied");
}

static void seeds_of_rope(void)
{
    static const char *const scalings[] = { "linear", "yarn", "longrope" };
    for (size_t i = 0; i < 3; i++) {
        struct tiny_model m = smallest(tiny_llama());
        struct gb *g = tiny_build(&m);
        char name[64];
        gb_str(g, "llama.rope.scaling.type", scalings[i]);
        gb_f32(g, "llama.rope.scaling.factor", 4);
        gb_u32(g, "llama.rope.scaling.original_context_length", 64);
        if (i == 2) {
            float factors[8] = { 1, 1.1f, 1.3f, 2, 3, 5, 8, 13 };
            gb_add(g, "rope_factors_short.weight", 0, 1, (uint64_t[]){ 8 }, factors, sizeof factors);
            gb_add(g, "rope_factors_long.weight", 0, 1, (uint64_t[]){ 8 }, factors, sizeof factors);
        }
        snprintf(name, sizeof name, "rope-%s", scalings[i]);
        write_seed(g, name);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds DIR\n");
        return 1;
    }
    dir = argv[1];
    seeds_of_types();
    seeds_of_architectures();
    seeds_of_rope();
    return 0;
}
