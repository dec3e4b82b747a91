/* test_cost.c: what a month costs, by the token and by the hour, against figures computed by hand;
 * the seed's published figures from the assumptions of docs/cost.md; and every way it can fail. */
#include <math.h>
#include "unit/report/report_fixture.h"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PRICES                                                                                     \
    "dated: 2026-01-01\n"                                                                          \
    "models:\n"                                                                                    \
    "  - {model: frontier-a, input: 1.25, cached: 0.125, output: 10, batch_discount: 0.5}\n"       \
    "  - {model: frontier-b, host: b.example, input: 3, output: 15}\n"
#define GPU      "machines:\n  - {machine: gpu, per_hour: 2.5, source: a guess}\n"
#define TWO_GPUS GPU "  - {machine: small, per_hour: 0.41}\n"

typedef struct costs_fixture {
    fixture f;
    char prices_path[64];
    slm_prices prices;
    slm_costs costs;
    slm_cost_options options;
    slm_error err;
} costs_fixture;

static void start(costs_fixture *t, const char *prices)
{
    memset(t, 0, sizeof *t);
    fixture_open(&t->f);
    fixture_add_cases(&t->f, 4, NULL);
    snprintf(t->prices_path, sizeof t->prices_path, "/tmp/slm-prices-XXXXXX");
    int file = mkstemp(t->prices_path);
    assert_true(file >= 0);
    assert_int_equal(write(file, prices, strlen(prices)), strlen(prices));
    close(file);
    fixture_check(slm_prices_load(t->prices_path, &t->prices, &t->err), &t->err);
    t->options = slm_cost_options_default();
}

static void finish(costs_fixture *t)
{
    slm_prices_free(&t->prices);
    unlink(t->prices_path);
    fixture_close(&t->f);
}

/* A run with one answer for each set of counts {prompt, cached, reply, reasoning}; 2 s each. */
static void add(costs_fixture *t, const char *name, const char *identity, const char *kind,
                int64_t (*counts)[4], size_t n)
{
    char hash[65], id[32];
    slm_run run = {.model_name = name,
                   .model_identity = identity,
                   .kind = kind,
                   .sampling_json = "{}",
                   .cases_sha256 = FIXTURE_CASES};
    slm_run_hash(&run, hash);
    run.hash = hash;
    fixture_check(slm_store_put_run(t->f.store, &run, &t->err), &t->err);
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof id, "case-%04zu", i);
        slm_sample sample = {.run = hash,
                             .case_id = id,
                             .reply = "x",
                             .transcript_json = "[]",
                             .finish = "stop",
                             .prompt_tokens = counts[i][0],
                             .cached_tokens = counts[i][1],
                             .reply_tokens = counts[i][2],
                             .reasoning_tokens = counts[i][3],
                             .time_s = 2};
        bool inserted;
        fixture_check(slm_store_put_sample(t->f.store, &sample, &inserted, &t->err), &t->err);
    }
}

static void load(costs_fixture *t)
{
    fixture_check(
        slm_costs_load(t->f.store, &t->prices, &t->options, &t->f.arena, &t->costs, &t->err),
        &t->err);
}

static void fails(costs_fixture *t, slm_status status, const char *const *parts)
{
    assert_int_equal(
        slm_costs_load(t->f.store, &t->prices, &t->options, &t->f.arena, &t->costs, &t->err),
        status);
    for (; *parts != NULL; parts++) {
        if (strstr(t->err.message, *parts) == NULL)
            fail_msg("'%s' is not in: %s", *parts, t->err.message);
    }
}

static void near(double got, double wanted)
{
    if (!(fabs(got - wanted) <= 1e-9 * fabs(wanted))) fail_msg("%.17g, not %.17g", got, wanted);
}

