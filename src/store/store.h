/* store.h: the results database (docs/results-database.md), SQLite, mode 0600, one writer.
 *
 * A run is an arm: one model with one system text and one sampling over one set of cases. Its hash
 * names it, so evaluating again adds what is missing. Samples and gradings are written in
 * transactions as they come; what was committed survives kill -9. Measured times stand in `timings`
 * alone, so that two databases of the same work are equal but for that table. Rows are keyed by
 * content (run hash, case id, rollout), never by arrival: their order of arrival leaves no trace. */
#ifndef SLM_STORE_H
#define SLM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"

typedef struct slm_store slm_store;

/* Opens or makes the database. A file that is not one of ours, or of a newer schema, is an error
 * that leaves it untouched. read_only never creates. A second writer is refused by a lock on
 * PATH-lock (an empty file, there while a writer is; a killed one leaves it behind, which does no
 * harm); readers may come and go while a writer works. */
slm_status slm_store_open(const char *path, bool read_only, slm_store **out, slm_error *err);
/* A file that was made at the opening and into which nothing was put is removed. NULL is allowed. */
void slm_store_close(slm_store *store);

/* What makes a run. All strings may be NULL but model_name. */
typedef struct slm_run {
    const char *hash;           /* set by slm_run_hash */
    const char *model_name;     /* shown in reports (--name); not part of the hash */
    const char *model_identity; /* slm_chat.identity, or "baseline:floor", "imported:NAME" */
    const char *kind;           /* "model", "baseline", "imported" */
    const char *system_text;    /* NULL: none was sent */
    const char *sampling_json;
    const char *cases_sha256;
    int64_t seed;
    const char *details_json; /* path, threads, versions: shown, not hashed, not exported */
} slm_run;
/* SHA-256 over the parts that decide the samples (everything but hash, model_name, details). */
void slm_run_hash(const slm_run *run, char hex[65]);
/* Insert the run; if its hash is there, only its model_name becomes the new one (it is what reports
 * show, not what was run). */
slm_status slm_store_put_run(slm_store *store, const slm_run *run, slm_error *err);
/* Insert a case's canonical JSON under its id unless there; another content under the same id within
 * the same set is an error. position: its index in the set. */
slm_status slm_store_put_case(slm_store *store, const char *cases_sha256, const char *case_id,
                              const char *family, size_t position, const char *json,
                              slm_error *err);

typedef struct slm_sample {
    const char *run, *case_id;
    int64_t rollout;
    const char *reply;
    const char *transcript_json; /* messages as they were sent and answered */
    const char *finish;          /* "stop", "length", "refused"; "unknown" for imported scores */
    int64_t prompt_tokens, reply_tokens, reasoning_tokens; /* -1: not told */
    /* How it went this time, not what came out: these go to timings. */
    int64_t cached_tokens; /* -1: not told */
    double time_s;
} slm_sample;
/* Inserts; a sample that is there already is left alone (*inserted false). */
slm_status slm_store_put_sample(slm_store *store, const slm_sample *sample, bool *inserted,
                                slm_error *err);

typedef struct slm_stored_grade {
    int64_t criterion; /* index in the case's rubric */
    int met;           /* 1, 0, or -1: unscored (NULL in the database) */
    const char *explanation;
    int64_t prompt_tokens, reply_tokens;
} slm_stored_grade;
typedef struct slm_stored_grading {
    const char *run, *case_id;
    int64_t rollout;
    const char *judge_hash;
    bool has_score;                 /* false: a selected criterion is unscored */
    double score;                   /* unclipped */
    double low, high;               /* the score's bounds: unscored taken as worst and best */
    const char *status;             /* "scored", "unscored" */
    const slm_stored_grade *grades; /* covered criteria only; may be empty for imported scores */
    size_t grade_count;
} slm_stored_grading;
/* Replaces a grading of the same sample by the same judge, in one transaction. */
slm_status slm_store_put_grading(slm_store *store, const slm_stored_grading *grading,
                                 slm_error *err);
/* name: "rule", "imported". */
slm_status slm_store_put_judge(slm_store *store, const char *hash, const char *name,
                               slm_error *err);
/* How much of a set of cases a judge grades, shown beside every score; replaces what was there. */
slm_status slm_store_put_coverage(slm_store *store, const char *judge_hash,
                                  const char *cases_sha256, const char *coverage_json,
                                  slm_error *err);
/* That the file of this hash was imported into a run. *inserted false: it was before. */
slm_status slm_store_put_import(slm_store *store, const char *run, const char *file_sha256,
                                bool *inserted, slm_error *err);

/* A judge's verdict on a question (a hash of conversation, answer and criterion), kept so that no
 * call is made twice for it. What came first stays. Failures are not stored. */
typedef struct slm_stored_verdict {
    bool met;
    int64_t attempts;                    /* calls that it took */
    int64_t prompt_tokens, reply_tokens; /* of all of them; -1: not told */
    const char *explanation;             /* NULL: none */
} slm_stored_verdict;
slm_status slm_store_put_verdict(slm_store *store, const char *judge_hash, const char *question,
                                 const slm_stored_verdict *verdict, slm_error *err);
