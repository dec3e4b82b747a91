/* attention_amx_avx512bf16.c: causal attention over bf16 pages on the AMX matrix unit.
 *
 * The same walk as attention.h: blocks of 64 keys from the sequence's first token on, with an online
 * softmax (Milakov and Gimelshein 2018; Dao et al. 2022). Queries and weights are rounded to bf16 in
 * two parts each, x = high + low, so that a product loses no more than K and V have lost already;
 * sums are f32. K lies as pairs of dimensions by keys and V as pairs of keys by dimensions, which is
 * how TDPBF16PS wants its second operand, so both are loaded as they are.
 *
 * Up to 16 queries of one kv head are the rows of a tile: those of several rows of the batch. As long
 * as these share a page (chunks of a prompt, rollouts of one prompt), it is read once for all; where
 * their pages part, each row goes on by itself. A row of a tile is computed alike whatever the others
 * hold, and the sequence of its products does not depend on their number (gemm_amx_avx512bf16.c), so
 * neither the division into tiles nor the rest of the batch can change a result. Keys behind a query
 * have weight 0: pages hold finite numbers everywhere (fresh ones are zeroed). */
#include "kernel/cpu/amx.h"
#include "kernel/cpu/vec.h"

#include "kernel/cpu/cpu.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum {
    TOKENS = SLM_PAGE_TOKENS,
    ROWS = AMX_ROWS, /* of a tile: queries at once */
    STEP = 32,       /* of k in one product */
    SUMS = 4,        /* tiles of sums: 64 keys, or 64 dimensions */
    KEYS = 16,       /* in a tile of scores; also dimensions in a tile of values */
    PARTS = 2,       /* high and low */
    WIDEST = 256     /* head_dim that this is made for */
};

/* What a thread works with; 16 queries. */
typedef struct work {
    float total[ROWS][WIDEST];
    float score[ROWS][TOKENS];
    uint16_t query[PARTS][ROWS][WIDEST];
    uint16_t weight[PARTS][ROWS][TOKENS];
    float max[ROWS], sum[ROWS];
} work;

/* Tiles 0..3 are sums, 4 and 5 queries or weights (high, low), 6 and 7 keys or values. */
static void configure(size_t queries)
{
    const uint8_t q = (uint8_t)queries;
    amx_configure((const uint8_t[AMX_TILES]){q, q, q, q, q, q, AMX_ROWS, AMX_ROWS});
}

/* One row of the batch in the tile: its queries, and its pages. */
typedef struct member {
    const int32_t *pages;
    size_t keys;         /* that it sees */
    size_t first, count; /* its queries in the tile */
    size_t out;          /* index of its first query's first number in q and y */
} member;

/* high + low = x but for the last bits. */
INLINE void split(uint16_t *high, uint16_t *low, vec x)
{
    const __m256bh first = _mm512_cvtneps_pbh(x);
    _mm256_store_si256((__m256i *)(void *)high, (__m256i)first);
    const vec rest = v_sub(x, v_load_bf16(high));
    _mm256_store_si256((__m256i *)(void *)low, (__m256i)_mm512_cvtneps_pbh(rest));
}

/* Pages that come next, brought to the L2 cache a few lines at each step of the loops. */
typedef struct ahead {
    const char *at[2 * ROWS];
    size_t count, done; /* areas of `lines` lines */
    size_t lines, line; /* of an area; of the first that is not done */
    size_t pace;        /* lines at a step */
} ahead;

INLINE void fetch(ahead *next)
{
    for (size_t i = 0; i < next->pace && next->done < next->count; i++) {
        _mm_prefetch(next->at[next->done] + 64 * next->line, _MM_HINT_T1);
        if (++next->line == next->lines) next->line = 0, next->done++;
    }
}

/* The number of a tile must be a constant. */
#define SCORES(tile, keys)                                                                         \
    do {                                                                                           \
        _tile_loadd(keys, at + (tile)*KEYS * 2 * sizeof(uint16_t), TOKENS * 2 * sizeof(uint16_t)); \
        _tile_dpbf16ps(tile, 4, keys);                                                             \
        _tile_dpbf16ps(tile, 5, keys);                                                             \
        fetch(next);                                                                               \
    } while (0)

