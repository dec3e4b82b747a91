/* env.c: environments and episodes: whose turn it is, and what was said.
 *
 * An episode is a small state machine. It owns the conversation, reads each reply of the policy once
 * (read.c), keeps a tally of what was asked and said, and at the end computes the reward. Cases are
 * prepared once and kept while episodes use them, and for a while after: rollouts of one case come
 * together, epochs come back to it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "env/env_internal.h"

static const char METHOD[] = "slm-env 2";

enum {
    SCENARIOS_KEPT = 64,      /* beyond those in use */
    PATIENT_BYTES_MAX = 2000, /* of a chat model's message */
    PATIENT_TOKENS_MAX = 200,
    TURNS_MAX = 32,
};

struct slm_env {
    slm_env_options options;
    slm_matcher *matcher;
    char identity[SLM_SHA256_HEX_BYTES];
    env__scenario **scenarios;
    size_t scenario_count, scenario_cap;
    uint64_t clock;
};

struct slm_episode {
    slm_env *env;
    const slm_case *c;
    env__scenario *scenario;
    uint64_t seed;
    uint32_t rollout;
    slm_env_state state;
    slm_chat_message *messages; /* the conversation */
    size_t message_count, message_cap;
    slm_chat_message request[2]; /* to a patient model */
    const char **replies;        /* of the policy */
    size_t reply_count;
    bool *told; /* of the facts */
    env__tally tally;
    env__quantities heard;
    uint64_t *heard_drugs;
    size_t heard_drug_count;
    char *turn_id;
    slm_reward reward;
    slm_arena arena, scratch; /* scratch: of one reply */
};

/* ---- names --------------------------------------------------------------------------------- */

const char *slm_env_kind_name(slm_env_kind kind)
{
    return kind == SLM_ENV_MULTI_TURN ? "multi-turn" : "single-turn";
}

const char *slm_env_stratum_name(slm_env_stratum stratum)
{
    static const char *const names[SLM_ENV_STRATA] = {"lacks", "enough", "emergency"};
    return (size_t)stratum < SLM_ENV_STRATA ? names[stratum] : "unknown";
}

slm_env_stratum slm_env_stratum_of(const slm_case *c)
{
    if (c->disposition == SLM_DISPOSITION_EMERGENCY) return SLM_ENV_EMERGENCY;
    return c->context == SLM_CONTEXT_LACKS ? SLM_ENV_LACKS : SLM_ENV_ENOUGH;
}

/* ---- environments -------------------------------------------------------------------------- */

slm_env_options slm_env_options_default(void)
{
    return (slm_env_options){
        .kind = SLM_ENV_SINGLE_TURN, .turns_max = 4, .reward = slm_reward_options_default()};
}

static void find_identity(slm_env *env)
{
    const slm_env_options *o = &env->options;
    slm_buffer text = {0};
    slm_buffer_printf(&text, "%s %lld %d", slm_env_kind_name(o->kind), (long long)o->turns_max,
                      o->patient_is_model);
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, METHOD);
    slm_sha256_update_part(hash, slm_matcher_identity(env->matcher));
    slm_sha256_update_part(hash, slm_buffer_text(&text));
    env__patient_hash(hash);
    slm_sha256_finish(hash, env->identity);
    slm_buffer_free(&text);
}

slm_status slm_env_new(const slm_env_options *options, slm_env **out, slm_error *err)
{
    if (options->turns_max < 1 || options->turns_max > TURNS_MAX)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "turns_max is %lld; it must be from 1 to %d replies of the model",
                             (long long)options->turns_max, TURNS_MAX);
    if (options->patient_is_model && options->kind != SLM_ENV_MULTI_TURN)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "a patient model has nothing to say in a single turn; use the "
                             "multi-turn environment");
    SLM_TRY(slm_reward_options_check(&options->reward, err));
    slm_env *env = calloc(1, sizeof *env);
    if (env == NULL) slm_out_of_memory(sizeof *env);
    env->options = *options;
    env->matcher = slm_matcher_new();
    find_identity(env);
    *out = env;
    return SLM_OK;
}

void slm_env_free(slm_env *env)
{
    if (env == NULL) return;
    for (size_t i = 0; i < env->scenario_count; i++) {
        SLM_ASSERT(env->scenarios[i]->users == 0);
        env__scenario_free(env->scenarios[i]);
    }
    free(env->scenarios);
    slm_matcher_free(env->matcher);
    free(env);
}

const char *slm_env_identity(const slm_env *env)
{
    return env->identity;
}

const slm_env_options *slm_env_options_of(const slm_env *env)
{
    return &env->options;
}

/* The canonical JSON of a row is all of the case. */
static uint64_t fingerprint_of(const slm_case *c)
{
    return slm_hash_bytes(c->json, strlen(c->json)) ^ (slm_hash_bytes(c->id, strlen(c->id)) << 1);
}

