/* The loop: every sample once, whatever is killed, fails, comes late or in disorder. */
#include "helpers.h"

static void every_case_is_asked_and_graded(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 10);
    slm_eval_options options = options_of(3);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(5);
    fake_judge *judge = fake_judge_new(1);
    judge->in_disorder = true;
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    assert_int_equal(chat->submits, 10); /* one request a case: its prompt is computed once */
    assert_int_equal(chat->asked, 30);
    assert_true(chat->most_in_flight >= 8 && chat->most_in_flight < 8 + 3);
    char *text = export_of(path);
    /* One arm, its shuffled answers, four baselines of one reply, and the floors of the measures. */
    size_t floors = floor_rows(10);
    assert_int_equal(floors, 4 + 5 + 9 + 1 + 8);
    assert_int_equal(count_rows(text, "runs"), 6 + 5);
    assert_int_equal(count_rows(text, "samples"), 30 + 30 + 4 * 10 + floors);
    assert_int_equal(count_rows(text, "gradings"), 30 + 30 + 4 * 10 + floors);
    assert_int_equal(count_rows(text, "grades"), 3 * (100 + floors));
    assert_int_equal(count_rows(text, "cases"), 10);
    assert_int_equal(count_rows(text, "coverages"), 1);
    assert_holds(text, "\\\"criteria\\\":40,\\\"criteria_covered\\\":30");
    assert_holds(text, "You are a helpful assistant.\\\\n\\\\nBe kind.");
    assert_holds(text, "\\\"reasoning\\\":\\\"hm\\\"");
    assert_null(strstr(text, "timings"));
    free(text);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void the_order_of_arrival_leaves_no_trace(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 12);
    slm_eval_options options = options_of(4);
    char *expected = unbroken(&cases, 1, &options);
    for (uint64_t disorder = 10; disorder < 16; disorder++) {
        slm_error err = {0};
        fake_chat *chat = fake_chat_new(disorder);
        fake_judge *judge = fake_judge_new(1);
        chat->chat.width = (int32_t)(disorder % 5) * 9 + 1;
        chat->silence_share = 0.3;
        judge->in_disorder = disorder % 2;
        options.commit_s = disorder % 3 ? 1e-9 : 0;
        ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
        assert_evaluated(expected);
        slm_chat_free(&chat->chat);
        slm_judge_free(&judge->judge);
    }
    free(expected);
    slm_cases_free(&cases);
}

static void killed_at_every_reply_it_goes_on(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 6);
    slm_eval_options options = options_of(3);
    options.commit_s = 1e-9; /* every reply is a commit */
    char *expected = unbroken(&cases, 1, &options);
    /* Killed at poll 1, then 2, then 3... of one and the same database, then the same backwards. */
    for (int direction = 0; direction < 2; direction++) {
        int64_t round = 1;
        while (!evaluate_until_killed(fake_chat_new, &cases, &options,
                                      direction ? 1 + 40 % round : round, (uint64_t)round)) {
            round++;
            if (round > 200) fail_msg("it never ends");
            if (direction && round > 12) break;
        }
        if (direction) assert_true(evaluate_until_killed(fake_chat_new, &cases, &options, 0, 99));
        assert_evaluated(expected);
    }
    kill_at_every_reply(fake_chat_new, &cases, &options, expected);
    free(expected);
    slm_cases_free(&cases);
}

/* By a parent, at moments that have nothing to do with the work: also within a commit, the search
 * for the floor, or the making of the file. */
