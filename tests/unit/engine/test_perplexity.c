/* test_perplexity.c: windows of a text and the figures over them, on a small model with random
 * weights: held against -ln p computed here in double from the logits, against sums by hand, and to
 * the same bits whatever the threads and the batch. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine_fixture.h"
#include "model/model_internal.h"

static const char text[] =
    "The mother of the child said that in the morning there was pain, then fever.\n"
    "Since when? Since yesterday. Gr\xC3\xBC\xC3\x9F"
    "e, \xE6\x9D\xB1\xE4\xBA\xAC, and an answer in the end.\n"
    "Another line, rather the longer one of the three, and then nothing more than a dot.\n";
enum { TEXT_BYTES = sizeof text - 1 };

static fixture open_ref(int threads, int32_t batch)
{
    fixture f;
    slm_engine_options options = slm_engine_options_default();
    options.batch = batch;
    open_fixture(&f, "ref", threads, SLM_F32, &options);
    return f;
}

static slm_windows windows_of(const fixture *f, size_t context, size_t limit)
{
    slm_windows w = {0};
    slm_error err = {0};
    assert_int_equal(slm_windows_add(&w, f->tokenizer, text, TEXT_BYTES, context, limit, &err),
                     SLM_OK);
    return w;
}

static void score_all(fixture *f, slm_windows *w)
{
    slm_error err = {0};
    for (size_t i = 0; i < w->count; i++)
        assert_int_equal(slm_windows_score(w, i, f->engine, &err), SLM_OK);
}

/* ---- windows ------------------------------------------------------------------------------- */

/* Every token stands in one window, in order; the bytes of those that are scored are told. */
static void test_windows(void **state)
{
    (void)state;
    fixture f = open_ref(1, 8);
    slm_tokens ids = {0};
    slm_error err = {0};
    assert_int_equal(slm_tokenizer_encode(f.tokenizer, text, TEXT_BYTES, false, &ids, &err),
                     SLM_OK);
    assert_true(ids.len > 150 && ids.len < TEXT_BYTES); /* merges are used */
    for (size_t context = 2; context < ids.len + 3; context += 7) {
        slm_windows w = windows_of(&f, context, 0);
        const size_t full = ids.len / context, rest = ids.len % context;
        assert_int_equal(w.count, full + (rest >= 2));
        assert_int_equal(w.text_tokens, ids.len);
        size_t bytes = 0;
        slm_buffer firsts = {0};
        for (size_t i = 0; i < w.count; i++) {
            assert_int_equal(w.items[i].begin, i * context);
            assert_int_equal(w.items[i].len, i < full ? context : rest);
            bytes += w.items[i].bytes;
            slm_tokenizer_decode(f.tokenizer, ids.ids[i * context], true, &firsts);
        }
        if (rest == 1) slm_tokenizer_decode(f.tokenizer, ids.ids[ids.len - 1], true, &firsts);
        assert_int_equal(bytes + firsts.len, TEXT_BYTES);
        assert_memory_equal(w.tokens.ids, ids.ids, w.tokens.len * sizeof *ids.ids);
        slm_buffer_free(&firsts);
        slm_windows_free(&w);
    }
    slm_tokens_free(&ids);
    close_fixture(&f);
}

/* The limit counts tokens of all texts; a second text begins a window of its own. */
static void test_limit(void **state)
{
    (void)state;
    static const struct {
        size_t limit, counts[2]; /* windows after the first and the second text of 8 tokens */
    } cases[] = {{0, {2, 4}},  {5, {1, 1}},  {6, {2, 2}},  {8, {2, 2}}, {9, {2, 2}},
                 {10, {2, 3}}, {14, {2, 4}}, {99, {2, 4}}, {1, {0, 0}}};
    fixture f = open_ref(1, 8);
    slm_error err = {0};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        slm_windows w = {0};
        for (int i = 0; i < 2; i++) {
            const char *eight = i == 0 ? "12345678" : "abcdefgh"; /* no merges */
            assert_int_equal(slm_windows_add(&w, f.tokenizer, eight, 8, 4, cases[c].limit, &err),
                             SLM_OK);
            assert_int_equal(w.count, cases[c].counts[i]);
        }
        const size_t limit = cases[c].limit;
        assert_int_equal(w.text_tokens, limit == 0 || limit > 16 ? 16 : limit);
        slm_windows_free(&w);
    }
    close_fixture(&f);
}

