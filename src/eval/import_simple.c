/* import_simple.c: simple-evals' `<eval>_<model>_allresults.json`.
 *
 * An object with score, metrics, htmls, convos and metadata.example_level_metadata, an array with an
 * object for each answer: prompt_id, score, prompt and completion (messages), rubric_items (criterion,
 * points, tags, criteria_met, explanation) and usage. A prompt_id that occurs several times
 * (n_repeats) is several rollouts.
 *
 * What was evaluated is in the file but for the examples' tags: conversation and rubric of each
 * answer make its case, so that axes and consensus criteria can be scored; a leading system message
 * is the arm's, as it would be here. With --cases the cases are those, tags and all, and only the
 * criteria that they have are kept. Cases made from a file go into a set of imported cases that all
 * such files share, so that their models can be compared; where a case is there with another rubric
 * (HealthBench and its consensus subset have the same ids), a next such set is begun. */
#include "eval/eval_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

enum { IMPORTED_SETS = 1000 };

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
    size_t mismatches, left_out;
    char set[65];            /* of the cases; "": not known */
    const char *system_text; /* in front of every conversation, or NULL */
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

/* ---- verdicts ---- */

/* A rubric item of an answer. */
typedef struct rubric_item {
    const char *criterion, *explanation;
    double points;
    int met;
} rubric_item;

static slm_status read_item(const json_t *object, const slm_json_place *at, rubric_item *out,
                            slm_error *err)
{
    *out = (rubric_item){.met = -1};
    if (!json_is_object(object)) return slm_json_error(at, err, "expected an object");
    SLM_TRY(slm_json_number(object, "points", at, &out->points, err));
    SLM_TRY(slm_json_string_optional(object, "criterion", at, &out->criterion, err));
    SLM_TRY(slm_json_string_optional(object, "explanation", at, &out->explanation, err));
    const json_t *met = json_object_get(object, "criteria_met");
    if (json_is_boolean(met))
        out->met = json_is_true(met);
    else if (met && !json_is_null(met))
        return slm_json_error(&(slm_json_place){.parent = at, .key = "criteria_met"}, err,
                              "expected true, false or null");
    return SLM_OK;
}

/* What was made of the rubric items of an answer. */
typedef struct graded {
    slm_stored_grade *grades;
    size_t count;
    slm_score score; /* that follows from them */
    bool is_partly;  /* the case lacks some of the file's items: the file's score is not its */
} graded;

static void put_grade(graded *g, slm_case *c, slm_verdict *verdicts, const rubric_item *from)
{
    size_t at = g->count++;
    g->grades[at] = (slm_stored_grade){.criterion = (int64_t)at,
                                       .met = from->met,
                                       .explanation = from->explanation,
                                       .prompt_tokens = -1,
                                       .reply_tokens = -1};
    c->rubrics[at].points = from->points;
    verdicts[at] = from->met < 0    ? SLM_VERDICT_UNSCORED
                   : from->met == 1 ? SLM_VERDICT_MET
                                    : SLM_VERDICT_NOT_MET;
}

/* The items in the order of the case's rubric; each has to be there. */
static slm_status put_in_order(graded *g, slm_case *points, slm_verdict *verdicts,
                               const rubric_item *items, size_t count, const slm_case *c,
                               const slm_json_place *place, slm_error *err)
{
    for (size_t r = 0; r < c->rubric_count; r++) {
        size_t i = 0;
        while (i < count && !(items[i].criterion && items[i].points == c->rubrics[r].points &&
                              strcmp(items[i].criterion, c->rubrics[r].criterion) == 0))
            i++;
        if (i == count)
            return slm_json_error(place, err,
                                  "lacks the criterion '%.80s' (%g points), which case %s has; "
                                  "--cases names other cases than those that were evaluated",
                                  c->rubrics[r].criterion, c->rubrics[r].points, c->id);
        put_grade(g, points, verdicts, &items[i]);
    }
    g->is_partly = count > c->rubric_count;
    return SLM_OK;
}

