/* Importing scores: both formats, quoting, what is refused and how it is said, and importing twice. */
#include "helpers.h"

static char file[160];

static slm_status import_text(const char *text, const char *name, slm_error *err)
{
    in_folder(file, "gpt_x_allresults.json");
    put_file(file, text);
    slm_store *store = open_store(path);
    slm_status status = slm_eval_import(store, file, name, NULL, NULL, err);
    slm_store_close(store);
    return status;
}

static void import_ok(const char *text, const char *name)
{
    slm_error err = {0};
    ok(import_text(text, name, &err), &err);
}

/* Refused with this text in its message, and nothing of it is in the database. */
static void refused(const char *text, const char *part)
{
    slm_error err = {0};
    char *before = NULL;
    if (slm_file_exists(path)) before = export_of(path);
    assert_int_equal(import_text(text, NULL, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, part);
    assert_holds(err.message, file);
    char *after = slm_file_exists(path) ? export_of(path) : NULL;
    if (before)
        assert_string_equal(before, after);
    else
        assert_null(after); /* nor is there an empty one */
    free(before);
    free(after);
}

static void csv_becomes_arms(void **state)
{
    (void)state;
    import_ok("\xef\xbb\xbf"
              "model,case,rollout,score\r\n"
              "Qwen/Qwen3-8B,c1,0,1\r\n"
              "Qwen/Qwen3-8B,c1,1,0\r\n"
              "\r\n"
              "\"says \"\"hi\"\", twice\nover\",c2,0,-0.25\r\n"
              "Qwen/Qwen3-8B,c2,0,5e-1\r\n"
              "Qwen/Qwen3-8B,c2,1,",
              NULL);
    slm_error err = {0};
    slm_store *store = open_store(path);
    slm_arena arena = {0};
    slm_results results;
    ok(slm_results_load(store, &arena, &results, &err), &err);
    assert_int_equal(results.arm_count, 2);
    const slm_arm *qwen = &results.arms[0], *quoted = &results.arms[1];
    if (strcmp(qwen->run.model_name, "Qwen/Qwen3-8B") != 0) {
        qwen = &results.arms[1];
        quoted = &results.arms[0];
    }
    assert_string_equal(qwen->run.model_name, "Qwen/Qwen3-8B");
    assert_string_equal(qwen->run.model_identity, "imported:Qwen/Qwen3-8B");
    assert_string_equal(qwen->judge_name, "imported");
    assert_int_equal(qwen->case_count, 2);
    assert_int_equal(qwen->samples, 4);
    assert_int_equal(qwen->unscored, 1);
    assert_int_equal(qwen->empty, 0);
    assert_int_equal(qwen->cases[0].count, 2);
    assert_int_equal(slm_arm_max_k(qwen), 1);
    slm_figure figure =
        slm_figure_worst_at_k(&results, qwen, SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL, 1);
    assert_true(figure.value == 0.5);
    assert_true(figure.low == 0.375 && figure.high == 0.625);
    assert_string_equal(quoted->run.model_name, "says \"hi\", twice\nover");
    assert_true(quoted->cases[0].scores[0] == -0.25);
    slm_arena_free(&arena);
    slm_store_close(store);
}

static void columns_may_stand_in_any_order(void **state)
{
    (void)state;
    import_ok("score,note,rollout,case,model\n0.5,\"a,b\",0,c,m\n", NULL);
    char *text = export_of(path);
    assert_holds(text, "\"case\":\"c\",\"rollout\":0,\"score\":0.5");
    free(text);
}

static void importing_again_changes_nothing(void **state)
{
    (void)state;
    static const char csv[] = "model,case,rollout,score\nm,c,0,0.1\nm,c,1,\nn,c,0,1\n";
    import_ok(csv, NULL);
    char *once = export_of(path);
    import_ok(csv, NULL);
    char *twice = export_of(path);
    assert_string_equal(once, twice);
    free(twice);
    /* More rollouts add; another score for the same one is refused. */
    refused("model,case,rollout,score\nn,d,0,1\nm,b,7,0\nm,c,0,0.2\nm,c,2,1\n",
            ":4: case c, rollout 0 of model m is in the database with another score");
    refused("model,case,rollout,score\nm,c,1,0.2\n", ":2: case c, rollout 1");
    import_ok("model,case,rollout,score\nm,c,2,1\nm,c,0,0.1\n", NULL);
    char *more = export_of(path);
    assert_int_equal(count_rows(more, "samples"), count_rows(once, "samples") + 1);
    free(more);
    free(once);
}

static void a_name_is_for_one_model(void **state)
{
    (void)state;
    slm_error err = {0};
    import_ok("model,case,rollout,score\nm,c,0,1\n", "renamed");
    char *text = export_of(path);
    assert_holds(text, "\"model_name\":\"renamed\"");
    free(text);
    assert_int_equal(import_text("model,case,rollout,score\nm,c,0,1\nn,c,0,1\n", "renamed", &err),
                     SLM_ERR_INVALID);
    assert_holds(err.message, "several models (m, n)");
}

static void hostile_csv_is_refused_with_its_line(void **state)
{
    (void)state;
    refused("", "is empty");
    refused("\n \n", "no column 'model'");
    refused("model,case,rollout,score\n", "no row");
    refused("model,case,score\nm,c,1\n", ":1: there is no column 'rollout'");
    refused("model,case,rollout,score,score\nm,c,0,1,1\n", ":1: more than one column 'score'");
    refused("model;case;rollout;score\nm;c;0;1\n", ":1: there is no column 'model'");
#define HEADER "model,case,rollout,score\n"
    refused(HEADER "m,c,0,1\nm,c,1\n", ":3: has 3 fields, the header has 4");
    refused(HEADER "m,c,0,1,2\n", ":2: has 5 fields");
    refused(HEADER ",c,0,1\n", ":2: model is empty");
    refused(HEADER "m,,0,1\n", ":2: case is empty");
    refused(HEADER "m,c,-1,1\n", ":2: rollout is '-1'");
    refused(HEADER "m,c,1.5,1\n", ":2: rollout is '1.5'");
    refused(HEADER "m,c,,1\n", ":2: rollout is ''");
    refused(HEADER "m,c,99999999999999999999,1\n", ":2: rollout");
    refused(HEADER "m,c,0,abc\n", ":2: score is 'abc'");
    refused(HEADER "m,c,0,nan\n", ":2: score is 'nan'");
    refused(HEADER "m,c,0,inf\n", ":2: score is 'inf'");
    refused(HEADER "m,c,0,0x1p-2\n", ":2: score is '0x1p-2'");
    refused(HEADER "m,c,0,1e999\n", ":2: score is '1e999'");
    refused(HEADER "m,c,0,1-1\n", ":2: score is '1-1'");
    refused(HEADER "m,c,0,62.5\n", ":2: score is 62.5; expected a fraction");
    refused(HEADER "m,c,0,1\n\nm,d,0,1\nm,c,0,1\n",
            ":5: model m, case c, rollout 0 stood already in line 2");
    refused(HEADER "m,c,0,1\n\"m,c,0,1\nm,c,1,1\n", ":3: a quote is opened and never closed");
    refused(HEADER "\"m\"x,c,0,1\n", ":2: text behind a closing quote");
    refused(HEADER "m\"x,c,0,1\n", ":2: a quote within a field");
    refused(HEADER "m,c,0,1\rm,c,1,1\n", ":2: a carriage return");
    refused("\"model\n\",case,rollout,score\nm,c,0,1\n", ":1: there is no column 'model'");
    slm_error err = {0};
    slm_store *store = open_store(path);
    assert_int_not_equal(slm_eval_import(store, "/nonexistent.csv", NULL, NULL, NULL, &err),
                         SLM_OK);
    assert_holds(err.message, "/nonexistent.csv");
    in_folder(file, "zero.csv");
    static const char zero[] = HEADER "m,c\0d,0,1\n";
    ok(slm_file_write(file, zero, sizeof zero - 1, &err), &err);
    assert_int_equal(slm_eval_import(store, file, NULL, NULL, NULL, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, ":2: a zero byte");
    slm_store_close(store);
}

/* ---- simple-evals ---- */

#define ITEM(id, score, met0, met1)                                                                \
    "{\"score\":" score ",\"usage\":{\"input_tokens\":12,\"output_tokens\":null},"                 \
    "\"rubric_items\":[{\"criterion\":\"a\",\"points\":5,\"tags\":[],\"criteria_met\":" met0       \
    ",\"explanation\":\"e0\"},{\"criterion\":\"b\",\"points\":-2.0,\"tags\":[],"                   \
    "\"criteria_met\":" met1 ",\"explanation\":\"e1\"}],\"prompt\":[{\"role\":\"user\","           \
    "\"content\":\"q\"}],\"completion\":[{\"role\":\"assistant\",\"content\":\"reply of " id       \
    "\"}],\"prompt_id\":\"" id "\",\"completion_id\":\"0\"}"
#define RESULTS(items)                                                                             \
    "{\"score\":0.5,\"metrics\":{\"overall_score\":0.5},\"htmls\":[\"<p>\"],\"convos\":[[]],"      \
    "\"metadata\":{\"example_level_metadata\":[" items "]}}"

static void simple_evals_answers_become_rollouts(void **state)
{
    (void)state;
    import_ok(
        RESULTS(ITEM("p2", "1.0", "true", "false") "," ITEM("p1", "0.6", "true", "true") "," ITEM(
            "p2", "-0.4", "false", "true") "," ITEM("p1", "null", "null", "true")),
        NULL);
    char *text = export_of(path);
    assert_holds(text, "\"model_name\":\"gpt_x\",\"model_identity\":\"imported:gpt_x\"");
    assert_int_equal(count_rows(text, "samples"), 4);
    assert_int_equal(count_rows(text, "grades"), 8);
    assert_holds(text, "\"case\":\"p1\",\"rollout\":0,\"score\":0.6,\"low\":0.6");
    assert_holds(text, "\"case\":\"p1\",\"rollout\":1,\"score\":null,\"low\":-0.4,\"high\":0.6,"
                       "\"status\":\"unscored\"");
    assert_holds(text, "\"case\":\"p2\",\"rollout\":1,\"score\":-0.4");
    assert_holds(text, "\"criterion\":0,\"met\":null,\"explanation\":\"e0\"");
    assert_holds(text, "\"reply\":\"reply of p1\"");
    assert_holds(text, "\"prompt_tokens\":12,\"reply_tokens\":null");
    assert_holds(text, "\\\"content\\\":\\\"q\\\",\\\"role\\\":\\\"user\\\"");
    free(text);
}

static void further_files_add_rollouts_the_same_adds_nothing(void **state)
{
    (void)state;
    static const char first[] = RESULTS(ITEM("p", "1.0", "true", "false"));
    import_ok(first, "m");
    import_ok(first, "m");
    char *text = export_of(path);
    assert_int_equal(count_rows(text, "samples"), 1);
    free(text);
    import_ok(RESULTS(ITEM("p", "0.6", "true", "true") "," ITEM("q", "1", "true", "false")), "m");
    import_ok(first, "m");
    text = export_of(path);
    assert_int_equal(count_rows(text, "samples"), 3);
    assert_holds(text, "\"case\":\"p\",\"rollout\":1,\"score\":0.6");
    assert_holds(text, "\"case\":\"q\",\"rollout\":0,\"score\":1");
    free(text);
    import_ok(first, "another");
    text = export_of(path);
    assert_int_equal(count_rows(text, "samples"), 4);
    free(text);
}

static void hostile_json_is_refused_with_its_place(void **state)
{
    (void)state;
    refused("{\"score\":", ":1");
    refused("{\"score\":1}", "metadata");
    refused("[1]", "expected an object");
    refused("{\"metadata\":{}}", "metadata.example_level_metadata");
    refused("{\"metadata\":3}", "metadata");
    refused(RESULTS(""), "metadata.example_level_metadata: is empty");
    refused(RESULTS("7"), "metadata.example_level_metadata[0]");
    refused(RESULTS("{}"), "metadata.example_level_metadata[0].prompt_id");
    refused(RESULTS(ITEM("a", "1", "true", "false") "," ITEM("b", "\"1\"", "true", "true")),
            "example_level_metadata[1].score");
    refused(RESULTS(ITEM("a", "60", "true", "false")), "example_level_metadata[0].score");
    refused(RESULTS(ITEM("a", "1", "\"yes\"", "false")), "[0].rubric_items[0].criteria_met");
    refused(RESULTS("{\"prompt_id\":\"a\",\"score\":1,\"rubric_items\":[{\"points\":\"5\"}],"
                    "\"completion\":[]}"),
            "[0].rubric_items[0].points");
    refused(RESULTS("{\"prompt_id\":\"a\",\"score\":1}"), "[0].completion");
    refused(RESULTS("{\"prompt_id\":\"a\",\"score\":1,\"completion\":[4]}"), "completion[0]");
    refused(RESULTS("{\"prompt_id\":\"a\",\"score\":1,\"completion\":[],\"usage\":{"
                    "\"input_tokens\":\"many\"}}"),
            "usage.input_tokens");
}

/* ---- with cases ---- */

/* An answer with criteria of HealthBench's kind: right +5, rude -2, asks +3. */
#define HB(id, prompt, right, rude, asks)                                                          \
    "{\"score\":null,\"usage\":{\"input_tokens\":12,\"input_cached_tokens\":4,"                    \
    "\"output_tokens\":7,\"output_reasoning_tokens\":2},\"rubric_items\":[{\"criterion\":"         \
    "\"right\",\"points\":5,\"tags\":[\"axis:accuracy\"],\"criteria_met\":" right                  \
    ",\"explanation\":\"e0\"},{\"criterion\":\"rude\",\"points\":-2.0,\"tags\":[\"axis:tone\"],"   \
    "\"criteria_met\":" rude ",\"explanation\":\"e1\"},{\"criterion\":\"asks\",\"points\":3,"      \
    "\"tags\":[\"axis:accuracy\",\"cluster:x\"],\"criteria_met\":" asks                            \
    ",\"explanation\":\"e2\"}],\"prompt\":[" prompt "{\"role\":\"user\",\"content\":\"q\"}],"      \
    "\"completion\":[{\"role\":\"assistant\",\"content\":\"reply \\u00e9 of " id "\"}],"           \
    "\"prompt_id\":\"" id "\",\"completion_id\":\"0\"}"
#define SYSTEM "{\"role\":\"system\",\"content\":\"Be kind.\"},"

static const char case_rows[] =
    "{\"prompt_id\":\"p\",\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"example_tags\":["
    "\"theme:hedging\"],\"rubrics\":[{\"criterion\":\"asks\",\"points\":3,\"tags\":[\"axis:"
    "accuracy\"]},"
    "{\"criterion\":\"right\",\"points\":5,\"tags\":[\"axis:accuracy\"]},{\"criterion\":\"rude\","
    "\"points\":-2,\"tags\":[\"axis:tone\"]}]}\n";

static slm_status import_with(const char *text, const char *rows, const slm_cases_options *options,
                              slm_error *err)
{
    char name[160];
    slm_cases cases = {0};
    in_folder(name, "rows.jsonl");
    put_file(name, rows);
    const char *paths[] = {name};
    ok(slm_cases_load(paths, 1, options, NULL, NULL, &cases, err), err);
    in_folder(file, "m_allresults.json");
    put_file(file, text);
    slm_store *store = open_store(path);
    slm_status status = slm_eval_import(store, file, "m", &cases, NULL, err);
    slm_store_close(store);
    slm_cases_free(&cases);
    return status;
}

static double score_of_tag(const slm_results *results, const slm_arm *arm, const char *tag)
{
    slm_measure measure = {.kind = SLM_MEASURE_TAG, .tag = tag};
    return slm_figure_of(results, arm, &measure).value;
}

static void a_file_tells_its_cases(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_arena arena = {0};
    slm_results results;
    import_ok(
        RESULTS(HB("q", SYSTEM, "true", "false", "false") "," HB(
            "p", SYSTEM, "true", "true", "true") "," HB("q", SYSTEM, "false", "false", "true")),
        "m");
    /* Of another model, with other system text: the same cases. */
    import_ok(RESULTS(HB("p", "", "true", "true", "null")), "n");
    /* The same id with another rubric: another set of cases. */
    import_ok(RESULTS(ITEM("p", "1", "true", "false")), "o");
    slm_store *store = open_store(path);
    ok(slm_results_load(store, &arena, &results, &err), &err);
    assert_int_equal(results.arm_count, 3);
    const slm_arm *m = NULL, *n = NULL, *o = NULL;
    ok(slm_results_find_arm(&results, "m", NULL, &m, &err), &err);
    ok(slm_results_find_arm(&results, "n", "imported", &n, &err), &err);
    ok(slm_results_find_arm(&results, "o", NULL, &o, &err), &err);
    assert_string_equal(m->run.system_text, "Be kind.");
    assert_null(n->run.system_text);
    assert_string_equal(m->run.cases_sha256, n->run.cases_sha256);
    assert_string_not_equal(m->run.cases_sha256, o->run.cases_sha256);
    assert_int_equal(m->case_count, 2);
    assert_string_equal(m->cases[0].case_id, "q"); /* in the order of the file */
    assert_true(fabs(score_of_tag(&results, m, "axis:accuracy") - 0.75) < 1e-12);
    assert_true(fabs(score_of_tag(&results, m, "cluster:x") - 0.75) < 1e-12);
    assert_int_equal(m->cases[0].c->turn_count, 1); /* the system text is the arm's */
    /* Scores that the file does not tell follow from its verdicts, where all are there. */
    assert_true(fabs(m->cases[1].scores[0] - 0.75) < 1e-12);
    assert_int_equal(n->unscored, 1);
    assert_int_equal(slm_results_find_arm(&results, NULL, NULL, &m, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "which of 3 arms");
    assert_int_equal(slm_results_find_arm(&results, "x", NULL, &m, &err), SLM_ERR_NOT_FOUND);
    slm_arena_free(&arena);
    slm_store_close(store);
}

static void answers_that_tell_two_cases_have_none(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_arena arena = {0};
    slm_results results;
    import_ok(RESULTS(HB("p", "", "true", "false", "true") "," ITEM("p", "1", "true", "false")),
              "m");
    slm_store *store = open_store(path);
    ok(slm_results_load(store, &arena, &results, &err), &err);
    assert_null(results.arms[0].cases[0].c);
    assert_int_equal(results.arms[0].scored, 2);
    FILE *out = fopen("/dev/null", "w");
    assert_int_equal(slm_eval_export_simple(store, &results, &results.arms[0], out, &err),
                     SLM_ERR_UNSUPPORTED);
    assert_holds(err.message, "scores alone");
    fclose(out);
    slm_arena_free(&arena);
    slm_store_close(store);
}

static void cases_give_tags_and_order(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_arena arena = {0};
    slm_results results;
    const char *accuracy[] = {"axis:accuracy"};
    slm_cases_options options = {.criteria = accuracy, .criteria_count = 1};
    static const char text[] =
        RESULTS(HB("p", "", "true", "true", "false") "," HB("z", "", "true", "true", "false"));
    ok(import_with(text, case_rows, NULL, &err), &err);
    ok(import_with(text, case_rows, &options, &err), &err);
    slm_store *store = open_store(path);
    ok(slm_results_load(store, &arena, &results, &err), &err);
    assert_int_equal(results.arm_count, 2);
    double scores[2];
    for (size_t i = 0; i < 2; i++) {
        const slm_arm *arm = &results.arms[i];
        assert_int_equal(arm->case_count, 1); /* z is not among the cases */
        assert_true(fabs(score_of_tag(&results, arm, "theme:hedging") - arm->cases[0].scores[0]) <
                    1e-12);
        assert_int_equal(arm->cases[0].rollouts[0].met[0], 0); /* asks stands first there */
        assert_int_equal(arm->cases[0].rollouts[0].met[1], 1);
        scores[arm->cases[0].c->rubric_count == 2] = arm->cases[0].scores[0];
    }
    assert_true(fabs(scores[0] - 3.0 / 8) < 1e-12 && fabs(scores[1] - 5.0 / 8) < 1e-12);
    slm_arena_free(&arena);
    slm_store_close(store);
    /* Cases that were not evaluated, or have another rubric. */
    assert_int_equal(
        import_with(RESULTS(HB("z", "", "true", "true", "false")), case_rows, NULL, &err),
        SLM_ERR_FORMAT);
    assert_holds(err.message, "none of its 1 scores is of a case in --cases");
    assert_int_equal(import_with(RESULTS(ITEM("p", "1", "true", "false")), case_rows, NULL, &err),
                     SLM_ERR_FORMAT);
    assert_holds(err.message, "lacks the criterion 'asks' (3 points)");
    ok(import_with("model,case,rollout,score\nm,p,0,0.375\nm,z,0,1\n", case_rows, NULL, &err),
       &err);
    assert_int_equal(import_with("model,case,rollout,score\nm,z,0,1\n", case_rows, NULL, &err),
                     SLM_ERR_FORMAT);
}

static void what_is_exported_can_be_imported(void **state)
{
    (void)state;
    slm_error err = {0};
    char *texts[2] = {0};
    import_ok(
        RESULTS(HB("q", SYSTEM, "true", "false", "false") "," HB(
            "p", SYSTEM, "true", "true", "true") "," HB("q", SYSTEM, "false", "null", "true")),
        "m");
    for (int round = 0; round < 2; round++) {
        slm_arena arena = {0};
        slm_results results;
        const slm_arm *arm = NULL;
        size_t len = 0;
        slm_store *store = open_store(path);
        ok(slm_results_load(store, &arena, &results, &err), &err);
        ok(slm_results_find_arm(&results, "m", NULL, &arm, &err), &err);
        FILE *out = open_memstream(&texts[round], &len);
        ok(slm_eval_export_simple(store, &results, arm, out, &err), &err);
        fclose(out);
        slm_store_close(store);
        slm_arena_free(&arena);
        unlink(path);
        import_ok(texts[round], "m");
    }
    assert_string_equal(texts[0], texts[1]);
    json_t *root = json_loads(texts[0], 0, NULL);
    assert_non_null(root);
    json_t *metrics = json_object_get(root, "metrics");
    const json_t *list =
        json_object_get(json_object_get(root, "metadata"), "example_level_metadata");
    assert_int_equal(json_array_size(list), 3);
    assert_int_equal(json_array_size(json_object_get(root, "convos")), 3);
    /* Over answers: q 5/8, p 6/8; the unscored one is in none. */
    assert_true(fabs(json_number_value(json_object_get(root, "score")) - 5.5 / 8) < 1e-12);
    assert_int_equal(json_integer_value(json_object_get(metrics, "overall_score:n_samples")), 2);
    /* axis:accuracy is scored in it all the same; axis:tone gives no points. */
    assert_int_equal(json_integer_value(json_object_get(metrics, "axis:accuracy:n_samples")), 3);
    assert_null(json_object_get(metrics, "axis:tone"));
    assert_null(json_object_get(metrics, "score"));
    assert_non_null(json_object_get(metrics, "score:bootstrap_std"));
    const json_t *last = json_array_get(list, 2);
    assert_true(json_is_null(json_object_get(last, "score")));
    assert_string_equal(json_string_value(json_object_get(last, "prompt_id")), "q");
    const json_t *usage = json_object_get(last, "usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "total_tokens")), 19);
    assert_int_equal(json_integer_value(json_object_get(usage, "input_cached_tokens")), 4);
    assert_int_equal(json_integer_value(json_object_get(usage, "output_reasoning_tokens")), 2);
    assert_int_equal(json_array_size(json_object_get(last, "prompt")), 2);
    assert_holds(texts[0], "reply \xc3\xa9 of q");
    json_decref(root);
    free(texts[0]);
    free(texts[1]);
}

/* Bytes changed at random: refused or imported, never worse (sanitizers watch). */
static void mutated_files_do_no_harm(void **state)
{
    (void)state;
    static const char *const good[] = {
        "model,case,rollout,score\n\"m, \"\"1\"\"\",c,0,0.5\nm,d,3,-0.25\r\n",
        RESULTS(ITEM("a", "1", "true", "false") "," ITEM("b", "null", "null", "true"))};
    slm_random random = slm_random_new(3, 0);
    slm_store *store = open_store(path);
    in_folder(file, "mutated");
    for (int round = 0; round < 2000; round++) {
        char text[2048];
        const char *source = good[round % 2];
        size_t len = strlen(source);
        memcpy(text, source, len);
        for (int i = 0; i < 1 + round % 4; i++)
            text[slm_random_below(&random, len)] =
                (char)(round % 3 ? "\",\n\r{}[]:0-\\e"[slm_random_below(&random, 13)]
                                 : (int)slm_random_below(&random, 256));
        if (round % 5 == 0) len = (size_t)slm_random_below(&random, len);
        slm_error err = {0};
        ok(slm_file_write(file, text, len, &err), &err);
        slm_status status = slm_eval_import(store, file, NULL, NULL, NULL, &err);
        if (status != SLM_OK) assert_true(err.message[0] != '\0');
    }
    slm_store_close(store);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(csv_becomes_arms),
        TEST(columns_may_stand_in_any_order),
        TEST(importing_again_changes_nothing),
        TEST(a_name_is_for_one_model),
        TEST(hostile_csv_is_refused_with_its_line),
        TEST(simple_evals_answers_become_rollouts),
        TEST(further_files_add_rollouts_the_same_adds_nothing),
        TEST(hostile_json_is_refused_with_its_place),
        TEST(a_file_tells_its_cases),
        TEST(answers_that_tell_two_cases_have_none),
        TEST(cases_give_tags_and_order),
        TEST(what_is_exported_can_be_imported),
        TEST(mutated_files_do_no_harm),
    };
    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
