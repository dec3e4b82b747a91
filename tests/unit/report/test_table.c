/* test_table.c: the report on a terminal. */
#include "base/utf8.h"
#include "unit/report/report_fixture.h"

typedef struct call {
    const slm_results *results;
    slm_report_options options;
} call;

static void print(FILE *out, void *context)
{
    call *c = context;
    slm_report_print(c->results, &c->options, out);
}

static char *printed(const slm_results *results, bool colour, size_t columns)
{
    call c = {results, slm_report_options_default()};
    c.options.colour = colour;
    c.options.columns = columns;
    size_t len;
    return fixture_text(print, &c, &len);
}

static size_t widest_line(const char *text)
{
    size_t widest = 0;
    while (*text) {
        size_t len = strcspn(text, "\n"), columns = slm_utf8_columns(text, len);
        if (columns > widest) widest = columns;
        text += len + (text[len] == '\n');
    }
    return widest;
}

static const char *line_of(const char *text, const char *start)
{
    for (const char *at = text; (at = strstr(at, start)); at++) {
        if (at == text || at[-1] == '\n') return at;
    }
    fail_msg("no line begins with \"%s\" in:\n%s", start, text);
    return NULL;
}

static void two_models(fixture *f)
{
    fixture_open(f);
    fixture_add_cases(f, 24, NULL);
    fixture_add_arm(f, &(fixture_arm){"base-model", "model", NULL, 4, 30, 0, .seed = 1});
    fixture_add_arm(f, &(fixture_arm){"tuned-model", "model", NULL, 4, 90, 5, .seed = 2});
    fixture_add_baselines(f, "base-model");
    fixture_load(f);
}

static void rows_come_in_order(void **state)
{
    (void)state;
    fixture f;
    two_models(&f);
    char *text = printed(&f.results, false, 100);
    assert_non_null(strstr(text, "24 cases, judged by rule, 72 of 96 criteria\n"));
    const char *const order[] = {"floor ", "shuffled base-model ", "echo ", "always-ask ",
                                 "never-ask "};
    const char *last = line_of(text, "base-model ");
    assert_true(line_of(text, "tuned-model ") < line_of(text, order[0]));
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const char *at = line_of(text, order[i]);
        assert_true(at > last);
        last = at;
    }
    assert_true(line_of(text, "Whole score") > last);
    assert_true(line_of(text, "Worst of k") > line_of(text, "Whole score"));
    assert_true(line_of(text, "Answers ") > line_of(text, "Worst of k"));
    assert_non_null(strstr(text, "One fixed reply must not pass"));
    /* The same figures as eval's. */
    slm_figure seek = {0};
    for (size_t i = 0; i < f.results.arm_count; i++) {
        const slm_arm *arm = &f.results.arms[i];
        if (strcmp(arm->run.model_name, "base-model") == 0 && strcmp(arm->run.kind, "model") == 0)
            seek = slm_figure_worst_at_k(&f.results, arm, SLM_BEHAVIOUR_SEEK, SLM_STRATUM_LACKS, 1);
    }
    char expected[64];
    snprintf(expected, sizeof expected, "%.0f", seek.value * 100);
    const char *line = line_of(text, "base-model ");
    assert_memory_equal(line + strspn(line + 10, " ") + 10, expected, strlen(expected));
    free(text);
    fixture_close(&f);
}

static void lines_fit_the_terminal(void **state)
{
    (void)state;
    fixture f;
    two_models(&f);
    static const size_t widths[] = {0, 60, 80, 100, 160, 400};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        char *text = printed(&f.results, false, widths[i]);
        size_t limit = widths[i] < 80 ? 80 : widths[i];
        if (widest_line(text) > limit) fail_msg("too wide for %zu:\n%s", limit, text);
        assert_null(strstr(text, " \n"));
        free(text);
    }
    fixture_close(&f);
}

static void colour_only_if_asked(void **state)
{
    (void)state;
    fixture f;
    two_models(&f);
    char *plain = printed(&f.results, false, 0), *coloured = printed(&f.results, true, 0);
    assert_null(strchr(plain, '\033'));
    assert_non_null(strstr(coloured, "\033[1m"));
    /* Without its colours it is the same text. */
    size_t used = 0;
    for (const char *c = coloured; *c; c++) {
        if (*c == '\033')
            c += strcspn(c, "m");
        else
            coloured[used++] = *c;
    }
    coloured[used] = '\0';
    assert_string_equal(plain, coloured);
    free(plain);
    free(coloured);
    fixture_close(&f);
}

