/* attn_map.h - a picture of the key blocks that a selector chose while a prompt was prefilled: one panel for each layer (down) and
 * head (across), query blocks down, key blocks across.
 *
 * Masks are summed into the cells of the picture as they come, so memory depends on the picture and not on the prompt. Blocks that
 * outnumber the pixels are averaged. Messages go through process.h. Not thread-safe. */
#ifndef PRISM_TOOLS_ATTN_MAP_H
#define PRISM_TOOLS_ATTN_MAP_H

#include <stddef.h>

#include "prism/prism.h"
#include "tools/common/attention.h"

struct attn_map;

/* What the picture is about. One prefill of n_tokens into an empty context. Copied; what it points to must outlive the map. */
struct attn_map_subject {
    const struct prism_model_info *model;
    const struct prism_plan *plan;
    const struct attention_options *attention;
    size_t n_tokens;
};

/* Opens `path` for writing, so that a path that does not work is known before the prefill; what the file holds stays until
 * attn_map_write. PROCESS_ERROR after one line, *out is then NULL. */
int attn_map_open(struct attn_map **out, const char *path, const struct attn_map_subject *subject);

/* A prism_mask_fn: user is the struct attn_map. */
void attn_map_collect(void *user, const struct prism_attention_mask *mask);

/* Writes the PNG file. When attention was dense everywhere there is nothing to draw: one line of warning, PROCESS_OK, and the file is
 * not touched. PROCESS_ERROR after one line. */
int attn_map_write(struct attn_map *map);

/* NULL is allowed. Removes the file if attn_map_open made it and nothing was drawn. */
void attn_map_close(struct attn_map *map);

#endif
