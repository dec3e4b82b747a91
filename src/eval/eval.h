/* eval.h: k rollouts of every case, graded, into the store; and the figures that follow from them.
 *
 * The loop knows no model and no judge, only their doors. It keeps the model's width in flight,
 * stores each sample as it comes and grades it, and starts from what the store already has. */
#ifndef SLM_EVAL_H
#define SLM_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/statistics.h"
#include "data/data.h"
#include "env/env.h"
#include "judge/judge.h"
#include "provider/chat.h"
#include "store/store.h"

typedef struct slm_eval_arm {
    slm_chat *chat;
    const char *system_text;  /* NULL or "": none is sent */
    const char *details_json; /* version, kernel path, threads: kept, not hashed; may be NULL */
} slm_eval_arm;

typedef struct slm_eval_options {
    int64_t k; /* rollouts of each case, >= 1 */
    slm_chat_sampling sampling;
    bool skip_uncovered;       /* leave out cases that the judge covers nothing of */
    const volatile bool *stop; /* set by a signal handler: store what is in flight, then
                                  SLM_ERR_CANCELLED; may be NULL */
    slm_env *env;      /* rollouts are episodes in it (docs/rewards.md); NULL: single replies */
    slm_chat *patient; /* speaks where env wants a model; else NULL */
    double commit_s;   /* results are committed at least this often; 0: 0.8 */
    bool is_part; /* one of several: slm_eval_check was before, slm_eval_baselines comes after */
    char (*run_hashes)[65]; /* of each arm, "" where it was not reached; may be NULL */
} slm_eval_options;

/* Says the judge's coverage on log; a case with no covered criterion that gives points is an error
 * unless skip_uncovered: then it says how many are left out, and all of them is an error. */
slm_status slm_eval_check(const slm_cases *cases, const slm_judge *judge, bool skip_uncovered,
                          slm_log *log, slm_error *err);

/* slm_eval_check, every arm, then the baselines with the same judge; of a part the arms alone. */
slm_status slm_eval_run(slm_store *store, const slm_cases *cases, const slm_eval_arm *arms,
                        size_t arm_count, slm_judge *judge, const slm_eval_options *options,
                        slm_log *log, slm_error *err);

/* What a run of these arms, all of one chat, would still ask. */
typedef struct slm_eval_plan {
    uint64_t answers, prompt_bytes;  /* of the model */
    uint64_t criteria, judged_bytes; /* of a judge at most, and their texts without the answers */
} slm_eval_plan;
/* `store` NULL: nothing is there yet. Writes nothing. */
slm_status slm_eval_plan_of(slm_store *store, const slm_cases *cases, const slm_eval_arm *arms,
                            size_t arm_count, const slm_judge *judge,
                            const slm_eval_options *options, slm_eval_plan *out, slm_error *err);

/* A grading that did not come from a judge of this run (a person's sheet): scored and stored. */
slm_status slm_eval_put_grading(slm_store *store, const char *run, const slm_case *c,
                                int64_t rollout, const char *judge_hash, const slm_grading *grading,
                                slm_error *err);

/* ---- baselines ----------------------------------------------------------------------------- */

/* Arms that no model speaks, graded by the same judge and stored as runs of kind "baseline":
 *   floor       the best fixed reply, searched for on other cases (floor.c)
 *   floor seek, floor precise, floor safe, floor act, floor twins
 *               the same for a measure alone, over the cases that it counts; a measure that counts
 *               no case has none. None is worse on its measure than floor, always-ask or never-ask
 *   always-ask, never-ask   one fixed reply of general questions, of general advice
 *   echo        the user's last message as the reply
 *   shuffled    each model arm's answers against another case's checks (another family, a fixed
 *               rotation): stored under the model's run name with kind "baseline"
 * model_identity is "baseline:NAME" ("baseline:floor:seek", "baseline:shuffled:RUNHASH"). k = 1,
 * shuffled: k. With a costly judge none is made, and log says so. */
