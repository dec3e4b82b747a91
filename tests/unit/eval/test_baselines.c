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
    const char *identity; /* its beginning, if it ends with ':' */
    char hash[65];
} wanted;

static bool on_run(void *context, const slm_run *found)
{
    wanted *w = context;
    size_t len = strlen(w->identity);
    if (strncmp(found->model_identity, w->identity, len) != 0) return true;
    if (found->model_identity[len] && w->identity[len - 1] != ':') return true;
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

/* A measure of an arm, as the report has it. */
static double measure_of(const slm_results *results, const char *identity, const char *measure)
{
    static const struct {
        const char *name;
        slm_behaviour behaviour;
        slm_stratum stratum;
    } measures[] = {{"score", SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL},
                    {"seek", SLM_BEHAVIOUR_SEEK, SLM_STRATUM_LACKS},
                    {"precise", SLM_BEHAVIOUR_PRECISE, SLM_STRATUM_ENOUGH},
                    {"safe", SLM_BEHAVIOUR_SAFE, SLM_STRATUM_BOTH},
                    {"act", SLM_BEHAVIOUR_ACT, SLM_STRATUM_EMERGENCY}};
    for (size_t i = 0; i < results->arm_count; i++) {
        const slm_arm *arm = &results->arms[i];
        if (strcmp(arm->run.model_identity, identity) != 0) continue;
        if (strcmp(measure, "twins") == 0) return slm_figure_twins(results, arm, 1).value;
        for (size_t m = 0; m < sizeof measures / sizeof measures[0]; m++) {
            if (strcmp(measures[m].name, measure) == 0)
                return slm_figure_worst_at_k(results, arm, measures[m].behaviour,
                                             measures[m].stratum, 1)
                    .value;
        }
    }
    fail_msg("no arm %s, or no measure %s", identity, measure);
    return NAN;
}

static const char *const measures[] = {"seek", "precise", "safe", "act", "twins"};

static const char *floor_of(const char *measure)
{
    static char identity[64];
    snprintf(identity, sizeof identity, "baseline:floor:%s", measure);
    return identity;
}

/* What pleases seek spoils precise: each is searched for alone, and the whole score cannot have
 * both. */
static void each_measure_has_a_floor_of_its_own(void **state)
{
    (void)state;
    slm_cases cases;
    slm_arena arena = {0};
    slm_results results;
    slm_error err = {0};
    make_cases(&cases, 28); /* 6, 13, 20 and 27 are emergencies */
    fake_judge *judge = fake_judge_new(1);
    judge->is_at_odds = true;
    run(&cases, &judge->judge, path, 1, SLM_OK);
    slm_store *store = open_store(path);
    ok(slm_results_load(store, &arena, &results, &err), &err);
    for (size_t m = 0; m < 4; m++)
        assert_true(measure_of(&results, floor_of(measures[m]), measures[m]) == 1);
    assert_true(measure_of(&results, floor_of("twins"), "twins") == 0);
    double seek = measure_of(&results, "baseline:floor", "seek");
    double precise = measure_of(&results, "baseline:floor", "precise");
    assert_true(seek < 1 || precise < 1);
    assert_true(measure_of(&results, "baseline:floor", "twins") == 0);
    assert_true(measure_of(&results, "baseline:always-ask", "seek") == 0);
    /* In the order of the report, each with the cases that it counts. */
    static const size_t sizes[] = {12, 12, 24, 4, 20};
    size_t at = 0;
    while (strcmp(results.arms[at].run.model_identity, "baseline:floor") != 0)
        at++;
    assert_int_equal(results.arms[at].case_count, 28);
    for (size_t m = 0; m < 5; m++) {
        const slm_arm *arm = &results.arms[++at];
        assert_string_equal(arm->run.model_identity, floor_of(measures[m]));
        if (m < 4) assert_int_equal(arm->case_count, sizes[m]);
        for (size_t i = 0; i < arm->case_count; i++) {
            bool emergency = arm->cases[i].c->disposition == SLM_DISPOSITION_EMERGENCY;
            assert_int_equal(emergency, m == 3);
            if (m == 0) assert_int_equal(arm->cases[i].c->context, SLM_CONTEXT_LACKS);
            if (m == 1) assert_int_equal(arm->cases[i].c->context, SLM_CONTEXT_ENOUGH);
        }
    }
    assert_int_equal(floor_rows(28), 12 + 12 + 24 + 4 + results.arms[at].case_count);
    slm_store_close(store);
    slm_arena_free(&arena);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

/* With verdicts drawn by lot, what was found on some cases is worth nothing on others. */
static void no_other_fixed_reply_is_above_the_floor(void **state)
{
    (void)state;
    static const char *const others[] = {"baseline:floor", "baseline:always-ask",
                                         "baseline:never-ask"};
    slm_cases cases;
    make_cases(&cases, 28);
    for (uint64_t taste = 1; taste <= 4; taste++) {
        slm_arena arena = {0};
        slm_results results;
        slm_error err = {0};
        char name[160], file[32];
        snprintf(file, sizeof file, "taste-%d.db", (int)taste);
        in_folder(name, file);
        fake_judge *judge = fake_judge_new(taste);
        run(&cases, &judge->judge, name, 1, SLM_OK);
        slm_store *store = open_store(name);
        ok(slm_results_load(store, &arena, &results, &err), &err);
        for (size_t i = 0; i < 3; i++) {
            for (size_t m = 0; m < 5; m++)
                assert_true(measure_of(&results, floor_of(measures[m]), measures[m]) >=
                            measure_of(&results, others[i], measures[m]));
            assert_true(measure_of(&results, "baseline:floor", "score") >=
                        measure_of(&results, others[i], "score"));
        }
        slm_store_close(store);
        slm_arena_free(&arena);
        slm_judge_free(&judge->judge);
    }
    slm_cases_free(&cases);
}

/* Runs of some floors are lost: they are made again, and as they were. */
static void a_floor_that_is_missing_is_made_again(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 12);
    fake_judge *judge = fake_judge_new(2);
    char broken[160];
    in_folder(broken, "broken.db");
    run(&cases, &judge->judge, path, 1, SLM_OK);
    char *whole = export_of(path);
    /* Stopped at growing numbers of gradings, then gone on with. */
    for (int64_t polls = 40;; polls += 997) {
        judge->polls = 0;
        judge->fail_after = polls;
        slm_error err = {0};
        slm_eval_options options = options_of(1);
        fake_chat *chat = fake_chat_new(3);
        slm_eval_arm arm = {.chat = &chat->chat};
        slm_store *store = open_store(broken);
        slm_status status =
            slm_eval_run(store, &cases, &arm, 1, &judge->judge, &options, NULL, &err);
        slm_store_close(store);
        slm_chat_free(&chat->chat);
        if (status == SLM_OK) break;
    }
    char *again = export_of(broken);
    assert_same_export(again, whole);
    free(whole);
    free(again);
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
            size_t len = strlen(names[j]);
            if (strncmp(arm->run.model_identity, names[j], len) != 0) continue;
            if (j != 1 && arm->run.model_identity[len]) continue;
            assert_int_equal(arm->case_count, 24);
            values[j] =
                slm_figure_worst_at_k(&results, arm, SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL, 1).value;
        }
    }
    for (size_t j = 1; j < 5; j++)
        assert_true(values[0] >= values[j]);
    assert_true(values[0] > 0 && values[2] == 0);
    for (size_t m = 0; m < 5; m++) {
        double floor = measure_of(&results, floor_of(measures[m]), measures[m]);
        assert_true(floor >= measure_of(&results, "baseline:always-ask", measures[m]));
        assert_true(floor >= measure_of(&results, "baseline:never-ask", measures[m]));
        assert_true(floor >= measure_of(&results, "baseline:floor", measures[m]));
    }
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
        TEST(each_measure_has_a_floor_of_its_own),
        TEST(no_other_fixed_reply_is_above_the_floor),
        TEST(a_floor_that_is_missing_is_made_again),
        TEST(the_floor_is_the_same_each_time_and_made_once),
        TEST(without_sentences_or_families_there_is_none),
        TEST(the_rule_judge_has_a_floor_too),
    };
    return cmocka_run_group_tests_name("baselines", tests, NULL, NULL);
}
