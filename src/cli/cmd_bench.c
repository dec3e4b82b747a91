/* cmd_bench.c: `slm bench`: how fast a model runs here, beside how fast this machine would let it.
 *
 * Two limits are measured first: reading memory with all threads, and multiplying matrices that stay
 * in the caches, through the same linear that models run on. Then the model: a prompt's rows, one
 * reply, and 16 and 32 replies to one prompt. A step of a decode has to read all weights and the
 * cache, and to multiply every row with all weights; so no step is faster than the slower of the two
 * at the measured limits (Williams, Waterman and Patterson 2009: the roofline), and a figure is given
 * as a share of that.
 *
 * Every figure is taken once in a round, and the median over the rounds is told, so that a
 * disturbance from outside falls on all figures alike. Prompts are random ids of a fixed seed and
 * nothing ends a reply early: what is computed does not depend on the model's words. */
#include "cli/cli.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "base/progress.h"
#include "base/random.h"
#include "base/statistics.h"
#include "base/threads.h"
#include "engine/engine.h"
#include "kernel/kernel.h"
#include "model/model.h"

typedef struct bench_options {
    cli_shared shared;
    int64_t repeat, tokens;
    slm_option_list depths;
} bench_options;

/* One figure of the model, and the values of all rounds in tokens per second. */
typedef struct bench_test {
    const char *name;
    size_t prompt;        /* tokens */
    uint32_t rollouts;    /* replies to it; 0: the prompt is what is timed */
    double bytes, flops;  /* that a token costs at least */
    double *rates;        /* [repeat] */
    double rate, limit;   /* medians; 0 before there are any */
    bool bound_by_memory; /* what the limit comes from */
} bench_test;

enum {
    DEPTHS_MAX = 32,
    TESTS = 4 + DEPTHS_MAX,
    PEAK_ROWS = 256,
    PEAK_SIDE = 512,
    MEDIAN_MAX = 1000
};

typedef struct bench {
    cli_app *app;
    int64_t repeat, tokens;
    slm_device *device;
    slm_device *own_device; /* without a model */
    slm_chat *chat;
    slm_engine *engine;
    slm_model *model;
    slm_dtype dtype;
    slm_threads *threads; /* as many as the device has; for reading */
    slm_mem memory;       /* to read */
    size_t memory_bytes;
    slm_weight *weights[2]; /* f32, bf16: small ones */
    slm_mem x, wide, y;
    double *read_rates, *flop_rates[2];
    double read_rate, flop_rate[2]; /* medians */
    bench_test tests[TESTS];
    size_t test_count;
    uint64_t requests; /* so far: no two have the same ids */
} bench;

/* ---- the machine's limits ------------------------------------------------------------------ */

typedef struct read_job {
    const char *at;
    uint64_t *sums; /* one for each thread; they only keep the reads from being left out */
} read_job;

/* The width of a vector is left to the compiler; four streams of 64 bytes keep loads in flight. */
typedef uint64_t lanes __attribute__((vector_size(64)));

static void read_part(void *context, size_t begin, size_t end, int thread)
{
    const read_job *job = context;
    const lanes *at = (const lanes *)(const void *)(job->at + begin);
    size_t count = (end - begin) / sizeof(lanes);
    lanes a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 4 <= count; i += 4) {
        a += at[i];
        b += at[i + 1];
        c += at[i + 2];
        d += at[i + 3];
    }
    a += b + c + d;
    for (size_t i = 0; i < 8; i++)
        job->sums[thread] += a[i];
}

static double measure_read(bench *b)
{
    uint64_t sums[256] = {0};
    read_job job = {b->memory.at, sums};
    double start_s = slm_progress_clock_s();
    slm_threads_run(b->threads, b->memory_bytes, 4096, read_part, &job);
    return (double)b->memory_bytes / (slm_progress_clock_s() - start_s);
}

