/* judge.h: grading an answer against a case's rubric (docs/judges.md).
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
#include <stdio.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/statistics.h"
#include "data/data.h"
#include "provider/chat.h"
#include "provider/embed.h"
#include "store/store.h"

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
    /* A jury's: what each of its judges said, in their order. */
    struct slm_grading **members;
    size_t member_count;
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
    /* Forget what is in flight and ask nothing more for it; NULL: it is polled away. */
    void (*drop)(slm_judge *);
} slm_judge_class;

/* What a judge has done so far. A jury makes no calls; its judges have tallies of their own. */
typedef struct slm_judge_tally {
    uint64_t verdicts; /* wanted of it */
    uint64_t cached;   /* of these: known from the store, or the same question stood twice */
    uint64_t calls, asked_again;
    uint64_t unscored;
    int64_t prompt_tokens, reply_tokens; /* of the calls made now, as far as told */
    uint64_t unanimous, majority;        /* a jury's; unscored: no verdict has more than half */
} slm_judge_tally;

/* What every implementation's struct begins with. */
struct slm_judge {
    const slm_judge_class *class;
    char *name;                 /* "rule" */
    char *identity;             /* hash of method, version and thresholds */
    char *details_json;         /* what it is made of, for reports; NULL: nothing to tell */
    bool is_costly;             /* each criterion is a call: ask for nothing that is not wanted */
    slm_store *store;           /* where verdicts are kept and looked up; NULL: nowhere */
    struct slm_judge **members; /* a jury's judges; freed with it */
    size_t member_count;
    slm_judge_tally tally;
    uint64_t next_ticket;
    size_t in_flight;
};

bool slm_judge_covers(const slm_judge *judge, const slm_case *c, size_t rubric_index);
/* Does it cover a criterion of the case that gives points? */
bool slm_judge_can_score(const slm_judge *judge, const slm_case *c);
/* The case must live until its grading was polled; reply is copied. */
slm_status slm_judge_submit(slm_judge *judge, const slm_case *c, const char *reply,
                            uint64_t *ticket, slm_error *err);
slm_status slm_judge_poll(slm_judge *judge, int timeout_ms, slm_grading **grading, slm_error *err);
void slm_judge_free(slm_judge *judge); /* NULL is allowed */
/* Forget what is in flight, so that the next user does not get it. Waits at most patience_s. */
void slm_judge_drop(slm_judge *judge, double patience_s);
/* Keep verdicts in the store, which must live as long as the judge is used. Of a jury: each judge. */
void slm_judge_use_store(slm_judge *judge, slm_store *store);

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
/* The same matching with an encoder (NULL: without): another judge, "rule+NAME". Takes it. Where the
 * encoder fails an answer is unscored. */
slm_status slm_judge_rule_new_with(slm_embed *encoder, slm_judge **out, slm_error *err);

/* ---- a model as judge ---------------------------------------------------------------------- */

typedef struct slm_judge_options {
    const char *template_text; /* with <<conversation>> and <<rubric_item>>; NULL: slm's own */
    const char *template_name; /* shown in errors and details; NULL: "slm" */
    const char *system_text;   /* NULL: none is sent */
    slm_chat_sampling sampling;
} slm_judge_options;
/* Temperature 0, 1024 tokens. */
slm_judge_options slm_judge_options_default(void);
/* One call for each criterion, up to the chat's width in flight; a reply without a verdict is asked
 * for again, three times in all. Takes the chat, also when it fails. */
slm_status slm_judge_model_new(slm_chat *chat, const slm_judge_options *options, slm_judge **out,
                               slm_error *err);
/* SHA-256 of the grader template of simple-evals (healthbench_eval.py), white space at its ends
 * stripped, as that of --judge-template is. */
extern const char slm_judge_reference_template[];

/* The verdict in a judge's reply: the last JSON object in it that has a string `explanation` and a
 * boolean `criteria_met`, wherever it stands. False: there is none, *why says what was there. The
 * explanation (malloc'd) is at most some 4,000 bytes long. */
bool slm_judge_parse(const char *text, size_t len, bool *met, char **explanation, const char **why);

/* ---- a jury -------------------------------------------------------------------------------- */

/* Two judges or more, all different; takes them, also when it fails. By criterion the verdict of more
 * than half of those who cover it; without one it is unscored. */
slm_status slm_judge_jury_new(slm_judge **members, size_t count, slm_judge **out, slm_error *err);
slm_verdict slm_jury_vote(const slm_verdict *votes, size_t count);

/* ---- labels, and how far a judge agrees with them ------------------------------------------- */

/* What labellers said of a criterion: how many, and what. */
typedef struct slm_label {
    size_t criterion;                      /* index in the rubric of the case as it is stored */
    uint32_t met, not_met;                 /* labellers */
    uint32_t readers_met, readers_not_met; /* where what these differed in was settled: they */
} slm_label;
/* An answer with labels. */
typedef struct slm_labelled {
    slm_case c; /* its rubric: the labelled criteria alone; points 0: not given */
    const char *reply;
    slm_label *labels; /* [c.rubric_count] */
    size_t first;      /* index of its first criterion among all of the set */
    size_t prompt;     /* answers to the same prompt have the same, 0 to prompt_count - 1 */
    const char *half;  /* "fit", "held", or NULL: both */
    const char *run;   /* of labels from a database; else NULL */
    int64_t rollout;
} slm_labelled;
typedef struct slm_labels {
    slm_labelled *items;
    size_t count;
    size_t criteria; /* over all answers: verdicts to be given */
    size_t prompt_count;
    const char *name; /* of the file, or of the judge who gave them */
    char sha256[65];  /* of what is labelled, and how */
    slm_arena arena;
} slm_labels;
/* JSON Lines of {prompt, response, rubrics[{criterion, points, criteria_met}]}, of answers to our own
 * cases: {case, reply, seek, safe, precise} (answers.c), or HealthBench's meta-evaluation: {prompt,
 * completion, rubric, binary_labels, category}. Which, each row tells. cases (may be NULL): those that
 * rows name by id, and whose tags go to the criteria of the same prompt and text. */