static slm_status read_rubric(const json_t *answer, const slm_json_place *place, const slm_case *c,
                              graded *out, slm_error *err)
{
    json_t *array = NULL;
    slm_json_place list = {.parent = place, .key = "rubric_items"};
    SLM_TRY(slm_json_array_optional(answer, "rubric_items", place, &array, err));
    size_t count = json_array_size(array);
    size_t most = c && c->rubric_count > count ? c->rubric_count : count;
    slm_case points = {0};
    slm_status status = SLM_OK;
    rubric_item *items = calloc(count + 1, sizeof *items);
    points.rubrics = calloc(most + 1, sizeof *points.rubrics);
    slm_verdict *verdicts = calloc(most + 1, sizeof *verdicts);
    out->grades = calloc(most + 1, sizeof *out->grades);
    if (!items || !points.rubrics || !verdicts || !out->grades) slm_out_of_memory(most);
    for (size_t i = 0; i < count; i++) {
        slm_json_place at = {.parent = &list, .index = i};
        SLM_TRY_OUT(read_item(json_array_get(array, i), &at, &items[i], err));
    }
    if (c)
        SLM_TRY_OUT(put_in_order(out, &points, verdicts, items, count, c, &list, err));
    else
        for (size_t i = 0; i < count; i++)
            put_grade(out, &points, verdicts, &items[i]);
    points.rubric_count = out->count;
    out->score = slm_score_case(&points, verdicts);
out:
    free(items);
    free(points.rubrics);
    free(verdicts);
    return status;
}

/* ---- an answer ---- */

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
    const struct {
        const char *key;
        int64_t *out;
    } counts[] = {{"input_tokens", &sample->prompt_tokens},
                  {"input_cached_tokens", &sample->cached_tokens},
                  {"output_tokens", &sample->reply_tokens},
                  {"output_reasoning_tokens", &sample->reasoning_tokens}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        SLM_TRY(slm_json_integer_optional(usage, counts[i].key, &at, counts[i].out, err));
    return SLM_OK;
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

/* Score of an answer: the file's own; where it is null, what follows from all verdicts. */
static slm_status read_score(const json_t *answer, const slm_json_place *place, const graded *g,
                             slm_stored_grading *out, bool *mismatch, slm_error *err)
{
    const json_t *value = json_object_get(answer, "score");
    slm_json_place at = {.parent = place, .key = "score"};
    *mismatch = false;
    out->has_score = false;
    out->low = g->count ? g->score.low : 0;
    out->high = g->count ? g->score.high : 1;
    if (value && !json_is_null(value)) {
        if (!json_is_number(value)) return slm_json_error(&at, err, "expected a number or null");
        out->has_score = true;
        out->score = out->low = out->high = json_number_value(value);
        if (!isfinite(out->score) || out->score > 1 + 1e-9)
            return slm_json_error(&at, err,
                                  "is %g; expected a fraction of the possible points, at most 1",
                                  out->score);
        *mismatch = !g->is_partly && g->score.has_score && fabs(g->score.score - out->score) > 1e-9;
    }
    bool is_untold = !out->has_score && g->score.has_score; /* verdicts without their score */
    if (g->is_partly || is_untold) {
        out->has_score = g->score.has_score;
        out->score = g->score.score;
        out->low = g->score.low;
        out->high = g->score.high;
    }
    return SLM_OK;
}

static slm_status put_answer(eval__import *im, answers *a, const json_t *answer,
                             const slm_json_place *place, const char *case_id, int64_t rollout,
                             slm_error *err)
{
    graded g = {0};
    slm_buffer text = {0}, transcript = {0};
    bool mismatch = false;
    slm_stored_grading grading = {0};
    slm_sample sample = {.run = a->run,
                         .case_id = case_id,
                         .rollout = rollout,
                         .finish = "stop",
                         .reasoning_tokens = -1,
                         .cached_tokens = -1};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(read_rubric(answer, place, eval__import_find(im, case_id), &g, err));
    SLM_TRY_OUT(read_completion(answer, place, &text, err));
    SLM_TRY_OUT(read_usage(answer, place, &sample, err));
    SLM_TRY_OUT(read_score(answer, place, &g, &grading, &mismatch, err));
    a->mismatches += mismatch;
    append_transcript(answer, &transcript);
    sample.reply = slm_buffer_text(&text);
    sample.transcript_json = slm_buffer_text(&transcript);
    grading.grades = g.grades;
    grading.grade_count = g.count;
    status = eval__import_put(im, &sample, &grading, err);
out:
    free(g.grades);
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

/* By case, and within one in the order of the file. */
static slm_status sort_answers(const json_t *list, const slm_json_place *place, next_rollout *out,
                               slm_error *err)
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
    return SLM_OK;
}

/* Answers to the same case are its rollouts, in the order of the file, behind those stored. */
static void number_answers(const answers *a, next_rollout *out, size_t count)
{
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
}

/* ---- the cases ---- */

/* A case as the file's answers tell of it. */
typedef struct told_case {
    const char *id, *json; /* in the arena */
    size_t order;
    bool is_stored;
} told_case;

static bool is_role(const json_t *message, const char *role)
{
    const char *is = json_string_value(json_object_get(message, "role"));
    return is && strcmp(is, role) == 0;
}

/* The case's row, without the leading system message. NULL where the file does not tell it all. */
static json_t *told_row(const json_t *answer, const char **system_text)
{
    json_t *prompt = json_object_get(answer, "prompt");
    const json_t *items = json_object_get(answer, "rubric_items");
    const json_t *first = json_array_get(prompt, 0);
    bool has_system = is_role(first, "system") || is_role(first, "developer");
    *system_text = has_system ? json_string_value(json_object_get(first, "content")) : NULL;
    if (!json_is_array(items) || (has_system && !*system_text)) return NULL;
    json_t *row =
        json_pack("{s:O, s:[], s:[], s:[]}", "prompt_id", json_object_get(answer, "prompt_id"),
                  "prompt", "rubrics", "example_tags");
    if (!row) slm_out_of_memory(1);
    for (size_t i = has_system; i < json_array_size(prompt); i++)
        json_array_append(json_object_get(row, "prompt"), json_array_get(prompt, i));
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *from = json_array_get(items, i), *to = json_object();
        static const char *const keys[] = {"criterion", "points", "tags"};
        for (size_t k = 0; k < 3; k++)
            if (json_object_get(from, keys[k]))
                json_object_set(to, keys[k], json_object_get(from, keys[k]));
        json_array_append_new(json_object_get(row, "rubrics"), to);
    }
    return row;
}

