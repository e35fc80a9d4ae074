/* attn_map.c - see attn_map.h. Owns the file and what is collected; attn_draw.c makes the picture. */
#include "tools/draw/attn_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/process.h"
#include "tools/draw/attn_draw.h"
#include "tools/draw/canvas.h"

enum {
    MAX_GRID = 3840,  /* pixels that the panels of a row or column may take together, at least MIN_PANEL each */
    MAX_PITCH = 256,  /* of a panel and the gap beside it */
    MIN_PANEL = 8,
};

static struct attn_geometry panel_geometry(size_t n_rows, size_t n_columns, size_t n_blocks)
{
    size_t most = n_rows > n_columns ? n_rows : n_columns;
    int pitch = MAX_GRID / most < MAX_PITCH ? (int)(MAX_GRID / most) : MAX_PITCH, gap = pitch < 32 ? 2 : pitch / 16;
    int room = pitch - gap < MIN_PANEL ? MIN_PANEL : pitch - gap;
    struct attn_geometry g = { .cell_blocks = (int)((n_blocks + (size_t)room - 1) / (size_t)room) };

    g.cells = (int)((n_blocks + (size_t)g.cell_blocks - 1) / (size_t)g.cell_blocks);
    g.dot = g.cell_blocks > 1 ? 1 : room / g.cells;
    g.side = g.cells * g.dot;
    g.pitch = g.side + gap;
    g.text = room >= 96 ? 2 : 1;
    return g;
}

static int open_file(struct attn_map *map)
{
    int fd = open(map->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    map->created = fd >= 0;
    if (fd < 0 && errno == EEXIST)
        fd = open(map->path, O_WRONLY | O_CLOEXEC);
    map->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    return map->file ? PROCESS_OK : process_error("cannot write %s: %s", map->path, strerror(errno));
}

int attn_map_open(struct attn_map **out, const char *path, const struct attn_map_subject *subject)
{
    size_t rows = subject->model->n_layer, columns = subject->model->n_head;
    struct attn_map *map = calloc(1, sizeof *map);

    *out = NULL;
    if (!map)
        return process_error("%s: out of memory", path);
    map->about = *subject;
    map->path = path;
    map->n_blocks = (subject->n_tokens + subject->plan->block - 1) / subject->plan->block;
    map->n_panels = rows * columns;
    map->geo = panel_geometry(rows, columns, map->n_blocks);
    map->cell = calloc(map->n_panels * (size_t)map->geo.cells, (size_t)map->geo.cells * sizeof *map->cell);
    map->chosen = calloc(map->n_panels, sizeof *map->chosen);
    map->causal = calloc(map->n_panels, sizeof *map->causal);
    int status = map->cell && map->chosen && map->causal ? open_file(map) : process_error("%s: out of memory", path);
    if (status == PROCESS_OK)
        *out = map;
    else
        attn_map_close(map);
    return status;
}

void attn_map_close(struct attn_map *map)
{
    if (!map)
        return;
    if (map->file)
        fclose(map->file);
    if (map->created && !map->written)
        unlink(map->path);
    free(map->cell);
    free(map->chosen);
    free(map->causal);
    free(map);
}

void attn_map_collect(void *user, const struct prism_attention_mask *mask)
{
    struct attn_map *map = user;
    size_t per_cell = (size_t)map->geo.cell_blocks;

    for (size_t h = 0; h < mask->n_head; h++) {
        size_t panel = (size_t)mask->layer * mask->n_head + h;
        for (size_t r = 0; r < mask->n_rows; r++) {
            size_t u = mask->first_block + r;
            const uint64_t *row = mask->bits + (h * mask->n_rows + r) * mask->n_words;
            uint32_t *cells = map->cell + (panel * (size_t)map->geo.cells + u / per_cell) * (size_t)map->geo.cells;
            map->causal[panel] += u + 1;
            for (size_t w = 0; w < mask->n_words; w++)
                for (uint64_t bits = row[w]; bits; bits &= bits - 1, map->chosen[panel]++)
                    cells[(w * 64 + (size_t)__builtin_ctzll(bits)) / per_cell]++;
        }
    }
}

int attn_map_write(struct attn_map *map)
{
    struct canvas canvas;
    size_t n_selected = 0;
    int status = PROCESS_OK;

    for (size_t l = 0; l < map->about.model->n_layer; l++)
        n_selected += !attn_draw_is_dense(map, l);
    if (!n_selected) {
        process_warning("%s: nothing to draw: attention was dense", map->path);
        return PROCESS_OK;
    }
    if (!attn_draw(map, &canvas))
        return process_error("%s: out of memory", map->path);
    /* EINVAL: a device or a pipe cannot be cut and need not be. */
    if (ftruncate(fileno(map->file), 0) < 0 && errno != EINVAL)
        status = process_error("cannot write %s: %s", map->path, strerror(errno));
    else if (!canvas_write_png(&canvas, map->file))
        status = process_error("cannot write %s: %s", map->path, errno ? strerror(errno) : "libpng failed");
    map->written = status == PROCESS_OK;
    canvas_free(&canvas);
    return status;
}
