/* test_evidence.c: parts of the cases, regressions, the judge's agreement, the proof, costs in the page,
 * Markdown, and the hash that lets one script run. */
#include <math.h>
#include "report/report_internal.h"
#include "unit/report/report_fixture.h"

typedef struct call {
    fixture *f;
    slm_report_options options;
    bool html;
} call;

static void write_it(FILE *out, void *context)
{
    call *c = context;
    slm_error err = {0};
    if (c->html)
        fixture_check(slm_report_html(c->f->store, &c->f->results, &c->options, out, &err), &err);
    else
        slm_report_markdown(&c->f->results, &c->options, out);
}

static char *text_of(call *c)
{
    size_t len;
    return fixture_text(write_it, c, &len);
}

static const slm_arm *arm_of(const fixture *f, const char *name)
{
    for (size_t i = 0; i < f->results.arm_count; i++) {
        if (strcmp(f->results.arms[i].run.model_name, name) == 0) return &f->results.arms[i];
    }
    fail_msg("no arm %s", name);
    return NULL;
}

static void two_arms(fixture *f)
{
    fixture_open(f);
    fixture_add_cases(f, 24, NULL);
    fixture_add_arm(f, &(fixture_arm){"base", "model", NULL, 3, 80, 0, .seed = 1});
    fixture_add_arm(f, &(fixture_arm){"worse", "model", NULL, 3, 30, 0, .seed = 2});
    fixture_load(f);
}

/* The mean over the cases of one context, by hand. */
static void a_part_is_its_cases_alone(void **state)
{
    (void)state;
    fixture f;
    two_arms(&f);
    const slm_arm *arm = arm_of(&f, "base");
    double sum = 0;
    size_t n = 0;
    for (size_t c = 0; c < arm->case_count; c++) {
        if (arm->cases[c].c->context != SLM_CONTEXT_LACKS) continue;
        double mean = 0;
        for (size_t r = 0; r < arm->cases[c].count; r++)
            mean += arm->cases[c].scores[r] / (double)arm->cases[c].count;
        sum += mean;
        n++;
    }
    slm_figure figure = report__part_figure(&f.results, arm, 0, "lacks");
    assert_int_equal(figure.cases, n);
    assert_true(n > 0 && n < arm->case_count);
    assert_true(fabs(figure.value - sum / (double)n) < 1e-12);
    assert_true(figure.interval.low <= figure.value && figure.value <= figure.interval.high);
    assert_true(isnan(report__part_figure(&f.results, arm, 2, "Klingon").value));

    report__summary summary;
    report__summarise(&f.results, REPORT_NAMES, &summary);
    const char *parts[REPORT_PARTS_MAX];
    assert_int_equal(report__parts(&summary.groups[0], 0, parts), 2);
    assert_string_equal(parts[0], "lacks");
    assert_int_equal(report__parts(&summary.groups[0], 1, parts), 2);
    assert_string_equal(parts[0], "emergency");
    assert_int_equal(report__parts(&summary.groups[0], 2, parts), 0);
    report__summary_free(&summary);
    fixture_close(&f);
}

static double mean_of(const slm_case_scores *scores)
{
    return slm_statistics_mean(scores->scores, scores->count);
}

/* The ten lowest of all differences, lowest first; what rose is not among them. */
static void regressions_are_the_worst(void **state)
{
    (void)state;
    fixture f;
    two_arms(&f);
    report__summary summary;
    report__summarise(&f.results, REPORT_NAMES, &summary);
    const report__group *group = &summary.groups[0];
    const report__row *base = report__base(group, NULL), *row = &group->rows[1];
    assert_string_equal(base->name, "base");
    report__regression list[REPORT_REGRESSIONS];
    assert_int_equal(report__regressions_of(base, row, list), REPORT_REGRESSIONS);
    for (size_t i = 0; i < REPORT_REGRESSIONS; i++) {
        double fall = list[i].after_mean - list[i].before_mean;
        assert_true(fall < 0);
        assert_true(list[i].after_mean == mean_of(list[i].after));
        assert_string_equal(list[i].after->case_id, list[i].before->case_id);
        if (i) assert_true(fall >= list[i - 1].after_mean - list[i - 1].before_mean);
    }
    double tenth = list[9].after_mean - list[9].before_mean;
    size_t lower = 0;
    for (size_t c = 0; c < 24; c++) {
        const slm_case_scores *a = &base->arm->cases[c], *b = &row->arm->cases[c];
        assert_string_equal(a->case_id, b->case_id);
        lower += mean_of(b) - mean_of(a) < tenth - 1e-12;
    }
    assert_true(lower < REPORT_REGRESSIONS);
    /* The other way round fewer cases fell, and those are others. */
    size_t back = report__regressions_of(row, base, list);
    for (size_t i = 0; i < back; i++)
        assert_true(list[i].after_mean < list[i].before_mean);
    const slm_rollout_scores *typical = report__typical(&row->arm->cases[0], 1000);
    assert_non_null(typical);
    for (size_t r = 0; r < row->arm->cases[0].rollout_count; r++)
        assert_true(row->arm->cases[0].rollouts[r].score <= typical->score);
    report__summary_free(&summary);
    fixture_close(&f);
}

