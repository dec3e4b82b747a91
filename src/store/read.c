/* read.c: getting rows out of the results database, in key order.
 *
 * Every reader is one forward pass over an index that is the table itself, so a database of a
 * million grades is read without sorting and without holding it. Gradings and their grades are two
 * such passes that advance together (a merge join on their common key). */
#include "store/store_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"

static const char *column_text(sqlite3_stmt *statement, int at)
{
    return (const char *)sqlite3_column_text(statement, at);
}

/* NULL is -1: not told. */
static int64_t column_count(sqlite3_stmt *statement, int at)
{
    return sqlite3_column_type(statement, at) == SQLITE_NULL ? -1
                                                             : sqlite3_column_int64(statement, at);
}

/* `sql` with a WHERE of those filters that are not NULL, and `order`. */
static slm_status prepare(slm_store *store, const char *sql, const char *const *columns,
                          const char *const *values, size_t count, const char *order,
                          sqlite3_stmt **out, slm_error *err)
{
    slm_buffer text = {0};
    int bound = 0;
    slm_buffer_append_text(&text, sql);
    for (size_t i = 0; i < count; i++) {
        if (!values[i]) continue;
        slm_buffer_printf(&text, "%s %s = ?%d", bound ? " AND" : " WHERE", columns[i], bound + 1);
        bound++;
    }
    slm_buffer_printf(&text, " ORDER BY %s", order);
    int code = sqlite3_prepare_v2(store->db, slm_buffer_text(&text), -1, out, NULL);
    slm_buffer_free(&text);
    if (code != SQLITE_OK) return store__error(store, "read it", err);
    bound = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[i]) store__bind_text(*out, ++bound, values[i]);
    }
    return SLM_OK;
}

/* Steps; *row false at the end. */
static slm_status next_row(slm_store *store, sqlite3_stmt *statement, bool *row, slm_error *err)
{
    int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? SLM_OK : store__error(store, "read it", err);
}

/* Whatever a caller wants its rows given to. */
typedef union callback {
    slm_store_run_fn *run;
    slm_store_judge_fn *judge;
    slm_store_coverage_fn *coverage;
    slm_store_import_fn *import_row;
    slm_store_agreement_fn *agreement;
    slm_store_case_set_fn *case_set;
    slm_store_case_fn *one_case;
    slm_store_sample_fn *sample;
    slm_store_sample_facts_fn *facts;
    slm_store_key_fn *key;
} callback;

/* Calls give(statement, fn, context) for every row until it returns false. */
typedef bool give_fn(sqlite3_stmt *statement, callback fn, void *context);
static slm_status read_rows(slm_store *store, const char *sql, const char *const *columns,
                            const char *const *values, size_t count, const char *order,
                            give_fn *give, callback fn, void *context, slm_error *err)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    slm_status status = prepare(store, sql, columns, values, count, order, &statement, err);
    while (status == SLM_OK) {
        status = next_row(store, statement, &row, err);
        if (status != SLM_OK || !row || !give(statement, fn, context)) break;
    }
    sqlite3_finalize(statement);
    return status;
}

static bool give_run(sqlite3_stmt *s, callback fn, void *context)
{
    slm_run run = {
        .hash = column_text(s, 0),
        .model_name = column_text(s, 1),
        .model_identity = column_text(s, 2),
        .kind = column_text(s, 3),
        .system_text = column_text(s, 4),
        .sampling_json = column_text(s, 5),
        .cases_sha256 = column_text(s, 6),
        .seed = sqlite3_column_int64(s, 7),
        .details_json = column_text(s, 8),
    };
    return fn.run(context, &run);
}

slm_status slm_store_runs(slm_store *store, slm_store_run_fn *fn, void *context, slm_error *err)
{
    return read_rows(store,
                     "SELECT hash, model_name, model_identity, kind, system_text, sampling_json, "
                     "cases_sha256, seed, details_json FROM runs",
                     NULL, NULL, 0, "hash", give_run, (callback){.run = fn}, context, err);
}

static bool give_judge(sqlite3_stmt *s, callback fn, void *context)
{
    return fn.judge(context, column_text(s, 0), column_text(s, 1));
}

slm_status slm_store_judges(slm_store *store, slm_store_judge_fn *fn, void *context, slm_error *err)
{
    return read_rows(store, "SELECT hash, name FROM judges", NULL, NULL, 0, "hash", give_judge,
                     (callback){.judge = fn}, context, err);
}

static bool give_coverage(sqlite3_stmt *s, callback fn, void *context)
{
    return fn.coverage(context, column_text(s, 0), column_text(s, 1), column_text(s, 2));
}

