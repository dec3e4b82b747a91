/* Episodes in an evaluation: each stored once and whole, the same bits whatever is killed, fails or comes
 * late; asking counts in whatever reply it stands. */
#include "helpers.h"

/* A model that asks now and then: what it says depends on the turn's own random key alone. */
static slm_status talking_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply,
                               slm_error *err)
{
    SLM_TRY(fake_poll(chat, timeout_ms, reply, err));
    slm_chat_reply *r = *reply;
    if (!r || r->finish == SLM_CHAT_ERROR || r->finish == SLM_CHAT_CANCELLED) return SLM_OK;
    const char *at = strstr(r->text, "case-");
    uint64_t draw = slm_hash_bytes(r->text, strlen(r->text)) % 10;
    slm_buffer text = {0};
    if (!at || draw > 6) return SLM_OK;
    if (draw < 4)
        slm_buffer_printf(&text, "Since when is it so %d?", (int)strtol(at + 5, NULL, 10));
    else
        slm_buffer_printf(&text, "Do you sing, and how (%.20s)?", at);
    free(r->text);
    r->text = slm_buffer_take(&text);
    return SLM_OK;
}

static const slm_chat_class talking_class = {fake_submit, talking_poll, fake_cancel, fake_free};

static fake_chat *talking_new(uint64_t disorder)
{
    fake_chat *f = fake_chat_new(disorder);
    f->chat.class = &talking_class;
    return f;
}

static slm_env *env_of(bool patient_is_model)
{
    slm_error err = {0};
    slm_env *env = NULL;
    slm_env_options options = slm_env_options_default();
    options.kind = SLM_ENV_MULTI_TURN;
    options.patient_is_model = patient_is_model;
    ok(slm_env_new(&options, &env, &err), &err);
    return env;
}

static void an_episode_is_stored_whole(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 10);
    slm_eval_options options = options_of(3);
    char *plain = unbroken(&cases, 1, &options);
    options.env = env_of(false);
    char *text = unbroken_by(talking_new, &cases, 1, &options);
    assert_int_equal(count_rows(text, "samples"), count_rows(plain, "samples"));
    assert_int_equal(count_rows(text, "gradings"), count_rows(plain, "gradings"));
    assert_holds(text, "\\\"kind\\\":\\\"multi-turn\\\"");
    assert_holds(text, "\\\"env\\\":{\\\"coverage\\\":");
    assert_holds(text, "\\\"replies\\\":3}");
    assert_holds(text, "Since when is it so");
    assert_holds(text, "\\\"reasoning\\\":\\\"hm\\\"");
    assert_holds(text, "You are a helpful assistant.\\\\n\\\\nBe kind.");
    free(text);
    free(plain);
    slm_env_free(options.env);
    slm_cases_free(&cases);
}

static void nothing_leaves_a_trace(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 8);
    for (int with_model = 0; with_model < 2; with_model++) {
        slm_eval_options options = options_of(3);
        fake_chat *patient = fake_chat_new(3);
        options.env = env_of(with_model);
        options.patient = with_model ? &patient->chat : NULL;
        char *expected = unbroken_by(talking_new, &cases, 1, &options);
        if (with_model) assert_true(patient->asked > 0);
        for (uint64_t disorder = 10; disorder < 16; disorder++) {
            slm_error err = {0};
            fake_chat *chat = talking_new(disorder);
            fake_judge *judge = fake_judge_new(1);
            chat->chat.width = (int32_t)(disorder % 5) * 9 + 1;
            chat->silence_share = 0.3;
            patient->silence_share = 0.3;
            judge->in_disorder = disorder % 2;
            /* Errors of either are tried again by the next run. */
            chat->error_share = patient->error_share = disorder % 3 ? 0.2 : 0;
            slm_status status = evaluate(path, &cases, chat, judge, &options, &err);
            if (disorder % 3) assert_int_equal(status, SLM_ERR_NETWORK);
            chat->error_share = patient->error_share = 0;
            options.k = disorder % 2 ? 1 : 3;
            ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
            options.k = 3;
            ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
            int64_t asked = chat->asked;
            ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
            assert_int_equal(chat->asked, asked); /* nothing is asked twice */
            char *text = export_of(path);
            if (disorder % 2 == 0) assert_same_export(text, expected);
            /* With k = 1 between them the baselines have runs of their own. */
            else
                assert_true(count_rows(text, "samples") >= count_rows(expected, "samples"));
            free(text);
            unlink(path);
            slm_chat_free(&chat->chat);
            slm_judge_free(&judge->judge);
        }
        free(expected);
        slm_chat_free(&patient->chat);
        slm_env_free(options.env);
    }
    slm_cases_free(&cases);
}

