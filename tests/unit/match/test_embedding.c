/* Matching with an encoder beside the words: what only vectors see is found, what only words see still
 * objects, each text is asked for once, and a failing encoder is an error and no verdict. */
#include "helpers.h"

#include <math.h>
#include <pthread.h>
#include "fake_embed.h"
#include "match/match_internal.h"

static const char *const concepts[] = {
    "passing pass passed",
    "wind gas flatus",
    "prematurely early",
    "born arrive",
    "baby infant",
    "operate drive driving",
    "machinery wheel behind",
    "gallbladder cholecystectomy",
    "worst thunderclap",
    "headache head",
    "emergency casualty",
    "department",
    "knee",
    NULL,
};

static fake_embed *fake;
static slm_matcher *with;

static int set_up(void **state)
{
    (void)state;
    fake = fake_new(concepts, "fake 1");
    with = slm_matcher_new_with(&fake->embed);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_matcher_free(with);
    slm_arena_free(&arena);
    return 0;
}

static slm_match_hit pair(const slm_matcher *m, slm_match_kind kind, const char *target,
                          const char *text)
{
    slm_error err = {0};
    slm_match_hit hit = {0};
    if (slm_match_pair(m, kind, target, text, &hit, &err) != SLM_OK) fail_msg("%s", err.message);
    return hit;
}

static void vectors_see_what_words_do_not(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"Is she passing wind?", "Has she passed flatus?"},
        {"Did the baby arrive early?", "Was the infant born prematurely?"},
        {"Have you had a cholecystectomy?", "Do you have a gallbladder?"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        slm_matcher *words = slm_matcher_new();
        slm_match_hit by_words = pair(words, SLM_MATCH_QUESTION, pairs[i][0], pairs[i][1]);
        assert_false(by_words.met);
        slm_matcher_free(words);
        slm_match_hit hit = pair(with, SLM_MATCH_QUESTION, pairs[i][0], pairs[i][1]);
        if (hit.score < by_words.score + 0.1) fail_msg("%s: %.2f", pairs[i][0], hit.score);
    }
}

static void same_vectors_do_not_silence_the_guards(void **state)
{
    (void)state;
    /* Sides, medicines and negation stand on words; to this encoder they are near or equal. */
    static const char *const same[] = {"left right", "not stop", "ibuprofen paracetamol", NULL};
    fake_embed *blind = fake_new(same, "blind");
    slm_matcher *m = slm_matcher_new_with(&blind->embed);
    slm_match_hit hit =
        pair(m, SLM_MATCH_QUESTION, "Is the left knee swollen?", "Is the right knee swollen?");
    assert_false(hit.met);
    assert_int_equal(hit.guard, SLM_MATCH_GUARD_SIDE);
    hit = pair(m, SLM_MATCH_STATEMENT, "Stop the tablets.", "Do not stop the tablets.");
    assert_false(hit.met);
    assert_int_equal(hit.guard, SLM_MATCH_GUARD_NEGATION);
    hit = pair(m, SLM_MATCH_STATEMENT, "Take ibuprofen with water and food.",
               "Take paracetamol with water and food.");
    assert_false(hit.met);
    assert_int_equal(hit.guard, SLM_MATCH_GUARD_DRUG);
    slm_matcher_free(m);
}

/* Where no word is shared, what each side denies is compared as a whole. */
static void polarity_is_kept_without_common_words(void **state)
{
    (void)state;
    static const char *const one[] = {
        "operate drive driving machinery wheel behind car get steer vehicle", NULL};
    fake_embed *near = fake_new(one, "near");
    slm_matcher *m = slm_matcher_new_with(&near->embed);
    const slm_match_target target = {SLM_MATCH_STATEMENT, "Do not steer a vehicle.", NULL};
    slm_match_set *set = slm_match_set_new(m, &target, 1, NULL, 0);
    slm_match_text *text = slm_match_read(m, "Never get behind the wheel.", 27, &arena);
    slm_match_found denies = slm_match_find(set, text, &arena);
    text = slm_match_read(m, "Do get behind the wheel.", 24, &arena);
    slm_match_found tells = slm_match_find(set, text, &arena);
    assert_true(denies.hits[0].score > tells.hits[0].score);
    assert_false(tells.hits[0].met);
    slm_match_set_free(set);
    slm_matcher_free(m);
}

