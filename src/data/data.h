/* data.h: cases. One reader for HealthBench rows and our superset (data/ask-first/README.md).
 *
 * A case file is JSON Lines. HealthBench's own fields are required (prompt_id, prompt, rubrics);
 * ours are optional, but where present they must be right: ids unique, references resolve, weights
 * within bounds. Every error names file, line and field. */
#ifndef SLM_DATA_H
#define SLM_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "base/arena.h"
#include "base/error.h"

typedef struct slm_turn {
    const char *role; /* "system", "user", "assistant" */
    const char *content;
} slm_turn;

typedef enum slm_context { SLM_CONTEXT_NONE, SLM_CONTEXT_LACKS, SLM_CONTEXT_ENOUGH } slm_context;
typedef enum slm_disposition {
    SLM_DISPOSITION_NONE,
    SLM_DISPOSITION_EMERGENCY,
    SLM_DISPOSITION_URGENT,
    SLM_DISPOSITION_ROUTINE,
    SLM_DISPOSITION_SELF_CARE,
} slm_disposition;

/* Tiers in order of rank: emergency is highest. */
typedef enum slm_tier {
    SLM_TIER_EMERGENCY,
    SLM_TIER_NEXT_STEP,
    SLM_TIER_CAUSE,
    SLM_TIER_OTHER,
} slm_tier;

typedef struct slm_follow_up {
    const char *id, *question, *why;
    slm_tier tier;
    int weight; /* 1-5 */
} slm_follow_up;

typedef struct slm_fact {
    const char *id, *follow_up, *topic, *answer; /* follow_up: an id, or NULL */
} slm_fact;

typedef struct slm_key_point {
    const char *id, *text;
    bool must;
} slm_key_point;

typedef struct slm_advice {
    const char *id, *if_text, *then_text;
} slm_advice;

typedef struct slm_never {
    const char *id, *text;
} slm_never;

/* What a rubric item measures, from its tag "behaviour:seek" and so on. */
typedef enum slm_behaviour {
    SLM_BEHAVIOUR_NONE,
    SLM_BEHAVIOUR_SEEK,
    SLM_BEHAVIOUR_PRECISE,
    SLM_BEHAVIOUR_SAFE,
    SLM_BEHAVIOUR_ACT,
} slm_behaviour;
const char *slm_behaviour_name(slm_behaviour behaviour);       /* "seek"; "none" */
const char *slm_tier_name(slm_tier tier);                      /* "emergency", "next_step", ... */
const char *slm_context_name(slm_context context);             /* "lacks"; "none" */
const char *slm_disposition_name(slm_disposition disposition); /* "self-care"; "none" */

typedef struct slm_id_list {
    const char **ids;
    size_t count;
} slm_id_list;

/* The rule judge's handle on a criterion: ids of follow_ups (asks), of key_points and advice
 * (says), of never (avoids). */
typedef struct slm_check {
    slm_id_list asks, says, avoids;
} slm_check;

typedef struct slm_rubric_item {
    const char *criterion;
    double points; /* not 0 */
    const char **tags;
    size_t tag_count;
    slm_behaviour behaviour;
    const slm_check *check; /* NULL: only a model or a person can grade it; a seek check has asks,
                               a precise, safe or act check has says: the reader sees to it */
} slm_rubric_item;

typedef struct slm_case {
    const char *id;     /* prompt_id */
    const char *family; /* id where the file has none: a family of one */
    slm_turn *turns;    /* the last one is the user's */
    size_t turn_count;
    slm_rubric_item *rubrics;
    size_t rubric_count;
    const char **tags; /* example_tags */
    size_t tag_count;
    const char *ideal; /* ideal_completions_data.ideal_completion, or NULL */
    slm_context context;
    slm_disposition disposition;
    int difficulty; /* 1-5; 0: not given */
    slm_follow_up *follow_ups;
    size_t follow_up_count;
    slm_fact *facts;
    size_t fact_count;
    slm_key_point *key_points;
    size_t key_point_count;
    slm_advice *advice;
    size_t advice_count;
    slm_never *never;
    size_t never_count;
    const char *reply, *specialty, *register_name, *language, *gloss, *source,
        *licence;     /* or NULL */
    const char *file; /* where it was read: a path, or the name given to slm_case_parse */
    size_t line;      /* in its file */
    const char *json; /* canonical JSON of the whole row: what a results database keeps */
} slm_case;

typedef struct slm_cases {
    slm_case *items;
    size_t count;
    char sha256[65]; /* over the rows' canonical JSON in order: identity of the set */
    slm_arena arena; /* owns everything above */
    /* What a filter left out: rows read, and of the cases kept their criteria before and after. */
    size_t rows_read, criteria_read, criteria_kept;
} slm_cases;

