/* canvas.c - see canvas.h. */
#include "tools/draw/canvas.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

/* Rows of dots from the top, divided by spaces: seven down to the base line, two more below it for letters that hang down.
 * Glyphs are as wide as their rows. The first one stands for characters that are not here. */
static const struct glyph {
    char character;
    const char *rows;
} font[] = {
    { 0, "##### #...# #...# #...# #...# #...# #####" },
    { ' ', "... ... ... ... ... ... ..." },
    { '!', "# # # # # . #" },
    { '%', "##..# ##..# ...#. ..#.. .#... #..## #..##" },
    { '(', ".# #. #. #. #. #. .#" },
    { ')', "#. .# .# .# .# .# #." },
    { '+', "..... ..#.. ..#.. ##### ..#.. ..#.. ....." },
    { ',', ".. .. .. .. .. .# .# #." },
    { '-', ".... .... .... #### .... .... ...." },
    { '.', ". . . . . . #" },
    { '/', "....# ....# ...#. ..#.. .#... #.... #...." },
    { '0', ".###. #...# #...# #...# #...# #...# .###." },
    { '1', "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###." },
    { '2', ".###. #...# ....# ..##. .#... #.... #####" },
    { '3', ".###. #...# ....# ..##. ....# #...# .###." },
    { '4', "...#. ..##. .#.#. #..#. ##### ...#. ...#." },
    { '5', "##### #.... ####. ....# ....# #...# .###." },
    { '6', "..##. .#... #.... ####. #...# #...# .###." },
    { '7', "##### ....# ...#. ...#. ..#.. ..#.. ..#.." },
    { '8', ".###. #...# #...# .###. #...# #...# .###." },
    { '9', ".###. #...# #...# .#### ....# ...#. .##.." },
    { ':', ". . # . . # ." },
    { ';', ".. .. .# .. .. .# .# #." },
    { '=', "..... ..... ##### ..... ##### ..... ....." },
    { '?', ".###. #...# ....# ..##. ..#.. ..... ..#.." },
    { '[', "## #. #. #. #. #. ##" },
    { ']', "## .# .# .# .# .# ##" },
    { '_', "..... ..... ..... ..... ..... ..... #####" },
    { 'A', ".###. #...# #...# ##### #...# #...# #...#" },
    { 'B', "####. #...# #...# ####. #...# #...# ####." },
    { 'C', ".###. #...# #.... #.... #.... #...# .###." },
    { 'D', "####. #...# #...# #...# #...# #...# ####." },
    { 'E', "##### #.... #.... ####. #.... #.... #####" },
    { 'F', "##### #.... #.... ####. #.... #.... #...." },
    { 'G', ".###. #...# #.... #.### #...# #...# .####" },
    { 'H', "#...# #...# #...# ##### #...# #...# #...#" },
    { 'I', "### .#. .#. .#. .#. .#. ###" },
    { 'J', "..### ...#. ...#. ...#. ...#. #..#. .##.." },
    { 'K', "#...# #..#. #.#.. ##... #.#.. #..#. #...#" },
    { 'L', "#.... #.... #.... #.... #.... #.... #####" },
    { 'M', "#...# ##.## #.#.# #.#.# #...# #...# #...#" },
    { 'N', "#...# ##..# #.#.# #.#.# #..## #...# #...#" },
    { 'O', ".###. #...# #...# #...# #...# #...# .###." },
    { 'P', "####. #...# #...# ####. #.... #.... #...." },
    { 'Q', ".###. #...# #...# #...# #.#.# #..#. .##.#" },
    { 'R', "####. #...# #...# ####. #.#.. #..#. #...#" },
    { 'S', ".#### #.... #.... .###. ....# ....# ####." },
    { 'T', "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#.." },
    { 'U', "#...# #...# #...# #...# #...# #...# .###." },
    { 'V', "#...# #...# #...# #...# .#.#. .#.#. ..#.." },
    { 'W', "#...# #...# #...# #.#.# #.#.# ##.## #...#" },
    { 'X', "#...# #...# .#.#. ..#.. .#.#. #...# #...#" },
    { 'Y', "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#.." },
    { 'Z', "##### ....# ...#. ..#.. .#... #.... #####" },
    { 'a', "..... ..... .###. ....# .#### #...# .####" },
    { 'b', "#.... #.... ####. #...# #...# #...# ####." },
    { 'c', "..... ..... .###. #.... #.... #.... .####" },
    { 'd', "....# ....# .#### #...# #...# #...# .####" },
    { 'e', "..... ..... .###. #...# ##### #.... .####" },
    { 'f', "..## .#.. #### .#.. .#.. .#.. .#.." },
    { 'g', "..... ..... .#### #...# #...# #...# .#### ....# .###." },
    { 'h', "#.... #.... ####. #...# #...# #...# #...#" },
    { 'i', "# . # # # # #" },
    { 'j', ".# .. .# .# .# .# .# .# #." },
    { 'k', "#... #... #..# #.#. ##.. #.#. #..#" },
    { 'l', "#. #. #. #. #. #. .#" },
    { 'm', "..... ..... ####. #.#.# #.#.# #.#.# #.#.#" },
    { 'n', "..... ..... ####. #...# #...# #...# #...#" },
    { 'o', "..... ..... .###. #...# #...# #...# .###." },
    { 'p', "..... ..... ####. #...# #...# #...# ####. #.... #...." },
    { 'q', "..... ..... .#### #...# #...# #...# .#### ....# ....#" },
    { 'r', ".... .... #.## ##.. #... #... #..." },
    { 's', "..... ..... .#### #.... .###. ....# ####." },
    { 't', ".#.. .#.. #### .#.. .#.. .#.. ..##" },
    { 'u', "..... ..... #...# #...# #...# #...# .####" },
    { 'v', "..... ..... #...# #...# #...# .#.#. ..#.." },
    { 'w', "..... ..... #...# #.#.# #.#.# #.#.# .#.#." },
    { 'x', "..... ..... #...# .#.#. ..#.. .#.#. #...#" },
    { 'y', "..... ..... #...# #...# #...# #...# .#### ....# .###." },
    { 'z', "..... ..... ##### ...#. ..#.. .#... #####" },
};

