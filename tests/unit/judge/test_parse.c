/* A verdict is found wherever it stands, and never where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buffer.h"
#include "judge/judge.h"

static void expect_verdict(const char *text, bool wanted, const char *explanation)
{
    bool met = !wanted;
    char *got = NULL;
    const char *why = NULL;
    if (!slm_judge_parse(text, strlen(text), &met, &got, &why)) fail_msg("%s: %s", text, why);
    assert_int_equal(met, wanted);
    assert_string_equal(got, explanation);
    free(got);
}

static void expect_none(const char *text, const char *part)
{
    bool met = false;
    char *got = NULL;
    const char *why = NULL;
    if (slm_judge_parse(text, strlen(text), &met, &got, &why)) fail_msg("a verdict in %s", text);
    assert_null(got);
    if (!strstr(why, part)) fail_msg("%s: '%s' is not in '%s'", text, part, why);
}

static void verdicts_are_found_where_they_stand(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"explanation\":\"x\",\"criteria_met\":true}",
        "{\"criteria_met\": true, \"explanation\": \"x\"}",
        "```json\n{\n  \"explanation\": \"x\",\n  \"criteria_met\": true\n}\n```",
        "Here it is: {\"explanation\":\"x\",\"criteria_met\":true} I hope this helps {really}.",
        "{not json} and {\"a\":1} and {\"explanation\":\"x\",\"criteria_met\":true}",
        "{\"explanation\":\"draft\",\"criteria_met\":false}\n{\"explanation\":\"x\",\"criteria_"
        "met\":true}",
        "{\"result\":{\"explanation\":\"x\",\"criteria_met\":true}}",
        "[{\"explanation\":\"x\",\"criteria_met\":true}]",
        "{{\"explanation\":\"x\",\"criteria_met\":true}}",
        "{\"explanation\":\"x\",\"criteria_met\":true,\"confidence\":0.9}",
        "\xff\xfe {\"explanation\":\"x\",\"criteria_met\":true}",
        "{\"explanation\":\"x\",\"criteria_met\":true} {\"explanation\":\"cut off",
        /* An object that fits is one answer: what stands in it is not another. */
        "{\"explanation\":\"x\",\"criteria_met\":true,\"draft\":{\"explanation\":\"y\","
        "\"criteria_met\":false}}",
        "{\"explanation\":\"x\",\"criteria_met\":true,\"quote\":\"{\\\"explanation\\\":\\\"y\\\","
        "\\\"criteria_met\\\":false}\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_verdict(texts[i], true, "x");
    expect_verdict("{\"explanation\":\"\",\"criteria_met\":false}", false, "");
    expect_verdict("{\"explanation\":\"a \\\"b\\\" {c}\\n\\u00e9\",\"criteria_met\":false}", false,
                   "a \"b\" {c}\n\xc3\xa9");
}

static void nothing_is_guessed(void **state)
{
    (void)state;
    expect_none("", "no JSON object");
    expect_none("true", "no JSON object");
    expect_none("Yes, the criterion is met.", "no JSON object");
    expect_none("criteria_met: true", "no JSON object");
    expect_none("{\"explanation\":\"x\",\"criteria_met\":true", "no JSON object");
    expect_none("{'explanation':'x','criteria_met':True}", "no JSON object");
    expect_none("{\"explanation\":\"x\",\"criteria_met\":True}", "no JSON object");
    expect_none("{\"explanation\":\"x\"}", "no criteria_met");
    expect_none("{\"explanation\":\"x\",\"criteria_met\":\"true\"}", "neither true nor false");
    expect_none("{\"explanation\":\"x\",\"criteria_met\":1}", "neither true nor false");
    expect_none("{\"explanation\":\"x\",\"criteria_met\":null}", "neither true nor false");
    expect_none("{\"explanation\":\"x\",\"criteria_met\":[true]}", "neither true nor false");
    expect_none("{\"criteria_met\":true}", "no explanation");
    expect_none("{\"explanation\":null,\"criteria_met\":true}", "no explanation");
    /* Twice is once too often: which one is meant? */
    expect_none("{\"explanation\":\"x\",\"criteria_met\":true,\"criteria_met\":false}",
                "no JSON object");
    expect_none("{\"Explanation\":\"x\",\"Criteria_met\":true}", "no criteria_met");
    /* slm's own prompt repeated */
    expect_none("{\"explanation\": \"...\", \"criteria_met\": ...}", "no JSON object");
}

static void long_explanations_are_cut(void **state)
{
    (void)state;
    slm_buffer text = {0};
    slm_buffer_append_text(&text, "{\"criteria_met\":true,\"explanation\":\"");
    for (int i = 0; i < 3000; i++)
        slm_buffer_append_text(&text, "\xc3\xa9\xe2\x82\xac");
    slm_buffer_append_text(&text, "\"}");
    bool met = false;
    char *got = NULL;
    const char *why = NULL;
    assert_true(slm_judge_parse(slm_buffer_text(&text), text.len, &met, &got, &why));
    assert_true(strlen(got) > 3900 && strlen(got) < 4100);
    assert_string_equal(got + strlen(got) - 6, " [...]");
    assert_null(strstr(got, "\xef\xbf\xbd")); /* cut between characters */
    free(got);
    slm_buffer_free(&text);
}

static void replies_made_to_hold_it_up_do_not(void **state)
{
    (void)state;
    static const char *const units[] = {"{", "{\"a\":[", "{\"a\":{\"a\":", "{\"a\":1,", "[{"};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        slm_buffer text = {0};
        while (text.len < 2u << 20)
            slm_buffer_append_text(&text, units[u]);
        bool met = false;
        char *got = NULL;
        const char *why = NULL;
        assert_false(slm_judge_parse(slm_buffer_text(&text), text.len, &met, &got, &why));
        assert_null(got);
        assert_non_null(why);
        slm_buffer_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_found_where_they_stand),
        cmocka_unit_test(nothing_is_guessed),
        cmocka_unit_test(long_explanations_are_cut),
        cmocka_unit_test(replies_made_to_hold_it_up_do_not),
    };
    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
