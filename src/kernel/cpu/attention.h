/* attention.h: causal attention over pages with an online softmax, over vec.h. Included by
 * rows_avx2.c and rows_avx512.c.
 *
 * A query walks its sequence's keys in blocks of 64, a page at a time, from the first token on
 * (Milakov and Gimelshein 2018; Dao et al. 2022): scores of the block, the new maximum, weights,
 * what was summed before scaled by exp(old - new maximum), plus the block's own. The operations on
 * one query are the same whatever else is in the call, so chunking cannot change its result. Keys
 * after the query get weight 0 and their values are not even read, so a page's content beyond the
 * sequence does not matter.
 *
 * Layout of a kv head's areas in a page, chosen so that a vector of K is 16 (8) keys and a vector
 * of V is as many dimensions, and no sum runs across lanes (width: head_dim rounded up to 16):
 *   bf16  K [head_dim/2][64][2]  V [32][width][2]   f32  K [head_dim][64]  V [64][width]
 * Queries that share a kv head are done together: K and V are read and widened once for all. */
#ifndef SLM_KERNEL_ATTENTION_H
#define SLM_KERNEL_ATTENTION_H

#include "kernel/cpu/rows.h"

#if defined(__AVX512F__) || defined(__AVX2__)

enum {
    TOKENS = SLM_PAGE_TOKENS,
    STRIP = 4,             /* vectors of keys or dimensions at once */
    TOGETHER = LANES / 4,  /* queries at once: 4 or 2, so that sums stay in registers */
    SPANS = STRIP * LANES, /* keys or dimensions in a strip: 64 or 32 */
};

/* What to bring to the L2 cache meanwhile: a part at each step of a loop. */
typedef struct ahead {
    const char *at; /* NULL: nothing */
    size_t part;    /* bytes of one step, a multiple of 64 */
} ahead;

INLINE void fetch(ahead *next)
{
    if (next->at == NULL) return;
    for (size_t i = 0; i < next->part; i += 64)
        _mm_prefetch(next->at + i, _MM_HINT_T1);
    next->at += next->part;
}

/* score[c][j] = q[c] . k[j] for the strip of keys from `first`. */
INLINE void score_strip(const int queries, const bool wide, const float *const *q, const char *k,
                        size_t dim, size_t first, float (*score)[TOKENS], ahead next)
{
    vec sum[TOGETHER][STRIP];
#pragma GCC unroll 4
    for (int c = 0; c < queries; c++)
#pragma GCC unroll 4
        for (int s = 0; s < STRIP; s++)
            sum[c][s] = v_set1(0.0f);
    for (size_t i = 0; i < dim; i += 2) {
        fetch(&next);
#pragma GCC unroll 2
        for (size_t e = 0; e < 2; e++) {
            const char *at = wide ? k + ((i + e) * TOKENS + first) * sizeof(float)
                                  : k + (i / 2 * TOKENS + first) * 2 * sizeof(uint16_t);
            vec key[STRIP];
#pragma GCC unroll 4
            for (int s = 0; s < STRIP; s++) {
                const char *p = at + (size_t)s * sizeof(vec);
                key[s] = wide     ? v_load((const float *)(const void *)p)
                         : e == 0 ? v_first_of_pairs(p)
                                  : v_second_of_pairs(p);
            }
#pragma GCC unroll 4
            for (int c = 0; c < queries; c++) {
                const vec value = v_set1(q[c][i + e]);
#pragma GCC unroll 4
                for (int s = 0; s < STRIP; s++)
                    sum[c][s] = v_fma(value, key[s], sum[c][s]);
            }
        }
    }
#pragma GCC unroll 4
    for (int c = 0; c < queries; c++)
#pragma GCC unroll 4
        for (int s = 0; s < STRIP; s++)
            v_store(score[c] + first + (size_t)s * LANES, sum[c][s]);
}

/* sum[c][i] = sum[c][i] * keep[c] + weight[c] . v[..count, i] for `vectors` vectors of dimensions
 * from `first`. */
