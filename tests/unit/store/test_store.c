/* The results database: what is put comes back in key order; what was committed survives kill -9;
 * one writer; files that are not ours are left as they are. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "store/store.h"

static char folder[64];
static char path[128];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/slm-test-store-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/results.db", folder);
    return 0;
}

static int remove_one(const char *name, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(name);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void ok(slm_status status, const slm_error *err)
{
    if (status != SLM_OK) fail_msg("%s", err->message);
}

static slm_store *open_store(bool read_only)
{
    slm_error err = {0};
    slm_store *store = NULL;
    ok(slm_store_open(path, read_only, &store, &err), &err);
    return store;
}

static void assert_not_opened(bool read_only, slm_status status, const char *part)
{
    slm_error err = {0};
    slm_store *store = NULL;
    assert_int_equal(slm_store_open(path, read_only, &store, &err), status);
    assert_null(store);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_non_null(strstr(err.message, path));
}

/* ---- rows ---- */

static void put_run(slm_store *store, const char *hash, const char *name)
{
    slm_error err = {0};
    slm_run run = {.hash = hash, .model_name = name, .kind = "model", .seed = -3};
    ok(slm_store_put_run(store, &run, &err), &err);
}

static bool put_sample(slm_store *store, const char *run, const char *case_id, int64_t rollout,
                       const char *reply)
{
    slm_error err = {0};
    bool inserted = false;
    slm_sample sample = {.run = run,
                         .case_id = case_id,
                         .rollout = rollout,
                         .reply = reply,
                         .transcript_json = "[]",
                         .finish = "stop",
                         .prompt_tokens = 11,
                         .cached_tokens = -1,
                         .reply_tokens = 0,
                         .reasoning_tokens = -1,
                         .time_s = 0.5};
    ok(slm_store_put_sample(store, &sample, &inserted, &err), &err);
    return inserted;
}

static void put_grading(slm_store *store, const char *run, const char *case_id, int64_t rollout,
                        const char *judge, double score)
{
    slm_error err = {0};
    bool has = !isnan(score);
    slm_stored_grade grades[] = {{0, 1, "said so", 5, 6}, {3, has ? 0 : -1, NULL, -1, -1}};
    slm_stored_grading grading = {.run = run,
                                  .case_id = case_id,
                                  .rollout = rollout,
                                  .judge_hash = judge,
                                  .has_score = has,
                                  .score = has ? score : 0,
                                  .low = has ? score : 0.25,
                                  .high = has ? score : 0.75,
                                  .status = has ? "scored" : "unscored",
                                  .grades = grades,
                                  .grade_count = 2};
    ok(slm_store_put_grading(store, &grading, &err), &err);
}

typedef struct lines {
    char text[4096];
    size_t len;
    int left; /* stop after so many rows; negative: never */
} lines;

static bool add(lines *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    out->len +=
        (size_t)vsnprintf(out->text + out->len, sizeof out->text - out->len, format, arguments);
    va_end(arguments);
    assert_true(out->len < sizeof out->text);
    return out->left < 0 || --out->left > 0;
}

static bool on_sample(void *context, const slm_sample *s)
{
    return add(context, "%s %s %d %s %s %d %d %d %d %g\n", s->run, s->case_id, (int)s->rollout,
               s->reply, s->finish, (int)s->prompt_tokens, (int)s->cached_tokens,
               (int)s->reply_tokens, (int)s->reasoning_tokens, s->time_s);
}

static bool on_grading(void *context, const slm_stored_grading *g)
{
    add(context, "%s %s %s %d %s %g %g %g", g->run, g->judge_hash, g->case_id, (int)g->rollout,
        g->status, g->has_score ? g->score : -9, g->low, g->high);
    for (size_t i = 0; i < g->grade_count; i++)
        add(context, " %d:%d:%s:%d", (int)g->grades[i].criterion, g->grades[i].met,
            g->grades[i].explanation ? g->grades[i].explanation : "-",
            (int)g->grades[i].prompt_tokens);
    return add(context, "\n");
}

static bool on_run(void *context, const slm_run *run)
{
    return add(context, "%s %s %s %d %s\n", run->hash, run->model_name, run->kind, (int)run->seed,
               run->system_text ? run->system_text : "-");
}

static bool on_key(void *context, const char *case_id, int64_t rollout, bool graded)
{
    return add(context, "%s %d %d\n", case_id, (int)rollout, graded);
}

static bool on_facts(void *context, const slm_sample *sample, bool empty)
{
    assert_non_null(sample->reply);
    return add(context, "%s %d %d\n", sample->case_id, (int)sample->rollout, empty);
}

