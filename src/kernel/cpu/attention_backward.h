/* attention_backward.h: attention's gradient over pages, over vec.h. Included by rows_avx2.c and
 * rows_avx512.c.
 *
 * With s = scale q k^T, p = softmax(s) and y = p v: dv = p^T dy, ds = p (dy v^T - dy . y) scale, dq = ds
 * k, dk = ds^T q (Dao et al. 2022, section B.2). Queries are the lanes of a vector, so that maximum, sum
 * and all that follows run along keys and nothing runs across lanes: as many queries as lanes at once,
 * first all their scores, then weights, then the three products. Of one kv head of one span, K and V are
 * laid out as rows of f32 once; dk and dv are summed over its queries and heads in order. */
#ifndef SLM_KERNEL_ATTENTION_BACKWARD_H
#define SLM_KERNEL_ATTENTION_BACKWARD_H

#include "kernel/cpu/attention.h"

#if defined(__AVX512F__) || defined(__AVX2__)

enum { KEYS_AT_ONCE = 8, QUERIES_AT_ONCE = 4 };

typedef struct backward_work {
    size_t keys, dim, width;     /* keys: of the span, rounded up */
    float *k, *v, *dk, *dv;      /* [keys][width] */
    float *p, *ds;               /* [keys][LANES] */
    float *q, *dy;               /* [LANES][width] */
    float *q_turned, *dy_turned; /* [width][LANES] */
    float *dq;                   /* [LANES][width] */
    float mean[LANES];           /* dy . y */
} backward_work;

static size_t attention_backward_scratch(size_t keys, size_t width)
{
    return slm_kernel__round_up(keys, KEYS_AT_ONCE) * (4 * width + 2 * LANES) + 5 * LANES * width;
}

static void lay_out_work(backward_work *w, const slm_kv_shape *shape, size_t keys, float *scratch)
{
    w->dim = (size_t)shape->head_dim;
    w->width = slm_kernel__kv_width(shape);
    w->keys = slm_kernel__round_up(keys, KEYS_AT_ONCE);
    const size_t area = w->keys * w->width, block = LANES * w->width;
    w->k = scratch;
    w->v = w->k + area;
    w->dk = w->v + area;
    w->dv = w->dk + area;
    w->p = w->dv + area;
    w->ds = w->p + w->keys * LANES;
    w->q = w->ds + w->keys * LANES;
    w->dy = w->q + block;
    w->q_turned = w->dy + block;
    w->dy_turned = w->q_turned + block;
    w->dq = w->dy_turned + block;
    memset(scratch, 0, 4 * area * sizeof *scratch);
}

/* K and V of the span's keys, from their pages. */
static void read_keys(backward_work *w, const slm_cpu__attention_gradient *job,
                      const slm_kv_span *span, size_t kv_head, size_t keys)
{
    const slm_kv_shape *shape = job->shape;
    const size_t page_bytes = slm_kv_page_bytes(shape), width = w->width;
    for (size_t j = 0; j < keys; j++) {
        const char *page = job->cache + (size_t)span->pages[j / TOKENS] * page_bytes;
        const char *k = page + slm_kernel__kv_offset(shape, job->layer, (int)kv_head, 0);
        const char *v = page + slm_kernel__kv_offset(shape, job->layer, (int)kv_head, 1);
        const size_t slot = j % TOKENS;
        float *to_k = w->k + j * width, *to_v = w->v + j * width;
        if (shape->dtype == SLM_F32) {
            for (size_t i = 0; i < w->dim; i++)
                to_k[i] = ((const float *)(const void *)k)[i * TOKENS + slot];
            memcpy(to_v, v + slot * width * sizeof *to_v, w->dim * sizeof *to_v);
            continue;
        }
        const uint16_t *half_k = (const uint16_t *)(const void *)k + 2 * slot;
        const uint16_t *half_v =
            (const uint16_t *)(const void *)v + slot / 2 * width * 2 + slot % 2;
        for (size_t i = 0; i < w->dim; i++) {
            to_k[i] = slm_bf16_to_f32(half_k[i / 2 * 2 * TOKENS + i % 2]);
            to_v[i] = slm_bf16_to_f32(half_v[2 * i]);
        }
    }
}