/* One row for each case, sorted by id; NULL: the file does not tell all of them, or tells of one in
 * two ways. order: the answers sorted by case. */
static told_case *tell_cases(answers *a, const json_t *list, const next_rollout *order,
                             size_t *count)
{
    size_t answers_count = json_array_size(list);
    told_case *cases = calloc(answers_count + 1, sizeof *cases);
    if (!cases) slm_out_of_memory(answers_count);
    bool is_told = true, same_system = true;
    slm_buffer text = {0};
    *count = 0;
    for (size_t i = 0; i < answers_count && is_told; i++) {
        const char *system_text = NULL;
        json_t *row = told_row(json_array_get(list, order[i].order), &system_text);
        if (i == 0) a->system_text = system_text;
        same_system = same_system &&
                      (system_text == a->system_text ||
                       (system_text && a->system_text && strcmp(system_text, a->system_text) == 0));
        slm_buffer_truncate(&text, 0);
        if (row) slm_json_append_canonical(&text, row);
        json_decref(row);
        told_case *last = *count ? &cases[*count - 1] : NULL;
        if (row && last && strcmp(last->id, order[i].case_id) == 0) {
            is_told = strcmp(last->json, slm_buffer_text(&text)) == 0;
            continue;
        }
        slm_case parsed;
        is_told = row && slm_case_parse(slm_buffer_text(&text), "rubric_items", 0, &a->arena,
                                        &parsed, NULL) == SLM_OK;
        if (is_told)
            cases[(*count)++] =
                (told_case){.id = parsed.id, .json = parsed.json, .order = order[i].order};
    }
    slm_buffer_free(&text);
    if (!same_system) a->system_text = NULL;
    if (is_told) return cases;
    free(cases);
    return NULL;
}

/* A set of the database beside the told cases, which are sorted by id as its rows are. */
typedef struct fitting {
    told_case *cases;
    size_t count, at, stored;
    bool differs;
} fitting;