bool canvas_open(struct canvas *c, int width, int height)
{
    *c = (struct canvas){ .width = width, .height = height, .pixels = calloc((size_t)width * (size_t)height, 1) };
    return c->pixels != NULL;
}

void canvas_free(struct canvas *c)
{
    free(c->pixels);
    c->pixels = NULL;
}

struct canvas_color canvas_mix(struct canvas_color a, struct canvas_color b, double t)
{
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return (struct canvas_color){
        (uint8_t)lround(a.r + (b.r - a.r) * t),
        (uint8_t)lround(a.g + (b.g - a.g) * t),
        (uint8_t)lround(a.b + (b.b - a.b) * t),
    };
}

static int clamp(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

void canvas_fill(struct canvas *c, int x, int y, int width, int height, uint8_t color)
{
    int left = clamp(x, 0, c->width), right = clamp(x + width, left, c->width);
    int top = clamp(y, 0, c->height), bottom = clamp(y + height, top, c->height);

    for (int row = top; row < bottom; row++)
        memset(c->pixels + (size_t)row * (size_t)c->width + left, color, (size_t)(right - left));
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static const struct glyph *find_glyph(char character)
{
    for (size_t i = 1; i < sizeof font / sizeof *font; i++)
        if (font[i].character == character)
            return &font[i];
    return &font[0];
}

static int glyph_width(const struct glyph *g) { return (int)strcspn(g->rows, " "); }

int canvas_text_width(const char *text, int scale)
{
    int dots = 0;

    for (const char *p = text; *p; p++)
        dots += glyph_width(find_glyph(*p)) + 1;
    return dots ? (dots - 1) * scale : 0;
}

/* (x, y): upper left corner of the glyph before an upwards text is turned. */
static void draw_glyph(struct canvas *c, int x, int y, const struct canvas_style *s, const struct glyph *g)
{
    int column = 0, row = 0;

    for (const char *p = g->rows; *p; p++) {
        if (*p == '#' && s->upwards)
            canvas_fill(c, x + row * s->scale, y - (column + 1) * s->scale, s->scale, s->scale, s->color);
        else if (*p == '#')
            canvas_fill(c, x + column * s->scale, y + row * s->scale, s->scale, s->scale, s->color);
        column = *p == ' ' ? 0 : column + 1;
        row += *p == ' ';
    }
}

int canvas_text(struct canvas *c, int x, int y, const struct canvas_style *style, const char *text)
{
    int width = canvas_text_width(text, style->scale);
    int along = style->align == CANVAS_LEFT ? 0 : style->align == CANVAS_RIGHT ? -width : -(width / 2);

    for (const char *p = text; *p; p++) {
        const struct glyph *g = find_glyph(*p);
        if (style->upwards)
            draw_glyph(c, x, y - along, style, g);
        else
            draw_glyph(c, x + along, y, style, g);
        along += (glyph_width(g) + 1) * style->scale;
    }
    return width;
}

/* ---- file --------------------------------------------------------------------------------------------------------- */

bool canvas_write_png(const struct canvas *c, FILE *out)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)c->width,
        .height = (png_uint_32)c->height,
        .format = PNG_FORMAT_RGB_COLORMAP,
        .colormap_entries = 256,
    };

    errno = 0;
    return png_image_write_to_stdio(&image, out, 0, c->pixels, c->width, c->palette) && fflush(out) == 0;
}