/* `count` queries whose numbers begin at `at`, `row` apart; lanes without a query are 0. */
static void read_queries(backward_work *w, const slm_cpu__attention_gradient *job, size_t at,
                         size_t row, size_t count)
{
    const size_t width = w->width;
    memset(w->q, 0, 5 * LANES * width * sizeof *w->q); /* and what follows it */
    memset(w->mean, 0, sizeof w->mean);
    for (size_t c = 0; c < count; c++, at += row) {
        const float *wide = (const float *)(const void *)job->y + at;
        const uint16_t *half = (const uint16_t *)(const void *)job->y + at;
        memcpy(w->q + c * width, job->q + at, w->dim * sizeof *w->q);
        memcpy(w->dy + c * width, job->dy + at, w->dim * sizeof *w->dy);
        double mean = 0.0;
        for (size_t i = 0; i < w->dim; i++) {
            const float y = job->act == SLM_F32 ? wide[i] : slm_bf16_to_f32(half[i]);
            mean += (double)y * (double)w->dy[c * width + i];
            w->q_turned[i * LANES + c] = w->q[c * width + i];
            w->dy_turned[i * LANES + c] = w->dy[c * width + i];
        }
        w->mean[c] = (float)mean;
    }
}

/* out[j][lane] = rows[j] . turned[][lane] for 8 keys. */
INLINE void dots(const float *rows, const float *turned, size_t dim, size_t width, float *out)
{
    vec sum[KEYS_AT_ONCE];
#pragma GCC unroll 8
    for (int j = 0; j < KEYS_AT_ONCE; j++)
        sum[j] = v_set1(0.0f);
    for (size_t i = 0; i < dim; i++) {
        const vec query = v_load(turned + i * LANES);
#pragma GCC unroll 8
        for (int j = 0; j < KEYS_AT_ONCE; j++)
            sum[j] = v_fma(v_set1(rows[(size_t)j * width + i]), query, sum[j]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < KEYS_AT_ONCE; j++)
        v_store(out + j * LANES, sum[j]);
}

/* p and ds of the lanes' queries over keys [0, keys); the first lane sees `seen` of them, each lane one
 * more than the one before. */
static void weigh(backward_work *w, size_t keys, size_t seen, float scale)
{
    const vec scales = v_set1(scale), zero = v_set1(0.0f);
    vec max = v_set1(-INFINITY), sum = zero;
    for (size_t j = 0; j < keys; j += KEYS_AT_ONCE) {
        dots(w->k + j * w->width, w->q_turned, w->dim, w->width, w->p + j * LANES);
        dots(w->v + j * w->width, w->dy_turned, w->dim, w->width, w->ds + j * LANES);
    }
    for (size_t j = seen; j < keys; j++)
        for (size_t c = 0; c < LANES && seen + c <= j; c++)
            w->p[j * LANES + c] = -INFINITY;
    for (size_t j = 0; j < keys; j++) {
        const vec s = v_mul(v_load(w->p + j * LANES), scales);
        v_store(w->p + j * LANES, s);
        max = v_max(s, max);
    }
    for (size_t j = 0; j < keys; j++) {
        const vec e = v_exp(v_sub(v_load(w->p + j * LANES), max));
        v_store(w->p + j * LANES, e);
        sum = v_add(sum, e);
    }
    const vec inverse = v_div(v_set1(1.0f), sum), mean = v_load(w->mean);
    for (size_t j = 0; j < keys; j++) {
        const vec p = v_mul(v_load(w->p + j * LANES), inverse);
        const vec up = v_sub(v_load(w->ds + j * LANES), mean);
        v_store(w->p + j * LANES, p);
        v_store(w->ds + j * LANES, v_mul(v_mul(p, up), scales));
    }
    for (size_t j = keys; j < slm_kernel__round_up(keys, KEYS_AT_ONCE); j++) {
        v_store(w->p + j * LANES, zero);
        v_store(w->ds + j * LANES, zero);
    }
}

/* to[j] += sum over lanes of factor[j][lane] * rows[lane], for 2 keys and a strip of `vectors`. */
INLINE void add_keys(const int vectors, const float *factor, const float *rows, size_t width,
                     float *to)
{
    vec sum[2][STRIP];
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; j++)
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++)
            sum[j][s] = v_load(to + j * width + (size_t)s * LANES);
    for (size_t c = 0; c < LANES; c++) {
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++) {
            const vec row = v_load(rows + c * width + (size_t)s * LANES);
            sum[0][s] = v_fma(v_set1(factor[c]), row, sum[0][s]);
            sum[1][s] = v_fma(v_set1(factor[LANES + c]), row, sum[1][s]);
        }
    }