/* Operations (a product and a sum are two) per second of one matrix that stays in the caches. */
static double measure_peak(bench *b, slm_dtype dtype)
{
    const slm_kernels *kernels = slm_device_table(b->device);
    const slm_weight *weight = b->weights[dtype == SLM_F32 ? 0 : 1];
    const slm_linear layer = {b->y, weight, {NULL}};
    kernels->convert(b->device, b->x, dtype, b->wide, 1.0f, (size_t)PEAK_ROWS * PEAK_SIDE);
    double times = 0, start_s = slm_progress_clock_s(), took_s;
    do {
        for (int i = 0; i < 8; i++)
            kernels->linear(b->device, &layer, 1, b->x, PEAK_ROWS, false, NULL, 0);
        kernels->sync(b->device);
        times += 8;
        took_s = slm_progress_clock_s() - start_s;
    } while (took_s < 0.05);
    return 2.0 * PEAK_ROWS * PEAK_SIDE * PEAK_SIDE * times / took_s;
}

static slm_status prepare_machine(bench *b, slm_error *err)
{
    enum { ITEMS = PEAK_SIDE * PEAK_SIDE };
    slm_status status = SLM_OK;
    float *numbers = malloc(ITEMS * sizeof *numbers);
    if (numbers == NULL) slm_out_of_memory(ITEMS * sizeof *numbers);
    slm_random random = slm_random_new(1, 0);
    for (size_t i = 0; i < ITEMS; i++)
        numbers[i] = (float)slm_random_uniform(&random) - 0.5f;
    const size_t rows = (size_t)PEAK_ROWS * PEAK_SIDE, row_bytes = rows * sizeof *numbers;
    SLM_TRY_OUT(slm_threads_new(slm_device_threads(b->device), &b->threads, err));
    for (int i = 0; i < 2; i++)
        SLM_TRY_OUT(slm_weight_pack(b->device, SLM_F32, numbers, PEAK_SIDE, PEAK_SIDE,
                                    i == 0 ? SLM_F32 : SLM_BF16, &b->weights[i], err));
    SLM_TRY_OUT(slm_device_alloc(b->device, row_bytes, &b->x, err));
    SLM_TRY_OUT(slm_device_alloc(b->device, row_bytes, &b->wide, err));
    SLM_TRY_OUT(slm_device_alloc(b->device, row_bytes, &b->y, err));
    slm_device_upload(b->device, b->wide, numbers, row_bytes);
    /* As large as the weights, so that a large cache of the machine serves both alike. */
    b->memory_bytes = (size_t)256 << 20;
    if (b->model != NULL && slm_model_weight_bytes(b->model) > b->memory_bytes)
        b->memory_bytes = (size_t)slm_model_weight_bytes(b->model) / 4096 * 4096;
    SLM_TRY_OUT(slm_device_alloc(b->device, b->memory_bytes, &b->memory, err));
    memset(b->memory.at, 1, b->memory_bytes); /* untouched pages would all be one page of zeros */
out:
    free(numbers);
    return status;
}

/* ---- the model ----------------------------------------------------------------------------- */

/* What one token costs at least: bytes to read, operations. A prompt's weights are read once for all
 * of its rows; replies share a step's weights and the prompt's cache. */
static void count_costs(const bench *b, bench_test *test)
{
    const slm_model_config *c = slm_model_get_config(b->model);
    const double item = b->dtype == SLM_F32 ? 4 : 2;
    const double table = (double)c->vocabulary * c->embedding;
    const double head = 2 * table; /* operations */
    const double layers =
        2 * ((double)slm_model_parameters(b->model) - (c->tied_head ? table : 2 * table));
    /* an embedding that is not the head's is only looked up */
    const double weights =
        (double)(slm_model_weight_bytes(b->model) - slm_model_lookup_bytes(b->model));
    const double key_bytes = 2.0 * c->layers * c->kv_heads * c->head_dim * item;
    const double key_flops = 4.0 * c->layers * c->heads * c->head_dim;
    const double prompt = (double)test->prompt, replies = (double)test->rollouts;
    if (test->rollouts == 0) {
        test->flops = layers + head / prompt + key_flops * (prompt + 1) / 2;
        test->bytes = weights / prompt + key_bytes;
    } else {
        const double own = ((double)b->tokens + 1) / 2; /* mean keys beyond the prompt */
        test->flops = layers + head + key_flops * (prompt + own);
        test->bytes = (weights + key_bytes * (prompt + replies * own)) / replies;
    }
}

