/* attn_draw.h - how attn_map.c hands what it collected to attn_draw.c. For these two files only. */
#ifndef PRISM_TOOLS_ATTN_DRAW_H
#define PRISM_TOOLS_ATTN_DRAW_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/draw/attn_map.h"
#include "tools/draw/canvas.h"

/* A panel has cells x cells cells. A cell is dot x dot pixels and stands for cell_blocks x cell_blocks blocks; dot or cell_blocks is 1. */
struct attn_geometry {
    int cells, cell_blocks, dot, side, pitch;
    int text; /* pixels per dot of the font */
};

struct attn_map {
    struct attn_map_subject about;
    const char *path;
    FILE *file;
    bool created, written;
    size_t n_blocks, n_panels; /* blocks of the prompt; panel = layer * n_head + head */
    struct attn_geometry geo;
    uint32_t *cell;            /* [n_panels][cells][cells]: chosen blocks */
    uint64_t *chosen, *causal; /* [n_panels]: blocks; causal 0: the panel was not selected */
};

bool attn_draw_is_dense(const struct attn_map *map, size_t layer);

/* Opens the canvas and draws at least one layer that is not dense. false: no memory. */
bool attn_draw(const struct attn_map *map, struct canvas *canvas);

#endif
