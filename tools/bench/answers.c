/* answers.c - see answers.h. */
#include "tools/bench/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/engine.h"
#include "tools/common/process.h"
#include "tools/common/text.h"

const uint32_t answers_distance_ends[ANSWERS_DISTANCES - 1] = { 1024, 4096, 16384 };

/* ---- documents ---- */

static int kind_index(struct answers *a, const char *kind)
{
    for (size_t i = 0; i < a->n_kinds; i++)
        if (!strcmp(a->kinds[i], kind))
            return (int)i;
    if (a->n_kinds == ANSWERS_MAX_KINDS || !(a->kinds[a->n_kinds] = strdup(kind)))
        return -1;
    return (int)a->n_kinds++;
}

static int read_document(struct answers_document *d, const char *folder, const char *file, const prism_model *model)
{
    struct text text;
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, file);
    int status = text_read(path, true, &text);
    if (status != PROCESS_OK)
        return status;
    d->file = strdup(file);
    status = d->file ? engine_tokenize(model, text.bytes, text.len, 0, &d->tokens, &d->n_tokens) : process_error("out of memory");
    free(text.bytes);
    return status;
}

/* That of the list's line, read when it is new. NULL after a message. */
static struct answers_document *find_document(struct answers *a, const char *folder, const char *file, const char *kind, uint32_t length,
                                              const prism_model *model, int *status)
{
    for (size_t i = a->n_documents; i-- > 0;)
        if (!strcmp(a->documents[i].file, file))
            return &a->documents[i];
    struct answers_document *grown = realloc(a->documents, (a->n_documents + 1) * sizeof *grown);
    int k = kind_index(a, kind);
    if (grown)
        a->documents = grown;
    if (!grown || k < 0) {
        *status = process_error("%s: more than %d kinds of questions, or no memory", folder, ANSWERS_MAX_KINDS);
        return NULL;
    }
    struct answers_document *d = &grown[a->n_documents++];
    *d = (struct answers_document){ .kind = (uint32_t)k, .length = length, .first_row = UINT32_MAX };
    *status = read_document(d, folder, file, model);
    return *status == PROCESS_OK ? d : NULL;
}

static uint32_t distance_class(const struct answers_document *d, uint32_t pos, uint32_t n)
{
    size_t same = n < 2 ? n : 2, class = 0;
    uint32_t from = pos;

    while (from > 0 && memcmp(d->tokens + from - 1, d->tokens + pos, same * sizeof *d->tokens))
        from--;
    uint32_t distance = from > 0 ? pos - (from - 1) : pos;
    while (class < ANSWERS_DISTANCES - 1 && distance >= answers_distance_ends[class])
        class++;
    return (uint32_t)class;
}

/* ids: the rest of the line, "ID ID ...". */
static bool add_answer(struct answers_document *d, uint32_t pos, char *ids)
{
    struct answer *grown = realloc(d->answers, (d->n_answers + 1) * sizeof *grown);
    uint32_t n = 0;

    if (!grown)
        return false;
    d->answers = grown;
    for (char *id; (id = strsep(&ids, " "));)
        if (*id) {
            if (pos < 1 || pos + n >= d->n_tokens || d->tokens[pos + n] != strtol(id, NULL, 10))
                return false;
            n++;
        }
    d->answers[d->n_answers++] = (struct answer){ pos, n, d->kind, distance_class(d, pos, n) };
    d->first_row = pos - 1 < d->first_row ? pos - 1 : d->first_row;
    return n > 0;
}

/* ---- the list ---- */

static bool wanted(uint32_t length, const uint32_t *lengths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lengths[i] == length)
            return true;
    return n == 0;
}

static int read_line(struct answers *a, const char *folder, char *line, size_t number, const prism_model *model, const uint32_t *lengths,
                     size_t n_lengths)
{
    char file[256], kind[64];
    unsigned length, pos;
    int used = 0, status = PROCESS_OK;

    if (sscanf(line, "%255s %63s %u %u %n", file, kind, &length, &pos, &used) != 4 || !line[used] || strchr(file, '/'))
        return process_error("%s/list.txt, line %zu: expected FILE KIND LENGTH POS ID ...", folder, number);
    if (!wanted(length, lengths, n_lengths))
        return PROCESS_OK;
    struct answers_document *d = find_document(a, folder, file, kind, length, model, &status);
    if (d && !add_answer(d, pos, line + used))
        status = process_error("%s/list.txt, line %zu: other tokens stand there: made for another vocabulary", folder, number);
    return status;
}

int answers_read(struct answers *a, const char *folder, const prism_model *model, const uint32_t *lengths, size_t n_lengths)
{
    struct text list;
    char path[4096];
    size_t number = 0;

    *a = (struct answers){ 0 };
    snprintf(path, sizeof path, "%s/list.txt", folder);
    int status = text_read(path, true, &list);
    char *rest = status == PROCESS_OK ? realloc(list.bytes, list.len + 1) : NULL;
    if (status != PROCESS_OK)
        return status;
    if (!rest) {
        free(list.bytes);
        return process_error("out of memory");
    }
    list.bytes = rest;
    rest[list.len] = 0;
    for (char *line; status == PROCESS_OK && (line = strsep(&rest, "\n"));)
        if (number++, *line)
            status = read_line(a, folder, line, number, model, lengths, n_lengths);
    free(list.bytes);
    if (status == PROCESS_OK && !a->n_documents)
        status = process_error("%s: no document of these lengths", path);
    return status;
}

void answers_free(struct answers *a)
{
    for (size_t i = 0; i < a->n_documents; i++) {
        free(a->documents[i].file);
        free(a->documents[i].tokens);
        free(a->documents[i].answers);
    }
    free(a->documents);
    for (size_t i = 0; i < a->n_kinds; i++)
        free(a->kinds[i]);
    *a = (struct answers){ 0 };
}

bool answers_right(const struct answers_document *d, const struct answer *a, const int32_t *best)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (best[a->pos - 1 + i] != d->tokens[a->pos + i])
            return false;
    return true;
}
