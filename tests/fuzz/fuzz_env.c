/* fuzz_env.c: any bytes as replies. An episode always ends; messages alternate and are valid UTF-8; every
 * part of the reward is in its range or absent, the total in [-1,1]; the same replies give the same. */
#include "fuzz.h"

#include <math.h>
#include <string.h>
#include "base/utf8.h"
#include "env/env.h"

static const char case_json[] =
    "{\"prompt_id\":\"c\",\"prompt\":[{\"role\":\"user\",\"content\":\"My knee is swollen since 2 "
    "days.\"}],\"example_tags\":[],\"context\":\"lacks\",\"disposition\":\"routine\",\"follow_"
    "ups\":["
    "{\"id\":\"f1\",\"question\":\"Are you pregnant?\",\"tier\":\"next_step\",\"weight\":5,\"why\":"
    "\"w\"},{\"id\":\"f2\",\"question\":\"Since when, and does it hurt at night or in the "
    "morning?\","
    "\"tier\":\"cause\",\"weight\":2,\"why\":\"w\"}],\"facts\":[{\"id\":\"a1\",\"follow_up\":"
    "\"f1\","
    "\"topic\":\"pregnancy\",\"answer\":\"No.\"},{\"id\":\"a2\",\"topic\":\"allergies\",\"answer\":"
    "\"Peanuts.\"}],\"key_points\":[{\"id\":\"k1\",\"text\":\"Rest the left knee for 2 days.\","
    "\"must\":true}],\"advice\":[{\"id\":\"s1\",\"if\":\"it turns hot\",\"then\":\"see a doctor "
    "today\"}],\"never\":[{\"id\":\"n1\",\"text\":\"Keep running.\"}],\"rubrics\":[{\"criterion\":"
    "\"a\",\"points\":7,\"tags\":[]}]}";

static void check_messages(const slm_episode *e)
{
    size_t count = 0;
    const slm_chat_message *m = slm_env_messages(e, &count);
    SLM_ASSERT(count > 0);
    for (size_t i = 0; i < count; i++)
        SLM_ASSERT(slm_utf8_valid(m[i].content, strlen(m[i].content), NULL));
    if (slm_env_turn(e) == SLM_ENV_PATIENT) return;
    for (size_t i = 0; i < count; i++)
        SLM_ASSERT(strcmp(m[i].role, i % 2 == 0 ? "user" : "assistant") == 0);
}

/* The input, cut at NUL bytes, again and again, until the episode ends. */
static slm_reward play(slm_env *env, const slm_case *c, const char *text, size_t size)
{
    slm_error error;
    slm_episode *e = NULL;
    SLM_ASSERT(slm_env_reset(env, c, 1, 2, &e, &error) == SLM_OK);
    size_t at = 0;
    for (int steps = 0; slm_env_turn(e) != SLM_ENV_END; steps++) {
        SLM_ASSERT(steps < 9);
        slm_env_step(e, text + at);
        check_messages(e);
        at += strlen(text + at) + 1;
        if (at > size) at = 0;
    }
    slm_reward reward = *slm_env_reward(e);
    slm_episode_free(e);
    return reward;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_env *envs[3];
    static slm_arena arena;
    static slm_case c;
    slm_error error;
    if (envs[0] == NULL) {
        SLM_ASSERT(slm_case_parse(case_json, "case", 1, &arena, &c, &error) == SLM_OK);
        for (int i = 0; i < 3; i++) {
            slm_env_options options = slm_env_options_default();
            options.kind = i > 0 ? SLM_ENV_MULTI_TURN : SLM_ENV_SINGLE_TURN;
            options.patient_is_model = i == 2;
            SLM_ASSERT(slm_env_new(&options, &envs[i], &error) == SLM_OK);
        }
    }
    char *text = malloc(size + 1);
    SLM_ASSERT(text != NULL);
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    for (int i = 0; i < 3; i++) {
        slm_reward first = play(envs[i], &c, text, size), again = play(envs[i], &c, text, size);
        SLM_ASSERT(first.total >= -1 && first.total <= 1 && first.total == again.total);
        for (size_t p = 0; p < SLM_REWARD_PARTS; p++) {
            double part = first.parts[p];
            bool goal = slm_reward_part_is_goal((slm_reward_part)p);
            SLM_ASSERT(isnan(part) ? isnan(again.parts[p]) != 0 : part == again.parts[p]);
            SLM_ASSERT(isnan(part) || (goal ? part >= 0 && part <= 1 : part >= -1 && part <= 0));
        }
    }
    free(text);
    return 0;
}
