/* test_text.c: numbers and foreign texts made fit for terminals and HTML. */
#include <math.h>
#include "base/utf8.h"
#include "unit/report/report_fixture.h"
#include "report/report_internal.h"

static void percent_never_rounds_to_an_end(void **state)
{
    (void)state;
    char out[REPORT_NUMBER_BYTES];
    assert_string_equal(report__percent(0, out), "0");
    assert_string_equal(report__percent(1, out), "100");
    assert_string_equal(report__percent(1e-9, out), "<1");
    assert_string_equal(report__percent(0.0049, out), "<1");
    assert_string_equal(report__percent(0.005, out), "1");
    assert_string_equal(report__percent(0.999, out), ">99");
    assert_string_equal(report__percent(0.994, out), "99");
    assert_string_equal(report__percent(-0.5, out), "-50");
    assert_string_equal(report__percent(-0.001, out), "0");
    assert_string_equal(report__percent(NAN, out), "-");
    assert_string_equal(report__percent_tenths(0.026316, out), "2.6");
    assert_string_equal(report__percent_tenths(0.0000009, out), "<0.1");
    assert_string_equal(report__percent_tenths(0.99999, out), ">99.9");
    assert_string_equal(report__percent_tenths(0, out), "0");
    assert_string_equal(report__percent_tenths(1, out), "100");
    assert_string_equal(report__percent_tenths(NAN, out), "-");
}

static void ranges_and_counts(void **state)
{
    (void)state;
    char out[REPORT_NUMBER_BYTES];
    assert_string_equal(report__range(0.314, 0.529, out), "31–53");
    assert_string_equal(report__range(-0.001, 1, out), "0–100");
    assert_string_equal(report__range(NAN, 1, out), "");
    assert_string_equal(report__count(0, out), "0");
    assert_string_equal(report__count(999, out), "999");
    assert_string_equal(report__count(1000, out), "1,000");
    assert_string_equal(report__count(-123456, out), "-123,456");
    assert_string_equal(report__count(INT64_MAX, out), "9,223,372,036,854,775,807");
}

static void check_line(const char *text, size_t columns, const char *expected)
{
    slm_buffer out = {0};
    report__append_line(&out, text, columns);
    assert_string_equal(slm_buffer_text(&out), expected);
    assert_true(slm_utf8_valid(slm_buffer_text(&out), out.len, NULL));
    if (columns) assert_true(slm_utf8_columns(slm_buffer_text(&out), out.len) <= columns);
    slm_buffer_free(&out);
}

static void lines_lose_their_middle(void **state)
{
    (void)state;
    check_line("SmolLM2-135M-Instruct", 0, "SmolLM2-135M-Instruct");
    check_line("SmolLM2-135M-Instruct", 21, "SmolLM2-135M-Instruct");
    check_line("SmolLM2-135M-Instruct", 20, "SmolLM2-13…-Instruct");
    check_line("abcdef", 2, "a…");
    check_line(NULL, 5, "");
    check_line("模型模型模型模型", 9, "模型…模型"); /* two columns each */
    check_line("e\xCC\x81"
               "bcdefg\xCC\x81",
               5,
               "e\xCC\x81"
               "b…fg\xCC\x81"); /* marks stay */
}

static void lines_cannot_steer_a_terminal(void **state)
{
    (void)state;
    check_line("\033[31mred\033[0m", 0, "\xEF\xBF\xBD[31mred\xEF\xBF\xBD[0m");
    check_line("a\nb\tc\rd", 0, "a b c d");
    check_line("a\xC2\x9B"
               "31m",
               0,
               "a\xEF\xBF\xBD"
               "31m"); /* C1: a one-byte escape */
    check_line("a\xE2\x80\xAE"
               "b\xE2\x81\xA6"
               "c",
               0, "abc"); /* override, isolate */
    check_line("a\xFF\xC0\x80"
               "b",
               0,
               "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
               "b");
}

static void check_escape(const char *text, size_t max_bytes, const char *expected, bool cut)
{
    char *written = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&written, &len);
    bool was_cut = report__escape(out, text, max_bytes);
    fclose(out);
    assert_string_equal(written, expected);
    assert_int_equal(was_cut, cut);
    free(written);
}

static void html_is_escaped(void **state)
{
    (void)state;
    check_escape("<script>alert('x' & \"y\")</script>", 0,
                 "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;", false);
    check_escape("a\r\nb\rc\td", 0, "a\nb\nc\td", false);
    check_escape("\x01\x1B\x7F", 0, "\xE2\x90\x81\xE2\x90\x9B\xE2\x90\xA1", false);
    check_escape("\xE2\x80\xAE"
                 "evil",
                 0, "[U+202E]evil", false);
    check_escape("\xD7\xA9\xD7\x9C", 0, "\xD7\xA9\xD7\x9C", false);
    check_escape("\xC0\xBCscript\xFE", 0, "\xEF\xBF\xBD\xEF\xBF\xBDscript\xEF\xBF\xBD",
                 false);                                    /* overlong '<' */
    check_escape("\xEF\xBF\xBF", 0, "\xEF\xBF\xBD", false); /* U+FFFF */
    check_escape(NULL, 0, "", false);
}

static void html_is_cut_between_characters(void **state)
{
    (void)state;
    check_escape("abc", 3, "abc", false);
    check_escape("abcd", 3, "abc", true);
    check_escape("ab\xC3\xA9z", 3, "ab", true); /* not within the e acute */
    check_escape("ab\xC3\xA9z", 4, "ab\xC3\xA9", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent_never_rounds_to_an_end),
        cmocka_unit_test(ranges_and_counts),
        cmocka_unit_test(lines_lose_their_middle),
        cmocka_unit_test(lines_cannot_steer_a_terminal),
        cmocka_unit_test(html_is_escaped),
        cmocka_unit_test(html_is_cut_between_characters),
    };
    return cmocka_run_group_tests_name("report/text", tests, NULL, NULL);
}
