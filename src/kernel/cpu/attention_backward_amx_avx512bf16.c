/* attention_backward_amx_avx512bf16.c: attention's gradient over bf16 pages on the AMX matrix unit.
 *
 * The formulas are those of attention_backward.h. Scores are computed with keys as rows and queries as
 * columns, s^T = k q^T, 32 queries at once: maximum, sum and weights then run down the columns of plain
 * vectors, and p^T and ds^T come out as rows of keys, which is what the unit wants as the first operand
 * of dv += p^T dy and dk += ds^T q. dq^T = k^T ds takes ds as pairs of keys. Queries are rounded to bf16
 * in two parts for the scores, as in the forward; elsewhere, as dy, p and ds, in one: they are factors
 * of a gradient, not exponents. Sums are f32.
 *
 * Of one kv head of one span, K and V are laid out once as rows, and K as columns; dk and dv are summed
 * over heads and queries in order. Keys behind a query have weight 0. */
#include "kernel/cpu/amx.h"
#include "kernel/cpu/turn512.h"
#include "kernel/cpu/vec.h"

#include "kernel/cpu/cpu.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum {
    TOKENS = SLM_PAGE_TOKENS,
    ROWS = AMX_ROWS, /* of a tile */
    STEP = 32,       /* of the inner index in one product */
    QUERIES = 32,    /* at once: two tiles of columns */
    SIDES = 2,       /* those two */
    TILE = 512       /* bf16 in a tile */
};

/* What a thread works with: one kv head of one span; `all` keys, rounded up to whole pages. */
typedef struct work {
    const slm_cpu__attention_gradient *job;
    size_t dim, all;
    float *dk, *dv;                /* [all][dim] */
    float *s, *dp;                 /* [all][32]: scores, then weights; dy v^T */
    float *dq;                     /* [dim][32] */
    uint16_t *k, *v;               /* [all][dim] */
    uint16_t *columns;             /* k^T: [dim][all] */
    uint16_t *p, *ds;              /* [all][32] */
    uint16_t *pairs;               /* ds as [all/2][2 sides][16][2] */
    uint16_t *q_high, *q_low, *dy; /* [dim/32][2 sides][16 pairs of dims][16][2] */
    uint16_t *q_pairs, *dy_pairs;  /* [16 pairs of queries][dim][2] */
    float mean[QUERIES];           /* dy . y */
} work;

static size_t floats_of(size_t all, size_t dim)
{
    /* f32: dk dv s dp dq; bf16, two to a float: k v columns p ds pairs, five of queries */
    return 2 * all * dim + 2 * all * QUERIES + dim * QUERIES +
           (3 * all * dim + 3 * all * QUERIES + 5 * dim * QUERIES) / 2;
}

size_t slm_cpu__attention_backward_amx_scratch(size_t keys, size_t width)
{
    return floats_of(slm_kernel__round_up(keys, TOKENS), width);
}

static void lay_out(work *w, float *scratch)
{
    const size_t area = w->all * w->dim, block = w->dim * QUERIES;
    w->dk = scratch;
    w->dv = w->dk + area;
    w->s = w->dv + area;
    w->dp = w->s + w->all * QUERIES;
    w->dq = w->dp + w->all * QUERIES;
    w->k = (uint16_t *)(void *)(w->dq + block);
    w->v = w->k + area;
    w->columns = w->v + area;
    w->p = w->columns + area;
    w->ds = w->p + w->all * QUERIES;
    w->pairs = w->ds + w->all * QUERIES;
    w->q_high = w->pairs + w->all * QUERIES;
    w->q_low = w->q_high + block;
    w->dy = w->q_low + block;
    w->q_pairs = w->dy + block;
    w->dy_pairs = w->q_pairs + block;
    memset(w->dk, 0, 2 * area * sizeof *w->dk);
}

/* ---- keys and values ----------------------------------------------------------------------- */

INLINE void store_half(uint16_t *to, __m512i words)
{
    _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi32_epi16(words));
}

