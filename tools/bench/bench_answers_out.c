/* bench_answers_out.c - see bench_answers_out.h. */
#include "tools/bench/bench_answers_out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/common/engine.h"
#include "tools/common/json.h"
#include "tools/common/process.h"
#include "tools/draw/chart.h"

enum { MAX_CHARTS = 4, MAX_POINTS = 24 };

static const struct answers_result *dense_of(const struct answers_results *r, size_t length) { return r->result + length * r->n_subjects; }

static double density(const struct answers_result *r)
{
    return r->causal_blocks ? (double)r->chosen_blocks / (double)r->causal_blocks : 1;
}

static double both_ms(const struct answers_result *r) { return r->attention_ms + r->select_ms; }
static double select_share(const struct answers_result *r) { return both_ms(r) > 0 ? r->select_ms / both_ms(r) : 0; }
static double of_dense(const struct answers_result *r, const struct answers_result *dense) { return 100 * (double)r->right / (double)dense->right; }

/* The lowest share of dense's answers that a kind keeps. */
static double worst_kind(const struct answers_results *all, const struct answers_result *r, const struct answers_result *dense, size_t *kind)
{
    double worst = INFINITY;
    for (size_t k = 0; k < all->tasks->n_kinds; k++) {
        double part = 100 * (double)r->kind_right[k] / (double)dense->kind_right[k];
        if (dense->kind_right[k] && part < worst)
            worst = part, *kind = k;
    }
    return worst;
}

static const char *distance_name(size_t class)
{
    static char name[32];
    if (class == ANSWERS_DISTANCES - 1)
        snprintf(name, sizeof name, "%u-", answers_distance_ends[class - 1]);
    else
        snprintf(name, sizeof name, "-%u", answers_distance_ends[class]);
    return name;
}

void answers_head(const struct answers_results *r)
{
    printf("%u threads, level %s, attention in %s; answers right of all, by kind and by distance of the fact in tokens\n", r->plan->n_threads,
           r->plan->level, r->plan->attention_type);
    printf(" tokens  selector                density     right   total  of dense  speedup  select");
    for (size_t k = 0; k < r->tasks->n_kinds; k++)
        printf("  %7s", r->tasks->kinds[k]);
    for (size_t d = 0; d < ANSWERS_DISTANCES; d++)
        printf("  %9s", distance_name(d));
    putchar('\n');
}

void answers_table(const struct answers_results *all, size_t length)
{
    const struct answers_result *dense = dense_of(all, length), *r = dense;
    char cell[48];

    for (size_t i = 0; i < all->n_subjects; i++, r++) {
        printf("%7u  %-22s  %7.4f  %8llu  %6llu  %7.2f%%  %6.2fx  %5.1f%%", r->length, r->subject, density(r), (unsigned long long)r->right,
               (unsigned long long)r->total, of_dense(r, dense), both_ms(dense) / both_ms(r), 100 * select_share(r));
        for (size_t k = 0; k < all->tasks->n_kinds; k++) {
            snprintf(cell, sizeof cell, "%llu/%llu", (unsigned long long)r->kind_right[k], (unsigned long long)r->kind_total[k]);
            printf("  %7s", cell);
        }
        for (size_t d = 0; d < ANSWERS_DISTANCES; d++) {
            snprintf(cell, sizeof cell, "%llu/%llu", (unsigned long long)r->distance_right[d], (unsigned long long)r->distance_total[d]);
            printf("  %9s", cell);
        }
        putchar('\n');
    }
}

void answers_csv(const struct answers_results *all)
{
    printf("n_tokens,selector,documents,density,right,total,of_dense,worst_kind_of_dense,attention_ms,select_ms,prefill_ms,speedup");
    for (size_t k = 0; k < all->tasks->n_kinds; k++)
        printf(",%s_right,%s_total", all->tasks->kinds[k], all->tasks->kinds[k]);
    for (size_t d = 0; d < ANSWERS_DISTANCES; d++)
        printf(",d%s_right,d%s_total", distance_name(d), distance_name(d));
    putchar('\n');
    for (size_t i = 0; i < all->n_lengths * all->n_subjects; i++) {
        const struct answers_result *r = &all->result[i], *dense = dense_of(all, i / all->n_subjects);
        size_t kind = 0;
        printf("%u,%s,%u,%.5f,%llu,%llu,%.3f,%.3f,%.2f,%.2f,%.2f,%.4f", r->length, r->subject, r->n_documents, density(r),
               (unsigned long long)r->right, (unsigned long long)r->total, of_dense(r, dense), worst_kind(all, r, dense, &kind), r->attention_ms,
               r->select_ms, r->prefill_ms, both_ms(dense) / both_ms(r));
        for (size_t k = 0; k < all->tasks->n_kinds; k++)
            printf(",%llu,%llu", (unsigned long long)r->kind_right[k], (unsigned long long)r->kind_total[k]);
        for (size_t d = 0; d < ANSWERS_DISTANCES; d++)
            printf(",%llu,%llu", (unsigned long long)r->distance_right[d], (unsigned long long)r->distance_total[d]);
        putchar('\n');
    }
}

