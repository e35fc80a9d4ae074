/* chart.h - line charts of values against a length in tokens or another number, side by side in one PNG file. */
#ifndef PRISM_TOOLS_CHART_H
#define PRISM_TOOLS_CHART_H

#include <stdbool.h>
#include <stddef.h>

enum { CHART_MAX_SERIES = 13 };

struct chart_series {
    const char *name;
    bool foreign;        /* somebody else's figures: grey and dashed */
    size_t n;
    const double *x, *y; /* [n], x > 0 ascending; y NaN: no value there */
};

struct chart {
    const char *title;
    const char *x_label; /* NULL: tokens, on a logarithmic axis; otherwise what x counts, on a linear one */
    double level;        /* a value that gets a line of its own: that of "no difference" */
    size_t n_series;     /* at most CHART_MAX_SERIES; series i has colour i in every chart of a page */
    const struct chart_series *series;
};

struct chart_page {
    const char *title;   /* NULL: none */
    size_t n_charts;
    const struct chart *charts; /* the legend is that of the first */
};

/* Messages go through process.h: PROCESS_ERROR after one line. */
int chart_write(const char *path, const struct chart_page *page);

#endif
