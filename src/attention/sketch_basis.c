/* sketch_basis.c - see sketch.h: the coordinates of a kv head from a sample of the prompt. */
#include <math.h>
#include <string.h>

#include "src/attention/selectors.h"
#include "src/attention/sketch.h"
#include "src/base/size.h"

/* LAPACK: eigenvalues and eigenvectors of a symmetric matrix, by divide and conquer. It allocates nothing, and it prints and stops only when an
 * argument is out of its range, which none is here. */
extern void ssyevd_(const char *jobz, const char *uplo, const int *n, float *a, const int *lda, float *w, float *work, const int *lwork, int *iwork,
                    const int *liwork, int *info);

static const struct prism_linear *linear(const struct prism_select_call *c) { return c->kernels->linear_f32; }

static size_t group(const struct prism_select_call *c) { return c->n_head / c->n_head_kv; }

/* Every n-th token is in the sample. */
static size_t sample_step(size_t n) { return div_up(n, PRISM_SKETCH_SAMPLES); }

/* ---- products by the fp32 kernels ---- */

static size_t product_bytes(const struct prism_select_call *c, size_t rows, size_t k)
{
    return prism_carved(div_up(rows, linear(c)->mr), linear(c)->a_bytes(k)) + prism_carved(1, linear(c)->w_bytes(k));
}

/* y[rows][cols] = x[rows][k] . w[cols][k]^T; rows are ldx, ldw, ldy apart. */
static void product(const struct prism_select_call *c, float *y, size_t ldy, const float *x, size_t ldx, size_t rows, const float *w, size_t ldw,
                    size_t cols, size_t k, uint8_t *scratch)
{
    const struct prism_linear *f = linear(c);
    uint8_t *a = prism_carve(&scratch, div_up(rows, f->mr), f->a_bytes(k)), *panel = prism_carve(&scratch, 1, f->w_bytes(k));

    for (size_t r = 0; r < rows; r += f->mr)
        f->pack_a(a + r / f->mr * f->a_bytes(k), x + r * ldx, ldx, min_size(f->mr, rows - r), k);
    for (size_t j = 0; j < cols; j += f->nr) {
        size_t n = min_size(f->nr, cols - j);
        f->pack_w(panel, w + j * ldw, ldw * sizeof *w, PRISM_F32, n, k);
        f->gemm(&(struct prism_gemm_args){ .c = y + j, .ldc = ldy, .a = a, .w = panel, .rows = rows, .cols = n, .k = k });
    }
}

/* ---- the basis ---- */

/* x^T x / n of the n sampled rows that are the columns of t, [d][n]. */
static void covariance(const struct prism_select_call *c, float *out, const float *t, size_t n, uint8_t *scratch)
{
    product(c, out, c->d, t, n, c->d, t, n, c->d, n, scratch);
    for (size_t i = 0; i < c->d * c->d; i++)
        out[i] /= (float)n;
}

/* Samples become columns of t, [d][n], a few at a time: a column alone would touch d lines of memory. */
enum { AT_ONCE = 16 };
static void put_columns(float *t, size_t n, size_t first, size_t count, float x[][PRISM_MAX_HEAD_DIM], size_t d, float scale)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < count; j++)
            t[i * n + first + j] = x[j][i] * scale;
}

static size_t sample_keys(const struct prism_select_call *c, float *t, size_t kv_head)
{
    size_t step = sample_step(c->kv_len), n = div_up(c->kv_len, step);
    float x[AT_ONCE][PRISM_MAX_HEAD_DIM];

    for (size_t first = 0; first < n; first += AT_ONCE) {
        size_t count = min_size(AT_ONCE, n - first);
        for (size_t j = 0; j < count; j++)
            prism_sketch_load_keys(c, x[j], kv_head, (first + j) * step, 1);
        put_columns(t, n, first, count, x, c->d, 1);
    }
    return n;
}

/* The query heads of a group take turns. */
static size_t sample_queries(const struct prism_select_call *c, float *t, size_t kv_head)
{
    size_t step = sample_step(c->n_tokens), n = div_up(c->n_tokens, step);
    float x[AT_ONCE][PRISM_MAX_HEAD_DIM];

    for (size_t first = 0; first < n; first += AT_ONCE) {
        size_t count = min_size(AT_ONCE, n - first);
        for (size_t j = 0; j < count; j++) {
            size_t i = first + j;
            memcpy(x[j], c->q + (i * step * c->n_head + kv_head * group(c) + i % group(c)) * c->d, c->d * sizeof(float));
        }
        put_columns(t, n, first, count, x, c->d, c->scale);
    }
    return n;
}

