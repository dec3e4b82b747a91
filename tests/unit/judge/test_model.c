/* A model as judge: what it is asked, how often, what becomes of nonsense; and that nothing is asked
 * twice that is known. */
#include "fake_chat.h"

#include <unistd.h>

static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/slm-test-judge-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static slm_store *open_store(void)
{
    slm_error err = {0};
    slm_store *store = NULL;
    ok(slm_store_open(path, false, &store, &err), &err);
    return store;
}

static void expect_all(const slm_grading *grading, slm_verdict verdict)
{
    for (size_t i = 0; i < grading->count; i++)
        assert_int_equal(grading->grades[i].verdict, verdict);
}

static void expect_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("'%s' is not in: %s", part, text);
}

/* ---- what is asked ---- */

static void one_call_for_each_criterion(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_yes);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_grading *grading = grade(judge, &c, "Are you pregnant?");
    expect_all(grading, SLM_VERDICT_MET);
    assert_string_equal(grading->grades[0].explanation, "it does");
    assert_int_equal(grading->grades[0].prompt_tokens, 100);
    assert_int_equal(grading->grades[0].reply_tokens, 10);
    assert_int_equal(grading->error.status, SLM_OK);
    assert_int_equal(chat->count, 3);
    static const char conversation[] = "user: My knee is swollen.\n\nassistant: Since when?\n\n"
                                       "user: Since yesterday.\n\nassistant: Are you pregnant?\n";
    static const char *const items[] = {"\n[7] Asks about pregnancy.\n", "\n[2.5] Says to rest.\n",
                                        "\n[-3] Is rude.\n"};
    for (size_t i = 0; i < 3; i++) {
        const fake_ask *ask = &chat->asks[i];
        expect_contains(ask->prompt, conversation);
        expect_contains(ask->prompt, items[i]);
        /* the reference's three rules */
        expect_contains(ask->prompt, "all of them");
        expect_contains(ask->prompt, "\"such as\"");
        expect_contains(ask->prompt, "below zero");
        assert_null(strstr(ask->prompt, "<<"));
        assert_null(ask->system);
        assert_true(ask->temperature >= 0 && ask->temperature <= 0);
        assert_true(ask->has_schema);
    }
    for (size_t i = 0; i < 3; i++)
        assert_true(slm_judge_covers(judge, &c, i));
    assert_true(judge->is_costly);
    slm_grading_free(grading);
    slm_judge_free(judge);
}

static void a_template_of_ones_own(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_yes);
    slm_error err = {0};
    slm_judge *judge = NULL;
    slm_judge_options options = slm_judge_options_default();
    options.template_text = "\n <<rubric_item>> | <<conversation>> | <<rubric_item>> << >>\n\n";
    options.system_text = "Be strict.";
    ok(slm_judge_model_new(&chat->chat, &options, &judge, &err), &err);
    slm_turn turn = {"user", "<<rubric_item>>"};                /* in a conversation it is a text */
    slm_rubric_item item = {.criterion = "a <<conversation>>"}; /* points not given */
    slm_case c = {.id = "c", .turns = &turn, .turn_count = 1, .rubrics = &item, .rubric_count = 1};
    slm_grading_free(grade(judge, &c, "r"));
    assert_string_equal(chat->asks[0].prompt,
                        "a <<conversation>> | user: <<rubric_item>>\n\nassistant: r | "
                        "a <<conversation>> << >>");
    assert_string_equal(chat->asks[0].system, "Be strict.");
    slm_judge_free(judge);
}

static void a_template_needs_both_placeholders(void **state)
{
    (void)state;
    static const struct {
        const char *text, *lacks;
    } templates[] = {{"<<conversation>>", "my.txt: <<rubric_item>> does not"},
                     {"<<rubric_item>> <conversation>", "my.txt: <<conversation>> does not"},
                     {"", "my.txt: <<conversation>> does not"}};
    for (size_t i = 0; i < 3; i++) {
        fake_chat *chat = fake_chat_new(says_yes);
        slm_error err = {0};
        slm_judge *judge = NULL;
        slm_judge_options options = slm_judge_options_default();
        options.template_text = templates[i].text;
        options.template_name = "my.txt";
        assert_int_equal(slm_judge_model_new(&chat->chat, &options, &judge, &err), SLM_ERR_INVALID);
        expect_contains(err.message, templates[i].lacks);
        assert_null(judge);
    }
}

