/* Results as reports get them, and the figures made of them, on gradings put in by hand. */
#include "helpers.h"

typedef struct fixture {
    slm_store *store;
    slm_cases cases;
    slm_arena arena;
    slm_results results;
    char run[65];
} fixture;

static void open_fixture(fixture *f, size_t count)
{
    slm_error err = {0};
    *f = (fixture){0};
    make_cases(&f->cases, count);
    f->store = open_store(path);
    slm_run run = {.hash = f->run,
                   .model_name = "m",
                   .model_identity = "id",
                   .kind = "model",
                   .cases_sha256 = f->cases.sha256};
    slm_run_hash(&run, f->run);
    ok(slm_store_put_run(f->store, &run, &err), &err);
    ok(slm_store_put_judge(f->store, "j", "rule", &err), &err);
    ok(slm_store_put_coverage(f->store, "j", f->cases.sha256, "{}", &err), &err);
    for (size_t i = 0; i < count; i++) {
        const slm_case *c = &f->cases.items[i];
        ok(slm_store_put_case(f->store, f->cases.sha256, c->id, c->family, i, c->json, &err), &err);
    }
}

/* verdicts of the criteria 0 (5 points), 1 (3), 2 (-4): '1' met, '0' not, '?' unscored, '.' not
 * covered. */
static void put(fixture *f, size_t i, int64_t rollout, const char *verdicts)
{
    slm_error err = {0};
    const slm_case *c = &f->cases.items[i];
    slm_sample sample = {.run = f->run,
                         .case_id = c->id,
                         .rollout = rollout,
                         .reply = rollout % 2 ? "text" : " ",
                         .finish = rollout == 2   ? "length"
                                   : rollout == 3 ? "refused"
                                                  : "stop",
                         .prompt_tokens = 10,
                         .reply_tokens = 3,
                         .reasoning_tokens = -1,
                         .cached_tokens = -1};
    ok(slm_store_put_sample(f->store, &sample, NULL, &err), &err);
    slm_stored_grade grades[3];
    slm_verdict given[4] = {0};
    size_t count = 0;
    for (size_t v = 0; v < 3; v++) {
        if (verdicts[v] == '.') continue;
        given[v] = verdicts[v] == '1'   ? SLM_VERDICT_MET
                   : verdicts[v] == '0' ? SLM_VERDICT_NOT_MET
                                        : SLM_VERDICT_UNSCORED;
        grades[count++] = (slm_stored_grade){.criterion = (int64_t)v,
                                             .met = verdicts[v] == '?' ? -1 : verdicts[v] == '1'};
    }
    slm_score score = slm_score_case(c, given);
    slm_stored_grading grading = {.run = f->run,
                                  .case_id = c->id,
                                  .rollout = rollout,
                                  .judge_hash = "j",
                                  .has_score = score.has_score,
                                  .score = score.score,
                                  .low = score.low,
                                  .high = score.high,
                                  .status = score.has_score ? "scored" : "unscored",
                                  .grades = grades,
                                  .grade_count = count};
    ok(slm_store_put_grading(f->store, &grading, &err), &err);
}

static const slm_arm *load(fixture *f)
{
    slm_error err = {0};
    ok(slm_results_load(f->store, &f->arena, &f->results, &err), &err);
    assert_true(f->results.arm_count > 0);
    return &f->results.arms[0];
}

static void close_fixture(fixture *f)
{
    slm_store_close(f->store);
    slm_arena_free(&f->arena);
    slm_cases_free(&f->cases);
}

static slm_figure score_at(const fixture *f, size_t k)
{
    return slm_figure_worst_at_k(&f->results, &f->results.arms[0], SLM_BEHAVIOUR_NONE,
                                 SLM_STRATUM_ALL, k);
}