static env__scenario *take_scenario(slm_env *env, const slm_case *c)
{
    uint64_t fingerprint = fingerprint_of(c);
    size_t oldest = SIZE_MAX, idle = 0;
    env->clock++;
    for (size_t i = 0; i < env->scenario_count; i++) {
        env__scenario *s = env->scenarios[i];
        if (s->fingerprint == fingerprint) {
            s->users++;
            s->used = env->clock;
            return s;
        }
        if (s->users > 0) continue;
        idle++;
        if (oldest == SIZE_MAX || s->used < env->scenarios[oldest]->used) oldest = i;
    }
    if (idle >= SCENARIOS_KEPT) {
        env__scenario_free(env->scenarios[oldest]);
        env->scenarios[oldest] = env->scenarios[--env->scenario_count];
    }
    if (env->scenario_count == env->scenario_cap) {
        env->scenario_cap = env->scenario_cap > 0 ? 2 * env->scenario_cap : SCENARIOS_KEPT;
        env->scenarios = realloc(env->scenarios, env->scenario_cap * sizeof *env->scenarios);
        if (env->scenarios == NULL) slm_out_of_memory(env->scenario_cap * sizeof *env->scenarios);
    }
    env__scenario *s = env__scenario_new(env->matcher, c, fingerprint);
    s->users = 1;
    s->used = env->clock;
    return env->scenarios[env->scenario_count++] = s;
}

/* ---- episodes ------------------------------------------------------------------------------ */

static void add_message(slm_episode *e, const char *role, const char *content)
{
    SLM_ASSERT(e->message_count < e->message_cap);
    e->messages[e->message_count++] = (slm_chat_message){.role = role, .content = content};
}

static void name_turn(slm_episode *e)
{
    size_t turn = e->reply_count + (e->state == SLM_ENV_POLICY);
    e->turn_id = e->state == SLM_ENV_PATIENT
                     ? slm_arena_printf(&e->arena, "%s#patient-%zu", e->c->id, turn)
                 : turn <= 1 ? slm_arena_strdup(&e->arena, e->c->id)
                             : slm_arena_printf(&e->arena, "%s#%zu", e->c->id, turn);
}

slm_status slm_env_reset(slm_env *env, const slm_case *c, uint64_t seed, uint32_t rollout,
                         slm_episode **out, slm_error *err)
{
    if (c->turn_count == 0 || strcmp(c->turns[c->turn_count - 1].role, "user") != 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "case %s does not end with the user's message; there is nothing to "
                             "reply to",
                             c->id);
    slm_episode *e = calloc(1, sizeof *e);
    if (e == NULL) slm_out_of_memory(sizeof *e);
    size_t turns = env->options.kind == SLM_ENV_MULTI_TURN ? (size_t)env->options.turns_max : 1;
    e->env = env;
    e->c = c;
    e->seed = seed;
    e->rollout = rollout;
    e->scenario = take_scenario(env, c);
    e->message_cap = c->turn_count + 2 * turns;
    e->messages = slm_arena_array(&e->arena, e->message_cap, sizeof *e->messages);
    e->replies = slm_arena_array(&e->arena, turns, sizeof *e->replies);
    e->told = slm_arena_array(&e->arena, c->fact_count + 1, sizeof *e->told);
    size_t targets = e->scenario->target_count + 1;
    e->tally.met = slm_arena_array(&e->arena, targets, sizeof *e->tally.met);
    e->tally.met_earlier = slm_arena_array(&e->arena, targets, sizeof *e->tally.met_earlier);
    for (size_t i = 0; i < c->turn_count; i++)
        add_message(e, c->turns[i].role, c->turns[i].content);
    name_turn(e);
    *out = e;
    return SLM_OK;
}

void slm_episode_free(slm_episode *episode)
{
    if (episode == NULL) return;
    episode->scenario->users--;
    env__quantities_free(&episode->heard);
    slm_arena_free(&episode->scratch);
    slm_arena_free(&episode->arena);
    free(episode);
}

slm_env_state slm_env_turn(const slm_episode *episode)
{
    return episode->state;
}

const slm_chat_message *slm_env_messages(const slm_episode *episode, size_t *count)
{
    bool patient = episode->state == SLM_ENV_PATIENT;
    *count = patient ? 2 : episode->message_count;
    return patient ? episode->request : episode->messages;
}

const char *slm_env_turn_id(const slm_episode *episode)
{
    return episode->turn_id;
}

slm_chat_request slm_env_patient_request(const slm_episode *episode)
{
    SLM_ASSERT(episode->state == SLM_ENV_PATIENT);
    slm_chat_sampling sampling = slm_chat_sampling_default();
    sampling.temperature = 0;
    sampling.max_tokens = PATIENT_TOKENS_MAX;
    sampling.seed = (int64_t)episode->seed;
    return (slm_chat_request){.messages = episode->request,
                              .message_count = 2,
                              .n = 1,
                              .first_rollout = episode->rollout,
                              .case_id = episode->turn_id,
                              .sampling = sampling};
}

size_t slm_env_reply_count(const slm_episode *episode)
{
    return episode->reply_count;
}

const char *slm_env_reply(const slm_episode *episode, size_t index)
{
    SLM_ASSERT(index < episode->reply_count);
    return episode->replies[index];
}

