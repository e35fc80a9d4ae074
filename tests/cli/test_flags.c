/* Flags that people know from llama.cpp's tools: each is taken, or refused by its whole name; nothing is split into letters. The tables of
 * tools/common/llama_flags.c are walked row by row, the lists of names below come from llama.cpp's own --help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/child.h"
#include "tests/support/tool_check.h"
#include "tools/common/llama_flags.c"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf";

/* What ends a run quickly after all flags have been read: prints the kernels, or wants a model. */
static void run_flag(struct child *c, const char *tool, const char *flag, const char *value)
{
    if (strcmp(tool, "prism-run") == 0)
        RUN(c, tool, "--kernels", "--cpu-level", "generic", flag, value);
    else
        RUN(c, tool, flag, value);
}

/* The flags were read, with so many lines of warnings before. */
static void assert_taken(const char *tool, const char *flag, const char *value, size_t n_warnings)
{
    struct child c;
    bool run = strcmp(tool, "prism-run") == 0;

    run_flag(&c, tool, flag, value);
    if (c.status != !run || child_error_lines(&c) != n_warnings + !run || (!run && !strstr(c.err, ": no model: use -m FILE")))
        fail_msg("%s %s %s: status %d, stderr:\n%s", tool, flag, value ? value : "", c.status, c.err);
    child_free(&c);
}

static void assert_not_taken(const char *tool, const char *flag, const char *value, const char *expected)
{
    struct child c;

    run_flag(&c, tool, flag, value);
    if (c.status != 1 || child_error_lines(&c) != 1 || c.n_out != 0 || !strstr(c.err, expected))
        fail_msg("%s %s %s: expected \"%s\", found status %d, stderr:\n%s", tool, flag, value ? value : "", expected, c.status, c.err);
    child_free(&c);
}

/* ---- the tables ----------------------------------------------------------------------------------------------------- */

static void check_ignored(const struct cli_option *o, const char *tool, const char *flag)
{
    bool numbers = o->min < o->max;
    char value[64] = "text";

    if (!o->arg) {
        assert_taken(tool, flag, NULL, o->help != NULL);
        return;
    }
    if (o->choices)
        snprintf(value, sizeof value, "%.*s", (int)strcspn(o->choices, " "), o->choices);
    else if (numbers)
        snprintf(value, sizeof value, "%.0f", o->max);
    bool quiet = !o->help || (o->initial && strstr(o->initial, value));
    assert_taken(tool, flag, value, quiet ? 0 : 1);
    if (o->initial) {
        snprintf(value, sizeof value, "%.*s", (int)strcspn(o->initial, " "), o->initial);
        assert_taken(tool, flag, value, 0);
    }
    if (*o->arg == '[')
        assert_taken(tool, flag, NULL, 0);
    else if (numbers || o->choices)
        assert_not_taken(tool, flag, "1;2", ": expected ");
}

static void check_off(const struct cli_option *o, const char *tool, const char *flag)
{
    char value[64], expected[256];

    snprintf(value, sizeof value, "%g", o->min);
    assert_taken(tool, flag, value, 0);
    bool up = o->max < 1e6;
    snprintf(value, sizeof value, "%g", up ? o->max + 0.5 : o->min - 0.5);
    snprintf(expected, sizeof expected, "%s: %s %s: %s\n", tool, flag, value, o->help);
    assert_not_taken(tool, flag, value, expected);
    assert_not_taken(tool, flag, "nan", ": expected a number");
}

static void check_rows(const struct cli_option *rows, const char *tool)
{
    for (const struct cli_option *o = rows; o->kind != CLI_END; o++) {
        for (const char *name = o->names; name && *name; name += strcspn(name, ","), name += strspn(name, ", ")) {
            char flag[64], expected[256];
            size_t len = strcspn(name, ",");
            bool star = name[len - 1] == '*';
            snprintf(flag, sizeof flag, "%.*s%s", (int)(len - star), name, star ? "thing" : "");
            if (o->kind == CLI_IGNORED)
                check_ignored(o, tool, flag);
            if (o->kind == CLI_OFF)
                check_off(o, tool, flag);
            if (o->kind != CLI_REFUSED)
                continue;
            snprintf(expected, sizeof expected, "%s: %s: %s\n", tool, flag, o->help);
            assert_not_taken(tool, flag, "1", expected);
        }
    }
}

