/* The matcher on labelled pairs, its guards by name, and sets: compound questions, advice, echo,
 * what is outside, one-to-one. */
#include "helpers.h"

#include "pairs.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* How many pairs are told right; each wrong one is printed, so a loss shows where it is. */
static size_t right_of(const char *name, slm_match_kind kind, const pair *pairs, size_t count)
{
    size_t right = 0, guarded = 0, hard = 0;
    for (size_t i = 0; i < count; i++) {
        slm_match_hit hit;
        bool same = slm_match_same(matcher, kind, pairs[i].target, pairs[i].text, &hit);
        right += same == pairs[i].same;
        hard += pairs[i].hard[0] != '\0';
        guarded += pairs[i].hard[0] != '\0' && !same;
        if (same != pairs[i].same)
            print_message("  %s (%.2f, %s): %s | %s\n", pairs[i].same ? "missed" : "false",
                          hit.score, slm_match_guard_name(hit.guard), pairs[i].target,
                          pairs[i].text);
    }
    print_message("%s: %zu of %zu right, %zu of %zu hard negatives\n", name, right, count, guarded,
                  hard);
    return right;
}

/* Measured: 111 of 113 and 74 of 75 with these in sight; 44 of 54 and 36 of 36 on the fresh. */
static void pairs_are_told_apart(void **state)
{
    (void)state;
    assert_true(COUNT(question_pairs) + COUNT(statement_pairs) + COUNT(fresh_question_pairs) +
                    COUNT(fresh_statement_pairs) >=
                270);
    assert_true(right_of("questions", SLM_MATCH_QUESTION, question_pairs, COUNT(question_pairs)) >=
                111);
    assert_true(
        right_of("statements", SLM_MATCH_STATEMENT, statement_pairs, COUNT(statement_pairs)) >= 74);
    assert_true(right_of("fresh questions", SLM_MATCH_QUESTION, fresh_question_pairs,
                         COUNT(fresh_question_pairs)) >= 44);
    assert_true(right_of("fresh statements", SLM_MATCH_STATEMENT, fresh_statement_pairs,
                         COUNT(fresh_statement_pairs)) >= 36);
}

static void a_text_is_the_same_as_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(question_pairs); i++)
        if (!slm_match_same(matcher, SLM_MATCH_QUESTION, question_pairs[i].target,
                            question_pairs[i].target, NULL))
            fail_msg("%s", question_pairs[i].target);
    for (size_t i = 0; i < COUNT(statement_pairs); i++)
        if (!slm_match_same(matcher, SLM_MATCH_STATEMENT, statement_pairs[i].target,
                            statement_pairs[i].target, NULL))
            fail_msg("%s", statement_pairs[i].target);
}

/* "Je" opens every question in Swahili, and says nothing of what is asked. */
static void an_opening_word_is_no_likeness(void **state)
{
    const char *const fever = "Je, una homa?";
    (void)state;
    assert_true(slm_match_same(matcher, SLM_MATCH_QUESTION, fever, "Je, una homa leo?", NULL));
    assert_false(slm_match_same(matcher, SLM_MATCH_QUESTION, fever,
                                "Je, umewahi kufanyiwa upasuaji?", NULL));
    assert_false(slm_match_same(matcher, SLM_MATCH_QUESTION, fever, "Je?", NULL));
}

static void guarded(slm_match_guard guard, slm_match_kind kind, const char *target,
                    const char *text)
{
    slm_match_hit hit;
    assert_false(slm_match_same(matcher, kind, target, text, &hit));
    if (hit.guard != guard)
        fail_msg("%s | %s: guard %s, not %s", target, text, slm_match_guard_name(hit.guard),
                 slm_match_guard_name(guard));
}

