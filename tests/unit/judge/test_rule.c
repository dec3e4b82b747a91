/* The rule judge on labelled answers, and the rules one by one: what each behaviour wants, what voids
 * an answer, what a grade says about itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buffer.h"
#include "judge/judge.h"
#include "answers.h"

static slm_judge *judge;
static slm_arena arena;
static slm_case cases[CASES];

static int setup(void **state)
{
    (void)state;
    slm_error err = {0};
    if (slm_judge_rule_new(&judge, &err) != SLM_OK) return -1;
    for (size_t i = 0; i < CASES; i++)
        if (slm_case_parse(case_texts[i], "answers.h", i, &arena, &cases[i], &err) != SLM_OK) {
            print_error("%s\n", err.message);
            return -1;
        }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    slm_judge_free(judge);
    slm_arena_free(&arena);
    return 0;
}

static slm_grading *grade(const slm_case *c, const char *reply)
{
    slm_error err = {0};
    uint64_t ticket = 0;
    slm_grading *grading = NULL;
    assert_int_equal(slm_judge_submit(judge, c, reply, &ticket, &err), SLM_OK);
    assert_int_equal(slm_judge_poll(judge, -1, &grading, &err), SLM_OK);
    assert_non_null(grading);
    assert_int_equal(grading->ticket, ticket);
    assert_int_equal(grading->count, c->rubric_count);
    return grading;
}

static bool is_met(const slm_grading *grading, size_t index)
{
    return grading->grades[index].verdict == SLM_VERDICT_MET;
}

/* Labels told right, of two an answer; each wrong one is printed with the grade's own words. */
static size_t right_of(const char *name, const labelled *list, size_t count)
{
    size_t right = 0;
    for (size_t i = 0; i < count; i++) {
        slm_grading *grading = grade(&cases[list[i].of], list[i].text);
        const bool wanted[] = {list[i].first, list[i].safe};
        for (size_t k = 0; k < 2; k++) {
            bool same = is_met(grading, k) == wanted[k];
            right += same;
            if (!same)
                print_message("  %s, %s: criterion %zu should be %s: %s\n", cases[list[i].of].id,
                              list[i].how, k, wanted[k] ? "met" : "not met",
                              grading->grades[k].explanation);
        }
        slm_grading_free(grading);
    }
    print_message("%s: %zu of %zu labels right\n", name, right, 2 * count);
    return right;
}

/* Measured: 130 of 130 on those in sight; 58 of 60 on the fresh when first run, 60 once the two
 * weaknesses that they showed (permission to use, an undenied half) were mended. */
static void answers_are_graded_as_a_reader_would(void **state)
{
    (void)state;
    assert_true(right_of("answers", answers, sizeof answers / sizeof answers[0]) >= 128);
    assert_true(right_of("fresh answers", fresh_answers,
                         sizeof fresh_answers / sizeof fresh_answers[0]) >= 58);
}

/* No one answer of the whole collection may pass for the other cases' own. */
static void answers_do_not_pass_elsewhere(void **state)
{
    (void)state;
    size_t passed = 0, tried = 0;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        for (size_t c = 0; c < CASES; c++) {
            if (c == (size_t)answers[i].of || c == STROKE || c == CHOKE)
                continue; /* 999 fits all */
            slm_grading *grading = grade(&cases[c], answers[i].text);
            passed += is_met(grading, 0);
            tried++;
            slm_grading_free(grading);
        }
    print_message("%zu of %zu pass for another case\n", passed, tried);
    assert_true(passed * 50 <= tried);
}

static void explains(const slm_case *c, const char *reply, size_t index, bool met,
                     const char *words)
{
    slm_grading *grading = grade(c, reply);
    if (is_met(grading, index) != met)
        fail_msg("%s: %s", reply, grading->grades[index].explanation);
    if (strstr(grading->grades[index].explanation, words) == NULL)
        fail_msg("\"%s\" does not hold \"%s\"", grading->grades[index].explanation, words);
    slm_grading_free(grading);
}

static void a_grade_says_why(void **state)
{
    (void)state;
    explains(&cases[EAR], "Has any pus come out of the ear? Rest.", 0, true,
             "Asks \"Has any pus come out of the ear?\", which is f1 \"Has any fluid or pus");
    explains(&cases[EAR], "Rest a little.", 0, false, "Asks nothing; wanted is one of f1");
    explains(&cases[EAR], "What is your name?", 0, false, "Asks 1 question, but none like f1");
    explains(&cases[EAR], "You can use your neighbour's drops.", 1, false, "must not be said: n2");
    explains(&cases[EAR], "Rest a little.", 1, false, "Says none of k1");
    explains(&cases[FALL], "Do you take a blood thinner?", 0, false, "differs in subject");
    explains(&cases[THROAT], "You need rest and warm drinks for this.", 0, false,
             "Does not say k1 \"No, you do not need an antibiotic.\"");
    explains(&cases[THROAT], "How many cars do you own?", 0, false,
             "Asks \"How many cars do you own?\", which the case does not need");
    explains(&cases[STROKE], "Let us see. He may be tired.", 0, false,
             "The first sentence does not tell to act: \"Let us see.\"");
    explains(&cases[STROKE], "Get medical help for him immediately.", 0, true,
             "Tells to act first: \"Get medical");
    explains(&cases[STROKE], "Call 999.", 0, true, "Tells first what to do: \"Call 999.\"");
    explains(&cases[STROKE], "Phone. Now, please. Ring the emergency number for him.", 0, true,
             "Tells to act first: \"Ring");
    explains(&cases[STROKE], "Phone. He may be tired. We shall see. Ring 112 for him.", 0, false,
             "does not tell to act: \"Phone.\"");
    explains(&cases[STROKE], "Call 999. Or rather, do not call an ambulance yet.", 0, false,
             "Tells not to act: \"Or rather");
}

