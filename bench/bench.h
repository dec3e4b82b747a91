/* bench.h: what the programs of bench/ share: device memory, with random numbers in it. A program that
 * gets none ends. */
#ifndef SLM_BENCH_H
#define SLM_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include "base/progress.h"
#include "kernel/kernel.h"

static inline slm_mem bench_memory(slm_device *device, size_t bytes)
{
    slm_mem mem;
    slm_error err;
    if (slm_device_alloc(device, bytes, &mem, &err) != SLM_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return mem;
}

/* Random f32 in memory, from -scale / 2 to scale / 2. */
static inline slm_mem bench_numbers(slm_device *device, size_t count, float scale)
{
    float *host = malloc(count * sizeof *host);
    if (host == NULL) exit(1);
    slm_random random = slm_random_new(1, count);
    for (size_t i = 0; i < count; i++)
        host[i] = scale * ((float)slm_random_uniform(&random) - 0.5f);
    slm_mem mem = bench_memory(device, count * sizeof *host);
    slm_device_upload(device, mem, host, count * sizeof *host);
    free(host);
    return mem;
}

#endif