/* --depth: one reply after a prompt of that length. */
static slm_status add_depths(bench *b, const bench_options *options, slm_error *err)
{
    const slm_model_config *config = slm_model_get_config(b->model);
    if (options->depths.count > DEPTHS_MAX)
        return slm_error_set(err, SLM_ERR_INVALID, "%zu --depth: at most %d", options->depths.count,
                             DEPTHS_MAX);
    for (size_t i = 0; i < options->depths.count; i++) {
        const char *text = options->depths.items[i];
        char *end = NULL;
        const long long depth = strtoll(text, &end, 10);
        const long long most = (long long)config->context - b->tokens;
        if (end == text || *end != '\0' || depth < 2 || depth > most)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "--depth %s: it must be from 2 to %lld, the model's context "
                                 "without the reply",
                                 text, most);
        b->tests[b->test_count++] =
            (bench_test){.name = "decode", .prompt = (size_t)depth, .rollouts = 1};
    }
    return SLM_OK;
}

static slm_status prepare_model(bench *b, const bench_options *options, slm_error *err)
{
    enum { PREFILL = 512, PROMPT = 256, WIDEST = 32 };
    const cli_shared *shared = &options->shared;
    const slm_model_config *config = slm_model_get_config(b->model);
    const slm_kv_shape *shape = slm_model_kv_shape(b->model);
    int64_t context = PREFILL + 1;
    if (context < PROMPT + b->tokens) context = PROMPT + b->tokens;
    if (shared->context > 0) context = shared->context;
    if (shared->context == 0 && context > config->context) context = config->context;
    if (context < 4)
        return slm_error_set(err, SLM_ERR_INVALID, "--ctx %lld: a benchmark wants at least 4",
                             (long long)context);
    const size_t prefill = context > PREFILL ? PREFILL : (size_t)context - 1;
    const size_t prompt = context / 2 >= PROMPT ? PROMPT : (size_t)context / 2;
    if (b->tokens > context - (int64_t)prompt) b->tokens = context - (int64_t)prompt;
    const bench_test tests[] = {{.name = "prefill", .prompt = prefill},
                                {.name = "decode", .prompt = prompt, .rollouts = 1},
                                {.name = "decode", .prompt = prompt, .rollouts = 16},
                                {.name = "decode", .prompt = prompt, .rollouts = WIDEST}};
    memcpy(b->tests, tests, sizeof tests);
    b->test_count = sizeof tests / sizeof *tests;
    SLM_TRY(add_depths(b, options, err));
    int64_t deepest = context;
    for (size_t i = 0; i < b->test_count; i++) {
        count_costs(b, &b->tests[i]);
        const int64_t depth = (int64_t)b->tests[i].prompt + b->tokens;
        if (b->tests[i].rollouts > 0 && depth > deepest) deepest = depth;
    }
    slm_engine_options engine = slm_engine_options_default();
    engine.batch = shared->batch > 0 ? (int32_t)shared->batch : WIDEST;
    engine.context = deepest > INT32_MAX ? INT32_MAX : (int32_t)deepest;
    engine.prefix_sharing = shared->prefix_sharing;
    const uint64_t wide = ((uint64_t)context / SLM_PAGE_TOKENS + 2) * (uint64_t)engine.batch;
    const uint64_t deep = (uint64_t)deepest / SLM_PAGE_TOKENS + 2;
    engine.cache_bytes = shared->memory;
    if (engine.cache_bytes == 0)
        engine.cache_bytes = (wide > deep ? wide : deep) * slm_kv_page_bytes(shape);
    return slm_engine_new(b->model, slm_open_chat_tokenizer(b->chat), &engine, &b->engine, err);
}

/* Tokens per second of one request: of its prompt until the first token is there, or of its replies
 * in the steps that hold no row of the prompt. */
