/* attn_draw.c - see attn_draw.h: the picture of attn_map.h, from the outside in. Measures that are not pixels are dots of the font. */
#include "tools/draw/attn_draw.h"

#include <math.h>
#include <string.h>

/* Entries of the palette. From RAMP and from TAIL_RAMP on: RAMP_STEPS colours, by the share of chosen blocks. */
enum { WHITE, INK, MUTED, FRAME, DENSE, UNNEEDED, RAMP = 16, RAMP_STEPS = 101, TAIL_RAMP = RAMP + RAMP_STEPS };

static const struct canvas_color white = { 255, 255, 255 }, ink = { 38, 43, 51 }, muted = { 122, 130, 142 }, frame = { 178, 185, 195 },
                                 skipped = { 232, 235, 239 }, accent = { 24, 88, 166 }, dense = { 244, 223, 180 },
                                 unneeded = { 246, 247, 249 };

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }

bool attn_draw_is_dense(const struct attn_map *map, size_t layer) { return map->causal[layer * map->about.model->n_head] == 0; }

/* ---- measures ------------------------------------------------------------------------------------------------------ */

/* Pixels of a panel that so many tokens take. */
static double token_pixels(const struct attn_map *map, double n_tokens)
{
    return n_tokens / map->about.plan->block / map->geo.cell_blocks * map->geo.dot;
}

/* Tokens between two ticks, which stand at least `room` pixels apart. */
static size_t tick_step(const struct attn_map *map, int room)
{
    static const size_t factor[] = { 1, 2, 5 };

    for (size_t unit = 100;; unit *= 10)
        for (size_t i = 0; i < 3; i++)
            if (token_pixels(map, (double)(factor[i] * unit)) >= room)
                return factor[i] * unit;
}

static void tick_label(char *out, size_t cap, size_t tokens)
{
    if (tokens)
        snprintf(out, cap, "%gk", (double)tokens / 1000);
    else
        snprintf(out, cap, "0");
}

/* Dots from the left edge to the title of the axis, the names of layers and the panels; the ticks are next to the panels. */
enum {
    MARGIN = 12,
    TICK = 3,
    TICK_NUMBER = 30,
    AXIS_TITLE = MARGIN,
    LAYER_NAME = AXIS_TITLE + CANVAS_CAPITAL + 12,
    PANELS = LAYER_NAME + CANVAS_CAPITAL + 4 + TICK_NUMBER + TICK
};

/* Pixels: the corner of the first panel, and the picture. */
struct layout {
    int left, top, width, height;
};

static struct layout measure(const struct attn_map *map, int header_width, int header_height)
{
    const struct attn_geometry *g = &map->geo;
    int rows = (int)map->about.model->n_layer, columns = (int)map->about.model->n_head;
    struct layout l = { .left = PANELS * g->text, .top = header_height + (CANVAS_CAPITAL + 6) * g->text };

    l.width = max_int(l.left + columns * g->pitch, header_width) + MARGIN * g->text;
    l.height = l.top + rows * g->pitch + (TICK + 4 + CANVAS_CAPITAL + 6 + CANVAS_CAPITAL + MARGIN) * g->text;
    return l;
}

/* ---- header -------------------------------------------------------------------------------------------------------- */

/* The value of a number flag of attention as text, or its default; "" when it was not given and `only_given`. */
static void flag_value(char *out, size_t cap, const struct attention_options *o, const char *flag, bool only_given)
{
    *out = '\0';
    for (const struct cli_option *row = attention_rows; row->kind != CLI_END; row++) {
        if (strcmp(row->names, flag))
            continue;
        const void *at = (const char *)o + row->offset;
        double value = row->kind == CLI_REAL ? *(const double *)at : (double)*(const int64_t *)at;
        if (value > 0)
            snprintf(out, cap, "%g", value);
        else if (!only_given)
            snprintf(out, cap, "%s", row->initial);
    }
}

/* A place on a line of text that grows to the right. */
struct pen {
    struct canvas *canvas;
    int x, y, scale;
};

static void put(struct pen *pen, uint8_t color, const char *text, int dots_after)
{
    struct canvas_style style = { .scale = pen->scale, .color = color };
    pen->x += canvas_text(pen->canvas, pen->x, pen->y, &style, text) + dots_after * pen->scale;
}

static void put_fact(struct pen *pen, const char *label, const char *value)
{
    put(pen, MUTED, label, 4);
    put(pen, INK, value, 12);
}