slm_status slm_store_coverages(slm_store *store, slm_store_coverage_fn *fn, void *context,
                               slm_error *err)
{
    return read_rows(store, "SELECT judge, cases_sha256, coverage_json FROM coverages", NULL, NULL,
                     0, "judge, cases_sha256", give_coverage, (callback){.coverage = fn}, context,
                     err);
}

static bool give_import(sqlite3_stmt *s, callback fn, void *context)
{
    return fn.import_row(context, column_text(s, 0), column_text(s, 1));
}

slm_status slm_store_imports(slm_store *store, slm_store_import_fn *fn, void *context,
                             slm_error *err)
{
    return read_rows(store, "SELECT run, file_sha256 FROM imports", NULL, NULL, 0,
                     "run, file_sha256", give_import, (callback){.import_row = fn}, context, err);
}

static bool give_agreement(sqlite3_stmt *s, callback fn, void *context)
{
    return fn.agreement(context, column_text(s, 0), column_text(s, 1), column_text(s, 2),
                        column_text(s, 3));
}

slm_status slm_store_agreements(slm_store *store, slm_store_agreement_fn *fn, void *context,
                                slm_error *err)
{
    if (store->schema < 2) return SLM_OK; /* an older file that no writer has opened since */
    return read_rows(store, "SELECT judge, labels, name, json FROM agreements", NULL, NULL, 0,
                     "judge, labels", give_agreement, (callback){.agreement = fn}, context, err);
}

static bool give_case_set(sqlite3_stmt *s, callback fn, void *context)
{
    return fn.case_set(context, column_text(s, 0));
}

slm_status slm_store_case_sets(slm_store *store, slm_store_case_set_fn *fn, void *context,
                               slm_error *err)
{
    return read_rows(store, "SELECT DISTINCT cases_sha256 FROM cases", NULL, NULL, 0,
                     "cases_sha256", give_case_set, (callback){.case_set = fn}, context, err);
}

static bool give_case(sqlite3_stmt *s, callback fn, void *context)
{
    return fn.one_case(context, column_text(s, 0), column_text(s, 1),
                       (size_t)sqlite3_column_int64(s, 2), column_text(s, 3));
}

slm_status slm_store_cases(slm_store *store, const char *cases_sha256, slm_store_case_fn *fn,
                           void *context, slm_error *err)
{
    return read_rows(store, "SELECT case_id, family, position, json FROM cases",
                     (const char *const[]){"cases_sha256"}, (const char *const[]){cases_sha256}, 1,
                     "cases_sha256, case_id", give_case, (callback){.one_case = fn}, context, err);
}

/* The columns that both readers of samples begin with. */
#define SAMPLE_COLUMNS                                                                             \
    "run, case_id, rollout, finish, prompt_tokens, reply_tokens, reasoning_tokens, "               \
    "cached_tokens, time_s"
#define SAMPLE_TABLES " FROM samples LEFT JOIN timings USING(run, case_id, rollout)"

static slm_sample sample_of(sqlite3_stmt *s)
{
    return (slm_sample){
        .run = column_text(s, 0),
        .case_id = column_text(s, 1),
        .rollout = sqlite3_column_int64(s, 2),
        .finish = column_text(s, 3),
        .prompt_tokens = column_count(s, 4),
        .reply_tokens = column_count(s, 5),
        .reasoning_tokens = column_count(s, 6),
        .cached_tokens = column_count(s, 7),
        .time_s = sqlite3_column_double(s, 8),
    };
}

static bool give_sample(sqlite3_stmt *s, callback fn, void *context)
{
    slm_sample sample = sample_of(s);
    sample.reply = column_text(s, 9);
    sample.transcript_json = column_text(s, 10);
    return fn.sample(context, &sample);
}

slm_status slm_store_samples(slm_store *store, const char *run, slm_store_sample_fn *fn,
                             void *context, slm_error *err)
{
    return read_rows(store, "SELECT " SAMPLE_COLUMNS ", reply, transcript_json" SAMPLE_TABLES,
                     (const char *const[]){"run"}, (const char *const[]){run}, 1,
                     "run, case_id, rollout", give_sample, (callback){.sample = fn}, context, err);
}

static bool give_facts(sqlite3_stmt *s, callback fn, void *context)
{
    slm_sample sample = sample_of(s);
    sample.reply = column_text(s, 10);
    return fn.facts(context, &sample, sqlite3_column_int(s, 9) != 0);
}

slm_status slm_store_sample_facts(slm_store *store, const char *run, slm_store_sample_facts_fn *fn,
                                  void *context, slm_error *err)
{
    return read_rows(store,
                     "SELECT " SAMPLE_COLUMNS
                     ", trim(reply, char(9, 10, 11, 12, 13, 32)) = '', reply" SAMPLE_TABLES,
                     (const char *const[]){"run"}, (const char *const[]){run}, 1,
                     "run, case_id, rollout", give_facts, (callback){.facts = fn}, context, err);
}

