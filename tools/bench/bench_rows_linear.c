/* bench_rows_linear.c - rows of `prism-bench kernels`: products with packed weights, packing, whole linear layers, and products with the
 * weights as they are stored. */
#include "src/engine/linear.h"
#include "tools/bench/bench_rows.h"

static size_t panels(size_t n, unsigned width) { return (n + width - 1) / width; }

/* m rows of k floats at x to panels at y. */
static void pack_a(const struct prism_linear *l, char *y, const float *x, size_t m, size_t k)
{
    for (size_t i = 0; i < m; i += l->mr)
        l->pack_a(y + i / l->mr * l->a_bytes(k), x + i * k, k, m - i < l->mr ? m - i : l->mr, k);
}

/* n stored rows at w to panels at y. */
static void pack_w(const struct prism_linear *l, char *y, const char *w, enum prism_type type, size_t n, size_t k)
{
    size_t row_bytes = prism_row_bytes(type, k);

    for (size_t i = 0; i < n; i += l->nr)
        l->pack_w(y + i / l->nr * l->w_bytes(k), w + i * row_bytes, row_bytes, type, n - i < l->nr ? n - i : l->nr, k);
}

/* ---- kinds ---- */

static bool set_kind(struct bench_job *j, const struct prism_linear *l)
{
    j->l = l;
    j->kind = l->name;
    return true;
}

/* As the engine chooses them: --compute f32, --compute auto, and auto where a product asks for finer activations or stands beside weights of few
 * bits. Only levels with a kind for that have such a row; generic then multiplies as it always does, for comparison. */
static bool kind_f32(struct bench_job *j) { return set_kind(j, j->k->linear_f32); }
static bool kind_auto(struct bench_job *j) { return set_kind(j, j->k->linear_auto[j->row->type]); }

static bool kind_where_any(struct bench_job *j, const struct prism_linear *kind)
{
    return kind ? set_kind(j, kind) : j->k->level == PRISM_LEVEL_GENERIC && kind_auto(j);
}

static bool kind_finer(struct bench_job *j) { return kind_where_any(j, j->k->linear_finer[j->row->type]); }
static bool kind_beside_few(struct bench_job *j) { return kind_where_any(j, j->k->linear_beside_few[j->row->type]); }

/* ---- packing ---- */

static void run_pack_a(struct bench_job *j) { pack_a(j->l, j->y, j->x, j->row->m, j->row->k); }
static void run_pack_w(struct bench_job *j) { pack_w(j->l, j->panels, j->w, j->row->type, j->row->n, j->row->k); }

/* Counted are the values as floats, whatever they are stored in and packed to: rates of two levels compare as their times do. */
static bool make_pack_a(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    kind_auto(j);
    j->x = bench_floats(j, r->m * r->k);
    j->y = bench_take(j, panels(r->m, j->l->mr) * j->l->a_bytes(r->k));
    j->work = (double)(r->m * r->k) * sizeof(float);
    return true;
}

static bool make_pack_w(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    kind_auto(j);
    j->w = bench_weights(j, r->type, r->n, r->k);
    j->panels = bench_take(j, panels(r->n, j->l->nr) * j->l->w_bytes(r->k));
    j->work = (double)(r->n * r->k) * sizeof(float);
    return true;
}

/* ---- products of panels ---- */

static void run_gemm(struct bench_job *j) { j->l->gemm(&j->gemm); }

/* Operands of a product whose weight panels hold `cols` columns at a time. */
static void make_product(struct bench_job *j, size_t cols)
{
    const struct bench_row *r = j->row;

    j->x = bench_floats(j, r->m * r->k);
    j->y = bench_take(j, panels(r->m, j->l->mr) * j->l->a_bytes(r->k));
    j->w = bench_weights(j, r->type, r->n, r->k);
    j->panels = bench_take(j, panels(cols, j->l->nr) * j->l->w_bytes(r->k));
    j->gemm = (struct prism_gemm_args){ .c = bench_floats(j, r->m * r->n), .ldc = r->n, .a = j->y, .w = j->panels, .rows = r->m,
                                        .cols = cols, .k = r->k };
    j->work = 2.0 * (double)r->m * (double)r->n * (double)r->k;
}

static bool make_gemm(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    make_product(j, r->n);
    pack_a(j->l, j->y, j->x, r->m, r->k);
    pack_w(j->l, j->panels, j->w, r->type, r->n, r->k);
    return true;
}

