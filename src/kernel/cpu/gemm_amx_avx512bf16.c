/* gemm_amx_avx512bf16.c: linear layers in bf16 on the AMX matrix unit.
 *
 * TDPBF16PS multiplies a tile of 16 rows by 32 steps of k with a tile of 16 pairs of k by 16
 * outputs, which is just how weights are packed: 1 KiB of a block, in order. It adds to each f32
 * output the same sequence of products whatever the number of rows in the tile (Intel SDM, volume
 * 2), and tiles run through k in ascending order, so an output does not depend on m. What is left
 * of k below 32 is added by VDPBF16PS in pairs, k ascending.
 *
 * Up to 32 rows pass together: two tiles of inputs by two blocks of outputs are four tiles of sums,
 * 4 KiB loaded for four products. Fewer than 17 rows are one tile by four blocks. With many rows,
 * groups of 32 pass over two blocks that stay in the cache. The rows of tiles are set by a
 * configuration register, rewritten only when the size of a group changes. */
#include "kernel/cpu/amx.h"
#include "kernel/cpu/gemm512.h"

#include <string.h>

enum { TILE_ROWS = AMX_ROWS, TILE_K = 32, TILE_BYTES = 1024, GROUP = 32, LANES = SLM_KERNEL_BLOCK };

/* Tiles 0..3 are sums, 4 and 5 inputs, 6 and 7 weights. With two tiles of inputs, sums 0 and 1
 * belong to the first, 2 and 3 to the second; with one, 0..3 to four blocks. */
static void configure(size_t first, size_t second)
{
    const uint8_t a = (uint8_t)first, b = second > 0 ? (uint8_t)second : a;
    amx_configure((const uint8_t[AMX_TILES]){a, a, b, b, a, b, AMX_ROWS, AMX_ROWS});
}

/* The same where k itself is less than a step, as the inner side of a LoRA pair: tiles of inputs are
 * narrower, tiles of weights lower. */
static void configure_short(size_t first, size_t second, size_t k)
{
    const uint8_t a = (uint8_t)first, b = second > 0 ? (uint8_t)second : a,
                  pairs = (uint8_t)(k / 2);
    const uint16_t all = AMX_ROW_BYTES, some = (uint16_t)(k * sizeof(uint16_t));
    amx_configure_bytes((const uint8_t[AMX_TILES]){a, a, b, b, a, b, pairs, pairs},
                        (const uint16_t[AMX_TILES]){all, all, all, all, some, some, all, all});
}

/* Steps of k in one product. */
INLINE size_t step_of(size_t k)
{
    return k < TILE_K && k % 2 == 0 ? k : TILE_K;
}

/* Add what is left of k, the bias and what was in y, to 16 outputs of `rows` rows; store them. */
static void finish(const slm_cpu__gemm *job, const float *sums, size_t row, size_t rows,
                   size_t block)
{
    const size_t k = job->k, whole = k / step_of(k) * step_of(k);
    const char *w = whole < k ? slm_cpu__block(job, block) : NULL;
    for (size_t r = 0; r < rows; r++) {
        const uint16_t *x = (const uint16_t *)job->x + (row + r) * job->stride;
        __m512 sum = _mm512_loadu_ps(sums + r * LANES);
        for (size_t p = whole; p < k; p += 2) {
            uint16_t pair[2] = {x[p], p + 1 < k ? x[p + 1] : 0};
            int32_t both;
            memcpy(&both, pair, sizeof both);
            sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_load_si512(w + p / 2 * 64),
                                   (__m512bh)_mm512_set1_epi32(both));
        }
        slm_cpu__store_block(job, sum, row + r, block);
    }
}

/* Bring a tile of weights that will be needed soon to the L2 cache. */
INLINE void fetch(const char *w)
{
    if (w == NULL) return;
#pragma GCC unroll 16
    for (int i = 0; i < TILE_BYTES; i += 64)
        _mm_prefetch(w + i, _MM_HINT_T1);
}

/* Where a block behind `block` stands that is to be fetched; behind the end, what is read next. */
INLINE const char *upcoming(const bool ahead, const slm_cpu__gemm *job, size_t block, size_t end)
{
    if (!ahead) return NULL;
    if (block < end) return slm_cpu__block(job, block);
    return job->next == NULL ? NULL : job->next + (block - end) * job->block_bytes;
}

/* Bring what two rows of two blocks of outputs will be added to: it may come from far, and a long sum
 * is time enough. */