/* a = L L^T, lower, in place; rows are d apart; the upper half becomes zero. A ridge keeps directions that no key has from blowing up. */
static bool cholesky(float *a, size_t d)
{
    double trace = 0;

    for (size_t i = 0; i < d; i++)
        trace += (double)a[i * d + i];
    if (!(trace > 0) || !isfinite(trace))
        return false;
    for (size_t i = 0; i < d; i++)
        a[i * d + i] += (float)(1e-4 * trace / (double)d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = (double)a[i * d + j];
            for (size_t k = 0; k < j; k++)
                sum -= (double)a[i * d + k] * (double)a[j * d + k];
            if (i == j && !(sum > 0))
                return false;
            a[i * d + j] = (float)(i == j ? sqrt(sum) : sum / (double)a[j * d + j]);
        }
    for (size_t i = 0; i < d; i++)
        memset(a + i * d + i + 1, 0, (d - i - 1) * sizeof *a);
    return true;
}

static void transpose(float *out, const float *in, size_t d)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            out[j * d + i] = in[i * d + j];
}

/* out = V^T L^-1, where rows of v are eigenvectors: solves x L = v row by row, from the last column. */
static void solve(float *out, const float *v, const float *lower, size_t n, size_t d)
{
    memcpy(out, v, n * d * sizeof *out);
    for (size_t r = 0; r < n; r++)
        for (size_t j = d; j-- > 0;) {
            float x = out[r * d + j] /= lower[j * d + j];
            for (size_t k = 0; k < j; k++)
                out[r * d + k] -= x * lower[j * d + k];
        }
}

/* The map as panels of weights, whose rows beyond those that are given are zero. */
static void put_map(const struct prism_select_call *c, uint8_t *maps, size_t kv_head, const float *rows, size_t n, uint8_t *scratch)
{
    const struct prism_linear *f = prism_sketch_kind(c->kernels, c->d);
    size_t bytes = prism_sketch_map_bytes(c->kernels, c->d), panel = f->w_bytes(c->d);
    uint16_t *part = prism_carve(&scratch, f->nr * c->d, sizeof *part);

    for (size_t at = 0; at < n; at += f->nr) {
        size_t count = min_size(f->nr, n - at);
        c->kernels->f32_to_bf16(part, rows + at * c->d, count * c->d);
        f->pack_w(maps + kv_head * bytes + at / f->nr * panel, part, c->d * sizeof *part, PRISM_BF16, count, c->d);
    }
}

/* Of coordinates of keys about the means of whole blocks, from some blocks at equal distances. x, y: [d][d]. */
enum { WITHIN_BLOCKS = 16 };
static void take_within(const struct prism_select_call *c, size_t kv_head, const float *map, size_t n, float *x, float *y, uint8_t *scratch)
{
    size_t have = c->kv_len / c->block, step = div_up(max_size(have, 1), WITHIN_BLOCKS), dim = prism_sketch_dim(c->d), taken = 0;
    float sum[PRISM_MAX_HEAD_DIM], *within = c->sketch->within + kv_head * dim;
    double total[PRISM_MAX_HEAD_DIM] = { 0 };

    for (size_t v = 0; v < have; v += step, taken++) {
        memset(sum, 0, sizeof sum);
        for (size_t first = 0; first < c->block; first += c->d) {
            size_t count = min_size(c->d, c->block - first);
            prism_sketch_load_keys(c, x, kv_head, v * c->block + first, count);
            product(c, y, n, x, c->d, count, map, c->d, n, c->d, scratch);
            for (size_t j = 0; j < count; j++)
                for (size_t i = 0; i < n; i++)
                    sum[i] += y[j * n + i], total[i] += (double)y[j * n + i] * (double)y[j * n + i];
        }
        for (size_t i = 0; i < n; i++)
            total[i] -= (double)sum[i] * (double)sum[i] / (double)c->block;
    }
    for (size_t i = 0; i < dim; i++)
        within[i] = i < n && taken ? fmaxf((float)(total[i] / (double)(taken * c->block)), 1e-3f) : 1;
}

