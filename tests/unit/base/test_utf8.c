/* UTF-8: every code point there and back, every kind of malformed sequence, folding, columns. */
#include "helpers.h"

#include "base/utf8.h"

static void every_code_point_round_trips(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        uint32_t back;
        size_t len = slm_utf8_encode(c, bytes);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        uint32_t want = surrogate ? 0xFFFD : c;
        size_t want_len = want < 0x80 ? 1 : want < 0x800 ? 2 : want < 0x10000 ? 3 : 4;
        if (len != want_len || !slm_utf8_valid(bytes, len, NULL)) fail_msg("U+%04X", c);
        if (slm_utf8_decode(bytes, len, &back) != len || back != want) fail_msg("U+%04X", c);
        for (size_t cut = 1; cut < len; cut++) {
            if (slm_utf8_valid(bytes, cut, NULL)) fail_msg("U+%04X cut", c);
            if (slm_utf8_incomplete_tail(bytes, cut) != cut) fail_msg("U+%04X tail", c);
            if (slm_utf8_decode(bytes, cut, &back) != 1 || back != 0xFFFD) fail_msg("U+%04X", c);
        }
        if (slm_utf8_incomplete_tail(bytes, len) != 0) fail_msg("U+%04X whole tail", c);
    }
    char bytes[4];
    assert_int_equal(slm_utf8_encode(0x110000, bytes), 3);
    assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
}

static void malformed_is_found_where_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len, at;
    } bad[] = {
        {"ab\x80", 3, 2},               /* continuation alone */
        {"\xC0\xAF", 2, 0},             /* overlong, 2 bytes */
        {"\xC1\xBF", 2, 0},             /* overlong, 2 bytes */
        {"\xE0\x9F\xBF", 3, 0},         /* overlong, 3 bytes */
        {"\xF0\x8F\xBF\xBF", 4, 0},     /* overlong, 4 bytes */
        {"x\xED\xA0\x80", 4, 1},        /* surrogate */
        {"\xED\xBF\xBF", 3, 0},         /* surrogate */
        {"\xF4\x90\x80\x80", 4, 0},     /* beyond U+10FFFF */
        {"\xF5\x80\x80\x80", 4, 0},     /* no such lead */
        {"\xFF", 1, 0},                 /* no such lead */
        {"\xC3\xA9\xC3", 3, 2},         /* cut */
        {"\xE2\x82x", 3, 0},            /* broken off */
        {"\xF0\x9F\x98\x41", 4, 0},     /* broken off */
        {"a\xE2\x82\xAC\xE2\x28", 6, 4} /* second character broken off */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t at = 99;
        if (slm_utf8_valid(bad[i].text, bad[i].len, &at)) fail_msg("case %zu is taken as valid", i);
        assert_int_equal(at, bad[i].at);
        slm_buffer clean = {0};
        slm_utf8_append_valid(&clean, bad[i].text, bad[i].len);
        assert_true(slm_utf8_valid(clean.data, clean.len, NULL));
        assert_memory_equal(clean.data, bad[i].text, at);
        assert_memory_equal(clean.data + at, "\xEF\xBF\xBD", 3);
        slm_buffer_free(&clean);
    }
    assert_true(slm_utf8_valid("", 0, NULL));
}

static void replacement_keeps_the_rest(void **state)
{
    (void)state;
    slm_buffer out = {0};
    slm_utf8_append_valid(&out, "a\xFF\xC3\xA9\xE2\x82z", 7);
    assert_string_equal(out.data, "a\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBDz");
    slm_buffer_free(&out);
}

static void tail_of_broken_text_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(slm_utf8_incomplete_tail("", 0), 0);
    assert_int_equal(slm_utf8_incomplete_tail("abc", 3), 0);
    assert_int_equal(slm_utf8_incomplete_tail("a\xE2\x82", 3), 2);
    assert_int_equal(slm_utf8_incomplete_tail("\x80\x80\x80\x80", 4), 0);
    assert_int_equal(slm_utf8_incomplete_tail("a\xED\xA0", 3), 0); /* can become nothing */
    assert_int_equal(slm_utf8_incomplete_tail("a\xFF", 2), 0);
}