static bool on_case(void *context, const char *id, const char *family, size_t position,
                    const char *json)
{
    return add(context, "%s %s %zu %s\n", id, family, position, json);
}

static void rows_come_back_in_key_order(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_store *store = open_store(false);
    put_run(store, "r2", "second");
    put_run(store, "r1", "an older name");
    put_run(store, "r1", "first"); /* the same run under its new name */
    ok(slm_store_put_judge(store, "j", "rule", &err), &err);
    ok(slm_store_begin(store, &err), &err);
    assert_true(put_sample(store, "r1", "b", 1, "x"));
    assert_true(put_sample(store, "r1", "b", 0, " \t\n"));
    assert_true(put_sample(store, "r2", "a", 0, "z"));
    assert_true(put_sample(store, "r1", "a", 10, "y"));
    assert_false(put_sample(store, "r1", "a", 10, "not taken"));
    put_grading(store, "r1", "b", 1, "j", 0.5);
    put_grading(store, "r1", "a", 10, "j", NAN);
    ok(slm_store_commit(store, &err), &err);
    lines out = {.left = -1};
    ok(slm_store_runs(store, on_run, &out, &err), &err);
    assert_string_equal(out.text, "r1 first model -3 -\nr2 second model -3 -\n");
    out = (lines){.left = -1};
    ok(slm_store_samples(store, NULL, on_sample, &out, &err), &err);
    assert_string_equal(out.text, "r1 a 10 y stop 11 -1 0 -1 0.5\n"
                                  "r1 b 0  \t\n stop 11 -1 0 -1 0.5\n"
                                  "r1 b 1 x stop 11 -1 0 -1 0.5\n"
                                  "r2 a 0 z stop 11 -1 0 -1 0.5\n");
    out = (lines){.left = 1};
    ok(slm_store_samples(store, "r2", on_sample, &out, &err), &err);
    assert_string_equal(out.text, "r2 a 0 z stop 11 -1 0 -1 0.5\n");
    out = (lines){.left = -1};
    ok(slm_store_gradings(store, NULL, NULL, on_grading, &out, &err), &err);
    assert_string_equal(out.text, "r1 j a 10 unscored -9 0.25 0.75 0:1:said so:5 3:-1:-:-1\n"
                                  "r1 j b 1 scored 0.5 0.5 0.5 0:1:said so:5 3:0:-:-1\n");
    out = (lines){.left = -1};
    ok(slm_store_gradings(store, "r2", "j", on_grading, &out, &err), &err);
    assert_string_equal(out.text, "");
    out = (lines){.left = -1};
    ok(slm_store_sample_keys(store, "r1", "j", on_key, &out, &err), &err);
    assert_string_equal(out.text, "a 10 0\nb 0 0\nb 1 1\n");
    out = (lines){.left = -1};
    ok(slm_store_sample_facts(store, "r1", on_facts, &out, &err), &err);
    assert_string_equal(out.text, "a 10 0\nb 0 1\nb 1 0\n");
    out = (lines){.left = 2};
    ok(slm_store_sample_facts(store, NULL, on_facts, &out, &err), &err);
    assert_string_equal(out.text, "a 10 0\nb 0 1\n");
    slm_store_close(store);
}

static void look_ups_find_one_row(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_arena arena = {0};
    slm_store *store = open_store(false);
    put_run(store, "r", "m");
    ok(slm_store_put_judge(store, "j", "rule", &err), &err);
    put_sample(store, "r", "c", 2, "text");
    bool has = true;
    ok(slm_store_has_sample(store, "r", "c", 1, &has, &err), &err);
    assert_false(has);
    ok(slm_store_has_sample(store, "r", "c", 2, &has, &err), &err);
    assert_true(has);
    put_grading(store, "r", "c", 2, "j", NAN);
    put_grading(store, "r", "c", 2, "j", -0.5);
    slm_sample sample;
    ok(slm_store_get_sample(store, "r", "c", 2, &arena, &sample, &err), &err);
    assert_string_equal(sample.reply, "text");
    assert_int_equal(sample.prompt_tokens, 11);
    assert_int_equal(sample.cached_tokens, -1);
    assert_int_equal(slm_store_get_sample(store, "r", "c", 3, &arena, &sample, &err),
                     SLM_ERR_NOT_FOUND);
    lines out = {.left = -1};
    ok(slm_store_gradings(store, NULL, NULL, on_grading, &out, &err), &err);
    assert_string_equal(out.text, "r j c 2 scored -0.5 -0.5 -0.5 0:1:said so:5 3:0:-:-1\n");
    bool inserted = false;
    ok(slm_store_put_import(store, "r", "f", &inserted, &err), &err);
    assert_true(inserted);
    ok(slm_store_put_import(store, "r", "f", &inserted, &err), &err);
    assert_false(inserted);
    slm_arena_free(&arena);
    slm_store_close(store);
}

