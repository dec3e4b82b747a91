/* slm_data_check: each check finds what was planted, at its place, and leaves the rest alone. */
#include "set_builder.h"

#include <math.h>
#include "base/hash.h"
#include "provider/embed.h"

static const char knee[] =
    "My left knee has been clicking every time I climb the stairs at work since the spring, and "
    "now it swells a little in the evening. Should I stop running for a while?";
static const char ear[] =
    "The right ear feels blocked after swimming, it is dull but does not hurt; "
    "what can I do about it at home before my holiday begins?";

static void a_clean_set_passes(void **state)
{
    (void)state;
    char path[64];
    const row rows[] = {{.id = "a", .text = knee}, {.id = "b", .text = ear}};
    put_rows(path, rows, 2);
    const char *paths[] = {path};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 1, &options);
    assert_false(report.failed);
    assert_int_equal(report.finding_count, 0);
    assert_verdict(&report, "schema", SLM_DATA_PASS);
    assert_verdict(&report, "duplicates", SLM_DATA_PASS);
    assert_verdict(&report, "alike", SLM_DATA_NOT_RUN);
    assert_verdict(&report, "overlap", SLM_DATA_NOT_RUN);
    assert_verdict(&report, "personal", SLM_DATA_PASS);
    assert_verdict(&report, "balance", SLM_DATA_SHOWN);
    assert_verdict(&report, "surface", SLM_DATA_NOT_RUN);
    assert_null(report.proof);
    json_t *json = slm_data_report_json(&report);
    assert_true(json_is_true(json_object_get(json, "passed")));
    assert_int_equal(json_array_size(json_object_get(json, "checks")), 7);
    json_decref(json);
    slm_data_report_free(&report);
    unlink(path);
}

static void our_fields_are_asked_for(void **state)
{
    (void)state;
    char path[64];
    const row rows[] = {{.id = "a", .text = knee}};
    put_rows(path, rows, 1);
    const char *paths[] = {path};
    slm_data_check_options options = slm_data_check_options_default();
    slm_data_report report = check_files(paths, 1, &options);
    assert_true(report.failed);
    assert_verdict(&report, "schema", SLM_DATA_FAIL);
    const slm_data_finding *f = finding_of(&report, "schema", 0);
    assert_string_equal(f->file, path);
    assert_int_equal(f->line, 1);
    slm_data_report_free(&report);
    unlink(path);
}

static void rows_that_cannot_be_read_are_all_told(void **state)
{
    (void)state;
    char path[64];
    const char text[] = "{\"prompt_id\":\n{\"prompt_id\":\"x\"}\n";
    put_temporary(path, text, strlen(text));
    const char *paths[] = {path};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 1, &options);
    assert_true(report.failed);
    assert_int_equal(report.result_count, 1);
    assert_int_equal(count_findings(&report, "schema"), 2);
    assert_int_equal(finding_of(&report, "schema", 1)->line, 2);
    assert_holds(finding_of(&report, "schema", 1)->text, "prompt");
    slm_data_report_free(&report);
    unlink(path);
}

static void a_missing_file_is_an_error(void **state)
{
    (void)state;
    const char *paths[] = {"/nowhere/cases.jsonl"};
    slm_data_check_options options = plain_options();
    slm_data_report report;
    slm_error err = {0};
    assert_int_equal(slm_data_check(paths, 1, &options, &report, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, "/nowhere/cases.jsonl");
}

/* A near copy: the last words changed. */
static const char near_knee[] =
    "My left knee has been clicking every time I climb the stairs at work since the spring, and "
    "now it swells a little in the evening. Should I see somebody?";

static void duplicates_are_found_in_and_across_files(void **state)
{
    (void)state;
    char train[64], test[64];
    const row left[] = {{.id = "a", .text = knee},
                        {.id = "b", .text = ear, .reply = ear},
                        {.id = "c", .text = "Is gout worse at night or in the morning hours?"},
                        {.id = "d", .text = "is GOUT worse at night, or in the morning hours"}};
    const row right[] = {{.id = "e", .text = near_knee},
                         {.id = "f", .text = "How do I splint a finger on my own?", .reply = ear}};
    put_rows(train, left, 4);
    put_rows(test, right, 2);
    const char *paths[] = {train, test};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 2, &options);
    assert_verdict(&report, "duplicates", SLM_DATA_FAIL);
    assert_int_equal(number_of(&report, "duplicates", "exact"), 2); /* c and d, b's and f's reply */
    assert_int_equal(number_of(&report, "duplicates", "near"), 1);
    assert_int_equal(number_of(&report, "duplicates", "across_sides"), 2);
    assert_int_equal(count_findings(&report, "duplicates"), 3);
    const slm_data_finding *f = finding_of(&report, "duplicates", 0);
    assert_string_equal(f->kind, "near");
    assert_string_equal(f->file, test);
    assert_int_equal(f->line, 1);
    assert_holds(f->text, "on another side");
    assert_int_equal(finding_of(&report, "duplicates", 1)->line, 4);
    assert_holds(finding_of(&report, "duplicates", 2)->text, "the reply of f");
    slm_data_report_free(&report);
    options.near = 1; /* only what is wholly the same */
    report = check_files(paths, 2, &options);
    assert_int_equal(number_of(&report, "duplicates", "near"), 0);
    slm_data_report_free(&report);
    unlink(train);
    unlink(test);
}

