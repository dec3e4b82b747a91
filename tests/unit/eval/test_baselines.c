/* Baselines: what they reply, that the floor is found and held out, and that nothing is done twice. */
#include "helpers.h"

static void run(const slm_cases *cases, slm_judge *judge, const char *file, int64_t k,
                slm_status expected)
{
    slm_error err = {0};
    slm_eval_options options = options_of(k);
    fake_chat *chat = fake_chat_new(3);
    slm_eval_arm arm = {.chat = &chat->chat};
    slm_store *store = open_store(file);
    slm_status status = slm_eval_run(store, cases, &arm, 1, judge, &options, NULL, &err);
    slm_store_close(store);
    slm_chat_free(&chat->chat);
    if (status != expected) fail_msg("%d: %s", (int)status, err.message);
}

typedef struct wanted {
    const char *identity; /* its beginning */
    char hash[65];
} wanted;

static bool on_run(void *context, const slm_run *found)
{
    wanted *w = context;
    if (strncmp(found->model_identity, w->identity, strlen(w->identity)) != 0) return true;
    snprintf(w->hash, sizeof w->hash, "%s", found->hash);
    return false;
}

/* The reply of a run to a case; in the arena. */
static const char *reply_of(slm_store *store, const char *identity, const char *case_id,
                            int64_t rollout, slm_arena *arena)
{
    slm_error err = {0};
    wanted w = {.identity = identity};
    slm_sample sample;
    ok(slm_store_runs(store, on_run, &w, &err), &err);
    assert_true(w.hash[0]);
    ok(slm_store_get_sample(store, w.hash, case_id, rollout, arena, &sample, &err), &err);
    return sample.reply;
}

