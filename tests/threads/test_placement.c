/* Placement on machines that are not at hand: saved hwloc topologies, and the cores that threads shall get, as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sched.h>

#include "src/threads/placement.h"

static const struct placement_case {
    const char *machine; /* tests/threads/data/<machine>.xml */
    double quota_cpus;
    uint32_t n_cores, n_default;
    const char *processors; /* of threads 0, 1, ... */
    const char *why;
} cases[] = {
    { "desktop-8c16t", 0, 8, 8, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1", "8 cores of two threads, siblings i and i + 8" },
    { "desktop-8c16t", 1.5, 8, 2, "0 1 2", "a container's quota, rounded up" },
    { "desktop-8c16t", 0.25, 8, 1, "0", "never less than one thread" },
    { "desktop-8c16t", 2, 8, 2, "0 1", "a whole quota is not rounded" },
    { "desktop-8c16t", 32, 8, 8, "0 1", "a quota above the machine" },
    { "hybrid-4p4e", 0, 8, 8, "0 2 4 6 8 9 10 11 1 3 5 7 0", "4 fast cores of two threads, 4 slow ones of one" },
    { "biglittle-4l4b", 0, 8, 8, "4 5 6 7 0 1 2 3 4", "Arm: slow cores have the low numbers, fast ones go first" },
    { "biglittle-4l4b", 3, 8, 3, "4 5 6", "a quota's threads go to fast cores" },
    { "sockets-2x4c8t-cpuset", 0, 5, 5, "9 2 3 5 15 10 9", "cpuset 2 3 5 9 10 15: siblings i and i + 8" },
    { "vm-6", 0, 6, 6, "0 1 2 3 4 5 0", "a virtual machine that reports processors without cores" },
};

static void saved_machines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct placement_case *c = &cases[i];
        struct prism_placement p;
        struct prism_error err = { 0 };
        char path[128], got[256] = "";

        snprintf(path, sizeof path, "tests/threads/data/%s.xml", c->machine);
        if (prism_placement_read(path, c->quota_cpus, &p, &err) != PRISM_OK)
            fail_msg("%s: %s", c->machine, err.text);
        for (int thread = 0; strlen(got) < strlen(c->processors); thread++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d", thread ? " " : "", p.core[thread]);
        if (strcmp(got, c->processors) != 0 || p.n_cores != c->n_cores || p.n_default != c->n_default)
            fail_msg("%s, quota %g (%s): %u cores, default %u, threads on %s; expected %u, %u, %s", c->machine,
                     c->quota_cpus, c->why, p.n_cores, p.n_default, got, c->n_cores, c->n_default, c->processors);
    }
}

static void unreadable_machine(void **state)
{
    (void)state;
    struct prism_placement p;
    struct prism_error err = { 0 };

    assert_int_equal(prism_placement_read("tests/threads/data/absent.xml", 0, &p, &err), PRISM_E_IO);
    assert_non_null(strstr(err.text, "absent.xml"));
    assert_int_equal(prism_placement_read("Makefile", 0, &p, NULL), PRISM_E_IO);
}

static void this_machine(void **state)
{
    (void)state;
    struct prism_placement p;
    cpu_set_t mask;

    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    assert_int_equal(prism_placement_read(NULL, 0, &p, NULL), PRISM_OK);
    assert_in_range(p.n_cores, 1, CPU_COUNT(&mask));
    assert_in_range(p.n_default, 1, p.n_cores);
    for (uint32_t i = 0; i < p.n_cores; i++) {
        assert_true(CPU_ISSET(p.core[i], &mask));
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(p.core[i], p.core[j]);
    }
}

/* Unlike a cpuset, an affinity mask leaves the machine whole in hwloc's eyes. */
static void mask_through_the_middle_of_cores(void **state)
{
    (void)state;
    hwloc_topology_t topology;
    hwloc_bitmap_t allowed;
    struct prism_placement p;

    assert_int_equal(prism_topology_open("tests/threads/data/desktop-8c16t.xml", NULL, &topology, &allowed, NULL), PRISM_OK);
    assert_int_equal(hwloc_bitmap_weight(allowed), 16);
    hwloc_bitmap_list_sscanf(allowed, "2,9-10"); /* core 1 by its second thread only, core 2 by both */
    assert_int_equal(prism_placement_choose(topology, allowed, 0, &p, NULL), PRISM_OK);
    assert_int_equal(p.n_cores, 2);
    assert_int_equal(p.core[0], 9);
    assert_int_equal(p.core[1], 2);
    assert_int_equal(p.core[2], 10);
    hwloc_bitmap_zero(allowed);
    assert_int_equal(prism_placement_choose(topology, allowed, 0, &p, NULL), PRISM_E_IO);
    hwloc_bitmap_free(allowed);
    hwloc_topology_destroy(topology);
}

/* taskset and job schedulers set an affinity mask. */
static void affinity_mask(void **state)
{
    (void)state;
    struct prism_placement p;
    cpu_set_t before, one;

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &before))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    enum prism_status status = prism_placement_read(NULL, 0, &p, NULL);
    sched_setaffinity(0, sizeof before, &before);
    assert_int_equal(status, PRISM_OK);
    assert_int_equal(p.n_cores, 1);
    assert_int_equal(p.n_default, 1);
    assert_int_equal(p.core[0], last);
    assert_int_equal(p.core[PRISM_MAX_THREADS - 1], last);
}

/* Without hwloc the kernel tells the same cores, in the order of their numbers. */
static void without_hwloc(void **state)
{
    (void)state;
    struct prism_placement hwloc, plain;
    struct prism_cpus process, none;

    prism_cpus_of_process(&process);
    assert_int_equal(prism_placement_read(NULL, 1e9, &hwloc, NULL), PRISM_OK);
    assert_int_equal(prism_placement_plain(&process, 0, &plain, NULL), PRISM_OK);
    assert_int_equal(plain.n_cores, hwloc.n_cores);
    assert_int_equal(plain.n_default, hwloc.n_cores);
    assert_int_equal(plain.n_processors, hwloc.n_processors);
    for (uint32_t i = 1; i < plain.n_cores; i++)
        assert_true(plain.core[i - 1] < plain.core[i]);
    assert_int_equal(prism_placement_plain(&process, 0.5, &plain, NULL), PRISM_OK);
    assert_int_equal(plain.n_default, 1);

    struct prism_cpus far = prism_cpus_only(PRISM_MAX_CPUS - 1); /* not there: the kernel tells nothing of it */
    assert_int_equal(prism_cpus_rank(&far, PRISM_MAX_CPUS - 1), -1);
    assert_int_equal(prism_placement_plain(&far, 0, &plain, NULL), PRISM_OK);
    assert_int_equal(plain.n_default, 1);
    assert_int_equal(plain.core[0], PRISM_MAX_CPUS - 1);

    memset(&none, 0, sizeof none); /* masks that cannot be read */
    assert_int_equal(prism_placement_plain(&none, 0, &plain, NULL), PRISM_OK);
    assert_int_equal(plain.n_default, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_machines),
        cmocka_unit_test(unreadable_machine),
        cmocka_unit_test(this_machine),
        cmocka_unit_test(mask_through_the_middle_of_cores),
        cmocka_unit_test(affinity_mask),
        cmocka_unit_test(without_hwloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