/* A page's K [dim/2][64][2] and V [32][dim][2] to rows, and K to columns. */
static void read_page(work *w, const char *k, const char *v, size_t first)
{
    const size_t dim = w->dim;
    for (size_t i = 0; i < dim; i += 2 * ROWS) {
        for (size_t j = 0; j < TOKENS; j += ROWS) {
            __m512i r[ROWS];
            for (size_t c = 0; c < ROWS; c++) {
                r[c] = _mm512_loadu_si512(k + ((i / 2 + c) * TOKENS + j) * 2 * sizeof(uint16_t));
                uint16_t *column = w->columns + (i + 2 * c) * w->all + first + j;
                store_half(column, r[c]);
                store_half(column + w->all, _mm512_srli_epi32(r[c], 16));
            }
            slm_cpu__turn_words(r);
            for (size_t c = 0; c < ROWS; c++)
                _mm512_storeu_si512(w->k + (first + j + c) * dim + i, r[c]);
        }
    }
    for (size_t j = 0; j < TOKENS; j += 2) {
        for (size_t i = 0; i < dim; i += ROWS) {
            const __m512i both = _mm512_loadu_si512(v + (j / 2 * dim + i) * 2 * sizeof(uint16_t));
            store_half(w->v + (first + j) * dim + i, both);
            store_half(w->v + (first + j + 1) * dim + i, _mm512_srli_epi32(both, 16));
        }
    }
}

/* Keys from `keys` on are 0: whatever a page holds there must not become infinite. */
static void read_keys(work *w, const slm_kv_span *span, size_t kv_head, size_t keys)
{
    const slm_cpu__attention_gradient *job = w->job;
    const size_t page_bytes = slm_kv_page_bytes(job->shape);
    for (size_t first = 0; first < keys; first += TOKENS) {
        const char *page = job->cache + (size_t)span->pages[first / TOKENS] * page_bytes;
        read_page(w, page + slm_kernel__kv_offset(job->shape, job->layer, (int)kv_head, 0),
                  page + slm_kernel__kv_offset(job->shape, job->layer, (int)kv_head, 1), first);
    }
    const size_t behind = w->all - keys;
    memset(w->k + keys * w->dim, 0, behind * w->dim * sizeof *w->k);
    memset(w->v + keys * w->dim, 0, behind * w->dim * sizeof *w->v);
    for (size_t i = 0; i < w->dim; i++)
        memset(w->columns + i * w->all + keys, 0, behind * sizeof *w->columns);
}

/* ---- queries ------------------------------------------------------------------------------- */

