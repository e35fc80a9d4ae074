/* prism-run - feed a prompt to a GGUF model, fast, and print the continuation.
 *
 * Owns: the command line and what goes to stdout and stderr. The engine is behind prism/prism.h, the generation loop in
 * tools/run/generate.h. Flags mean what they mean in llama.cpp's llama-completion. stdout carries text (or one JSON
 * document), everything else goes to stderr; exit status 0 is success, 1 an error (one line on stderr), 130 a Ctrl-C. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/common/cli.h"
#include "tools/common/llama_flags.h"
#include "tools/common/process.h"
#include "tools/run/run.h"

#define AT(field) offsetof(struct run_options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "Prompt" },
    { .kind = CLI_EACH, .names = "-p, --prompt", .arg = "TEXT", .offset = AT(prompts), .take = run_take_text, .initial = "",
      .help = "the prompt; several are answered one after the other" },
    { .kind = CLI_TEXT, .names = "-f, --file", .arg = "FILE", .offset = AT(file), .initial = "-",
      .help = "the prompt is in FILE, any bytes, less one newline at\nits end; \"-\" is standard input. Together with -p: the\n"
              "document, an empty line, the question, for every -p" },
    { .kind = CLI_TEXT, .names = "-bf, --binary-file", .arg = "FILE", .offset = AT(binary_file), .initial = "",
      .help = "the same with that newline" },
    { .kind = CLI_SET, .names = "-e, --escape", .value = ESCAPES_ALL, .offset = AT(escapes),
      .help = "expand \\n \\r \\t \\' \\\" \\\\ \\xHH in every prompt\n(default: in -p only)" },
    { .kind = CLI_SET, .names = "--no-escape", .value = ESCAPES_NONE, .offset = AT(escapes), .help = "expand them nowhere" },
    { .kind = CLI_SET, .names = "--display-prompt", .value = 1, .offset = AT(display_prompt),
      .help = "print the prompt before its continuation" },
    { .kind = CLI_SET, .names = "--no-display-prompt", .value = 0, .offset = AT(display_prompt), .help = "do not (the default)" },

    { .kind = CLI_ROWS, .rows = prompt_cache_rows, .offset = AT(cache) },
    { .kind = CLI_HEADING, .help = "Chat, for models with a chat template" },
    { .kind = CLI_TEXT, .names = "-sys, --system-prompt", .arg = "TEXT", .offset = AT(dialog.system), .initial = "",
      .help = "what the system message says" },
    { .kind = CLI_TEXT, .names = "-sysf, --system-prompt-file", .arg = "FILE", .offset = AT(dialog.system_file), .initial = "",
      .help = "it is in FILE, less one newline at its end" },
    { .kind = CLI_SET, .names = "-cnv, --conversation", .value = 1, .offset = AT(conversation),
      .help = "a conversation on the terminal: each -p, then what you\ntype; /exit /clear /read FILE /regen; Ctrl-C stops an\nanswer" },
    { .kind = CLI_SET, .names = "-st, --single-turn", .value = 0, .offset = AT(conversation), .help = "one answer to each -p (the default)" },
    { .kind = CLI_FLAG, .names = "-no-cnv, --no-conversation", .offset = AT(dialog.raw), .help = "no chat: the prompt is continued as it is" },
    { .kind = CLI_TEXT, .names = "--chat-template", .arg = "TEXT", .offset = AT(dialog.template_text), .initial = "that of the model",
      .help = "chatml, or a template in Jinja" },
    { .kind = CLI_TEXT, .names = "--chat-template-file", .arg = "FILE", .offset = AT(dialog.template_file), .initial = "",
      .help = "the template is in FILE" },
    { .kind = CLI_CHOICE, .names = "-rea, --reasoning", .arg = "auto|on|off", .offset = AT(dialog.reasoning), .choices = "auto on off",
      .help = "enable_thinking of the template; auto: not said" },

    { .kind = CLI_HEADING, .help = "Generation" },
    { .kind = CLI_INT, .names = "-n, --n-predict, --predict", .arg = "N", .offset = AT(n_predict), .min = -1, .max = INT32_MAX,
      .initial = "64; in a chat 4096", .help = "tokens to generate; -1: until the model ends\nits text or the context is full" },
    { .kind = CLI_EACH, .names = "-r, --reverse-prompt", .arg = "TEXT", .offset = AT(stops), .take = run_take_text, .initial = "",
      .help = "TEXT ends an answer, and is not printed; may be\nrepeated" },
    { .kind = CLI_INT, .names = "-c, --ctx-size", .arg = "N", .offset = AT(n_ctx), .min = 0, .max = INT32_MAX,
      .initial = "0", .help = "tokens that the context holds; 0: what the prompt\nand -n need, at most the trained length" },
    { .kind = CLI_INT, .names = "-s, --seed", .arg = "N", .offset = AT(seed), .min = -1, .max = 9007199254740992.0,
      .initial = "-1, a new one each time", .help = "seed of the random numbers" },
    { .kind = CLI_REAL, .names = "--temp, --temperature", .arg = "T", .offset = AT(temp), .min = -1, .max = 100,
      .help = "temperature; 0 or less: always the likeliest" },
    { .kind = CLI_INT, .names = "--top-k", .arg = "N", .offset = AT(top_k), .min = -1, .max = INT32_MAX,
      .help = "only the N likeliest tokens; 0: all" },
    { .kind = CLI_REAL, .names = "--top-p", .arg = "P", .offset = AT(top_p), .min = 0, .max = 1,
      .help = "only the likeliest that sum up to P; 1: all" },
    { .kind = CLI_REAL, .names = "--min-p", .arg = "P", .offset = AT(min_p), .min = 0, .max = 1,
      .help = "only those at least P times as likely as the\nlikeliest; 0: all" },
    { .kind = CLI_FLAG, .names = "--ignore-eos", .offset = AT(ignore_eos), .help = "never end the text before -n" },

    { .kind = CLI_HEADING, .help = "Engine" },
    { .kind = CLI_ROWS, .rows = engine_rows, .offset = AT(engine) },

    { .kind = CLI_HEADING, .help = "Instead of generating" },
    { .kind = CLI_FLAG, .names = "--info", .offset = AT(info),
      .help = "print facts of the model and the memory plan\n(for -c, else the trained length)" },
    { .kind = CLI_FLAG, .names = "--kernels", .offset = AT(kernels), .help = "print the kernels of --cpu-level; no model needed" },
    { .kind = CLI_FLAG, .names = "--tokenize", .offset = AT(tokenize),
      .help = "print the prompt's token ids, without special\ntokens; a vocabulary-only model is enough" },

    { .kind = CLI_HEADING, .help = "Output" },
    { .kind = CLI_FLAG, .names = "--stats", .offset = AT(stats),
      .help = "print on stderr what attention computed: density\nand mass of every layer and head" },
    { .kind = CLI_TEXT, .names = "--attn-map", .arg = "FILE.png", .offset = AT(attn_map), .initial = "",
      .help = "draw the key blocks that attention chose, a panel for\nevery layer and head" },
    { .kind = CLI_FLAG, .names = "--json", .offset = AT(json), .help = "print one JSON document in place of the text" },
    { .kind = CLI_FLAG, .names = "-v, --verbose, --log-verbose", .offset = AT(verbose), .help = "seed, memory and threads on stderr" },
    { .kind = CLI_ROWS, .rows = llama_common_flags },
    { .kind = CLI_ROWS, .rows = llama_run_flags },
    { 0 },
};

static const struct cli cli = {
    .usage = "-m MODEL [-f FILE] [-p TEXT]... [options]",
    .about = "Feeds a prompt to a GGUF model and prints the continuation; where the model has a chat template\n"
             "the prompt is a message and the continuation the answer. Special tokens in a prompt are\n"
             "recognised, in a message they are plain text. Exit status: 0 success, 1 error, 130 interrupted.\n",
    .examples = "  prism-run -m model.gguf -f book.txt -n 200             continue a long text\n"
                "  prism-run -m chat.gguf -f report.txt -p 'Who paid?'    ask a document\n"
                "  prism-run -m chat.gguf -cnv -sys 'Be brief.'           talk\n"
                "  prism-run -m model.gguf -p 'Once upon' --temp 0        the likeliest continuation\n"
                "  cat a.txt b.txt | prism-run -m model.gguf --json       from a pipe, result as JSON\n"
                "  prism-run -m model.gguf --info -c 32768                will it fit?\n",
    .rows = rows,
};

static int print_tokens(const struct run_options *opt)
{
    prism_model *model;
    struct text prompt = { 0 };
    int32_t *tokens = NULL;
    size_t n = 0;
    int status = engine_load(&opt->engine, true, &model);

    if (status == PROCESS_OK)
        status = run_read_prompt(opt, &prompt);
    if (status == PROCESS_OK)
        status = engine_tokenize(model, prompt.bytes, prompt.len, 0, &tokens, &n);
    if (status == PROCESS_OK) {
        for (size_t i = 0; i < n; i++)
            printf("%s%d", i ? " " : "", tokens[i]);
        putchar('\n');
        status = process_flush_stdout();
    }
    free(tokens);
    free(prompt.bytes);
    prism_model_free(model);
    return status;
}

int main(int argc, char **argv)
{
    struct run_options opt = {
        .engine = engine_defaults, .n_predict = RUN_N_PREDICT, .seed = -1, .temp = 0.80, .top_k = 40, .top_p = 0.95, .min_p = 0.05,
    };

    process_start();
    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    opt.dialog.escapes_text = opt.escapes != ESCAPES_NONE;
    opt.dialog.escapes_file = opt.escapes == ESCAPES_ALL;
    if (opt.kernels)
        return engine_show_kernels(&opt.engine);
    if (opt.info)
        return engine_show_info(&opt.engine, (uint32_t)opt.n_ctx, opt.json);
    return opt.tokenize ? print_tokens(&opt) : run_prompts(&opt);
}