static bool make_linear_f32(struct bench_job *j) { return kind_f32(j) && make_gemm(j); }
static bool make_linear_auto(struct bench_job *j) { return kind_auto(j) && make_gemm(j); }
static bool make_linear_finer(struct bench_job *j) { return kind_finer(j) && make_gemm(j); }

/* ---- whole linear layers: floats and stored weights in, floats out ---- */

/* As the engine does it: a piece of columns is packed, and multiplied with all rows while it is in the second-level cache. */
static void run_layer(struct bench_job *j)
{
    const struct bench_row *r = j->row;
    const size_t row_bytes = prism_row_bytes(r->type, r->k);
    struct prism_gemm_args g = j->gemm;
    double begun = bench_seconds();

    pack_a(j->l, j->y, j->x, r->m, r->k);
    double now = bench_seconds();
    j->pack_a_seconds += now - begun;
    for (size_t col = 0; col < r->n; col += g.cols) {
        double before = now;
        g.cols = r->n - col < j->gemm.cols ? r->n - col : j->gemm.cols;
        g.c = j->gemm.c + col;
        pack_w(j->l, j->panels, (char *)j->w + col * row_bytes, r->type, g.cols, r->k);
        j->pack_w_seconds += bench_seconds() - before;
        j->l->gemm(&g);
        now = bench_seconds();
    }
    j->all_seconds += now - begun;
}

static bool make_layer(struct bench_job *j)
{
    make_product(j, prism_piece_cols(j->l, j->row->k));
    return true;
}

static bool make_layer_auto(struct bench_job *j) { return kind_auto(j) && make_layer(j); }
static bool make_layer_finer(struct bench_job *j) { return kind_finer(j) && make_layer(j); }
static bool make_layer_beside_few(struct bench_job *j) { return kind_beside_few(j) && make_layer(j); }

/* ---- weights as they are stored ---- */

/* As many columns as a job of the engine has (src/engine/packed.c), the next ones every time. */
static void run_gemv(struct bench_job *j)
{
    const struct bench_row *r = j->row;
    const size_t row_bytes = prism_row_bytes(r->type, r->k);
    const char *w = bench_walk_next(j->walk, r->n * row_bytes);

    if (j->g)
        j->g->gemv(j->y, r->n, j->x, r->m, w, row_bytes, r->type, r->n, r->k);
    else
        j->k->gemv(j->y, r->n, j->x, r->k, r->m, w, row_bytes, r->type, r->n, r->k);
}

static void run_pack_x(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    for (size_t i = 0; i < r->m; i++)
        j->g->pack_x((char *)j->y + i * j->g->x_bytes(r->k), (float *)j->x + i * r->k, r->k);
}

static bool make_gemv(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    bench_walk_fill(j->walk, r->type);
    j->x = bench_floats(j, r->m * r->k);
    j->y = bench_take(j, r->m * r->n * sizeof(float));
    j->work = (double)(r->n * prism_row_bytes(r->type, r->k));
    return true;
}

static bool make_pack_x(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    if (!(j->g = j->k->gemv_auto[r->type]))
        return false;
    j->kind = j->g->name;
    j->x = bench_floats(j, r->m * r->k);
    j->y = bench_take(j, r->m * j->g->x_bytes(r->k));
    j->work = (double)(r->m * r->k) * sizeof(float);
    return true;
}

/* Only levels that have it; generic as it does it, for comparison. */
static bool make_gemv_auto(struct bench_job *j)
{
    if (make_pack_x(j)) {
        run_pack_x(j);
        j->x = j->y;
        j->y = bench_take(j, j->row->m * j->row->n * sizeof(float));
        bench_walk_fill(j->walk, j->row->type);
        j->work = (double)(j->row->n * prism_row_bytes(j->row->type, j->row->k));
        return true;
    }
    return j->k->level == PRISM_LEVEL_GENERIC && make_gemv(j);
}

static void run_to_f32(struct bench_job *j) { j->k->to_f32[j->row->type](j->y, j->w, j->row->n); }

static bool make_to_f32(struct bench_job *j)
{
    const struct bench_row *r = j->row;

    j->w = bench_weights(j, r->type, 1, r->n);
    j->y = bench_take(j, r->n * sizeof(float));
    j->work = (double)r->n * sizeof(float);
    return true;
}

/* ---- the rows ---- */