static void guards_say_which(void **state)
{
    (void)state;
    guarded(SLM_MATCH_GUARD_NEGATION, SLM_MATCH_STATEMENT, "Stop the tablets.",
            "Do not stop the tablets.");
    guarded(SLM_MATCH_GUARD_NEGATION, SLM_MATCH_QUESTION, "Does walking make the pain worse?",
            "Does walking make the pain better?");
    guarded(SLM_MATCH_GUARD_SUBJECT, SLM_MATCH_QUESTION, "Do you smoke?", "Does your wife smoke?");
    guarded(SLM_MATCH_GUARD_SIDE, SLM_MATCH_QUESTION, "Is the left knee swollen?",
            "Is the right knee swollen?");
    guarded(SLM_MATCH_GUARD_TIME, SLM_MATCH_QUESTION, "Are you pregnant?",
            "Are you planning to get pregnant?");
    guarded(SLM_MATCH_GUARD_ASPECT, SLM_MATCH_QUESTION,
            "How long have you had the severe headache?",
            "How often do you have the severe headache?");
    guarded(SLM_MATCH_GUARD_DRUG, SLM_MATCH_STATEMENT,
            "Take ibuprofen with plenty of water and food.",
            "Take metformin with plenty of water and food.");
    guarded(SLM_MATCH_GUARD_SITE, SLM_MATCH_QUESTION, "Is your wrist swollen and red?",
            "Is your ankle swollen and red?");
    guarded(SLM_MATCH_GUARD_IF, SLM_MATCH_STATEMENT, "Call an ambulance now.",
            "If he faints, call an ambulance.");
    assert_string_equal(slm_match_guard_name(SLM_MATCH_GUARD_NONE), "none");
}

static slm_match_set *make_set(const slm_match_target *targets, size_t count,
                               const char *background)
{
    return slm_match_set_new(matcher, targets, count, &background, background == NULL ? 0 : 1);
}

static void compound_questions_ask_each_part(void **state)
{
    (void)state;
    const slm_match_target targets[] = {{SLM_MATCH_QUESTION, "Do you have a fever?", NULL},
                                        {SLM_MATCH_QUESTION, "Have you vomited?", NULL},
                                        {SLM_MATCH_QUESTION, "Do you have a rash?", NULL},
                                        {SLM_MATCH_QUESTION, "Are you pregnant?", NULL}};
    slm_match_set *set = make_set(targets, 4, NULL);
    slm_match_text *text = read_text("Have you had a fever, a rash or any vomiting?");
    slm_match_found found = slm_match_find(set, text, &arena);
    assert_true(found.hits[0].met && found.hits[1].met && found.hits[2].met);
    assert_false(found.hits[3].met);
    assert_true(found.hits[3].sentence == SIZE_MAX);
    /* One question stands for one target when each counts once. */
    size_t standing = 0;
    for (size_t i = 0; i < 4; i++)
        standing += found.asked_by[i] != SIZE_MAX;
    assert_int_equal(standing, 1);
    text = read_text("Do you have a fever? Any rash?");
    found = slm_match_find(set, text, &arena);
    assert_int_equal(found.asked_by[0], 0);
    assert_int_equal(found.asked_by[2], 1);
    slm_match_set_free(set);
    slm_match_set_free(NULL);
}

/* Whether the text asks the first target before the second, by where it asks them. */
static bool asks_first(const char *text_bytes, const char *first, const char *second)
{
    const slm_match_target targets[] = {{SLM_MATCH_QUESTION, first, NULL},
                                        {SLM_MATCH_QUESTION, second, NULL}};
    slm_match_set *set = make_set(targets, 2, NULL);
    slm_match_text *text = read_text(text_bytes);
    slm_match_found found = slm_match_find(set, text, &arena);
    double at[2];
    for (size_t t = 0; t < 2; t++) {
        assert_true(found.hits[t].met);
        size_t sentence = found.hits[t].sentence;
        at[t] = slm_match_place(set, text, t, sentence);
        assert_true(at[t] >= (double)text->sentences[sentence].word_begin);
        assert_true(at[t] < (double)text->sentences[sentence].word_end);
    }
    slm_match_set_free(set);
    return at[0] < at[1];
}

static void places_are_in_the_order_asked(void **state)
{
    (void)state;
    static const char fever[] = "Do you have a fever?", rash[] = "Do you have a rash?";
    static const char ache[] = "Is your back pain worse at night?";
    static const char stiff[] = "Is the back pain worse in the morning?";
    assert_true(asks_first("Have you had a fever, a cough or any rash?", fever, rash));
    assert_false(asks_first("Have you had a rash, a cough or any fever?", fever, rash));
    assert_true(asks_first("Do you have a fever? Any rash?", fever, rash));
    assert_false(asks_first("Any rash? Do you have a fever?", fever, rash));
    /* Words that both have: they do not lead astray. */
    assert_true(asks_first("Is the back pain worse at night, or is the back pain worse in the "
                           "morning?",
                           ache, stiff));
    assert_false(asks_first("Is the back pain worse in the morning, or is the back pain worse at "
                            "night?",
                            ache, stiff));
}

