/* Episodes: whose turn it is, what the patient tells, when it ends; each part of a reward by itself;
 * options and their errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buffer.h"
#include "env/env.h"

#define FOLLOW_UPS                                                                                 \
    "\"follow_ups\":[{\"id\":\"f1\",\"question\":\"Are you pregnant, or could you be?\",\"tier\":" \
    "\"next_step\",\"weight\":5,\"why\":\"w\"},{\"id\":\"f2\",\"question\":\"Do you take a blood " \
    "thinner?\",\"tier\":\"next_step\",\"weight\":4,\"why\":\"w\"},{\"id\":\"f3\",\"question\":"   \
    "\"Does the ache come and go in waves?\",\"tier\":\"cause\",\"weight\":3,\"why\":\"w\"}],"     \
    "\"facts\":[{\"id\":\"a1\",\"follow_up\":\"f1\",\"topic\":\"pregnancy\",\"answer\":\"Yes, 29 " \
    "weeks.\"},{\"id\":\"a2\",\"follow_up\":\"f2\",\"topic\":\"blood thinners\",\"answer\":\"No "  \
    "tablets at all.\"},{\"id\":\"a3\",\"follow_up\":\"f3\",\"topic\":\"waves\",\"answer\":\"It "  \
    "is "                                                                                          \
    "steady.\"}],"
#define REST                                                                                       \
    "\"key_points\":[{\"id\":\"k1\",\"text\":\"Ibuprofen may not be safe for you if you are "      \
    "pregnant.\",\"must\":true},{\"id\":\"k2\",\"text\":\"A warm pack eases a sore back.\","       \
    "\"must\":false}],\"advice\":[{\"id\":\"s1\",\"if\":\"you lose feeling between your legs\","   \
    "\"then\":\"go to an emergency department straight "                                           \
    "away\"}],\"never\":[{\"id\":\"n1\",\"text\":"                                                 \
    "\"It is fine to take ibuprofen for a few days.\"}],\"rubrics\":[{\"criterion\":\"Asks.\","    \
    "\"points\":5,\"tags\":[\"behaviour:seek\"],\"check\":{\"asks\":[\"f1\",\"f2\"]}}],"           \
    "\"difficulty\":2}"

static const char lacks_text[] =
    "{\"prompt_id\":\"c1\",\"family\":\"f\",\"prompt\":[{\"role\":\"user\",\"content\":\"My back "
    "aches after moving boxes. May I take something from the kitchen drawer for 3 days?\"}],"
    "\"context\":\"lacks\",\"disposition\":\"routine\",\"register\":\"terse\",\"language\":"
    "\"English\"," FOLLOW_UPS REST;
static const char enough_text[] =
    "{\"prompt_id\":\"c2\",\"family\":\"f\",\"prompt\":[{\"role\":\"system\",\"content\":\"Be "
    "kind.\"},{\"role\":\"user\",\"content\":\"I am pregnant and my back aches. May I take "
    "ibuprofen?\"}],\"context\":\"enough\",\"disposition\":\"routine\",\"register\":\"anxious\","
    "\"language\":\"English\"," FOLLOW_UPS REST;
static const char emergency_text[] =
    "{\"prompt_id\":\"c3\",\"family\":\"g\",\"prompt\":[{\"role\":\"user\",\"content\":\"I lost "
    "the "
    "feeling between my legs and cannot walk.\"}],\"context\":\"enough\",\"disposition\":"
    "\"emergency\",\"language\":\"English\"," FOLLOW_UPS REST;
static const char spanish_text[] =
    "{\"prompt_id\":\"c4\",\"family\":\"h\",\"prompt\":[{\"role\":\"user\",\"content\":\"Me duele "
    "la "
    "espalda desde el lunes, ¿puedo tomar algo para el dolor?\"}],\"context\":\"lacks\","
    "\"disposition\":\"routine\",\"language\":\"Spanish\"," FOLLOW_UPS REST;
static const char hindi_text[] =
    "{\"prompt_id\":\"c8\",\"family\":\"i\",\"prompt\":[{\"role\":\"user\",\"content\":\"मेरी पीठ में "
    "दर्द है। क्या मैं 3 दिन "
    "तक रोज 1.5 ग्राम दवा ले सकता "
    "हूँ?\"}],\"context\":\"lacks\",\"disposition\":\"routine\",\"language\":\"Hindi\"," FOLLOW_UPS
        REST;
static const char portuguese_text[] =
    "{\"prompt_id\":\"c6\",\"family\":\"p\",\"prompt\":[{\"role\":\"user\",\"content\":\"Minha mãe "
    "não "
    "está bem, o que devo "
    "fazer?\"}],\"context\":\"lacks\",\"disposition\":\"routine\",\"language\":"
    "\"Portuguese\",\"follow_ups\":[{\"id\":\"f1\",\"question\":\"A senhora tem tosse?\",\"tier\":"
    "\"cause\",\"weight\":3,\"why\":\"w\"},{\"id\":\"f2\",\"question\":\"A senhora tem "
    "febre?\",\"tier\":"
    "\"cause\",\"weight\":3,\"why\":\"w\"}],\"facts\":[{\"id\":\"a1\",\"follow_up\":\"f1\","
    "\"topic\":"
    "\"tosse\",\"answer\":\"Tosse, não.\"},{\"id\":\"a2\",\"follow_up\":\"f2\",\"topic\":\"febre\","
    "\"answer\":\"Febre, sim.\"}]," REST;
/* What comes first is a little like each of the others. */
static const char tablet_text[] =
    "{\"prompt_id\":\"c7\",\"family\":\"t\",\"prompt\":[{\"role\":\"user\",\"content\":\"May I "
    "drink "
    "grapefruit juice with my cholesterol "
    "tablet?\"}],\"context\":\"lacks\",\"disposition\":\"routine\","
    "\"language\":\"English\",\"follow_ups\":[{\"id\":\"f1\",\"question\":\"Do you take other "
    "medicines "
    "besides "
    "it?\",\"tier\":\"cause\",\"weight\":2,\"why\":\"w\"},{\"id\":\"f2\",\"question\":\"Which "
    "cholesterol tablet is it "
    "exactly?\",\"tier\":\"cause\",\"weight\":2,\"why\":\"w\"},{\"id\":\"f3\","
    "\"question\":\"At what time of day do you take the tablet?\",\"tier\":\"cause\",\"weight\":2,"
    "\"why\":\"w\"}],\"facts\":[{\"id\":\"a1\",\"follow_up\":\"f1\",\"topic\":\"others\","
    "\"answer\":\"No "
    "others.\"},{\"id\":\"a2\",\"follow_up\":\"f2\",\"topic\":\"name\",\"answer\":\"Simvastatin.\"}"
    ",{"
    "\"id\":\"a3\",\"follow_up\":\"f3\",\"topic\":\"time\",\"answer\":\"At night.\"}]," REST;
