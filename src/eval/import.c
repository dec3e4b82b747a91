/* import.c: scores that others measured, into the database, so that they stand in the same tables.
 *
 * Two formats, told apart by the first character. simple-evals writes `<eval>_<model>_allresults.json`:
 * an object with score, metrics, htmls, convos and metadata.example_level_metadata, an array with an
 * object for each answer: prompt_id, score, prompt and completion (messages), rubric_items (criterion,
 * points, tags, criteria_met, explanation) and usage. A prompt_id that occurs several times
 * (n_repeats) is several rollouts. And CSV with the columns model, case, rollout, score.
 *
 * A file is imported as a whole or not at all. Scores are fractions of the possible points, as this
 * program computes them: above 1 is a percentage or a mistake, and refused. */
#include "eval/eval_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/csv.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

static const char judge_hash[] = "imported";

typedef struct import {
    slm_store *store;
    slm_log *log;
    const char *path;
    const char *name; /* of the model, or NULL */
    char file_sha256[SLM_SHA256_HEX_BYTES];
    size_t added;
} import;

static slm_status put_run(import *im, const char *model, char hash[65], slm_error *err)
{
    slm_buffer identity = {0};
    slm_buffer_printf(&identity, "imported:%s", model);
    slm_run run = {.hash = hash,
                   .model_name = model,
                   .model_identity = slm_buffer_text(&identity),
                   .kind = "imported"};
    slm_run_hash(&run, hash);
    slm_status status = slm_store_put_run(im->store, &run, err);
    slm_buffer_free(&identity);
    return status;
}

/* A sample with its grading. */
static slm_status put_scored(import *im, slm_sample *sample, slm_stored_grading *grading,
                             slm_error *err)
{
    bool inserted = false;
    sample->prompt_tokens = sample->prompt_tokens > 0 ? sample->prompt_tokens : -1;
    sample->reply_tokens = sample->reply_tokens > 0 ? sample->reply_tokens : -1;
    sample->cached_tokens = sample->reasoning_tokens = -1;
    grading->run = sample->run;
    grading->case_id = sample->case_id;
    grading->rollout = sample->rollout;
    grading->judge_hash = judge_hash;
    grading->status = grading->has_score ? "scored" : "unscored";
    SLM_TRY(slm_store_put_sample(im->store, sample, &inserted, err));
    im->added += inserted;
    return slm_store_put_grading(im->store, grading, err);
}

/* ---- CSV ---- */

enum { COLUMN_MODEL, COLUMN_CASE, COLUMN_ROLLOUT, COLUMN_SCORE, COLUMNS };
static const char *const column_names[COLUMNS] = {"model", "case", "rollout", "score"};

typedef struct csv_row {
    const char *model, *case_id;
    int64_t rollout;
    bool has_score;
    double score;
    size_t line;
} csv_row;

typedef struct csv_table {
    slm_csv csv;
    slm_arena arena;
    size_t columns[COLUMNS];
    size_t width; /* fields of the header */
    csv_row *rows;
    size_t count, cap;
} csv_table;

static slm_status read_header(import *im, csv_table *t, slm_error *err)
{
    bool row = false;
    SLM_TRY(slm_csv_next(&t->csv, &row, err));
    if (!row)
        return slm_error_set(
            err, SLM_ERR_FORMAT,
            "%s: is empty; expected simple-evals' _allresults.json or CSV with the "
            "header model,case,rollout,score",
            im->path);
    t->width = t->csv.field_count;
    for (size_t c = 0; c < COLUMNS; c++) {
        size_t found = 0;
        for (size_t i = 0; i < t->width; i++) {
            if (strcmp(t->csv.fields[i], column_names[c]) != 0) continue;
            t->columns[c] = i;
            found++;
        }
        if (found != 1)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s:%zu: %s column '%s' in the header; expected "
                                 "model,case,rollout,score",
                                 im->path, t->csv.line, found ? "more than one" : "there is no",
                                 column_names[c]);
    }
    if (t->width > COLUMNS)
        slm_log_print(im->log, SLM_LOG_INFO, "%s: %zu further columns are not used", im->path,
                      t->width - COLUMNS);
    return SLM_OK;
}