static slm_figure behaviour_at(const fixture *f, slm_behaviour behaviour, slm_stratum stratum,
                               size_t k)
{
    return slm_figure_worst_at_k(&f->results, &f->results.arms[0], behaviour, stratum, k);
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

static void everything_is_loaded(void **state)
{
    (void)state;
    fixture f;
    slm_error err = {0};
    open_fixture(&f, 4);
    for (int64_t rollout = 0; rollout < 4; rollout++) {
        put(&f, 2, rollout, "100");
        put(&f, 0, rollout, rollout == 1 ? "1?0" : "110");
    }
    /* A sample that this judge was not given yet; other kinds of runs; a judge without gradings. */
    slm_sample sample = {
        .run = f.run, .case_id = "case-000", .rollout = 9, .reply = "", .finish = "stop"};
    ok(slm_store_put_sample(f.store, &sample, NULL, &err), &err);
    ok(slm_store_put_judge(f.store, "k", "other", &err), &err);
    static const char *const kinds[][3] = {{"baseline", "baseline:never-ask", "b1"},
                                           {"baseline", "baseline:floor", "b2"},
                                           {"baseline", "baseline:shuffled:abc", "b0"},
                                           {"imported", "imported:x", "z"}};
    for (size_t i = 0; i < 4; i++) {
        slm_run run = {.hash = kinds[i][2],
                       .model_name = "other",
                       .model_identity = kinds[i][1],
                       .kind = kinds[i][0]};
        ok(slm_store_put_run(f.store, &run, &err), &err);
        sample.run = kinds[i][2];
        sample.case_id = "unknown case";
        sample.finish = i == 3 ? "unknown" : "stop";
        ok(slm_store_put_sample(f.store, &sample, NULL, &err), &err);
        slm_stored_grading grading = {.run = kinds[i][2],
                                      .case_id = "unknown case",
                                      .rollout = 9,
                                      .judge_hash = "j",
                                      .has_score = true,
                                      .score = 0.5,
                                      .low = 0.5,
                                      .high = 0.5,
                                      .status = "scored"};
        ok(slm_store_put_grading(f.store, &grading, &err), &err);
    }
    const slm_arm *arm = load(&f);
    assert_int_equal(f.results.arm_count, 5);
    assert_int_equal(f.results.case_count, 4);
    assert_string_equal(f.results.arms[1].run.kind, "imported");
    assert_string_equal(f.results.arms[2].run.model_identity, "baseline:floor");
    assert_string_equal(f.results.arms[3].run.model_identity, "baseline:shuffled:abc");
    assert_string_equal(f.results.arms[4].run.model_identity, "baseline:never-ask");
    assert_int_equal(f.results.arms[1].empty, 0); /* its texts are not known */
    assert_null(f.results.arms[1].cases[0].c);
    assert_string_equal(f.results.arms[1].cases[0].family, "unknown case");
    assert_int_equal(slm_arm_max_k(&f.results.arms[1]), 1);
    slm_figure imported = slm_figure_worst_at_k(&f.results, &f.results.arms[1], SLM_BEHAVIOUR_SEEK,
                                                SLM_STRATUM_LACKS, 1);
    assert_true(isnan(imported.value) && imported.cases == 0);

    assert_string_equal(arm->judge_name, "rule");
    assert_string_equal(arm->coverage_json, "{}");
    assert_int_equal(arm->case_count, 2);
    assert_int_equal(arm->family_count, 2);
    assert_int_equal(arm->samples, 9);
    assert_int_equal(arm->scored, 7);
    assert_int_equal(arm->unscored, 1);
    assert_int_equal(arm->cut_off, 2);
    assert_int_equal(arm->refused, 2);
    assert_int_equal(arm->empty, 5);
    assert_int_equal(arm->reply_tokens, 24);
    assert_int_equal(arm->prompt_tokens, 80);
    const slm_case_scores *first = &arm->cases[0], *second = &arm->cases[1];
    assert_string_equal(first->case_id, "case-000");
    assert_string_equal(first->family, "family-0");
    assert_string_equal(first->c->id, "case-000");
    assert_int_equal(first->position, 0);
    assert_int_equal(first->samples, 5);
    assert_int_equal(first->rollout_count, 4);
    assert_int_equal(first->count, 3);
    assert_int_equal(second->position, 2);
    assert_int_equal(second->count, 4);
    assert_true(first->scores[0] == 1 && first->scores[2] == 1 && second->scores[3] == 5.0 / 8);

    assert_int_equal(slm_arm_max_k(arm), 3);
    close_fixture(&f);
}

static void the_score_is_a_mean_of_case_means_clipped_last(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 3);
    put(&f, 0, 0, "001"); /* -0.5 */
    put(&f, 0, 1, "000"); /* 0 */
    put(&f, 1, 0, "110"); /* 1 */
    put(&f, 2, 0, "100"); /* 0.625 */
    put(&f, 2, 1, "010"); /* 0.375 */
    put(&f, 2, 2, "111"); /* 0.5 */
    load(&f);
    slm_figure figure = score_at(&f, 1);
    assert_int_equal(figure.cases, 3);
    assert_true(near(figure.value, (-0.25 + 1 + 0.5) / 3));
    assert_true(near(figure.low, figure.value) && near(figure.high, figure.value));
    assert_true(figure.interval.low <= figure.value && figure.interval.high >= figure.value);
    assert_true(figure.interval.low >= 0); /* clipped in every resample */
    figure = score_at(&f, 2);              /* one case has a single rollout */
    assert_true(isnan(figure.value) && isnan(figure.interval.low) && isnan(figure.low));
    close_fixture(&f);
    tear_down(state);
    set_up(state);
    open_fixture(&f, 1);
    put(&f, 0, 0, "001");
    load(&f);
    figure = score_at(&f, 1);
    assert_true(figure.value == 0 && figure.low == 0);
    slm_interval exact = slm_statistics_binomial(0, 1, 0.95);
    assert_true(figure.interval.low == 0 && figure.interval.high == exact.high);
    close_fixture(&f);
}

