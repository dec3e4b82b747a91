/* html.c: the report as one HTML file.
 *
 * No network: folding is <details>, figures are inline SVG, and a content security policy forbids
 * everything but the page's own style and its one script (script.c), both named by their hash, so that
 * even an escaping mistake would run nothing.
 * Everything that is not written in this file passes report__escape. The page is written as it is
 * computed; answers never stand in memory together (html_cases.c). */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include "report/report_internal.h"

/* Larger pages are slow to open; cases that do not fit are left out with a note. */
enum { PAGE_BYTES = 64 * 1024 * 1024 };

slm_report_options slm_report_options_default(void)
{
    return (slm_report_options){.colour = false, .columns = 80, .html_cases = 200};
}

static void put_percent(FILE *out, double share)
{
    char text[REPORT_NUMBER_BYTES];
    report__escape(out, report__percent(share, text), 0);
}

static void put_tenths(FILE *out, double share)
{
    char text[REPORT_NUMBER_BYTES];
    report__escape(out, report__percent_tenths(share, text), 0);
}

static void put_range(FILE *out, const slm_figure *figure)
{
    char range[REPORT_NUMBER_BYTES];
    if (*report__interval(figure, range)) fprintf(out, "<span class=\"ci\">%s</span>", range);
}

/* Where answers are unscored: what the mean of all would be at worst and at best. */
static void put_bounds(FILE *out, const report__row *row, const char *class, const char *label)
{
    char bounds[REPORT_NUMBER_BYTES];
    if (!row->arm->unscored || !*report__bounds(&row->score, bounds)) return;
    fprintf(out, "<span class=\"%s\">%s", class, label);
    report__escape(out, bounds, 0);
    fputs("</span>", out);
}

static void put_name(FILE *out, const char *name)
{
    fputs("<bdi>", out);
    report__escape_line(out, name, 80);
    fputs("</bdi>", out);
}

static void put_row_head(FILE *out, const report__group *group, size_t i)
{
    const report__row *row = &group->rows[i];
    fprintf(out, "<tr%s><th scope=\"row\">",
            i < group->model_count                          ? ""
            : i == group->model_count && group->model_count ? " class=\"base first-base\""
                                                            : " class=\"base\"");
    if (!row->baseline && group->model_count > 1) report__svg_key(out, row->series);
    put_name(out, row->name);
    fputs("</th>", out);
}

/* ---- the head and at a glance -------------------------------------------------------------- */

static void put_link(FILE *out, size_t g, const char *id, const char *text)
{
    fprintf(out, "<li><a href=\"#g%zu%s%s\">%s</a></li>", g, *id ? "-" : "", id, text);
}

static void put_contents(FILE *out, const report__summary *summary)
{
    fputs("<nav aria-label=\"Contents\"><ul>", out);
    for (size_t g = 0; g < summary->count; g++) {
        const report__group *group = &summary->groups[g];
        if (summary->count > 1) {
            fprintf(out, "<li><a href=\"#g%zu\">", g);
            report__escape_line(out, group->judge, 40);
            fputs("</a></li>", out);
        } else {
            if (group->model_count) put_link(out, g, "f", "Cost");
            if (group->has_measures) put_link(out, g, "b", "Behaviours");
            put_link(out, g, "s", "Whole score");
            put_link(out, g, "a", "Answers");
            if (group->model_count > 1) put_link(out, g, "r", "Regressions");
            put_link(out, g, "j", "The judge");
        }
        put_link(out, g, "c", "Worst cases");
    }
    fputs("<li><a href=\"#run\">What was run</a></li></ul></nav>\n", out);
}

static void put_head(FILE *out, const report__summary *summary)
{
    char style[REPORT_SOURCE_BYTES], script[REPORT_SOURCE_BYTES];
    fprintf(out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n"
            "<meta name=\"referrer\" content=\"no-referrer\">\n<title>slm report",
            report__source_hash(report__style, style), report__source_hash(report__script, script));
    if (summary->count && summary->groups[0].model_count) {
        fputs(": ", out);
        report__escape_line(out, summary->groups[0].rows[0].name, 60);
    }
    fputs("</title>\n<style>", out);
    fputs(report__style, out);
    fputs("</style>\n</head>\n<body>\n<header class=\"top\">\n<p class=\"brand\">slm report</p>\n"
          "<h1>On average, and at its worst</h1>\n",
          out);
    if (!summary->count) fputs("<p class=\"lede\">Nothing has been evaluated here yet.</p>\n", out);
    put_contents(out, summary);
    fputs("</header>\n<main>\n", out);
}