static bool only_has(const char *text, const char *allowed)
{
    return *text && text[strspn(text, allowed)] == '\0';
}

/* A fraction of the possible points. */
static bool score_fits(double score)
{
    return isfinite(score) && score <= 1 + 1e-9;
}

static slm_status read_csv_row(import *im, csv_table *t, csv_row *out, slm_error *err)
{
    if (t->csv.field_count != t->width)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: has %zu fields, the header has %zu",
                             im->path, t->csv.line, t->csv.field_count, t->width);
    const char *value[COLUMNS];
    for (size_t c = 0; c < COLUMNS; c++)
        value[c] = t->csv.fields[t->columns[c]];
    if (!*value[COLUMN_MODEL] || !*value[COLUMN_CASE])
        return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: %s is empty", im->path, t->csv.line,
                             *value[COLUMN_MODEL] ? "case" : "model");
    char *end = NULL;
    errno = 0;
    out->rollout = strtoll(value[COLUMN_ROLLOUT], &end, 10);
    if (!only_has(value[COLUMN_ROLLOUT], "0123456789") || errno || out->rollout > UINT32_MAX)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s:%zu: rollout is '%.40s'; expected a whole number from 0", im->path,
                             t->csv.line, value[COLUMN_ROLLOUT]);
    out->has_score = *value[COLUMN_SCORE] != '\0';
    if (out->has_score) {
        errno = 0;
        out->score = strtod(value[COLUMN_SCORE], &end);
        if (!only_has(value[COLUMN_SCORE], "0123456789.eE+-") || *end || !isfinite(out->score))
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s:%zu: score is '%.40s'; expected a number, or nothing where "
                                 "the judge failed",
                                 im->path, t->csv.line, value[COLUMN_SCORE]);
        if (!score_fits(out->score))
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s:%zu: score is %.40s; expected a fraction of the possible "
                                 "points, at most 1 (divide percentages by 100)",
                                 im->path, t->csv.line, value[COLUMN_SCORE]);
    }
    out->model = slm_arena_strdup(&t->arena, value[COLUMN_MODEL]);
    out->case_id = slm_arena_strdup(&t->arena, value[COLUMN_CASE]);
    out->line = t->csv.line;
    return SLM_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const csv_row *x = a, *y = b;
    int order = strcmp(x->model, y->model);
    if (order == 0) order = strcmp(x->case_id, y->case_id);
    if (order) return order;
    if (x->rollout != y->rollout) return x->rollout < y->rollout ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static slm_status read_csv(import *im, csv_table *t, slm_error *err)
{
    bool row = false;
    SLM_TRY(read_header(im, t, err));
    for (;;) {
        SLM_TRY(slm_csv_next(&t->csv, &row, err));
        if (!row) break;
        if (t->count == t->cap) {
            t->cap = t->cap ? 2 * t->cap : 1024;
            t->rows = realloc(t->rows, t->cap * sizeof *t->rows);
            if (!t->rows) slm_out_of_memory(t->cap * sizeof *t->rows);
        }
        t->rows[t->count] = (csv_row){0};
        SLM_TRY(read_csv_row(im, t, &t->rows[t->count], err));
        t->count++;
    }
    if (t->count == 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: has a header and no row", im->path);
    qsort(t->rows, t->count, sizeof *t->rows, compare_rows);
    for (size_t i = 1; i < t->count; i++) {
        const csv_row *x = &t->rows[i - 1], *y = &t->rows[i];
        if (strcmp(x->model, y->model) != 0) {
            if (im->name)
                return slm_error_set(err, SLM_ERR_INVALID,
                                     "%s: holds several models (%s, %s); --name is for a file of "
                                     "one",
                                     im->path, x->model, y->model);
        } else if (strcmp(x->case_id, y->case_id) == 0 && x->rollout == y->rollout) {
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s:%zu: model %s, case %s, rollout %" PRId64
                                 " stood already in line %zu",
                                 im->path, y->line, y->model, y->case_id, y->rollout, x->line);
        }
    }
    return SLM_OK;
}

