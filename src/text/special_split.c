/* special_split.c - where special tokens occur in a text: one automaton over their texts (Aho and Corasick 1975), in time proportional to the
 * text whatever the tokens are, but for a logarithm.
 *
 * The rule that all tokenizers of this kind share: the tokens are tried one after the other, longest first, then by id; each is cut out of the
 * plain text that is left, leftmost occurrence first. That is: of all occurrences, in the order of falling length, rising id and position,
 * each is taken that overlaps none before it. Where several tokens end at one byte only the longest needs to be known at first: when that one
 * reaches back into a token that was taken, the longest one that fits behind it is next. Each taken token of n bytes makes this happen at most
 * n times, since what it gets in the way of is not longer than itself. */
#include "src/text/internal.h"

#include <stdlib.h>
#include <string.h>

/* One beginning of a token. Children lie side by side, in the order of their bytes; 0 is the root, and stands for none. */
struct node {
    uint32_t first_child, n_children;
    uint32_t len;   /* bytes from the root */
    uint32_t fail;  /* the longest beginning that is an end of this one */
    uint32_t match; /* the longest token that is an end of this one, itself included */
    uint32_t up;    /* the same, shorter than itself */
    uint32_t jump;  /* some steps further up (Myers 1983), for searches in a logarithm of steps */
    uint32_t rank;  /* steps up to the root */
    int32_t token;  /* -1: only a beginning */
    uint8_t byte;
};

struct prism_matcher {
    struct node *nodes;
    uint32_t n_nodes;
    uint32_t start[256]; /* children of the root by byte */
};

/* A file of a gigabyte of special tokens is no vocabulary. */
#define MAX_NODES (1u << 24)

/* ---- building ---- */

struct range {
    uint32_t lo, hi; /* of the ids in the order of their texts */
};

struct builder {
    const struct prism_vocab *v;
    const int32_t *ids;
    struct prism_matcher *m;
    struct range *ranges; /* per node */
    uint64_t steps;       /* not looked at here */
};

static uint64_t count_nodes(const struct prism_vocab *v, const int32_t *ids, uint32_t n)
{
    uint64_t nodes = 1;
    for (uint32_t i = 0; i < n; i++) {
        struct prism_str t = v->text[ids[i]], before = i ? v->text[ids[i - 1]] : (struct prism_str){ t.p, 0 };
        size_t same = 0;
        while (same < t.n && same < before.n && t.p[same] == before.p[same])
            same++;
        nodes += t.n - same;
    }
    return nodes;
}