static void killed_at_random_moments_it_goes_on(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 10);
    slm_eval_options options = options_of(4);
    options.commit_s = 1e-9; /* every reply is a commit */
    char *expected = unbroken(&cases, 1, &options);
    slm_random random = slm_random_new(2026, 0);
    int kills = 0;
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        if (child == 0) {
            slm_error err = {0};
            fake_chat *chat = fake_chat_new((uint64_t)round);
            fake_judge *judge = fake_judge_new(1);
            chat->sleep_us = 1000;
            _exit(evaluate(path, &cases, chat, judge, &options, &err) == SLM_OK ? 0 : 1);
        }
        usleep((useconds_t)slm_random_below(&random, 60000));
        kill(child, SIGKILL);
        int how = 0;
        waitpid(child, &how, 0);
        kills += WIFSIGNALED(how);
        if (WIFEXITED(how)) {
            assert_int_equal(WEXITSTATUS(how), 0);
            assert_evaluated(expected);
        }
    }
    assert_true(kills >= 10);
    assert_true(evaluate_until_killed(fake_chat_new, &cases, &options, 0, 77));
    char *text = export_of(path);
    assert_same_export(text, expected);
    free(text);
    free(expected);
    slm_cases_free(&cases);
}

static void errors_are_not_answers_and_are_tried_again(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 10);
    slm_eval_options options = options_of(4);
    char *expected = unbroken(&cases, 1, &options);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    chat->error_share = 0.4;
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, " of 40 answers failed");
    assert_holds(err.message, "status 500 for case-0");
    assert_holds(err.message, "run again");
    char *text = export_of(path);
    assert_null(strstr(text, "half an ans"));
    assert_true(count_rows(text, "samples") < 120 + floor_rows(10));
    free(text);
    int64_t first = chat->asked;
    chat->error_share = 0;
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    assert_true(chat->asked - first < 40);
    text = export_of(path);
    assert_same_export(text, expected);
    free(text);
    free(expected);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void a_model_that_only_fails_is_given_up(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 60);
    slm_eval_options options = options_of(10);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    chat->error_share = 1;
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_NETWORK);
    assert_true(chat->asked < 200);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void a_prompt_that_does_not_fit_fails_its_case_alone(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 4);
    slm_eval_options options = options_of(2);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    chat->refuses = "case-002";
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_UNSUPPORTED);
    assert_holds(err.message, "2 of 8 answers failed");
    assert_holds(err.message, "longer than the context");
    assert_int_equal(chat->asked, 6);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void another_judge_regrades_without_sampling(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 8);
    slm_eval_options options = options_of(20); /* more answers than a judge is given at a time */
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *first = fake_judge_new(1), *second = fake_judge_new(2);
    ok(evaluate(path, &cases, chat, first, &options, &err), &err);
    int64_t asked = chat->asked;
    second->in_disorder = true;
    ok(evaluate(path, &cases, chat, second, &options, &err), &err);
    assert_int_equal(chat->asked, asked);
    char *text = export_of(path);
    /* Samples of the first evaluation, and the floors against the second judge's taste. */
    size_t floors = 8 + floor_rows(8);
    assert_int_equal(count_rows(text, "samples"), 160 + 160 + 3 * 8 + 2 * floors);
    assert_int_equal(count_rows(text, "judges"), 2);
    assert_int_equal(count_rows(text, "gradings"), 2 * (160 + 160 + 3 * 8 + floors));
    free(text);
    int64_t submits = second->submits;
    ok(evaluate(path, &cases, chat, second, &options, &err), &err);
    assert_int_equal(chat->asked, asked);
    assert_int_equal(second->submits, submits); /* nor is anything searched or graded again */
    slm_chat_free(&chat->chat);
    slm_judge_free(&first->judge);
    slm_judge_free(&second->judge);
    slm_cases_free(&cases);
}