static void put_title(struct pen *pen, const struct attn_map *map)
{
    static const struct {
        const char *selector, *flag, *label;
        bool only_given;
    } facts[] = {
        { "prism", "--prism-p", "p", false },        { "prism", "--prism-p-high", "p high", true },
        { "prism", "--prism-p-low", "p low", true }, { "meanpool", "--prism-p", "p", false },
        { "streaming", "--stream-sink", "sink", false }, { "streaming", "--stream-window", "window", false },
        { "vertical-slash", "--vs-vertical", "vertical", false }, { "vertical-slash", "--vs-slash", "slash", false },
        { "flexprefill", "--flex-gamma", "gamma", false }, { "flexprefill", "--flex-tau", "tau", false },
        { "xattention", "--xattn-threshold", "threshold", false }, { "xattention", "--xattn-stride", "stride", false },
    };
    const struct prism_plan *plan = map->about.plan;
    uint64_t chosen = 0, causal = 0;
    char text[32];

    put(pen, INK, plan->selector, 12);
    snprintf(text, sizeof text, "%u", plan->block);
    put_fact(pen, "block", text);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        if (strcmp(facts[i].selector, plan->selector))
            continue;
        flag_value(text, sizeof text, map->about.attention, facts[i].flag, facts[i].only_given);
        if (*text)
            put_fact(pen, facts[i].label, text);
    }
    snprintf(text, sizeof text, "%zu", map->about.n_tokens);
    put_fact(pen, "tokens", text);
    for (size_t i = 0; i < map->n_panels; i++)
        chosen += map->chosen[i], causal += map->causal[i];
    snprintf(text, sizeof text, "%.1f%%", 100 * (double)chosen / (double)causal);
    put_fact(pen, "density", text);
}

/* After the last layer only the last token is needed, so that prefill computes one row there, and no selector chooses for one row. */
static bool is_last_row_only(const struct attn_map *map, size_t layer)
{
    return layer + 1 == map->about.model->n_layer && attn_draw_is_dense(map, layer);
}

static size_t dense_tail(const struct attn_map *map)
{
    int64_t given = map->about.attention->dense_tail;
    size_t n = given < 0 ? map->about.plan->block : (size_t)given;
    return n < map->about.n_tokens ? n : map->about.n_tokens;
}

static void put_swatch(struct pen *pen, uint8_t color, const char *text)
{
    int size = (CANVAS_CAPITAL + 2) * pen->scale;

    canvas_fill(pen->canvas, pen->x, pen->y - pen->scale, size, size, color);
    pen->x += size + 4 * pen->scale;
    put(pen, INK, text, 14);
}

static void put_ramp(struct pen *pen, int cell_blocks)
{
    int step = 5, x = pen->x;
    char text[64];

    for (int i = 0; i < RAMP_STEPS; i += step, x += 2 * pen->scale)
        canvas_fill(pen->canvas, x, pen->y - pen->scale, 2 * pen->scale, (CANVAS_CAPITAL + 2) * pen->scale, (uint8_t)(RAMP + i));
    pen->x = x + 4 * pen->scale;
    snprintf(text, sizeof text, "none to all of %d x %d blocks chosen", cell_blocks, cell_blocks);
    put(pen, INK, text, 14);
}

static void put_legend(struct pen *pen, const struct attn_map *map)
{
    size_t last = map->about.model->n_layer - 1, n_dense = 0;
    char text[64];

    if (map->geo.cell_blocks == 1) {
        put_swatch(pen, RAMP + RAMP_STEPS - 1, "chosen");
        put_swatch(pen, RAMP, "skipped");
    } else {
        put_ramp(pen, map->geo.cell_blocks);
    }
    for (size_t l = 0; l < last; l++)
        n_dense += attn_draw_is_dense(map, l);
    snprintf(text, sizeof text, "dense: last %zu tokens%s", dense_tail(map), n_dense ? " and whole layers" : "");
    if (dense_tail(map) || n_dense)
        put_swatch(pen, DENSE, dense_tail(map) ? text : "dense: whole layers");
    snprintf(text, sizeof text, "layer %zu: only its last row is computed, dense", last);
    if (is_last_row_only(map, last))
        put(pen, MUTED, text, 14);
}

