/* export.c: a database's content as JSON Lines, for people's own tools and for comparing two.
 *
 * Rows come table by table in key order, with keys of each object in one fixed order, so equal
 * content gives equal bytes. Left out are the times and a run's details: they tell how the work
 * went, and differ between two runs of the same work. */
#include "eval/eval_internal.h"

#include <inttypes.h>
#include <errno.h>
#include <string.h>
#include "base/json.h"

typedef struct exporter {
    FILE *out;
    slm_buffer row;
    const char *cases_sha256; /* of the cases being read */
    bool failed;
} exporter;

static void begin(exporter *e, const char *table)
{
    slm_buffer_truncate(&e->row, 0);
    slm_buffer_printf(&e->row, "{\"table\":\"%s\"", table);
}

static void put_text(exporter *e, const char *key, const char *text)
{
    slm_buffer_printf(&e->row, ",\"%s\":", key);
    if (text)
        slm_json_append_string(&e->row, text, strlen(text));
    else
        slm_buffer_append_text(&e->row, "null");
}

static void put_integer(exporter *e, const char *key, int64_t value)
{
    slm_buffer_printf(&e->row, ",\"%s\":%" PRId64, key, value);
}

/* -1 that means "not told" becomes null. */
static void put_count(exporter *e, const char *key, int64_t value)
{
    if (value < 0)
        put_text(e, key, NULL);
    else
        put_integer(e, key, value);
}

static void put_number(exporter *e, const char *key, double value)
{
    slm_buffer_printf(&e->row, ",\"%s\":", key);
    slm_json_append_number(&e->row, value);
}

static bool end(exporter *e)
{
    slm_buffer_append_text(&e->row, "}\n");
    if (fwrite(e->row.data, 1, e->row.len, e->out) != e->row.len) e->failed = true;
    return !e->failed;
}

static bool on_run(void *context, const slm_run *run)
{
    exporter *e = context;
    begin(e, "runs");
    put_text(e, "hash", run->hash);
    put_text(e, "model_name", run->model_name);
    put_text(e, "model_identity", run->model_identity);
    put_text(e, "kind", run->kind);
    put_text(e, "system_text", run->system_text);
    put_text(e, "sampling", run->sampling_json);
    put_text(e, "cases_sha256", run->cases_sha256);
    put_integer(e, "seed", run->seed);
    return end(e);
}

static bool on_judge(void *context, const char *hash, const char *name)
{
    exporter *e = context;
    begin(e, "judges");
    put_text(e, "hash", hash);
    put_text(e, "name", name);
    return end(e);
}

static bool on_coverage(void *context, const char *judge, const char *cases, const char *json)
{
    exporter *e = context;
    begin(e, "coverages");
    put_text(e, "judge", judge);
    put_text(e, "cases_sha256", cases);
    put_text(e, "coverage", json);
    return end(e);
}

static bool on_import(void *context, const char *run, const char *file_sha256)
{
    exporter *e = context;
    begin(e, "imports");
    put_text(e, "run", run);
    put_text(e, "file_sha256", file_sha256);
    return end(e);
}

static bool on_case(void *context, const char *id, const char *family, size_t position,
                    const char *json)
{
    exporter *e = context;
    begin(e, "cases");
    put_text(e, "cases_sha256", e->cases_sha256);
    put_text(e, "case", id);
    put_text(e, "family", family);
    put_integer(e, "position", (int64_t)position);
    put_text(e, "json", json);
    return end(e);
}

static bool on_sample(void *context, const slm_sample *sample)
{
    exporter *e = context;
    begin(e, "samples");
    put_text(e, "run", sample->run);
    put_text(e, "case", sample->case_id);
    put_integer(e, "rollout", sample->rollout);
    put_text(e, "finish", sample->finish);
    put_count(e, "prompt_tokens", sample->prompt_tokens);
    put_count(e, "reply_tokens", sample->reply_tokens);
    put_count(e, "reasoning_tokens", sample->reasoning_tokens);
    put_text(e, "reply", sample->reply);
    put_text(e, "transcript", sample->transcript_json);
    return end(e);
}

static void put_key(exporter *e, const slm_stored_grading *grading)
{
    put_text(e, "run", grading->run);
    put_text(e, "judge", grading->judge_hash);
    put_text(e, "case", grading->case_id);
    put_integer(e, "rollout", grading->rollout);
}

static bool on_grading(void *context, const slm_stored_grading *grading)
{
    exporter *e = context;
    begin(e, "gradings");
    put_key(e, grading);
    if (grading->has_score)
        put_number(e, "score", grading->score);
    else
        put_text(e, "score", NULL);
    put_number(e, "low", grading->low);
    put_number(e, "high", grading->high);
    put_text(e, "status", grading->status);
    if (!end(e)) return false;
    for (size_t i = 0; i < grading->grade_count; i++) {
        const slm_stored_grade *grade = &grading->grades[i];
        begin(e, "grades");
        put_key(e, grading);
        put_integer(e, "criterion", grade->criterion);
        slm_buffer_printf(&e->row, ",\"met\":%s",
                          grade->met < 0 ? "null"
                          : grade->met   ? "true"
                                         : "false");
        put_text(e, "explanation", grade->explanation);
        put_count(e, "prompt_tokens", grade->prompt_tokens);
        put_count(e, "reply_tokens", grade->reply_tokens);
        if (!end(e)) return false;
    }
    return true;
}

typedef struct set_reader {
    exporter *e;
    slm_store *store;
    slm_status status;
    slm_error *err;
} set_reader;

static bool on_set(void *context, const char *sha256)
{
    set_reader *r = context;
    r->e->cases_sha256 = sha256;
    r->status = slm_store_cases(r->store, sha256, on_case, r->e, r->err);
    return r->status == SLM_OK && !r->e->failed;
}

slm_status slm_eval_export(slm_store *store, FILE *out, slm_error *err)
{
    exporter e = {.out = out};
    set_reader sets = {.e = &e, .store = store, .err = err};
    slm_status status = SLM_OK;
    SLM_TRY(slm_store_begin_reading(store, err));
    SLM_TRY_OUT(slm_store_runs(store, on_run, &e, err));
    SLM_TRY_OUT(slm_store_judges(store, on_judge, &e, err));
    SLM_TRY_OUT(slm_store_case_sets(store, on_set, &sets, err));
    SLM_TRY_OUT(sets.status);
    SLM_TRY_OUT(slm_store_coverages(store, on_coverage, &e, err));
    SLM_TRY_OUT(slm_store_imports(store, on_import, &e, err));
    SLM_TRY_OUT(slm_store_samples(store, NULL, on_sample, &e, err));
    SLM_TRY_OUT(slm_store_gradings(store, NULL, NULL, on_grading, &e, err));
    if (fflush(out) != 0) e.failed = true;
    if (e.failed)
        status = slm_error_set(err, SLM_ERR_IO, "cannot write the export: %s", strerror(errno));
out:
    slm_store_end_reading(store);
    slm_buffer_free(&e.row);
    return status;
}
