/* loop.c: k rollouts of every case of every arm, graded, into the store.
 *
 * What is missing is found in the store: samples to be drawn and samples to be graded. A rollout's
 * text depends on seed, case and index alone (chat.h), so drawing the missing ones gives what an
 * unbroken run would have given, in whatever order they come. Consecutive missing rollouts of a case
 * are one request, so that its prompt is computed once; requests are submitted until the model's
 * width is in flight. Each answer is stored as it arrives and handed to the judge; each grading is
 * stored as it arrives. An error is not an answer: it is counted, told, and tried again by the next
 * run.
 *
 * With an environment a rollout is an episode: its first turns are asked as above, each further turn by
 * itself, and the sample is stored when the episode has ended. */
#include "eval/eval_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/progress.h"
#include "base/utf8.h"

enum {
    POLL_MS = 200,        /* so that the stop flag and the commits are looked at */
    POLL_JUDGING_MS = 10, /* while a judge also works */
    TOLD_ERRORS = 3,      /* errors told one by one */
};
/* After a request to stop, what is in flight may take this long before it is cancelled. */
static const double STOP_GRACE_S = 10;

/* An episode between two turns. */
typedef struct talk {
    slm_episode *episode;
    size_t position, rollout;
    char **reasoning; /* [reply]: or NULL */
    size_t replies;
    int64_t prompt_tokens, reply_tokens, reasoning_tokens, cached_tokens; /* sums; -1: not told */
    double time_s;
} talk;

/* A request that is not wholly answered. */
typedef struct request {
    slm_chat *chat; /* the model, or the patient */
    talk *talk;     /* NULL: a first turn, or no episodes */
    uint64_t ticket;
    size_t position; /* of the case in the selection */
    size_t first, n; /* rollouts */
    uint8_t *seen;   /* [n] */
    size_t left;
} request;

typedef struct loop {
    slm_store *store;
    const eval__selection *selection;
    const slm_eval_options *options;
    slm_log *log;
    eval__writer writer;
    eval__grader grader;
    slm_arena arena; /* of the sample being graded again */
    /* Of the arm at hand. */
    const slm_eval_arm *arm;
    const char *system_text;
    char run[65];
    size_t k, total;
    uint8_t *have;
    size_t sample_at, grade_at; /* next cell of `have` to look at, for sampling and for regrading */
    request *requests;
    size_t request_count, request_cap;
    size_t awaited;                            /* replies */
    size_t awaited_of_patient;                 /* of these */
    size_t episodes, episode_replies, covered; /* new ones of this arm; of those with a coverage */
    double coverage;
    uint64_t consecutive_errors;
    bool gave_up;
    slm_error lost; /* status SLM_OK: the model answers */
    bool stopping, cancelled;
    double stop_s;
    slm_progress *progress;
    uint64_t done_before, arm_failed;
    uint64_t graded_before; /* by the grader, before this arm */
    /* Over all arms. */
    uint64_t failed, asked;
    slm_error first_failure;
} loop;

/* ---- asking ---- */

/* The messages of a case: the arm's system text in front, joined with the case's own if both have
 * one, since templates take one. */
typedef struct prompt {
    slm_chat_message *messages;
    size_t count;
    slm_buffer system;
} prompt;

static prompt prompt_of_messages(const loop *l, const slm_chat_message *said, size_t count)
{
    prompt p = {.messages = calloc(count + 1, sizeof *p.messages)};
    if (!p.messages) slm_out_of_memory(count);
    size_t from = 0;
    if (l->system_text) {
        slm_buffer_append_text(&p.system, l->system_text);
        if (count && strcmp(said[0].role, "system") == 0)
            slm_buffer_printf(&p.system, "\n\n%s", said[from++].content);
        p.messages[p.count++] =
            (slm_chat_message){.role = "system", .content = slm_buffer_text(&p.system)};
    }
    for (size_t i = from; i < count; i++)
        p.messages[p.count++] = said[i];
    return p;
}

static prompt prompt_of(const loop *l, const slm_case *c)
{
    slm_chat_message *said = calloc(c->turn_count + 1, sizeof *said);
    if (!said) slm_out_of_memory(c->turn_count);
    for (size_t i = 0; i < c->turn_count; i++)
        said[i] = (slm_chat_message){.role = c->turns[i].role, .content = c->turns[i].content};
    prompt p = prompt_of_messages(l, said, c->turn_count);
    free(said);
    return p;
}