static void test_hosted(void **state)
{
    (void)state;
    costs_fixture t;
    start(&t, PRICES);
    int64_t counts[][4] = {{1000, 400, 200, 50}, {3000, -1, 400, 150}, {-1, -1, -1, -1}};
    add(&t, "mine", "openai:frontier-a@https://a.example/v1", "model", counts, 3);
    load(&t);
    assert_int_equal(t.costs.count, 1);
    const slm_arm_cost *arm = &t.costs.arms[0];
    assert_string_equal(arm->model, "frontier-a");
    assert_string_equal(arm->host, "a.example");
    assert_int_equal(arm->samples, 3);
    assert_int_equal(arm->told, 2);
    near(arm->prompt, 2000);
    near(arm->cached, 200);
    near(arm->reply, 300);
    near(arm->reasoning, 100);
    near(arm->usd, 1800 * 1.25 + 200 * 0.125 + 300 * 10); /* reasoning is not paid twice */
    t.options.requests = 500000;
    t.options.batch_mode = true;
    load(&t);
    near(t.costs.arms[0].usd, (1800 * 1.25 + 200 * 0.125 + 300 * 10) / 4);
    t.options.batch_discount = 0.2;
    load(&t);
    near(t.costs.arms[0].usd, (1800 * 1.25 + 200 * 0.125 + 300 * 10) * 0.5 * 0.8);
    finish(&t);
}

static void test_rented(void **state)
{
    (void)state;
    costs_fixture t;
    start(&t, PRICES GPU);
    int64_t counts[][4] = {{100, 0, 200, 0}, {100, 0, 400, 0}};
    add(&t, "local", HASH_A, "model", counts, 2);
    load(&t);
    const slm_arm_cost *arm = &t.costs.arms[0];
    assert_true(arm->speed_measured);
    near(arm->tokens_per_second, 150); /* 600 tokens in 2 + 2 seconds */
    near(arm->busy_hours, 1e6 * 300 / 150 / 3600);
    near(arm->usd, arm->busy_hours / 0.5 * 2.5);
    near(arm->machines, arm->busy_hours / 0.5 / 730);
    t.options.whole_machines = true;
    load(&t);
    near(t.costs.arms[0].machines, 2); /* 1111 hours */
    near(t.costs.arms[0].usd, 2 * 730 * 2.5);
    t.options.tokens_per_second = 1500;
    t.options.utilisation = 1;
    load(&t);
    assert_false(t.costs.arms[0].speed_measured);
    near(t.costs.arms[0].machines, 1);
    near(t.costs.arms[0].usd_share, 1e6 * 300 / 1500 / 3600 * 2.5);
    finish(&t);
}

/* About US$300 a month for the tuned 8B model, 12,500 and 20,900 for two frontier models, within 5%:
 * from the assumptions that docs/cost.md names as ours. */
static void test_published(void **state)
{
    (void)state;
    costs_fixture t;
    start(&t, PRICES TWO_GPUS);
    int64_t a[][4] = {{1000, 0, 1125, 700}}, b[][4] = {{1000, 0, 1190, 700}};
    int64_t tuned[][4] = {{1000, 0, 300, 0}};
    add(&t, "frontier-a", "recorded:" HASH_A, "model", a, 1);
    add(&t, "frontier-b", "recorded:" HASH_A "#anthropic:frontier-b@https://b.example/v1", "model",
        b, 1);
    add(&t, "tuned-8b", HASH_A, "model", tuned, 1);
    t.options.tokens_per_second = 1400;
    t.options.machines = (const char *const[]){"gpu"};
    t.options.machine_count = 1;
    load(&t);
    assert_int_equal(t.costs.count, 3);
    assert_string_equal(t.costs.arms[0].name, "tuned-8b");
    assert_true(fabs(t.costs.arms[0].usd - 300) < 0.05 * 300);
    assert_true(fabs(t.costs.arms[1].usd - 12500) < 0.05 * 12500);
    assert_true(fabs(t.costs.arms[2].usd - 20900) < 0.05 * 20900);
    /* The other reading: one small machine, whole. */
    t.options.machines = (const char *const[]){"gpu", "tuned-8b=small"};
    t.options.machine_count = 2;
    t.options.tokens_per_second = 250;
    t.options.whole_machines = true;
    load(&t);
    near(t.costs.arms[0].machines, 1);
    assert_true(fabs(t.costs.arms[0].usd - 300) < 0.05 * 300);
    finish(&t);
}