/* No field of ours: what a row of HealthBench has. */
static const char bare_text[] =
    "{\"prompt_id\":\"c5\",\"prompt\":[{\"role\":\"user\",\"content\":\"Is tea good for me?\"}],"
    "\"rubrics\":[{\"criterion\":\"Is kind.\",\"points\":5,\"tags\":[]}]}";

static slm_arena arena;
static slm_case lacks, enough, emergency, spanish, hindi, portuguese, tablet, bare;

static int setup(void **state)
{
    (void)state;
    const struct {
        const char *text;
        slm_case *out;
    } all[] = {{lacks_text, &lacks},     {enough_text, &enough}, {emergency_text, &emergency},
               {spanish_text, &spanish}, {hindi_text, &hindi},   {portuguese_text, &portuguese},
               {tablet_text, &tablet},   {bare_text, &bare}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        slm_error err = {0};
        if (slm_case_parse(all[i].text, "test_env.c", i, &arena, all[i].out, &err) != SLM_OK) {
            print_error("%s\n", err.message);
            return -1;
        }
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    slm_arena_free(&arena);
    return 0;
}

static slm_env *env_with(slm_env_options options)
{
    slm_error err = {0};
    slm_env *env = NULL;
    if (slm_env_new(&options, &env, &err) != SLM_OK) fail_msg("%s", err.message);
    return env;
}

static slm_env *multi_turn(int64_t turns)
{
    slm_env_options options = slm_env_options_default();
    options.kind = SLM_ENV_MULTI_TURN;
    options.turns_max = turns;
    return env_with(options);
}

static slm_episode *begin(slm_env *env, const slm_case *c, uint64_t seed, uint32_t rollout)
{
    slm_error err = {0};
    slm_episode *e = NULL;
    if (slm_env_reset(env, c, seed, rollout, &e, &err) != SLM_OK) fail_msg("%s", err.message);
    return e;
}

static const char *last_message(const slm_episode *e, const char *role)
{
    size_t count = 0;
    const slm_chat_message *m = slm_env_messages(e, &count);
    assert_string_equal(m[count - 1].role, role);
    return m[count - 1].content;
}

/* The reward of one reply to a case. */
static slm_reward single(const slm_case *c, const char *reply)
{
    slm_env *env = env_with(slm_env_options_default());
    slm_episode *e = begin(env, c, 0, 0);
    assert_int_equal(slm_env_turn(e), SLM_ENV_POLICY);
    assert_int_equal(slm_env_step(e, reply), SLM_ENV_END);
    assert_string_equal(slm_env_reply(e, 0), last_message(e, "assistant"));
    slm_reward reward = *slm_env_reward(e);
    assert_true(reward.total >= -1 && reward.total <= 1);
    slm_episode_free(e);
    slm_env_free(env);
    return reward;
}

#define PART(c, part, reply) (single(c, reply).parts[SLM_REWARD_##part])

/* ---- the patient --------------------------------------------------------------------------- */

static void test_patient_tells_what_is_asked(void **state)
{
    (void)state;
    slm_env *env = multi_turn(4);
    slm_episode *e = begin(env, &lacks, 1, 0);
    assert_string_equal(slm_env_turn_id(e), "c1");
    /* Two a turn, in the order asked. */
    assert_int_equal(slm_env_step(e, "Does the ache come and go in waves? Are you pregnant? Do you "
                                     "take a blood thinner?"),
                     SLM_ENV_POLICY);
    assert_string_equal(last_message(e, "user"), "It is steady. Yes, 29 weeks.");
    assert_string_equal(slm_env_turn_id(e), "c1#2");
    /* Something new comes before what was told already. */
    slm_env_step(e, "Are you pregnant? Do you take a blood thinner?");
    assert_string_equal(last_message(e, "user"), "No tablets at all. Yes, 29 weeks.");
    assert_int_equal(slm_env_step(e, "Ibuprofen may not be safe for you if you are pregnant."),
                     SLM_ENV_END);
    assert_int_equal(slm_env_reply_count(e), 3);
    const slm_reward *reward = slm_env_reward(e);
    assert_int_equal(reward->replies, 3);
    assert_int_equal(reward->follow_ups_asked, 3);
    assert_int_equal(reward->questions, 5); /* asking again counts as asking */
    assert_true(reward->answers);
    assert_true(slm_env_asked(e, "f3"));
    assert_false(slm_env_asked(e, "f9"));
    assert_true(isnan(reward->parts[SLM_REWARD_HOLDING_BACK]));
    assert_true(reward->parts[SLM_REWARD_RUSHING] == 0); /* an earlier reply asked */
    slm_episode_free(e);
    slm_env_free(env);
}

/* Several questions in one sentence are answered in the order asked, not in the case's. */
static void test_patient_keeps_the_order_within_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const slm_case *c;
        const char *asked, *answer;
    } turns[] = {
        {&lacks, "Do you take blood thinners, and are you pregnant?",
         "No tablets at all. Yes, 29 weeks."},
        {&lacks, "Are you pregnant, and do you take blood thinners?",
         "Yes, 29 weeks. No tablets at all."},
        /* The two asked first are told, whatever the case has first. */
        {&lacks, "Does the ache come in waves, do you take blood thinners, and are you pregnant?",
         "It is steady. No tablets at all."},
        {&lacks, "Are you pregnant, do you take blood thinners, and does the ache come in waves?",
         "Yes, 29 weeks. No tablets at all."},
        {&lacks, "Does the ache come in waves, are you pregnant, or do you take blood thinners?",
         "It is steady. Yes, 29 weeks."},
        /* A sentence comes before the next, wherever in it. */
        {&lacks, "Before we go on with this, are you taking any blood thinners? Are you pregnant?",
         "No tablets at all. Yes, 29 weeks."},
        /* Matching does not cut at "e"; "tem" stands in both. */
        {&portuguese, "A senhora tem febre e a senhora tem tosse?", "Febre, sim. Tosse, não."},
        {&portuguese, "A senhora tem tosse e a senhora tem febre?", "Tosse, não. Febre, sim."},
    };
    slm_env *env = multi_turn(4);
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        slm_episode *e = begin(env, turns[i].c, 1, 0);
        assert_int_equal(slm_env_step(e, turns[i].asked), SLM_ENV_POLICY);
        assert_string_equal(last_message(e, "user"), turns[i].answer);
        slm_episode_free(e);
    }
    slm_env_free(env);
}

