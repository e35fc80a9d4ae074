/* llama_flags.c - see llama_flags.h. Names and values are those of llama.cpp's --help (llama-cli, llama-completion and llama-perplexity of 2026,
 * with the names that they had before). */
#include "tools/common/llama_flags.h"

#define SWITCH(flags)             { .kind = CLI_IGNORED, .names = flags }
#define NUMBER(flags, most)       { .kind = CLI_IGNORED, .names = flags, .arg = "N", .min = -(most), .max = (most) }
#define WORD(flags, words)        { .kind = CLI_IGNORED, .names = flags, .arg = "WORD", .choices = words }
#define MAYBE_WORD(flags, words)  { .kind = CLI_IGNORED, .names = flags, .arg = "[WORD]", .choices = words }
#define ANYTHING(flags)           { .kind = CLI_IGNORED, .names = flags, .arg = "TEXT" }
#define OFF(flags, from, to, why) { .kind = CLI_OFF, .names = flags, .arg = "N", .min = from, .max = to, .help = why }
#define REFUSED(flags, why)       { .kind = CLI_REFUSED, .names = flags, .help = why }

#define COUNT 2147483647.0
#define ON_OFF_AUTO "on off auto enabled disabled true false 1 0 -1"

static const char heading[] = "Flags of llama.cpp that are taken without effect (samplers as long as they are off)";
static const char no_download[] = "nothing is downloaded: give a file with -m FILE";
static const char no_draft[] = "speculative decoding is not supported";
static const char no_adapter[] = "adapters and control vectors are not supported";
static const char no_rope[] = "RoPE is set by the model's metadata and cannot be changed";
static const char no_media[] = "only text is read";
static const char no_chat[] = "a message is what -p, -f and the terminal give, and the chat template says what goes around it";
static const char no_grammar[] = "constrained output is not supported";
static const char no_sampler[] = "this sampler is not supported: --top-k, --top-p, --min-p and --temp are";
static const char no_task[] = "only the perplexity of a text is measured";

