/* progress.h - one progress bar on stderr, drawn only when that is a terminal that understands escape sequences.
 *
 * The bar lives on the cursor's line, is redrawn at most ten times a second, fits the width of the window, and erases itself.
 * No mode of the terminal is changed, so there is nothing to restore when the tool is killed. */
#ifndef PRISM_TOOLS_PROGRESS_H
#define PRISM_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct progress {
    bool on;             /* stderr is a terminal */
    bool drawn;          /* a bar is on the screen */
    double last_draw_ms; /* on the clock of elapsed_ms */
    const char *unit;    /* what is counted: "tokens" unless changed */
};

struct progress progress_start(void);

/* fraction in [0, 1] of the work; n_done and n_total of the unit; elapsed_ms since the work began. Speed and time
 * left follow, once a second and two percent have passed, or ten seconds. May be called as often as one likes. */
void progress_draw(struct progress *p, const char *label, double fraction, size_t n_done, size_t n_total, double elapsed_ms);

void progress_erase(struct progress *p);

#endif