/* What is stored for a row that is there already. */
typedef struct stored_score {
    const csv_row *rows;
    size_t count, at;
    const csv_row *differs;
} stored_score;

static bool on_stored(void *context, const slm_stored_grading *grading)
{
    stored_score *s = context;
    for (; s->at < s->count; s->at++) {
        const csv_row *row = &s->rows[s->at];
        int order = strcmp(row->case_id, grading->case_id);
        if (order == 0)
            order = (row->rollout > grading->rollout) - (row->rollout < grading->rollout);
        if (order > 0) return true;
        if (order < 0) continue;
        bool same = row->has_score == grading->has_score &&
                    (!row->has_score || row->score == grading->score);
        if (!same) s->differs = row;
        return same;
    }
    return false;
}

static slm_status put_model(import *im, const csv_row *rows, size_t count, slm_error *err)
{
    char hash[65];
    stored_score stored = {.rows = rows, .count = count};
    SLM_TRY(put_run(im, im->name ? im->name : rows->model, hash, err));
    SLM_TRY(slm_store_gradings(im->store, hash, judge_hash, on_stored, &stored, err));
    if (stored.differs)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s:%zu: case %s, rollout %" PRId64 " of model %s is in the database "
                             "with another score; import into another database or with another "
                             "model name",
                             im->path, stored.differs->line, stored.differs->case_id,
                             stored.differs->rollout, im->name ? im->name : rows->model);
    for (size_t i = 0; i < count; i++) {
        slm_sample sample = {.run = hash,
                             .case_id = rows[i].case_id,
                             .rollout = rows[i].rollout,
                             .reply = "",
                             .finish = "unknown"};
        /* Without the rubric all that is known of an unscored answer is that it lies in [0, 1]. */
        slm_stored_grading grading = {.has_score = rows[i].has_score,
                                      .score = rows[i].score,
                                      .low = rows[i].has_score ? rows[i].score : 0,
                                      .high = rows[i].has_score ? rows[i].score : 1};
        SLM_TRY(put_scored(im, &sample, &grading, err));
    }
    return SLM_OK;
}

static slm_status import_csv(import *im, const slm_buffer *text, slm_error *err)
{
    csv_table t = {.csv = {.name = im->path, .text = text->data, .len = text->len}};
    slm_status status = SLM_OK;
    size_t models = 0;
    if (text->len >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0) t.csv.at = 3;
    SLM_TRY_OUT(read_csv(im, &t, err));
    for (size_t begin = 0, end; begin < t.count; begin = end) {
        for (end = begin + 1; end < t.count; end++) {
            if (strcmp(t.rows[end].model, t.rows[begin].model) != 0) break;
        }
        SLM_TRY_OUT(put_model(im, t.rows + begin, end - begin, err));
        models++;
    }
    slm_log_print(im->log, SLM_LOG_INFO, "%s: %zu scores of %zu models, %zu of them new", im->path,
                  t.count, models, im->added);
out:
    slm_csv_free(&t.csv);
    slm_arena_free(&t.arena);
    free(t.rows);
    return status;
}

/* ---- simple-evals ---- */

typedef struct next_rollout {
    const char *case_id;
    int64_t next;
    size_t order;
} next_rollout;

typedef struct answers {
    slm_arena arena;
    char run[65];
    next_rollout *stored; /* by case, from the database: how many rollouts it has */
    size_t stored_count, stored_cap;
    size_t mismatches;
} answers;

static bool on_rollout(void *context, const char *case_id, int64_t rollout, bool graded)
{
    (void)graded;
    answers *a = context;
    next_rollout *last = a->stored_count ? &a->stored[a->stored_count - 1] : NULL;
    if (!last || strcmp(last->case_id, case_id) != 0) {
        if (a->stored_count == a->stored_cap) {
            a->stored_cap = a->stored_cap ? 2 * a->stored_cap : 256;
            a->stored = realloc(a->stored, a->stored_cap * sizeof *a->stored);
            if (!a->stored) slm_out_of_memory(a->stored_cap);
        }
        last = &a->stored[a->stored_count++];
        *last = (next_rollout){.case_id = slm_arena_strdup(&a->arena, case_id)};
    }
    last->next = rollout + 1;
    return true;
}