static void every_row(void **state)
{
    (void)state;
    check_rows(llama_common_flags, "prism-run");
    check_rows(llama_run_flags, "prism-run");
    check_rows(llama_common_flags, "prism-perplexity");
    check_rows(llama_perplexity_flags, "prism-perplexity");
    check_rows(llama_bench_flags, "prism-bench");
}

/* ---- llama.cpp's own lists ------------------------------------------------------------------------------------------ */

static const char llama_common_names[] =
    "-h --help --usage --version --completion-bash -t --threads -tb --threads-batch -C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll "
    "-Cb --cpu-mask-batch -Crb --cpu-range-batch --cpu-strict-batch --prio-batch --poll-batch -c --ctx-size -n --predict --n-predict -b "
    "--batch-size -ub --ubatch-size --keep --swa-full -fa --flash-attn -p --prompt --perf --no-perf -f --file -bf --binary-file -e --escape "
    "--no-escape --rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx --yarn-ext-factor --yarn-attn-factor "
    "--yarn-beta-slow --yarn-beta-fast -kvo --kv-offload -nkvo --no-kv-offload --repack -nr --no-repack --no-host -ctk --cache-type-k -ctv "
    "--cache-type-v -dt --defrag-thold -np --parallel --rpc --mlock --mmap --no-mmap -dio --direct-io -ndio --no-direct-io -lm --load-mode "
    "--numa -dev --device --list-devices -ot --override-tensor -cmoe --cpu-moe -ncmoe --n-cpu-moe -ngl --gpu-layers --n-gpu-layers -sm "
    "--split-mode -ts --tensor-split -mg --main-gpu -fit --fit -fitt --fit-target -fitc --fit-ctx --check-tensors --override-kv --op-offload "
    "--no-op-offload --lora --lora-scaled --control-vector --control-vector-scaled --control-vector-layer-range -m --model -mu --model-url "
    "-dr --docker-repo -hf -hfr --hf-repo -hff --hf-file -hft --hf-token -hfd -hfrd --hf-repo-draft -hfv -hfrv --hf-repo-v -hffv --hf-file-v "
    "--log-disable --log-file --log-colors -v --verbose --log-verbose --offline -lv --verbosity --log-verbosity --log-prefix --no-log-prefix "
    "--log-timestamps --no-log-timestamps -ctkd --cache-type-k-draft -ctvd --cache-type-v-draft --spec-draft-type-k --spec-draft-type-v "
    "-s --seed --temp --temperature --top-k --top-p --min-p --ignore-eos";

