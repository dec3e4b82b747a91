/* eval_internal.h: what the files of eval/ share: group commits, grading into the store, and a
 * lookup of cases by id. */
#ifndef SLM_EVAL_INTERNAL_H
#define SLM_EVAL_INTERNAL_H

#include "base/buffer.h"
#include "eval/eval.h"

/* Writes that are committed together, about once a second. */
typedef struct eval__writer {
    slm_store *store;
    double age_s; /* 0: WRITER_AGE_S */
    bool is_open;
    double begun_s;
    size_t rows;
} eval__writer;

/* Opens a group if none is open; call before every put. */
slm_status eval__writer_open(eval__writer *writer, slm_error *err);
/* Commits a group that is old or large enough; call between puts. */
slm_status eval__writer_tick(eval__writer *writer, slm_error *err);
slm_status eval__writer_commit(eval__writer *writer, slm_error *err);

enum {
    EVAL_JUDGING = 64, /* answers that a judge is given at a time */
    EVAL_DROP_S = 10,  /* how long what is in flight after a failure is waited for */
};

/* Answers on their way through a judge into the store. */
typedef struct eval__grader {
    slm_judge *judge;
    eval__writer *writer;
    struct {
        uint64_t ticket;
        const char *run;
        const slm_case *c;
        int64_t rollout;
        slm_env_heard *heard; /* NULL: a single reply */
    } pending[EVAL_JUDGING];
    size_t pending_count;
    uint64_t graded, unscored;
    slm_error unscored_error; /* of the first unscored grading */
} eval__grader;

/* run and c must live until the grading is stored; reply is copied. Only while there is room. */
slm_status eval__grader_submit(eval__grader *grader, const char *run, const slm_case *c,
                               int64_t rollout, const char *reply, slm_error *err);
/* The same for the last reply of an episode, whose transcript tells what was said before it. */
slm_status eval__grader_submit_episode(eval__grader *grader, slm_env *env, const char *run,
                                       const slm_case *c, int64_t rollout, const char *reply,
                                       const char *transcript_json, slm_error *err);
/* Stores what has been graded, waiting up to timeout_ms for the first. */
slm_status eval__grader_poll(eval__grader *grader, int timeout_ms, slm_error *err);
/* Waits for all of it. */
slm_status eval__grader_finish(eval__grader *grader, slm_error *err);

/* Forget what is with the judge: it is graded by the next run. */
void eval__grader_drop(eval__grader *grader);
/* Free what waits without asking the judge. */
void eval__grader_free(eval__grader *grader);

/* slm_env_hear from a stored transcript; the policy's replies are read again. */
slm_status eval__hear(slm_env *env, const slm_case *c, const char *transcript_json,
                      slm_env_heard **out, slm_error *err);

/* The settings that a run's hash holds: sampling, and the environment where there is one. malloc'd. */
char *eval__settings_json(const slm_eval_options *options);

/* After a failure: take what the judge still has in flight and forget it, so that the next user does
 * not get it. */
void eval__drop_gradings(slm_judge *judge);

/* Cases that a judge can score: indices into the set, in order. */
typedef struct eval__selection {
    const slm_cases *cases;
    size_t *items;
    size_t count;
    size_t *by_id; /* the same indices sorted by case id */
} eval__selection;
/* The case at a position of the selection. */
static inline const slm_case *eval__case_at(const eval__selection *selection, size_t position)
{
    return &selection->cases->items[selection->items[position]];
}
/* All cases with a covered criterion that gives points; others are an error unless skip. */
slm_status eval__select(const slm_cases *cases, const slm_judge *judge, bool skip_uncovered,
                        slm_log *log, eval__selection *out, slm_error *err);
void eval__selection_free(eval__selection *selection);
/* Position in `items` of the case with this id, or SIZE_MAX. */
size_t eval__selection_find(const eval__selection *selection, const char *case_id);

/* What an arm's run is named by; `sampling` is its settings as JSON, which must live as long. */
slm_run eval__run_of(const slm_eval_arm *arm, const slm_cases *cases,
                     const slm_chat_sampling *sampling, const char *sampling_json);

/* The judge, its coverage of the set and the set's cases, into the store. */
slm_status eval__put_setting(slm_store *store, const slm_cases *cases, slm_judge *judge,
                             slm_error *err);
bool eval__stopped(const slm_eval_options *options);

/* What of a run's samples (selection x k) is there: [case * k + rollout]. */
enum { EVAL_HAS_SAMPLE = 1, EVAL_HAS_GRADING = 2 };
slm_status eval__have(slm_store *store, const char *run, const char *judge_hash,
                      const eval__selection *selection, size_t k, uint8_t *have, slm_error *err);

/* Grades and score of one answer as the store wants them; grades is filled for covered criteria and
 * must have room for all. */
void eval__to_stored(const slm_case *c, const slm_grading *grading, slm_stored_grade *grades,
                     slm_stored_grading *out);

/* The replies of the baselines always-ask and never-ask. */
extern const char eval__always_ask[], eval__never_ask[];

/* ---- floors ---- */

