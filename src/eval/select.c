/* select.c: a part of the results: some cases, some criteria.
 *
 * A criterion that is left out is as one that the judge never covered: it gives no points and none
 * are to be had. So scores are computed anew from the verdicts that are stored, and nothing is asked
 * or graded again. Scores that came without verdicts (a CSV) can be cut by case id alone. */
#include "eval/eval_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct selector {
    const slm_cases_filter *filter;
    bool by_tags, by_criteria;
    slm_arena *arena;
} selector;

/* The rollout as it is with the kept criteria alone. */
static void rescore(const selector *s, const slm_case *c, slm_rollout_scores *rollout,
                    slm_verdict *verdicts)
{
    int8_t *met = slm_arena_array(s->arena, c->rubric_count, sizeof *met);
    for (size_t i = 0; i < c->rubric_count; i++) {
        met[i] = slm_cases_filter_keeps(s->filter, &c->rubrics[i]) ? rollout->met[i] : -2;
        verdicts[i] = met[i] == -2   ? SLM_VERDICT_NOT_COVERED
                      : met[i] == -1 ? SLM_VERDICT_UNSCORED
                      : met[i] == 0  ? SLM_VERDICT_NOT_MET
                                     : SLM_VERDICT_MET;
    }
    slm_score score = slm_score_case(c, verdicts);
    rollout->met = met;
    rollout->has_score = score.has_score;
    rollout->score = score.score;
    rollout->low = score.low;
    rollout->high = score.high;
    eval__judge_behaviours(c, met, rollout->behaviours);
}

static bool gives_points(const selector *s, const slm_case_scores *scores)
{
    for (size_t i = 0; i < scores->c->rubric_count; i++) {
        const slm_rubric_item *item = &scores->c->rubrics[i];
        if (item->points > 0 && scores->rollouts[0].met[i] != -2 &&
            slm_cases_filter_keeps(s->filter, item))
            return true;
    }
    return false;
}

/* False: the case is left out. */
static bool select_case(const selector *s, const slm_case_scores *in, slm_case_scores *out)
{
    if (!slm_cases_filter_wants_id(s->filter, in->case_id)) return false;
    if ((s->by_tags || s->by_criteria) && !in->c) return false;
    if (s->by_tags && !slm_cases_filter_wants_tags(s->filter, in->c)) return false;
    *out = *in;
    if (!s->by_criteria) return true;
    if (in->rollout_count == 0 || !gives_points(s, in)) return false;
    out->rollouts = slm_arena_array(s->arena, in->rollout_count, sizeof *out->rollouts);
    out->scores = slm_arena_array(s->arena, in->rollout_count, sizeof *out->scores);
    out->count = 0;
    slm_verdict *verdicts = calloc(in->c->rubric_count + 1, sizeof *verdicts);
    if (!verdicts) slm_out_of_memory(in->c->rubric_count);
    for (size_t i = 0; i < in->rollout_count; i++) {
        slm_rollout_scores *rollout = &out->rollouts[i];
        *rollout = in->rollouts[i];
        rescore(s, in->c, rollout, verdicts);
        if (rollout->has_score) out->scores[out->count++] = rollout->score;
    }
    free(verdicts);
    return true;
}

/* Counts over what is left; tokens and cut-off answers are told of graded ones. */
static void count_arm(slm_arm *arm)
{
    arm->samples = arm->scored = arm->unscored = 0;
    arm->refused = arm->empty = arm->cut_off = 0;
    for (size_t i = 0; i < arm->case_count; i++) {
        const slm_case_scores *scores = &arm->cases[i];
        arm->samples += scores->samples;
        arm->scored += scores->count;
        arm->unscored += scores->rollout_count - scores->count;
        for (size_t r = 0; r < scores->rollout_count; r++) {
            arm->refused += scores->rollouts[r].is_refused;
            arm->empty += scores->rollouts[r].is_empty;
            arm->cut_off += scores->rollouts[r].is_cut_off;
        }
    }
}

slm_status slm_results_select(const slm_results *results, const slm_cases_options *options,
                              slm_arena *arena, slm_results *out, slm_error *err)
{
    slm_cases_filter *filter = NULL;
    SLM_TRY(slm_cases_filter_open(options, &filter, err));
    selector s = {.filter = filter,
                  .by_tags = options->tag_count > 0,
                  .by_criteria = options->criteria_count > 0,
                  .arena = arena};
    *out = *results;
    out->arms = slm_arena_array(arena, results->arm_count, sizeof *out->arms);
    out->arm_count = 0;
    for (size_t a = 0; a < results->arm_count; a++) {
        slm_arm *arm = &out->arms[out->arm_count];
        *arm = results->arms[a];
        arm->cases = slm_arena_array(arena, arm->case_count, sizeof *arm->cases);
        arm->case_count = 0;
        for (size_t i = 0; i < results->arms[a].case_count; i++)
            arm->case_count +=
                select_case(&s, &results->arms[a].cases[i], &arm->cases[arm->case_count]);
        if (arm->case_count == 0) continue;
        count_arm(arm);
        eval__number_families(arm);
        out->arm_count++;
    }
    slm_cases_filter_free(filter);
    return SLM_OK;
}