/* What is clipped to 0 is not known to be 0, though every resample is. */
static void clipped_figures_have_exact_bounds(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 6);
    for (size_t i = 0; i < 6; i++)
        put(&f, i, 0, i == 2 ? "010" : i < 2 ? "001" : "000"); /* 0.375, -0.5, 0 */
    load(&f);
    slm_figure figure = score_at(&f, 1);
    slm_interval exact = slm_statistics_binomial(0, 3, 0.95);
    assert_true(figure.value == 0 && figure.interval.low == 0);
    assert_true(figure.interval.high == exact.high);
    close_fixture(&f);
}

/* Twelve cases of six families, each with 0.625: no spread is seen, which is not to say that there
 * is none. */
static void families_that_are_alike_have_no_interval(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 12);
    for (size_t i = 0; i < 12; i++)
        put(&f, i, 0, "100");
    load(&f);
    slm_figure figure = score_at(&f, 1);
    assert_true(figure.value == 0.625);
    assert_true(isnan(figure.interval.low) && isnan(figure.interval.high));
    close_fixture(&f);
    tear_down(state);
    set_up(state);
    /* The cases differ, the families do not. */
    open_fixture(&f, 6);
    for (size_t i = 0; i < 6; i++)
        put(&f, i, 0, i % 2 ? "100" : "010");
    load(&f);
    figure = score_at(&f, 1);
    assert_true(near(figure.value, 0.5) && isnan(figure.interval.low));
    close_fixture(&f);
    tear_down(state);
    set_up(state);
    open_fixture(&f, 2); /* one family */
    put(&f, 0, 0, "100");
    put(&f, 1, 0, "010");
    load(&f);
    figure = score_at(&f, 1);
    assert_true(near(figure.value, 0.5) && isnan(figure.interval.low));
    close_fixture(&f);
    tear_down(state);
    set_up(state);
    open_fixture(&f, 4); /* two that differ */
    for (size_t i = 0; i < 4; i++)
        put(&f, i, 0, i < 2 ? "100" : "010");
    load(&f);
    figure = score_at(&f, 1);
    assert_true(figure.interval.low == 0.375 && figure.interval.high == 0.625);
    close_fixture(&f);
}

