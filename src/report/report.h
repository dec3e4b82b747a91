/* report.h: results for people: tables, CSV, JSON, one HTML file. Reads slm_results, computes
 * nothing that eval/ does not define. */
#ifndef SLM_REPORT_H
#define SLM_REPORT_H

#include <stdbool.h>
#include <stdio.h>
#include "base/error.h"
#include "eval/eval.h"
#include "store/store.h"

typedef struct slm_report_options {
    bool colour;
    size_t html_cases;        /* cases shown with their answers, worst first; default 200 */
    const char *version;      /* of slm, for "what was run" */
} slm_report_options;

/* Terminal: the first table (seek on lacks, precise on enough, safe on both, act on emergencies,
 * both twins; mean and worst-at-k with intervals; every arm, then floor, shuffled, echo, always-ask,
 * never-ask), then score, worst-at-k for each k, counts of unscored, refused, empty and cut-off. */
void slm_report_print(const slm_results *results, const slm_report_options *options, FILE *out);
/* `what`: "worst-at-k" (model,judge,k,worst_at_k,low,high,cases), "scores" (model,judge,case,
 * rollout,score) or "measures" (model,judge,measure,stratum,k,value,low,high,cases). Numbers with
 * enough digits to read back the same double. */
slm_status slm_report_csv(const slm_results *results, const char *what, FILE *out, slm_error *err);
/* Everything in the tables as one JSON object. */
void slm_report_json(const slm_results *results, const slm_report_options *options, FILE *out);
/* One self-contained HTML file: no script needed, no network, readable on a telephone, in the dark
 * and on paper. Model answers are data: all text is escaped. */
slm_status slm_report_html(slm_store *store, const slm_results *results,
                           const slm_report_options *options, FILE *out, slm_error *err);

#endif
