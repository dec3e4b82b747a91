/* encoder.h: what an encoder computes beside linear layers, over vec.h: layer norm, GELU, attention
 * that sees the whole sequence, means of sequences, and f32 in two bf16 parts. Included by
 * rows_avx2.c and rows_avx512.c. A sequence's results depend on that sequence alone. */
#ifndef SLM_KERNEL_ENCODER_H
#define SLM_KERNEL_ENCODER_H

#include "kernel/cpu/rows.h"

#if defined(__AVX512F__) || defined(__AVX2__)

/* Sum of x[d] in an order that depends on d alone; with `squares`, of (x - mean)^2. */
INLINE double row_sum(const bool squares, const float *x, size_t d, float mean)
{
    const vec middle = v_set1(mean);
    vec even = v_set1(0.0f), odd = even;
    size_t j = 0;
    for (; j + 2 * LANES <= d; j += 2 * LANES) {
        const vec a = v_load(x + j), b = v_load(x + j + LANES);
        if (squares) {
            const vec e = v_sub(a, middle), o = v_sub(b, middle);
            even = v_fma(e, e, even);
            odd = v_fma(o, o, odd);
        } else {
            even = v_add(even, a);
            odd = v_add(odd, b);
        }
    }
    for (; j < d; j += LANES) {
        const vec a = v_load_n(x + j, d - j, squares ? mean : 0.0f);
        const vec e = v_sub(a, middle);
        even = squares ? v_fma(e, e, even) : v_add(even, a);
    }
    return (double)v_reduce_add(v_add(even, odd));
}

static void layer_norm(float *y, const float *x, const float *more, const float *weight,
                       const float *bias, size_t m, size_t d, float eps)
{
    for (size_t i = 0; i < m; i++, x += d, y += d) {
        const float *row = x;
        if (more != NULL) {
            for (size_t j = 0; j < d; j += LANES)
                v_store_n(y + j,
                          v_add(v_load_n(x + j, d - j, 0.0f), v_load_n(more + j, d - j, 0.0f)),
                          d - j);
            row = y;
            more += d;
        }
        const float mean = (float)(row_sum(false, row, d, 0.0f) / (double)d);
        const double variance = row_sum(true, row, d, mean) / (double)d;
        const vec middle = v_set1(mean),
                  scale = v_set1((float)(1.0 / sqrt(variance + (double)eps)));
        for (size_t j = 0; j < d; j += LANES) {
            const size_t n = d - j;
            const vec a = v_mul(v_sub(v_load_n(row + j, n, 0.0f), middle), scale);
            v_store_n(y + j, v_fma(a, v_load_n(weight + j, n, 0.0f), v_load_n(bias + j, n, 0.0f)),
                      n);
        }
    }
}

/* erf(z) to 3e-7: z P(z^2) / Q(z^2) for |z| <= 3.95, beyond which it is 1 to that precision. P and Q
 * of degree 5 were fitted for the least relative error (2e-8), by iterated weighted least squares. */
INLINE vec v_erf(vec z)
{
    z = v_max(v_set1(-3.95f), v_min(v_set1(3.95f), z));
    const vec w = v_mul(z, z);
    vec p = v_set1(0x1.0fec6ep-19f), q = v_set1(0x1.3d5bbep-15f);
    p = v_fma(p, w, v_set1(0x1.2a815ap-12f));
    q = v_fma(q, w, v_set1(0x1.32de58p-10f));
    p = v_fma(p, w, v_set1(0x1.f314dp-9f));
    q = v_fma(q, w, v_set1(0x1.ed4b4ap-7f));
    p = v_fma(p, w, v_set1(0x1.b124c6p-5f));
    q = v_fma(q, w, v_set1(0x1.d537b2p-4f));
    p = v_fma(p, w, v_set1(0x1.8845c4p-3f));
    q = v_fma(q, w, v_set1(0x1.0193b4p-1f));
    p = v_fma(p, w, v_set1(0x1.20dd74p+0f));
    q = v_fma(q, w, v_set1(1.0f));
    return v_div(v_mul(z, p), q);
}

static void gelu(float *y, const float *x, size_t items)
{
    const vec half = v_set1(0.5f), root = v_set1(0x1.6a09e6p-1f); /* sqrt(1/2) */
    for (size_t i = 0; i < items; i += LANES) {
        const size_t n = items - i;
        const vec a = n >= LANES ? v_load(x + i) : v_load_n(x + i, n, 0.0f);
        const vec h = v_mul(a, half);
        const vec r = v_fma(h, v_erf(v_mul(a, root)), h);
        if (n >= LANES)
            v_store(y + i, r);
        else
            v_store_n(y + i, r, n);
    }
}

/* The first n lanes of x to *high, and what rounding took away to *low. */
INLINE void store_parts(uint16_t *high, uint16_t *again, uint16_t *low, vec x, size_t n)
{
    uint16_t rounded[LANES];
    v_store_bf16(rounded, x);
    const vec rest = v_sub(x, v_load_bf16(rounded));
    if (n >= LANES) {
        memcpy(high, rounded, sizeof rounded);
        memcpy(again, rounded, sizeof rounded);
        v_store_bf16(low, rest);
    } else {
        memcpy(high, rounded, n * sizeof *high);
        memcpy(again, rounded, n * sizeof *again);
        v_store_bf16_n(low, rest, n);
    }
}