INLINE void value_strip(const int queries, const int vectors, const bool wide,
                        const float (*weight)[TOKENS], const float *keep, const char *v,
                        size_t width, size_t count, size_t first, float *const *total, ahead next)
{
    vec sum[TOGETHER][STRIP];
#pragma GCC unroll 4
    for (int c = 0; c < queries; c++)
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++)
            sum[c][s] = v_mul(v_load(total[c] + first + (size_t)s * LANES), v_set1(keep[c]));
    for (size_t pair = 0; pair < count; pair += 2) {
        fetch(&next);
#pragma GCC unroll 2
        for (size_t e = 0; e < 2; e++) {
            const size_t j = pair + e;
            if (e == 1 && j >= count) break;
            const char *at = wide ? v + (j * width + first) * sizeof(float)
                                  : v + (j / 2 * width + first) * 2 * sizeof(uint16_t);
            vec value[STRIP];
#pragma GCC unroll 4
            for (int s = 0; s < vectors; s++) {
                const char *p = at + (size_t)s * sizeof(vec);
                value[s] = wide     ? v_load((const float *)(const void *)p)
                           : e == 0 ? v_first_of_pairs(p)
                                    : v_second_of_pairs(p);
            }
#pragma GCC unroll 4
            for (int c = 0; c < queries; c++) {
                const vec w = v_set1(weight[c][j]);
#pragma GCC unroll 4
                for (int s = 0; s < vectors; s++)
                    sum[c][s] = v_fma(w, value[s], sum[c][s]);
            }
        }
    }
#pragma GCC unroll 4
    for (int c = 0; c < queries; c++)
#pragma GCC unroll 4
        for (int s = 0; s < vectors; s++)
            v_store(total[c] + first + (size_t)s * LANES, sum[c][s]);
}

/* What a query has seen so far; its values' weighted sum is apart. */
typedef struct query_state {
    float max, sum;
} query_state;

/* Take in the first `count` keys of one block. */
INLINE void block_of_keys(const int queries, const bool wide, const slm_cpu__attention *job,
                          const float *const *q, const char *k, const char *v, const char *next,
                          size_t count, query_state *state, float *const *total)
{
    const size_t dim = (size_t)job->shape->head_dim, width = slm_kernel__kv_width(job->shape);
    float score[TOGETHER][TOKENS], keep[TOGETHER];
    const size_t area = TOKENS * width * (wide ? sizeof(float) : sizeof(uint16_t));
    const ahead nothing = {NULL, 0};
    /* the next block: its keys while this one's are read, then its values, which follow them */
    const ahead keys = {next, slm_kernel__round_up(area / (dim / 2), 64)};
    const ahead values = {next == NULL ? NULL : next + area, area / (TOKENS / 2)};
    for (size_t first = 0; first < count; first += SPANS)
        score_strip(queries, wide, q, k, dim, first, score, first == 0 ? keys : nothing);
    const vec scale = v_set1(job->scale);
    for (int c = 0; c < queries; c++) {
        for (size_t j = count; j < TOKENS; j++)
            score[c][j] = -INFINITY;
        vec high = v_set1(-INFINITY);
        for (size_t j = 0; j < TOKENS; j += LANES) {
            vec s = v_mul(v_load(score[c] + j), scale);
            v_store(score[c] + j, s);
            high = v_max(s, high);
        }
        const float block_max = v_reduce_max(high), old = state[c].max;
        const float max = block_max > old ? block_max : old;
        vec sum = v_set1(0.0f);
        for (size_t j = 0; j < TOKENS; j += LANES) {
            vec w = v_exp(v_sub(v_load(score[c] + j), v_set1(max)));
            v_store(score[c] + j, w);
            sum = v_add(sum, w);
        }
        float changed[LANES];
        v_store(changed, v_exp(v_set1(old - max)));
        keep[c] = changed[0];
        state[c].sum = state[c].sum * keep[c] + v_reduce_add(sum);
        state[c].max = max;
    }
    const float(*weight)[TOKENS] = (const float(*)[TOKENS])score;
    size_t first = 0;
    for (; first + SPANS <= width; first += SPANS)
        value_strip(queries, STRIP, wide, weight, keep, v, width, count, first, total,
                    first == 0 ? values : nothing);
    for (; first < width; first += LANES)
        value_strip(queries, 1, wide, weight, keep, v, width, count, first, total, nothing);
}

