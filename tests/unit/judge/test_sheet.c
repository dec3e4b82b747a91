/* Sheets: balanced and blind when they go out; understood when they come back, whatever the
 * spreadsheet did to them; and every cell that is not is named. */
#include "fake_chat.h"

#include <unistd.h>
#include "base/csv.h"
#include "base/file.h"

static char folder[64], path[128], sheet_path[128];

static int set_up(void **state)
{
    (void)state;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/slm-test-sheet-XXXXXX", base);
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/results.db", folder);
    snprintf(sheet_path, sizeof sheet_path, "%s/sheet.csv", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    unlink(sheet_path);
    return rmdir(folder);
}

enum { CASES = 6, ROLLOUTS = 3 };
static const char set[] = "5e7";

/* Half of the cases lack context. Replies hold what spreadsheets stumble over. */
static slm_store *make_store(void)
{
    slm_error err = {0};
    slm_store *store = NULL;
    ok(slm_store_open(path, false, &store, &err), &err);
    ok(slm_store_begin(store, &err), &err);
    for (size_t i = 0; i < CASES; i++) {
        char id[32], json[700];
        snprintf(id, sizeof id, "c%zu", i);
        snprintf(json, sizeof json,
                 "{\"context\":\"%s\",\"disposition\":\"routine\",\"prompt\":[{\"content\":\"My "
                 "knee; \\\"case %zu\\\",\\nswollen.\",\"role\":\"user\"}],\"prompt_id\":\"%s\","
                 "\"rubrics\":[{\"criterion\":\"Asks, or \\\"seeks\\\"; says\",\"points\":5,"
                 "\"tags\":[]},{\"criterion\":\"-is rude\",\"points\":-2,\"tags\":[]}]}",
                 i % 2 ? "lacks" : "enough", i, id);
        ok(slm_store_put_case(store, set, id, id, i, json, &err), &err);
    }
    static const char *const runs[] = {"aaa", "bbb", "fff"};
    for (size_t r = 0; r < 3; r++) {
        slm_run run = {.hash = runs[r],
                       .model_name = r == 0 ? "secret-name-A" : "secret-name-B",
                       .kind = r == 2 ? "baseline" : "model",
                       .cases_sha256 = set};
        ok(slm_store_put_run(store, &run, &err), &err);
        for (size_t i = 0; i < CASES; i++) {
            for (int64_t k = 0; k < ROLLOUTS; k++) {
                char id[32], reply[160];
                snprintf(id, sizeof id, "c%zu", i);
                snprintf(reply, sizeof reply, "=1+1; \"hi\", %s/%zu\r\nline \xc3\xa9 %d;\xff end",
                         runs[r], i, (int)k);
                slm_sample sample = {
                    .run = runs[r], .case_id = id, .rollout = k, .reply = reply, .finish = "stop"};
                ok(slm_store_put_sample(store, &sample, NULL, &err), &err);
            }
        }
    }
    ok(slm_store_commit(store, &err), &err);
    return store;
}

static char *export_sheet(slm_store *store, size_t n, uint64_t seed, bool blind, size_t *answers)
{
    slm_error err = {0};
    char *text = NULL;
    size_t len = 0, arms = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    slm_sheet_options options = {.n = n, .seed = seed, .blind = blind};
    ok(slm_sheet_export(store, &options, out, answers, &arms, &err), &err);
    fclose(out);
    return text;
}

/* A sheet as a table. */
typedef struct table {
    char *cells[200][10];
    size_t rows, columns;
} table;

static table *parse_sheet(const char *text)
{
    table *t = calloc(1, sizeof *t);
    assert_non_null(t);
    slm_csv csv = {.name = "sheet", .text = text, .len = strlen(text)};
    slm_csv_detect(&csv);
    for (;;) {
        bool row = false;
        slm_error err = {0};
        ok(slm_csv_next(&csv, &row, &err), &err);
        if (!row) break;
        assert_true(t->rows < 200 && csv.field_count <= 10);
        if (t->rows == 0) t->columns = csv.field_count;
        assert_int_equal(csv.field_count, t->columns);
        for (size_t i = 0; i < csv.field_count; i++)
            t->cells[t->rows][i] = strdup(csv.fields[i]);
        t->rows++;
    }
    slm_csv_free(&csv);
    return t;
}

static void free_table(table *t)
{
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->columns; c++)
            free(t->cells[r][c]);
    free(t);
}

static size_t column_of(const table *t, const char *name)
{
    for (size_t c = 0; c < t->columns; c++)
        if (strcmp(t->cells[0][c], name) == 0) return c;
    fail_msg("no column %s", name);
    return 0;
}

