/* gemm256.h: how the linear layers with AVX2 end: what is added to a sum, in which order. In a file
 * compiled for other instructions, this header is empty. */
#ifndef SLM_KERNEL_GEMM256_H
#define SLM_KERNEL_GEMM256_H

#ifdef __AVX2__

#include "kernel/cpu/cpu.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* Outputs [column, column + 8) of a row: the bias and what was in y are added, and they are stored. */
INLINE void slm_cpu__store_half(const slm_cpu__gemm *job, __m256 sum, size_t row, size_t column)
{
    float *y = job->y + row * job->n + column;
    if (column + 8 <= job->n) {
        if (job->bias != NULL) sum = _mm256_add_ps(sum, _mm256_loadu_ps(job->bias + column));
        if (job->add) sum = _mm256_add_ps(_mm256_loadu_ps(y), sum);
        _mm256_storeu_ps(y, sum);
        return;
    }
    float value[8];
    _mm256_storeu_ps(value, sum);
    for (size_t i = 0; column + i < job->n; i++) {
        if (job->bias != NULL) value[i] += job->bias[column + i];
        y[i] = job->add ? y[i] + value[i] : value[i];
    }
}

#endif
#endif
