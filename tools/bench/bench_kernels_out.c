/* bench_kernels_out.c - see bench_kernels_out.h. */
#include "tools/bench/bench_kernels_out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench_facts.h"
#include "tools/common/json.h"

void bench_shape(const struct bench_row *r, char *out, size_t cap)
{
    const size_t sizes[] = { r->m, r->n, r->k };
    size_t len = 0;

    *out = 0;
    for (size_t i = 0; i < 3 && len < cap; i++)
        if (sizes[i])
            len += (size_t)snprintf(out + len, cap - len, "%s%zu", len ? "x" : "", sizes[i]);
}

static const char *unit(const struct bench_row *r) { return r->bound == BENCH_BY_MULTIPLYING ? "Gop/s" : "GB/s"; }

/* ---- the table ---- */

/* Of the longest name of a level that may be printed. */
static int level_width(void)
{
    int width = 5;

    for (int l = 0; l < PRISM_N_LEVELS; l++)
        if (prism_level_runs_here((enum prism_level)l) && (int)strlen(prism_level_label((enum prism_level)l)) > width)
            width = (int)strlen(prism_level_label((enum prism_level)l));
    return width;
}

void bench_table_head(const struct bench_conditions *c)
{
    char cpu[256];
    bool all = true;

    bench_cpu_name(cpu, sizeof cpu);
    printf("%s; %zu thread%s; median of processor time, +- half the distance between the quartiles\n", cpu, c->n_threads,
           c->n_threads > 1 ? "s" : "");
    for (int l = 0; l < PRISM_N_LEVELS; l++)
        if (prism_kernels_by_level[l] && !prism_level_runs_here((enum prism_level)l)) {
            printf("%s%s", all ? "skipped, not on this processor: " : " ", prism_level_label((enum prism_level)l));
            all = false;
        }
    printf("%s\n%-18s %-5s %-*s %-4s %-13s %9s %-5s %7s %8s %7s %8s %6s %6s\n", all ? "" : "\n", "kernel", "type", level_width(), "level", "kind",
           "shape", "rate", "unit", "+-", "generic", "of peak", "peak", "pack_a", "pack_w");
}

void bench_table_line(const struct bench_line *l)
{
    char shape[64];

    bench_shape(l->row, shape, sizeof shape);
    printf("%-18s %-5s %-*s %-4s %-13s %9.2f %-5s %7.2f", l->row->name, prism_types[l->row->type].name, level_width(),
           prism_level_label(l->level), l->kind ? l->kind : "", shape, l->rate, unit(l->row), l->spread);
    if (isfinite(l->ratio))
        printf(" %7.1fx", l->ratio);
    if (l->peak > 0)
        printf(" %5.0f %% %8.1f", 100 * l->rate / l->peak, l->peak);
    if (!isnan(l->pack_a))
        printf("%s %4.1f %% %4.1f %%", l->peak > 0 ? "" : "                 ", 100 * l->pack_a, 100 * l->pack_w);
    putchar('\n');
}

void bench_table_foot(const struct bench_conditions *c)
{
    if (c->memory_bytes)
        printf("\ngemv and attn_row walk through %zu MiB from end to end", c->memory_bytes >> 20);
    if (c->memory_bytes && c->cache_bytes)
        printf("; the last-level caches hold %zu MiB", c->cache_bytes >> 20);
    printf("%s", c->memory_bytes ? ".\n" : "");
}

/* ---- for programs ---- */

static const char *bound_name(enum bench_bound bound)
{
    static const char *const names[] = { [BENCH_BY_MULTIPLYING] = "multiplying", [BENCH_BY_MEMORY] = "memory", [BENCH_BY_OTHER] = "other" };

    return names[bound];
}

/* A comma and the number, if there is one. */
static void put_number(double v, int decimals)
{
    printf(",");
    if (isfinite(v))
        printf("%.*f", decimals, v);
}

void bench_lines_csv(const struct bench_conditions *c, const struct bench_line *lines, size_t n)
{
    char shape[64];

    printf("kernel,type,level,kind,shape,threads,rate,unit,spread,ratio_to_generic,bound,peak,peak_share,pack_a_share,pack_w_share\n");
    for (const struct bench_line *l = lines; l < lines + n; l++) {
        bench_shape(l->row, shape, sizeof shape);
        printf("%s,%s,%s,%s,%s,%zu,%.3f,%s,%.3f", l->row->name, prism_types[l->row->type].name, prism_level_label(l->level),
               l->kind ? l->kind : "", shape, c->n_threads, l->rate, unit(l->row), l->spread);
        put_number(l->ratio, 3);
        printf(",%s", bound_name(l->row->bound));
        put_number(l->peak > 0 ? l->peak : NAN, 2);
        put_number(l->peak > 0 ? l->rate / l->peak : NAN, 4);
        put_number(l->pack_a, 4);
        put_number(l->pack_w, 4);
        putchar('\n');
    }
}

static void put_object(struct json *j, const struct bench_line *l)
{
    char shape[64];

    bench_shape(l->row, shape, sizeof shape);
    json_object(j, NULL);
    json_text(j, "kernel", l->row->name);
    json_text(j, "type", prism_types[l->row->type].name);
    json_text(j, "level", prism_level_label(l->level));
    json_text(j, "kind", l->kind);
    json_text(j, "shape", shape);
    json_real(j, "rate", l->rate);
    json_text(j, "unit", unit(l->row));
    json_real(j, "spread", l->spread);
    json_real(j, "ratio_to_generic", l->ratio);
    json_text(j, "bound", bound_name(l->row->bound));
    json_real(j, "peak", l->peak > 0 ? l->peak : NAN);
    json_real(j, "peak_share", l->peak > 0 ? l->rate / l->peak : NAN);
    json_real(j, "pack_a_share", l->pack_a);
    json_real(j, "pack_w_share", l->pack_w);
    json_close(j);
}

void bench_lines_json(const struct bench_conditions *c, const struct bench_line *lines, size_t n)
{
    struct json j = { .out = stdout };
    char cpu[256];

    bench_cpu_name(cpu, sizeof cpu);
    json_object(&j, NULL);
    json_text(&j, "cpu", cpu);
    json_int(&j, "threads", (int64_t)c->n_threads);
    json_int(&j, "memory_bytes", (int64_t)c->memory_bytes);
    json_int(&j, "cache_bytes", (int64_t)c->cache_bytes);
    json_array(&j, "kernels");
    for (size_t i = 0; i < n; i++)
        put_object(&j, &lines[i]);
    json_close(&j);
    json_close(&j);
}
