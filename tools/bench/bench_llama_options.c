/* bench_llama_options.c - see bench_llama.h. The flags of llama-bench with their defaults, and ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_llama.h"
#include "tools/common/engine.h"
#include "tools/common/llama_flags.h"
#include "tools/common/process.h"

#define AT(field) offsetof(struct bench_options, field)
#define LIST(column) AT(list[column])
#define COUNT_MAX 2147483647.0 /* what llama-bench's numbers hold */

/* `initial` of a list is also its default; "" leaves it empty. */
static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Tests; each flag takes several values, 1,2,8, and ranges, 1-4, 16-64+16, 1-8*2, and may be repeated" },
    { .kind = CLI_EACH, .names = "-m, --model", .arg = "FILE", .offset = LIST(BENCH_MODEL_FILENAME), .take = bench_take_texts, .initial = "",
      .help = "GGUF model; of a split model, its first part" },
    { .kind = CLI_EACH, .names = "-p, --n-prompt", .arg = "N", .offset = LIST(BENCH_N_PROMPT), .take = bench_take_numbers, .max = COUNT_MAX,
      .initial = "512", .help = "test ppN: prefill N tokens; 0: no such test" },
    { .kind = CLI_EACH, .names = "-n, --n-gen", .arg = "N", .offset = LIST(BENCH_N_GEN), .take = bench_take_numbers, .max = COUNT_MAX,
      .initial = "128", .help = "test tgN: N steps of one token; 0: no such test" },
    { .kind = CLI_EACH, .names = "-pg", .arg = "P,N", .offset = AT(pairs), .take = bench_take_pair, .max = COUNT_MAX, .initial = "",
      .help = "test ppP+tgN: both in one" },
    { .kind = CLI_EACH, .names = "-d, --n-depth", .arg = "N", .offset = LIST(BENCH_N_DEPTH), .take = bench_take_numbers, .max = COUNT_MAX,
      .initial = "0", .help = "tokens in the cache before a test" },
    { .kind = CLI_EACH, .names = "-b, --batch-size", .arg = "N", .offset = LIST(BENCH_N_BATCH), .take = bench_take_numbers, .min = 1,
      .max = COUNT_MAX, .initial = "2048", .help = "tokens per call of prefill; not given: the whole prompt\nin one call, whatever its length" },
    { .kind = CLI_EACH, .names = "-t, --threads", .arg = "N", .offset = LIST(BENCH_N_THREADS), .take = bench_take_numbers,
      .max = PRISM_MAX_THREADS, .initial = "0", .help = "threads; 0: one per physical core" },
    { .kind = CLI_EACH, .names = "-ctk, --cache-type-k", .arg = "TYPE", .offset = LIST(BENCH_TYPE_K), .take = bench_take_words,
      .choices = "auto f16 bf16 f32 q8_0", .initial = "auto",
      .help = "type of cached keys: f16, bf16, f32 or q8_0;\nauto: f16, or f32 with --compute f32" },
    { .kind = CLI_EACH, .names = "-ctv, --cache-type-v", .arg = "TYPE", .offset = LIST(BENCH_TYPE_V), .take = bench_take_words,
      .choices = "auto f16 bf16 f32 q8_0", .initial = "auto", .help = "type of cached values; auto: that of keys" },
    { .kind = CLI_EACH, .names = "--attn", .arg = "NAME", .offset = LIST(BENCH_ATTN), .take = bench_take_texts, .initial = "auto",
      .help = "auto, dense, prism, prism-rows, meanpool, streaming,\nvertical-slash, flexprefill, xattention" },
    { .kind = CLI_EACH, .names = "--cpu-level", .arg = "NAME", .offset = LIST(BENCH_CPU_LEVEL), .take = bench_take_texts, .initial = "auto",
      .help = "kernels to use: generic, avx2, ...; an unknown name\nlists them; auto: the best of this machine" },
    { .kind = CLI_EACH, .names = "--compute", .arg = "auto|f32", .offset = LIST(BENCH_COMPUTE), .take = bench_take_words,
      .choices = "auto f32", .initial = "auto", .help = "auto: the fastest arithmetic of the level\nf32: single precision everywhere" },

    { .kind = CLI_HEADING, .help = "Measurement" },
    { .kind = CLI_TEXT, .names = "-f, --file", .arg = "FILE", .offset = AT(file), .initial = "random tokens",
      .help = "tokens of this text, repeated when it is too short;\n\"-\" is standard input" },
    { .kind = CLI_INT, .names = "-r, --repetitions", .arg = "N", .offset = AT(repetitions), .min = 1, .max = 100000, .help = "runs of each test" },
    { .kind = CLI_FLAG, .names = "--no-warmup", .offset = AT(no_warmup),
      .help = "no run that is not timed before the others" },
    { .kind = CLI_INT, .names = "--delay", .arg = "SECONDS", .offset = AT(delay_s), .max = 86400, .help = "pause before each test" },
    { .kind = CLI_FLAG, .names = "--no-bind", .offset = AT(no_bind), .help = "do not pin threads to cores; fewer threads than cores\nnever are" },

    { .kind = CLI_HEADING, .help = "Output" },
    { .kind = CLI_CHOICE, .names = "-o, --output", .arg = "FORMAT", .offset = AT(format), .choices = BENCH_FORMATS,
      .help = "csv, json, jsonl, md, sql or none, on stdout" },
    { .kind = CLI_CHOICE, .names = "-oe, --output-err", .arg = "FORMAT", .offset = AT(format_err), .choices = BENCH_FORMATS,
      .help = "the same on stderr" },
    { .kind = CLI_FLAG, .names = "--progress", .offset = AT(progress), .help = "a line on stderr before each run" },
    { .kind = CLI_FLAG, .names = "-v, --verbose", .offset = AT(verbose), .help = "kernels, memory and threads of each test on stderr" },
    { .kind = CLI_FLAG, .names = "--list-devices", .offset = AT(list_devices), .help = "list devices other than the CPU, and exit" },

    { .kind = CLI_HEADING, .help = "Settings of attention" },
    { .kind = CLI_ROWS, .rows = attention_rows, .offset = AT(attention) },

    { .kind = CLI_HEADING, .help = "Taken and reported as llama-bench does, without effect on this engine" },
    { .kind = CLI_EACH, .names = "-fa, --flash-attn", .arg = "on|off|auto", .offset = LIST(BENCH_FLASH_ATTN), .take = bench_take_words,
      .choices = "on=1 off=0 auto=-1 1 0 -1 enabled=1 disabled=0 true=1 false=0", .initial = "auto", .help = "attention is always fused here" },
    { .kind = CLI_EACH, .names = "-ub, --ubatch-size", .arg = "N", .offset = LIST(BENCH_N_UBATCH), .take = bench_take_numbers, .min = 1,
      .max = COUNT_MAX, .initial = "512", .help = "the engine cuts a call as it likes" },
    { .kind = CLI_EACH, .names = "-C, --cpu-mask", .arg = "HEX", .offset = LIST(BENCH_CPU_MASK), .take = bench_take_texts, .initial = "0x0",
      .help = "use taskset" },
    { .kind = CLI_EACH, .names = "--cpu-strict", .arg = "0|1", .offset = LIST(BENCH_CPU_STRICT), .take = bench_take_words, .choices = "0 1",
      .initial = "0", .help = "threads are pinned anyway" },
    { .kind = CLI_EACH, .names = "--poll", .arg = "0..100", .offset = LIST(BENCH_POLL), .take = bench_take_numbers, .max = 100,
      .initial = "50", .help = "" },
    { .kind = CLI_INT, .names = "--prio", .arg = "-1..3", .offset = AT(priority), .min = -1, .max = 3, .help = "use nice" },
    { .kind = CLI_CHOICE, .names = "--numa", .arg = "WORD", .offset = AT(numa), .choices = "off distribute isolate numactl",
      .help = "distribute, isolate or numactl; use numactl" },
    { .kind = CLI_EACH, .names = "-lm, --load-mode", .arg = "WORD", .offset = LIST(BENCH_LOAD_MODE), .take = bench_take_words,
      .choices = "auto none mmap mlock mmap+mlock dio", .initial = "auto",
      .help = "auto, none, mmap, mlock, mmap+mlock or dio;\nfiles are always mapped" },
    { .kind = CLI_EACH, .names = "-lzm, --lazy-mode", .arg = "on|auto|off", .offset = LIST(BENCH_LAZY_MODE), .take = bench_take_words,
      .choices = "on auto off", .initial = "auto", .help = "" },
    { .kind = CLI_EACH, .names = "-ngl, --n-gpu-layers", .arg = "N", .offset = LIST(BENCH_N_GPU_LAYERS), .take = bench_take_numbers,
      .min = -COUNT_MAX, .max = COUNT_MAX, .initial = "-1", .help = "" },
    { .kind = CLI_EACH, .names = "-ncmoe, --n-cpu-moe", .arg = "N", .offset = LIST(BENCH_N_CPU_MOE), .take = bench_take_numbers,
      .max = COUNT_MAX, .initial = "0", .help = "" },
    { .kind = CLI_EACH, .names = "-sm, --split-mode", .arg = "WORD", .offset = LIST(BENCH_SPLIT_MODE), .take = bench_take_words,
      .choices = "none layer row tensor", .initial = "layer", .help = "none, layer, row or tensor" },
    { .kind = CLI_EACH, .names = "-mg, --main-gpu", .arg = "N", .offset = LIST(BENCH_MAIN_GPU), .take = bench_take_numbers,
      .max = COUNT_MAX, .initial = "0", .help = "" },
    { .kind = CLI_EACH, .names = "-nkvo, --no-kv-offload", .arg = "0|1", .offset = LIST(BENCH_NO_KV_OFFLOAD), .take = bench_take_words,
      .choices = "0 1", .initial = "0", .help = "" },
    { .kind = CLI_EACH, .names = "-dev, --device", .arg = "auto|none", .offset = LIST(BENCH_DEVICES), .take = bench_take_words,
      .choices = "auto none", .initial = "auto", .help = "" },
    { .kind = CLI_EACH, .names = "-ts, --tensor-split", .arg = "A/B/..", .offset = LIST(BENCH_TENSOR_SPLIT), .take = bench_take_shares,
      .initial = "0", .help = "" },
    { .kind = CLI_EACH, .names = "-ot, --override-tensor", .arg = "RULES", .offset = LIST(BENCH_TENSOR_BUFT_OVERRIDES), .take = bench_take_texts,
      .initial = "none", .help = "" },
    { .kind = CLI_EACH, .names = "-embd, --embeddings", .arg = "0", .offset = LIST(BENCH_EMBEDDINGS), .take = bench_take_words,
      .choices = "0 1", .initial = "0", .help = "1 is refused" },
    { .kind = CLI_EACH, .names = "-nopo, --no-op-offload", .arg = "0|1", .offset = LIST(BENCH_NO_OP_OFFLOAD), .take = bench_take_words,
      .choices = "0 1", .initial = "0", .help = "" },
    { .kind = CLI_EACH, .names = "--no-host", .arg = "0|1", .offset = LIST(BENCH_NO_HOST), .take = bench_take_words, .choices = "0 1",
      .initial = "0", .help = "" },
    { .kind = CLI_EACH, .names = "-fitt, --fit-target", .arg = "MIB", .offset = LIST(BENCH_FIT_TARGET), .take = bench_take_numbers,
      .max = COUNT_MAX, .initial = "0", .help = "" },
    { .kind = CLI_EACH, .names = "-fitc, --fit-ctx", .arg = "N", .offset = LIST(BENCH_FIT_MIN_CTX), .take = bench_take_numbers,
      .max = COUNT_MAX, .initial = "0", .help = "" },
    { .kind = CLI_TEXT, .names = "-hf, -hfr, --hf-repo", .arg = "REPO", .offset = AT(hf_repo), .initial = "",
      .help = "refused: nothing is downloaded" },
    { .kind = CLI_TEXT, .names = "-hff, --hf-file", .arg = "FILE", .offset = AT(hf_file), .initial = "", .help = "" },
    { .kind = CLI_TEXT, .names = "-hft, --hf-token", .arg = "TOKEN", .offset = AT(hf_token), .initial = "", .help = "" },
    { .kind = CLI_FLAG, .names = "--offline", .offset = AT(offline), .help = "" },
    { .kind = CLI_ROWS, .rows = llama_bench_flags },
    { 0 },
};

