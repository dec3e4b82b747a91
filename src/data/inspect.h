/* inspect.h: is a set of cases fit to train on and to measure with (inspect.c)?
 *
 * Schema, duplicates, likeness across sides, overlap with benchmarks, personal data, balance, and
 * whether looks alone tell the cases apart. What is wrong with the cases is a finding with file and
 * line; only what keeps the checks from looking is an error. */
#ifndef SLM_DATA_INSPECT_H
#define SLM_DATA_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "base/arena.h"
#include "base/error.h"

struct slm_embed; /* provider/embed.h */

typedef struct slm_data_check_options {
    /* What must not be in the cases: files or folders of any format that slm_import knows, or JSON. */
    const char *const *against;
    size_t against_count;
    struct slm_embed *encoder; /* sentence vectors; NULL: TF-IDF */
    const json_t *wanted;      /* {"context": {"lacks": 0.55}}: shares of the cases; or NULL */
    /* How far a share may be off; the Jaccard index of word 5-grams that makes near duplicates; the
     * cosines from which pairs across sides are listed and texts overlap with one of `against`; the
     * most that the surface test may reach. */
    double tolerance, near, alike, overlap, surface_auc;
    bool plain_rows; /* HealthBench's fields alone: skip what asks for ours */
} slm_data_check_options;
slm_data_check_options slm_data_check_options_default(void);

/* SHOWN is for a person to read, and fails nothing; of NOT_RUN the summary says why. */
typedef enum slm_data_verdict {
    SLM_DATA_PASS,
    SLM_DATA_FAIL,
    SLM_DATA_SHOWN,
    SLM_DATA_NOT_RUN
} slm_data_verdict;
const char *slm_data_verdict_name(slm_data_verdict verdict); /* "pass" */

typedef struct slm_data_finding {
    const char *check, *kind, *file, *text; /* "personal", "phone" */
    size_t line;                            /* 0: of the set */
    bool fails;
} slm_data_finding;

typedef struct slm_data_result {
    const char *check, *summary, *detail; /* detail: lines to show below, or NULL */
    slm_data_verdict verdict;
    json_t *numbers;
} slm_data_result;

typedef struct slm_data_report {
    slm_data_result results[8];
    size_t result_count, finding_count;
    slm_data_finding *findings;
    bool failed;
    json_t *proof; /* what was compared with what, by hash, and what was found; or NULL */
    slm_arena arena;
} slm_data_report;
/* Each file is a side of the split. Fails only where nothing can be looked at (no such file); what
 * is wrong with the cases is in the report. *out is freed with slm_data_report_free. */
slm_status slm_data_check(const char *const *files, size_t file_count,
                          const slm_data_check_options *options, slm_data_report *out,
                          slm_error *err);
json_t *slm_data_report_json(const slm_data_report *report); /* a new reference */
void slm_data_report_free(slm_data_report *report);

#endif
