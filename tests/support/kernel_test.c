/* kernel_test.c - see kernel_test.h. */
#include "tests/support/kernel_test.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/generic/generic.h"

static bool guard_before;

void kt_levels(void (*check)(const struct prism_kernels *k))
{
    static bool told;

    for (int l = 0; l < PRISM_N_LEVELS; l++) {
        const struct prism_kernels *k = prism_kernels_by_level[l];
        if (k && !prism_level_runs_here((enum prism_level)l)) {
            if (!told)
                print_message("skipped: no %s\n", prism_level_label((enum prism_level)l));
            continue;
        }
        for (int before = 0; k && before < 2; before++) {
            guard_before = before;
            kt_seed(1);
            check(k);
            kt_release();
        }
    }
    told = true;
}

/* ---- guarded memory ---- */

enum { PATTERN = 0xff, MAX_BUFFERS = 64 };

static struct buffer {
    uint8_t *map, *p;      /* the mapping begins and ends with an inaccessible page */
    size_t map_bytes, bytes;
} buffers[MAX_BUFFERS];
static size_t n_buffers;

void *kt_alloc(size_t bytes, size_t align)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + align + page - 1) / page * page;

    assert_true(n_buffers < MAX_BUFFERS);
    struct buffer *b = &buffers[n_buffers++];
    b->map_bytes = inner + 2 * page;
    b->map = mmap(NULL, b->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(b->map != MAP_FAILED);
    memset(b->map, PATTERN, b->map_bytes);
    assert_int_equal(mprotect(b->map, page, PROT_NONE), 0);
    assert_int_equal(mprotect(b->map + page + inner, page, PROT_NONE), 0);
    b->bytes = bytes;
    b->p = guard_before ? b->map + page : b->map + page + (inner - bytes) / align * align;
    return b->p;
}

float *kt_floats(size_t n) { return kt_alloc(n * sizeof(float), _Alignof(float)); }

static struct buffer *find(const void *p)
{
    for (size_t i = 0; i < n_buffers; i++)
        if (buffers[i].p == p)
            return &buffers[i];
    fail_msg("not a guarded buffer");
    return NULL;
}

void kt_freeze(void *p)
{
    struct buffer *b = find(p);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(mprotect(b->map + page, b->map_bytes - 2 * page, PROT_READ), 0);
}

bool kt_untouched(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const uint8_t *)p)[i] != PATTERN)
            return false;
    return true;
}

void kt_release(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    bool intact = true;

    for (size_t i = 0; i < n_buffers; i++) {
        struct buffer *b = &buffers[i];
        const uint8_t *first = b->map + page, *end = b->map + b->map_bytes - page, *behind = b->p + b->bytes;
        intact = intact && kt_untouched(first, (size_t)(b->p - first)) && kt_untouched(behind, (size_t)(end - behind));
        munmap(b->map, b->map_bytes);
    }
    n_buffers = 0;
    kt_true(intact, "wrote outside a buffer");
}

/* ---- data ---- */

static uint32_t state = 1;

void kt_seed(uint32_t seed) { state = seed ? seed : 1; }