static bool give_key(sqlite3_stmt *s, callback fn, void *context)
{
    return fn.key(context, column_text(s, 0), sqlite3_column_int64(s, 1),
                  sqlite3_column_int(s, 2) != 0);
}

slm_status slm_store_sample_keys(slm_store *store, const char *run, const char *judge_hash,
                                 slm_store_key_fn *fn, void *context, slm_error *err)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    slm_status status = SLM_OK;
    if (sqlite3_prepare_v2(store->db,
                           "SELECT s.case_id, s.rollout, g.score IS NOT NULL FROM samples s "
                           "LEFT JOIN gradings g ON g.run = s.run AND g.judge = ?2 AND "
                           "g.case_id = s.case_id AND g.rollout = s.rollout "
                           "WHERE s.run = ?1 ORDER BY s.run, s.case_id, s.rollout",
                           -1, &statement, NULL) != SQLITE_OK)
        return store__error(store, "read it", err);
    store__bind_text(statement, 1, run);
    store__bind_text(statement, 2, judge_hash);
    do {
        status = next_row(store, statement, &row, err);
    } while (status == SLM_OK && row && give_key(statement, (callback){.key = fn}, context));
    sqlite3_finalize(statement);
    return status;
}

/* The grades of one grading, copied out of the statement, which moves on. */
typedef struct grade_rows {
    sqlite3_stmt *statement;
    bool row; /* the statement stands on a row that is not taken yet */
    slm_stored_grade *grades;
    size_t *explanations; /* offset + 1 in text; 0: NULL */
    size_t count, cap;
    slm_buffer text;
} grade_rows;

/* run, judge, case_id, rollout: columns 0 to 3 of both statements. */
static int compare_keys(sqlite3_stmt *a, sqlite3_stmt *b)
{
    for (int i = 0; i < 3; i++) {
        int order = strcmp(column_text(a, i), column_text(b, i));
        if (order) return order;
    }
    int64_t x = sqlite3_column_int64(a, 3), y = sqlite3_column_int64(b, 3);
    return (x > y) - (x < y);
}

static void take_grade(grade_rows *rows)
{
    if (rows->count == rows->cap) {
        rows->cap = rows->cap ? rows->cap * 2 : 32;
        rows->grades = realloc(rows->grades, rows->cap * sizeof *rows->grades);
        rows->explanations = realloc(rows->explanations, rows->cap * sizeof *rows->explanations);
        if (!rows->grades || !rows->explanations) slm_out_of_memory(rows->cap);
    }
    sqlite3_stmt *s = rows->statement;
    const char *explanation = column_text(s, 8);
    rows->explanations[rows->count] = explanation ? rows->text.len + 1 : 0;
    if (explanation) slm_buffer_append(&rows->text, explanation, strlen(explanation) + 1);
    rows->grades[rows->count++] = (slm_stored_grade){
        .criterion = sqlite3_column_int64(s, 4),
        .met = (int)column_count(s, 5),
        .prompt_tokens = column_count(s, 6),
        .reply_tokens = column_count(s, 7),
    };
}

/* Collect the grades whose key is that of the grading's row. */
static slm_status take_grades(slm_store *store, sqlite3_stmt *grading, grade_rows *rows,
                              slm_error *err)
{
    rows->count = 0;
    slm_buffer_truncate(&rows->text, 0);
    while (rows->row) {
        int order = compare_keys(rows->statement, grading);
        if (order > 0) break;
        if (order == 0) take_grade(rows);
        SLM_TRY(next_row(store, rows->statement, &rows->row, err));
    }
    for (size_t i = 0; i < rows->count; i++) {
        size_t at = rows->explanations[i];
        rows->grades[i].explanation = at ? rows->text.data + at - 1 : NULL;
    }
    return SLM_OK;
}