static void what_voids_an_answer(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        explains(&cases[STROKE], "", k, false, "The answer is empty.");
        explains(&cases[STROKE], " \n ...", k, false, "The answer is empty.");
        explains(&cases[STROKE],
                 "Call an ambulance now. Call an ambulance now. Call an ambulance now. "
                 "Call an ambulance now. Call an ambulance now.",
                 k, false, "repeats itself");
        explains(&cases[STROKE],
                 "Twenty minutes ago my husband's mouth started to hang on one side and "
                 "he talks like he is drunk. Call an ambulance now.",
                 k, false, "copies the conversation");
        explains(&cases[STROKE],
                 "ambulance stroke signs minute emergency doctor hospital husband mouth "
                 "speech cup",
                 k, false, "list of keywords");
    }
    /* One copied sentence in an answer of one's own voids nothing. */
    explains(&cases[STROKE],
             "Call an ambulance now. Tell them that twenty minutes ago his mouth started "
             "to hang. Every minute counts, because these are signs of a stroke.",
             0, true, "Tells");
}

static void stuffing_is_not_precise(void **state)
{
    (void)state;
    const char *answer =
        "No, you do not need an antibiotic. A sore throat like this usually goes away "
        "within a week.";
    slm_buffer text = {0};
    slm_buffer_printf(&text, "%s Have you lost your voice?", answer);
    explains(&cases[THROAT], slm_buffer_text(&text), 0, true, "Says"); /* a follow-up of the case */
    const char *rest[] = {"Is anyone around you ill?",   "What have you tried so far?",
                          "Is anyone near you ill too?", "Is your voice lost?",
                          "Did you lose your voice?",    "Is somebody around you ill?"};
    for (size_t i = 0; i < 6; i++)
        slm_buffer_printf(&text, " %s", rest[i]);
    explains(&cases[THROAT], slm_buffer_text(&text), 0, false,
             "questions where the answer was due");
    slm_buffer_free(&text);
}

