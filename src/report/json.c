/* json.c: everything in the tables as one JSON object, written as it goes. A figure is
 * {"value", "low", "high", "cases"} with null for what cannot be measured; "bounds" are the value
 * with every unscored sample taken as worst and as best. In the floor's row each measure has a run of
 * its own: the fixed reply that was searched for it. */
#include <math.h>
#include <string.h>
#include <jansson.h>
#include "base/json.h"
#include "report/report_internal.h"

static void put_string(slm_buffer *out, const char *text)
{
    if (text)
        slm_json_append_string(out, text, strlen(text));
    else
        slm_buffer_append_text(out, "null");
}

static void put_member(slm_buffer *out, const char *key, const char *text)
{
    slm_buffer_printf(out, "\"%s\":", key);
    put_string(out, text);
    slm_buffer_append_char(out, ',');
}

/* JSON kept as text in the database; what does not parse is given as a string. */
static void put_json(slm_buffer *out, const char *key, const char *text)
{
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    slm_buffer_printf(out, "\"%s\":", key);
    if (value)
        slm_json_append_canonical(out, value);
    else
        put_string(out, text);
    slm_buffer_append_char(out, ',');
    json_decref(value);
}

static void put_figure(slm_buffer *out, const slm_figure *figure, size_t k)
{
    const double numbers[] = {figure->value, figure->interval.low, figure->interval.high,
                              figure->low, figure->high};
    static const char *const keys[] = {"\"value\":", ",\"low\":", ",\"high\":", ",\"bounds\":[",
                                       ","};
    slm_buffer_printf(out, "{\"k\":%zu,", k);
    for (int i = 0; i < 5; i++) {
        slm_buffer_append_text(out, keys[i]);
        slm_json_append_number(out, numbers[i]);
    }
    slm_buffer_printf(out, "],\"cases\":%zu}", figure->cases);
}

static void put_run(slm_buffer *out, const slm_run *run)
{
    slm_buffer_append_text(out, "\"run\":{");
    put_member(out, "hash", run->hash);
    put_member(out, "kind", run->kind);
    put_member(out, "model", run->model_identity);
    put_member(out, "system", run->system_text);
    put_json(out, "sampling", run->sampling_json);
    put_member(out, "cases_sha256", run->cases_sha256);
    put_json(out, "details", run->details_json);
    slm_buffer_printf(out, "\"seed\":%lld},", (long long)run->seed);
}

static void put_row(slm_buffer *out, const slm_results *results, const report__group *group,
                    const report__row *row, const slm_report_options *options)
{
    const slm_arm *arm = row->arm;
    slm_buffer_append_char(out, '{');
    put_member(out, "model", row->name);
    put_member(out, "baseline", row->baseline);
    put_run(out, &arm->run);
    slm_buffer_printf(out,
                      "\"samples\":%zu,\"scored\":%zu,\"unscored\":%zu,\"refused\":%zu,"
                      "\"empty\":%zu,\"cut_off\":%zu,\"prompt_tokens\":%lld,"
                      "\"reply_tokens\":%lld,\"measures\":[",
                      arm->samples, arm->scored, arm->unscored, arm->refused, arm->empty,
                      arm->cut_off, (long long)arm->prompt_tokens, (long long)arm->reply_tokens);
    for (size_t m = 0; m < REPORT_MEASURES; m++) {
        slm_buffer_printf(out, "%s{\"measure\":\"%s\",\"stratum\":\"%s\",", m ? "," : "",
                          report__measures[m].name, report__measures[m].stratum);
        if (row->own[m]) {
            put_member(out, "model", row->own[m]->name);
            put_run(out, &row->own[m]->arm->run);
        }
        slm_buffer_append_text(out, "\"mean\":");
        put_figure(out, &row->mean[m], 1);
        slm_buffer_append_text(out, ",\"worst\":");
        put_figure(out, &row->worst[m], group->k);
        slm_buffer_append_char(out, '}');
    }
    slm_buffer_append_text(out, "],");
    report__json_arm(out, results, arm, options);
    if (!row->baseline) {
        const slm_arm_cost *cost = report__cost_of(row, options);
        report__json_parts(out, results, group, arm);
        slm_buffer_append_text(out, "\"usd_a_month\":");
        slm_json_append_number(out, cost ? cost->usd : NAN);
        slm_buffer_append_char(out, ',');
    }
    slm_buffer_append_text(out, "\"score\":");
    put_figure(out, &row->score, 1);
    slm_buffer_append_text(out, ",\"worst_at_k\":[");
    for (size_t k = 0; k < row->max_k; k++) {
        if (k) slm_buffer_append_char(out, ',');
        put_figure(out, &row->curve[k], k + 1);
    }
    slm_buffer_append_text(out, "]}");
}

void slm_report_json(const slm_results *results, const slm_report_options *options, FILE *out)
{
    report__summary summary;
    report__summarise(results, REPORT_ALL, &summary);
    slm_buffer text = {0};
    slm_buffer_append_char(&text, '{');
    put_member(&text, "slm", options ? options->version : NULL);
    if (options && options->proof) {
        slm_buffer_append_text(&text, "\"proof\":");
        slm_json_append_canonical(&text, options->proof);
        slm_buffer_append_char(&text, ',');
    }
    slm_buffer_append_text(&text, "\"tables\":[");
    for (size_t g = 0; g < summary.count; g++) {
        const report__group *group = &summary.groups[g];
        slm_buffer_append_text(&text, g ? ",{" : "{");
        put_member(&text, "judge", group->judge);
        put_member(&text, "judge_hash", group->rows[0].arm->judge_hash);
        put_json(&text, "coverage", group->rows[0].arm->coverage_json);
        put_member(&text, "cases_sha256", group->cases_sha256);
        report__json_comparisons(&text, results, group);
        report__json_regressions(&text, group, options);
        report__json_validity(&text, group, options);
        slm_buffer_printf(&text, "\"cases\":%zu,\"k\":%zu,\"arms\":[", group->cases, group->k);
        for (size_t i = 0; i < group->count; i++) {
            if (i) slm_buffer_append_char(&text, ',');
            put_row(&text, results, group, &group->rows[i], options);
            fwrite(slm_buffer_text(&text), 1, text.len, out);
            slm_buffer_truncate(&text, 0);
        }
        slm_buffer_append_text(&text, "]}");
    }
    slm_buffer_append_text(&text, "]}\n");
    fwrite(slm_buffer_text(&text), 1, text.len, out);
    slm_buffer_free(&text);
    report__summary_free(&summary);
}
