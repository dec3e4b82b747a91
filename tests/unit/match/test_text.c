/* Reading: where sentences end, what a list's items belong to, what a sentence does, and that any
 * bytes can be read. */
#include "helpers.h"

static void is_cut_into(const char *text, const char *const *expected, size_t count)
{
    slm_match_text *read = read_text(text);
    for (size_t i = 0; i < read->sentence_count && i < count; i++) {
        const slm_match_sentence *s = &read->sentences[i];
        if (s->len != strlen(expected[i]) || memcmp(s->text, expected[i], s->len) != 0)
            fail_msg("sentence %zu is \"%.*s\", not \"%s\"", i, (int)s->len, s->text, expected[i]);
    }
    if (read->sentence_count != count)
        fail_msg("\"%s\" has %zu sentences, not %zu", text, read->sentence_count, count);
}

static void sentences_end_where_they_end(void **state)
{
    (void)state;
    is_cut_into(
        "Rest it. Does it hurt? Yes! See Dr. Smith at 5 p.m. today.",
        (const char *[]){"Rest it.", "Does it hurt?", "Yes!", "See Dr. Smith at 5 p.m. today."}, 4);
    is_cut_into("A fever of 38.5 is high, e.g. in babies. Wait... Now go.",
                (const char *[]){"A fever of 38.5 is high, e.g. in babies.", "Wait...", "Now go."},
                3);
    is_cut_into("## Plan\n\n**Rest** the knee.\n---\n> Use *ice*.",
                (const char *[]){"Plan", "Rest** the knee.", "Use *ice*."}, 3);
    is_cut_into("\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82\xE7\x97\x9B\xE5\x90\x97\xEF\xBC\x9F",
                (const char *[]){"\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82",
                                 "\xE7\x97\x9B\xE5\x90\x97\xEF\xBC\x9F"},
                2);
    is_cut_into("", NULL, 0);
    is_cut_into(" \n\t* * *\n...", NULL, 0);
}

static void items_belong_to_their_lead(void **state)
{
    (void)state;
    slm_match_text *t = read_text("Hello.\n\nPlease tell me:\n\n- how long it has hurt\n"
                                  "2. any fever\n\nRest until then.");
    assert_int_equal(t->sentence_count, 5);
    assert_true(t->sentences[0].lead == SIZE_MAX);
    assert_int_equal(t->sentences[2].lead, 1);
    assert_int_equal(t->sentences[3].lead, 1);
    assert_true(t->sentences[4].lead == SIZE_MAX);
    assert_int_equal(t->sentences[2].mood, SLM_MATCH_ASKS); /* an item asks as its lead does */
    assert_int_equal(t->sentences[3].mood, SLM_MATCH_ASKS);
    assert_int_equal(t->sentences[4].mood, SLM_MATCH_TELLS);
    assert_int_equal(t->sentences[2].len, strlen("how long it has hurt"));
}

static void has_mood(slm_match_mood mood, const char *text)
{
    slm_match_text *t = read_text(text);
    assert_int_equal(t->sentence_count, 1);
    if (t->sentences[0].mood != mood)
        fail_msg("\"%s\" has mood %d, not %d", text, t->sentences[0].mood, mood);
}

static void questions_and_needs_ask(void **state)
{
    (void)state;
    has_mood(SLM_MATCH_ASKS, "Do you have a fever?");
    has_mood(SLM_MATCH_ASKS, "Any fever?");
    has_mood(SLM_MATCH_ASKS, "How intense is the pain?");
    has_mood(SLM_MATCH_ASKS, "I need to know whether you are pregnant.");
    has_mood(SLM_MATCH_ASKS, "Please tell me how old the baby is.");
    has_mood(SLM_MATCH_ASKS, "Could you describe the pain?");
    has_mood(SLM_MATCH_ASKS, "It would be helpful to know your blood pressure.");
    has_mood(SLM_MATCH_ASKS, "Let me know which tablets you take.");
    has_mood(SLM_MATCH_ASKS, "Do you take any tablets"); /* no mark, but the order of one */
    has_mood(SLM_MATCH_ASKS, "\xC2\xBFTienes fiebre?");
    has_mood(SLM_MATCH_ASKS, "Can you tell me how old the baby is?");
    has_mood(SLM_MATCH_ASKS, "I cannot say: was it before the drink?");
    has_mood(SLM_MATCH_ASKS, "Why was the thyroid taken out?");
    has_mood(SLM_MATCH_TELLS, "Why is it important to rest?");
    has_mood(SLM_MATCH_TELLS, "Yes, from what you tell me she can stay at home tonight.");
    has_mood(SLM_MATCH_TELLS, "You do have a fever.");
    has_mood(SLM_MATCH_TELLS, "Have the tablets with food.");
    has_mood(SLM_MATCH_TELLS, "Tell your doctor whether you are pregnant.");
    has_mood(SLM_MATCH_TELLS, "Ask your doctor: do you think it is broken?");
    has_mood(SLM_MATCH_TELLS, "Should I worry about my knee?"); /* the user's voice */
    has_mood(SLM_MATCH_TELLS, "What can you do about it?");     /* a heading */
    has_mood(SLM_MATCH_COURTESY, "Does that help?");
    has_mood(SLM_MATCH_COURTESY, "Would you like to know more?");
    has_mood(SLM_MATCH_COURTESY, "Is there anything else I can help with?");
    has_mood(SLM_MATCH_COURTESY, "Let me know if you have any questions.");
    assert_false(read_text("What causes migraine in adults?")->sentences[0].personal);
    assert_true(read_text("What did you eat yesterday?")->sentences[0].personal);
    assert_true(read_text("Should I worry about my knee?")->sentences[0].user_voice);
}

