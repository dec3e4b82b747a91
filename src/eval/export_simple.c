/* export_simple.c: an arm as simple-evals' `_allresults.json`, so that tools made for those files
 * read it, and so that it can be imported again.
 *
 * Metrics are the reference's (healthbench_eval.py, _aggregate_get_clipped_mean): over answers, not
 * over cases, each with its n_samples and bootstrap_std (healthbench.c tells of which kind). Where
 * the judge failed, criteria_met and score are null, and the answer is in no metric: the reference
 * asks until it has a verdict, so its files have none of these. htmls, pages that it renders for
 * each answer, stay empty. Answers come by case and rollout. */
#include "eval/eval_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/json.h"

typedef struct exporter {
    slm_store *store;
    const slm_arm *arm;
    const slm_case_scores **by_id;
    FILE *out;
    slm_buffer row;
    slm_arena arena;
    bool wants_convos, any;
    slm_status status;
    slm_error *err;
} exporter;

static bool flush(exporter *e)
{
    if (fwrite(e->row.data, 1, e->row.len, e->out) != e->row.len)
        e->status =
            slm_error_set(e->err, SLM_ERR_IO, "cannot write the export: %s", strerror(errno));
    slm_buffer_truncate(&e->row, 0);
    return e->status == SLM_OK;
}

static void put_key(slm_buffer *row, const char *key)
{
    slm_buffer_append_text(row, row->data[row->len - 1] == '{' ? "" : ", ");
    slm_json_append_string(row, key, strlen(key));
    slm_buffer_append_text(row, ": ");
}

static void put_text(slm_buffer *row, const char *key, const char *text)
{
    put_key(row, key);
    slm_json_append_string(row, text, strlen(text));
}

static void put_number(slm_buffer *row, const char *key, double value)
{
    put_key(row, key);
    slm_json_append_number(row, value);
}

static void put_count(slm_buffer *row, const char *key, int64_t value)
{
    put_key(row, key);
    if (value < 0)
        slm_buffer_append_text(row, "null");
    else
        slm_buffer_printf(row, "%" PRId64, value);
}

/* ---- metrics ---- */

static void put_metric(exporter *e, const char *name, const slm_measure *measure, bool is_score)
{
    double *values = NULL;
    size_t n = eval__values_of(e->arm, measure, &values);
    double mean = slm_statistics_mean(values, n);
    if (mean < 0) mean = 0;
    if (mean > 1) mean = 1;
    const char *samples = slm_arena_printf(&e->arena, "%s:n_samples", name);
    const char *std = slm_arena_printf(&e->arena, "%s:bootstrap_std", name);
    /* The score itself stands beside the metrics. */
    if (n > 0) {
        if (!is_score) put_number(&e->row, name, mean);
        put_count(&e->row, samples, (int64_t)n);
        put_number(&e->row, std, eval__bootstrap_std(values, n));
    }
    free(values);
}

static void put_head(exporter *e, const slm_results *results)
{
    slm_tag_score *tags = NULL;
    size_t count = 0;
    double *values = NULL;
    slm_measure whole = {.kind = SLM_MEASURE_SCORE};
    size_t n = eval__values_of(e->arm, &whole, &values);
    double mean = slm_statistics_mean(values, n);
    free(values);
    slm_buffer_append_text(&e->row, "{");
    put_number(&e->row, "score", mean < 0 ? 0 : mean > 1 ? 1 : mean);
    put_key(&e->row, "metrics");
    slm_buffer_append_char(&e->row, '{');
    put_metric(e, "overall_score", &whole, false);
    slm_arm_tag_scores(results, e->arm, NULL, &e->arena, &tags, &count);
    for (size_t i = 0; i < count; i++) {
        slm_measure measure = {.kind = SLM_MEASURE_TAG, .tag = tags[i].tag};
        put_metric(e, tags[i].tag, &measure, false);
    }
    put_metric(e, "score", &whole, true);
    slm_buffer_append_text(&e->row, "}, \"htmls\": [],\n\"convos\": [");
}

/* ---- answers ---- */

static int compare_scores(const void *a, const void *b)
{
    return strcmp((*(const slm_case_scores *const *)a)->case_id,
                  (*(const slm_case_scores *const *)b)->case_id);
}

static int compare_id(const void *key, const void *item)
{
    return strcmp(key, (*(const slm_case_scores *const *)item)->case_id);
}

