/* sample.c - one token from logits. The filters and their order are those of llama.cpp's default chain:
 * top-k, top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024), temperature, draw. */
#include <math.h>

#include "prism/prism.h"

struct candidate {
    float logit;
    int32_t id;
};
_Static_assert(sizeof(struct candidate) == 8, "prism.h promises 8 bytes per logit");

static int32_t greedy(const float *logits, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best] || isnan(logits[best]))
            best = i;
    return (int32_t)best;
}

/* Larger logit first, lower id on ties. */
static bool before(struct candidate a, struct candidate b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

static void sift_down(struct candidate *c, size_t n, size_t i)
{
    struct candidate moved = c[i];
    size_t child;

    for (; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && before(c[child + 1], c[child]);
        if (!before(c[child], moved))
            break;
        c[i] = c[child];
    }
    c[i] = moved;
}

/* From a heap: sorts the best to the front in falling order (which is a heap again), at least one, until there are k or their
 * weights exp(logit - largest) add up to mass. Returns how many. */
static size_t keep_best(struct candidate *c, size_t n, size_t k, double mass)
{
    size_t left = n;
    double sum = 0, max = c[0].logit;

    do {
        struct candidate best = c[0];
        c[0] = c[--left];
        sift_down(c, left, 0);
        c[left] = best;
        sum += exp((double)best.logit - max);
    } while (n - left < k && sum < mass);
    for (size_t i = 0, j = n - 1; i < j; i++, j--) {
        struct candidate swap = c[i];
        c[i] = c[j];
        c[j] = swap;
    }
    return n - left;
}

/* SplitMix64 (Steele, Lea, Flood 2014): 53 random bits as a double in [0, 1). */
static double next_uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

static double total_weight(const struct candidate *c, size_t n, double max, double temp)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp(((double)c[i].logit - max) / temp);
    return sum;
}

int32_t prism_sample(struct prism_sampling *s, const float *logits, size_t n_vocab, void *scratch)
{
    struct candidate *c = scratch;
    size_t n = n_vocab;

    if (!logits || n == 0 || (s->temp > 0 && !scratch))
        return -1;
    if (!(s->temp > 0))
        return greedy(logits, n_vocab);
    for (size_t i = 0; i < n; i++)
        c[i] = (struct candidate){isnan(logits[i]) ? -INFINITY : logits[i], (int32_t)i};
    for (size_t i = n / 2; i-- > 0;)
        sift_down(c, n, i);

    const double max = c[0].logit;
    if (!isfinite(max))
        return c[0].id;
    if (s->top_k > 0 && (size_t)s->top_k < n)
        n = keep_best(c, n, (size_t)s->top_k, INFINITY);
    if (s->top_p >= 0 && s->top_p < 1)
        n = keep_best(c, n, n, s->top_p * total_weight(c, n, max, 1));
    if (s->min_p > 0 && s->min_p <= 1) {
        const double floor_logit = max + log(s->min_p);
        size_t kept = 0;
        for (size_t i = 0; i < n; i++)
            if (c[i].logit >= floor_logit)
                c[kept++] = c[i];
        n = kept;
    }

    const double target = next_uniform(&s->state) * total_weight(c, n, max, s->temp);
    double sum = 0;
    size_t drawn = 0;
    for (size_t i = 0; i < n && sum <= target; i++) {
        double w = exp(((double)c[i].logit - max) / s->temp);
        sum += w;
        if (w > 0)
            drawn = i; /* should rounding leave the sum at the target: the last possible one */
    }
    return c[drawn].id;
}

double prism_log_prob(const float *logits, size_t n_vocab, int32_t token)
{
    double max = -INFINITY, sum = 0;

    if (!logits || token < 0 || (size_t)token >= n_vocab)
        return -INFINITY;
    for (size_t i = 0; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - max);
    return (double)logits[token] - max - log(sum);
}