static void set_cell(table *t, size_t row, const char *column, const char *text)
{
    size_t c = column_of(t, column);
    free(t->cells[row][c]);
    t->cells[row][c] = strdup(text);
}

/* How a spreadsheet saves it: its separator, its line ends, quotes where it must or everywhere. */
static void save_sheet(const table *t, char separator, const char *line_end, bool quote_all,
                       bool mark, bool backwards)
{
    slm_buffer out = {0};
    if (mark) slm_buffer_append_text(&out, "\xef\xbb\xbf");
    for (size_t r = 0; r < t->rows; r++) {
        size_t row = backwards && r > 0 ? t->rows - r : r;
        for (size_t c = 0; c < t->columns; c++) {
            const char *cell = t->cells[row][c];
            char special[] = {separator, '"', '\n', '\r', '\0'};
            if (c > 0) slm_buffer_append_char(&out, separator);
            if (!quote_all && strpbrk(cell, special) == NULL) {
                slm_buffer_append_text(&out, cell);
                continue;
            }
            slm_buffer_append_char(&out, '"');
            for (; *cell; cell++) {
                if (*cell == '"') slm_buffer_append_char(&out, '"');
                slm_buffer_append_char(&out, *cell);
            }
            slm_buffer_append_char(&out, '"');
        }
        slm_buffer_append_text(&out, line_end);
    }
    assert_int_equal(slm_file_write(sheet_path, out.data, out.len, NULL), SLM_OK);
    slm_buffer_free(&out);
}

/* ---- export ---- */

static void a_sheet_is_balanced_and_blind(void **state)
{
    (void)state;
    slm_store *store = make_store();
    size_t answers = 0;
    char *text = export_sheet(store, 8, 3, true, &answers);
    assert_int_equal(answers, 8);
    assert_null(strstr(text, "secret"));
    assert_int_equal(memcmp(text, "\xef\xbb\xbfid,answer,conversation", 24), 0);
    table *t = parse_sheet(text);
    assert_int_equal(t->rows, 1 + 8 * 2);
    size_t id = column_of(t, "id"), reply = column_of(t, "reply"),
           conversation = column_of(t, "conversation"), holds = column_of(t, "holds");
    size_t by_arm[2] = {0}, by_kind[2] = {0}, by_case[2][CASES] = {{0}};
    for (size_t r = 1; r < t->rows; r++) {
        assert_int_equal(t->cells[r][id][0], 'x');
        assert_string_equal(t->cells[r][holds], "");
        if (!*t->cells[r][reply]) {
            assert_string_equal(t->cells[r][conversation], "");
            assert_string_equal(t->cells[r][column_of(t, "criterion")], "'-is rude");
            continue;
        }
        /* A formula is a text; what is not UTF-8 is made so. */
        assert_int_equal(strncmp(t->cells[r][reply], "'=1+1; \"hi\", ", 13), 0);
        assert_non_null(strstr(t->cells[r][reply], "\xef\xbf\xbd end"));
        assert_null(strstr(t->cells[r][reply], "fff/")); /* no baseline */
        size_t arm = strstr(t->cells[r][reply], "bbb/") != NULL;
        size_t number = (size_t)(strstr(t->cells[r][conversation], "case ")[5] - '0');
        by_arm[arm]++;
        by_kind[number % 2]++;
        by_case[arm][number]++;
    }
    assert_int_equal(by_arm[0], 4);
    assert_int_equal(by_kind[0], 4);
    for (size_t i = 0; i < CASES; i++)
        assert_int_equal(by_case[0][i], by_case[1][i]); /* the same cases of both */
    free_table(t);
    char *again = export_sheet(store, 8, 3, true, NULL),
         *other = export_sheet(store, 8, 4, true, NULL);
    assert_string_equal(text, again);
    assert_string_not_equal(text, other);
    free(again);
    free(other);
    free(text);
    text = export_sheet(store, 1000, 0, false, &answers);
    assert_int_equal(answers, 2 * CASES * ROLLOUTS);
    assert_non_null(strstr(text, "secret-name-B"));
    free(text);
    slm_store_close(store);
}

static void a_database_without_answers_has_no_sheet(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_store *store = NULL;
    ok(slm_store_open(path, false, &store, &err), &err);
    slm_sheet_options options = {.n = 3};
    assert_int_equal(slm_sheet_export(store, &options, stdout, NULL, NULL, &err),
                     SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "slm eval first"));
    slm_store_close(store);
}

/* ---- import ---- */

typedef struct imported {
    size_t answers, met, not_met, unscored;
    slm_buffer problems, comments;
    size_t problem_count;
} imported;

static void on_problem(void *context, const slm_error *problem)
{
    imported *im = context;
    slm_buffer_printf(&im->problems, "%s\n", problem->message);
    im->problem_count++;
}