static bool advises(const char *text)
{
    const slm_match_target target = {SLM_MATCH_ADVICE, "go to an emergency department",
                                     "the rash spreads or you get a stiff neck"};
    slm_match_set *set = make_set(&target, 1, NULL);
    bool met = slm_match_find(set, read_text(text), &arena).hits[0].met;
    slm_match_set_free(set);
    return met;
}

/* What to do first stands for all that is to be done, but not what comes behind it. */
static void advice_is_given_by_its_first_act(void **state)
{
    (void)state;
    const slm_match_target target = {
        SLM_MATCH_ADVICE,
        "call an ambulance, and keep the patient sitting upright until "
        "helpers arrive with their equipment",
        "the lips turn blue"};
    slm_match_set *set = make_set(&target, 1, NULL);
    assert_true(slm_match_find(set, read_text("If his lips go blue, send an ambulance."), &arena)
                    .hits[0]
                    .met);
    assert_false(
        slm_match_find(set, read_text("If his lips go blue, keep the patient warm."), &arena)
            .hits[0]
            .met);
    slm_match_set_free(set);
}

static void advice_wants_condition_and_consequence(void **state)
{
    (void)state;
    assert_true(advises("If the rash spreads, go to the emergency department."));
    assert_true(advises("Go to A&E if your neck becomes stiff or the rash is spreading."));
    assert_true(
        advises("Watch for a stiff neck or a spreading rash. If you notice these, go to the ER."));
    assert_true(
        advises("Go to the emergency department if:\n- you have a fever\n- you get a stiff neck"));
    assert_false(advises("The rash may spread. Go to the emergency department."));
    assert_false(advises("If the rash spreads, put cream on it."));
    assert_false(advises("If you get a cough, go to the emergency department."));
    assert_false(advises("If the rash spreads, do not go to the emergency department."));
    assert_false(advises("If the rash does not spread, go to the emergency department."));
}

static void harm_must_be_said_outright(void **state)
{
    (void)state;
    const char *harm = "Stop the warfarin.";
    assert_true(
        slm_match_same(matcher, SLM_MATCH_HARM, harm, "You should stop the warfarin today.", NULL));
    assert_false(slm_match_same(matcher, SLM_MATCH_HARM, harm, "Never stop the warfarin.", NULL));
    assert_false(slm_match_same(matcher, SLM_MATCH_HARM, harm,
                                "If you stop the warfarin, clots may form.", NULL));
    assert_false(slm_match_same(matcher, SLM_MATCH_HARM, harm, "Keep taking the warfarin.", NULL));
}

static void echo_is_no_evidence(void **state)
{
    (void)state;
    const char *said = "My doctor told me to take the iron with orange juice in the morning.";
    const slm_match_target target = {SLM_MATCH_STATEMENT, "Take the iron with orange juice.", NULL};
    slm_match_set *set = make_set(&target, 1, said);
    slm_match_text *text =
        read_text("My doctor told me to take the iron with orange juice. It is so.");
    slm_match_found found = slm_match_find(set, text, &arena);
    assert_true(found.echo[0]);
    assert_false(found.echo[1]);
    assert_false(found.hits[0].met);
    found =
        slm_match_find(set, read_text("Orange juice helps, so have your iron with it."), &arena);
    assert_false(found.echo[0]);
    slm_match_set_free(set);
}

static void questions_beside_the_point_are_outside(void **state)
{
    (void)state;
    const slm_match_target target = {SLM_MATCH_QUESTION, "Is the knee swollen?", NULL};
    slm_match_set *set = make_set(&target, 1, "My knee hurts.");
    slm_match_text *text =
        read_text("Is your knee swollen? What car do you drive? Does that help? "
                  "Rest it. What causes arthritis in most countries? Do you know?");
    slm_match_found found = slm_match_find(set, text, &arena);
    const bool outside[] = {false, true, false, false, false, false};
    assert_int_equal(text->sentence_count, 6);
    for (size_t i = 0; i < 6; i++)
        if (slm_match_is_outside(&found, text, i) != outside[i])
            fail_msg("%.*s", (int)text->sentences[i].len, text->sentences[i].text);
    slm_match_set_free(set);
}

