/* regressions.c: where an arm does worse than the base, case by case.
 *
 * A mean hides what got worse behind what got better. For each arm the cases whose mean score fell
 * most below the base's are listed, with an answer of each: the one whose score lies nearest that
 * case's mean, so that neither side is shown at its best or worst. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "report/report_internal.h"

enum { PRINTED = 5, NAME = 22 };

const report__row *report__base(const report__group *group, const slm_report_options *options)
{
    if (!group->model_count) return NULL;
    if (!options || !options->base) return &group->rows[0];
    for (size_t i = 0; i < group->model_count; i++) {
        if (strcmp(group->rows[i].name, options->base) == 0) return &group->rows[i];
    }
    for (size_t i = 0; i < group->model_count; i++) {
        const char *name = group->rows[i].arm->run.model_name;
        if (name && strcmp(name, options->base) == 0) return &group->rows[i];
    }
    return NULL;
}

slm_status slm_report_base_check(const slm_results *results, const char *name, slm_error *err)
{
    report__summary summary;
    slm_buffer names = {0};
    slm_report_options options = {.base = name};
    bool found = false;
    report__summarise(results, REPORT_NAMES, &summary);
    for (size_t g = 0; g < summary.count; g++) {
        const report__group *group = &summary.groups[g];
        if (report__base(group, &options)) found = true;
        for (size_t i = 0; i < group->model_count && names.len < 400; i++) {
            slm_buffer_append_text(&names, names.len ? ", " : "");
            report__append_line(&names, group->rows[i].name, 60);
        }
    }
    slm_status status = SLM_OK;
    if (!found)
        status = slm_error_set(err, SLM_ERR_NOT_FOUND,
                               "--base %.120s: the database holds no such model; there are: %s",
                               name, slm_buffer_text(&names));
    slm_buffer_free(&names);
    report__summary_free(&summary);
    return status;
}

static double mean_of(const slm_case_scores *scores)
{
    return scores->count ? slm_statistics_mean(scores->scores, scores->count) : NAN;
}

static int by_case_id(const void *a, const void *b)
{
    return strcmp((*(const slm_case_scores *const *)a)->case_id,
                  (*(const slm_case_scores *const *)b)->case_id);
}

static double fall_of(const report__regression *r)
{
    return r->after_mean - r->before_mean;
}

static void insert(report__regression *list, size_t *count, report__regression one)
{
    size_t at = *count;
    while (at > 0 && (fall_of(&one) < fall_of(&list[at - 1]) ||
                      (fall_of(&one) == fall_of(&list[at - 1]) &&
                       strcmp(one.after->case_id, list[at - 1].after->case_id) < 0)))
        at--;
    if (at == REPORT_REGRESSIONS) return;
    size_t moved = (*count < REPORT_REGRESSIONS ? *count : REPORT_REGRESSIONS - 1) - at;
    memmove(&list[at + 1], &list[at], moved * sizeof *list);
    list[at] = one;
    if (*count < REPORT_REGRESSIONS) ++*count;
}

size_t report__regressions_of(const report__row *base, const report__row *row,
                              report__regression out[REPORT_REGRESSIONS])
{
    const slm_arm *first = base->arm, *second = row->arm;
    const slm_case_scores **sorted = malloc((first->case_count + 1) * sizeof *sorted);
    size_t count = 0;
    if (!sorted) slm_out_of_memory(first->case_count * sizeof *sorted);
    for (size_t c = 0; c < first->case_count; c++)
        sorted[c] = &first->cases[c];
    qsort(sorted, first->case_count, sizeof *sorted, by_case_id);
    for (size_t c = 0; c < second->case_count; c++) {
        const slm_case_scores *after = &second->cases[c];
        const slm_case_scores **before =
            bsearch(&after, sorted, first->case_count, sizeof *sorted, by_case_id);
        if (!before) continue;
        report__regression one = {*before, after, mean_of(*before), mean_of(after)};
        if (fall_of(&one) < -1e-12) insert(out, &count, one); /* false for NaN */
    }
    free(sorted);
    return count;
}

const slm_rollout_scores *report__typical(const slm_case_scores *scores, double mean)
{
    const slm_rollout_scores *best = NULL;
    for (size_t r = 0; r < scores->rollout_count; r++) {
        const slm_rollout_scores *one = &scores->rollouts[r];
        if (!one->has_score) continue;
        if (!best || fabs(one->score - mean) < fabs(best->score - mean)) best = one;
    }
    return best;
}

/* ---- text and JSON ---- */

