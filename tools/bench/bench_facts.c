/* bench_facts.c - see bench_facts.h. */
#include "tools/bench/bench_facts.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void bench_cpu_name(char *out, size_t cap)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[1024];

    snprintf(out, cap, "CPU");
    while (f && fgets(line, sizeof line, f)) {
        char *name = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !name)
            continue;
        do
            name++;
        while (isspace((unsigned char)*name));
        size_t len = strlen(name);
        while (len > 0 && isspace((unsigned char)name[len - 1]))
            name[--len] = 0;
        snprintf(out, cap, "%s", name);
        break;
    }
    if (f)
        fclose(f);
}

/* A size by the number of layers and, where `field` tells models of one depth apart, by what it must be. The first row that fits counts.
 * Facts of llama.cpp v0.5.0, src/models/{llama,qwen2,qwen3}.cpp. */
enum field { ANY, EMBD_IS, HEADS_ARE, VOCAB_IS, VOCAB_BELOW, KV_HEADS_ALL };

static const struct size {
    const char *architecture;
    unsigned n_layer;
    enum field field;
    unsigned value;
    const char *name;
} sizes[] = {
    { "llama", 16, ANY, 0, "1B" },   { "llama", 22, ANY, 0, "1B" },            { "llama", 26, ANY, 0, "3B" },
    { "llama", 28, ANY, 0, "3B" },   { "llama", 30, ANY, 0, "256M" },          { "llama", 32, VOCAB_IS, 49152, "3B" },
    { "llama", 32, VOCAB_BELOW, 40000, "7B" },                                 { "llama", 32, ANY, 0, "8B" },
    { "llama", 36, ANY, 0, "8B" },   { "llama", 40, ANY, 0, "13B" },           { "llama", 48, ANY, 0, "34B" },
    { "llama", 60, ANY, 0, "30B" },  { "llama", 80, KV_HEADS_ALL, 0, "65B" },  { "llama", 80, ANY, 0, "70B" },
    { "qwen2", 24, EMBD_IS, 1024, "0.5B" }, { "qwen2", 24, ANY, 0, "1B" },     { "qwen2", 28, EMBD_IS, 1536, "1.5B" },
    { "qwen2", 28, ANY, 0, "7B" },   { "qwen2", 32, ANY, 0, "7B" },            { "qwen2", 36, ANY, 0, "3B" },
    { "qwen2", 40, HEADS_ARE, 20, "4B" }, { "qwen2", 40, ANY, 0, "13B" },      { "qwen2", 48, ANY, 0, "14B" },
    { "qwen2", 64, ANY, 0, "32B" },  { "qwen2", 80, ANY, 0, "70B" },           { "qwen3", 28, EMBD_IS, 1024, "0.6B" },
    { "qwen3", 28, ANY, 0, "1.7B" }, { "qwen3", 36, EMBD_IS, 2560, "4B" },     { "qwen3", 36, ANY, 0, "8B" },
    { "qwen3", 40, ANY, 0, "14B" },  { "qwen3", 64, ANY, 0, "32B" },
};

static bool fits(const struct size *s, const struct prism_model_info *m)
{
    if (strcmp(s->architecture, m->architecture) || s->n_layer != m->n_layer)
        return false;
    switch (s->field) {
    case EMBD_IS: return m->n_embd == s->value;
    case HEADS_ARE: return m->n_head == s->value;
    case VOCAB_IS: return m->n_vocab == s->value;
    case VOCAB_BELOW: return m->n_vocab < s->value;
    case KV_HEADS_ALL: return m->n_head == m->n_head_kv;
    default: return true;
    }
}

void bench_model_type(const struct prism_model_info *m, char *out, size_t cap)
{
    const char *size = "?B";

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (fits(&sizes[i], m)) {
            size = sizes[i].name;
            break;
        }
    snprintf(out, cap, "%s %s %s", m->architecture, size, m->type);
}

void bench_build(char commit[8], int *number)
{
    unsigned major = 0, minor = 0, patch = 0;

    sscanf(prism_version(), "%u.%u.%u", &major, &minor, &patch);
    snprintf(commit, 8, "pr%u%02u%02u", major % 10, minor % 100, patch % 100);
    *number = (int)(major * 10000 + minor * 100 + patch);
}