static void prompt_free(prompt *p)
{
    free(p->messages);
    slm_buffer_free(&p->system);
}

/* As JSON: the messages that were sent, and the answer with its reasoning. */
static void append_transcript(slm_buffer *out, const prompt *p, const char *reply,
                              const char *reasoning)
{
    slm_buffer_append_char(out, '[');
    for (size_t i = 0; i < p->count; i++) {
        slm_buffer_append_text(out, "{\"content\":");
        slm_json_append_string(out, p->messages[i].content, strlen(p->messages[i].content));
        slm_buffer_append_text(out, ",\"role\":");
        slm_json_append_string(out, p->messages[i].role, strlen(p->messages[i].role));
        slm_buffer_append_text(out, "},");
    }
    slm_buffer_append_text(out, "{\"content\":");
    slm_json_append_string(out, reply, strlen(reply));
    if (reasoning) {
        slm_buffer_append_text(out, ",\"reasoning\":");
        slm_json_append_string(out, reasoning, strlen(reasoning));
    }
    slm_buffer_append_text(out, ",\"role\":\"assistant\"}]");
}

static void note_failure(loop *l, const slm_case *c, int64_t rollout, uint64_t count,
                         const slm_error *why)
{
    if (l->failed == 0) l->first_failure = *why;
    if (l->failed < TOLD_ERRORS)
        slm_log_print(l->log, SLM_LOG_WARNING, "case %s, rollout %" PRId64 ": %s", c->id, rollout,
                      why->message);
    l->failed += count;
    l->arm_failed += count;
    l->consecutive_errors += count;
    uint64_t patience = 4 * (uint64_t)(l->arm->chat->width > 16 ? l->arm->chat->width : 16);
    if (l->consecutive_errors >= patience && !l->gave_up) {
        l->gave_up = true;
        slm_log_print(l->log, SLM_LOG_WARNING,
                      "%s: %" PRIu64 " errors in a row; no more is asked of it in this run",
                      l->arm->chat->name, l->consecutive_errors);
    }
}

/* The next run of rollouts without a sample, of one case. */
static bool next_missing(loop *l, size_t *position, size_t *first, size_t *n)
{
    while (l->sample_at < l->total && (l->have[l->sample_at] & EVAL_HAS_SAMPLE))
        l->sample_at++;
    if (l->sample_at == l->total) return false;
    *position = l->sample_at / l->k;
    *first = l->sample_at % l->k;
    *n = 0;
    while (*first + *n < l->k && !(l->have[l->sample_at] & EVAL_HAS_SAMPLE)) {
        l->sample_at++;
        (*n)++;
    }
    return true;
}

static void add_request(loop *l, request added)
{
    if (l->request_count == l->request_cap) {
        l->request_cap = l->request_cap ? 2 * l->request_cap : 32;
        l->requests = realloc(l->requests, l->request_cap * sizeof *l->requests);
        if (!l->requests) slm_out_of_memory(l->request_cap);
    }
    request *r = &l->requests[l->request_count++];
    *r = added;
    r->left = r->n;
    r->seen = calloc(r->n, 1);
    if (!r->seen) slm_out_of_memory(r->n);
    l->awaited += r->n;
    if (r->chat != l->arm->chat) l->awaited_of_patient += r->n;
}

static slm_status ask(loop *l, size_t position, size_t first, size_t n)
{
    const slm_case *c = eval__case_at(l->selection, position);
    prompt p = prompt_of(l, c);
    slm_chat_request ask = {.messages = p.messages,
                            .message_count = p.count,
                            .n = (uint32_t)n,
                            .first_rollout = (uint32_t)first,
                            .case_id = c->id,
                            .sampling = l->options->sampling};
    slm_error why = {0};
    uint64_t ticket = 0;
    l->asked += n;
    slm_status status = slm_chat_submit(l->arm->chat, &ask, &ticket, &why);
    prompt_free(&p);
    if (status != SLM_OK) {
        /* A prompt that does not fit is this case's failure, not the evaluation's. */
        note_failure(l, c, (int64_t)first, n, &why);
        return SLM_OK;
    }
    add_request(
        l,
        (request){
            .chat = l->arm->chat, .ticket = ticket, .position = position, .first = first, .n = n});
    return SLM_OK;
}

