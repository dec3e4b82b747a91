/* store_internal.h: what the files of store/ share. */
#ifndef SLM_STORE_INTERNAL_H
#define SLM_STORE_INTERNAL_H

#include <sqlite3.h>
#include "base/file.h"
#include "store/store.h"

/* Statements for writing and single look-ups, prepared when first used and kept. */
typedef enum store__statement {
    STORE_PUT_RUN,
    STORE_GET_CASE,
    STORE_PUT_CASE,
    STORE_PUT_SAMPLE,
    STORE_PUT_TIMING,
    STORE_DELETE_GRADING,
    STORE_PUT_GRADING,
    STORE_PUT_GRADE,
    STORE_PUT_JUDGE,
    STORE_PUT_COVERAGE,
    STORE_PUT_IMPORT,
    STORE_PUT_VERDICT,
    STORE_GET_VERDICT,
    STORE_PUT_CALL,
    STORE_GET_CALL,
    STORE_PUT_AGREEMENT,
    STORE_HAS_SAMPLE,
    STORE_GET_SAMPLE,
    STORE_SAVEPOINT,
    STORE_RELEASE,
    STORE_UNDO,
    STORE_STATEMENTS,
} store__statement;

struct slm_store {
    sqlite3 *db;
    char *path;
    slm_file_lock *lock; /* NULL when read_only */
    int64_t schema;      /* of the file; an older one is brought up to date by a writer alone */
    bool is_ours;        /* its identity was checked: only then is anything written to it */
    bool is_made; /* the file was not there before: it goes again if nothing is put into it */
    bool in_group, is_reading;
    sqlite3_stmt *statements[STORE_STATEMENTS];
};

/* Set err from the database's last error: "PATH: cannot WHAT: why", with what to do about it. */
slm_status store__error(slm_store *store, const char *what, slm_error *err);
/* Run SQL that gives no rows. */
slm_status store__exec(slm_store *store, const char *sql, const char *what, slm_error *err);
/* NULL on failure, with err set. Reset and unbound. */
sqlite3_stmt *store__prepared(slm_store *store, store__statement which, slm_error *err);
/* Bind to parameter `at` (from 1); NULL text binds NULL. The text must live until the step. */
void store__bind_text(sqlite3_stmt *statement, int at, const char *text);
/* Step a statement that gives no row; resets it. */
slm_status store__step(slm_store *store, sqlite3_stmt *statement, const char *what, slm_error *err);

#endif