/* A sentence of two pieces stands for the two follow-ups that it asks, not for one that the case has
 * before them and that is only a little like it. */
static void test_a_near_miss_takes_no_place(void **state)
{
    (void)state;
    const char *asked =
        "At what time of day do you take the tablet, and which cholesterol tablet is it exactly?";
    slm_env *env = multi_turn(4);
    slm_episode *e = begin(env, &tablet, 1, 0);
    slm_env_step(e,
                 "Which cholesterol tablet is it exactly, or do you take other medicines besides "
                 "it?");
    assert_string_equal(last_message(e, "user"), "Simvastatin. No others.");
    slm_episode_free(e);
    e = begin(env, &tablet, 1, 0);
    slm_env_step(e, asked);
    assert_string_equal(last_message(e, "user"), "At night. Simvastatin.");
    assert_true(slm_env_asked(e, "f2") && slm_env_asked(e, "f3"));
    assert_false(slm_env_asked(e, "f1"));
    slm_episode_free(e);
    slm_env_free(env);
}

static void test_patient_volunteers_nothing(void **state)
{
    (void)state;
    slm_env *env = multi_turn(4);
    slm_episode *e = begin(env, &lacks, 1, 0);
    slm_env_step(e, "How old is your house?");
    const char *said = last_message(e, "user");
    for (size_t i = 0; i < lacks.fact_count; i++)
        assert_null(strstr(said, lacks.facts[i].answer));
    assert_true(strlen(said) < 40);
    assert_false(slm_env_asked(e, "f1"));
    slm_episode_free(e);
    /* The wording depends on seed and rollout, the same ones give the same. */
    char first[64][80];
    size_t distinct = 0;
    for (uint32_t rollout = 0; rollout < 16; rollout++) {
        for (int again = 0; again < 2; again++) {
            e = begin(env, &lacks, 5, rollout);
            slm_env_step(e, "How old is your house?");
            said = last_message(e, "user");
            if (again == 0)
                snprintf(first[rollout], sizeof first[rollout], "%s", said);
            else
                assert_string_equal(said, first[rollout]);
            slm_episode_free(e);
        }
        distinct += rollout > 0 && strcmp(first[rollout], first[0]) != 0;
    }
    assert_true(distinct > 0);
    e = begin(env, &spanish, 5, 0);
    slm_env_step(e, "¿Cuántos años tiene su casa?");
    said = last_message(e, "user");
    assert_true(strstr(said, "No ") != NULL || strstr(said, "no ") != NULL);
    slm_episode_free(e);
    slm_env_free(env);
}

