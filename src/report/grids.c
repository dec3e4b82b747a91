/* grids.c: the tables behind the first ones, as grids: HealthBench's tags, parts of the cases, how
 * answers are written, refusals, pairs, targets, costs, the judge's agreement, the proof. The terminal has
 * the same figures from arms.c; both take them from eval's functions. A table that would say nothing is
 * left out. */
#include <math.h>
#include <string.h>
#include "report/report_internal.h"

/* A grid with a column for each model. */
static report__grid *add_by_model(report__grids *grids, const report__group *group,
                                  const char *title)
{
    report__grid *grid = report__grids_add(grids, title, group->model_count);
    int *series = slm_arena_array(&grids->arena, group->model_count, sizeof *series);
    for (size_t i = 0; i < group->model_count; i++) {
        grid->heads[i] = group->rows[i].name;
        series[i] = group->rows[i].series;
    }
    if (group->model_count > 1) grid->series = series;
    return grid;
}

/* ---- scores by tag and by part ---- */

static void add_tags(report__grids *grids, const slm_results *results, const report__group *group)
{
    bool any = false;
    for (size_t k = 0; k < REPORT_TAG_KINDS; k++) {
        const char *prefix = report__tag_kinds[k].prefix;
        report__tag_columns tags = report__tags_of(results, group, prefix, &grids->arena);
        if (!report__next_tag(&tags, group->model_count, NULL)) continue;
        report__grid *grid = add_by_model(grids, group, report__tag_kinds[k].title);
        for (const char *tag = NULL; (tag = report__next_tag(&tags, group->model_count, tag));) {
            report__cell *cells = report__grid_add(grids, grid, tag + strlen(prefix));
            for (size_t i = 0; i < group->model_count; i++) {
                const slm_tag_score *score = report__find_tag(&tags, i, tag);
                if (score) cells[i] = report__cell_share(grids, &score->figure);
            }
        }
        any = true;
    }
    if (!any) return;
    const char *why = NULL;
    slm_arm_is_comparable(group->rows[0].arm, &grids->arena, &why);
    grids->items[grids->count - 1].note = why;
}

static void add_parts(report__grids *grids, const slm_results *results, const report__group *group)
{
    bool any = false;
    static const char *const titles[REPORT_PART_KINDS] = {"By context", "By disposition",
                                                          "By language"};
    for (size_t kind = 0; kind < REPORT_PART_KINDS; kind++) {
        const char *parts[REPORT_PARTS_MAX];
        size_t count = report__parts(group, kind, parts);
        if (count < 2) continue;
        report__grid *grid = add_by_model(grids, group, titles[kind]);
        for (size_t p = 0; p < count; p++) {
            size_t cases = 0;
            report__cell *cells = report__grid_add(grids, grid, parts[p]);
            for (size_t i = 0; i < group->model_count; i++) {
                slm_figure figure =
                    report__part_figure(results, group->rows[i].arm, kind, parts[p]);
                cells[i] = report__cell_share(grids, &figure);
                if (figure.cases > cases) cases = figure.cases;
            }
            grid->rows[grid->count - 1].label =
                slm_arena_printf(&grids->arena, "%s (%zu)", parts[p], cases);
        }
        any = true;
    }
    if (any) grids->items[grids->count - 1].note = "In brackets: how many cases.";
}

/* ---- how answers are written ---- */

static report__cell amount(report__grids *grids, double value)
{
    if (isnan(value)) return report__cell_text(grids, "-");
    return (report__cell){.text =
                              slm_arena_printf(&grids->arena, value < 10 ? "%.2f" : "%.0f", value)};
}

static void add_styles(report__grids *grids, const slm_results *results, const report__group *group)
{
    static const char *const labels[REPORT_STYLES] = {
        "words",
        "characters",
        "questions",
        "asks, % of answers",
        "asks where facts are missing, %",
        "asks where facts are there, %",
    };
    if (!report__any_text(group)) return;
    report__grid *grid = add_by_model(grids, group, "An answer, on average");
    grid->note =
        "Length-adjusted: the score less 1.47 points for every 500 characters above 2,000, and as "
        "much more for every 500 below (docs/scoring.md).";
    for (size_t s = 0; s < REPORT_STYLES; s++) {
        bool any = false;
        report__cell *cells = report__grid_add(grids, grid, labels[s]);
        for (size_t i = 0; i < group->model_count; i++) {
            slm_figure figure =
                slm_figure_of(results, group->rows[i].arm, &report__styles[s].measure);
            any = any || !isnan(figure.value);
            cells[i] = report__styles[s].is_share ? report__cell_share(grids, &figure)
                                                  : amount(grids, figure.value);
        }
        if (!any) grid->count--;
    }
    report__cell *cells = report__grid_add(grids, grid, "length-adjusted score");
    for (size_t i = 0; i < group->model_count; i++) {
        slm_figure figure = slm_figure_of(results, group->rows[i].arm, &report__length_adjusted);
        cells[i] = report__cell_share(grids, &figure);
    }
}

