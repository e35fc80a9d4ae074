/* sketch.c - sketched queries against sketched keys, the definition: see struct prism_sketch_scan. */
#include <assert.h>

#include "arch/generic/generic.h"

static void best_products(int32_t *best, const struct prism_sketch_tile *t, const struct prism_sketch_scan *s, const uint8_t *keys, size_t n,
                          size_t seen)
{
    assert(n % 16 == 0 && n > 0 && s->block % 32 == 0);
    for (size_t i = 0; i < PRISM_SKETCH_ROWS; i++) {
        best[i] = INT32_MIN;
        for (size_t j = 0; j < s->block && j <= seen + i; j++) {
            int32_t sum = 0;
            for (size_t c = 0; c < n; c++)
                sum += t->q[(c / 4 * PRISM_SKETCH_ROWS + i) * 4 + c % 4] * keys[(c / 4 * s->block + j) * 4 + c % 4];
            best[i] = sum > best[i] ? sum : best[i];
        }
    }
}

#include "arch/generic/sketch_scan.h"

void prism_sketch_pack_generic(const struct prism_sketch_rows *r) { pack(r); }
void prism_sketch_scan_generic(const struct prism_sketch_scan *s, size_t v, size_t n, size_t seen, bool whole) { scan(s, v, n, seen, whole); }
void prism_sketch_needed_generic(const struct prism_sketch_scan *s, size_t n, uint64_t *bits) { needed(s, n, bits); }
