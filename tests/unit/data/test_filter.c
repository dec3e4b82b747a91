/* Which cases and criteria a filter keeps, and that what it keeps is a set of its own. */
#include "helpers.h"

#include "base/file.h"

static char folder[] = "/tmp/slm-test-filter-XXXXXX";
static char cases_path[128], hard_path[128], consensus_path[128];

static const char rows_text[] =
    "{\"prompt_id\":\"a\",\"prompt\":[{\"role\":\"user\",\"content\":\"One?\"}],"
    "\"example_tags\":[\"theme:hedging\",\"physician_agreed_category:no-uncertainty\"],"
    "\"rubrics\":[{\"criterion\":\"Says where to go\",\"points\":5,\"tags\":[\"axis:accuracy\"]},"
    "{\"criterion\":\"Is rude\",\"points\":-4,\"tags\":[\"axis:communication_quality\"]},"
    "{\"criterion\":\"Asks since when\",\"points\":3,\"tags\":[\"axis:completeness\"]}]}\n"
    "{\"prompt_id\":\"b\",\"prompt\":[{\"role\":\"user\",\"content\":\"Two?\"}],"
    "\"example_tags\":[\"theme:hedging\"],\"ideal_completions_data\":null,"
    "\"rubrics\":[{\"criterion\":\"Is rude\",\"points\":-4,\"tags\":[\"axis:accuracy\"]},"
    "{\"criterion\":\"Asks since when\",\"points\":3,\"tags\":[\"axis:completeness\"]}]}\n"
    "{\"prompt_id\":\"c\",\"prompt\":[{\"role\":\"user\",\"content\":\"Three?\"}],"
    "\"example_tags\":[\"theme:communication\"],"
    "\"rubrics\":[{\"criterion\":\"Is kind\",\"points\":7,\"tags\":[\"axis:accuracy\"]}]}\n";

static int set_up(void **state)
{
    (void)state;
    slm_error err = {0};
    if (!mkdtemp(folder)) return -1;
    snprintf(cases_path, sizeof cases_path, "%s/cases.jsonl", folder);
    snprintf(hard_path, sizeof hard_path, "%s/hard.jsonl", folder);
    snprintf(consensus_path, sizeof consensus_path, "%s/consensus.jsonl", folder);
    static const char hard[] = "{\"prompt_id\":\"a\"}\n{\"prompt_id\":\"c\"}\n";
    static const char consensus[] = "{\"prompt_id\":\"c\",\"rubrics\":[]}\n{\"prompt_id\":\"b\"}\n";
    return slm_file_write(cases_path, rows_text, sizeof rows_text - 1, &err) ||
           slm_file_write(hard_path, hard, sizeof hard - 1, &err) ||
           slm_file_write(consensus_path, consensus, sizeof consensus - 1, &err);
}

static int tear_down(void **state)
{
    (void)state;
    unlink(cases_path);
    unlink(hard_path);
    unlink(consensus_path);
    return rmdir(folder);
}

static slm_status load(const slm_cases_options *options, slm_cases *cases, slm_error *err)
{
    const char *paths[] = {cases_path};
    return slm_cases_load(paths, 1, options, NULL, NULL, cases, err);
}

/* The ids that are kept, joined. */
static void assert_kept(const slm_cases_options *options, const char *wanted)
{
    slm_cases cases;
    slm_error err = {0};
    char got[16] = "";
    if (load(options, &cases, &err) != SLM_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < cases.count; i++)
        strncat(got, cases.items[i].id, sizeof got - strlen(got) - 1);
    assert_string_equal(got, wanted);
    assert_int_equal(cases.rows_read, 3);
    slm_cases_free(&cases);
}

static void tags_narrow(void **state)
{
    (void)state;
    const char *tags[] = {"theme:hedging", "physician_agreed_category:*"};
    assert_kept(&(slm_cases_options){0}, "abc");
    assert_kept(&(slm_cases_options){.tags = tags, .tag_count = 1}, "ab");
    assert_kept(&(slm_cases_options){.tags = tags, .tag_count = 2}, "a");
}