static bool on_case(void *context, const char *id, const char *family, size_t position,
                    const char *json)
{
    fitting *f = context;
    (void)family;
    (void)position;
    f->stored++;
    while (f->at < f->count && strcmp(f->cases[f->at].id, id) < 0)
        f->at++;
    if (f->at == f->count || strcmp(f->cases[f->at].id, id) != 0) return true;
    f->cases[f->at].is_stored = true;
    f->differs = strcmp(f->cases[f->at].json, json) != 0;
    return !f->differs;
}

static int compare_order(const void *a, const void *b)
{
    const told_case *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

/* Into the first of the sets of imported cases in which they fit. */
static slm_status put_told(eval__import *im, answers *a, told_case *cases, size_t count,
                           slm_error *err)
{
    fitting f = {.differs = true};
    for (int n = 1; f.differs; n++) {
        char name[64];
        if (n > IMPORTED_SETS)
            return slm_error_set(err, SLM_ERR_LIMIT,
                                 "%s: the database has %d sets of imported cases, none of which "
                                 "these fit into; import into another database",
                                 im->path, IMPORTED_SETS);
        snprintf(name, sizeof name, "slm imported cases %d", n);
        slm_sha256_hex(name, strlen(name), a->set);
        f = (fitting){.cases = cases, .count = count};
        for (size_t i = 0; i < count; i++)
            cases[i].is_stored = false;
        SLM_TRY(slm_store_cases(im->store, a->set, on_case, &f, err));
    }
    qsort(cases, count, sizeof *cases, compare_order);
    for (size_t i = 0; i < count; i++) {
        if (cases[i].is_stored) continue;
        SLM_TRY(slm_store_put_case(im->store, a->set, cases[i].id, cases[i].id, f.stored++,
                                   cases[i].json, err));
    }
    return SLM_OK;
}

static slm_status find_set(eval__import *im, answers *a, const json_t *list,
                           const next_rollout *order, slm_error *err)
{
    size_t count = 0;
    told_case *cases = tell_cases(a, list, order, &count);
    slm_status status = SLM_OK;
    if (im->cases) {
        memcpy(a->set, im->cases->sha256, sizeof a->set);
    } else if (cases) {
        status = put_told(im, a, cases, count, err);
    } else {
        a->system_text = NULL;
        slm_log_print(im->log, SLM_LOG_INFO,
                      "%s: does not tell conversation and criteria of every answer, so there are "
                      "no scores by axis; name the cases with --cases",
                      im->path);
    }
    free(cases);
    return status;
}

/* ---- the file ---- */

static slm_status put_answers(eval__import *im, const json_t *list, const slm_json_place *place,
                              const char *model, slm_error *err)
{
    answers a = {0};
    bool is_new = false;
    size_t count = json_array_size(list);
    next_rollout *order = calloc(count + 1, sizeof *order);
    if (!order) slm_out_of_memory(count);
    slm_status status = SLM_OK;
    SLM_TRY_OUT(sort_answers(list, place, order, err));
    SLM_TRY_OUT(find_set(im, &a, list, order, err));
    SLM_TRY_OUT(eval__import_put_run(im, model, a.system_text, *a.set ? a.set : NULL, a.run, err));
    SLM_TRY_OUT(slm_store_put_import(im->store, a.run, im->file_sha256, &is_new, err));
    if (!is_new) {
        slm_log_print(im->log, SLM_LOG_INFO, "%s: was imported before; nothing is added", im->path);
        goto out;
    }
    SLM_TRY_OUT(slm_store_sample_keys(im->store, a.run, eval__imported_judge, on_rollout, &a, err));
    number_answers(&a, order, count);
    for (size_t i = 0; i < count; i++) {
        slm_json_place at = {.parent = place, .index = order[i].order};
        if (im->cases && !eval__import_find(im, order[i].case_id)) {
            a.left_out++;
            continue;
        }
        SLM_TRY_OUT(put_answer(im, &a, json_array_get(list, order[i].order), &at, order[i].case_id,
                               order[i].next, err));
    }
    SLM_TRY_OUT(eval__import_left_out(im, count, a.left_out, err));
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

slm_status eval__import_simple(eval__import *im, const slm_buffer *text, slm_error *err)
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
