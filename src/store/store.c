/* store.c: opening, making and closing the results database; its schema; groups of writes.
 *
 * One SQLite file. While a writer has it open it is in WAL mode: readers never wait, every commit is
 * synced, and a commit survives kill -9 and loss of power. When the last user closes it, it goes
 * back to a plain journal, so that at rest the database is a single file that can be copied. A new
 * file is made with mode 0600, and SQLite gives its side files the same mode.
 *
 * application_id says that the file is ours, user_version which schema it has; both are set in the
 * transaction that makes the tables, so a file killed while being made is an empty one and is made
 * again. A file of an older schema gets what it lacks from the first writer, in one transaction; a
 * reader finds the tables that it lacks empty. Tables are STRICT and, being keyed by content, WITHOUT ROWID: a row's place in the file
 * follows from its key. Small columns stand before texts, so that reading them alone is cheap. */
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/hash.h"

enum {
    STORE_APPLICATION_ID = 0x736c6d31, /* "slm1" */
    STORE_SCHEMA = 3,
    STORE_WAIT_MS = 30000, /* for a reader that holds up a commit */
};

static const char schema_sql[] =
    "CREATE TABLE runs("
    " hash TEXT NOT NULL PRIMARY KEY,"
    " model_name TEXT NOT NULL,"
    " model_identity TEXT,"
    " kind TEXT NOT NULL CHECK(kind IN ('model','baseline','imported')),"
    " system_text TEXT,"
    " sampling_json TEXT,"
    " cases_sha256 TEXT,"
    " seed INTEGER NOT NULL,"
    " details_json TEXT) STRICT, WITHOUT ROWID;"
    "CREATE TABLE cases("
    " cases_sha256 TEXT NOT NULL,"
    " case_id TEXT NOT NULL,"
    " family TEXT NOT NULL,"
    " position INTEGER NOT NULL,"
    " json TEXT NOT NULL,"
    " PRIMARY KEY(cases_sha256, case_id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE samples("
    " run TEXT NOT NULL REFERENCES runs(hash),"
    " case_id TEXT NOT NULL,"
    " rollout INTEGER NOT NULL CHECK(rollout >= 0),"
    " finish TEXT NOT NULL,"
    " prompt_tokens INTEGER,"
    " reply_tokens INTEGER,"
    " reasoning_tokens INTEGER,"
    " reply TEXT NOT NULL,"
    " transcript_json TEXT,"
    " PRIMARY KEY(run, case_id, rollout)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE timings("
    " run TEXT NOT NULL,"
    " case_id TEXT NOT NULL,"
    " rollout INTEGER NOT NULL,"
    " time_s REAL,"
    " cached_tokens INTEGER,"
    " PRIMARY KEY(run, case_id, rollout),"
    " FOREIGN KEY(run, case_id, rollout) REFERENCES samples) STRICT, WITHOUT ROWID;"
    "CREATE TABLE judges("
    " hash TEXT NOT NULL PRIMARY KEY,"
    " name TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE coverages("
    " judge TEXT NOT NULL REFERENCES judges(hash),"
    " cases_sha256 TEXT NOT NULL,"
    " coverage_json TEXT NOT NULL,"
    " PRIMARY KEY(judge, cases_sha256)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE gradings("
    " run TEXT NOT NULL,"
    " judge TEXT NOT NULL REFERENCES judges(hash),"
    " case_id TEXT NOT NULL,"
    " rollout INTEGER NOT NULL,"
    " score REAL,"
    " low REAL NOT NULL,"
    " high REAL NOT NULL,"
    " status TEXT NOT NULL CHECK(status IN ('scored','unscored')),"
    " PRIMARY KEY(run, judge, case_id, rollout),"
    " FOREIGN KEY(run, case_id, rollout) REFERENCES samples) STRICT, WITHOUT ROWID;"
    "CREATE TABLE grades("
    " run TEXT NOT NULL,"
    " judge TEXT NOT NULL,"
    " case_id TEXT NOT NULL,"
    " rollout INTEGER NOT NULL,"
    " criterion INTEGER NOT NULL,"
    " met INTEGER CHECK(met IN (0, 1)),"
    " prompt_tokens INTEGER,"
    " reply_tokens INTEGER,"
    " explanation TEXT,"
    " PRIMARY KEY(run, judge, case_id, rollout, criterion),"
    " FOREIGN KEY(run, judge, case_id, rollout) REFERENCES gradings ON DELETE CASCADE)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE imports("
    " run TEXT NOT NULL REFERENCES runs(hash),"
    " file_sha256 TEXT NOT NULL,"
    " PRIMARY KEY(run, file_sha256)) STRICT, WITHOUT ROWID;"
    /* For people with the sqlite3 shell: the judge is a column of everything. */
    "CREATE VIEW case_means AS"
    " SELECT r.model_name, r.kind, j.name AS judge_name, g.run, g.judge, g.case_id,"
    " count(*) AS samples, count(g.score) AS scored, avg(g.score) AS mean_score,"
    " avg(g.low) AS mean_low, avg(g.high) AS mean_high"
    " FROM gradings g JOIN runs r ON r.hash = g.run JOIN judges j ON j.hash = g.judge"
    " GROUP BY g.run, g.judge, g.case_id;";

