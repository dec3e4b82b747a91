/* test_html.c: the page is well formed, and nothing that a model says gets out of its place. */
#include <ctype.h>
#include <math.h>
#include "base/utf8.h"
#include "unit/report/report_fixture.h"

#define EVIL                                                                                       \
    "</div></details></style><script>alert(1)</script><img src=x onerror=alert(1)>"                \
    "<svg/onload=alert(1)>\" onmouseover=\"alert(1)' & &lt; \xFF\xC0 \x01\x1B[2J "                 \
    "\xE2\x80\xAEright-to-left\xE2\x80\xAC \xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D"

typedef struct call {
    fixture *f;
    slm_report_options options;
} call;

static void write_html(FILE *out, void *context)
{
    call *c = context;
    slm_error err = {0};
    fixture_check(slm_report_html(c->f->store, &c->f->results, &c->options, out, &err), &err);
}

static char *page_of(fixture *f, size_t html_cases)
{
    call c = {f, slm_report_options_default()};
    c.options.html_cases = html_cases;
    c.options.version = "0.1.0";
    size_t len;
    return fixture_text(write_html, &c, &len);
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

/* ---- a strict reader of our own HTML ------------------------------------------------------- */

/* All elements that the page may hold; none of them can load anything, and what may run is held by its
 * hash (one_script_of_our_own). */
static const char *const elements[] = {
    "html",       "head",   "meta",   "title",      "style",   "body",    "header", "main",
    "footer",     "nav",    "ul",     "ol",         "li",      "a",       "p",      "h1",
    "h2",         "h3",     "h4",     "section",    "strong",  "span",    "br",     "b",
    "bdi",        "small",  "abbr",   "div",        "table",   "thead",   "tbody",  "tr",
    "th",         "td",     "figure", "figcaption", "details", "summary", "dl",     "dt",
    "dd",         "svg",    "g",      "path",       "circle",  "text",    "desc",   "article",
    "blockquote", "script", "code",   "label",      "input",   "select",  "option", "button",
    "output"};
static const char *const attributes[] = {
    "lang",        "charset",  "name",        "content",     "http-equiv",
    "class",       "id",       "href",        "scope",       "title",
    "data-l",      "tabindex", "dir",         "open",        "role",
    "width",       "height",   "viewBox",     "aria-label",  "aria-labelledby",
    "aria-hidden", "d",        "x",           "y",           "cx",
    "cy",          "r",        "text-anchor", "transform",   "stroke-dasharray",
    "data-tags",   "data-arm", "data-met",    "data-not",    "data-un",
    "hidden",      "value",    "type",        "placeholder", "aria-live"};

static bool listed(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], name) == 0) return true;
    }
    return false;
}
#define LISTED(list, name) listed(list, sizeof(list) / sizeof *(list), name)

static const char *read_name(const char *at, char out[32])
{
    size_t len = 0;
    while (isalnum((unsigned char)at[len]) || at[len] == '-')
        len++;
    assert_in_range(len, 1, 31);
    memcpy(out, at, len);
    out[len] = '\0';
    return at + len;
}

/* From behind the element's name to behind '>'. */
static const char *read_attributes(const char *at, bool *closed)
{
    *closed = false;
    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (*at == '>') return at + 1;
        if (*at == '/') {
            *closed = true;
            at++;
            continue;
        }
        char name[32];
        at = read_name(at, name);
        if (!LISTED(attributes, name)) fail_msg("attribute %s", name);
        if (*at != '=') continue;
        assert_int_equal(at[1], '"');
        const char *value = at + 2;
        at = strchr(value, '"');
        assert_non_null(at);
        if (strcmp(name, "href") == 0) assert_int_equal(*value, '#');
        for (const char *c = value; c < at; c++)
            assert_true(*c != '<' && *c != '>');
        at++;
    }
}