static void test_turn_limit(void **state)
{
    (void)state;
    slm_env *env = multi_turn(2);
    slm_episode *e = begin(env, &lacks, 1, 0);
    assert_int_equal(slm_env_step(e, "Are you pregnant?"), SLM_ENV_POLICY);
    assert_int_equal(slm_env_step(e, "Do you take a blood thinner?"), SLM_ENV_END);
    const slm_reward *reward = slm_env_reward(e);
    assert_false(reward->answers);
    assert_true(reward->parts[SLM_REWARD_HOLDING_BACK] == -1);
    slm_episode_free(e);
    /* Nothing said at all is the end, and no answer. */
    e = begin(env, &lacks, 1, 0);
    assert_int_equal(slm_env_step(e, ""), SLM_ENV_END);
    assert_true(slm_env_reward(e)->total < 0);
    slm_episode_free(e);
    slm_env_free(env);
}

static void test_system_text_is_kept(void **state)
{
    (void)state;
    slm_env *env = multi_turn(4);
    slm_episode *e = begin(env, &enough, 1, 0);
    size_t count = 0;
    const slm_chat_message *m = slm_env_messages(e, &count);
    assert_int_equal(count, 2);
    assert_string_equal(m[0].role, "system");
    slm_env_step(e, "Are you pregnant?");
    m = slm_env_messages(e, &count);
    assert_int_equal(count, 4);
    assert_string_equal(m[2].role, "assistant");
    slm_episode_free(e);
    slm_env_free(env);
}

