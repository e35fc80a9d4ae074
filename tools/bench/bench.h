/* bench.h - prism-bench as llama-bench, and its subcommands, each a small program with its own flags; argv[0] is the subcommand's name. All
 * return an exit status, PROCESS_ERROR after one line. */
#ifndef PRISM_TOOLS_BENCH_H
#define PRISM_TOOLS_BENCH_H

/* llama-bench's tests and output; argv as main has it. commands: the lines of --help about the subcommands. */
int bench_llama(int argc, char **argv, const char *commands);

int bench_answers(int argc, char **argv); /* answers inside documents that selectors keep */
int bench_attn(int argc, char **argv);  /* attention of one layer, by length and selector */
int bench_chart(int argc, char **argv); /* the table of tools/paper.sh as a picture */
int bench_kernels(int argc, char **argv); /* every kernel at every level */
int bench_scaling(int argc, char **argv); /* idle threads of a layer, modelled */
int bench_peak(int argc, char **argv);  /* what the processor and its memory can do at most */

#endif