static char *identity_with(const char *template_text, const char *system, double temperature,
                           const char *chat_identity)
{
    fake_chat *chat = fake_chat_new(says_yes);
    char *name = strdup(chat_identity);
    chat->chat.identity = name;
    slm_error err = {0};
    slm_judge *judge = NULL;
    slm_judge_options options = slm_judge_options_default();
    options.template_text = template_text;
    options.system_text = system;
    options.sampling.temperature = temperature;
    ok(slm_judge_model_new(&chat->chat, &options, &judge, &err), &err);
    char *copy = strdup(judge->identity);
    slm_judge_free(judge);
    free(name);
    return copy;
}

static void the_identity_is_of_what_decides_the_verdicts(void **state)
{
    (void)state;
    static const char text[] = "<<conversation>> <<rubric_item>>";
    char *all[] = {
        identity_with(NULL, NULL, 0, "m"),
        identity_with(text, NULL, 0, "m"),
        identity_with(text, "s", 0, "m"),
        identity_with(text, NULL, 1, "m"),
        identity_with(text, NULL, 0, "other model"),
    };
    enum { N = sizeof all / sizeof *all };
    for (size_t i = 0; i < N; i++)
        for (size_t k = i + 1; k < N; k++)
            assert_string_not_equal(all[i], all[k]);
    /* An editor's last line feed is no other template, an empty system text none. */
    char *same = identity_with("<<conversation>> <<rubric_item>>\r\n", "", 0, "m");
    assert_string_equal(same, all[1]);
    free(same);
    for (size_t i = 0; i < N; i++)
        free(all[i]);
}

static void the_width_is_kept_in_flight(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_no);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_error err = {0};
    uint64_t tickets[5];
    bool seen[5] = {false};
    chat->last_first = true;
    for (int i = 0; i < 5; i++) {
        char reply[32];
        snprintf(reply, sizeof reply, "reply %d", i);
        ok(slm_judge_submit(judge, &c, reply, &tickets[i], &err), &err);
    }
    for (int done = 0; done < 5;) {
        slm_grading *grading = NULL;
        ok(slm_judge_poll(judge, 10, &grading, &err), &err);
        if (grading == NULL) continue;
        expect_all(grading, SLM_VERDICT_NOT_MET);
        for (int i = 0; i < 5; i++)
            if (tickets[i] == grading->ticket) {
                assert_false(seen[i]);
                seen[i] = true;
            }
        slm_grading_free(grading);
        done++;
    }
    assert_int_equal(chat->most_waiting, 4);
    assert_int_equal(chat->count, 15);
    assert_int_equal(judge->in_flight, 0);
    slm_judge_free(judge);
}

static void without_schemas_it_asks_without(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_yes);
    chat->no_schema = true;
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_grading *grading = grade(judge, &c, "x");
    expect_all(grading, SLM_VERDICT_MET);
    assert_false(chat->asks[0].has_schema);
    slm_grading_free(grading);
    slm_judge_free(judge);
}

/* And is another judge for it. */
static void a_bound_goes_only_to_chats_that_hold_one(void **state)
{
    (void)state;
    char *identity[2];
    for (int holds = 0; holds < 2; holds++) {
        fake_chat *chat = fake_chat_new(says_yes);
        chat->chat.holds_lengths = holds;
        slm_judge *judge = judge_of(chat);
        slm_case c = small_case();
        slm_grading *grading = grade(judge, &c, "x");
        assert_true(chat->asks[0].has_schema);
        assert_int_equal(chat->asks[0].is_bounded, holds);
        identity[holds] = strdup(judge->identity);
        slm_grading_free(grading);
        slm_judge_free(judge);
    }
    assert_string_not_equal(identity[0], identity[1]);
    free(identity[0]);
    free(identity[1]);
}

/* ---- what becomes of nonsense ---- */

static void nonsense_is_never_a_verdict(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_nonsense);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_grading *grading = grade(judge, &c, "x");
    expect_all(grading, SLM_VERDICT_UNSCORED);
    assert_null(grading->grades[0].explanation);
    assert_int_equal(grading->grades[0].prompt_tokens, 300);
    assert_int_equal(grading->error.status, SLM_ERR_FORMAT);
    expect_contains(grading->error.message, "no verdict in 3 replies");
    expect_contains(grading->error.message, "no JSON object");
    assert_int_equal(chat->count, 9);
    assert_int_equal(judge->tally.unscored, 3);
    assert_int_equal(judge->tally.asked_again, 6);
    /* Each attempt is another draw. */
    for (size_t i = 0; i < chat->count; i++) {
        const fake_ask *ask = &chat->asks[i];
        assert_int_equal(ask->seed, ask->rollout);
        assert_true(ask->rollout == 0 ? ask->temperature < 0.01 : ask->temperature >= 0.5);
    }
    slm_grading_free(grading);
    slm_judge_free(judge);
}