static void killed_at_every_reply_it_goes_on(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 4);
    slm_eval_options options = options_of(2);
    options.commit_s = 1e-9;
    options.env = env_of(false);
    char *expected = unbroken_by(talking_new, &cases, 1, &options);
    assert_true(kill_at_every_reply(talking_new, &cases, &options, expected) > 8);
    free(expected);
    slm_env_free(options.env);
    slm_cases_free(&cases);
}

static void stopped_in_the_middle_it_goes_on(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 8);
    slm_eval_options options = options_of(3);
    options.env = env_of(false);
    char *expected = unbroken_by(talking_new, &cases, 1, &options);
    volatile bool stop = false;
    options.stop = &stop;
    for (int64_t poll = 1; poll < 24; poll += 5) {
        slm_error err = {0};
        fake_chat *chat = talking_new(4);
        fake_judge *judge = fake_judge_new(1);
        chat->stop_at_poll = &stop;
        chat->stop_poll = poll;
        assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_CANCELLED);
        assert_int_equal(chat->chat.in_flight, 0);
        stop = false;
        chat->stop_at_poll = NULL;
        ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
        assert_evaluated(expected);
        slm_chat_free(&chat->chat);
        slm_judge_free(&judge->judge);
    }
    free(expected);
    slm_env_free(options.env);
    slm_cases_free(&cases);
}

/* What is lost leaves what came; a prompt that is refused in the middle is that episode's failure. */
static void failures_are_told(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 6);
    slm_eval_options options = options_of(3);
    options.env = env_of(true);
    slm_error err = {0};
    fake_chat *chat = talking_new(4), *patient = fake_chat_new(2);
    fake_judge *judge = fake_judge_new(1);
    options.patient = &patient->chat;
    char *expected = unbroken_by(talking_new, &cases, 1, &options);
    patient->fail_after = patient->polls + 3;
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, "cable");
    patient->fail_after = 0;
    patient->waiting_count = 0;
    patient->chat.in_flight = 0;
    judge->fail_after = judge->polls + 2;
    assert_int_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_ERR_NETWORK);
    slm_judge_free(&judge->judge);
    judge = fake_judge_new(1);
    chat->refuses = "case-002#2";
    assert_int_not_equal(evaluate(path, &cases, chat, judge, &options, &err), SLM_OK);
    assert_holds(err.message, "longer than the context");
    chat->refuses = NULL;
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    char *text = export_of(path);
    assert_same_export(text, expected);
    free(text);
    free(expected);
    slm_chat_free(&chat->chat);
    slm_chat_free(&patient->chat);
    slm_judge_free(&judge->judge);
    slm_env_free(options.env);
    slm_cases_free(&cases);
}

static void the_plan_counts_turns(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 4);
    slm_eval_options options = options_of(2);
    slm_error err = {0};
    fake_chat *chat = talking_new(4);
    fake_judge *judge = fake_judge_new(1);
    slm_eval_arm arm = {.chat = &chat->chat};
    slm_eval_plan plan;
    ok(slm_eval_plan_of(NULL, &cases, &arm, 1, &judge->judge, &options, &plan, &err), &err);
    assert_int_equal(plan.answers, 8);
    options.env = env_of(false);
    ok(slm_eval_plan_of(NULL, &cases, &arm, 1, &judge->judge, &options, &plan, &err), &err);
    assert_int_equal(plan.answers, 4 * 8);
    slm_env_free(options.env);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_cases_free(&cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_episode_is_stored_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_leaves_a_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(killed_at_every_reply_it_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopped_in_the_middle_it_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_plan_counts_turns, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("eval/episodes", tests, NULL, NULL);
}