/* What a fixed reply is searched for: the whole score, and each measure of the first table. */
typedef struct eval__floor {
    const char *name, *identity; /* "floor seek", "baseline:floor:seek" */
    slm_behaviour behaviour;     /* SLM_BEHAVIOUR_NONE: the whole score, or both twins right */
    slm_stratum stratum;
    bool is_twins;
} eval__floor;
enum { EVAL_FLOORS = 6 };
extern const eval__floor eval__floors[EVAL_FLOORS]; /* the whole score first */

/* Which cases of the selection a floor's measure counts, and so its run has: members[count]. Returns
 * how many. */
size_t eval__floor_members(const eval__floor *floor, const eval__selection *selection,
                           const slm_judge *judge, bool *members);
/* One reply for each floor and case that it counts: malloc'd strings in replies[EVAL_FLOORS *
 * selection->count], floor by floor, NULL for other cases; *made false where there is nothing to
 * search. */
slm_status eval__floor_search(const eval__selection *selection, slm_judge *judge,
                              const slm_eval_options *options, slm_log *log, char **replies,
                              bool *made, slm_error *err);

/* ---- what figures count ---- */

bool eval__in_stratum(const slm_case *c, slm_stratum stratum);
/* What is right in a case of a pair of twins: to seek where facts lack, else to be precise. */
slm_behaviour eval__twin_behaviour(const slm_case *c);
/* As slm_rollout_scores.met, into met[c->rubric_count]. */
void eval__met_of(const slm_case *c, const slm_stored_grading *grading, int8_t *met);
/* As slm_rollout_scores.behaviours; c may be NULL. */
void eval__judge_behaviours(const slm_case *c, const int8_t *met, int8_t *out);
/* Words and characters of an answer. A word is a run of anything but white space that holds a letter
 * or a digit, so languages that write without spaces have few. */
void eval__count_text(const char *text, uint32_t *words, uint32_t *characters);

/* ---- units: what a case, or a pair of twins, has of a measure ---- */

typedef struct eval__unit {
    const slm_case_scores *scores; /* of twins: their family's first case */
    double value;                  /* NaN: fewer scores than k */
    double low, high;              /* NaN: fewer rollouts than k */
} eval__unit;
typedef struct eval__units {
    eval__unit *items;
    size_t count;
    bool clip;     /* the mean is clipped to [0,1] */
    bool is_share; /* values in [0,1]: the exact interval holds at the ends */
} eval__units;
eval__units eval__units_of(const slm_arm *arm, const slm_measure *measure);
void eval__units_free(eval__units *units);
/* Every scored answer's value, malloc'd; how many. Not of twins. */
size_t eval__values_of(const slm_arm *arm, const slm_measure *measure, double **out);
/* HealthBench's length-adjusted score of one answer (docs/scoring.md). */
double eval__length_adjusted(double score, uint32_t characters);
/* As slm_tag_score.bootstrap_std. */
double eval__bootstrap_std(const double *values, size_t n);
/* Sets family_count and each case's family_index. */
void eval__number_families(slm_arm *arm);

/* Sums of values, family by family. */
typedef struct eval__tally {
    double *sums;
    size_t *counts;
    size_t families, with_value; /* all of the arm; those with a value */
    double sum;
    size_t count;
} eval__tally;
eval__tally eval__tally_new(size_t families);
void eval__tally_add(eval__tally *t, size_t family, double value);
/* Has each family with a value the same mean? */
bool eval__tally_alike(const eval__tally *t);
void eval__tally_free(eval__tally *t);

typedef struct eval__resamples eval__resamples;
/* 95% interval of sum(sums) / sum(counts) over families, by the draws that all figures share. Those
 * with a count of 0 do not matter but as part of what is drawn from. Not for two threads at once. */
slm_interval eval__bootstrap(const slm_results *results, size_t families, const double *sums,
                             const size_t *counts, bool clip);

/* ---- import ---- */

typedef struct eval__import {
    slm_store *store;
    slm_log *log;
    const char *path;
    const char *name;       /* of the model, or NULL */
    const slm_cases *cases; /* those of --cases, or NULL */
    const slm_case **by_id; /* the same, sorted */
    char file_sha256[65];
    size_t added;
} eval__import;
extern const char eval__imported_judge[]; /* "imported": hash and name */

slm_status eval__import_put_run(eval__import *im, const char *model, const char *system_text,
                                const char *cases_sha256, char hash[65], slm_error *err);
/* A sample with its grading; what both are of is filled in from the sample. */
slm_status eval__import_put(eval__import *im, slm_sample *sample, slm_stored_grading *grading,
                            slm_error *err);
/* The case of --cases with this id; NULL: there is none. */
const slm_case *eval__import_find(const eval__import *im, const char *case_id);
/* Says how many scores were left out, since --cases does not have their case; an error if all. */
slm_status eval__import_left_out(const eval__import *im, size_t all, size_t left_out,
                                 slm_error *err);
slm_status eval__import_simple(eval__import *im, const slm_buffer *text, slm_error *err);

#endif
