/* merge.c - repeated merging of neighbours, the common core of both tokenizers. A binary heap of (priority, position) gives the
 * next merge; entries that a later merge has overtaken stay in the heap and are dropped when they come up. */
#include "src/text/internal.h"

#include <stdlib.h>

enum prism_status prism_encoder_reserve(struct prism_encoder *e, size_t n)
{
    if (n <= e->symbols_cap)
        return PRISM_OK;
    size_t cap = n < 256 ? 256 : n + n / 2;
    /* n - 1 pairs at first; each of at most n - 1 merges takes one entry and adds at most two. */
    struct prism_symbol *symbols = realloc(e->symbols, cap * sizeof *symbols);
    if (symbols)
        e->symbols = symbols;
    uint64_t *heap = realloc(e->heap, 2 * cap * sizeof *heap);
    if (heap)
        e->heap = heap;
    if (!symbols || !heap)
        return prism_fail(e->err, PRISM_E_NOMEM, "tokenizer: no memory for a piece of %zu symbols", n);
    e->symbols_cap = cap;
    return PRISM_OK;
}

void prism_encoder_emit(struct prism_encoder *e, int32_t token)
{
    if (e->n < e->cap)
        e->tokens[e->n] = token;
    e->n++;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t entry)
{
    size_t i = (*n)++;

    for (; i && heap[(i - 1) / 2] > entry; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = entry;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0], last = heap[--*n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < *n) {
        child += child + 1 < *n && heap[child + 1] < heap[child];
        if (heap[child] >= last)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

/* Looks up symbol left with its right neighbour and queues the merge, if there is one. */
static void queue_pair(struct prism_encoder *e, const char *text, uint32_t left, prism_pair_fn *pair, size_t *heap_n)
{
    struct prism_symbol *l = &e->symbols[left];

    l->priority = PRISM_NO_MERGE;
    if (l->next == PRISM_NO_SYMBOL)
        return;
    pair(e->v, text, l, &e->symbols[l->next]);
    if (l->priority != PRISM_NO_MERGE)
        heap_push(e->heap, heap_n, (uint64_t)l->priority << 32 | left);
}

void prism_merge(struct prism_encoder *e, const char *text, size_t n, prism_pair_fn *pair)
{
    struct prism_symbol *s = e->symbols;
    size_t heap_n = 0;

    for (uint32_t i = 0; i < n; i++) {
        s[i].prev = i ? i - 1 : PRISM_NO_SYMBOL;
        s[i].next = i + 1 < n ? i + 1 : PRISM_NO_SYMBOL;
    }
    for (uint32_t i = 0; i < n; i++)
        queue_pair(e, text, i, pair, &heap_n);

    while (heap_n) {
        uint64_t entry = heap_pop(e->heap, &heap_n);
        uint32_t left = (uint32_t)entry;
        /* An entry counts while it says what its symbol would do now; a symbol that was merged away never merges. */
        if (s[left].priority != entry >> 32)
            continue;
        uint32_t right = s[left].next;
        s[left].len += s[right].len;
        s[left].id = s[left].merged;
        s[left].next = s[right].next;
        s[right].priority = PRISM_NO_MERGE;
        if (s[left].next != PRISM_NO_SYMBOL)
            s[s[left].next].prev = left;
        queue_pair(e, text, left, pair, &heap_n);
        if (s[left].prev != PRISM_NO_SYMBOL)
            queue_pair(e, text, s[left].prev, pair, &heap_n);
    }
}