/* What each later schema adds; a new file gets all of it. */
static const char *const upgrades_sql[STORE_SCHEMA - 1] = {
    /* 2: verdicts that need not be asked for again, and how far judges agree with labels. */
    "CREATE TABLE verdicts("
    " judge TEXT NOT NULL,"
    " question TEXT NOT NULL,"
    " met INTEGER NOT NULL CHECK(met IN (0, 1)),"
    " attempts INTEGER NOT NULL,"
    " prompt_tokens INTEGER,"
    " reply_tokens INTEGER,"
    " explanation TEXT,"
    " PRIMARY KEY(judge, question)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE agreements("
    " judge TEXT NOT NULL REFERENCES judges(hash),"
    " labels TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " json TEXT NOT NULL,"
    " PRIMARY KEY(judge, labels)) STRICT, WITHOUT ROWID;",
    /* 3: calls that need not be paid twice. */
    "CREATE TABLE calls("
    " model TEXT NOT NULL,"
    " request TEXT NOT NULL,"
    " finish TEXT NOT NULL,"
    " prompt_tokens INTEGER,"
    " reply_tokens INTEGER,"
    " reply TEXT NOT NULL,"
    " PRIMARY KEY(model, request)) STRICT, WITHOUT ROWID;",
};

static const char *const statement_sql[STORE_STATEMENTS] = {
    [STORE_PUT_RUN] = "INSERT INTO runs VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9) "
                      "ON CONFLICT DO UPDATE SET model_name = ?2",
    [STORE_GET_CASE] = "SELECT json, family, position FROM cases "
                       "WHERE cases_sha256 = ?1 AND case_id = ?2",
    [STORE_PUT_CASE] = "INSERT INTO cases VALUES(?1,?2,?3,?4,?5)",
    [STORE_PUT_SAMPLE] = "INSERT INTO samples VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9) "
                         "ON CONFLICT DO NOTHING",
    [STORE_PUT_TIMING] = "INSERT INTO timings VALUES(?1,?2,?3,?4,?5)",
    [STORE_DELETE_GRADING] = "DELETE FROM gradings "
                             "WHERE run = ?1 AND judge = ?2 AND case_id = ?3 AND rollout = ?4",
    [STORE_PUT_GRADING] = "INSERT INTO gradings VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [STORE_PUT_GRADE] = "INSERT INTO grades VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    [STORE_PUT_JUDGE] = "INSERT INTO judges VALUES(?1,?2) ON CONFLICT DO NOTHING",
    [STORE_PUT_COVERAGE] = "INSERT INTO coverages VALUES(?1,?2,?3) "
                           "ON CONFLICT DO UPDATE SET coverage_json = ?3",
    [STORE_PUT_IMPORT] = "INSERT INTO imports VALUES(?1,?2) ON CONFLICT DO NOTHING",
    [STORE_PUT_VERDICT] = "INSERT INTO verdicts VALUES(?1,?2,?3,?4,?5,?6,?7) "
                          "ON CONFLICT DO NOTHING",
    [STORE_GET_VERDICT] = "SELECT met, attempts, prompt_tokens, reply_tokens, explanation "
                          "FROM verdicts WHERE judge = ?1 AND question = ?2",
    [STORE_PUT_CALL] = "INSERT INTO calls VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT DO NOTHING",
    [STORE_GET_CALL] = "SELECT finish, prompt_tokens, reply_tokens, reply FROM calls "
                       "WHERE model = ?1 AND request = ?2",
    [STORE_PUT_AGREEMENT] = "INSERT INTO agreements VALUES(?1,?2,?3,?4) "
                            "ON CONFLICT DO UPDATE SET name = ?3, json = ?4",
    [STORE_HAS_SAMPLE] = "SELECT 1 FROM samples WHERE run = ?1 AND case_id = ?2 AND rollout = ?3",
    [STORE_GET_SAMPLE] = "SELECT s.finish, s.prompt_tokens, s.reply_tokens, s.reasoning_tokens, "
                         "t.cached_tokens, t.time_s, s.reply, s.transcript_json FROM samples s "
                         "LEFT JOIN timings t ON t.run = s.run AND t.case_id = s.case_id AND "
                         "t.rollout = s.rollout "
                         "WHERE s.run = ?1 AND s.case_id = ?2 AND s.rollout = ?3",
    [STORE_SAVEPOINT] = "SAVEPOINT put",
    [STORE_RELEASE] = "RELEASE put",
    [STORE_UNDO] = "ROLLBACK TO put",
};