/* Marsaglia 2003, xorshift. */
uint32_t kt_random(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

double kt_uniform(double low, double high) { return low + (high - low) * (kt_random() >> 8) / 16777216.0; }

/* Irwin-Hall: the sum of four uniform numbers of 16 bits, scaled to variance 1; within +-3.47. */
static float normal(void)
{
    uint32_t a = kt_random(), b = kt_random();
    double sum = (double)(a & 0xffff) + (a >> 16) + (b & 0xffff) + (b >> 16);
    return (float)((sum / 65536 - 2) * sqrt(3.0));
}

static float any_bits(bool finite)
{
    float f;
    do {
        uint32_t u = kt_random() ^ kt_random() << 16;
        memcpy(&f, &u, sizeof f);
    } while (finite && !isfinite(f));
    return f;
}

static float hard(void)
{
    switch (kt_random() >> 16 & 15) {
    case 0: return 0.0f;
    case 1: return -0.0f;
    case 2: return (float)kt_uniform(-1, 1) * 0x1p-127f;
    case 3: return (float)copysign(1e30, kt_uniform(-1, 1));
    case 4: return (float)(pow(10, kt_uniform(-30, 30)) * kt_uniform(-1, 1));
    default: return normal();
    }
}

void kt_fill(float *x, size_t n, enum kt_values values)
{
    for (size_t i = 0; i < n; i++)
        x[i] = values == KT_NORMAL ? normal() : values == KT_HARD ? hard() : any_bits(values == KT_EXTREME);
}

const float kt_poison[KT_N_POISONS] = { NAN, INFINITY, -INFINITY, -NAN };

int kt_half_at(enum prism_type type, int number)
{
    return prism_types[type].block > 1 && prism_types[type].scale == PRISM_SCALE_HALF ? prism_types[type].scale_at[number] : -1;
}

void kt_put_nibbles(uint8_t *p, uint16_t half)
{
    for (int i = 0; i < 4; i++)
        p[2 * i + 1] = (uint8_t)((p[2 * i + 1] & 15) | (half >> 4 * i & 15) << 4);
}

void kt_fill_blocks(void *x, enum prism_type type, size_t n)
{
    uint8_t *b = x;
    size_t bytes = prism_types[type].bytes, n_blocks = n / prism_types[type].block;

    for (size_t i = 0; i < n_blocks; i++, b += bytes) {
        float f;
        kt_fill(&f, 1, KT_NORMAL);
        if (type == PRISM_F32) {
            memcpy(b, &f, 4);
        } else if (type == PRISM_F16 || type == PRISM_BF16) {
            uint16_t h;
            (type == PRISM_F16 ? prism_f32_to_f16_generic : prism_f32_to_bf16_generic)(&h, &f, 1);
            memcpy(b, &h, 2);
        } else {
            for (size_t j = 0; j < bytes; j++)
                b[j] = (uint8_t)(kt_random() >> 8);
            for (int j = 0; j < 2 && kt_half_at(type, j) >= 0; j++) { /* 1/128 .. 1/64 of either sign */
                uint16_t h = (uint16_t)((kt_random() & 0x83ff) | 0x2000);
                memcpy(b + kt_half_at(type, j), &h, 2);
            }
            uint8_t *scale = b + prism_types[type].scale_at[0];
            if (prism_types[type].scale == PRISM_SCALE_E8M0)
                scale[0] = (uint8_t)(122 + kt_random() % 8);
            else if (prism_types[type].scale == PRISM_SCALE_NIBBLES)
                kt_put_nibbles(scale, (uint16_t)((kt_random() & 0x83ff) | 0x2000));
            else if (prism_types[type].scale == PRISM_SCALE_E4M3)
                for (int g = 0; g < 4; g++)
                    scale[g] &= 0x3f; /* up to 2 */
        }
    }
}

/* ---- judgement ---- */

static char context[256];

void kt_store_kv(void *p, float *x, size_t n, enum prism_kv_format f)
{
    switch (f) {
    case PRISM_KVF_F16: prism_f32_to_f16_generic(p, x, n); break;
    case PRISM_KVF_BF16: prism_f32_to_bf16_generic(p, x, n); break;
    case PRISM_KVF_Q8_0: prism_f32_to_q8_0_generic(p, x, n); break;
    default: memcpy(p, x, n * sizeof *x);
    }
    prism_kernels_generic.to_f32[prism_kv_stored(f)](x, p, n);
}

void kt_context(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(context, sizeof context, format, ap);
    va_end(ap);
}

void kt_near(double got, double exact, double bound, size_t i, size_t j)
{
    if (!(fabs(got - exact) <= bound) || bound > DBL_MAX)
        fail_msg("%s: [%zu][%zu] is %.9g, exact %.9g, off by %.3g, bound %.3g", context, i, j, got, exact, fabs(got - exact), bound);
}

void kt_same_floats(const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(got + i, want + i, sizeof *got) && !(isnan(got[i]) && isnan(want[i])))
            fail_msg("%s: [%zu] is %a, expected %a", context, i, (double)got[i], (double)want[i]);
}

void kt_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            fail_msg("%s: [%zu] is %g, expected a number", context, i, (double)x[i]);
}

void kt_nonfinite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            fail_msg("%s: [%zu] is %a, expected NaN or infinity", context, i, (double)x[i]);
}

void kt_true(bool ok, const char *sentence)
{
    if (!ok)
        fail_msg("%s: %s", context, sentence);
}
