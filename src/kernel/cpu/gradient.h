/* gradient.h: gradients of what works on rows of f32, and the optimiser, over vec.h. Included by
 * rows_avx2.c and rows_avx512.c. Formulas as in ref/backward.c. */
#ifndef SLM_KERNEL_GRADIENT_H
#define SLM_KERNEL_GRADIENT_H

#include "kernel/cpu/rows.h"

#if defined(__AVX512F__) || defined(__AVX2__)

/* dx may be dy. */
static void rms_norm_backward(float *dx, const float *dy, const float *x, const float *weight,
                              size_t m, size_t d, float eps, bool add)
{
    for (size_t i = 0; i < m; i++, x += d, dy += d, dx += d) {
        vec squares = v_set1(0.0f), dots = squares;
        for (size_t j = 0; j < d; j += LANES) {
            const vec a = v_load_n(x + j, d - j, 0.0f);
            const vec g = v_mul(v_load_n(dy + j, d - j, 0.0f), v_load_n(weight + j, d - j, 0.0f));
            squares = v_fma(a, a, squares);
            dots = v_fma(a, g, dots);
        }
        const double mean = (double)v_reduce_add(squares) / (double)d;
        const double r = 1.0 / sqrt(mean + (double)eps);
        const vec scale = v_set1((float)r);
        const vec part = v_set1((float)(-(double)v_reduce_add(dots) / (double)d * r * r * r));
        for (size_t j = 0; j < d; j += LANES) {
            vec g = v_mul(v_load_n(dy + j, d - j, 0.0f), v_load_n(weight + j, d - j, 0.0f));
            g = v_fma(part, v_load_n(x + j, d - j, 0.0f), v_mul(g, scale));
            if (add) g = v_add(v_load_n(dx + j, d - j, 0.0f), g);
            v_store_n(dx + j, g, d - j);
        }
    }
}

/* inverse[i] = 1 / sqrt(mean of the row's squares + eps). */
static void inverse_rms(float *inverse, const float *x, size_t m, size_t d, float eps)
{
    for (size_t i = 0; i < m; i++, x += d) {
        vec squares = v_set1(0.0f);
        for (size_t j = 0; j < d; j += LANES) {
            const vec a = v_load_n(x + j, d - j, 0.0f);
            squares = v_fma(a, a, squares);
        }
        const double mean = (double)v_reduce_add(squares) / (double)d;
        inverse[i] = (float)(1.0 / sqrt(mean + (double)eps));
    }
}

/* dweight[j] += sum over rows of dy * x * inverse, for columns [begin, end). */
static void norm_weight_backward(float *dweight, const float *dy, const float *x,
                                 const float *inverse, size_t m, size_t d, size_t begin, size_t end)
{
    for (size_t j = begin; j < end; j += LANES) {
        const size_t n = end - j;
        vec total = v_set1(0.0f);
        for (size_t first = 0; first < m; first += 64) { /* sums of sums: less is lost */
            vec sum = v_set1(0.0f);
            for (size_t i = first; i < least(first + 64, m); i++) {
                const vec a = v_mul(v_load_n(x + i * d + j, n, 0.0f), v_set1(inverse[i]));
                sum = v_fma(v_load_n(dy + i * d + j, n, 0.0f), a, sum);
            }
            total = v_add(total, sum);
        }
        v_store_n(dweight + j, v_add(v_load_n(dweight + j, n, 0.0f), total), n);
    }
}

static void swiglu_backward(char *dgate, char *dup, slm_dtype act, const float *dy,
                            const float *gate, const float *up, size_t items)
{
    const vec one = v_set1(1.0f), zero = v_set1(0.0f);
    for (size_t i = 0; i < items; i += LANES) {
        const size_t n = items - i;
        const vec g = v_load_n(gate + i, n, 0.0f), u = v_load_n(up + i, n, 0.0f);
        const vec d = v_load_n(dy + i, n, 0.0f);
        const vec s = v_div(one, v_add(one, v_exp(v_sub(zero, g))));
        const vec slope = v_mul(s, v_fma(g, v_sub(one, s), one));
        put(dgate, act, i, v_mul(v_mul(d, u), slope), n);
        put(dup, act, i, v_mul(d, v_mul(g, s)), n);
    }
}

/* first_rest and second_rest: 1 / (1 - beta^step). */
static void adamw(const slm_adamw *job, float first_rest, float second_rest, size_t begin,
                  size_t end)
{
    float *master = (float *)(void *)job->master.at, *first = (float *)(void *)job->first.at;
    float *second = (float *)(void *)job->second.at;
    const float *grad = (const float *)(void *)job->grad.at;
    const vec b1 = v_set1(job->beta1), b2 = v_set1(job->beta2), eps = v_set1(job->eps);
    const vec new1 = v_set1(1.0f - job->beta1), new2 = v_set1(1.0f - job->beta2);
    const vec rest1 = v_set1(first_rest), rest2 = v_set1(second_rest);
    const vec scale = v_set1(job->grad_scale), rate = v_set1(-job->rate),
              decay = v_set1(job->decay);
    for (size_t i = begin; i < end; i += LANES) {
        const size_t n = end - i;
        const vec g = v_mul(scale, v_load_n(grad + i, n, 0.0f));
        const vec x = v_load_n(master + i, n, 0.0f);
        const vec m = v_fma(b1, v_load_n(first + i, n, 0.0f), v_mul(new1, g));
        const vec v = v_fma(b2, v_load_n(second + i, n, 0.0f), v_mul(new2, v_mul(g, g)));
        const vec step = v_div(v_mul(m, rest1), v_add(v_sqrt(v_mul(v, rest2)), eps));
        v_store_n(first + i, m, n);
        v_store_n(second + i, v, n);
        v_store_n(master + i, v_fma(rate, v_fma(decay, x, step), x), n);
    }
}

static void add_scaled(float *y, const float *x, float scale, size_t items)
{
    const vec scales = v_set1(scale);
    for (size_t i = 0; i < items; i += LANES) {
        const size_t n = items - i;
        v_store_n(y + i, v_add(v_load_n(y + i, n, 0.0f), v_mul(scales, v_load_n(x + i, n, 0.0f))),
                  n);
    }
}

#endif
#endif
