/* test_csv.c: CSV and JSON carry the figures unchanged, and names whatever is in them. */
#include <math.h>
#include "unit/report/report_fixture.h"

#define EVIL_NAME "a \"quoted\", name\nof two lines"

/* Fields of a CSV by RFC 4180; rows end at LF outside quotes. */
typedef struct csv {
    char **fields;
    size_t count, columns, rows;
} csv;

static csv parse(const char *text)
{
    csv out = {0};
    size_t in_row = 0;
    while (*text) {
        slm_buffer field = {0};
        if (*text == '"') {
            for (text++; *text != '"' || text[1] == '"'; text++) {
                assert_true(*text != '\0');
                if (*text == '"') text++;
                slm_buffer_append_char(&field, *text);
            }
            text++;
        } else {
            for (; *text != ',' && *text != '\n'; text++) {
                assert_true(*text != '\0' && *text != '"');
                slm_buffer_append_char(&field, *text);
            }
        }
        out.fields = realloc(out.fields, (out.count + 1) * sizeof *out.fields);
        out.fields[out.count++] = slm_buffer_take(&field);
        in_row++;
        assert_true(*text == ',' || *text == '\n');
        if (*text == '\n') {
            if (out.rows == 0) out.columns = in_row;
            assert_int_equal(in_row, out.columns);
            out.rows++;
            in_row = 0;
        }
        text++;
    }
    assert_int_equal(in_row, 0);
    return out;
}

static void csv_free(csv *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->fields[i]);
    free(c->fields);
}

static const char *field(const csv *c, size_t row, size_t column)
{
    return c->fields[row * c->columns + column];
}

typedef struct call {
    const slm_results *results;
    const char *what;
} call;

static void write_csv(FILE *out, void *context)
{
    call *c = context;
    slm_error err = {0};
    fixture_check(slm_report_csv(c->results, c->what, out, &err), &err);
}

static csv table(const slm_results *results, const char *what, const char *header)
{
    call c = {results, what};
    size_t len;
    char *text = fixture_text(write_csv, &c, &len);
    assert_memory_equal(text, header, strlen(header));
    csv out = parse(text);
    free(text);
    return out;
}

static void some_arms(fixture *f)
{
    fixture_open(f);
    fixture_add_cases(f, 12, NULL);
    fixture_add_arm(f, &(fixture_arm){EVIL_NAME, "model", "x", 3, 70, 0, .seed = 1});
    fixture_add_arm(f, &(fixture_arm){"gaps", "model", "y", 3, 70, 30, .seed = 2});
    fixture_load(f);
}

static const slm_arm *arm_named(const slm_results *results, const char *name)
{
    for (size_t i = 0; i < results->arm_count; i++) {
        if (strcmp(results->arms[i].run.model_name, name) == 0) return &results->arms[i];
    }
    fail_msg("no arm %s", name);
    return NULL;
}

static void curves_read_back_exactly(void **state)
{
    (void)state;
    fixture f;
    some_arms(&f);
    csv c = table(&f.results, "worst-at-k", "model,k,worst_at_k,low,high,cases,judge\n");
    size_t seen = 0;
    for (size_t row = 1; row < c.rows; row++) {
        const slm_arm *arm = arm_named(&f.results, field(&c, row, 0));
        size_t k = strtoul(field(&c, row, 1), NULL, 10);
        slm_figure figure =
            slm_figure_worst_at_k(&f.results, arm, SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL, k);
        assert_true(strtod(field(&c, row, 2), NULL) == figure.value);
        assert_true(strtod(field(&c, row, 3), NULL) == figure.interval.low);
        assert_true(strtod(field(&c, row, 4), NULL) == figure.interval.high);
        assert_int_equal(strtoul(field(&c, row, 5), NULL, 10), figure.cases);
        assert_string_equal(field(&c, row, 6), "rule, 72 of 96 criteria");
        seen += strcmp(field(&c, row, 0), EVIL_NAME) == 0;
    }
    assert_int_equal(seen, 3); /* k = 1, 2, 3 */
    csv_free(&c);
    fixture_close(&f);
}

