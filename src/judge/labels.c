/* labels.c: verdicts that somebody gave before, as material to measure a judge on.
 *
 * They come from four places: rows of answers with a verdict per criterion; answers to our own cases
 * with a verdict per behaviour (answers.c); HealthBench's
 * meta-evaluation, where several physicians label one criterion of one answer (data/); and the
 * gradings of a judge, such as a clinician, in a results database. All become answers with a rubric
 * of the labelled criteria, so that a judge grades them as it grades anything else, and finds in its
 * store what it graded before.
 *
 * Answers to one prompt are not independent: they share an index, and intervals are made by drawing
 * prompts (agreement.c). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "judge/judge_internal.h"

/* A set that grows. */
typedef struct builder {
    slm_labels *out;
    size_t cap;
} builder;

static slm_labelled *add_answer(builder *b)
{
    slm_labels *l = b->out;
    if (l->count == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 256;
        slm_labelled *items = slm_arena_array(&l->arena, b->cap, sizeof *items);
        if (l->count > 0) memcpy(items, l->items, l->count * sizeof *items);
        l->items = items;
    }
    l->items[l->count] = (slm_labelled){0};
    return &l->items[l->count++];
}

/* ---- what a set is, once it stands ---------------------------------------------------------- */

typedef struct keyed {
    char hex[SLM_SHA256_HEX_BYTES];
    size_t index;
} keyed;

