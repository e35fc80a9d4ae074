/* peak.c - what all threads of a context reach together, see prism_peak_gops. */
#include <string.h>

#include "src/engine/context.h"

enum { STEPS = 100000, JOBS_PER_THREAD = 16, ROUNDS = 5 }; /* a job takes about 0.3 ms: the end of a round, when threads wait, is short */

struct peak_jobs {
    prism_peak_fn *run;
    double ops; /* of one job; the same for all */
};

static void peak_job(void *arg, size_t job, uint32_t thread)
{
    struct peak_jobs *j = arg;
    double ops = j->run(STEPS);

    (void)thread;
    if (job == 0)
        j->ops = ops;
}

double prism_peak_gops(prism_context *c, const char *type)
{
    size_t n_jobs = (size_t)JOBS_PER_THREAD * prism_team_size(c->team);
    struct peak_jobs j = { 0 };
    double best = 0;

    for (int i = 0; i < PRISM_N_PEAKS; i++)
        if (!strcmp(type, prism_peak_label((enum prism_peak_kind)i)))
            j.run = c->kernels->peak[i];
    for (int round = 0; j.run && round < ROUNDS; round++) {
        double start = prism_now_ms();
        prism_team_run(c->team, n_jobs, peak_job, &j);
        double rate = 1e-6 * j.ops * (double)n_jobs / (prism_now_ms() - start);
        best = rate > best ? rate : best;
    }
    return best;
}