slm_status slm_eval_baselines(slm_store *store, const slm_cases *cases,
                              const char *const *model_runs, size_t model_run_count,
                              slm_judge *judge, const slm_eval_options *options, slm_log *log,
                              slm_error *err);

/* Points met over positive points, over the covered criteria; not clipped. With unscored criteria
 * has_score is false, and low and high take each as it would lower or raise the score. Without
 * positive points among the covered: has_score false. */
typedef struct slm_score {
    bool has_score;
    double score, low, high;
} slm_score;
slm_score slm_score_case(const slm_case *c, const slm_verdict *verdicts);
slm_score slm_score_grading(const slm_case *c, const slm_grading *grading);
/* Expected worst of k answers drawn from n scores, 1 <= k <= n (worst.c); sorts `scores`. */
double slm_worst_at_k(double *scores, size_t n, size_t k);

/* ---- what the report is made of ------------------------------------------------------------ */

/* What one rollout got from one judge. */
typedef struct slm_rollout_scores {
    int64_t rollout;
    bool has_score;
    double score, low, high;
    /* By slm_behaviour: 1 right (its covered criteria are met, those with negative points are not),
     * 0 wrong, -1 a criterion that decides is unscored, -2 none is covered. */
    int8_t behaviours[SLM_BEHAVIOUR_ACT + 1];
    /* By criterion: 1 met, 0 not met, -1 unscored, -2 not covered. NULL: the case is not there. */
    const int8_t *met;
    /* The answer itself. Scores imported from CSV have no text: there is nothing to count. */
    bool has_text, is_refused, is_empty, is_cut_off;
    uint32_t words, characters; /* characters: code points, as HealthBench's length counts them */
    int32_t questions;          /* -1: not counted (slm_results_count_questions) */
} slm_rollout_scores;

typedef struct slm_case_scores {
    const char *case_id, *family;
    size_t position, family_index; /* family_index: 0 to the arm's family_count - 1 */
    const slm_case *c; /* NULL: the database has scores of it, but not the case itself */
    double *scores;    /* of the graded rollouts with a score, in the order of rollouts */
    size_t count;
    size_t samples;               /* all rollouts that are there, scored or not */
    slm_rollout_scores *rollouts; /* those that the judge was given, in order */
    size_t rollout_count;
} slm_case_scores;

/* One arm under one judge. */
typedef struct slm_arm {
    slm_run run;
    const char *judge_hash, *judge_name, *coverage_json;
    slm_case_scores *cases; /* in the order of their set; imported ones by id */
    size_t case_count, family_count;
    size_t samples, scored, unscored, refused, empty, cut_off;
    int64_t reply_tokens, prompt_tokens;
} slm_arm;

/* Everything in a database, loaded once into `arena`. */
typedef struct slm_results {
    slm_arm *arms; /* models in key order, then imported ones, then baselines */
    size_t arm_count;
    slm_case *cases; /* those of all sets, parsed */
    size_t case_count;
    slm_arena *arena;                   /* given to slm_results_load */
    struct eval__resamples **resamples; /* what figures share: their bootstrap draws once */
} slm_results;
slm_status slm_results_load(slm_store *store, slm_arena *arena, slm_results *out, slm_error *err);
/* Count every answer's questions; about 0.1 ms each, so only reports that show them do it. */
slm_status slm_results_count_questions(slm_store *store, slm_results *results, slm_error *err);

/* A figure with its 95% interval: bootstrap over families; for a share of exactly 0 or 1 the exact
 * binomial bound over families; NaN for one family, or families that are all alike. */
typedef struct slm_figure {
    double value; /* NaN: nothing to measure */
    slm_interval interval;
    double low, high; /* the value's bounds when unscored samples are taken as worst and best */
    size_t cases;
} slm_figure;

/* Which cases count: by context, disposition, or all. */
typedef enum slm_stratum {
    SLM_STRATUM_ALL,
    SLM_STRATUM_LACKS,     /* context lacks and not an emergency */
    SLM_STRATUM_ENOUGH,    /* context enough and not an emergency */
    SLM_STRATUM_EMERGENCY, /* disposition emergency */
    SLM_STRATUM_BOTH,      /* lacks or enough */
} slm_stratum;