static const char *says_it_the_second_time(const fake_chat *chat, const fake_ask *ask, size_t count)
{
    return ask->rollout == 1 ? says_no(chat, ask, count)
                             : "{\"explanation\":\"x\",\"criteria_met\":\"false\"}";
}

static void it_is_asked_again(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_it_the_second_time);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_grading *grading = grade(judge, &c, "x");
    expect_all(grading, SLM_VERDICT_NOT_MET);
    assert_int_equal(grading->error.status, SLM_OK);
    assert_int_equal(chat->count, 6);
    assert_int_equal(grading->grades[2].reply_tokens, 20);
    slm_grading_free(grading);
    slm_judge_free(judge);
}

static const char *fails_on_rudeness(const fake_chat *chat, const fake_ask *ask, size_t count)
{
    return strstr(ask->prompt, "Is rude.") ? NULL : says_yes(chat, ask, count);
}

static void a_failed_call_is_unscored_at_once(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(fails_on_rudeness);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_grading *grading = grade(judge, &c, "x");
    assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_MET);
    assert_int_equal(grading->grades[2].verdict, SLM_VERDICT_UNSCORED);
    assert_int_equal(grading->error.status, SLM_ERR_NETWORK);
    assert_int_equal(chat->count, 3); /* the chat has tried again already */
    slm_grading_free(grading);
    slm_judge_free(judge);
}

static void what_is_cut_off_or_refused_says_so(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_nonsense);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    chat->finish = SLM_CHAT_LENGTH;
    slm_grading *grading = grade(judge, &c, "x");
    expect_contains(grading->error.message, "--judge-max-tokens");
    slm_grading_free(grading);
    chat->finish = SLM_CHAT_REFUSED;
    grading = grade(judge, &c, "y");
    expect_contains(grading->error.message, "refused");
    slm_grading_free(grading);
    slm_judge_free(judge);
}

static void what_cannot_be_asked_is_unscored(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_yes);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    chat->longest = 10;
    slm_grading *grading = grade(judge, &c, "x");
    expect_all(grading, SLM_VERDICT_UNSCORED);
    expect_contains(grading->error.message, "longer than the context");
    assert_int_equal(judge->in_flight, 0);
    slm_grading_free(grading);
    slm_judge_free(judge);
}

static void a_broken_handle_is_an_error(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_yes);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_error err = {0};
    slm_grading *grading = NULL;
    chat->fail_at = 2;
    ok(slm_judge_submit(judge, &c, "x", NULL, &err), &err);
    assert_int_equal(slm_judge_poll(judge, 10, &grading, &err), SLM_ERR_NETWORK);
    assert_null(grading);
    /* What was in flight is forgotten, and does not turn up in what comes next. */
    slm_judge_drop(judge, 1);
    assert_int_equal(judge->in_flight, 0);
    grading = grade(judge, &c, "another answer");
    expect_all(grading, SLM_VERDICT_MET);
    slm_grading_free(grading);
    slm_judge_free(judge);
}

static void it_can_be_freed_while_it_waits(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_yes);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case();
    slm_error err = {0};
    slm_grading *grading = NULL;
    chat->is_silent = true;
    ok(slm_judge_submit(judge, &c, "x", NULL, &err), &err);
    ok(slm_judge_poll(judge, 0, &grading, &err), &err);
    assert_null(grading);
    slm_judge_free(judge);
}

/* ---- nothing twice ---- */