static bool is_met(const slm_episode *e, const bool *met, const char *follow_up_id)
{
    for (size_t i = 0; i < e->c->follow_up_count; i++)
        if (strcmp(e->c->follow_ups[i].id, follow_up_id) == 0) return met[i];
    return false;
}

bool slm_env_asked(const slm_episode *episode, const char *follow_up_id)
{
    return is_met(episode, episode->tally.met, follow_up_id);
}

bool env__asked_earlier(const slm_episode *episode, const char *follow_up_id)
{
    return is_met(episode, episode->tally.met_earlier, follow_up_id);
}

const slm_reward *slm_env_reward(const slm_episode *episode)
{
    SLM_ASSERT(episode->state == SLM_ENV_END || episode->state == SLM_ENV_JUDGE);
    return &episode->reward;
}

static const char *valid_copy(slm_episode *e, const char *text)
{
    slm_buffer valid = {0};
    slm_utf8_append_valid(&valid, text, strlen(text));
    const char *copy = slm_arena_strndup(&e->arena, slm_buffer_text(&valid), valid.len);
    slm_buffer_free(&valid);
    return copy;
}

static slm_env_state go_to(slm_episode *e, slm_env_state state)
{
    e->state = state;
    name_turn(e);
    return state;
}

static void compute_reward(slm_episode *e, double rubric)
{
    env__reward(&e->env->options.reward, e->c, e->scenario, &e->tally, e->replies, e->reply_count,
                rubric, &e->reward);
}

static slm_env_state policy_replied(slm_episode *e, const char *reply)
{
    const slm_env_options *options = &e->env->options;
    const char *text = valid_copy(e, reply);
    slm_arena_reset(&e->scratch);
    env__reading reading = env__read(e->env->matcher, e->scenario, e->c, text, &e->heard,
                                     e->heard_drugs, e->heard_drug_count, &e->scratch);
    env__tally_take(&e->tally, e->scenario, &reading, text, e->reply_count == 0);
    e->replies[e->reply_count++] = text;
    add_message(e, "assistant", text);
    bool multi = options->kind == SLM_ENV_MULTI_TURN;
    if (multi && reading.asks > 0 && (int64_t)e->reply_count < options->turns_max) {
        if (options->patient_is_model) {
            env__patient_request(e->c, e->messages, e->message_count, e->request, &e->arena);
            return go_to(e, SLM_ENV_PATIENT);
        }
        add_message(e, "user",
                    env__patient_says(e->c, e->scenario, &reading, e->told, e->seed, e->rollout,
                                      (uint32_t)e->reply_count, &e->arena));
        return go_to(e, SLM_ENV_POLICY);
    }
    e->tally.at_limit = multi && reading.asks > 0;
    compute_reward(e, NAN);
    return go_to(e, options->reward.weights[SLM_REWARD_RUBRIC] > 0 ? SLM_ENV_JUDGE : SLM_ENV_END);
}

/* What a patient model says is known from then on, whether it stands in the facts or not. */
static slm_env_state patient_replied(slm_episode *e, const char *reply)
{
    size_t begin = 0, len = strlen(reply);
    while (begin < len && strchr(" \t\r\n", reply[begin]) != NULL)
        begin++;
    while (len > begin && strchr(" \t\r\n", reply[len - 1]) != NULL)
        len--;
    if (len - begin > PATIENT_BYTES_MAX) {
        len = begin + PATIENT_BYTES_MAX;
        len -= slm_utf8_incomplete_tail(reply + begin, len - begin);
    }
    const char *text = slm_arena_strndup(&e->arena, reply + begin, len - begin);
    text = *text != '\0' ? valid_copy(e, text)
                         : env__patient_unknowing(e->c, e->scenario, e->seed, e->rollout,
                                                  (uint32_t)e->reply_count);
    add_message(e, "user", text);
    env__quantities_add(&e->heard, text);
    slm_match_text *read = slm_match_read(e->env->matcher, text, strlen(text), &e->arena);
    size_t count = 0;
    uint64_t *drugs = slm_match_drugs(read, &e->arena, &count);
    uint64_t *all = slm_arena_array(&e->arena, e->heard_drug_count + count + 1, sizeof *all);
    if (e->heard_drug_count > 0) memcpy(all, e->heard_drugs, e->heard_drug_count * sizeof *all);
    memcpy(all + e->heard_drug_count, drugs, count * sizeof *all);
    e->heard_drugs = all;
    e->heard_drug_count += count;
    return go_to(e, SLM_ENV_POLICY);
}

slm_env_state slm_env_step(slm_episode *episode, const char *reply)
{
    SLM_ASSERT(episode->state == SLM_ENV_POLICY || episode->state == SLM_ENV_PATIENT);
    return episode->state == SLM_ENV_POLICY ? policy_replied(episode, reply)
                                            : patient_replied(episode, reply);
}

slm_env_state slm_env_judged(slm_episode *episode, double score)
{
    SLM_ASSERT(episode->state == SLM_ENV_JUDGE);
    compute_reward(episode, isnan(score) ? NAN : fmax(0, fmin(1, score)));
    return go_to(episode, SLM_ENV_END);
}