static void raising_k_adds_and_gaps_are_filled(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 3);
    slm_eval_options two = options_of(2), five = options_of(5);
    char *expected = unbroken(&cases, 1, &five);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    ok(evaluate(path, &cases, chat, judge, &two, &err), &err);
    slm_buffer_truncate(&chat->log, 0);
    ok(evaluate(path, &cases, chat, judge, &five, &err), &err);
    assert_string_equal(slm_buffer_text(&chat->log), "case-000 2 3\ncase-001 2 3\ncase-002 2 3\n");
    assert_evaluated(expected);
    /* Rollouts 1 and 3 of a case are there: 0, 2 and 4 are asked for, each from its own index. */
    char run_hash[65];
    char *sampling = slm_chat_sampling_json(&five.sampling);
    slm_run run = {.hash = run_hash,
                   .model_name = "fake",
                   .model_identity = "fake-identity",
                   .kind = "model",
                   .system_text = "You are a helpful assistant.",
                   .sampling_json = sampling,
                   .cases_sha256 = cases.sha256,
                   .seed = 7};
    slm_run_hash(&run, run_hash);
    slm_store *store = open_store(path);
    ok(slm_store_put_run(store, &run, &err), &err);
    for (uint32_t rollout = 1; rollout < 5; rollout += 2) {
        slm_chat_reply *reply = fake_answer(1, 0, 7, "case-001", rollout);
        slm_sample sample = {.run = run_hash,
                             .case_id = "case-001",
                             .rollout = rollout,
                             .reply = reply->text,
                             .finish = slm_chat_finish_name(reply->finish)};
        ok(slm_store_put_sample(store, &sample, NULL, &err), &err);
        slm_chat_reply_free(reply);
    }
    slm_store_close(store);
    free(sampling);
    slm_buffer_truncate(&chat->log, 0);
    ok(evaluate(path, &cases, chat, judge, &five, &err), &err);
    assert_string_equal(slm_buffer_text(&chat->log), "case-000 0 5\ncase-001 0 1\ncase-001 2 1\n"
                                                     "case-001 4 1\ncase-002 0 5\n");
    free(expected);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void a_failing_judge_is_unscored_and_asked_again(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 8);
    slm_eval_options options = options_of(3);
    char *expected = unbroken(&cases, 1, &options);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    unlink(path);
    judge->fails = true;
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    char *text = export_of(path);
    assert_holds(text, "\"status\":\"unscored\"");
    assert_holds(text, "\"met\":null");
    assert_int_equal(count_rows(text, "grades"), 3 * count_rows(text, "gradings"));
    free(text);
    /* The floor's search saw the failing judge, so the floor may differ: only the rest must not. */
    int64_t asked = chat->asked;
    judge->fails = false;
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    assert_int_equal(chat->asked, asked);
    text = export_of(path);
    assert_null(strstr(text, "\"status\":\"unscored\""));
    assert_int_equal(count_rows(text, "gradings"), count_rows(expected, "gradings"));
    free(text);
    free(expected);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void uncovered_cases_are_named_or_left_out(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 5);
    slm_eval_options options = options_of(2);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    judge->covers_nothing_of = "case-003";
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "case case-003 (line 4)");
    assert_holds(err.message, "--skip-uncovered");
    assert_int_equal(chat->asked, 0);
    options.skip_uncovered = true;
    char name[160];
    in_folder(name, "log");
    FILE *stream = fopen(name, "w+");
    assert_non_null(stream);
    slm_log log = slm_log_new(stream, SLM_LOG_INFO, true);
    slm_eval_arm arm = {.chat = &chat->chat};
    slm_store *store = open_store(path);
    ok(slm_eval_run(store, &cases, &arm, 1, &judge->judge, &options, &log, &err), &err);
    slm_store_close(store);
    fclose(stream);
    slm_buffer said = {0};
    ok(slm_file_read(name, 0, &said, &err), &err);
    const char *coverage = strstr(said.data, "covers 12 of 20 criteria");
    assert_non_null(coverage);
    assert_holds(said.data, "1 of 5 cases are left out");
    assert_true(coverage < strstr(said.data, "answers"));
    slm_buffer_free(&said);
    assert_int_equal(chat->asked, 8);
    assert_null(strstr(slm_buffer_text(&chat->log), "case-003"));
    assert_string_equal(chat->last_system, ""); /* no system text: none is sent */
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void a_stop_keeps_what_came(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 10);
    volatile bool stop = false;
    slm_eval_options options = options_of(4);
    char *expected = unbroken(&cases, 1, &options);
    options.stop = &stop;
    for (int64_t at = 1; at < 50; at += 6) {
        slm_error err = {0};
        fake_chat *chat = fake_chat_new((uint64_t)at);
        fake_judge *judge = fake_judge_new(1);
        judge->in_disorder = true;
        chat->stop_at_poll = &stop;
        chat->stop_poll = at;
        slm_status status = evaluate(path, &cases, chat, judge, &options, &err);
        if (at < 30) assert_int_equal(status, SLM_ERR_CANCELLED);
        if (at < 30) assert_holds(err.message, "run the same command");
        char *text = export_of(path);
        /* All that was on its way came, and was graded. */
        assert_true((int64_t)count_rows(text, "samples") >= chat->asked);
        assert_int_equal(count_rows(text, "samples"), count_rows(text, "gradings"));
        free(text);
        stop = false;
        chat->stop_at_poll = NULL;
        ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
        text = export_of(path);
        assert_same_export(text, expected);
        free(text);
        unlink(path);
        slm_chat_free(&chat->chat);
        slm_judge_free(&judge->judge);
    }
    free(expected);
    slm_cases_free(&cases);
}

