/* markdown.c: the report's tables as Markdown, for a wiki, a merge request or a mail.
 *
 * The same figures as on the terminal and in the page, without answers. All foreign text passes
 * report__markdown_text, which leaves no markup in it. */
#include <math.h>
#include <string.h>
#include "report/report_internal.h"

static void put_grids(FILE *out, const report__grids *grids)
{
    for (size_t i = 0; i < grids->count; i++) {
        if (grids->items[i].section) fprintf(out, "### %s\n\n", grids->items[i].section);
        report__grid_markdown(out, &grids->items[i]);
    }
}

/* Mean and worst of the measures and the whole score: a row for each arm, baselines too. */
static void put_first(FILE *out, const report__group *group)
{
    report__grids grids = {0};
    size_t measures = group->has_measures ? REPORT_MEASURES : 0;
    for (int worst = 0; worst < (group->k > 1 ? 2 : 1); worst++) {
        report__grid *grid = report__grids_add(
            &grids, worst ? slm_arena_printf(&grids.arena, "Worst of %zu", group->k) : "Mean",
            measures + 1);
        for (size_t m = 0; m < measures; m++)
            grid->heads[m] = slm_arena_printf(&grids.arena, "%s, %s", report__measures[m].name,
                                              report__measures[m].where);
        grid->heads[measures] = "score";
        for (size_t i = 0; i < group->count; i++) {
            const report__row *row = &group->rows[i];
            report__cell *cells = report__grid_add(&grids, grid, row->name);
            for (size_t m = 0; m < measures; m++)
                cells[m] = report__cell_share(&grids, worst ? &row->worst[m] : &row->mean[m]);
            cells[measures] = report__cell_share(&grids, worst ? &row->score_worst : &row->score);
        }
        grid->note = "Percent, with the 95% interval.";
    }
    put_grids(out, &grids);
    report__grids_free(&grids);
}

static void put_curves(FILE *out, const report__group *group)
{
    size_t longest = report__longest_curve(group);
    report__grids grids = {0};
    if (longest < 3) return;
    report__grid *grid = report__grids_add(&grids, "Score of the worst of k answers", longest);
    grid->corner = "k";
    for (size_t k = 0; k < longest; k++)
        grid->heads[k] = slm_arena_printf(&grids.arena, "%zu", k + 1);
    for (size_t i = 0; i < group->model_count; i++) {
        const report__row *row = &group->rows[i];
        report__cell *cells = report__grid_add(&grids, grid, row->name);
        for (size_t k = 0; k < row->max_k; k++)
            cells[k] = report__cell_share(&grids, &row->curve[k]);
    }
    put_grids(out, &grids);
    report__grids_free(&grids);
}

static void put_counts(FILE *out, const report__group *group)
{
    report__grids grids = {0};
    report__grid *grid = report__grids_add(&grids, "Answers", REPORT_COUNTS);
    memcpy(grid->heads, report__count_heads, sizeof report__count_heads);
    for (size_t i = 0; i < group->count; i++) {
        int64_t counts[REPORT_COUNTS];
        report__counts(group->rows[i].arm, counts);
        report__cell *cells = report__grid_add(&grids, grid, group->rows[i].name);
        for (size_t c = 0; c < REPORT_COUNTS; c++) {
            char text[REPORT_NUMBER_BYTES];
            cells[c] = report__cell_text(&grids, report__count_text(counts, c, text));
        }
    }
    put_grids(out, &grids);
    report__grids_free(&grids);
}

static void put_regressions(FILE *out, const report__group *group,
                            const slm_report_options *options)
{
    const report__row *base = report__base(group, options);
    if (!base || group->model_count < 2) return;
    report__grids grids = {0};
    report__grid *grid = report__grids_add(&grids, NULL, 4);
    static const char *const heads[] = {"case", "base", "now", "points"};
    memcpy(grid->heads, heads, sizeof heads);
    grid->section = "Worst regressions";
    for (size_t i = 0; i < group->model_count; i++) {
        report__regression list[REPORT_REGRESSIONS];
        const report__row *row = &group->rows[i];
        size_t count = row == base ? 0 : report__regressions_of(base, row, list);
        for (size_t r = 0; r < count; r++) {
            char text[REPORT_NUMBER_BYTES];
            report__cell *cells = report__grid_add(&grids, grid, row->name);
            cells[0].text = list[r].after->case_id;
            cells[1] = report__cell_text(&grids, report__percent_tenths(list[r].before_mean, text));
            cells[2] = report__cell_text(&grids, report__percent_tenths(list[r].after_mean, text));
            cells[3] = report__cell_text(
                &grids, report__points(list[r].after_mean - list[r].before_mean, text));
        }
    }
    grid->note = slm_arena_printf(&grids.arena, "Against %s: the cases whose mean score fell most.",
                                  base->name);
    if (grid->count) put_grids(out, &grids);
    report__grids_free(&grids);
}

