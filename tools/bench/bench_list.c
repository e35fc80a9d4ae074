/* bench_list.c - see bench_list.h. */
#include "tools/bench/bench_list.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/process.h"

enum { MAX_DEVICES = 16 }; /* llama_max_devices() of llama.cpp */

void bench_list_free(struct bench_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->value[i]);
    free(l->value);
    *l = (struct bench_list){ 0 };
}

static int append(struct bench_list *l, const char *flag, const char *text, size_t len)
{
    if (l->n == BENCH_LIST_MAX)
        return process_error("%s: more than %d values", flag, BENCH_LIST_MAX);
    if (!l->value)
        l->value = malloc(BENCH_LIST_MAX * sizeof *l->value);
    if (!l->value || !(l->value[l->n] = strndup(text, len)))
        return process_error("out of memory");
    l->n++;
    return -1;
}

/* The next piece of a list up to its comma; false at the end. A list that ends with a comma has an empty piece there. */
static bool next_piece(const char **text, const char **piece, size_t *len)
{
    if (!*text)
        return false;
    *piece = *text;
    *len = strcspn(*text, ",");
    *text = (*text)[*len] ? *text + *len + 1 : NULL;
    return true;
}

/* ---- numbers ---- */

static bool read_number(const char **p, int64_t *v)
{
    char *end;

    if (!isdigit((unsigned char)**p) && !(**p == '-' && isdigit((unsigned char)(*p)[1])))
        return false;
    errno = 0;
    *v = strtoll(*p, &end, 10);
    *p = end;
    return errno == 0;
}

/* first[-last[+step|*factor]] of exactly len bytes, that goes upwards. */
struct range {
    int64_t first, last, step;
    char op;
};

static bool read_range(const char *p, size_t len, struct range *r)
{
    const char *end = p + len;
    bool good = read_number(&p, &r->first);

    r->last = r->first;
    r->step = 1;
    r->op = '+';
    if (good && *p == '-') {
        p++;
        good = isdigit((unsigned char)*p) && read_number(&p, &r->last);
        if (good && (*p == '+' || *p == '*')) {
            r->op = *p++;
            good = isdigit((unsigned char)*p) && read_number(&p, &r->step);
        }
    }
    return good && p == end && r->last >= r->first && (r->op == '+' ? r->step >= 1 : r->step >= 2 && r->first >= 1);
}

int bench_take_numbers(const struct cli_option *o, const char *flag, const char *text, void *list)
{
    const char *rest = text, *piece;
    size_t len;

    while (next_piece(&rest, &piece, &len)) {
        struct range r;
        if (!read_range(piece, len, &r) || (double)r.first < o->min || (double)r.last > o->max)
            return process_error("%s %s: expected whole numbers from %.0f to %.0f and ranges of them, as in 8,1-4,16-64+16,1-8*2", flag,
                                 text, o->min, o->max);
        if (r.step > 1 && r.step > r.last)
            r.step = r.last + 1; /* beyond the end all the same, and neither sum nor product overflows: bounds are below 2^32 */
        for (int64_t v = r.first; v <= r.last; v = r.op == '+' ? v + r.step : v * r.step) {
            char digits[24];
            int n = snprintf(digits, sizeof digits, "%lld", (long long)v), status = append(list, flag, digits, (size_t)n);
            if (status >= 0)
                return status;
        }
    }
    return -1;
}

int bench_take_pair(const struct cli_option *o, const char *flag, const char *text, void *list)
{
    int64_t v[2];
    const char *p = text;
    bool good = read_number(&p, &v[0]) && *p++ == ',' && read_number(&p, &v[1]) && !*p;

    for (size_t i = 0; i < 2; i++)
        if (!good || (double)v[i] < o->min || (double)v[i] > o->max)
            return process_error("%s %s: expected two whole numbers from %.0f to %.0f, as in 512,128", flag, text, o->min, o->max);
    for (size_t i = 0; i < 2; i++) {
        char digits[24];
        int n = snprintf(digits, sizeof digits, "%lld", (long long)v[i]), status = append(list, flag, digits, (size_t)n);
        if (status >= 0)
            return status;
    }
    return -1;
}

/* ---- words ---- */

/* Finds a word of "on=1 off=0 auto"; *kept and *n_kept is what stands behind its '=', the word itself without one. */
static bool find_word(const char *choices, const char *word, size_t len, const char **kept, size_t *n_kept)
{
    for (const char *c = choices; *c; c += strspn(c, " ")) {
        size_t n = strcspn(c, " "), n_name = strcspn(c, "= ");
        if (n_name == len && memcmp(c, word, len) == 0) {
            *kept = n_name < n ? c + n_name + 1 : c;
            *n_kept = n_name < n ? n - n_name - 1 : n;
            return true;
        }
        c += n;
    }
    return false;
}

int bench_take_words(const struct cli_option *o, const char *flag, const char *text, void *list)
{
    const char *rest = text, *piece, *kept;
    size_t len, n_kept;

    while (next_piece(&rest, &piece, &len)) {
        if (!find_word(o->choices, piece, len, &kept, &n_kept)) {
            char names[256] = "";
            for (const char *c = o->choices; *c; c += strcspn(c, " "), c += strspn(c, " "))
                snprintf(names + strlen(names), sizeof names - strlen(names), " %.*s", (int)strcspn(c, "= "), c);
            return process_error("%s %s: expected one of:%s", flag, text, names);
        }
        int status = append(list, flag, kept, n_kept);
        if (status >= 0)
            return status;
    }
    return -1;
}

int bench_take_texts(const struct cli_option *o, const char *flag, const char *text, void *list)
{
    const char *rest = text, *piece;
    size_t len;

    (void)o;
    while (next_piece(&rest, &piece, &len)) {
        int status = len ? append(list, flag, piece, len) : process_error("%s %s: an empty value", flag, text);
        if (status >= 0)
            return status;
    }
    return -1;
}

int bench_take_shares(const struct cli_option *o, const char *flag, const char *text, void *list)
{
    const char *rest = text, *p;
    size_t len;

    (void)o;
    while (next_piece(&rest, &p, &len)) {
        char kept[MAX_DEVICES * 12] = "", *end;
        size_t n = 0, used = 0;
        for (const char *stop = p + len; p < stop; p += strspn(p, "/;")) {
            double share = strtod(p, &end);
            if (end == p || end > stop || isspace((unsigned char)*p) || !(share >= 0 && share < 1e6) || n == MAX_DEVICES ||
                !(end == stop || *end == '/' || *end == ';'))
                return process_error("%s %s: expected at most %d shares, as in 1/2", flag, text, MAX_DEVICES);
            size_t at = strlen(kept);
            snprintf(kept + at, sizeof kept - at, "%s%.2f", n++ ? "/" : "", share);
            used = share > 0 || n == 1 ? strlen(kept) : used; /* zeros at the end are dropped */
            p = end;
        }
        int status = n ? append(list, flag, kept, used) : process_error("%s %s: an empty value", flag, text);
        if (status >= 0)
            return status;
    }
    return -1;
}