static slm_status measure_model(bench *b, const bench_test *test, double *rate, slm_error *err)
{
    const uint64_t vocabulary = (uint64_t)slm_model_get_config(b->model)->vocabulary;
    slm_status status = SLM_OK;
    slm_token *prompt = malloc(test->prompt * sizeof *prompt);
    if (prompt == NULL) slm_out_of_memory(test->prompt * sizeof *prompt);
    slm_random random = slm_random_new(2, b->requests++);
    for (size_t i = 0; i < test->prompt; i++)
        prompt[i] = (slm_token)slm_random_below(&random, vocabulary);
    const slm_generate request = {
        .prompt = prompt,
        .prompt_len = test->prompt,
        .samples = test->rollouts == 0 ? 1 : test->rollouts,
        .stream = b->requests,
        .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
        .max_tokens = test->rollouts == 0 ? 1 : (int32_t)b->tokens,
    };
    const slm_engine_stats before = slm_engine_get_stats(b->engine);
    const double start_s = slm_progress_clock_s();
    uint64_t id;
    SLM_TRY_OUT(slm_engine_submit(b->engine, &request, &id, err));
    bool worked = true, finite = true;
    while (worked && !cli_interrupted)
        SLM_TRY_OUT(slm_engine_step(b->engine, &worked, err));
    const double took_s = slm_progress_clock_s() - start_s;
    if (cli_interrupted) slm_engine_cancel(b->engine, id);
    for (slm_generated *done; (done = slm_engine_poll(b->engine)) != NULL;) {
        finite = finite && done->finish != SLM_FINISH_ERROR;
        slm_generated_free(done);
    }
    const slm_engine_stats after = slm_engine_get_stats(b->engine);
    if (cli_interrupted) {
        status = slm_error_set(err, SLM_ERR_CANCELLED, "interrupted; there is no result");
    } else if (!finite) {
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "%s: the model's logits are not finite; the file may be damaged",
                               b->chat->name);
    } else {
        *rate = test->rollouts == 0 ? (double)test->prompt / took_s
                                    : (double)(after.generated_tokens - before.generated_tokens) /
                                          (after.decode_s - before.decode_s);
    }
out:
    free(prompt);
    return status;
}

/* ---- rounds -------------------------------------------------------------------------------- */

static double median(const double *values, int64_t count)
{
    double sorted[MEDIAN_MAX];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    return slm_statistics_quantile(sorted, (size_t)count, 0.5);
}

static double *new_rates(const bench *b)
{
    double *rates = calloc((size_t)b->repeat, sizeof *rates);
    if (rates == NULL) slm_out_of_memory((size_t)b->repeat * sizeof *rates);
    return rates;
}

static void find_medians(bench *b)
{
    b->read_rate = median(b->read_rates, b->repeat);
    for (int i = 0; i < 2; i++)
        b->flop_rate[i] = median(b->flop_rates[i], b->repeat);
    for (size_t i = 0; i < b->test_count; i++) {
        bench_test *test = &b->tests[i];
        double by_memory = b->read_rate / test->bytes;
        double by_peak = b->flop_rate[b->dtype == SLM_F32 ? 0 : 1] / test->flops;
        test->rate = median(test->rates, b->repeat);
        test->bound_by_memory = by_memory < by_peak;
        test->limit = test->bound_by_memory ? by_memory : by_peak;
    }
}

static slm_status measure(bench *b, slm_error *err)
{
    double warm;
    b->read_rates = new_rates(b);
    for (int i = 0; i < 2; i++)
        b->flop_rates[i] = new_rates(b);
    for (size_t i = 0; i < b->test_count; i++)
        b->tests[i].rates = new_rates(b);
    /* Once without a clock: pages are touched, threads awake. */
    if (b->test_count > 0) SLM_TRY(measure_model(b, &b->tests[0], &warm, err));
    slm_progress *progress =
        slm_progress_new(&b->app->log, "bench", "rounds", (uint64_t)b->repeat, 0);
    slm_status status = SLM_OK;
    for (int64_t round = 0; round < b->repeat; round++) {
        b->read_rates[round] = measure_read(b);
        b->flop_rates[0][round] = measure_peak(b, SLM_F32);
        b->flop_rates[1][round] = measure_peak(b, SLM_BF16);
        for (size_t i = 0; i < b->test_count; i++)
            SLM_TRY_OUT(measure_model(b, &b->tests[i], &b->tests[i].rates[round], err));
        if (cli_interrupted) {
            status = slm_error_set(err, SLM_ERR_CANCELLED, "interrupted; there is no result");
            goto out;
        }
        slm_progress_update(progress, (uint64_t)round + 1, NULL);
    }
    find_medians(b);
out:
    slm_progress_finish(progress);
    return status;
}