/* Where the tokenizer adds a BOS it stands in front of every window, and all of the text is scored. */
static void test_bos(void **state)
{
    (void)state;
    char path[64];
    slm_tensors *file = NULL;
    slm_tokenizer *tokenizer = NULL;
    slm_error err = {0};
    gguf_writer w = {0};
    gguf_add_string(&w, "general.architecture", "llama");
    gguf_add_byte_tokenizer(&w, "smollm", NULL, 0);
    /* The last value of the metadata is that of add_bos_token. */
    assert_int_equal(w.entries.data[w.entries.len - 1], 0);
    w.entries.data[w.entries.len - 1] = 1;
    snprintf(path, sizeof path, "/tmp/slm-perplexity-%d.gguf", (int)getpid());
    assert_true(gguf_write(&w, path));
    gguf_writer_free(&w);
    assert_int_equal(slm_tensors_open(path, &file, &err), SLM_OK);
    assert_int_equal(slm_tokenizer_from_gguf(file, &tokenizer, &err), SLM_OK);
    slm_tensors_close(file);
    unlink(path);
    assert_true(slm_tokenizer_adds_bos(tokenizer));

    slm_windows windows = {0};
    assert_int_equal(slm_windows_add(&windows, tokenizer, "1234567", 7, 4, 0, &err), SLM_OK);
    assert_int_equal(windows.count, 3);
    assert_int_equal(windows.text_tokens, 7);
    const size_t lens[] = {4, 4, 2}, bytes[] = {3, 3, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(windows.items[i].len, lens[i]);
        assert_int_equal(windows.items[i].bytes, bytes[i]);
        assert_int_equal(windows.tokens.ids[windows.items[i].begin], GGUF_TOKEN_IM_START);
    }
    slm_windows_free(&windows);
    slm_tokenizer_free(tokenizer);
}

/* ---- scores -------------------------------------------------------------------------------- */

/* Sum of -ln p over ids[1..n), in double from logits. */
static double nll_of(fixture *f, const slm_token *ids, size_t n)
{
    const size_t vocabulary = (size_t)slm_model_get_config(f->model)->vocabulary;
    float *logits = calloc(n * vocabulary, sizeof *logits), *ignored = calloc(n, sizeof *ignored);
    slm_error err = {0};
    double sum = 0;
    assert_non_null(logits);
    assert_non_null(ignored);
    assert_int_equal(slm_engine_score(f->engine, ids, n, ignored, logits, &err), SLM_OK);
    for (size_t i = 0; i + 1 < n; i++) {
        const float *row = logits + i * vocabulary;
        double total = 0;
        for (size_t v = 0; v < vocabulary; v++)
            total += exp((double)row[v]);
        sum += log(total) - (double)row[ids[i + 1]];
    }
    free(logits);
    free(ignored);
    return sum;
}

static void test_perplexity(void **state)
{
    (void)state;
    fixture f = open_ref(1, 8);
    slm_windows w = windows_of(&f, 50, 0);
    double nll = 0, tokens = 0, bytes = 0;
    score_all(&f, &w);
    assert_true(w.count >= 4);
    for (size_t i = 0; i < w.count; i++) {
        const double wanted = nll_of(&f, w.tokens.ids + w.items[i].begin, w.items[i].len);
        assert_true(fabs(w.items[i].nll - wanted) < 1e-6 * wanted);
        nll += wanted;
        tokens += (double)w.items[i].len - 1;
        bytes += (double)w.items[i].bytes;
    }
    const slm_perplexity p = slm_windows_perplexity(&w);
    assert_true(tokens == (double)p.tokens && bytes == (double)p.bytes);
    assert_true(fabs(p.perplexity / exp(nll / tokens) - 1) < 1e-6);
    assert_true(fabs(p.bits_per_byte / (nll / bytes / log(2)) - 1) < 1e-6);
    assert_true(fabs(p.nll / nll - 1) < 1e-6);
    assert_true(p.interval.low < p.perplexity && p.perplexity < p.interval.high);
    assert_true(p.interval.low > 1);
    slm_windows_free(&w);

    w = windows_of(&f, 50, 30); /* one window: no interval */
    score_all(&f, &w);
    assert_int_equal(w.count, 1);
    assert_true(isnan(slm_windows_perplexity(&w).interval.low));
    slm_windows_free(&w);
    close_fixture(&f);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const struct {
        int threads;
        int32_t batch;
    } runs[] = {{1, 64}, {2, 64}, {1, 1}, {2, 7}};
    static const char *const paths[] = {"ref", NULL};
    for (size_t p = 0; p < 2; p++) {
        slm_windows first = {0};
        for (size_t r = 0; r < sizeof runs / sizeof runs[0]; r++) {
            fixture f;
            slm_engine_options options = slm_engine_options_default();
            options.batch = runs[r].batch;
            options.chunk = 1;
            open_fixture(&f, paths[p], runs[r].threads, p ? SLM_BF16 : SLM_F32, &options);
            slm_windows w = windows_of(&f, 70, 0);
            score_all(&f, &w);
            close_fixture(&f);
            if (r == 0) {
                first = w;
                continue;
            }
            assert_memory_equal(w.items, first.items, w.count * sizeof *w.items);
            slm_windows_free(&w);
        }
        slm_windows_free(&first);
    }
}

