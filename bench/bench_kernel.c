/* bench_kernel.c: how fast the kernels are on the shapes of SmolLM2-135M, per path, beside what the
 * path must move and compute: GFLOP/s for the arithmetic, GB/s for weights or KV cache.
 *
 *   bench_kernel [THREADS [PATH]]
 *
 * Weights of a shape are repeated until they are 64 MB, so that they come from memory and not from
 * a cache, as they do in a forward. Each figure is the best of several runs. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

enum { HEADS = 9, KV_HEADS = 3, HEAD_DIM = 64, WIDTH = 576, FEED_FORWARD = 1536, VOCAB = 49152 };
static const size_t row_counts[] = {1, 8, 16, 32, 256};
enum { ROW_COUNTS = sizeof row_counts / sizeof *row_counts };

static void bench_linear(slm_device *device, slm_dtype dtype, size_t n, size_t k)
{
    const slm_kernels *table = slm_device_table(device);
    const size_t bytes = n * k * (dtype == SLM_F32 ? 4 : 2);
    const bool slow = strcmp(table->name, "ref") == 0;
    size_t copies = slow ? 1 : 64000000 / bytes + 1;
    slm_weight **w = calloc(copies, sizeof(slm_weight *));
    slm_mem from = bench_numbers(device, n * k, 0.1f);
    for (size_t c = 0; c < copies; c++)
        if (w == NULL || slm_weight_pack(device, SLM_F32, from.at, n, k, dtype, &w[c], NULL))
            exit(1);
    slm_device_free(device, from);
    for (size_t i = 0; i < ROW_COUNTS; i++) {
        const size_t m = row_counts[i];
        if (slow && m * n * k > 200000000) continue;
        slm_mem wide = bench_numbers(device, m * k, 2.0f),
                x = bench_memory(device, m * k * sizeof(float));
        slm_mem y = bench_memory(device, m * n * sizeof(float));
        table->convert(device, x, dtype, wide, 1.0f, m * k);
        double best = 1e9;
        for (int run = 0; run < (m > 100 ? 3 : 7); run++) {
            double start = slm_progress_clock_s();
            for (size_t c = 0; c < copies; c++) {
                const slm_linear layer = {y, w[c], {NULL}};
                table->linear(device, &layer, 1, x, m, false, NULL, 0);
            }
            table->sync(device);
            double took = (slm_progress_clock_s() - start) / (double)copies;
            if (took < best) best = took;
        }
        printf("%-10s linear %s n %5zu k %4zu m %3zu: %9.1f us %7.1f GFLOP/s %6.1f GB/s\n",
               table->name, dtype == SLM_F32 ? "f32 " : "bf16", n, k, m, best * 1e6,
               2e-9 * (double)(m * n * k) / best, 1e-9 * (double)bytes / best);
        slm_device_free(device, wide), slm_device_free(device, x), slm_device_free(device, y);
    }
    for (size_t c = 0; c < copies; c++)
        slm_weight_free(w[c]);
    free(w);
}

/* `sequences` sequences of `length` tokens, each with one row; or one sequence's last rows. */
static void bench_attention(slm_device *device, slm_dtype dtype, size_t sequences, size_t rows,
                            size_t length)
{
    const slm_kernels *table = slm_device_table(device);
    const slm_kv_shape shape = {30, KV_HEADS, HEAD_DIM, dtype};
    const size_t pages = (length + SLM_PAGE_TOKENS - 1) / SLM_PAGE_TOKENS, m = sequences * rows;
    slm_mem cache = bench_memory(device, pages * sequences * slm_kv_page_bytes(&shape));
    slm_mem q = bench_numbers(device, m * WIDTH, 2.0f),
            y = bench_memory(device, m * WIDTH * sizeof(float));
    slm_mem k = bench_numbers(device, length * KV_HEADS * HEAD_DIM, 2.0f);
    int32_t *table_of_pages = calloc(pages * sequences, sizeof *table_of_pages);
    slm_kv_span *spans = calloc(sequences, sizeof *spans);
    if (table_of_pages == NULL || spans == NULL) exit(1);
    for (size_t s = 0; s < sequences; s++) {
        int32_t *own = table_of_pages + s * pages;
        for (size_t p = 0; p < pages; p++)
            own[p] = (int32_t)(s * pages + p);
        slm_kv_span all = {0, (int32_t)length, 0, own};
        for (int layer = 0; layer < 30; layer++)
            table->kv_write(device, cache, &shape, layer, k, k, &all, 1);
        spans[s] = (slm_kv_span){(int32_t)(s * rows), (int32_t)rows, (int32_t)(length - rows), own};
    }
    double best = 1e9;
    for (int run = 0; run < 5; run++) {
        double start = slm_progress_clock_s();
        for (int layer = 0; layer < 30; layer++)
            table->attention(device, y, dtype, q, cache, &shape, layer, HEADS, 0.125f, spans,
                             sequences);
        table->sync(device);
        double took = (slm_progress_clock_s() - start) / 30;
        if (took < best) best = took;
    }
    const double keys = (double)m * ((double)length - 0.5 * (double)(rows - 1));
    const double bytes =
        (double)(sequences * length * KV_HEADS * HEAD_DIM * 2) * (dtype == SLM_F32 ? 4 : 2);
    printf("%-10s attention %s %2zu x %3zu rows, %4zu keys: %9.1f us %7.1f GFLOP/s %6.1f GB/s\n",
           table->name, dtype == SLM_F32 ? "f32 " : "bf16", sequences, rows, length, best * 1e6,
           4e-9 * keys * WIDTH / best, 1e-9 * bytes / best);
    slm_device_free(device, cache), slm_device_free(device, q), slm_device_free(device, y);
    slm_device_free(device, k);
    free(table_of_pages), free(spans);
}

