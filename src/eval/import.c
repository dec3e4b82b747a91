/* import.c: scores that others measured, into the database, so that they stand in the same tables.
 *
 * Two formats, told apart by the first character: simple-evals' `_allresults.json` (import_simple.c),
 * and CSV with the columns model, case, rollout, score. Scores of known cases (--cases) belong to
 * that set; of other cases a CSV tells nothing but the id.
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

const char eval__imported_judge[] = "imported";

slm_status eval__import_put_run(eval__import *im, const char *model, const char *system_text,
                                const char *cases_sha256, char hash[65], slm_error *err)
{
    slm_buffer identity = {0};
    slm_buffer_printf(&identity, "imported:%s", model);
    slm_run run = {.hash = hash,
                   .model_name = model,
                   .model_identity = slm_buffer_text(&identity),
                   .system_text = system_text,
                   .cases_sha256 = cases_sha256,
                   .kind = "imported"};
    slm_run_hash(&run, hash);
    slm_status status = slm_store_put_run(im->store, &run, err);
    slm_buffer_free(&identity);
    return status;
}

slm_status eval__import_put(eval__import *im, slm_sample *sample, slm_stored_grading *grading,
                            slm_error *err)
{
    bool inserted = false;
    sample->prompt_tokens = sample->prompt_tokens > 0 ? sample->prompt_tokens : -1;
    sample->reply_tokens = sample->reply_tokens > 0 ? sample->reply_tokens : -1;
    grading->run = sample->run;
    grading->case_id = sample->case_id;
    grading->rollout = sample->rollout;
    grading->judge_hash = eval__imported_judge;
    grading->status = grading->has_score ? "scored" : "unscored";
    SLM_TRY(slm_store_put_sample(im->store, sample, &inserted, err));
    im->added += inserted;
    return slm_store_put_grading(im->store, grading, err);
}

static int compare_case_ids(const void *a, const void *b)
{
    return strcmp((*(const slm_case *const *)a)->id, (*(const slm_case *const *)b)->id);
}

static int compare_case_id(const void *key, const void *item)
{
    return strcmp(key, (*(const slm_case *const *)item)->id);
}

const slm_case *eval__import_find(const eval__import *im, const char *case_id)
{
    const slm_case *const *found =
        im->cases && im->cases->count
            ? bsearch(case_id, im->by_id, im->cases->count, sizeof *im->by_id, compare_case_id)
            : NULL;
    return found ? *found : NULL;
}

/* The set of --cases into the database. */
static slm_status put_cases(eval__import *im, slm_error *err)
{
    if (!im->cases) return SLM_OK;
    im->by_id = calloc(im->cases->count + 1, sizeof *im->by_id);
    if (!im->by_id) slm_out_of_memory(im->cases->count);
    for (size_t i = 0; i < im->cases->count; i++) {
        const slm_case *c = &im->cases->items[i];
        im->by_id[i] = c;
        SLM_TRY(
            slm_store_put_case(im->store, im->cases->sha256, c->id, c->family, i, c->json, err));
    }
    qsort(im->by_id, im->cases->count, sizeof *im->by_id, compare_case_ids);
    return SLM_OK;
}

slm_status eval__import_left_out(const eval__import *im, size_t all, size_t left_out,
                                 slm_error *err)
{
    if (left_out == 0) return SLM_OK;
    if (left_out == all)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: none of its %zu scores is of a case in --cases; are these the "
                             "cases that were evaluated?",
                             im->path, all);
    slm_log_print(im->log, SLM_LOG_WARNING,
                  "%s: %zu of %zu scores are of cases that are not in --cases, and left out",
                  im->path, left_out, all);
    return SLM_OK;
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

static slm_status read_header(eval__import *im, csv_table *t, slm_error *err)
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

static slm_status read_csv_row(eval__import *im, csv_table *t, csv_row *out, slm_error *err)
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

static slm_status read_csv(eval__import *im, csv_table *t, slm_error *err)
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

static slm_status put_model(eval__import *im, const csv_row *rows, size_t count, slm_error *err)
{
    char hash[65];
    stored_score stored = {.rows = rows, .count = count};
    SLM_TRY(eval__import_put_run(im, im->name ? im->name : rows->model, NULL,
                                 im->cases ? im->cases->sha256 : NULL, hash, err));
    SLM_TRY(slm_store_gradings(im->store, hash, eval__imported_judge, on_stored, &stored, err));
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
                             .finish = "unknown",
                             .reasoning_tokens = -1,
                             .cached_tokens = -1};
        /* Without the rubric all that is known of an unscored answer is that it lies in [0, 1]. */
        slm_stored_grading grading = {.has_score = rows[i].has_score,
                                      .score = rows[i].score,
                                      .low = rows[i].has_score ? rows[i].score : 0,
                                      .high = rows[i].has_score ? rows[i].score : 1};
        SLM_TRY(eval__import_put(im, &sample, &grading, err));
    }
    return SLM_OK;
}

static slm_status import_csv(eval__import *im, const slm_buffer *text, slm_error *err)
{
    csv_table t = {.csv = {.name = im->path, .text = text->data, .len = text->len}};
    slm_status status = SLM_OK;
    size_t models = 0, all;
    if (text->len >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0) t.csv.at = 3;
    SLM_TRY_OUT(read_csv(im, &t, err));
    all = t.count;
    t.count = 0;
    for (size_t i = 0; i < all; i++) {
        if (!im->cases || eval__import_find(im, t.rows[i].case_id)) t.rows[t.count++] = t.rows[i];
    }
    SLM_TRY_OUT(eval__import_left_out(im, all, all - t.count, err));
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

slm_status slm_eval_import(slm_store *store, const char *path, const char *name,
                           const slm_cases *cases, slm_log *log, slm_error *err)
{
    eval__import im = {.store = store, .log = log, .path = path, .cases = cases};
    slm_buffer text = {0};
    slm_status status = SLM_OK;
    if (name && *name) im.name = name;
    SLM_TRY_OUT(slm_file_read(path, 0, &text, err));
    slm_sha256_hex(slm_buffer_text(&text), text.len, im.file_sha256);
    SLM_TRY_OUT(slm_store_begin(store, err));
    SLM_TRY_OUT(slm_store_put_judge(store, eval__imported_judge, "imported", err));
    SLM_TRY_OUT(put_cases(&im, err));
    size_t at = text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < text.len && strchr(" \t\r\n", text.data[at]) && text.data[at])
        at++;
    bool is_json = at < text.len && (text.data[at] == '{' || text.data[at] == '[');
    SLM_TRY_OUT(is_json ? eval__import_simple(&im, &text, err) : import_csv(&im, &text, err));
    status = slm_store_commit(store, err);
out:
    if (status != SLM_OK) slm_store_rollback(store);
    free(im.by_id);
    slm_buffer_free(&text);
    return status;
}
