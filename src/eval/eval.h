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
#include "judge/judge.h"
#include "provider/chat.h"
#include "store/store.h"

/* ---- the loop ------------------------------------------------------------------------------ */

typedef struct slm_eval_arm {
    slm_chat *chat;
    const char *system_text;  /* NULL or "": none is sent */
    const char *details_json; /* slm's version, kernel path, threads: kept with the run, not hashed;
                                 may be NULL */
} slm_eval_arm;

typedef struct slm_eval_options {
    int64_t k; /* rollouts of each case, >= 1 */
    slm_chat_sampling sampling;
    bool skip_uncovered;       /* leave out cases that the judge covers nothing of */
    const volatile bool *stop; /* set by a signal handler: finish what is in flight to the store and
                                   return SLM_ERR_CANCELLED; may be NULL */
    double commit_s;           /* results are committed at least this often; 0: 0.8 */
} slm_eval_options;

/* Runs every arm, then the baselines (below) with the same judge. Says the judge's coverage on log
 * before the first sample; a case with no covered criterion is an error unless skip_uncovered. */
slm_status slm_eval_run(slm_store *store, const slm_cases *cases, const slm_eval_arm *arms,
                        size_t arm_count, slm_judge *judge, const slm_eval_options *options,
                        slm_log *log, slm_error *err);

/* ---- baselines ----------------------------------------------------------------------------- */

/* Arms that no model speaks, graded by the same judge and stored as runs of kind "baseline":
 *   floor       the best fixed reply, found by greedy search over sentences taken from the other
 *               cases' follow-ups, advice and key points, and from always-ask and never-ask, so as
 *               to raise the mean score of the other cases; families are held out together (5 folds)
 *   floor seek, floor precise, floor safe, floor act, floor twins
 *               the same for a measure alone, over the cases that it counts; a measure that counts
 *               no case has none. None is worse on its measure than floor, always-ask or never-ask
 *   always-ask  one fixed reply of general questions for every case
 *   never-ask   one fixed reply of general advice for every case
 *   echo        the user's last message as the reply
 *   shuffled    each model arm's answers against another case's checks (another family, a fixed
 *               rotation): stored under the model's run name with kind "baseline"
 * model_identity is "baseline:NAME" ("baseline:floor:seek", "baseline:shuffled:RUNHASH"). k = 1,
 * shuffled: k. */
slm_status slm_eval_baselines(slm_store *store, const slm_cases *cases,
                              const char *const *model_runs, size_t model_run_count,
                              slm_judge *judge, const slm_eval_options *options, slm_log *log,
                              slm_error *err);

/* ---- HealthBench scoring ------------------------------------------------------------------- */

/* Points met over positive points (Arora et al. 2025, section 4), over the covered criteria; not
 * clipped. verdicts[rubric_count]. Unscored criteria: *has_score false, and low/high with each taken
 * as it would lower or raise the score. No positive points among the covered: has_score false. */
typedef struct slm_score {
    bool has_score;
    double score, low, high;
} slm_score;
slm_score slm_score_case(const slm_case *c, const slm_verdict *verdicts);

/* ---- worst at k ---------------------------------------------------------------------------- */

/* Expected worst (best) of k answers drawn without replacement from the n scores of a case:
 * sum over i of s(i) C(i-1,k-1) / C(n,k), s sorted descending (ascending for best). 1 <= k <= n.
 * Exact: computed by the ratio of successive terms. `sorted` is sorted in place. */
double slm_worst_at_k(double *scores, size_t n, size_t k);
double slm_best_at_k(double *scores, size_t n, size_t k);

/* ---- what the report is made of ------------------------------------------------------------ */

/* What one rollout got from one judge. */
typedef struct slm_rollout_scores {
    int64_t rollout;
    bool has_score;
    double score, low, high;
    /* By slm_behaviour: 1 right (its covered criteria are met, those with negative points are not),
     * 0 wrong, -1 a criterion that decides is unscored, -2 none is covered. */
    int8_t behaviours[SLM_BEHAVIOUR_ACT + 1];
} slm_rollout_scores;

typedef struct slm_case_scores {
    const char *case_id, *family;
    size_t position;
    size_t family_index; /* 0 to the arm's family_count - 1 */
    const slm_case *c;   /* NULL: the database has scores of it, but not the case itself */
    double *scores;      /* of the graded rollouts with a score, in the order of rollouts */
    size_t count;
    size_t samples;               /* all rollouts that are there, scored or not */
    double low_sum, high_sum;     /* sums of the bounds over `rollouts`, for the bounded mean */
    slm_rollout_scores *rollouts; /* those that the judge was given, in order */
    size_t rollout_count;
} slm_case_scores;

/* One arm under one judge; a "measure" of NULL is the whole score, else only criteria of one
 * behaviour count: a sample's value is 1 if every covered criterion of it is met, else 0. */
typedef struct slm_arm {
    slm_run run;
    const char *judge_hash, *judge_name, *coverage_json;
    slm_case_scores *cases; /* in the order of their set; imported ones by id */
    size_t case_count;
    size_t family_count;
    size_t samples, scored, unscored, refused, empty, cut_off;
    int64_t reply_tokens, prompt_tokens;
} slm_arm;

/* Everything in a database, loaded once into `arena`. */
typedef struct slm_results {
    slm_arm
        *arms; /* order: models by first appearance in key order, then imported, then baselines */
    size_t arm_count;
    slm_case *cases; /* those of all sets, parsed */
    size_t case_count;
} slm_results;
slm_status slm_results_load(slm_store *store, slm_arena *arena, slm_results *out, slm_error *err);

/* A figure with its 95% interval: bootstrap over families (rollouts are never resampled); where the
 * value is exactly 0 or 1, the exact binomial bound over families. One family, or families that are
 * all alike, with another value tell nothing of how families differ: the interval is NaN. */
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

/* Mean of case means (k = 1) or mean over cases of worst-at-k, for a behaviour (SLM_BEHAVIOUR_NONE:
 * the whole score; clipped to [0,1] after the mean) within a stratum. k <= samples of every case;
 * cases with fewer scores than k make the figure NaN. */
slm_figure slm_figure_worst_at_k(const slm_results *results, const slm_arm *arm,
                                 slm_behaviour behaviour, slm_stratum stratum, size_t k);
/* The share of families with both twins (a lacks and an enough case) where both are right in a
 * rollout (same index): seek met on lacks and precise met on enough. k as above. */
slm_figure slm_figure_twins(const slm_results *results, const slm_arm *arm, size_t k);
/* Smallest number of scored rollouts over the arm's cases. */
size_t slm_arm_max_k(const slm_arm *arm);

/* ---- import and export --------------------------------------------------------------------- */

/* simple-evals `_allresults.json`, or CSV with a header `model,case,rollout,score`: runs of kind
 * "imported" with gradings by the judge "imported". The format is told from the content; `name`
 * (may be NULL) names the model of a file that holds one. Importing a CSV again changes nothing; a
 * score that differs from a stored one is an error. A further `_allresults.json` of the same name
 * adds rollouts; the same file again adds nothing. All or nothing of a file is imported. */
slm_status slm_eval_import(slm_store *store, const char *path, const char *name, slm_log *log,
                           slm_error *err);
/* The database's content as JSON Lines in key order (one object a row, "table" first): what two
 * equal evaluations have equal. Timings and a run's details are left out: they tell how it went, not
 * what came out. */
slm_status slm_eval_export(slm_store *store, FILE *out, slm_error *err);

#endif
