/* arch.c - the table of architectures. What each is made of stands in the file of its family; the forward pass is in src/engine. */
#include "src/model/arch/arch.h"

const struct prism_arch *const prism_archs[] = {
    &prism_arch_llama,  &prism_arch_mistral3, &prism_arch_smollm3, &prism_arch_llama4,
    &prism_arch_qwen2,  &prism_arch_qwen2moe, &prism_arch_qwen3,   &prism_arch_qwen3moe, &prism_arch_qwen3vl, &prism_arch_qwen3vlmoe,
    &prism_arch_qwen35, &prism_arch_qwen35moe,
    &prism_arch_gemma,  &prism_arch_gemma2,   &prism_arch_gemma3,
    &prism_arch_gemma4, &prism_arch_gpt_oss, &prism_arch_granite, &prism_arch_granitemoe,
    &prism_arch_phi3,   &prism_arch_phimoe, &prism_arch_glm4,     &prism_arch_glm4moe, &prism_arch_ernie4_5, &prism_arch_ernie4_5_moe, &prism_arch_seed_oss,
    &prism_arch_minicpm, &prism_arch_olmo2,   &prism_arch_olmoe,   &prism_arch_exaone4, &prism_arch_hunyuan_dense, &prism_arch_hunyuan_moe,
    &prism_arch_command_r, &prism_arch_cohere2, &prism_arch_starcoder2, &prism_arch_nemotron, &prism_arch_stablelm, &prism_arch_falcon,
};
const size_t prism_n_archs = sizeof prism_archs / sizeof prism_archs[0];

const struct prism_arch *prism_arch_find(const char *name, size_t n)
{
    for (size_t i = 0; i < prism_n_archs; i++)
        if (prism_str_is((struct prism_str){ name, n }, prism_archs[i]->name))
            return prism_archs[i];
    return NULL;
}