static void of_many_copies_each_is_told_once(void **state)
{
    (void)state;
    char path[64];
    const row rows[] = {{.id = "a", .text = knee},
                        {.id = "b", .text = knee},
                        {.id = "c", .text = knee},
                        {.id = "d", .text = knee}};
    put_rows(path, rows, 4);
    const char *paths[] = {path};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 1, &options);
    assert_int_equal(number_of(&report, "duplicates", "exact"), 3);
    for (size_t i = 0; i < 3; i++)
        assert_holds(finding_of(&report, "duplicates", i)->text, ":1 (a)");
    slm_data_report_free(&report);
    unlink(path);
}

static void twins_may_be_alike_but_stay_on_one_side(void **state)
{
    (void)state;
    char train[64], test[64];
    const row twins[] = {{.id = "a", .family = "knee", .text = knee},
                         {.id = "b", .family = "knee", .text = near_knee, .context = "enough"}};
    put_rows(train, twins, 2);
    put_rows(test, &(row){.id = "c", .family = "knee", .text = ear}, 1);
    const char *paths[] = {train, test};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 1, &options);
    assert_verdict(&report, "duplicates", SLM_DATA_PASS);
    slm_data_report_free(&report);
    report = check_files(paths, 2, &options);
    assert_verdict(&report, "duplicates", SLM_DATA_FAIL);
    assert_int_equal(number_of(&report, "duplicates", "families_across_sides"), 1);
    assert_holds(finding_of(&report, "duplicates", 0)->text, "family knee stands in");
    slm_data_report_free(&report);
    unlink(train);
    unlink(test);
}

/* Earlier turns of the assistant: copied from another scenario they are a finding, between twins not,
 * and a few words are everybody's. */
static void what_the_assistant_said_is_compared(void **state)
{
    (void)state;
    static const char *const before[] = {"That sounds unpleasant. Many things may cause it, and "
                                         "most of them pass by themselves in a "
                                         "few days if you rest and drink enough.",
                                         "Hello, how can I help you?"};
    for (int polite = 0; polite < 2; polite++) {
        char path[64];
        slm_buffer text = {0};
        for (int i = 0; i < 3; i++)
            slm_buffer_printf(
                &text,
                "{\"prompt_id\":\"c%d\",\"family\":\"%s\",\"rubrics\":[],\"prompt\":[{\"role\":"
                "\"user\",\"content\":\"mine %d\"},{\"role\":\"assistant\",\"content\":\"%s\"},"
                "{\"role\":\"user\",\"content\":\"and now?\"}]}\n",
                i, i < 2 ? "twins" : "other", i, before[polite]);
        put_temporary(path, text.data, text.len);
        const char *paths[] = {path};
        slm_data_check_options options = plain_options();
        slm_data_report report = check_files(paths, 1, &options);
        assert_int_equal(number_of(&report, "duplicates", "exact"), polite ? 0 : 2);
        slm_data_report_free(&report);
        slm_buffer_free(&text);
        unlink(path);
    }
}

/* ---- likeness across sides -------------------------------------------------------------------- */

/* Two dimensions: does the text speak of a knee? Counts its calls. */
static size_t embed_calls;

