/* rollouts.c: episodes of cases, many at once, with what was sampled in them.
 *
 * A group is one case and G episodes of it. The first turn of all is one request, so that its prompt
 * is computed once; later turns, where episodes differ, are asked one by one. Replies come in any
 * order; an episode's turns depend on its own case, seed and rollout alone, so the groups that come
 * out do not. Every turn keeps the ids that the model saw and those it sampled.
 *
 * A patient model and a judge work beside the policy. What the patient says is kept, as the judge's
 * verdicts are: a stage that goes on after a kill is told the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/progress.h"
#include "train_internal.h"

/* What a ticket stands for: the first turn of a whole group, or a turn of one rollout. */
typedef struct waiting {
    slm_chat *chat; /* the policy, or the patient */
    uint64_t ticket;
    size_t group, rollout;              /* rollout SIZE_MAX: all of them, by index */
    char request[SLM_SHA256_HEX_BYTES]; /* to a patient: what decides its reply */
} waiting;

typedef struct flight {
    slm_chat *chat;
    slm_env *env;
    const train__roll_options *options;
    train__group *groups;
    size_t group_count;
    waiting *items;
    size_t count, room, of_patient;
    train__judging judging;
    slm_error *err;
} flight;

static waiting *add_waiting(flight *f, slm_chat *chat, size_t group, size_t rollout)
{
    if (f->count == f->room) {
        f->room = f->room ? 2 * f->room : 64;
        f->items = realloc(f->items, f->room * sizeof *f->items);
        if (!f->items) slm_out_of_memory(f->room * sizeof *f->items);
    }
    f->items[f->count] = (waiting){.chat = chat, .group = group, .rollout = rollout};
    return &f->items[f->count];
}

static slm_status ask(flight *f, size_t group, size_t rollout)
{
    const train__group *g = &f->groups[group];
    const bool all = rollout == SIZE_MAX;
    const slm_episode *episode = g->rollouts[all ? 0 : rollout].episode;
    size_t count = 0;
    const slm_chat_message *messages = slm_env_messages(episode, &count);
    const char *system = f->options->system;
    const size_t extra = train__adds_system(system, messages[0].role);
    slm_chat_message *list = malloc((count + 1) * sizeof *list);
    if (!list) slm_out_of_memory((count + 1) * sizeof *list);
    if (extra) list[0] = (slm_chat_message){"system", system};
    memcpy(list + extra, messages, count * sizeof *list);
    const slm_chat_request request = {.messages = list,
                                      .message_count = count + extra,
                                      .n = all ? (uint32_t)g->count : 1,
                                      .first_rollout = all ? 0 : (uint32_t)rollout,
                                      .case_id = slm_env_turn_id(episode),
                                      .sampling = f->options->sampling,
                                      .want_trace = true};
    waiting *w = add_waiting(f, f->chat, group, rollout);
    slm_status status = slm_chat_submit(f->chat, &request, &w->ticket, f->err);
    if (status == SLM_OK) f->count++;
    free(list);
    return status;
}

/* ---- a model as patient -------------------------------------------------------------------- */

/* What decides a patient's reply besides who it is. */
static void name_request(const slm_chat_request *request, char hex[SLM_SHA256_HEX_BYTES])
{
    slm_sha256 *hash = slm_sha256_new();
    char *sampling = slm_chat_sampling_json(&request->sampling);
    char rollout[16];
    snprintf(rollout, sizeof rollout, "%u", request->first_rollout);
    for (size_t i = 0; i < request->message_count; i++) {
        slm_sha256_update_part(hash, request->messages[i].role);
        slm_sha256_update_part(hash, request->messages[i].content);
    }
    slm_sha256_update_part(hash, request->case_id);
    slm_sha256_update_part(hash, sampling);
    slm_sha256_update_part(hash, rollout);
    slm_sha256_finish(hash, hex);
    free(sampling);
}

/* The patient's reply if it is known from before a kill: an API would not say the same again. */
static slm_status recall(const flight *f, const char *request, slm_episode *episode, bool *found)
{
    slm_arena arena = {0};
    slm_stored_call known;
    *found = false;
    if (!f->options->store) return SLM_OK;
    const slm_status status = slm_store_get_call(f->options->store, f->options->patient->identity,
                                                 request, &arena, found, &known, f->err);
    if (status == SLM_OK && *found) slm_env_step(episode, known.reply);
    slm_arena_free(&arena);
    return status;
}

static slm_status ask_patient(flight *f, size_t group, size_t rollout, bool *answered)
{
    slm_episode *episode = f->groups[group].rollouts[rollout].episode;
    const slm_chat_request request = slm_env_patient_request(episode);
    waiting *w = add_waiting(f, f->options->patient, group, rollout);
    name_request(&request, w->request);
    SLM_TRY(recall(f, w->request, episode, answered));
    if (*answered) return SLM_OK;
    const slm_status status = slm_chat_submit(w->chat, &request, &w->ticket, f->err);
    if (status != SLM_OK) return slm_error_prefix(f->err, status, "the patient %s", w->chat->name);
    f->count++;
    f->of_patient++;
    return SLM_OK;
}