static int compare_keyed(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = memcmp(x->hex, y->hex, sizeof x->hex);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void hash_prompt(const slm_case *c, char hex[SLM_SHA256_HEX_BYTES])
{
    slm_sha256 *hash = slm_sha256_new();
    for (size_t i = 0; i < c->turn_count; i++) {
        slm_sha256_update_part(hash, c->turns[i].role);
        slm_sha256_update_part(hash, c->turns[i].content);
    }
    slm_sha256_finish(hash, hex);
}

/* Which answers share a prompt, where each one's criteria begin, and the hash of it all. */
static void seal(slm_labels *l)
{
    keyed *prompts = calloc(l->count + 1, sizeof *prompts);
    if (prompts == NULL) slm_out_of_memory(l->count * sizeof *prompts);
    slm_sha256 *hash = slm_sha256_new();
    l->criteria = l->prompt_count = 0;
    for (size_t i = 0; i < l->count; i++) {
        slm_labelled *item = &l->items[i];
        hash_prompt(&item->c, prompts[i].hex);
        prompts[i].index = i;
        item->first = l->criteria;
        l->criteria += item->c.rubric_count;
        slm_sha256_update_part(hash, prompts[i].hex);
        slm_sha256_update_part(hash, item->reply);
        for (size_t r = 0; r < item->c.rubric_count; r++) {
            char text[96];
            snprintf(text, sizeof text, "%.17g %" PRIu32 " %" PRIu32, item->c.rubrics[r].points,
                     item->labels[r].met, item->labels[r].not_met);
            slm_sha256_update_part(hash, item->c.rubrics[r].criterion);
            slm_sha256_update_part(hash, text);
        }
    }
    slm_sha256_finish(hash, l->sha256);
    qsort(prompts, l->count, sizeof *prompts, compare_keyed);
    for (size_t i = 0; i < l->count; i++) {
        bool same = i > 0 && memcmp(prompts[i].hex, prompts[i - 1].hex, sizeof prompts->hex) == 0;
        l->prompt_count += !same;
        l->items[prompts[i].index].prompt = l->prompt_count - 1;
    }
    free(prompts);
}

void slm_labels_keep_half(slm_labels *labels, const char *half)
{
    size_t kept = 0;
    for (size_t i = 0; i < labels->count; i++)
        if (labels->items[i].half == NULL || strcmp(labels->items[i].half, half) == 0)
            labels->items[kept++] = labels->items[i];
    if (kept == labels->count) return;
    labels->count = kept;
    labels->name = slm_arena_printf(&labels->arena, "%s, %s half", labels->name, half);
    seal(labels);
}

void slm_labels_sample(slm_labels *labels, size_t n, uint64_t seed)
{
    if (n >= labels->criteria) return;
    static const uint64_t stream = 0x6c6162656c73; /* a stream of its own */
    size_t *order = calloc(labels->criteria, sizeof *order);
    bool *keep = calloc(labels->criteria, sizeof *keep);
    if (order == NULL || keep == NULL) slm_out_of_memory(labels->criteria * sizeof *order);
    for (size_t i = 0; i < labels->criteria; i++)
        order[i] = i;
    slm_random random = slm_random_new(seed, stream);
    slm_random_shuffle(&random, order, labels->criteria, sizeof *order);
    for (size_t i = 0; i < n; i++)
        keep[order[i]] = true;
    size_t answers = 0;
    for (size_t i = 0; i < labels->count; i++) {
        slm_labelled item = labels->items[i];
        size_t kept = 0;
        for (size_t r = 0; r < item.c.rubric_count; r++) {
            if (!keep[item.first + r]) continue;
            item.c.rubrics[kept] = item.c.rubrics[r];
            item.labels[kept++] = item.labels[r];
        }
        item.c.rubric_count = kept;
        if (kept > 0) labels->items[answers++] = item;
    }
    labels->count = answers;
    free(order);
    free(keep);
    seal(labels);
}

void slm_labels_free(slm_labels *labels)
{
    if (labels == NULL) return;
    slm_arena_free(&labels->arena);
    *labels = (slm_labels){0};
}

/* ---- rows of answers with verdicts ---------------------------------------------------------- */

static slm_status read_turns(slm_arena *arena, const json_t *row, const slm_json_place *place,
                             slm_case *c, slm_error *err)
{
    json_t *prompt = NULL;
    SLM_TRY(slm_json_array(row, "prompt", place, &prompt, err));
    slm_json_place array = {.parent = place, .key = "prompt"};
    c->turn_count = json_array_size(prompt);
    if (c->turn_count == 0) return slm_json_error(&array, err, "expected a message");
    c->turns = slm_arena_array(arena, c->turn_count, sizeof *c->turns);
    for (size_t i = 0; i < c->turn_count; i++) {
        slm_json_place at = {.parent = &array, .index = i};
        const json_t *message = json_array_get(prompt, i);
        const char *role = NULL, *content = NULL;
        if (!json_is_object(message)) return slm_json_error(&at, err, "expected an object");
        SLM_TRY(slm_json_string(message, "role", &at, &role, err));
        SLM_TRY(slm_json_string(message, "content", &at, &content, err));
        c->turns[i].role = slm_arena_strdup(arena, role);
        c->turns[i].content = slm_arena_strdup(arena, content);
    }
    return SLM_OK;
}

static slm_status read_tags(slm_arena *arena, const json_t *object, const char *key,
                            const slm_json_place *place, const char ***tags, size_t *count,
                            slm_error *err)
{
    json_t *array = NULL;
    SLM_TRY(slm_json_array_optional(object, key, place, &array, err));
    size_t n = array ? json_array_size(array) : 0;
    *tags = slm_arena_array(arena, n + 1, sizeof **tags);
    for (size_t i = 0; i < n; i++) {
        const char *tag = json_string_value(json_array_get(array, i));
        slm_json_place in = {.parent = place, .key = key};
        if (tag == NULL)
            return slm_json_error(&(slm_json_place){.parent = &in, .index = i}, err,
                                  "expected a string");
        (*tags)[(*count)++] = slm_arena_strdup(arena, tag);
    }
    return SLM_OK;
}

/* A criterion with its verdict; one whose criteria_met is null has no label and is left out. */
static slm_status read_criterion(slm_labels *l, const json_t *item, const slm_json_place *at,
                                 slm_labelled *out, slm_error *err)
{
    const char *criterion = NULL;
    double points = 0;
    if (!json_is_object(item)) return slm_json_error(at, err, "expected an object");
    SLM_TRY(slm_json_string(item, "criterion", at, &criterion, err));
    SLM_TRY(slm_json_number_optional(item, "points", at, &points, err));
    const json_t *met = json_object_get(item, "criteria_met");
    slm_json_place met_at = {.parent = at, .key = "criteria_met"};
    if (met == NULL)
        return slm_json_error(&met_at, err, "is missing: the label to measure against");
    if (json_is_null(met)) return SLM_OK;
    if (!json_is_boolean(met)) return slm_json_error(&met_at, err, "expected true or false");
    slm_rubric_item *r = &out->c.rubrics[out->c.rubric_count];
    *r = (slm_rubric_item){.criterion = slm_arena_strdup(&l->arena, criterion), .points = points};
    SLM_TRY(read_tags(&l->arena, item, "tags", at, &r->tags, &r->tag_count, err));
    out->labels[out->c.rubric_count] = (slm_label){
        .criterion = at->index, .met = json_is_true(met), .not_met = !json_is_true(met)};
    out->c.rubric_count++;
    return SLM_OK;
}

static slm_status read_row(builder *b, const char *path, const slm_cases *cases, const json_t *row,
                           size_t line, slm_error *err)
{
    slm_labels *l = b->out;
    slm_json_place place = {.name = path, .line = line};
    const char *response = NULL;
    json_t *rubrics = NULL;
    slm_labelled item = {.c = {.line = line, .file = l->name}};
    if (!json_is_object(row)) return slm_json_error(&place, err, "expected an object");
    if (json_object_get(row, "case") != NULL) {
        SLM_TRY(judge__read_answer(l, cases, row, &place, &item, err));
        if (item.c.rubric_count > 0) *add_answer(b) = item;
        return SLM_OK;
    }
    SLM_TRY(read_turns(&l->arena, row, &place, &item.c, err));
    SLM_TRY(slm_json_string(row, "response", &place, &response, err));
    SLM_TRY(slm_json_array(row, "rubrics", &place, &rubrics, err));
    SLM_TRY(
        read_tags(&l->arena, row, "example_tags", &place, &item.c.tags, &item.c.tag_count, err));
    item.reply = slm_arena_strdup(&l->arena, response);
    item.c.id = item.c.family = slm_arena_printf(&l->arena, "line %zu", line);
    size_t count = json_array_size(rubrics);
    item.c.rubrics = slm_arena_array(&l->arena, count + 1, sizeof *item.c.rubrics);
    item.labels = slm_arena_array(&l->arena, count + 1, sizeof *item.labels);
    slm_json_place array = {.parent = &place, .key = "rubrics"};
    for (size_t i = 0; i < count; i++) {
        slm_json_place at = {.parent = &array, .index = i};
        SLM_TRY(read_criterion(l, json_array_get(rubrics, i), &at, &item, err));
    }
    if (item.c.rubric_count > 0) *add_answer(b) = item;
    return SLM_OK;
}

/* ---- HealthBench's meta-evaluation ---------------------------------------------------------- */

static slm_status load_meta(builder *b, const char *path, slm_error *err)
{
    slm_labels *l = b->out;
    slm_meta_rows rows = {0};
    SLM_TRY(slm_meta_rows_load(path, 0, &rows, err));
    for (size_t i = 0; i < rows.count; i++) {
        const slm_meta_row *row = &rows.items[i];
        slm_labelled *item = add_answer(b);
        slm_case *c = &item->c;
        c->id = c->family = slm_arena_strdup(&l->arena, row->id);
        c->line = row->line;
        c->file = l->name;
        c->turn_count = row->turn_count;
        c->turns = slm_arena_array(&l->arena, row->turn_count, sizeof *c->turns);
        for (size_t t = 0; t < row->turn_count; t++) {
            c->turns[t].role = slm_arena_strdup(&l->arena, row->turns[t].role);
            c->turns[t].content = slm_arena_strdup(&l->arena, row->turns[t].content);
        }
        item->reply = slm_arena_strdup(&l->arena, row->completion);
        c->rubric_count = 1;
        c->rubrics = slm_arena_array(&l->arena, 1, sizeof *c->rubrics);
        c->rubrics->criterion = slm_arena_strdup(&l->arena, row->rubric);
        c->rubrics->tags = slm_arena_array(&l->arena, 1, sizeof *c->rubrics->tags);
        if (row->category != NULL)
            c->rubrics->tags[c->rubrics->tag_count++] = slm_arena_printf(
                &l->arena, "%s%s", strchr(row->category, ':') ? "" : "cluster:", row->category);
        item->labels = slm_arena_array(&l->arena, 1, sizeof *item->labels);
        for (size_t p = 0; p < row->label_count; p++) {
            item->labels->met += row->labels[p];
            item->labels->not_met += !row->labels[p];
        }
    }
    slm_meta_rows_free(&rows);
    return SLM_OK;
}

/* ---- tags from elsewhere -------------------------------------------------------------------- */

static const slm_rubric_item *same_criterion(const slm_case *c, const char *criterion)
{
    for (size_t i = 0; i < c->rubric_count; i++)
        if (strcmp(c->rubrics[i].criterion, criterion) == 0) return &c->rubrics[i];
    return NULL;
}

/* Both lists, without doubles. */
static void add_tags(slm_arena *arena, const char ***tags, size_t *count, const char *const *more,
                     size_t more_count)
{
    const char **all = slm_arena_array(arena, *count + more_count + 1, sizeof *all);
    size_t n = *count;
    if (n > 0) memcpy(all, *tags, n * sizeof *all);
    for (size_t i = 0; i < more_count; i++) {
        bool is_there = false;
        for (size_t k = 0; k < n; k++)
            is_there |= strcmp(all[k], more[i]) == 0;
        if (!is_there) all[n++] = slm_arena_strdup(arena, more[i]);
    }
    *tags = all;
    *count = n;
}

static void take_tags(slm_labels *l, const slm_cases *from)
{
    keyed *cases = calloc(from->count + 1, sizeof *cases);
    if (cases == NULL) slm_out_of_memory(from->count * sizeof *cases);
    for (size_t i = 0; i < from->count; i++) {
        hash_prompt(&from->items[i], cases[i].hex);
        cases[i].index = i;
    }
    qsort(cases, from->count, sizeof *cases, compare_keyed);
    for (size_t i = 0; i < l->count; i++) {
        slm_case *c = &l->items[i].c;
        char hex[SLM_SHA256_HEX_BYTES];
        hash_prompt(c, hex);
        size_t low = 0, high = from->count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (memcmp(cases[middle].hex, hex, sizeof hex) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == from->count || memcmp(cases[low].hex, hex, sizeof hex) != 0) continue;
        const slm_case *same = &from->items[cases[low].index];
        add_tags(&l->arena, &c->tags, &c->tag_count, same->tags, same->tag_count);
        for (size_t r = 0; r < c->rubric_count; r++) {
            const slm_rubric_item *item = same_criterion(same, c->rubrics[r].criterion);
            if (item != NULL)
                add_tags(&l->arena, &c->rubrics[r].tags, &c->rubrics[r].tag_count, item->tags,
                         item->tag_count);
        }
    }
    free(cases);
}

/* ---- reading -------------------------------------------------------------------------------- */

slm_status slm_labels_load(const char *path, const slm_cases *cases, slm_labels *out,
                           slm_error *err)
{
    *out = (slm_labels){0};
    builder b = {.out = out};
    slm_jsonl *reader = NULL;
    slm_status status = SLM_OK;
    out->name = slm_arena_strdup(&out->arena, slm_file_basename(path));
    SLM_TRY_OUT(slm_jsonl_open(path, &reader, err));
    for (bool first = true;; first = false) {
        json_t *row = NULL;
        size_t line = 0;
        SLM_TRY_OUT(slm_jsonl_next(reader, &row, &line, err));
        if (row == NULL) break;
        bool is_meta = json_object_get(row, "binary_labels") != NULL;
        if (first && is_meta) {
            json_decref(row);
            status = load_meta(&b, path, err);
            break;
        }
        status = read_row(&b, path, cases, row, line, err);
        json_decref(row);
        if (status != SLM_OK) break;
    }
    if (status == SLM_OK && out->count == 0)
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "%s: has no label; a row is {\"prompt\", \"response\", "
                               "\"rubrics\": [{\"criterion\", \"points\", \"criteria_met\"}]}, "
                               "{\"case\", \"reply\", \"seek\", \"safe\", \"precise\"}, or one "
                               "of HealthBench's meta-evaluation",
                               path);
out:
    slm_jsonl_close(reader);
    if (status != SLM_OK) {
        slm_labels_free(out);
        return status;
    }
    if (cases != NULL) take_tags(out, cases);
    seal(out);
    return SLM_OK;
}

