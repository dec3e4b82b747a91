/* html_evidence.c: the page's sections around the first tables: the two figures at the top, the tables
 * that Markdown shares (grids.c), and what the figures rest on: the judge's agreement with people, and
 * whether the cases were kept out of training. */
#include <math.h>
#include <string.h>
#include "report/report_internal.h"

static void put_grids(FILE *out, const report__grids *grids, size_t g)
{
    for (size_t i = 0; i < grids->count; i++) {
        const report__grid *grid = &grids->items[i];
        if (grid->section) fprintf(out, "<h3 id=\"g%zu-%s\">%s</h3>\n", g, grid->id, grid->section);
        report__grid_html(out, grid);
    }
}

void report__html_grids(FILE *out, const slm_results *results, const report__group *group, size_t g,
                        const slm_report_options *options)
{
    report__grids grids;
    report__grids_of(results, group, options, &grids);
    put_grids(out, &grids, g);
    report__grids_free(&grids);
}

/* ---- the figures at the top ---- */

static void put_line(FILE *out, const char *text)
{
    fputs("<li>", out);
    report__escape_line(out, text, 1200);
    fputs("</li>", out);
}

/* Who is not in the figure, and why. */
static void put_not_drawn(FILE *out, const report__group *group, const slm_report_options *options)
{
    bool opened = false;
    for (size_t i = 0; i < group->model_count; i++) {
        const report__row *row = &group->rows[i];
        const slm_arm_cost *cost = report__cost_of(row, options);
        const char *why = NULL;
        slm_buffer text = {0};
        for (size_t l = 0; !cost && !why && l < options->costs->left_out_count; l++) {
            const char *sentence = options->costs->left_out[l];
            const char *name = row->arm->run.model_name ? row->arm->run.model_name : "";
            size_t len = strlen(name);
            if (strncmp(sentence, name, len) != 0) continue;
            /* Where two runs share a name, the sentence names the run's hash behind it. */
            const char *hash = row->arm->run.hash, *rest = sentence + len;
            bool mine = strncmp(rest, " has no cost", 12) == 0;
            mine = mine || (strncmp(rest, " (", 2) == 0 && hash && strncmp(rest + 2, hash, 8) == 0);
            if (mine) why = sentence;
        }
        if (!cost && !why) why = "has no cost";
        if (cost && !(cost->usd > 0)) why = "costs nothing at these prices";
        if (cost && isnan(row->score.value)) why = "has no mean score";
        if (!why) continue;
        if (!opened) fputs("<p class=\"note\">Not drawn:</p><ul class=\"note\">", out);
        opened = true;
        if (strncmp(why, "has ", 4) == 0 || strncmp(why, "costs ", 6) == 0)
            slm_buffer_printf(&text, "%s ", row->name);
        slm_buffer_append_text(&text, why);
        put_line(out, slm_buffer_text(&text));
        slm_buffer_free(&text);
    }
    if (opened) fputs("</ul>\n", out);
}

static void put_cost(FILE *out, const report__group *group, size_t g,
                     const slm_report_options *options)
{
    char requests[REPORT_NUMBER_BYTES] = "1,000,000", id[2][REPORT_NUMBER_BYTES];
    if (options->costs) report__count((int64_t)options->costs->options.requests, requests);
    fprintf(out, "<h3 id=\"g%zu-f\">Score against cost at %s requests a month</h3>\n", g, requests);
    if (!options->costs) {
        fputs("<p class=\"note\">No prices were given. <code>slm report --prices prices.yaml "
              "--html report.html</code> draws this figure; docs/prices-example.yaml shows what "
              "such a file holds.</p>\n",
              out);
        return;
    }
    snprintf(id[0], sizeof id[0], "g%zuw", g);
    snprintf(id[1], sizeof id[1], "g%zun", g);
    report__frame wide = {id[0], 880, false}, narrow = {id[1], 340, true};
    report__grids grids = {0};
    report__grids_cost(group, options, &grids);
    fputs("<figure>", out);
    if (report__svg_cost(out, group, options, &wide)) {
        report__svg_cost(out, group, options, &narrow);
        fprintf(out,
                "<figcaption>Mean score with its 95%% interval over what a month costs, from the "
                "tokens that the answers used. Machines answer in %.0f%% of the hours paid%s.</"
                "figcaption>",
                100 * options->costs->options.utilisation,
                options->costs->options.whole_machines ? ", whole ones around the clock" : "");
    }
    fputs("</figure>\n", out);
    put_not_drawn(out, group, options);
    if (grids.count) {
        fputs("<details class=\"more\"><summary>The figure’s numbers</summary>\n", out);
        put_grids(out, &grids, g);
        fputs("</details>\n", out);
    }
    report__grids_free(&grids);
}