static void scores_keep_their_rollouts(void **state)
{
    (void)state;
    fixture f;
    some_arms(&f);
    csv c = table(&f.results, "scores", "model,case,rollout,score,judge\n");
    assert_int_equal(c.rows, 1 + 2 * 12 * 3);
    size_t empty = 0, row = 1;
    for (size_t a = 0; a < f.results.arm_count; a++) {
        const slm_arm *arm = &f.results.arms[a];
        for (size_t i = 0; i < arm->case_count; i++) {
            for (size_t r = 0; r < arm->cases[i].rollout_count; r++, row++) {
                const slm_rollout_scores *rollout = &arm->cases[i].rollouts[r];
                assert_string_equal(field(&c, row, 0), arm->run.model_name);
                assert_string_equal(field(&c, row, 1), arm->cases[i].case_id);
                assert_int_equal(strtol(field(&c, row, 2), NULL, 10), r);
                if (rollout->has_score)
                    assert_true(strtod(field(&c, row, 3), NULL) == rollout->score);
                else
                    assert_string_equal(field(&c, row, 3), "");
                empty += !rollout->has_score;
            }
        }
    }
    assert_int_equal(empty, arm_named(&f.results, "gaps")->unscored);
    assert_true(empty > 0);
    csv_free(&c);
    fixture_close(&f);
}

static void measures_leave_the_unmeasurable_empty(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 4, NULL); /* no emergency */
    fixture_add_arm(&f, &(fixture_arm){"m", "model", "x", 3, 50, 0, .seed = 1});
    fixture_load(&f);
    csv c = table(&f.results, "measures", "model,measure,stratum,k,value,low,high,cases,judge\n");
    assert_int_equal(c.rows, 1 + 6 * 2); /* five and the score, at 1 and at 3 */
    static const char *const names[] = {"seek", "precise", "safe", "act", "twins", "score"};
    static const char *const strata[] = {"lacks", "enough", "both", "emergency", "both", "all"};
    for (size_t row = 1; row < c.rows; row++) {
        assert_string_equal(field(&c, row, 1), names[(row - 1) / 2]);
        assert_string_equal(field(&c, row, 2), strata[(row - 1) / 2]);
        assert_string_equal(field(&c, row, 3), row % 2 ? "1" : "3");
        bool act = strcmp(field(&c, row, 1), "act") == 0;
        assert_int_equal(*field(&c, row, 4) == '\0', act);
    }
    csv_free(&c);
    fixture_close(&f);
}

/* A fixed reply of a measure stands under its name with that measure alone, and nowhere else. */
static void floors_stand_under_their_names(void **state)
{
    (void)state;
    static const char *const wanted[] = {"floor seek", "floor precise", "floor",
                                         "floor",      "floor",         "floor"};
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 24, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", "x", 1, 50, 0, .seed = 1});
    fixture_add_baselines(&f, "m");
    fixture_add_own_floors(&f);
    fixture_load(&f);
    csv c = table(&f.results, "measures", "model,measure,stratum,k,value,low,high,cases,judge\n");
    assert_int_equal(c.rows, 1 + 6 * 6); /* a model, floor, and four other baselines */
    size_t floors = 0;
    for (size_t row = 1; row < c.rows; row++) {
        if (strncmp(field(&c, row, 0), "floor", 5) != 0) continue;
        assert_string_equal(field(&c, row, 0), wanted[floors]);
        if (floors == 0) assert_true(strtod(field(&c, row, 4), NULL) == 1);
        if (floors == 1) assert_true(strtod(field(&c, row, 4), NULL) == 0);
        floors++;
    }
    assert_int_equal(floors, 6);
    csv_free(&c);
    static const char *const others[][2] = {{"worst-at-k", "model,k,"}, {"scores", "model,case,"}};
    for (size_t i = 0; i < 2; i++) {
        c = table(&f.results, others[i][0], others[i][1]);
        for (size_t row = 1; row < c.rows; row++)
            assert_null(strstr(field(&c, row, 0), "floor "));
        csv_free(&c);
    }
    fixture_close(&f);
}

