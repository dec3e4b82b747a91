/* report.h: results for people: tables, CSV, JSON, one HTML file. Reads slm_results, computes
 * nothing that eval/ does not define.
 *
 * Arms that were judged by different judges or asked different cases never share a table. A figure
 * that cannot be measured is '-' in tables, empty in CSV and null in JSON, never 0. */
#ifndef SLM_REPORT_H
#define SLM_REPORT_H

#include <stdbool.h>
#include <stdio.h>
#include <jansson.h>
#include "base/error.h"
#include "eval/eval.h"
#include "provider/price.h"
#include "store/store.h"

struct slm_costs;

/* How far a judge agrees with labels: what `slm judge` stored. */
typedef struct slm_report_agreement {
    const char *judge_hash;
    const char *labels; /* their hash */
    const char *name;   /* what the labels are called */
    const char *json;   /* as slm_agreement_kinds_json */
} slm_report_agreement;
/* Everything lives in `arena`. */
slm_status slm_report_agreements(slm_store *store, slm_arena *arena, slm_report_agreement **out,
                                 size_t *count, slm_error *err);

typedef struct slm_report_options {
    bool colour;
    size_t columns;      /* of the terminal; 0: 80; names are shortened to fit, never below 80 */
    size_t html_cases;   /* cases shown with their answers, worst first */
    const char *version; /* of slm, for "what was run"; NULL: not told */
    const slm_target *targets;
    size_t target_count;
    const char *base; /* the arm that regressions are counted from; NULL: a table's first */
    const struct slm_costs *costs; /* NULL: no prices were given */
    const json_t *proof;           /* what `slm data check -o` wrote; NULL: none was given */
    const char *proof_name;        /* its file */
    const slm_report_agreement *agreements;
    size_t agreement_count;
} slm_report_options;
/* No colour, 80 columns, 200 cases. */
slm_report_options slm_report_options_default(void);
/* Is there a model of this name? SLM_ERR_NOT_FOUND lists those that there are. */
slm_status slm_report_base_check(const slm_results *results, const char *name, slm_error *err);

/* Terminal: the first table (seek on lacks, precise on enough, safe on both, act on emergencies,
 * both twins; mean and worst-at-k with intervals, k the smallest N of the models; every arm, then
 * floor, shuffled, echo, always-ask, never-ask), then score, worst-at-k for each k, counts of
 * unscored, refused, empty and cut-off answers, tokens; then what arms.c tells: HealthBench's tags,
 * how answers are written (questions only if they were counted), refusals, pairs, targets. */
void slm_report_print(const slm_results *results, const slm_report_options *options, FILE *out);
/* RFC 4180, lines ended by LF. `what`:
 *   worst-at-k   model,k,worst_at_k,low,high,cases,judge
 *   scores       model,case,rollout,score,judge
 *   measures     model,measure,stratum,k,value,low,high,cases,judge
 *   tags         model,tag,of,samples,bootstrap_std,score,low,high,cases,judge
 *   comparisons  first,second,k,families,left_out,p,p_holm,difference,low,high,cases,judge
 * The floors of single measures ("floor seek") stand in `measures` alone, each with its measure; in
 * the tables they are the row "floor". low and high are the 95% interval. Numbers read back as the same double. SLM_ERR_INVALID for
 * another `what`, naming these; SLM_ERR_IO if `out` fails. */
slm_status slm_report_csv(const slm_results *results, const char *what, FILE *out, slm_error *err);
/* Everything in the tables as one JSON object. The row "floor" names the run of each measure. */
void slm_report_json(const slm_results *results, const slm_report_options *options, FILE *out);
/* The same as Markdown, without answers: a table for each of them. */
void slm_report_markdown(const slm_results *results, const slm_report_options *options, FILE *out);
/* One self-contained HTML file: no network, readable on a telephone, in the dark and on paper. Its one
 * script finds and filters cases; without it everything is there. Its hash is in the page's policy,
 * so nothing else may run. Model answers are data: all text is escaped, long answers are cut with a
 * note. Samples are streamed from the store; the memory needed does not grow with their number. */
slm_status slm_report_html(slm_store *store, const slm_results *results,
                           const slm_report_options *options, FILE *out, slm_error *err);

/* ---- cost (cost.c, cost_print.c) ------------------------------------------------------------ */

typedef struct slm_cost_options {
    double requests;       /* a month */
    bool batch_mode;       /* take each hosted price's own batch discount off; false: none */
    double batch_discount; /* taken off every hosted price instead; below 0: not given */
    double utilisation; /* share of the paid hours in which a machine answers; above 0, up to 1 */
    double tokens_per_second;    /* reply tokens of one machine; 0: as measured in the database */
    bool whole_machines;         /* paid around the clock; false: shares of one are paid */
    const char *const *machines; /* "NAME": of every local model; "ARM=NAME": of that arm */
    size_t machine_count;
    const char *const *arms; /* these alone, by name */
    size_t arm_count;
    bool leave_out; /* what has no price is among left_out, not an error */
} slm_cost_options;
/* A million requests, no discount, utilisation 0.5, measured speed, shares, all arms. */
slm_cost_options slm_cost_options_default(void);

/* What one arm costs in a month, and all that it was computed from. */
typedef struct slm_arm_cost {
    const char *name, *run;
    double usd;              /* a month */
    size_t samples, told;    /* answers, and those that told their tokens: the means are theirs */
    double prompt, cached;   /* tokens a request; cached ones are among the prompt's */
    double reply, reasoning; /* reasoning tokens are among the reply's */
    bool cached_told, reasoning_told;
    /* Hosted: by the token. NULL: from a machine. */
    const slm_price *price;
    const char *model, *host; /* what was looked up; host NULL: any */
    double discount;          /* that was taken off */
    /* From a machine: by the hour. */
    const slm_machine_price *machine;
    double tokens_per_second;
    bool speed_measured;
    double busy_hours; /* in which the machine answers */
    double machines;   /* paid for, of SLM_COST_MONTH_HOURS each; whole if whole_machines */
    double usd_share;  /* with shares of a machine */
    double usd_whole;  /* with whole machines */
} slm_arm_cost;

/* 8,760 hours of a year over 12. */
#define SLM_COST_MONTH_HOURS 730.0

typedef struct slm_costs {
    slm_cost_options options;
    const slm_prices *prices;
    slm_arm_cost *arms;
    size_t count;
    const char **left_out; /* sentences: which run, and why it has no cost */
    size_t left_out_count;
} slm_costs;

/* Arms of models (not baselines) whose answers told their tokens. Everything lives in `arena` and in
 * `prices`. A model or machine without a price: SLM_ERR_NOT_FOUND, naming it and the file; likewise a
 * database without any arm that can be priced. */
slm_status slm_costs_load(slm_store *store, const slm_prices *prices,
                          const slm_cost_options *options, slm_arena *arena, slm_costs *out,
                          slm_error *err);
/* A table, and below it every assumption. */
void slm_costs_print(const slm_costs *costs, FILE *out);
void slm_costs_json(const slm_costs *costs, FILE *out);
/* CSV as slm_report_csv writes it: a row for each arm with a cost; what was not paid is empty. */
slm_status slm_costs_csv(const slm_costs *costs, FILE *out, slm_error *err);

#endif
