/* gemm_avx2.c: linear layers with AVX2 and FMA, over the same packed weights: a block of 16 outputs
 * is two vectors of 8.
 *
 * A tile is up to 6 rows by one block (12 of the 16 registers are sums), or up to 3 rows by two
 * blocks when there are few rows. Each output is one chain of fused multiply-adds with k ascending,
 * the same in any tile. bf16 weights are widened by a shift (the even k of a pair) or a mask (the
 * odd one); the inputs were widened once by the caller. */
#include "kernel/cpu/gemm256.h"

enum { ROWS = 6, FEW = 3, VECTORS = 4 };

/* One step of k: the weights at w (`half`: 0 f32, 1 the even of bf16 pairs, 2 the odd). */
INLINE void step_of_k(const int rows, const int vectors, const int half, const float *x, size_t row,
                      const char *w, size_t stride, __m256 *sum)
{
    __m256 weight[VECTORS];
#pragma GCC unroll 4
    for (int c = 0; c < vectors; c++) {
        const char *at = w + (size_t)(c / 2) * stride + (size_t)(c % 2) * sizeof(__m256);
        const __m256i raw = _mm256_load_si256((const __m256i *)(const void *)at);
        weight[c] =
            half == 0 ? _mm256_castsi256_ps(raw)
            : half == 1
                ? _mm256_castsi256_ps(_mm256_slli_epi32(raw, 16))
                : _mm256_castsi256_ps(_mm256_and_si256(raw, _mm256_set1_epi32((int)0xffff0000)));
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        const __m256 value = _mm256_broadcast_ss(x + (size_t)r * row);
#pragma GCC unroll 4
        for (int c = 0; c < vectors; c++)
            sum[r * vectors + c] = _mm256_fmadd_ps(value, weight[c], sum[r * vectors + c]);
    }
}

INLINE void tile(const bool wide, const int rows, const int vectors, const slm_cpu__gemm *job,
                 size_t row, size_t block)
{
    const size_t k = job->k, stride = job->block_bytes;
    const float *x = (const float *)job->x + row * job->stride;
    const char *w = slm_cpu__block(job, block);
    const size_t ahead = job->cached ? 0 : (size_t)(vectors / 2) * stride;
    __m256 sum[12];
#pragma GCC unroll 12
    for (int i = 0; i < rows * vectors; i++)
        sum[i] = _mm256_setzero_ps();
    for (size_t p = 0; p < k; p += wide ? 1 : 2, w += 64) {
#pragma GCC unroll 2
        for (int b = 0; b < vectors / 2; b++)
            _mm_prefetch(w + (size_t)b * stride + ahead, _MM_HINT_T1);
        step_of_k(rows, vectors, wide ? 0 : 1, x + p, job->stride, w, stride, sum);
        if (!wide && p + 1 < k) step_of_k(rows, vectors, 2, x + p + 1, job->stride, w, stride, sum);
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int c = 0; c < vectors; c++) {
            const size_t column = block * SLM_KERNEL_BLOCK + (size_t)c * 8;
            if (column < job->n)
                slm_cpu__store_half(job, sum[r * vectors + c], row + (size_t)r, column);
        }
    }
}

INLINE void gemm(const bool wide, const slm_cpu__gemm *job, size_t begin, size_t end)
{
    const size_t tiles = (job->m + ROWS - 1) / ROWS;
    size_t block = begin;
    if (job->m <= FEW) {
        for (; block + 2 <= end; block += 2) {
            switch (job->m) {
            case 1:
                tile(wide, 1, 4, job, 0, block);
                break;
            case 2:
                tile(wide, 2, 4, job, 0, block);
                break;
            default:
                tile(wide, 3, 4, job, 0, block);
                break;
            }
        }
    }
    for (; block < end; block++) {
        for (size_t t = 0; t < tiles; t++) {
            const size_t row = job->m * t / tiles, rows = job->m * (t + 1) / tiles - row;
            switch (rows) {
            case 1:
                tile(wide, 1, 2, job, row, block);
                break;
            case 2:
                tile(wide, 2, 2, job, row, block);
                break;
            case 3:
                tile(wide, 3, 2, job, row, block);
                break;
            case 4:
                tile(wide, 4, 2, job, row, block);
                break;
            case 5:
                tile(wide, 5, 2, job, row, block);
                break;
            default:
                tile(wide, 6, 2, job, row, block);
                break;
            }
        }
    }
}

void slm_cpu__gemm_f32_avx2(const slm_cpu__gemm *job, size_t begin, size_t end)
{
    gemm(true, job, begin, end);
}

void slm_cpu__gemm_bf16_avx2(const slm_cpu__gemm *job, size_t begin, size_t end)
{
    gemm(false, job, begin, end);
}
