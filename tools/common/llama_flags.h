/* llama_flags.h - flags that people know from llama.cpp's tools and that this engine has no use for: the harmless are taken without effect, of
 * the others each is refused by its whole name with what to do instead. For a CLI_ROWS row behind a tool's own flags, which come first. */
#ifndef PRISM_TOOLS_LLAMA_FLAGS_H
#define PRISM_TOOLS_LLAMA_FLAGS_H

#include "tools/common/cli.h"

extern const struct cli_option llama_common_flags[];     /* of llama-cli, llama-completion and llama-perplexity */
extern const struct cli_option llama_run_flags[];        /* of the first two */
extern const struct cli_option llama_perplexity_flags[];
extern const struct cli_option llama_bench_flags[];      /* of older versions; the present ones are prism-bench's own */

#endif
