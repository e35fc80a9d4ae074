/* prism-bench - measures the engine. Subcommands are programs of their own, in tools/common/bench_*.c. */
#include <stdio.h>
#include <string.h>

#include "prism/prism.h"
#include "tools/common/bench.h"
#include "tools/common/process.h"

static const struct {
    const char *name, *about;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "attn", "attention of one layer for several lengths and selectors, against dense attention", bench_attn },
    { "chart", "draws the table that `make paper` writes", bench_chart },
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static int print_help(void)
{
    printf("Usage: prism-bench COMMAND [options]\n\nMeasures the engine. Exit status: 0 success, 1 error, 130 interrupted.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].about);
    printf("\nprism-bench COMMAND --help prints the options of a command, prism-bench --version the version.\n");
    return process_flush_stdout();
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    process_catch_signals();
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        return print_help();
    if (!strcmp(name, "--version")) {
        printf("prism-bench %s\n", prism_version());
        return process_flush_stdout();
    }
    return argc < 2 ? process_error("no command (see --help)") : process_error("unknown command '%s' (see --help)", name);
}