const struct cli_option llama_common_flags[] = {
    { .kind = CLI_HEADING, .help = heading },
    MAYBE_WORD("-fa, --flash-attn", ON_OFF_AUTO),
    { .kind = CLI_IGNORED, .names = "-ngl, --gpu-layers, --n-gpu-layers", .arg = "N", .min = -COUNT, .max = COUNT, .choices = "auto all",
      .initial = "0 -1 auto", .help = "all layers run on the CPU" },
    NUMBER("-b, --batch-size", COUNT),
    NUMBER("-ub, --ubatch-size", COUNT),
    SWITCH("--no-warmup, --warmup"),
    SWITCH("--no-mmap, --mmap"),
    SWITCH("--mlock"),
    SWITCH("-dio, --direct-io, -ndio, --no-direct-io"),
    WORD("-lm, --load-mode", "auto none mmap mlock mmap+mlock dio"),
    SWITCH("--no-repack, -nr, --repack"),
    SWITCH("--no-host"),
    SWITCH("--no-op-offload, --op-offload"),
    SWITCH("-nkvo, --no-kv-offload, -kvo, --kv-offload"),
    SWITCH("--swa-full"),
    NUMBER("--keep", COUNT),
    NUMBER("-np, --parallel", COUNT),
    NUMBER("-dt, --defrag-thold", COUNT),
    NUMBER("--poll, --poll-batch", 100),
    SWITCH("--no-perf, --perf"),
    SWITCH("--offline"),
    SWITCH("--log-disable"),
    MAYBE_WORD("--log-colors", ON_OFF_AUTO),
    SWITCH("--log-prefix, --no-log-prefix"),
    SWITCH("--log-timestamps, --no-log-timestamps"),
    NUMBER("-lv, --verbosity, --log-verbosity", COUNT),
    ANYTHING("-dev, --device"),
    ANYTHING("-ot, --override-tensor"),
    SWITCH("-cmoe, --cpu-moe"),
    NUMBER("-ncmoe, --n-cpu-moe", COUNT),
    WORD("-sm, --split-mode", "none layer row tensor"),
    ANYTHING("-ts, --tensor-split"),
    NUMBER("-mg, --main-gpu", COUNT),
    MAYBE_WORD("-fit, --fit", ON_OFF_AUTO),
    ANYTHING("-fitt, --fit-target"),
    NUMBER("-fitc, --fit-ctx", COUNT),
    { .kind = CLI_IGNORED, .names = "-C, --cpu-mask, -Cb, --cpu-mask-batch", .arg = "HEX", .help = "start the tool with taskset" },
    { .kind = CLI_IGNORED, .names = "-Cr, --cpu-range, -Crb, --cpu-range-batch", .arg = "RANGE", .help = "start the tool with taskset" },
    { .kind = CLI_IGNORED, .names = "--cpu-strict, --cpu-strict-batch", .arg = "0|1", .choices = "0 1", .initial = "0", .help = "start the tool with taskset" },
    { .kind = CLI_IGNORED, .names = "--prio, --prio-batch", .arg = "N", .min = -1, .max = 3, .initial = "0", .help = "start the tool with nice" },
    { .kind = CLI_IGNORED, .names = "--numa", .arg = "WORD", .choices = "distribute isolate numactl", .help = "start the tool with numactl" },
    { .kind = CLI_IGNORED, .names = "--log-file", .arg = "FILE", .help = "no log is kept, messages go to stderr" },

    REFUSED("-hf, -hfr, --hf-repo, -hff, --hf-file, -hft, --hf-token, -hfv, -hfrv, --hf-repo-v, -hffv, --hf-file-v", no_download),
    REFUSED("-mu, --model-url, -dr, --docker-repo, --gpt-oss-*, --vision-*", no_download),
    REFUSED("-cl, --cache-list", "nothing is downloaded, so there is no cache of models"),
    REFUSED("--list-devices", "the CPU is the only device"),
    REFUSED("--rpc", "only this machine computes"),
    REFUSED("--license", "see the file LICENSE"),
    REFUSED("--completion-bash", "there is no such script"),
    REFUSED("--rope-scaling, --rope-scale, --rope-freq-base, --rope-freq-scale, --yarn-*", no_rope),
    REFUSED("--override-kv", "metadata is taken as the file has it"),
    REFUSED("--lora, --lora-scaled, --control-vector*", no_adapter),
    REFUSED("-md, --model-draft, -hfd, -hfrd, --hf-repo-draft, --draft*, --spec-*", no_draft),
    REFUSED("-td, --threads-draft, -tbd, --threads-batch-draft, -ngld, --gpu-layers-draft, --n-gpu-layers-draft, -devd, --device-draft", no_draft),
    REFUSED("-ctkd, --cache-type-k-draft, -ctvd, --cache-type-v-draft, -otd, --override-tensor-draft", no_draft),
    REFUSED("-cmoed, --cpu-moe-draft, -ncmoed, --n-cpu-moe-draft, -Cd, --cpu-mask-draft, -Crd, --cpu-range-draft, -Cbd, --cpu-mask-batch-draft", no_draft),
    REFUSED("--cpu-strict-draft, --cpu-strict-batch-draft, --prio-draft, --prio-batch-draft, --poll-draft, --poll-batch-draft", no_draft),
    REFUSED("-mm, --mmproj*, --no-mmproj*, -mmu, -mmdev, --image*, --audio, --video", no_media),
    { 0 },
};

