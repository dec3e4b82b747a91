/* Labels: read, drawn, tagged. Agreement: figures against ones worked out by hand. */
#include "fake_chat.h"

#include <math.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"

static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/slm-test-labels-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static slm_labels load(const char *text, const slm_cases *tags_from)
{
    slm_error err = {0};
    slm_labels labels;
    assert_int_equal(slm_file_write(path, text, strlen(text), NULL), SLM_OK);
    ok(slm_labels_load(path, tags_from, &labels, &err), &err);
    return labels;
}

/* p: prompt, r: response, rows of "criterion:points:verdict". */
#define TURN(p)            "{\"prompt\":[{\"role\":\"user\",\"content\":\"" p "\"}],"
#define ROW(p, r, rubrics) TURN(p) "\"response\":\"" r "\",\"rubrics\":[" rubrics "]}\n"
#define ITEM(c, points, met)                                                                       \
    "{\"criterion\":\"" c "\",\"points\":" points ",\"criteria_met\":" met ",\"explanation\":"     \
    "\"e\"}"

static const char two_prompts[] =
    ROW("p", "one", ITEM("a", "5", "true") "," ITEM("b", "-2", "false"))
        ROW("q", "two", ITEM("c", "1", "false"))
            ROW("p", "three",
                ITEM("a", "5", "false") "," ITEM("b", "-2", "null") "," ITEM("d", "3", "true"));

static void rows_with_verdicts_are_read(void **state)
{
    (void)state;
    slm_labels l = load(two_prompts, NULL);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.criteria, 5); /* null is no label */
    assert_int_equal(l.prompt_count, 2);
    assert_int_equal(l.items[0].prompt, l.items[2].prompt);
    assert_int_not_equal(l.items[0].prompt, l.items[1].prompt);
    assert_string_equal(l.items[2].reply, "three");
    assert_int_equal(l.items[2].first, 3);
    assert_string_equal(l.items[2].c.rubrics[1].criterion, "d");
    assert_int_equal(l.items[2].labels[1].criterion, 2);
    assert_int_equal(l.items[2].labels[1].met, 1);
    assert_int_equal(l.items[2].labels[0].not_met, 1);
    assert_true(fabs(l.items[0].c.rubrics[1].points + 2) < 1e-12);
    slm_labels other = load(ROW("p", "one", ITEM("a", "5", "false")), NULL);
    assert_string_not_equal(l.sha256, other.sha256);
    slm_labels_free(&other);
    slm_labels_free(&l);
}

static void meta_evaluation_is_read(void **state)
{
    (void)state;
    static const char text[] =
        TURN("p") "\"completion\":\"r\",\"rubric\":\"a\",\"category\":\"hedging\","
                  "\"binary_labels\":[true,true,false],"
                  "\"anonymized_physician_ids\":[\"1\",\"2\",\"3\"],\"prompt_id\":\"x\"}\n" TURN(
                      "p") "\"completion\":\"s\",\"rubric\":\"b\",\"category\":\"cluster:y\","
                           "\"binary_labels\":[false,false],"
                           "\"anonymized_physician_ids\":[\"1\",\"2\"],\"prompt_id\":\"x\"}\n";
    slm_labels l = load(text, NULL);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.criteria, 2);
    assert_int_equal(l.prompt_count, 1);
    assert_int_equal(l.items[0].labels[0].met, 2);
    assert_int_equal(l.items[0].labels[0].not_met, 1);
    assert_string_equal(l.items[0].c.rubrics[0].tags[0], "cluster:hedging");
    assert_string_equal(l.items[1].c.rubrics[0].tags[0], "cluster:y");
    /* Points are not told: none stand before the criterion. */
    fake_chat *chat = fake_chat_new(says_yes);
    slm_judge *judge = judge_of(chat);
    slm_grading_free(grade(judge, &l.items[0].c, l.items[0].reply));
    assert_non_null(strstr(chat->asks[0].prompt, "\na\n"));
    slm_judge_free(judge);
    /* The labellers: of three one differs, of two none. Pairs both ways: 2 met-met, 2 + 2 mixed,
     * 2 not-not. */
    slm_agreement a = slm_agreement_of_labellers(&l, NULL);
    assert_int_equal(a.criteria, 2);
    assert_int_equal(a.cells[1][1], 2);
    assert_int_equal(a.cells[1][0], 2);
    assert_int_equal(a.cells[0][1], 2);
    assert_int_equal(a.cells[0][0], 2);
    assert_true(fabs(a.accuracy.value - 0.5) < 1e-12);
    assert_true(fabs(a.kappa.value) < 1e-12);
    /* Each label counts: met agrees with two of three, not met with both of two. */
    const slm_verdict verdicts[] = {SLM_VERDICT_MET, SLM_VERDICT_NOT_MET};
    a = slm_agreement_of(&l, verdicts, NULL);
    assert_int_equal(a.cells[1][1], 2);
    assert_int_equal(a.cells[0][1], 1);
    assert_int_equal(a.cells[0][0], 2);
    assert_true(fabs(a.accuracy.value - 0.8) < 1e-12);
    slm_labels_free(&l);
}