static const char llama_run_names[] =
    "--license -cl --cache-list --verbose-prompt --samplers --sampler-seq --sampling-seq --top-nsigma --top-n-sigma --xtc-probability "
    "--xtc-threshold --typical --typical-p --repeat-last-n --repeat-penalty --presence-penalty --frequency-penalty --dry-multiplier --dry-base "
    "--dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --adaptive-target --adaptive-decay --dynatemp-range --dynatemp-exp "
    "--mirostat --mirostat-lr --mirostat-ent -l --logit-bias --grammar --grammar-file -j --json-schema -jf --json-schema-file -bs "
    "--backend-sampling --display-prompt --no-display-prompt -co --color --context-shift --no-context-shift -sys --system-prompt -sysf "
    "--system-prompt-file -ptc --print-token-count --prompt-cache --prompt-cache-all --prompt-cache-ro -r --reverse-prompt -sp --special -cnv "
    "--conversation -no-cnv --no-conversation -st --single-turn -i --interactive -if --interactive-first -mli --multiline-input "
    "--in-prefix-bos --in-prefix --in-suffix --warmup --no-warmup -gan --grp-attn-n -gaw --grp-attn-w --jinja --no-jinja --reasoning-format "
    "-rea --reasoning --reasoning-budget --reasoning-budget-message --chat-template --chat-template-file --skip-chat-parsing "
    "--no-skip-chat-parsing --simple-io --server-base -ctxcp --ctx-checkpoints --swa-checkpoints -cram --cache-ram --show-timings "
    "--no-show-timings -mm --mmproj -mmu --mmproj-url --mmproj-auto --no-mmproj --no-mmproj-auto --mmproj-offload --no-mmproj-offload -mmdev "
    "--mmproj-device --image --audio --video --image-min-tokens --image-max-tokens -o --output --output-file --chat-template-kwargs "
    "--reasoning-effort --reasoning-preserve --no-reasoning-preserve --log-prompts-dir --spec-draft-hf --spec-draft-threads -td "
    "--threads-draft -tbd --threads-batch-draft -Cd --cpu-mask-draft -Crd --cpu-range-draft --cpu-strict-draft --prio-draft --poll-draft -Cbd "
    "--cpu-mask-batch-draft --cpu-strict-batch-draft --prio-batch-draft --poll-batch-draft -otd --override-tensor-draft -cmoed "
    "--cpu-moe-draft -ncmoed --n-cpu-moe-draft --spec-draft-n-max --draft-p-split --draft-p-min -devd --device-draft -ngld "
    "--gpu-layers-draft --n-gpu-layers-draft -md --model-draft --spec-type --draft --draft-n --draft-max --draft-min --draft-n-min "
    "--gpt-oss-20b-default --vision-gemma-4b-default --spec-default";

static const char llama_perplexity_names[] =
    "--chunks --ppl-stride --ppl-output-type --perplexity --all-logits --save-all-logits --kl-divergence-base --kl-divergence --hellaswag "
    "--hellaswag-tasks --winogrande --winogrande-tasks --multiple-choice --multiple-choice-tasks --warmup --no-warmup";

static const char llama_bench_names[] =
    "-h --help --numa -r --repetitions --prio --delay -o --output -oe --output-err --list-devices -v --verbose --progress --no-warmup -m "
    "--model -hf -hfr --hf-repo -hff --hf-file -hft --hf-token -p --n-prompt -n --n-gen -pg -d --n-depth -b --batch-size -ub --ubatch-size "
    "-ctk --cache-type-k -ctv --cache-type-v -t --threads -C --cpu-mask --cpu-strict --poll -ngl --n-gpu-layers -ncmoe --n-cpu-moe -sm "
    "--split-mode -mg --main-gpu -nkvo --no-kv-offload -fa --flash-attn -dev --device -mmp --mmap -dio --direct-io -embd --embeddings -ts "
    "--tensor-split -ot --override-tensor -nopo --no-op-offload --no-host -fitt --fit-target -fitc --fit-ctx --offline -lm --load-mode -lzm "
    "--lazy-mode -rpc --rpc";

static void assert_known(const char *tool, const char *names)
{
    for (const char *name = names; *name; name += strcspn(name, " "), name += strspn(name, " ")) {
        char flag[64];
        struct child c;
        snprintf(flag, sizeof flag, "%.*s", (int)strcspn(name, " "), name);
        RUN(&c, tool, flag, "1", "-t", "0"); /* never a run: there are no 0 threads */
        if (strstr(c.err, "unknown option") || strstr(c.err, "unexpected argument '-"))
            fail_msg("%s does not know %s:\n%s", tool, flag, c.err);
        child_free(&c);
    }
}

static void every_name_is_known(void **state)
{
    (void)state;
    assert_known("prism-run", llama_common_names);
    assert_known("prism-run", llama_run_names);
    assert_known("prism-perplexity", llama_common_names);
    assert_known("prism-perplexity", llama_perplexity_names);
    assert_known("prism-bench", llama_bench_names);
}

/* ---- spelling ------------------------------------------------------------------------------------------------------- */