/* ---- gradings in a database ----------------------------------------------------------------- */

typedef struct grading_reader {
    builder b;
    const judge__stored *stored;
    const judge__stored_run *run;
} grading_reader;

static bool on_grading(void *context, const slm_stored_grading *grading)
{
    grading_reader *r = context;
    slm_labels *l = r->b.out;
    const slm_case *c = judge__stored_find(r->stored, r->run->set, grading->case_id);
    if (c == NULL || grading->grade_count == 0) return true;
    slm_labelled item = {.c = *c, .run = r->run->hash, .rollout = grading->rollout};
    item.c.rubrics = slm_arena_array(&l->arena, grading->grade_count, sizeof *item.c.rubrics);
    item.labels = slm_arena_array(&l->arena, grading->grade_count, sizeof *item.labels);
    item.c.rubric_count = 0;
    for (size_t i = 0; i < grading->grade_count; i++) {
        const slm_stored_grade *grade = &grading->grades[i];
        if (grade->met < 0 || grade->criterion < 0 || (size_t)grade->criterion >= c->rubric_count)
            continue;
        item.c.rubrics[item.c.rubric_count] = c->rubrics[grade->criterion];
        item.labels[item.c.rubric_count++] = (slm_label){.criterion = (size_t)grade->criterion,
                                                         .met = grade->met == 1,
                                                         .not_met = grade->met == 0};
    }
    if (item.c.rubric_count > 0) *add_answer(&r->b) = item;
    return true;
}

