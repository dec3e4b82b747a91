/* bench_quantised.c: linear layers over weights kept quantised beside the same weights widened, per
 * format and path, on the shapes of SmolLM2-135M: microseconds of one layer and their ratio.
 *
 *   bench_quantised [THREADS [PATH [FORMAT]]]
 *
 * Weights of a shape are repeated until they are 64 MB in bf16, so that they come from memory and not
 * from a cache, as they do in a forward. The two take turns; each figure is the best of several. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

static const slm_dtype formats[] = {SLM_Q8_0, SLM_Q4_0, SLM_Q4_1, SLM_Q5_0,
                                    SLM_Q5_1, SLM_Q4_K, SLM_Q5_K, SLM_Q6_K};
static const size_t row_counts[] = {1, 16, 32, 256};

static void *must(void *memory)
{
    if (memory == NULL) exit(1);
    return memory;
}

/* Blocks of any codes; the halves among them small numbers. */
static slm_tensor make_tensor(slm_dtype dtype, size_t n, size_t k)
{
    const size_t bytes = slm_dtype_bytes(dtype, n * k), block = slm_dtype_block_bytes(dtype);
    const size_t half = dtype == SLM_Q6_K ? 208 : 0;
    slm_random random = slm_random_new(1, n);
    unsigned char *data = must(malloc(bytes));
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)slm_random_below(&random, 256);
    for (size_t at = half; at < bytes; at += block) {
        data[at + 1] = 0x14;
        if (half == 0) data[at + 3] = 0x14;
    }
    return (slm_tensor){.dtype = dtype, .dims = 2, .shape = {n, k}, .data = data, .bytes = bytes};
}

static double time_all(slm_device *device, slm_weight *const *w, size_t copies, slm_mem y,
                       slm_mem x, size_t m)
{
    const slm_kernels *table = slm_device_table(device);
    double start = slm_progress_clock_s();
    for (size_t c = 0; c < copies; c++) {
        const slm_linear layer = {y, w[c], {NULL}};
        table->linear(device, &layer, 1, x, m, false, NULL, 0);
    }
    table->sync(device);
    return (slm_progress_clock_s() - start) / (double)copies;
}

static void bench_format(slm_device *device, slm_dtype dtype, size_t n, size_t k)
{
    const slm_kernels *table = slm_device_table(device);
    const size_t copies = 64000000 / (2 * n * k) + 1;
    slm_tensor tensor = make_tensor(dtype, n, k);
    slm_weight **kept = must(calloc(copies, sizeof(slm_weight *)));
    slm_weight **wide = must(calloc(copies, sizeof(slm_weight *)));
    for (size_t c = 0; c < copies; c++)
        if (slm_weight_pack_quantised(device, &tensor, SLM_BF16, &kept[c], NULL) != SLM_OK ||
            slm_weight_pack_tensor(device, &tensor, SLM_BF16, &wide[c], NULL) != SLM_OK)
            exit(1);
    for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++) {
        const size_t m = row_counts[i];
        slm_mem x = bench_memory(device, m * k * sizeof(float)),
                y = bench_memory(device, m * n * sizeof(float));
        double best[2] = {1e9, 1e9};
        for (int run = 0; run < (m > 100 ? 3 : 7); run++) {
            double took = time_all(device, kept, copies, y, x, m);
            if (took < best[0]) best[0] = took;
            took = time_all(device, wide, copies, y, x, m);
            if (took < best[1]) best[1] = took;
        }
        printf("%-10s %s n %4zu k %4zu m %3zu: kept %8.1f us, widened %8.1f us, %5.2fx\n",
               table->name, slm_dtype_name(dtype), n, k, m, best[0] * 1e6, best[1] * 1e6,
               best[1] / best[0]);
        slm_device_free(device, x);
        slm_device_free(device, y);
    }
    for (size_t c = 0; c < copies; c++) {
        slm_weight_free(kept[c]);
        slm_weight_free(wide[c]);
    }
    free(kept), free(wide), free((void *)tensor.data);
}

int main(int argc, char **argv)
{
    static const char *const paths[] = {"avx2", "avx512", "avx512bf16", "amx"};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (argc > 2 && strcmp(argv[2], paths[p]) != 0) continue;
        slm_device_options options = {paths[p], argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0};
        slm_device *device = NULL;
        if (slm_device_open(&options, &device, NULL) != SLM_OK) continue;
        printf("%s, %d threads\n", paths[p], slm_device_threads(device));
        for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
            if (argc > 3 && strcmp(argv[3], slm_dtype_name(formats[f])) != 0) continue;
            const bool super = slm_dtype_block_items(formats[f]) > 32;
            bench_format(device, formats[f], 1536, super ? 512 : 576);
            bench_format(device, formats[f], 576, 1536);
        }
        slm_device_close(device);
    }
    return 0;
}
