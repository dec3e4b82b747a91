/* Our own cases' stricter rules: a whole case passes, and each thing that can be missing from one is
 * told once, with its place. */
#include "helpers.h"

/* Cases from texts, in memory of the set's arena. */
static slm_cases set_of(const char *const *texts, size_t count)
{
    slm_cases cases = {0};
    cases.items = slm_arena_array(&cases.arena, count, sizeof *cases.items);
    cases.count = count;
    for (size_t i = 0; i < count; i++) {
        slm_error err = {0};
        if (slm_case_parse(texts[i], "f.jsonl", i + 1, &cases.arena, &cases.items[i], &err) !=
            SLM_OK)
            fail_msg("%s", err.message);
    }
    return cases;
}

static size_t check(const char *const *texts, size_t count, problems *p)
{
    slm_cases cases = set_of(texts, count);
    size_t found = slm_cases_check(&cases, note_problem, p);
    assert_int_equal(found, p->count);
    slm_cases_free(&cases);
    return found;
}

/* The whole case with one change must draw exactly one finding with these words. */
static void draws(const char *from, const char *to, const char *words)
{
    problems p = {0};
    char *json = bend(whole_case, from, to);
    const char *texts[] = {json};
    size_t found = check(texts, 1, &p);
    if (found != 1) fail_msg("%s: %zu findings: %s", to, found, slm_buffer_text(&p.all));
    assert_holds(p.first, "f.jsonl:1: ");
    assert_holds(p.first, words);
    slm_buffer_free(&p.all);
    free(json);
}

static void a_whole_case_passes(void **state)
{
    (void)state;
    problems p = {0};
    const char *texts[] = {whole_case};
    assert_int_equal(check(texts, 1, &p), 0);
    slm_cases cases = set_of(texts, 1);
    assert_int_equal(slm_cases_check(&cases, NULL, NULL), 0);
    slm_cases_free(&cases);
}

static void each_missing_thing_is_told(void **state)
{
    (void)state;
    draws("\"specialty\":\"orthopaedics\",", "", "specialty: is missing");
    draws("\"register\":\"terse\",", "", "register: is missing");
    draws("\"source\":\"written for a test\",", "", "source: is missing");
    draws(",\"licence\":\"Apache-2.0\"", "", "licence: is missing");
    draws("\"language\":\"en\"", "\"language\":\"fr\"", "gloss: is missing");
    draws("\"context\":\"lacks\",", "", "context: is missing");
    draws("\"disposition\":\"self-care\",", "", "disposition: is missing");
    draws("\"difficulty\":2,", "", "difficulty: is missing");
    draws(",\"why\":\"swelling decides\"", "", "'f1' has no why");
    draws("\"topic\":\"fall\",", "", "'a3' has no topic");
    draws("\"follow_up\":\"f3\"", "\"follow_up\":\"f2\"", "none answers follow-up 'f3'");
    draws("\"must\":true", "\"must\":false", "none is marked must");
    draws(
        "[{\"id\":\"s1\",",
        "[{\"id\":\"s2\",\"if\":\"it is hot\",\"then\":\"a\"},"
        "{\"id\":\"s3\",\"if\":\"it is cold\",\"then\":\"b\"},{\"id\":\"s4\",\"if\":\"it is blue\","
        "\"then\":\"c\"},{\"id\":\"s1\",",
        "advice: has 4; our cases have 1 to 3");
}

static void texts_differ_within_a_case(void **state)
{
    (void)state;
    draws("Can you bend it?", "IS IT  swollen", "follow_ups: 1 says the same as 0");
    draws("Ice helps.", "rest the knee until it is painless", "key_points: 1 says the same as 0");
    draws("Is rude.", "Says what is safe!", "rubrics: 2 says the same as 1");
}

static void rubrics_follow_the_convention(void **state)
{
    (void)state;
    draws("\"asks\":[\"f1\",\"f2\"]", "\"asks\":[\"f1\"]", "seek leaves out follow-up 'f2'");
    draws("\"asks\":[\"f1\",\"f2\"]", "\"asks\":[\"f1\",\"f2\",\"f3\"]",
          "seek lists follow-up 'f3' of tier cause");
    draws("\"says\":[\"s1\",\"k1\"]", "\"says\":[\"s1\"]", "safe leaves out the must point 'k1'");
    draws(",\"avoids\":[\"n1\"]", "", "safe leaves out the never 'n1'");
    draws("\"points\":5", "\"points\":-5", "safe has -5 points");
    draws("[\"behaviour:safe\"]", "[]", "no criterion with a check is tagged behaviour:safe");
    draws("\"context\":\"lacks\"", "\"context\":\"enough\"",
          "no criterion with a check is tagged behaviour:precise");
    draws("\"disposition\":\"self-care\"", "\"disposition\":\"emergency\"",
          "no criterion with a check is tagged behaviour:act");
    draws("[\"axis:communication_quality\"]", "[\"behaviour:act\"]",
          "2 is tagged behaviour:act but has no check");
}

static void twins_have_both_contexts(void **state)
{
    (void)state;
    char *other = bend(whole_case, "\"prompt_id\":\"a-1\"", "\"prompt_id\":\"a-2\"");
    char *said = bend(other, "Can I run on Sunday?", "It is not swollen. Can I run on Sunday?");
    char *enough = bend(said, "\"context\":\"lacks\"", "\"context\":\"enough\"");
    char *twin = bend(enough, "behaviour:seek", "behaviour:precise");
    char *whole =
        bend(twin, "{\"asks\":[\"f1\",\"f2\"]}", "{\"says\":[\"k1\"],\"avoids\":[\"n1\"]}");
    problems p = {0};
    const char *pair[] = {whole_case, whole};
    if (check(pair, 2, &p) != 0) fail_msg("%s", slm_buffer_text(&p.all));

    /* variants of one scenario are no twins; a twin that has nobody is a finding */
    const char *variants[] = {whole_case, said};
    if (check(variants, 2, &p) != 0) fail_msg("%s", slm_buffer_text(&p.all));
    char *alone = bend(said, "\"example_tags\":[", "\"example_tags\":[\"twin\",");
    const char *alike[] = {whole_case, alone};
    assert_int_equal(check(alike, 2, &p), 1);
    assert_holds(p.first, "family: 'knee' has a twin among 2 and none with enough context");
    slm_buffer_free(&p.all);
    free(alone);

    p = (problems){0};
    const char *same[] = {whole_case, other};
    assert_int_equal(check(same, 2, &p), 1);
    assert_holds(p.first, "f.jsonl:2: prompt: is the same conversation as f.jsonl:1");
    slm_buffer_free(&p.all);
    free(other);
    free(said);
    free(enough);
    free(twin);
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_case_passes),
        cmocka_unit_test(each_missing_thing_is_told),
        cmocka_unit_test(texts_differ_within_a_case),
        cmocka_unit_test(rubrics_follow_the_convention),
        cmocka_unit_test(twins_have_both_contexts),
    };
    return cmocka_run_group_tests_name("data/check", tests, NULL, NULL);
}