slm_status slm_labels_from_store(slm_store *store, const char *judge, slm_labels *out,
                                 slm_error *err)
{
    char hash[SLM_SHA256_HEX_BYTES];
    slm_buffer name = {0};
    judge__stored stored;
    *out = (slm_labels){0};
    grading_reader reader = {.b = {.out = out}, .stored = &stored};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(judge__stored_judge(store, judge, hash, &name, err));
    out->name = slm_arena_strdup(&out->arena, slm_buffer_text(&name));
    SLM_TRY_OUT(judge__stored_load(store, &out->arena, &stored, err));
    for (size_t i = 0; i < stored.run_count; i++) {
        reader.run = &stored.runs[i];
        SLM_TRY_OUT(slm_store_gradings(store, reader.run->hash, hash, on_grading, &reader, err));
    }
    if (out->count == 0)
        SLM_TRY_OUT(slm_error_set(err, SLM_ERR_NOT_FOUND,
                                  "judge %s has graded no criterion of an answer that is in the "
                                  "database",
                                  out->name));
    for (size_t i = 0; i < out->count; i++) {
        slm_sample sample;
        slm_labelled *item = &out->items[i];
        SLM_TRY_OUT(slm_store_get_sample(store, item->run, item->c.id, item->rollout, &out->arena,
                                         &sample, err));
        item->reply = sample.reply;
    }
    seal(out);
out:
    slm_buffer_free(&name);
    if (status != SLM_OK) slm_labels_free(out);
    return status;
}