static void put_trust(FILE *out, const report__group *group, const slm_report_options *options)
{
    report__grids grids = {0};
    report__agreement *list = NULL;
    bool good = false;
    size_t count = report__agreements_of(group, options, &grids.arena, &list);
    fputs("### The judge\n\n", out);
    fputs(report__validity(group, list, count, &grids.arena), out); /* our own words */
    fputs("\n\n", out);
    report__grids_validity(group, options, &grids);
    put_grids(out, &grids);
    report__grids_free(&grids);
    fputs("### Contamination\n\n", out);
    fputs(report__proof_sentence(group, options, &grids.arena, &good), out);
    fputs("\n\n", out);
    report__grids_proof(options, &grids);
    put_grids(out, &grids);
    report__grids_free(&grids);
}

static void put_runs(FILE *out, const report__group *group)
{
    static const char *const heads[] = {"run", "seed", "sampling", "system text", "details"};
    report__grids grids = {0};
    report__grid *grid = report__grids_add(&grids, NULL, 5);
    memcpy(grid->heads, heads, sizeof heads);
    grid->is_words = true;
    grid->section = "What was run";
    for (size_t i = 0; i < group->count; i++) {
        const slm_run *run = &group->rows[i].arm->run;
        report__cell *cells = report__grid_add(&grids, grid, group->rows[i].name);
        slm_buffer text = {0};
        report__append_line(&text, run->system_text, 200);
        cells[0].text = slm_arena_printf(&grids.arena, "%.12s", run->hash ? run->hash : "");
        cells[1].text = slm_arena_printf(&grids.arena, "%lld", (long long)run->seed);
        cells[2].text = run->sampling_json;
        cells[3] = report__cell_text(&grids, slm_buffer_text(&text));
        cells[4].text = run->details_json;
        slm_buffer_free(&text);
    }
    grid->note = slm_arena_printf(&grids.arena, "Set of cases %s; judge %s.", group->cases_sha256,
                                  group->count && group->rows[0].arm->judge_hash
                                      ? group->rows[0].arm->judge_hash
                                      : "not told");
    put_grids(out, &grids);
    report__grids_free(&grids);
}

static void put_cost(FILE *out, const report__group *group, const slm_report_options *options)
{
    report__grids grids = {0};
    report__grids_cost(group, options, &grids);
    if (grids.count) {
        char text[REPORT_NUMBER_BYTES];
        fprintf(out, "### What %s requests a month cost\n\n",
                report__count((int64_t)options->costs->options.requests, text));
        put_grids(out, &grids);
    }
    report__grids_free(&grids);
}

void slm_report_markdown(const slm_results *results, const slm_report_options *options, FILE *out)
{
    report__summary summary;
    report__summarise(results, REPORT_ALL, &summary);
    fputs("# slm report\n\n", out);
    for (size_t g = 0; g < summary.count; g++) {
        const report__group *group = &summary.groups[g];
        report__grids grids;
        fprintf(out, "## %zu case%s, ", group->cases, slm_plural(group->cases));
        report__markdown_text(out, group->title, 0);
        fputs("\n\n", out);
        put_first(out, group);
        put_curves(out, group);
        put_cost(out, group, options);
        put_counts(out, group);
        report__grids_of(results, group, options, &grids);
        put_grids(out, &grids);
        report__grids_free(&grids);
        put_regressions(out, group, options);
        put_trust(out, group, options);
        put_runs(out, group);
    }
    if (options && options->version) fprintf(out, "Made by slm %s.\n", options->version);
    report__summary_free(&summary);
}
