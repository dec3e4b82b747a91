/* write.c: putting rows into the results database.
 *
 * Every put is idempotent by its key: runs, judges and samples keep what came first (a sample is
 * what was sampled, it is never overwritten), gradings and coverages take what came last. A -1 that
 * means "not told" is stored as NULL. */
#include "store/store_internal.h"

#include <inttypes.h>
#include <string.h>

static void bind_count(sqlite3_stmt *statement, int at, int64_t count)
{
    if (count < 0)
        sqlite3_bind_null(statement, at);
    else
        sqlite3_bind_int64(statement, at, count);
}

slm_status slm_store_put_run(slm_store *store, const slm_run *run, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_RUN, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, run->hash);
    store__bind_text(statement, 2, run->model_name);
    store__bind_text(statement, 3, run->model_identity);
    store__bind_text(statement, 4, run->kind);
    store__bind_text(statement, 5, run->system_text);
    store__bind_text(statement, 6, run->sampling_json);
    store__bind_text(statement, 7, run->cases_sha256);
    sqlite3_bind_int64(statement, 8, run->seed);
    store__bind_text(statement, 9, run->details_json);
    return store__step(store, statement, "store a run", err);
}

slm_status slm_store_put_case(slm_store *store, const char *cases_sha256, const char *case_id,
                              const char *family, size_t position, const char *json, slm_error *err)
{
    sqlite3_stmt *get = store__prepared(store, STORE_GET_CASE, err);
    if (!get) return SLM_ERR_IO;
    store__bind_text(get, 1, cases_sha256);
    store__bind_text(get, 2, case_id);
    int code = sqlite3_step(get);
    if (code == SQLITE_ROW) {
        bool same = strcmp((const char *)sqlite3_column_text(get, 0), json) == 0 &&
                    strcmp((const char *)sqlite3_column_text(get, 1), family) == 0 &&
                    sqlite3_column_int64(get, 2) == (int64_t)position;
        sqlite3_reset(get);
        if (same) return SLM_OK;
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: case %s is stored with another content under the same set; use "
                             "another database",
                             store->path, case_id);
    }
    if (code != SQLITE_DONE) return store__error(store, "read a case", err);
    sqlite3_reset(get);
    sqlite3_stmt *put = store__prepared(store, STORE_PUT_CASE, err);
    if (!put) return SLM_ERR_IO;
    store__bind_text(put, 1, cases_sha256);
    store__bind_text(put, 2, case_id);
    store__bind_text(put, 3, family);
    sqlite3_bind_int64(put, 4, (int64_t)position);
    store__bind_text(put, 5, json);
    return store__step(store, put, "store a case", err);
}

static slm_status put_timing(slm_store *store, const slm_sample *sample, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_TIMING, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, sample->run);
    store__bind_text(statement, 2, sample->case_id);
    sqlite3_bind_int64(statement, 3, sample->rollout);
    sqlite3_bind_double(statement, 4, sample->time_s);
    bind_count(statement, 5, sample->cached_tokens);
    return store__step(store, statement, "store a time", err);
}

static slm_status run_statement(slm_store *store, store__statement which, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, which, err);
    return statement ? store__step(store, statement, "store results", err) : SLM_ERR_IO;
}

/* Run `put` whole or not at all: as a transaction, or as a part of the group that is open. */
typedef slm_status put_fn(slm_store *store, const void *row, bool *inserted, slm_error *err);
static slm_status in_transaction(slm_store *store, put_fn *put, const void *row, bool *inserted,
                                 slm_error *err)
{
    if (store->in_group) {
        SLM_TRY(run_statement(store, STORE_SAVEPOINT, err));
        slm_status part = put(store, row, inserted, err);
        /* A failure as bad as a full disk may have undone the whole group: then this fails too. */
        if (part != SLM_OK) run_statement(store, STORE_UNDO, NULL);
        slm_status released = run_statement(store, STORE_RELEASE, part == SLM_OK ? err : NULL);
        return part != SLM_OK ? part : released;
    }
    SLM_TRY(slm_store_begin(store, err));
    slm_status status = put(store, row, inserted, err);
    if (status == SLM_OK) status = slm_store_commit(store, err);
    if (status != SLM_OK) slm_store_rollback(store);
    return status;
}

static slm_status put_sample(slm_store *store, const void *row, bool *inserted, slm_error *err)
{
    const slm_sample *sample = row;
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_SAMPLE, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, sample->run);
    store__bind_text(statement, 2, sample->case_id);
    sqlite3_bind_int64(statement, 3, sample->rollout);
    store__bind_text(statement, 4, sample->finish);
    bind_count(statement, 5, sample->prompt_tokens);
    bind_count(statement, 6, sample->reply_tokens);
    bind_count(statement, 7, sample->reasoning_tokens);
    store__bind_text(statement, 8, sample->reply);
    store__bind_text(statement, 9, sample->transcript_json);
    SLM_TRY(store__step(store, statement, "store a sample", err));
    *inserted = sqlite3_changes(store->db) > 0;
    return *inserted ? put_timing(store, sample, err) : SLM_OK;
}