slm_status store__error(slm_store *store, const char *what, slm_error *err)
{
    int code = sqlite3_errcode(store->db);
    const char *why = sqlite3_errmsg(store->db);
    switch (code & 0xff) {
    case SQLITE_NOTADB:
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: is not a results database (not an SQLite file at all); it is "
                             "left as it is, name another with --db",
                             store->path);
    case SQLITE_CORRUPT:
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: cannot %s: the database is damaged (%s); restore a copy, or move "
                             "it away and evaluate again",
                             store->path, what, why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return slm_error_set(err, SLM_ERR_IO,
                             "%s: cannot %s: another program has it locked; close that and run "
                             "again",
                             store->path, what);
    case SQLITE_READONLY:
        return slm_error_set(err, SLM_ERR_IO,
                             "%s: cannot %s: the file or its folder may not be written; change "
                             "its mode or name another with --db",
                             store->path, what);
    case SQLITE_FULL:
        return slm_error_set(err, SLM_ERR_IO,
                             "%s: cannot %s: the disk is full; what was stored before is safe, "
                             "make room and run again",
                             store->path, what);
    default:
        return slm_error_set(err, SLM_ERR_IO, "%s: cannot %s: %s", store->path, what, why);
    }
}

slm_status store__exec(slm_store *store, const char *sql, const char *what, slm_error *err)
{
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK) return SLM_OK;
    return store__error(store, what, err);
}

sqlite3_stmt *store__prepared(slm_store *store, store__statement which, slm_error *err)
{
    sqlite3_stmt **slot = &store->statements[which];
    if (*slot) {
        sqlite3_reset(*slot);
        sqlite3_clear_bindings(*slot);
    } else if (sqlite3_prepare_v3(store->db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                  slot, NULL) != SQLITE_OK) {
        store__error(store, "use it", err);
        return NULL;
    }
    return *slot;
}

void store__bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    /* A failure to bind shows at the step, as a missing value. */
    if (text)
        sqlite3_bind_text64(statement, at, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(statement, at);
}

slm_status store__step(slm_store *store, sqlite3_stmt *statement, const char *what, slm_error *err)
{
    int code = sqlite3_step(statement);
    slm_status status = code == SQLITE_DONE ? SLM_OK : store__error(store, what, err);
    sqlite3_reset(statement);
    return status;
}

