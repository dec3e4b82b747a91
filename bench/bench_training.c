/* bench_training.c: how long a layer's forward and backward operations take for 4 sequences of 512
 * tokens on the shapes of SmolLM2-135M, with LoRA of rank 16 on all linear layers; per path.
 *
 *   bench_training [THREADS [PATH [f32]]]
 *
 * Each figure is the best of several runs, in milliseconds, with GFLOP/s where products count. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

enum {
    HEADS = 9,
    KV_HEADS = 3,
    HEAD_DIM = 64,
    WIDTH = 576,
    FEED_FORWARD = 1536,
    VOCAB = 49152,
    SEQUENCES = 4,
    LENGTH = 512,
    ROWS = SEQUENCES * LENGTH,
    RANK = 16,
    LAYERS = 30,
    RUNS = 5
};

static slm_mem numbers(slm_device *device, size_t count, float scale, slm_dtype dtype)
{
    slm_mem mem = bench_numbers(device, count, scale);
    if (dtype == SLM_F32) return mem;
    slm_mem half = bench_memory(device, count * sizeof(uint16_t));
    slm_device_table(device)->convert(device, half, SLM_BF16, mem, 1.0f, count);
    slm_device_free(device, mem);
    return half;
}

static slm_weight *weight(slm_device *device, size_t n, size_t k, slm_dtype dtype)
{
    slm_weight *w = NULL;
    slm_mem from = bench_numbers(device, n * k, 0.1f);
    if (slm_weight_pack(device, SLM_F32, from.at, n, k, dtype, &w, NULL) != SLM_OK) exit(1);
    slm_device_free(device, from);
    return w;
}

/* One pass over what is timed; the sums are of a layer. */
typedef struct totals {
    double forward, inputs, adapter_forward, adapter_inputs, adapter_weights, weights, flops;
} totals;

#define TIME(into, statement)                                                                      \
    do {                                                                                           \
        double best_ = 1e9;                                                                        \
        for (int run_ = 0; run_ < RUNS; run_++) {                                                  \
            double start_ = slm_progress_clock_s();                                                \
            statement;                                                                             \
            table->sync(device);                                                                   \
            double took_ = slm_progress_clock_s() - start_;                                        \
            if (took_ < best_) best_ = took_;                                                      \
        }                                                                                          \
        (into) = best_;                                                                            \
    } while (0)

static void bench_linear(slm_device *device, slm_dtype dtype, size_t n, size_t k, totals *sum)
{
    const slm_kernels *table = slm_device_table(device);
    slm_weight *w = weight(device, n, k, dtype), *a = weight(device, RANK, k, dtype);
    slm_weight *b = weight(device, n, RANK, dtype);
    slm_mem x = numbers(device, ROWS * k, 2.0f, dtype), dy = numbers(device, ROWS * n, 2.0f, dtype);
    slm_mem y = bench_memory(device, ROWS * n * sizeof(float)),
            dx = bench_memory(device, ROWS * k * sizeof(float));
    slm_mem low = bench_memory(device, ROWS * RANK * sizeof(float));
    slm_mem low_act = numbers(device, ROWS * RANK, 1.0f, dtype);
    slm_mem dw = bench_memory(device, n * k * sizeof(float)),
            da = bench_memory(device, RANK * k * sizeof(float));
    slm_mem db = bench_memory(device, n * RANK * sizeof(float));
    const slm_linear layer = {y, w, {NULL}}, down = {low, a, {NULL}}, up = {y, b, {NULL}};
    const slm_linear_grad grad = {dy, w, dw, {NULL}, n}, grad_b = {dy, b, db, {NULL}, n};
    const slm_linear_grad grad_a = {low_act, a, da, {NULL}, RANK};
    double t[8];
    TIME(t[0], table->linear(device, &layer, 1, x, ROWS, false, NULL, 0));
    TIME(t[1], table->linear_dx(device, dx, &grad, 1, ROWS, false));
    TIME(t[2], table->linear_dw(device, &grad, 1, x, dtype, ROWS, k));
    TIME(t[3], table->linear(device, &down, 1, x, ROWS, false, NULL, 0));
    TIME(t[4], table->linear(device, &up, 1, low_act, ROWS, true, NULL, 0));
    TIME(t[5], table->linear_dx(device, low, &grad_b, 1, ROWS, false);
         table->linear_dx(device, dx, &grad_a, 1, ROWS, true));
    TIME(t[6], table->linear_dw(device, &grad_a, 1, x, dtype, ROWS, k));
    TIME(t[7], table->linear_dw(device, &grad_b, 1, low_act, dtype, ROWS, RANK));
    const double flops = 2e-9 * ROWS * (double)n * (double)k;
    printf(
        "  n %4zu k %4zu: y %6.2f (%5.0f) dx %6.2f (%5.0f) dw %6.2f (%5.0f)  LoRA: a %5.2f b %5.2f "
        "inputs %5.2f dA %5.2f dB %5.2f\n",
        n, k, t[0] * 1e3, flops / t[0], t[1] * 1e3, flops / t[1], t[2] * 1e3, flops / t[2],
        t[3] * 1e3, t[4] * 1e3, t[5] * 1e3, t[6] * 1e3, t[7] * 1e3);
    sum->forward += t[0], sum->inputs += t[1], sum->weights += t[2];
    sum->adapter_forward += t[3] + t[4], sum->adapter_inputs += t[5];
    sum->adapter_weights += t[6] + t[7];
    sum->flops += flops;
    const slm_mem all[] = {x, dy, y, dx, low, low_act, dw, da, db};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        slm_device_free(device, all[i]);
    slm_weight_free(w);
    slm_weight_free(a);
    slm_weight_free(b);
}