static slm_status ask_more(loop *l)
{
    size_t position, first, n;
    size_t width = l->arm->chat->width > 0 ? (size_t)l->arm->chat->width : 1;
    while (l->awaited < width && !l->stopping && !l->gave_up &&
           next_missing(l, &position, &first, &n))
        SLM_TRY(ask(l, position, first, n));
    return SLM_OK;
}

/* ---- answers ---- */

static slm_status store_sample(loop *l, const slm_case *c, size_t rollout,
                               const slm_chat_reply *reply, const char *text, slm_error *err)
{
    slm_buffer transcript = {0};
    prompt p = prompt_of(l, c);
    append_transcript(&transcript, &p, text, reply->reasoning);
    prompt_free(&p);
    slm_sample sample = {.run = l->run,
                         .case_id = c->id,
                         .rollout = (int64_t)rollout,
                         .reply = text,
                         .transcript_json = slm_buffer_text(&transcript),
                         .finish = slm_chat_finish_name(reply->finish),
                         .prompt_tokens = reply->prompt_tokens,
                         .reply_tokens = reply->reply_tokens,
                         .reasoning_tokens = reply->reasoning_tokens,
                         .cached_tokens = reply->cached_tokens,
                         .time_s = reply->time_s};
    slm_status status = eval__writer_open(&l->writer, err);
    if (status == SLM_OK) status = slm_store_put_sample(l->store, &sample, NULL, err);
    slm_buffer_free(&transcript);
    return status;
}

/* ---- episodes ---- */

static void talk_free(talk *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->replies; i++)
        free(t->reasoning[i]);
    free(t->reasoning);
    slm_episode_free(t->episode);
    free(t);
}

static talk *talk_new(loop *l, size_t position, size_t rollout, slm_error *err)
{
    talk *t = calloc(1, sizeof *t);
    size_t turns = (size_t)slm_env_options_of(l->options->env)->turns_max;
    if (!t) slm_out_of_memory(sizeof *t);
    t->reasoning = calloc(turns + 1, sizeof *t->reasoning);
    if (!t->reasoning) slm_out_of_memory(turns);
    t->position = position;
    t->rollout = rollout;
    if (slm_env_reset(l->options->env, eval__case_at(l->selection, position),
                      (uint64_t)l->options->sampling.seed, (uint32_t)rollout, &t->episode,
                      err) == SLM_OK)
        return t;
    talk_free(t);
    return NULL;
}

static void add_tokens(int64_t *sum, int64_t tokens, bool is_first)
{
    *sum = is_first ? tokens : *sum < 0 || tokens < 0 ? -1 : *sum + tokens;
}

static void note_reply(talk *t, const slm_chat_reply *reply)
{
    bool first = t->replies == 0;
    add_tokens(&t->prompt_tokens, reply->prompt_tokens, first);
    add_tokens(&t->reply_tokens, reply->reply_tokens, first);
    add_tokens(&t->reasoning_tokens, reply->reasoning_tokens, first);
    add_tokens(&t->cached_tokens, reply->cached_tokens, first);
    t->time_s += reply->time_s;
    t->reasoning[t->replies] = reply->reasoning ? strdup(reply->reasoning) : NULL;
    if (reply->reasoning && !t->reasoning[t->replies]) slm_out_of_memory(strlen(reply->reasoning));
    t->replies++;
}

/* All that was said: the system text, the case's messages and the episode's; with the last reply what
 * its environment counted. */