/* "healthbench_gpt-4.1_20250508_120000_allresults.json" without its ending. */
static char *name_from_path(const char *path)
{
    char *name = strdup(slm_file_basename(path));
    if (!name) slm_out_of_memory(strlen(path));
    static const char *const endings[] = {"_allresults.json", ".json"};
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(name), cut = strlen(endings[i]);
        if (len > cut && strcmp(name + len - cut, endings[i]) == 0) name[len - cut] = '\0';
    }
    return name;
}

/* The rubric items of an answer as grades; and the score that follows from them. */
static slm_status read_rubric(const json_t *answer, const slm_json_place *place,
                              slm_stored_grade **grades, size_t *count, slm_score *score,
                              slm_error *err)
{
    json_t *items = NULL;
    slm_json_place array = {.parent = place, .key = "rubric_items"};
    SLM_TRY(slm_json_array_optional(answer, "rubric_items", place, &items, err));
    *count = json_array_size(items);
    slm_case c = {.rubric_count = *count};
    slm_status status = SLM_OK;
    c.rubrics = calloc(*count + 1, sizeof *c.rubrics);
    slm_verdict *verdicts = calloc(*count + 1, sizeof *verdicts);
    *grades = calloc(*count + 1, sizeof **grades);
    if (!c.rubrics || !verdicts || !*grades) slm_out_of_memory(*count);
    for (size_t i = 0; i < *count; i++) {
        const json_t *item = json_array_get(items, i);
        slm_json_place at = {.parent = &array, .index = i};
        slm_stored_grade *grade = &(*grades)[i];
        *grade = (slm_stored_grade){
            .criterion = (int64_t)i, .met = -1, .prompt_tokens = -1, .reply_tokens = -1};
        if (!json_is_object(item)) {
            status = slm_json_error(&at, err, "expected an object");
            goto out;
        }
        SLM_TRY_OUT(slm_json_number(item, "points", &at, &c.rubrics[i].points, err));
        SLM_TRY_OUT(slm_json_string_optional(item, "explanation", &at, &grade->explanation, err));
        const json_t *met = json_object_get(item, "criteria_met");
        if (json_is_boolean(met)) {
            grade->met = json_is_true(met);
        } else if (met && !json_is_null(met)) {
            status = slm_json_error(&(slm_json_place){.parent = &at, .key = "criteria_met"}, err,
                                    "expected true, false or null");
            goto out;
        }
        verdicts[i] = grade->met < 0    ? SLM_VERDICT_UNSCORED
                      : grade->met == 1 ? SLM_VERDICT_MET
                                        : SLM_VERDICT_NOT_MET;
    }
    *score = slm_score_case(&c, verdicts);
out:
    free(c.rubrics);
    free(verdicts);
    return status;
}

/* The answer's text: what its completion's messages say. */
static slm_status read_completion(const json_t *answer, const slm_json_place *place,
                                  slm_buffer *text, slm_error *err)
{
    json_t *messages = NULL;
    slm_json_place array = {.parent = place, .key = "completion"};
    SLM_TRY(slm_json_array(answer, "completion", place, &messages, err));
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        slm_json_place at = {.parent = &array, .index = i};
        const char *content = NULL;
        if (!json_is_object(message)) return slm_json_error(&at, err, "expected an object");
        SLM_TRY(slm_json_string_optional(message, "content", &at, &content, err));
        if (content) slm_buffer_printf(text, "%s%s", text->len ? "\n\n" : "", content);
    }
    return SLM_OK;
}

static slm_status read_usage(const json_t *answer, const slm_json_place *place, slm_sample *sample,
                             slm_error *err)
{
    json_t *usage = NULL;
    slm_json_place at = {.parent = place, .key = "usage"};
    SLM_TRY(slm_json_object_optional(answer, "usage", place, &usage, err));
    if (!usage) return SLM_OK;
    SLM_TRY(slm_json_integer_optional(usage, "input_tokens", &at, &sample->prompt_tokens, err));
    return slm_json_integer_optional(usage, "output_tokens", &at, &sample->reply_tokens, err);
}

