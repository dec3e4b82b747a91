/* targets.c: a case's follow-ups, key points, advice and harms as what a matcher looks for.
 *
 * The rule judge grades by them and the environment rewards by them, so both must see the same, in the
 * same order. */
#include "data/targets.h"

size_t slm_case_target_count(const slm_case *c)
{
    return c->follow_up_count + c->key_point_count + c->advice_count + c->never_count;
}

size_t slm_case_targets(const slm_case *c, slm_match_target *out)
{
    size_t n = 0;
    for (size_t i = 0; i < c->follow_up_count; i++)
        out[n++] = (slm_match_target){SLM_MATCH_QUESTION, c->follow_ups[i].question, NULL};
    for (size_t i = 0; i < c->key_point_count; i++)
        out[n++] = (slm_match_target){SLM_MATCH_STATEMENT, c->key_points[i].text, NULL};
    for (size_t i = 0; i < c->advice_count; i++)
        out[n++] =
            (slm_match_target){SLM_MATCH_ADVICE, c->advice[i].then_text, c->advice[i].if_text};
    for (size_t i = 0; i < c->never_count; i++)
        out[n++] = (slm_match_target){SLM_MATCH_HARM, c->never[i].text, NULL};
    return n;
}
