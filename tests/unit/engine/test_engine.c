/* test_engine.c: promises 1 and 2 of the design, on a small model with random weights: a request's
 * tokens and log-probabilities are the same bits whatever the batch, chunk, threads, prefix sharing
 * and cache size; the log-probability of a rollout is what scoring its ids gives; and no page is
 * lost. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine_fixture.h"

static slm_sample_options plain(void)
{
    return (slm_sample_options){.temperature = 1.0f, .top_p = 1.0f, .repetition_penalty = 1.0f};
}

/* ---- the same bits ------------------------------------------------------------------------- */

enum { PROMPTS = 7, MOST_SAMPLES = 9, REPLY = 40 };
static const size_t prompt_lens[PROMPTS] = {1, 2, 63, 64, 65, 66, 200};
static const uint32_t sample_counts[PROMPTS] = {3, 1, 9, 2, 4, 1, 5};

typedef struct results {
    slm_generated *items[PROMPTS][MOST_SAMPLES];
} results;

static slm_generate make_request(int which, slm_token *prompt)
{
    slm_random random = slm_random_new(11, (uint64_t)which);
    for (size_t i = 0; i < prompt_lens[which]; i++)
        prompt[i] = (slm_token)slm_random_below(&random, GGUF_TOKEN_MERGES);
    slm_generate r = {.prompt = prompt,
                      .prompt_len = prompt_lens[which],
                      .samples = sample_counts[which],
                      .first_rollout = 2,
                      .seed = 5,
                      .stream = (uint64_t)which * 77,
                      .sampling = plain(),
                      .max_tokens = REPLY};
    static const slm_token stop = GGUF_TOKEN_IM_END;
    r.stop_tokens = &stop;
    r.stop_token_count = 1;
    if (which == 2) r.sampling.top_k = 20;
    if (which == 3) r.sampling.top_p = 0.8f;
    if (which == 4) r.sampling.min_p = 0.05f;
    if (which == 5) r.sampling.temperature = 0;
    if (which == 6) {
        r.sampling.repetition_penalty = 1.3f;
        r.sampling.presence_penalty = 0.2f;
        r.sampling.frequency_penalty = 0.1f;
        r.sampling.temperature = 0.7f;
    }
    return r;
}

static void generate_all(fixture *f, results *out)
{
    slm_error err = {0};
    uint64_t requests[PROMPTS];
    memset(out, 0, sizeof *out);
    for (int i = 0; i < PROMPTS; i++) {
        slm_token prompt[200];
        slm_generate r = make_request(i, prompt);
        if (slm_engine_submit(f->engine, &r, &requests[i], &err) != SLM_OK)
            fail_msg("%s", err.message);
    }
    for (bool worked = true; worked;)
        assert_int_equal(slm_engine_step(f->engine, &worked, &err), SLM_OK);
    slm_generated *g;
    while ((g = slm_engine_poll(f->engine)))
        for (int i = 0; i < PROMPTS; i++)
            if (requests[i] == g->request) {
                assert_null(out->items[i][g->sample]);
                out->items[i][g->sample] = g;
            }
    assert_int_equal(slm_engine_pending(f->engine), 0);
}

static void free_results(results *r)
{
    for (int i = 0; i < PROMPTS; i++)
        for (int s = 0; s < MOST_SAMPLES; s++)
            slm_generated_free(r->items[i][s]);
}

static void assert_same(const results *a, const results *b)
{
    for (int i = 0; i < PROMPTS; i++)
        for (uint32_t s = 0; s < sample_counts[i]; s++) {
            const slm_generated *x = a->items[i][s], *y = b->items[i][s];
            assert_non_null(x);
            assert_non_null(y);
            assert_int_equal(x->ids.len, y->ids.len);
            assert_memory_equal(x->ids.ids, y->ids.ids, x->ids.len * sizeof *x->ids.ids);
            assert_memory_equal(x->logprobs, y->logprobs, x->ids.len * sizeof *x->logprobs);
            assert_int_equal(x->finish, y->finish);
            assert_string_equal(x->text, y->text);
        }
}

static void run_with(const char *kernels, int threads, slm_dtype dtype, slm_engine_options options,
                     results *out)
{
    fixture f;
    open_fixture(&f, kernels, threads, dtype, &options);
    generate_all(&f, out);
    close_fixture(&f);
}

/* The best path here, both dtypes: batches, chunks, threads, sharing and small caches. */
static void test_same_bits(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        slm_dtype dtype = half ? SLM_BF16 : SLM_F32;
        results base;
        run_with(NULL, 1, dtype, slm_engine_options_default(), &base);
        static const int32_t batches[] = {1, 5, 32, 3}, chunks[] = {256, 7, 1, 64};
        for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
            for (int sharing = 0; sharing < 2; sharing++) {
                results other;
                slm_engine_options o = slm_engine_options_default();
                o.batch = batches[i];
                o.chunk = chunks[i];
                o.prefix_sharing = sharing;
                run_with(NULL, (int)i % 3 + 1, dtype, o, &other);
                assert_same(&base, &other);
                free_results(&other);
            }
        free_results(&base);
    }
}