/* What stands in the draft of a letter is asked of its reader; a mark of inches begins nothing. */
static void quotations_ask_nobody(void **state)
{
    (void)state;
    slm_match_text *t =
        read_text("Here it is: \"Dear doctor, it still hurts. Could you have it checked? "
                  "Are you in on Friday?\" Is it swollen?");
    assert_int_equal(t->sentence_count, 4);
    assert_int_equal(t->sentences[1].mood, SLM_MATCH_TELLS);
    assert_true(t->sentences[1].user_voice);
    assert_int_equal(t->sentences[2].mood, SLM_MATCH_TELLS);
    assert_int_equal(t->sentences[3].mood, SLM_MATCH_ASKS);
    t = read_text("Write \u201cIt hurts. Is it broken?\u201d Do you smoke?");
    assert_int_equal(t->sentences[1].mood, SLM_MATCH_TELLS);
    assert_int_equal(t->sentences[2].mood, SLM_MATCH_ASKS);
    t = read_text("A \"6 inch wound. Is it deep?");
    assert_int_equal(t->sentences[1].mood, SLM_MATCH_ASKS);
    t = read_text("A 6\" wound. Is it deep? A 7\" one.");
    assert_int_equal(t->sentences[1].mood, SLM_MATCH_ASKS);
    t = read_text("\"You fell. Is it deep?\"");
    assert_int_equal(t->sentences[1].mood, SLM_MATCH_ASKS);
    slm_buffer far = {0};
    slm_buffer_append_text(&far, "A \"long one. Is it deep? ");
    for (int i = 0; i < 1000; i++)
        slm_buffer_printf(&far, "word%d ", i);
    slm_buffer_append_text(&far, "end\" here.");
    assert_int_equal(read_text(slm_buffer_text(&far))->sentences[1].mood, SLM_MATCH_ASKS);
    slm_buffer_free(&far);
}

static void repetition_shows(void **state)
{
    (void)state;
    slm_match_text *t = read_text("Rest the knee. Use ice on it. Rest  the KNEE!");
    assert_false(t->sentences[0].repeated);
    assert_true(t->sentences[2].repeated);
    assert_false(t->degenerate);
    assert_true(
        read_text("See a doctor soon. See a doctor soon. See a doctor soon. See a doctor soon. "
                  "See a doctor soon.")
            ->degenerate);
    slm_buffer loop = {0};
    for (int i = 0; i < 30; i++)
        slm_buffer_append_text(&loop, "and then you feel the pain again ");
    assert_true(read_text(slm_buffer_text(&loop))->degenerate); /* one long sentence */
    slm_buffer_free(&loop);
    assert_false(read_text("")->degenerate);
}

static void lists_of_keywords_are_no_prose(void **state)
{
    (void)state;
    assert_false(
        read_text("fever rash headache neck stiffness doctor hospital")->sentences[0].prose);
    assert_true(
        read_text("A fever with a rash and a stiff neck needs a doctor.")->sentences[0].prose);
    assert_true(read_text("Severe headache, fever")->sentences[0].prose); /* short: an item */
    assert_true(read_text("Debe consultar con su m\xC3\xA9"
                          "dico cuanto antes posible hoy mismo")
                    ->sentences[0]
                    .prose); /* not English: no telling */
}