/* 32 numbers to bf16 in order. */
INLINE __m512i round_two(vec first, vec second)
{
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

INLINE vec widen_half(__m256i half)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* (a0 b0 a1 b1 ..) of the first (0) or last (1) 16 numbers of two vectors of bf16. */
INLINE __m512i interleave(const int half, __m512i a, __m512i b)
{
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i index = half == 0 ? low : _mm512_add_epi16(low, _mm512_set1_epi16(16));
    return _mm512_permutex2var_epi16(a, index, b);
}

/* Dimensions [i, i + 32) of 16 queries, 0 from `count` on, to a tile of pairs of dims by queries, and
 * to pairs of queries by dims. low: the second part, or NULL. */
static void read_tile(const float *from, size_t row, size_t count, size_t dim, uint16_t *high,
                      uint16_t *low, uint16_t *pairs)
{
    __m512i whole[ROWS], rest[ROWS];
    for (size_t c = 0; c < ROWS; c++) {
        whole[c] = rest[c] = _mm512_setzero_si512();
        if (c >= count) continue;
        const vec a = v_load(from + c * row), b = v_load(from + c * row + LANES);
        whole[c] = round_two(a, b);
        const vec a_rest = v_sub(a, widen_half(_mm512_castsi512_si256(whole[c])));
        const vec b_rest = v_sub(b, widen_half(_mm512_extracti64x4_epi64(whole[c], 1)));
        rest[c] = round_two(a_rest, b_rest);
    }
    for (size_t c = 0; c < ROWS; c += 2) {
        _mm512_storeu_si512(pairs + c / 2 * 2 * dim, interleave(0, whole[c], whole[c + 1]));
        _mm512_storeu_si512(pairs + c / 2 * 2 * dim + STEP, interleave(1, whole[c], whole[c + 1]));
    }
    slm_cpu__turn_words(whole);
    for (size_t c = 0; c < ROWS; c++)
        _mm512_storeu_si512(high + c * STEP, whole[c]);
    if (low == NULL) return;
    slm_cpu__turn_words(rest);
    for (size_t c = 0; c < ROWS; c++)
        _mm512_storeu_si512(low + c * STEP, rest[c]);
}

static float mean_of(const work *w, size_t at)
{
    const slm_cpu__attention_gradient *job = w->job;
    vec sum = v_set1(0.0f);
    for (size_t i = 0; i < w->dim; i += LANES) {
        const vec y = job->act == SLM_F32
                          ? v_load((const float *)(const void *)job->y + at + i)
                          : v_load_bf16((const uint16_t *)(const void *)job->y + at + i);
        sum = v_fma(y, v_load(job->dy + at + i), sum);
    }
    return v_reduce_add(sum);
}

static void read_queries(work *w, size_t at, size_t row, size_t queries)
{
    const slm_cpu__attention_gradient *job = w->job;
    for (size_t c = 0; c < QUERIES; c++)
        w->mean[c] = c < queries ? mean_of(w, at + c * row) : 0.0f;
    for (size_t side = 0; side < SIDES; side++) {
        const size_t first = side * ROWS, count = queries > first ? queries - first : 0;
        for (size_t i = 0; i < w->dim; i += STEP) {
            const size_t tile = (i / STEP * SIDES + side) * TILE;
            const size_t pairs = first / 2 * 2 * w->dim + 2 * i, from = at + first * row + i;
            read_tile(job->q + from, row, count, w->dim, w->q_high + tile, w->q_low + tile,
                      w->q_pairs + pairs);
            read_tile(job->dy + from, row, count, w->dim, w->dy + tile, NULL, w->dy_pairs + pairs);
        }
    }
}

/* ---- products ------------------------------------------------------------------------------ */

/* s^T and dy v^T of 32 keys and 32 queries. Tiles: 0..3 sums (keys by sides), 4 and 5 keys, 6 and 7
 * sides of queries. */
static void score_keys(work *w, size_t key)
{
    const size_t dim = w->dim, stride = dim * sizeof(uint16_t), out = QUERIES * sizeof(float);
    float *s = w->s + key * QUERIES, *dp = w->dp + key * QUERIES;
    const uint16_t *k = w->k + key * dim, *v = w->v + key * dim;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t i = 0; i < dim; i += STEP) {
        const uint16_t *high = w->q_high + i / STEP * SIDES * TILE;
        const uint16_t *low = w->q_low + i / STEP * SIDES * TILE;
        _tile_loadd(4, k + i, stride);
        _tile_loadd(6, high, 64);
        _tile_loadd(7, high + TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, k + i + ROWS * dim, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        _tile_loadd(6, low, 64);
        _tile_loadd(7, low + TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, s, out);
    _tile_stored(1, s + ROWS, out);
    _tile_stored(2, s + ROWS * QUERIES, out);
    _tile_stored(3, s + ROWS * QUERIES + ROWS, out);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t i = 0; i < dim; i += STEP) {
        const uint16_t *dy = w->dy + i / STEP * SIDES * TILE;
        _tile_loadd(4, v + i, stride);
        _tile_loadd(6, dy, 64);
        _tile_loadd(7, dy + TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, v + i + ROWS * dim, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, dp, out);
    _tile_stored(1, dp + ROWS, out);
    _tile_stored(2, dp + ROWS * QUERIES, out);
    _tile_stored(3, dp + ROWS * QUERIES + ROWS, out);
}

/* to[all][dim] += a[all][32 queries] b[32 queries][dim] for keys [0, keys) and 32 dimensions. Tiles: 0..3
 * sums, 4 and 5 keys, 6 and 7 dimensions. */
static void add_keys(const work *w, const uint16_t *a, const uint16_t *b, size_t keys, size_t i,
                     float *to)
{
    const size_t out = w->dim * sizeof(float), pairs = 2 * w->dim * sizeof(uint16_t);
    _tile_loadd(6, b + 2 * i, pairs);
    _tile_loadd(7, b + 2 * (i + ROWS), pairs);
    for (size_t key = 0; key < keys; key += 2 * ROWS) {
        float *first = to + key * w->dim + i, *second = first + ROWS * w->dim;
        _tile_loadd(4, a + key * QUERIES, 64);
        _tile_loadd(0, first, out);
        _tile_loadd(1, first + ROWS, out);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + (key + ROWS) * QUERIES, 64);
        _tile_loadd(2, second, out);
        _tile_loadd(3, second + ROWS, out);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        _tile_stored(0, first, out);
        _tile_stored(1, first + ROWS, out);
        _tile_stored(2, second, out);
        _tile_stored(3, second + ROWS, out);
    }
}

/* dq^T of 32 dimensions from `i` on, over keys [0, keys). */
static void sum_queries(work *w, size_t keys, size_t i)
{
    const size_t stride = w->all * sizeof(uint16_t), out = QUERIES * sizeof(float);
    const uint16_t *columns = w->columns + i * w->all;
    float *to = w->dq + i * QUERIES;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t key = 0; key < keys; key += STEP) {
        const uint16_t *pairs = w->pairs + key * QUERIES;
        _tile_loadd(4, columns + key, stride);
        _tile_loadd(6, pairs, 2 * 64);
        _tile_loadd(7, pairs + STEP, 2 * 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, columns + ROWS * w->all + key, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, to, out);
    _tile_stored(1, to + ROWS, out);
    _tile_stored(2, to + ROWS * QUERIES, out);
    _tile_stored(3, to + ROWS * QUERIES + ROWS, out);
}

/* ---- weights ------------------------------------------------------------------------------- */

/* From scores to p and ds in bf16, over keys [0, keys). The first query sees `seen` keys, each one more
 * than the one before. */
static void weigh(work *w, size_t keys, size_t seen)
{
    const vec scale = v_set1(w->job->scale), low = v_set1(-INFINITY);
    vec max[SIDES] = {low, low}, sum[SIDES] = {v_set1(0.0f), v_set1(0.0f)}, inverse[SIDES];
    for (size_t j = 0; j < keys; j++) {
        float *row = w->s + j * QUERIES;
        /* those among the queries that come before the key */
        const uint64_t hidden = j < seen ? 0 : ((uint64_t)2 << (j - seen)) - 1;
        for (size_t side = 0; side < SIDES; side++) {
            const __mmask16 before = (__mmask16)(hidden >> (side * ROWS));
            vec s = v_mul(v_load(row + side * ROWS), scale);
            s = _mm512_mask_mov_ps(s, before, low);
            v_store(row + side * ROWS, s);
            max[side] = v_max(s, max[side]);
        }
    }
    for (size_t j = 0; j < keys; j++) {
        float *row = w->s + j * QUERIES;
        for (size_t side = 0; side < SIDES; side++) {
            const vec e = v_exp(v_sub(v_load(row + side * ROWS), max[side]));
            v_store(row + side * ROWS, e);
            sum[side] = v_add(sum[side], e);
        }
    }
    for (size_t side = 0; side < SIDES; side++)
        inverse[side] = v_div(v_set1(1.0f), sum[side]);
    const vec mean[SIDES] = {v_load(w->mean), v_load(w->mean + ROWS)};
    for (size_t j = 0; j < keys; j += 2) {
        __m512i ds[2];
        for (size_t e = 0; e < 2; e++) {
            const size_t at = (j + e) * QUERIES;
            const vec p0 = v_mul(v_load(w->s + at), inverse[0]);
            const vec p1 = v_mul(v_load(w->s + at + ROWS), inverse[1]);
            const vec d0 = v_mul(v_mul(p0, scale), v_sub(v_load(w->dp + at), mean[0]));
            const vec d1 = v_mul(v_mul(p1, scale), v_sub(v_load(w->dp + at + ROWS), mean[1]));
            ds[e] = round_two(d0, d1);
            _mm512_storeu_si512(w->p + at, round_two(p0, p1));
            _mm512_storeu_si512(w->ds + at, ds[e]);
        }
        _mm512_storeu_si512(w->pairs + j * QUERIES, interleave(0, ds[0], ds[1]));
        _mm512_storeu_si512(w->pairs + j * QUERIES + STEP, interleave(1, ds[0], ds[1]));
    }
}

static void store_queries(const work *w, size_t at, size_t row, size_t queries)
{
    for (size_t side = 0; side < SIDES; side++)
        for (size_t i = 0; i < w->dim; i += LANES) {
            __m512i r[ROWS];
            for (size_t c = 0; c < ROWS; c++)
                r[c] = _mm512_loadu_si512(w->dq + (i + c) * QUERIES + side * ROWS);
            slm_cpu__turn_words(r);
            for (size_t c = 0; c < ROWS && side * ROWS + c < queries; c++)
                _mm512_storeu_si512(w->job->dq + at + (side * ROWS + c) * row + i, r[c]);
        }
}

void slm_cpu__attention_backward_amx(const slm_cpu__attention_gradient *job,
                                     const slm_kv_span *span, size_t kv_head, float *below,
                                     float *scratch)
{
    const slm_kv_shape *shape = job->shape;
    const size_t kv_heads = (size_t)shape->kv_heads, group = job->heads / kv_heads;
    const size_t position = (size_t)span->position, rows = (size_t)span->rows;
    const size_t all_keys = position + rows, dim = (size_t)shape->head_dim;
    work w = {.job = job, .dim = dim, .all = slm_kernel__round_up(all_keys, TOKENS)};
    lay_out(&w, scratch);
    read_keys(&w, span, kv_head, all_keys);
    amx_configure((const uint8_t[AMX_TILES]){ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS});
    for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        for (size_t r = 0; r < rows; r += QUERIES) {
            const size_t queries = rows - r < QUERIES ? rows - r : QUERIES;
            const size_t keys = slm_kernel__round_up(position + r + queries, STEP);
            const size_t row = job->heads * dim;
            const size_t at = (((size_t)span->row + r) * job->heads + head) * dim;
            read_queries(&w, at, row, queries);
            for (size_t key = 0; key < keys; key += 2 * ROWS)
                score_keys(&w, key);
            weigh(&w, keys, position + r + 1);
            for (size_t i = 0; i < dim; i += 2 * ROWS) {
                add_keys(&w, w.p, w.dy_pairs, keys, i, w.dv);
                add_keys(&w, w.ds, w.q_pairs, keys, i, w.dk);
                sum_queries(&w, keys, i);
            }
            store_queries(&w, at, row, queries);
        }
    }
    _tile_release();
    for (size_t j = 0; j < all_keys; j++) {
        const size_t own = (((size_t)span->row + j - position) * kv_heads + kv_head) * dim;
        float *dk = job->dk + own, *dv = job->dv + own;
        if (j < position) {
            if (below == NULL) continue;
            dk = below + j * 2 * dim;
            dv = dk + dim;
        }
        memcpy(dk, w.dk + j * dim, dim * sizeof *dk);
        memcpy(dv, w.dv + j * dim, dim * sizeof *dv);
    }
}