static void append_transcript(const json_t *answer, slm_buffer *out)
{
    json_t *all = json_array();
    if (!all) slm_out_of_memory(1);
    const json_t *prompt = json_object_get(answer, "prompt");
    if (json_is_array(prompt)) json_array_extend(all, (json_t *)(uintptr_t)prompt);
    json_array_extend(all, json_object_get(answer, "completion"));
    slm_json_append_canonical(out, all);
    json_decref(all);
}

/* Score of an answer: the file's own, or nothing where it is null. */
static slm_status read_score(const json_t *answer, const slm_json_place *place, slm_score computed,
                             size_t rubric_count, slm_stored_grading *out, bool *mismatch,
                             slm_error *err)
{
    const json_t *value = json_object_get(answer, "score");
    slm_json_place at = {.parent = place, .key = "score"};
    *mismatch = false;
    if (!value || json_is_null(value)) {
        out->has_score = false;
        out->low = rubric_count ? computed.low : 0;
        out->high = rubric_count ? computed.high : 1;
        return SLM_OK;
    }
    if (!json_is_number(value)) return slm_json_error(&at, err, "expected a number or null");
    out->has_score = true;
    out->score = out->low = out->high = json_number_value(value);
    if (!score_fits(out->score))
        return slm_json_error(&at, err,
                              "is %g; expected a fraction of the possible points, at "
                              "most 1",
                              out->score);
    *mismatch = computed.has_score && fabs(computed.score - out->score) > 1e-9;
    return SLM_OK;
}

static slm_status put_answer(import *im, answers *a, const json_t *answer,
                             const slm_json_place *place, const char *case_id, int64_t rollout,
                             slm_error *err)
{
    slm_stored_grade *grades = NULL;
    slm_buffer text = {0}, transcript = {0};
    slm_score computed = {0};
    bool mismatch = false;
    slm_stored_grading grading = {0};
    slm_sample sample = {.run = a->run, .case_id = case_id, .rollout = rollout, .finish = "stop"};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(read_rubric(answer, place, &grades, &grading.grade_count, &computed, err));
    SLM_TRY_OUT(read_completion(answer, place, &text, err));
    SLM_TRY_OUT(read_usage(answer, place, &sample, err));
    SLM_TRY_OUT(read_score(answer, place, computed, grading.grade_count, &grading, &mismatch, err));
    a->mismatches += mismatch;
    append_transcript(answer, &transcript);
    sample.reply = slm_buffer_text(&text);
    sample.transcript_json = slm_buffer_text(&transcript);
    grading.grades = grades;
    status = put_scored(im, &sample, &grading, err);
out:
    free(grades);
    slm_buffer_free(&text);
    slm_buffer_free(&transcript);
    return status;
}

static int compare_next(const void *a, const void *b)
{
    const next_rollout *x = a, *y = b;
    int order = strcmp(x->case_id, y->case_id);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static int find_next(const void *key, const void *item)
{
    return strcmp(key, ((const next_rollout *)item)->case_id);
}

/* Answers to the same case are its rollouts, in the order of the file, behind those stored. */
static slm_status number_answers(const answers *a, const json_t *list, const slm_json_place *place,
                                 next_rollout *out, slm_error *err)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const json_t *answer = json_array_get(list, i);
        slm_json_place at = {.parent = place, .index = i};
        out[i].order = i;
        if (!json_is_object(answer)) return slm_json_error(&at, err, "expected an object");
        SLM_TRY(slm_json_string(answer, "prompt_id", &at, &out[i].case_id, err));
    }
    qsort(out, count, sizeof *out, compare_next);
    for (size_t i = 0; i < count; i++) {
        if (i && strcmp(out[i].case_id, out[i - 1].case_id) == 0) {
            out[i].next = out[i - 1].next + 1;
            continue;
        }
        const next_rollout *stored = NULL;
        if (a->stored_count)
            stored = bsearch(out[i].case_id, a->stored, a->stored_count, sizeof *stored, find_next);
        out[i].next = stored ? stored->next : 0;
    }
    return SLM_OK;
}

