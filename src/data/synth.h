/* synth.h: an inventory of questions -> cases, written by a model after a plan (docs/synth.md).
 *
 * The plan's cells say how many cases of which kind there are to be; every question is drawn into one
 * of them. A model writes what only it can (conversation, questions, key points, reply); ids, facts,
 * rubrics and tags are built around that, and the whole is held to what slm_cases_check asks of our
 * own cases and more. What fails goes back to the model once, with what is wrong; what fails again is
 * set aside with the reasons.
 *
 * Records are appended to two files, cases and those set aside, in the order of the inventory, and
 * synced. A run that was ended anyhow goes on behind the last whole record; replies that were paid
 * for and not yet written are in the store. */
#ifndef SLM_DATA_SYNTH_H
#define SLM_DATA_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/log.h"
#include "provider/chat.h"
#include "store/store.h"

typedef struct slm_synth_plan slm_synth_plan;
extern const char slm_synth_default_plan[]; /* YAML */
/* path NULL: the default plan. Errors name file, line and field. */
slm_status slm_synth_plan_load(const char *path, slm_synth_plan **out, slm_error *err);
void slm_synth_plan_free(slm_synth_plan *plan); /* NULL is allowed */

typedef struct slm_synth_options {
    const char *output, *rejects; /* the two files */
    slm_chat_sampling sampling;   /* its seed draws the cells too */
    size_t limit;                 /* the first n questions; 0: all */
    const char *set;              /* in the cases: tag set:NAME */
    const char *source, *licence; /* in the cases */
    bool no_schema;               /* ask without a JSON schema, for hosts that refuse one */
    bool give_up;                 /* set aside too what got no reply at all */
    slm_log *log;                 /* NULL: none */
    const volatile bool *stop;    /* NULL: never */
} slm_synth_options;
slm_synth_options slm_synth_options_default(void);

/* One row for each cell, and one for the twins of a cell that has some. */
typedef struct slm_synth_count {
    const char *cell;
    bool is_twins;
    size_t planned, written, set_aside; /* the rest is still to do */
} slm_synth_count;
typedef struct slm_synth_summary {
    slm_synth_count *cells, total;
    size_t cell_count;
    size_t done_before;                  /* of written and set aside: by an earlier run */
    size_t failed;                       /* got no reply */
    uint64_t calls, cached, repairs;     /* cached: replies from the store; repairs: second tries */
    int64_t prompt_tokens, reply_tokens; /* of calls, as far as told */
    slm_error first_failure;             /* SLM_OK: none */
} slm_synth_summary;

typedef struct slm_synth slm_synth;

/* Reads questions, draws their scenarios, and finds what the two files hold already; writes nothing.
 * The plan must outlive it. Files that hold anything else than the beginning of this very work are an
 * error. */
slm_status slm_synth_open(const char *inventory, const slm_synth_plan *plan,
                          const slm_synth_options *options, slm_synth **out, slm_error *err);
/* How many calls are still to make if none has to be repaired, and about how many bytes of prompts. */
uint64_t slm_synth_calls_left(const slm_synth *synth, uint64_t *prompt_bytes);
/* The work. store may be NULL: then nothing is remembered but the records. SLM_ERR_CANCELLED if
 * stopped; a budget that is spent or a model that does not answer ends it too, and what is left is in
 * the summary. */
slm_status slm_synth_run(slm_synth *synth, slm_chat *chat, slm_store *store, slm_error *err);
const slm_synth_summary *slm_synth_summary_of(const slm_synth *synth);
void slm_synth_free(slm_synth *synth); /* NULL is allowed */

#endif