static void a_case_has_one_content_in_a_set(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_store *store = open_store(false);
    ok(slm_store_put_case(store, "s", "b", "f", 0, "{1}", &err), &err);
    ok(slm_store_put_case(store, "s", "a", "f", 1, "{2}", &err), &err);
    ok(slm_store_put_case(store, "s", "b", "f", 0, "{1}", &err), &err);
    ok(slm_store_put_case(store, "t", "b", "f", 0, "{3}", &err), &err);
    assert_int_equal(slm_store_put_case(store, "s", "b", "f", 0, "{9}", &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "case b"));
    lines out = {.left = -1};
    ok(slm_store_cases(store, "s", on_case, &out, &err), &err);
    assert_string_equal(out.text, "a f 1 {2}\nb f 0 {1}\n");
    slm_store_close(store);
}

/* A grading is whole or not there, also within a group that goes on. */
static void a_put_that_fails_leaves_nothing(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_store *store = open_store(false);
    put_run(store, "r", "m");
    ok(slm_store_put_judge(store, "j", "rule", &err), &err);
    put_sample(store, "r", "c", 0, "text");
    put_grading(store, "r", "c", 0, "j", 0.5);
    slm_stored_grade twice[] = {{0, 1, NULL, -1, -1}, {0, 0, NULL, -1, -1}};
    slm_stored_grading grading = {.run = "r",
                                  .case_id = "c",
                                  .judge_hash = "j",
                                  .has_score = true,
                                  .status = "scored",
                                  .grades = twice,
                                  .grade_count = 2};
    assert_int_equal(slm_store_put_grading(store, &grading, &err), SLM_ERR_IO);
    ok(slm_store_begin(store, &err), &err);
    put_sample(store, "r", "c", 1, "more");
    assert_int_equal(slm_store_put_grading(store, &grading, &err), SLM_ERR_IO);
    grading.case_id = "nobody's";
    assert_int_equal(slm_store_put_grading(store, &grading, &err), SLM_ERR_IO);
    ok(slm_store_commit(store, &err), &err);
    lines out = {.left = -1};
    ok(slm_store_gradings(store, NULL, NULL, on_grading, &out, &err), &err);
    assert_string_equal(out.text, "r j c 0 scored 0.5 0.5 0.5 0:1:said so:5 3:0:-:-1\n");
    bool has = false;
    ok(slm_store_has_sample(store, "r", "c", 1, &has, &err), &err);
    assert_true(has);
    slm_store_close(store);
}

static void the_run_hash_is_of_what_decides_the_samples(void **state)
{
    (void)state;
    slm_run run = {.model_name = "n",
                   .model_identity = "i",
                   .kind = "model",
                   .system_text = "s",
                   .sampling_json = "{}",
                   .cases_sha256 = "c",
                   .seed = 1};
    char base[65], other[65];
    slm_run_hash(&run, base);
    assert_int_equal(strlen(base), 64);
    run.model_name = "another";
    run.details_json = "{\"threads\":2}";
    slm_run_hash(&run, other);
    assert_string_equal(base, other);
    slm_run changed = run;
    changed.seed = 2;
    slm_run_hash(&changed, other);
    assert_string_not_equal(base, other);
    changed = run;
    changed.system_text = NULL;
    slm_run_hash(&changed, other);
    assert_string_not_equal(base, other);
    changed = run;
    changed.system_text = "";
    slm_run_hash(&changed, other);
    assert_string_not_equal(base, other);
    changed = run;
    changed.system_text = "s{";
    changed.sampling_json = "}";
    slm_run_hash(&changed, other);
    assert_string_not_equal(base, other);
}

/* ---- the file ---- */

