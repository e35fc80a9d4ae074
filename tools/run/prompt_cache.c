/* prompt_cache.c - see prompt_cache.h. */
#include "tools/run/prompt_cache.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common/process.h"

/* With a selector, a prompt of which nobody knows what others will have in common with it: at most so many tokens are computed again. */
enum { CUT_EVERY = 4096 };

#define AT(field) offsetof(struct prompt_cache_options, field)

const struct cli_option prompt_cache_rows[] = {
    { .kind = CLI_TEXT, .names = "--prompt-cache", .arg = "FILE", .offset = AT(file), .initial = "",
      .help = "what was computed for the prompt is kept in FILE,\nand the next prompt that begins alike begins there" },
    { .kind = CLI_FLAG, .names = "--prompt-cache-all", .offset = AT(all), .help = "the generated text too" },
    { .kind = CLI_FLAG, .names = "--prompt-cache-ro", .offset = AT(read_only), .help = "the file is read, never written" },
    { 0 },
};

/* Whether there is something at that path that no session file begins with. A file that is empty may have been one. */
static bool is_foreign(const char *path)
{
    char bytes[8];
    struct stat st;
    FILE *f = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;

    if (!f)
        return false;
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return memcmp(bytes, "PRISMSES", n) != 0;
}

int prompt_cache_check(const struct prompt_cache_options *o)
{
    if (!o->file && (o->read_only || o->all))
        return process_error("%s: give the file with --prompt-cache FILE", o->all ? "--prompt-cache-all" : "--prompt-cache-ro");
    if (o->file && !*o->file)
        return process_error("--prompt-cache: the name of the file is empty");
    if (o->file && !o->read_only && is_foreign(o->file))
        return process_error("--prompt-cache %s: not a session file, and it would be overwritten: give another name", o->file);
    return PROCESS_OK;
}

size_t prompt_cache_tokens(const struct prompt_cache_options *o)
{
    struct prism_session_info info;
    return o->file && prism_session_info(o->file, &info, NULL) == PRISM_OK ? (size_t)info.n_tokens : 0;
}

void prompt_cache_load(struct prompt_cache *p, const struct prompt_cache_options *o, prism_context *ctx)
{
    struct prism_error err;
    struct stat st;

    *p = (struct prompt_cache){ .opt = o };
    if (!o->file || stat(o->file, &st) != 0) /* the first run */
        return;
    p->usable = prism_session_load(ctx, o->file, &err) == PRISM_OK;
    if (!p->usable)
        process_warning("%s: the prompt is computed anew, and the file %s", err.text, o->read_only ? "left as it is" : "replaced");
}

void prompt_cache_cuts(const struct prompt_cache *p, size_t n_document, size_t n, struct prism_prefill_params *params)
{
    if (n_document > 0 && n_document <= n) {
        params->cut = n_document;
    } else if (p->opt->file) {
        params->cut = n;
        params->cut_every = CUT_EVERY;
    }
}

static bool save(const struct prompt_cache *p, prism_context *ctx)
{
    struct prism_error err;

    if (prism_session_save(ctx, p->opt->file, &err) == PRISM_OK)
        return true;
    process_warning("%s: the prompt is not kept", err.text);
    return false;
}

void prompt_cache_report(struct prompt_cache *p, prism_context *ctx, size_t reused, size_t n)
{
    const struct prompt_cache_options *o = p->opt;
    struct prism_session_info info = { 0 };

    if (!o->file)
        return;
    bool due = !o->read_only && !o->all && (!p->usable || reused < (n + 1) / 2);
    if (due && save(p, ctx))
        p->usable = prism_session_info(o->file, &info, NULL) == PRISM_OK;
    fprintf(stderr, "cache     reused %zu of %zu tokens", reused, n);
    if (info.file_bytes)
        fprintf(stderr, ", wrote %.1f MiB", (double)info.file_bytes / (1 << 20));
    fputc('\n', stderr);
}

void prompt_cache_finish(const struct prompt_cache *p, prism_context *ctx)
{
    if (p->opt->file && p->opt->all && !p->opt->read_only)
        save(p, ctx);
}