/* Every tag is one of ours, closed in order; text holds no raw markup. */
static void check_page(const char *page)
{
    static char stack[64][32];
    size_t depth = 0, bad = 0;
    if (!slm_utf8_valid(page, strlen(page), &bad)) fail_msg("invalid UTF-8 at %zu", bad);
    for (const char *c = page; *c; c++)
        assert_true((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\t');
    assert_memory_equal(page, "<!doctype html>", 15);
    const char *at = page + 15;
    while (*(at += strcspn(at, "<>"))) {
        if (*at == '>') fail_msg("a raw > near: %.60s", at > page + 30 ? at - 30 : at);
        bool end = at[1] == '/', closed;
        char name[32];
        const char *tag = at;
        at = read_name(at + 1 + end, name);
        if (!LISTED(elements, name)) fail_msg("element %s near: %.60s", name, tag);
        at = read_attributes(at, &closed);
        if (strcmp(name, "meta") == 0 || strcmp(name, "br") == 0 || strcmp(name, "input") == 0 ||
            closed)
            continue;
        if (end) {
            if (depth == 0 || strcmp(stack[depth - 1], name) != 0)
                fail_msg("</%s> closes <%s> near: %.60s", name, depth ? stack[depth - 1] : "", tag);
            depth--;
            continue;
        }
        assert_true(depth < 64);
        memcpy(stack[depth++], name, sizeof name);
        if (strcmp(name, "style") == 0) at = strstr(at, "</style>"); /* its > are selectors */
        if (strcmp(name, "script") == 0) at = strstr(at, "</script>");
    }
    if (depth) fail_msg("<%s> is not closed", stack[depth - 1]);
    assert_null(strstr(page, "javascript:"));
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    assert_non_null(strstr(page, "default-src 'none'"));
}

/* ---- tests --------------------------------------------------------------------------------- */

static void page_is_well_formed(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 24, NULL);
    fixture_add_arm(&f, &(fixture_arm){"base-model", "model", NULL, 4, 30, 0, .seed = 1});
    fixture_add_arm(&f, &(fixture_arm){"tuned-model", "model", NULL, 4, 90, 5, .seed = 2});
    fixture_add_baselines(&f, "base-model");
    fixture_load(&f);
    char *page = page_of(&f, 200);
    check_page(page);
    assert_int_equal(count_of(page, "<details class=\"case\" data-tags="), 24);
    const char *cases = strstr(page, "Worst cases first</h3>");
    assert_non_null(cases);
    assert_int_equal(count_of(cases, "<article class=\"answer\">"), 24 * 4 * 2);
    assert_int_equal(count_of(page, "<svg class=\"fig wide\""), 2);
    assert_int_equal(count_of(page, "<svg class=\"fig narrow\""), 2);
    assert_non_null(strstr(page, "rule, 72 of 96 criteria"));
    assert_non_null(strstr(page, FIXTURE_JUDGE));
    assert_non_null(strstr(page, "You are a helpful assistant."));
    assert_non_null(strstr(page, "avx512bf16"));
    assert_non_null(strstr(page, "cut off at the token limit"));
    assert_non_null(strstr(page, "? C1 unscored"));
    assert_non_null(strstr(page, "not covered"));
    assert_non_null(strstr(page, "Rest and drink water.")); /* a fixed reply */
    assert_non_null(strstr(page, "slm 0.1.0"));
    free(page);
    fixture_close(&f);
}

static void each_floor_shows_its_replies(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 24, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 2, 50, 20, .seed = 1});
    fixture_add_baselines(&f, "m");
    fixture_add_own_floors(&f);
    fixture_load(&f);
    char *page = page_of(&f, 2);
    check_page(page);
    const char *whole = strstr(page, "<h4>floor</h4>"), *seek = strstr(page, "floor seek on lacks");
    const char *precise = strstr(page, "<h4>floor precise on enough</h4>");
    assert_true(whole && whole < seek && seek < precise);
    assert_true(strstr(seek, "Since when?") < precise);
    assert_true(strstr(precise, "Nothing at all.") < strstr(precise, "<h4>always-ask"));
    assert_non_null(strstr(page, "baseline:floor:seek")); /* among what was run */
    assert_int_equal(count_of(page, "<bdi>floor seek</bdi>"), 1);
    assert_non_null(strstr(page, "The mean covers scored answers only"));
    free(page);
    fixture_close(&f);
}

/* Where the interval is known at some k and not at others, the band has a gap, and no number is
 * missing in the figure. */
static void unknown_intervals_draw_nothing(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 2, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 4, 50, 0, .seed = 4});
    fixture_load(&f);
    size_t known = 0;
    for (size_t k = 1; k <= 4; k++) {
        slm_figure figure = slm_figure_worst_at_k(&f.results, &f.results.arms[0],
                                                  SLM_BEHAVIOUR_NONE, SLM_STRATUM_ALL, k);
        if (!isnan(figure.interval.low)) known++;
    }
    assert_true(known < 4);
    char *page = page_of(&f, 2);
    check_page(page);
    assert_non_null(strstr(page, "<span class=\"ci\">-</span>"));
    for (const char *nan = page; (nan = strstr(nan, "nan")); nan++)
        assert_true(islower((unsigned char)nan[-1]));
    free(page);
    fixture_close(&f);
}

static void nothing_foreign_gets_out(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 4, "<script>alert(2)</script>\x1B[31m & \"it\" is");
    fixture_add_arm(&f, &(fixture_arm){EVIL, "model", EVIL, 2, 50, 10, EVIL, EVIL, .seed = 1});
    fixture_add_arm(&f, &(fixture_arm){EVIL EVIL, "model", "y", 2, 50, 10, EVIL, EVIL, .seed = 2});
    fixture_add_baselines(&f, EVIL);
    fixture_load(&f);
    char *page = page_of(&f, 200);
    check_page(page);
    assert_int_equal(count_of(page, "<script"), 1); /* ours */
    assert_null(strstr(page, "<img"));
    assert_null(strstr(page, "\xE2\x80\xAE"));
    assert_non_null(strstr(page, "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x"));
    assert_non_null(strstr(page, "&lt;script&gt;alert(2)&lt;/script&gt;\xE2\x90\x9B[31m"));
    assert_non_null(strstr(page, "[U+202E]right-to-left[U+202C] \xD7\xA9"));
    assert_non_null(strstr(page, "<div class=\"text\" dir=\"auto\">"));
    free(page);
    fixture_close(&f);
}