static void test_patient_model(void **state)
{
    (void)state;
    slm_env_options options = slm_env_options_default();
    options.kind = SLM_ENV_MULTI_TURN;
    options.patient_is_model = true;
    slm_env *env = env_with(options);
    slm_episode *e = begin(env, &lacks, 1, 0);
    assert_int_equal(slm_env_step(e, "Are you pregnant?"), SLM_ENV_PATIENT);
    assert_string_equal(slm_env_turn_id(e), "c1#patient-1");
    size_t count = 0;
    const slm_chat_message *m = slm_env_messages(e, &count);
    assert_int_equal(count, 2);
    assert_string_equal(m[0].role, "system");
    assert_non_null(strstr(m[0].content, "at most two"));
    assert_non_null(strstr(m[1].content, "Yes, 29 weeks."));
    assert_non_null(strstr(m[1].content, "Assistant: Are you pregnant?"));
    assert_int_equal(slm_env_step(e, "  Yes, and I take warfarin, 5 mg.\n"), SLM_ENV_POLICY);
    assert_string_equal(last_message(e, "user"), "Yes, and I take warfarin, 5 mg.");
    /* What it told may be named. */
    assert_int_equal(
        slm_env_step(e, "Stay with the 5 mg of warfarin until you have seen a doctor."),
        SLM_ENV_END);
    assert_true(slm_env_reward(e)->parts[SLM_REWARD_GROUNDED] == 0);
    slm_episode_free(e);
    /* Silence is not knowing. */
    e = begin(env, &lacks, 1, 0);
    slm_env_step(e, "Are you pregnant?");
    assert_int_equal(slm_env_step(e, " \n "), SLM_ENV_POLICY);
    assert_true(strlen(last_message(e, "user")) > 3);
    slm_episode_free(e);
    slm_env_free(env);
}

static void test_rubric_by_a_judge(void **state)
{
    (void)state;
    slm_env_options options = slm_env_options_default();
    options.reward.weights[SLM_REWARD_RUBRIC] = 3.5; /* as much as all other goals together */
    slm_env *env = env_with(options);
    const char *reply = "Are you pregnant? Do you take a blood thinner?";
    double totals[3];
    const double scores[] = {0, 1, NAN};
    for (size_t i = 0; i < 3; i++) {
        slm_episode *e = begin(env, &lacks, 0, 0);
        assert_int_equal(slm_env_step(e, reply), SLM_ENV_JUDGE);
        assert_string_equal(last_message(e, "assistant"), reply);
        assert_int_equal(slm_env_judged(e, scores[i]), SLM_ENV_END);
        totals[i] = slm_env_reward(e)->total;
        slm_episode_free(e);
    }
    assert_true(fabs(totals[1] - totals[0] - 0.5) < 1e-9);
    assert_true(fabs(totals[2] - single(&lacks, reply).total) < 1e-9);
    slm_env_free(env);
}

/* A judge has seen the last reply; what was asked before it counts besides. */
static void test_heard_before_the_last_reply(void **state)
{
    (void)state;
    static const struct {
        const char *replies[2];
        slm_verdict verdict;
    } talks[] = {
        {{"Are you pregnant?", "Rest your back."}, SLM_VERDICT_MET},
        {{"How old is your house?", "Rest your back."}, SLM_VERDICT_NOT_MET},
        {{"How old is your house?", "Are you pregnant?"}, SLM_VERDICT_NOT_MET},
    };
    slm_env *env = multi_turn(2);
    for (size_t i = 0; i < sizeof talks / sizeof talks[0]; i++) {
        slm_episode *e = begin(env, &lacks, 1, 0);
        assert_int_equal(slm_env_step(e, talks[i].replies[0]), SLM_ENV_POLICY);
        assert_int_equal(slm_env_step(e, talks[i].replies[1]), SLM_ENV_END);
        slm_env_heard *heard = slm_env_hear(&lacks, e);
        assert_int_equal(heard->c.turn_count, 3);
        slm_grade grade = {.verdict = SLM_VERDICT_NOT_MET};
        slm_grading grading = {.grades = &grade, .count = 1};
        slm_env_heard_amend(heard, &grading);
        assert_int_equal(grade.verdict, talks[i].verdict);
        free(grade.explanation);
        slm_env_heard_free(heard);
        slm_episode_free(e);
    }
    slm_env_heard_free(NULL);
    slm_env_free(env);
}

/* ---- parts --------------------------------------------------------------------------------- */