static void wrong_rows_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "has no label"},
        {"[]\n", ":1: expected an object"},
        {TURN("p") "\"rubrics\":[]}\n", "response"},
        {TURN("p") "\"response\":\"r\"}\n", "rubrics"},
        {"{\"prompt\":[],\"response\":\"r\",\"rubrics\":[]}", "prompt: expected a message"},
        {ROW("p", "r", "{\"criterion\":\"a\"}"), "rubrics[0].criteria_met: is missing"},
        {ROW("p", "r", ITEM("a", "1", "true") "," ITEM("b", "1", "\"yes\"")),
         ":1: rubrics[1].criteria_met: expected true or false"},
        {ROW("p", "r", ITEM("a", "\"1\"", "true")), "rubrics[0].points"},
        {ROW("p", "r", ITEM("a", "1", "true")) "{\"prompt\"\n", ":2"},
        {ROW("p", "r", ITEM("a", "1", "null")), "has no label"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        slm_error err = {0};
        slm_labels labels;
        assert_int_equal(slm_file_write(path, wrong[i].text, strlen(wrong[i].text), NULL), SLM_OK);
        assert_int_equal(slm_labels_load(path, NULL, &labels, &err), SLM_ERR_FORMAT);
        if (!strstr(err.message, wrong[i].says))
            fail_msg("'%s' is not in '%s'", wrong[i].says, err.message);
        assert_non_null(strstr(err.message, path));
    }
}

static void tags_come_from_cases(void **state)
{
    (void)state;
    static const char cases_text[] =
        "{\"prompt_id\":\"1\",\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],"
        "\"example_tags\":[\"theme:t\"],\"rubrics\":[{\"criterion\":\"a\",\"points\":5,"
        "\"tags\":[\"axis:x\",\"level:e\"]},{\"criterion\":\"z\",\"points\":5,\"tags\":[\"axis:z\"]"
        "}]}\n";
    slm_error err = {0};
    slm_cases cases;
    const char *paths[] = {path};
    slm_cases_options all = {0};
    assert_int_equal(slm_file_write(path, cases_text, sizeof cases_text - 1, NULL), SLM_OK);
    ok(slm_cases_load(paths, 1, &all, NULL, NULL, &cases, &err), &err);
    slm_labels l = load(two_prompts, &cases);
    slm_cases_free(&cases);
    slm_arena arena = {0};
    size_t count = 0;
    const char **tags = slm_labels_tags(&l, &arena, &count);
    assert_int_equal(count, 3);
    assert_string_equal(tags[0], "axis:x");
    assert_string_equal(tags[2], "theme:t");
    const slm_verdict verdicts[5] = {SLM_VERDICT_MET, SLM_VERDICT_MET, SLM_VERDICT_MET,
                                     SLM_VERDICT_MET, SLM_VERDICT_MET};
    assert_int_equal(slm_agreement_of(&l, verdicts, "theme:t").criteria, 4); /* prompt p */
    assert_int_equal(slm_agreement_of(&l, verdicts, "axis:x").criteria, 2);  /* criterion a */
    assert_int_equal(slm_agreement_of(&l, verdicts, "axis:z").criteria, 0);
    slm_arena_free(&arena);
    slm_labels_free(&l);
}

/* ---- figures ---- */

/* `n` answers to prompts of their own, a criterion each: labels and verdicts as letters. */
static slm_labels made(const char *letters, slm_verdict *verdicts, size_t prompts)
{
    slm_buffer text = {0};
    size_t n = strlen(letters) / 2;
    for (size_t i = 0; i < n; i++)
        slm_buffer_printf(&text,
                          ROW("p%zu", "r%zu",
                              "{\"criterion\":\"c\",\"points\":1,"
                              "\"criteria_met\":%s}"),
                          i % prompts, i, letters[2 * i] == 'Y' ? "true" : "false");
    slm_labels l = load(slm_buffer_text(&text), NULL);
    assert_int_equal(l.criteria, n);
    for (size_t i = 0; i < n; i++) {
        char v = letters[2 * i + 1];
        verdicts[i] = v == 'Y'   ? SLM_VERDICT_MET
                      : v == 'N' ? SLM_VERDICT_NOT_MET
                      : v == 'U' ? SLM_VERDICT_UNSCORED
                                 : SLM_VERDICT_NOT_COVERED;
    }
    slm_buffer_free(&text);
    return l;
}

