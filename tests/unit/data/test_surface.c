/* The surface test: counting, the area under the curve against its definition, and sets whose looks
 * do and do not tell lacks from enough. */
#include "set_builder.h"

#include <math.h>
#include "base/random.h"
#include "data/inspect_internal.h"

static void counts(const char *language, const char *text, const double wanted[6])
{
    slm_turn turns[] = {{"user", text}};
    slm_case c = {.turns = turns, .turn_count = 1, .language = language};
    double got[DATA__SURFACE_FEATURES];
    data__surface_count(&c, got);
    for (size_t i = 0; i < DATA__SURFACE_FEATURES; i++)
        if (got[i] != wanted[i])
            fail_msg("\"%s\": %s %g, wanted %g", text, data__surface_names[i], got[i], wanted[i]);
}

static void what_is_counted(void **state)
{
    (void)state;
    /* words, turns, digits, commas, negations, units */
    counts("English", "I don't have 500mg, or 2 tablets, no.", (double[]){8, 1, 4, 2, 2, 2});
    counts("English",
           "It can\xE2\x80\x99t be 38.5 \xC2\xB0"
           "C, 90%",
           (double[]){7, 1, 5, 1, 1, 2});
    counts("English", "5 ml for 3 days, never more; c is a letter", (double[]){11, 1, 2, 1, 1, 2});
    counts("French", "Je n'ai pas de fi\xC3\xA8vre depuis 2 jours, sans douleur",
           (double[]){11, 1, 1, 1, 3, 1});
    counts("Spanish",
           "No tengo fiebre, ni tos, hace 3 d\xC3\xAD"
           "as",
           (double[]){8, 1, 1, 2, 2, 1});
    counts("Portuguese", "N\xC3\xA3o tenho nada, sem febre", (double[]){5, 1, 0, 1, 3, 0});
    counts("Hindi",
           "\xE0\xA4\xAE\xE0\xA5\x81\xE0\xA4\x9D\xE0\xA5\x87 "
           "\xE0\xA4\xAC\xE0\xA5\x81\xE0\xA4\x96\xE0\xA4\xBE\xE0\xA4\xB0 "
           "\xE0\xA4\xA8\xE0\xA4\xB9\xE0\xA5\x80\xE0\xA4\x82 \xE0\xA4\xB9\xE0\xA5\x88",
           (double[]){4, 1, 0, 0, 1, 0});
    counts("Swahili", "Sina homa, lakini siku 3 hajapata usingizi", (double[]){7, 1, 1, 1, 2, 1});
    counts(NULL, "no", (double[]){1, 1, 0, 0, 1, 0}); /* unknown: as English */
}

static void only_the_user_is_counted_but_every_turn(void **state)
{
    (void)state;
    slm_turn turns[] = {{"user", "one two"}, {"assistant", "no, 5 mg, not 6"}, {"user", "three"}};
    slm_case c = {.turns = turns, .turn_count = 3, .language = "English"};
    double got[DATA__SURFACE_FEATURES];
    data__surface_count(&c, got);
    assert_true(got[0] == 3 && got[1] == 3 && got[2] == 0 && got[3] == 0 && got[4] == 0);
}

static void the_area_is_that_of_its_definition(void **state)
{
    (void)state;
    enum { N = 57 };
    double scores[N];
    int labels[N];
    slm_random random = slm_random_new(7, 7);
    for (int trial = 0; trial < 20; trial++) {
        double wins = 0, pairs = 0;
        for (size_t i = 0; i < N; i++) {
            scores[i] = (double)slm_random_below(&random, 12); /* many ties */
            labels[i] = (int)slm_random_below(&random, 2);
        }
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++) {
                if (labels[i] != 1 || labels[j] != 0) continue;
                pairs += 1;
                wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
            }
        assert_true(fabs(data__auc(scores, labels, N) - wins / pairs) < 1e-12);
    }
    for (size_t i = 0; i < N; i++)
        labels[i] = 1;
    assert_true(isnan(data__auc(scores, labels, N)));
}

enum { CASES = 400 };
static double features[CASES][DATA__SURFACE_FEATURES];
static int labels[CASES];
static char family_text[CASES][16];
static const char *family[CASES];

/* Pairs of twins: a case of each label in every family. With `shift` the labels differ in commas. */
static void draw(uint64_t seed, double shift)
{
    slm_random random = slm_random_new(seed, 3);
    for (size_t i = 0; i < CASES; i++) {
        labels[i] = (int)(i % 2);
        snprintf(family_text[i], sizeof family_text[i], "f%zu", i / 2);
        family[i] = family_text[i];
        for (size_t j = 0; j < DATA__SURFACE_FEATURES; j++)
            features[i][j] = slm_random_normal(&random);
        features[i][3] += shift * labels[i];
    }
}

static double area(void)
{
    return data__surface_auc((const double(*)[DATA__SURFACE_FEATURES])features, labels, family,
                             CASES, NULL);
}

static void noise_is_not_told_apart_and_a_look_is(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        draw(seed, 0);
        double a = area();
        assert_true(a < 0.6);
        sum += a;
    }
    assert_true(fabs(sum / 8 - 0.5) < 0.04);
    draw(1, 1); /* the best model of a shift of one sd: Phi(1 / sqrt 2) = 0.76 */
    assert_true(area() > 0.70 && area() < 0.82);
    draw(2, 6);
    assert_true(area() > 0.99);
}