static uint32_t child(const struct prism_matcher *m, uint32_t node, uint8_t byte)
{
    uint32_t lo = m->nodes[node].first_child, hi = lo + m->nodes[node].n_children;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->nodes[mid].byte == byte)
            return mid;
        if (m->nodes[mid].byte < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

/* The longest beginning that ends with `byte` after what `node` stands for. */
static uint32_t step(const struct prism_matcher *m, uint32_t node, uint8_t byte, uint64_t *steps)
{
    for (;; node = m->nodes[node].fail) {
        ++*steps;
        if (node == 0)
            return m->start[byte];
        uint32_t c = child(m, node, byte);
        if (c)
            return c;
    }
}

/* What hangs on shorter beginnings, which are complete. */
static void link_up(struct node *nodes, uint32_t i)
{
    struct node *n = &nodes[i];
    n->up = nodes[n->fail].match;
    n->match = n->token >= 0 ? i : n->up;
    const struct node *u = &nodes[n->up];
    n->rank = u->rank + 1;
    n->jump = u->rank - nodes[u->jump].rank == nodes[u->jump].rank - nodes[nodes[u->jump].jump].rank ? nodes[u->jump].jump : n->up;
}

/* Completes node i and adds its children. Nodes come by length. */
static void expand(struct builder *b, uint32_t i)
{
    struct prism_matcher *m = b->m;
    struct range r = b->ranges[i];
    uint32_t depth = m->nodes[i].len;

    if (i > 0) {
        if (b->v->text[b->ids[r.lo]].n == depth) /* a text that ends here sorts before those that go on */
            m->nodes[i].token = b->ids[r.lo++];
        link_up(m->nodes, i);
    }
    m->nodes[i].first_child = m->n_nodes;
    while (r.lo < r.hi) {
        uint8_t byte = (uint8_t)b->v->text[b->ids[r.lo]].p[depth];
        uint32_t lo = r.lo, hi = r.hi; /* the first text with a larger byte lies in (lo, hi] */
        while (hi - lo > 1) {
            uint32_t mid = lo + (hi - lo) / 2;
            if ((uint8_t)b->v->text[b->ids[mid]].p[depth] == byte)
                lo = mid;
            else
                hi = mid;
        }
        uint32_t c = m->n_nodes++;
        m->nodes[c] = (struct node){ .len = depth + 1, .byte = byte, .token = -1 };
        m->nodes[c].fail = i ? step(m, m->nodes[i].fail, byte, &b->steps) : 0;
        b->ranges[c] = (struct range){ r.lo, hi };
        if (i == 0)
            m->start[byte] = c;
        r.lo = hi;
    }
    m->nodes[i].n_children = m->n_nodes - m->nodes[i].first_child;
}

/* ids: n tokens in the byte order of their texts. */
enum prism_status prism_matcher_build(const struct prism_vocab *v, const int32_t *ids, uint32_t n, struct prism_matcher **out,
                                      struct prism_error *err)
{
    uint64_t n_nodes = count_nodes(v, ids, n);
    if (n_nodes > MAX_NODES)
        return prism_fail(err, PRISM_E_UNSUPPORTED, "tokenizer: expected special tokens of at most %u bytes in all, found %llu", MAX_NODES - 1,
                          (unsigned long long)(n_nodes - 1));
    struct prism_matcher *m = *out = calloc(1, sizeof *m);
    struct builder b = { .v = v, .ids = ids, .m = m, .ranges = malloc((size_t)n_nodes * sizeof *b.ranges) };
    if (m)
        m->nodes = malloc((size_t)n_nodes * sizeof *m->nodes);
    if (!m || !m->nodes || !b.ranges) {
        free(b.ranges);
        return prism_fail(err, PRISM_E_NOMEM, "tokenizer: no memory for %u special tokens", n);
    }
    m->nodes[0] = (struct node){ .token = -1 };
    m->n_nodes = 1;
    b.ranges[0] = (struct range){ 0, n };
    for (uint32_t i = 0; i < m->n_nodes; i++)
        expand(&b, i);
    free(b.ranges);
    return PRISM_OK;
}

void prism_matcher_free(struct prism_matcher *m)
{
    if (m)
        free(m->nodes);
    free(m);
}

/* ---- occurrences ---- */

/* A token that ends at a byte of the text. Lower keys are taken first. */
struct occurrence {
    uint64_t key; /* ~len << 32 | id */
    uint32_t end, node;
    const struct prism_matcher *m;
};

/* Growing arrays of one call. */
struct split {
    const struct prism_vocab *v;
    const char *text;
    const bool *user; /* NULL: none */
    size_t len;
    struct occurrence *heap;
    struct prism_fragment *taken;
    size_t n_heap, cap_heap, n_taken, cap_taken;
    uint32_t *until; /* per byte of text: where the taken token (or stripped space) that it belongs to ends; 0: plain */
    uint64_t steps;
};

/* Room for one more element. */
static bool grow(void **array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t wider = *cap ? 2 * *cap : 16;
    void *moved = realloc(*array, wider * size);
    if (!moved)
        return false;
    *array = moved;
    *cap = wider;
    return true;
}

static bool before(const struct occurrence *a, const struct occurrence *b) { return a->key != b->key ? a->key < b->key : a->end < b->end; }

static bool push(struct split *s, const struct prism_matcher *m, uint32_t node, uint32_t end)
{
    const struct node *n = &m->nodes[node];
    struct occurrence o = { (uint64_t)~n->len << 32 | (uint32_t)n->token, end, node, m };
    if (!grow((void **)&s->heap, s->n_heap, &s->cap_heap, sizeof *s->heap))
        return false;
    size_t i = s->n_heap++;
    for (; i && before(&o, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = o;
    return true;
}

static struct occurrence pop(struct split *s)
{
    struct occurrence top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0, c;
    while ((c = 2 * i + 1) < s->n_heap) {
        c += c + 1 < s->n_heap && before(&s->heap[c + 1], &s->heap[c]);
        if (!before(&s->heap[c], &last))
            break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = last;
    return top;
}

/* From token `node` up to the longest one of at most `room` bytes that is an end of it; 0: none. */
static uint32_t shorten(struct split *s, const struct node *nodes, uint32_t node, size_t room)
{
    for (; nodes[node].len > room; s->steps++)
        node = nodes[nodes[node].jump].len > room ? nodes[node].jump : nodes[node].up;
    return node;
}

/* The longest token at every byte where one ends. apart: only on bytes that no user wrote. */
static bool find_all(struct split *s, const struct prism_matcher *m, bool apart)
{
    uint32_t node = 0;
    size_t room = 0; /* bytes up to here that no user wrote */
    for (size_t i = 0; i < s->len; i++) {
        node = step(m, node, (uint8_t)s->text[i], &s->steps);
        room = s->user && s->user[i] ? 0 : room + 1;
        uint32_t match = m->nodes[node].match;
        if (match && apart)
            match = shorten(s, m->nodes, match, room);
        if (match && !push(s, m, match, (uint32_t)i + 1))
            return false;
    }
    return true;
}

/* A control token that is shown, on a byte that a user wrote. */
static bool is_forged(const struct split *s, const struct node *n, uint32_t end)
{
    bool shown = false;
    for (size_t i = 0; i < sizeof s->v->shown / sizeof *s->v->shown; i++)
        shown |= n->token == s->v->shown[i];
    return shown && s->user && memchr(s->user + end - n->len, true, n->len);
}

/* As isspace of C. */
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool strips_right(const struct prism_vocab *v, int32_t id)
{
    static const char *const kept[] = { "<unk>", "<s>", "<|endoftext|>" };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (v->text[id].n == strlen(kept[i]) && !memcmp(v->text[id].p, kept[i], v->text[id].n))
            return false;
    return v->strip_right;
}

static bool take(struct split *s, struct occurrence o)
{
    int32_t token = o.m->nodes[o.node].token;
    uint32_t len = o.m->nodes[o.node].len, start = o.end - len, end = o.end;
    if (!grow((void **)&s->taken, s->n_taken, &s->cap_taken, sizeof *s->taken))
        return false;
    s->taken[s->n_taken++] = (struct prism_fragment){ start, len, token };
    for (uint32_t i = start; i < o.end; i++)
        s->until[i] = o.end;
    if (strips_right(s->v, token))
        while (end < s->len && !s->until[end] && is_space(s->text[end]))
            end++;
    for (uint32_t i = o.end; i < end; i++)
        s->until[i] = end;
    return true;
}

static bool take_all(struct split *s)
{
    while (s->n_heap) {
        struct occurrence o = pop(s);
        const struct node *nodes = o.m->nodes;
        uint32_t node = o.node, start = o.end - nodes[node].len;
        s->steps++;
        if (s->until[o.end - 1])
            continue;
        if (!s->until[start] && is_forged(s, &nodes[node], o.end)) {
            if (nodes[node].up && !push(s, o.m, nodes[node].up, o.end))
                return false;
            continue;
        }
        if (!s->until[start]) {
            if (!take(s, o))
                return false;
            continue;
        }
        node = shorten(s, nodes, node, o.end - s->until[start]); /* what was taken is not shorter, so nothing lies between */
        if (node && !push(s, o.m, node, o.end))
            return false;
    }
    return true;
}

static int by_start(const void *a, const void *b)
{
    const struct prism_fragment *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* The taken tokens and the plain text between them. */
static bool lay_out(struct split *s, struct prism_fragment **out, size_t *n)
{
    size_t at = 0;
    struct prism_fragment *f = *out = malloc((2 * s->n_taken + 1) * sizeof *f);
    if (!f)
        return false;
    if (s->n_taken)
        qsort(s->taken, s->n_taken, sizeof *s->taken, by_start);
    *n = 0;
    for (size_t i = 0; i < s->n_taken; i++) {
        const struct prism_fragment *t = &s->taken[i];
        if (t->start > at)
            f[(*n)++] = (struct prism_fragment){ at, t->start - at, -1 };
        f[(*n)++] = *t;
        at = t->start + t->len;
        if (at < s->len && s->until[at] && (i + 1 == s->n_taken || at < s->taken[i + 1].start))
            at = s->until[at]; /* stripped space */
    }
    if (s->len > at)
        f[(*n)++] = (struct prism_fragment){ at, s->len - at, -1 };
    return true;
}

enum prism_status prism_special_split(const struct prism_vocab *v, const char *text, size_t len, bool parse, struct prism_fragment **out,
                                      size_t *n, struct prism_error *err)
{
    uint64_t steps;
    return prism_special_split_counted(v, text, NULL, len, parse, out, n, &steps, err);
}

enum prism_status prism_special_split_counted(const struct prism_vocab *v, const char *text, const bool *user, size_t len, bool parse,
                                              struct prism_fragment **out, size_t *n, uint64_t *steps, struct prism_error *err)
{
    struct split s = { .v = v, .text = text, .user = user, .len = len };
    bool ok = find_all(&s, v->matcher[parse], user != NULL);

    if (ok && user) /* found twice where no user wrote, which does no harm */
        ok = find_all(&s, v->matcher[0], false);
    *out = NULL;
    if (ok && s.n_heap)
        ok = (s.until = calloc(len, sizeof *s.until)) && take_all(&s);
    ok = ok && lay_out(&s, out, n);
    *steps = s.steps;
    free(s.heap);
    free(s.taken);
    free(s.until);
    return ok ? PRISM_OK : prism_fail(err, PRISM_E_NOMEM, "tokenizer: no memory to split %zu bytes of text", len);
}