static void unscored_answers_are_bounds(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 4);
    for (int64_t rollout = 0; rollout < 2; rollout++) {
        put(&f, 0, rollout, "110");
        put(&f, 2, rollout, rollout ? "1?0" : "100");
    }
    load(&f);
    slm_figure figure = score_at(&f, 1);
    assert_true(near(figure.value, (1 + 0.625) / 2)); /* over what is scored */
    assert_true(near(figure.low, (1 + 0.625) / 2) && near(figure.high, (1 + 0.8125) / 2));
    figure = score_at(&f, 2);
    assert_true(isnan(figure.value));
    assert_true(near(figure.low, (1 + 0.625) / 2) && near(figure.high, (1 + 0.625) / 2));
    slm_figure safe = behaviour_at(&f, SLM_BEHAVIOUR_SAFE, SLM_STRATUM_BOTH, 1);
    assert_true(near(safe.value, 0.5) && near(safe.low, 0.5) && near(safe.high, 0.75));
    close_fixture(&f);
}

static void behaviours_count_in_their_stratum(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 14); /* 6 and 13 are emergencies */
    for (size_t i = 0; i < 14; i++) {
        for (int64_t rollout = 0; rollout < 2; rollout++)
            put(&f, i, rollout, i % 4 == 0 || rollout ? "110" : i == 5 ? ".10" : "010");
    }
    load(&f);
    /* Lacks: 0 2 4 8 10 12, of which 0 4 8 12 are right in both rollouts, 2 and 10 in one. */
    slm_figure figure = behaviour_at(&f, SLM_BEHAVIOUR_SEEK, SLM_STRATUM_LACKS, 1);
    assert_int_equal(figure.cases, 6);
    assert_true(near(figure.value, 5.0 / 6));
    figure = behaviour_at(&f, SLM_BEHAVIOUR_SEEK, SLM_STRATUM_LACKS, 2);
    assert_true(near(figure.value, 4.0 / 6));
    /* Enough: 1 3 5 7 9 11, right in one rollout; 5 has that one alone covered. */
    figure = behaviour_at(&f, SLM_BEHAVIOUR_PRECISE, SLM_STRATUM_ENOUGH, 1);
    assert_int_equal(figure.cases, 6);
    assert_true(near(figure.value, (5 * 0.5 + 1) / 6));
    figure = behaviour_at(&f, SLM_BEHAVIOUR_PRECISE, SLM_STRATUM_ENOUGH, 2);
    assert_true(isnan(figure.value));
    figure = behaviour_at(&f, SLM_BEHAVIOUR_ACT, SLM_STRATUM_EMERGENCY, 1);
    assert_int_equal(figure.cases, 2);
    assert_true(near(figure.value, 0.5));
    figure = behaviour_at(&f, SLM_BEHAVIOUR_SEEK, SLM_STRATUM_EMERGENCY, 1);
    assert_int_equal(figure.cases, 0);
    assert_true(isnan(figure.value));
    /* Safe is always met: a bootstrap would be sure of it, the binomial bound is not. Of the 7
     * families, that of 12 and 13 has a case here too. */
    figure = behaviour_at(&f, SLM_BEHAVIOUR_SAFE, SLM_STRATUM_BOTH, 2);
    assert_int_equal(figure.cases, 12);
    assert_true(figure.value == 1);
    slm_interval exact = slm_statistics_binomial(7, 7, 0.95);
    assert_true(figure.interval.low == exact.low && figure.interval.high == 1);
    assert_true(figure.interval.low > 0.5 && figure.interval.low < 0.7);
    close_fixture(&f);
}