/* ---- telling ------------------------------------------------------------------------------- */

static void print_text(const bench *b)
{
    printf("machine       %d threads, kernels %s, medians of %lld\n", slm_device_threads(b->device),
           slm_device_kernels(b->device), (long long)b->repeat);
    printf("reading       %8.1f GB/s\n", b->read_rate / 1e9);
    printf("bf16          %8.1f GFLOP/s\n", b->flop_rate[1] / 1e9);
    printf("f32           %8.1f GFLOP/s\n", b->flop_rate[0] / 1e9);
    if (b->test_count == 0) return;
    char bytes[32];
    cli__bytes_text(slm_model_weight_bytes(b->model), bytes);
    printf("model         %s, %s, weights %s%s\n\n", b->chat->name, slm_dtype_name(b->dtype), bytes,
           slm_model_keeps_quantised(b->model) ? ", quantised as in the file" : "");
    printf("%-34s %10s %10s  %s\n", "", "tokens/s", "limit", "share");
    for (size_t i = 0; i < b->test_count; i++) {
        const bench_test *test = &b->tests[i];
        char what[64];
        if (test->rollouts == 0) {
            snprintf(what, sizeof what, "prefill of %zu", test->prompt);
        } else {
            snprintf(what, sizeof what, "decode %u x %lld after %zu", (unsigned)test->rollouts,
                     (long long)b->tokens, test->prompt);
        }
        printf("%-34s %10.1f %10.1f  %3.0f%% of %s\n", what, test->rate, test->limit,
               100 * test->rate / test->limit, test->bound_by_memory ? "reading" : "peak");
    }
}

static json_t *rates_json(const double *rates, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(list, json_real(rates[i]));
    return list;
}

static void print_json(const bench *b)
{
    json_t *root = json_pack(
        "{s:i, s:s, s:I, s:f, s:f, s:f, s:I}", "threads", slm_device_threads(b->device), "kernels",
        slm_device_kernels(b->device), "repeat", (json_int_t)b->repeat, "read_bytes_per_s",
        b->read_rate, "bf16_flop_per_s", b->flop_rate[1], "f32_flop_per_s", b->flop_rate[0],
        "read_buffer_bytes", (json_int_t)b->memory_bytes);
    if (b->test_count > 0) {
        json_object_set_new(root, "model",
                            json_pack("{s:s, s:s, s:b, s:I, s:I}", "name", b->chat->name, "dtype",
                                      b->dtype == SLM_F32 ? "f32" : "bf16", "quantised",
                                      slm_model_keeps_quantised(b->model), "parameters",
                                      (json_int_t)slm_model_parameters(b->model), "weight_bytes",
                                      (json_int_t)slm_model_weight_bytes(b->model)));
        json_t *tests = json_array();
        for (size_t i = 0; i < b->test_count; i++) {
            const bench_test *test = &b->tests[i];
            json_array_append_new(
                tests, json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:s, s:f, s:f, s:f, s:o}", "test",
                                 test->name, "prompt_tokens", (json_int_t)test->prompt, "rollouts",
                                 (json_int_t)test->rollouts, "reply_tokens",
                                 (json_int_t)(test->rollouts == 0 ? 0 : b->tokens), "tokens_per_s",
                                 test->rate, "limit_tokens_per_s", test->limit, "limit",
                                 test->bound_by_memory ? "reading" : "peak", "share",
                                 test->rate / test->limit, "bytes_per_token", test->bytes,
                                 "flop_per_token", test->flops, "runs",
                                 rates_json(test->rates, b->repeat)));
        }
        json_object_set_new(root, "tests", tests);
    }
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

/* ---- the command --------------------------------------------------------------------------- */

static slm_status open_model(bench *b, const char *name, const bench_options *options,
                             slm_error *err)
{
    slm_open_options open = cli__open_options(&options->shared);
    open.batch = 1; /* the engine that measures is another one */
    open.cache_bytes = 0;
    if (open.template == NULL) open.template = "chatml"; /* not used: prompts are ids */
    SLM_TRY(slm_open_chat(name, &open, &b->chat, err));
    b->model = slm_open_model(b->chat);
    if (b->model == NULL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: nothing is computed for it here; bench wants a .gguf file or a "
                             "Hugging Face folder",
                             name);
    b->device = slm_model_device(b->model);
    return prepare_model(b, options, err);
}

