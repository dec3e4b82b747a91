/* gemm_avx512.c: linear layers with AVX-512 FMA, for f32 weights and for bf16 weights on a CPU
 * without bf16 instructions.
 *
 * The scheme of gemm_avx512bf16.c: a tile of 8 rows by 3 blocks of 16 outputs in registers, k from
 * first to last, one fused multiply-add for each product in that order whatever the tile, weights
 * of the next blocks fetched to L2 meanwhile. bf16 weights are widened by a shift (the even k of a
 * pair) or a mask (the odd one); the inputs were widened once by the caller. */
#include "kernel/cpu/gemm512.h"

enum { ROWS = 8, BLOCKS = 3, LANES = SLM_KERNEL_BLOCK };

/* One step of k: the weights at w (`half`: 0 f32, 1 the even of bf16 pairs, 2 the odd). */
INLINE void step_of_k(const int rows, const int blocks, const int half, const float *x, size_t row,
                      const char *w, size_t stride, __m512 *sum)
{
    __m512 weight[BLOCKS];
#pragma GCC unroll 3
    for (int c = 0; c < blocks; c++) {
        const __m512i raw = _mm512_load_si512(w + (size_t)c * stride);
        weight[c] =
            half == 0 ? _mm512_castsi512_ps(raw)
            : half == 1
                ? _mm512_castsi512_ps(_mm512_slli_epi32(raw, 16))
                : _mm512_castsi512_ps(_mm512_and_si512(raw, _mm512_set1_epi32((int)0xffff0000)));
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const __m512 value = _mm512_set1_ps(x[(size_t)r * row]);
#pragma GCC unroll 3
        for (int c = 0; c < blocks; c++)
            sum[r * blocks + c] = _mm512_fmadd_ps(value, weight[c], sum[r * blocks + c]);
    }
}

INLINE void tile(const bool wide, const int rows, const int blocks, const slm_cpu__gemm *job,
                 size_t row, size_t block)
{
    const size_t k = job->k, stride = job->block_bytes;
    const float *x = (const float *)job->x + row * job->stride;
    const char *w = slm_cpu__block(job, block);
    const size_t ahead = job->cached ? 0 : (size_t)blocks * stride;
    __m512 sum[ROWS * BLOCKS];
#pragma GCC unroll 24
    for (int i = 0; i < rows * blocks; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t p = 0; p < k; p += wide ? 1 : 2, w += 64) {
#pragma GCC unroll 3
        for (int c = 0; c < blocks; c++)
            _mm_prefetch(w + (size_t)c * stride + ahead, _MM_HINT_T1);
        step_of_k(rows, blocks, wide ? 0 : 1, x + p, job->stride, w, stride, sum);
        if (!wide && p + 1 < k) step_of_k(rows, blocks, 2, x + p + 1, job->stride, w, stride, sum);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
        for (int c = 0; c < blocks; c++)
            slm_cpu__store_block(job, sum[r * blocks + c], row + (size_t)r, block + (size_t)c);
    }
}

INLINE void tile_rows(const bool wide, const int blocks, const slm_cpu__gemm *job, size_t rows,
                      size_t row, size_t block)
{
    switch (rows) {
    case 1:
        tile(wide, 1, blocks, job, row, block);
        break;
    case 2:
        tile(wide, 2, blocks, job, row, block);
        break;
    case 3:
        tile(wide, 3, blocks, job, row, block);
        break;
    case 4:
        tile(wide, 4, blocks, job, row, block);
        break;
    case 5:
        tile(wide, 5, blocks, job, row, block);
        break;
    case 6:
        tile(wide, 6, blocks, job, row, block);
        break;
    case 7:
        tile(wide, 7, blocks, job, row, block);
        break;
    default:
        tile(wide, 8, blocks, job, row, block);
        break;
    }
}

INLINE void gemm(const bool wide, const slm_cpu__gemm *job, size_t begin, size_t end)
{
    const size_t tiles = (job->m + ROWS - 1) / ROWS;
    for (size_t block = begin; block < end;) {
        const size_t blocks = end - block < BLOCKS ? end - block : BLOCKS;
        for (size_t t = 0; t < tiles; t++) {
            const size_t row = job->m * t / tiles, rows = job->m * (t + 1) / tiles - row;
            if (blocks == 3)
                tile_rows(wide, 3, job, rows, row, block);
            else if (blocks == 2)
                tile_rows(wide, 2, job, rows, row, block);
            else
                tile_rows(wide, 1, job, rows, row, block);
        }
        block += blocks;
    }
}

void slm_cpu__gemm_f32_avx512(const slm_cpu__gemm *job, size_t begin, size_t end)
{
    gemm(true, job, begin, end);
}

void slm_cpu__gemm_bf16_avx512(const slm_cpu__gemm *job, size_t begin, size_t end)
{
    gemm(false, job, begin, end);
}