/* score[c][j] = query[c] . k[j] of the tile's queries from `first` on, for 64 keys. */
static void score_block(work *w, size_t first, const char *k, size_t dim, ahead *next)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t i = 0; i < dim; i += STEP) {
        const char *at = k + i * TOKENS * sizeof(uint16_t);
        _tile_loadd(4, &w->query[0][first][i], sizeof w->query[0][0]);
        _tile_loadd(5, &w->query[1][first][i], sizeof w->query[1][0]);
        SCORES(0, 6);
        SCORES(1, 7);
        SCORES(2, 6);
        SCORES(3, 7);
    }
    _tile_stored(0, &w->score[first][0], sizeof w->score[0]);
    _tile_stored(1, &w->score[first][KEYS], sizeof w->score[0]);
    _tile_stored(2, &w->score[first][2 * KEYS], sizeof w->score[0]);
    _tile_stored(3, &w->score[first][3 * KEYS], sizeof w->score[0]);
}

#define VALUES(tile, values)                                                                       \
    do {                                                                                           \
        _tile_loadd(values, at + (tile)*KEYS * 2 * sizeof(uint16_t),                               \
                    width * 2 * sizeof(uint16_t));                                                 \
        _tile_dpbf16ps(tile, 4, values);                                                           \
        _tile_dpbf16ps(tile, 5, values);                                                           \
        fetch(next);                                                                               \
    } while (0)

/* total[c][i] += weight[c] . v[, i] of the tile's queries from `first` on. */
static void value_block(work *w, size_t first, const char *v, size_t width, ahead *next)
{
    const size_t row = sizeof w->total[0];
    for (size_t i = 0; i < width; i += SUMS * KEYS) {
        const size_t tiles = (width - i) / KEYS < SUMS ? (width - i) / KEYS : SUMS;
        float *total = &w->total[first][i];
        _tile_loadd(0, total, row);
        if (tiles > 1) _tile_loadd(1, total + KEYS, row);
        if (tiles > 2) _tile_loadd(2, total + 2 * KEYS, row);
        if (tiles > 3) _tile_loadd(3, total + 3 * KEYS, row);
        for (size_t j = 0; j < TOKENS; j += STEP) {
            const char *at = v + (j * width + 2 * i) * sizeof(uint16_t);
            _tile_loadd(4, &w->weight[0][first][j], sizeof w->weight[0][0]);
            _tile_loadd(5, &w->weight[1][first][j], sizeof w->weight[1][0]);
            VALUES(0, 6);
            if (tiles > 1) VALUES(1, 7);
            if (tiles > 2) VALUES(2, 6);
            if (tiles > 3) VALUES(3, 7);
        }
        _tile_stored(0, total, row);
        if (tiles > 1) _tile_stored(1, total + KEYS, row);
        if (tiles > 2) _tile_stored(2, total + 2 * KEYS, row);
        if (tiles > 3) _tile_stored(3, total + 3 * KEYS, row);
    }
}

/* Scores of one query to weights: of its first `count` keys of the block; its total and sum are
 * scaled to the new maximum. */
INLINE void weigh(work *w, size_t c, size_t count, float scale, size_t width)
{
    const vec scales = v_set1(scale), lowest = v_set1(-INFINITY);
    vec s[TOKENS / LANES], high = lowest, sum = v_set1(0.0f);
#pragma GCC unroll 4
    for (size_t i = 0; i < TOKENS / LANES; i++) {
        const size_t before = i * LANES;
        const __mmask16 seen = v_first(count > before ? count - before : 0);
        s[i] = _mm512_mask_mul_ps(lowest, seen, v_load(w->score[c] + before), scales);
        high = v_max(s[i], high);
    }
    const float block_max = v_reduce_max(high), old = w->max[c];
    const float max = block_max > old ? block_max : old;
#pragma GCC unroll 4
    for (size_t i = 0; i < TOKENS / LANES; i++) {
        s[i] = v_exp(v_sub(s[i], v_set1(max)));
        sum = v_add(sum, s[i]);
        split(w->weight[0][c] + i * LANES, w->weight[1][c] + i * LANES, s[i]);
    }
    if (max > old) {
        const vec keep = v_exp(v_set1(old - max));
        for (size_t i = 0; i < width; i += LANES)
            v_store(w->total[c] + i, v_mul(v_load(w->total[c] + i), keep));
        w->sum[c] *= _mm512_cvtss_f32(keep);
        w->max[c] = max;
    }
    w->sum[c] += v_reduce_add(sum);
}