static slm_status take_from_patient(flight *f, const waiting *w, const slm_chat_reply *reply)
{
    const slm_stored_call call = {.finish = slm_chat_finish_name(reply->finish),
                                  .reply = reply->text,
                                  .prompt_tokens = reply->prompt_tokens,
                                  .reply_tokens = reply->reply_tokens};
    if (f->options->store)
        SLM_TRY(
            slm_store_put_call(f->options->store, w->chat->identity, w->request, &call, f->err));
    slm_env_step(f->groups[w->group].rollouts[w->rollout].episode, reply->text);
    return SLM_OK;
}

/* ---- turns --------------------------------------------------------------------------------- */

/* Keep a turn: takes the reply's trace. */
static void keep_turn(train__rollout *r, slm_chat_reply *reply)
{
    r->turns = realloc(r->turns, (r->turn_count + 1) * sizeof *r->turns);
    if (!r->turns) slm_out_of_memory(sizeof *r->turns);
    r->turns[r->turn_count++] =
        (train__turn){.trace = reply->trace, .cut_off = reply->finish == SLM_CHAT_LENGTH};
    r->tokens += reply->trace->reply_len;
    r->cut_off = r->cut_off || reply->finish == SLM_CHAT_LENGTH;
    reply->trace = NULL;
}

static slm_status take_from_policy(flight *f, train__rollout *r, slm_chat_reply *reply)
{
    if (!reply->trace)
        return slm_error_set(f->err, SLM_ERR_UNSUPPORTED,
                             "%s does not tell its tokens: only a model on this machine can "
                             "practise",
                             f->chat->name);
    keep_turn(r, reply);
    slm_env_step(r->episode, reply->text);
    return SLM_OK;
}

/* Ask whose turn it is; at its end the rollout has its reward. */
static slm_status go_on(flight *f, size_t group, size_t rollout)
{
    train__rollout *r = &f->groups[group].rollouts[rollout];
    const bool in_turns = slm_env_options_of(f->env)->kind == SLM_ENV_MULTI_TURN;
    if (slm_env_turn(r->episode) == SLM_ENV_PATIENT) {
        bool answered = false;
        SLM_TRY(ask_patient(f, group, rollout, &answered));
        if (!answered) return SLM_OK;
    }
    if (slm_env_turn(r->episode) == SLM_ENV_POLICY) return ask(f, group, rollout);
    if (slm_env_turn(r->episode) == SLM_ENV_JUDGE && f->judging.judge)
        SLM_TRY(train__judging_submit(&f->judging, f->groups[group].c, in_turns, r, f->err));
    else if (slm_env_turn(r->episode) == SLM_ENV_JUDGE)
        slm_env_judged(r->episode, NAN);
    r->reward = *slm_env_reward(r->episode);
    return SLM_OK;
}

static slm_status take_reply(flight *f, const slm_chat *chat, slm_chat_reply *reply)
{
    size_t at = 0;
    while (at < f->count && (f->items[at].ticket != reply->ticket || f->items[at].chat != chat))
        at++;
    if (at == f->count)
        return slm_error_set(f->err, SLM_ERR_FORMAT, "%s gave a reply that was not asked for",
                             chat->name);
    const waiting w = f->items[at];
    train__group *g = &f->groups[w.group];
    const size_t index = w.rollout == SIZE_MAX ? reply->index : w.rollout;
    if (w.rollout != SIZE_MAX || ++g->answered == g->count) f->items[at] = f->items[--f->count];
    f->of_patient -= chat != f->chat;
    if (reply->finish == SLM_CHAT_ERROR && chat != f->chat)
        return slm_error_set(f->err, reply->error.status,
                             "the patient %s: %.700s; the step is not learnt from, and the same "
                             "command goes on with it",
                             chat->name, reply->error.message);
    if (reply->finish == SLM_CHAT_ERROR)
        return slm_error_set(f->err, reply->error.status, "%s", reply->error.message);
    if (chat != f->chat)
        SLM_TRY(take_from_patient(f, &w, reply));
    else
        SLM_TRY(take_from_policy(f, &g->rollouts[index], reply));
    return go_on(f, w.group, index);
}

static slm_status begin_group(flight *f, train__group *g)
{
    g->answered = 0;
    g->stratum = slm_env_stratum_of(g->c);
    g->rollouts = calloc(g->count, sizeof *g->rollouts);
    if (!g->rollouts) slm_out_of_memory(g->count * sizeof *g->rollouts);
    for (size_t i = 0; i < g->count; i++)
        SLM_TRY(slm_env_reset(f->env, g->c, (uint64_t)f->options->sampling.seed, (uint32_t)i,
                              &g->rollouts[i].episode, f->err));
    return SLM_OK;
}