static void test_missing(void **state)
{
    (void)state;
    costs_fixture t;
    int64_t counts[][4] = {{1000, 0, 100, 0}}, none[][4] = {{-1, -1, -1, -1}};
    start(&t, PRICES);
    add(&t, "imported", "imported:x", "imported", none, 1);
    fails(&t, SLM_ERR_NOT_FOUND, (const char *const[]){"imported has no cost", "slm eval", NULL});
    add(&t, "frontier-a", "openai:frontier-a@https://a.example", "model", counts, 1);
    add(&t, "always-ask", "baseline:always-ask", "baseline", counts, 1);
    load(&t);
    assert_int_equal(t.costs.count, 1);
    assert_int_equal(t.costs.left_out_count, 1);
    add(&t, "local", HASH_A, "model", counts, 1);
    fails(&t, SLM_ERR_NOT_FOUND,
          (const char *const[]){t.prices_path, "machine", "'local'", "machines:", NULL});
    t.options.machines = (const char *const[]){"gpu"};
    t.options.machine_count = 1;
    fails(&t, SLM_ERR_NOT_FOUND, (const char *const[]){t.prices_path, "'gpu'", "'local'", NULL});
    t.options.arms = (const char *const[]){"frontier-a"};
    t.options.arm_count = 1;
    load(&t);
    assert_int_equal(t.costs.count, 1);
    t.options.arms = (const char *const[]){"nobody"};
    fails(&t, SLM_ERR_NOT_FOUND, (const char *const[]){"'nobody'", NULL});
    t.options.arm_count = 0;
    /* frontier-b has a price at another host alone. */
    add(&t, "b", "bedrock:frontier-b@https://c.example", "model", counts, 1);
    t.options.arms = (const char *const[]){"b"};
    t.options.arm_count = 1;
    fails(&t, SLM_ERR_NOT_FOUND,
          (const char *const[]){t.prices_path, "'frontier-b'", "c.example", "'b=NAME'", NULL});
    t.options.utilisation = 0;
    fails(&t, SLM_ERR_INVALID, (const char *const[]){"utilisation", NULL});
    finish(&t);
    start(&t, TWO_GPUS "dated: 2026-01-01\n");
    add(&t, "local", HASH_A, "model", counts, 1);
    fails(&t, SLM_ERR_INVALID, (const char *const[]){"2 machines", "--machine", "'local'", NULL});
    finish(&t);
}

static void test_output(void **state)
{
    (void)state;
    costs_fixture t;
    start(&t, PRICES GPU);
    int64_t counts[][4] = {{1000, -1, 100, -1}};
    add(&t, "evil\n\x1b[31m\xff", "openai:frontier-a@https://a.example", "model", counts, 1);
    add(&t, "local", HASH_A, "model", counts, 1);
    add(&t, "imported", "imported:x", "imported", NULL, 0);
    load(&t);
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    slm_costs_print(&t.costs, out);
    fclose(out);
    const char *const parts[] = {"1,000,000 requests",
                                 "Assumed",
                                 "US$1.25 per million prompt tokens",
                                 "2026-01-01",
                                 "(a guess)",
                                 "utilisation 0.5",
                                 "cached tokens were not told",
                                 "imported has no cost",
                                 "shares of a machine",
                                 "50 reply tokens a second, measured"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strstr(text, parts[i]) == NULL) fail_msg("'%s' is not in:\n%s", parts[i], text);
    }
    assert_null(strchr(text, '\x1b'));
    free(text);
    out = open_memstream(&text, &len);
    slm_costs_json(&t.costs, out);
    fclose(out);
    json_t *root = NULL;
    fixture_check(slm_json_parse(text, len, "json", 1, &root, &t.err), &t.err);
    json_t *arms = json_object_get(root, "arms");
    assert_int_equal(json_array_size(arms), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *arm = json_array_get(arms, i);
        near(json_number_value(json_object_get(arm, "usd_a_month")), t.costs.arms[i].usd);
        assert_true(json_is_null(json_object_get(arm, "cached_tokens")));
        assert_true(json_is_object(json_object_get(arm, "hosted")) !=
                    json_is_object(json_object_get(arm, "rented")));
    }
    assert_int_equal(json_array_size(json_object_get(root, "left_out")), 1);
    json_decref(root);
    free(text);
    finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosted),    cmocka_unit_test(test_rented),
        cmocka_unit_test(test_published), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_output),
    };
    return cmocka_run_group_tests_name("report/cost", tests, NULL, NULL);
}