static void at_rest_it_is_one_private_file(void **state)
{
    (void)state;
    char side[160];
    struct stat info;
    slm_store *store = open_store(false);
    put_run(store, "r", "m");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    snprintf(side, sizeof side, "%s-wal", path);
    assert_int_equal(stat(side, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    slm_store_close(store);
    assert_int_not_equal(stat(side, &info), 0);
    slm_store_close(NULL);
}

static void a_second_writer_is_refused_a_reader_is_not(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_store *store = open_store(false);
    put_run(store, "r", "m");
    assert_not_opened(false, SLM_ERR_IO, "one program at a time");
    ok(slm_store_begin(store, &err), &err);
    put_run(store, "s", "m");
    slm_store *reader = open_store(true);
    lines out = {.left = -1};
    ok(slm_store_begin_reading(reader, &err), &err);
    ok(slm_store_runs(reader, on_run, &out, &err), &err);
    assert_string_equal(out.text, "r m model -3 -\n"); /* what is committed, no more */
    ok(slm_store_commit(store, &err), &err);
    out = (lines){.left = -1};
    ok(slm_store_runs(reader, on_run, &out, &err), &err);
    assert_string_equal(out.text, "r m model -3 -\n"); /* one state while reading */
    slm_store_end_reading(reader);
    out = (lines){.left = -1};
    ok(slm_store_runs(reader, on_run, &out, &err), &err);
    assert_string_equal(out.text, "r m model -3 -\ns m model -3 -\n");
    slm_run run = {.hash = "x", .model_name = "m", .kind = "model"};
    assert_int_not_equal(slm_store_put_run(reader, &run, &err), SLM_OK);
    slm_store_close(reader);
    slm_store_close(store);
    slm_store_close(open_store(false)); /* the lock goes with its holder, */
    char lock[160];
    snprintf(lock, sizeof lock, "%s-lock", path);
    assert_int_not_equal(access(lock, F_OK), 0); /* its file too */
}

static void a_missing_database_is_not_made_by_reading(void **state)
{
    (void)state;
    assert_not_opened(true, SLM_ERR_NOT_FOUND, "slm eval");
    assert_false(slm_file_exists(path));
    slm_error err = {0};
    slm_store *store = NULL;
    assert_int_equal(slm_store_open("", false, &store, &err), SLM_ERR_INVALID);
    assert_int_equal(slm_store_open(folder, false, &store, &err), SLM_ERR_INVALID);
    assert_int_not_equal(slm_store_open("/nonexistent/results.db", false, &store, &err), SLM_OK);
    assert_non_null(strstr(err.message, "/nonexistent/results.db"));
}

/* The file's bytes before and after a try to open it, for writing and for reading. */
static void assert_untouched(slm_status status, const char *part)
{
    slm_buffer before = {0}, after = {0};
    assert_int_equal(slm_file_read(path, 0, &before, NULL), SLM_OK);
    assert_not_opened(false, status, part);
    assert_not_opened(true, status, part);
    assert_int_equal(slm_file_read(path, 0, &after, NULL), SLM_OK);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    slm_buffer_free(&before);
    slm_buffer_free(&after);
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void foreign_files_are_left_as_they_are(void **state)
{
    (void)state;
    static const char text[] = "case,score\nthis is somebody's spreadsheet, and long enough to "
                               "be taken for a page of something\n";
    assert_int_equal(slm_file_write(path, text, sizeof text - 1, NULL), SLM_OK);
    assert_untouched(SLM_ERR_FORMAT, "not an SQLite file");
    unlink(path);
    run_sql("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
    assert_untouched(SLM_ERR_FORMAT, "another program");
    unlink(path);
    run_sql("PRAGMA journal_mode = WAL; CREATE TABLE theirs(x); PRAGMA application_id = 17");
    assert_untouched(SLM_ERR_FORMAT, "another program");
}

static void a_newer_schema_is_left_as_it_is(void **state)
{
    (void)state;
    slm_store *store = open_store(false);
    put_run(store, "r", "m");
    slm_store_close(store);
    run_sql("PRAGMA user_version = 99");
    assert_untouched(SLM_ERR_UNSUPPORTED, "newer slm");
    run_sql("PRAGMA user_version = 0");
    assert_untouched(SLM_ERR_FORMAT, "never was");
}

/* ---- verdicts and agreements ---- */

typedef struct agreements {
    int count;
    char text[512];
} agreements;

static bool on_agreement(void *context, const char *judge, const char *labels, const char *name,
                         const char *json)
{
    agreements *a = context;
    size_t len = strlen(a->text);
    snprintf(a->text + len, sizeof a->text - len, "%s|%s|%s|%s\n", judge, labels, name, json);
    a->count++;
    return true;
}

static void a_verdict_is_kept(void **state)
{
    (void)state;
    slm_store *store = open_store(false);
    slm_arena arena = {0};
    slm_error err = {0};
    bool found = true;
    slm_stored_verdict got,
        met = {.met = true,
               .attempts = 2,
               .prompt_tokens = 40,
               .reply_tokens = -1,
               .explanation = "it says so"},
        other = {.attempts = 1, .prompt_tokens = -1, .reply_tokens = 3};
    ok(slm_store_get_verdict(store, "j", "q", &arena, &found, &got, &err), &err);
    assert_false(found);
    ok(slm_store_put_verdict(store, "j", "q", &met, &err), &err);
    ok(slm_store_put_verdict(store, "j", "q", &other, &err), &err); /* the first stays */
    ok(slm_store_put_verdict(store, "j", "r", &other, &err), &err);
    slm_store_close(store);
    store = open_store(true);
    ok(slm_store_get_verdict(store, "j", "q", &arena, &found, &got, &err), &err);
    assert_true(found && got.met);
    assert_int_equal(got.attempts, 2);
    assert_int_equal(got.prompt_tokens, 40);
    assert_int_equal(got.reply_tokens, -1);
    assert_string_equal(got.explanation, "it says so");
    ok(slm_store_get_verdict(store, "j", "r", &arena, &found, &got, &err), &err);
    assert_true(found && !got.met);
    assert_null(got.explanation);
    ok(slm_store_get_verdict(store, "k", "q", &arena, &found, &got, &err), &err);
    assert_false(found);
    slm_store_close(store);
    slm_arena_free(&arena);
}

static void an_agreement_is_replaced(void **state)
{
    (void)state;
    slm_store *store = open_store(false);
    slm_error err = {0};
    agreements all = {0};
    assert_int_not_equal(slm_store_put_agreement(store, "j", "l", "dev", "{}", &err), SLM_OK);
    ok(slm_store_put_judge(store, "j", "a judge", &err), &err);
    ok(slm_store_put_agreement(store, "j", "l", "dev", "{\"kappa\":0.1}", &err), &err);
    ok(slm_store_put_agreement(store, "j", "a", "other", "{}", &err), &err);
    ok(slm_store_put_agreement(store, "j", "l", "dev 2", "{\"kappa\":0.2}", &err), &err);
    ok(slm_store_agreements(store, on_agreement, &all, &err), &err);
    assert_string_equal(all.text, "j|a|other|{}\nj|l|dev 2|{\"kappa\":0.2}\n");
    slm_store_close(store);
}

static void a_paid_reply_is_kept(void **state)
{
    (void)state;
    slm_store *store = open_store(false);
    slm_arena arena = {0};
    slm_error err = {0};
    bool found = true;
    slm_stored_call got,
        first = {.finish = "stop", .reply = "yes", .prompt_tokens = 7, .reply_tokens = -1},
        other = {.finish = "length", .reply = "no"};
    ok(slm_store_get_call(store, "m", "r", &arena, &found, &got, &err), &err);
    assert_false(found);
    ok(slm_store_put_call(store, "m", "r", &first, &err), &err);
    ok(slm_store_put_call(store, "m", "r", &other, &err), &err); /* the first stays */
    slm_store_close(store);
    store = open_store(true);
    ok(slm_store_get_call(store, "m", "r", &arena, &found, &got, &err), &err);
    assert_true(found);
    assert_string_equal(got.finish, "stop");
    assert_string_equal(got.reply, "yes");
    assert_int_equal(got.prompt_tokens, 7);
    assert_int_equal(got.reply_tokens, -1);
    ok(slm_store_get_call(store, "n", "r", &arena, &found, &got, &err), &err);
    assert_false(found);
    slm_store_close(store);
    slm_arena_free(&arena);
}

static void an_older_schema_is_brought_up_to_date(void **state)
{
    (void)state;
    slm_store *store = open_store(false);
    slm_arena arena = {0};
    slm_error err = {0};
    agreements none = {0};
    bool found = true, has = false;
    slm_stored_verdict got, met = {.met = true, .attempts = 1};
    put_run(store, "r", "m");
    put_sample(store, "r", "c", 0, "hello");
    slm_store_close(store);
    run_sql(
        "DROP TABLE verdicts; DROP TABLE agreements; DROP TABLE calls; PRAGMA user_version = 1");
    store = open_store(true); /* a reader does with what there is */
    ok(slm_store_get_verdict(store, "j", "q", &arena, &found, &got, &err), &err);
    assert_false(found);
    ok(slm_store_agreements(store, on_agreement, &none, &err), &err);
    assert_int_equal(none.count, 0);
    slm_store_close(store);
    store = open_store(false);
    ok(slm_store_put_verdict(store, "j", "q", &met, &err), &err);
    slm_store_close(store);
    store = open_store(true);
    ok(slm_store_get_verdict(store, "j", "q", &arena, &found, &got, &err), &err);
    assert_true(found && got.met);
    ok(slm_store_has_sample(store, "r", "c", 0, &has, &err), &err);
    assert_true(has);
    slm_store_close(store);
    slm_arena_free(&arena);
}

static void what_was_made_for_nothing_goes(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_store_close(open_store(false));
    assert_false(slm_file_exists(path));
    /* A group that was not committed is nothing. */
    slm_store *store = open_store(false);
    ok(slm_store_begin(store, &err), &err);
    put_run(store, "r", "m");
    slm_store_close(store);
    assert_false(slm_file_exists(path));
    /* What was there before stays, however empty. */
    assert_int_equal(slm_file_write(path, "", 0, &err), SLM_OK);
    slm_store_close(open_store(false));
    assert_true(slm_file_exists(path));
}

static void an_empty_file_becomes_a_database(void **state)
{
    (void)state;
    assert_int_equal(slm_file_write(path, "", 0, NULL), SLM_OK);
    assert_not_opened(true, SLM_ERR_NOT_FOUND, "no results yet");
    slm_store_close(open_store(false));
    slm_store_close(open_store(true));
}

/* A child writes single samples and groups of three until it is killed; whatever it told us was
 * committed must be there, and groups are there whole. */
static void write_until_killed(int told)
{
    slm_error err = {0};
    slm_store *store = open_store(false);
    put_run(store, "r", "m");
    for (int i = 0;; i++) {
        put_sample(store, "r", "single", i, "text");
        ok(slm_store_begin(store, &err), &err);
        for (int j = 0; j < 3; j++)
            put_sample(store, "r", "group", 3 * i + j, "text");
        ok(slm_store_commit(store, &err), &err);
        if (write(told, &i, sizeof i) != sizeof i) _exit(1);
    }
}

static bool count_rows(void *context, const char *case_id, int64_t rollout, bool graded)
{
    (void)graded;
    int64_t *counts = context;
    int64_t *count = &counts[strcmp(case_id, "group") == 0];
    assert_int_equal(rollout, *count);
    ++*count;
    return true;
}

static void commits_survive_kill_9(void **state)
{
    (void)state;
    int told[2], last = -1;
    assert_int_equal(pipe(told), 0);
    for (int round = 0; round < 5; round++) {
        pid_t child = fork();
        if (child == 0) {
            close(told[0]);
            write_until_killed(told[1]);
        }
        for (int i = 0; i < 20 * (round + 1); i++)
            assert_int_equal(read(told[0], &last, sizeof last), sizeof last);
        usleep((useconds_t)(round * 777));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        int64_t counts[2] = {0};
        slm_error err = {0};
        slm_store *store = open_store(round % 2);
        ok(slm_store_sample_keys(store, "r", "", count_rows, counts, &err), &err);
        slm_store_close(store);
        assert_true(counts[0] > last && counts[1] >= 3 * (last + 1));
        assert_int_equal(counts[1] % 3, 0);
        /* Empty the pipe, and begin again with a new database. */
        close(told[0]);
        close(told[1]);
        assert_int_equal(pipe(told), 0);
        assert_int_equal(unlink(path), 0);
        char side[160];
        snprintf(side, sizeof side, "%s-wal", path);
        unlink(side);
        snprintf(side, sizeof side, "%s-shm", path);
        unlink(side);
    }
    close(told[0]);
    close(told[1]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rows_come_back_in_key_order),
        TEST(look_ups_find_one_row),
        TEST(a_case_has_one_content_in_a_set),
        TEST(a_put_that_fails_leaves_nothing),
        TEST(the_run_hash_is_of_what_decides_the_samples),
        TEST(at_rest_it_is_one_private_file),
        TEST(a_second_writer_is_refused_a_reader_is_not),
        TEST(a_missing_database_is_not_made_by_reading),
        TEST(foreign_files_are_left_as_they_are),
        TEST(a_newer_schema_is_left_as_it_is),
        TEST(a_verdict_is_kept),
        TEST(a_paid_reply_is_kept),
        TEST(an_agreement_is_replaced),
        TEST(an_older_schema_is_brought_up_to_date),
        TEST(what_was_made_for_nothing_goes),
        TEST(an_empty_file_becomes_a_database),
        TEST(commits_survive_kill_9),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