static void fold(const char *text, const char *want)
{
    slm_buffer out = {0};
    slm_buffer_append_text(&out, "=");
    slm_utf8_append_casefold(&out, text, strlen(text));
    assert_string_equal(out.data + 1, want);
    slm_buffer_free(&out);
}

static void folds_case(void **state)
{
    (void)state;
    fold("", "");
    fold("Do You Have PAIN?", "do you have pain?");
    fold("STRA\xC3\x9F"
         "E",
         "strasse");
    fold("\xC3\x84rzte", "\xC3\xA4rzte");
    fold("A\xCC\x88rzte", "\xC3\xA4rzte");        /* decomposed A umlaut */
    fold("\xCE\xA3\xCE\xA3", "\xCF\x83\xCF\x83"); /* sigma */
    fold("caf\xE9", "caf\xEF\xBF\xBD");           /* Latin-1 slipped in */
}

static void composes(void **state)
{
    (void)state;
    slm_buffer out = {0};
    slm_utf8_append_nfc(&out, "e\xCC\x81 \xE2\x84\xAB", 7); /* e + acute, angstrom sign */
    assert_string_equal(out.data, "\xC3\xA9 \xC3\x85");
    slm_buffer_free(&out);
    slm_utf8_append_nfc(&out, "Plain", 5);
    assert_string_equal(out.data, "Plain");
    slm_buffer_free(&out);
}

static void classes(void **state)
{
    (void)state;
    assert_true(slm_utf8_is_letter('a') && slm_utf8_is_letter(0xE9) && slm_utf8_is_letter(0x4E2D));
    assert_false(slm_utf8_is_letter('1') || slm_utf8_is_letter(' ') || slm_utf8_is_letter('_'));
    assert_true(slm_utf8_is_digit('7') && slm_utf8_is_digit(0x0663));
    assert_false(slm_utf8_is_digit(0xB2)); /* superscript two is No */
    assert_true(slm_utf8_is_space(' ') && slm_utf8_is_space('\n') && slm_utf8_is_space(0xA0));
    assert_true(slm_utf8_is_space(0x3000) && slm_utf8_is_space(0x85));
    assert_false(slm_utf8_is_space(0x200B) || slm_utf8_is_space('a'));
    assert_true(slm_utf8_is_punctuation('?') && slm_utf8_is_punctuation(0xBF));
    assert_false(slm_utf8_is_punctuation('+') || slm_utf8_is_punctuation(0x110000));
}

static size_t columns(const char *text)
{
    return slm_utf8_columns(text, strlen(text));
}

static void counts_columns(void **state)
{
    (void)state;
    assert_int_equal(columns(""), 0);
    assert_int_equal(columns("abc"), 3);
    assert_int_equal(columns("\xC3\xA9t\xC3\xA9"), 3);
    assert_int_equal(columns("e\xCC\x81"), 1);
    assert_int_equal(columns("\xE4\xB8\xAD\xE6\x96\x87"), 4);
}

static void counts_characters(void **state)
{
    (void)state;
    static const char text[] = "e\xCC\x81 \xE4\xB8\xAD\xF0\x9F\x99\x82";
    assert_int_equal(slm_utf8_count(text, 0), 0);
    assert_int_equal(slm_utf8_count(text, 1), 1);
    assert_int_equal(slm_utf8_count(text, strlen(text)), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_round_trips),
        cmocka_unit_test(malformed_is_found_where_it_is),
        cmocka_unit_test(replacement_keeps_the_rest),
        cmocka_unit_test(tail_of_broken_text_is_not_waited_for),
        cmocka_unit_test(folds_case),
        cmocka_unit_test(composes),
        cmocka_unit_test(classes),
        cmocka_unit_test(counts_columns),
        cmocka_unit_test(counts_characters),
    };
    return cmocka_run_group_tests_name("base/utf8", tests, NULL, NULL);
}