/* The handle of the model or of the judge fails: what came is kept, the next run goes on. */
static void a_broken_handle_keeps_what_came(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 10);
    slm_eval_options options = options_of(4);
    char *expected = unbroken(&cases, 1, &options);
    for (int64_t at = 1; at < 40; at += 3) {
        slm_error err = {0};
        fake_chat *chat = fake_chat_new((uint64_t)at);
        fake_judge *judge = fake_judge_new(1);
        if (at % 2)
            chat->fail_after = at;
        else
            judge->fail_after = at;
        assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_NETWORK);
        assert_holds(err.message, at % 2 ? "the cable is out" : "the judge has left");
        slm_chat_free(&chat->chat);
        slm_judge_free(&judge->judge);
        chat = fake_chat_new((uint64_t)at);
        judge = fake_judge_new(1);
        ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
        if (at > 15) assert_true(chat->asked < 40);
        assert_evaluated(expected);
        slm_chat_free(&chat->chat);
        slm_judge_free(&judge->judge);
    }
    free(expected);
    slm_cases_free(&cases);
}

static void two_arms_of_one_model_are_two_runs(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 4);
    slm_eval_options options = options_of(2);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    slm_eval_arm arms[] = {{.chat = &chat->chat, .details_json = "{\"threads\":2}"},
                           {.chat = &chat->chat, .system_text = "Ask first."},
                           {.chat = &chat->chat, .system_text = ""}};
    slm_store *store = open_store(path);
    ok(slm_eval_run(store, &cases, arms, 3, &judge->judge, &options, NULL, &err), &err);
    slm_store_close(store);
    assert_int_equal(chat->asked, 16); /* "" is no system text, so the third is the first */
    char *text = export_of(path);
    assert_int_equal(count_rows(text, "runs"), 2 + 2 + 4 + 4); /* no emergency, no floor of act */
    assert_null(strstr(text, "threads"));
    free(text);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 2);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(3);
    fake_judge *judge = fake_judge_new(1);
    slm_eval_options options = options_of(0);
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "k is 0");
    options = options_of(1);
    options.sampling.temperature = -1;
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "temperature");
    slm_cases none = {0};
    options = options_of(1);
    assert_int_equal(evaluate(path, &none, chat, judge, &options, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "no case");
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_case_is_asked_and_graded),
        TEST(the_order_of_arrival_leaves_no_trace),
        TEST(killed_at_every_reply_it_goes_on),
        TEST(killed_at_random_moments_it_goes_on),
        TEST(errors_are_not_answers_and_are_tried_again),
        TEST(a_model_that_only_fails_is_given_up),
        TEST(a_prompt_that_does_not_fit_fails_its_case_alone),
        TEST(another_judge_regrades_without_sampling),
        TEST(raising_k_adds_and_gaps_are_filled),
        TEST(a_failing_judge_is_unscored_and_asked_again),
        TEST(uncovered_cases_are_named_or_left_out),
        TEST(a_stop_keeps_what_came),
        TEST(a_broken_handle_keeps_what_came),
        TEST(two_arms_of_one_model_are_two_runs),
        TEST(wrong_options_are_refused),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
