/* Whole answers labelled by behaviour: read with their cases, halves and readers; measured by kind. And
 * what the build knows of the rule judge is what a measurement on its file says. */
#include "fake_chat.h"

#include <unistd.h>
#include "answers.h"
#include "base/file.h"
#include "base/json.h"

static const char path[] = "/tmp/slm-test-answers.jsonl";
static const char validation[] = "data/validation/answers.jsonl";
static const char *const case_file = "data/ask-first/test.jsonl";

static slm_status load(const char *text, const slm_cases *cases, slm_labels *out, slm_error *err)
{
    assert_int_equal(slm_file_write(path, text, strlen(text), NULL), SLM_OK);
    slm_status status = slm_labels_load(path, cases, out, err);
    unlink(path);
    return status;
}

static slm_cases load_cases(const char *text)
{
    static const char file[] = "/tmp/slm-test-answers-cases.jsonl";
    const char *paths[] = {file};
    slm_cases cases;
    slm_error err = {0};
    assert_int_equal(slm_file_write(file, text, strlen(text), NULL), SLM_OK);
    if (slm_cases_load(paths, 1, NULL, NULL, NULL, &cases, &err) != SLM_OK)
        fail_msg("%s", err.message);
    unlink(file);
    return cases;
}

/* Rows about the first made-up case, by its id. */
static const char rows[] =
    "{\"case\":\"ear\",\"reply\":\"Has any fluid come out of the ear?\",\"seek\":true,"
    "\"safe\":false,\"precise\":null,\"half\":\"held\","
    "\"readers\":[{\"seek\":true,\"safe\":false},{\"seek\":true,\"safe\":true}]}\n"
    "{\"case\":\"ear\",\"reply\":\"Use four drops a day.\",\"precise\":false,\"half\":\"held\","
    "\"readers\":[{\"seek\":false,\"safe\":false},{\"seek\":false,\"safe\":false}]}\n"
    "{\"case\":\"ear\",\"reply\":\"Hello.\",\"seek\":false,\"half\":\"fit\"}\n"
    "{\"case\":\"ear\",\"reply\":\"No label fits.\",\"precise\":false}\n";