/* A tag is named as it stands ("theme:hedging") or by a shell pattern ("axis:*"). */
typedef struct slm_cases_options {
    size_t limit;            /* first n cases over all files; 0: all */
    const char *const *tags; /* keep cases that have every one of these example tags */
    size_t tag_count;
    const char *const *also_in; /* keep cases whose prompt_id stands in every one of these files */
    size_t also_in_count;
    /* Keep criteria that any of these fits: one of its tags, or its whole text (case ignored). The
     * others are taken out of the case, so the points to be had are those of the kept ones; a case
     * that keeps none with positive points is left out. */
    const char *const *criteria;
    size_t criteria_count;
} slm_cases_options;

/* The filter alone, for cases that were read before. The limit is not part of it. */
typedef struct slm_cases_filter slm_cases_filter;
slm_status slm_cases_filter_open(const slm_cases_options *options, slm_cases_filter **out,
                                 slm_error *err);
void slm_cases_filter_free(slm_cases_filter *filter); /* NULL is allowed */
/* Is the case wanted by its id; by its tags? */
bool slm_cases_filter_wants_id(const slm_cases_filter *filter, const char *id);
bool slm_cases_filter_wants_tags(const slm_cases_filter *filter, const slm_case *c);
bool slm_cases_filter_keeps(const slm_cases_filter *filter, const slm_rubric_item *item);

/* Read the files in order; an id that occurs twice is an error. Fails on the first wrong row, unless
 * on_problem is given: then it is called for each and reading goes on, and the status is that of the
 * first problem. *out is freed with slm_cases_free. */
slm_status slm_cases_load(const char *const *paths, size_t path_count,
                          const slm_cases_options *options,
                          void (*on_problem)(void *context, const slm_error *problem),
                          void *context, slm_cases *out, slm_error *err);
/* One case from its canonical JSON (a results database's copy); `name` is for errors. */
slm_status slm_case_parse(const char *json, const char *name, size_t line, slm_arena *arena,
                          slm_case *out, slm_error *err);
void slm_cases_free(slm_cases *cases);

/* HealthBench's meta-evaluation (oss_meta_eval.jsonl): an answer, one criterion, and what physicians
 * said of it. A row is one (answer, criterion) pair with two or more labels. */
typedef struct slm_meta_row {
    const char *id;  /* completion_id, else prompt_id, else "FILE:LINE" */
    slm_turn *turns; /* the conversation before the answer */
    size_t turn_count;
    const char *completion;  /* the answer */
    const char *rubric;      /* the criterion as a judge is shown it */
    const char *category;    /* the consensus criterion: clusters are compared one by one */
    const bool *labels;      /* by physician: is the criterion met? */
    const char **physicians; /* anonymous ids, beside labels */
    size_t label_count;
    size_t line;
} slm_meta_row;
typedef struct slm_meta_rows {
    slm_meta_row *items;
    size_t count;
    char sha256[65]; /* over the rows' canonical JSON in order */
    slm_arena arena;
} slm_meta_rows;
/* limit 0: all. *out is freed with slm_meta_rows_free. */
slm_status slm_meta_rows_load(const char *path, size_t limit, slm_meta_rows *out, slm_error *err);
void slm_meta_rows_free(slm_meta_rows *rows); /* NULL is allowed */

/* Our own cases, held to data/ask-first/README.md: every field, 3-7 follow-ups, 1-4 key points, 1-3
 * advice, families with a twin hold both lacks and enough, follow-ups answered by facts, no
 * duplicate texts; and the rubric that the rule judge reads: lacks seek (all follow-ups of the
 * highest tier) and safe, enough precise (every must point) and safe, emergencies act and safe.
 * Calls on_problem with file:line for each finding; returns how many. */
size_t slm_cases_check(const slm_cases *cases,
                       void (*on_problem)(void *context, const slm_error *problem), void *context);

/* Helpers over one case. NULL if there is no such id. */
const slm_follow_up *slm_case_follow_up(const slm_case *c, const char *id);
const slm_key_point *slm_case_key_point(const slm_case *c, const char *id);
const slm_advice *slm_case_advice(const slm_case *c, const char *id);
const slm_never *slm_case_never(const slm_case *c, const char *id);
/* The highest tier among the case's follow-ups; SLM_TIER_OTHER if it has none. */
slm_tier slm_case_highest_tier(const slm_case *c);
bool slm_case_has_tag(const slm_case *c, const char *tag);

/* side[i] of each case: 0 training, 1 development, 2 test. Families stay whole, their kinds (contexts
 * and dispositions) are shared out alike. An error if a family stands in two files. */
slm_status slm_cases_split(const slm_cases *cases, double dev, double test, uint64_t seed,
                           int *side, slm_error *err);

#endif