/* Title, model and legend. Returns the height; *width is that of the longest line. A canvas of no size measures. */
static int draw_header(struct canvas *c, const struct attn_map *map, int *width)
{
    const struct attn_geometry *g = &map->geo;
    const struct prism_model_info *m = map->about.model;
    const char *slash = strrchr(m->path, '/');
    struct pen pen = { c, MARGIN * g->text, MARGIN * g->text, 2 * g->text };
    char text[256];

    put_title(&pen, map);
    *width = pen.x;
    pen = (struct pen){ c, MARGIN * g->text, pen.y + (2 * CANVAS_CAPITAL + 8) * g->text, g->text };
    snprintf(text, sizeof text, "%.200s, %u layers of %u heads", slash ? slash + 1 : m->path, m->n_layer, m->n_head);
    put(&pen, MUTED, text, 0);
    *width = max_int(*width, pen.x);
    pen = (struct pen){ c, MARGIN * g->text, pen.y + (CANVAS_CAPITAL + 10) * g->text, g->text };
    put_legend(&pen, map);
    *width = max_int(*width, pen.x);
    return pen.y + (CANVAS_CAPITAL + 14) * g->text;
}

/* ---- panels -------------------------------------------------------------------------------------------------------- */

/* Palette entry of a cell: by the share of its causal blocks that were chosen. */
static uint8_t cell_color(const struct attn_map *map, size_t row, size_t column, uint32_t n_chosen, bool tail)
{
    size_t k = (size_t)map->geo.cell_blocks, rows = map->n_blocks - row * k < k ? map->n_blocks - row * k : k;
    size_t causal = column < row ? rows * k : rows * (rows + 1) / 2;

    return (uint8_t)((tail ? TAIL_RAMP : RAMP) + n_chosen * (RAMP_STEPS - 1) / causal);
}

static void draw_panel(struct canvas *c, const struct attn_map *map, size_t panel, int x, int y)
{
    const struct attn_geometry *g = &map->geo;
    size_t layer = panel / map->about.model->n_head;
    bool selected = !attn_draw_is_dense(map, layer), last_row = is_last_row_only(map, layer);
    size_t n_tail = last_row ? 1 : dense_tail(map);
    int end = (int)(token_pixels(map, (double)map->about.n_tokens) + 0.999); /* the last block may be cut short */
    int tail = min_int((int)token_pixels(map, (double)(map->about.n_tokens - n_tail)), end - g->text);

    for (int row = 0; row < min_int(end, g->side); row++) {
        size_t cell_y = (size_t)(row / g->dot);
        const uint32_t *cells = map->cell + (panel * (size_t)g->cells + cell_y) * (size_t)g->cells;
        for (size_t i = 0; i <= cell_y; i++) {
            uint8_t color = last_row && row < tail ? UNNEEDED : DENSE;
            if (selected)
                color = cell_color(map, cell_y, i, cells[i], n_tail && row >= tail);
            canvas_fill(c, x + (int)i * g->dot, y + row, g->dot, 1, color);
        }
    }
}

/* In the empty half of the panel: its density, or that it has none. */
static void draw_panel_label(struct canvas *c, const struct attn_map *map, size_t panel, int x, int y)
{
    const struct attn_geometry *g = &map->geo;
    char text[16] = "dense";
    int pad = 2 * g->text;

    if (map->causal[panel]) {
        double percent = 100 * (double)map->chosen[panel] / (double)map->causal[panel];
        snprintf(text, sizeof text, percent < 9.95 ? "%.1f%%" : "%.0f%%", percent);
    }
    struct canvas_style style = { .scale = g->text, .color = MUTED, .align = CANVAS_RIGHT };
    if (canvas_text_width(text, g->text) + CANVAS_CAPITAL * g->text + 3 * pad <= g->side)
        canvas_text(c, x + g->side - pad, y + pad, &style, text);
}

/* Name i of n of a row or column of panels: "head 3", or "3" where "head" does not fit for all. */
static void draw_name(struct canvas *c, const struct attn_map *map, int x, int y, const char *what, size_t i, size_t n, bool upwards)
{
    struct canvas_style style = { map->geo.text, INK, CANVAS_CENTER, upwards };
    char text[32];

    snprintf(text, sizeof text, "%s %zu", what, n - 1);
    if (canvas_text_width(text, style.scale) <= map->geo.side)
        snprintf(text, sizeof text, "%s %zu", what, i);
    else
        snprintf(text, sizeof text, "%zu", i);
    if (canvas_text_width(text, style.scale) <= map->geo.side)
        canvas_text(c, x, y, &style, text);
}