static void json_counts(struct json *j, const char *name, uint64_t right, uint64_t total)
{
    json_object(j, name);
    json_int(j, "right", (int64_t)right);
    json_int(j, "total", (int64_t)total);
    json_close(j);
}

void answers_json(const struct answers_results *all)
{
    struct json j = { .out = stdout };

    json_object(&j, NULL);
    json_text(&j, "version", prism_version());
    json_text(&j, "level", all->plan->level);
    json_text(&j, "attention_type", all->plan->attention_type);
    json_int(&j, "n_threads", all->plan->n_threads);
    json_array(&j, "results");
    for (size_t i = 0; i < all->n_lengths * all->n_subjects; i++) {
        const struct answers_result *r = &all->result[i], *dense = dense_of(all, i / all->n_subjects);
        json_object(&j, NULL);
        json_int(&j, "n_tokens", r->length);
        json_text(&j, "selector", r->subject);
        json_int(&j, "documents", r->n_documents);
        json_real(&j, "density", density(r));
        json_int(&j, "right", (int64_t)r->right);
        json_int(&j, "total", (int64_t)r->total);
        json_real(&j, "of_dense", of_dense(r, dense));
        json_real(&j, "attention_ms", r->attention_ms);
        json_real(&j, "select_ms", r->select_ms);
        json_real(&j, "prefill_ms", r->prefill_ms);
        json_real(&j, "speedup", both_ms(dense) / both_ms(r));
        json_object(&j, "kinds");
        for (size_t k = 0; k < all->tasks->n_kinds; k++)
            json_counts(&j, all->tasks->kinds[k], r->kind_right[k], r->kind_total[k]);
        json_close(&j);
        json_object(&j, "distances");
        for (size_t d = 0; d < ANSWERS_DISTANCES; d++)
            json_counts(&j, distance_name(d), r->distance_right[d], r->distance_total[d]);
        json_close(&j);
        json_close(&j);
    }
    json_close(&j);
    engine_json_model(&j, all->info);
    json_close(&j);
}

/* ---- the picture ---- */

struct curve {
    char name[32];
    size_t n;
    double x[MAX_POINTS], y[MAX_POINTS];
};

static void add_point(struct curve *c, double x, double y)
{
    size_t at = c->n < MAX_POINTS ? c->n++ : c->n - 1;
    for (; at > 0 && c->x[at - 1] > x; at--)
        c->x[at] = c->x[at - 1], c->y[at] = c->y[at - 1];
    c->x[at] = x, c->y[at] = y;
}

/* The curves of a length, one for each selector in the order of the list; returns their number. */
static size_t make_curves(const struct answers_results *all, size_t length, struct curve *curves)
{
    const struct answers_result *dense = dense_of(all, length);
    size_t n = 0;

    for (size_t i = 1; i < all->n_subjects; i++) {
        const struct answers_result *r = dense + i;
        size_t len = strcspn(r->subject, "@"), c = 0;
        while (c < n && (strlen(curves[c].name) != len || strncmp(curves[c].name, r->subject, len)))
            c++;
        if (c == CHART_MAX_SERIES)
            continue;
        if (c == n) {
            curves[n] = (struct curve){ .n = 0 };
            snprintf(curves[n++].name, sizeof curves->name, "%.*s", (int)len, r->subject);
        }
        add_point(&curves[c], density(r), of_dense(r, dense));
    }
    return n;
}

int answers_draw(const struct answers_results *all, const char *path)
{
    struct curve curves[MAX_CHARTS][CHART_MAX_SERIES];
    struct chart_series series[MAX_CHARTS][CHART_MAX_SERIES];
    struct chart charts[MAX_CHARTS];
    char titles[MAX_CHARTS][64];
    size_t n_charts = all->n_lengths < MAX_CHARTS ? all->n_lengths : MAX_CHARTS;

    for (size_t i = 0; i < n_charts; i++) {
        size_t length = all->n_lengths - n_charts + i, n = make_curves(all, length, curves[i]);
        snprintf(titles[i], sizeof titles[i], "Answers kept at %u tokens, %%", dense_of(all, length)->length);
        for (size_t s = 0; s < n; s++)
            series[i][s] = (struct chart_series){ curves[i][s].name, false, curves[i][s].n, curves[i][s].x, curves[i][s].y };
        charts[i] = (struct chart){ .title = titles[i], .level = 100, .x_label = "density", .n_series = n, .series = series[i] };
    }
    return chart_write(path, &(struct chart_page){ "Answers of dense attention against density", n_charts, charts });
}