INLINE void fetch_outputs(const slm_cpu__gemm *job, const float *y)
{
    _mm_prefetch(y, _MM_HINT_T0);
    _mm_prefetch(y + LANES, _MM_HINT_T0);
    _mm_prefetch(y + job->n, _MM_HINT_T0);
    _mm_prefetch(y + job->n + LANES, _MM_HINT_T0);
}

/* The number of a tile must be a constant. */
#define STORE(tile, row, rows, block)                                                              \
    do {                                                                                           \
        if ((block) < end) {                                                                       \
            _tile_stored(tile, sums, LANES * sizeof(float));                                       \
            finish(job, sums, row, rows, block);                                                   \
        }                                                                                          \
    } while (0)

/* Rows [row, row + first + second) of two blocks (the second may not exist). */
INLINE void two_tiles(const bool ahead, const slm_cpu__gemm *job, size_t row, size_t first,
                      size_t second, size_t block, size_t end)
{
    const size_t k = job->k, stride = job->stride * sizeof(uint16_t), step = step_of(k);
    const char *x = (const char *)job->x + row * stride, *x2 = x + first * stride;
    const char *w = slm_cpu__block(job, block);
    const char *w2 = block + 1 < end ? w + job->block_bytes : w;
    const char *a = upcoming(ahead, job, block + 2, end),
               *a2 = upcoming(ahead, job, block + 3, end);
    float sums[TILE_ROWS * LANES] __attribute__((aligned(64)));
    size_t at = 0; /* in the weights of a block */
    const float *y = job->y + row * job->n + block * LANES;
    size_t wanted = job->add ? first + second : 0; /* rows of y to be fetched */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t p = 0; p + step <= k; p += step) {
        if (wanted >= 2) {
            fetch_outputs(job, y);
            y += 2 * job->n, wanted -= 2;
        }
        _tile_loadd(4, x, stride);
        _tile_loadd(6, w, 64);
        _tile_loadd(7, w2, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, x2, stride);
        fetch(a == NULL ? NULL : a + at);
        fetch(a2 == NULL ? NULL : a2 + at);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        x += 64, x2 += 64, w += TILE_BYTES, w2 += TILE_BYTES, at += TILE_BYTES;
    }
    STORE(0, row, first, block);
    STORE(1, row, first, block + 1);
    STORE(2, row + first, second, block);
    STORE(3, row + first, second, block + 1);
}