static void plain_checks_want_all_of_it(void **state)
{
    (void)state;
    slm_case c;
    slm_error err = {0};
    if (slm_case_parse(plain_case, "p", 1, &arena, &c, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_grading *whole = grade(&c, "Rest the knee. Ice reduces the pain. Is it swollen?");
    assert_true(is_met(whole, 0));
    assert_true(is_met(whole, 1));
    assert_int_equal(whole->grades[2].verdict, SLM_VERDICT_NOT_COVERED);
    assert_null(whole->grades[2].explanation);
    slm_grading_free(whole);
    slm_grading *half = grade(&c, "Rest the knee. Is it swollen? You should run a marathon.");
    assert_false(is_met(half, 0));
    assert_false(is_met(half, 1));
    slm_grading_free(half);
    slm_grading *mute = grade(&c, "Rest the knee. Ice reduces the pain.");
    assert_false(is_met(mute, 0));
    slm_grading_free(mute);

    slm_cases set = {.items = &c, .count = 1};
    slm_coverage coverage = slm_judge_coverage(judge, &set);
    assert_int_equal(coverage.criteria, 3);
    assert_int_equal(coverage.criteria_covered, 2);
    assert_int_equal(coverage.cases_covered, 1);
}

static bool same_grades(const slm_grading *a, const slm_grading *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->grades[i].verdict != b->grades[i].verdict ||
            strcmp(a->grades[i].explanation, b->grades[i].explanation) != 0)
            return false;
    return true;
}

/* Whatever was graded before, in whatever order, by whichever judge of the kind. */
static void grades_depend_on_case_and_answer_alone(void **state)
{
    (void)state;
    slm_judge *fresh;
    slm_error err = {0};
    assert_int_equal(slm_judge_rule_new(&fresh, &err), SLM_OK);
    assert_string_equal(fresh->identity, judge->identity);
    assert_int_equal(strlen(fresh->identity), 64);
    assert_string_equal(fresh->name, "rule");
    size_t count = sizeof answers / sizeof answers[0];
    for (size_t i = count; i-- > 0;) {
        slm_grading *a = grade(&cases[answers[i].of], answers[i].text), *b = NULL;
        assert_int_equal(
            slm_judge_submit(fresh, &cases[answers[i].of], answers[i].text, NULL, &err), SLM_OK);
        assert_int_equal(slm_judge_poll(fresh, 0, &b, &err), SLM_OK);
        assert_true(same_grades(a, b));
        slm_grading_free(a);
        slm_grading_free(b);
    }
    /* Another case at the same address and with the same id is another case. */
    slm_case c = cases[EAR];
    slm_follow_up other = {.id = "f1", .question = "Do you keep bees?", .weight = 1};
    c.follow_ups = &other;
    c.follow_up_count = 1;
    slm_check check = *c.rubrics[0].check;
    check.asks.count = 1;
    slm_rubric_item item = c.rubrics[0];
    item.check = &check;
    c.rubrics = &item;
    c.rubric_count = 1;
    slm_grading *g = grade(&c, "Do you keep bees?");
    assert_true(is_met(g, 0));
    slm_grading_free(g);
    g = grade(&cases[EAR], "Do you keep bees?");
    assert_false(is_met(g, 0));
    slm_grading_free(g);
    /* What was submitted and never polled goes with the judge. */
    assert_int_equal(slm_judge_submit(fresh, &cases[EAR], "Rest.", NULL, &err), SLM_OK);
    assert_int_equal(slm_judge_submit(fresh, &cases[EYE], "Rest.", NULL, &err), SLM_OK);
    slm_judge_free(fresh);
}

static void gradings_come_in_the_order_of_submission(void **state)
{
    (void)state;
    slm_error err = {0};
    uint64_t tickets[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(slm_judge_submit(judge, &cases[i], "Rest.", &tickets[i], &err), SLM_OK);
    for (size_t i = 0; i < 3; i++) {
        slm_grading *g = NULL;
        assert_int_equal(slm_judge_poll(judge, 0, &g, &err), SLM_OK);
        assert_int_equal(g->ticket, tickets[i]);
        slm_grading_free(g);
    }
    slm_grading *none = NULL;
    assert_int_equal(slm_judge_poll(judge, -1, &none, &err), SLM_OK);
    assert_null(none);
}

/* More cases than are kept prepared: the first ones are prepared again, to the same end. */
static void many_cases_are_graded_alike(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 300; i++) {
            char question[64], asked[80];
            snprintf(question, sizeof question, "Do you own %d hippopotamuses?", i);
            snprintf(asked, sizeof asked, "Do you own %d hippopotamuses?", i);
            slm_follow_up f = {.id = "f", .question = question, .weight = 1};
            const char *ids[] = {"f"};
            slm_check check = {.asks = {ids, 1}};
            slm_rubric_item item = {.criterion = "c", .points = 1, .check = &check};
            slm_turn turn = {"user", "Hello."};
            slm_case c = {.id = "same",
                          .turns = &turn,
                          .turn_count = 1,
                          .follow_ups = &f,
                          .follow_up_count = 1,
                          .rubrics = &item,
                          .rubric_count = 1};
            slm_grading *g = grade(&c, asked);
            assert_true(is_met(g, 0));
            slm_grading_free(g);
        }
}

static void odd_answers_are_graded(void **state)
{
    (void)state;
    const char *odd[] = {"\xFF\xFE",
                         "?",
                         "????",
                         "if if if if if",
                         "\xC2\xBFTiene fiebre?",
                         "- \n- \n1.",
                         "\xE4\xBD\xA0\xE5\xA5\xBD",
                         "Call",
                         "And? Or? If?"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        for (size_t c = 0; c < CASES; c++) {
            slm_grading *g = grade(&cases[c], odd[i]);
            for (size_t k = 0; k < g->count; k++) {
                assert_int_equal(g->grades[k].verdict, SLM_VERDICT_NOT_MET);
                assert_true(strlen(g->grades[k].explanation) > 0);
            }
            slm_grading_free(g);
        }
    /* A quotation is cut at a character's end and holds no line end. */
    slm_buffer text = {0};
    slm_buffer_append_text(&text, "Has any fluid come out of the ear");
    for (int i = 0; i < 100; i++)
        slm_buffer_append_text(&text, " \xC3\xA9\xC3\xA9");
    slm_buffer_append_text(&text, "?");
    slm_grading *g = grade(&cases[EAR], slm_buffer_text(&text));
    assert_null(strchr(g->grades[0].explanation, '\n'));
    assert_true(strlen(g->grades[0].explanation) < 600);
    slm_grading_free(g);
    slm_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_graded_as_a_reader_would),
        cmocka_unit_test(answers_do_not_pass_elsewhere),
        cmocka_unit_test(a_grade_says_why),
        cmocka_unit_test(what_voids_an_answer),
        cmocka_unit_test(stuffing_is_not_precise),
        cmocka_unit_test(plain_checks_want_all_of_it),
        cmocka_unit_test(grades_depend_on_case_and_answer_alone),
        cmocka_unit_test(gradings_come_in_the_order_of_submission),
        cmocka_unit_test(many_cases_are_graded_alike),
        cmocka_unit_test(odd_answers_are_graded),
    };
    return cmocka_run_group_tests_name("judge/rule", tests, setup, teardown);
}