static bool advises(const char *text)
{
    const slm_match_target target = {SLM_MATCH_ADVICE, "go to an emergency department",
                                     "the rash spreads or you get a stiff neck"};
    slm_match_set *set = slm_match_set_new(with, &target, 1, NULL, 0);
    slm_match_text *read = slm_match_read(with, text, strlen(text), &arena);
    bool met = slm_match_find(set, read, &arena).hits[0].met;
    slm_match_set_free(set);
    return met;
}

static void advice_wants_condition_and_consequence(void **state)
{
    (void)state;
    assert_true(advises("If the rash spreads, go to the emergency department."));
    assert_true(advises("Go to casualty department if you get a stiff neck."));
    assert_true(
        advises("Watch for a stiff neck or a spreading rash. If you notice these, go to the ER."));
    assert_false(advises("The rash may spread. Go to the emergency department."));
    assert_false(advises("If the rash spreads, put cream on it."));
    assert_false(advises("If the rash spreads, do not go to the emergency department."));
}

static void each_sentence_is_asked_for_once(void **state)
{
    (void)state;
    static const char reply[] = "Is she passing wind? Do you have a fever? Rest today.";
    const slm_match_target target = {SLM_MATCH_QUESTION, "Has she passed gas?", NULL};
    slm_match_set *set = slm_match_set_new(with, &target, 1, NULL, 0);
    size_t calls = fake->calls, texts = fake->texts;
    slm_match_text *text = slm_match_read(with, reply, strlen(reply), &arena);
    slm_match_found first = slm_match_find(set, text, &arena);
    assert_int_equal(fake->calls, calls + 1); /* the answer and the targets, together */
    assert_int_equal(fake->texts, texts + 4);
    slm_match_found again = slm_match_find(set, text, &arena);
    assert_int_equal(fake->calls, calls + 1);
    assert_memory_equal(&first.hits[0], &again.hits[0], sizeof first.hits[0]);
    /* Another answer that shares two of them costs one. */
    static const char other[] = "Rest today. Do you have a fever? Drink water.";
    slm_match_find(set, slm_match_read(with, other, strlen(other), &arena), &arena);
    assert_int_equal(fake->texts, texts + 5);
    slm_match_set_free(set);
}

static void a_failing_encoder_is_no_verdict(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_match_hit hit;
    fake->fails = true;
    assert_int_equal(
        slm_match_pair(with, SLM_MATCH_QUESTION, "Is it red?", "Red, is it?", &hit, &err),
        SLM_ERR_IO);
    assert_non_null(strstr(err.message, "call it back"));
    assert_false(slm_match_same(with, SLM_MATCH_QUESTION, "Is it red?", "Is it red?", NULL));
    const slm_match_target target = {SLM_MATCH_QUESTION, "Is it blue?", NULL};
    slm_match_set *set = slm_match_set_new(with, &target, 1, NULL, 0);
    slm_match_text *text = slm_match_read(with, "Is it blue?", 11, &arena);
    slm_match_found found = slm_match_find(set, text, &arena);
    assert_non_null(found.error);
    assert_false(found.hits[0].met);
    fake->fails = false; /* it comes back, and nothing was kept of the failure */
    found = slm_match_find(set, text, &arena);
    assert_null(found.error);
    assert_true(found.hits[0].met);
    slm_match_set_free(set);
}

static void the_encoder_is_part_of_the_identity(void **state)
{
    (void)state;
    slm_matcher *words = slm_matcher_new();
    slm_matcher *same = slm_matcher_new_with(&fake_new(concepts, "fake 1")->embed);
    slm_matcher *other = slm_matcher_new_with(&fake_new(concepts, "fake 2")->embed);
    assert_string_equal(slm_matcher_identity(with), slm_matcher_identity(same));
    assert_string_not_equal(slm_matcher_identity(with), slm_matcher_identity(other));
    assert_string_not_equal(slm_matcher_identity(with), slm_matcher_identity(words));
    slm_matcher_free(words);
    slm_matcher_free(same);
    slm_matcher_free(other);
}