static slm_status fake_run(slm_embed *embed, const char *const *texts, size_t count, float *out,
                           slm_error *err)
{
    (void)embed, (void)err;
    embed_calls++;
    for (size_t i = 0; i < count; i++) {
        float angle = strstr(texts[i], "knee") != NULL || strstr(texts[i], "patella") ? 0.1f : 1.6f;
        out[2 * i] = cosf(angle);
        out[2 * i + 1] = sinf(angle);
    }
    return SLM_OK;
}

static slm_status broken_run(slm_embed *embed, const char *const *texts, size_t count, float *out,
                             slm_error *err)
{
    (void)embed, (void)texts, (void)count, (void)out;
    return slm_error_set(err, SLM_ERR_NETWORK, "the encoder is away");
}

static void pairs_across_sides_are_listed_and_fail_nothing(void **state)
{
    (void)state;
    char train[64], test[64];
    put_rows(train, (const row[]){{.id = "a", .text = knee}, {.id = "b", .text = "a sore patella"}},
             2);
    put_rows(test, (const row[]){{.id = "c", .text = "her knee"}, {.id = "d", .text = ear}}, 2);
    const char *paths[] = {train, test};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 2, &options);
    assert_verdict(&report, "alike", SLM_DATA_SHOWN);
    assert_int_equal(number_of(&report, "alike", "pairs"), 0); /* no words in common to speak of */
    slm_data_report_free(&report);

    const slm_embed_class class = {.run = fake_run};
    slm_embed encoder = {.class = &class, .name = (char[]){"fake"}, .dimensions = 2};
    options.encoder = &encoder;
    embed_calls = 0;
    report = check_files(paths, 2, &options);
    assert_int_equal(embed_calls, 1);
    assert_verdict(&report, "alike", SLM_DATA_SHOWN);
    assert_false(report.failed);
    assert_int_equal(number_of(&report, "alike", "pairs"), 2); /* a and c, b and c */
    assert_false(finding_of(&report, "alike", 0)->fails);
    assert_holds(finding_of(&report, "alike", 0)->text, "c is like");
    assert_holds(result_of(&report, "alike")->summary, "by fake");
    slm_data_report_free(&report);

    const slm_embed_class broken = {.run = broken_run};
    encoder.class = &broken;
    slm_error err = {0};
    assert_int_equal(slm_data_check(paths, 2, &options, &report, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, "away");
    unlink(train);
    unlink(test);
}

/* An encoder of English knows nothing of another script: what it thinks alike there is no finding; the
 * gloss is asked instead. */
static void other_scripts_are_compared_by_their_gloss(void **state)
{
    (void)state;
    static const char hindi[] =
        "मेरे बाएँ घुटने में सीढ़ियाँ चढ़ते समय दर्द होता है, क्या मुझे दौड़ना बंद कर देना चाहिए";
    static const char benchmark[] =
        "{\"text\": \"What helps against a cough that has lasted for some weeks by now?\"}\n";
    for (int i = 0; i < 2; i++) {
        char path[64], other[64], test[64];
        put_rows(path,
                 (const row[]){{.id = "a",
                                .text = hindi,
                                .language = "Hindi",
                                .gloss = i == 0 ? "My left knee hurts when I climb the stairs"
                                                : "My left ear hurts when I climb the stairs"}},
                 1);
        put_rows(test, (const row[]){{.id = "c", .text = "her knee"}}, 1);
        put_temporary(other, benchmark, strlen(benchmark));
        const char *paths[] = {path, test}, *against[] = {other};
        slm_data_check_options options = plain_options();
        const slm_embed_class class = {.run = fake_run};
        slm_embed encoder = {.class = &class, .name = (char[]){"fake"}, .dimensions = 2};
        options.encoder = &encoder;
        options.against = against;
        options.against_count = 1;
        slm_data_report report = check_files(paths, 2, &options);
        assert_int_equal(number_of(&report, "alike", "pairs"), i == 0 ? 1 : 0);
        assert_int_equal(number_of(&report, "overlap", "overlapping_cases"), i == 0 ? 0 : 1);
        if (i == 1) assert_holds(finding_of(&report, "overlap", 0)->text, "the gloss");
        slm_data_report_free(&report);
        unlink(path);
        unlink(test);
        unlink(other);
    }
}

/* ---- overlap ---------------------------------------------------------------------------------- */