static void add_refusals(report__grids *grids, const slm_results *results,
                         const report__group *group)
{
    if (!report__any_refused(group)) return;
    report__grid *grid = add_by_model(grids, group, "Refusals");
    report__cell *share = report__grid_add(grids, grid, "refused, % of answers");
    report__cell *refused = report__grid_add(grids, grid, "score of these");
    report__cell *others = report__grid_add(grids, grid, "score of the others");
    for (size_t i = 0; i < group->model_count; i++) {
        slm_refusals r = slm_arm_refusals(results, group->rows[i].arm);
        char text[REPORT_NUMBER_BYTES];
        share[i] = report__cell_share(grids, &r.share);
        refused[i] = report__cell_text(grids, report__percent_tenths(r.score_refused, text));
        others[i] = report__cell_text(grids, report__percent_tenths(r.score_answered, text));
    }
}

/* ---- pairs ---- */

static void add_pair(report__grids *grids, report__grid *grid, const report__group *group,
                     const slm_comparison *c)
{
    char one[REPORT_NUMBER_BYTES], two[REPORT_NUMBER_BYTES];
    report__cell *cells = report__grid_add(grids, grid, report__row_of(group, c->first)->name);
    cells[0].text = report__row_of(group, c->second)->name;
    cells[0].class = "words";
    cells[2].text = "-";
    cells[1] = report__cell_text(grids, report__points(c->difference, one));
    if (!isnan(c->interval.low))
        cells[1].soft =
            slm_arena_printf(&grids->arena, "%s to %s", report__points(c->interval.low, one),
                             report__points(c->interval.high, two));
    if (c->left_out > 0 || c->first->unscored > 0 || c->second->unscored > 0)
        cells[2].text = slm_arena_printf(&grids->arena, "%s to %s", report__points(c->low, one),
                                         report__points(c->high, two));
    cells[3] = report__cell_text(grids, report__probability(c->p, one));
    cells[4] = report__cell_text(grids, report__probability(c->p_holm, one));
    if (!isnan(c->p_holm) && c->p_holm < 0.05) cells[4].class = "up";
}

static void add_pairs(report__grids *grids, const slm_results *results, const report__group *group)
{
    static const char *const heads[] = {"against", "points", "with unscored", "p", "p Holm"};
    size_t from = grids->count;
    if (group->model_count < 2) return;
    for (int worst = 0; worst < (group->k > 1 ? 2 : 1); worst++) {
        slm_comparison *list = NULL;
        size_t count = 0;
        slm_measure measure = {.kind = SLM_MEASURE_SCORE, .k = worst ? group->k : 1};
        slm_compare_all(results, &measure, &grids->arena, &list, &count);
        report__grid *grid = report__grids_add(
            grids, worst ? slm_arena_printf(&grids->arena, "Worst of %zu", group->k) : "Mean score",
            5);
        memcpy(grid->heads, heads, sizeof heads);
        for (size_t i = 0; i < count; i++) {
            if (report__row_of(group, list[i].first)) add_pair(grids, grid, group, &list[i]);
        }
        if (!grid->count) report__grids_drop(grids);
    }
    if (grids->count > from)
        grids->items[grids->count - 1].note =
            "Points: first less second, with the 95% interval. With unscored: the difference with "
            "what is unscored held against one or the other. p: sign-flip test over families; p "
            "Holm: corrected for all pairs.";
}

/* ---- targets ---- */

