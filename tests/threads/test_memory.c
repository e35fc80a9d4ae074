/* test_memory.c - which pages would lie on which node of machines that are not at hand: made-up and saved topologies of 1, 2 and 4 nodes, the areas of a real
 * context, and a binder that writes down what it is asked for. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/arena.h"
#include "src/engine/context.h"
#include "src/threads/memory.h"
#include "src/threads/placement.h"
#include "tests/support/data.h"
#include "tests/support/engine_test.h"
#include "tests/support/thread_test.h"

enum { SPREAD = -2, NOTHING = -1 }; /* in place of a node */

/* Pages of the context's reservation, and what was said of other memory. */
struct record {
    uintptr_t base, page;
    size_t n_pages;
    int *node;         /* [n_pages] the last that was asked for */
    int *spread_over;  /* [n_pages] a bit for each node */
    const uint8_t *file;
    uint64_t file_bytes;
    size_t n_calls, n_reads;
    int read_over;
};

static int bits(const int *node, size_t n)
{
    int set = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || node[i] > node[i - 1]);
        set |= 1 << node[i];
    }
    return set;
}

static void note(struct record *r, const void *at, size_t bytes, int node, int over)
{
    uintptr_t from = (uintptr_t)at;

    r->n_calls++;
    assert_true(from % r->page == 0 && bytes % r->page == 0 && bytes > 0);
    assert_true(from >= r->base && from + bytes <= r->base + r->n_pages * r->page);
    for (size_t p = (from - r->base) / r->page; p < (from + bytes - r->base) / r->page; p++)
        r->node[p] = node, r->spread_over[p] = over;
}

static void note_spread(void *self, const void *at, size_t bytes, const int *node, size_t n) { note(self, at, bytes, SPREAD, bits(node, n)); }
static void note_bind(void *self, const void *at, size_t bytes, int node) { note(self, at, bytes, node, 0); }

static void note_read(void *self, const void *at, size_t bytes, const int *node, size_t n)
{
    struct record *r = self;

    r->n_calls++, r->n_reads++;
    r->read_over = bits(node, n);
    assert_true((uintptr_t)at % r->page == 0 && bytes % r->page == 0);
    assert_true((const uint8_t *)at <= r->file && (const uint8_t *)at + bytes >= r->file + r->file_bytes);
}

/* Nodes of the first n threads on a machine that hwloc makes up from the text, or on a saved one: the name of its file. */
static void read_nodes(const char *machine, int *node, uint32_t n)
{
    hwloc_topology_t t;
    struct prism_placement p;
    struct prism_error err;
    bool saved = strstr(machine, ".xml") != NULL;

    assert_int_equal(hwloc_topology_init(&t), 0);
    assert_int_equal(saved ? hwloc_topology_set_xml(t, machine) : hwloc_topology_set_synthetic(t, machine), 0);
    assert_int_equal(hwloc_topology_load(t), 0);
    char path[512];
    snprintf(path, sizeof path, "%s/machine.xml", test_tmp_dir());
    assert_true(saved || hwloc_topology_export_xml(t, path, 0) == 0);
    must(prism_placement_read(saved ? machine : path, 0, &p, &err), &err);
    for (uint32_t i = 0; i < n; i++) {
        hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(t, (unsigned)p.core[i]);
        node[i] = prism_placement_node(&p, p.core[i]);
        assert_int_equal(node[i], p.node[i]);
        if (!(node[i] >= 0 && hwloc_bitmap_isset(pu->nodeset, (unsigned)node[i]) && hwloc_bitmap_weight(pu->nodeset) == 1))
            fail_msg("%s: processor %d on node %d", machine, p.core[i], node[i]);
    }
    hwloc_topology_destroy(t);
}

static const struct machine {
    const char *machine;
    uint32_t n_threads;
    int nodes; /* that threads are on, a bit for each */
    const char *why;
} machines[] = {
    { "numa:1 core:8 pu:2", 8, 1, "one node" },
    { "numa:2 core:4 pu:2", 8, 3, "two nodes" },
    { "numa:2 core:8 pu:1", 8, 1, "two nodes, threads on the first alone" },
    { "numa:4 core:2 pu:1", 8, 15, "four nodes" },
    { "numa:4 core:2 pu:1", 5, 7, "four nodes, threads on three" },
    { "pack:2 numa:2 core:3 pu:1", 12, 15, "two packages of two nodes" },
    { "pack:1 l3:3 [numa] core:2 pu:2", 6, 7, "a node for each third-level cache" },
    { "pack:2 [numa] l3:2 core:2 pu:1", 8, 3, "a node for each package" },
    { "tests/threads/data/sockets-2x4c8t-cpuset.xml", 5, 3, "a saved machine of two nodes" },
    { "tests/threads/data/desktop-8c16t.xml", 8, 1, "a saved machine of one node" },
};

