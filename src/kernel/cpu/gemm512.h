/* gemm512.h: how the linear layers with AVX-512 end: what is added to a sum, in which order. In a file
 * compiled for other instructions, this header is empty. */
#ifndef SLM_KERNEL_GEMM512_H
#define SLM_KERNEL_GEMM512_H

#ifdef __AVX512F__

#include "kernel/cpu/cpu.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* 16 outputs of a row: the bias and what was in y are added, and they are stored. */
INLINE void slm_cpu__store_block(const slm_cpu__gemm *job, __m512 sum, size_t row, size_t block)
{
    const size_t column = block * SLM_KERNEL_BLOCK, left = job->n - column;
    const __mmask16 mask = (__mmask16)(left >= SLM_KERNEL_BLOCK ? 0xffffu : (1u << left) - 1);
    float *y = job->y + row * job->n + column;
    if (job->bias != NULL)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, job->bias + column));
    if (job->add) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), sum);
    _mm512_mask_storeu_ps(y, mask, sum);
}

#endif
#endif