static void near(double got, double wanted)
{
    if (!(fabs(got - wanted) < 1e-12)) fail_msg("%.15g is not %.15g", got, wanted);
}

static void figures_are_right(void **state)
{
    (void)state;
    slm_verdict verdicts[32];
    /* a = 4 both met, b = 2 label alone, c = 1 judge alone, d = 3 neither; one failed, one not his. */
    slm_labels l = made("YYYYYYYYYNYNNYNNNNNNYUNX", verdicts, 100);
    slm_agreement a = slm_agreement_of(&l, verdicts, NULL);
    assert_int_equal(a.criteria, 12);
    assert_int_equal(a.unscored, 1);
    assert_int_equal(a.not_covered, 1);
    assert_int_equal(a.cells[1][1], 4);
    assert_int_equal(a.cells[1][0], 2);
    assert_int_equal(a.cells[0][1], 1);
    assert_int_equal(a.cells[0][0], 3);
    near(a.accuracy.value, 0.7);
    near(a.balanced_accuracy.value, (4.0 / 6 + 3.0 / 4) / 2);
    near(a.macro_f1.value, (8.0 / 11 + 6.0 / 9) / 2);
    near(a.kappa.value, (0.7 - 0.5) / (1 - 0.5)); /* (6*5 + 4*5) / 100 = 0.5 */
    near(a.sensitivity.value, 4.0 / 6);
    near(a.specificity.value, 3.0 / 4);
    assert_true(a.specificity.interval.low < 0.75 && a.specificity.interval.high > 0.75);
    assert_true(a.kappa.interval.low < a.kappa.value && a.kappa.value < a.kappa.interval.high);
    assert_true(a.accuracy.interval.low > 0.3 && a.accuracy.interval.high < 1.001);
    /* The same again to the last bit. */
    slm_agreement again = slm_agreement_of(&l, verdicts, NULL);
    assert_memory_equal(&a, &again, sizeof a);
    json_t *json = slm_agreement_json(&a);
    near(json_real_value(json_object_get(json_object_get(json, "kappa"), "value")), 0.4);
    assert_int_equal(json_integer_value(json_object_get(json, "unscored")), 1);
    json_decref(json);
    slm_labels_free(&l);
}

static void what_is_not_defined_is_not_told(void **state)
{
    (void)state;
    slm_verdict verdicts[32];
    slm_labels l = made("YYYYYYYY", verdicts, 100); /* one class, all right */
    slm_agreement a = slm_agreement_of(&l, verdicts, NULL);
    near(a.accuracy.value, 1);
    near(a.accuracy.interval.high, 1);
    near(a.accuracy.interval.low, pow(0.025, 0.25)); /* exact: alpha/2 to the 1/n */
    assert_true(isnan(a.balanced_accuracy.value) && isnan(a.macro_f1.value));
    assert_true(isnan(a.kappa.value) && isnan(a.kappa.interval.low));
    slm_labels_free(&l);
    l = made("YYNNYYNN", verdicts, 1); /* one prompt tells nothing of others */
    a = slm_agreement_of(&l, verdicts, NULL);
    near(a.kappa.value, 1);
    assert_true(isnan(a.kappa.interval.low) && isnan(a.accuracy.interval.low));
    slm_labels_free(&l);
    l = made("YUNU", verdicts, 2); /* nothing but failures */
    a = slm_agreement_of(&l, verdicts, NULL);
    assert_int_equal(a.unscored, 2);
    assert_true(isnan(a.accuracy.value) && isnan(a.kappa.value));
    json_t *json = slm_agreement_json(&a);
    assert_true(json_is_null(json_object_get(json_object_get(json, "accuracy"), "value")));
    json_decref(json);
    slm_labels_free(&l);
}

/* Answers of one prompt that are all alike are one piece of evidence, not many. */
static void intervals_are_over_prompts(void **state)
{
    (void)state;
    static const char letters[] = "YYNNYNNNYYNNYYNYYYNNYNNNYYNNYYNYYYNNYNNNYYNNYYNY";
    slm_verdict verdicts[64];
    slm_labels each = made(letters, verdicts, 100);
    slm_agreement wide, narrow = slm_agreement_of(&each, verdicts, NULL);
    slm_labels_free(&each);
    slm_labels few = made(letters, verdicts, 8); /* the pattern repeats every eight */
    wide = slm_agreement_of(&few, verdicts, NULL);
    slm_labels_free(&few);
    near(wide.kappa.value, narrow.kappa.value);
    assert_true(wide.kappa.interval.high - wide.kappa.interval.low >
                1.3 * (narrow.kappa.interval.high - narrow.kappa.interval.low));
}