static void unknown_tables_are_named(void **state)
{
    (void)state;
    slm_results none = {0};
    slm_error err = {0};
    size_t len = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(slm_report_csv(&none, "cost", out, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "\"cost\""));
    assert_non_null(strstr(err.message, "worst-at-k, scores, measures, tags or comparisons"));
    assert_int_equal(slm_report_csv(&none, NULL, out, &err), SLM_ERR_INVALID);
    fclose(out);
    assert_int_equal(len, 0);
    free(text);
}

static void full_disk_is_an_error(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    if (!full) skip();
    slm_results none = {0};
    slm_error err = {0};
    assert_int_equal(slm_report_csv(&none, "scores", full, &err), SLM_ERR_IO);
    assert_non_null(strstr(err.message, "No space left"));
    fclose(full);
}

static void write_json(FILE *out, void *context)
{
    slm_report_options options = slm_report_options_default();
    options.version = "1.2.3";
    slm_report_json(context, &options, out);
}

static void json_is_complete(void **state)
{
    (void)state;
    fixture f;
    some_arms(&f);
    fixture_add_baselines(&f, "gaps");
    fixture_add_own_floors(&f);
    slm_arena_free(&f.arena);
    fixture_load(&f);
    size_t len;
    char *text = fixture_text(write_json, &f.results, &len);
    json_error_t where;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root) fail_msg("%s at %d", where.text, where.position);
    assert_string_equal(json_string_value(json_object_get(root, "slm")), "1.2.3");
    const json_t *all = json_array_get(json_object_get(root, "tables"), 0);
    assert_string_equal(json_string_value(json_object_get(all, "judge")),
                        "rule, 72 of 96 criteria");
    assert_int_equal(json_integer_value(json_object_get(all, "cases")), 12);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(all, "coverage"), "criteria")), 96);
    const json_t *arms = json_object_get(all, "arms");
    assert_int_equal(json_array_size(arms), 7);
    size_t i;
    json_t *arm;
    json_array_foreach(arms, i, arm)
    {
        assert_int_equal(json_array_size(json_object_get(arm, "measures")), 5);
        const json_t *score = json_object_get(arm, "score");
        assert_int_equal(json_array_size(json_object_get(score, "bounds")), 2);
        const char *name = json_string_value(json_object_get(arm, "model"));
        if (strcmp(name, "floor") == 0) {
            const json_t *seek = json_array_get(json_object_get(arm, "measures"), 0);
            const json_t *safe = json_array_get(json_object_get(arm, "measures"), 2);
            const json_t *run = json_object_get(seek, "run");
            assert_string_equal(json_string_value(json_object_get(seek, "model")), "floor seek");
            assert_string_equal(json_string_value(json_object_get(run, "model")),
                                "baseline:floor:seek");
            assert_true(
                json_number_value(json_object_get(json_object_get(seek, "mean"), "value")) == 1);
            assert_null(json_object_get(safe, "model"));
        }
        if (strcmp(name, EVIL_NAME) != 0) continue;
        const slm_arm *ours = arm_named(&f.results, EVIL_NAME);
        slm_figure figure =
            slm_figure_worst_at_k(&f.results, ours, SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL, 1);
        assert_true(json_number_value(json_object_get(score, "value")) == figure.value);
        assert_int_equal(json_array_size(json_object_get(arm, "worst_at_k")), 3);
        assert_true(json_is_object(json_object_get(json_object_get(arm, "run"), "sampling")));
    }
    json_decref(root);
    free(text);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(curves_read_back_exactly),
        cmocka_unit_test(scores_keep_their_rollouts),
        cmocka_unit_test(measures_leave_the_unmeasurable_empty),
        cmocka_unit_test(floors_stand_under_their_names),
        cmocka_unit_test(unknown_tables_are_named),
        cmocka_unit_test(full_disk_is_an_error),
        cmocka_unit_test(json_is_complete),
    };
    return cmocka_run_group_tests_name("report/csv", tests, NULL, NULL);
}
