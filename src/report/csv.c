/* csv.c: results as CSV for other programs (RFC 4180: fields with commas, quotes or line ends are
 * quoted, quotes doubled). A figure that cannot be measured is an empty field. Numbers are written
 * with the fewest digits that read back as the same double. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "report/report_internal.h"

static void put_text(FILE *out, const char *text)
{
    slm_buffer valid = {0};
    slm_utf8_append_valid(&valid, text ? text : "", text ? strlen(text) : 0);
    const char *field = slm_buffer_text(&valid);
    if (!strpbrk(field, ",\"\r\n")) {
        fputs(field, out);
    } else {
        fputc('"', out);
        for (const char *c = field; *c; c++) {
            if (*c == '"') fputc('"', out);
            fputc(*c, out);
        }
        fputc('"', out);
    }
    slm_buffer_free(&valid);
}

static void put_number(FILE *out, double value)
{
    if (isnan(value)) return;
    slm_buffer text = {0};
    slm_json_append_number(&text, value);
    fputs(slm_buffer_text(&text), out);
    slm_buffer_free(&text);
}

/* value,low,high,cases,judge and the end of the line */
static void put_figure(FILE *out, const slm_figure *figure, const char *judge)
{
    put_number(out, figure->value);
    fputc(',', out);
    put_number(out, figure->interval.low);
    fputc(',', out);
    put_number(out, figure->interval.high);
    fprintf(out, ",%zu,", figure->cases);
    put_text(out, judge);
    fputc('\n', out);
}

static void write_curves(const report__summary *summary, const slm_results *results, FILE *out)
{
    (void)results;
    fputs("model,k,worst_at_k,low,high,cases,judge\n", out);
    for (size_t g = 0; g < summary->count; g++) {
        for (size_t i = 0; i < summary->groups[g].count; i++) {
            const report__row *row = &summary->groups[g].rows[i];
            for (size_t k = 0; k < row->max_k; k++) {
                put_text(out, row->name);
                fprintf(out, ",%zu,", k + 1);
                put_figure(out, &row->curve[k], summary->groups[g].judge);
            }
        }
    }
}

static void write_scores(const report__summary *summary, const slm_results *results, FILE *out)
{
    (void)results;
    fputs("model,case,rollout,score,judge\n", out);
    for (size_t g = 0; g < summary->count; g++) {
        for (size_t i = 0; i < summary->groups[g].count; i++) {
            const report__row *row = &summary->groups[g].rows[i];
            for (size_t c = 0; c < row->arm->case_count; c++) {
                const slm_case_scores *scores = &row->arm->cases[c];
                for (size_t r = 0; r < scores->rollout_count; r++) {
                    const slm_rollout_scores *rollout = &scores->rollouts[r];
                    put_text(out, row->name);
                    fputc(',', out);
                    put_text(out, scores->case_id);
                    fprintf(out, ",%lld,", (long long)rollout->rollout);
                    put_number(out, rollout->has_score ? rollout->score : NAN);
                    fputc(',', out);
                    put_text(out, summary->groups[g].judge);
                    fputc('\n', out);
                }
            }
        }
    }
}

static void write_measure(const report__group *group, const report__row *row,
                          const report__measure *measure, size_t k, const slm_figure *figure,
                          FILE *out)
{
    put_text(out, row->name);
    fprintf(out, ",%s,%s,%zu,", measure ? measure->name : "score",
            measure ? measure->stratum : "all", k);
    put_figure(out, figure, group->judge);
}

/* Each measure at 1 and at the k of the tables. A fixed reply that was searched for a measure stands
 * under its own name, and tells of that measure alone. */
static void write_measures(const report__summary *summary, const slm_results *results, FILE *out)
{
    (void)results;
    fputs("model,measure,stratum,k,value,low,high,cases,judge\n", out);
    for (size_t g = 0; g < summary->count; g++) {
        const report__group *group = &summary->groups[g];
        for (size_t i = 0; i < group->count; i++) {
            const report__row *row = &group->rows[i];
            for (size_t m = 0; m < REPORT_MEASURES; m++) {
                const report__measure *measure = &report__measures[m];
                const report__row *named = row->own[m] ? row->own[m] : row;
                write_measure(group, named, measure, 1, &row->mean[m], out);
                if (group->k > 1)
                    write_measure(group, named, measure, group->k, &row->worst[m], out);
            }
            write_measure(group, row, NULL, 1, &row->score, out);
            if (group->k > 1) write_measure(group, row, NULL, group->k, &row->score_worst, out);
        }
    }
}