static void split(uint16_t *y, const float *x, size_t m, size_t d)
{
    for (size_t i = 0; i < m; i++, x += d, y += 3 * d)
        for (size_t j = 0; j < d; j += LANES)
            store_parts(y + j, y + 2 * d + j, y + d + j, v_load_n(x + j, d - j, 0.0f), d - j);
}

enum { WHOLE_QUERIES = 4 };

/* Scores of `queries` rows against all n keys, lanes being keys: score[c * room + j]. */
INLINE void whole_scores(const int queries, const float *q, size_t stride, const float *keys,
                         size_t dim, size_t n, size_t room, float scale, float *score)
{
    const vec scales = v_set1(scale);
    for (size_t first = 0; first < n; first += LANES) {
        vec sum[WHOLE_QUERIES];
#pragma GCC unroll 4
        for (int c = 0; c < queries; c++)
            sum[c] = v_set1(0.0f);
        for (size_t i = 0; i < dim; i++) {
            const vec key = v_load(keys + i * room + first);
#pragma GCC unroll 4
            for (int c = 0; c < queries; c++)
                sum[c] = v_fma(v_set1(q[(size_t)c * stride + i]), key, sum[c]);
        }
#pragma GCC unroll 4
        for (int c = 0; c < queries; c++)
            v_store(score + (size_t)c * room + first, v_mul(sum[c], scales));
    }
}

/* Scores of one row become weights that sum to 1. */
INLINE void whole_softmax(float *score, size_t n)
{
    vec high = v_set1(-INFINITY), total = v_set1(0.0f);
    for (size_t j = 0; j < n; j += LANES)
        high = v_max(v_load_n(score + j, n - j, -INFINITY), high);
    const vec max = v_set1(v_reduce_max(high));
    for (size_t j = 0; j < n; j += LANES) {
        const vec w = v_exp(v_sub(v_load_n(score + j, n - j, -INFINITY), max));
        v_store(score + j, w);
        total = v_add(total, w);
    }
    const vec sum = v_set1(v_reduce_add(total));
    for (size_t j = 0; j < n; j += LANES)
        v_store(score + j, v_div(v_load(score + j), sum));
}

INLINE void whole_values(const int queries, const float *score, size_t room, const float *v,
                         size_t stride, size_t dim, size_t n, float *y)
{
    for (size_t first = 0; first < dim; first += LANES) {
        const size_t left = dim - first;
        vec sum[WHOLE_QUERIES];
#pragma GCC unroll 4
        for (int c = 0; c < queries; c++)
            sum[c] = v_set1(0.0f);
        for (size_t j = 0; j < n; j++) {
            const vec value = v_load_n(v + j * stride + first, left, 0.0f);
#pragma GCC unroll 4
            for (int c = 0; c < queries; c++)
                sum[c] = v_fma(v_set1(score[(size_t)c * room + j]), value, sum[c]);
        }
#pragma GCC unroll 4
        for (int c = 0; c < queries; c++)
            v_store_n(y + (size_t)c * stride + first, sum[c], left);
    }
}

INLINE void whole_rows(const int queries, const slm_cpu__whole *job, size_t at, size_t row,
                       size_t n, size_t room, const float *keys, float *score)
{
    const size_t stride = job->heads * job->head_dim, dim = job->head_dim;
    whole_scores(queries, job->q + at + row * stride, stride, keys, dim, n, room, job->scale,
                 score);
    for (size_t c = 0; c < (size_t)queries; c++)
        whole_softmax(score + c * room, n);
    whole_values(queries, score, room, job->v + at, stride, dim, n, job->y + at + row * stride);
}

/* One head of one sequence of n rows, whose first number stands at `at`. */
static void whole_head(const slm_cpu__whole *job, size_t at, size_t n, float *scratch)
{
    const size_t stride = job->heads * job->head_dim, dim = job->head_dim;
    const size_t room = (n + LANES - 1) / LANES * LANES;
    float *keys = scratch, *score = scratch + dim * room;
    for (size_t i = 0; i < dim; i++) {
        const float *k = job->k + at + i;
        for (size_t j = 0; j < n; j++)
            keys[i * room + j] = k[j * stride];
        for (size_t j = n; j < room; j++)
            keys[i * room + j] = 0.0f;
    }
    size_t row = 0;
    for (; row + WHOLE_QUERIES <= n; row += WHOLE_QUERIES)
        whole_rows(WHOLE_QUERIES, job, at, row, n, room, keys, score);
    for (; row < n; row++)
        whole_rows(1, job, at, row, n, room, keys, score);
}

/* Units [begin, end) of heads x sequences, all sequences of a head first. */
static void whole_attention(const slm_cpu__whole *job, size_t begin, size_t end, float *scratch)
{
    size_t row = 0, sequence = begin % job->count;
    for (size_t s = 0; s < sequence; s++)
        row += (size_t)job->lens[s];
    for (size_t u = begin; u < end; u++) {
        const size_t n = (size_t)job->lens[sequence];
        whole_head(job, (row * job->heads + u / job->count) * job->head_dim, n, scratch);
        row += n;
        if (++sequence == job->count) sequence = row = 0;
    }
}

/* y[d] = mean of n rows of x. */
static void mean_row(float *y, const float *x, size_t n, size_t d)
{
    const vec share = v_set1(1.0f / (float)n);
    for (size_t j = 0; j < d; j += LANES) {
        vec sum = v_set1(0.0f);
        for (size_t i = 0; i < n; i++)
            sum = v_add(sum, v_load_n(x + i * d + j, d - j, 0.0f));
        v_store_n(y + j, v_mul(sum, share), d - j);
    }
}

#endif
#endif
