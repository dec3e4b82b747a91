/* Files of cases: order, filters, limits, duplicates over files, wrong lines passed over or not, and
 * an identity that depends on content alone. */
#include "helpers.h"

#include <unistd.h>

typedef struct file {
    char path[64];
} file;

static file put(const char *text)
{
    file f;
    put_temporary(f.path, text, strlen(text));
    return f;
}

static char *row(const char *id)
{
    slm_buffer name = {0};
    slm_buffer_printf(&name, "\"prompt_id\":\"%s\"", id);
    char *out = bend(whole_case, "\"prompt_id\":\"a-1\"", slm_buffer_text(&name));
    slm_buffer_free(&name);
    return out;
}

/* Rows with these ids, one a line. */
static char *rows(const char *const *ids, size_t count)
{
    slm_buffer out = {0};
    for (size_t i = 0; i < count; i++) {
        char *one = row(ids[i]);
        slm_buffer_printf(&out, "%s\n", one);
        free(one);
    }
    return slm_buffer_take(&out);
}

static slm_status load(const file *files, size_t count, const slm_cases_options *options,
                       problems *p, slm_cases *out, slm_error *err)
{
    const char *paths[4];
    for (size_t i = 0; i < count; i++)
        paths[i] = files[i].path;
    return slm_cases_load(paths, count, options, p == NULL ? NULL : note_problem, p, out, err);
}

