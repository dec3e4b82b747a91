/* YAML settings: what a document becomes, and where its mistakes are said to stand. */
#include "helpers.h"
#include "base/yaml.h"

static slm_yaml *parse(const char *text)
{
    slm_yaml *yaml = NULL;
    slm_error err = {0};
    if (slm_yaml_parse(text, strlen(text), "s.yaml", &yaml, &err) != SLM_OK)
        fail_msg("%s", err.message);
    return yaml;
}

static void assert_reads(const char *text, const char *json)
{
    slm_yaml *yaml = parse(text);
    slm_buffer out = {0};
    slm_json_append_canonical(&out, slm_yaml_root(yaml));
    assert_string_equal(slm_buffer_text(&out), json);
    slm_buffer_free(&out);
    slm_yaml_free(yaml);
}

static void assert_refused(const char *text, const char *part)
{
    slm_yaml *yaml = NULL;
    slm_error err = {0};
    assert_int_equal(slm_yaml_parse(text, strlen(text), "s.yaml", &yaml, &err), SLM_ERR_FORMAT);
    assert_null(yaml);
    if (strstr(err.message, part) == NULL) fail_msg("'%s' is not in '%s'", part, err.message);
}

static void values_follow_the_core_schema(void **state)
{
    (void)state;
    assert_reads("", "null");
    assert_reads("# nothing\n", "null");
    assert_reads("a: 1\nb: -2.5\nc: 1e3\nd: .5\n", "{\"a\":1,\"b\":-2.5,\"c\":1000,\"d\":0.5}");
    assert_reads("a: true\nb: False\nc: null\nd: ~\ne:\n",
                 "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}");
    assert_reads("a: yes\nb: 2025-06-01\nc: \"1\"\nd: 'true'\ne: 1.2.3\nf: 0x10\ng: .inf\nh: +\n",
                 "{\"a\":\"yes\",\"b\":\"2025-06-01\",\"c\":\"1\",\"d\":\"true\",\"e\":\"1.2.3\","
                 "\"f\":\"0x10\",\"g\":\".inf\",\"h\":\"+\"}");
    assert_reads("- a\n- [1, {b: 2}]\n- |\n  two\n  lines\n",
                 "[\"a\",[1,{\"b\":2}],\"two\\nlines\\n\"]");
    assert_reads("{\"a\": [1, 2], \"b\": \"Grüße\"}", "{\"a\":[1,2],\"b\":\"Grüße\"}");
}

static void what_is_not_taken_is_refused_with_its_line(void **state)
{
    (void)state;
    assert_refused("a: 1\nb: 2\na: 3\n", "s.yaml:3: the key 'a' stands here twice");
    assert_refused("a: &x 1\nb: *x\n", "s.yaml:1: anchors");
    assert_refused("b: *x\n", "aliases");
    assert_refused("a: !!int 1\n", "tags");
    assert_refused("a: 1\n---\nb: 2\n", "s.yaml:2: a second document");
    assert_refused("a: [1, 2\nb: 3\n", "s.yaml:2: not YAML");
    assert_refused("a:\n\t- b\n", "not YAML");
    assert_refused("? [a]\n: b\n", "a key must be a plain name");
    assert_refused("a: 123456789012345678901\n", "past 64 bits");
    assert_refused("a: \"\\0\"\n", "zero byte");
    assert_refused("a: \xff\n", "not YAML");
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 199);
    deep[399] = '\0';
    assert_refused(deep, "more than 64 levels");
}

static void a_value_knows_its_line(void **state)
{
    (void)state;
    slm_yaml *yaml = parse("a:\n  - b: 1\n    c: text\n  - b: 2\n");
    const json_t *list = json_object_get(slm_yaml_root(yaml), "a");
    assert_int_equal(slm_yaml_line(yaml, slm_yaml_root(yaml)), 1);
    assert_int_equal(slm_yaml_line(yaml, list), 2);
    assert_int_equal(slm_yaml_line(yaml, json_array_get(list, 1)), 4);
    assert_int_equal(slm_yaml_line(yaml, json_object_get(json_array_get(list, 0), "c")), 3);
    assert_int_equal(slm_yaml_line(yaml, json_true()), 0);
    slm_yaml_free(yaml);
}

static void a_misspelt_key_is_told_the_right_one(void **state)
{
    (void)state;
    static const char *const known[] = {"temperature", "rollouts", NULL};
    slm_yaml *yaml = parse("\ntemperture: 1\n");
    slm_json_place place = slm_yaml_place(yaml, slm_yaml_root(yaml));
    slm_error err = {0};
    assert_int_equal(slm_yaml_check_keys(slm_yaml_root(yaml), &place, known, &err), SLM_ERR_FORMAT);
    assert_string_equal(err.message,
                        "s.yaml:2: unknown key 'temperture'; did you mean 'temperature'?");
    slm_yaml_free(yaml);
    yaml = parse("rollouts: 1\n");
    assert_int_equal(slm_yaml_check_keys(slm_yaml_root(yaml), &place, known, &err), SLM_OK);
    slm_yaml_free(yaml);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    slm_yaml *yaml = NULL;
    slm_error err = {0};
    assert_int_not_equal(slm_yaml_load("/nonexistent/s.yaml", &yaml, &err), SLM_OK);
    assert_non_null(strstr(err.message, "/nonexistent/s.yaml"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_the_core_schema),
        cmocka_unit_test(what_is_not_taken_is_refused_with_its_line),
        cmocka_unit_test(a_value_knows_its_line),
        cmocka_unit_test(a_misspelt_key_is_told_the_right_one),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests_name("base/yaml", tests, NULL, NULL);
}