enum { LWORK_PER = 6 };
static size_t lwork(size_t d) { return 1 + LWORK_PER * d + 2 * d * d; }
static size_t liwork(size_t d) { return 3 + 5 * d; }

/* Not that of this length: scratch planned for a long prompt is to hold the sample of a shorter one, which may be larger. */
static size_t most_samples(const struct prism_select_call *c) { return min_size(c->kv_len, PRISM_SKETCH_SAMPLES); }

size_t prism_sketch_basis_scratch(const struct prism_select_call *c)
{
    size_t n = max_size(most_samples(c), c->d), square = prism_carved(c->d * c->d, sizeof(float));
    return prism_carved(c->d * n, sizeof(float)) + 5 * square + prism_carved(lwork(c->d), sizeof(float)) +
           prism_carved(liwork(c->d), sizeof(int)) + prism_carved(c->d, sizeof(float)) +
           max_size(product_bytes(c, c->d, max_size(c->d, n)), prism_carved(prism_sketch_kind(c->kernels, c->d)->nr * c->d, sizeof(uint16_t)));
}

bool prism_sketch_basis(const struct prism_select_call *c, size_t kv_head, uint8_t *scratch)
{
    size_t d = c->d, n_samples = max_size(most_samples(c), d);
    float *t = prism_carve(&scratch, d * n_samples, sizeof *t), *lower = prism_carve(&scratch, d * d, sizeof *lower);
    float *upper = prism_carve(&scratch, d * d, sizeof *upper), *cq = prism_carve(&scratch, d * d, sizeof *cq);
    float *tmp = prism_carve(&scratch, d * d, sizeof *tmp), *v = prism_carve(&scratch, d * d, sizeof *v);
    float *work = prism_carve(&scratch, lwork(d), sizeof *work), *values = prism_carve(&scratch, d, sizeof *values);
    int *iwork = prism_carve(&scratch, liwork(d), sizeof *iwork), n = (int)d, lw = (int)lwork(d), liw = (int)liwork(d), info = 0;

    covariance(c, lower, t, sample_keys(c, t, kv_head), scratch);
    covariance(c, cq, t, sample_queries(c, t, kv_head), scratch);
    if (!cholesky(lower, d))
        return false;
    transpose(upper, lower, d);
    product(c, tmp, d, cq, d, d, upper, d, d, d, scratch); /* C_q L: rows of `upper` are columns of L */
    transpose(v, tmp, d);                                   /* (C_q L)^T */
    product(c, tmp, d, upper, d, d, v, d, d, d, scratch);   /* L^T C_q L */
    memcpy(v, tmp, d * d * sizeof *v);
    ssyevd_("V", "U", &n, v, &n, values, work, &lw, iwork, &liw, &info);
    if (info != 0 || !isfinite(values[0]) || !isfinite(values[d - 1]))
        return false;
    /* Rows of v are eigenvectors, the smallest value first: turned round. */
    for (size_t i = 0; i < d; i++)
        memcpy(tmp + i * d, v + (d - 1 - i) * d, d * sizeof *v);
    double left = 0;
    size_t r = d;
    while (r > 0 && left + fmax(0, (double)values[d - r]) <= PRISM_SKETCH_ERROR)
        left += fmax(0, (double)values[d - r]), r--;
    r = round_up(max_size(r, 1), PRISM_SKETCH_STEP);
    size_t n_map = min_size(r, d);
    solve(v, tmp, lower, n_map, d); /* V^T L^-1 */
    memset(v + n_map * d, 0, (d - n_map) * d * sizeof *v);
    take_within(c, kv_head, v, n_map, cq, t, scratch);
    put_map(c, c->sketch->k_map, kv_head, v, n_map, scratch);
    product(c, v, d, tmp, d, n_map, lower, d, d, d, scratch); /* V^T L^T: rows of L */
    for (size_t i = 0; i < n_map * d; i++)
        v[i] *= c->scale;
    put_map(c, c->sketch->q_map, kv_head, v, n_map, scratch);
    c->sketch->rank[kv_head] = (uint32_t)r;
    return true;
}
