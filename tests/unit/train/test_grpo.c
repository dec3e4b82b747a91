/* test_grpo.c: practice that was killed anywhere ends where one ends that was not, with one thread or
 * two; every rollout's log-probabilities are the trainer's; what cannot be practised is refused. */
#define TRAIN_CRASHES
#include "grpo_fixture.h"

static slm_status run(slm_arena *arena, void **state, const char *output, const char *extra,
                      int threads, slm_error *err)
{
    const char *const sets[] = {
        slm_arena_printf(arena, "output=%s", in_folder(arena, state, output)), extra, NULL};
    stage s;
    slm_train_result result;
    stage_open(&s, in_folder(arena, state, "recipe.yaml"), sets, threads);
    const slm_status status = slm_train_grpo(&s.train, &result, err);
    stage_close(&s);
    return status;
}

static void run_whole(slm_arena *arena, void **state, const char *output, const char *extra,
                      int threads)
{
    slm_error err = {0};
    if (run(arena, state, output, extra, threads, &err) != SLM_OK) fail_msg("%s", err.message);
}

/* The log tells of every step, and that something was learnt from what was sampled, to the bit. */
static void steps_are_told(void **state)
{
    slm_arena arena = {0};
    slm_jsonl *file = NULL;
    json_t *row = NULL;
    slm_error err = {0};
    int64_t steps = 0, learnt = 0;
    put_practice(&arena, state);
    run_whole(&arena, state, "out", NULL, 2);
    assert_int_equal(
        slm_jsonl_open(in_folder(&arena, state, "out/grpo/metrics.jsonl"), &file, &err), SLM_OK);
    for (;;) {
        assert_int_equal(slm_jsonl_next(file, &row, NULL, &err), SLM_OK);
        if (!row) break;
        if (json_integer_value(json_object_get(row, "step")) > 0) {
            assert_int_equal(json_integer_value(json_object_get(row, "mismatches")), 0);
            learnt += json_integer_value(json_object_get(row, "learnt_tokens"));
            assert_non_null(json_object_get(row, "reward"));
            steps++;
        }
        json_decref(row);
    }
    slm_jsonl_close(file);
    assert_int_equal(steps, 4);
    assert_true(learnt > 0);
    slm_arena_free(&arena);
}

static void threads_change_nothing(void **state)
{
    slm_arena arena = {0};
    put_practice(&arena, state);
    run_whole(&arena, state, "one", NULL, 1);
    run_whole(&arena, state, "two", NULL, 2);
    assert_same_runs(&arena, state, "one", "two");
    slm_arena_free(&arena);
}

typedef struct victim {
    slm_arena *arena;
    void **state;
    int threads;
    const char *output; /* NULL: "broken" */
} victim;

static slm_status run_victim(void *context)
{
    const victim *v = context;
    slm_error err = {0};
    return run(v->arena, v->state, "broken", NULL, v->threads, &err);
}

/* Killed before the n-th call that changes a file, again and again, until it is done. */
static void kills_change_nothing(void **state)
{
    static const long counts[] = {3, 9, 20, 37, 55, 80, 110, 150, 200, 260};
    slm_arena arena = {0};
    put_practice(&arena, state);
    run_whole(&arena, state, "whole", NULL, 2);
    int killed = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        victim v = {&arena, state, i % 2 ? 1 : 2, NULL};
        killed += !run_and_die(counts[i], run_victim, &v);
    }
    assert_true(killed >= 5);
    run_whole(&arena, state, "broken", NULL, 2);
    assert_same_runs(&arena, state, "whole", "broken");
    slm_arena_free(&arena);
}

/* Each way of practising runs, and tells no mismatch (that would be an error). */
static void every_way_runs(void **state)
{
    static const char *const ways[] = {
        "grpo.loss=gspo",         "grpo.loss=dapo",         "grpo.advantage=mean-std",
        "grpo.kl=base",           "grpo.kl=none",           "grpo.env=multi-turn",
        "grpo.train_per_group=2", "grpo.mask_cut_off=true", "grpo.checkpointing=true",
        "grpo.rows=60",           "train=layers",           "seed=1000000000000000"};
    slm_arena arena = {0};
    put_practice(&arena, state);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        run_whole(&arena, state, slm_arena_printf(&arena, "way%zu", i), ways[i], 2);
    slm_arena_free(&arena);
}

