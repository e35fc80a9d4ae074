/* sketch.c - sketched queries against sketched keys, the definition: see struct prism_sketch_scan. */
#include <assert.h>

#include "arch/generic/generic.h"
#include "arch/generic/sketch_scan.h"

static void best_products(int32_t best[PRISM_SKETCH_ROWS], const struct sketch_part part[SKETCH_PARTS], size_t block, size_t n)
{
    assert(n % 16 == 0 && n > 0 && block % 32 == 0);
    for (size_t row = 0; row < PRISM_SKETCH_ROWS; row++) {
        const struct sketch_part *p = &part[row / SKETCH_PART];
        size_t i = row % SKETCH_PART;
        best[row] = INT32_MIN;
        for (size_t j = 0; j < block && j <= p->seen + i; j++) {
            int32_t sum = 0;
            for (size_t c = 0; c < n; c++)
                sum += p->q[(c / 4 * PRISM_SKETCH_ROWS + i) * 4 + c % 4] * p->keys[(c / 4 * block + j) * 4 + c % 4];
            best[row] = sum > best[row] ? sum : best[row];
        }
    }
}

static void mean_products(int32_t out[BATCH][MAX_TILES * PRISM_SKETCH_ROWS], const struct prism_sketch_scan *s, size_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t row = 0; row < s->n_tiles * PRISM_SKETCH_ROWS; row++) {
            const int8_t *q = s->tiles[row / PRISM_SKETCH_ROWS].q;
            const uint8_t *mean = s->means + (v - i) * s->mean_bytes;
            out[i][row] = 0;
            for (size_t c = 0; c < s->rank; c++)
                out[i][row] += q[(c / 4 * PRISM_SKETCH_ROWS + row % PRISM_SKETCH_ROWS) * 4 + c % 4] * mean[c];
        }
}

void prism_sketch_pack_generic(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_generic(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_generic(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
