/* affinity.c - what the kernel says about processors: who may use which, which share a core; and which ones bound teams took. */
#include "src/threads/placement.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct prism_cpus prism_cpus_only(int cpu)
{
    struct prism_cpus c;

    memset(&c, 0, sizeof c);
    CPU_SET_S((size_t)cpu, sizeof c.set, c.set);
    return c;
}

/* Union of the processors of libgomp's places, if that runtime is in the process (it is looked for, not loaded) and the mask is
 * its first place: it then bound the thread there before main began, whatever the process might use. Otherwise nothing. */
static void openmp_places(const struct prism_cpus *first_thread, struct prism_cpus *out)
{
    void *gomp = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD);
    int (*n_places)(void), (*n_procs)(int), *ids = gomp ? malloc(PRISM_MAX_CPUS * sizeof *ids) : NULL;
    void (*proc_ids)(int, int *);

    memset(out, 0, sizeof *out);
    if (!gomp)
        return;
    *(void **)&n_places = dlsym(gomp, "omp_get_num_places");
    *(void **)&n_procs = dlsym(gomp, "omp_get_place_num_procs");
    *(void **)&proc_ids = dlsym(gomp, "omp_get_place_proc_ids");
    bool known = ids && n_places && n_procs && proc_ids;
    for (int p = 0; known && p < n_places(); p++) {
        int n = n_procs(p);
        if (n < 1 || n > PRISM_MAX_CPUS)
            continue;
        proc_ids(p, ids);
        for (int i = 0; i < n; i++)
            CPU_SET_S((size_t)ids[i], sizeof out->set, out->set);
        if (p == 0 && !CPU_EQUAL_S(sizeof out->set, out->set, first_thread->set)) {
            memset(out, 0, sizeof *out);
            break;
        }
    }
    free(ids);
    dlclose(gomp);
}

/* Only those of the set that there are and that the control group allows: tried on this thread, whose mask is put back. */
static void keep_possible(struct prism_cpus *c)
{
    struct prism_cpus mine;

    if (sched_getaffinity(0, sizeof mine.set, mine.set) || sched_setaffinity(0, sizeof c->set, c->set) ||
        sched_getaffinity(0, sizeof c->set, c->set))
        memset(c, 0, sizeof *c);
    else
        sched_setaffinity(0, sizeof mine.set, mine.set);
}

void prism_cpus_of_process(struct prism_cpus *out)
{
    struct prism_cpus one, places;
    DIR *tasks = opendir("/proc/self/task");

    memset(out, 0, sizeof *out);
    if (sched_getaffinity(0, sizeof one.set, one.set) == 0)
        *out = one;
    for (struct dirent *d; tasks && (d = readdir(tasks));) {
        int tid = atoi(d->d_name); /* 0 for "." and "..": this thread once more; a thread that has just ended is skipped */
        if (sched_getaffinity(tid, sizeof one.set, one.set) == 0)
            CPU_OR_S(sizeof out->set, out->set, out->set, one.set);
    }
    if (tasks)
        closedir(tasks);
    if (sched_getaffinity(getpid(), sizeof one.set, one.set))
        return;
    openmp_places(&one, &places);
    if (CPU_COUNT_S(sizeof places.set, places.set) == 0)
        return;
    keep_possible(&places);
    CPU_OR_S(sizeof out->set, out->set, out->set, places.set);
}

int prism_cpus_rank(const struct prism_cpus *c, int cpu)
{
    char path[96];
    int from, to, rank = 0;
    bool found = false;

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    while (fscanf(f, "%d", &from) == 1) { /* "0,16" or "0-1" */
        to = from;
        if (fscanf(f, "-%d", &to) < 0)
            to = from; /* the end of the file */
        for (int i = from; i <= to && i <= cpu; i++) {
            found |= i == cpu;
            rank += i < cpu && prism_cpus_has(c, i);
        }
        if (fgetc(f) != ',')
            break;
    }
    fclose(f);
    return found ? rank : -1;
}

/* ---- processors in use ---- */

/* How many threads of bound teams each processor has. No lock: one that another thread holds during a fork would stay locked in
 * the child. */
static _Atomic uint16_t uses[PRISM_MAX_CPUS];

static int least_used(const struct prism_placement *p)
{
    int best = p->core[0];

    for (uint32_t i = 1; i < p->n_processors; i++)
        if (uses[p->core[i]] < uses[best])
            best = p->core[i];
    return best;
}

void prism_places_take(const struct prism_placement *p, uint32_t n, int *place)
{
    for (uint32_t i = 0; i < n; i++) {
        uint16_t seen;
        do { /* again when another thread took it in between */
            place[i] = least_used(p);
            seen = uses[place[i]];
        } while (!atomic_compare_exchange_strong(&uses[place[i]], &seen, (uint16_t)(seen + 1)));
    }
}

void prism_places_return(const int *place, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        uses[place[i]]--;
}