static void append_episode(slm_buffer *out, const loop *l, const talk *t)
{
    size_t count = 0, reply = 0;
    const slm_chat_message *said = slm_env_messages(t->episode, &count);
    prompt p = prompt_of_messages(l, said, count);
    size_t before = p.count - 1; /* the last reply */
    for (size_t i = 0; i + 1 < slm_env_reply_count(t->episode); i++)
        before -= 2; /* a reply and what it was answered with */
    slm_buffer_append_char(out, '[');
    for (size_t i = 0; i < p.count; i++) {
        const slm_chat_message *m = &p.messages[i];
        bool is_reply = i >= before && (i - before) % 2 == 0;
        slm_buffer_append_text(out, i ? ",{\"content\":" : "{\"content\":");
        slm_json_append_string(out, m->content, strlen(m->content));
        if (i + 1 == p.count) {
            const slm_reward *reward = slm_env_reward(t->episode);
            slm_buffer_append_text(out, ",\"env\":{\"coverage\":");
            slm_json_append_number(out, reward->parts[SLM_REWARD_COVERAGE]);
            slm_buffer_printf(out, ",\"follow_ups_asked\":%zu,\"questions\":%zu,\"replies\":%zu}",
                              reward->follow_ups_asked, reward->questions, reward->replies);
        }
        if (is_reply && t->reasoning[reply]) {
            slm_buffer_append_text(out, ",\"reasoning\":");
            slm_json_append_string(out, t->reasoning[reply], strlen(t->reasoning[reply]));
        }
        reply += is_reply;
        slm_buffer_append_text(out, ",\"role\":");
        slm_json_append_string(out, m->role, strlen(m->role));
        slm_buffer_append_char(out, '}');
    }
    slm_buffer_append_char(out, ']');
    prompt_free(&p);
}

static slm_status store_episode(loop *l, const talk *t, const slm_chat_reply *reply,
                                const char *text, slm_error *err)
{
    const slm_case *c = eval__case_at(l->selection, t->position);
    slm_buffer transcript = {0};
    append_episode(&transcript, l, t);
    slm_sample sample = {.run = l->run,
                         .case_id = c->id,
                         .rollout = (int64_t)t->rollout,
                         .reply = text,
                         .transcript_json = slm_buffer_text(&transcript),
                         .finish = slm_chat_finish_name(reply->finish),
                         .prompt_tokens = t->prompt_tokens,
                         .reply_tokens = t->reply_tokens,
                         .reasoning_tokens = t->reasoning_tokens,
                         .cached_tokens = t->cached_tokens,
                         .time_s = t->time_s};
    const slm_reward *reward = slm_env_reward(t->episode);
    double coverage = reward->parts[SLM_REWARD_COVERAGE];
    l->episodes++;
    l->episode_replies += reward->replies;
    if (!isnan(coverage)) {
        l->covered++;
        l->coverage += coverage;
    }
    slm_status status = eval__writer_open(&l->writer, err);
    if (status == SLM_OK) status = slm_store_put_sample(l->store, &sample, NULL, err);
    if (status == SLM_OK)
        status =
            eval__grader_submit_episode(&l->grader, l->options->env, l->run, c, (int64_t)t->rollout,
                                        text, slm_buffer_text(&transcript), err);
    if (status == SLM_OK)
        l->have[t->position * l->k + t->rollout] |= EVAL_HAS_SAMPLE | EVAL_HAS_GRADING;
    slm_buffer_free(&transcript);
    return status;
}

static void tell_episodes(const loop *l)
{
    slm_buffer text = {0};
    slm_buffer_printf(&text, "%s: %zu episodes, %.1f replies each", l->arm->chat->name, l->episodes,
                      (double)l->episode_replies / (double)l->episodes);
    if (l->covered)
        slm_buffer_printf(
            &text, "; coverage of follow-ups over all turns %.2f in the %zu that lack context",
            l->coverage / (double)l->covered, l->covered);
    slm_log_print(l->log, SLM_LOG_INFO, "%s", slm_buffer_text(&text));
    slm_buffer_free(&text);
}

/* Ask whose turn it is. A turn's random key is its own, so that a resumed episode draws the same. */
static void ask_next(loop *l, talk *t)
{
    const slm_case *c = eval__case_at(l->selection, t->position);
    bool to_patient = slm_env_turn(t->episode) == SLM_ENV_PATIENT;
    prompt p = {0};
    slm_chat_request next;
    if (to_patient) {
        next = slm_env_patient_request(t->episode);
    } else {
        size_t count = 0;
        const slm_chat_message *said = slm_env_messages(t->episode, &count);
        p = prompt_of_messages(l, said, count);
        next = (slm_chat_request){.messages = p.messages,
                                  .message_count = p.count,
                                  .n = 1,
                                  .first_rollout = (uint32_t)t->rollout,
                                  .case_id = slm_env_turn_id(t->episode),
                                  .sampling = l->options->sampling};
    }
    slm_error why = {0};
    request r = {.chat = to_patient ? l->options->patient : l->arm->chat,
                 .talk = t,
                 .position = t->position,
                 .first = t->rollout,
                 .n = 1};
    slm_status status = slm_chat_submit(r.chat, &next, &r.ticket, &why);
    prompt_free(&p);
    if (status == SLM_OK) {
        add_request(l, r);
        return;
    }
    note_failure(l, c, (int64_t)t->rollout, 1, &why);
    talk_free(t);
}