static void add_targets(report__grids *grids, const slm_results *results,
                        const report__group *group, const slm_report_options *options)
{
    static const char *const heads[] = {"target", "wanted", "is", "state"};
    if (!options || !options->target_count || !group->model_count) return;
    report__grid *grid = report__grids_add(grids, NULL, 4);
    memcpy(grid->heads, heads, sizeof heads);
    grid->note = "Met: the interval’s lower end is there, with unscored answers taken as worst. "
                 "Reached: only the value is.";
    for (size_t i = 0; i < group->model_count; i++) {
        for (size_t t = 0; t < options->target_count; t++) {
            const slm_target *target = &options->targets[t];
            slm_figure figure;
            slm_target_state state = slm_target_check(results, group->rows[i].arm, target, &figure);
            report__cell *cells = report__grid_add(grids, grid, group->rows[i].name);
            cells[0].text = target->name;
            cells[1].text = slm_arena_printf(&grids->arena, "%.1f", 100 * target->value);
            cells[2] = report__cell_share(grids, &figure);
            cells[3].text = slm_target_state_name(state);
            cells[3].class = state == SLM_TARGET_MET      ? "up"
                             : state == SLM_TARGET_MISSED ? "down"
                                                          : NULL;
        }
    }
}

/* The section that begins with grid `from`, if there is one. */
static void name_section(report__grids *grids, size_t from, const char *id, const char *section)
{
    if (grids->count == from) return;
    grids->items[from].section = section;
    grids->items[from].id = id;
}

void report__grids_of(const slm_results *results, const report__group *group,
                      const slm_report_options *options, report__grids *out)
{
    *out = (report__grids){0};
    size_t from = 0;
    add_tags(out, results, group);
    add_parts(out, results, group);
    name_section(out, from, "t", "Where it is good, and where not");
    from = out->count;
    add_styles(out, results, group);
    add_refusals(out, results, group);
    name_section(out, from, "w", "How answers are written");
    from = out->count;
    add_pairs(out, results, group);
    name_section(out, from, "p", "One against another");
    from = out->count;
    add_targets(out, results, group, options);
    name_section(out, from, "m", "Targets");
}

/* ---- counts of answers ---- */

const char *const report__count_heads[REPORT_COUNTS] = {
    "samples", "unscored", "refused", "empty", "cut off", "tokens read", "tokens written"};

void report__counts(const slm_arm *arm, int64_t out[REPORT_COUNTS])
{
    const int64_t counts[REPORT_COUNTS] = {
        (int64_t)arm->samples, (int64_t)arm->unscored, (int64_t)arm->refused, (int64_t)arm->empty,
        (int64_t)arm->cut_off, arm->prompt_tokens,     arm->reply_tokens};
    memcpy(out, counts, sizeof counts);
}

const char *report__count_text(const int64_t counts[REPORT_COUNTS], size_t index,
                               char out[REPORT_NUMBER_BYTES])
{
    bool is_told = index < 5 || counts[index] > 0;
    return is_told ? report__count(counts[index], out) : "-";
}

/* ---- cost ---- */

const slm_arm_cost *report__cost_of(const report__row *row, const slm_report_options *options)
{
    const slm_costs *costs = options ? options->costs : NULL;
    for (size_t i = 0; costs && row->arm->run.hash && i < costs->count; i++) {
        if (strcmp(costs->arms[i].run, row->arm->run.hash) == 0) return &costs->arms[i];
    }
    return NULL;
}

const char *report__usd(double usd, char out[REPORT_NUMBER_BYTES])
{
    char number[REPORT_NUMBER_BYTES];
    if (usd >= 100 && usd < 1e15)
        snprintf(out, REPORT_NUMBER_BYTES, "$%.24s", report__count((int64_t)round(usd), number));
    else
        snprintf(out, REPORT_NUMBER_BYTES, usd >= 1 ? "$%.2f" : "$%.3g", usd);
    return out;
}

static const char *how_paid(report__grids *grids, const slm_arm_cost *cost)
{
    if (cost->price)
        return slm_arena_printf(&grids->arena, "by the token: $%g in, $%g out per million (%s)",
                                cost->price->input, cost->price->output, cost->price->dated);
    return slm_arena_printf(&grids->arena, "%s at $%g an hour (%s), %.3g tokens/s%s",
                            cost->machine->machine, cost->machine->per_hour, cost->machine->dated,
                            cost->tokens_per_second, cost->speed_measured ? ", measured" : "");
}

