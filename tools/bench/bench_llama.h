/* bench_llama.h - the command line of prism-bench without a subcommand, which is llama-bench's: what bench_llama_options.c reads from it and
 * bench_llama.c measures. */
#ifndef PRISM_TOOLS_BENCH_LLAMA_H
#define PRISM_TOOLS_BENCH_LLAMA_H

#include "tools/bench/bench_list.h"
#include "tools/bench/bench_out.h"
#include "tools/common/attention.h"

struct bench_options {
    struct bench_list list[BENCH_N_COLUMNS]; /* the values of each column that a flag sets, one or more, except of -p, -n, -m */
    struct bench_list pairs;                 /* of -pg: two values each */
    bool shown[BENCH_N_COLUMNS];             /* not at its default: a column of the markdown table */
    bool in_pieces;                          /* -b was given: at most so many tokens per call */
    struct attention_options attention;      /* but for the selector, which is a list */
    char attention_given[512];               /* those flags that are not at their defaults */
    const char *file;                        /* NULL: random tokens */
    int64_t repetitions, delay_s, priority;
    int format, format_err;                  /* enum bench_format, of stdout and stderr */
    int numa;
    bool no_bind, progress, no_warmup, verbose, list_devices, offline;
    const char *hf_repo, *hf_file, *hf_token;
};

/* Reads the command line, fills in defaults and warns about flags that have no effect here. `commands` is the end of the text that --help
 * prints first. Returns -1 to carry on, else the status to exit with, PROCESS_ERROR after one line. The lists are the caller's to free in any
 * case. */
int bench_llama_options(struct bench_options *o, const char *commands, int argc, char **argv);
void bench_llama_free_options(struct bench_options *o);

#endif