const struct bench_row bench_linear_rows[] = {
    { "linear_f32", make_linear_f32, run_gemm, BENCH_BY_MULTIPLYING, PRISM_F16, 192, 192, 1024 },
    { "linear_f32", make_linear_f32, run_gemm, BENCH_BY_MULTIPLYING, PRISM_F16, 192, 192, 4096 },
    { "linear_auto", make_linear_auto, run_gemm, BENCH_BY_MULTIPLYING, PRISM_F16, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, run_gemm, BENCH_BY_MULTIPLYING, PRISM_Q8_0, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, run_gemm, BENCH_BY_MULTIPLYING, PRISM_Q4_0, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, run_gemm, BENCH_BY_MULTIPLYING, PRISM_Q4_K, 192, 192, 1024 },
    { "linear_auto", make_linear_auto, run_gemm, BENCH_BY_MULTIPLYING, PRISM_Q6_K, 192, 192, 1024 },
    { "linear_finer", make_linear_finer, run_gemm, BENCH_BY_MULTIPLYING, PRISM_Q8_0, 192, 192, 1024 },
    { "linear_finer", make_linear_finer, run_gemm, BENCH_BY_MULTIPLYING, PRISM_Q6_K, 192, 192, 1024 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_F16, 512, 3072, 1024 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_F16, 512, 1024, 3072 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q8_0, 512, 3072, 1024 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q8_0, 512, 1024, 3072 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q4_0, 512, 3072, 1024 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q4_0, 512, 1024, 3072 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q4_K, 512, 3072, 1024 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q4_K, 512, 1024, 3072 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_IQ2_XXS, 512, 3072, 1024 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_IQ2_S, 512, 3072, 1024 },
    { "linear_layer", make_layer_auto, run_layer, BENCH_BY_MULTIPLYING, PRISM_IQ3_S, 512, 3072, 1024 },
    { "linear_layer_finer", make_layer_finer, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q8_0, 512, 1024, 3072 },
    { "linear_layer_finer", make_layer_finer, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q6_K, 512, 1024, 3072 },
    { "linear_layer_few", make_layer_beside_few, run_layer, BENCH_BY_MULTIPLYING, PRISM_Q6_K, 512, 1024, 3072 },
    { "pack_a", make_pack_a, run_pack_a, BENCH_BY_OTHER, PRISM_F16, 192, 0, 1024 },
    { "pack_a", make_pack_a, run_pack_a, BENCH_BY_OTHER, PRISM_Q8_0, 192, 0, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_F16, 0, 128, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_Q8_0, 0, 128, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_Q4_0, 0, 128, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_Q4_K, 0, 128, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_Q6_K, 0, 128, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_IQ2_XXS, 0, 128, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_IQ2_S, 0, 128, 1024 },
    { "pack_w", make_pack_w, run_pack_w, BENCH_BY_OTHER, PRISM_IQ3_S, 0, 128, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_F16, 1, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_F16, 2, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_F16, 4, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_F16, 8, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 1, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 2, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 4, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 8, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 1, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 2, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 4, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 8, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 1, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 2, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 4, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 8, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 1, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 2, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 4, 64, 1024 },
    { "gemv", make_gemv, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 8, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 1, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 2, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 4, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q8_0, 8, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 1, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 2, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 4, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_0, 8, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 1, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 2, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 4, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q4_K, 8, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 1, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 2, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 4, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_Q6_K, 8, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_IQ2_XXS, 1, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_IQ2_S, 1, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_IQ3_S, 1, 64, 1024 },
    { "gemv_auto", make_gemv_auto, run_gemv, BENCH_BY_MEMORY, PRISM_IQ1_S, 1, 64, 1024 },
    { "gemv_pack_x", make_pack_x, run_pack_x, BENCH_BY_OTHER, PRISM_Q8_0, 8, 0, 1024 },
    { "to_f32", make_to_f32, run_to_f32, BENCH_BY_OTHER, PRISM_F16, 0, 4096, 0 },
    { "to_f32", make_to_f32, run_to_f32, BENCH_BY_OTHER, PRISM_Q8_0, 0, 4096, 0 },
    { "to_f32", make_to_f32, run_to_f32, BENCH_BY_OTHER, PRISM_Q4_0, 0, 4096, 0 },
    { "to_f32", make_to_f32, run_to_f32, BENCH_BY_OTHER, PRISM_Q4_K, 0, 4096, 0 },
    { "to_f32", make_to_f32, run_to_f32, BENCH_BY_OTHER, PRISM_Q6_K, 0, 4096, 0 },
    { 0 },
};