/* A reply within an episode, the model's or the patient's; t NULL: the first. Takes t. */
static slm_status talk_on(loop *l, talk *t, size_t position, size_t rollout,
                          const slm_chat_reply *reply, const char *text, slm_error *err)
{
    slm_status status = SLM_OK;
    if (!t) t = talk_new(l, position, rollout, err);
    if (!t) return err ? err->status : SLM_ERR_INVALID;
    if (slm_env_turn(t->episode) == SLM_ENV_POLICY) note_reply(t, reply);
    slm_env_state state = slm_env_step(t->episode, text);
    if (state == SLM_ENV_JUDGE || state == SLM_ENV_END) {
        status = store_episode(l, t, reply, text, err);
    } else if (!l->stopping && !l->gave_up) {
        ask_next(l, t);
        return SLM_OK;
    }
    talk_free(t); /* one that was broken off begins anew in the next run, and draws the same */
    return status;
}

/* ---- replies ---- */

/* The request that a reply answers; NULL for one that nobody waits for. */
static request *find_request(loop *l, const slm_chat *chat, const slm_chat_reply *reply)
{
    for (size_t i = 0; i < l->request_count; i++) {
        request *r = &l->requests[i];
        if (r->chat == chat && r->ticket == reply->ticket)
            return reply->index < r->n && !r->seen[reply->index] ? r : NULL;
    }
    return NULL;
}

static void settle(loop *l, request *r, uint32_t index)
{
    r->seen[index] = 1;
    l->awaited--;
    if (r->chat != l->arm->chat) l->awaited_of_patient--;
    if (--r->left > 0) return;
    free(r->seen);
    *r = l->requests[--l->request_count];
}

static slm_status take_reply(loop *l, const slm_chat *chat, const slm_chat_reply *reply,
                             slm_error *err)
{
    request *r = find_request(l, chat, reply);
    if (!r)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "the model %s gave a reply that was not asked for (ticket %" PRIu64
                             ", index %" PRIu32 ")",
                             chat->name, reply->ticket, reply->index);
    size_t position = r->position, rollout = r->first + reply->index;
    const slm_case *c = eval__case_at(l->selection, position);
    talk *t = r->talk;
    settle(l, r, reply->index);
    if (reply->finish == SLM_CHAT_CANCELLED || reply->finish == SLM_CHAT_ERROR) {
        if (reply->finish == SLM_CHAT_ERROR) note_failure(l, c, (int64_t)rollout, 1, &reply->error);
        talk_free(t);
        return SLM_OK;
    }
    l->consecutive_errors = 0;
    /* What is stored is what is judged, now and when another judge reads it from the store. */
    slm_buffer text = {0};
    slm_utf8_append_valid(&text, reply->text, strlen(reply->text));
    if (l->options->env) {
        slm_status talked = talk_on(l, t, position, rollout, reply, slm_buffer_text(&text), err);
        slm_buffer_free(&text);
        return talked;
    }
    slm_status status = store_sample(l, c, rollout, reply, slm_buffer_text(&text), err);
    if (status == SLM_OK) {
        l->have[position * l->k + rollout] |= EVAL_HAS_SAMPLE | EVAL_HAS_GRADING;
        status = eval__grader_submit(&l->grader, l->run, c, (int64_t)rollout,
                                     slm_buffer_text(&text), err);
    }
    slm_buffer_free(&text);
    return status;
}

/* After a failure replies may be on their way still: they are taken and dropped, so that the chat
 * is as it was found. */