static void long_answers_are_cut(void **state)
{
    (void)state;
    enum { BYTES = 10 * 1024 * 1024 };
    char *huge = malloc(BYTES + 1);
    assert_non_null(huge);
    memset(huge, 'x', BYTES);
    huge[BYTES] = '\0';
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 2, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 2, 50, 0, huge, huge, .seed = 1});
    fixture_load(&f);
    char *page = page_of(&f, 200);
    check_page(page);
    assert_true(strlen(page) < 300 * 1024);
    assert_int_equal(count_of(page, "of 10,485,760 bytes are shown"), 4);
    free(page);
    free(huge);
    fixture_close(&f);
}

static double mean_of(const slm_results *results, const char *id)
{
    double sum = 0;
    for (size_t i = 0; i < results->arms[0].case_count; i++) {
        const slm_case_scores *c = &results->arms[0].cases[i];
        if (strcmp(c->case_id, id) != 0) continue;
        for (size_t r = 0; r < c->count; r++)
            sum += c->scores[r] / (double)c->count;
    }
    return sum;
}

static void worst_cases_come_first(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 30, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 3, 50, 0, .seed = 1});
    fixture_load(&f);
    char *page = page_of(&f, 7);
    check_page(page);
    assert_int_equal(count_of(page, "<details class=\"case\" data-tags="), 7);
    assert_non_null(strstr(page, "7 of 30 cases"));
    double last = -100;
    size_t better = 0;
    const char *at = page;
    for (int i = 0; i < 7; i++) {
        at = strstr(strstr(at, "data-tags="), "<span class=\"id\">") + 17;
        char id[32];
        snprintf(id, sizeof id, "%.9s", at);
        double mean = mean_of(&f.results, id);
        assert_true(mean >= last - 1e-9);
        last = mean;
        /* A case's own three answers stand under it. */
        const char *end = strstr(at, "<details class=\"case\" data-tags=");
        const char *third = at;
        for (int r = 0; r < 3; r++)
            third = strstr(third + 1, "<article");
        assert_true(third && (!end || third < end));
    }
    for (size_t i = 0; i < f.results.arms[0].case_count; i++)
        better += mean_of(&f.results, f.results.arms[0].cases[i].case_id) < last - 1e-9;
    assert_true(better < 7);
    free(page);
    page = page_of(&f, 0);
    check_page(page);
    assert_int_equal(count_of(page, "<details class=\"case\" data-tags="), 0);
    free(page);
    fixture_close(&f);
}

static void imported_scores_alone(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 6, NULL);
    for (int i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof name, "published-%d", i);
        fixture_add_arm(&f, &(fixture_arm){.name = name,
                                           .kind = "imported",
                                           .k = 16,
                                           .met_percent = 5 + 7 * i,
                                           .seed = i,
                                           .scores_only = true});
    }
    fixture_load(&f);
    char *page = page_of(&f, 200);
    check_page(page);
    assert_int_equal(count_of(page, "<article"), 0);
    assert_int_equal(count_of(page, "No answers are stored, only scores."), 6);
    assert_non_null(strstr(page, "The best 8 are coloured."));
    assert_null(strstr(page, "Does it ask where facts"));
    for (const char *nan = page; (nan = strstr(nan, "nan")); nan++)
        assert_true(islower((unsigned char)nan[-1])); /* a word's, not a number's */
    free(page);
    fixture_close(&f);
}

static void nothing_evaluated(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    fixture_load(&f);
    char *page = page_of(&f, 200);
    check_page(page);
    assert_non_null(strstr(page, "Nothing has been evaluated here yet."));
    free(page);
    fixture_close(&f);
}

static void full_disk_is_an_error(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    if (!full) skip();
    fixture f;
    fixture_open(&f);
    fixture_add_cases(&f, 2, NULL);
    fixture_add_arm(&f, &(fixture_arm){"m", "model", NULL, 2, 50, 0, .seed = 1});
    fixture_load(&f);
    slm_error err = {0};
    assert_int_equal(slm_report_html(f.store, &f.results, NULL, full, &err), SLM_ERR_IO);
    assert_non_null(strstr(err.message, "No space left"));
    fclose(full);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_well_formed),
        cmocka_unit_test(nothing_foreign_gets_out),
        cmocka_unit_test(each_floor_shows_its_replies),
        cmocka_unit_test(unknown_intervals_draw_nothing),
        cmocka_unit_test(long_answers_are_cut),
        cmocka_unit_test(worst_cases_come_first),
        cmocka_unit_test(imported_scores_alone),
        cmocka_unit_test(nothing_evaluated),
        cmocka_unit_test(full_disk_is_an_error),
    };
    return cmocka_run_group_tests_name("report/html", tests, NULL, NULL);
}
