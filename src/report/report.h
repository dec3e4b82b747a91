/* report.h: results for people: tables, CSV, JSON, one HTML file. Reads slm_results, computes
 * nothing that eval/ does not define.
 *
 * Arms that were judged by different judges or asked different cases never share a table. A figure
 * that cannot be measured is '-' in tables, empty in CSV and null in JSON, never 0. */
#ifndef SLM_REPORT_H
#define SLM_REPORT_H

#include <stdbool.h>
#include <stdio.h>
#include "base/error.h"
#include "eval/eval.h"
#include "store/store.h"

typedef struct slm_report_options {
    bool colour;
    size_t columns;      /* of the terminal; 0: 80; names are shortened to fit, never below 80 */
    size_t html_cases;   /* cases shown with their answers, worst first */
    const char *version; /* of slm, for "what was run"; NULL: not told */
    const slm_target *targets;
    size_t target_count;
} slm_report_options;
/* No colour, 80 columns, 200 cases. */
slm_report_options slm_report_options_default(void);

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
/* One self-contained HTML file: no script, no network, readable on a telephone, in the dark and on
 * paper. Model answers are data: all text is escaped, long answers are cut with a note. Samples are
 * streamed from the store; the memory needed does not grow with their number. */
slm_status slm_report_html(slm_store *store, const slm_results *results,
                           const slm_report_options *options, FILE *out, slm_error *err);

#endif
