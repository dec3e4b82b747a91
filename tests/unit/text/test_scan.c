/* test_scan.c: JSON walked over without building it: strings, ids, skipping, and texts that are
 * none, each with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "text/scan.h"

static text_scan scan_of(const char *text, size_t len)
{
    return (text_scan){.name = "f.json", .text = text, .len = len};
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text; /* NULL: refused, */
        const char *why;         /* with this */
    } rows[] = {
        {"\"a b\"", "a b", NULL},
        {" \n\"\"", "", NULL},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", NULL},
        {"\"\\u0120\\u00e9\\ud83e\\uDD12\"", "\xc4\xa0\xc3\xa9\xf0\x9f\xa4\x92", NULL},
        {"\"\xc4\xa0\"", "\xc4\xa0", NULL},
        {"\"a", NULL, "f.json:1: the file ends within a string"},
        {"\"a\\", NULL, "escape that is none"},
        {"\n\n\"\\x\"", NULL, "f.json:3: a string holds an escape"},
        {"\"\\u12\"", NULL, "escape"},
        {"\"\\u12g4\"", NULL, "escape"},
        {"\"\\ud83e\"", NULL, "escape"},
        {"\"\\ud83e\\u0041\"", NULL, "escape"},
        {"\"\\udd12\"", NULL, "escape"},
        {"\"a\nb\"", NULL, "control character 0x0a"},
        {"\"\xff\"", NULL, "not UTF-8"},
        {"a", NULL, "'\"' is expected"},
        {"", NULL, "the file ends where '\"' is expected"},
    };
    slm_buffer out = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        text_scan scan = scan_of(rows[i].json, strlen(rows[i].json));
        slm_error err = {0};
        slm_status status = slm_text__scan_string(&scan, &out, &err);
        if (rows[i].text != NULL) {
            assert_int_equal(status, SLM_OK);
            assert_string_equal(slm_buffer_text(&out), rows[i].text);
            assert_int_equal(slm_text__scan_end(&scan, &err), SLM_OK);
        } else if (status != SLM_ERR_FORMAT || strstr(err.message, rows[i].why) == NULL) {
            fail_msg("%s: '%s', expected '%s'", rows[i].json, err.message, rows[i].why);
        }
    }
    /* Zero bytes are bytes. */
    text_scan scan = scan_of("\"a\\u0000b\"", 10);
    assert_int_equal(slm_text__scan_string(&scan, &out, NULL), SLM_OK);
    assert_int_equal(out.len, 3);
    slm_buffer_free(&out);
}

static void test_members(void **state)
{
    (void)state;
    static const char json[] = " { \"a\" : 1, \"b\":[1,\"]}\\\"\",{}] ,\"c\": null } ";
    static const char *const keys[] = {"a", "b", "c"}, *const values[] = {"1", "[1,\"]}\\\"\",{}]",
                                                                          "null"};
    text_scan scan = scan_of(json, strlen(json));
    slm_buffer key = {0};
    bool first = true, more;
    assert_int_equal(slm_text__scan_open(&scan, '{', NULL), SLM_OK);
    for (size_t i = 0; i < 3; i++) {
        text_slice value;
        assert_int_equal(slm_text__scan_next(&scan, '}', &first, &more, NULL), SLM_OK);
        assert_true(more);
        assert_int_equal(slm_text__scan_key(&scan, &key, NULL), SLM_OK);
        assert_string_equal(slm_buffer_text(&key), keys[i]);
        assert_int_equal(slm_text__scan_skip(&scan, &value, NULL), SLM_OK);
        assert_int_equal(value.len, strlen(values[i]));
        assert_memory_equal(value.begin, values[i], strlen(values[i]));
    }
    assert_int_equal(slm_text__scan_next(&scan, '}', &first, &more, NULL), SLM_OK);
    assert_false(more);
    assert_int_equal(slm_text__scan_end(&scan, NULL), SLM_OK);
    slm_buffer_free(&key);
}

static void test_ids(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1",    "1.5", "2147483648", "99999999999999999999",
                                      "\"1\"", "",    "1e3",        "true"};
    int32_t id = 0;
    text_scan scan = scan_of(" 2147483647 ", 12);
    assert_int_equal(slm_text__scan_id(&scan, &id, NULL), SLM_OK);
    assert_int_equal(id, INT32_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        slm_error err = {0};
        scan = scan_of(bad[i], strlen(bad[i]));
        if (slm_text__scan_id(&scan, &id, &err) != SLM_ERR_FORMAT) fail_msg("%s", bad[i]);
        assert_non_null(strstr(err.message, "an id from 0 to 2147483647 is expected"));
    }
}

static void test_broken(void **state)
{
    (void)state;
    static const char *const lists[] = {"[1 2]", "[1,]", "[,]",   "[1",   "[",
                                        "",      "[1}",  "[\"a]", "[[1]", "{}"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        /* A copy of its own length: reading past its end is found out. */
        size_t len = strlen(lists[i]);
        char *text = malloc(len ? len : 1);
        assert_non_null(text);
        memcpy(text, lists[i], len);
        text_scan scan = scan_of(text, len);
        text_slice value;
        slm_error err = {0};
        bool first = true, more = true;
        slm_status status = slm_text__scan_open(&scan, '[', &err);
        while (status == SLM_OK && more) {
            status = slm_text__scan_next(&scan, ']', &first, &more, &err);
            if (status == SLM_OK && more) status = slm_text__scan_skip(&scan, &value, &err);
        }
        if (status != SLM_ERR_FORMAT || strstr(err.message, "f.json:1: ") == NULL)
            fail_msg("'%s' was taken: %s", lists[i], err.message);
        free(text);
    }
    /* Depth costs nothing. */
    enum { DEEP = 1000000 };
    char *deep = malloc(DEEP);
    assert_non_null(deep);
    memset(deep, '[', DEEP);
    text_scan scan = scan_of(deep, DEEP);
    text_slice value;
    assert_int_equal(slm_text__scan_skip(&scan, &value, NULL), SLM_ERR_FORMAT);
    free(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests_name("text/scan", tests, NULL, NULL);
}