static void files_in_order(void **state)
{
    (void)state;
    const char *first[] = {"b", "a"}, *second[] = {"d", "c"};
    char *x = rows(first, 2), *y = rows(second, 2);
    file files[] = {put(x), put(y)};
    slm_cases cases;
    slm_error err = {0};
    assert_int_equal(load(files, 2, NULL, NULL, &cases, &err), SLM_OK);
    assert_int_equal(cases.count, 4);
    const char *expected[] = {"b", "a", "d", "c"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(cases.items[i].id, expected[i]);
    assert_string_equal(cases.items[2].file, files[1].path);
    assert_int_equal(cases.items[3].line, 2);
    slm_cases_free(&cases);
    assert_int_equal(cases.count, 0);

    slm_cases_options three = {.limit = 3};
    assert_int_equal(load(files, 2, &three, NULL, &cases, &err), SLM_OK);
    assert_int_equal(cases.count, 3);
    assert_string_equal(cases.items[2].id, "d");
    slm_cases_free(&cases);
    slm_cases_free(NULL);
    free(x);
    free(y);
    unlink(files[0].path);
    unlink(files[1].path);
}

static void tags_come_before_the_limit(void **state)
{
    (void)state;
    char *a = row("a"), *plain = row("b"), *c = row("c");
    char *b = bend(plain, "set:test", "set:other");
    slm_buffer text = {0};
    slm_buffer_printf(&text, "%s\n\n%s\r\n%s", b, a, c); /* a blank line, CR, no last line end */
    file f = put(slm_buffer_text(&text));
    const char *wanted[] = {"set:test", "SET:*", "set:none"}; /* all of them; patterns too */
    slm_cases_options options = {.limit = 1, .tags = wanted, .tag_count = 2};
    slm_cases cases;
    slm_error err = {0};
    assert_int_equal(load(&f, 1, &options, NULL, &cases, &err), SLM_OK);
    assert_int_equal(cases.count, 1);
    assert_string_equal(cases.items[0].id, "a");
    assert_int_equal(cases.items[0].line, 3);
    slm_cases_free(&cases);

    options.tag_count = 3;
    assert_int_equal(load(&f, 1, &options, NULL, &cases, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "no cases in it that the filters (--tag");
    unlink(f.path);
    slm_buffer_free(&text);
    free(a);
    free(b);
    free(c);
    free(plain);
}

static void identity_is_content(void **state)
{
    (void)state;
    const char *ids[] = {"a", "b"}, *turned[] = {"b", "a"};
    char *x = rows(ids, 2), *y = rows(turned, 2);
    char *spaced = bend(x, "\"difficulty\":2", "\"difficulty\" :  2");
    char *changed = bend(x, "\"difficulty\":2", "\"difficulty\":3");
    file files[] = {put(x), put(spaced), put(y), put(changed)};
    char hashes[4][65];
    for (size_t i = 0; i < 4; i++) {
        slm_cases cases;
        slm_error err = {0};
        assert_int_equal(load(&files[i], 1, NULL, NULL, &cases, &err), SLM_OK);
        memcpy(hashes[i], cases.sha256, 65);
        slm_cases_free(&cases);
        unlink(files[i].path);
    }
    assert_int_equal(strlen(hashes[0]), 64);
    assert_string_equal(hashes[0], hashes[1]);
    assert_string_not_equal(hashes[0], hashes[2]); /* the order is part of it */
    assert_string_not_equal(hashes[0], hashes[3]);
    free(x);
    free(y);
    free(spaced);
    free(changed);
}

static void an_id_is_one_case(void **state)
{
    (void)state;
    const char *ids[] = {"a", "b"}, *again[] = {"c", "a"};
    char *x = rows(ids, 2), *y = rows(again, 2);
    file files[] = {put(x), put(y)};
    slm_cases cases;
    slm_error err = {0};
    assert_int_equal(load(files, 2, NULL, NULL, &cases, &err), SLM_ERR_FORMAT);
    char expected[256];
    snprintf(expected, sizeof expected, "%s:2: prompt_id: 'a' already stands at %s:1",
             files[1].path, files[0].path);
    assert_holds(err.message, expected);
    unlink(files[0].path);
    unlink(files[1].path);
    free(x);
    free(y);
}

static void every_problem_is_told(void **state)
{
    (void)state;
    char *good = row("good"), *fine = row("fine");
    char *wrong = bend(good, "\"points\":7", "\"points\":0");
    slm_buffer text = {0};
    slm_buffer_printf(&text, "\xEF\xBB\xBF%s\n{not json\n%s\n%s\n{\"prompt_id\":\"\xC3(\"}\n%s\n",
                      fine, wrong, good, good);
    file f = put(slm_buffer_text(&text));
    problems p = {0};
    slm_cases cases;
    slm_error err = {0};
    assert_int_equal(load(&f, 1, NULL, &p, &cases, &err), SLM_ERR_FORMAT);
    assert_int_equal(p.count, 4);
    assert_string_equal(err.message, p.first); /* the first one is the status */
    assert_holds(p.first, ":2:");
    assert_holds(slm_buffer_text(&p.all), ":3: rubrics[0].points: must not be 0");
    assert_holds(slm_buffer_text(&p.all), ":5:");
    assert_holds(slm_buffer_text(&p.all), ":6: prompt_id: 'good' already stands at ");

    /* Without somebody to tell, the first one ends it. */
    assert_int_equal(load(&f, 1, NULL, NULL, &cases, &err), SLM_ERR_FORMAT);
    assert_string_equal(err.message, p.first);
    unlink(f.path);
    slm_buffer_free(&p.all);
    slm_buffer_free(&text);
    free(good);
    free(fine);
    free(wrong);
}

static void files_that_are_not_there_or_empty(void **state)
{
    (void)state;
    const char *path = "/tmp/slm-test-there-is-no-such-file.jsonl";
    slm_cases cases;
    slm_error err = {0};
    assert_int_equal(slm_cases_load(&path, 1, NULL, NULL, NULL, &cases, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, path);
    problems p = {0};
    assert_int_equal(slm_cases_load(&path, 1, NULL, note_problem, &p, &cases, &err),
                     SLM_ERR_NOT_FOUND);
    assert_int_equal(p.count, 1);
    slm_buffer_free(&p.all);
    path = "/tmp";
    assert_int_equal(slm_cases_load(&path, 1, NULL, NULL, NULL, &cases, &err), SLM_ERR_IO);

    file f = put("\n \n");
    assert_int_equal(load(&f, 1, NULL, NULL, &cases, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, f.path);
    assert_holds(err.message, "no cases");
    unlink(f.path);
}

static void a_line_without_end_is_refused(void **state)
{
    (void)state;
    char path[64];
    put_temporary(path, "{", 1);
    assert_int_equal(truncate(path, (64 << 20) + 10), 0); /* a hole: no disk is used */
    slm_cases cases;
    slm_error err = {0};
    const char *paths[] = {path};
    assert_int_equal(slm_cases_load(paths, 1, NULL, NULL, NULL, &cases, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, ":1: the line has more than 64 MiB");
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_in_order),
        cmocka_unit_test(tags_come_before_the_limit),
        cmocka_unit_test(identity_is_content),
        cmocka_unit_test(an_id_is_one_case),
        cmocka_unit_test(every_problem_is_told),
        cmocka_unit_test(files_that_are_not_there_or_empty),
        cmocka_unit_test(a_line_without_end_is_refused),
    };
    return cmocka_run_group_tests_name("data/data", tests, NULL, NULL);
}
