/* rows.h: everything that works on rows of f32, over vec.h: norm, rotation, activation, conversion,
 * and the rows of logits. Included by rows_avx2.c and rows_avx512.c, which are nothing but this
 * compiled twice. Sums run in an order that depends on the length of the row alone. */
#ifndef SLM_KERNEL_ROWS_H
#define SLM_KERNEL_ROWS_H

#include "kernel/cpu/vec.h"

#if defined(__AVX512F__) || defined(__AVX2__)

#include "kernel/cpu/cpu.h"

#include <math.h>

INLINE size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Item `index` of a row of `act` set to the first n lanes of x. */
INLINE void put(char *y, slm_dtype act, size_t index, vec x, size_t n)
{
    if (act == SLM_F32)
        v_store_n((float *)(void *)y + index, x, n);
    else if (n >= LANES)
        v_store_bf16((uint16_t *)(void *)y + index, x);
    else
        v_store_bf16_n((uint16_t *)(void *)y + index, x, n);
}

static void rms_norm(char *y, slm_dtype act, const float *x, const float *weight, size_t m,
                     size_t d, float eps)
{
    const size_t row_bytes = d * slm_kernel__item_bytes(act);
    for (size_t i = 0; i < m; i++, x += d, y += row_bytes) {
        vec even = v_set1(0.0f), odd = even;
        size_t j = 0;
        for (; j + 2 * LANES <= d; j += 2 * LANES) {
            vec a = v_load(x + j), b = v_load(x + j + LANES);
            even = v_fma(a, a, even);
            odd = v_fma(b, b, odd);
        }
        for (; j < d; j += LANES) {
            vec a = v_load_n(x + j, d - j, 0.0f);
            even = v_fma(a, a, even);
        }
        double mean = (double)v_reduce_add(v_add(even, odd)) / (double)d;
        const vec scale = v_set1((float)(1.0 / sqrt(mean + (double)eps)));
        for (j = 0; j < d; j += LANES) {
            vec a = v_mul(v_load_n(x + j, d - j, 0.0f), scale);
            put(y, act, j, v_mul(a, v_load_n(weight + j, d - j, 0.0f)), d - j);
        }
    }
}

/* table: for each row, interleaved: cos[head_dim] and sin[head_dim], each value twice, the sine
 * negative in the first of a pair; else cos[head_dim / 2] and sin[head_dim / 2] and a gap. */
static void rope(float *x, const float *table, size_t m, size_t heads, size_t head_dim,
                 bool interleaved, float sign)
{
    const size_t half = head_dim / 2;
    const vec signs = v_set1(sign);
    for (size_t i = 0; i < m; i++, table += 2 * head_dim) {
        const float *sine = table + (interleaved ? head_dim : half);
        for (size_t h = 0; h < heads; h++, x += head_dim) {
            if (interleaved) {
                for (size_t j = 0; j < head_dim; j += LANES) {
                    vec a = v_load_n(x + j, head_dim - j, 0.0f);
                    vec c = v_load_n(table + j, head_dim - j, 0.0f);
                    vec s = v_mul(v_load_n(sine + j, head_dim - j, 0.0f), signs);
                    a = v_add(v_mul(a, c), v_mul(v_swap_pairs(a), s));
                    v_store_n(x + j, a, head_dim - j);
                }
                continue;
            }
            for (size_t j = 0; j < half; j += LANES) {
                vec a = v_load_n(x + j, half - j, 0.0f);
                vec b = v_load_n(x + half + j, half - j, 0.0f);
                vec c = v_load_n(table + j, half - j, 0.0f);
                vec s = v_mul(v_load_n(sine + j, half - j, 0.0f), signs);
                v_store_n(x + j, v_sub(v_mul(a, c), v_mul(b, s)), half - j);
                v_store_n(x + half + j, v_add(v_mul(b, c), v_mul(a, s)), half - j);
            }
        }
    }
}

static void swiglu(char *y, slm_dtype act, const float *gate, const float *up, size_t items)
{
    const vec one = v_set1(1.0f), zero = v_set1(0.0f);
    for (size_t i = 0; i < items; i += LANES) {
        const size_t n = items - i;
        vec g = n >= LANES ? v_load(gate + i) : v_load_n(gate + i, n, 0.0f);
        vec u = n >= LANES ? v_load(up + i) : v_load_n(up + i, n, 0.0f);
        vec silu = v_div(g, v_add(one, v_exp(v_sub(zero, g))));
        put(y, act, i, v_mul(silu, u), n);
    }
}

static void convert(char *y, slm_dtype act, const float *x, float scale, size_t items)
{
    const vec scales = v_set1(scale);
    for (size_t i = 0; i < items; i += LANES)
        put(y, act, i, v_mul(scales, v_load_n(x + i, items - i, 0.0f)), items - i);
}