const struct cli_option llama_run_flags[] = {
    SWITCH("--jinja, --no-jinja"),
    SWITCH("--no-context-shift"),
    SWITCH("--simple-io"),
    MAYBE_WORD("-co, --color", ON_OFF_AUTO),
    SWITCH("-mli, --multiline-input"),
    SWITCH("--show-timings, --no-show-timings"),
    SWITCH("--skip-chat-parsing, --no-skip-chat-parsing"),
    ANYTHING("--reasoning-format"),
    ANYTHING("--reasoning-effort"),
    ANYTHING("--reasoning-budget-message"),
    NUMBER("--reasoning-budget", COUNT),
    SWITCH("--reasoning-preserve, --no-reasoning-preserve"),
    NUMBER("-cram, --cache-ram", COUNT),
    NUMBER("-ctxcp, --ctx-checkpoints, --swa-checkpoints", COUNT),
    SWITCH("-bs, --backend-sampling"),
    NUMBER("--repeat-last-n", COUNT),
    NUMBER("--xtc-threshold", COUNT),
    NUMBER("--dry-base", COUNT),
    NUMBER("--dry-allowed-length", COUNT),
    NUMBER("--dry-penalty-last-n", COUNT),
    ANYTHING("--dry-sequence-breaker"),
    NUMBER("--adaptive-decay", COUNT),
    NUMBER("--dynatemp-exp", COUNT),
    NUMBER("--mirostat-lr", COUNT),
    NUMBER("--mirostat-ent", COUNT),
    NUMBER("-gaw, --grp-attn-w", COUNT),
    OFF("--repeat-penalty", 1, 1, no_sampler),
    OFF("--presence-penalty", 0, 0, no_sampler),
    OFF("--frequency-penalty", 0, 0, no_sampler),
    OFF("--typical, --typical-p", 1, COUNT, no_sampler),
    OFF("--top-nsigma, --top-n-sigma", -COUNT, 0, no_sampler),
    OFF("--xtc-probability", 0, 0, no_sampler),
    OFF("--dry-multiplier", 0, 0, no_sampler),
    OFF("--adaptive-target", -COUNT, -1e-9, no_sampler),
    OFF("--dynatemp-range", 0, 0, no_sampler),
    OFF("--mirostat", 0, 0, no_sampler),
    OFF("-gan, --grp-attn-n", 1, 1, "group attention is not supported"),
    OFF("-ptc, --print-token-count", -COUNT, 0, "tokens are counted at the end, or by --json"),

    REFUSED("-i, --interactive, -if, --interactive-first", "-cnv holds a conversation"),
    REFUSED("--in-prefix, --in-prefix-bos, --in-suffix", no_chat),
    REFUSED("--chat-template-kwargs", "of a template's variables only --reasoning can be set"),
    REFUSED("-sp, --special", "special tokens are not printed; --json has all token ids"),
    REFUSED("--grammar, --grammar-file, -j, --json-schema, -jf, --json-schema-file", no_grammar),
    REFUSED("-l, --logit-bias", "logits cannot be biased; --ignore-eos is supported"),
    REFUSED("--samplers, --sampler-seq, --sampling-seq", "the order is fixed: top-k, top-p, min-p, temperature"),
    REFUSED("--context-shift", "a full context ends the text; set -c"),
    REFUSED("--verbose-prompt", "--tokenize prints the prompt's tokens"),
    REFUSED("-o, --output, --output-file", "the text goes to stdout: use > FILE"),
    REFUSED("--server-base", "no server is used"),
    REFUSED("--log-prompts-dir", "no log is kept"),
    { 0 },
};

const struct cli_option llama_perplexity_flags[] = {
    SWITCH("--perplexity, --all-logits"),
    SWITCH("-e, --escape, --no-escape"),
    SWITCH("-v, --verbose, --log-verbose"),
    SWITCH("--ignore-eos"),
    NUMBER("-n, --predict, --n-predict", COUNT),
    NUMBER("-s, --seed", COUNT),
    NUMBER("--temp, --temperature", COUNT),
    NUMBER("--top-k", COUNT),
    NUMBER("--top-p", COUNT),
    NUMBER("--min-p", COUNT),
    OFF("--ppl-stride", 0, 0, "chunks do not overlap"),
    OFF("--ppl-output-type", 0, 0, "the running perplexity of each chunk is printed; --json has it as a list"),
    REFUSED("-p, --prompt", "give the text with -f FILE or on standard input"),
    REFUSED("--kl-divergence, --kl-divergence-base, --save-all-logits", "no file of logits is written or read; --kl TYPE compares types of the cache"),
    REFUSED("--hellaswag, --hellaswag-tasks, --winogrande, --winogrande-tasks, --multiple-choice, --multiple-choice-tasks", no_task),
    { 0 },
};

const struct cli_option llama_bench_flags[] = {
    WORD("-mmp, --mmap", "0 1"),
    WORD("-dio, --direct-io", "0 1"),
    REFUSED("-rpc, --rpc", "only this machine computes"),
    { 0 },
};