static slm_status run_all_victim(void *context)
{
    const victim *v = context;
    slm_error err = {0};
    return run(v->arena, v->state, "broken", "train=all", v->threads, &err);
}

/* A number of metrics.jsonl where it first stands, and the largest of them. */
static void logged(slm_arena *arena, void **state, const char *output, const char *key,
                   double *first, double *most)
{
    slm_jsonl *file = NULL;
    json_t *row = NULL;
    slm_error err = {0};
    *first = *most = NAN;
    const char *path = slm_arena_printf(arena, "%s/%s/grpo/metrics.jsonl", (char *)*state, output);
    if (slm_jsonl_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    for (;;) {
        if (slm_jsonl_next(file, &row, NULL, &err) != SLM_OK) fail_msg("%s", err.message);
        if (!row) break;
        const json_t *number = json_object_get(row, key);
        if (number && isnan(*first)) *first = json_number_value(number);
        if (number) *most = fmax(*most, json_number_value(number));
        json_decref(row);
    }
    slm_jsonl_close(file);
}

/* All weights, killed or not: embedding and norms too. */
static void all_weights_practise(void **state)
{
    static const long counts[] = {5, 40, 90, 150};
    static const char *const files[] = {"last/model.safetensors", "best/model.safetensors",
                                        "last/optimiser.safetensors", "samples.jsonl"};
    slm_arena arena = {0};
    int killed = 0;
    put_practice(&arena, state);
    run_whole(&arena, state, "whole", "train=all", 2);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        victim v = {&arena, state, i % 2 ? 1 : 2, NULL};
        killed += !run_and_die(counts[i], run_all_victim, &v);
    }
    assert_true(killed >= 3);
    run_whole(&arena, state, "broken", "train=all", 1);
    const char *whole = in_folder(&arena, state, "whole/grpo");
    const char *broken = in_folder(&arena, state, "broken/grpo");
    for (size_t i = 0; i < 4; i++)
        assert_same_file(whole, broken, files[i]);
    char *of_whole = metrics_text(whole), *of_broken = metrics_text(broken);
    assert_string_equal(of_whole, of_broken);
    free(of_whole);
    free(of_broken);
    slm_arena_free(&arena);
}

/* With one update a step, the first that learns is made at the reference itself. */
static void divergence_is_from_the_start(void **state)
{
    static const char *const kinds[] = {"train=adapter", "train=all"};
    slm_arena arena = {0};
    put_practice(&arena, state);
    slm_buffer recipe = file_bytes(*state, "recipe.yaml");
    slm_buffer_append_text(&recipe, "  kl_weight: 0.1\n");
    char *updates = strstr(recipe.data, "updates: 2");
    assert_non_null(updates);
    updates[strlen("updates: ")] = '1';
    put_file(in_folder(&arena, state, "recipe.yaml"), recipe.data, recipe.len);
    slm_buffer_free(&recipe);
    for (int i = 0; i < 2; i++) {
        const char *output = slm_arena_printf(&arena, "kl%d", i);
        run_whole(&arena, state, output, kinds[i], 2);
        double first, most;
        logged(&arena, state, output, "kl", &first, &most);
        assert_true(first == 0 && most > 1e-6);
        logged(&arena, state, output, "mismatches", &first, &most);
        assert_true(most == 0);
    }
    slm_arena_free(&arena);
}

/* What metrics.jsonl holds where there is no reference: no divergence, rather than one of 0. */
static void what_is_not_computed_is_not_logged(void **state)
{
    slm_arena arena = {0};
    double first, most;
    put_practice(&arena, state);
    run_whole(&arena, state, "out", "grpo.kl=none", 2);
    logged(&arena, state, "out", "kl", &first, &most);
    assert_true(isnan(first));
    logged(&arena, state, "out", "entropy", &first, &most);
    assert_true(first > 0);
    logged(&arena, state, "out", "overlong/lacks", &first, &most);
    assert_true(first == 0 && most == 0);
    logged(&arena, state, "out", "spread/length/enough", &first, &most);
    assert_true(first >= 0);
    slm_arena_free(&arena);
}

/* Every token of a reply is among the last 24 of 24: its length is what it costs. */
static void long_replies_cost(void **state)
{
    slm_arena arena = {0};
    double first, most, tokens;
    put_practice(&arena, state);
    run_whole(&arena, state, "out", "grpo.overlong_tokens=24", 2);
    logged(&arena, state, "out", "overlong/enough", &first, &most);
    logged(&arena, state, "out", "tokens/enough", &tokens, &most);
    assert_true(first < 0 && fabs(first + tokens / 24) < 1e-9);
    slm_arena_free(&arena);
}

