/* prompt_cache.h - llama.cpp's --prompt-cache, --prompt-cache-ro and --prompt-cache-all: a session file before and after a prompt's prefill.
 *
 * A file that cannot be used is one line, and the prompt is computed anew. It is written when it cannot be used or is not there, and when less
 * than half of the prompt was in it: not for every question about a document. What is no session file is never overwritten. */
#ifndef PRISM_TOOLS_PROMPT_CACHE_H
#define PRISM_TOOLS_PROMPT_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "prism/prism.h"
#include "tools/common/cli.h"

struct prompt_cache_options {
    const char *file;    /* NULL: none, and then none of the functions does anything but prefill */
    bool read_only, all; /* all: the generated tokens too */
};
extern const struct cli_option prompt_cache_rows[]; /* for a CLI_ROWS row */

struct prompt_cache {
    const struct prompt_cache_options *opt;
    bool usable;         /* the file was loaded, or written since */
};

/* Whether the flags go together, and the file may be written. PROCESS_ERROR after one line. */
int prompt_cache_check(const struct prompt_cache_options *o);

/* Tokens that a context must have room for, so that the file can be loaded; 0: there is none, or it cannot be used. */
size_t prompt_cache_tokens(const struct prompt_cache_options *o);

/* Loads the file into the context, which is empty; one line when it cannot be used. */
void prompt_cache_load(struct prompt_cache *p, const struct prompt_cache_options *o, prism_context *ctx);

/* Where prism_prefill_to of a prompt of n tokens is to make ends, of which the first n_document are common with others (0: nobody knows). */
void prompt_cache_cuts(const struct prompt_cache *p, size_t n_document, size_t n, struct prism_prefill_params *params);

/* After a prefill of n tokens, of which the context had `reused`: writes the file if that is due, and says on stderr what was reused. */
void prompt_cache_report(struct prompt_cache *p, prism_context *ctx, size_t reused, size_t n);

/* At the end, for --prompt-cache-all. */
void prompt_cache_finish(const struct prompt_cache *p, prism_context *ctx);

#endif
