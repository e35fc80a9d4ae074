/* canvas.h - a picture in up to 256 colours: filled rectangles, text in a small bitmap font, and a PNG file of it.
 *
 * Coordinates are pixels from the top left corner; what lies outside of the picture is cut off. libpng writes the file.
 * Nothing here prints. Not thread-safe. */
#ifndef PRISM_TOOLS_CANVAS_H
#define PRISM_TOOLS_CANVAS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct canvas_color {
    uint8_t r, g, b;
};

struct canvas {
    int width, height;
    uint8_t *pixels; /* [height][width], indices into palette */
    struct canvas_color palette[256];
};

/* All pixels 0, the palette black. false: no memory. canvas_free is allowed after failure. */
bool canvas_open(struct canvas *c, int width, int height);
void canvas_free(struct canvas *c);

/* a for t <= 0, b for t >= 1, between them along a straight line. */
struct canvas_color canvas_mix(struct canvas_color a, struct canvas_color b, double t);

void canvas_fill(struct canvas *c, int x, int y, int width, int height, uint8_t color);

enum canvas_align { CANVAS_LEFT, CANVAS_CENTER, CANVAS_RIGHT };

struct canvas_style {
    int scale; /* pixels per dot: capitals are CANVAS_CAPITAL dots high */
    uint8_t color;
    enum canvas_align align;
    bool upwards; /* turned by 90 degrees: from bottom to top */
};

enum { CANVAS_CAPITAL = 7 };

/* (x, y): the upper edge of the capitals, at the place that `align` says; of upwards text their left edge. ASCII; what the font
 * lacks becomes a box. canvas_text returns the width that the text has along its line, in pixels. */
int canvas_text(struct canvas *c, int x, int y, const struct canvas_style *style, const char *text);
int canvas_text_width(const char *text, int scale);

/* false: errno says why, or is 0 when libpng refused. */
bool canvas_write_png(const struct canvas *c, FILE *out);

#endif