static void tells(bool expected, const char *text, const char *known)
{
    slm_match_text *t = read_text(text), *k = known == NULL ? NULL : read_text(known);
    if (slm_match_tells_to_act(t, 0, k) != expected)
        fail_msg("\"%s\" %s", text, expected ? "should tell to act" : "should not tell to act");
}

static void orders_tell_to_act(void **state)
{
    (void)state;
    tells(true, "Call 999 now.", NULL);
    tells(true, "Please go to the nearest emergency department immediately.", NULL);
    tells(true, "You need to call an ambulance for him.", NULL);
    tells(true, "This is an emergency: ring 112 at once.", NULL);
    tells(true, "Take her to the hospital right away.", NULL);
    tells(true, "Seek immediate medical attention.", NULL);
    tells(true, "Don't wait, call 911.", NULL);
    tells(true, "If you haven't already, call 911.", NULL);
    tells(true, "If the chest pain spreads to your jaw, call 911.",
          "My chest pain spreads to my jaw.");
    tells(false, "If the chest pain spreads to your jaw, call 911.", "My knee hurts.");
    tells(false, "If the chest pain spreads to your jaw, call 911.", NULL);
    tells(false, "Call 911 if he stops breathing.", NULL);
    tells(false, "Do not call an ambulance.", NULL);
    tells(false, "There is no need to call an ambulance.", NULL);
    tells(false, "You might consider calling an ambulance.", NULL);
    tells(false, "Should I call an ambulance?", NULL);
    tells(false, "Have you called an ambulance?", NULL);
    assert_true(slm_match_tells_not_to_act(read_text("Don't call an ambulance yet."), 0));
    assert_false(slm_match_tells_not_to_act(read_text("Don't call me, call an ambulance."), 0));
    assert_false(slm_match_tells_not_to_act(read_text("If he is well, do not call 999."), 0));
    assert_false(slm_match_tells_not_to_act(read_text("Do not drive to the hospital."), 0));
    tells(false, "Call your friend and rest.", NULL);
    tells(false, "Hospitals are busy now.", NULL);
}

/* Reading must hold its bounds for whatever bytes come. */
static void any_bytes_can_be_read(void **state)
{
    (void)state;
    const char *texts[] = {
        "\xFF\xFE\xC3",
        "don't'' can't've ''' 'tis",
        "a.b.c.d.e.f",
        "1,000,000.5.5.5mg/kg",
        "\xCE\x90\xCE\x90\xCE\x90 \xEF\xAC\x83\xEF\xAC\x83", /* letters that grow when folded */
        "\xE3\x81\x82"
        "a\xE3\x81\x84"
        "b",
        "- - - -\n1. 2. 3.\n:\n:\n- x",
        "!!!!!!?!?",
        "\n\n\n:",
        "\xF0\x9F\x98\x80 ok \xE2\x80\x99s",
        "if when unless because",
        "or, and, or; or/and",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        read_text(texts[i]);
    uint64_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        char bytes[120];
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
            const char *from = "aeiou nt'.,:?!-\n \xC3\xA9\xE2\x80\x99(1)\xE4\xBD\xA0";
            bytes[i] = from[(seed >> 33) % strlen(from)];
        }
        slm_match_text *t = slm_match_read(matcher, bytes, sizeof bytes, &arena);
        for (size_t i = 0; i < t->sentence_count; i++) {
            assert_in_range(t->sentences[i].token_end, 1, t->token_count);
            assert_in_range(t->sentences[i].word_end, 1, t->word_count);
        }
        slm_arena_reset(&arena);
    }
    char *long_text = malloc(1 << 20);
    memset(long_text, 'a', 1 << 20);
    assert_int_equal(slm_match_read(matcher, long_text, 1 << 20, &arena)->token_count, 1);
    for (size_t i = 1; i < 1 << 20; i += 2)
        long_text[i] = '?';
    assert_true(slm_match_read(matcher, long_text, 1 << 20, &arena)->sentence_count >= 1);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_end_where_they_end),
        cmocka_unit_test(items_belong_to_their_lead),
        cmocka_unit_test(questions_and_needs_ask),
        cmocka_unit_test(quotations_ask_nobody),
        cmocka_unit_test(repetition_shows),
        cmocka_unit_test(lists_of_keywords_are_no_prose),
        cmocka_unit_test(orders_tell_to_act),
        cmocka_unit_test(any_bytes_can_be_read),
    };
    return cmocka_run_group_tests_name("match/text", tests, make_matcher, free_matcher);
}