/* "Above the best fixed reply: safe." and what is not. */
static void put_above_floor(FILE *out, const report__row *row)
{
    for (int above = 1; above >= 0; above--) {
        size_t listed = 0;
        for (size_t m = 0; m < REPORT_MEASURES; m++) {
            if (report__above_floor(row, m) != above) continue;
            if (!listed) {
                fprintf(out, "<p><span class=\"%s\">%s the best fixed reply:</span> ",
                        above ? "good" : "bad", above ? "Above" : "Not above");
            }
            fprintf(out, "%s%s", listed ? ", " : "", report__measures[m].name);
            listed++;
        }
        if (listed) fputs(".</p>", out);
    }
}

static void put_glance(FILE *out, const report__group *group)
{
    if (!group->model_count) return;
    fputs("<ul class=\"glance\">\n", out);
    size_t shown = 0;
    for (size_t i = 0; i < group->model_count; i++) {
        const report__row *row = &group->rows[i];
        if (row->series < 0 && group->model_count > REPORT_SERIES) continue;
        shown++;
        fputs("<li><strong>", out);
        put_name(out, row->name);
        fputs("</strong><p><span class=\"big\">", out);
        put_percent(out, row->score.value);
        fputs(isnan(row->score.value) ? "</span> mean score " : "%</span> mean score ", out);
        put_range(out, &row->score);
        put_bounds(out, row, "ci", " of what is scored; of all ");
        if (group->k > 1 && !isnan(row->score_worst.value)) {
            fputs("<br><span class=\"big\">", out);
            put_percent(out, row->score_worst.value);
            fprintf(out, "%%</span> at the worst of %zu ", group->k);
            put_range(out, &row->score_worst);
        }
        fputs("</p>", out);
        put_above_floor(out, row);
        fputs("</li>\n", out);
    }
    fputs("</ul>\n", out);
    if (shown < group->model_count) {
        fprintf(out, "<p class=\"note\">%zu more in the tables.</p>\n", group->model_count - shown);
    }
}

/* ---- behaviours ---------------------------------------------------------------------------- */

static void put_measure_cell(FILE *out, const report__group *group, const report__row *row,
                             size_t m)
{
    const report__measure *measure = &report__measures[m];
    const slm_figure *mean = &row->mean[m], *worst = &row->worst[m];
    int above = report__above_floor(row, m);
    fprintf(out, "<td%s data-l=\"%s%s%s\"><span>", above == 1 ? " class=\"up\"" : "", measure->name,
            row->baseline ? "" : ", ", row->baseline ? "" : measure->where);
    fputs("<span class=\"v\">", out);
    put_percent(out, mean->value);
    fputs(above == 0 ? "<abbr title=\"not above the floor\">°</abbr></span>" : "</span>", out);
    put_range(out, mean);
    if (row->has_unscored && !isnan(mean->low)) {
        char range[REPORT_NUMBER_BYTES];
        fprintf(out, "<span class=\"w\">if unscored %s</span>",
                report__range(mean->low, mean->high, range));
    }
    if (group->k > 1 && !row->is_fixed && !isnan(mean->value)) {
        fprintf(out, "<span class=\"w\">worst of %zu <b>", group->k);
        put_percent(out, worst->value);
        fputs("</b> ", out);
        put_range(out, worst);
        fputs("</span>", out);
    }
    fputs("</span></td>", out);
}

static void put_meanings(FILE *out, const report__group *group)
{
    if (group->model_count < group->count) {
        fputs("<p class=\"note\">One fixed reply must not pass: a figure says something only where "
              "it stands above the grey rows. <b>floor</b> is the best single reply for each "
              "column, found on other cases; <b>shuffled</b> the same answers against other cases’ "
              "checks; "
              "<b>echo</b> the question repeated; <b>always-ask</b> and <b>never-ask</b> one "
              "general reply each. ° marks what does not stand above the floor.</p>\n",
              out);
    }
    fputs("<details class=\"more\"><summary>What the columns mean</summary><dl class=\"means\">",
          out);
    for (size_t m = 0; m < REPORT_MEASURES; m++) {
        fprintf(out, "<dt>%s, %s</dt><dd>%s</dd>", report__measures[m].name,
                report__measures[m].where, report__measures[m].meaning);
    }
    fputs("</dl></details>\n", out);
}