static void overlap_of(const char *benchmark, const char *kind, int64_t cases)
{
    char path[64], other[64];
    const row rows[] = {
        {.id = "a", .family = "k", .text = knee},
        {.id = "b", .text = "How long is shingles catching?"},
        {.id = "c", .family = "k", .text = near_knee, .context = "enough", .reply = ear}};
    put_rows(path, rows, 3);
    put_temporary(other, benchmark, strlen(benchmark));
    const char *paths[] = {path}, *against[] = {other};
    slm_data_check_options options = plain_options();
    options.against = against;
    options.against_count = 1;
    slm_data_report report = check_files(paths, 1, &options);
    if (number_of(&report, "overlap", "overlapping_cases") != cases)
        fail_msg("%s: %s", benchmark, result_of(&report, "overlap")->summary);
    assert_verdict(&report, "overlap", cases > 0 ? SLM_DATA_FAIL : SLM_DATA_PASS);
    assert_non_null(report.proof);
    assert_int_equal(json_is_true(json_object_get(report.proof, "clean")), cases == 0);
    assert_int_equal(json_array_size(json_object_get(report.proof, "overlapping")), (size_t)cases);
    if (kind != NULL) {
        const slm_data_finding *f = finding_of(&report, "overlap", 0);
        assert_string_equal(f->kind, kind);
        assert_string_equal(f->file, path);
        assert_holds(f->text, other);
    }
    slm_data_report_free(&report);
    unlink(path);
    unlink(other);
}

static void overlap_is_found_by_runs_wholes_and_likeness(void **state)
{
    (void)state;
    /* 13 words in a row, anywhere in the row, in other punctuation; both twins have them */
    overlap_of(
        "{\"x\":[\"so LEFT knee has been clicking - every time i climb the stairs at noon\"]}\n",
        NULL, 0); /* twelve */
    overlap_of(
        "{\"x\":[\"MY left knee has been clicking - every time i climb the stairs at work\"]}\n",
        "13-gram", 2);
    /* a reply counts as well */
    overlap_of("[\n {\"a\": \"The right ear feels blocked after swimming, it is dull but does not "
               "hurt\"}\n]",
               "13-gram", 1);
    /* short texts as wholes */
    overlap_of("{\"q\":\"how long is Shingles catching\"}\n", "whole", 1);
    overlap_of("{\"q\":\"how long is shingles catching then\"}\n", NULL, 0);
    overlap_of("question,other\nHow long is shingles catching?,x\n", "whole", 1);
    overlap_of("<Document><QAPairs><QAPair><Question>How long is shingles catching?</Question>"
               "</QAPair></QAPairs></Document>",
               "whole", 1);
    /* the same words in another order */
    overlap_of(
        "{\"q\":\"ear blocked? right ear feels dull; after swimming it does not hurt, what at "
        "home can I do about it before holiday begins, my ear\"}\n",
        "similar", 1);
    overlap_of(
        "{\"q\":\"Nothing of this has to do with anything that stands in the cases above.\"}\n",
        NULL, 0);
}

static void a_proof_names_everything_by_its_hash(void **state)
{
    (void)state;
    char path[64], other[64], hex[SLM_SHA256_HEX_BYTES];
    put_rows(path, &(row){.id = "a", .text = knee}, 1);
    put_temporary(other, "{\"q\":\"one\"}\n{\"q\":\"two\",\"r\":[\"three\"]}\n", 38);
    const char *paths[] = {path}, *against[] = {other};
    slm_data_check_options options = plain_options();
    options.against = against;
    options.against_count = 1;
    slm_data_report report = check_files(paths, 1, &options);
    const json_t *file = json_array_get(json_object_get(report.proof, "files"), 0);
    const json_t *bench = json_array_get(json_object_get(report.proof, "against"), 0);
    assert_int_equal(slm_sha256_file(path, hex, NULL), SLM_OK);
    assert_string_equal(json_string_value(json_object_get(file, "sha256")), hex);
    slm_cases cases;
    assert_int_equal(slm_cases_load(paths, 1, NULL, NULL, NULL, &cases, NULL), SLM_OK);
    assert_string_equal(json_string_value(json_object_get(file, "cases_sha256")), cases.sha256);
    slm_cases_free(&cases);
    assert_int_equal(slm_sha256_file(other, hex, NULL), SLM_OK);
    assert_string_equal(json_string_value(json_object_get(bench, "sha256")), hex);
    assert_int_equal(json_integer_value(json_object_get(bench, "rows")), 2);
    assert_int_equal(json_integer_value(json_object_get(bench, "texts")), 3);
    assert_int_equal(json_integer_value(json_object_get(report.proof, "cases")), 1);
    slm_data_report_free(&report);
    unlink(path);
    unlink(other);
}