static void whole_words(void **state)
{
    static const struct {
        const char *args[3], *expected;
    } cases[] = {
        { { "-hf", "org/repo" }, "prism-run: -hf: nothing is downloaded: give a file with -m FILE\n" },
        { { "-hf=org/repo" }, "prism-run: -hf: nothing is downloaded" },
        { { "-i" }, "prism-run: -i: -cnv holds a conversation" },
        { { "--in-prefix", "x" }, "prism-run: --in-prefix: a message is what -p, -f and the terminal give" },
        { { "--reasoning", "maybe" }, "--reasoning maybe: expected one of: auto on off" },
        { { "-hx" }, "prism-run: unknown option '-hx' (see --help)\n" },
        { { "-ev" }, "unknown option '-ev'" },
        { { "-nx" }, "unknown option '-nx'" },
        { { "-temp", "1" }, "unknown option '-temp': did you mean --temp? (see --help)\n" },
        { { "--thread", "1" }, "unknown option '--thread': did you mean --threads?" },
        { { "--thre", "1" }, "unknown option '--thre': did you mean --threads?" },
        { { "--treads=1" }, "unknown option '--treads': did you mean --threads?" },
        { { "--no-wramup" }, "unknown option '--no-wramup': did you mean --no-warmup?" },
        { { "--xyzzyx" }, "unknown option '--xyzzyx' (see --help)\n" },
        { { "--jinja=on" }, "option '--jinja' takes no value" },
        { { "-fa=maybe" }, "-fa maybe: expected one of: on off auto" },
        { { "-ngl" }, "option '-ngl' needs a value" },
        { { "-n-1x" }, "-n -1x: expected a whole number" },
        { { "--", "text" }, "unexpected argument 'text'" },
        { { "--", "--info" }, "unexpected argument '--info'" },
        { { "-" }, "unexpected argument '-'" },
        { { "" }, "unexpected argument ''" },
    };
    struct child c;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *a = cases[i].args;
        RUN(&c, "prism-run", "--kernels", a[0], a[1], a[2]);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
}

/* A command line as people have it in their scripts gives the text of our own flags alone, -fa's value or not. */
static void a_familiar_command(void **state)
{
    struct child ours, theirs;

    (void)state;
    RUN(&ours, "prism-run", "-m", model, "-p", "Once upon a time", "-n", "6", "--temp", "0", "-t", "1");
    RUN(&theirs, "prism-run", "-m", model, "-ngl", "0", "-fa", "-no-cnv", "--jinja", "--no-warmup", "-b", "512", "-ub", "128", "--no-mmap",
        "--mlock", "-tb", "1", "-p", "Once upon a time", "-n6", "--temp=0", "-fa", "on", "--repeat-penalty", "1.0");
    assert_worked(&ours);
    assert_worked(&theirs);
    assert_string_equal(ours.out, theirs.out);
    assert_int_equal(child_error_lines(&theirs), 4); /* the summary */
    child_free(&theirs);
    RUN(&theirs, "prism-run", "-m", model, "-t", "1", "-tb", "2", "-p", "Once", "-n", "1", "-v", "-ngl", "99");
    assert_worked(&theirs);
    assert_non_null(strstr(theirs.err, "warning: -ngl 99 has no effect: all layers run on the CPU\n"));
    assert_non_null(strstr(theirs.err, "warning: -t 1 -tb 2: one number of threads serves prompt and generation, 2\n"));
    assert_non_null(strstr(theirs.err, "\nthreads   2,"));
    child_free(&ours);
    child_free(&theirs);
}

static void help_lists_them(void **state)
{
    struct child c;

    (void)state;
    RUN(&c, "prism-run", "--help");
    assert_worked(&c);
    const char *list = strstr(c.out, "\nFlags of llama.cpp that are taken without effect");
    assert_non_null(list);
    assert_non_null(strstr(list, " -fa -ngl -b -ub --no-warmup "));
    assert_non_null(strstr(list, " --jinja "));
    assert_null(strstr(list, " --in-prefix ")); /* what is refused is not listed */
    for (const char *line = c.out; *line; line += strcspn(line, "\n"), line += *line == '\n')
        assert_in_range(strcspn(line, "\n"), 0, 100);
    child_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),          cmocka_unit_test(every_name_is_known), cmocka_unit_test(whole_words),
        cmocka_unit_test(a_familiar_command), cmocka_unit_test(help_lists_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
