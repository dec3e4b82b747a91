/* A jury: more than half decide, a tie decides nothing, and what each judge said is kept. */
#include "fake_chat.h"

static slm_judge *member(fake_answer_fn *answer, const char *name)
{
    fake_chat *chat = fake_chat_new(answer);
    /* The judge copies both when it is made. */
    chat->chat.name = chat->chat.identity = (char *)(uintptr_t)name;
    return judge_of(chat);
}

static slm_judge *jury_of(slm_judge **members, size_t count)
{
    slm_error err = {0};
    slm_judge *jury = NULL;
    ok(slm_judge_jury_new(members, count, &jury, &err), &err);
    return jury;
}

static void votes_are_counted(void **state)
{
    (void)state;
    /* Y met, N not met, U unscored, X not covered; behind the blank what the jury says. */
    static const char *const table[] = {
        "YY Y",  "NN N",  "YN U",  "YU U",  "YX Y",    "XX X",    "UX U",    "YYN Y",  "NYN N",
        "YYU Y", "YNU U", "YUU U", "UUU U", "YNX U",   "NNX N",   "YYNN U",  "YYYN Y", "YYUN U",
        "Y Y",   "N N",   "X X",   "U U",   "NNUXX N", "NNNUU N", "YYUUN U",
    };
    static const char letters[] = "XUNY"; /* in the order of slm_verdict */
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t count = strcspn(table[i], " ");
        slm_verdict votes[8];
        for (size_t v = 0; v < count; v++)
            votes[v] = (slm_verdict)(strchr(letters, table[i][v]) - letters);
        if (letters[slm_jury_vote(votes, count)] != table[i][count + 1])
            fail_msg("%s: the jury says %c", table[i], letters[slm_jury_vote(votes, count)]);
    }
}

static void more_than_half_decide(void **state)
{
    (void)state;
    slm_judge *members[] = {member(says_yes, "a"), member(says_no, "b"), member(says_yes, "c")};
    slm_judge *jury = jury_of(members, 3);
    slm_case c = small_case();
    slm_grading *grading = grade(jury, &c, "x");
    assert_string_equal(jury->name, "jury of a, b, c");
    assert_int_equal(grading->member_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(grading->grades[i].verdict, SLM_VERDICT_MET);
        assert_string_equal(grading->grades[i].explanation, "a: met; b: not met; c: met. it does");
        assert_int_equal(grading->grades[i].prompt_tokens, 300);
        assert_int_equal(grading->members[0]->grades[i].verdict, SLM_VERDICT_MET);
        assert_int_equal(grading->members[1]->grades[i].verdict, SLM_VERDICT_NOT_MET);
        assert_string_equal(grading->members[1]->grades[i].explanation, "it does not");
    }
    assert_int_equal(jury->tally.majority, 3);
    assert_int_equal(jury->tally.unanimous, 0);
    slm_grading_free(grading);
    slm_judge_free(jury);
}

static void a_tie_is_no_verdict(void **state)
{
    (void)state;
    slm_judge *members[] = {member(says_yes, "a"), member(says_no, "b")};
    slm_judge *jury = jury_of(members, 2);
    slm_case c = small_case();
    slm_grading *grading = grade(jury, &c, "x");
    assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_UNSCORED);
    assert_string_equal(grading->grades[0].explanation, "a: met; b: not met");
    assert_non_null(strstr(grading->error.message, "more than half"));
    assert_int_equal(jury->tally.unscored, 3);
    slm_grading_free(grading);
    slm_judge_free(jury);
}

static void a_failing_judge_has_no_vote(void **state)
{
    (void)state;
    slm_judge *members[] = {member(says_no, "a"), member(says_nonsense, "b"), member(says_no, "c")};
    slm_judge *jury = jury_of(members, 3);
    slm_case c = small_case();
    slm_grading *grading = grade(jury, &c, "x");
    assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_NOT_MET);
    assert_int_equal(grading->members[1]->grades[0].verdict, SLM_VERDICT_UNSCORED);
    assert_int_equal(grading->error.status, SLM_OK);
    slm_grading_free(grading);
    slm_judge_free(jury);

    slm_judge *bad[] = {member(says_no, "a"), member(says_nonsense, "b")};
    jury = jury_of(bad, 2);
    grading = grade(jury, &c, "x");
    assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_UNSCORED);
    assert_non_null(strstr(grading->error.message, "no verdict in 3 replies"));
    slm_grading_free(grading);
    slm_judge_free(jury);
}

