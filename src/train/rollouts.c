/* rollouts.c: episodes of cases, many at once, with what was sampled in them.
 *
 * A group is one case and G episodes of it. The first turn of all is one request, so that its prompt
 * is computed once; later turns, where episodes differ, are asked one by one. Replies come in any
 * order; an episode's turns depend on its own case, seed and rollout alone, so the groups that come
 * out do not. Every turn keeps the ids that the model saw and those it sampled. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train_internal.h"

typedef struct flight {
    slm_chat *chat;
    slm_env *env;
    const train__roll_options *options;
    train__group *groups;
    size_t group_count;
    slm_error *err;
} flight;

/* What a ticket stands for: the first turn of a whole group, or a turn of one rollout. */
typedef struct waiting {
    uint64_t ticket;
    size_t group, rollout; /* rollout SIZE_MAX: all of them, by index */
} waiting;

typedef struct board {
    waiting *items;
    size_t count, room;
} board;

static slm_status ask(flight *f, board *b, size_t group, size_t rollout)
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
    if (b->count == b->room) {
        b->room = b->room ? 2 * b->room : 64;
        b->items = realloc(b->items, b->room * sizeof *b->items);
        if (!b->items) slm_out_of_memory(b->room * sizeof *b->items);
    }
    waiting *w = &b->items[b->count];
    *w = (waiting){.group = group, .rollout = rollout};
    slm_status status = slm_chat_submit(f->chat, &request, &w->ticket, f->err);
    if (status == SLM_OK) b->count++;
    free(list);
    return status;
}

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

static slm_status take_reply(flight *f, board *b, slm_chat_reply *reply)
{
    size_t at = 0;
    while (at < b->count && b->items[at].ticket != reply->ticket)
        at++;
    SLM_ASSERT(at < b->count);
    const waiting w = b->items[at];
    train__group *g = &f->groups[w.group];
    const size_t index = w.rollout == SIZE_MAX ? reply->index : w.rollout;
    train__rollout *r = &g->rollouts[index];
    if (w.rollout != SIZE_MAX || ++g->answered == g->count) b->items[at] = b->items[--b->count];
    if (reply->finish == SLM_CHAT_ERROR)
        return slm_error_set(f->err, reply->error.status, "%s", reply->error.message);
    if (!reply->trace)
        return slm_error_set(f->err, SLM_ERR_UNSUPPORTED,
                             "%s does not tell its tokens: only a model on this machine can "
                             "practise",
                             f->chat->name);
    keep_turn(r, reply);
    if (slm_env_step(r->episode, reply->text) == SLM_ENV_POLICY) return ask(f, b, w.group, index);
    if (slm_env_turn(r->episode) == SLM_ENV_JUDGE) slm_env_judged(r->episode, NAN);
    r->reward = *slm_env_reward(r->episode);
    return SLM_OK;
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

static slm_status fly(flight *f, board *b)
{
    for (size_t i = 0; i < f->group_count; i++) {
        SLM_TRY(begin_group(f, &f->groups[i]));
        SLM_TRY(ask(f, b, i, SIZE_MAX));
    }
    while (b->count > 0) {
        slm_chat_reply *reply = NULL;
        SLM_TRY(slm_chat_poll(f->chat, 1000, &reply, f->err));
        if (f->options->stop && *f->options->stop)
            return slm_error_set(f->err, SLM_ERR_CANCELLED, "stopped while sampling");
        if (!reply) continue;
        const slm_status status = take_reply(f, b, reply);
        slm_chat_reply_free(reply);
        SLM_TRY(status);
    }
    return SLM_OK;
}

/* After an error nothing may be in flight: the chat goes on to be used. */
static void clear(const flight *f, const board *b)
{
    slm_error ignored;
    for (size_t i = 0; i < b->count; i++)
        slm_chat_cancel(f->chat, b->items[i].ticket);
    while (f->chat->in_flight > 0) {
        slm_chat_reply *reply = NULL;
        if (slm_chat_poll(f->chat, -1, &reply, &ignored) != SLM_OK || !reply) break;
        slm_chat_reply_free(reply);
    }
}

slm_status train__roll(slm_chat *chat, slm_env *env, const train__roll_options *options,
                       train__group *groups, size_t count, slm_error *err)
{
    flight f = {chat, env, options, groups, count, err};
    board b = {0};
    slm_status status = fly(&f, &b);
    if (status != SLM_OK) clear(&f, &b);
    free(b.items);
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