static void check(const struct machine *m, const prism_model *model)
{
    struct prism_context_params params = { .n_ctx = 300, .n_threads = m->n_threads };
    prism_context *c = make_context(model, &params);
    struct prism_memory_area *areas = malloc(prism_context_areas(c, NULL) * sizeof *areas);
    size_t n = prism_context_areas(c, areas), own = 0;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct record r = { .base = (uintptr_t)c->base, .page = page, .n_pages = (c->bytes + page - 1) / page };
    int node[PRISM_MAX_THREADS];

    r.node = malloc(r.n_pages * sizeof *r.node);
    r.spread_over = calloc(r.n_pages, sizeof *r.spread_over);
    for (size_t i = 0; i < r.n_pages; i++)
        r.node[i] = NOTHING;
    struct prism_span_of_file file = prism_gguf_part(model->gguf, 0);
    r.file = file.at, r.file_bytes = file.bytes;
    read_nodes(m->machine, node, m->n_threads);
    prism_memory_place(node, m->n_threads, areas, n, &(struct prism_memory_binder){ &r, note_spread, note_bind, note_read });

    bool several = (m->nodes & (m->nodes - 1)) != 0;
    if (!several && r.n_calls)
        fail_msg("%s: %zu calls", m->why, r.n_calls);
    assert_int_equal(r.n_reads, several ? 1 : 0);
    assert_int_equal(r.read_over, several ? m->nodes : 0);
    for (size_t p = 0; p < r.n_pages; p++) {
        uintptr_t from = r.base + p * page;
        int expected = several ? SPREAD : NOTHING;
        for (uint32_t t = 0; several && t < m->n_threads; t++) { /* pages that are a thread's as a whole */
            uintptr_t panels = (uintptr_t)prism_thread_panels(c, t), scratch = (uintptr_t)prism_thread_scratch(c, t);
            if ((from >= panels && from + page <= panels + c->w_panel_bytes) || (from >= scratch && from + page <= scratch + c->thread_bytes))
                expected = node[t], own++;
        }
        if (r.node[p] != expected || (expected == SPREAD && r.spread_over[p] != m->nodes))
            fail_msg("%s: page %zu of %zu on %d (%x), expected %d (%x)", m->why, p, r.n_pages, r.node[p], (unsigned)r.spread_over[p], expected, (unsigned)m->nodes);
    }
    assert_true(!several || own >= 2 * m->n_threads);
    free(r.node);
    free(r.spread_over);
    free(areas);
    prism_context_free(c);
}

static void pages_of_a_context(void **state)
{
    struct tiny_model t = tiny_llama();

    (void)state;
    t.n_embd = 256, t.n_head = 8, t.n_ff = 512;
    prism_model *model = load_tiny(&t, "memory.gguf");
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        check(&machines[i], model);
    prism_model_free(model);
}

/* A thread whose node is unknown, as without hwloc: nothing is done. Areas of less than a page: nothing of a thread's own. */
static void unknown_nodes(void **state)
{
    static const uint8_t bytes[64];
    const int some[] = { 0, 1, -1 }, known[] = { 1, 0, 1 };
    struct prism_memory_area a = { PRISM_MEMORY_OWN, bytes, sizeof bytes, 1 };
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct record r = { .base = (uintptr_t)bytes / page * page, .page = page, .n_pages = 2, .node = (int[2]){ 0 }, .spread_over = (int[2]){ 0 } };
    const struct prism_memory_binder binder = { &r, note_spread, note_bind, note_read };

    (void)state;
    prism_memory_place(known, 3, &a, 1, &binder);
    assert_int_equal(r.n_calls, 0);
    a.use = PRISM_MEMORY_SHARED;
    prism_memory_place(some, 3, &a, 1, &binder);
    assert_int_equal(r.n_calls, 0);
    prism_memory_place(known, 3, &a, 1, &binder);
    assert_int_equal(r.n_calls, 1);
    assert_int_equal(r.spread_over[0], 3);
}

static void teams(void **state)
{
    struct prism_team *bound = new_team(2, true), *loose = new_team(2, false);

    (void)state;
    assert_int_equal(prism_memory_nodes(loose), 1);
    assert_int_equal(prism_team_nodes(loose)[0], -1);
    assert_true(prism_memory_nodes(bound) >= 1);
    prism_team_free(bound);
    prism_team_free(loose);
}

/* What really happens, with nodes that there are not: the system refuses, and the memory is as before. */
static void refusals(void **state)
{
    const int node[] = { 0, 1000 };
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 8 * page;
    uint8_t *shared = prism_reserve(bytes, 0);
    char path[512];

    (void)state;
    snprintf(path, sizeof path, "%s/pages", test_tmp_dir());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && pwrite(fd, "text", 4, (off_t)page) == 4);
    uint8_t *file = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(shared && file != MAP_FAILED);
    memset(shared, 7, bytes);
    prism_memory_place(node, 2, (struct prism_memory_area[]){ { PRISM_MEMORY_SHARED, shared, bytes, 0 }, { PRISM_MEMORY_OWN, shared + page, page, 1 },
        { PRISM_MEMORY_OWN, shared + 2 * page, page, 0 }, { PRISM_MEMORY_FILE, file, bytes, 0 } }, 4, NULL);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(shared[i], 7);
    memset(shared, 8, bytes);
    assert_memory_equal(file + page, "text", 4);
    uint8_t *after = prism_reserve(bytes, 0); /* the thread's own way to get memory is what it was */
    memset(after, 9, bytes);
    prism_release(after, bytes);
    prism_release(shared, bytes);
    munmap(file, bytes);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_a_context),
        cmocka_unit_test(unknown_nodes),
        cmocka_unit_test(teams),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("threads/memory", tests, NULL, NULL);
}