static void put_behaviours(FILE *out, const report__group *group, size_t g)
{
    if (!group->has_measures) return;
    fprintf(out,
            "<h3 id=\"g%zu-b\">Does it ask where facts are missing, and answer where they are "
            "there?</h3>\n<p>Percent of answers that do, with the 95%% interval beside it",
            g);
    if (group->k > 1)
        fprintf(out, "; below, how often the worst of %zu answers to a case does", group->k);
    fputs(".</p>\n<div class=\"scroll\" tabindex=\"0\"><table class=\"cards\"><thead><tr>"
          "<td></td>",
          out);
    for (size_t m = 0; m < REPORT_MEASURES; m++) {
        size_t n = report__cases(group, m);
        fprintf(out, "<th scope=\"col\">%s<small>%s<br>%zu %s%s</small></th>",
                report__measures[m].name, report__measures[m].where, n,
                report__measures[m].is_twins ? "pair" : "case", slm_plural(n));
    }
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < group->count; i++) {
        put_row_head(out, group, i);
        for (size_t m = 0; m < REPORT_MEASURES; m++)
            put_measure_cell(out, group, &group->rows[i], m);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
    put_meanings(out, group);
    if (!group->model_count) return;
    char wide_id[REPORT_NUMBER_BYTES], narrow_id[REPORT_NUMBER_BYTES];
    snprintf(wide_id, sizeof wide_id, "g%zuw", g);
    snprintf(narrow_id, sizeof narrow_id, "g%zun", g);
    report__frame wide = {wide_id, 980, false}, narrow = {narrow_id, 340, true};
    fputs("<figure>", out);
    report__svg_behaviours(out, group, &wide);
    report__svg_behaviours(out, group, &narrow);
    fputs("<figcaption>Filled: the mean, with its 95% interval as a bar.", out);
    if (group->k > 1) fprintf(out, " Ring: the worst of %zu.", group->k);
    fputs(group->rows[0].floor ? " Dashed line: what the floor reaches.</figcaption></figure>\n"
                               : "</figcaption></figure>\n",
          out);
}

/* ---- the whole score ----------------------------------------------------------------------- */