static void widen(float *y, const uint16_t *x, size_t items)
{
    size_t i = 0;
    for (; i + LANES <= items; i += LANES)
        v_store(y + i, v_load_bf16(x + i));
    for (; i < items; i++)
        y[i] = slm_bf16_to_f32(x[i]);
}

/* ---- rows of logits ------------------------------------------------------------------------ */

static float row_max(const float *x, size_t n)
{
    const vec low = v_set1(-INFINITY);
    vec max[4] = {low, low, low, low};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (size_t c = 0; c < 4; c++) /* a NaN in x leaves max as it was */
            max[c] = v_max(v_load(x + i + c * LANES), max[c]);
    for (; i < n; i += LANES)
        max[0] = v_max(v_load_n(x + i, n - i, -INFINITY), max[0]);
    return v_reduce_max(v_max(v_max(max[0], max[1]), v_max(max[2], max[3])));
}

INLINE vec weight_of(vec x, vec max, vec inv_t)
{
    return v_exp(v_mul(v_sub(x, max), inv_t));
}

static void max_sum(const float *x, size_t n, float inv_t, float *max, double *sum)
{
    *max = row_max(x, n);
    const vec m = v_set1(*max), t = v_set1(inv_t);
    vec_sum even = v_sum_zero(), odd = v_sum_zero();
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        even = v_sum_add(even, weight_of(v_load(x + i), m, t));
        odd = v_sum_add(odd, weight_of(v_load(x + i + LANES), m, t));
    }
    for (; i < n; i += LANES)
        even = v_sum_add(even, weight_of(v_load_n(x + i, n - i, -INFINITY), m, t));
    *sum = v_sum_total(even) + v_sum_total(odd);
}

static size_t argmax(const float *x, size_t n)
{
    const vec max = v_set1(row_max(x, n));
    for (size_t i = 0; i < n; i += LANES) {
        uint32_t at = v_equal(v_load_n(x + i, n - i, -INFINITY), max);
        if (at != 0) return i + (size_t)__builtin_ctz(at);
    }
    return 0;
}

static void weights(float *w, double *sums, const float *x, size_t n, float max, float inv_t)
{
    const vec m = v_set1(max), t = v_set1(inv_t);
    for (size_t begin = 0; begin < n; begin += SLM_KERNEL_SUM_BLOCK) {
        const size_t end = least(n, begin + SLM_KERNEL_SUM_BLOCK);
        vec_sum sum = v_sum_zero();
        for (size_t i = begin; i < end; i += LANES) {
            vec weight = weight_of(v_load_n(x + i, end - i, -INFINITY), m, t);
            v_store_n(w + i, weight, end - i);
            sum = v_sum_add(sum, weight);
        }
        sums[begin / SLM_KERNEL_SUM_BLOCK] = v_sum_total(sum);
    }
}

static size_t select_ids(int32_t *ids, const float *x, size_t n, float cut)
{
    const vec least_wanted = v_set1(cut);
    size_t count = 0;
    for (size_t i = 0; i < n; i += LANES) {
        uint32_t bits = v_greater_equal(v_load_n(x + i, n - i, -INFINITY), least_wanted);
        if (bits != 0) count = v_append(ids, count, bits, i);
    }
    return count;
}

/* The sum of w z, z = (x - max) / T, w = e^z. */
static double weighted_sum(const float *x, size_t n, float max, float inv_t)
{
    const vec m = v_set1(max), t = v_set1(inv_t), low = v_set1(-1e30f);
    vec_sum mean = v_sum_zero();
    for (size_t i = 0; i < n; i += LANES) {
        vec z = v_mul(v_sub(v_load_n(x + i, n - i, -INFINITY), m), t);
        mean = v_sum_add(mean, v_mul(v_exp(z), v_max(low, z))); /* 0 times infinity is 0 here */
    }
    return v_sum_total(mean);
}

static void gradient(void *out, slm_dtype act, const float *x, size_t n, float max, float inv_t,
                     float factor)
{
    const vec m = v_set1(max), t = v_set1(inv_t), f = v_set1(factor);
    size_t i = 0;
    if (act == SLM_F32) {
        for (; i + LANES <= n; i += LANES)
            v_store((float *)out + i, v_mul(f, weight_of(v_load(x + i), m, t)));
    } else {
        for (; i + 2 * LANES <= n; i += 2 * LANES) {
            const vec a = weight_of(v_load(x + i), m, t),
                      b = weight_of(v_load(x + i + LANES), m, t);
            v_store_bf16((uint16_t *)out + i, v_mul(f, a));
            v_store_bf16((uint16_t *)out + i + LANES, v_mul(f, b));
        }
    }
    for (; i < n; i += LANES)
        put(out, act, i, v_mul(f, weight_of(v_load_n(x + i, n - i, -INFINITY), m, t)), n - i);
}

#endif
#endif
