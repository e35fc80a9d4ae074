/* run_prompt.c - the prompts of prism-run: which texts, in which order, as which tokens; see run.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/process.h"
#include "tools/run/run.h"

int run_take_text(const struct cli_option *o, const char *flag, const char *text, void *field)
{
    struct run_texts *t = field;

    (void)o;
    if (t->n == sizeof t->v / sizeof *t->v)
        return process_error("%s: at most %zu times", flag, t->n);
    t->v[t->n++] = text;
    return -1;
}

static void unescape(const struct run_options *opt, bool typed, struct text *t)
{
    if (opt->escapes == ESCAPES_ALL || (opt->escapes == ESCAPES_PROMPT && typed))
        text_unescape(t);
}

/* The document of -f or -bf, or what comes on standard input. *there: false without either. */
static int read_document(const struct run_options *opt, bool wanted, struct text *t, bool *there)
{
    int status = PROCESS_OK;

    *t = (struct text){ 0 };
    *there = opt->file || opt->binary_file || wanted;
    if (opt->file && opt->binary_file)
        return process_error("-f and -bf: give one prompt");
    if (opt->binary_file)
        status = text_read(opt->binary_file, true, t);
    else if (*there)
        status = text_read_or(opt->file, "no prompt: use -p TEXT, -f FILE or standard input (see --help)", t);
    if (status == PROCESS_OK)
        unescape(opt, false, t);
    return status;
}

/* The document, an empty line, the question. */
static int compose(const struct run_options *opt, const struct text *document, const char *question, struct text *out)
{
    struct text q;
    int status = text_copy(question, &q);

    *out = (struct text){ 0 };
    if (status != PROCESS_OK)
        return status;
    unescape(opt, true, &q);
    if (!document) {
        *out = q;
        return PROCESS_OK;
    }
    const char *gap = document->len && document->bytes[document->len - 1] == '\n' ? "\n" : "\n\n";
    size_t n_gap = strlen(gap);
    out->bytes = malloc(document->len + n_gap + q.len + 1);
    if (out->bytes) {
        if (document->len)
            memcpy(out->bytes, document->bytes, document->len);
        memcpy(out->bytes + document->len, gap, n_gap);
        memcpy(out->bytes + document->len + n_gap, q.bytes, q.len);
        out->len = document->len + n_gap + q.len;
    } else {
        status = process_error("out of memory");
    }
    free(q.bytes);
    return status;
}

int run_read_prompt(const struct run_options *opt, struct text *t)
{
    struct text document;
    bool there;
    int status;

    *t = (struct text){ 0 };
    if (opt->prompts.n > 1)
        return process_error("--tokenize: give one prompt");
    status = read_document(opt, !opt->prompts.n, &document, &there);
    if (status != PROCESS_OK || !opt->prompts.n) {
        *t = document;
        return status;
    }
    status = compose(opt, there ? &document : NULL, opt->prompts.v[0], t);
    free(document.bytes);
    return status;
}

/* A conversation's later turns have no document in front. */
static int compose_all(struct run *r, const struct text *document)
{
    int status = PROCESS_OK;

    for (; status == PROCESS_OK && r->n_questions < r->opt->prompts.n; r->n_questions++) {
        bool first = r->n_questions == 0 || !r->opt->conversation;
        status = compose(r->opt, first ? document : NULL, r->opt->prompts.v[r->n_questions], &r->questions[r->n_questions].text);
    }
    return status;
}

static int tokenize(struct run *r, struct question *q)
{
    if (!r->dialog.chat) /* no EOS: the text goes on */
        return engine_tokenize(r->model, q->text.bytes, q->text.len, PRISM_ADD_BOS | PRISM_PARSE_SPECIAL, &q->tokens, &q->n_tokens);
    int status = dialog_add(&r->dialog, "user", q->text.bytes, q->text.len);
    if (status == PROCESS_OK)
        status = dialog_tokens(&r->dialog, &q->tokens, &q->n_tokens);
    dialog_cut(&r->dialog, r->dialog.n_system);
    return status;
}

/* Tokens that a begins with in common with b. */
static size_t common(const struct question *a, const struct question *b)
{
    size_t n = 0;
    while (n < a->n_tokens && n < b->n_tokens && a->tokens[n] == b->tokens[n])
        n++;
    return n;
}

/* What all questions about the document begin with, also one that begins with another letter than the first of these. */
static int find_document(struct run *r, const struct text *document)
{
    struct question other = { 0 }, *first = r->questions;
    const char *asked = r->opt->prompts.v[0];
    int status = compose(r->opt, document, *asked == 'A' ? "B" : "A", &other.text);

    if (status == PROCESS_OK)
        status = tokenize(r, &other);
    r->n_document = status == PROCESS_OK ? common(first, &other) : 0;
    for (size_t i = 1; i < r->n_questions && !r->opt->conversation; i++)
        r->n_document = common(first, &r->questions[i]) < r->n_document ? common(first, &r->questions[i]) : r->n_document;
    free(other.text.bytes);
    free(other.tokens);
    return status;
}

int run_read_questions(struct run *r)
{
    const struct run_options *opt = r->opt;
    bool typing = opt->conversation && isatty(STDIN_FILENO), there;
    struct text document;
    double start;
    int status = read_document(opt, !opt->prompts.n && !typing, &document, &there);

    if (status != PROCESS_OK)
        return status;
    r->questions = calloc(opt->prompts.n + 1, sizeof *r->questions);
    if (!r->questions) {
        status = process_error("out of memory");
    } else if (opt->prompts.n == 0 && there) {
        r->questions[r->n_questions++].text = document;
        document.bytes = NULL;
    } else {
        status = compose_all(r, there ? &document : NULL);
    }
    start = process_now_ms();
    for (size_t i = 0; status == PROCESS_OK && i < r->n_questions; i++)
        status = tokenize(r, &r->questions[i]);
    if (status == PROCESS_OK && there && opt->prompts.n)
        status = find_document(r, &document);
    free(document.bytes);
    r->tokenize_ms = process_now_ms() - start;
    return status;
}

void run_free_questions(struct run *r)
{
    for (size_t i = 0; i < r->n_questions; i++) {
        free(r->questions[i].text.bytes);
        free(r->questions[i].tokens);
    }
    free(r->questions);
}