static double bench_rows(slm_device *device, slm_dtype dtype)
{
    const slm_kernels *table = slm_device_table(device);
    const size_t wide = (size_t)ROWS * FEED_FORWARD, narrow = (size_t)ROWS * WIDTH;
    slm_mem a = bench_numbers(device, wide, 2.0f), b = bench_numbers(device, wide, 2.0f);
    slm_mem c = bench_numbers(device, wide, 2.0f), d = bench_memory(device, wide * sizeof(float));
    slm_mem e = bench_memory(device, wide * sizeof(float)), none = {NULL};
    double t[5];
    TIME(t[0], table->swiglu(device, d, dtype, a, b, wide));
    TIME(t[1], table->swiglu_backward(device, d, e, dtype, c, a, b, wide));
    TIME(t[2], table->rms_norm(device, d, dtype, a, b, ROWS, WIDTH, 1e-5f));
    TIME(t[3], table->rms_norm_backward(device, d, none, a, b, c, ROWS, WIDTH, 1e-5f, true));
    TIME(t[4], table->convert(device, d, dtype, a, 1.0f, narrow));
    printf("  swiglu %.2f back %.2f, rms_norm %.2f back %.2f, convert %.2f\n", t[0] * 1e3,
           t[1] * 1e3, t[2] * 1e3, t[3] * 1e3, t[4] * 1e3);
    const slm_mem all[] = {a, b, c, d, e};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        slm_device_free(device, all[i]);
    return t[0] + t[1] + 2 * (t[2] + t[3] + t[4]);
}