/* What the blocks of one tile have in common. */
typedef struct walk {
    const slm_cpu__attention *job;
    size_t page_bytes, k_offset, v_offset, dim, width;
    work *w;
    ahead next;
} walk;

static const char *page_at(const walk *t, const member *one, size_t block)
{
    return t->job->cache + (size_t)one->pages[block] * t->page_bytes;
}

static void weigh_block(const walk *t, const member *one, size_t block)
{
    const size_t left = one->keys - block * TOKENS;
    for (size_t c = 0; c < one->count; c++)
        weigh(t->w, one->first + c, left < TOKENS ? left : TOKENS, t->job->scale, t->width);
}

static size_t blocks_of(const member *one)
{
    return (one->keys + TOKENS - 1) / TOKENS;
}

/* How many of the first blocks all members share. */
static size_t shared_blocks(const member *members, size_t count)
{
    size_t shared = blocks_of(&members[0]);
    for (size_t i = 1; i < count; i++) {
        size_t same = 0, most = blocks_of(&members[i]);
        if (members[i].pages == members[0].pages)
            same = most;
        else
            while (same < most && same < shared && members[i].pages[same] == members[0].pages[same])
                same++;
        if (same < shared) shared = same;
    }
    return shared;
}

static void load_queries(const walk *t, const member *one)
{
    work *w = t->w;
    for (size_t c = 0; c < one->count; c++) {
        const float *q = t->job->q + one->out + c * t->dim;
        const size_t at = one->first + c;
        for (size_t i = 0; i < t->dim; i += LANES)
            split(&w->query[0][at][i], &w->query[1][at][i], v_load(q + i));
        for (size_t i = 0; i < t->width; i += LANES)
            v_store(&w->total[at][i], v_set1(0.0f));
        w->max[at] = -INFINITY;
        w->sum[at] = 0.0f;
    }
}

static void store_rows(const walk *t, const member *one)
{
    const slm_cpu__attention *job = t->job;
    for (size_t c = 0; c < one->count; c++) {
        const vec sum = v_set1(t->w->sum[one->first + c]);
        const size_t to = one->out + c * t->dim;
        for (size_t i = 0; i < t->dim; i += LANES) {
            const vec y = v_div(v_load(&t->w->total[one->first + c][i]), sum);
            if (job->act == SLM_F32)
                v_store((float *)(void *)job->y + to + i, y);
            else
                v_store_bf16((uint16_t *)(void *)job->y + to + i, y);
        }
    }
}

/* What a round of `blocks` blocks brings nearer: the first `count` members' pages of `block`. */
static void look_ahead(walk *t, const member *members, size_t count, size_t block, size_t blocks)
{
    ahead *next = &t->next;
    const size_t steps = blocks * (t->dim + 2 * t->width) / STEP * SUMS / 2;
    next->count = next->done = next->line = 0;
    next->lines = (t->v_offset - t->k_offset) / 64;
    for (size_t i = 0; i < count; i++) {
        if (block >= blocks_of(&members[i])) continue;
        next->at[next->count++] = page_at(t, &members[i], block) + t->k_offset;
        next->at[next->count++] = page_at(t, &members[i], block) + t->v_offset;
    }
    next->pace = (next->count * next->lines + steps - 1) / steps;
}

/* Block `block` of every member that has one, each with its own page. The three parts are done for
 * all before the next, so that none waits for its own. */
