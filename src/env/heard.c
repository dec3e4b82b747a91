/* heard.c: an episode as a judge is shown it.
 *
 * A judge is given the last reply, and before it everything that was said: the case's own messages, then
 * the episode's. Asking is spread over the replies, so a criterion about asking is also met where a reply
 * before the last one asked, told by the environment's matching. Evaluation and practice show the same. */
#include <stdlib.h>
#include <string.h>
#include "env/env_internal.h"

static void find_asked(slm_env_heard *heard, const slm_case *c, const slm_episode *episode)
{
    heard->asked = slm_arena_array(&heard->arena, c->rubric_count + 1, sizeof *heard->asked);
    for (size_t i = 0; i < c->rubric_count; i++) {
        const slm_check *check = c->rubrics[i].check;
        if (!check || c->rubrics[i].behaviour != SLM_BEHAVIOUR_SEEK) continue;
        for (size_t a = 0; a < check->asks.count; a++)
            heard->asked[i] |= env__asked_earlier(episode, check->asks.ids[a]);
    }
}

slm_env_heard *slm_env_hear_said(const slm_case *c, const slm_chat_message *said, size_t count,
                                 const slm_episode *episode)
{
    slm_env_heard *heard = calloc(1, sizeof *heard);
    if (!heard) slm_out_of_memory(sizeof *heard);
    heard->c = *c;
    heard->c.turn_count = count - 1;
    heard->c.turns = slm_arena_array(&heard->arena, count, sizeof *heard->c.turns);
    for (size_t i = 0; i + 1 < count; i++)
        heard->c.turns[i] = (slm_turn){slm_arena_strdup(&heard->arena, said[i].role),
                                       slm_arena_strdup(&heard->arena, said[i].content)};
    find_asked(heard, c, episode);
    return heard;
}

slm_env_heard *slm_env_hear(const slm_case *c, const slm_episode *episode)
{
    size_t count = 0;
    const slm_chat_message *said = slm_env_messages(episode, &count);
    SLM_ASSERT(slm_env_turn(episode) == SLM_ENV_JUDGE || slm_env_turn(episode) == SLM_ENV_END);
    return slm_env_hear_said(c, said, count, episode);
}

void slm_env_heard_free(slm_env_heard *heard)
{
    if (!heard) return;
    slm_arena_free(&heard->arena);
    free(heard);
}

void slm_env_heard_amend(const slm_env_heard *heard, slm_grading *grading)
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
        slm_env_heard_amend(heard, grading->members[m]);
}
