/* judge_internal.h: what the files of judge/ share. */
#ifndef SLM_JUDGE_INTERNAL_H
#define SLM_JUDGE_INTERNAL_H

#include "base/buffer.h"
#include "base/hash.h"
#include "base/json.h"
#include "judge/judge.h"

/* ---- prompt.c ---- */

extern const char judge__own_template[];
/* What every reply has to be, as a JSON schema. */
extern const char judge__schema[];
/* The same with a longest explanation, for chats that can hold a reply to one. */
extern const char judge__schema_bounded[];
/* Both placeholders stand in it. `name` is shown. */
slm_status judge__template_check(const char *text, const char *name, slm_error *err);
/* "role: content" of every turn and of the answer, blank lines between. */
void judge__append_conversation(slm_buffer *out, const slm_case *c, const char *reply);
/* "[points] criterion"; without points where they are 0. */
void judge__append_criterion(slm_buffer *out, const slm_rubric_item *item);
/* The template with both put in, each wherever it is asked for; what is put in is not looked at. */
void judge__append_prompt(slm_buffer *out, const char *template_text, const char *conversation,
                          const char *criterion);

/* ---- answers.c ---- */

/* A labelled answer to one of our cases; its rubric may come out empty. */
slm_status judge__read_answer(slm_labels *l, const slm_cases *cases, const json_t *row,
                              const slm_json_place *place, slm_labelled *out, slm_error *err);

/* ---- stored.c: what a database has ---- */

/* The cases of all sets, parsed, and the runs that have cases. */
typedef struct judge__stored_case {
    const char *set; /* cases_sha256 */
    slm_case c;
} judge__stored_case;
typedef struct judge__stored_run {
    const char *hash, *name, *kind, *set;
} judge__stored_run;
typedef struct judge__stored {
    judge__stored_case *cases; /* sorted by set and id */
    size_t case_count;
    judge__stored_run *runs; /* in the order of their hashes */
    size_t run_count;
} judge__stored;
/* Everything in the arena. */
slm_status judge__stored_load(slm_store *store, slm_arena *arena, judge__stored *out,
                              slm_error *err);
/* NULL if there is none. */
const slm_case *judge__stored_find(const judge__stored *stored, const char *set,
                                   const char *case_id);
/* The judge of this name, hash, or beginning of a hash. */
slm_status judge__stored_judge(slm_store *store, const char *judge, char hash[SLM_SHA256_HEX_BYTES],
                               slm_buffer *name, slm_error *err);

#endif