static slm_status on_answer(void *context, const char *run, const char *cases, const slm_case *c,
                            int64_t rollout, const slm_grading *grading, slm_error *err)
{
    imported *im = context;
    (void)err;
    assert_true(strcmp(run, "aaa") == 0 || strcmp(run, "bbb") == 0);
    assert_string_equal(cases, set);
    assert_true(rollout >= 0 && rollout < ROLLOUTS);
    assert_int_equal(grading->count, c->rubric_count);
    for (size_t i = 0; i < grading->count; i++) {
        im->met += grading->grades[i].verdict == SLM_VERDICT_MET;
        im->not_met += grading->grades[i].verdict == SLM_VERDICT_NOT_MET;
        im->unscored += grading->grades[i].verdict == SLM_VERDICT_UNSCORED;
        if (grading->grades[i].explanation)
            slm_buffer_append_text(&im->comments, grading->grades[i].explanation);
    }
    im->answers++;
    return SLM_OK;
}

static slm_status import_sheet(slm_store *store, imported *im, slm_error *err)
{
    *im = (imported){0};
    return slm_sheet_import(store, sheet_path, on_problem, on_answer, im, err);
}

static void free_imported(imported *im)
{
    slm_buffer_free(&im->problems);
    slm_buffer_free(&im->comments);
}

static void sheets_come_back_however_they_were_saved(void **state)
{
    (void)state;
    slm_store *store = make_store();
    char *text = export_sheet(store, 8, 0, true, NULL);
    table *t = parse_sheet(text);
    free(text);
    static const char *const yes[] = {"yes", "Y", "TRUE", "1", " Yes "};
    static const char *const no[] = {"no", "n", "FALSE", "0", "No"};
    for (size_t r = 1; r < t->rows; r++) {
        /* The first answer is left alone, of the second one criterion is left open. */
        if (r <= 2 || r == 4) continue;
        set_cell(t, r, "holds", r % 2 ? yes[r % 5] : no[r % 5]);
    }
    set_cell(t, 3, "comment", "well; \"said\",\nindeed \xc3\xa9");
    static const struct {
        char separator;
        const char *line_end;
        bool quote_all, mark, backwards;
    } ways[] = {{',', "\n", false, false, false},
                {';', "\r\n", true, true, false},
                {'\t', "\r\n", false, true, true},
                {',', "\r\n", true, false, true},
                {';', "\n", false, false, false}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        slm_error err = {0};
        imported im;
        save_sheet(t, ways[i].separator, ways[i].line_end, ways[i].quote_all, ways[i].mark,
                   ways[i].backwards);
        ok(import_sheet(store, &im, &err), &err);
        assert_int_equal(im.problem_count, 0);
        assert_int_equal(im.answers, 7);
        assert_int_equal(im.met, 7);
        assert_int_equal(im.not_met, 6);
        assert_int_equal(im.unscored, 1);
        assert_string_equal(slm_buffer_text(&im.comments), "well; \"said\",\nindeed \xc3\xa9");
        free_imported(&im);
    }
    free_table(t);
    slm_store_close(store);
}

static void every_bad_cell_is_named(void **state)
{
    (void)state;
    slm_store *store = make_store();
    char *text = export_sheet(store, 4, 0, true, NULL);
    table *t = parse_sheet(text);
    free(text);
    for (size_t r = 1; r < t->rows; r++)
        set_cell(t, r, "holds", "yes");
    set_cell(t, 2, "holds", "perhaps");
    set_cell(t, 3, "id", "1.2E+15");
    set_cell(t, 5, "id", "x0123456789abcdef.1");
    char beyond[64], twice[64];
    snprintf(beyond, sizeof beyond, "%.17s.9", t->cells[7][0]);
    snprintf(twice, sizeof twice, "%s", t->cells[6][0]);
    set_cell(t, 7, "id", beyond);
    set_cell(t, 8, "id", twice);
    slm_error err = {0};
    imported im;
    save_sheet(t, ';', "\r\n", false, true, false);
    assert_int_equal(import_sheet(store, &im, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "5 cells"));
    assert_non_null(strstr(err.message, "nothing was imported"));
    assert_int_equal(im.problem_count, 5);
    assert_int_equal(im.answers, 0);
    static const char *const told[] = {
        "row 3, column F: 'perhaps' is neither yes nor no",
        "row 4, column A: '1.2E+15' is no id",
        "row 6, column A: the database has no such answer",
        "row 8, column A: the case has 2 criteria, there is none of number 9",
        "row 9, column A: the same id stands in row 7",
    };
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (!strstr(slm_buffer_text(&im.problems), told[i]))
            fail_msg("'%s' is not in:\n%s", told[i], slm_buffer_text(&im.problems));
    /* Texts run over several lines: the line of the file is another number than the row. */
    assert_non_null(strstr(slm_buffer_text(&im.problems), "sheet.csv:"));
    free_imported(&im);
    free_table(t);
    slm_store_close(store);
}