/* Three of a step's rollouts, one of each stratum, as they were said. */
static void samples_are_of_every_stratum(void **state)
{
    slm_arena arena = {0};
    slm_jsonl *file = NULL;
    json_t *row = NULL;
    slm_error err = {0};
    int seen[5][SLM_ENV_STRATA] = {0}, rows = 0;
    put_practice(&arena, state);
    slm_buffer recipe = file_bytes(*state, "recipe.yaml");
    slm_buffer_append_text(&recipe, "  emergency: 0.5\n"); /* one case of each stratum */
    put_file(in_folder(&arena, state, "recipe.yaml"), recipe.data, recipe.len);
    slm_buffer_free(&recipe);
    run_whole(&arena, state, "out", "grpo.env=multi-turn", 2);
    assert_int_equal(
        slm_jsonl_open(in_folder(&arena, state, "out/grpo/samples.jsonl"), &file, &err), SLM_OK);
    for (;; rows++) {
        assert_int_equal(slm_jsonl_next(file, &row, NULL, &err), SLM_OK);
        if (!row) break;
        const json_t *messages = json_object_get(row, "messages");
        const char *stratum = json_string_value(json_object_get(row, "stratum"));
        const json_int_t step = json_integer_value(json_object_get(row, "step"));
        for (int s = 0; s < SLM_ENV_STRATA; s++)
            seen[step][s] += strcmp(stratum, slm_env_stratum_name((slm_env_stratum)s)) == 0;
        assert_true(json_array_size(messages) >= 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 0), "role")),
                            "user");
        assert_non_null(json_object_get(json_object_get(row, "parts"), "format"));
        json_decref(row);
    }
    slm_jsonl_close(file);
    assert_int_equal(rows, 3 * 4);
    for (int step = 1; step <= 4; step++)
        for (int s = 0; s < SLM_ENV_STRATA; s++)
            assert_int_equal(seen[step][s], 1);
    slm_arena_free(&arena);
}

static void a_folder_is_one_process_s(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    slm_file_lock *lock = NULL;
    put_practice(&arena, state);
    run_whole(&arena, state, "out", NULL, 2);
    assert_false(slm_file_exists(in_folder(&arena, state, "out/grpo/lock")));
    assert_int_equal(slm_file_lock_take(in_folder(&arena, state, "out/grpo/lock"), &lock, &err),
                     SLM_OK);
    assert_int_equal(run(&arena, state, "out", NULL, 2, &err), SLM_ERR_IO);
    assert_holds(err.message, "another slm is using");
    assert_holds(err.message, "out/grpo/lock");
    slm_file_lock_remove(lock);
    slm_arena_free(&arena);
}

static json_t *state_of(slm_arena *arena, void **state, const char *name)
{
    slm_buffer text = file_bytes(*state, slm_arena_printf(arena, "%s/state.json", name));
    json_t *row = json_loads(slm_buffer_text(&text), 0, NULL);
    slm_buffer_free(&text);
    return row;
}

static json_int_t step_of(slm_arena *arena, void **state, const char *name)
{
    json_t *row = state_of(arena, state, name);
    const json_int_t step = json_integer_value(json_object_get(row, "step"));
    json_decref(row);
    return step;
}

/* Where entropy is far below the first step's, a higher reward does not replace what was best. */
static void collapsed_replies_are_not_the_best(void **state)
{
    slm_arena arena = {0};
    put_practice(&arena, state);
    for (int collapsed = 0; collapsed < 2; collapsed++) {
        const char *output = slm_arena_printf(&arena, "out%d", collapsed);
        const char *last = slm_arena_printf(&arena, "%s/grpo/last", output);
        const char *best = slm_arena_printf(&arena, "%s/grpo/best", output);
        run_whole(&arena, state, output, "time_budget_minutes=1e-9", 2); /* one step */
        assert_int_equal(step_of(&arena, state, last), 1);
        json_t *row = state_of(&arena, state, last);
        json_object_set_new(row, "best_score", json_real(-5)); /* any look is better */
        if (collapsed) json_object_set_new(row, "first_entropy", json_real(1000));
        char *text = json_dumps(row, 0);
        put_file(in_folder(&arena, state, slm_arena_printf(&arena, "%s/state.json", last)), text,
                 strlen(text));
        free(text);
        json_decref(row);
        run_whole(&arena, state, output, NULL, 2);
        assert_int_equal(step_of(&arena, state, last), 4);
        assert_int_equal(step_of(&arena, state, best) > 0, !collapsed);
    }
    slm_arena_free(&arena);
}