static void put_score_table(FILE *out, const report__group *group)
{
    fputs("<div class=\"scroll\" tabindex=\"0\"><table class=\"cards num "
          "scores\"><thead><tr><td></td>"
          "<th scope=\"col\">mean score</th>",
          out);
    if (group->k > 1) fprintf(out, "<th scope=\"col\">worst of %zu</th>", group->k);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < group->count; i++) {
        const report__row *row = &group->rows[i];
        put_row_head(out, group, i);
        fputs("<td data-l=\"mean\"><span><span class=\"v\">", out);
        put_tenths(out, row->score.value);
        fputs("</span>", out);
        put_range(out, &row->score);
        put_bounds(out, row, "w", "of all ");
        fputs("</span></td>", out);
        if (group->k > 1) {
            char label[REPORT_NUMBER_BYTES + 16];
            snprintf(label, sizeof label, row->baseline ? "worst" : "worst of %zu", group->k);
            fprintf(out, "<td data-l=\"%s\"><span><span class=\"v\">", label);
            put_tenths(out, row->score_worst.value);
            fputs("</span>", out);
            put_range(out, &row->score_worst);
            fputs("</span></td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

static void put_curve_table(FILE *out, const report__group *group)
{
    size_t longest = report__longest_curve(group);
    if (longest < 2) return;
    fputs("<details class=\"more\"><summary>The figure’s numbers</summary><div class=\"scroll\" "
          "tabindex=\"0\"><table class=\"num curve\"><thead><tr><th scope=\"col\">worst of</th>",
          out);
    for (size_t k = 1; k <= longest; k++)
        fprintf(out, "<th scope=\"col\">%zu</th>", k);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < group->count; i++) {
        const report__row *row = &group->rows[i];
        put_row_head(out, group, i);
        for (size_t k = 0; k < longest; k++) {
            const slm_figure *figure = k < row->max_k                ? &row->curve[k]
                                       : row->is_fixed && row->max_k ? &row->score
                                                                     : NULL;
            fputs("<td>", out);
            put_tenths(out, figure ? figure->value : NAN);
            if (figure && k < row->max_k) put_range(out, figure);
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div></details>\n", out);
}

static void put_scores(FILE *out, const report__group *group, size_t g)
{
    fprintf(out,
            "<h3 id=\"g%zu-s\">Whole score</h3>\n<p>Points met over points to be had, mean of "
            "the cases’ means, in percent; ",
            g);
    report__escape_line(out, group->title, 90);
    fputs(". A user meets one answer, not the mean: the score of the worst of k answers tells how "
          "far it may fall.",
          out);
    if (group->has_unscored) {
        fputs(" The mean covers scored answers only; in brackets stands the mean of all, with what "
              "is unscored held against the answer, and counted for it.",
              out);
    }
    fputs("</p>\n", out);
    put_score_table(out, group);
    put_curve_table(out, group);
}

static void put_counts(FILE *out, const report__group *group, size_t g)
{
    fprintf(out,
            "<h3 id=\"g%zu-a\">Answers</h3>\n<p>Refused, empty and cut-off answers are graded as "
            "they stand. Unscored: the judge failed, which is no verdict on the answer.</p>\n"
            "<div class=\"scroll\" tabindex=\"0\"><table class=\"cards num "
            "pairs\"><thead><tr><td></td>",
            g);
    for (size_t h = 0; h < REPORT_COUNTS; h++)
        fprintf(out, "<th scope=\"col\">%s</th>", report__count_heads[h]);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < group->count; i++) {
        int64_t counts[REPORT_COUNTS];
        report__counts(group->rows[i].arm, counts);
        put_row_head(out, group, i);
        for (size_t h = 0; h < REPORT_COUNTS; h++) {
            char text[REPORT_NUMBER_BYTES];
            bool bad = h > 0 && h < 5 && counts[h] > 0 && !group->rows[i].baseline;
            fprintf(out, "<td data-l=\"%s\"%s>%s</td>", report__count_heads[h],
                    bad ? " class=\"warn\"" : "", report__count_text(counts, h, text));
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

/* ---- what was run -------------------------------------------------------------------------- */

static void put_pair(FILE *out, const char *key, const char *value, bool is_hash)
{
    if (!value || !*value) return;
    fputs("<dt>", out);
    report__escape_line(out, key, 40);
    fprintf(out, "</dt><dd dir=\"auto\"%s>", is_hash ? " class=\"hash\"" : "");
    if (report__escape(out, value, 20000)) fputs(" … (cut here)", out);
    fputs("</dd>", out);
}

/* The members of a JSON object as pairs; anything else as it stands. */
static void put_json_pairs(FILE *out, const char *key, const char *json)
{
    json_t *object = json ? json_loads(json, JSON_DECODE_ANY, NULL) : NULL;
    if (!json_is_object(object)) {
        put_pair(out, key, json, false);
        json_decref(object);
        return;
    }
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (json_is_string(value)) {
            put_pair(out, name, json_string_value(value), false);
        } else if (!json_is_null(value)) {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
            put_pair(out, name, text, false);
            free(text);
        }
    }
    json_decref(object);
}

/* What the judge covers of the cases; criteria that it does not cover count for nothing. */
static void put_coverage(FILE *out, const char *json)
{
    json_t *coverage = json ? json_loads(json, 0, NULL) : NULL;
    static const char *const kinds[][2] = {{"criteria", "criteria_covered"},
                                           {"cases", "cases_covered"}};
    for (int i = 0; i < 2; i++) {
        const json_t *all = json_object_get(coverage, kinds[i][0]);
        const json_t *covered = json_object_get(coverage, kinds[i][1]);
        if (!json_is_integer(all) || !json_is_integer(covered)) continue;
        fprintf(out, "<dt>%s covered</dt><dd>%lld of %lld</dd>", kinds[i][0],
                (long long)json_integer_value(covered), (long long)json_integer_value(all));
    }
    const json_t *judge = json_object_get(coverage, "judge");
    if (json_is_object(judge)) {
        char *text = json_dumps(judge, JSON_COMPACT);
        put_json_pairs(out, "judge", text);
        free(text);
    }
    json_decref(coverage);
}

/* Cases that decisions were taken on are worth less each time they are read again. */
static void put_readings(FILE *out, const report__summary *summary, const report__group *group)
{
    size_t readings = 0, arms = 0;
    for (size_t g = 0; g < summary->count; g++) {
        const report__group *other = &summary->groups[g];
        if (strcmp(other->cases_sha256, group->cases_sha256) != 0) continue;
        for (size_t i = 0; i < other->model_count; i++) {
            bool seen = false; /* by another judge: it is one run */
            for (size_t h = 0; h < g && !seen; h++) {
                for (size_t j = 0; j < summary->groups[h].model_count && !seen; j++) {
                    const char *hash = summary->groups[h].rows[j].arm->run.hash;
                    seen = hash && strcmp(hash, other->rows[i].arm->run.hash) == 0;
                }
            }
            arms += !seen;
            readings += seen ? 0 : other->rows[i].arm->samples;
        }
    }
    char text[REPORT_NUMBER_BYTES];
    fprintf(out,
            "<dt>times read</dt><dd>once by each of %zu arm%s in this database, %s answers in all; "
            "what other databases hold is not known here</dd>",
            arms, slm_plural(arms), report__count((int64_t)readings, text));
}

static void put_run(FILE *out, const report__row *row)
{
    const slm_run *run = &row->arm->run;
    char seed[REPORT_NUMBER_BYTES];
    snprintf(seed, sizeof seed, "%lld", (long long)run->seed);
    fputs("<details class=\"run\"><summary><span>", out);
    put_name(out, row->name);
    fputs("</span><span class=\"hash soft\">", out);
    report__escape_line(out, run->hash, 13);
    fputs("</span></summary><div class=\"in\"><dl class=\"means\">", out);
    put_pair(out, "run", run->hash, true);
    put_pair(out, "kind", run->kind, false);
    put_pair(out, "model", run->model_identity, true);
    put_pair(out, "system text",
             run->system_text && *run->system_text ? run->system_text : "(none was sent)", false);
    put_pair(out, "seed", seed, false);
    put_json_pairs(out, "sampling", run->sampling_json);
    put_json_pairs(out, "details", run->details_json);
    fputs("</dl></div></details>\n", out);
}

static void put_runs(FILE *out, const report__summary *summary, const slm_report_options *options)
{
    fputs("<h2 id=\"run\">What was run</h2>\n", out);
    for (size_t g = 0; g < summary->count; g++) {
        const report__group *group = &summary->groups[g];
        fputs("<h3>", out);
        report__escape_line(out, group->judge, 80);
        fputs("</h3>\n<dl class=\"means\">", out);
        put_pair(out, "judge", group->rows[0].arm->judge_hash, true);
        put_pair(out, "set of cases", group->cases_sha256, true);
        put_coverage(out, group->rows[0].arm->coverage_json);
        put_readings(out, summary, group);
        fputs("</dl>\n", out);
        for (size_t i = 0; i < group->count; i++) {
            const report__row *row = &group->rows[i];
            put_run(out, row);
            for (size_t m = 0; m < REPORT_MEASURES; m++) {
                if (row->own[m]) put_run(out, row->own[m]);
            }
        }
    }
    if (options && options->version) {
        fputs("<p class=\"note\">Made by slm ", out);
        report__escape_line(out, options->version, 40);
        fputs(". Intervals: 95%, bootstrap over families of cases, rollouts never resampled; at "
              "exactly 0 or 100, the exact binomial bound; -: families that are all alike tell "
              "nothing of others.</p>\n",
              out);
    }
}

static slm_status put_group(FILE *out, slm_store *store, const slm_results *results,
                            const report__group *group, size_t g, const slm_report_options *options,
                            size_t *budget_bytes, slm_error *err)
{
    put_glance(out, group);
    report__html_figures(out, group, g, options);
    put_behaviours(out, group, g);
    put_scores(out, group, g);
    report__html_grids(out, results, group, g, options);
    put_counts(out, group, g);
    SLM_TRY(report__html_fixed_replies(out, store, group, err));
    if (group->model_count > 1) {
        fprintf(out, "<h3 id=\"g%zu-r\">Worst regressions</h3>\n", g);
        SLM_TRY(report__html_regressions(out, store, group, options, err));
    }
    report__html_evidence(out, group, g, options);
    fprintf(out, "<h3 id=\"g%zu-c\">Worst cases first</h3>\n", g);
    return report__html_cases(out, store, group, options->html_cases, budget_bytes, err);
}

slm_status slm_report_html(slm_store *store, const slm_results *results,
                           const slm_report_options *options, FILE *out, slm_error *err)
{
    slm_report_options defaults = slm_report_options_default();
    if (!options) options = &defaults;
    report__summary summary;
    slm_status status = SLM_OK;
    size_t budget_bytes = PAGE_BYTES;
    report__summarise(results, REPORT_ALL, &summary);
    put_head(out, &summary);
    for (size_t g = 0; g < summary.count; g++) {
        const report__group *group = &summary.groups[g];
        fprintf(out, "<section id=\"g%zu\"><h2>%zu case%s, ", g, group->cases,
                slm_plural(group->cases));
        report__escape_line(out, group->title, 90);
        fputs("</h2>\n", out);
        SLM_TRY_OUT(put_group(out, store, results, group, g, options, &budget_bytes, err));
        fputs("</section>\n", out);
    }
    put_runs(out, &summary, options);
    fputs(
        "</main>\n<footer>Model answers are quoted as they came; nothing in them can run. The page "
        "asks no network for anything, and its one script only finds and hides cases.</footer>\n"
        "<script>",
        out);
    fputs(report__script, out);
    fputs("</script>\n</body>\n</html>\n", out);
    if (fflush(out) != 0 || ferror(out)) {
        status = slm_error_set(err, SLM_ERR_IO, "writing the report: %s; is the disk full?",
                               strerror(errno));
    }
out:
    report__summary_free(&summary);
    return status;
}
