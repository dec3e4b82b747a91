/* gemm_avx512bf16.c: linear layers in bf16 with VDPBF16PS.
 *
 * One instruction adds to each of 16 f32 accumulators the products of a pair of bf16: a 64-byte
 * vector of packed weights (16 outputs, two steps of k) times one row's pair, broadcast. A tile is
 * R rows by C blocks of outputs: R * C accumulators stay in registers while k runs from first to
 * last, so an output's sum is the same sequence of operations in a tile of any size: results do not
 * depend on m. With 8 x 3 a tile loads 11 vectors for 24 products.
 *
 * The three blocks' weights (54 KiB at k = 576, 144 KiB at 1536) stay in the L2 cache while all
 * rows pass, so weights come from memory once, and the next blocks are fetched to L2 meanwhile.
 * Rows are divided evenly among tiles. */
#include "kernel/cpu/gemm512.h"

#include <string.h>

enum { ROWS = 8, BLOCKS = 3, LANES = SLM_KERNEL_BLOCK };

/* A row's pair of inputs in every lane; x need not be aligned to the pair when k is odd. */
INLINE __m512bh pair_at(const uint16_t *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

INLINE void tile(const int rows, const int blocks, const slm_cpu__gemm *job, size_t row,
                 size_t block)
{
    const size_t k = job->k, step = job->block_bytes;
    const uint16_t *x = (const uint16_t *)job->x + row * job->stride;
    const char *w = slm_cpu__block(job, block);
    const size_t ahead = job->cached ? 0 : (size_t)blocks * step;
    __m512 sum[ROWS * BLOCKS];
#pragma GCC unroll 24
    for (int i = 0; i < rows * blocks; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t p = 0; p + 1 < k; p += 2, w += 64) {
        __m512bh weight[BLOCKS];
#pragma GCC unroll 3
        for (int c = 0; c < blocks; c++)
            weight[c] = (__m512bh)_mm512_load_si512(w + (size_t)c * step);
#pragma GCC unroll 3
        for (int c = 0; c < blocks; c++)
            _mm_prefetch(w + (size_t)c * step + ahead, _MM_HINT_T1);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const __m512bh pair = pair_at(x + (size_t)r * job->stride + p);
#pragma GCC unroll 3
            for (int c = 0; c < blocks; c++)
                sum[r * blocks + c] = _mm512_dpbf16_ps(sum[r * blocks + c], weight[c], pair);
        }
    }
    if (k % 2 != 0) {
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const __m512bh pair = (__m512bh)_mm512_set1_epi32(x[(size_t)r * job->stride + k - 1]);
#pragma GCC unroll 3
            for (int c = 0; c < blocks; c++)
                sum[r * blocks + c] = _mm512_dpbf16_ps(
                    sum[r * blocks + c], (__m512bh)_mm512_load_si512(w + (size_t)c * step), pair);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
        for (int c = 0; c < blocks; c++)
            slm_cpu__store_block(job, sum[r * blocks + c], row + (size_t)r, block + (size_t)c);
    }
}

INLINE void tile_rows(const int blocks, const slm_cpu__gemm *job, size_t rows, size_t row,
                      size_t block)
{
    switch (rows) {
    case 1:
        tile(1, blocks, job, row, block);
        break;
    case 2:
        tile(2, blocks, job, row, block);
        break;
    case 3:
        tile(3, blocks, job, row, block);
        break;
    case 4:
        tile(4, blocks, job, row, block);
        break;
    case 5:
        tile(5, blocks, job, row, block);
        break;
    case 6:
        tile(6, blocks, job, row, block);
        break;
    case 7:
        tile(7, blocks, job, row, block);
        break;
    default:
        tile(8, blocks, job, row, block);
        break;
    }
}

void slm_cpu__gemm_avx512bf16(const slm_cpu__gemm *job, size_t begin, size_t end)
{
    const size_t tiles = (job->m + ROWS - 1) / ROWS;
    for (size_t block = begin; block < end;) {
        const size_t blocks = end - block < BLOCKS ? end - block : BLOCKS;
        for (size_t t = 0; t < tiles; t++) {
            const size_t row = job->m * t / tiles, rows = job->m * (t + 1) / tiles - row;
            if (blocks == 3)
                tile_rows(3, job, rows, row, block);
            else if (blocks == 2)
                tile_rows(2, job, rows, row, block);
            else
                tile_rows(1, job, rows, row, block);
        }
        block += blocks;
    }
}