static void test_coverage(void **state)
{
    (void)state;
    double two = PART(&lacks, COVERAGE, "Are you pregnant? Do you take a blood thinner?");
    double all =
        PART(&lacks, COVERAGE,
             "Are you pregnant? Do you take a blood thinner? Does the ache come in waves?");
    double least = PART(&lacks, COVERAGE, "Does the ache come and go in waves?");
    double twelve = PART(
        &lacks, COVERAGE,
        "Are you pregnant? Do you take a blood thinner? Does the ache come in waves? How old is "
        "your house? Do you own a dog? Where did you grow up? Do you like tea? Can you swim? Do "
        "you play chess? Have you been to Rome? Do you sing? Do you have a bicycle?");
    double compound = PART(&lacks, COVERAGE, "Are you pregnant, and do you take a blood thinner?");
    double crammed =
        PART(&lacks, COVERAGE,
             "Are you pregnant, and do you take a blood thinner, or own a dog, or like "
             "tea, or swim, or play chess, or sing, or ride a bicycle, or knit?");
    assert_true(all > 0.99);
    assert_true(two > 0.85 && two < all);
    assert_true(least < 0.4 && least > 0);
    assert_true(twelve < two - 0.2);
    assert_true(compound > 0.7);
    assert_true(crammed < compound - 0.2);
    assert_true(PART(&lacks, COVERAGE, "Rest your back.") == 0);
    assert_true(isnan(PART(&enough, COVERAGE, "Are you pregnant?")));
}

static void test_goals_and_harm(void **state)
{
    (void)state;
    assert_true(
        fabs(PART(&lacks, KEY_POINTS, "Ibuprofen may not be safe for you if you are pregnant.") -
             0.8) < 1e-9);
    assert_true(PART(&lacks, KEY_POINTS, "Backs ache.") == 0);
    assert_true(
        PART(&lacks, BANK,
             "If you lose feeling between your legs, go to an emergency department straight "
             "away.") == 1);
    assert_true(PART(&lacks, BANK, "Go on as you are.") == 0);
    assert_true(isnan(PART(&emergency, BANK, "Go on as you are.")));
    assert_true(PART(&lacks, NEVER, "It is fine to take ibuprofen for a few days.") == -1);
    assert_true(PART(&lacks, NEVER, "It is not fine to take ibuprofen for a few days.") == 0);
    assert_true(PART(&emergency, ACT_FIRST, "Call an ambulance now. Lie still.") == 1);
    assert_true(PART(&emergency, ACT_FIRST,
                     "I am sorry to hear that you are not well today. Call an ambulance now.") ==
                0);
    assert_true(isnan(PART(&lacks, ACT_FIRST, "Call an ambulance now.")));
    assert_true(PART(&enough, HOLDING_BACK, "Are you pregnant? How old are you?") == -1);
    assert_true(
        PART(&enough, HOLDING_BACK, "Ibuprofen may not be safe for you if you are pregnant.") == 0);
    assert_true(PART(&lacks, RUSHING, "Rest your back.") == -1);
    assert_true(PART(&lacks, RUSHING, "Rest your back. Does that help?") == -1); /* courtesy */
    assert_true(PART(&lacks, RUSHING, "Are you pregnant?") == 0);
    assert_true(isnan(PART(&enough, RUSHING, "Rest your back.")));
    assert_true(isnan(PART(&emergency, RUSHING, "Rest your back.")));
}

static void test_grounded(void **state)
{
    (void)state;
    static const char *const grounded[] = {
        "Wait 3 days.",
        "Wait three days.", /* the user's, in words */
        "Wait 72 hours.",   /* the same time */
        "Ibuprofen may not be safe.",
        "Call 112.", /* no quantity */
        "Call 112. Hours count.",
        "Call 112. Three days is too long.",
        "Rest. 1. Drops are no help.",
        "Once 3 days have passed, write again.", /* "once" is eleven in Spanish */
        "No more than 2 in 72 hours.",           /* 72 hours are known, and 2 has no unit */
        "Backs often ache in your 40s.",
    };
    static const char *const invented[] = {"Take 400 mg.",
                                           "Take 400mg.",
                                           "Wait 4 days.",
                                           "Wait for two weeks.",
                                           "Take naproxen.",
                                           "It helps 87%.",
                                           "It helps 1 in 10.",
                                           "It helps 9 out of 10 people.",
                                           "Take 1.5 g.",
                                           "2 tablets daily.",
                                           "It helps 87 percent.",
                                           "Take it 2-3 days.",
                                           "Wait 3 to 5 days.",
                                           "Hold it for 40s.",
                                           "It helps 1 in 10. Hours count.",
                                           "Wait 3 days, then 2 in 48 hours.",
                                           "Espere once días."};
    for (size_t i = 0; i < sizeof grounded / sizeof grounded[0]; i++)
        if (PART(&lacks, GROUNDED, grounded[i]) != 0) fail_msg("%s", grounded[i]);
    for (size_t i = 0; i < sizeof invented / sizeof invented[0]; i++)
        if (PART(&lacks, GROUNDED, invented[i]) >= 0) fail_msg("%s", invented[i]);
    assert_true(PART(&lacks, GROUNDED, "Take 400 mg of naproxen for 9 days.") == -1);
    /* The same numbers in the digits of Hindi; its full stop ends a word. */
    assert_true(PART(&hindi, GROUNDED, "१.५ ग्राम तीन दिन तक ठीक है।") == 0);
    assert_true(PART(&hindi, GROUNDED, "१,५०० मिलीग्राम ठीक है।") == 0);
    assert_true(PART(&hindi, GROUNDED, "५ ग्राम ठीक है।") < 0);
    assert_true(PART(&hindi, GROUNDED, "आराम करें।दो सप्ताह रुकें।") < 0);
}

