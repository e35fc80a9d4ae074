/* bench.h - the subcommands of prism-bench, each a small program with its own flags; argv[0] is the subcommand's name. All return an exit
 * status, PROCESS_ERROR after one line. */
#ifndef PRISM_TOOLS_BENCH_H
#define PRISM_TOOLS_BENCH_H

int bench_attn(int argc, char **argv);  /* attention of one layer, by length and selector */
int bench_chart(int argc, char **argv); /* the table of tools/paper.sh as a picture */

#endif
