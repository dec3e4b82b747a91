/* chat.c: the door to a model: defaults, checks, and the bookkeeping that all models share.
 *
 * The door gives out tickets and counts the replies still to come, so that an implementation only
 * answers. A request is checked here once: implementations may rely on at least one message, known
 * roles, n >= 1, rollouts that fit 32 bits, and sampling within bounds.
 *
 * slm_chat_sampling_json is canonical (sorted keys, shortest numbers that read back the same): it is
 * part of a run's hash, so its bytes may only change together with what the settings mean. */
#include "provider/chat.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/json.h"

slm_chat_sampling slm_chat_sampling_default(void)
{
    return (slm_chat_sampling){
        .temperature = 0.7, .top_p = 1.0, .repetition_penalty = 1.0, .max_tokens = 512};
}

/* low <= value <= high; not a number fails both comparisons. */
static slm_status check_bounds(const char *field, double value, double low, double high,
                               slm_error *err)
{
    if (value >= low && value <= high) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID, "%s is %g; it must be from %g to %g", field, value,
                         low, high);
}

slm_status slm_chat_sampling_check(const slm_chat_sampling *sampling, slm_error *err)
{
    SLM_TRY(check_bounds("temperature", sampling->temperature, 0, 100, err));
    SLM_TRY(check_bounds("top_p", sampling->top_p, 0, 1, err));
    if (!(sampling->top_p > 0))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "top_p is 0, which leaves no token; it must be above 0 (1: off)");
    SLM_TRY(check_bounds("min_p", sampling->min_p, 0, 1, err));
    SLM_TRY(check_bounds("presence_penalty", sampling->presence_penalty, -2, 2, err));
    SLM_TRY(check_bounds("frequency_penalty", sampling->frequency_penalty, -2, 2, err));
    SLM_TRY(check_bounds("repetition_penalty", sampling->repetition_penalty, 0.01, 100, err));
    if (sampling->top_k < 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "top_k is %" PRId64 "; it must be 0 (off) or more", sampling->top_k);
    if (sampling->max_tokens < 1)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "max_tokens is %" PRId64 "; it must be at least 1",
                             sampling->max_tokens);
    for (size_t i = 0; i < sampling->stop_count; i++) {
        if (!sampling->stop[i] || !*sampling->stop[i])
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "stop[%zu] is empty; a stop string needs at least one character",
                                 i);
    }
    return SLM_OK;
}

char *slm_chat_sampling_json(const slm_chat_sampling *sampling)
{
    slm_buffer out = {0};
    slm_buffer_append_text(&out, "{\"frequency_penalty\":");
    slm_json_append_number(&out, sampling->frequency_penalty);
    slm_buffer_printf(&out, ",\"max_tokens\":%" PRId64 ",\"min_p\":", sampling->max_tokens);
    slm_json_append_number(&out, sampling->min_p);
    slm_buffer_append_text(&out, ",\"presence_penalty\":");
    slm_json_append_number(&out, sampling->presence_penalty);
    slm_buffer_append_text(&out, ",\"repetition_penalty\":");
    slm_json_append_number(&out, sampling->repetition_penalty);
    slm_buffer_printf(&out, ",\"seed\":%" PRId64 ",\"stop\":[", sampling->seed);
    for (size_t i = 0; i < sampling->stop_count; i++) {
        if (i) slm_buffer_append_char(&out, ',');
        slm_json_append_string(&out, sampling->stop[i], strlen(sampling->stop[i]));
    }
    slm_buffer_append_text(&out, "],\"temperature\":");
    slm_json_append_number(&out, sampling->temperature);
    slm_buffer_printf(&out, ",\"thinking\":%s,\"top_k\":%" PRId64 ",\"top_p\":",
                      sampling->thinking ? "true" : "false", sampling->top_k);
    slm_json_append_number(&out, sampling->top_p);
    slm_buffer_append_char(&out, '}');
    return slm_buffer_take(&out);
}

static const char *const finish_names[] = {
    [SLM_CHAT_STOP] = "stop",   [SLM_CHAT_LENGTH] = "length",       [SLM_CHAT_REFUSED] = "refused",
    [SLM_CHAT_ERROR] = "error", [SLM_CHAT_CANCELLED] = "cancelled",
};

const char *slm_chat_finish_name(slm_chat_finish finish)
{
    SLM_ASSERT((size_t)finish < sizeof finish_names / sizeof *finish_names);
    return finish_names[finish];
}

bool slm_chat_finish_from_name(const char *name, slm_chat_finish *out)
{
    for (size_t i = 0; i < sizeof finish_names / sizeof *finish_names; i++) {
        if (strcmp(finish_names[i], name) == 0) {
            *out = (slm_chat_finish)i;
            return true;
        }
    }
    return false;
}

slm_chat_reply *slm_chat_reply_new(uint64_t ticket, uint32_t index, slm_chat_finish finish,
                                   const char *text)
{
    slm_chat_reply *reply = calloc(1, sizeof *reply);
    char *copy = strdup(text ? text : "");
    if (!reply || !copy) slm_out_of_memory(sizeof *reply);
    reply->ticket = ticket;
    reply->index = index;
    reply->finish = finish;
    reply->text = copy;
    reply->prompt_tokens = reply->cached_tokens = -1;
    reply->reply_tokens = reply->reasoning_tokens = -1;
    return reply;
}

void slm_chat_reply_free(slm_chat_reply *reply)
{
    if (!reply) return;
    if (reply->trace) {
        free(reply->trace->prompt_ids);
        free(reply->trace->reply_ids);
        free(reply->trace->logprobs);
        free(reply->trace);
    }
    free(reply->text);
    free(reply->reasoning);
    free(reply);
}

static slm_status check_request(const slm_chat_request *request, slm_error *err)
{
    if (request->message_count == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "a request needs at least one message");
    for (size_t i = 0; i < request->message_count; i++) {
        const slm_chat_message *message = &request->messages[i];
        if (!message->role || !message->content)
            return slm_error_set(err, SLM_ERR_INVALID, "message %zu lacks its role or content", i);
        if (strcmp(message->role, "system") != 0 && strcmp(message->role, "user") != 0 &&
            strcmp(message->role, "assistant") != 0)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "message %zu has the role '%s'; it must be system, user or "
                                 "assistant",
                                 i, message->role);
    }
    if (request->n == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "n is 0; at least one reply must be wanted");
    if (request->first_rollout > UINT32_MAX - request->n)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "rollouts %" PRIu32 " and %" PRIu32 " more go past the largest index",
                             request->first_rollout, request->n);
    return slm_chat_sampling_check(&request->sampling, err);
}

slm_status slm_chat_submit(slm_chat *chat, const slm_chat_request *request, uint64_t *ticket,
                           slm_error *err)
{
    SLM_TRY(check_request(request, err));
    uint64_t mine = chat->next_ticket + 1;
    SLM_TRY(chat->class->submit(chat, request, mine, err));
    chat->next_ticket = mine;
    chat->in_flight += request->n;
    if (ticket) *ticket = mine;
    return SLM_OK;
}

slm_status slm_chat_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply, slm_error *err)
{
    *reply = NULL;
    if (chat->in_flight == 0) return SLM_OK;
    SLM_TRY(chat->class->poll(chat, timeout_ms, reply, err));
    if (*reply) chat->in_flight--;
    return SLM_OK;
}

void slm_chat_cancel(slm_chat *chat, uint64_t ticket)
{
    if (chat->in_flight > 0 && chat->class->cancel) chat->class->cancel(chat, ticket);
}

void slm_chat_free(slm_chat *chat)
{
    if (chat) chat->class->free(chat);
}