slm_status slm_labels_load(const char *path, const slm_cases *cases, slm_labels *out,
                           slm_error *err);
/* Keep the answers of one half ("fit", "held"), and those of none. */
void slm_labels_keep_half(slm_labels *labels, const char *half);
/* The gradings of a judge in the database, by its name or the beginning of its hash. */
slm_status slm_labels_from_store(slm_store *store, const char *judge, slm_labels *out,
                                 slm_error *err);
/* Keep n criteria, drawn at random; all if there are fewer. */
void slm_labels_sample(slm_labels *labels, size_t n, uint64_t seed);
void slm_labels_free(slm_labels *labels);

/* The judge's verdicts on all of them: verdicts[labels->criteria], and of a jury those of each judge
 * behind them (member 0 from labels->criteria on, and so forth). Kept in judge->store as they come.
 * *first_error: of the first unscored one. */
slm_status slm_labels_grade(const slm_labels *labels, slm_judge *judge, slm_log *log,
                            const volatile bool *stop, slm_verdict *verdicts,
                            slm_error *first_error, slm_error *err);
/* Verdicts that a judge (as in slm_labels_from_store) has in the database; others are not covered. */
slm_status slm_labels_stored_verdicts(const slm_labels *labels, slm_store *store, const char *judge,
                                      char hash[65], slm_verdict *verdicts, slm_error *err);

/* A judge whose kappa is below this is not validated (Landis and Koch 1977: from 0.61 on an agreement
 * is substantial). */
#define SLM_KAPPA_VALID 0.6

typedef struct slm_agreement_figure {
    double value;          /* NaN: not defined */
    slm_interval interval; /* 95%, bootstrap over prompts; NaN: not known */
} slm_agreement_figure;
typedef struct slm_agreement {
    size_t criteria, unscored, not_covered; /* verdicts that were wanted, and failed */
    uint64_t cells[2][2];                   /* [label met][judge met], a label each */
    slm_agreement_figure accuracy, balanced_accuracy, macro_f1, kappa;
    slm_agreement_figure sensitivity, specificity; /* share right of labels that say met; not met */
} slm_agreement;
/* Over the criteria that carry a tag (or whose case does); NULL: all. */
slm_agreement slm_agreement_of(const slm_labels *labels, const slm_verdict *verdicts,
                               const char *tag);
/* Over the criteria that ask for a behaviour. */
slm_agreement slm_agreement_of_behaviour(const slm_labels *labels, const slm_verdict *verdicts,
                                         slm_behaviour behaviour);
/* Two judges with each other: the first stands for the labels. */
slm_agreement slm_agreement_between(const slm_labels *labels, const slm_verdict *first,
                                    const slm_verdict *second);
/* The labellers of a criterion with each other, each pair both ways. */
slm_agreement slm_agreement_of_labellers(const slm_labels *labels, const char *tag);
/* The tags that there are, sorted, in the arena. */
const char **slm_labels_tags(const slm_labels *labels, slm_arena *arena, size_t *count);
/* {"criteria":..., "accuracy":{"value","low","high"}, ...}; new reference. */
json_t *slm_agreement_json(const slm_agreement *agreement);
/* The same over all, and in "kinds" by behaviour, as far as there are criteria of it: {"seek":{...},
 * "safe":{...}}. What slm_store_put_agreement keeps for reports. New reference. */
json_t *slm_agreement_kinds_json(const slm_labels *labels, const slm_verdict *verdicts);

/* What this build knows of a judge: its agreement with data/validation/answers.jsonl. */
typedef struct slm_validation {
    const char *judge;         /* its identity */
    const char *labels, *name; /* the hash of the labels, and what they are called */
    const char *json;          /* slm_agreement_kinds_json, canonical */
} slm_validation;
/* NULL: nothing is known of it. */
const slm_validation *slm_judge_validation(const char *judge_identity);

/* ---- sheets for people --------------------------------------------------------------------- */

typedef struct slm_sheet_options {
    size_t n; /* answers */
    uint64_t seed;
    bool blind; /* without the models' names */
} slm_sheet_options;
/* CSV: a row for each criterion of n answers that models gave, balanced over arms and kinds of case.
 * *answers, *arms (may be NULL): how many there are in it. */
slm_status slm_sheet_export(slm_store *store, const slm_sheet_options *options, FILE *out,
                            size_t *answers, size_t *arms, slm_error *err);
/* Called for every answer in which something is filled in; the rest is unscored. */
typedef slm_status slm_sheet_fn(void *context, const char *run, const char *cases_sha256,
                                const slm_case *c, int64_t rollout, const slm_grading *grading,
                                slm_error *err);
/* Every bad cell goes to on_problem with its line and column; then nothing is given to fn, and the
 * status is SLM_ERR_FORMAT. */
slm_status slm_sheet_import(slm_store *store, const char *path,
                            void (*on_problem)(void *context, const slm_error *problem),
                            slm_sheet_fn *fn, void *context, slm_error *err);

#endif