static void nothing_right_has_an_upper_bound(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 4);
    for (size_t i = 0; i < 4; i++)
        put(&f, i, 0, "000");
    load(&f);
    slm_figure figure = score_at(&f, 1);
    slm_interval exact = slm_statistics_binomial(0, 2, 0.95);
    assert_true(figure.value == 0 && figure.interval.low == 0);
    assert_true(figure.interval.high == exact.high && figure.interval.high > 0.5);
    close_fixture(&f);
}

static void figures_are_the_same_each_time(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 20);
    for (size_t i = 0; i < 20; i++)
        put(&f, i, 0, i % 3 ? "110" : "010");
    load(&f);
    slm_figure a = score_at(&f, 1), b = score_at(&f, 1);
    assert_true(a.interval.low == b.interval.low && a.interval.high == b.interval.high);
    assert_true(a.interval.low < a.value && a.value < a.interval.high);
    close_fixture(&f);
}

static void twins_are_right_together(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 10);
    /* Families 0 to 2: lacks and enough; 3: case 6 is an emergency, so 7 has no twin; 4: 8 and 9. */
    for (int64_t rollout = 0; rollout < 2; rollout++) {
        put(&f, 0, rollout, "100");
        put(&f, 1, rollout, "100");
        put(&f, 2, rollout, rollout ? "100" : "000");
        put(&f, 3, rollout, rollout ? "000" : "100");
        put(&f, 4, rollout, "100");
        put(&f, 5, rollout, rollout ? "100" : "000");
        put(&f, 6, rollout, "100");
        put(&f, 7, rollout, "100");
    }
    load(&f);
    slm_figure figure = slm_figure_twins(&f.results, &f.results.arms[0], 1);
    assert_int_equal(figure.cases, 3);
    /* Family 1 is right by halves, but never both in one rollout. */
    assert_true(near(figure.value, (1 + 0 + 0.5) / 3));
    figure = slm_figure_twins(&f.results, &f.results.arms[0], 2);
    assert_true(near(figure.value, 1.0 / 3));
    /* An unscored twin leaves it open, unless the other is wrong; a missing rollout does not count. */
    put(&f, 8, 0, "?00");
    put(&f, 9, 0, "100");
    put(&f, 8, 1, "?00");
    put(&f, 9, 1, "000");
    put(&f, 8, 2, "100");
    slm_arena_free(&f.arena);
    load(&f);
    figure = slm_figure_twins(&f.results, &f.results.arms[0], 1);
    assert_int_equal(figure.cases, 4);
    assert_true(near(figure.value, (1 + 0 + 0.5 + 0) / 4));
    assert_true(near(figure.low, 1.5 / 4) && near(figure.high, 2.0 / 4));
    close_fixture(&f);
}

static void an_empty_database_has_no_arms(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_arena arena = {0};
    slm_results results;
    slm_store *store = open_store(path);
    ok(slm_results_load(store, &arena, &results, &err), &err);
    assert_int_equal(results.arm_count, 0);
    assert_int_equal(results.case_count, 0);
    slm_store_close(store);
    slm_arena_free(&arena);
    slm_arm arm = {0};
    assert_int_equal(slm_arm_max_k(&arm), 0);
    slm_figure figure = slm_figure_twins(&results, &arm, 1);
    assert_true(isnan(figure.value));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(everything_is_loaded),
        TEST(the_score_is_a_mean_of_case_means_clipped_last),
        TEST(clipped_figures_have_exact_bounds),
        TEST(families_that_are_alike_have_no_interval),
        TEST(unscored_answers_are_bounds),
        TEST(behaviours_count_in_their_stratum),
        TEST(nothing_right_has_an_upper_bound),
        TEST(figures_are_the_same_each_time),
        TEST(twins_are_right_together),
        TEST(an_empty_database_has_no_arms),
    };
    return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