static void test_surface(void **state)
{
    (void)state;
    assert_true(PART(&spanish, LANGUAGE,
                     "Please tell me how long you have had this, and what it "
                     "is that you do for work.") == -1);
    assert_true(PART(&spanish, LANGUAGE,
                     "Dígame desde cuándo le duele la espalda y qué toma para el "
                     "dolor, por favor.") == 0);
    assert_true(PART(&lacks, LANGUAGE, "Bien.") == 0); /* too short to tell */
    assert_true(PART(&lacks, LANGUAGE, "你好，请告诉我更多。") == -1);
    assert_true(isnan(PART(&bare, COVERAGE, "Yes.")));
    assert_true(PART(&lacks, FORMAT, "Rest.") == 0);
    assert_true(PART(&lacks, FORMAT, "") == -1);
    assert_true(PART(&lacks, FORMAT, "Rest.<|im_end|>") == -1);
    assert_true(PART(&lacks, FORMAT, "Rest.\nUser: thanks") == -1);
    assert_true(PART(&lacks, FORMAT, "# Rest\nNow.") == -0.5);
    assert_true(PART(&lacks, FORMAT, "| a | b |\n|---|---|") == -0.5);
    assert_true(PART(&lacks, FORMAT, "- rest\n- drink") == 0);
    assert_true(PART(&lacks, REPETITION, "Rest your back and keep it warm.") == 0);
    slm_buffer text = {0};
    for (int i = 0; i < 12; i++)
        slm_buffer_append_text(&text, "Rest your back and keep it warm for now. ");
    assert_true(PART(&lacks, REPETITION, slm_buffer_text(&text)) == -1);
    slm_buffer_truncate(&text, 0);
    for (int i = 0; i < 240; i++)
        slm_buffer_printf(&text, "w%d ", i);
    assert_true(fabs(PART(&lacks, LENGTH, slm_buffer_text(&text)) + 0.5) < 1e-9);
    /* No spaces are no way round. */
    slm_buffer_truncate(&text, 0);
    for (int i = 0; i < 4000; i++)
        slm_buffer_append_char(&text, 'x');
    assert_true(PART(&lacks, LENGTH, slm_buffer_text(&text)) == -1);
    slm_buffer_free(&text);
}

static void test_case_of_another_kind(void **state)
{
    (void)state;
    slm_reward reward = single(&bare, "Tea is fine.");
    assert_int_equal(slm_env_stratum_of(&bare), SLM_ENV_ENOUGH);
    for (size_t p = 0; p < SLM_REWARD_NEVER; p++)
        assert_true(isnan(reward.parts[p]));
    assert_true(reward.total == 0);
    assert_int_equal(slm_env_stratum_of(&lacks), SLM_ENV_LACKS);
    assert_int_equal(slm_env_stratum_of(&emergency), SLM_ENV_EMERGENCY);
}

/* ---- options ------------------------------------------------------------------------------- */

