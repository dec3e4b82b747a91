/* score.c: a HealthBench score from verdicts (Arora et al., "HealthBench", 2025, section 4): the
 * points of the criteria that are met, penalties included, over the sum of all positive points. It
 * is not clipped here: a mean over cases is clipped once, at its end.
 *
 * Where a judge failed on a criterion there is no score. What can be said is where it would lie:
 * each unscored criterion is taken as it would lower the score, and as it would raise it. */
#include "eval/eval_internal.h"

#include <string.h>

slm_score slm_score_case(const slm_case *c, const slm_verdict *verdicts)
{
    double possible = 0, met = 0, lowest = 0, highest = 0;
    bool unscored = false;
    for (size_t i = 0; i < c->rubric_count; i++) {
        double points = c->rubrics[i].points;
        if (verdicts[i] == SLM_VERDICT_NOT_COVERED) continue;
        if (points > 0) possible += points;
        if (verdicts[i] == SLM_VERDICT_MET) met += points;
        if (verdicts[i] != SLM_VERDICT_UNSCORED) continue;
        unscored = true;
        if (points > 0)
            highest += points;
        else
            lowest += points;
    }
    if (!(possible > 0)) return (slm_score){0};
    slm_score score = {.has_score = !unscored,
                       .low = (met + lowest) / possible,
                       .high = (met + highest) / possible};
    score.score = unscored ? 0 : met / possible;
    return score;
}

slm_score slm_score_grading(const slm_case *c, const slm_grading *grading)
{
    SLM_ASSERT(grading->count == c->rubric_count);
    slm_verdict few[64];
    slm_verdict *verdicts = few;
    slm_buffer many = {0};
    if (c->rubric_count > sizeof few / sizeof *few) {
        slm_buffer_reserve(&many, c->rubric_count * sizeof *verdicts);
        verdicts = (slm_verdict *)(void *)many.data;
    }
    for (size_t i = 0; i < c->rubric_count; i++)
        verdicts[i] = grading->grades[i].verdict;
    const slm_score score = slm_score_case(c, verdicts);
    slm_buffer_free(&many);
    return score;
}

void eval__to_stored(const slm_case *c, const slm_grading *grading, slm_stored_grade *grades,
                     slm_stored_grading *out)
{
    size_t count = 0;
    for (size_t i = 0; i < c->rubric_count; i++) {
        const slm_grade *grade = &grading->grades[i];
        if (grade->verdict == SLM_VERDICT_NOT_COVERED) continue;
        grades[count++] = (slm_stored_grade){
            .criterion = (int64_t)i,
            .met = grade->verdict == SLM_VERDICT_MET       ? 1
                   : grade->verdict == SLM_VERDICT_NOT_MET ? 0
                                                           : -1,
            .explanation = grade->explanation,
            .prompt_tokens = grade->prompt_tokens,
            .reply_tokens = grade->reply_tokens,
        };
    }
    const slm_score score = slm_score_grading(c, grading);
    out->has_score = score.has_score;
    out->score = score.score;
    out->low = score.low;
    out->high = score.high;
    out->status = score.has_score ? "scored" : "unscored";
    out->grades = grades;
    out->grade_count = count;
}

void eval__met_of(const slm_case *c, const slm_stored_grading *grading, int8_t *met)
{
    memset(met, -2, c->rubric_count);
    for (size_t i = 0; i < grading->grade_count; i++) {
        const slm_stored_grade *grade = &grading->grades[i];
        if (grade->criterion >= 0 && (size_t)grade->criterion < c->rubric_count)
            met[grade->criterion] = (int8_t)(grade->met < 0 ? -1 : grade->met);
    }
}

void eval__judge_behaviours(const slm_case *c, const int8_t *met, int8_t *out)
{
    bool wrong[SLM_BEHAVIOUR_ACT + 1] = {0}, unscored[SLM_BEHAVIOUR_ACT + 1] = {0};
    bool covered[SLM_BEHAVIOUR_ACT + 1] = {0};
    for (size_t i = 0; c && i < c->rubric_count; i++) {
        const slm_rubric_item *item = &c->rubrics[i];
        if (met[i] == -2) continue;
        covered[item->behaviour] = true;
        if (met[i] < 0)
            unscored[item->behaviour] = true;
        else if ((met[i] == 1) != (item->points > 0))
            wrong[item->behaviour] = true;
    }
    for (int b = 0; b <= SLM_BEHAVIOUR_ACT; b++) {
        bool counts = b != SLM_BEHAVIOUR_NONE && covered[b];
        out[b] = (int8_t)(!counts ? -2 : wrong[b] ? 0 : unscored[b] ? -1 : 1);
    }
}
