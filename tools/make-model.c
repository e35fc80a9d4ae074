/* make-model - writes GGUF models to measure and test with: random weights in a public shape, or another model in another type.
 *
 * Beside the benchmark of the kernels it is the only program that includes headers of src/: it reads files with src/gguf and rounds
 * with the kernels, neither of which the public header has. Exit status: 0 fine, 1 an error, 130 interrupted. */
#include <signal.h>
#include <stdio.h>

#include "tools/common/cli.h"
#include "tools/common/process.h"
#include "tools/model/make_model.h"
#include "tools/model/shapes.h"

#define AT(field) offsetof(struct make_options, field)

static const struct cli_option rows[] = {
    { .kind = CLI_HEADING, .help = "A model of random weights" },
    { .kind = CLI_TEXT, .names = "--shape", .arg = "NAME", .offset = AT(shape), .help = "whose sizes the model has; see --list" },
    { .kind = CLI_TEXT, .names = "--vocab", .arg = "FILE", .offset = AT(vocab),
      .help = "GGUF file whose tokenizer is copied, filled up with unused\ntokens to the size of the shape's vocabulary; without\nit the model knows ids only" },
    { .kind = CLI_FLAG, .names = "--keep-vocab", .offset = AT(keep_vocab), .help = "no fillers: the vocabulary has the size of FILE's" },
    { .kind = CLI_INT, .names = "--layers", .arg = "N", .offset = AT(n_layers), .min = 1, .max = 512, .initial = "those of the shape",
      .help = "number of layers" },
    { .kind = CLI_INT, .names = "--seed", .arg = "N", .offset = AT(seed), .min = 0, .max = 9007199254740992.0,
      .help = "the same seed gives the same file" },

    { .kind = CLI_HEADING, .help = "A model from another" },
    { .kind = CLI_TEXT, .names = "--convert", .arg = "FILE", .offset = AT(convert),
      .help = "GGUF model; of a split model, its first part" },

    { .kind = CLI_HEADING, .help = "Both" },
    { .kind = CLI_TEXT, .names = "--type", .arg = "TYPE", .offset = AT(type),
      .help = "of the matrices: F32 F16 BF16 Q4_0 Q8_0; random weights\nalso: the others that --list prints, the mix Q4_K_M, and ALL:\n"
              "every type in turn. Vectors are F32. Rows that are no\nmultiple of the type's block get the type that llama.cpp\n"
              "gives them (Q4_K: Q5_0, Q6_K: Q8_0)" },
    { .kind = CLI_TEXT, .names = "-o, --output", .arg = "FILE", .offset = AT(output),
      .help = "the GGUF file; it appears when it is complete" },
    { .kind = CLI_FLAG, .names = "--list", .offset = AT(list), .help = "print the shapes and the types, and exit" },
    { 0 },
};

static const struct cli cli = {
    .usage = "{--shape NAME [--vocab FILE] | --convert FILE} --type TYPE -o FILE",
    .about = "Writes a GGUF model: random weights in the shape of a public model, as fast as the\nreal one and as wise as dice, or "
             "another model in another type.\nExit status: 0 success, 1 error, 130 interrupted.\n",
    .examples = "  make-model --shape gpt-oss-20b --layers 4 --type Q8_0 -o gpt-oss-4-layers.gguf\n"
                "  make-model --shape qwen3-0.6b --type Q4_K_M --vocab models/gutenberg-38m-q8_0.gguf -o qwen3-0.6b-q4_k_m.gguf\n"
                "  make-model --shape llama-3.1-8b --layers 2 --type Q8_0 --vocab models/gutenberg-38m-q8_0.gguf -o two-layers.gguf\n"
                "  make-model --convert models/gutenberg-38m-q8_0.gguf --type F16 -o gutenberg-38m-f16.gguf\n",
    .rows = rows,
};

static int print_list(void)
{
    printf("%-14s %14s %7s %7s %13s %8s %7s %10s %8s\n", "shape", "parameters", "layers", "width", "heads", "ff", "tokens", "output", "context");
    for (size_t i = 0; i < n_shapes; i++) {
        const struct shape *s = &shapes[i];
        char heads[32], ff[32];
        snprintf(heads, sizeof heads, "%u/%u of %u", s->n_head, s->n_head_kv, s->head_dim);
        if (s->n_expert)
            snprintf(ff, sizeof ff, "%ux%u", s->n_expert, s->n_ff_exp);
        else
            snprintf(ff, sizeof ff, "%u", s->n_ff);
        printf("%-14s %14llu %7u %7u %13s %8s %7u %10s %8u\n", s->name, (unsigned long long)shape_parameters(s, s->n_layer, s->n_vocab),
               s->n_layer, s->n_embd, heads, ff, s->n_vocab, s->tied ? "tied" : "its own", s->n_ctx);
    }
    printf("types:");
    for (int t = 0; t < PRISM_N_TYPES; t++)
        printf("%s%s", t % 16 || !t ? " " : "\n       ", prism_types[t].name);
    printf(" Q4_K_M ALL\n");
    return process_flush_stdout();
}

int main(int argc, char **argv)
{
    struct make_options opt = { 0 };

    process_start();
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error of the write, after which the file is removed */
    int status = cli_parse(&cli, &opt, argc, argv);
    if (status >= 0)
        return status;
    if (opt.list)
        return print_list();
    if (!opt.shape == !opt.convert)
        return process_error("use either --shape NAME or --convert FILE (see --help)");
    if (!opt.type)
        return process_error("no type: use --type TYPE (see --help)");
    if (!opt.output || !*opt.output)
        return process_error("no file to write: use -o FILE (see --help)");
    if (opt.convert && (opt.vocab || opt.keep_vocab || opt.n_layers || opt.seed))
        return process_error("--convert takes --type and -o only");
    return opt.shape ? make_random(&opt) : make_convert(&opt);
}