slm_status slm_store_gradings(slm_store *store, const char *run, const char *judge_hash,
                              slm_store_grading_fn *fn, void *context, slm_error *err)
{
    static const char *const columns[] = {"run", "judge"};
    const char *const values[] = {run, judge_hash};
    sqlite3_stmt *gradings = NULL;
    grade_rows rows = {0};
    bool row = false;
    slm_status status = SLM_OK;
    SLM_TRY_OUT(prepare(store,
                        "SELECT run, judge, case_id, rollout, score, low, high, status "
                        "FROM gradings",
                        columns, values, 2, "run, judge, case_id, rollout", &gradings, err));
    SLM_TRY_OUT(prepare(store,
                        "SELECT run, judge, case_id, rollout, criterion, met, prompt_tokens, "
                        "reply_tokens, explanation FROM grades",
                        columns, values, 2, "run, judge, case_id, rollout, criterion",
                        &rows.statement, err));
    SLM_TRY_OUT(next_row(store, rows.statement, &rows.row, err));
    for (;;) {
        SLM_TRY_OUT(next_row(store, gradings, &row, err));
        if (!row) break;
        SLM_TRY_OUT(take_grades(store, gradings, &rows, err));
        slm_stored_grading grading = {
            .run = column_text(gradings, 0),
            .judge_hash = column_text(gradings, 1),
            .case_id = column_text(gradings, 2),
            .rollout = sqlite3_column_int64(gradings, 3),
            .has_score = sqlite3_column_type(gradings, 4) != SQLITE_NULL,
            .score = sqlite3_column_double(gradings, 4),
            .low = sqlite3_column_double(gradings, 5),
            .high = sqlite3_column_double(gradings, 6),
            .status = column_text(gradings, 7),
            .grades = rows.grades,
            .grade_count = rows.count,
        };
        if (!fn(context, &grading)) break;
    }
out:
    sqlite3_finalize(gradings);
    sqlite3_finalize(rows.statement);
    free(rows.grades);
    free(rows.explanations);
    slm_buffer_free(&rows.text);
    return status;
}

slm_status slm_store_has_sample(slm_store *store, const char *run, const char *case_id,
                                int64_t rollout, bool *has, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_HAS_SAMPLE, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, run);
    store__bind_text(statement, 2, case_id);
    sqlite3_bind_int64(statement, 3, rollout);
    slm_status status = next_row(store, statement, has, err);
    sqlite3_reset(statement);
    return status;
}

slm_status slm_store_get_sample(slm_store *store, const char *run, const char *case_id,
                                int64_t rollout, slm_arena *arena, slm_sample *out, slm_error *err)
{
    bool row = false;
    sqlite3_stmt *statement = store__prepared(store, STORE_GET_SAMPLE, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, run);
    store__bind_text(statement, 2, case_id);
    sqlite3_bind_int64(statement, 3, rollout);
    slm_status status = next_row(store, statement, &row, err);
    if (status == SLM_OK && !row)
        status =
            slm_error_set(err, SLM_ERR_NOT_FOUND, "%s: there is no sample %" PRId64 " of case %s",
                          store->path, rollout, case_id);
    if (status == SLM_OK)
        *out = (slm_sample){
            .run = slm_arena_strdup(arena, run),
            .case_id = slm_arena_strdup(arena, case_id),
            .rollout = rollout,
            .finish = slm_arena_strdup(arena, column_text(statement, 0)),
            .prompt_tokens = column_count(statement, 1),
            .reply_tokens = column_count(statement, 2),
            .reasoning_tokens = column_count(statement, 3),
            .cached_tokens = column_count(statement, 4),
            .time_s = sqlite3_column_double(statement, 5),
            .reply = slm_arena_strdup(arena, column_text(statement, 6)),
            .transcript_json = slm_arena_strdup(arena, column_text(statement, 7)),
        };
    sqlite3_reset(statement);
    return status;
}

slm_status slm_store_get_verdict(slm_store *store, const char *judge_hash, const char *question,
                                 slm_arena *arena, bool *found, slm_stored_verdict *out,
                                 slm_error *err)
{
    *found = false;
    if (store->schema < 2) return SLM_OK;
    sqlite3_stmt *statement = store__prepared(store, STORE_GET_VERDICT, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, judge_hash);
    store__bind_text(statement, 2, question);
    slm_status status = next_row(store, statement, found, err);
    if (status == SLM_OK && *found)
        *out = (slm_stored_verdict){
            .met = sqlite3_column_int(statement, 0) != 0,
            .attempts = sqlite3_column_int64(statement, 1),
            .prompt_tokens = column_count(statement, 2),
            .reply_tokens = column_count(statement, 3),
            .explanation = slm_arena_strdup(arena, column_text(statement, 4)),
        };
    sqlite3_reset(statement);
    return status;
}

slm_status slm_store_get_call(slm_store *store, const char *model, const char *request,
                              slm_arena *arena, bool *found, slm_stored_call *out, slm_error *err)
{
    *found = false;
    if (store->schema < 3) return SLM_OK;
    sqlite3_stmt *statement = store__prepared(store, STORE_GET_CALL, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, model);
    store__bind_text(statement, 2, request);
    slm_status status = next_row(store, statement, found, err);
    if (status == SLM_OK && *found)
        *out = (slm_stored_call){
            .finish = slm_arena_strdup(arena, column_text(statement, 0)),
            .prompt_tokens = column_count(statement, 1),
            .reply_tokens = column_count(statement, 2),
            .reply = slm_arena_strdup(arena, column_text(statement, 3)),
        };
    sqlite3_reset(statement);
    return status;
}
