/* choice.c - see choice.h.
 *
 * Entries are counted into bins by their leading five bits. Going down, whole bins are kept while their sum stays below the threshold; only
 * the bin in which the threshold falls is ordered. */
#include "src/attention/choice.h"

#include <string.h>

enum { SUB_BITS = 4, N_BINS = (32 - SUB_BITS) << SUB_BITS };

/* Monotonic: p < q implies bin(p) <= bin(q). */
static unsigned bin_of(uint32_t p)
{
    unsigned top = p < 1u << SUB_BITS ? 0 : 31u - SUB_BITS - (unsigned)__builtin_clz(p) + 1;
    return top == 0 ? p : (top << SUB_BITS) + ((p >> (top - 1)) & ((1u << SUB_BITS) - 1));
}

size_t prism_choice_scratch(size_t n) { return N_BINS * sizeof(uint64_t) + n * sizeof(uint64_t); }

/* Larger p first, then the lower index: as one number, descending. */
static uint64_t order_key(uint32_t p, size_t index) { return (uint64_t)p << 32 | (uint32_t)~(uint32_t)index; }

static void sift_down(uint64_t *heap, size_t at, size_t n)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] > heap[child])
            child++;
        if (heap[at] >= heap[child])
            return;
        uint64_t t = heap[at];
        heap[at] = heap[child], heap[child] = t;
    }
}

uint64_t prism_choose_top_p(uint64_t *bits, const uint32_t *p, size_t n, uint64_t threshold, void *scratch)
{
    uint64_t *sum = scratch, *heap = sum + N_BINS, kept = 0;
    unsigned bin = N_BINS;
    size_t n_heap = 0;

    memset(sum, 0, N_BINS * sizeof *sum);
    for (size_t i = 0; i < n; i++)
        sum[bin_of(p[i])] += p[i];
    while (bin > 1 && kept + sum[bin - 1] < threshold)
        kept += sum[--bin];
    /* Bins from `bin` up are kept whole; the next lower one is taken in order (with bin == 1 that is the entries of probability 0). */
    for (size_t i = 0; i < n; i++) {
        unsigned b = bin_of(p[i]);
        if (b >= bin)
            bits[i / 64] |= UINT64_C(1) << i % 64;
        else if (b + 1 == bin)
            heap[n_heap++] = order_key(p[i], i);
    }
    for (size_t i = n_heap / 2; i-- > 0;)
        sift_down(heap, i, n_heap);
    while (n_heap > 0 && kept < threshold) {
        size_t i = (uint32_t)~(uint32_t)heap[0];
        bits[i / 64] |= UINT64_C(1) << i % 64;
        kept += heap[0] >> 32;
        heap[0] = heap[--n_heap];
        sift_down(heap, 0, n_heap);
    }
    return kept;
}