static void the_base_can_be_named(void **state)
{
    (void)state;
    fixture f;
    two_arms(&f);
    slm_error err = {0};
    assert_int_equal(slm_report_base_check(&f.results, "worse", &err), SLM_OK);
    assert_int_equal(slm_report_base_check(&f.results, "wors", &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "there are: base, worse"));
    call c = {.f = &f, .options = slm_report_options_default(), .html = true};
    c.options.base = "worse";
    char *page = text_of(&c);
    assert_non_null(strstr(page, "lies furthest below that of <bdi>worse</bdi>"));
    free(page);
    fixture_close(&f);
}

static char *agreement_json(double kappa)
{
    static char text[512];
    snprintf(text, sizeof text,
             "{\"criteria\":40,\"unscored\":2,\"kappa\":{\"value\":%g,\"low\":0.1,\"high\":0.9},"
             "\"sensitivity\":{\"value\":0.9,\"low\":0.8,\"high\":1},\"specificity\":{\"value\":"
             "null},\"kinds\":{\"seek\":{\"criteria\":7,\"unscored\":0,\"kappa\":{\"value\":0.2,"
             "\"low\":null,\"high\":null}}}}",
             kappa);
    return text;
}

static void low_agreement_is_marked(void **state)
{
    (void)state;
    fixture f;
    two_arms(&f);
    slm_error err = {0};
    call c = {.f = &f, .options = slm_report_options_default(), .html = true};
    char *page = text_of(&c);
    assert_non_null(strstr(page, "Not validated: how far this judge agrees"));
    assert_non_null(strstr(page, "<code>slm judge JUDGE --labels FILE --db DB</code>"));
    free(page);

    fixture_check(slm_store_put_agreement(f.store, FIXTURE_JUDGE, "abc", "ann <script>",
                                          agreement_json(0.6), &err),
                  &err);
    fixture_check(
        slm_store_put_agreement(f.store, "imported", "abc", "ann", agreement_json(0.1), &err),
        &err);
    slm_report_agreement *list = NULL;
    fixture_check(slm_report_agreements(f.store, &f.arena, &list, &c.options.agreement_count, &err),
                  &err);
    c.options.agreements = list;
    assert_int_equal(c.options.agreement_count, 2);
    report__summary summary;
    report__summarise(&f.results, REPORT_NAMES, &summary);
    report__agreement *lines = NULL;
    assert_int_equal(report__agreements_of(&summary.groups[0], &c.options, &summary.arena, &lines),
                     2);
    assert_true(lines[0].is_validated && lines[0].kappa == 0.6 && lines[0].criteria == 40);
    assert_true(isnan(lines[0].specificity.value) && lines[0].sensitivity.interval.low == 0.8);
    assert_string_equal(lines[1].kind, "seek");
    assert_true(!lines[1].is_validated && isnan(lines[1].low));
    report__summary_free(&summary);
    page = text_of(&c);
    assert_non_null(strstr(page, "where Cohen’s kappa is below 0.6 (1 of 2 lines)"));
    assert_non_null(strstr(page, "all of ann &lt;script&gt;"));
    assert_non_null(strstr(page, "not validated"));
    free(page);
    fixture_close(&f);
}

static void the_proof_must_be_of_these_cases(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
        bool good;
    } proofs[] = {
        {"{\"clean\":true,\"against\":[],\"cases_sha256\":\"" FIXTURE_CASES "\"}",
         "This very set of cases was checked", true},
        {"{\"clean\":true,\"against\":[],\"files\":[{\"file\":\"<b>.jsonl\",\"cases_sha256\":"
         "\"" FIXTURE_CASES "\",\"rows\":3}]}",
         "This very set of cases was checked", true},
        {"{\"clean\":true,\"against\":[],\"cases_sha256\":\"other\"}",
         "does not name this set of cases", false},
        {"{\"clean\":false,\"against\":[],\"cases_sha256\":\"" FIXTURE_CASES "\"}", "Not clean",
         false},
        {"{\"clean\":true,\"files\":7,\"against\":[3,{\"file\":8}],\"method\":[]}",
         "does not name this set of cases", false},
    };
    fixture f;
    two_arms(&f);
    for (size_t i = 0; i < sizeof proofs / sizeof *proofs; i++) {
        json_t *proof = json_loads(proofs[i].json, 0, NULL);
        call c = {.f = &f, .options = slm_report_options_default(), .html = true};
        assert_non_null(proof);
        c.options.proof = proof;
        c.options.proof_name = "p<q>.json";
        char *page = text_of(&c), marked[96];
        const char *at = strstr(page, proofs[i].says);
        assert_non_null(at);
        snprintf(marked, sizeof marked, "of training?</h3>\n<p class=\"%s\">",
                 proofs[i].good ? "good" : "warn");
        assert_non_null(strstr(page, marked));
        assert_non_null(strstr(page, "p&lt;q&gt;.json"));
        free(page);
        c.html = false;
        page = text_of(&c);
        assert_non_null(strstr(page, proofs[i].says));
        free(page);
        json_decref(proof);
    }
    fixture_close(&f);
}

