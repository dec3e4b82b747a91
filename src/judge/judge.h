/* judge.h: grading an answer against a case's rubric.
 *
 * A judge grades criteria one by one: met, not met, or unscored (the judge failed: never a verdict,
 * ARCHITECTURE.md). A criterion that a judge does not grade at all is not covered, which is known
 * before it sees an answer. The door is asynchronous, so that judges behind a model keep many
 * calls in flight; the rule judge answers at the next poll. */
#ifndef SLM_JUDGE_H
#define SLM_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "data/data.h"

typedef enum slm_verdict {
    SLM_VERDICT_NOT_COVERED,
    SLM_VERDICT_UNSCORED,
    SLM_VERDICT_NOT_MET,
    SLM_VERDICT_MET,
} slm_verdict;

typedef struct slm_grade {
    slm_verdict verdict;
    char *explanation; /* one or two sentences; NULL if none */
    int64_t prompt_tokens, reply_tokens;
} slm_grade;

typedef struct slm_grading {
    uint64_t ticket;
    slm_grade *grades; /* one for each rubric item of the case */
    size_t count;
    slm_error error; /* set when any grade is unscored */
} slm_grading;
void slm_grading_free(slm_grading *grading); /* NULL is allowed */

typedef struct slm_judge slm_judge;
typedef struct slm_judge_class {
    /* True if the judge grades this criterion. */
    bool (*covers)(const slm_judge *, const slm_case *, size_t rubric_index);
    slm_status (*submit)(slm_judge *, const slm_case *, const char *reply, uint64_t ticket,
                         slm_error *);
    slm_status (*poll)(slm_judge *, int timeout_ms, slm_grading **, slm_error *);
    void (*free)(slm_judge *);
} slm_judge_class;

/* What every implementation's struct begins with. */
struct slm_judge {
    const slm_judge_class *class;
    char *name;     /* "rule" */
    char *identity; /* hash of method, version and thresholds */
    uint64_t next_ticket;
    size_t in_flight;
};

bool slm_judge_covers(const slm_judge *judge, const slm_case *c, size_t rubric_index);
/* The case must live until its grading was polled; reply is copied. */
slm_status slm_judge_submit(slm_judge *judge, const slm_case *c, const char *reply,
                            uint64_t *ticket, slm_error *err);
slm_status slm_judge_poll(slm_judge *judge, int timeout_ms, slm_grading **grading, slm_error *err);
void slm_judge_free(slm_judge *judge); /* NULL is allowed */

/* How much of a set a judge covers: stated before a run. */
typedef struct slm_coverage {
    size_t criteria, criteria_covered;
    size_t cases,
        cases_covered; /* cases with at least one covered criterion with positive points */
} slm_coverage;
slm_coverage slm_judge_coverage(const slm_judge *judge, const slm_cases *cases);

/* The rule judge: seek, precise, safe and act over match/, and plain checks (any of asks is asked,
 * every one of says is said, none of avoids is said) where a criterion has no behaviour tag. Covers
 * criteria that carry a check. Deterministic. */
slm_status slm_judge_rule_new(slm_judge **out, slm_error *err);

#endif
