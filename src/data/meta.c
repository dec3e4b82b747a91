/* meta.c: HealthBench's meta-evaluation rows: how physicians graded answers, criterion by criterion.
 *
 * The fields are those of simple-evals' healthbench_meta_eval.py: prompt (messages), completion (the
 * answer's text), rubric (the criterion as the grader sees it), category, binary_labels and
 * anonymized_physician_ids, which stand side by side. prompt_id and completion_id may be there. */
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "data/data_internal.h"

typedef struct reader {
    slm_arena *arena;
    const char *path;
    slm_error *err;
} reader;

static slm_status read_turns(const reader *r, const json_t *row, const slm_json_place *root,
                             slm_meta_row *out)
{
    json_t *array = NULL;
    SLM_TRY(slm_json_array(row, "prompt", root, &array, r->err));
    slm_json_place place = {.parent = root, .key = "prompt"};
    out->turn_count = json_array_size(array);
    if (out->turn_count == 0) return slm_json_error(&place, r->err, "is empty");
    out->turns = slm_arena_array(r->arena, out->turn_count, sizeof *out->turns);
    for (size_t i = 0; i < out->turn_count; i++) {
        const json_t *turn = json_array_get(array, i);
        slm_json_place at = {.parent = &place, .index = i};
        const char *role = NULL, *content = NULL;
        if (!json_is_object(turn)) return slm_json_error(&at, r->err, "expected an object");
        SLM_TRY(slm_json_string(turn, "role", &at, &role, r->err));
        SLM_TRY(slm_json_string(turn, "content", &at, &content, r->err));
        out->turns[i] = (slm_turn){.role = slm_arena_strdup(r->arena, role),
                                   .content = slm_arena_strdup(r->arena, content)};
    }
    return SLM_OK;
}

static slm_status read_labels(const reader *r, const json_t *row, const slm_json_place *root,
                              slm_meta_row *out)
{
    json_t *labels = NULL, *physicians = NULL;
    slm_json_place place = {.parent = root, .key = "binary_labels"};
    slm_json_place beside = {.parent = root, .key = "anonymized_physician_ids"};
    SLM_TRY(slm_json_array(row, "binary_labels", root, &labels, r->err));
    SLM_TRY(slm_json_array(row, "anonymized_physician_ids", root, &physicians, r->err));
    size_t n = json_array_size(labels);
    if (n == 0) return slm_json_error(&place, r->err, "is empty; a row has at least one label");
    if (json_array_size(physicians) != n)
        return slm_json_error(&beside, r->err, "has %zu items beside %zu binary_labels",
                              json_array_size(physicians), n);
    bool *values = slm_arena_array(r->arena, n, sizeof *values);
    out->physicians = slm_arena_array(r->arena, n, sizeof *out->physicians);
    for (size_t i = 0; i < n; i++) {
        const json_t *label = json_array_get(labels, i);
        const char *physician = json_string_value(json_array_get(physicians, i));
        slm_json_place at = {.parent = &place, .index = i};
        slm_json_place id_at = {.parent = &beside, .index = i};
        if (!json_is_boolean(label)) return slm_json_error(&at, r->err, "expected true or false");
        if (physician == NULL) return slm_json_error(&id_at, r->err, "expected a string");
        values[i] = json_is_true(label);
        out->physicians[i] = slm_arena_strdup(r->arena, physician);
    }
    out->labels = values;
    out->label_count = n;
    return SLM_OK;
}

static slm_status read_row(const reader *r, const json_t *row, size_t line, slm_meta_row *out)
{
    slm_json_place root = {.name = r->path, .line = line};
    const char *completion = NULL, *rubric = NULL, *category = NULL, *id = NULL;
    *out = (slm_meta_row){.line = line};
    if (json_object_get(row, "rubrics") && !json_object_get(row, "binary_labels"))
        return slm_json_error(&root, r->err,
                              "is a HealthBench case, not a meta-evaluation row (those have "
                              "binary_labels); evaluate cases with slm eval");
    SLM_TRY(read_turns(r, row, &root, out));
    SLM_TRY(slm_json_string(row, "completion", &root, &completion, r->err));
    SLM_TRY(slm_json_string(row, "rubric", &root, &rubric, r->err));
    SLM_TRY(slm_json_string(row, "category", &root, &category, r->err));
    SLM_TRY(read_labels(r, row, &root, out));
    SLM_TRY(slm_json_string_optional(row, "prompt_id", &root, &id, r->err));
    SLM_TRY(slm_json_string_optional(row, "completion_id", &root, &id, r->err));
    out->id = id != NULL ? slm_arena_strdup(r->arena, id)
                         : slm_arena_printf(r->arena, "%s:%zu", r->path, line);
    out->completion = slm_arena_strdup(r->arena, completion);
    out->rubric = slm_arena_strdup(r->arena, rubric);
    out->category = slm_arena_strdup(r->arena, category);
    return SLM_OK;
}

slm_status slm_meta_rows_load(const char *path, size_t limit, slm_meta_rows *out, slm_error *err)
{
    slm_meta_rows rows = {0};
    slm_meta_row *items = NULL;
    size_t cap = 0;
    slm_jsonl *file = NULL;
    json_t *row = NULL;
    slm_buffer canonical = {0};
    slm_sha256 *hash = slm_sha256_new();
    reader r = {.arena = &rows.arena, .path = path, .err = err};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(slm_jsonl_open(path, &file, err));
    while (limit == 0 || rows.count < limit) {
        size_t line = 0;
        SLM_TRY_OUT(slm_jsonl_next(file, &row, &line, err));
        if (row == NULL) break;
        if (rows.count == cap) {
            cap = cap == 0 ? 256 : 2 * cap;
            items = realloc(items, cap * sizeof *items);
            if (items == NULL) slm_out_of_memory(cap * sizeof *items);
        }
        SLM_TRY_OUT(read_row(&r, row, line, &items[rows.count]));
        rows.count++;
        slm_buffer_truncate(&canonical, 0);
        slm_json_append_canonical(&canonical, row);
        slm_sha256_update_part(hash, slm_buffer_text(&canonical));
        json_decref(row);
        row = NULL;
    }
    if (rows.count == 0) {
        status = slm_error_set(err, SLM_ERR_FORMAT, "%s: has no rows", path);
        goto out;
    }
    rows.items = slm_arena_array(&rows.arena, rows.count, sizeof *rows.items);
    memcpy(rows.items, items, rows.count * sizeof *rows.items);
out:
    slm_sha256_finish(hash, rows.sha256);
    json_decref(row);
    slm_jsonl_close(file);
    slm_buffer_free(&canonical);
    free(items);
    if (status == SLM_OK)
        *out = rows;
    else
        slm_meta_rows_free(&rows);
    return status;
}

void slm_meta_rows_free(slm_meta_rows *rows)
{
    if (rows == NULL) return;
    slm_arena_free(&rows->arena);
    *rows = (slm_meta_rows){0};
}
