/* rope.c - rotary frequencies: plain (Su et al. 2021), linear interpolation (Chen et al. 2023), YaRN (Peng et al. 2023), and divisors
 * per pair from the file (llama 3.1, longrope). All in double; positions multiply them at run time. */
#include "src/model/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rotations over the original context at which YaRN changes over: above 32 a pair keeps its frequency, below 1 it is interpolated. */
#define BETA_FAST 32.0
#define BETA_SLOW 1.0

static bool is_yarn(const struct prism_rope_params *p) { return strcmp(p->scaling, "yarn") == 0; }

/* The (fractional) dimension whose pair turns `beta` times over the original context. */
static double correction_dim(const struct prism_rope_params *p, double beta)
{
    return p->n_rot * log(p->orig_ctx / (beta * 2 * M_PI)) / (2 * log(p->base));
}

void prism_rope_frequencies(const struct prism_rope_params *p, const float *div, double *freq)
{
    bool yarn = is_yarn(p);
    double lo = 0, hi = 0;
    if (yarn) {
        lo = fmax(0, floor(correction_dim(p, p->beta_fast > 0 ? p->beta_fast : BETA_FAST)));
        hi = fmin(p->n_rot - 1, ceil(correction_dim(p, p->beta_slow > 0 ? p->beta_slow : BETA_SLOW)));
    }
    for (uint32_t i = 0; i < p->n_rot / 2; i++) {
        double extrapolated = pow(p->base, -2.0 * i / p->n_rot) / (div ? div[i] : 1);
        double interpolated = extrapolated / p->factor;
        double ramp = yarn ? 1 - fmin(1, fmax(0, (i - lo) / fmax(0.001, hi - lo))) : 0;
        freq[i] = interpolated * (1 - ramp) + extrapolated * ramp;
    }
}

double prism_rope_magnitude(const struct prism_rope_params *p)
{
    double f = is_yarn(p) && p->factor > 1 ? 0.1 * log(p->factor) : 0;
    double stretch = p->log_multiplier != 0 ? (1 + f) / (1 + p->log_multiplier * f) : 1 + f;
    return stretch * p->attn_factor;
}

static void check_divisors(struct prism_builder *b, const char *name, const float *div, uint32_t n)
{
    for (uint32_t i = 0; div && !b->status && i < n; i++)
        if (!(div[i] > 0) || isinf(div[i]))
            b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: tensor %s: value %u: expected a finite number above 0, found %g", b->shown, name,
                                   i, (double)div[i]);
}

/* A pair turns at most by one radian per token, more only by odd factors and divisors. */
#define MAX_FREQUENCY 1e4
#define LEAST_TURN 1e-6 /* radians over the longest context */

static void check_derived(struct prism_builder *b, const struct prism_rope *r)
{
    for (uint32_t i = 0; !b->status && i < r->n_rot / 2; i++)
        for (int k = 0; k < 2; k++) {
            const double *f = k == 0 ? r->freq : r->freq_short;
            if (f && !(f[i] >= 0 && f[i] <= MAX_FREQUENCY))
                b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: rotation of pair %u: expected 0..%g radians per token, found %g", b->shown, i,
                                       MAX_FREQUENCY, f[i]);
        }
    if (!b->status && !(r->mag > 0 && isfinite(r->mag)))
        b->status = prism_fail(b->err, PRISM_E_FORMAT, "%s: rotation: expected a finite magnitude, found %g", b->shown, (double)r->mag);
}

static void set_up(struct prism_builder *b, const struct prism_rope_params *p, struct prism_rope *r)
{
    bool longrope = strcmp(p->scaling, "longrope") == 0;

    check_divisors(b, longrope ? "rope_factors_long.weight" : "rope_freqs.weight", p->divisors, p->n_rot / 2);
    check_divisors(b, "rope_factors_short.weight", p->divisors_short, p->n_rot / 2);
    if (b->status)
        return;
    r->n_rot = p->n_rot, r->interleaved = p->interleaved;
    r->freq = calloc(p->n_rot / 2, sizeof *r->freq);
    r->freq_short = longrope ? calloc(p->n_rot / 2, sizeof *r->freq_short) : NULL;
    if (!r->freq || (longrope && !r->freq_short)) {
        b->status = prism_fail(b->err, PRISM_E_NOMEM, "%s: out of memory", b->shown);
        return;
    }
    prism_rope_frequencies(p, p->divisors, r->freq);
    if (longrope)
        prism_rope_frequencies(p, p->divisors_short, r->freq_short);
    r->mag = (float)prism_rope_magnitude(p);
    while (r->n_turning < p->n_rot && r->freq[r->n_turning / 2] * PRISM_MAX_CONTEXT > LEAST_TURN)
        r->n_turning += 2;
    check_derived(b, r);
}

void prism_rope_setup(struct prism_builder *b)
{
    for (uint32_t i = 0; i < b->m->n_ropes; i++)
        set_up(b, &b->ropes[i], &b->m->ropes[i]);
    b->m->rope_orig_ctx = b->ropes[0].orig_ctx;
}