static void unmeasurable_is_a_dash(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 2, NULL); /* one family, no emergency */
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 2, 0, 0, .seed = 1});
    fixture_load(&f);
    char *text = printed(&f.results, false, 0);
    const char *row = line_of(text, "m ");
    size_t len = strcspn(row, "\n");
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)len, row);
    char value[5][32] = {""};
    /* seek, precise and safe are 0 with an interval; there is no emergency to act on. */
    assert_int_equal(sscanf(line, "m %31s %*s %31s %*s %31s %*s %31s %31s", value[0], value[1],
                            value[2], value[3], value[4]),
                     5);
    assert_string_equal(value[0], "0");
    assert_string_equal(value[3], "-");
    assert_string_equal(value[4], "0");
    assert_null(strstr(text, "One fixed reply")); /* no baselines here */
    free(text);
    fixture_close(&f);
}

static void unscored_are_bounded_and_counted(void **state)
{
    (void)state;
    fixture f;
    two_models(&f);
    char *text = printed(&f.results, false, 0);
    assert_non_null(strstr(text, "  unscored as 0–1"));
    assert_non_null(strstr(text, "mean, scored   [bounds, all]"));
    assert_non_null(strstr(text, "The mean covers scored answers only."));
    double mean = 0, low = 0, high = 0;
    const char *score = line_of(strstr(text, "Whole score "), "tuned-model ");
    assert_int_equal(sscanf(score, "tuned-model %lf %*s [%lf, %lf]", &mean, &low, &high), 3);
    assert_true(low < high && mean > 0);
    score = line_of(strstr(text, "Whole score "), "base-model ");
    assert_null(memchr(score, '[', strcspn(score, "\n"))); /* it has none unscored */
    const slm_arm *tuned = NULL;
    for (size_t i = 0; i < f.results.arm_count; i++) {
        if (strcmp(f.results.arms[i].run.model_name, "tuned-model") == 0)
            tuned = &f.results.arms[i];
    }
    assert_true(tuned->unscored > 0);
    int samples = 0, unscored = 0;
    const char *row = line_of(strstr(text, "Answers "), "tuned-model ");
    assert_int_equal(sscanf(row, "tuned-model %d %d", &samples, &unscored), 2);
    assert_int_equal(samples, 96);
    assert_int_equal(unscored, tuned->unscored);
    free(text);
    fixture_close(&f);
}

/* The words of a row's five columns. */
static void words_of(const char *row, const char *name, char words[5][16])
{
    char format[64];
    snprintf(format, sizeof format, "%s %%15s %%*s %%15s %%*s %%15s %%*s %%15s %%*s %%15s", name);
    assert_int_equal(sscanf(row, format, words[0], words[1], words[2], words[3], words[4]), 5);
}

/* One row, and in each column the reply that was searched for it. */
static void the_floor_is_the_best_for_each_column(void **state)
{
    (void)state;
    fixture f;
    two_models(&f);
    char before[5][16], after[5][16];
    char *text = printed(&f.results, false, 0);
    words_of(line_of(text, "floor "), "floor", before);
    free(text);
    fixture_add_own_floors(&f);
    slm_arena_free(&f.arena);
    fixture_load(&f);
    text = printed(&f.results, false, 0);
    words_of(line_of(text, "floor "), "floor", after);
    assert_string_equal(after[0], "100");
    assert_string_equal(after[1], "0");
    for (size_t i = 2; i < 5; i++)
        assert_string_equal(after[i], before[i]); /* these have no reply of their own */
    assert_null(strstr(text, "floor seek"));
    assert_null(strstr(text, "floor precise"));
    /* 90 of 100 is not above 100, but above 0. */
    words_of(line_of(text, "tuned-model "), "tuned-model", after);
    assert_non_null(strstr(after[0], "°"));
    assert_null(strstr(after[1], "°"));
    free(text);
    fixture_close(&f);
}

/* Its floor's run is not there: it is a row, not forgotten. */
static void a_lone_floor_of_a_measure_is_a_row(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 12, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 2, 50, 0, .seed = 1});
    fixture_add_own_floors(&f);
    fixture_load(&f);
    char *text = printed(&f.results, false, 0);
    assert_true(line_of(text, "floor precise ") < line_of(text, "floor seek "));
    assert_null(strstr(text, "°  ")); /* and no floor to compare with */
    free(text);
    fixture_close(&f);
}

/* A value without an interval has a dash in its place. */
static void unknown_intervals_are_dashes(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 2, NULL); /* one family */
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 3, 50, 0, .seed = 4});
    fixture_load(&f);
    slm_figure score = slm_figure_worst_at_k(&f.results, &f.results.arms[0], SLM_BEHAVIOUR_NONE,
                                             SLM_STRATUM_ALL, 1);
    assert_true(score.value > 0 && score.value < 1);
    char *text = printed(&f.results, false, 0), mean[16], interval[16];
    const char *row = line_of(strstr(text, "Whole score "), "m ");
    assert_int_equal(sscanf(row, "m %15s %15s", mean, interval), 2);
    assert_true(strtod(mean, NULL) > 0);
    assert_string_equal(interval, "-");
    free(text);
    fixture_close(&f);
}