static const slm_case *case_of(const exporter *e, const char *case_id)
{
    const slm_case_scores *const *found =
        bsearch(case_id, e->by_id, e->arm->case_count, sizeof *e->by_id, compare_id);
    return found ? (*found)->c : NULL;
}

/* What was asked: the transcript without the answer. New reference; an empty array for none. */
static json_t *prompt_of(const slm_sample *sample)
{
    json_t *all = sample->transcript_json ? json_loads(sample->transcript_json, 0, NULL) : NULL;
    size_t n = json_array_size(all);
    if (n > 0) json_array_remove(all, n - 1);
    return all ? all : json_array();
}

static json_t *completion_of(const slm_sample *sample)
{
    return json_pack("[{s:s, s:s}]", "content", sample->reply, "role", "assistant");
}

static void put_usage(slm_buffer *row, const slm_sample *sample)
{
    int64_t total = sample->prompt_tokens < 0 || sample->reply_tokens < 0
                        ? -1
                        : sample->prompt_tokens + sample->reply_tokens;
    put_key(row, "usage");
    slm_buffer_append_char(row, '{');
    put_count(row, "input_tokens", sample->prompt_tokens);
    put_count(row, "input_cached_tokens", sample->cached_tokens);
    put_count(row, "output_tokens", sample->reply_tokens);
    put_count(row, "output_reasoning_tokens", sample->reasoning_tokens);
    put_count(row, "total_tokens", total);
    slm_buffer_append_char(row, '}');
}

static void put_rubric(slm_buffer *row, const slm_case *c, const slm_stored_grading *grading)
{
    bool any = false;
    put_key(row, "rubric_items");
    slm_buffer_append_char(row, '[');
    for (size_t i = 0; i < grading->grade_count; i++) {
        const slm_stored_grade *grade = &grading->grades[i];
        if (grade->criterion < 0 || (size_t)grade->criterion >= c->rubric_count) continue;
        const slm_rubric_item *item = &c->rubrics[grade->criterion];
        slm_buffer_append_text(row, any ? ", {" : "{");
        any = true;
        put_text(row, "criterion", item->criterion);
        put_number(row, "points", item->points);
        put_key(row, "tags");
        slm_buffer_append_char(row, '[');
        for (size_t t = 0; t < item->tag_count; t++) {
            if (t) slm_buffer_append_text(row, ", ");
            slm_json_append_string(row, item->tags[t], strlen(item->tags[t]));
        }
        slm_buffer_append_char(row, ']');
        put_key(row, "criteria_met");
        slm_buffer_append_text(row, grade->met < 0 ? "null" : grade->met ? "true" : "false");
        put_text(row, "explanation",
                 grade->explanation ? grade->explanation : "No explanation provided");
        slm_buffer_append_char(row, '}');
    }
    slm_buffer_append_char(row, ']');
}

static void put_completion_id(slm_buffer *row, const slm_sample *sample)
{
    char hex[SLM_SHA256_HEX_BYTES];
    slm_buffer both = {0};
    slm_buffer_printf(&both, "%s%s", sample->case_id, sample->reply);
    slm_sha256_hex(slm_buffer_text(&both), both.len, hex);
    put_text(row, "completion_id", hex);
    slm_buffer_free(&both);
}

static void put_answer(exporter *e, const slm_sample *sample, const slm_stored_grading *grading,
                       const slm_case *c)
{
    slm_buffer *row = &e->row;
    json_t *prompt = prompt_of(sample), *completion = completion_of(sample);
    if (!prompt || !completion) slm_out_of_memory(strlen(sample->reply));
    slm_buffer_append_text(row, e->any ? ",\n" : "\n");
    if (e->wants_convos) {
        json_array_extend(prompt, completion);
        slm_json_append_canonical(row, prompt);
    } else {
        slm_buffer_append_char(row, '{');
        put_number(row, "score", grading->has_score ? grading->score : NAN);
        put_usage(row, sample);
        put_rubric(row, c, grading);
        put_key(row, "prompt");
        slm_json_append_canonical(row, prompt);
        put_key(row, "completion");
        slm_json_append_canonical(row, completion);
        put_text(row, "prompt_id", sample->case_id);
        put_completion_id(row, sample);
        slm_buffer_append_char(row, '}');
    }
    e->any = true;
    json_decref(prompt);
    json_decref(completion);
}