/* A cache that holds little more than the largest request: it runs narrower, with the same bits. */
static void test_narrow_cache(void **state)
{
    (void)state;
    results base, narrow;
    slm_engine_options o = slm_engine_options_default();
    run_with(NULL, 2, SLM_BF16, o, &base);
    fixture f;
    open_fixture(&f, NULL, 2, SLM_BF16, &o);
    uint64_t page = slm_kv_page_bytes(slm_model_kv_shape(f.model));
    close_fixture(&f);
    o.cache_bytes =
        5 * page; /* 239 positions: 4 pages of prompt, and 1 of its own beside 3 shared */
    run_with(NULL, 2, SLM_BF16, o, &narrow);
    assert_same(&base, &narrow);
    free_results(&narrow);
    o.cache_bytes = 4 * page;
    open_fixture(&f, NULL, 2, SLM_BF16, &o);
    slm_token prompt[200];
    slm_generate r = make_request(6, prompt);
    slm_error err = {0};
    uint64_t id;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_ERR_LIMIT);
    assert_non_null(strstr(err.message, "--memory"));
    close_fixture(&f);
    free_results(&base);
}

/* Promise 1: the rollout's log-probabilities are those that scoring the same ids gives. */
static void test_score_equals_rollout(void **state)
{
    (void)state;
    static const char *const paths[] = {"ref", NULL};
    for (size_t p = 0; p < 2; p++) {
        fixture f;
        results r;
        slm_error err = {0};
        slm_engine_options o = slm_engine_options_default();
        open_fixture(&f, paths[p], 2, p ? SLM_BF16 : SLM_F32, &o);
        generate_all(&f, &r);
        for (int i = 0; i < PROMPTS - 1; i++) { /* the last one has another temperature */
            slm_token ids[256];
            float scores[256];
            const slm_generated *g = r.items[i][0];
            slm_generate request = make_request(i, ids);
            size_t n = request.prompt_len + g->ids.len;
            memcpy(ids + request.prompt_len, g->ids.ids, g->ids.len * sizeof *ids);
            assert_int_equal(slm_engine_score(f.engine, ids, n, scores, NULL, &err), SLM_OK);
            assert_memory_equal(scores + request.prompt_len - 1, g->logprobs,
                                g->ids.len * sizeof *scores);
        }
        free_results(&r);
        close_fixture(&f);
    }
}

/* ---- stopping ------------------------------------------------------------------------------ */

typedef struct heard {
    slm_buffer text[4];
} heard;

static void hear(void *context, uint32_t sample, const char *text, size_t len)
{
    heard *h = context;
    assert_true(len > 0);
    slm_buffer_append(&h->text[sample], text, len);
}

static slm_generated *next(fixture *f)
{
    slm_error err = {0};
    for (bool worked = true; worked;) {
        slm_generated *g = slm_engine_poll(f->engine);
        if (g) return g;
        assert_int_equal(slm_engine_step(f->engine, &worked, &err), SLM_OK);
    }
    return slm_engine_poll(f->engine);
}

static void test_stop_strings(void **state)
{
    (void)state;
    fixture f;
    heard h = {0};
    slm_error err = {0};
    uint64_t id;
    slm_token prompt[200];
    slm_engine_options o = slm_engine_options_default();
    open_fixture(&f, "ref", 1, SLM_F32, &o);
    slm_generate r = make_request(0, prompt);
    r.samples = 1;
    r.stop_token_count = 0;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_OK);
    slm_generated *whole = next(&f);
    assert_int_equal(whole->finish, SLM_FINISH_LENGTH);
    assert_int_equal(whole->ids.len, REPLY);
    /* Stop at three bytes from the middle of what it says: the text ends before them. */
    assert_true(whole->text_len > 12);
    size_t middle = whole->text_len / 2;
    while ((whole->text[middle] & 0xc0) == 0x80)
        middle++;
    char *stop = strndup(whole->text + middle, 3);
    const char *stops[] = {"never said, surely", stop};
    r.stop = stops;
    r.stop_count = 2;
    r.on_text = hear;
    r.context = &h;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_OK);
    slm_generated *cut = next(&f);
    const char *first = strstr(whole->text, stop);
    assert_int_equal(cut->finish, SLM_FINISH_STOP);
    assert_int_equal(cut->text_len, first - whole->text);
    assert_memory_equal(cut->text, whole->text, cut->text_len);
    assert_string_equal(slm_buffer_text(&h.text[0]), cut->text);
    assert_true(cut->ids.len < whole->ids.len);
    assert_memory_equal(cut->ids.ids, whole->ids.ids, cut->ids.len * sizeof *cut->ids.ids);
    /* A stop token ends the reply, is kept in ids and left out of the text. */
    r.stop_count = 0;
    r.on_text = NULL;
    r.stop_tokens = &whole->ids.ids[5];
    r.stop_token_count = 1;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_OK);
    slm_generated *ended = next(&f);
    assert_int_equal(ended->finish, SLM_FINISH_STOP);
    assert_true(ended->ids.len <= 6);
    assert_int_equal(ended->ids.ids[ended->ids.len - 1], whole->ids.ids[5]);
    slm_generated_free(ended);
    slm_generated_free(cut);
    slm_generated_free(whole);
    slm_buffer_free(&h.text[0]);
    free(stop);
    close_fixture(&f);
}