static void print_one(FILE *out, const report__row *row, const report__regression *r)
{
    char before[REPORT_NUMBER_BYTES], after[REPORT_NUMBER_BYTES], fall[REPORT_NUMBER_BYTES];
    slm_buffer line = {0};
    report__append_line(&line, row->name, NAME);
    size_t used = slm_utf8_columns(slm_buffer_text(&line), line.len);
    slm_buffer_printf(&line, "%*s%7s%7s%8s  ", (int)(used < NAME + 2 ? NAME + 2 - used : 0), "",
                      report__percent_tenths(r->before_mean, before),
                      report__percent_tenths(r->after_mean, after),
                      report__points(fall_of(r), fall));
    report__append_line(&line, r->after->case_id, 32);
    fprintf(out, "%s\n", slm_buffer_text(&line));
    slm_buffer_free(&line);
}

void report__print_regressions(FILE *out, const report__group *group,
                               const slm_report_options *options)
{
    const report__row *base = report__base(group, options);
    if (!base || group->model_count < 2) return;
    bool opened = false;
    for (size_t i = 0; i < group->model_count; i++) {
        report__regression list[REPORT_REGRESSIONS];
        const report__row *row = &group->rows[i];
        size_t count = row == base ? 0 : report__regressions_of(base, row, list);
        if (count && !opened) {
            slm_buffer name = {0};
            report__append_line(&name, base->name, 40);
            fprintf(out,
                    "\nFell most below %s, by case's mean score\n%-*s   base    now  points  "
                    "case\n",
                    slm_buffer_text(&name), NAME + 2, "");
            slm_buffer_free(&name);
            opened = true;
        }
        for (size_t r = 0; r < count && r < PRINTED; r++)
            print_one(out, row, &list[r]);
    }
    if (opened)
        fprintf(out, "At most %d of each model; --json has %d, --html their answers too.\n",
                PRINTED, REPORT_REGRESSIONS);
}

static void json_one(slm_buffer *out, const report__row *row, const report__regression *r)
{
    const slm_rollout_scores *before = report__typical(r->before, r->before_mean);
    const slm_rollout_scores *after = report__typical(r->after, r->after_mean);
    slm_buffer_append_text(out, "{\"model\":");
    slm_json_append_string(out, row->name, strlen(row->name));
    slm_buffer_append_text(out, ",\"case\":");
    slm_json_append_string(out, r->after->case_id, strlen(r->after->case_id));
    slm_buffer_append_text(out, ",\"base_score\":");
    slm_json_append_number(out, r->before_mean);
    slm_buffer_append_text(out, ",\"score\":");
    slm_json_append_number(out, r->after_mean);
    slm_buffer_append_text(out, ",\"difference\":");
    slm_json_append_number(out, fall_of(r));
    slm_buffer_printf(out, ",\"base_rollout\":%lld,\"rollout\":%lld}",
                      before ? (long long)before->rollout : -1LL,
                      after ? (long long)after->rollout : -1LL);
}

void report__json_regressions(slm_buffer *out, const report__group *group,
                              const slm_report_options *options)
{
    const report__row *base = report__base(group, options);
    size_t listed = 0;
    slm_buffer_append_text(out, "\"base\":");
    if (base)
        slm_json_append_string(out, base->name, strlen(base->name));
    else
        slm_buffer_append_text(out, "null");
    slm_buffer_append_text(out, ",\"regressions\":[");
    for (size_t i = 0; base && i < group->model_count; i++) {
        report__regression list[REPORT_REGRESSIONS];
        const report__row *row = &group->rows[i];
        size_t count = row == base ? 0 : report__regressions_of(base, row, list);
        for (size_t r = 0; r < count; r++) {
            if (listed++) slm_buffer_append_char(out, ',');
            json_one(out, row, &list[r]);
        }
    }
    slm_buffer_append_text(out, "],");
}

/* ---- HTML ---- */

static slm_status put_answer(FILE *out, slm_store *store, const report__row *row,
                             const slm_case_scores *scores, double mean, slm_error *err)
{
    slm_arena arena = {0};
    slm_status status = SLM_OK;
    char text[REPORT_NUMBER_BYTES];
    const slm_rollout_scores *typical = report__typical(scores, mean);
    fputs("<article class=\"answer\"><header><b><bdi>", out);
    report__escape_line(out, row->name, 60);
    fputs("</bdi></b> · mean ", out);
    report__escape(out, report__percent(mean, text), 0);
    fputc('%', out);
    if (typical) {
        fprintf(out, " · answer %lld, ", (long long)typical->rollout + 1);
        report__escape(out, report__percent(typical->score, text), 0);
        fputc('%', out);
    }
    fputs("</header>", out);
    slm_sample sample = {.reply = ""};
    if (typical) {
        status = slm_store_get_sample(store, row->arm->run.hash, scores->case_id, typical->rollout,
                                      &arena, &sample, err);
    }
    if (status == SLM_OK && sample.reply && *sample.reply)
        report__html_text(out, sample.reply);
    else if (status == SLM_OK)
        fputs("<p class=\"cut\">There is no text.</p>", out);
    fputs("</article>\n", out);
    slm_arena_free(&arena);
    return status;
}