/* What is not finite is an error, never a figure; and so is an engine that is too small. */
static void test_errors(void **state)
{
    (void)state;
    slm_error err = {0};
    fixture f;
    slm_engine_options options = slm_engine_options_default();
    options.context = 32;
    open_fixture(&f, "ref", 1, SLM_F32, &options);
    slm_windows w = windows_of(&f, 33, 0);
    assert_int_equal(slm_windows_score(&w, 0, f.engine, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "33"));
    slm_windows_free(&w);

    w = windows_of(&f, 32, 0);
    model__layer *layer = &f.model->layers[0];
    float *norm = (float *)layer->norms[MODEL_ATTENTION_NORM].at;
    norm[0] = NAN;
    assert_int_equal(slm_windows_score(&w, 0, f.engine, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "not finite"));
    slm_windows_free(&w);
    close_fixture(&f);
}

/* ---- changes ------------------------------------------------------------------------------- */

/* Windows without an engine: `len` tokens each, and these sums of -ln p. */
static slm_windows made(size_t count, const double *nll)
{
    slm_windows w = {.count = count, .cap = count, .items = calloc(count, sizeof *w.items)};
    assert_non_null(w.items);
    for (size_t i = 0; i < count; i++) {
        const size_t len = 11 + i % 3;
        w.items[i] = (slm_window){w.tokens.len, len, 4 * len, nll[i]};
        for (size_t t = 0; t < len; t++)
            slm_tokens_append(&w.tokens, (slm_token)(i + t));
    }
    return w;
}

static void test_change(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    double a[COUNT], b[COUNT], change;
    slm_interval interval;
    slm_random random = slm_random_new(4, 0);
    for (size_t i = 0; i < COUNT; i++) {
        a[i] = 30 + 10 * slm_random_normal(&random); /* windows are unlike each other */
        b[i] = a[i] + 0.05 * (double)(10 + i % 3) + 0.05 * slm_random_normal(&random);
    }
    slm_windows first = made(COUNT, a), other = made(COUNT, b);
    assert_true(slm_windows_change(&first, &other, &change, &interval));
    const double before = slm_windows_perplexity(&first).perplexity;
    const double after = slm_windows_perplexity(&other).perplexity;
    assert_true(fabs(change - (after / before - 1)) < 1e-12);
    assert_true(interval.low < change && change < interval.high);
    assert_true(interval.low > 0.04 && interval.high < 0.06); /* exp(0.05) - 1 = 0.0513 */
    /* pairs are far narrower than the perplexities' own intervals */
    const slm_interval wide = slm_windows_perplexity(&first).interval;
    assert_true(wide.high / wide.low - 1 > 10 * (interval.high - interval.low));

    assert_true(slm_windows_change(&first, &first, &change, &interval));
    assert_true(change == 0 && interval.low == 0 && interval.high == 0);
    other.tokens.ids[7]++;
    assert_false(slm_windows_change(&first, &other, &change, &interval));
    other.tokens.ids[7]--;
    assert_true(slm_windows_change(&first, &other, &change, &interval));
    other.items[3].bytes++;
    assert_false(slm_windows_change(&first, &other, &change, &interval));
    other.items[3].bytes--;
    other.count--;
    assert_false(slm_windows_change(&first, &other, &change, &interval));
    slm_windows_free(&first);
    slm_windows_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),   cmocka_unit_test(test_limit),
        cmocka_unit_test(test_bos),       cmocka_unit_test(test_perplexity),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_change),
    };
    write_fixture();
    int failed = cmocka_run_group_tests_name("engine/perplexity", tests, NULL, NULL);
    unlink(fixture_path());
    return failed;
}
