/* progress.c - see progress.h. */
#include "tools/common/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MAX_LINE = 256, MIN_BAR = 4, MAX_BAR = 40 };

struct progress progress_start(void)
{
    const char *term = getenv("TERM");

    return (struct progress){ .on = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0, .unit = "tokens" };
}

static int window_columns(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* "8.4s", "1:05", "2:10:07" */
static void format_time(char *out, size_t cap, double ms)
{
    unsigned long s = (unsigned long)(ms / 1e3);

    if (ms < 59.95e3)
        snprintf(out, cap, "%.1fs", ms / 1e3);
    else if (s < 3600)
        snprintf(out, cap, "%lu:%02lu", s / 60, s % 60);
    else
        snprintf(out, cap, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

/* A speed of the first tokens is no promise: memory is touched for the first time, and small fractions are coarse. */
static bool estimate_holds(double fraction, double elapsed_ms) { return elapsed_ms >= 1e3 && (fraction >= 0.02 || elapsed_ms >= 10e3); }

/* The most useful first: a narrow window cuts the end. */
static int facts_text(char *out, size_t cap, const struct progress *p, const char *label, double fraction, size_t n_done, size_t n_total,
                      double elapsed_ms)
{
    char left[32], total[32];

    if (!estimate_holds(fraction, elapsed_ms) || fraction <= 0)
        return snprintf(out, cap, "%s %3d%%  %zu/%zu %s", label, (int)(fraction * 100), n_done, n_total, p->unit);
    format_time(left, sizeof left, elapsed_ms / fraction - elapsed_ms);
    format_time(total, sizeof total, elapsed_ms / fraction);
    return snprintf(out, cap, "%s %3d%%  %.0f %s/s  %s left of %s  %zu/%zu %s", label, (int)(fraction * 100),
                    (double)n_done / elapsed_ms * 1e3, p->unit, left, total, n_done, n_total, p->unit);
}

void progress_draw(struct progress *p, const char *label, double fraction, size_t n_done, size_t n_total, double elapsed_ms)
{
    char facts[MAX_LINE], bar[MAX_BAR + 5] = "";

    if (!p->on || (p->drawn && elapsed_ms - p->last_draw_ms < 100 && elapsed_ms >= p->last_draw_ms))
        return;
    p->drawn = true;
    p->last_draw_ms = elapsed_ms;
    int len = facts_text(facts, sizeof facts, p, label, fraction, n_done, n_total, elapsed_ms);
    int columns = window_columns() - 1; /* the last column would wrap the cursor on some terminals */
    int cells = columns - len - 4 < MAX_BAR ? columns - len - 4 : MAX_BAR; /* beside two spaces and two brackets */
    if (cells >= MIN_BAR) {
        int filled = (int)(fraction * cells);
        memcpy(bar, "  [", 3);
        memset(bar + 3, '#', (size_t)filled);
        memset(bar + 3 + filled, '.', (size_t)(cells - filled));
        bar[cells + 3] = ']';
    }
    fprintf(stderr, "\r\033[K%.*s%s", columns, facts, bar);
}

void progress_erase(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
