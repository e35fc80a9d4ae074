/* gates.c - activations, alone and times a gated row. Contracts and errors: src/kernels.h.
 *
 * Sources: Hendrycks & Gimpel 2016, Gaussian Error Linear Units (arXiv 1606.08415), GELU, its tanh form, SiLU; So et al. 2021, Primer, the squared
 * ReLU; Shazeer 2020, GLU Variants Improve Transformer; OpenAI 2025, gpt-oss model card (arXiv 2508.10925), the clamped gate. */
#include <math.h>
#include <sleef.h>

#include "arch/generic/generic.h"

/* x times the logistic function of -z. exp(z) may overflow to infinity: x / inf is the limit, a zero with the sign of x. */
static float times_logistic(float x, float z) { return x / (1.0f + Sleef_expf_u10(z)); }

/* x, and NaN in the place of an infinity. */
static float finite_or_nan(float x) { return x * 0.0f + x; }

static float silu(float x) { return times_logistic(x, -x); }

/* 0.5 (1 + tanh(t / 2)) is the logistic function of t; -t = x (-sqrt(8/pi) - 0.044715 sqrt(8/pi) x^2). */
static float gelu(float x) { return times_logistic(x, x * (-1.59576912f - 0.0713548163f * (x * x))); }

/* With Q(t) = 0.5 erfc(t / sqrt 2), the upper tail of the normal distribution, 0.5 x erfc(-x / sqrt 2) = max(x, 0) - |x| Q(|x|), where nothing
 * cancels. Q(t) exp(t^2 / 2) = s P(s), s = 4 / (4 + t): P is a minimax polynomial of degree 9 for t = 0 .. 14.2 (Remez exchange, relative error
 * 1.0e-8 with these coefficients), past which exp(-t^2 / 2) is 0 in fp32. The largest part of the error is that of s, times 3.2 where t is small. */
static float gelu_erf(float x)
{
    static const float p[] = { 0.0997472405f, 0.0995046943f, 0.0954202935f,  0.0724227875f, 0.0854871571f,
                               0.0148023088f, 0.0260151587f, 0.0534068085f, -0.0635156482f, 0.0167092029f };
    const float t = fabsf(x), s = 4 / (4 + t);
    float sum = p[9];
    for (int i = 8; i >= 0; i--)
        sum = sum * s + p[i];
    return (x < 0 ? 0 : x) - t * Sleef_expf_u10(-0.5f * t * t) * (s * sum);
}

/* Comparisons with NaN are false. */
static float relu2(float x)
{
    const float y = finite_or_nan(x), z = y < 0 ? 0 : y;
    return z * z;
}

static float swiglu_clamped(float g, float u)
{
    g = finite_or_nan(g);
    u = finite_or_nan(u);
    g = g > 7 ? 7 : g;
    u = u > 7 ? 7 : u < -7 ? -7 : u;
    return times_logistic(g, -1.702f * g) * (u + 1);
}

static float sigmoid_gate(float g, float u) { return times_logistic(u, -finite_or_nan(g)); }

/* ---- rows ---- */

void prism_swiglu_f32_generic(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = silu(gate[i]) * up[i];
}

void prism_geglu_f32_generic(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gelu(gate[i]) * up[i];
}

void prism_geglu_erf_f32_generic(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gelu_erf(gate[i]) * up[i];
}

void prism_swiglu_clamped_f32_generic(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = swiglu_clamped(gate[i], up[i]);
}

void prism_sigmoid_gate_f32_generic(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = sigmoid_gate(gate[i], up[i]);
}

void prism_gelu_f32_generic(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = gelu(x[i]);
}

void prism_gelu_erf_f32_generic(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = gelu_erf(x[i]);
}

void prism_relu2_f32_generic(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = relu2(x[i]);
}

void prism_silu_f32_generic(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = silu(x[i]);
}

void prism_softcap_f32_generic(float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = isfinite(x[i]) ? cap * tanhf(x[i] / cap) : NAN;
}