static void own_blocks(walk *t, const member *members, size_t count, size_t block)
{
    size_t blocks = 0;
    for (size_t i = 0; i < count; i++)
        blocks += block < blocks_of(&members[i]);
    look_ahead(t, members, count, block + 1, blocks);
    for (size_t i = 0; i < count; i++)
        if (block < blocks_of(&members[i]))
            score_block(t->w, members[i].first, page_at(t, &members[i], block) + t->k_offset,
                        t->dim, &t->next);
    for (size_t i = 0; i < count; i++)
        if (block < blocks_of(&members[i])) weigh_block(t, &members[i], block);
    for (size_t i = 0; i < count; i++)
        if (block < blocks_of(&members[i]))
            value_block(t->w, members[i].first, page_at(t, &members[i], block) + t->v_offset,
                        t->width, &t->next);
}

/* Up to 16 queries: all blocks that the members share, then each with its own pages. */
static void attend(walk *t, const member *members, size_t count)
{
    const size_t shared = shared_blocks(members, count);
    size_t queries = 0, most = 0;
    for (size_t i = 0; i < count; i++) {
        load_queries(t, &members[i]);
        queries += members[i].count;
        if (blocks_of(&members[i]) > most) most = blocks_of(&members[i]);
    }
    configure(queries);
    for (size_t b = 0; b < shared; b++) {
        look_ahead(t, members, b + 1 < shared ? 1 : count, b + 1, 1);
        score_block(t->w, 0, page_at(t, members, b) + t->k_offset, t->dim, &t->next);
        for (size_t i = 0; i < count; i++)
            weigh_block(t, &members[i], b);
        value_block(t->w, 0, page_at(t, members, b) + t->v_offset, t->width, &t->next);
    }
    if (shared < most && members[0].count != queries) configure(members[0].count);
    for (size_t b = shared; b < most; b++)
        own_blocks(t, members, count, b);
    for (size_t i = 0; i < count; i++)
        store_rows(t, &members[i]);
}

size_t slm_cpu__attention_amx_scratch(void)
{
    return sizeof(work) / sizeof(float);
}

bool slm_cpu__attention_amx_can(const slm_kv_shape *shape)
{
    return shape->dtype == SLM_BF16 && shape->head_dim % STEP == 0 && shape->head_dim <= WIDEST;
}

void slm_cpu__attention_amx(const slm_cpu__attention *job, size_t begin, size_t end, float *scratch)
{
    const slm_kv_shape *shape = job->shape;
    const size_t group = job->heads / (size_t)shape->kv_heads;
    walk t = {.job = job,
              .page_bytes = slm_kv_page_bytes(shape),
              .dim = (size_t)shape->head_dim,
              .width = slm_kernel__kv_width(shape),
              .w = (work *)(void *)scratch};
    for (size_t u = begin; u < end;) {
        const size_t kv_head = u / job->rows;
        size_t row = u % job->rows, before = 0, s = 0;
        t.k_offset = slm_kernel__kv_offset(shape, job->layer, (int)kv_head, 0);
        t.v_offset = slm_kernel__kv_offset(shape, job->layer, (int)kv_head, 1);
        for (; row >= before + (size_t)job->spans[s].rows; s++)
            before += (size_t)job->spans[s].rows;
        /* A row with more queries than a tile has rows is done in parts. */
        for (size_t head = 0; head < group && group > ROWS; head += ROWS) {
            const slm_kv_span *span = &job->spans[s];
            const size_t r = row - before, left = group - head;
            const member one = {
                span->pages, (size_t)span->position + r + 1, 0, left < ROWS ? left : ROWS,
                (((size_t)span->row + r) * job->heads + kv_head * group + head) * t.dim};
            attend(&t, &one, 1);
        }
        if (group > ROWS) {
            u++;
            continue;
        }
        member members[ROWS];
        size_t count = 0;
        for (; u < end && row < job->rows && (count + 1) * group <= ROWS; u++, row++) {
            while (row >= before + (size_t)job->spans[s].rows) {
                before += (size_t)job->spans[s].rows;
                s++;
            }
            const slm_kv_span *span = &job->spans[s];
            const size_t r = row - before;
            members[count] =
                (member){span->pages, (size_t)span->position + r + 1, count * group, group,
                         (((size_t)span->row + r) * job->heads + kv_head * group) * t.dim};
            count++;
        }
        attend(&t, members, count);
    }
    _tile_release();
}