/* Up to 16 rows of four blocks (the last three may not exist). */
INLINE void one_tile(const bool ahead, const slm_cpu__gemm *job, size_t row, size_t rows,
                     size_t block, size_t end, size_t last)
{
    const size_t k = job->k, stride = job->stride * sizeof(uint16_t);
    const size_t bytes = job->block_bytes, step = step_of(k);
    const char *x = (const char *)job->x + row * stride, *w = slm_cpu__block(job, block);
    const char *w1 = block + 1 < end ? w + bytes : w, *w2 = block + 2 < end ? w + 2 * bytes : w;
    const char *w3 = block + 3 < end ? w + 3 * bytes : w;
    const char *a = upcoming(ahead, job, block + 4, last),
               *a1 = upcoming(ahead, job, block + 5, last);
    const char *a2 = upcoming(ahead, job, block + 6, last),
               *a3 = upcoming(ahead, job, block + 7, last);
    float sums[TILE_ROWS * LANES] __attribute__((aligned(64)));
    size_t at = 0; /* in the weights of a block */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t p = 0; p + step <= k; p += step) {
        _tile_loadd(4, x, stride);
        _tile_loadd(6, w, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w1, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(6, w2, 64);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(7, w3, 64);
        _tile_dpbf16ps(3, 4, 7);
        fetch(a == NULL ? NULL : a + at);
        fetch(a1 == NULL ? NULL : a1 + at);
        fetch(a2 == NULL ? NULL : a2 + at);
        fetch(a3 == NULL ? NULL : a3 + at);
        x += 64, w += TILE_BYTES, w1 += TILE_BYTES, w2 += TILE_BYTES, w3 += TILE_BYTES;
        at += TILE_BYTES;
    }
    STORE(0, row, rows, block);
    STORE(1, row, rows, block + 1);
    STORE(2, row, rows, block + 2);
    STORE(3, row, rows, block + 3);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void slm_cpu__gemm_amx(const slm_cpu__gemm *job, size_t begin, size_t end)
{
    const size_t groups = (job->m + GROUP - 1) / GROUP;
    size_t configured = 0;
    const size_t blocks = job->m <= TILE_ROWS ? 4 : 2;
    for (size_t block = begin; block < end; block += blocks) {
        for (size_t g = 0; g < groups; g++) {
            const size_t row = job->m * g / groups, rows = job->m * (g + 1) / groups - row;
            const size_t second = rows <= TILE_ROWS ? 0 : rows / 2, first = rows - second;
            if (rows != configured) {
                if (step_of(job->k) == TILE_K)
                    configure(first, second);
                else
                    configure_short(first, second, job->k);
                configured = rows;
            }
            /* The first rows wait for these weights: ask for the next ones. */
            const bool ahead = g == 0 && !job->cached;
            const size_t stop = least(end, block + blocks);
            if (second == 0 && ahead)
                one_tile(true, job, row, first, block, stop, end);
            else if (second == 0)
                one_tile(false, job, row, first, block, stop, end);
            else if (ahead)
                two_tiles(true, job, row, first, second, block, end);
            else
                two_tiles(false, job, row, first, second, block, end);
        }
    }
    if (configured > 0) _tile_release();
}

/* ---- weights that are kept quantised ------------------------------------------------------- */

enum { AHEAD = 2 }; /* groups of 32 k that are widened at once */

/* Widen groups [group, stop) of four blocks (of two, with two tiles of inputs) into `to`. A group of
 * a block is a tile, and `AHEAD` of them follow each other. */
static void widen_some(const slm_cpu__quantised *w, size_t block, size_t end, size_t blocks,
                       size_t group, size_t stop, char *to)
{
    for (size_t b = block; b < block + blocks && b < end; b++, to += AHEAD * TILE_BYTES)
        slm_cpu__quant_pairs(w->quant, w->panels + b * w->panel_bytes, group, stop,
                             blocks * w->panel_bytes, to);
}

/* As one_tile, and two_tiles: weights come by way of a buffer in the L1 cache, which is filled with
 * the next groups before the last ones are multiplied, so that neither waits for the other. The
 * tiles and their order are the same, and so are the results, to the bit. */
static void few_rows(const slm_cpu__gemm *job, const slm_cpu__quantised *w, size_t first,
                     size_t second, size_t block, size_t end)
{
    const size_t stride = job->stride * sizeof(uint16_t), groups = job->k / TILE_K;
    const size_t step = AHEAD * TILE_BYTES;
    const char *x = (const char *)job->x, *x2 = x + first * stride;
    char buffer[2][4 * AHEAD * TILE_BYTES] __attribute__((aligned(64)));
    float sums[TILE_ROWS * LANES] __attribute__((aligned(64)));
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    widen_some(w, block, end, second > 0 ? 2 : 4, 0, least(AHEAD, groups), buffer[0]);
    for (size_t g = 0; g < groups; g += AHEAD) {
        const char *at = buffer[g / AHEAD % 2];
        if (g + AHEAD < groups)
            widen_some(w, block, end, second > 0 ? 2 : 4, g + AHEAD, least(g + 2 * AHEAD, groups),
                       buffer[(g / AHEAD + 1) % 2]);
        for (size_t p = g; p < least(g + AHEAD, groups); p++, at += TILE_BYTES) {
            _tile_loadd(4, x + 64 * p, stride);
            _tile_loadd(6, at, 64);
            _tile_loadd(7, at + step, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            if (second > 0) {
                _tile_loadd(5, x2 + 64 * p, stride);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            } else {
                _tile_loadd(6, at + 2 * step, 64);
                _tile_loadd(7, at + 3 * step, 64);
                _tile_dpbf16ps(2, 4, 6);
                _tile_dpbf16ps(3, 4, 7);
            }
        }
    }
    const size_t third = second > 0 ? block : block + 2, rows = second > 0 ? second : first;
    STORE(0, 0, first, block);
    STORE(1, 0, first, block + 1);
    STORE(2, third == block ? first : 0, rows, third);
    STORE(3, third == block ? first : 0, rows, third + 1);
}

void slm_cpu__gemm_amx_quantised(const slm_cpu__gemm *job, const slm_cpu__quantised *w,
                                 size_t begin, size_t end)
{
    SLM_ASSERT(job->m <= GROUP && job->k % TILE_K == 0);
    const size_t second = job->m <= TILE_ROWS ? 0 : job->m / 2, first = job->m - second;
    const size_t blocks = second > 0 ? 2 : 4;
    if (begin == end) return;
    configure(first, second);
    for (size_t block = begin; block < end; block += blocks)
        few_rows(job, w, first, second, block, end);
    _tile_release();
}