static void a_known_verdict_is_not_asked_for(void **state)
{
    (void)state;
    slm_case c = small_case();
    for (int run = 0; run < 2; run++) {
        slm_store *store = open_store();
        fake_chat *chat = fake_chat_new(run == 0 ? says_yes : says_no);
        slm_judge *judge = judge_of(chat);
        slm_judge_use_store(judge, store);
        slm_grading *grading = grade(judge, &c, "x");
        expect_all(grading, SLM_VERDICT_MET); /* what was said first */
        assert_string_equal(grading->grades[1].explanation, "it does");
        assert_int_equal(grading->grades[1].prompt_tokens, 100);
        assert_int_equal(chat->count, run == 0 ? 3 : 0);
        assert_int_equal(judge->tally.cached, run == 0 ? 0 : 3);
        slm_grading_free(grading);
        grading = grade(judge, &c, "another answer");
        expect_all(grading, run == 0 ? SLM_VERDICT_MET : SLM_VERDICT_MET);
        assert_int_equal(chat->count, run == 0 ? 6 : 0);
        slm_grading_free(grading);
        slm_judge_free(judge);
        slm_store_close(store);
    }
    /* Another judge has verdicts of its own. */
    slm_store *store = open_store();
    fake_chat *chat = fake_chat_new(says_no);
    static char other[] = "another model";
    chat->chat.identity = other;
    slm_judge *judge = judge_of(chat);
    slm_judge_use_store(judge, store);
    slm_grading *grading = grade(judge, &c, "x");
    expect_all(grading, SLM_VERDICT_NOT_MET);
    assert_int_equal(chat->count, 3);
    slm_grading_free(grading);
    slm_judge_free(judge);
    slm_store_close(store);
}

static void a_failure_is_asked_for_again(void **state)
{
    (void)state;
    slm_case c = small_case();
    for (int run = 0; run < 2; run++) {
        slm_store *store = open_store();
        fake_chat *chat = fake_chat_new(run == 0 ? fails_on_rudeness : says_no);
        slm_judge *judge = judge_of(chat);
        slm_judge_use_store(judge, store);
        slm_grading *grading = grade(judge, &c, "x");
        assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_MET);
        assert_int_equal(grading->grades[2].verdict,
                         run == 0 ? SLM_VERDICT_UNSCORED : SLM_VERDICT_NOT_MET);
        assert_int_equal(chat->count, run == 0 ? 3 : 1);
        slm_grading_free(grading);
        slm_judge_free(judge);
        slm_store_close(store);
    }
}

static void an_equal_question_in_flight_is_asked_once(void **state)
{
    (void)state;
    fake_chat *chat = fake_chat_new(says_yes);
    slm_judge *judge = judge_of(chat);
    slm_case c = small_case(), twin = small_case();
    slm_error err = {0};
    twin.id = "another case with the same words";
    ok(slm_judge_submit(judge, &c, "x", NULL, &err), &err);
    ok(slm_judge_submit(judge, &twin, "x", NULL, &err), &err);
    ok(slm_judge_submit(judge, &c, "x ", NULL, &err), &err); /* not the same */
    for (int done = 0; done < 3;) {
        slm_grading *grading = NULL;
        ok(slm_judge_poll(judge, 10, &grading, &err), &err);
        if (grading == NULL) continue;
        expect_all(grading, SLM_VERDICT_MET);
        slm_grading_free(grading);
        done++;
    }
    assert_int_equal(chat->count, 6);
    assert_int_equal(judge->tally.verdicts, 9);
    assert_int_equal(judge->tally.cached, 3);
    slm_judge_free(judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_call_for_each_criterion),
        cmocka_unit_test(a_template_of_ones_own),
        cmocka_unit_test(a_template_needs_both_placeholders),
        cmocka_unit_test(the_identity_is_of_what_decides_the_verdicts),
        cmocka_unit_test(the_width_is_kept_in_flight),
        cmocka_unit_test(without_schemas_it_asks_without),
        cmocka_unit_test(a_bound_goes_only_to_chats_that_hold_one),
        cmocka_unit_test(nonsense_is_never_a_verdict),
        cmocka_unit_test(it_is_asked_again),
        cmocka_unit_test(a_failed_call_is_unscored_at_once),
        cmocka_unit_test(what_is_cut_off_or_refused_says_so),
        cmocka_unit_test(what_cannot_be_asked_is_unscored),
        cmocka_unit_test(a_broken_handle_is_an_error),
        cmocka_unit_test(it_can_be_freed_while_it_waits),
        cmocka_unit_test_setup_teardown(a_known_verdict_is_not_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_asked_for_again, set_up, tear_down),
        cmocka_unit_test(an_equal_question_in_flight_is_asked_once),
    };
    return cmocka_run_group_tests_name("model judge", tests, NULL, NULL);
}