static slm_status put_answers(import *im, const json_t *list, const slm_json_place *place,
                              const char *model, slm_error *err)
{
    answers a = {0};
    bool is_new = false;
    size_t count = json_array_size(list);
    next_rollout *order = calloc(count + 1, sizeof *order);
    if (!order) slm_out_of_memory(count);
    slm_status status = SLM_OK;
    SLM_TRY_OUT(put_run(im, model, a.run, err));
    SLM_TRY_OUT(slm_store_put_import(im->store, a.run, im->file_sha256, &is_new, err));
    if (!is_new) {
        slm_log_print(im->log, SLM_LOG_INFO, "%s: was imported before; nothing is added", im->path);
        goto out;
    }
    SLM_TRY_OUT(slm_store_sample_keys(im->store, a.run, judge_hash, on_rollout, &a, err));
    SLM_TRY_OUT(number_answers(&a, list, place, order, err));
    for (size_t i = 0; i < count; i++) {
        slm_json_place at = {.parent = place, .index = order[i].order};
        SLM_TRY_OUT(put_answer(im, &a, json_array_get(list, order[i].order), &at, order[i].case_id,
                               order[i].next, err));
    }
    if (a.mismatches)
        slm_log_print(im->log, SLM_LOG_WARNING,
                      "%s: %zu scores differ from what their own rubric items give; the file's "
                      "scores are kept",
                      im->path, a.mismatches);
    slm_log_print(im->log, SLM_LOG_INFO, "%s: %zu answers of %s", im->path, im->added, model);
out:
    slm_arena_free(&a.arena);
    free(a.stored);
    free(order);
    return status;
}

static slm_status import_json(import *im, const slm_buffer *text, slm_error *err)
{
    json_t *root = NULL, *metadata = NULL, *list = NULL;
    char *model = NULL;
    slm_json_place place = {.name = im->path};
    slm_json_place inner = {.parent = &place, .key = "metadata"};
    slm_json_place items = {.parent = &inner, .key = "example_level_metadata"};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(slm_json_parse(text->data, text->len, im->path, 1, &root, err));
    SLM_TRY_OUT(slm_json_object_optional(root, "metadata", &place, &metadata, err));
    if (!metadata) {
        status = slm_json_error(&inner, err,
                                "is missing; expected simple-evals' _allresults.json "
                                "(the file beside it without _allresults has no "
                                "scores of single answers)");
        goto out;
    }
    SLM_TRY_OUT(slm_json_array(metadata, "example_level_metadata", &inner, &list, err));
    if (json_array_size(list) == 0) {
        status = slm_json_error(&items, err, "is empty");
        goto out;
    }
    model = im->name ? NULL : name_from_path(im->path);
    status = put_answers(im, list, &items, im->name ? im->name : model, err);
out:
    free(model);
    json_decref(root);
    return status;
}

slm_status slm_eval_import(slm_store *store, const char *path, const char *name, slm_log *log,
                           slm_error *err)
{
import im = {.store = store, .log = log, .path = path };
    slm_buffer text = {0};
    slm_status status = SLM_OK;
    if (name && *name) im.name = name;
    SLM_TRY_OUT(slm_file_read(path, 0, &text, err));
    slm_sha256_hex(slm_buffer_text(&text), text.len, im.file_sha256);
    SLM_TRY_OUT(slm_store_begin(store, err));
    SLM_TRY_OUT(slm_store_put_judge(store, judge_hash, "imported", err));
    size_t at = text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < text.len && strchr(" \t\r\n", text.data[at]) && text.data[at])
        at++;
    bool is_json = at < text.len && (text.data[at] == '{' || text.data[at] == '[');
    SLM_TRY_OUT(is_json ? import_json(&im, &text, err) : import_csv(&im, &text, err));
    status = slm_store_commit(store, err);
out:
    if (status != SLM_OK) slm_store_rollback(store);
    slm_buffer_free(&text);
    return status;
}