slm_status slm_store_put_sample(slm_store *store, const slm_sample *sample, bool *inserted,
                                slm_error *err)
{
    bool mine = false;
    return in_transaction(store, put_sample, sample, inserted ? inserted : &mine, err);
}

static slm_status put_grade(slm_store *store, const slm_stored_grading *grading,
                            const slm_stored_grade *grade, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_GRADE, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, grading->run);
    store__bind_text(statement, 2, grading->judge_hash);
    store__bind_text(statement, 3, grading->case_id);
    sqlite3_bind_int64(statement, 4, grading->rollout);
    sqlite3_bind_int64(statement, 5, grade->criterion);
    bind_count(statement, 6, grade->met);
    bind_count(statement, 7, grade->prompt_tokens);
    bind_count(statement, 8, grade->reply_tokens);
    store__bind_text(statement, 9, grade->explanation);
    return store__step(store, statement, "store a grade", err);
}

static slm_status put_grading(slm_store *store, const void *row, bool *inserted, slm_error *err)
{
    (void)inserted;
    const slm_stored_grading *grading = row;
    sqlite3_stmt *old = store__prepared(store, STORE_DELETE_GRADING, err);
    if (!old) return SLM_ERR_IO;
    store__bind_text(old, 1, grading->run);
    store__bind_text(old, 2, grading->judge_hash);
    store__bind_text(old, 3, grading->case_id);
    sqlite3_bind_int64(old, 4, grading->rollout);
    SLM_TRY(store__step(store, old, "replace a grading", err));
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_GRADING, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, grading->run);
    store__bind_text(statement, 2, grading->judge_hash);
    store__bind_text(statement, 3, grading->case_id);
    sqlite3_bind_int64(statement, 4, grading->rollout);
    if (grading->has_score)
        sqlite3_bind_double(statement, 5, grading->score);
    else
        sqlite3_bind_null(statement, 5);
    sqlite3_bind_double(statement, 6, grading->low);
    sqlite3_bind_double(statement, 7, grading->high);
    store__bind_text(statement, 8, grading->status);
    SLM_TRY(store__step(store, statement, "store a grading", err));
    for (size_t i = 0; i < grading->grade_count; i++)
        SLM_TRY(put_grade(store, grading, &grading->grades[i], err));
    return SLM_OK;
}

slm_status slm_store_put_grading(slm_store *store, const slm_stored_grading *grading,
                                 slm_error *err)
{
    return in_transaction(store, put_grading, grading, NULL, err);
}

slm_status slm_store_put_judge(slm_store *store, const char *hash, const char *name, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_JUDGE, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, hash);
    store__bind_text(statement, 2, name);
    return store__step(store, statement, "store a judge", err);
}

slm_status slm_store_put_coverage(slm_store *store, const char *judge_hash,
                                  const char *cases_sha256, const char *coverage_json,
                                  slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_COVERAGE, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, judge_hash);
    store__bind_text(statement, 2, cases_sha256);
    store__bind_text(statement, 3, coverage_json);
    return store__step(store, statement, "store a coverage", err);
}

slm_status slm_store_put_import(slm_store *store, const char *run, const char *file_sha256,
                                bool *inserted, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_IMPORT, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, run);
    store__bind_text(statement, 2, file_sha256);
    SLM_TRY(store__step(store, statement, "store an import", err));
    *inserted = sqlite3_changes(store->db) > 0;
    return SLM_OK;
}

slm_status slm_store_put_verdict(slm_store *store, const char *judge_hash, const char *question,
                                 const slm_stored_verdict *verdict, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_VERDICT, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, judge_hash);
    store__bind_text(statement, 2, question);
    sqlite3_bind_int64(statement, 3, verdict->met);
    sqlite3_bind_int64(statement, 4, verdict->attempts);
    bind_count(statement, 5, verdict->prompt_tokens);
    bind_count(statement, 6, verdict->reply_tokens);
    store__bind_text(statement, 7, verdict->explanation);
    return store__step(store, statement, "store a verdict", err);
}

slm_status slm_store_put_call(slm_store *store, const char *model, const char *request,
                              const slm_stored_call *call, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_CALL, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, model);
    store__bind_text(statement, 2, request);
    store__bind_text(statement, 3, call->finish);
    bind_count(statement, 4, call->prompt_tokens);
    bind_count(statement, 5, call->reply_tokens);
    store__bind_text(statement, 6, call->reply);
    return store__step(store, statement, "store a reply", err);
}

slm_status slm_store_put_agreement(slm_store *store, const char *judge_hash, const char *labels,
                                   const char *name, const char *json, slm_error *err)
{
    sqlite3_stmt *statement = store__prepared(store, STORE_PUT_AGREEMENT, err);
    if (!statement) return SLM_ERR_IO;
    store__bind_text(statement, 1, judge_hash);
    store__bind_text(statement, 2, labels);
    store__bind_text(statement, 3, name);
    store__bind_text(statement, 4, json);
    return store__step(store, statement, "store an agreement", err);
}