static const char about[] =
    "Times prefill and generation as llama-bench does, with its flags and its output; results of both tools can be\n"
    "joined. Every combination of the values given is measured: for each, one test per -p, -n and -pg. A test clears the\n"
    "cache, fills -d tokens untimed, then takes the time of a prefill of p tokens and of n single tokens: random ones,\n"
    "after the beginning-of-text token if the model has it. t/s is the mean over the repetitions, and their sample\n"
    "standard deviation. Columns beyond llama-bench's tell what attention did; give one --attn per file that\n"
    "compare-llama-bench.py is to read, for it averages what differs in our columns only.\n"
    "Exit status: 0 success, 1 error, 130 interrupted; what was measured until then is complete output.\n";

static const char examples[] =
    "  prism-bench -m model.gguf                                          pp512 and tg128\n"
    "  prism-bench -m model.gguf -p 4096-32768*2 -n 0 --attn dense,prism  prefill by length, with and without selection\n"
    "  prism-bench -m model.gguf -p 16384 -n 32 -f book.txt -o json       a real text in place of random tokens\n"
    "  prism-bench -m model.gguf -o sql | sqlite3 llama-bench.sqlite      beside llama-bench's own results\n";

/* Defaults of the lists that are still empty, and which differ from theirs. */
static int fill_defaults(struct bench_options *o)
{
    for (const struct cli_option *row = rows; row->kind != CLI_END; row++) {
        struct bench_list *l = (struct bench_list *)(void *)((char *)o + row->offset), usual = { 0 };
        if (row->kind != CLI_EACH || !*row->initial)
            continue;
        int status = row->take(row, row->names, row->initial, &usual);
        if (status < 0 && l->n == 0) {
            *l = usual;
            continue;
        }
        if (status < 0)
            o->shown[l - o->list] = l->n > 1 || strcmp(l->value[0], usual.value[0]) != 0;
        bench_list_free(&usual);
        if (status >= 0)
            return status;
    }
    return -1;
}

