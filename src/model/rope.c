/* rope.c - rotary frequencies: plain (Su et al. 2021), linear interpolation (Chen et al. 2023), YaRN (Peng et al. 2023), and divisors
 * per pair from the file (llama 3.1, longrope). All in double; positions multiply them at run time. */
#include "src/model/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rotations over the original context at which YaRN changes over: above 32 a pair keeps its frequency, below 1 it is interpolated. */
#define BETA_FAST 32.0
#define BETA_SLOW 1.0

static bool is_yarn(const struct prism_hparams *hp) { return strcmp(hp->rope_scaling, "yarn") == 0; }

/* The (fractional) dimension whose pair turns `beta` times over the original context. */
static double correction_dim(const struct prism_hparams *hp, double beta)
{
    return hp->n_rot * log(hp->rope_orig_ctx / (beta * 2 * M_PI)) / (2 * log(hp->rope_base));
}

void prism_rope_frequencies(const struct prism_hparams *hp, const float *div, double *freq)
{
    bool yarn = is_yarn(hp);
    double lo = 0, hi = 0;
    if (yarn) {
        lo = fmax(0, floor(correction_dim(hp, BETA_FAST)));
        hi = fmin(hp->n_rot - 1, ceil(correction_dim(hp, BETA_SLOW)));
    }
    for (uint32_t i = 0; i < hp->n_rot / 2; i++) {
        double extrapolated = pow(hp->rope_base, -2.0 * i / hp->n_rot) / (div ? div[i] : 1);
        double interpolated = extrapolated / hp->rope_factor;
        double ramp = yarn ? 1 - fmin(1, fmax(0, (i - lo) / fmax(0.001, hi - lo))) : 0;
        freq[i] = interpolated * (1 - ramp) + extrapolated * ramp;
    }
}

double prism_rope_magnitude(const struct prism_hparams *hp)
{
    double stretch = is_yarn(hp) && hp->rope_factor > 1 ? 1 + 0.1 * log(hp->rope_factor) : 1;
    return stretch * hp->rope_attn_factor;
}

static enum prism_status check_divisors(const struct prism_model *m, const char *name, const float *div, struct prism_error *err)
{
    for (uint32_t i = 0; div && i < m->hp.n_rot / 2; i++)
        if (!(div[i] > 0) || isinf(div[i]))
            return prism_fail(err, PRISM_E_FORMAT, "%s: tensor %s: value %u: expected a finite number above 0, found %g",
                              m->gguf->path, name, i, (double)div[i]);
    return PRISM_OK;
}

/* A pair turns at most by one radian per token, more only by odd factors and divisors. */
#define MAX_FREQUENCY 1e4

static enum prism_status check_derived(const struct prism_model *m, struct prism_error *err)
{
    for (uint32_t i = 0; i < m->hp.n_rot / 2; i++)
        for (int k = 0; k < 2; k++) {
            const double *f = k == 0 ? m->rope_freq : m->rope_freq_short;
            if (f && !(f[i] >= 0 && f[i] <= MAX_FREQUENCY))
                return prism_fail(err, PRISM_E_FORMAT, "%s: rotation of pair %u: expected 0..%g radians per token, found %g",
                                  m->gguf->path, i, MAX_FREQUENCY, f[i]);
        }
    if (!(m->rope_mag > 0 && isfinite(m->rope_mag) && m->hp.attn_scale > 0 && isfinite(m->hp.attn_scale)))
        return prism_fail(err, PRISM_E_FORMAT, "%s: rotation: expected a finite magnitude and scale, found %g and %g", m->gguf->path,
                          (double)m->rope_mag, (double)m->hp.attn_scale);
    return PRISM_OK;
}

enum prism_status prism_rope_setup(struct prism_model *m, const struct prism_rope_divisors *div, struct prism_error *err)
{
    bool longrope = strcmp(m->hp.rope_scaling, "longrope") == 0;
    enum prism_status status;
    if ((status = check_divisors(m, "rope_freqs.weight", div->freqs, err)) ||
        (status = check_divisors(m, "rope_factors_long.weight", div->long_ctx, err)) ||
        (status = check_divisors(m, "rope_factors_short.weight", div->short_ctx, err)))
        return status;
    size_t n = m->hp.n_rot / 2;
    m->rope_freq = calloc(n, sizeof *m->rope_freq);
    m->rope_freq_short = longrope ? calloc(n, sizeof *m->rope_freq_short) : NULL;
    if (!m->rope_freq || (longrope && !m->rope_freq_short))
        return prism_fail(err, PRISM_E_NOMEM, "%s: out of memory", m->gguf->path);
    prism_rope_frequencies(&m->hp, longrope ? div->long_ctx : div->freqs, m->rope_freq);
    if (longrope)
        prism_rope_frequencies(&m->hp, div->short_ctx, m->rope_freq_short);
    m->rope_mag = (float)prism_rope_magnitude(&m->hp);
    return check_derived(m, err);
}