static void two_judges_are_compared(void **state)
{
    (void)state;
    slm_verdict first[32], second[32];
    slm_labels l = made("YYYYYNNNNNNU", first, 100);
    slm_labels same = made("YYYNYNNNNYNN", second, 100);
    slm_agreement a = slm_agreement_between(&l, first, second);
    assert_int_equal(a.cells[1][1], 1);
    assert_int_equal(a.cells[1][0], 1);
    assert_int_equal(a.cells[0][1], 1);
    assert_int_equal(a.cells[0][0], 2);
    assert_int_equal(a.unscored, 1);
    slm_labels_free(&l);
    slm_labels_free(&same);
}

/* ---- a judge on labels ---- */

static void a_sample_is_drawn(void **state)
{
    (void)state;
    slm_verdict verdicts[64];
    static const char letters[] = "YYNNYNNNYYNNYYNYYYNNYNNNYYNNYYNYYYNNYNNNYYNNYYNY";
    slm_labels whole = made(letters, verdicts, 5), a = made(letters, verdicts, 5),
               b = made(letters, verdicts, 5), c = made(letters, verdicts, 5);
    slm_labels_sample(&a, 10, 1);
    slm_labels_sample(&b, 10, 1);
    slm_labels_sample(&c, 10, 2);
    assert_int_equal(a.criteria, 10);
    assert_string_equal(a.sha256, b.sha256);
    assert_string_not_equal(a.sha256, c.sha256);
    slm_labels_sample(&b, 1000, 7);
    assert_int_equal(b.criteria, 10);
    assert_string_not_equal(a.sha256, whole.sha256);
    slm_labels_free(&whole);
    slm_labels_free(&a);
    slm_labels_free(&b);
    slm_labels_free(&c);
}

static const char *says_by_criterion(const fake_chat *chat, const fake_ask *ask, size_t count)
{
    if (strstr(ask->prompt, "] d\n")) return "no idea";
    return strstr(ask->prompt, "] a\n") ? says_yes(chat, ask, count) : says_no(chat, ask, count);
}

static void a_judge_grades_labels(void **state)
{
    (void)state;
    slm_labels l = load(two_prompts, NULL);
    slm_error err = {0}, first = {0};
    slm_verdict verdicts[15];
    fake_chat *chat = fake_chat_new(says_by_criterion);
    slm_judge *judge = judge_of(chat);
    ok(slm_labels_grade(&l, judge, NULL, NULL, verdicts, &first, &err), &err);
    static const slm_verdict wanted[] = {SLM_VERDICT_MET, SLM_VERDICT_NOT_MET, SLM_VERDICT_NOT_MET,
                                         SLM_VERDICT_MET, SLM_VERDICT_UNSCORED};
    assert_memory_equal(verdicts, wanted, sizeof wanted);
    assert_non_null(strstr(first.message, "no verdict"));
    slm_judge_free(judge);
    /* A jury's judges stand behind it. */
    fake_chat *yes = fake_chat_new(says_yes), *no = fake_chat_new(says_no);
    static char other[] = "other";
    no->chat.identity = other;
    slm_judge *members[] = {judge_of(yes), judge_of(no)}, *jury = NULL;
    ok(slm_judge_jury_new(members, 2, &jury, &err), &err);
    ok(slm_labels_grade(&l, jury, NULL, NULL, verdicts, &first, &err), &err);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(verdicts[i], SLM_VERDICT_UNSCORED);
        assert_int_equal(verdicts[5 + i], SLM_VERDICT_MET);
        assert_int_equal(verdicts[10 + i], SLM_VERDICT_NOT_MET);
    }
    volatile bool stop = true;
    assert_int_equal(slm_labels_grade(&l, jury, NULL, &stop, verdicts, &first, &err),
                     SLM_ERR_CANCELLED);
    slm_judge_free(jury);
    slm_labels_free(&l);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rows_with_verdicts_are_read), TEST(meta_evaluation_is_read),
        TEST(wrong_rows_say_where),        TEST(tags_come_from_cases),
        TEST(figures_are_right),           TEST(what_is_not_defined_is_not_told),
        TEST(intervals_are_over_prompts),  TEST(two_judges_are_compared),
        TEST(a_sample_is_drawn),           TEST(a_judge_grades_labels),
    };
    return cmocka_run_group_tests_name("agreement", tests, NULL, NULL);
}