/* The largest number of every `step`-th value. */
static unsigned long largest(const struct bench_list *l, size_t step)
{
    unsigned long most = 0;

    for (size_t i = 0; i < l->n; i += step) {
        unsigned long v = strtoul(l->value[i], NULL, 10);
        most = v > most ? v : most;
    }
    return most;
}

/* Whether --attn auto may leave blocks out in some test (prism.h: min_tokens): then readers are told, defaults or not. */
static bool auto_may_select(const struct bench_options *o)
{
    unsigned long p = largest(&o->list[BENCH_N_PROMPT], 1), pg = largest(&o->pairs, 2), d = largest(&o->list[BENCH_N_DEPTH], 1);

    return (p > pg ? p : pg) + d >= (unsigned long)(o->attention.min_tokens > 0 ? o->attention.min_tokens : 8192);
}

static bool has(const struct bench_list *l, const char *value)
{
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->value[i], value))
            return true;
    return false;
}

/* Flags whose values cannot be had, and those that llama-bench would heed. */
static int judge(const struct bench_options *o)
{
    const struct {
        bool given;
        const char *flag, *instead;
    } idle[] = {
        { o->shown[BENCH_CPU_MASK], "-C", "taskset" },
        { o->shown[BENCH_CPU_STRICT], "--cpu-strict", "taskset" },
        { o->priority != 0, "--prio", "nice" },
        { o->numa != 0, "--numa", "numactl" },
    };

    if (o->hf_repo)
        return process_error("-hf %s: nothing is downloaded, use -m FILE", o->hf_repo);
    if (has(&o->list[BENCH_EMBEDDINGS], "1"))
        return process_error("-embd 1: embeddings are not supported");
    if (o->list[BENCH_MODEL_FILENAME].n == 0)
        return process_error("no model: use -m FILE (see --help)");
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (idle[i].given)
            process_warning("%s has no effect, use %s", idle[i].flag, idle[i].instead);
    return -1;
}

