/* JSON: places in errors, typed members, JSON Lines with every kind of line, numbers and strings
 * that read back, canonical text. */
#include "helpers.h"

#include <math.h>
#include "base/json.h"

static slm_arena arena;

static int teardown(void **state)
{
    slm_arena_free(&arena);
    return remove_folder(state);
}

static json_t *parse(const char *text)
{
    json_t *value;
    slm_error err = {0};
    if (slm_json_parse(text, strlen(text), "test", 1, &value, &err) != SLM_OK) {
        fail_msg("%s", err.message);
    }
    return value;
}

static void parse_error(const char *text, const char *place, const char *words)
{
    json_t *value;
    slm_error err = {0};
    assert_int_equal(slm_json_parse(text, strlen(text), "f.json", 1, &value, &err), SLM_ERR_FORMAT);
    assert_null(value);
    if (strncmp(err.message, place, strlen(place)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", err.message, place);
    }
    assert_holds(err.message, words);
}

static void parse_errors_name_line_and_column(void **state)
{
    (void)state;
    parse_error("{\n  \"a\": 1,\n  \"b\": x\n}", "f.json:3:8: not valid JSON", "x");
    parse_error("{\"a\": 1, \"a\": 2}", "f.json:1:", "duplicate");
    parse_error("{} {}", "f.json:1:", "end of file expected");
    parse_error("", "f.json:1:", "not valid JSON");
    parse_error("[1, 2", "f.json:1:", "not valid JSON");
    parse_error("\"\xFF\"", "f.json:1:", "unable to decode byte 0xff");
    json_t *value;
    slm_error err = {0};
    assert_int_equal(slm_json_parse("{\n?", 3, "x.jsonl", 40, &value, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "x.jsonl:41:1: ");
}

static void whole_numbers_beyond_64_bits_are_reals(void **state)
{
    (void)state;
    static const char text[] = "{\"most\": 1000000000000000019884624838656, \"n\": 7}";
    slm_error err = {0};
    json_t *root = NULL;
    int64_t n = 0;
    double most = 0;
    slm_json_place place = {.name = "c.json"};
    assert_int_equal(slm_json_parse(text, strlen(text), "c.json", 1, &root, &err), SLM_OK);
    assert_int_equal(slm_json_number(root, "most", &place, &most, &err), SLM_OK);
    assert_true(most == 1e30);
    assert_int_equal(slm_json_integer(root, "n", &place, &n, &err), SLM_OK);
    assert_int_equal(n, 7);
    assert_int_equal(slm_json_integer(root, "most", &place, &n, &err), SLM_ERR_FORMAT);
    json_decref(root);
    assert_int_equal(slm_json_parse("1e999", 5, "c.json", 1, &root, &err), SLM_ERR_FORMAT);
}

static void any_value_parses(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}",    "[]",   "3",    "-1.5e3",
                                        "\"x\"", "true", "null", " [1] \n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_decref(parse(texts[i]));
    /* Bytes beyond len are not looked at. */
    json_t *value;
    assert_int_equal(slm_json_parse("12garbage", 2, "x", 1, &value, NULL), SLM_OK);
    assert_int_equal(json_integer_value(value), 12);
    json_decref(value);
}

static void load_reads_files(void **state)
{
    slm_error err = {0};
    json_t *value;
    char *path = in_folder(&arena, state, "a.json");
    put_text(path, "\xEF\xBB\xBF{\"k\": 4}\n");
    assert_int_equal(slm_json_load(path, &value, &err), SLM_OK);
    assert_int_equal(json_integer_value(json_object_get(value, "k")), 4);
    json_decref(value);
    put_text(path, "{\n\"k\" 4}");
    assert_int_equal(slm_json_load(path, &value, &err), SLM_ERR_FORMAT);
    assert_null(value);
    assert_holds(err.message, path);
    assert_holds(err.message, ":2:");
    char *missing = in_folder(&arena, state, "missing.json");
    assert_int_equal(slm_json_load(missing, &value, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, missing);
}

static void places_are_spelt_out(void **state)
{
    (void)state;
    slm_json_place root = {.name = "cases.jsonl", .line = 12};
    slm_json_place rubrics = {.parent = &root, .key = "rubrics"};
    slm_json_place third = {.parent = &rubrics, .index = 2};
    slm_json_place points = {.parent = &third, .key = "points"};
    slm_json_place inner = {.parent = &points, .index = 0};
    slm_buffer out = {0};
    slm_json_place_text(&root, &out);
    assert_string_equal(out.data, "cases.jsonl:12");
    slm_buffer_truncate(&out, 0);
    slm_json_place_text(&inner, &out);
    assert_string_equal(out.data, "cases.jsonl:12: rubrics[2].points[0]");
    slm_buffer_truncate(&out, 0);
    root.line = 0;
    slm_json_place_text(&points, &out);
    assert_string_equal(out.data, "cases.jsonl: rubrics[2].points");
    slm_buffer_free(&out);
    slm_json_place list = {.name = "x"};
    slm_json_place element = {.parent = &list, .index = 4};
    slm_error err;
    assert_int_equal(slm_json_error(&element, &err, "too %s", "long"), SLM_ERR_FORMAT);
    assert_string_equal(err.message, "x: [4]: too long");
    assert_int_equal(slm_json_error(&element, NULL, "x"), SLM_ERR_FORMAT);
}

static const slm_json_place ROOT = {.name = "cases.jsonl", .line = 12};
static const slm_json_place RUBRICS = {.parent = &ROOT, .key = "rubrics"};
static const slm_json_place THIRD = {.parent = &RUBRICS, .index = 2};

static void members_of_the_right_type(void **state)
{
    (void)state;
    json_t *object = parse("{\"s\": \"text\", \"n\": 1.5, \"i\": 7, \"w\": 3.0, \"b\": true,"
                           " \"a\": [1], \"o\": {\"x\": 1}, \"null\": null}");
    const char *text = NULL;
    double number = 0;
    int64_t integer = 0;
    bool flag = false;
    json_t *value = NULL;
    slm_error err = {0};
    assert_int_equal(slm_json_string(object, "s", &THIRD, &text, &err), SLM_OK);
    assert_string_equal(text, "text");
    assert_int_equal(slm_json_number(object, "n", &THIRD, &number, &err), SLM_OK);
    assert_true(number == 1.5);
    assert_int_equal(slm_json_number(object, "i", &THIRD, &number, &err), SLM_OK);
    assert_true(number == 7);
    assert_int_equal(slm_json_integer(object, "i", &THIRD, &integer, &err), SLM_OK);
    assert_int_equal(integer, 7);
    assert_int_equal(slm_json_integer(object, "w", &THIRD, &integer, &err), SLM_OK);
    assert_int_equal(integer, 3);
    assert_int_equal(slm_json_bool_optional(object, "b", &THIRD, &flag, &err), SLM_OK);
    assert_true(flag);
    assert_int_equal(slm_json_array(object, "a", &THIRD, &value, &err), SLM_OK);
    assert_int_equal(json_array_size(value), 1);
    assert_int_equal(slm_json_object_optional(object, "o", &THIRD, &value, &err), SLM_OK);
    assert_int_equal(json_object_size(value), 1);
    assert_int_equal(err.status, SLM_OK);
    json_decref(object);
}

static void missing_and_null_leave_optionals(void **state)
{
    (void)state;
    json_t *object = parse("{\"null\": null}");
    static const char *const keys[] = {"null", "missing"};
    for (size_t i = 0; i < 2; i++) {
        const char *text = "was";
        double number = 1.5;
        int64_t integer = 7;
        bool flag = true;
        json_t *value = object;
        slm_error err = {0};
        const char *key = keys[i];
        assert_int_equal(slm_json_string_optional(object, key, &ROOT, &text, &err), SLM_OK);
        assert_int_equal(slm_json_number_optional(object, key, &ROOT, &number, &err), SLM_OK);
        assert_int_equal(slm_json_integer_optional(object, key, &ROOT, &integer, &err), SLM_OK);
        assert_int_equal(slm_json_bool_optional(object, key, &ROOT, &flag, &err), SLM_OK);
        assert_int_equal(slm_json_array_optional(object, key, &ROOT, &value, &err), SLM_OK);
        assert_int_equal(slm_json_object_optional(object, key, &ROOT, &value, &err), SLM_OK);
        assert_string_equal(text, "was");
        assert_true(number == 1.5 && integer == 7 && flag && value == object);
    }
    json_decref(object);
}

static void wrong_members_are_named(void **state)
{
    (void)state;
    json_t *object = parse("{\"points\": \"five\", \"half\": 2.5, \"huge\": 1e300, \"n\": null}");
    const char *text;
    double number;
    int64_t integer;
    bool flag;
    json_t *value;
    slm_error err;
    assert_int_equal(slm_json_number(object, "points", &THIRD, &number, &err), SLM_ERR_FORMAT);
    assert_string_equal(err.message,
                        "cases.jsonl:12: rubrics[2].points: expected a number, got string");
    assert_int_equal(slm_json_string(object, "criterion", &THIRD, &text, &err), SLM_ERR_FORMAT);
    assert_string_equal(err.message,
                        "cases.jsonl:12: rubrics[2].criterion: missing, expected a string");
    assert_int_equal(slm_json_integer(object, "half", &ROOT, &integer, &err), SLM_ERR_FORMAT);
    assert_string_equal(err.message, "cases.jsonl:12: half: expected a whole number, got 2.5");
    assert_int_equal(slm_json_integer(object, "huge", &ROOT, &integer, &err), SLM_ERR_FORMAT);
    assert_int_equal(slm_json_string(object, "n", &ROOT, &text, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "n: expected a string, got null");
    assert_int_equal(slm_json_bool_optional(object, "points", &ROOT, &flag, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "expected true or false, got string");
    assert_int_equal(slm_json_array(object, "points", &ROOT, &value, &err), SLM_ERR_FORMAT);
    assert_int_equal(slm_json_array_optional(object, "half", &ROOT, &value, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "expected an array, got number");
    assert_int_equal(slm_json_object_optional(object, "half", &ROOT, &value, &err), SLM_ERR_FORMAT);
    json_t *list = parse("[1]");
    assert_int_equal(slm_json_string(list, "x", &THIRD, &text, &err), SLM_ERR_FORMAT);
    assert_string_equal(err.message, "cases.jsonl:12: rubrics[2]: expected an object, got array");
    assert_int_equal(slm_json_string(NULL, "x", NULL, &text, &err), SLM_ERR_FORMAT);
    json_decref(list);
    json_decref(object);
}

static void lines_are_read_one_by_one(void **state)
{
    slm_error err = {0};
    slm_jsonl *reader;
    json_t *value;
    size_t line;
    char *path = in_folder(&arena, state, "a.jsonl");
    put_text(path, "\xEF\xBB\xBF{\"i\": 1}\r\n\n  \t\n{\"i\": 4}\n{\"i\": 5}");
    assert_int_equal(slm_jsonl_open(path, &reader, &err), SLM_OK);
    static const size_t lines[] = {1, 4, 5};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(slm_jsonl_next(reader, &value, &line, &err), SLM_OK);
        assert_non_null(value);
        assert_int_equal(line, lines[i]);
        assert_int_equal(json_integer_value(json_object_get(value, "i")), lines[i]);
        json_decref(value);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(slm_jsonl_next(reader, &value, NULL, &err), SLM_OK);
        assert_null(value);
    }
    slm_jsonl_close(reader);
    slm_jsonl_close(NULL);
}

static void bad_lines_are_named_and_passed(void **state)
{
    slm_error err = {0};
    slm_jsonl *reader;
    json_t *value;
    size_t line;
    char *path = in_folder(&arena, state, "a.jsonl");
    put_text(path, "{}\n{\"a\": }\n[1]\n{\"b\": 1}\n");
    assert_int_equal(slm_jsonl_open(path, &reader, &err), SLM_OK);
    assert_int_equal(slm_jsonl_next(reader, &value, &line, &err), SLM_OK);
    json_decref(value);
    assert_int_equal(slm_jsonl_next(reader, &value, &line, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, path);
    assert_holds(err.message, ":2:7: ");
    assert_int_equal(slm_jsonl_next(reader, &value, &line, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, ":3: expected an object on each line, got array");
    assert_int_equal(slm_jsonl_next(reader, &value, &line, &err), SLM_OK);
    assert_int_equal(line, 4);
    json_decref(value);
    slm_jsonl_close(reader);
    char *missing = in_folder(&arena, state, "missing");
    assert_int_equal(slm_jsonl_open(missing, &reader, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, missing);
    assert_int_equal(slm_jsonl_open(*state, &reader, &err), SLM_OK);
    assert_int_equal(slm_jsonl_next(reader, &value, &line, &err), SLM_ERR_IO);
    slm_jsonl_close(reader);
}

static void lines_may_be_long_and_hold_nul(void **state)
{
    slm_error err = {0};
    slm_jsonl *reader;
    json_t *value;
    slm_buffer text = {0};
    slm_buffer_append_text(&text, "{\"long\": \"");
    while (text.len < (size_t)5 << 20)
        slm_buffer_append_text(&text, "0123456789abcdef");
    slm_buffer_append_text(&text, "\"}\n{\"a\": \"x");
    slm_buffer_append(&text, "\0y\"}\n", 5);
    char *path = in_folder(&arena, state, "a.jsonl");
    put_file(path, text.data, text.len);
    assert_int_equal(slm_jsonl_open(path, &reader, &err), SLM_OK);
    assert_int_equal(slm_jsonl_next(reader, &value, NULL, &err), SLM_OK);
    assert_in_range(json_string_length(json_object_get(value, "long")), 5 << 20, (5 << 20) + 16);
    json_decref(value);
    assert_int_equal(slm_jsonl_next(reader, &value, NULL, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, ":2:");
    slm_jsonl_close(reader);
    slm_buffer_free(&text);
}

static void objects_are_found_wherever_they_stand(void **state)
{
    (void)state;
    static const char text[] =
        "So {this}: ```{\"a\":{\"b\":[{\"c\":1}]}}``` {\"d\":1,\"d\":2} {\"e\":2} {";
    static const char *const within[] = {"a", "b", "c", "e"}, *const outer[] = {"a", "e"};
    slm_json_scan in = {.text = text, .len = strlen(text)}, over = in;
    json_t *object;
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(object = slm_json_scan_next(&in));
        assert_non_null(json_object_get(object, within[i]));
        json_decref(object);
    }
    assert_null(slm_json_scan_next(&in));
    assert_false(slm_json_scan_is_tangled(&in));
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(object = slm_json_scan_next(&over));
        assert_non_null(json_object_get(object, outer[i]));
        json_decref(object);
        slm_json_scan_skip(&over);
    }
    assert_null(slm_json_scan_next(&over));
}

static void a_tangled_text_is_given_up(void **state)
{
    (void)state;
    slm_buffer text = {0};
    while (text.len < 2u << 20)
        slm_buffer_append_text(&text, "{\"a\":[");
    slm_json_scan scan = {.text = slm_buffer_text(&text), .len = text.len};
    assert_null(slm_json_scan_next(&scan));
    assert_true(slm_json_scan_is_tangled(&scan));
    slm_buffer_free(&text);
}

static void strings_read_back(void **state)
{
    (void)state;
    slm_buffer text = {0};
    slm_buffer out = {0};
    for (int c = 1; c < 128; c++)
        slm_buffer_append_char(&text, (char)c);
    slm_buffer_append_text(&text, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    slm_json_append_string(&out, text.data, text.len);
    json_t *value = parse(out.data);
    assert_string_equal(json_string_value(value), text.data);
    json_decref(value);
    slm_buffer_truncate(&out, 0);
    slm_json_append_string(&out, "a\"\\\n\t\x01\x7F/", 8);
    assert_string_equal(out.data, "\"a\\\"\\\\\\n\\t\\u0001\x7F/\"");
    slm_buffer_truncate(&out, 0);
    slm_json_append_string(&out, "a\0b\xFF", 4);
    assert_string_equal(out.data, "\"a\\u0000b\xEF\xBF\xBD\"");
    slm_buffer_free(&out);
    slm_buffer_free(&text);
}

static void number(double value, const char *want)
{
    slm_buffer out = {0};
    slm_json_append_number(&out, value);
    if (want != NULL) assert_string_equal(out.data, want);
    if (isfinite(value)) {
        json_t *back = parse(out.data);
        double read = json_number_value(back);
        if (memcmp(&read, &value, sizeof read) != 0) fail_msg("%.17g became %s", value, out.data);
        json_decref(back);
    }
    slm_buffer_free(&out);
}

static void numbers_read_back(void **state)
{
    (void)state;
    number(0, "0");
    number(-0.0, "-0.0");
    number(1, "1");
    number(-7, "-7");
    number(0.1, "0.1");
    number(1.5e-7, "1.5e-07");
    number(1.0 / 3, "0.3333333333333333");
    number(9007199254740993.0, "9007199254740992");
    number(1e18, "1000000000000000000");
    number(1e19, "1e+19");
    number(1.7976931348623157e308, NULL);
    number(4.9e-324, NULL);
    number(NAN, "null");
    number(INFINITY, "null");
    uint64_t bits = 88172645463325252;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) number(value, NULL);
    }
}

static void canonical_text_is_unique(void **state)
{
    (void)state;
    json_t *a = parse("{\"b\": [1, 2.0, true, null], \"a\": {\"y\": \"\\u00e9\", \"x\": 0.10}}");
    json_t *b = parse("{ \"a\":{\"x\":1e-1,\"y\":\"\xC3\xA9\"}, \"b\":[1.0,2,true,null] }");
    slm_buffer one = {0};
    slm_buffer two = {0};
    slm_json_append_canonical(&one, a);
    slm_json_append_canonical(&two, b);
    assert_string_equal(one.data, "{\"a\":{\"x\":0.1,\"y\":\"\xC3\xA9\"},\"b\":[1,2,true,null]}");
    assert_string_equal(one.data, two.data);
    json_t *back = parse(one.data);
    slm_buffer_truncate(&two, 0);
    slm_json_append_canonical(&two, back);
    assert_string_equal(one.data, two.data);
    json_decref(back);
    json_decref(a);
    json_decref(b);
    slm_buffer_free(&one);
    slm_buffer_free(&two);
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_errors_name_line_and_column),
        cmocka_unit_test(whole_numbers_beyond_64_bits_are_reals),
        cmocka_unit_test(any_value_parses),
        FILE_TEST(load_reads_files),
        cmocka_unit_test(places_are_spelt_out),
        cmocka_unit_test(members_of_the_right_type),
        cmocka_unit_test(missing_and_null_leave_optionals),
        cmocka_unit_test(wrong_members_are_named),
        FILE_TEST(lines_are_read_one_by_one),
        FILE_TEST(bad_lines_are_named_and_passed),
        FILE_TEST(lines_may_be_long_and_hold_nul),
        cmocka_unit_test(objects_are_found_wherever_they_stand),
        cmocka_unit_test(a_tangled_text_is_given_up),
        cmocka_unit_test(strings_read_back),
        cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(canonical_text_is_unique),
    };
    return cmocka_run_group_tests_name("base/json", tests, NULL, NULL);
}
