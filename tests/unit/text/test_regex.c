/* test_regex.c: expressions in Oniguruma's syntax: what they match here, and which are refused by
 * name. The matches are what the tokenizers library finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "text_fixture.h"

/* All matches of an expression, apart by '|'. */
static void find_all(const char *pattern, bool literal, const char *text, slm_buffer *out)
{
    slm_tokenizer *t = slm_text__new();
    text_regex regex;
    text_work work;
    slm_error err = {0};
    slm_text__work_begin(&work, t);
    slm_buffer_truncate(out, 0);
    if (slm_text__regex_compile(pattern, strlen(pattern), literal, &regex, &err) != SLM_OK)
        fail_msg("%s", err.message);
    for (size_t from = 0, len = strlen(text); from <= len;) {
        bool found;
        size_t begin, end;
        assert_int_equal(
            slm_text__regex_find(&regex, &work, text, len, from, &found, &begin, &end, &err),
            SLM_OK);
        if (!found) break;
        if (out->len > 0) slm_buffer_append_char(out, '|');
        slm_buffer_append(out, text + begin, end - begin);
        from = end > begin ? end : end + 1;
    }
    slm_text__regex_free(&regex);
    slm_text__work_free(&work);
    slm_tokenizer_free(t);
}

static void test_matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text, *matches;
    } rows[] = {
        {"\\s+",
         "a \xe2\x80\x83\xc2\x85"
         "b\x0b"
         "c",
         " \xe2\x80\x83\xc2\x85|\x0b"},
        {"\\s", "\xe1\xa0\x8e", ""}, /* U+180E is no white space */
        {"\\S", "\xe1\xa0\x8e", "\xe1\xa0\x8e"},
        {"[\\S]", "\xe1\xa0\x8e ", "\xe1\xa0\x8e"},
        {"[^\\s\\p{L}]+", "ab 12\xe1\xa0\x8e!", "12\xe1\xa0\x8e!"},
        {"\\w+", "a_b\xcc\x81 \xd9\xa3 \xc2\xbd \xe2\x93\x90 \xe2\x91\xa0", /* circled: a, not 1 */
         "a_b\xcc\x81|\xd9\xa3|\xc2\xbd|\xe2\x93\x90"},
        {"\\W", "a-", "-"},
        {"\\h+", "fF9g", "fF9"}, /* hexadecimal digits */
        {"[\\h]+", "xyz0a", "0a"},
        {"\\d{,2}x", "123x", "23x"}, /* {,n} from none */
        {"a{2}", "aaa", "aa"},
        {"a{x", "a{x", "a{x"},        /* no count */
        {"[a[bc]]+", "abcd[", "abc"}, /* a set in a set */
        {"[^a[bc]]", "abcd", "d"},
        {"[]a]+", "a]b", "a]"},
        {"[\\^\\-\\]\\\\]+", "^-]\\", "^-]\\"},
        {"[a\\-z]+", "a-zb", "a-z"},
        {"(?i:'s|'t)", "'S'\xc5\xbf't", "'S|'\xc5\xbf|'t"}, /* long s folds to s */
        {"(?i)ab", "aB", "aB"},
        {"a(?=b)", "abac", "a"},
        {"(?<!a)b", "abcb", "b"},
        {"^a$", "a\nb\na", "a|a"}, /* lines */
        {".", "\n\xc3\xa9", "\xc3\xa9"},
        {"\\u00e9|\\x{e8}|\\x41",
         "\xc3\xa9\xc3\xa8"
         "A",
         "\xc3\xa9|\xc3\xa8|A"},
        {"\\v", "\x0b\x0c", "\x0b"}, /* one character, not a class */
        {"\\bab\\b", "ab abc xab ab", "ab|ab"},
        {"[\\b]", "\x08", "\x08"},
        {"\\p{Han}+",
         "\xe7\x99\xba\xe7\x86\xb1"
         "a",
         "\xe7\x99\xba\xe7\x86\xb1"},
        {"\\p{^L}|\\P{Lu}", "A1", "1"},
        {"[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+", "(ab", "(ab"}, /* possessive */
        {"a++b|a", "aaab", "aaab"},
        {"\\.\\|\\/\\'\\\xc3\xa9", ".|/'\xc3\xa9", ".|/'\xc3\xa9"},
        {"[\xe4\xb8\x80-\xe9\xbe\xa5]+", "a\xe7\x99\xba", "\xe7\x99\xba"},
    };
    slm_buffer got = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        find_all(rows[i].pattern, false, rows[i].text, &got);
        if (strcmp(slm_buffer_text(&got), rows[i].matches) != 0)
            fail_msg("'%s' finds '%s' in '%s', expected '%s'", rows[i].pattern,
                     slm_buffer_text(&got), rows[i].text, rows[i].matches);
    }
    find_all("a.+[", true, "a.+[ab", &got);
    assert_string_equal(slm_buffer_text(&got), "a.+[");
    slm_buffer_free(&got);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *part;
    } rows[] = {
        {"(", "cannot be used: missing closing parenthesis"},
        {"a)", "cannot be used"},
        {"[a", "set without an end '[a'"},
        {"[", "set without an end"},
        {"\\", "the end"},
        {"a\\K", "escape '\\K'"},
        {"\\G", "escape '\\G'"},
        {"(a)\\1", "escape '\\1'"},
        {"\\Q", "escape '\\Q'"},
        {"\\xff", "escape '\\x'"}, /* a byte */
        {"\\u12", "escape '\\u'"},
        {"[\\W]", "in a set the escape '\\W'"},
        {"[[:alpha:]]", "named set '[:alpha:]]'"},
        {"[a&&b]", "intersection '&&'"},
        {"[a[^b]]", "negated set in a set '[^'"},
        {"[[[[[[[[[[a", "so deep a set"},
        {"(?m:a)", "group '(?m:'"},
        {"(?<name>a)", "group '(?<n'"},
        {"a(?i)b", "group '(?i)'"},
        {"(?#x)", "group '(?#x'"},
        {"(*UTF)a", "group '(*UT'"},
        {"(?", "group '(?'"},
        {"a{1,3}+", "quantifier behind a quantifier '}+'"},
        {"a{2}?", "quantifier behind a quantifier '}?'"},
        {"\\p{L", "property '\\p{L'"},
        {"\\pL", "property '\\pL'"},
        {"\\p", "property '\\p'"},
        {"\\p{Nosuchscript}", "unknown property"},
        {"{1}b", "quantifier does not follow"},
        {"+a", "quantifier does not follow"},
        {"\xff", "UTF-8 error"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        text_regex regex;
        slm_error err = {0};
        slm_status status =
            slm_text__regex_compile(rows[i].pattern, strlen(rows[i].pattern), false, &regex, &err);
        if (status != SLM_ERR_UNSUPPORTED || strstr(err.message, rows[i].part) == NULL ||
            strstr(err.message, "the expression '") == NULL)
            fail_msg("'%s': %s, expected \"%s\"", rows[i].pattern, err.message, rows[i].part);
        assert_null(regex.code);
    }
    static char huge[20000];
    text_regex regex;
    slm_error err = {0};
    memset(huge, 'a', sizeof(huge));
    assert_int_equal(slm_text__regex_compile(huge, sizeof(huge), false, &regex, &err),
                     SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "20000 bytes are too long"));
}

/* Exponential time ends in an error, with JIT and without. */
static void test_limits(void **state)
{
    (void)state;
    slm_tokenizer *t = slm_text__new();
    text_regex regex;
    text_work work;
    char text[64];
    memset(text, 'a', sizeof(text));
    assert_int_equal(slm_text__regex_compile("(?:a+)+b|(?:a|a)+c", 18, false, &regex, NULL),
                     SLM_OK);
    slm_text__work_begin(&work, t);
    for (int jit = 0; jit < 2; jit++) {
        bool found;
        size_t begin, end;
        slm_error err = {0};
        if (!jit) regex.jit = false;
        assert_int_equal(
            slm_text__regex_find(&regex, &work, text, sizeof(text), 0, &found, &begin, &end, &err),
            SLM_ERR_LIMIT);
        assert_non_null(strstr(err.message, "gave up at byte 0 of 64"));
    }
    slm_text__regex_free(&regex);
    slm_text__work_free(&work);
    slm_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("text/regex", tests, NULL, NULL);
}