INLINE void block_of_queries(const bool wide, size_t queries, const slm_cpu__attention *job,
                             const float *const *q, const char *k, const char *v, const char *next,
                             size_t count, query_state *state, float *const *total)
{
    switch (queries) {
    case 1:
        block_of_keys(1, wide, job, q, k, v, next, count, state, total);
        break;
    case 2:
        block_of_keys(2, wide, job, q, k, v, next, count, state, total);
        break;
    case 3:
        block_of_keys(LANES / 4 < 3 ? 2 : 3, wide, job, q, k, v, next, count, state, total);
        break;
    default:
        block_of_keys(TOGETHER, wide, job, q, k, v, next, count, state, total);
        break;
    }
}

/* One row's queries of one kv head. after: the first page of what is done next, or NULL. */
static void attend(const slm_cpu__attention *job, const slm_kv_span *span, size_t r, size_t kv_head,
                   const int32_t *after, float *scratch)
{
    const slm_kv_shape *shape = job->shape;
    const size_t dim = (size_t)shape->head_dim, width = slm_kernel__kv_width(shape);
    const size_t group = job->heads / (size_t)shape->kv_heads;
    const size_t keys = (size_t)span->position + r + 1, page_bytes = slm_kv_page_bytes(shape);
    const size_t k_offset = slm_kernel__kv_offset(shape, job->layer, (int)kv_head, 0);
    const size_t v_offset = slm_kernel__kv_offset(shape, job->layer, (int)kv_head, 1);
    const size_t out = (((size_t)span->row + r) * job->heads + kv_head * group) * dim;
    query_state *state = (query_state *)(void *)(scratch + group * width);
    memset(scratch, 0, group * width * sizeof *scratch);
    for (size_t c = 0; c < group; c++)
        state[c] = (query_state){-INFINITY, 0.0f};
    for (size_t begin = 0; begin < keys; begin += TOKENS) {
        const char *page = job->cache + (size_t)span->pages[begin / TOKENS] * page_bytes;
        const size_t count = least(TOKENS, keys - begin);
        const int32_t *next_page = begin + TOKENS < keys ? &span->pages[begin / TOKENS + 1] : after;
        const char *next =
            next_page == NULL ? NULL : job->cache + k_offset + (size_t)*next_page * page_bytes;
        for (size_t c = 0; c < group; c += TOGETHER) {
            const size_t queries = least(TOGETHER, group - c);
            const float *q[TOGETHER];
            float *total[TOGETHER];
            for (size_t i = 0; i < queries; i++) {
                q[i] = job->q + out + (c + i) * dim;
                total[i] = scratch + (c + i) * width;
            }
            if (shape->dtype == SLM_F32)
                block_of_queries(true, queries, job, q, page + k_offset, page + v_offset, next,
                                 count, state + c, total);
            else
                block_of_queries(false, queries, job, q, page + k_offset, page + v_offset, next,
                                 count, state + c, total);
        }
    }
    for (size_t c = 0; c < group; c++) {
        const vec sum = v_set1(state[c].sum);
        for (size_t i = 0; i < dim; i += LANES)
            put(job->y, job->act, out + c * dim + i, v_div(v_load(scratch + c * width + i), sum),
                dim - i);
    }
}

/* Units [begin, end) of kv_heads x rows: all rows of a kv head first, so that pages which sequences
 * share are read from the cache. */
static void attention(const slm_cpu__attention *job, size_t begin, size_t end, float *scratch)
{
    for (size_t u = begin; u < end;) {
        size_t kv_head = u / job->rows, row = u % job->rows, before = 0;
        for (size_t s = 0; s < job->span_count && u < end; s++) {
            const slm_kv_span *span = &job->spans[s];
            const size_t rows = (size_t)span->rows;
            for (; row < before + rows && u < end; row++, u++) {
                const bool more = row + 1 < before + rows;
                const int32_t *after = more                                          ? span->pages
                                       : s + 1 < job->span_count && span[1].rows > 0 ? span[1].pages
                                                                                     : NULL;
                attend(job, span, row - before, kv_head, after, scratch);
            }
            before += rows;
        }
    }
}

#endif
#endif