static void memory_is_bounded_and_right(void **state)
{
    (void)state;
    enum { TEXTS = 400, DIMENSIONS = 65536 }; /* so wide that a generation has 64 rows */
    fake_embed *wide = fake_new(NULL, "wide");
    wide->embed.dimensions = DIMENSIONS;
    match__vectors *v = match__vectors_new(&wide->embed);
    float *row = calloc(DIMENSIONS, sizeof *row), *wanted = calloc(DIMENSIONS, sizeof *row);
    slm_error err = {0};
    for (size_t i = 0; i < TEXTS; i++) {
        char name[32], always[] = "always asked";
        snprintf(name, sizeof name, "text %c%c%c", (char)('a' + i % 26), (char)('a' + i / 26 % 26),
                 (char)('a' + i % 7));
        const char *const texts[] = {name}, *const kept[] = {always};
        assert_int_equal(match__vectors_get(v, texts, 1, row, &err), SLM_OK);
        fake_vector(wide, name, wanted);
        assert_memory_equal(row, wanted, DIMENSIONS * sizeof *row);
        assert_int_equal(match__vectors_get(v, kept, 1, row, &err), SLM_OK);
        fake_vector(wide, always, wanted);
        assert_memory_equal(row, wanted, DIMENSIONS * sizeof *row);
    }
    assert_int_equal(wide->texts, TEXTS + 1); /* what is used stays */
    const char *const first[] = {"text aaa"};
    assert_int_equal(match__vectors_get(v, first, 1, row, &err), SLM_OK);
    assert_int_equal(wide->texts, TEXTS + 2); /* what is not used goes */
    free(row);
    free(wanted);
    match__vectors_free(v);
    match__vectors_free(NULL);
}

static void a_text_twice_in_a_batch_is_asked_for_once(void **state)
{
    (void)state;
    fake_embed *e = fake_new(concepts, "twice");
    match__vectors *v = match__vectors_new(&e->embed);
    static const char *const texts[] = {"wind", "knee", "wind", "gas"};
    float rows[4 * FAKE_DIMENSIONS];
    slm_error err = {0};
    assert_int_equal(match__vectors_get(v, texts, 4, rows, &err), SLM_OK);
    assert_int_equal(e->texts, 3);
    assert_memory_equal(rows, rows + 2 * FAKE_DIMENSIONS, FAKE_DIMENSIONS * sizeof *rows);
    assert_memory_equal(rows, rows + 3 * FAKE_DIMENSIONS, FAKE_DIMENSIONS * sizeof *rows);
    match__vectors_free(v);
}

typedef struct worker {
    const slm_matcher *m;
    double score;
} worker;

static void *match_often(void *context)
{
    worker *w = context;
    for (int i = 0; i < 200; i++) {
        char text[64];
        slm_match_hit hit;
        snprintf(text, sizeof text, "Has she passed %c%cflatus?", 'a' + i % 13, i % 2 ? ' ' : 'b');
        if (slm_match_pair(w->m, SLM_MATCH_QUESTION, "Is she passing wind?", text, &hit, NULL) ==
            SLM_OK)
            w->score += hit.score;
    }
    return NULL;
}

static void threads_share_a_matcher(void **state)
{
    (void)state;
    worker workers[3] = {{with, 0}, {with, 0}, {with, 0}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, &workers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    match_often(&workers[2]);
    assert_true(workers[2].score > 0);
    assert_memory_equal(&workers[0].score, &workers[2].score, sizeof(double));
    assert_memory_equal(&workers[1].score, &workers[2].score, sizeof(double));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vectors_see_what_words_do_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_vectors_do_not_silence_the_guards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(polarity_is_kept_without_common_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(advice_wants_condition_and_consequence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_sentence_is_asked_for_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failing_encoder_is_no_verdict, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_encoder_is_part_of_the_identity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_bounded_and_right, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_share_a_matcher, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_text_twice_in_a_batch_is_asked_for_once, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("match/embedding", tests, NULL, NULL);
}