/* Replies that are there, waiting up to timeout_ms for the first. */
static slm_status take_replies(flight *f, slm_chat *chat, int timeout_ms)
{
    for (;; timeout_ms = 0) {
        slm_chat_reply *reply = NULL;
        SLM_TRY(slm_chat_poll(chat, timeout_ms, &reply, f->err));
        if (!reply && chat->in_flight == 0)
            return slm_error_set(f->err, SLM_ERR_FORMAT, "%s owes replies and has none in flight",
                                 chat->name);
        if (!reply) return SLM_OK;
        const slm_status status = take_reply(f, chat, reply);
        slm_chat_reply_free(reply);
        SLM_TRY(status);
        if ((chat == f->chat ? f->count - f->of_patient : f->of_patient) == 0) return SLM_OK;
    }
}

/* Who has something to do is polled in turn; who computes here works while it is polled, so only the
 * last of them is waited for. */
static slm_status poll_all(flight *f)
{
    const int alone_ms = 200;
    const bool plays = f->count > f->of_patient, answers = f->of_patient > 0;
    const bool judges = f->judging.count > 0;
    if (plays) SLM_TRY(take_replies(f, f->chat, answers || judges ? 10 : 1000));
    if (answers) SLM_TRY(take_replies(f, f->options->patient, plays ? 0 : judges ? 10 : alone_ms));
    if (judges) SLM_TRY(train__judging_poll(&f->judging, plays || answers ? 0 : alone_ms, f->err));
    return SLM_OK;
}

static slm_status fly(flight *f)
{
    for (size_t i = 0; i < f->group_count; i++) {
        SLM_TRY(begin_group(f, &f->groups[i]));
        SLM_TRY(ask(f, i, SIZE_MAX));
    }
    while (f->count > 0 || f->judging.count > 0) {
        SLM_TRY(poll_all(f));
        if (f->options->stop && *f->options->stop)
            return slm_error_set(f->err, SLM_ERR_CANCELLED, "stopped while sampling");
    }
    return train__judging_end(&f->judging, f->options->log, f->err);
}

/* After an error nothing may be in flight: the chats go on to be used. */
static void clear(const flight *f)
{
    enum { PATIENCE_S = 10 };
    slm_chat *const chats[] = {f->chat, f->options->patient};
    const double begun_s = slm_progress_clock_s();
    slm_error ignored;
    for (size_t i = 0; i < f->count; i++)
        slm_chat_cancel(f->items[i].chat, f->items[i].ticket);
    for (size_t i = 0; i < 2; i++) {
        while (chats[i] && chats[i]->in_flight > 0) {
            slm_chat_reply *reply = NULL;
            if (slm_progress_clock_s() - begun_s > PATIENCE_S ||
                slm_chat_poll(chats[i], 100, &reply, &ignored) != SLM_OK)
                break;
            slm_chat_reply_free(reply);
        }
    }
}

/* The soft overlong punishment (Yu et al. 2025), of the longest reply: 0 up to the last
 * overlong_tokens of max_tokens, -1 at their end. */
static double overlong(const train__rollout *r, const train__roll_options *o)
{
    size_t longest = 0;
    for (size_t t = 0; t < r->turn_count; t++)
        if (r->turns[t].trace->reply_len > longest) longest = r->turns[t].trace->reply_len;
    const double over = (double)longest - (double)(o->sampling.max_tokens - o->overlong_tokens);
    return over <= 0 ? 0 : -fmin(1.0, over / (double)o->overlong_tokens);
}

static void punish_overlong(const flight *f)
{
    for (size_t i = 0; i < f->group_count && f->options->overlong_tokens > 0; i++)
        for (size_t k = 0; k < f->groups[i].count; k++) {
            train__rollout *r = &f->groups[i].rollouts[k];
            r->overlong = overlong(r, f->options);
            r->reward.total += r->overlong;
        }
}

slm_status train__roll(slm_chat *chat, slm_env *env, const train__roll_options *options,
                       train__group *groups, size_t count, slm_error *err)
{
    flight f = {.chat = chat,
                .env = env,
                .options = options,
                .groups = groups,
                .group_count = count,
                .judging = {.judge = options->judge},
                .err = err};
    slm_status status = fly(&f);
    if (status != SLM_OK)
        clear(&f);
    else
        punish_overlong(&f);
    train__judging_free(&f.judging);
    free(f.items);
    return status;
}

void train__group_free(train__group *g)
{
    for (size_t i = 0; g->rollouts && i < g->count; i++) {
        train__rollout *r = &g->rollouts[i];
        for (size_t t = 0; t < r->turn_count; t++) {
            free(r->turns[t].trace->prompt_ids);
            free(r->turns[t].trace->reply_ids);
            free(r->turns[t].trace->logprobs);
            free(r->turns[t].trace);
        }
        free(r->turns);
        slm_episode_free(r->episode);
    }
    free(g->rollouts);
    g->rollouts = NULL;
}

/* Differences in reward that are more than rounding. */
bool train__group_has_spread(const train__group *g)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < g->count; i++) {
        low = fmin(low, g->rollouts[i].reward.total);
        high = fmax(high, g->rollouts[i].reward.total);
    }
    return high - low > 1e-6;
}

double train__group_mean(const train__group *g)
{
    double sum = 0;
    for (size_t i = 0; i < g->count; i++)
        sum += g->rollouts[i].reward.total;
    return sum / (double)g->count;
}