/* *found false: not known. The explanation lives in `arena`. */
slm_status slm_store_get_verdict(slm_store *store, const char *judge_hash, const char *question,
                                 slm_arena *arena, bool *found, slm_stored_verdict *out,
                                 slm_error *err);
/* A model's reply to a request (a hash of all that decides it), kept so that no call is paid twice.
 * What came first stays. Failures are not stored. */
typedef struct slm_stored_call {
    const char *finish, *reply;
    int64_t prompt_tokens, reply_tokens; /* -1: not told */
} slm_stored_call;
slm_status slm_store_put_call(slm_store *store, const char *model, const char *request,
                              const slm_stored_call *call, slm_error *err);
/* *found false: not known. Texts live in `arena`. */
slm_status slm_store_get_call(slm_store *store, const char *model, const char *request,
                              slm_arena *arena, bool *found, slm_stored_call *out, slm_error *err);
/* How far a judge agrees with labels (slm judge): `labels` is their hash, or that of the judge who
 * gave them, `name` what they are called. Replaces what was there. */
slm_status slm_store_put_agreement(slm_store *store, const char *judge_hash, const char *labels,
                                   const char *name, const char *json, slm_error *err);

/* Group writes: begin, many puts, commit. Puts outside of a group are transactions of their own.
 * Closing a store drops a group that was not committed, as does a rollback. */
slm_status slm_store_begin(slm_store *store, slm_error *err);
slm_status slm_store_commit(slm_store *store, slm_error *err);
void slm_store_rollback(slm_store *store);

/* Several readings that see one and the same state while a writer works. No-ops within a group. */
slm_status slm_store_begin_reading(slm_store *store, slm_error *err);
void slm_store_end_reading(slm_store *store);

/* Reading. Rows are given in key order to a callback; strings live until it returns. A callback
 * that returns false stops the reading. Filters may be NULL. */
typedef bool slm_store_run_fn(void *context, const slm_run *run);
slm_status slm_store_runs(slm_store *store, slm_store_run_fn *fn, void *context, slm_error *err);
typedef bool slm_store_judge_fn(void *context, const char *hash, const char *name);
slm_status slm_store_judges(slm_store *store, slm_store_judge_fn *fn, void *context,
                            slm_error *err);
/* The sets of cases that are there. */
typedef bool slm_store_case_set_fn(void *context, const char *cases_sha256);
slm_status slm_store_case_sets(slm_store *store, slm_store_case_set_fn *fn, void *context,
                               slm_error *err);
typedef bool slm_store_case_fn(void *context, const char *case_id, const char *family,
                               size_t position, const char *json);
slm_status slm_store_cases(slm_store *store, const char *cases_sha256, slm_store_case_fn *fn,
                           void *context, slm_error *err);
typedef bool slm_store_sample_fn(void *context, const slm_sample *sample);
slm_status slm_store_samples(slm_store *store, const char *run, slm_store_sample_fn *fn,
                             void *context, slm_error *err);
typedef bool slm_store_grading_fn(void *context, const slm_stored_grading *grading);
slm_status slm_store_gradings(slm_store *store, const char *run, const char *judge_hash,
                              slm_store_grading_fn *fn, void *context, slm_error *err);
/* Samples without their transcripts (transcript_json is NULL); `empty` tells that the reply is
 * nothing but white space. */
typedef bool slm_store_sample_facts_fn(void *context, const slm_sample *sample, bool empty);
slm_status slm_store_sample_facts(slm_store *store, const char *run, slm_store_sample_facts_fn *fn,
                                  void *context, slm_error *err);
/* Keys of a run's samples. graded: this judge gave it a score (unscored ones are graded again). */
typedef bool slm_store_key_fn(void *context, const char *case_id, int64_t rollout, bool graded);
slm_status slm_store_sample_keys(slm_store *store, const char *run, const char *judge_hash,
                                 slm_store_key_fn *fn, void *context, slm_error *err);
/* All judges' coverages: a row for each judge and set of cases. */
typedef bool slm_store_coverage_fn(void *context, const char *judge_hash, const char *cases_sha256,
                                   const char *coverage_json);
slm_status slm_store_coverages(slm_store *store, slm_store_coverage_fn *fn, void *context,
                               slm_error *err);
typedef bool slm_store_import_fn(void *context, const char *run, const char *file_sha256);
slm_status slm_store_imports(slm_store *store, slm_store_import_fn *fn, void *context,
                             slm_error *err);
typedef bool slm_store_agreement_fn(void *context, const char *judge_hash, const char *labels,
                                    const char *name, const char *json);
slm_status slm_store_agreements(slm_store *store, slm_store_agreement_fn *fn, void *context,
                                slm_error *err);
/* One sample, its strings in `arena`; SLM_ERR_NOT_FOUND if it is not there. */
slm_status slm_store_get_sample(slm_store *store, const char *run, const char *case_id,
                                int64_t rollout, slm_arena *arena, slm_sample *out, slm_error *err);
/* Is the sample there? */
slm_status slm_store_has_sample(slm_store *store, const char *run, const char *case_id,
                                int64_t rollout, bool *has, slm_error *err);

#endif