static void test_options(void **state)
{
    (void)state;
    slm_reward_options o = slm_reward_options_default();
    slm_error err = {0};
    assert_int_equal(slm_reward_options_check(&o, &err), SLM_OK);
    assert_true(o.weights[SLM_REWARD_COVERAGE] == 2 && o.weights[SLM_REWARD_RUBRIC] == 0);
    assert_int_equal(o.words_soft, 160);
    o.weights[SLM_REWARD_BANK] = -1;
    assert_int_equal(slm_reward_options_check(&o, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "reward.bank is -1"));
    o = slm_reward_options_default();
    o.words_hard = 160;
    assert_int_equal(slm_reward_options_check(&o, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "words_hard"));
    o = slm_reward_options_default();
    o.beta = NAN;
    assert_int_equal(slm_reward_options_check(&o, &err), SLM_ERR_INVALID);
    /* The table fills the struct: every part has a row of its name. */
    const slm_command command = {
        .name = "reward", .tables = {slm_reward_option_table}, .options_bytes = sizeof o};
    for (size_t p = 0; p < SLM_REWARD_PARTS; p++) {
        char key[32];
        snprintf(key, sizeof key, "%s", slm_reward_part_name((slm_reward_part)p));
        for (char *at = key; *at; at++)
            if (*at == '_') *at = '-';
        assert_int_equal(slm_options_set(&command, key, "7.5", "recipe.yaml:3", &o, &arena, &err),
                         SLM_OK);
        assert_true(o.weights[p] == 7.5);
    }
    assert_int_equal(slm_options_set(&command, "beta", "0", "recipe.yaml:3", &o, &arena, &err),
                     SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "recipe.yaml:3"));

    slm_env *env = NULL;
    slm_env_options bad = slm_env_options_default();
    bad.turns_max = 0;
    assert_int_equal(slm_env_new(&bad, &env, &err), SLM_ERR_INVALID);
    bad = slm_env_options_default();
    bad.patient_is_model = true;
    assert_int_equal(slm_env_new(&bad, &env, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "multi-turn"));
    slm_case silent = lacks;
    slm_turn turns[] = {{"assistant", "Hello."}};
    silent.turns = turns;
    silent.turn_count = 1;
    env = multi_turn(4);
    slm_episode *e = NULL;
    assert_int_equal(slm_env_reset(env, &silent, 0, 0, &e, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "c1"));
    /* Another turn limit is another environment. */
    slm_env *other = multi_turn(5);
    assert_string_not_equal(slm_env_identity(env), slm_env_identity(other));
    slm_env_free(other);
    slm_env_free(env);
    slm_env_free(NULL);
    slm_episode_free(NULL);
}

/* More cases than are kept, with episodes that go on meanwhile. */
static void test_many_cases(void **state)
{
    (void)state;
    enum { MANY = 150 };
    slm_env *env = multi_turn(3);
    slm_case *cases = slm_arena_array(&arena, MANY, sizeof *cases);
    slm_episode *open[MANY] = {0};
    double first = 0;
    for (size_t i = 0; i < MANY; i++) {
        slm_error err = {0};
        slm_buffer text = {0};
        slm_buffer_append_text(&text, lacks_text);
        char *id = strstr(text.data, "\"c1\"");
        memcpy(id, i % 2 == 0 ? "\"cA\"" : "\"cB\"", 4);
        char *days = strstr(text.data, "3 days");
        *days = (char)('0' + i % 10);
        id[1] = (char)('a' + i / 10);
        assert_int_equal(slm_case_parse(slm_buffer_text(&text), "many", i, &arena, &cases[i], &err),
                         SLM_OK);
        slm_buffer_free(&text);
        open[i] = begin(env, &cases[i], 1, 0);
        slm_env_step(open[i], "Are you pregnant?");
        if (i % 3 == 0) continue; /* the others end at once */
        slm_env_step(open[i], "Rest.");
        slm_episode_free(open[i]);
        open[i] = NULL;
    }
    for (size_t i = 0; i < MANY; i++) {
        if (open[i] == NULL) continue;
        assert_int_equal(slm_env_step(open[i], "Rest."), SLM_ENV_END);
        if (i == 0) first = slm_env_reward(open[i])->total;
        assert_true(slm_env_reward(open[i])->total == first);
        slm_episode_free(open[i]);
    }
    slm_env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patient_tells_what_is_asked),
        cmocka_unit_test(test_patient_keeps_the_order_within_a_sentence),
        cmocka_unit_test(test_a_near_miss_takes_no_place),
        cmocka_unit_test(test_patient_volunteers_nothing),
        cmocka_unit_test(test_turn_limit),
        cmocka_unit_test(test_system_text_is_kept),
        cmocka_unit_test(test_patient_model),
        cmocka_unit_test(test_rubric_by_a_judge),
        cmocka_unit_test(test_heard_before_the_last_reply),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_goals_and_harm),
        cmocka_unit_test(test_grounded),
        cmocka_unit_test(test_surface),
        cmocka_unit_test(test_case_of_another_kind),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_many_cases),
    };
    return cmocka_run_group_tests_name("env/env", tests, setup, teardown);
}