static void drop_requests(loop *l)
{
    slm_chat *chats[] = {l->arm->chat, l->options->patient};
    double begun_s = slm_progress_clock_s();
    for (size_t i = 0; i < l->request_count; i++) {
        slm_chat_cancel(l->requests[i].chat, l->requests[i].ticket);
        talk_free(l->requests[i].talk);
        free(l->requests[i].seen);
    }
    for (size_t i = 0; i < 2 && chats[i]; i++) {
        while (l->request_count && chats[i]->in_flight > 0) {
            slm_chat_reply *reply = NULL;
            if (slm_progress_clock_s() - begun_s > EVAL_DROP_S ||
                slm_chat_poll(chats[i], 100, &reply, NULL) != SLM_OK)
                break;
            slm_chat_reply_free(reply);
        }
    }
    l->request_count = l->awaited = l->awaited_of_patient = 0;
}

static size_t awaited_of(const loop *l, const slm_chat *chat)
{
    return chat == l->arm->chat ? l->awaited - l->awaited_of_patient : l->awaited_of_patient;
}

static slm_status take_replies_of(loop *l, slm_chat *chat, int timeout_ms, slm_error *err)
{
    while (awaited_of(l, chat) > 0 && l->grader.pending_count < EVAL_JUDGING) {
        slm_chat_reply *reply = NULL;
        if (slm_chat_poll(chat, timeout_ms, &reply, &l->lost) != SLM_OK) {
            /* The model is lost, but what it answered before is graded yet. */
            l->gave_up = true;
            drop_requests(l);
            return SLM_OK;
        }
        if (!reply && chat->in_flight == 0)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "the model %s owes %zu replies and has none in flight", chat->name,
                                 awaited_of(l, chat));
        if (!reply) return SLM_OK;
        slm_status status = take_reply(l, chat, reply, err);
        slm_chat_reply_free(reply);
        if (status != SLM_OK) return status;
        SLM_TRY(eval__writer_tick(&l->writer, err));
        timeout_ms = 0;
    }
    return SLM_OK;
}

/* Where both are at work, neither is waited for long. */
static slm_status take_replies(loop *l, int timeout_ms, slm_error *err)
{
    bool both = l->awaited_of_patient > 0 && l->awaited > l->awaited_of_patient;
    if (both && timeout_ms > POLL_JUDGING_MS) timeout_ms = POLL_JUDGING_MS;
    SLM_TRY(take_replies_of(l, l->arm->chat, timeout_ms, err));
    if (l->options->patient && l->lost.status == SLM_OK)
        SLM_TRY(take_replies_of(l, l->options->patient, timeout_ms, err));
    return SLM_OK;
}

/* Samples that were there before this run and lack a score by this judge. */
static slm_status regrade(loop *l, slm_error *err)
{
    while (!l->stopping && l->grader.pending_count < EVAL_JUDGING && l->grade_at < l->total) {
        size_t at = l->grade_at++;
        if (l->have[at] != EVAL_HAS_SAMPLE) continue;
        const slm_case *c = eval__case_at(l->selection, at / l->k);
        slm_sample sample;
        slm_arena_reset(&l->arena);
        SLM_TRY(slm_store_get_sample(l->store, l->run, c->id, (int64_t)(at % l->k), &l->arena,
                                     &sample, err));
        if (l->options->env)
            SLM_TRY(eval__grader_submit_episode(&l->grader, l->options->env, l->run, c,
                                                sample.rollout, sample.reply,
                                                sample.transcript_json, err));
        else
            SLM_TRY(eval__grader_submit(&l->grader, l->run, c, sample.rollout, sample.reply, err));
        l->have[at] |= EVAL_HAS_GRADING;
    }
    return SLM_OK;
}

/* ---- one arm ---- */

static void look_for_stop(loop *l)
{
    if (!eval__stopped(l->options)) return;
    if (!l->stopping) {
        l->stopping = true;
        l->stop_s = slm_progress_clock_s();
        if (l->awaited || l->grader.pending_count)
            slm_log_print(
                l->log, SLM_LOG_INFO,
                "stopping: waiting up to %.0f s for %zu answers on their way and %zu with the "
                "judge; again to end at once",
                STOP_GRACE_S, l->awaited, l->grader.pending_count);
    } else if (!l->cancelled && slm_progress_clock_s() - l->stop_s > STOP_GRACE_S) {
        l->cancelled = true;
        for (size_t i = 0; i < l->request_count; i++)
            slm_chat_cancel(l->requests[i].chat, l->requests[i].ticket);
        eval__grader_drop(&l->grader);
    }
}