static void each_baseline_replies_as_it_says(void **state)
{
    (void)state;
    slm_cases cases;
    slm_arena arena = {0};
    make_cases(&cases, 10);
    fake_judge *judge = fake_judge_new(1);
    run(&cases, &judge->judge, path, 3, SLM_OK);
    slm_store *store = open_store(path);
    for (size_t i = 0; i < 10; i++) {
        const char *id = cases.items[i].id;
        char question[64];
        snprintf(question, sizeof question, "Question %zu?", i);
        assert_string_equal(reply_of(store, "baseline:echo", id, 0, &arena), question);
        assert_holds(reply_of(store, "baseline:always-ask", id, 0, &arena), "?");
        assert_null(strchr(reply_of(store, "baseline:never-ask", id, 0, &arena), '?'));
        /* Shuffled: rollout by rollout the answer to another family's case. */
        for (int64_t rollout = 0; rollout < 3; rollout++) {
            const char *reply = reply_of(store, "baseline:shuffled:", id, rollout, &arena);
            const char *partner = cases.items[(i + 5) % 10].id;
            const char *theirs = reply_of(store, "fake-identity", partner, rollout, &arena);
            assert_string_not_equal(cases.items[i].family, cases.items[(i + 5) % 10].family);
            assert_string_equal(reply, theirs);
        }
    }
    slm_store_close(store);
    slm_arena_free(&arena);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

/* A judge that likes length: the floor must grow to it, from other families' sentences alone. */
static void the_floor_pleases_the_judge_with_others_sentences(void **state)
{
    (void)state;
    slm_cases cases;
    slm_arena arena = {0};
    make_cases(&cases, 12);
    fake_judge *judge = fake_judge_new(1);
    judge->length_bonus = 25; /* for the first criterion, 50 for the second */
    run(&cases, &judge->judge, path, 1, SLM_OK);
    slm_store *store = open_store(path);
    for (size_t i = 0; i < 12; i++) {
        const char *reply = reply_of(store, "baseline:floor", cases.items[i].id, 0, &arena);
        char own[32];
        /* Its own number and its twin's stand in none of the sentences. */
        for (size_t twin = i - i % 2; twin < i - i % 2 + 2; twin++) {
            snprintf(own, sizeof own, " %zu", twin);
            const char *at = strstr(reply, own);
            if (at && (at[strlen(own)] < '0' || at[strlen(own)] > '9'))
                fail_msg("case %zu is told its own sentence: %s", i, reply);
        }
    }
    slm_results results;
    slm_error err = {0};
    ok(slm_results_load(store, &arena, &results, &err), &err);
    double floor = NAN;
    for (size_t i = 0; i < results.arm_count; i++) {
        if (strcmp(results.arms[i].run.model_identity, "baseline:floor") == 0)
            floor = slm_figure_worst_at_k(&results, &results.arms[i], SLM_BEHAVIOUR_NONE,
                                          SLM_STRATUM_ALL, 1)
                        .value;
    }
    /* No sentence of these cases is long enough alone: it was built. */
    assert_true(floor == 1);
    slm_store_close(store);
    slm_arena_free(&arena);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void the_floor_is_the_same_each_time_and_made_once(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 90); /* more than are tried: a sample of them */
    char other[160];
    in_folder(other, "other.db");
    fake_judge *judge = fake_judge_new(4);
    run(&cases, &judge->judge, path, 1, SLM_OK);
    int64_t submits = judge->submits;
    judge->in_disorder = true;
    run(&cases, &judge->judge, other, 1, SLM_OK);
    char *a = export_of(path), *b = export_of(other);
    assert_same_export(a, b);
    free(b);
    int64_t before = judge->submits;
    assert_true(before == 2 * submits);
    run(&cases, &judge->judge, path, 1, SLM_OK);
    assert_int_equal(judge->submits, before);
    b = export_of(path);
    assert_same_export(a, b);
    free(a);
    free(b);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void without_sentences_or_families_there_is_none(void **state)
{
    (void)state;
    slm_cases cases;
    slm_error err = {0};
    char name[160];
    in_folder(name, "rows.jsonl");
    put_file(name,
             "{\"prompt_id\":\"a\",\"family\":\"f\",\"prompt\":[{\"role\":\"user\",\"content\":"
             "\"q\"}],\"rubrics\":[{\"criterion\":\"c\",\"points\":1,\"tags\":[]}]}\n"
             "{\"prompt_id\":\"b\",\"family\":\"f\",\"prompt\":[{\"role\":\"user\",\"content\":"
             "\"q\"}],\"rubrics\":[{\"criterion\":\"c\",\"points\":1,\"tags\":[]}]}\n");
    const char *paths[] = {name};
    ok(slm_cases_load(paths, 1, NULL, NULL, NULL, &cases, &err), &err);
    fake_judge *judge = fake_judge_new(1);
    run(&cases, &judge->judge, path, 2, SLM_OK);
    char *text = export_of(path);
    /* The model's, echo, always-ask and never-ask. */
    assert_int_equal(count_rows(text, "gradings"), 4 + 3 * 2);
    assert_null(strstr(text, "shuffled"));
    free(text);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

/* The real judge: fixed replies do not pass, and its own identity is in the floor's run. */
static void the_rule_judge_has_a_floor_too(void **state)
{
    (void)state;
    slm_cases cases;
    slm_error err = {0};
    slm_judge *judge = NULL;
    const char *paths[] = {"data/ask-first/seed.jsonl"};
    ok(slm_cases_load(paths, 1, NULL, NULL, NULL, &cases, &err), &err);
    ok(slm_judge_rule_new(&judge, &err), &err);
    run(&cases, judge, path, 1, SLM_OK);
    char *text = export_of(path);
    assert_holds(text, judge->identity);
    slm_arena arena = {0};
    slm_results results;
    slm_store *store = open_store(path);
    ok(slm_results_load(store, &arena, &results, &err), &err);
    double values[5] = {0};
    static const char *const names[] = {"baseline:floor", "baseline:shuffled", "baseline:echo",
                                        "baseline:always-ask", "baseline:never-ask"};
    for (size_t i = 0; i < results.arm_count; i++) {
        for (size_t j = 0; j < 5; j++) {
            const slm_arm *arm = &results.arms[i];
            if (strncmp(arm->run.model_identity, names[j], strlen(names[j])) != 0) continue;
            assert_int_equal(arm->case_count, 24);
            values[j] =
                slm_figure_worst_at_k(&results, arm, SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL, 1).value;
        }
    }
    for (size_t j = 1; j < 5; j++)
        assert_true(values[0] >= values[j]);
    assert_true(values[0] > 0 && values[2] == 0);
    slm_store_close(store);
    slm_arena_free(&arena);
    free(text);
    slm_judge_free(judge);
    slm_cases_free(&cases);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_baseline_replies_as_it_says),
        TEST(the_floor_pleases_the_judge_with_others_sentences),
        TEST(the_floor_is_the_same_each_time_and_made_once),
        TEST(without_sentences_or_families_there_is_none),
        TEST(the_rule_judge_has_a_floor_too),
    };
    return cmocka_run_group_tests_name("baselines", tests, NULL, NULL);
}