static void put_curves(FILE *out, const report__group *group, size_t g)
{
    char id[2][REPORT_NUMBER_BYTES];
    if (report__longest_curve(group) < 2) return;
    snprintf(id[0], sizeof id[0], "g%zuw", g);
    snprintf(id[1], sizeof id[1], "g%zun", g);
    report__frame wide = {id[0], 880, false}, narrow = {id[1], 340, true};
    fprintf(out, "<h3 id=\"g%zu-k\">The worst of k answers</h3>\n<figure>", g);
    report__svg_curves(out, group, &wide);
    report__svg_curves(out, group, &narrow);
    fputs("<figcaption>Lines: expected score of the worst of k answers drawn from those given. "
          "Bands: 95% interval, cases resampled by family.",
          out);
    if (group->model_count > REPORT_SERIES)
        fprintf(out, " The best %d are coloured.", REPORT_SERIES);
    fputs("</figcaption></figure>\n", out);
}

void report__html_figures(FILE *out, const report__group *group, size_t g,
                          const slm_report_options *options)
{
    if (!group->model_count) return;
    put_cost(out, group, g, options);
    put_curves(out, group, g);
}

/* ---- what the figures rest on ---- */

/* Text with `commands` in it. */
static void put_sentence(FILE *out, const char *text)
{
    slm_buffer part = {0};
    for (bool is_code = false; *text; is_code = !is_code) {
        size_t len = strcspn(text, "`");
        slm_buffer_truncate(&part, 0);
        slm_buffer_append(&part, text, len);
        if (is_code) fputs("<code>", out);
        report__escape(out, slm_buffer_text(&part), 0);
        if (is_code) fputs("</code>", out);
        text += len + (text[len] == '`');
    }
    slm_buffer_free(&part);
}

static void put_proof(FILE *out, size_t g, const slm_report_options *options, report__grids *grids)
{
    const json_t *method = json_object_get(options->proof, "method");
    report__grids_proof(options, grids);
    fputs("<details class=\"more\"><summary>The proof</summary>\n<p class=\"note\">", out);
    report__escape_line(out, options->proof_name, 120);
    fprintf(out, ", made by slm ");
    report__escape_line(out, json_string_value(json_object_get(options->proof, "slm")), 40);
    fprintf(out, ". Shared runs are of %lld words; alike is a likeness of %g or more by ",
            (long long)json_integer_value(json_object_get(method, "ngram_words")),
            json_number_value(json_object_get(method, "similarity")));
    report__escape_line(out, json_string_value(json_object_get(method, "similarity_by")), 80);
    fprintf(out, ". Overlapping cases: %lld.</p>\n",
            (long long)json_integer_value(json_object_get(options->proof, "overlapping_cases")));
    put_grids(out, grids, g);
    fputs("</details>\n", out);
}

void report__html_evidence(FILE *out, const report__group *group, size_t g,
                           const slm_report_options *options)
{
    report__grids grids = {0};
    report__agreement *list = NULL;
    bool good = false;
    size_t count = report__agreements_of(group, options, &grids.arena, &list);
    size_t bad = !count && !report__is_person(group);
    for (size_t i = 0; i < count; i++)
        bad += !list[i].is_validated;
    fprintf(out, "<h3 id=\"g%zu-j\">Is the judge right?</h3>\n<p%s>", g,
            bad ? " class=\"warn\"" : "");
    put_sentence(out, report__validity(group, list, count, &grids.arena));
    fputs("</p>\n", out);
    report__grids_validity(group, options, &grids);
    put_grids(out, &grids, g);
    report__grids_free(&grids);
    const char *sentence = report__proof_sentence(group, options, &grids.arena, &good);
    fprintf(out, "<h3 id=\"g%zu-x\">Were the cases kept out of training?</h3>\n<p class=\"%s\">", g,
            good ? "good" : "warn");
    put_sentence(out, sentence);
    fputs("</p>\n", out);
    if (options->proof) put_proof(out, g, options, &grids);
    report__grids_free(&grids);
}
