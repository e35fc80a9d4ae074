/* arch.c - the architectures: one row each. A row says what differs from llama; the forward pass is in src/engine. */
#include "src/model/model.h"

#include <string.h>

/* The converter permuted Q and K of llama files so that interleaved rotation on the file equals the original half-split one. */
const struct prism_arch prism_archs[] = {
    { .name = "llama", .rope_interleaved = true, .n_rot_is_head_dim = true },
    { .name = "qwen2", .qkv_bias = true },
    { .name = "qwen3", .qk_norm = true },
};
const size_t prism_n_archs = sizeof prism_archs / sizeof prism_archs[0];

const struct prism_arch *prism_arch_find(const char *name, size_t n)
{
    for (size_t i = 0; i < prism_n_archs; i++)
        if (strlen(prism_archs[i].name) == n && memcmp(prism_archs[i].name, name, n) == 0)
            return &prism_archs[i];
    return NULL;
}