/* An integer that a query gives in its first row and column. */
static slm_status get_integer(slm_store *store, const char *sql, int64_t *out, slm_error *err)
{
    sqlite3_stmt *statement = NULL;
    slm_status status = SLM_OK;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        status = store__error(store, "open it", err);
    else
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

/* Is it ours, and of a schema that we know? *empty: nothing in it yet. */
static slm_status check_identity(slm_store *store, bool *empty, slm_error *err)
{
    int64_t application = 0, schema = 0, objects = 0;
    SLM_TRY(get_integer(store, "PRAGMA application_id", &application, err));
    SLM_TRY(get_integer(store, "PRAGMA user_version", &schema, err));
    SLM_TRY(get_integer(store, "SELECT count(*) FROM sqlite_master", &objects, err));
    *empty = application == 0 && schema == 0 && objects == 0;
    if (*empty) return SLM_OK;
    if (application != STORE_APPLICATION_ID)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: is an SQLite database of another program; it is left as it is, "
                             "name another with --db",
                             store->path);
    if (schema > STORE_SCHEMA)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: was written by a newer slm (schema %" PRId64
                             ", this one knows %d); it is left as it is, use the newer slm",
                             store->path, schema, STORE_SCHEMA);
    store->schema = schema;
    if (schema < 1)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: has schema %" PRId64 ", which never was",
                             store->path, schema);
    return SLM_OK;
}

/* An empty file's tables, or those that an older file lacks: all or nothing. */
static slm_status make_schema(slm_store *store, slm_error *err)
{
    static const char what[] = "make its tables";
    char sql[128];
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             STORE_APPLICATION_ID, STORE_SCHEMA);
    SLM_TRY(store__exec(store, "BEGIN IMMEDIATE", what, err));
    if (store->schema == 0) SLM_TRY(store__exec(store, schema_sql, what, err));
    for (int64_t schema = store->schema > 1 ? store->schema : 1; schema < STORE_SCHEMA; schema++)
        SLM_TRY(store__exec(store, upgrades_sql[schema - 1], what, err));
    SLM_TRY(store__exec(store, sql, what, err));
    store->schema = STORE_SCHEMA;
    return SLM_OK;
}

/* An empty file with mode 0600 unless there is a file already. */
static slm_status make_file(slm_store *store, slm_error *err)
{
    const char *path = store->path;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        store->is_made = true;
        return SLM_OK;
    }
    if (errno == EEXIST) return SLM_OK;
    return slm_error_set(err, SLM_ERR_IO, "cannot make the results database %s: %s", path,
                         strerror(errno));
}

static slm_status take_lock(slm_store *store, slm_error *err)
{
    slm_buffer name = {0};
    slm_buffer_printf(&name, "%s-lock", store->path);
    slm_status status = slm_file_lock_take(slm_buffer_text(&name), &store->lock, err);
    slm_buffer_free(&name);
    if (status == SLM_OK) return SLM_OK;
    return slm_error_prefix(err, status, "%s: one program at a time may write to it", store->path);
}

static slm_status open_database(slm_store *store, bool read_only, slm_error *err)
{
    bool empty = false;
    slm_buffer name = {0};
    /* SQLite gives a name that begins with a colon a meaning of its own. */
    slm_buffer_printf(&name, "%s%s", store->path[0] == ':' ? "./" : "", store->path);
    /* A reader too is given the right to write, so that it can finish what a killed writer left
     * (SQLite falls back to reading where the file is not ours to write); query_only holds it. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(slm_buffer_text(&name), &store->db, flags, NULL);
    slm_buffer_free(&name);
    if (!store->db) slm_out_of_memory(1);
    if (code != SQLITE_OK) return store__error(store, "open it", err);
    sqlite3_busy_timeout(store->db, STORE_WAIT_MS);
    /* A foreign file is not even tidied up. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    SLM_TRY(check_identity(store, &empty, err));
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    if (read_only && empty)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: has no results yet; run slm eval or slm eval import first",
                             store->path);
    SLM_TRY(
        store__exec(store, "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY", "open it", err));
    if (read_only) return store__exec(store, "PRAGMA query_only = ON", "open it", err);
    store->is_ours = true;
    if (empty || store->schema < STORE_SCHEMA) SLM_TRY(make_schema(store, err));
    /* Where shared memory is not to be had (some network folders) the mode stays what it is: as
     * safe, but readers wait. */
    return store__exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", "open it",
                       err);
}

