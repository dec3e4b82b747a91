/* kernel_test.h: what the kernel tests share: a device of each path, buffers, random numbers, and
 * comparisons. Every test runs once for each path; one that this CPU or build lacks is skipped. */
#ifndef SLM_TESTS_KERNEL_TEST_H
#define SLM_TESTS_KERNEL_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernel/kernel.h"

/* A test function once for each path, which it finds in *state. */
#define TEST_PATHS(function)                                                                       \
    TEST_PATH(function, "ref"), TEST_PATH(function, "avx2"), TEST_PATH(function, "avx512"),        \
        TEST_PATH(function, "avx512bf16"), TEST_PATH(function, "amx")
#define TEST_PATH(function, path)                                                                  \
    {                                                                                              \
#function " " path, function, NULL, NULL, (void *)path                                     \
    }

/* NULL when the path is not to be had here. */
static inline slm_device *test_open(const char *kernels, int threads)
{
    slm_device_options options = {kernels, threads};
    slm_device *device = NULL;
    slm_error err;
    slm_status status = slm_device_open(&options, &device, &err);
    if (status == SLM_ERR_UNSUPPORTED) return NULL;
    if (status != SLM_OK) fail_msg("%s", err.message);
    return device;
}

#define OPEN_OR_SKIP(device, state, threads)                                                       \
    slm_device *device = test_open((const char *)*(state), threads);                               \
    if (device == NULL) {                                                                          \
        skip();                                                                                    \
        return;                                                                                    \
    }                                                                                              \
    const slm_kernels *table = slm_device_table(device);                                           \
    (void)table

/* The same for what only a path that trains has. */
#define TRAINS_OR_SKIP(device, state, threads)                                                     \
    OPEN_OR_SKIP(device, state, threads);                                                          \
    if (!slm_device_trains(device)) {                                                              \
        slm_device_close(device);                                                                  \
        skip();                                                                                    \
        return;                                                                                    \
    }

/* Device memory of `bytes`, with `from` copied in unless NULL. */
static inline slm_mem test_mem(slm_device *device, const void *from, size_t bytes)
{
    slm_mem mem;
    slm_error err;
    if (slm_device_alloc(device, bytes, &mem, &err) != SLM_OK) fail_msg("%s", err.message);
    if (from != NULL) slm_device_upload(device, mem, from, bytes);
    return mem;
}

static inline void *test_alloc(size_t count, size_t item_bytes)
{
    void *memory = calloc(count + 1, item_bytes);
    assert_non_null(memory);
    return memory;
}

static inline slm_weight *test_pack(slm_device *device, const float *w, size_t n, size_t k,
                                    slm_dtype keep)
{
    slm_weight *weight = NULL;
    slm_error err;
    if (slm_weight_pack(device, SLM_F32, w, n, k, keep, &weight, &err) != SLM_OK)
        fail_msg("%s", err.message);
    return weight;
}

/* The inputs as a linear wants them: bf16 beside bf16 weights. */
static inline slm_mem test_activations(slm_device *device, const float *x, size_t count,
                                       slm_dtype dtype)
{
    if (dtype == SLM_F32) return test_mem(device, x, count * sizeof *x);
    uint16_t *half = test_alloc(count, sizeof *half);
    for (size_t i = 0; i < count; i++)
        half[i] = slm_bf16_from_f32(x[i]);
    slm_mem mem = test_mem(device, half, count * sizeof *half);
    free(half);
    return mem;
}

/* Copy back and release. */
static inline void *test_take(slm_device *device, slm_mem mem, size_t bytes)
{
    void *host = test_alloc(bytes, 1);
    slm_device_download(device, host, mem, bytes);
    slm_device_free(device, mem);
    return host;
}

static inline float *test_normal(slm_random *random, size_t count, float scale)
{
    float *x = test_alloc(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = scale * (float)slm_random_normal(random);
    return x;
}

static inline void test_round_bf16(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = slm_bf16_to_f32(slm_bf16_from_f32(x[i]));
}

/* Relative error in the L2 norm. */
static inline double test_error(const float *got, const double *want, size_t count)
{
    double difference = 0.0, size = 0.0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)got[i] - want[i];
        difference += d * d;
        size += want[i] * want[i];
    }
    return sqrt(difference / (size > 0.0 ? size : 1.0));
}

#define assert_close(got, want, count, tolerance)                                                  \
    do {                                                                                           \
        double error_ = test_error(got, want, count);                                              \
        if (!(error_ <= (tolerance)))                                                              \
            fail_msg("relative error %g is above %g", error_, (double)(tolerance));                \
    } while (0)

/* Equal to the bit; says where not. */
#define assert_same_bits(a, b, count)                                                              \
    do {                                                                                           \
        for (size_t i_ = 0; i_ < (count); i_++) {                                                  \
            if (memcmp(&(a)[i_], &(b)[i_], sizeof *(a)) != 0)                                      \
                fail_msg("item %zu of %zu differs: %.9g and %.9g", i_, (size_t)(count),            \
                         (double)(a)[i_], (double)(b)[i_]);                                        \
        }                                                                                          \
    } while (0)

#endif
