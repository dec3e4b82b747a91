/* heard.c: an episode as a judge is shown it, and the settings that name a run.
 *
 * What is stored of an episode is its last reply and the whole transcript. A judge is given the last
 * reply, and before it everything that was said: the case's own messages, then the episode's. Asking is
 * spread over the replies, so a criterion about asking is also met where a reply before the last one
 * asked: told by the environment's matching, from the transcript, so that any judge may grade it again
 * later. */
#include "eval/eval_internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/json.h"

/* The episode's messages behind the case's own: their index in the transcript. The arm's system text
 * stands before the others, or is joined with the case's. */
static size_t first_of_episode(const slm_case *c, const json_t *transcript)
{
    const char *role = json_string_value(json_object_get(json_array_get(transcript, 0), "role"));
    bool has_system = role && strcmp(role, "system") == 0;
    bool own_system = strcmp(c->turns[0].role, "system") == 0;
    return c->turn_count + (has_system && !own_system ? 1 : 0);
}

static void find_asked(eval__heard *heard, const slm_case *c, const slm_episode *episode)
{
    heard->asked = slm_arena_array(&heard->arena, c->rubric_count + 1, sizeof *heard->asked);
    for (size_t i = 0; i < c->rubric_count; i++) {
        const slm_check *check = c->rubrics[i].check;
        if (!check || c->rubrics[i].behaviour != SLM_BEHAVIOUR_SEEK) continue;
        for (size_t a = 0; a < check->asks.count; a++)
            heard->asked[i] |= slm_env_asked(episode, check->asks.ids[a]);
    }
}

slm_status eval__hear(slm_env *env, const slm_case *c, const char *transcript_json,
                      eval__heard **out, slm_error *err)
{
    json_t *all = NULL;
    slm_episode *episode = NULL;
    eval__heard *heard = calloc(1, sizeof *heard);
    if (!heard) slm_out_of_memory(sizeof *heard);
    slm_status status = SLM_OK;
    const char *name = "transcript";
    SLM_TRY_OUT(slm_json_parse(transcript_json ? transcript_json : "",
                               transcript_json ? strlen(transcript_json) : 0, name, 1, &all, err));
    SLM_TRY_OUT(slm_env_reset(env, c, 0, 0, &episode, err));
    size_t count = json_array_size(all), first = first_of_episode(c, all);
    heard->c = *c;
    heard->c.turn_count = 0;
    heard->c.turns =
        slm_arena_array(&heard->arena, c->turn_count + count + 1, sizeof *heard->c.turns);
    for (size_t i = 0; i < c->turn_count; i++)
        heard->c.turns[heard->c.turn_count++] = c->turns[i];
    for (size_t i = first; i < count; i++) {
        const json_t *message = json_array_get(all, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        const char *content = json_string_value(json_object_get(message, "content"));
        if (!role || !content) {
            status = slm_error_set(err, SLM_ERR_FORMAT,
                                   "the transcript of case %s is not one of an episode: message "
                                   "%zu has no role or no content",
                                   c->id, i);
            goto out;
        }
        slm_env_state turn = slm_env_turn(episode);
        bool is_reply = strcmp(role, "assistant") == 0;
        if ((is_reply && turn == SLM_ENV_POLICY) || (!is_reply && turn == SLM_ENV_PATIENT))
            slm_env_step(episode, content);
        if (i + 1 == count) break; /* the last reply is what is judged */
        heard->c.turns[heard->c.turn_count++] = (slm_turn){
            slm_arena_strdup(&heard->arena, role), slm_arena_strdup(&heard->arena, content)};
    }
    find_asked(heard, c, episode);
out:
    json_decref(all);
    slm_episode_free(episode);
    if (status == SLM_OK)
        *out = heard;
    else
        eval__heard_free(heard);
    return status;
}

void eval__heard_free(eval__heard *heard)
{
    if (!heard) return;
    slm_arena_free(&heard->arena);
    free(heard);
}

void eval__heard_amend(const eval__heard *heard, slm_grading *grading)
{
    for (size_t i = 0; i < grading->count && i < heard->c.rubric_count; i++) {
        slm_grade *grade = &grading->grades[i];
        if (!heard->asked[i] || grade->verdict != SLM_VERDICT_NOT_MET) continue;
        grade->verdict = SLM_VERDICT_MET;
        free(grade->explanation);
        grade->explanation = strdup("Asked in a reply before the last one.");
        if (!grade->explanation) slm_out_of_memory(64);
    }
    for (size_t m = 0; m < grading->member_count; m++)
        eval__heard_amend(heard, grading->members[m]);
}

char *eval__settings_json(const slm_eval_options *options)
{
    char *sampling = slm_chat_sampling_json(&options->sampling);
    if (!options->env) return sampling;
    json_t *all = json_loads(sampling, 0, NULL);
    SLM_ASSERT(all != NULL);
    const slm_env_options *env = slm_env_options_of(options->env);
    json_t *settings =
        json_pack("{s:s, s:s, s:I}", "identity", slm_env_identity(options->env), "kind",
                  slm_env_kind_name(env->kind), "turns", (json_int_t)env->turns_max);
    if (options->patient)
        json_object_set_new(settings, "patient", json_string(options->patient->identity));
    json_object_set_new(all, "env", settings);
    slm_buffer text = {0};
    slm_json_append_canonical(&text, all);
    json_decref(all);
    free(sampling);
    return slm_buffer_take(&text);
}
