/* bench_encoder.c: `slm bench` of an encoder: texts per second, short ones and long ones.
 *
 * The texts are made of common words in an order of a fixed seed, so that every machine reads the
 * same; tokenizing them is part of the time. */
#include "cli/cli.h"

#include <jansson.h>
#include <stdlib.h>
#include "base/progress.h"
#include "base/random.h"
#include "base/statistics.h"
#include "text/text.h"

typedef struct encoder_test {
    const char *name;
    size_t texts, words;
    double rate, tokens; /* texts per second; tokens of a text, on average */
    double *rates;
} encoder_test;

static const char *const common[] = {"what", "are", "the",   "signs", "of",     "a",
                                     "is",   "my",  "child", "with",  "fever",  "and",
                                     "how",  "to",  "treat", "after", "taking", "pain"};
enum { COMMON = sizeof common / sizeof common[0] };

static char *make_text(slm_random *random, size_t words)
{
    slm_buffer text = {0};
    for (size_t i = 0; i < words; i++)
        slm_buffer_printf(&text, "%s%s", i > 0 ? " " : "",
                          common[slm_random_below(random, COMMON)]);
    return slm_buffer_take(&text);
}

static slm_status measure(slm_embed *embed, encoder_test *test, int64_t repeat, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_random random = slm_random_new(3, test->words);
    const size_t bytes = test->texts * embed->dimensions * sizeof(float);
    const char **texts = calloc(test->texts, sizeof *texts);
    float *out = malloc(bytes);
    test->rates = calloc((size_t)repeat, sizeof *test->rates);
    if (texts == NULL || out == NULL || test->rates == NULL) slm_out_of_memory(bytes);
    for (size_t i = 0; i < test->texts; i++)
        texts[i] = make_text(&random, test->words);
    /* Once without a clock: pages are touched, threads awake. */
    SLM_TRY_OUT(slm_embed_run(embed, texts, test->texts, out, err));
    for (int64_t round = 0; round < repeat; round++) {
        const double start_s = slm_progress_clock_s();
        SLM_TRY_OUT(slm_embed_run(embed, texts, test->texts, out, err));
        test->rates[round] = (double)test->texts / (slm_progress_clock_s() - start_s);
        if (cli_interrupted) {
            status = slm_error_set(err, SLM_ERR_CANCELLED, "interrupted; there is no result");
            goto out;
        }
    }
    double *sorted = malloc((size_t)repeat * sizeof *sorted);
    if (sorted == NULL) slm_out_of_memory((size_t)repeat * sizeof *sorted);
    for (int64_t i = 0; i < repeat; i++)
        sorted[i] = test->rates[i];
    test->rate = slm_statistics_quantile(sorted, (size_t)repeat, 0.5);
    free(sorted);
    test->tokens = (double)test->words + 2; /* each of the words is one token in BERT */
out:
    for (size_t i = 0; i < test->texts; i++)
        free((char *)(uintptr_t)texts[i]);
    free(texts);
    free(out);
    return status;
}

static void print_text(const slm_embed *embed, const encoder_test *tests, size_t count,
                       int64_t repeat)
{
    const slm_device *device = slm_open_encoder_device(embed);
    char bytes[32];
    cli__bytes_text(slm_encoder_weight_bytes(slm_open_encoder(embed)), bytes);
    printf("machine       %d threads, kernels %s, medians of %lld\n", slm_device_threads(device),
           slm_device_kernels(device), (long long)repeat);
    printf("encoder       %s, vectors of %zu, weights %s\n\n", embed->name, embed->dimensions,
           bytes);
    printf("%-34s %10s %10s\n", "", "texts/s", "tokens/s");
    for (size_t i = 0; i < count; i++) {
        char what[64];
        snprintf(what, sizeof what, "%zu texts of %zu words", tests[i].texts, tests[i].words);
        printf("%-34s %10.1f %10.0f\n", what, tests[i].rate, tests[i].rate * tests[i].tokens);
    }
}

static void print_json(const slm_embed *embed, const encoder_test *tests, size_t count,
                       int64_t repeat)
{
    const slm_device *device = slm_open_encoder_device(embed);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *runs = json_array();
        for (int64_t r = 0; r < repeat; r++)
            json_array_append_new(runs, json_real(tests[i].rates[r]));
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:f, s:f, s:o}", "test",
                                              tests[i].name, "texts", (json_int_t)tests[i].texts,
                                              "words", (json_int_t)tests[i].words, "texts_per_s",
                                              tests[i].rate, "tokens_per_s",
                                              tests[i].rate * tests[i].tokens, "runs", runs));
    }
    json_t *root =
        json_pack("{s:i, s:s, s:I, s:{s:s, s:I, s:I}, s:o}", "threads", slm_device_threads(device),
                  "kernels", slm_device_kernels(device), "repeat", (json_int_t)repeat, "encoder",
                  "name", embed->name, "dimensions", (json_int_t)embed->dimensions, "weight_bytes",
                  (json_int_t)slm_encoder_weight_bytes(slm_open_encoder(embed)), "tests", list);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

slm_status cli__bench_encoder(const char *name, const cli_shared *shared, int64_t repeat,
                              slm_error *err)
{
    encoder_test tests[] = {{.name = "short", .texts = 1000, .words = 12},
                            {.name = "long", .texts = 100, .words = 200}};
    enum { TESTS = sizeof tests / sizeof tests[0] };
    const slm_open_options open = cli__open_options(shared);
    slm_embed *embed = NULL;
    slm_status status = SLM_OK;
    SLM_TRY_OUT(slm_open_embed(name, &open, &embed, err));
    for (size_t i = 0; i < TESTS; i++)
        SLM_TRY_OUT(measure(embed, &tests[i], repeat, err));
    if (shared->json)
        print_json(embed, tests, TESTS, repeat);
    else
        print_text(embed, tests, TESTS, repeat);
out:
    for (size_t i = 0; i < TESTS; i++)
        free(tests[i].rates);
    slm_embed_free(embed);
    return status;
}