static void bench_rows(slm_device *device)
{
    const slm_kernels *table = slm_device_table(device);
    const size_t m = 256;
    slm_mem x = bench_numbers(device, m * FEED_FORWARD, 8.0f),
            y = bench_numbers(device, m * FEED_FORWARD, 8.0f);
    slm_mem z = bench_memory(device, m * FEED_FORWARD * sizeof(float));
    double frequencies[HEAD_DIM / 2];
    int32_t positions[256];
    for (int i = 0; i < HEAD_DIM / 2; i++)
        frequencies[i] = 1.0 / (1 + i);
    for (int i = 0; i < 256; i++)
        positions[i] = 1000 + i;
    const char *names[] = {"rms_norm", "swiglu", "rope, table kept", "rope, new table"};
    for (int what = 0; what < 4; what++) {
        double best = 1e9;
        for (int run = 0; run < 20; run++) {
            if (what == 3) positions[0] = run;
            double start = slm_progress_clock_s();
            if (what == 0) table->rms_norm(device, z, SLM_BF16, x, y, m, WIDTH, 1e-5f);
            if (what == 1) table->swiglu(device, z, SLM_BF16, x, y, m * FEED_FORWARD);
            if (what >= 2)
                table->rope(device, x, positions, frequencies, m, HEADS, HEAD_DIM, false, 1);
            table->sync(device);
            double took = slm_progress_clock_s() - start;
            if (took < best) best = took;
        }
        printf("%-10s %-18s m 256: %9.1f us\n", table->name, names[what], best * 1e6);
    }
    slm_device_free(device, x), slm_device_free(device, y), slm_device_free(device, z);
}

static void bench_sample(slm_device *device)
{
    const slm_kernels *table = slm_device_table(device);
    enum { M = 32 };
    const struct {
        const char *name;
        slm_sample_options options;
    } ways[] = {
        {"greedy", {.top_p = 1, .repetition_penalty = 1}},
        {"temperature 1", {.temperature = 1, .top_p = 1, .repetition_penalty = 1}},
        {"top-k 50", {.temperature = 1, .top_k = 50, .top_p = 1, .repetition_penalty = 1}},
        {"top-p 0.95", {.temperature = 1, .top_p = 0.95f, .repetition_penalty = 1}},
        {"min-p 0.05", {.temperature = 1, .top_p = 1, .min_p = 0.05f, .repetition_penalty = 1}},
        {"all of them", {0.8f, 50, 0.95f, 0.02f, 0.1f, 0.1f, 1.1f}},
    };
    /* normal logits of standard deviation 3: entropy about that of a small model's text */
    float *host = malloc((size_t)M * VOCAB * sizeof *host);
    if (host == NULL) exit(1);
    slm_random random = slm_random_new(2, 2);
    for (size_t i = 0; i < (size_t)M * VOCAB; i++)
        host[i] = 3.0f * (float)slm_random_normal(&random);
    slm_mem logits = bench_memory(device, (size_t)M * VOCAB * sizeof *host);
    slm_device_upload(device, logits, host, (size_t)M * VOCAB * sizeof *host);
    free(host);
    int32_t ids[400];
    for (int i = 0; i < 400; i++)
        ids[i] = i * 100;
    slm_sample_row rows[M];
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        double best = 1e9;
        for (uint32_t run = 0; run < 5; run++) {
            for (uint32_t i = 0; i < M; i++)
                rows[i] = (slm_sample_row){.options = &ways[w].options,
                                           .key = {1, i, run},
                                           .position = run,
                                           .prompt = ids,
                                           .prompt_len = 200,
                                           .generated = ids + 200,
                                           .generated_len = 200};
            double start = slm_progress_clock_s();
            table->sample(device, logits, VOCAB, rows, M);
            double took = slm_progress_clock_s() - start;
            if (took < best) best = took;
        }
        printf("%-10s sample %-14s %d rows of %d: %9.1f us\n", table->name, ways[w].name, M, VOCAB,
               best * 1e6);
    }
    slm_device_free(device, logits);
}

int main(int argc, char **argv)
{
    const char *all[] = {"ref", "avx2", "avx512", "avx512bf16", "amx"};
    const size_t shapes[][2] = {
        {WIDTH, WIDTH}, {FEED_FORWARD, WIDTH}, {WIDTH, FEED_FORWARD}, {VOCAB, WIDTH}};
    for (size_t p = 0; p < 5; p++) {
        if (argc > 2 && strcmp(argv[2], all[p]) != 0) continue;
        slm_device_options options = {all[p], argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0};
        slm_device *device = NULL;
        slm_error err;
        if (slm_device_open(&options, &device, &err) != SLM_OK) {
            fprintf(stderr, "%s\n", err.message);
            continue;
        }
        printf("%s, %d threads\n", all[p], slm_device_threads(device));
        for (int d = 0; d < 2; d++) {
            for (size_t s = 0; s < 4; s++)
                bench_linear(device, d ? SLM_F32 : SLM_BF16, shapes[s][0], shapes[s][1]);
            bench_attention(device, d ? SLM_F32 : SLM_BF16, 32, 1, 500);
            bench_attention(device, d ? SLM_F32 : SLM_BF16, 1, 256, 512);
        }
        bench_rows(device);
        bench_sample(device);
        slm_device_close(device);
    }
    return 0;
}