#pragma GCC unroll 2
    for (size_t j = 0; j < 2; j++)
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++)
            v_store(to + j * width + (size_t)s * LANES, sum[j][s]);
}

/* to[c] += sum over keys of factor[j][c] * rows[j], for a few queries and a strip. */
INLINE void add_queries(const int vectors, const float *factor, const float *rows, size_t keys,
                        size_t width, float *to)
{
    vec sum[QUERIES_AT_ONCE / 2][STRIP];
    enum { HALF = QUERIES_AT_ONCE / 2 };
#pragma GCC unroll 2
    for (size_t c = 0; c < HALF; c++)
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++)
            sum[c][s] = v_load(to + c * width + (size_t)s * LANES);
    for (size_t j = 0; j < keys; j++) {
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++) {
            const vec row = v_load(rows + j * width + (size_t)s * LANES);
#pragma GCC unroll 2
            for (size_t c = 0; c < HALF; c++)
                sum[c][s] = v_fma(v_set1(factor[j * LANES + c]), row, sum[c][s]);
        }
    }
#pragma GCC unroll 2
    for (size_t c = 0; c < HALF; c++)
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++)
            v_store(to + c * width + (size_t)s * LANES, sum[c][s]);
}

static void multiply_block(backward_work *w, size_t keys, size_t queries)
{
    const size_t width = w->width;
    for (size_t first = 0; first < width; first += SPANS) {
        const bool whole = first + SPANS <= width;
        for (size_t at = first; at < least(first + SPANS, width); at += whole ? SPANS : LANES) {
            for (size_t j = 0; j < keys; j += 2) {
                const float *p = w->p + j * LANES, *ds = w->ds + j * LANES;
                float *dv = w->dv + j * width + at, *dk = w->dk + j * width + at;
                if (whole) {
                    add_keys(STRIP, p, w->dy + at, width, dv);
                    add_keys(STRIP, ds, w->q + at, width, dk);
                } else {
                    add_keys(1, p, w->dy + at, width, dv);
                    add_keys(1, ds, w->q + at, width, dk);
                }
            }
            for (size_t c = 0; c < queries; c += 2) {
                if (whole)
                    add_queries(STRIP, w->ds + c, w->k + at, keys, width, w->dq + c * width + at);
                else
                    add_queries(1, w->ds + c, w->k + at, keys, width, w->dq + c * width + at);
            }
        }
    }
}

static void attention_backward(const slm_cpu__attention_gradient *job, const slm_kv_span *span,
                               size_t kv_head, float *below, float *scratch)
{
    const slm_kv_shape *shape = job->shape;
    const size_t kv_heads = (size_t)shape->kv_heads, group = job->heads / kv_heads;
    const size_t position = (size_t)span->position, rows = (size_t)span->rows;
    const size_t keys = position + rows;
    backward_work w;
    lay_out_work(&w, shape, keys, scratch);
    read_keys(&w, job, span, kv_head, keys);
    const size_t row = job->heads * w.dim;
    for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        for (size_t r = 0; r < rows; r += LANES) {
            const size_t queries = least(LANES, rows - r), seen = position + r + queries;
            const size_t at = (((size_t)span->row + r) * job->heads + head) * w.dim;
            read_queries(&w, job, at, row, queries);
            weigh(&w, seen, position + r + 1, job->scale);
            multiply_block(&w, slm_kernel__round_up(seen, 2), queries);
            for (size_t c = 0; c < queries; c++)
                memcpy(job->dq + at + c * row, w.dq + c * w.width, w.dim * sizeof *w.dq);
        }
    }
    for (size_t j = 0; j < keys; j++) {
        const size_t own = (((size_t)span->row + j - position) * kv_heads + kv_head) * w.dim;
        float *dk = job->dk + own, *dv = job->dv + own;
        if (j < position) {
            if (below == NULL) continue;
            dk = below + j * 2 * w.dim;
            dv = dk + w.dim;
        }
        memcpy(dk, w.dk + j * w.width, w.dim * sizeof *dk);
        memcpy(dv, w.dv + j * w.width, w.dim * sizeof *dv);
    }
}

#endif
#endif