/* The rule judge grades what has a check; the rest is the model's alone. */
static void judges_need_not_cover_the_same(void **state)
{
    (void)state;
    static const char json[] =
        "{\"prompt_id\":\"c\",\"prompt\":[{\"role\":\"user\",\"content\":\"My knee is swollen.\"}],"
        "\"follow_ups\":[{\"id\":\"f1\",\"question\":\"Are you pregnant?\",\"tier\":\"next_step\","
        "\"weight\":5,\"why\":\"w\"}],\"rubrics\":[{\"criterion\":\"Asks.\",\"points\":7,"
        "\"tags\":[\"behaviour:seek\"],\"check\":{\"asks\":[\"f1\"]}},{\"criterion\":\"Is kind.\","
        "\"points\":2,\"tags\":[]}]}";
    slm_error err = {0};
    slm_arena arena = {0};
    slm_case c;
    ok(slm_case_parse(json, "case", 1, &arena, &c, &err), &err);
    slm_judge *members[2] = {member(says_yes, "a")};
    ok(slm_judge_rule_new(&members[1], &err), &err);
    slm_judge *jury = jury_of(members, 2);
    slm_grading *grading = grade(jury, &c, "Are you pregnant?");
    assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_MET); /* both say so */
    assert_int_equal(grading->grades[1].verdict, SLM_VERDICT_MET); /* one covers it */
    slm_grading_free(grading);
    grading = grade(jury, &c, "Rest it.");
    assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_UNSCORED); /* one against one */
    assert_int_equal(grading->grades[1].verdict, SLM_VERDICT_MET);
    slm_grading_free(grading);
    assert_true(slm_judge_covers(jury, &c, 1));
    assert_true(jury->is_costly);
    slm_judge_free(jury);
    slm_arena_free(&arena);
}

static void many_answers_at_once(void **state)
{
    (void)state;
    slm_judge *members[] = {member(says_yes, "a"), member(says_no, "b"), member(says_no, "c")};
    slm_judge *jury = jury_of(members, 3);
    slm_case c = small_case();
    slm_error err = {0};
    enum { N = 30 };
    uint64_t tickets[N];
    size_t seen[N] = {0};
    for (size_t i = 0; i < N; i++) {
        char reply[32];
        snprintf(reply, sizeof reply, "reply %zu", i);
        ok(slm_judge_submit(jury, &c, reply, &tickets[i], &err), &err);
    }
    for (size_t done = 0; done < N;) {
        slm_grading *grading = NULL;
        ok(slm_judge_poll(jury, 50, &grading, &err), &err);
        if (grading == NULL) continue;
        for (size_t i = 0; i < N; i++)
            seen[i] += tickets[i] == grading->ticket;
        assert_int_equal(grading->grades[2].verdict, SLM_VERDICT_NOT_MET);
        slm_grading_free(grading);
        done++;
    }
    for (size_t i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    /* And some that nobody waits for. */
    for (size_t i = 0; i < 3; i++)
        ok(slm_judge_submit(jury, &c, "later", NULL, &err), &err);
    slm_judge_drop(jury, 1);
    assert_int_equal(jury->in_flight, 0);
    slm_grading *grading = grade(jury, &c, "last");
    assert_int_equal(grading->grades[0].verdict, SLM_VERDICT_NOT_MET);
    slm_grading_free(grading);
    slm_judge_free(jury);
}

static void what_is_no_jury_is_refused(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_judge *jury = NULL;
    slm_judge *twice[] = {member(says_yes, "a"), member(says_no, "b"), member(says_no, "a")};
    assert_int_equal(slm_judge_jury_new(twice, 3, &jury, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "a stands twice"));
    slm_judge *one[] = {member(says_yes, "a")};
    assert_int_equal(slm_judge_jury_new(one, 1, &jury, &err), SLM_ERR_INVALID);
    assert_null(jury);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(votes_are_counted),
        cmocka_unit_test(more_than_half_decide),
        cmocka_unit_test(a_tie_is_no_verdict),
        cmocka_unit_test(a_failing_judge_has_no_vote),
        cmocka_unit_test(judges_need_not_cover_the_same),
        cmocka_unit_test(many_answers_at_once),
        cmocka_unit_test(what_is_no_jury_is_refused),
    };
    return cmocka_run_group_tests_name("jury", tests, NULL, NULL);
}