static slm_status run_seldom_saved(void *context)
{
    const victim *v = context;
    slm_error err = {0};
    return run(v->arena, v->state, v->output, "grpo.save_steps=1000", v->threads, &err);
}

/* Before a look at the development cases (every second step) there is a checkpoint to go on from. */
static void a_look_costs_no_step(void **state)
{
    slm_arena arena = {0};
    put_practice(&arena, state);
    bool seen[5] = {false}, ended = false;
    for (long n = 10; !ended; n += 12) {
        victim v = {&arena, state, 2, slm_arena_printf(&arena, "killed%ld", n)};
        const char *last = slm_arena_printf(&arena, "%s/grpo/last", v.output);
        ended = run_and_die(n, run_seldom_saved, &v);
        if (slm_file_exists(
                in_folder(&arena, state, slm_arena_printf(&arena, "%s/state.json", last))))
            seen[step_of(&arena, state, last)] = true;
    }
    assert_true(seen[0] && seen[1] && !seen[2] && seen[3] && seen[4]);
    slm_arena_free(&arena);
}

static void what_cannot_be_practised_is_refused(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    put_practice(&arena, state);
    assert_int_equal(run(&arena, state, "out", "grpo.min_spread=1", 1, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "teach it by examples first");
    assert_int_equal(run(&arena, state, "thinks", "thinking=on", 1, &err), SLM_ERR_UNSUPPORTED);
    assert_holds(err.message, "has no thinking");
    static const char *const sets[][2] = {
        {"grpo.top_p=0.9", "top_p must be 1"},
        {"grpo.top_k=40", "top_k must be 0"},
        {"grpo.min_p=0.05", "min_p must be 0"},
        {"grpo.repetition_penalty=1.1", "repetition_penalty must be 1"},
        {"grpo.presence_penalty=0.5", "presence_penalty must be 0"},
        {"grpo.frequency_penalty=0.5", "frequency_penalty must be 0"},
        {"grpo.overlong_tokens=25", "25 of max_tokens 24"},
        {"lora.dropout=0.1", "dropout must be 0"},
        {"grpo.train_per_group=5", "5 of 4 rollouts"},
        {"reward.rubric=1", "who grades? Set grpo.judge"},
        {"grpo.judge=rule", "reward.rubric is 0"},
        {"grpo.patient=recorded:x", "set grpo.env to multi-turn"}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        slm_recipe recipe;
        assert_int_not_equal(
            slm_recipe_load(in_folder(&arena, state, "recipe.yaml"), &sets[i][0], 1, &recipe, &err),
            SLM_OK);
        assert_holds(err.message, sets[i][1]);
    }
    const char *const no_base[] = {"train=all", "grpo.kl=base"};
    slm_recipe recipe;
    assert_int_not_equal(
        slm_recipe_load(in_folder(&arena, state, "recipe.yaml"), no_base, 2, &recipe, &err),
        SLM_OK);
    assert_holds(err.message, "kl: base needs train: adapter");
    /* what is practised and never looked at */
    slm_buffer calm = {0};
    put_case(&calm, 7, "lacks", "routine");
    put_case(&calm, 8, "enough", "routine");
    put_file(in_folder(&arena, state, "dev.jsonl"), calm.data, calm.len);
    slm_buffer_free(&calm);
    assert_int_equal(run(&arena, state, "out", "grpo.emergency=0.5", 1, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "dev.jsonl: grpo.dev has no case of stratum emergency");
    run_whole(&arena, state, "out", "grpo.emergency=0", 1);
    slm_arena_free(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_are_told),
        TEST(threads_change_nothing),
        TEST(kills_change_nothing),
        TEST(every_way_runs),
        TEST(all_weights_practise),
        TEST(divergence_is_from_the_start),
        TEST(what_is_not_computed_is_not_logged),
        TEST(long_replies_cost),
        TEST(samples_are_of_every_stratum),
        TEST(a_folder_is_one_process_s),
        TEST(collapsed_replies_are_not_the_best),
        TEST(a_look_costs_no_step),
        TEST(what_cannot_be_practised_is_refused),
    };
    return cmocka_run_group_tests_name("grpo", tests, NULL, NULL);
}
