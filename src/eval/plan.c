/* plan.c: how much of an evaluation is still to be asked, told before it begins.
 *
 * The same as the loop would find: the run's hash, then what the store has of it. Bytes and not tokens
 * are counted, since nobody here knows the tokens of a model behind an API. */
#include <stdlib.h>
#include <string.h>
#include "eval/eval_internal.h"

slm_run eval__run_of(const slm_eval_arm *arm, const slm_cases *cases,
                     const slm_chat_sampling *sampling, const char *sampling_json)
{
    return (slm_run){.model_name = arm->chat->name,
                     .model_identity = arm->chat->identity,
                     .kind = "model",
                     .system_text = arm->system_text && *arm->system_text ? arm->system_text : NULL,
                     .sampling_json = sampling_json,
                     .cases_sha256 = cases->sha256,
                     .seed = sampling->seed,
                     .details_json = arm->details_json};
}

static void add_case(const slm_case *c, const slm_eval_arm *arm, const slm_judge *judge,
                     const uint8_t *have, size_t k, uint64_t replies, slm_eval_plan *plan)
{
    uint64_t prompt = arm->system_text ? strlen(arm->system_text) : 0, turns = 0, rubric = 0,
             covered = 0;
    for (size_t i = 0; i < c->turn_count; i++)
        turns += strlen(c->turns[i].content);
    for (size_t i = 0; i < c->rubric_count; i++) {
        if (!slm_judge_covers(judge, c, i)) continue;
        covered++;
        rubric += strlen(c->rubrics[i].criterion);
    }
    for (size_t i = 0; i < k; i++) {
        if (!(have[i] & EVAL_HAS_SAMPLE)) {
            plan->answers += replies;
            plan->prompt_bytes += replies * (prompt + turns);
        }
        if (!(have[i] & EVAL_HAS_GRADING)) {
            plan->criteria += covered;
            plan->judged_bytes += covered * turns + rubric;
        }
    }
}

slm_status slm_eval_plan_of(slm_store *store, const slm_cases *cases, const slm_eval_arm *arms,
                            size_t arm_count, const slm_judge *judge,
                            const slm_eval_options *options, slm_eval_plan *out, slm_error *err)
{
    eval__selection selection = {0};
    size_t k = (size_t)options->k;
    const slm_env_options *env = options->env ? slm_env_options_of(options->env) : NULL;
    uint64_t replies = env && env->kind == SLM_ENV_MULTI_TURN ? (uint64_t)env->turns_max : 1;
    slm_status status = SLM_OK;
    *out = (slm_eval_plan){0};
    SLM_TRY(eval__select(cases, judge, options->skip_uncovered, NULL, &selection, err));
    uint8_t *have = calloc(selection.count * k, 1);
    char *sampling = eval__settings_json(options);
    if (!have) slm_out_of_memory(selection.count * k);
    for (size_t a = 0; status == SLM_OK && a < arm_count; a++) {
        char hash[65];
        slm_run run = eval__run_of(&arms[a], cases, &options->sampling, sampling);
        slm_run_hash(&run, hash);
        memset(have, 0, selection.count * k);
        if (store) status = eval__have(store, hash, judge->identity, &selection, k, have, err);
        for (size_t i = 0; status == SLM_OK && i < selection.count; i++)
            add_case(eval__case_at(&selection, i), &arms[a], judge, have + i * k, k, replies, out);
    }
    free(sampling);
    free(have);
    eval__selection_free(&selection);
    return status;
}
