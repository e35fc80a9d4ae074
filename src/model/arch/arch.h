/* arch.h - the rows of the table in arch.c, each in the file of its family. Internal to src/model. */
#ifndef PRISM_MODEL_ARCH_H
#define PRISM_MODEL_ARCH_H

#include "src/model/build.h"

extern const struct prism_arch prism_arch_llama, prism_arch_mistral3, prism_arch_smollm3, prism_arch_llama4;
extern const struct prism_arch prism_arch_qwen2, prism_arch_qwen2moe, prism_arch_qwen3, prism_arch_qwen3moe, prism_arch_qwen3vl,
                               prism_arch_qwen3vlmoe;
extern const struct prism_arch prism_arch_qwen35, prism_arch_qwen35moe;
extern const struct prism_arch prism_arch_command_r, prism_arch_cohere2;
extern const struct prism_arch prism_arch_starcoder2, prism_arch_nemotron, prism_arch_stablelm, prism_arch_falcon;
extern const struct prism_arch prism_arch_olmo2, prism_arch_olmoe, prism_arch_exaone4, prism_arch_hunyuan_dense, prism_arch_hunyuan_moe;
extern const struct prism_arch prism_arch_ernie4_5, prism_arch_ernie4_5_moe;
extern const struct prism_arch prism_arch_gemma, prism_arch_gemma2, prism_arch_gemma3, prism_arch_gemma4;
extern const struct prism_arch prism_arch_glm4, prism_arch_glm4moe;
extern const struct prism_arch prism_arch_granite, prism_arch_granitemoe, prism_arch_minicpm;
extern const struct prism_arch prism_arch_gpt_oss, prism_arch_phi3, prism_arch_phimoe, prism_arch_seed_oss;

#endif