int bench_llama_options(struct bench_options *o, const char *commands, int argc, char **argv)
{
    const struct attention_options usual = engine_defaults.attention;
    char text[sizeof about + 1024];
    struct cli cli = { .usage = "-m MODEL [options] | COMMAND [options]", .about = text, .examples = examples, .rows = rows };

    snprintf(text, sizeof text, "%s%s", about, commands);
    *o = (struct bench_options){ .attention = usual, .repetitions = 5, .format = BENCH_MD };
    int status = cli_parse(&cli, o, argc, argv);
    if (status >= 0)
        return status;
    if (o->list_devices) {
        printf("Available devices:\n  (none)\n");
        return process_flush_stdout();
    }
    o->in_pieces = o->list[BENCH_N_BATCH].n > 0;
    status = fill_defaults(o);
    if (status >= 0)
        return status;
    cli_differing(attention_rows, &o->attention, &usual, o->attention_given, sizeof o->attention_given);
    o->shown[BENCH_N_THREADS] = true;
    o->shown[BENCH_ATTN_SETTINGS] = *o->attention_given != 0;
    o->shown[BENCH_ATTN] |= auto_may_select(o);
    o->shown[BENCH_ATTN_DENSITY] = o->shown[BENCH_ATTN];
    o->shown[BENCH_PROMPT_SOURCE] = o->file != NULL;
    return judge(o);
}

void bench_llama_free_options(struct bench_options *o)
{
    for (int c = 0; c < BENCH_N_COLUMNS; c++)
        bench_list_free(&o->list[c]);
    bench_list_free(&o->pairs);
}
