/* bench_scaling_out.c - see bench_scaling.h. */
#include "tools/bench/bench_scaling.h"

#include <stdio.h>

#include "tools/bench/bench_facts.h"
#include "tools/common/json.h"

static const char *const part_names[BENCH_SCALING_PARTS] = { "linear", "attention", "other", "processor time" };

/* The table's last row is the total. */
static const struct scaling_time *row_of(const struct scaling *s, int row) { return row < SCALING_PHASES ? &s->phase[row] : &s->total; }
static const char *row_name(int row) { return row < SCALING_PHASES ? scaling_phase_name((enum scaling_phase)row) : "all"; }

/* Over one thread: weights that are unpacked again count as idle. */
static double speedup(const struct bench_scaling_results *r, size_t i) { return r->one->total.span / r->time[i].total.span; }

/* ---- the table ---- */

static void print_checks(const struct bench_scaling_results *r)
{
    if (r->n_checks)
        printf("\n%-18s", "ms, run / modelled");
    for (size_t i = 0; i < r->n_checks; i++)
        printf("   %zu thread%s          ", r->check[i].n_threads, r->check[i].n_threads > 1 ? "s" : " ");
    for (int p = 0; p < BENCH_SCALING_PARTS && r->n_checks; p++) {
        printf("\n%-18s", part_names[p]);
        for (size_t i = 0; i < r->n_checks; i++)
            printf(" %9.2f / %9.2f", r->check[i].measured[p], r->check[i].modelled[p]);
    }
    if (r->n_checks)
        putchar('\n');
}

void bench_scaling_table(const struct bench_scaling_results *r)
{
    const struct scaling_layer *l = &r->subject->layer;
    char cpu[256];

    bench_cpu_name(cpu, sizeof cpu);
    printf("%s, level %s: a layer of %s, %zu tokens, dense; part of the threads' time that is idle\n\n", cpu, r->subject->kernels->name,
           r->subject->name, l->n_tokens);
    printf("%-18s %7s", "threads", "of one");
    for (size_t i = 0; i < r->n; i++)
        printf(" %7zu", r->n_threads[i]);
    for (int row = 0; row <= SCALING_PHASES; row++) {
        if (row_of(&r->time[0], row)->n_jobs == 0)
            continue;
        printf("\n%-18s %6.1f%%", row_name(row), 100 * row_of(r->one, row)->busy / r->one->total.busy);
        for (size_t i = 0; i < r->n; i++)
            printf(" %6.1f%%", 100 * scaling_idle(row_of(&r->time[i], row), r->n_threads[i]));
    }
    printf("\n%-18s %7s", "speedup", "");
    for (size_t i = 0; i < r->n; i++)
        printf(" %7.1f", speedup(r, i));
    printf("\n%-18s %7s", "ms", "");
    for (size_t i = 0; i < r->n; i++)
        printf(" %7.1f", r->time[i].total.span / 1e6);
    putchar('\n');
    print_checks(r);
}

/* ---- for programs ---- */

void bench_scaling_csv(const struct bench_scaling_results *r)
{
    printf("threads,phase,jobs,busy_ms,span_ms,idle,measured_ms\n");
    for (size_t i = 0; i < r->n; i++)
        for (int row = 0; row <= SCALING_PHASES; row++) {
            const struct scaling_time *t = row_of(&r->time[i], row);
            if (t->n_jobs)
                printf("%zu,\"%s\",%zu,%.4f,%.4f,%.4f,\n", r->n_threads[i], row_name(row), t->n_jobs, t->busy / 1e6, t->span / 1e6,
                       scaling_idle(t, r->n_threads[i]));
        }
    for (size_t i = 0; i < r->n_checks; i++)
        for (int p = 0; p < BENCH_SCALING_PARTS; p++)
            printf("%zu,run %s,,,%.4f,,%.4f\n", r->check[i].n_threads, part_names[p], r->check[i].modelled[p], r->check[i].measured[p]);
}

void bench_scaling_json(const struct bench_scaling_results *r)
{
    const struct scaling_layer *l = &r->subject->layer;
    struct json j = { .out = stdout };
    char cpu[256];

    bench_cpu_name(cpu, sizeof cpu);
    json_object(&j, NULL);
    json_text(&j, "cpu", cpu);
    json_text(&j, "level", r->subject->kernels->name);
    json_text(&j, "subject", r->subject->name);
    json_int(&j, "n_tokens", (int64_t)l->n_tokens);
    json_array(&j, "results");
    for (size_t i = 0; i < r->n; i++) {
        json_object(&j, NULL);
        json_int(&j, "threads", (int64_t)r->n_threads[i]);
        json_real(&j, "speedup", speedup(r, i));
        json_array(&j, "phases");
        for (int row = 0; row <= SCALING_PHASES; row++) {
            const struct scaling_time *t = row_of(&r->time[i], row);
            if (!t->n_jobs)
                continue;
            json_object(&j, NULL);
            json_text(&j, "phase", row_name(row));
            json_int(&j, "jobs", (int64_t)t->n_jobs);
            json_real(&j, "busy_ms", t->busy / 1e6);
            json_real(&j, "span_ms", t->span / 1e6);
            json_real(&j, "idle", scaling_idle(t, r->n_threads[i]));
            json_close(&j);
        }
        json_close(&j);
        json_close(&j);
    }
    json_close(&j);
    json_array(&j, "runs");
    for (size_t i = 0; i < r->n_checks; i++)
        for (int p = 0; p < BENCH_SCALING_PARTS; p++) {
            json_object(&j, NULL);
            json_int(&j, "threads", (int64_t)r->check[i].n_threads);
            json_text(&j, "part", part_names[p]);
            json_real(&j, "measured_ms", r->check[i].measured[p]);
            json_real(&j, "modelled_ms", r->check[i].modelled[p]);
            json_close(&j);
        }
    json_close(&j);
    json_close(&j);
}