/* What is measured of an arm. */
typedef enum slm_measure_kind {
    SLM_MEASURE_SCORE,           /* the whole score, clipped to [0,1] after the mean */
    SLM_MEASURE_BEHAVIOUR,       /* a sample is 1 if every covered criterion of it is met, else 0 */
    SLM_MEASURE_TWINS,           /* as slm_figure_twins */
    SLM_MEASURE_TAG,             /* HealthBench's score of an example or criterion tag */
    SLM_MEASURE_LENGTH_ADJUSTED, /* the score less a penalty for length (docs/scoring.md) */
    SLM_MEASURE_WORDS,           /* of an answer */
    SLM_MEASURE_CHARACTERS,
    SLM_MEASURE_QUESTIONS, /* in an answer; needs slm_results_count_questions */
    SLM_MEASURE_ASKS,      /* share of answers with a question; likewise */
    SLM_MEASURE_REFUSED,   /* share of answers that the model refused */
} slm_measure_kind;
typedef struct slm_measure {
    slm_measure_kind kind;
    slm_behaviour behaviour; /* of SLM_MEASURE_BEHAVIOUR */
    slm_stratum stratum;
    const char *tag; /* of SLM_MEASURE_TAG */
    size_t k;        /* worst of k; 0 and 1: the mean. Of words to questions always the mean */
} slm_measure;
/* A figure is a mean over cases, of each case's mean or worst at k. NaN where a case has fewer scores
 * than k, or nothing counts. */
slm_figure slm_figure_of(const slm_results *results, const slm_arm *arm,
                         const slm_measure *measure);

/* The same for a behaviour (SLM_BEHAVIOUR_NONE: the whole score). */
slm_figure slm_figure_worst_at_k(const slm_results *results, const slm_arm *arm,
                                 slm_behaviour behaviour, slm_stratum stratum, size_t k);
/* The share of families with a lacks and an enough case where both are right in the same rollout:
 * seek met on lacks and precise on enough. */
slm_figure slm_figure_twins(const slm_results *results, const slm_arm *arm, size_t k);
/* Smallest number of scored rollouts over the arm's cases. */
size_t slm_arm_max_k(const slm_arm *arm);

/* ---- HealthBench's figures ------------------------------------------------------------------ */

/* The score of a tag (docs/scoring.md). An example tag ("theme:hedging") has the whole score of the
 * cases that carry it; a criterion tag ("axis:accuracy", "cluster:...") that of the criteria that
 * carry it: a case in which none of these gives points does not count. */
typedef struct slm_tag_score {
    const char *tag;
    bool is_criterion_tag;
    slm_figure figure;    /* mean over cases, clipped to [0,1]; interval over families */
    double bootstrap_std; /* what the reference's approaches: over samples, not families */
    size_t samples;       /* the reference's n_samples: scored answers that count */
} slm_tag_score;
/* All tags of an arm that begin with `prefix` ("theme:", "axis:", "cluster:", NULL: any), sorted. An
 * arm without cases (scores alone) has none. */
void slm_arm_tag_scores(const slm_results *results, const slm_arm *arm, const char *prefix,
                        slm_arena *arena, slm_tag_score **out, size_t *count);
/* The whole score with the same figures beside it; its tag is "score". */
slm_tag_score slm_arm_aggregate(const slm_results *results, const slm_arm *arm);

/* May this arm's score stand beside OpenAI's published figures? Only with the reference's grader
 * template and gpt-4.1 as the judge, over all criteria. *why: a sentence on it, in the arena. */
bool slm_arm_is_comparable(const slm_arm *arm, slm_arena *arena, const char **why);

/* ---- arms against each other --------------------------------------------------------------- */

/* Two arms on the cases that both have: first minus second, mean over cases, not clipped. p: two-sided
 * sign-flip test over families (exact up to 2^14 flips, else 10,000 drawn with a fixed seed). */