/* Below a panel of the last layer; (x, y): its lower left corner. */
static void draw_axis_below(struct canvas *c, const struct attn_map *map, int x, int y)
{
    const struct attn_geometry *g = &map->geo;
    int u = g->text;
    size_t step = tick_step(map, 28 * u);
    char text[16];

    canvas_fill(c, x, y, g->side, u, FRAME);
    for (size_t at = 0; at <= map->about.n_tokens; at += step) {
        int offset = min_int((int)token_pixels(map, (double)at), g->side - u);
        struct canvas_style style = { .scale = u, .color = MUTED, .align = at ? CANVAS_CENTER : CANVAS_LEFT };
        canvas_fill(c, x + offset, y, u, TICK * u, FRAME);
        tick_label(text, sizeof text, at);
        if (offset + canvas_text_width(text, u) / 2 <= g->pitch - 2 * u) /* the next panel has its own */
            canvas_text(c, x + offset, y + (TICK + 4) * u, &style, text);
    }
}

/* Left of a panel of head 0; (x, y): its upper left corner. */
static void draw_axis_left(struct canvas *c, const struct attn_map *map, int x, int y)
{
    const struct attn_geometry *g = &map->geo;
    int u = g->text, capital = CANVAS_CAPITAL * u;
    struct canvas_style style = { .scale = u, .color = MUTED, .align = CANVAS_RIGHT };
    size_t step = tick_step(map, 16 * u);
    char text[16];

    canvas_fill(c, x - u, y, u, g->side, FRAME);
    for (size_t at = 0; at <= map->about.n_tokens; at += step) {
        int offset = min_int((int)token_pixels(map, (double)at), g->side - u);
        canvas_fill(c, x - TICK * u, y + offset, TICK * u, u, FRAME);
        tick_label(text, sizeof text, at);
        canvas_text(c, x - (TICK + 3) * u, y + max_int(0, min_int(offset - capital / 2, g->side - capital)), &style, text);
    }
}

static void draw_grid(struct canvas *c, const struct attn_map *map, const struct layout *layout)
{
    const struct attn_geometry *g = &map->geo;
    size_t rows = map->about.model->n_layer, columns = map->about.model->n_head;
    struct canvas_style style = { g->text, MUTED, CANVAS_CENTER, false };
    int bottom = layout->top + (int)rows * g->pitch - (g->pitch - g->side), u = g->text;

    for (size_t i = 0; i < map->n_panels; i++) {
        int x = layout->left + (int)(i % columns) * g->pitch, y = layout->top + (int)(i / columns) * g->pitch;
        draw_panel(c, map, i, x, y);
        draw_panel_label(c, map, i, x, y);
    }
    for (size_t h = 0; h < columns; h++) {
        int x = layout->left + (int)h * g->pitch;
        draw_name(c, map, x + g->side / 2, layout->top - (CANVAS_CAPITAL + 4) * u, "head", h, columns, false);
        draw_axis_below(c, map, x, bottom);
    }
    for (size_t l = 0; l < rows; l++) {
        int y = layout->top + (int)l * g->pitch;
        draw_name(c, map, LAYER_NAME * u, y + g->side / 2, "layer", l, rows, true);
        draw_axis_left(c, map, layout->left, y);
    }
    canvas_text(c, layout->left + (int)columns * g->pitch / 2, layout->height - (MARGIN + CANVAS_CAPITAL) * u, &style,
                "key position in tokens");
    style.upwards = true;
    canvas_text(c, AXIS_TITLE * u, layout->top + (int)rows * g->pitch / 2, &style, "query position in tokens");
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static void set_palette(struct canvas *c)
{
    c->palette[WHITE] = white;
    c->palette[INK] = ink;
    c->palette[MUTED] = muted;
    c->palette[FRAME] = frame;
    c->palette[DENSE] = dense;
    c->palette[UNNEEDED] = unneeded;
    for (int i = 0; i < RAMP_STEPS; i++) {
        double share = pow(i / (double)(RAMP_STEPS - 1), 0.6); /* a block or two of many must be seen */
        c->palette[RAMP + i] = canvas_mix(skipped, accent, share);
        c->palette[TAIL_RAMP + i] = canvas_mix(dense, accent, share);
    }
}

bool attn_draw(const struct attn_map *map, struct canvas *canvas)
{
    struct canvas nothing = { 0 };
    int width, height = draw_header(&nothing, map, &width);
    struct layout layout = measure(map, width, height);

    if (!canvas_open(canvas, layout.width, layout.height))
        return false;
    set_palette(canvas);
    draw_header(canvas, map, &width);
    draw_grid(canvas, map, &layout);
    return true;
}