static bool on_grading(void *context, const slm_stored_grading *grading)
{
    exporter *e = context;
    slm_sample sample;
    const slm_case *c = case_of(e, grading->case_id);
    slm_arena_reset(&e->arena);
    e->status = slm_store_get_sample(e->store, grading->run, grading->case_id, grading->rollout,
                                     &e->arena, &sample, e->err);
    if (e->status != SLM_OK) return false;
    sample.case_id = grading->case_id;
    put_answer(e, &sample, grading, c);
    return flush(e);
}

/* An answer is told with its text and its rubric, or not at all. */
static slm_status check_arm(const slm_arm *arm, slm_error *err)
{
    for (size_t i = 0; i < arm->case_count; i++) {
        const slm_case_scores *scores = &arm->cases[i];
        bool has_text = scores->rollout_count > 0 && scores->rollouts[0].has_text;
        if (scores->c && has_text) continue;
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: of case %s there are scores alone; simple-evals' format holds "
                             "answers and rubrics too, export to JSON Lines instead",
                             arm->run.model_name, scores->case_id);
    }
    return SLM_OK;
}

slm_status slm_eval_export_simple(slm_store *store, const slm_results *results, const slm_arm *arm,
                                  FILE *out, slm_error *err)
{
    exporter e = {.store = store, .arm = arm, .out = out, .err = err};
    slm_status status = SLM_OK;
    SLM_TRY(check_arm(arm, err));
    e.by_id = calloc(arm->case_count + 1, sizeof *e.by_id);
    if (!e.by_id) slm_out_of_memory(arm->case_count);
    for (size_t i = 0; i < arm->case_count; i++)
        e.by_id[i] = &arm->cases[i];
    if (arm->case_count) qsort(e.by_id, arm->case_count, sizeof *e.by_id, compare_scores);
    put_head(&e, results);
    flush(&e);
    for (int pass = 0; pass < 2 && e.status == SLM_OK; pass++) {
        e.wants_convos = pass == 0;
        e.any = false;
        SLM_TRY_OUT(slm_store_gradings(store, arm->run.hash, arm->judge_hash, on_grading, &e, err));
        slm_buffer_append_text(
            &e.row, pass == 0 ? "],\n\"metadata\": {\"example_level_metadata\": [" : "]}}\n");
        flush(&e);
    }
    if (e.status == SLM_OK && fflush(out) != 0)
        e.status = slm_error_set(err, SLM_ERR_IO, "cannot write the export: %s", strerror(errno));
    status = e.status;
out:
    free(e.by_id);
    slm_buffer_free(&e.row);
    slm_arena_free(&e.arena);
    return status;
}

/* ---- which arm ---- */

static bool is_named(const slm_arm *arm, const char *model, const char *judge)
{
    /* Fixed replies are asked for by name; shuffled answers bear their model's. */
    bool is_baseline = strcmp(arm->run.kind, "baseline") == 0;
    const char *name =
        is_baseline ? arm->run.model_identity + strlen("baseline:") : arm->run.model_name;
    bool by_hash = model && strlen(model) >= 6 && strncmp(arm->run.hash, model, strlen(model)) == 0;
    if (model ? !by_hash && strcmp(name, model) != 0 : is_baseline) return false;
    return !judge || strcmp(arm->judge_name, judge) == 0 ||
           (strlen(judge) >= 6 && strncmp(arm->judge_hash, judge, strlen(judge)) == 0);
}

slm_status slm_results_find_arm(const slm_results *results, const char *model, const char *judge,
                                const slm_arm **out, slm_error *err)
{
    slm_buffer names = {0};
    size_t found = 0;
    slm_status status = SLM_OK;
    for (size_t i = 0; i < results->arm_count; i++) {
        const slm_arm *arm = &results->arms[i];
        if (!is_named(arm, model, judge)) continue;
        slm_buffer_printf(&names, "%s%s #%.12s by %s #%.12s", found ? "; " : "",
                          arm->run.model_name, arm->run.hash, arm->judge_name, arm->judge_hash);
        *out = arm;
        found++;
    }
    if (found == 0)
        status = slm_error_set(err, SLM_ERR_NOT_FOUND,
                               "there are no results of %s%s%s; slm report lists what there is",
                               model ? model : "a model", judge ? " graded by " : "",
                               judge ? judge : "");
    else if (found > 1)
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "which of %zu arms? Name one with --model and --judge, by name or "
                               "by the beginning of its hash: %.700s",
                               found, slm_buffer_text(&names));
    slm_buffer_free(&names);
    return status;
}
