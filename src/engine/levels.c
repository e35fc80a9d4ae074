/* levels.c - the public view of the dispatch table. */
#include <stdarg.h>
#include <stdio.h>

#include "prism/prism.h"
#include "src/attention/select.h"
#include "src/engine/context.h"
#include "src/engine/layer.h"

/* Those of other processor families are not compiled in. */
int prism_level_at(int index)
{
    for (int l = 0; index >= 0 && l < PRISM_N_LEVELS; l++)
        if (prism_kernels_by_level[l] && index-- == 0)
            return l;
    return -1;
}

int prism_level_count(void)
{
    int n = 0;
    while (prism_level_at(n) >= 0)
        n++;
    return n;
}

const char *prism_level_name(int level)
{
    int l = prism_level_at(level);
    return l < 0 ? NULL : prism_level_label((enum prism_level)l);
}

bool prism_level_supported(int level)
{
    int l = prism_level_at(level);
    return l >= 0 && prism_level_runs_here((enum prism_level)l);
}

int prism_selector_count(void) { return (int)prism_n_selectors; }

const char *prism_selector_name(int i) { return i >= 0 && i < prism_selector_count() ? prism_selectors[i]->name : NULL; }

struct text {
    char *buf;
    size_t cap, n;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->n < t->cap ? t->buf + t->n : NULL, t->n < t->cap ? t->cap - t->n : 0, format, args);
    va_end(args);
    t->n += n > 0 ? (size_t)n : 0;
}

size_t prism_kernels_text(int level, char *buf, size_t cap)
{
    struct text t = { buf, cap, 0 };
    int l = level < 0 ? (int)prism_level_best() : prism_level_at(level);

    put(&t, "levels     ");
    for (int i = 0; i < prism_level_count(); i++)
        put(&t, " %s%s", prism_level_name(i), !prism_level_supported(i) ? "(-)" : prism_level_at(i) == l ? "*" : "");
    put(&t, "\n            * in use, (-) not on this host\n");
    if (l < 0)
        return t.n;
    const struct prism_kernels *k = prism_kernels_by_level[l];
    put(&t, "linear      compute f32: %s, tile %u x %u\n", k->linear_f32->name, k->linear_f32->mr, k->linear_f32->nr);
    for (int i = 0; i < PRISM_N_TYPES; i++) {
        const struct prism_linear *kind = k->linear_auto[i], *fine = prism_fine_kind(k, (enum prism_type)i, (enum prism_type)i);
        const struct prism_linear *few = k->linear_beside_few[i];
        put(&t, "  %-9s compute auto: %s, tile %u x %u%s%s%s%s; a few rows: %s\n", prism_types[i].name, kind->name, kind->mr, kind->nr,
            fine != kind ? "; k, v, down: " : "", fine != kind ? fine->name : "", few ? ", beside few bits: " : "", few ? few->name : "",
            k->gemv_auto[i] ? k->gemv_auto[i]->name : "f32");
    }
    put(&t, "attention   compute f32: %s, auto: %s, query tile %u rows\n", k->attention_f32->name, k->attention_auto->name,
        k->attention_auto->tile_rows);
    return t.n;
}
