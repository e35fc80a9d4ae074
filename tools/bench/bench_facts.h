/* bench_facts.h - how llama-bench names the machine, the model and the build, so that its results and ours can be joined. */
#ifndef PRISM_TOOLS_BENCH_FACTS_H
#define PRISM_TOOLS_BENCH_FACTS_H

#include <stddef.h>

#include "prism/prism.h"

/* The model name of the first processor in /proc/cpuinfo; "CPU" where there is none (ARM). */
void bench_cpu_name(char *out, size_t cap);

/* "qwen3 0.6B Q8_0": architecture, size as llama.cpp infers it from the shape ("?B": not a known one), and type. */
void bench_model_type(const struct prism_model_info *m, char *out, size_t cap);

/* The version in the places of a commit and a build number: 0.1.0 is pr00100 and 100. 8 bytes with the final NUL. */
void bench_build(char commit[8], int *number);

#endif
