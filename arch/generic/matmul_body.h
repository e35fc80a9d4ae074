/* matmul_body.h - prism_matmul_fn in tiles of rows and vectors that stay in registers, for a level that defines before it is included:
 *
 *   vf, VF_LANES                  a vector of floats
 *   vf_load, vf_store             of VF_LANES floats at any address
 *   vf_load_n, vf_store_n         of the first n of them, 1 <= n < VF_LANES, zeros behind; nothing else is read or written
 *   vf_all(x)                     x in each lane
 *   vf_fma(a, b, c)               a * b + c, rounded once
 *   VF_ROWS, VF_VECTORS           of a tile: 6 rows, at most 4 vectors
 *
 * An element is one chain of FMAs in the order of p whichever tile it falls into. A row alone takes up to 8 vectors: its chains are too few for
 * the latency of an FMA otherwise. */

enum { VF_WIDE = 8 };

static inline __attribute__((always_inline)) void matmul_tile(const struct prism_matmul *m, size_t i, size_t j, const size_t rows,
                                                              const size_t vectors, const size_t tail)
{
    const float *a = m->a + i * m->a_row, *b = m->b + j;
    float *c = m->c + i * m->ldc + j;
    vf sum[VF_ROWS][VF_WIDE];

#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            sum[r][v] = !m->add ? vf_all(0) : tail ? vf_load_n(c + r * m->ldc + v * VF_LANES, tail) : vf_load(c + r * m->ldc + v * VF_LANES);
    for (size_t p = 0; p < m->k; p++, a += m->a_k, b += m->ldb) {
        vf w[VF_WIDE];
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            w[v] = tail ? vf_load_n(b + v * VF_LANES, tail) : vf_load(b + v * VF_LANES);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            const vf x = vf_all(a[r * m->a_row]);
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++)
                sum[r][v] = vf_fma(x, w[v], sum[r][v]);
        }
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++)
            if (tail)
                vf_store_n(c + r * m->ldc + v * VF_LANES, sum[r][v], tail);
            else
                vf_store(c + r * m->ldc + v * VF_LANES, sum[r][v]);
}

/* All rows of `vectors` columns of vectors. */
static inline __attribute__((always_inline)) void matmul_columns(const struct prism_matmul *m, size_t j, const size_t vectors, size_t tail)
{
    size_t i = 0;

    for (; i + VF_ROWS <= m->rows; i += VF_ROWS)
        matmul_tile(m, i, j, VF_ROWS, vectors, tail);
    switch (m->rows - i) {
    case 5: matmul_tile(m, i, j, 5, vectors, tail); break;
    case 4: matmul_tile(m, i, j, 4, vectors, tail); break;
    case 3: matmul_tile(m, i, j, 3, vectors, tail); break;
    case 2: matmul_tile(m, i, j, 2, vectors, tail); break;
    case 1: matmul_tile(m, i, j, 1, vectors, tail); break;
    default: break;
    }
}

static inline __attribute__((always_inline)) void matmul_body(const struct prism_matmul *m)
{
    size_t j = 0;

    for (; m->rows == 1 && j + VF_WIDE * VF_LANES <= m->cols; j += VF_WIDE * VF_LANES)
        matmul_tile(m, 0, j, 1, VF_WIDE, 0);
    for (; j + VF_VECTORS * VF_LANES <= m->cols; j += VF_VECTORS * VF_LANES)
        matmul_columns(m, j, VF_VECTORS, 0);
    for (; j + VF_LANES <= m->cols; j += VF_LANES)
        matmul_columns(m, j, 1, 0);
    if (j < m->cols)
        matmul_columns(m, j, 1, m->cols - j);
}