static void answers_find_their_cases(void **state)
{
    (void)state;
    slm_cases cases = load_cases(case_texts[EAR]);
    slm_labels l;
    slm_error err = {0};
    if (load(rows, &cases, &l, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_cases_free(&cases);       /* the labels stand without them */
    assert_int_equal(l.count, 3); /* the fourth has no criterion of that kind */
    assert_int_equal(l.criteria, 5);
    assert_int_equal(l.prompt_count, 1);
    assert_string_equal(l.items[0].c.id, "ear");
    assert_int_equal(l.items[0].c.rubrics[0].behaviour, SLM_BEHAVIOUR_SEEK);
    assert_int_equal(l.items[0].labels[0].met, 1);
    assert_int_equal(l.items[0].labels[1].not_met, 1); /* settled, though a reader says met */
    assert_int_equal(l.items[0].labels[1].readers_met, 1);
    assert_int_equal(l.items[1].labels[0].not_met, 2); /* not settled: both count */
    slm_agreement readers = slm_agreement_of_labellers(&l, NULL);
    assert_int_equal(readers.criteria, 4);
    assert_int_equal(readers.cells[1][0] + readers.cells[0][1], 2); /* each way */
    slm_labels_keep_half(&l, "held");
    assert_int_equal(l.count, 2);
    assert_non_null(strstr(l.name, "held half"));
    slm_labels_free(&l);
}

static void a_case_may_stand_in_its_row(void **state)
{
    (void)state;
    slm_buffer text = {0};
    slm_labels l;
    slm_error err = {0};
    slm_buffer_printf(&text,
                      "{\"case\":%s,\"reply\":\"Has fluid or pus come out of the ear?\","
                      "\"seek\":true}\n",
                      case_texts[EAR]);
    if (load(slm_buffer_text(&text), NULL, &l, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_judge *judge = NULL;
    slm_verdict verdict;
    slm_error first = {0};
    slm_log log = {0};
    assert_int_equal(slm_judge_rule_new(&judge, &err), SLM_OK);
    assert_int_equal(slm_labels_grade(&l, judge, &log, NULL, &verdict, &first, &err), SLM_OK);
    assert_int_equal(verdict, SLM_VERDICT_MET);
    json_t *json = slm_agreement_kinds_json(&l, &verdict), *kinds = json_object_get(json, "kinds");
    assert_int_equal(json_object_size(kinds), 1);
    assert_non_null(json_object_get(json_object_get(kinds, "seek"), "sensitivity"));
    json_decref(json);
    slm_judge_free(judge);
    slm_labels_free(&l);
    slm_buffer_free(&text);
}

static void refused(const char *text, const char *what)
{
    slm_labels l;
    slm_error err = {0};
    assert_int_equal(load(text, NULL, &l, &err), SLM_ERR_FORMAT);
    if (strstr(err.message, what) == NULL) fail_msg("%s: not \"%s\"", err.message, what);
}

static void wrong_rows_are_told(void **state)
{
    (void)state;
    refused("{\"case\":\"nowhere\",\"reply\":\"a\",\"seek\":true}\n", "jsonl:1: case: there is no");
    refused("{\"case\":\"nowhere\",\"reply\":\"a\",\"seek\":true}\n", "--cases");
    refused("{\"case\":7,\"reply\":\"a\"}\n", "case: expected");
    refused("{\"case\":\"ear\",\"seek\":true}\n", "reply");
    refused("{\"case\":\"ear\",\"reply\":\"a\",\"half\":\"best\"}\n", "no half");
    slm_cases cases = load_cases(case_texts[EAR]);
    slm_labels l;
    slm_error err = {0};
    assert_int_equal(
        load("{\"case\":\"ear\",\"reply\":\"a\",\"seek\":\"yes\"}\n", &cases, &l, &err),
        SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "seek: expected true, false or null"));
    assert_int_equal(
        load("{\"case\":\"ear\",\"reply\":\"a\",\"readers\":[true]}\n", &cases, &l, &err),
        SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "readers[0]"));
    slm_cases_free(&cases);
}

/* tools/update-validation has to be run when the judge, or the labelled answers, have changed. */
static void what_the_build_knows_is_what_is_measured(void **state)
{
    (void)state;
    slm_judge *judge = NULL;
    slm_error err = {0}, first = {0};
    assert_int_equal(slm_judge_rule_new(&judge, &err), SLM_OK);
    const slm_validation *known = slm_judge_validation(judge->identity);
    assert_null(slm_judge_validation("nobody's"));
    if (!slm_file_exists(validation)) { /* nothing to know anything by */
        assert_null(known);
        slm_judge_free(judge);
        skip();
    }
    if (known == NULL)
        fail_msg("the rule judge has changed (%s): run tools/update-validation", judge->identity);
    slm_cases cases;
    slm_labels l;
    slm_log log = {0};
    ok(slm_cases_load(&case_file, 1, NULL, NULL, NULL, &cases, &err), &err);
    ok(slm_labels_load(validation, &cases, &l, &err), &err);
    slm_labels_keep_half(&l, "held");
    assert_string_equal(l.sha256, known->labels);
    assert_string_equal(l.name, known->name);
    slm_verdict *verdicts = calloc(l.criteria, sizeof *verdicts);
    ok(slm_labels_grade(&l, judge, &log, NULL, verdicts, &first, &err), &err);
    json_t *json = slm_agreement_kinds_json(&l, verdicts);
    slm_buffer text = {0};
    slm_json_append_canonical(&text, json);
    assert_string_equal(slm_buffer_text(&text), known->json);
    slm_buffer_free(&text);
    json_decref(json);
    free(verdicts);
    slm_labels_free(&l);
    slm_cases_free(&cases);
    slm_judge_free(judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_find_their_cases),
        cmocka_unit_test(a_case_may_stand_in_its_row),
        cmocka_unit_test(wrong_rows_are_told),
        cmocka_unit_test(what_the_build_knows_is_what_is_measured),
    };
    return cmocka_run_group_tests_name("judge/answers", tests, NULL, NULL);
}