/* A family's members are alike; a model that saw one must not be asked of the other. */
static void families_stay_in_one_fold(void **state)
{
    (void)state;
    draw(5, 0);
    for (size_t i = 0; i < CASES; i++) {
        labels[i] = (int)(i / 2 % 2); /* both members have one label, drawn without a look */
        for (size_t j = 0; j < DATA__SURFACE_FEATURES; j++)
            features[i][j] = features[i - i % 2][j];
    }
    assert_true(area() < 0.6);
}

static void the_order_of_the_rows_makes_no_difference(void **state)
{
    (void)state;
    draw(3, 0.5);
    double before = area();
    for (size_t i = 0, j = CASES - 1; i < j; i++, j--) {
        double x[DATA__SURFACE_FEATURES];
        memcpy(x, features[i], sizeof x);
        memcpy(features[i], features[j], sizeof x);
        memcpy(features[j], x, sizeof x);
        int label = labels[i];
        labels[i] = labels[j];
        labels[j] = label;
        const char *name = family[i];
        family[i] = family[j];
        family[j] = name;
    }
    assert_true(fabs(area() - before) < 1e-6);
    for (size_t i = 0; i < CASES; i++) /* a constant count harms nothing */
        features[i][1] = 3;
    assert_true(area() > 0.5);
}

/* ---- the check -------------------------------------------------------------------------------- */

/* n cases of each context in a register; `told`: enough cases carry digits. */
static void add_cases(slm_buffer *out, const char *name, size_t n, bool told, uint64_t seed)
{
    static const char *const filler[] = {"the", "knee", "hurts", "when", "I", "walk", "and", "sit"};
    slm_random random = slm_random_new(seed, 5);
    for (size_t i = 0; i < 2 * n; i++) {
        slm_buffer text = {0};
        char id[64];
        snprintf(id, sizeof id, "%s-%zu", name, i);
        size_t words = 5 + (size_t)slm_random_below(&random, 40);
        for (size_t w = 0; w < words; w++)
            slm_buffer_printf(&text, "%s ", filler[slm_random_below(&random, 8)]);
        if (told && i % 2 == 1) slm_buffer_append_text(&text, "12 34 56");
        append_row(out, &(row){.id = id,
                               .text = slm_buffer_text(&text),
                               .context = i % 2 ? "enough" : "lacks",
                               .register_name = name});
        slm_buffer_free(&text);
    }
}

static slm_data_report check_text(const slm_buffer *text)
{
    char path[64];
    put_temporary(path, text->data, text->len);
    const char *paths[] = {path};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 1, &options);
    unlink(path);
    return report;
}

static void a_look_in_one_register_fails_the_set(void **state)
{
    (void)state;
    slm_buffer text = {0};
    add_cases(&text, "terse", 60, false, 1);
    add_cases(&text, "rambling", 60, false, 2);
    slm_data_report report = check_text(&text);
    assert_verdict(&report, "surface", SLM_DATA_PASS);
    slm_data_report_free(&report);

    add_cases(&text, "expert", 30, true, 3);
    report = check_text(&text);
    assert_verdict(&report, "surface", SLM_DATA_FAIL);
    bool told = false;
    for (size_t i = 0; i < report.finding_count; i++)
        told |= strncmp(report.findings[i].text, "expert: ", 8) == 0;
    assert_true(told);
    slm_data_report_free(&report);
    slm_buffer_free(&text);
}

static void few_cases_and_emergencies_are_not_judged(void **state)
{
    (void)state;
    slm_buffer text = {0};
    add_cases(&text, "terse", 20, true, 3);
    slm_data_report report = check_text(&text);
    assert_verdict(&report, "surface", SLM_DATA_NOT_RUN);
    assert_holds(result_of(&report, "surface")->detail, "too few to judge");
    slm_data_report_free(&report);
    slm_buffer_truncate(&text, 0);
    for (size_t i = 0; i < 80; i++) {
        char id[16];
        snprintf(id, sizeof id, "e%zu", i);
        append_row(&text, &(row){.id = id,
                                 .text = i % 2 ? "12 34" : "now",
                                 .context = i % 2 ? "enough" : "lacks",
                                 .disposition = "emergency"});
    }
    report = check_text(&text);
    assert_verdict(&report, "surface", SLM_DATA_NOT_RUN);
    slm_data_report_free(&report);
    slm_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted),
        cmocka_unit_test(only_the_user_is_counted_but_every_turn),
        cmocka_unit_test(the_area_is_that_of_its_definition),
        cmocka_unit_test(noise_is_not_told_apart_and_a_look_is),
        cmocka_unit_test(families_stay_in_one_fold),
        cmocka_unit_test(the_order_of_the_rows_makes_no_difference),
        cmocka_unit_test(a_look_in_one_register_fails_the_set),
        cmocka_unit_test(few_cases_and_emergencies_are_not_judged),
    };
    return cmocka_run_group_tests_name("data/surface", tests, NULL, NULL);
}