typedef struct slm_comparison {
    const slm_arm *first, *second;
    slm_measure measure;
    double difference;     /* NaN: no case in which both have a value */
    slm_interval interval; /* 95%, bootstrap over families; NaN where it is not known */
    double low, high; /* the difference's bounds with unscored samples taken as worst and best */
    size_t cases, families;
    size_t left_out;  /* cases of both in which one of them has no score */
    double p, p_holm; /* p_holm: over the pairs that were compared together */
    bool is_exact;
} slm_comparison;
slm_comparison slm_compare(const slm_results *results, const slm_arm *first, const slm_arm *second,
                           const slm_measure *measure);
/* All pairs of models and imported scores under one judge on one set of cases, with Holm's correction
 * over the pairs of each such set. */
void slm_compare_all(const slm_results *results, const slm_measure *measure, slm_arena *arena,
                     slm_comparison **out, size_t *count);

/* A target: "score=0.4", "seek=80%", "score@4=0.2" (worst of 4), "theme:hedging=0.3", "twins=50%".
 * Names: score, length-adjusted, seek, precise, safe, act, twins, or a tag with a colon. */
typedef struct slm_target {
    const char *name; /* as it was given, without its value */
    slm_measure measure;
    double value;
} slm_target;
/* Strings live in the arena. SLM_ERR_INVALID says what is wrong and what names there are. */
slm_status slm_target_parse(const char *text, slm_arena *arena, slm_target *out, slm_error *err);
/* Nothing to measure; missed; reached by the value alone; met by the lower end of the interval, and
 * with unscored answers taken as worst. */
typedef enum slm_target_state {
    SLM_TARGET_UNKNOWN,
    SLM_TARGET_MISSED,
    SLM_TARGET_REACHED,
    SLM_TARGET_MET,
} slm_target_state;
const char *slm_target_state_name(slm_target_state state); /* "met"; "unknown" */
slm_target_state slm_target_check(const slm_results *results, const slm_arm *arm,
                                  const slm_target *target, slm_figure *figure);

/* Mean score over samples of the refused answers, and of the others; NaN: there are none. */
typedef struct slm_refusals {
    size_t samples, refused, empty, cut_off;
    slm_figure share; /* of refused answers */
    double score_refused, score_answered;
} slm_refusals;
slm_refusals slm_arm_refusals(const slm_results *results, const slm_arm *arm);

/* The results of some cases and criteria (the limit is not looked at), computed anew from the verdicts.
 * Scores without verdicts can be cut by case id alone (also_in). Arms that keep no case are left out.
 * What is left shares memory with `results`. */
slm_status slm_results_select(const slm_results *results, const slm_cases_options *options,
                              slm_arena *arena, slm_results *out, slm_error *err);

/* simple-evals' `_allresults.json`, or CSV with a header `model,case,rollout,score`: runs of kind
 * "imported", graded by "imported". `name` (may be NULL) names the model of a file that holds one.
 * A CSV again changes nothing; a score that differs from a stored one is an error. A further
 * `_allresults.json` of the same name adds rollouts, the same one nothing. All of a file or nothing.
 * cases (may be NULL): what was evaluated; scores of other cases are left out, and of the verdicts in
 * a file those on the cases' criteria are kept. Without it a `_allresults.json` tells its cases
 * itself, but for the examples' tags. */
slm_status slm_eval_import(slm_store *store, const char *path, const char *name,
                           const slm_cases *cases, slm_log *log, slm_error *err);
/* The database's content as JSON Lines in key order, without timings and details: what two equal
 * evaluations have equal. */
slm_status slm_eval_export(slm_store *store, FILE *out, slm_error *err);
/* One arm as simple-evals' `_allresults.json`; SLM_ERR_UNSUPPORTED where there are scores alone. */
slm_status slm_eval_export_simple(slm_store *store, const slm_results *results, const slm_arm *arm,
                                  FILE *out, slm_error *err);
/* The arm of a model and a judge, each by its name or the beginning of its hash (6 characters at
 * least); NULL for either: any, but no baseline. Several that fit are an error that lists them. */
slm_status slm_results_find_arm(const slm_results *results, const char *model, const char *judge,
                                const slm_arm **out, slm_error *err);

#endif
