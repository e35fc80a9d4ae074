/* chart.c - see chart.h. */
#include "tools/draw/chart.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/common/process.h"
#include "tools/draw/canvas.h"

enum {
    CHART_WIDTH = 720, CHART_HEIGHT = 500, MARGIN = 20, TITLE_HEIGHT = 52,
    LEFT = 84, RIGHT = 20, TOP = 40, BOTTOM = 66, /* of a chart, around its axes */
    SCALE = 2, LINE_HEIGHT = 28, LEGEND_LINE = 44, LEGEND_GAP = 36,
};

/* The palette: plain colours, then SHADES of every series from nearly the background to its colour. */
enum { BACKGROUND, TEXT, GRID, AXIS, FIRST_SHADE, SHADES = 8 };

static const struct canvas_color plain[] = {
    [BACKGROUND] = { 255, 255, 255 }, [TEXT] = { 48, 48, 48 }, [GRID] = { 228, 228, 228 }, [AXIS] = { 144, 144, 144 },
};
static const struct canvas_color series_colors[] = {
    { 31, 95, 191 }, { 217, 115, 26 }, { 42, 143, 60 }, { 176, 48, 96 }, { 122, 79, 192 }, { 138, 109, 47 }, { 31, 158, 158 },
};
static const struct canvas_color foreign_color = { 128, 128, 128 };

/* ---- strokes ---- */

static void set_palette(struct canvas *c, const struct chart *legend)
{
    memcpy(c->palette, plain, sizeof plain);
    for (size_t i = 0; i < legend->n_series; i++)
        for (size_t s = 0; s < SHADES; s++)
            c->palette[FIRST_SHADE + i * SHADES + s] =
                canvas_mix(plain[BACKGROUND],
                           legend->series[i].foreign ? foreign_color : series_colors[i % (sizeof series_colors / sizeof *series_colors)],
                           (double)(s + 1) / SHADES);
}

/* A stroke with round ends; with both ends at one place, a dot. Its edge is shaded, and leaves alone what is already drawn. */
static void stroke(struct canvas *c, double x0, double y0, double x1, double y1, double width, size_t series)
{
    double dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy, reach = width / 2 + 1;

    for (int y = (int)floor(fmin(y0, y1) - reach); y <= (int)ceil(fmax(y0, y1) + reach); y++)
        for (int x = (int)floor(fmin(x0, x1) - reach); x <= (int)ceil(fmax(x0, x1) + reach); x++) {
            /* distance from the middle of the pixel to the nearest place of the line */
            double px = x + 0.5 - x0, py = y + 0.5 - y0, at = square > 0 ? fmin(1, fmax(0, (px * dx + py * dy) / square)) : 0;
            double covered = width / 2 + 0.5 - hypot(px - at * dx, py - at * dy);
            int shade = (int)lround(SHADES * fmin(1, covered)) - 1;
            if (shade < 0 || x < 0 || y < 0 || x >= c->width || y >= c->height)
                continue;
            uint8_t *pixel = &c->pixels[(size_t)y * (size_t)c->width + (size_t)x];
            if (shade >= SHADES / 2 || *pixel < FIRST_SHADE)
                *pixel = (uint8_t)(FIRST_SHADE + series * SHADES + (size_t)shade);
        }
}

/* From point to point of a series. */
static void draw_line(struct canvas *c, double x0, double y0, double x1, double y1, size_t series, bool dashed)
{
    double length = hypot(x1 - x0, y1 - y0), dash = dashed ? 9 : length;

    for (double at = 0; at < length; at += 2 * dash) {
        double a = at / length, b = fmin(1, (at + dash) / length);
        stroke(c, x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0), 3, series);
    }
}

static void draw_dot(struct canvas *c, double x, double y, size_t series) { stroke(c, x, y, x, y, 10, series); }

static void draw_text(struct canvas *c, int x, int y, enum canvas_align align, const char *text)
{
    canvas_text(c, x, y, &(struct canvas_style){ .scale = SCALE, .color = TEXT, .align = align }, text);
}

/* ---- axes ---- */

/* Values to pixels. */
struct frame {
    double x0, y0, width, height;     /* pixels */
    double from, to, low, high, step; /* x, log2 of it for lengths; values, and the distance of grid lines */
    bool linear;
};

static double x_of(const struct frame *f, double x) { return f->x0 + f->width * ((f->linear ? x : log2(x)) - f->from) / (f->to - f->from); }

static double y_of(const struct frame *f, double value) { return f->y0 + f->height * (f->high - value) / (f->high - f->low); }