slm_status slm_store_open(const char *path, bool read_only, slm_store **out, slm_error *err)
{
    if (!path || !*path)
        return slm_error_set(err, SLM_ERR_INVALID, "the results database has no name; give --db");
    if (slm_file_is_folder(path))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: is a folder; --db names a file for the results", path);
    if (read_only && !slm_file_exists(path))
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: there is no such results database; run slm eval or slm eval "
                             "import first, or name another with --db",
                             path);
    slm_store *store = calloc(1, sizeof *store);
    if (!store) slm_out_of_memory(sizeof *store);
    store->path = strdup(path);
    if (!store->path) slm_out_of_memory(strlen(path));
    slm_status status = SLM_OK;
    if (!read_only) {
        SLM_TRY_OUT(take_lock(store, err));
        SLM_TRY_OUT(make_file(store, err));
    }
    SLM_TRY_OUT(open_database(store, read_only, err));
    *out = store;
    return SLM_OK;
out:
    slm_store_close(store);
    return status;
}

/* Nothing was ever put into it: what it was made for was given up before it began. */
static bool is_empty(slm_store *store)
{
    int64_t rows = 1;
    if (!store->is_ours) return store->is_made;
    slm_status status =
        get_integer(store,
                    "SELECT EXISTS(SELECT 1 FROM runs) OR EXISTS(SELECT 1 FROM cases) OR "
                    "EXISTS(SELECT 1 FROM judges) OR EXISTS(SELECT 1 FROM verdicts) OR "
                    "EXISTS(SELECT 1 FROM calls)",
                    &rows, NULL);
    return status == SLM_OK && rows == 0;
}

void slm_store_close(slm_store *store)
{
    if (!store) return;
    slm_store_rollback(store);
    slm_store_end_reading(store);
    bool is_unused = store->is_made && store->db && is_empty(store);
    for (size_t i = 0; i < STORE_STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    if (store->lock && store->is_ours) {
        /* Back to one plain file. A reader that is still there prevents it, which does no harm. */
        sqlite3_busy_timeout(store->db, 0);
        sqlite3_exec(store->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    }
    sqlite3_close_v2(store->db);
    if (is_unused) unlink(store->path);
    slm_file_lock_remove(store->lock);
    free(store->path);
    free(store);
}

slm_status slm_store_begin(slm_store *store, slm_error *err)
{
    SLM_ASSERT(!store->in_group && !store->is_reading);
    SLM_TRY(store__exec(store, "BEGIN IMMEDIATE", "begin writing", err));
    store->in_group = true;
    return SLM_OK;
}

slm_status slm_store_commit(slm_store *store, slm_error *err)
{
    SLM_ASSERT(store->in_group);
    SLM_TRY(store__exec(store, "COMMIT", "store results", err));
    store->in_group = false;
    return SLM_OK;
}

void slm_store_rollback(slm_store *store)
{
    if (!store->in_group) return;
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    store->in_group = false;
}

slm_status slm_store_begin_reading(slm_store *store, slm_error *err)
{
    if (store->in_group || store->is_reading) return SLM_OK;
    SLM_TRY(store__exec(store, "BEGIN", "read it", err));
    store->is_reading = true;
    return SLM_OK;
}

void slm_store_end_reading(slm_store *store)
{
    if (!store->is_reading) return;
    sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
    store->is_reading = false;
}

void slm_run_hash(const slm_run *run, char hex[65])
{
    char seed[32];
    snprintf(seed, sizeof seed, "%" PRId64, run->seed);
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, "slm run 1");
    slm_sha256_update_part(hash, run->model_identity);
    slm_sha256_update_part(hash, run->kind);
    slm_sha256_update_part(hash, run->system_text);
    slm_sha256_update_part(hash, run->sampling_json);
    slm_sha256_update_part(hash, run->cases_sha256);
    slm_sha256_update_part(hash, seed);
    slm_sha256_finish(hash, hex);
}