static void cases_that_stand_in_other_files_too(void **state)
{
    (void)state;
    const char *both[] = {hard_path, consensus_path};
    assert_kept(&(slm_cases_options){.also_in = both, .also_in_count = 1}, "ac");
    assert_kept(&(slm_cases_options){.also_in = both, .also_in_count = 2}, "c");

    slm_cases cases;
    slm_error err = {0};
    const char *missing[] = {"/nowhere/hard.jsonl"};
    slm_cases_options options = {.also_in = missing, .also_in_count = 1};
    assert_int_equal(load(&options, &cases, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, "/nowhere/hard.jsonl");

    char wrong[128];
    snprintf(wrong, sizeof wrong, "%s/wrong.jsonl", folder);
    const char *one[] = {wrong};
    options.also_in = one;
    assert_int_equal(slm_file_write(wrong, "\n{\"id\":1}\n", 10, &err), SLM_OK);
    assert_int_equal(load(&options, &cases, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "wrong.jsonl:2");
    assert_holds(err.message, "prompt_id");
    assert_int_equal(slm_file_write(wrong, "\n", 1, &err), SLM_OK);
    assert_int_equal(load(&options, &cases, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "--also-in takes a file of cases");
    unlink(wrong);
}

static void criteria_are_taken_out(void **state)
{
    (void)state;
    slm_cases all, some, same;
    slm_error err = {0};
    const char *accuracy[] = {"axis:accuracy"}, *text[] = {"*SINCE when"}, *every[] = {"*"};
    slm_cases_options options = {.criteria = accuracy, .criteria_count = 1};
    assert_int_equal(load(NULL, &all, &err), SLM_OK);
    assert_int_equal(load(&options, &some, &err), SLM_OK);
    /* b keeps only a penalty, and nothing to be had. */
    assert_int_equal(some.count, 2);
    assert_string_equal(some.items[0].id, "a");
    assert_string_equal(some.items[1].id, "c");
    assert_int_equal(some.items[0].rubric_count, 1);
    assert_string_equal(some.items[0].rubrics[0].criterion, "Says where to go");
    assert_int_equal(some.criteria_read, 4);
    assert_int_equal(some.criteria_kept, 2);
    /* What a database keeps of it is the smaller case; another set than the whole. */
    assert_null(strstr(some.items[0].json, "Is rude"));
    assert_string_not_equal(some.sha256, all.sha256);
    assert_string_equal(some.items[1].json, all.items[2].json);
    slm_cases_free(&some);

    options.criteria = text;
    assert_int_equal(load(&options, &some, &err), SLM_OK);
    assert_int_equal(some.count, 2);
    assert_string_equal(some.items[1].id, "b");
    assert_true(some.items[1].rubrics[0].points == 3);
    slm_cases_free(&some);

    options.criteria = every;
    assert_int_equal(load(&options, &same, &err), SLM_OK);
    assert_string_equal(same.sha256, all.sha256);
    slm_cases_free(&same);

    const char *none[] = {"axis:none"};
    options.criteria = none;
    assert_int_equal(load(&options, &some, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "--criteria");
    slm_cases_free(&all);
}

/* ---- the meta-evaluation's rows ---- */

static const char meta_row[] =
    "{\"prompt\":[{\"role\":\"user\",\"content\":\"One?\"}],\"completion\":\"Rest.\","
    "\"rubric\":\"[5] Says when to see a doctor\",\"category\":\"cluster:x\",\"canary\":\"-\","
    "\"binary_labels\":[true,false],\"anonymized_physician_ids\":[\"p1\",\"p2\"],"
    "\"prompt_id\":\"a\",\"completion_id\":\"abc\"}\n";

static slm_status load_meta(const char *text, size_t limit, slm_meta_rows *rows, slm_error *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/meta.jsonl", folder);
    assert_int_equal(slm_file_write(path, text, strlen(text), err), SLM_OK);
    slm_status status = slm_meta_rows_load(path, limit, rows, err);
    unlink(path);
    return status;
}

static void meta_rows(void **state)
{
    (void)state;
    slm_meta_rows rows = {0};
    slm_error err = {0};
    char *plain = bend(meta_row, ",\"prompt_id\":\"a\",\"completion_id\":\"abc\"", "");
    slm_buffer text = {0};
    slm_buffer_printf(&text, "%s\n%s", meta_row, plain);
    assert_int_equal(load_meta(slm_buffer_text(&text), 0, &rows, &err), SLM_OK);
    assert_int_equal(rows.count, 2);
    const slm_meta_row *row = &rows.items[0];
    assert_string_equal(row->id, "abc");
    assert_string_equal(row->turns[0].content, "One?");
    assert_string_equal(row->completion, "Rest.");
    assert_string_equal(row->rubric, "[5] Says when to see a doctor");
    assert_string_equal(row->category, "cluster:x");
    assert_int_equal(row->label_count, 2);
    assert_true(row->labels[0] && !row->labels[1]);
    assert_string_equal(row->physicians[1], "p2");
    assert_holds(rows.items[1].id, "meta.jsonl:3");
    slm_meta_rows_free(&rows);
    assert_int_equal(load_meta(slm_buffer_text(&text), 1, &rows, &err), SLM_OK);
    assert_int_equal(rows.count, 1);
    slm_meta_rows_free(&rows);
    slm_buffer_free(&text);
    free(plain);
}

static void wrong_meta_rows(void **state)
{
    (void)state;
    static const char *const bends[][3] = {
        {"[true,false]", "[]", "binary_labels: is empty"},
        {"[true,false]", "[true]", "2 items beside 1 binary_labels"},
        {"[true,false]", "[true,1]", "binary_labels[1]: expected true or false"},
        {"\"p2\"", "2", "anonymized_physician_ids[1]: expected a string"},
        {"\"Rest.\"", "null", "completion"},
        {"[{\"role\":\"user\",\"content\":\"One?\"}]", "[]", "prompt: is empty"},
        {"\"One?\"", "[]", "prompt[0].content"},
    };
    slm_meta_rows rows = {0};
    slm_error err = {0};
    for (size_t i = 0; i < sizeof bends / sizeof bends[0]; i++) {
        char *text = bend(meta_row, bends[i][0], bends[i][1]);
        assert_int_equal(load_meta(text, 0, &rows, &err), SLM_ERR_FORMAT);
        assert_holds(err.message, bends[i][2]);
        assert_holds(err.message, "meta.jsonl:1");
        free(text);
    }
    assert_int_equal(load_meta("\n", 0, &rows, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "has no rows");
    /* Each reader knows the other's rows. */
    assert_int_equal(load_meta(rows_text, 0, &rows, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "evaluate cases with slm eval");
    char path[128];
    slm_cases cases;
    snprintf(path, sizeof path, "%s/meta.jsonl", folder);
    const char *paths[] = {path};
    assert_int_equal(slm_file_write(path, meta_row, strlen(meta_row), &err), SLM_OK);
    assert_int_equal(slm_cases_load(paths, 1, NULL, NULL, NULL, &cases, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "slm judge");
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_narrow),
        cmocka_unit_test(cases_that_stand_in_other_files_too),
        cmocka_unit_test(criteria_are_taken_out),
        cmocka_unit_test(meta_rows),
        cmocka_unit_test(wrong_meta_rows),
    };
    return cmocka_run_group_tests_name("data/filter", tests, set_up, tear_down);
}