static void write_tags(const report__summary *summary, const slm_results *results, FILE *out)
{
    slm_arena arena = {0};
    fputs("model,tag,of,samples,bootstrap_std,score,low,high,cases,judge\n", out);
    for (size_t g = 0; g < summary->count; g++) {
        for (size_t i = 0; i < summary->groups[g].count; i++) {
            const report__row *row = &summary->groups[g].rows[i];
            slm_tag_score *tags = NULL;
            size_t count = 0;
            slm_arena_reset(&arena);
            slm_arm_tag_scores(results, row->arm, NULL, &arena, &tags, &count);
            for (size_t t = 0; t < count; t++) {
                put_text(out, row->name);
                fputc(',', out);
                put_text(out, tags[t].tag);
                fprintf(out, ",%s,%zu,", tags[t].is_criterion_tag ? "criteria" : "example",
                        tags[t].samples);
                put_number(out, tags[t].bootstrap_std);
                fputc(',', out);
                put_figure(out, &tags[t].figure, summary->groups[g].judge);
            }
        }
    }
    slm_arena_free(&arena);
}

static void write_comparisons(const report__summary *summary, const slm_results *results, FILE *out)
{
    slm_arena arena = {0};
    fputs("first,second,k,families,left_out,p,p_holm,difference,low,high,cases,judge\n", out);
    for (size_t g = 0; g < summary->count; g++) {
        const report__group *group = &summary->groups[g];
        for (int worst = 0; worst < (group->k > 1 ? 2 : 1); worst++) {
            slm_measure measure = {.kind = SLM_MEASURE_SCORE, .k = worst ? group->k : 1};
            slm_comparison *list = NULL;
            size_t count = 0;
            slm_compare_all(results, &measure, &arena, &list, &count);
            for (size_t i = 0; i < count; i++) {
                const slm_comparison *c = &list[i];
                slm_figure figure = {c->difference, c->interval, c->low, c->high, c->cases};
                if (!report__row_of(group, c->first)) continue;
                put_text(out, report__row_of(group, c->first)->name);
                fputc(',', out);
                put_text(out, report__row_of(group, c->second)->name);
                fprintf(out, ",%zu,%zu,%zu,", measure.k, c->families, c->left_out);
                put_number(out, c->p);
                fputc(',', out);
                put_number(out, c->p_holm);
                fputc(',', out);
                put_figure(out, &figure, group->judge);
            }
        }
    }
    slm_arena_free(&arena);
}

slm_status slm_report_csv(const slm_results *results, const char *what, FILE *out, slm_error *err)
{
    int needs;
    void (*write)(const report__summary *, const slm_results *, FILE *);
    if (what && strcmp(what, "worst-at-k") == 0) {
        needs = REPORT_CURVES, write = write_curves;
    } else if (what && strcmp(what, "scores") == 0) {
        needs = REPORT_NAMES, write = write_scores;
    } else if (what && strcmp(what, "measures") == 0) {
        needs = REPORT_ALL, write = write_measures;
    } else if (what && strcmp(what, "tags") == 0) {
        needs = REPORT_NAMES, write = write_tags;
    } else if (what && strcmp(what, "comparisons") == 0) {
        needs = REPORT_NAMES, write = write_comparisons;
    } else {
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "there is no CSV of \"%s\"; choose worst-at-k, scores, measures, tags or comparisons",
            what ? what : "");
    }
    report__summary summary;
    report__summarise(results, needs, &summary);
    write(&summary, results, out);
    report__summary_free(&summary);
    if (fflush(out) != 0 || ferror(out)) {
        return slm_error_set(err, SLM_ERR_IO, "writing the CSV: %s; is the disk full?",
                             strerror(errno));
    }
    return SLM_OK;
}

slm_status slm_costs_csv(const slm_costs *costs, FILE *out, slm_error *err)
{
    fputs("model,run,usd_a_month,requests,prompt_tokens,cached_tokens,reply_tokens,price,"
          "input,output,discount,machine,usd_an_hour,tokens_per_second,machines\n",
          out);
    for (size_t i = 0; i < costs->count; i++) {
        const slm_arm_cost *arm = &costs->arms[i];
        const slm_price *price = arm->price;
        const slm_machine_price *machine = price ? NULL : arm->machine;
        const double shared[] = {arm->usd, costs->options.requests, arm->prompt, arm->cached,
                                 arm->reply};
        put_text(out, arm->name);
        fputc(',', out);
        put_text(out, arm->run);
        for (size_t n = 0; n < sizeof shared / sizeof *shared; n++) {
            fputc(',', out);
            put_number(out, shared[n]);
        }
        fputc(',', out);
        put_text(out, price ? price->model : NULL);
        const double hosted[] = {price ? price->input : NAN, price ? price->output : NAN,
                                 price ? arm->discount : NAN};
        for (size_t n = 0; n < sizeof hosted / sizeof *hosted; n++) {
            fputc(',', out);
            put_number(out, hosted[n]);
        }
        fputc(',', out);
        put_text(out, machine ? machine->machine : NULL);
        const double rented[] = {machine ? machine->per_hour : NAN,
                                 machine ? arm->tokens_per_second : NAN,
                                 machine ? arm->machines : NAN};
        for (size_t n = 0; n < sizeof rented / sizeof *rented; n++) {
            fputc(',', out);
            put_number(out, rented[n]);
        }
        fputc('\n', out);
    }
    if (fflush(out) != 0 || ferror(out))
        return slm_error_set(err, SLM_ERR_IO, "writing the table: %s; is the disk full?",
                             strerror(errno));
    return SLM_OK;
}
