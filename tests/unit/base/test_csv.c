/* CSV as spreadsheets write it: separators, byte-order marks, line ends, places, formulas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/csv.h"

static slm_csv csv_of(const char *text)
{
    slm_csv csv = {.name = "sheet.csv", .text = text, .len = strlen(text)};
    slm_csv_detect(&csv);
    return csv;
}

static void expect_row(slm_csv *csv, size_t line, size_t row_number, size_t count,
                       const char *const *fields)
{
    bool row = false;
    slm_error err = {0};
    assert_int_equal(slm_csv_next(csv, &row, &err), SLM_OK);
    assert_true(row);
    assert_int_equal(csv->line, line);
    assert_int_equal(csv->row, row_number);
    assert_int_equal(csv->field_count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(csv->fields[i], fields[i]);
}

static void expect_end(slm_csv *csv)
{
    bool row = true;
    assert_int_equal(slm_csv_next(csv, &row, NULL), SLM_OK);
    assert_false(row);
    slm_csv_free(csv);
}

static void separators_are_found(void **state)
{
    (void)state;
    static const char *const header[] = {"id", "a, b; c", "met"};
    static const char *const values[] = {"1", "x\ny", "yes"};
    static const char *const texts[] = {
        "id,\"a, b; c\",met\n1,\"x\ny\",yes\n",
        "\xef\xbb\xbfid;\"a, b; c\";met\r\n1;\"x\ny\";yes\r\n",
        "id\t\"a, b; c\"\tmet\r\n1\t\"x\ny\"\tyes",
        "\xef\xbb\xbf\"id\",\"a, b; c\",\"met\"\n\"1\",\"x\ny\",\"yes\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        slm_csv csv = csv_of(texts[i]);
        expect_row(&csv, 1, 1, 3, header);
        expect_row(&csv, 2, 2, 3, values);
        expect_end(&csv);
    }
}

static void rows_are_counted_as_a_spreadsheet_does(void **state)
{
    (void)state;
    slm_csv csv = csv_of("a,b\n\"1\n\n2\",c\n\n,\nd,e\n");
    expect_row(&csv, 1, 1, 2, (const char *const[]){"a", "b"});
    expect_row(&csv, 2, 2, 2, (const char *const[]){"1\n\n2", "c"});
    expect_row(&csv, 6, 4, 2, (const char *const[]){"", ""}); /* row 3 is the blank line */
    expect_row(&csv, 7, 5, 2, (const char *const[]){"d", "e"});
    expect_end(&csv);
}

static void mistakes_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"a;b\nc;\"d", "sheet.csv:2: a quote is opened and never closed"},
        {"a;b\n\"c\"d;e", "sheet.csv:2: text behind a closing quote"},
        {"a;b\nc\"d;e", "sheet.csv:2: a quote within a field"},
        {"a;b\rc;d", "sheet.csv:1: a carriage return"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        slm_csv csv = csv_of(wrong[i].text);
        slm_error err = {0};
        bool row = true;
        slm_status status = SLM_OK;
        while (status == SLM_OK && row)
            status = slm_csv_next(&csv, &row, &err);
        assert_int_equal(status, SLM_ERR_FORMAT);
        assert_non_null(strstr(err.message, wrong[i].says));
        slm_csv_free(&csv);
    }
}

static void columns_have_letters(void **state)
{
    (void)state;
    static const struct {
        size_t index;
        const char *name;
    } columns[] = {{0, "A"}, {25, "Z"}, {26, "AA"}, {27, "AB"}, {701, "ZZ"}, {702, "AAA"}};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        char name[SLM_CSV_COLUMN_BYTES];
        slm_csv_column_name(columns[i].index, name);
        assert_string_equal(name, columns[i].name);
    }
}

static void texts_are_data(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field;
    } texts[] = {
        {"plain, \"quoted\"; two\nlines", "\"plain, \"\"quoted\"\"; two\nlines\""},
        {"=1+1", "\"'=1+1\""},
        {"  \t@sum", "\"'  \t@sum\""},
        {"-item", "\"'-item\""},
        {"+", "\"'+\""},
        {"\x01\r=1", "\"'=1\""}, /* what is left out hides nothing */
        {"a=b", "\"a=b\""},
        {"", "\"\""},
        {"x\r\ny\x01\x1bz", "\"x\nyz\""},
        {"\xff", "\"\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        slm_buffer out = {0};
        slm_csv_append_text(&out, texts[i].text);
        assert_string_equal(slm_buffer_text(&out), texts[i].field);
        slm_buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separators_are_found),
        cmocka_unit_test(rows_are_counted_as_a_spreadsheet_does),
        cmocka_unit_test(mistakes_name_their_line),
        cmocka_unit_test(columns_have_letters),
        cmocka_unit_test(texts_are_data),
    };
    return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}