static void the_same_whatever_came_before(void **state)
{
    (void)state;
    const slm_match_target targets[] = {{SLM_MATCH_QUESTION, "Do you have allergies?", NULL},
                                        {SLM_MATCH_STATEMENT, "Allergies are common.", NULL}};
    slm_match_set *set = make_set(targets, 2, NULL), *other = make_set(targets, 2, NULL);
    const char *asked = "Are you allergic to anything?";
    double first = slm_match_find(set, read_text(asked), &arena).hits[0].score;
    for (int i = 0; i < 3000; i++) { /* more words than are remembered */
        char text[64];
        snprintf(text, sizeof text, "word%dx other%dy allergolog%d?", i, i, i);
        slm_match_find(set, read_text(text), &arena);
        if (i % 100 == 0) slm_arena_reset(&arena);
    }
    assert_true(slm_match_find(set, read_text(asked), &arena).hits[0].score == first);
    assert_true(slm_match_find(other, read_text(asked), &arena).hits[0].score == first);
    assert_true(first > 0.6);
    slm_match_set_free(set);
    slm_match_set_free(other);
}

static void identity_is_stable(void **state)
{
    (void)state;
    slm_matcher *again = slm_matcher_new();
    assert_int_equal(strlen(slm_matcher_identity(matcher)), 64);
    assert_string_equal(slm_matcher_identity(matcher), slm_matcher_identity(again));
    slm_matcher_free(again);
    slm_matcher_free(NULL);
}

static void empty_sets_and_texts(void **state)
{
    (void)state;
    slm_match_set *none = make_set(NULL, 0, NULL);
    slm_match_found found = slm_match_find(none, read_text("Do you smoke? Rest."), &arena);
    assert_true(slm_match_is_outside(&found, read_text("Do you smoke? Rest."), 0));
    slm_match_set_free(none);
    const slm_match_target targets[] = {{SLM_MATCH_QUESTION, "", NULL},
                                        {SLM_MATCH_STATEMENT, "the of and", NULL},
                                        {SLM_MATCH_ADVICE, "", ""},
                                        {SLM_MATCH_HARM, "???", NULL}};
    slm_match_set *blank = make_set(targets, 4, "");
    found = slm_match_find(blank, read_text("If the of and, is it so? The of and."), &arena);
    for (size_t i = 0; i < 4; i++)
        assert_false(found.hits[i].met); /* nothing says nothing */
    found = slm_match_find(blank, read_text(""), &arena);
    assert_false(found.hits[0].met);
    slm_match_set_free(blank);
}

static void other_languages_match_by_their_letters(void **state)
{
    (void)state;
    assert_true(slm_match_same(matcher, SLM_MATCH_QUESTION,
                               "\xC2\xBFTienes fiebre o escalofr\xC3\xADos?",
                               "\xC2\xBFHas tenido fiebre?", NULL));
    assert_false(slm_match_same(matcher, SLM_MATCH_QUESTION, "\xC2\xBFTienes fiebre?",
                                "\xC2\xBFTomas anticonceptivos?", NULL));
    assert_true(slm_match_same(
        matcher, SLM_MATCH_QUESTION, "\xE4\xBD\xA0\xE5\x8F\x91\xE7\x83\xA7\xE5\x90\x97\xEF\xBC\x9F",
        "\xE4\xBD\xA0\xE5\x8F\x91\xE7\x83\xA7\xE4\xBA\x86\xE5\x90\x97\xEF\xBC\x9F", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_told_apart),
        cmocka_unit_test(a_text_is_the_same_as_itself),
        cmocka_unit_test(an_opening_word_is_no_likeness),
        cmocka_unit_test(guards_say_which),
        cmocka_unit_test(compound_questions_ask_each_part),
        cmocka_unit_test(places_are_in_the_order_asked),
        cmocka_unit_test(advice_wants_condition_and_consequence),
        cmocka_unit_test(advice_is_given_by_its_first_act),
        cmocka_unit_test(harm_must_be_said_outright),
        cmocka_unit_test(echo_is_no_evidence),
        cmocka_unit_test(questions_beside_the_point_are_outside),
        cmocka_unit_test(the_same_whatever_came_before),
        cmocka_unit_test(identity_is_stable),
        cmocka_unit_test(empty_sets_and_texts),
        cmocka_unit_test(other_languages_match_by_their_letters),
    };
    return cmocka_run_group_tests_name("match/match", tests, make_matcher, free_matcher);
}