static slm_status open_machine(bench *b, const cli_shared *shared, slm_error *err)
{
    const slm_device_options device = {.kernels = shared->kernels, .threads = (int)shared->threads};
    SLM_TRY(slm_device_open(&device, &b->own_device, err));
    b->device = b->own_device;
    return SLM_OK;
}

static void close_bench(bench *b)
{
    for (size_t i = 0; i < TESTS; i++)
        free(b->tests[i].rates);
    free(b->read_rates);
    for (int i = 0; i < 2; i++) {
        free(b->flop_rates[i]);
        slm_weight_free(b->weights[i]);
    }
    if (b->device != NULL) {
        slm_device_free(b->device, b->memory);
        slm_device_free(b->device, b->x);
        slm_device_free(b->device, b->wide);
        slm_device_free(b->device, b->y);
    }
    slm_threads_free(b->threads);
    slm_engine_free(b->engine);
    slm_chat_free(b->chat);
    slm_device_close(b->own_device);
}

static int run_bench(void *context, const void *options_in, const slm_option_list *arguments)
{
    const bench_options *options = options_in;
    bench b = {.app = context,
               .repeat = options->repeat,
               .tokens = options->tokens,
               .dtype = strcmp(options->shared.dtype, "f32") == 0 ? SLM_F32 : SLM_BF16};
    slm_status status;
    slm_error error;
    cli__catch_interrupts(true);
    if (arguments->count > 0 && slm_open_is_encoder(arguments->items[0])) {
        status = cli__bench_encoder(arguments->items[0], &options->shared, options->repeat, &error);
        goto out;
    }
    if (arguments->count > 0) {
        SLM_TRY_OUT(open_model(&b, arguments->items[0], options, &error));
    } else {
        SLM_TRY_OUT(open_machine(&b, &options->shared, &error));
    }
    SLM_TRY_OUT(prepare_machine(&b, &error));
    SLM_TRY_OUT(measure(&b, &error));
    if (options->shared.json) {
        print_json(&b);
    } else {
        print_text(&b);
    }
out:
    close_bench(&b);
    return status == SLM_OK ? CLI_DONE : cli__fail(context, &error);
}

static const slm_option bench_table[] = {
    {.name = "repeat",
     .type = SLM_OPTION_INT,
     .offset = offsetof(bench_options, repeat),
     .min = 1,
     .max = MEDIAN_MAX,
     .value_name = "N",
     .default_text = "5",
     .help = "rounds; the median of each figure is told",
     .group = "Bench"},
    {.name = "tokens",
     .type = SLM_OPTION_INT,
     .offset = offsetof(bench_options, tokens),
     .min = 1,
     .max = 65536,
     .value_name = "N",
     .default_text = "128",
     .help = "length of each reply"},
    {.name = "depth",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(bench_options, depths),
     .value_name = "N",
     .help = "also one reply after a prompt of N tokens; may be given more than once"},
    {.name = NULL},
};

const slm_command cli_command_bench = {
    .name = "bench",
    .usage = "[MODEL]",
    .summary = "how fast a model runs here, and what limits it",
    .description =
        "Measures how fast memory is read and matrices are multiplied here; then, with MODEL, a "
        "prompt of 512 tokens, one reply, and 16 and 32 replies to one prompt of 256 tokens, in "
        "tokens per second and as a share of what those two limits allow.\n\n"
        "Prompts are random ids of a fixed seed, and nothing ends a reply early. Prefill lasts "
        "from the request to its first token; decode counts the steps without rows of the prompt, "
        "sampling included.\n\n"
        "Of an encoder it measures texts per second: 1,000 of 12 words and 100 of 200 words, their "
        "tokenizing included.",
    .example = "# this machine, and a model on it\nslm bench model.gguf\n"
               "# the same for a program, on one thread\nslm bench model.gguf --threads 1 --json\n"
               "# how a reply slows down with its context\n"
               "slm bench model.gguf --depth 1024 --depth 8192 --depth 32000",
    .tables = {bench_table, cli_machine_options, cli_json_options, cli_common_options},
    .options_bytes = sizeof(bench_options),
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run_bench,
};