static void costs_are_drawn(void **state)
{
    (void)state;
    fixture f;
    two_arms(&f);
    slm_price price = {.model = "m", .input = 1, .output = 10, .dated = "2026-11-23"};
    slm_arm_cost arms[] = {{.name = "base",
                            .run = arm_of(&f, "base")->run.hash,
                            .usd = 12500,
                            .price = &price,
                            .prompt = 60,
                            .reply = 200}};
    const char *left_out[] = {"worse 2 has no cost: it is another's",
                              "worse has no cost: no price of <it>"};
    slm_costs costs = {.options = slm_cost_options_default(),
                       .arms = arms,
                       .count = 1,
                       .left_out = left_out,
                       .left_out_count = 2};
    call c = {.f = &f, .options = slm_report_options_default(), .html = true};
    c.options.costs = &costs;
    char *page = text_of(&c);
    assert_non_null(strstr(page, "base: $12,500 a month, "));
    assert_non_null(strstr(page, "<li>worse has no cost: no price of &lt;it&gt;</li>"));
    assert_null(strstr(page, "worse 2"));
    assert_non_null(strstr(page, ">$10k</text>"));
    assert_null(strstr(page, "No prices were given"));
    free(page);
    arms[0].usd = 0; /* not on a logarithmic axis */
    page = text_of(&c);
    assert_non_null(strstr(page, "<li>base costs nothing at these prices</li>"));
    assert_null(strstr(page, ">$10k</text>"));
    free(page);
    c.html = false;
    arms[0].usd = 0.004;
    page = text_of(&c);
    assert_non_null(strstr(page, "### What 1,000,000 requests a month cost"));
    assert_non_null(strstr(page, "\\$0.004"));
    free(page);
    fixture_close(&f);
}

static void markdown_holds_no_foreign_markup(void **state)
{
    (void)state;
    static const char evil[] = "a|b\n# <img src=x> [x](y) `c` **d** \xFF \xE2\x80\xAE!";
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 6, NULL);
    fixture_add_arm(&f,
                    &(fixture_arm){evil, "model", evil, 2, 80, 10, .seed = 1, .system_text = evil});
    fixture_add_arm(&f, &(fixture_arm){"m", "model", evil, 2, 20, 10, .seed = 2});
    fixture_add_baselines(&f, "m");
    fixture_load(&f);
    call c = {.f = &f, .options = slm_report_options_default()};
    char *text = text_of(&c);
    assert_null(strchr(text, '<'));
    assert_null(strstr(text, "\xE2\x80\xAE"));
    assert_non_null(strstr(text, "a\\|b \\# &lt;img src=x\\> \\[x\\](y) \\`c\\` \\*\\*d\\*\\*"));
    size_t bars = 0, lines = 0, wanted = 0;
    for (const char *at = text; *at; at++) { /* every row of a table has its head's columns */
        if (*at == '|' && at[-1] != '\\') bars++;
        if (*at != '\n') continue;
        if (bars && wanted) assert_int_equal(bars, wanted);
        wanted = bars;
        lines += bars > 0;
        bars = 0;
    }
    assert_true(lines > 20);
    free(text);
    fixture_close(&f);
}

/* What stands in the page's only element of this name; to free. */
__attribute__((noinline)) /* else gcc 12 sees a dangling pointer */
static char *
inside_of(const char *page, const char *name)
{
    char tag[16];
    snprintf(tag, sizeof tag, "<%s>", name);
    const char *from = strstr(page, tag);
    assert_non_null(from);
    from += strlen(tag);
    const char *to = strstr(from, "</");
    assert_non_null(to);
    char *inside = strndup(from, (size_t)(to - from));
    assert_non_null(inside);
    return inside;
}

/* Known: the hash of no bytes at all. And the page's policy names what is in the page. */
static void the_script_is_known_by_its_hash(void **state)
{
    (void)state;
    char hash[REPORT_SOURCE_BYTES], named[REPORT_SOURCE_BYTES + 32];
    assert_string_equal(report__source_hash("", hash),
                        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    fixture f;
    two_arms(&f);
    call c = {.f = &f, .options = slm_report_options_default(), .html = true};
    char *page = text_of(&c);
    static const char *const kinds[] = {"script", "style"};
    for (int i = 0; i < 2; i++) {
        char *inside = inside_of(page, kinds[i]);
        snprintf(named, sizeof named, "%s-src '%s'", kinds[i], report__source_hash(inside, hash));
        free(inside);
        assert_non_null(strstr(page, named));
    }
    assert_null(strstr(page, "unsafe"));
    free(page);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_is_its_cases_alone),
        cmocka_unit_test(regressions_are_the_worst),
        cmocka_unit_test(the_base_can_be_named),
        cmocka_unit_test(low_agreement_is_marked),
        cmocka_unit_test(the_proof_must_be_of_these_cases),
        cmocka_unit_test(costs_are_drawn),
        cmocka_unit_test(markdown_holds_no_foreign_markup),
        cmocka_unit_test(the_script_is_known_by_its_hash),
    };
    return cmocka_run_group_tests_name("report/evidence", tests, NULL, NULL);
}