/* Criteria on which the two shown answers differ. */
static void put_changes(FILE *out, const report__regression *r)
{
    const slm_rollout_scores *before = report__typical(r->before, r->before_mean);
    const slm_rollout_scores *after = report__typical(r->after, r->after_mean);
    const slm_case *c = r->after->c;
    if (!c || !before || !after || !before->met || !after->met) return;
    fputs("<ul class=\"changes\">", out);
    for (size_t i = 0; i < c->rubric_count; i++) {
        int was = before->met[i], is = after->met[i];
        if (was == is || was < 0 || is < 0) continue;
        bool worse = (is == 0) == (c->rubrics[i].points > 0);
        fprintf(out,
                "<li><span class=\"%s\">%s</span> <span class=\"pts\">%+g</span> "
                "<span dir=\"auto\">",
                worse ? "m0" : "m1", is ? "now met" : "no longer met", c->rubrics[i].points);
        report__escape_line(out, c->rubrics[i].criterion, 300);
        fputs("</span></li>", out);
    }
    fputs("</ul>\n", out);
}

static bool has_text(const slm_case_scores *scores, double mean)
{
    const slm_rollout_scores *typical = report__typical(scores, mean);
    return typical && typical->has_text;
}

static slm_status put_one(FILE *out, slm_store *store, const report__row *base,
                          const report__row *row, const report__regression *r, size_t rank,
                          slm_error *err)
{
    char text[REPORT_NUMBER_BYTES], before[REPORT_NUMBER_BYTES], after[REPORT_NUMBER_BYTES];
    const slm_case *c = r->after->c;
    if (!has_text(r->before, r->before_mean) && !has_text(r->after, r->after_mean)) {
        fputs("<p class=\"fall\"><bdi>", out);
        report__escape_line(out, r->after->case_id, 60);
        fputs("</bdi> ", out);
        report__escape(out, report__percent(r->before_mean, before), 0);
        fputs("% to ", out);
        report__escape(out, report__percent(r->after_mean, after), 0);
        fprintf(out, "%% <b class=\"bad\">%s</b></p>\n", report__points(fall_of(r), text));
        return SLM_OK;
    }
    fprintf(out,
            "<details class=\"case\"><summary><span class=\"rank\">%zu</span><span><span "
            "class=\"ask\" dir=\"auto\">",
            rank);
    if (c && c->turn_count) report__escape_line(out, c->turns[c->turn_count - 1].content, 160);
    fputs("</span><span class=\"id\">", out);
    report__escape_line(out, r->after->case_id, 60);
    fprintf(out, "</span></span><span class=\"score bad\">%s</span></summary>\n<div class=\"in\">",
            report__points(fall_of(r), text));
    if (c) report__html_turns(out, c);
    put_changes(out, r);
    fputs("<div class=\"two\">\n", out);
    SLM_TRY(put_answer(out, store, base, r->before, r->before_mean, err));
    SLM_TRY(put_answer(out, store, row, r->after, r->after_mean, err));
    fputs("</div></div></details>\n", out);
    return SLM_OK;
}

slm_status report__html_regressions(FILE *out, slm_store *store, const report__group *group,
                                    const slm_report_options *options, slm_error *err)
{
    const report__row *base = report__base(group, options);
    if (!base) {
        fputs("<p class=\"note\">The base that was named is not among these models.</p>\n", out);
        return SLM_OK;
    }
    fputs("<p>Cases in which a model’s mean score lies furthest below that of <bdi>", out);
    report__escape_line(out, base->name, 80);
    fprintf(out,
            "</bdi>, at most %d of each, in percentage points; of both the answer whose score lies "
            "nearest its mean is shown.</p>\n",
            REPORT_REGRESSIONS);
    for (size_t i = 0; i < group->model_count; i++) {
        report__regression list[REPORT_REGRESSIONS];
        const report__row *row = &group->rows[i];
        if (row == base) continue;
        size_t count = report__regressions_of(base, row, list);
        fputs("<h4><bdi>", out);
        report__escape_line(out, row->name, 80);
        fputs("</bdi></h4>\n", out);
        if (!count) fputs("<p class=\"note\">No case’s mean fell.</p>\n", out);
        for (size_t r = 0; r < count; r++)
            SLM_TRY(put_one(out, store, base, row, &list[r], r + 1, err));
    }
    return SLM_OK;
}
