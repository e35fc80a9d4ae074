/* prism-bench - measures the engine: whole prompts as llama-bench does, or parts of it by subcommands. All are programs of their own, in
 * tools/bench/bench_*.c. */
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/common/process.h"

static const struct {
    const char *name, *about;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "answers", "answers inside documents that dense attention and selectors get right", bench_answers },
    { "attn", "attention of one layer for several lengths and selectors, against dense attention", bench_attn },
    { "chart", "draws the table that `make paper` writes", bench_chart },
    { "kernels", "every kernel at every level that runs here, against the peak of its instruction", bench_kernels },
    { "peak", "what the processor and its memory can do at most", bench_peak },
    { "scaling", "how much of many threads' time a layer would leave idle, modelled", bench_scaling },
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* What --help says about them. */
static void describe(char *out, size_t cap)
{
    size_t len = (size_t)snprintf(out, cap, "\nCommands that measure something else; prism-bench COMMAND --help prints their options:\n");

    for (size_t i = 0; i < N_COMMANDS && len < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "  %-8s %s\n", commands[i].name, commands[i].about);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    char about_commands[1024];

    process_start();
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    if (*name && *name != '-')
        return process_error("unknown command '%s' (see --help)", name);
    describe(about_commands, sizeof about_commands);
    return bench_llama(argc, argv, about_commands);
}