static void show_progress(loop *l)
{
    char note[64] = "";
    uint64_t done = l->done_before + (l->grader.graded - l->graded_before) + l->arm_failed;
    if (l->arm_failed) snprintf(note, sizeof note, "%" PRIu64 " failed", l->arm_failed);
    slm_progress_update(l->progress, done, note);
}

static slm_status work(loop *l, slm_error *err)
{
    for (;;) {
        look_for_stop(l);
        SLM_TRY(ask_more(l));
        SLM_TRY(regrade(l, err));
        if (l->awaited == 0 && l->grader.pending_count == 0) {
            if (l->stopping || l->gave_up || l->sample_at == l->total) break;
            continue;
        }
        SLM_TRY(eval__grader_poll(&l->grader, l->awaited ? 0 : POLL_MS, err));
        SLM_TRY(take_replies(l, l->grader.pending_count ? POLL_JUDGING_MS : POLL_MS, err));
        SLM_TRY(eval__writer_tick(&l->writer, err));
        show_progress(l);
    }
    show_progress(l);
    if (l->lost.status != SLM_OK && err) *err = l->lost;
    return l->lost.status;
}

static slm_status put_arm(loop *l, slm_error *err)
{
    char *sampling = eval__settings_json(l->options);
    slm_run run = eval__run_of(l->arm, l->selection->cases, &l->options->sampling, sampling);
    slm_run_hash(&run, l->run);
    run.hash = l->run;
    slm_status status = slm_store_put_run(l->store, &run, err);
    free(sampling);
    return status;
}

static slm_status run_arm(loop *l, const slm_eval_arm *arm, slm_error *err)
{
    slm_status status = SLM_OK;
    l->arm = arm;
    l->system_text = arm->system_text && *arm->system_text ? arm->system_text : NULL;
    l->sample_at = l->grade_at = 0;
    l->arm_failed = l->consecutive_errors = l->done_before = 0;
    l->episodes = l->episode_replies = l->covered = 0;
    l->coverage = 0;
    l->graded_before = l->grader.graded;
    l->gave_up = false;
    l->lost = (slm_error){0};
    SLM_TRY(put_arm(l, err));
    memset(l->have, 0, l->total);
    SLM_TRY(
        eval__have(l->store, l->run, l->grader.judge->identity, l->selection, l->k, l->have, err));
    for (size_t i = 0; i < l->total; i++)
        l->done_before += (l->have[i] & EVAL_HAS_GRADING) != 0;
    l->progress = slm_progress_new(l->log, arm->chat->name, "answers", l->total, l->done_before);
    status = work(l, err);
    if (status == SLM_OK || l->lost.status != SLM_OK) {
        slm_status written = eval__writer_commit(&l->writer, status == SLM_OK ? err : NULL);
        if (status == SLM_OK) status = written;
    }
    slm_progress_finish(l->progress);
    l->progress = NULL;
    drop_requests(l);
    if (l->episodes) tell_episodes(l);
    return status;
}

/* ---- all of it ---- */

/* A request that was wrong (too long for its model) is no wrong use of the program. */
static slm_status failure_status(const loop *l)
{
    slm_status status = l->first_failure.status;
    return status == SLM_OK ? SLM_ERR_IO : status == SLM_ERR_INVALID ? SLM_ERR_UNSUPPORTED : status;
}

/* Trying again cannot help: the request itself was refused (a prompt beyond the context). */
static bool is_lasting(const slm_error *failure)
{
    return failure->status == SLM_ERR_INVALID || failure->status == SLM_ERR_LIMIT;
}