static double bench_attention(slm_device *device, slm_dtype dtype)
{
    const slm_kernels *table = slm_device_table(device);
    const slm_kv_shape shape = {1, KV_HEADS, HEAD_DIM, dtype};
    enum { PAGES = LENGTH / SLM_PAGE_TOKENS };
    const size_t q_items = (size_t)ROWS * HEADS * HEAD_DIM,
                 kv_items = (size_t)ROWS * KV_HEADS * HEAD_DIM;
    int32_t pages[SEQUENCES][PAGES];
    slm_kv_span spans[SEQUENCES];
    for (int32_t s = 0; s < SEQUENCES; s++) {
        for (int32_t p = 0; p < PAGES; p++)
            pages[s][p] = s * PAGES + p;
        spans[s] = (slm_kv_span){s * LENGTH, LENGTH, 0, pages[s]};
    }
    slm_mem cache = bench_memory(device, slm_kv_page_bytes(&shape) * SEQUENCES * PAGES);
    slm_mem q = bench_numbers(device, q_items, 4.0f), k = bench_numbers(device, kv_items, 4.0f);
    slm_mem v = bench_numbers(device, kv_items, 4.0f), dy = bench_numbers(device, q_items, 4.0f);
    slm_mem y = bench_memory(device, q_items * sizeof(float)),
            dq = bench_memory(device, q_items * sizeof(float));
    slm_mem dk = bench_memory(device, kv_items * sizeof(float)),
            dv = bench_memory(device, kv_items * sizeof(float));
    double t[3];
    TIME(t[0], table->kv_write(device, cache, &shape, 0, k, v, spans, SEQUENCES));
    TIME(t[1],
         table->attention(device, y, dtype, q, cache, &shape, 0, HEADS, 0.125f, spans, SEQUENCES));
    TIME(t[2], table->attention_backward(device, dq, dk, dv, dy, y, dtype, q, cache, &shape, 0,
                                         HEADS, 0.125f, spans, NULL, SEQUENCES));
    printf("  kv_write %.2f, attention %.2f back %.2f\n", t[0] * 1e3, t[1] * 1e3, t[2] * 1e3);
    const slm_mem all[] = {cache, q, k, v, dy, y, dq, dk, dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        slm_device_free(device, all[i]);
    return t[0] + t[1] + t[2];
}

static double bench_head(slm_device *device, slm_dtype dtype)
{
    const slm_kernels *table = slm_device_table(device);
    slm_weight *head = weight(device, VOCAB, WIDTH, dtype);
    int32_t *targets = calloc(ROWS, sizeof *targets);
    float *coefficient = calloc(ROWS, sizeof *coefficient),
          *log_prob = calloc(ROWS, sizeof *log_prob);
    if (targets == NULL || coefficient == NULL || log_prob == NULL) exit(1);
    for (int i = 0; i < ROWS; i++)
        coefficient[i] = 1.0f;
    slm_head_loss loss = {.head = head, .targets = targets, .temperature = 1.0f, .m = ROWS};
    loss.x = numbers(device, (size_t)ROWS * WIDTH, 2.0f, dtype);
    loss.dx = bench_memory(device, (size_t)ROWS * WIDTH * sizeof(float));
    loss.log_prob = log_prob;
    double t[2];
    TIME(t[0], table->head_loss(device, &loss));
    loss.coefficient = coefficient;
    TIME(t[1], table->head_loss(device, &loss));
    printf("  head: log-probabilities %.1f, with gradient %.1f (%.0f GFLOP/s)\n", t[0] * 1e3,
           t[1] * 1e3, 4e-9 * ROWS * (double)VOCAB * WIDTH / t[1]);
    slm_device_free(device, loss.x);
    slm_device_free(device, loss.dx);
    slm_weight_free(head);
    free(targets);
    free(coefficient);
    free(log_prob);
    return t[1];
}

int main(int argc, char **argv)
{
    const char *const paths[] = {"avx2", "avx512", "avx512bf16", "amx"};
    static const size_t shapes[][2] = {
        {WIDTH, WIDTH},       {KV_HEADS * HEAD_DIM, WIDTH}, {KV_HEADS * HEAD_DIM, WIDTH},
        {WIDTH, WIDTH},       {FEED_FORWARD, WIDTH},        {FEED_FORWARD, WIDTH},
        {WIDTH, FEED_FORWARD}};
    const slm_dtype dtype = argc > 3 && strcmp(argv[3], "f32") == 0 ? SLM_F32 : SLM_BF16;
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        const slm_device_options options = {paths[p],
                                            argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0};
        slm_device *device = NULL;
        totals sum = {0};
        if (argc > 2 && strcmp(argv[2], paths[p]) != 0) continue;
        if (slm_device_open(&options, &device, NULL) != SLM_OK) continue;
        printf("%s, %d threads, %s, %d rows; milliseconds (GFLOP/s)\n", paths[p],
               slm_device_threads(device), slm_dtype_name(dtype), ROWS);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            bench_linear(device, dtype, shapes[s][0], shapes[s][1], &sum);
        const double rows = bench_rows(device, dtype), attention = bench_attention(device, dtype);
        const double head = bench_head(device, dtype);
        const double adapter = sum.adapter_forward + sum.adapter_inputs + sum.adapter_weights;
        const double layer = sum.forward + sum.inputs + adapter + rows + attention;
        printf("  layer: forward %.1f inputs %.1f LoRA %.1f rows %.1f attention %.1f = %.1f "
               "(weights %.1f)\n",
               sum.forward * 1e3, sum.inputs * 1e3, adapter * 1e3, rows * 1e3, attention * 1e3,
               layer * 1e3, sum.weights * 1e3);
        printf("  %d layers and the head: %.0f ms, %.0f tokens/s\n", LAYERS,
               (layer * LAYERS + head) * 1e3, ROWS / (layer * LAYERS + head));
        slm_device_close(device);
    }
    return 0;
}
