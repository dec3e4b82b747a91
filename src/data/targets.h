/* targets.h: what of a case is looked for in a text. */
#ifndef SLM_DATA_TARGETS_H
#define SLM_DATA_TARGETS_H

#include "data/data.h"
#include "match/match.h"

/* How many slm_case_targets gives. */
size_t slm_case_target_count(const slm_case *c);
/* Into out, in this order: follow-ups as questions, key points as statements, advice, never as harm.
 * The texts are the case's. Returns their number. */
size_t slm_case_targets(const slm_case *c, slm_match_target *out);

#endif