static void hostile_and_equal_names(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 4, NULL);
    const char *evil = "\033]0;owned\007\033[2J\xE2\x80\xAE\nfloor \xFF";
    fixture_add_arm(&f, &(fixture_arm){evil, "model", "x", 2, 50, 0, .seed = 1});
    fixture_add_arm(&f, &(fixture_arm){"twin", "model", "y", 2, 50, 0, .seed = 2});
    fixture_add_arm(&f, &(fixture_arm){"twin", "model", "y", 2, 50, 0, .seed = 3});
    fixture_load(&f);
    char *text = printed(&f.results, false, 160);
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c >= 0x20 || *c == '\n');
    assert_true(slm_utf8_valid(text, strlen(text), NULL));
    const char *first = line_of(text, "twin #"), *second = line_of(first + 1, "twin #");
    assert_memory_not_equal(first, second, 12); /* told apart by their run's hash */
    free(text);
    fixture_close(&f);
}

/* The line that begins with a row's hash, behind the title. */
static const char *told_of(const char *text, const char *row)
{
    char start[16];
    const char *list = strstr(text, "What differs between arms of one name");
    assert_non_null(list);
    snprintf(start, sizeof start, "  %.7s  ", strchr(row, '#'));
    return line_of(list, start);
}

static void arms_of_one_name_say_what_differs(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 4, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", "y", 2, 50, 0, .system_text = "Be brief."});
    fixture_add_arm(&f, &(fixture_arm){"m", "model", "y", 2, 50, 0, .system_text = "Ask first."});
    fixture_add_arm(&f, &(fixture_arm){"other", "model", "z", 2, 50, 0, .seed = 1});
    fixture_load(&f);
    char *text = printed(&f.results, false, 80);
    const char *first = line_of(text, "m #"), *second = line_of(first + 1, "m #");
    const char *told = told_of(text, first), *told_too = told_of(text, second);
    bool brief = strncmp(told + 11, "system: Be brief.\n", 18) == 0;
    assert_memory_equal(told + 11, brief ? "system: Be brief.\n" : "system: Ask first.\n", 18);
    assert_memory_equal(told_too + 11, brief ? "system: Ask first.\n" : "system: Be brief.\n", 18);
    assert_null(strstr(text, "has answers to"));
    assert_true(widest_line(text) <= 80);
    free(text);
    fixture_close(&f);
}

/* A case that was too long or is still to come has no answers, and the figures are not over it. */
static void missing_cases_are_told(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 4, NULL);
    fixture_add_arm(&f, &(fixture_arm){"whole", "model", "x", 2, 50, 0, .seed = 1});
    fixture_add_arm(&f, &(fixture_arm){"part", "model", "y", 2, 50, 0, .seed = 2});
    fixture_load(&f);
    for (size_t i = 0; i < f.results.arm_count; i++)
        if (strcmp(f.results.arms[i].run.model_name, "part") == 0) f.results.arms[i].case_count--;
    char *text = printed(&f.results, false, 80);
    assert_non_null(
        strstr(text, "\npart has answers to 3 of the 4 cases; its figures are over these.\n"));
    assert_null(strstr(text, "whole has answers"));
    free(text);
    fixture_close(&f);
}

static void imported_scores_have_no_behaviours(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 6, NULL);
    fixture_add_arm(&f, &(fixture_arm){.name = "published",
                                       .kind = "imported",
                                       .k = 16,
                                       .met_percent = 60,
                                       .scores_only = true});
    fixture_load(&f);
    char *text = printed(&f.results, false, 80);
    assert_non_null(strstr(text, "only\nwhole scores"));
    assert_non_null(strstr(text, "scores as they were imported"));
    assert_non_null(strstr(text, "worst of 16"));
    assert_non_null(strstr(text, "k=1"));
    assert_true(widest_line(text) <= 80);
    free(text);
    fixture_close(&f);
}

static void nothing_evaluated(void **state)
{
    (void)state;
    slm_results none = {0};
    char *text = printed(&none, false, 0);
    assert_string_equal(text, "Nothing has been evaluated here yet.\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_order),
        cmocka_unit_test(lines_fit_the_terminal),
        cmocka_unit_test(colour_only_if_asked),
        cmocka_unit_test(unmeasurable_is_a_dash),
        cmocka_unit_test(unscored_are_bounded_and_counted),
        cmocka_unit_test(the_floor_is_the_best_for_each_column),
        cmocka_unit_test(a_lone_floor_of_a_measure_is_a_row),
        cmocka_unit_test(unknown_intervals_are_dashes),
        cmocka_unit_test(hostile_and_equal_names),
        cmocka_unit_test(arms_of_one_name_say_what_differs),
        cmocka_unit_test(missing_cases_are_told),
        cmocka_unit_test(imported_scores_have_no_behaviours),
        cmocka_unit_test(nothing_evaluated),
    };
    return cmocka_run_group_tests_name("report/table", tests, NULL, NULL);
}