static void a_benchmark_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    char path[64], other[64];
    put_rows(path, &(row){.id = "a", .text = knee}, 1);
    const struct {
        const char *text, *words;
    } wrong[] = {{"{\"q\":\"one\"}\n{\"q\":", ":2"},
                 {"<a><b></a>", "not well-formed XML"},
                 {"just a text\n", "no column of questions"},
                 {"{}\n", "no text in it"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_temporary(other, wrong[i].text, strlen(wrong[i].text));
        const char *paths[] = {path}, *against[] = {other};
        slm_data_check_options options = plain_options();
        options.against = against;
        options.against_count = 1;
        slm_data_report report;
        slm_error err = {0};
        assert_int_not_equal(slm_data_check(paths, 1, &options, &report, &err), SLM_OK);
        assert_holds(err.message, wrong[i].words);
        assert_holds(err.message, other);
        unlink(other);
    }
    unlink(path);
}

/* ---- balance ---------------------------------------------------------------------------------- */

static slm_data_report with_plan(const char *path, const char *plan, slm_status wanted,
                                 slm_error *err)
{
    json_t *shares = NULL;
    assert_int_equal(slm_json_parse(plan, strlen(plan), "plan", 1, &shares, err), SLM_OK);
    slm_data_check_options options = plain_options();
    options.wanted = shares;
    slm_data_report report = {0};
    assert_int_equal(slm_data_check(&path, 1, &options, &report, err), wanted);
    json_decref(shares);
    return report;
}

static void shares_are_held_against_the_plan(void **state)
{
    (void)state;
    char path[64];
    const row rows[] = {{.id = "a", .text = "one"},
                        {.id = "b", .text = "two"},
                        {.id = "c", .text = "three", .context = "enough", .family = "a"},
                        {.id = "d", .text = "four", .disposition = "emergency"}};
    put_rows(path, rows, 4);
    slm_error err = {0};
    slm_data_report report = with_plan(
        path,
        "{\"kind\":{\"lacks\":0.5,\"enough\":0.25,\"emergency\":0.23},\"twin\":{\"twin\":0.5}}",
        SLM_OK, &err);
    assert_verdict(&report, "balance", SLM_DATA_PASS);
    slm_data_report_free(&report);
    report = with_plan(path, "{\"language\":{\"English\":0.9,\"Hindi\":0.1}}", SLM_OK, &err);
    assert_verdict(&report, "balance", SLM_DATA_FAIL);
    assert_int_equal(count_findings(&report, "balance"), 2);
    assert_holds(finding_of(&report, "balance", 1)->text, "Hindi is 0.0%");
    const json_t *counts = json_object_get(result_of(&report, "balance")->numbers, "kind");
    assert_int_equal(json_integer_value(json_object_get(counts, "lacks")), 2);
    assert_int_equal(json_integer_value(json_object_get(counts, "emergency")), 1);
    slm_data_report_free(&report);
    with_plan(path, "{\"colour\":{\"red\":1}}", SLM_ERR_INVALID, &err);
    assert_holds(err.message, "colour");
    with_plan(path, "{\"kind\":{\"lacks\":1.5}}", SLM_ERR_INVALID, &err);
    assert_holds(err.message, "from 0 to 1");
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_set_passes),
        cmocka_unit_test(our_fields_are_asked_for),
        cmocka_unit_test(rows_that_cannot_be_read_are_all_told),
        cmocka_unit_test(a_missing_file_is_an_error),
        cmocka_unit_test(duplicates_are_found_in_and_across_files),
        cmocka_unit_test(of_many_copies_each_is_told_once),
        cmocka_unit_test(twins_may_be_alike_but_stay_on_one_side),
        cmocka_unit_test(what_the_assistant_said_is_compared),
        cmocka_unit_test(pairs_across_sides_are_listed_and_fail_nothing),
        cmocka_unit_test(other_scripts_are_compared_by_their_gloss),
        cmocka_unit_test(overlap_is_found_by_runs_wholes_and_likeness),
        cmocka_unit_test(a_proof_names_everything_by_its_hash),
        cmocka_unit_test(a_benchmark_that_cannot_be_read_is_an_error),
        cmocka_unit_test(shares_are_held_against_the_plan),
    };
    return cmocka_run_group_tests_name("data/inspect", tests, NULL, NULL);
}
