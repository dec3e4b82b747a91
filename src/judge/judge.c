/* judge.c: what all judges share: tickets, the count in flight, coverage.
 *
 * The door is asynchronous: submit hands over an answer, poll brings gradings back in any order, and
 * the ticket says which is which. Coverage is known from the cases alone, so that a run can say
 * before its first call how much of the rubrics its scores will rest on. */
#include <stdlib.h>
#include "base/progress.h"
#include "judge/judge.h"

void slm_grading_free(slm_grading *grading)
{
    if (grading == NULL) return;
    for (size_t i = 0; i < grading->member_count; i++)
        slm_grading_free(grading->members[i]);
    free(grading->members);
    for (size_t i = 0; i < grading->count; i++)
        free(grading->grades[i].explanation);
    free(grading->grades);
    free(grading);
}

bool slm_judge_covers(const slm_judge *judge, const slm_case *c, size_t rubric_index)
{
    return rubric_index < c->rubric_count && judge->class->covers(judge, c, rubric_index);
}

bool slm_judge_can_score(const slm_judge *judge, const slm_case *c)
{
    for (size_t i = 0; i < c->rubric_count; i++)
        if (c->rubrics[i].points > 0 && slm_judge_covers(judge, c, i)) return true;
    return false;
}

slm_status slm_judge_submit(slm_judge *judge, const slm_case *c, const char *reply,
                            uint64_t *ticket, slm_error *err)
{
    if (c == NULL || reply == NULL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "the judge %s needs a case and a reply; an empty reply is \"\"",
                             judge->name);
    uint64_t number = judge->next_ticket + 1;
    SLM_TRY(judge->class->submit(judge, c, reply, number, err));
    judge->next_ticket = number;
    judge->in_flight++;
    if (ticket != NULL) *ticket = number;
    return SLM_OK;
}

slm_status slm_judge_poll(slm_judge *judge, int timeout_ms, slm_grading **grading, slm_error *err)
{
    *grading = NULL;
    if (judge->in_flight == 0) return SLM_OK;
    SLM_TRY(judge->class->poll(judge, timeout_ms, grading, err));
    if (*grading != NULL) judge->in_flight--;
    return SLM_OK;
}

void slm_judge_free(slm_judge *judge)
{
    if (judge != NULL) judge->class->free(judge);
}

void slm_judge_drop(slm_judge *judge, double patience_s)
{
    if (judge->class->drop != NULL) {
        judge->class->drop(judge);
        judge->in_flight = 0;
    }
    double begun_s = slm_progress_clock_s();
    while (judge->in_flight > 0 && slm_progress_clock_s() - begun_s < patience_s) {
        slm_grading *grading = NULL;
        if (slm_judge_poll(judge, 100, &grading, NULL) != SLM_OK) return;
        slm_grading_free(grading);
    }
}

void slm_judge_use_store(slm_judge *judge, slm_store *store)
{
    judge->store = store;
    for (size_t i = 0; i < judge->member_count; i++)
        slm_judge_use_store(judge->members[i], store);
}

slm_coverage slm_judge_coverage(const slm_judge *judge, const slm_cases *cases)
{
    slm_coverage out = {.cases = cases->count};
    for (size_t i = 0; i < cases->count; i++) {
        const slm_case *c = &cases->items[i];
        out.criteria += c->rubric_count;
        for (size_t r = 0; r < c->rubric_count; r++)
            out.criteria_covered += slm_judge_covers(judge, c, r);
        out.cases_covered += slm_judge_can_score(judge, c);
    }
    return out;
}