/* ---- what another judge said of the same ---------------------------------------------------- */

typedef struct verdict_reader {
    const slm_labels *labels;
    const slm_labelled **items; /* of one run, sorted by case and rollout */
    size_t count;
    slm_verdict *verdicts;
} verdict_reader;

static int compare_labelled(const void *a, const void *b)
{
    const slm_labelled *x = *(const slm_labelled *const *)a, *y = *(const slm_labelled *const *)b;
    int order = strcmp(x->c.id, y->c.id);
    return order ? order : (x->rollout > y->rollout) - (x->rollout < y->rollout);
}

static bool on_other_grading(void *context, const slm_stored_grading *grading)
{
    verdict_reader *r = context;
    slm_labelled wanted = {.c = {.id = grading->case_id}, .rollout = grading->rollout};
    const slm_labelled *key = &wanted;
    const slm_labelled **found =
        bsearch(&key, r->items, r->count, sizeof(const slm_labelled *), compare_labelled);
    if (found == NULL) return true;
    const slm_labelled *item = *found;
    for (size_t i = 0; i < grading->grade_count; i++) {
        const slm_stored_grade *grade = &grading->grades[i];
        for (size_t c = 0; c < item->c.rubric_count; c++) {
            if (item->labels[c].criterion != (size_t)grade->criterion) continue;
            r->verdicts[item->first + c] = grade->met == 1   ? SLM_VERDICT_MET
                                           : grade->met == 0 ? SLM_VERDICT_NOT_MET
                                                             : SLM_VERDICT_UNSCORED;
        }
    }
    return true;
}

slm_status slm_labels_stored_verdicts(const slm_labels *labels, slm_store *store, const char *judge,
                                      char hash[65], slm_verdict *verdicts, slm_error *err)
{
    SLM_TRY(judge__stored_judge(store, judge, hash, NULL, err));
    verdict_reader reader = {.labels = labels, .verdicts = verdicts};
    for (size_t i = 0; i < labels->criteria; i++)
        verdicts[i] = SLM_VERDICT_NOT_COVERED;
    reader.items = calloc(labels->count + 1, sizeof(const slm_labelled *));
    if (reader.items == NULL) slm_out_of_memory(labels->count);
    slm_status status = SLM_OK;
    /* Labels from a database stand run by run. */
    for (size_t begin = 0, end; begin < labels->count && status == SLM_OK; begin = end) {
        const char *run = labels->items[begin].run;
        for (end = begin; end < labels->count && labels->items[end].run == run; end++)
            reader.items[end - begin] = &labels->items[end];
        reader.count = end - begin;
        if (run == NULL) continue;
        qsort(reader.items, reader.count, sizeof(const slm_labelled *), compare_labelled);
        status = slm_store_gradings(store, run, hash, on_other_grading, &reader, err);
    }
    free(reader.items);
    return status;
}