/* 1, 2 or 5 times a power of ten, so that about six steps make up the span. */
static double nice_step(double span)
{
    double power = pow(10, floor(log10(span / 6))), part = span / 6 / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

/* Around all values and the level, with some air at all sides. */
static struct frame fit(int x, int y, const struct chart *chart)
{
    struct frame f = { x + LEFT, y + TOP, CHART_WIDTH - LEFT - RIGHT, CHART_HEIGHT - TOP - BOTTOM, INFINITY, -INFINITY,
                       chart->level, chart->level, 0, chart->x_label };

    for (size_t s = 0; s < chart->n_series; s++)
        for (size_t i = 0; i < chart->series[s].n; i++) {
            if (isnan(chart->series[s].y[i]))
                continue;
            double at = f.linear ? chart->series[s].x[i] : log2(chart->series[s].x[i]);
            f.from = fmin(f.from, at);
            f.to = fmax(f.to, at);
            f.low = fmin(f.low, chart->series[s].y[i]);
            f.high = fmax(f.high, chart->series[s].y[i]);
        }
    double air = f.linear ? fmax(0.02 * fabs(f.to), 0.05 * (f.to - f.from)) : 0.15;
    f.from -= air, f.to += air;
    f.step = nice_step(f.high > f.low ? f.high - f.low : 1);
    f.low = f.step * floor(f.low / f.step - 0.25);
    f.high = f.step * ceil(f.high / f.step + 0.25);
    return f;
}

static void draw_y_axis(struct canvas *c, const struct frame *f, double level)
{
    int decimals = (int)fmax(0, -floor(log10(f->step) + 1e-9));
    char label[32];

    for (long i = lround(f->low / f->step); i <= lround(f->high / f->step); i++) {
        double value = (double)i * f->step;
        int y = (int)lround(y_of(f, value));
        bool marked = fabs(value - level) < 1e-9 * f->step;
        canvas_fill(c, (int)f->x0, y, (int)f->width, marked ? 2 : 1, marked ? AXIS : GRID);
        snprintf(label, sizeof label, "%.*f", decimals, value);
        draw_text(c, (int)f->x0 - 10, y - CANVAS_CAPITAL * SCALE / 2, CANVAS_RIGHT, label);
    }
}

static void draw_x_tick(struct canvas *c, const struct frame *f, double x, const char *label)
{
    int at = (int)lround(x_of(f, x));
    canvas_fill(c, at, (int)f->y0, 1, (int)f->height + 6, GRID);
    draw_text(c, at, (int)(f->y0 + f->height) + 12, CANVAS_CENTER, label);
}

static void draw_x_axis(struct canvas *c, const struct frame *f, const char *name)
{
    double step = nice_step(f->to - f->from);
    char label[32];

    for (double power = ceil(f->from); !f->linear && power <= f->to; power++) {
        snprintf(label, sizeof label, power >= 10 ? "%.0fK" : "%.0f", exp2(power >= 10 ? power - 10 : power));
        draw_x_tick(c, f, exp2(power), label);
    }
    for (long i = (long)ceil(f->from / step); f->linear && (double)i * step <= f->to; i++) {
        snprintf(label, sizeof label, "%.*f", (int)fmax(0, -floor(log10(step) + 1e-9)), (double)i * step);
        draw_x_tick(c, f, (double)i * step, label);
    }
    draw_text(c, (int)(f->x0 + f->width / 2), (int)(f->y0 + f->height) + 12 + LINE_HEIGHT, CANVAS_CENTER, name);
}

/* ---- the whole ---- */

static void draw_chart(struct canvas *c, int x, int y, const struct chart *chart)
{
    struct frame f = fit(x, y, chart);

    draw_text(c, x + LEFT, y + 8, CANVAS_LEFT, chart->title);
    if (f.from > f.to)
        return; /* no value at all */
    draw_x_axis(c, &f, chart->x_label ? chart->x_label : "tokens");
    draw_y_axis(c, &f, chart->level);
    for (size_t i = chart->n_series; i-- > 0;) { /* the first lies on top */
        const struct chart_series *s = &chart->series[i];
        double last_x = NAN, last_y = NAN;
        for (size_t p = 0; p < s->n; p++) {
            if (isnan(s->y[p]))
                continue;
            double px = x_of(&f, s->x[p]), py = y_of(&f, s->y[p]);
            if (!isnan(last_x))
                draw_line(c, last_x, last_y, px, py, i, s->foreign);
            draw_dot(c, px, py, i);
            last_x = px, last_y = py;
        }
    }
}

/* The names of the series beside a piece of their lines, in rows. c NULL: only counts. Returns the number of rows. */
static int draw_legend(struct canvas *c, int left, int y, int right, const struct chart *chart)
{
    int x = left, n_rows = 1;

    for (size_t i = 0; i < chart->n_series; i++) {
        const struct chart_series *s = &chart->series[i];
        int width = LEGEND_LINE + 8 + canvas_text_width(s->name, SCALE);
        if (x > left && x + width > right) {
            x = left;
            y += LINE_HEIGHT;
            n_rows++;
        }
        if (c) {
            double middle = y + CANVAS_CAPITAL * SCALE / 2.0;
            draw_line(c, x, middle, x + LEGEND_LINE, middle, i, s->foreign);
            draw_dot(c, x + LEGEND_LINE / 2.0, middle, i);
            draw_text(c, x + LEGEND_LINE + 8, y, CANVAS_LEFT, s->name);
        }
        x += width + LEGEND_GAP;
    }
    return n_rows;
}

int chart_write(const char *path, const struct chart_page *page)
{
    const struct chart *first = &page->charts[0];
    int top = page->title ? TITLE_HEIGHT : 0, width = MARGIN + (int)page->n_charts * (CHART_WIDTH + MARGIN);
    int left = MARGIN + LEFT, right = width - MARGIN - RIGHT, legend = top + CHART_HEIGHT + 20;
    struct canvas c;

    if (!canvas_open(&c, width, legend + LINE_HEIGHT * draw_legend(NULL, left, 0, right, first) + 12))
        return process_error("out of memory for a picture");
    set_palette(&c, first);
    if (page->title)
        canvas_text(&c, left, 18, &(struct canvas_style){ .scale = 3, .color = TEXT }, page->title);
    for (size_t i = 0; i < page->n_charts; i++)
        draw_chart(&c, MARGIN + (int)i * (CHART_WIDTH + MARGIN), top, &page->charts[i]);
    draw_legend(&c, left, legend, right, first);

    FILE *file = fopen(path, "wb");
    bool written = file && canvas_write_png(&c, file);
    int why = errno;
    if (file && fclose(file) != 0 && written)
        written = false, why = errno;
    canvas_free(&c);
    return written ? PROCESS_OK : process_error("%s: %s", path, why ? strerror(why) : "the picture could not be written");
}