static void what_is_no_sheet_is_refused(void **state)
{
    (void)state;
    slm_store *store = make_store();
    static const struct {
        const char *text, *says;
    } wrong[] = {{"", "no column 'id'"},
                 {"id,answer\nx,1\n", "no column 'holds'"},
                 {"id,holds,HOLDS\n", "two columns are called holds"},
                 {"id,holds\n", "no row"},
                 {"id,holds\n\"x", "never closed"},
                 {"PK\x03\x04", "a spreadsheet file"},
                 {"\xff\xfei", "UTF-16"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        slm_error err = {0};
        imported im;
        assert_int_equal(slm_file_write(sheet_path, wrong[i].text, strlen(wrong[i].text), NULL),
                         SLM_OK);
        assert_int_equal(import_sheet(store, &im, &err), SLM_ERR_FORMAT);
        if (!strstr(err.message, wrong[i].says))
            fail_msg("'%s' is not in '%s'", wrong[i].says, err.message);
        free_imported(&im);
    }
    slm_store_close(store);
}

/* ---- gradings in the database as labels ---- */

static void put_grading(slm_store *store, const char *judge, const char *case_id, int64_t rollout,
                        int first, int second)
{
    slm_error err = {0};
    slm_stored_grade grades[] = {
        {.criterion = 0, .met = first, .prompt_tokens = -1, .reply_tokens = -1},
        {.criterion = 1, .met = second, .prompt_tokens = -1, .reply_tokens = -1}};
    slm_stored_grading grading = {.run = "aaa",
                                  .case_id = case_id,
                                  .rollout = rollout,
                                  .judge_hash = judge,
                                  .status = "unscored",
                                  .grades = grades,
                                  .grade_count = 2};
    ok(slm_store_put_grading(store, &grading, &err), &err);
}

static void gradings_are_labels(void **state)
{
    (void)state;
    slm_store *store = make_store();
    slm_error err = {0};
    slm_labels labels;
    ok(slm_store_put_judge(store, "0123456789", "human:ann", &err), &err);
    ok(slm_store_put_judge(store, "0123456000", "human:bob", &err), &err);
    put_grading(store, "0123456789", "c1", 0, 1, 0);
    put_grading(store, "0123456789", "c1", 2, 0, -1);
    put_grading(store, "0123456789", "c2", 0, -1, -1);
    put_grading(store, "0123456000", "c1", 0, 1, 1);
    ok(slm_labels_from_store(store, "human:ann", &labels, &err), &err);
    assert_string_equal(labels.name, "human:ann");
    assert_int_equal(labels.count, 2);
    assert_int_equal(labels.criteria, 3);
    assert_int_equal(labels.prompt_count, 1);
    assert_non_null(strstr(labels.items[1].reply, "aaa/1"));
    assert_int_equal(labels.items[1].rollout, 2);
    slm_verdict verdicts[3];
    char hash[65];
    ok(slm_labels_stored_verdicts(&labels, store, "human:bob", hash, verdicts, &err), &err);
    assert_string_equal(hash, "0123456000");
    assert_int_equal(verdicts[0], SLM_VERDICT_MET);
    assert_int_equal(verdicts[1], SLM_VERDICT_MET);
    assert_int_equal(verdicts[2], SLM_VERDICT_NOT_COVERED);
    slm_labels_free(&labels);
    /* By hash; by what is not there; by what fits two. */
    ok(slm_labels_from_store(store, "01234567", &labels, &err), &err);
    slm_labels_free(&labels);
    assert_int_equal(slm_labels_from_store(store, "human:eve", &labels, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "human:ann (01234567)"));
    assert_int_equal(slm_labels_from_store(store, "0123456", &labels, &err), SLM_ERR_INVALID);
    ok(slm_store_put_judge(store, "f00", "nobody", &err), &err);
    assert_int_equal(slm_labels_from_store(store, "nobody", &labels, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "graded no criterion"));
    slm_store_close(store);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_sheet_is_balanced_and_blind),
        TEST(a_database_without_answers_has_no_sheet),
        TEST(sheets_come_back_however_they_were_saved),
        TEST(every_bad_cell_is_named),
        TEST(what_is_no_sheet_is_refused),
        TEST(gradings_are_labels),
    };
    return cmocka_run_group_tests_name("sheet", tests, NULL, NULL);
}