void report__grids_cost(const report__group *group, const slm_report_options *options,
                        report__grids *out)
{
    static const char *const heads[] = {"US$ a month", "score", "tokens in", "tokens out", "paid"};
    if (!options || !options->costs) return;
    report__grid *grid = report__grids_add(out, NULL, 5);
    memcpy(grid->heads, heads, sizeof heads);
    for (size_t i = 0; i < group->model_count; i++) {
        const report__row *row = &group->rows[i];
        const slm_arm_cost *cost = report__cost_of(row, options);
        char text[REPORT_NUMBER_BYTES];
        if (!cost) continue;
        report__cell *cells = report__grid_add(out, grid, row->name);
        cells[0] = report__cell_text(out, report__usd(cost->usd, text));
        cells[1] = report__cell_share(out, &row->score);
        cells[2] = amount(out, cost->prompt);
        cells[3] = amount(out, cost->reply);
        cells[4].text = how_paid(out, cost);
        cells[4].class = "words";
    }
    if (!grid->count) report__grids_drop(out);
}

/* ---- the judge's agreement ---- */

void report__grids_validity(const report__group *group, const slm_report_options *options,
                            report__grids *out)
{
    static const char *const heads[] = {"kappa",    "sensitivity", "specificity",
                                        "criteria", "unscored",    "state"};
    report__agreement *list = NULL;
    size_t count = report__agreements_of(group, options, &out->arena, &list);
    if (!count) return;
    report__grid *grid = report__grids_add(out, NULL, 6);
    memcpy(grid->heads, heads, sizeof heads);
    grid->note = "Sensitivity: of what the labels call met, the percentage that the judge calls "
                 "met; specificity: likewise of what is not met.";
    for (size_t i = 0; i < count; i++) {
        const report__agreement *a = &list[i];
        char text[REPORT_NUMBER_BYTES];
        report__cell *cells = report__grid_add(
            out, grid, a->kind ? a->kind : slm_arena_printf(&out->arena, "all of %s", a->labels));
        cells[0].text = isnan(a->kappa) ? "-" : slm_arena_printf(&out->arena, "%.2f", a->kappa);
        if (!isnan(a->low))
            cells[0].soft = slm_arena_printf(&out->arena, "%.2f to %.2f", a->low, a->high);
        cells[1] = report__cell_share(out, &a->sensitivity);
        cells[2] = report__cell_share(out, &a->specificity);
        cells[3] = report__cell_text(out, report__count(a->criteria, text));
        cells[4] = report__cell_text(out, report__count(a->unscored, text));
        cells[5].text = a->is_validated ? "validated" : "not validated";
        cells[5].class = a->is_validated ? "up" : "down";
    }
}

/* ---- the proof ---- */

static report__cell count_cell(report__grids *grids, const json_t *row, const char *key)
{
    char text[REPORT_NUMBER_BYTES];
    const json_t *value = json_object_get(row, key);
    if (!json_is_integer(value)) return report__cell_text(grids, "-");
    return report__cell_text(grids, report__count(json_integer_value(value), text));
}

void report__grids_proof(const slm_report_options *options, report__grids *out)
{
    static const char *const keys[] = {"rows",       "texts",        "ngram_hits",
                                       "whole_hits", "similar_hits", "not_read"};
    static const char *const heads[] = {"rows",           "texts",     "13-word runs shared",
                                        "the same whole", "too alike", "not read"};
    const json_t *proof = options ? options->proof : NULL, *row;
    const char *const lists[] = {"files", "against"};
    if (!proof) return;
    for (int l = 0; l < 2; l++) {
        size_t columns = l ? 6 : 1, i;
        report__grid *grid = report__grids_add(out, l ? "Compared with" : "Checked", columns + 1);
        memcpy(grid->heads, heads, columns * sizeof *heads);
        grid->heads[columns] = "SHA-256";
        json_array_foreach(json_object_get(proof, lists[l]), i, row)
        {
            const char *file = json_string_value(json_object_get(row, "file"));
            const char *hash = json_string_value(json_object_get(row, "sha256"));
            report__cell *cells = report__grid_add(
                out, grid, slm_arena_strdup(&out->arena, file ? file : "(no name)"));
            for (size_t c = 0; c < columns; c++)
                cells[c] = count_cell(out, row, keys[c]);
            cells[columns] =
                report__cell_text(out, hash ? slm_arena_printf(&out->arena, "%.12s", hash) : "-");
        }
        if (!grid->count) report__grids_drop(out);
    }
}