static void test_context_ends_reply(void **state)
{
    (void)state;
    fixture f;
    slm_error err = {0};
    uint64_t id;
    slm_token prompt[200];
    slm_engine_options o = slm_engine_options_default();
    o.context = 210;
    open_fixture(&f, "ref", 1, SLM_F32, &o);
    slm_generate r = make_request(6, prompt);
    r.samples = 1;
    r.stop_token_count = 0;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_OK);
    slm_generated *g = next(&f);
    assert_int_equal(g->finish, SLM_FINISH_LENGTH);
    assert_int_equal(g->ids.len, 10);
    slm_generated_free(g);
    close_fixture(&f);
}

static void test_cancel(void **state)
{
    (void)state;
    fixture f;
    slm_error err = {0};
    uint64_t first, second;
    bool worked;
    slm_token prompt[200];
    slm_engine_options o = slm_engine_options_default();
    o.batch = 2;
    open_fixture(&f, "ref", 1, SLM_F32, &o);
    slm_generate r = make_request(6, prompt);
    assert_int_equal(slm_engine_submit(f.engine, &r, &first, &err), SLM_OK);
    r = make_request(4, prompt);
    assert_int_equal(slm_engine_submit(f.engine, &r, &second, &err), SLM_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(slm_engine_step(f.engine, &worked, &err), SLM_OK);
    slm_engine_cancel(f.engine, first);
    int cancelled = 0, done = 0;
    for (slm_generated *g; (g = next(&f)); slm_generated_free(g)) {
        if (g->request == first) {
            cancelled += g->finish == SLM_FINISH_CANCELLED;
        } else {
            assert_int_equal(g->request, second);
            assert_true(g->finish == SLM_FINISH_STOP || g->finish == SLM_FINISH_LENGTH);
            done++;
        }
    }
    assert_int_equal(cancelled, sample_counts[6]);
    assert_int_equal(done, sample_counts[4]);
    close_fixture(&f);
}

static void test_wrong_requests(void **state)
{
    (void)state;
    fixture f;
    slm_error err = {0};
    uint64_t id;
    slm_token prompt[200];
    slm_engine_options o = slm_engine_options_default();
    open_fixture(&f, "ref", 1, SLM_F32, &o);
    slm_generate good = make_request(2, prompt), r = good;
    r.sampling.top_p = 0;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "top-p is 0"));
    r = good;
    r.sampling.temperature = -1;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "temperature"));
    r = good;
    r.max_tokens = 0;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_ERR_INVALID);
    r = good;
    r.prompt_len = 0;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "the prompt is empty"));
    prompt[5] = 100000;
    assert_int_equal(slm_engine_submit(f.engine, &good, &id, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "prompt token 5 is 100000"));
    assert_int_equal(slm_engine_pending(f.engine), 0);
    close_fixture(&f);
}

/* The prompt is computed once for all samples; without sharing, once for each. */
static void test_prompt_computed_once(void **state)
{
    (void)state;
    for (int sharing = 0; sharing < 2; sharing++) {
        fixture f;
        slm_error err = {0};
        uint64_t id;
        slm_token prompt[200];
        slm_engine_options o = slm_engine_options_default();
        o.prefix_sharing = sharing;
        open_fixture(&f, "ref", 1, SLM_F32, &o);
        slm_generate r = make_request(6, prompt);
        assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_OK);
        for (slm_generated *g; (g = next(&f)); slm_generated_free(g)) {
        }
        slm_engine_stats stats = slm_engine_get_stats(f.engine);
        assert_int_equal(stats.prompt_tokens, sharing ? 199 : 199 * 5);
        assert_int_equal(stats.shared_tokens, sharing ? 199 * 4 : 0);
        close_fixture(&f);
    }
}

static int setup(void **state)
{
    (void)state;
    write_fixture();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(fixture_path());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_narrow_cache),
        cmocka_unit_test(test_score_equals_rollout),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_context_ends_reply),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_wrong_requests),
        cmocka_unit_test(test_prompt_computed_once),
    };
    return cmocka_run_group_tests_name("engine", tests, setup, teardown);
}