static slm_status run_arms(loop *l, const slm_eval_arm *arms, size_t arm_count, slm_error *err)
{
    const slm_eval_options *options = l->options;
    const char **runs = calloc(arm_count + 1, sizeof *runs);
    char(*hashes)[65] = calloc(arm_count + 1, sizeof *hashes);
    if (!runs || !hashes) slm_out_of_memory(arm_count);
    slm_status status = SLM_OK;
    for (size_t i = 0; i < arm_count; i++) {
        if (eval__stopped(options)) break;
        l->run[0] = '\0';
        status = run_arm(l, &arms[i], err);
        memcpy(hashes[i], l->run, sizeof hashes[i]);
        if (options->run_hashes) memcpy(options->run_hashes[i], l->run, sizeof hashes[i]);
        if (status != SLM_OK) goto out;
        runs[i] = hashes[i];
    }
    if (l->grader.unscored)
        slm_log_print(l->log, SLM_LOG_WARNING,
                      "%" PRIu64 " answers are unscored, since the judge failed on them (%s); run "
                      "again to grade them",
                      l->grader.unscored, l->grader.unscored_error.message);
    if (!eval__stopped(options) && !options->is_part)
        SLM_TRY_OUT(slm_eval_baselines(l->store, l->selection->cases, runs, arm_count,
                                       l->grader.judge, options, l->log, err));
    if (eval__stopped(options))
        status = slm_error_set(err, SLM_ERR_CANCELLED,
                               "stopped; what came is stored, run the same command to go on");
    else if (l->failed)
        status = slm_error_set(err, failure_status(l),
                               "%" PRIu64 " of %" PRIu64 " answers failed, the first with: %.600s; "
                               "the others are stored%s",
                               l->failed, l->asked, l->first_failure.message,
                               is_lasting(&l->first_failure)
                                   ? ", and reports are made of them; this one fails again until "
                                     "the case or the option is changed"
                                   : ", run again to retry");
out:
    free(runs);
    free(hashes);
    return status;
}

static slm_status check_options(const slm_eval_options *options, slm_error *err)
{
    if (options->k < 1 || options->k > 100000)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "k is %" PRId64 "; it must be from 1 to 100000 rollouts of each case",
                             options->k);
    return slm_chat_sampling_check(&options->sampling, err);
}

slm_status slm_eval_check(const slm_cases *cases, const slm_judge *judge, bool skip_uncovered,
                          slm_log *log, slm_error *err)
{
    eval__selection selection = {0};
    slm_coverage coverage = slm_judge_coverage(judge, cases);
    slm_log_print(log, SLM_LOG_INFO,
                  "judge %s covers %zu of %zu criteria, and can score %zu of %zu cases",
                  judge->name, coverage.criteria_covered, coverage.criteria, coverage.cases_covered,
                  coverage.cases);
    slm_status status = eval__select(cases, judge, skip_uncovered, log, &selection, err);
    eval__selection_free(&selection);
    return status;
}

slm_status slm_eval_run(slm_store *store, const slm_cases *cases, const slm_eval_arm *arms,
                        size_t arm_count, slm_judge *judge, const slm_eval_options *options,
                        slm_log *log, slm_error *err)
{
    eval__selection selection = {0};
    slm_status status = SLM_OK;
    SLM_TRY(check_options(options, err));
    for (size_t i = 0; options->run_hashes && i < arm_count; i++)
        options->run_hashes[i][0] = '\0';
    if (!options->is_part) SLM_TRY(slm_eval_check(cases, judge, options->skip_uncovered, log, err));
    SLM_TRY(eval__select(cases, judge, options->skip_uncovered, NULL, &selection, err));
    loop l = {.store = store,
              .selection = &selection,
              .options = options,
              .log = log,
              .k = (size_t)options->k,
              .total = selection.count * (size_t)options->k,
              .writer = {.store = store, .age_s = options->commit_s}};
    l.grader.judge = judge;
    l.grader.writer = &l.writer;
    l.have = calloc(l.total, 1);
    if (!l.have) slm_out_of_memory(l.total);
    SLM_TRY_OUT(eval__put_setting(store, cases, judge, err));
    SLM_TRY_OUT(run_arms(&l, arms, arm_count, err));
out:
    if (l.writer.is_open) {
        /* The failure was not the store's own: what came before it is kept. */
        l.writer.is_open = false;
        if (slm_store_commit(store, NULL) != SLM_OK) slm_store_rollback(store);
    }
    if (status != SLM_OK) eval__drop_gradings(judge);
    eval__grader_free(&l.grader);
    slm_arena_free(&l.arena);
    free(l.requests);
    free(l.have);
    eval__selection_free(&selection);
    return status;
}
