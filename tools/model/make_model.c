/* make_model.c - see make_model.h. */
#include "tools/model/make_model.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/process.h"
#include "tools/common/progress.h"

/* A file of one K type is nearest to the small mix of that type, whose number is one less. */
static uint32_t file_type(enum prism_type t)
{
    return prism_types[t].file_type - (t == PRISM_Q3_K || t == PRISM_Q4_K || t == PRISM_Q5_K);
}

#define GUESSED 1024u /* llama.h: of a writer that does not know */

int make_find_type(const char *name, struct make_type *out)
{
    const struct make_type mixes[] = {
        { "Q4_K_M", PRISM_Q4_K, prism_types[PRISM_Q4_K].file_type, MAKE_MEDIUM },
        { "ALL", PRISM_N_TYPES, GUESSED | prism_types[PRISM_N_TYPES - 1].file_type, MAKE_ALL }, /* that of the embeddings */
    };
    char names[512] = "";

    for (int t = 0; t < PRISM_N_TYPES + 2; t++) {
        *out = t < PRISM_N_TYPES ? (struct make_type){ prism_types[t].name, (enum prism_type)t, file_type((enum prism_type)t), MAKE_ONE }
                                 : mixes[t - PRISM_N_TYPES];
        if (!strcasecmp(out->name, name))
            return PROCESS_OK;
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", out->name);
    }
    return process_error("--type %s: expected one of:%s", name, names);
}

static void print_warning(void *user, const char *line)
{
    (void)user;
    process_warning("%s", line);
}

int make_open(const char *path, struct prism_gguf **out)
{
    struct prism_error err = { 0 };

    if (prism_gguf_open(path, (struct prism_log){ .fn = print_warning }, out, &err) != PRISM_OK)
        return process_error("%s", err.text);
    return PROCESS_OK;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------ */

enum { BATCH_BYTES = 4 << 20 };

struct progress_of {
    struct progress bar;
    double start_ms;
    uint64_t done, total; /* bytes */
};

/* Memory for a batch of rows and for one row of floats per thread. */
struct batch {
    uint8_t *rows;
    float *floats;
    size_t n_floats; /* per thread */
};

static uint64_t row_count(const struct make_tensor *t) { return t->ne[0] ? t->ne[1] * t->ne[2] * t->ne[3] : 0; }

static uint64_t rows_per_batch(size_t row_bytes) { return row_bytes < BATCH_BYTES ? BATCH_BYTES / row_bytes : 1; }

static int allocate(struct batch *b, const struct make_source *source)
{
    size_t bytes = 1;

    b->n_floats = 1;
    for (size_t i = 0; i < source->n_tensors; i++) {
        const struct make_tensor *t = &source->tensors[i];
        size_t row = row_count(t) ? prism_row_bytes(t->type, (size_t)t->ne[0]) : 1, n = rows_per_batch(row) * row;
        bytes = n > bytes ? n : bytes;
        b->n_floats = t->ne[0] > b->n_floats ? (size_t)t->ne[0] : b->n_floats;
    }
    b->rows = malloc(bytes);
    b->floats = calloc((size_t)omp_get_max_threads() * b->n_floats, sizeof *b->floats);
    return b->rows && b->floats ? PROCESS_OK : process_error("out of memory");
}

/* Rows first .. first + n of tensor i; the first bad one is reported. */
static int make_rows(const struct make_source *source, size_t i, uint64_t first, uint64_t n, const struct batch *b)
{
    const struct make_tensor *t = &source->tensors[i];
    size_t row_bytes = prism_row_bytes(t->type, (size_t)t->ne[0]);
    uint64_t bad = UINT64_MAX;

#pragma omp parallel for schedule(static) reduction(min : bad) if (n > 1)
    for (uint64_t r = 0; r < n; r++)
        if (source->row(source->user, i, first + r, b->rows + r * row_bytes, b->floats + (size_t)omp_get_thread_num() * b->n_floats))
            bad = r < bad ? r : bad;
    if (bad == UINT64_MAX)
        return PROCESS_OK;
    return process_error("tensor %s, row %llu: %s", t->name, (unsigned long long)(first + bad),
                         source->row(source->user, i, first + bad, b->rows, b->floats));
}

static int write_tensor(struct gguf_writer *w, const struct make_source *source, size_t i, const struct batch *b, struct progress_of *p)
{
    const struct make_tensor *t = &source->tensors[i];
    size_t row_bytes = prism_row_bytes(t->type, (size_t)t->ne[0]);
    uint64_t rows = row_count(t), step = rows ? rows_per_batch(row_bytes) : 1;
    int status = PROCESS_OK;

    for (uint64_t first = 0; first < rows && status == PROCESS_OK; first += step) {
        uint64_t n = rows - first < step ? rows - first : step;
        progress_draw(&p->bar, "writing", (double)p->done / (double)p->total, (size_t)(p->done / 1000000), (size_t)(p->total / 1000000),
                      process_now_ms() - p->start_ms);
        status = process_interrupted() ? PROCESS_INTERRUPTED : make_rows(source, i, first, n, b);
        if (status == PROCESS_OK)
            status = gguf_data(w, b->rows, n * row_bytes);
        p->done += n * row_bytes;
    }
    return status == PROCESS_OK ? gguf_end_tensor(w) : status;
}

int make_write(struct gguf_writer *w, const char *path, const struct make_source *source)
{
    struct batch b = { 0 };
    struct progress_of p = { .bar = progress_start(), .start_ms = process_now_ms() };

    for (size_t i = 0; i < source->n_tensors; i++) {
        const struct make_tensor *t = &source->tensors[i];
        gguf_add_tensor(w, t->name, t->type, t->n_dims, t->ne);
        p.total += row_count(t) * prism_row_bytes(t->type, (size_t)t->ne[0]);
    }
    p.bar.unit = "MB";
    int status = allocate(&b, source);
    if (status == PROCESS_OK)
        status = gguf_begin(w, path);
    for (size_t i = 0; i < source->n_tensors && status == PROCESS_OK; i++)
        status = write_tensor(w, source, i, &b, &p);
    progress_erase(&p.bar);
    if (status == PROCESS_OK)
        status = gguf_commit(w);
    if (status == PROCESS_OK)
        fprintf(stderr, "%s: %zu tensors, %.1f MB in %.1f s\n", path, source->n_tensors, (double)p.total / 1e6,
                (process_now_ms() - p.start_ms) / 1e3);
    free(b.rows);
    free(b.floats);
    return status == PROCESS_INTERRUPTED ? process_report_interrupt("before the file was complete, nothing is left of it") : status;
}
