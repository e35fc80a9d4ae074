/* test_converted.c - what converters write for the architectures that this version has loads without a word: keys, left-over tensors,
 * biases. Of the files of other architectures each is refused by name. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/data.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void common(struct gb *g, const char *arch)
{
    char key[64];
    gb_str(g, "general.type", "model");
    gb_str(g, "general.basename", "tiny");
    gb_str(g, "general.size_label", "1M");
    gb_u32(g, "general.quantization_version", 2);
    gb_str(g, "tokenizer.chat_template", "{{ messages }}");
    gb_str(g, "quantize.imatrix.file", "imatrix.dat");
    snprintf(key, sizeof key, "%s.vocab_size", arch);
    gb_u32(g, key, 289);
    snprintf(key, sizeof key, "%s.rope.dimension_count", arch);
    gb_u32(g, key, strcmp(arch, "qwen3") == 0 ? 64 : 32);
}
static void llama_2(struct gb *g)
{
    common(g, "llama");
    gb_str(g, "llama.tensor_data_layout", "Meta AI original pth");
    gb_f32(g, "llama.rope.scale_linear", 1);
    tiny_add_layers(g, "attn_rot_embd.weight", 16);
}
static void llama_3_2(struct gb *g)
{
    float div[16];
    common(g, "llama");
    for (int i = 0; i < 16; i++)
        div[i] = 1 + (float)i;
    gb_add(g, "rope_freqs.weight", prism_types[PRISM_F32].id, 1, (uint64_t[]){ 16 }, div, sizeof div);
}
static void mistral(struct gb *g)
{
    common(g, "llama");
    gb_u32(g, "llama.attention.sliding_window", 0);
}
static void qwen2_5(struct gb *g)
{
    common(g, "qwen2");
    gb_str(g, "qwen2.rope.scaling.type", "yarn");
    gb_f32(g, "qwen2.rope.scaling.factor", 4);
    gb_u32(g, "qwen2.rope.scaling.original_context_length", 128);
    gb_u32(g, "qwen2.attention.sliding_window", 32768);
}
static void qwen3(struct gb *g)
{
    common(g, "qwen3");
    gb_u32(g, "qwen3.pooling_type", 0);
}
static void llamafied(struct gb *g)
{
    common(g, "llama");
    gb_u32(g, "llama.expert_count", 0);
    gb_u32(g, "llama.expert_used_count", 0);
    gb_bool(g, "llama.rope.scaling.finetuned", 0);
    gb_str(g, "llama.rope.scaling.type", "none");
}

static void test_converted_files(void **state)
{
    (void)state;
    static const struct {
        const char *what, *arch;
        bool untied, biases;
        void (*change)(struct gb *g);
    } rows[] = {
        { "Llama 2, TinyLlama", "llama", true, false, llama_2 },  { "Llama 3.2", "llama", false, false, llama_3_2 },
        { "Llama 3.1", "llama", true, false, llama_3_2 },         { "Mistral 7B v0.3", "llama", true, false, mistral },
        { "SmolLM2", "llama", false, false, mistral },            { "with all biases", "llama", true, true, llamafied },
        { "Qwen2.5", "qwen2", true, false, qwen2_5 },             { "Qwen3", "qwen3", false, false, qwen3 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tiny_model t = strcmp(rows[i].arch, "qwen3") == 0 ? tiny_qwen3() : tiny_llama();
        t.arch = rows[i].arch;
        t.untied = rows[i].untied;
        t.biases = rows[i].biases;
        struct gb *g = tiny_build(&t);
        rows[i].change(g);
        hostile_load_quietly(g, rows[i].what);
        gb_free(g);
    }
}

static const char *const running[] = {
    "llama", "qwen2", "qwen3", "mixtral", "mistral3", "smollm3", "qwen2moe", "qwen3moe", "qwen3vl", "qwen3vlmoe", "gemma2", "gemma3", "gemma4",
    "gemma4-moe", "gpt-oss",
    "gpt-oss-mxfp4", "granite", "granitemoe", "phi3", "gemma", "glm4", "glm4moe", "ernie4_5-moe", "seed_oss", "minicpm", "olmo2", "olmo3",
    "exaone4", "hunyuan-dense", "cohere2", "starcoder2", "nemotron", "stablelm", "falcon", "qwen35", "qwen35moe",
};

/* NAME.gguf */
static bool runs(const char *file)
{
    for (size_t i = 0; i < COUNT(running); i++)
        if (strlen(running[i]) + 5 == strlen(file) && !strncmp(file, running[i], strlen(running[i])))
            return true;
    return false;
}

static void test_golden_architectures(void **state)
{
    (void)state;
    const char *folder = test_shared("golden/arch");
    DIR *d = folder ? opendir(folder) : NULL;
    if (!d)
        skip();
    size_t n_loaded = 0;
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        char path[1024];
        struct loaded l;
        if (n < 5 || strcmp(e->d_name + n - 5, ".gguf") != 0 || strstr(e->d_name, ".logits.") || strstr(e->d_name, "dequant"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        hostile_load(&l, path, true, false);
        if (!runs(e->d_name))
            fail_msg("%s is not in the list", e->d_name);
        if (l.err.text[0] || l.log[0])
            fail_msg("%s: \"%s\", warnings \"%s\"", e->d_name, l.err.text, l.log);
        n_loaded++;
        prism_model_free(l.model);
    }
    closedir(d);
    assert_int_equal(n_loaded, COUNT(running));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_converted_files), cmocka_unit_test(test_golden_architectures) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
