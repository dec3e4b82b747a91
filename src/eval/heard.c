/* heard.c: a stored episode as a judge is shown it, and the settings that name a run.
 *
 * What is stored of an episode is its last reply and the whole transcript. The policy's replies are
 * read again by the environment, so that any judge may grade it later (env.h: slm_env_hear). */
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

slm_status eval__hear(slm_env *env, const slm_case *c, const char *transcript_json,
                      slm_env_heard **out, slm_error *err)
{
    json_t *all = NULL;
    slm_episode *episode = NULL;
    slm_chat_message *said = NULL;
    slm_status status = SLM_OK;
    const char *name = "transcript";
    SLM_TRY_OUT(slm_json_parse(transcript_json ? transcript_json : "",
                               transcript_json ? strlen(transcript_json) : 0, name, 1, &all, err));
    SLM_TRY_OUT(slm_env_reset(env, c, 0, 0, &episode, err));
    size_t count = json_array_size(all), first = first_of_episode(c, all), n = c->turn_count;
    said = calloc(n + count + 1, sizeof *said);
    if (!said) slm_out_of_memory(n + count);
    for (size_t i = 0; i < n; i++)
        said[i] = (slm_chat_message){c->turns[i].role, c->turns[i].content};
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
        said[n++] = (slm_chat_message){role, content};
    }
    *out = slm_env_hear_said(c, said, n, episode);
out:
    json_decref(all);
    slm_episode_free(episode);
    free(said);
    return status;
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
