/* judge_internal.h: what the files of judge/ share. */
#ifndef SLM_JUDGE_INTERNAL_H
#define SLM_JUDGE_INTERNAL_H

#include "base/buffer.h"
#include "judge/judge.h"

/* ---- prompt.c ---- */

extern const char judge__own_template[];
/* What every reply has to be, as a JSON schema. */
extern const char judge__schema[];
/* Both placeholders stand in it. `name` is shown. */
slm_status judge__template_check(const char *text, const char *name, slm_error *err);
/* "role: content" of every turn and of the answer, blank lines between. */
void judge__append_conversation(slm_buffer *out, const slm_case *c, const char *reply);
/* "[points] criterion"; without points where they are 0. */
void judge__append_criterion(slm_buffer *out, const slm_rubric_item *item);
/* The template with both put in, each wherever it is asked for; what is put in is not looked at. */
void judge__append_prompt(slm_buffer *out, const char *template_text, const char *conversation,
                          const char *criterion);

#endif
