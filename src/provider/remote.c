/* remote.c: a remote model behind chat.h.
 *
 * A request for n replies is n calls on the line (line.c), each with a seed of its own that follows
 * from the request's seed, its case and the rollout, so that rollouts differ and a rollout asked again
 * is asked the same. Bodies are written when a call is sent, from one copy of the request: what a host
 * was found not to take ("dialect") then holds for all that follow.
 *
 * An answer is what the API calls one, an empty text too; a refusal (SLM_CHAT_REFUSED) is an answer;
 * everything else is an error, which is no answer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/random.h"
#include "remote_internal.h"

enum {
    BYTES_PER_TOKEN = 4, /* of ordinary text, about */
    MESSAGE_TOKENS = 32, /* the most that wrapping a message takes */
};

typedef struct chat_call chat_call;

/* A submitted request; lives until its last reply was handed out. */
typedef struct ticket {
    struct ticket *next;
    uint64_t number;
    slm_arena arena;
    slm_chat_request request; /* a copy */
    chat_call **calls;        /* [n]; NULL once handed out */
    uint32_t left;
} ticket;

struct chat_call {
    remote__call call; /* first */
    ticket *ticket;
    uint32_t index;
    remote__dialect dialect; /* that it was last sent with */
    slm_chat_reply *reply;
};

typedef struct remote_chat {
    slm_chat chat; /* first */
    remote__target target;
    remote__line line;
    remote__dialect dialect;
    const remote__api *api;
    ticket *tickets;
} remote_chat;

int64_t slm_remote_guess_tokens(uint64_t bytes)
{
    return (int64_t)((bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
}

/* ---- what the line asks of its owner ---- */

static int64_t seed_of(const ticket *t, uint32_t index)
{
    const slm_chat_request *request = &t->request;
    slm_random_key key = {.seed = (uint64_t)request->sampling.seed,
                          .stream = slm_hash_bytes(request->case_id, strlen(request->case_id)),
                          .rollout = request->first_rollout + index};
    /* 31 bits: some servers keep it in an int. */
    return (int64_t)(slm_random_at(&key, 0) * 2147483648.0);
}

static void write_body(void *context, remote__call *call, slm_buffer *out)
{
    remote_chat *r = context;
    chat_call *c = (chat_call *)call;
    c->dialect = r->dialect;
    r->api->body(&r->target, &c->ticket->request, &r->dialect, seed_of(c->ticket, c->index), out);
}

static char *take_text(slm_buffer *text, const char *key)
{
    remote__scrub(text->data, text->len, key);
    return slm_buffer_take(text);
}

static remote__verdict on_reply(void *context, remote__call *call, const json_t *root,
                                remote__usage *usage, slm_error *err)
{
    remote_chat *r = context;
    chat_call *c = (chat_call *)call;
    remote__parsed parsed = {
        .prompt_tokens = -1, .cached_tokens = -1, .reply_tokens = -1, .reasoning_tokens = -1};
    slm_status status = r->api->parse(root, &parsed, err);
    *usage = (remote__usage){parsed.prompt_tokens, parsed.cached_tokens, parsed.reply_tokens,
                             parsed.reasoning_tokens};
    if (status != SLM_OK) {
        remote__parsed_free(&parsed);
        return VERDICT_AGAIN;
    }
    slm_chat_reply *reply = slm_chat_reply_new(c->ticket->number, c->index, parsed.finish, NULL);
    free(reply->text);
    reply->text = take_text(&parsed.text, r->target.key);
    if (parsed.has_reasoning) reply->reasoning = take_text(&parsed.reasoning, r->target.key);
    reply->prompt_tokens = parsed.prompt_tokens;
    reply->cached_tokens = parsed.cached_tokens;
    reply->reply_tokens = parsed.reply_tokens;
    reply->reasoning_tokens = parsed.reasoning_tokens;
    remote__parsed_free(&parsed);
    c->reply = reply;
    return VERDICT_DONE;
}

/* Does the API say that it is this field which it does not take? */
static bool is_about(const remote__problem *problem, const char *field)
{
    return strcmp(problem->param, field) == 0 || strstr(problem->message, field) != NULL;
}

/* Changes the dialect if that is the remedy, once for each field. */
static bool learn(remote_chat *r, const remote__problem *problem)
{
    remote__dialect *dialect = &r->dialect;
    if (!dialect->flipped &&
        (is_about(problem, "max_completion_tokens") || is_about(problem, "max_tokens"))) {
        /* The value may be what is wrong; then the other name fails too, and that is told. */
        dialect->flipped = true;
        dialect->old_max_tokens = !dialect->old_max_tokens;
        return true;
    }
    if (!dialect->no_seed &&
        (strcmp(problem->param, "seed") == 0 || strcasestr(problem->message, "'seed'") != NULL ||
         strcasestr(problem->message, "\"seed\"") != NULL)) {
        dialect->no_seed = true;
        slm_log_print(r->line.log, SLM_LOG_INFO,
                      "%s takes no seed, so its answers cannot be had again", r->target.host);
        return true;
    }
    return false;
}

static bool is_filtered(const remote__problem *problem)
{
    return strcmp(problem->code, "content_filter") == 0 ||
           strcmp(problem->code, "content_policy_violation") == 0 ||
           strcmp(problem->code, "ResponsibleAIPolicyViolation") == 0;
}

static remote__verdict on_problem(void *context, remote__call *call, long status,
                                  const remote__problem *problem, slm_error *err)
{
    (void)err;
    remote_chat *r = context;
    chat_call *c = (chat_call *)call;
    if (status != 400 && status != 422) return VERDICT_PASS;
    if (is_filtered(problem)) {
        c->reply = slm_chat_reply_new(c->ticket->number, c->index, SLM_CHAT_REFUSED, NULL);
        return VERDICT_DONE;
    }
    if (r->target.kind != REMOTE_OPENAI && r->target.kind != REMOTE_AZURE) return VERDICT_PASS;
    /* Another call may have learned it since this one was sent. */
    if (c->dialect.old_max_tokens != r->dialect.old_max_tokens ||
        c->dialect.no_seed != r->dialect.no_seed)
        return VERDICT_NOW;
    return learn(r, problem) ? VERDICT_NOW : VERDICT_PASS;
}

/* ---- chat.h ---- */

static void copy_request(ticket *t, const slm_chat_request *request)
{
    slm_arena *arena = &t->arena;
    slm_chat_request *copy = &t->request;
    *copy = *request;
    slm_chat_message *messages = slm_arena_array(arena, request->message_count, sizeof *messages);
    for (size_t i = 0; i < request->message_count; i++) {
        messages[i].role = slm_arena_strdup(arena, request->messages[i].role);
        messages[i].content = slm_arena_strdup(arena, request->messages[i].content);
    }
    const char **stop = slm_arena_array(arena, request->sampling.stop_count, sizeof *stop);
    for (size_t i = 0; i < request->sampling.stop_count; i++)
        stop[i] = slm_arena_strdup(arena, request->sampling.stop[i]);
    copy->messages = messages;
    copy->sampling.stop = stop;
    copy->case_id = slm_arena_strdup(arena, request->case_id != NULL ? request->case_id : "");
    copy->json_schema = slm_arena_strdup(arena, request->json_schema);
}

/* The most that a call can cost: a token has at least one byte, and a reply at most max_tokens. */
static double most_usd(const remote_chat *r, const slm_chat_request *request)
{
    double bytes = request->json_schema != NULL ? (double)strlen(request->json_schema) : 0;
    if (r->target.price == NULL) return 0;
    for (size_t i = 0; i < request->message_count; i++)
        bytes += (double)strlen(request->messages[i].content) + MESSAGE_TOKENS;
    return (bytes * r->target.price->input +
            (double)request->sampling.max_tokens * r->target.price->output) /
           1e6;
}

static slm_status chat_submit(slm_chat *chat, const slm_chat_request *request, uint64_t number,
                              slm_error *err)
{
    remote_chat *r = (remote_chat *)chat;
    if (r->line.broken) {
        if (err != NULL) *err = r->line.broken_error;
        return r->line.broken_error.status;
    }
    SLM_TRY(r->api->check(&r->target, request, err));
    if (request->json_schema != NULL) {
        json_t *schema = NULL;
        SLM_TRY(slm_json_parse(request->json_schema, strlen(request->json_schema),
                               "the JSON schema", 1, &schema, err));
        json_decref(schema);
    }
    ticket *t = calloc(1, sizeof *t);
    if (t == NULL) slm_out_of_memory(sizeof *t);
    t->arena.block_bytes = 4096;
    t->number = number;
    t->left = request->n;
    copy_request(t, request);
    t->calls = slm_arena_array(&t->arena, request->n, sizeof *t->calls);
    t->next = r->tickets;
    r->tickets = t;
    double cost = most_usd(r, request);
    for (uint32_t i = 0; i < request->n; i++) {
        chat_call *c = calloc(1, sizeof *c);
        if (c == NULL) slm_out_of_memory(sizeof *c);
        c->ticket = t;
        c->index = i;
        c->call.cost_usd = cost;
        c->call.jitter =
            (uint64_t)seed_of(t, i) ^ slm_hash_bytes(r->target.host, strlen(r->target.host));
        t->calls[i] = c;
        remote__line_add(&r->line, &c->call);
    }
    return SLM_OK;
}

static void drop_call(remote_chat *r, chat_call *c)
{
    ticket *t = c->ticket;
    t->calls[c->index] = NULL;
    slm_chat_reply_free(c->reply);
    free(c);
    if (--t->left > 0) return;
    ticket **at = &r->tickets;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    slm_arena_free(&t->arena);
    free(t);
}

static slm_status chat_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **out, slm_error *err)
{
    remote_chat *r = (remote_chat *)chat;
    remote__call *call = NULL;
    SLM_TRY(remote__line_poll(&r->line, timeout_ms, &call, err));
    if (call == NULL) return SLM_OK;
    chat_call *c = (chat_call *)call;
    slm_chat_reply *reply = c->reply;
    c->reply = NULL;
    if (reply == NULL) {
        bool cancelled = call->error.status == SLM_ERR_CANCELLED;
        reply = slm_chat_reply_new(c->ticket->number, c->index,
                                   cancelled ? SLM_CHAT_CANCELLED : SLM_CHAT_ERROR, NULL);
        if (!cancelled) reply->error = call->error;
    }
    reply->time_s = call->time_s;
    const slm_chat_request *request = &c->ticket->request;
    if (request->on_text != NULL && *reply->text != '\0')
        request->on_text(request->context, c->index, reply->text, strlen(reply->text));
    drop_call(r, c);
    *out = reply;
    return SLM_OK;
}

static void chat_cancel(slm_chat *chat, uint64_t number)
{
    remote_chat *r = (remote_chat *)chat;
    for (ticket *t = r->tickets; t != NULL; t = t->next) {
        if (t->number != number) continue;
        for (uint32_t i = 0; i < t->request.n; i++) {
            if (t->calls[i] != NULL) remote__line_cancel(&r->line, &t->calls[i]->call);
        }
        return;
    }
}

static void chat_free(slm_chat *chat)
{
    remote_chat *r = (remote_chat *)chat;
    for (remote__call *call; (call = remote__line_take(&r->line)) != NULL;) {
        remote__line_drop(&r->line, call);
        drop_call(r, (chat_call *)call);
    }
    remote__line_close(&r->line);
    remote__target_free(&r->target);
    free(r->chat.name);
    free(r->chat.identity);
    free(r);
}

static const slm_chat_class remote_class = {
    .submit = chat_submit, .poll = chat_poll, .cancel = chat_cancel, .free = chat_free};

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) slm_out_of_memory(strlen(text));
    return copy;
}

slm_status slm_chat_remote_open(const char *model, const slm_remote_settings *settings,
                                slm_chat **out, slm_error *err)
{
    *out = NULL;
    remote_chat *r = calloc(1, sizeof *r);
    if (r == NULL) slm_out_of_memory(sizeof *r);
    remote__owner owner = {
        .body = write_body, .on_reply = on_reply, .on_problem = on_problem, .context = r};
    slm_status status = remote__target_read(model, settings, &r->target, err);
    /* --offline goes before a missing key: without the network no key is needed. */
    if (status == SLM_OK && !settings->offline)
        status = remote__target_key(&r->target, settings, err);
    if (status == SLM_OK)
        status = remote__line_open(&r->line, &r->target, false, settings, &owner, err);
    if (status != SLM_OK) {
        remote__target_free(&r->target);
        free(r);
        return status;
    }
    r->api = remote__api_of(r->target.kind);
    r->dialect.old_max_tokens = r->target.kind == REMOTE_OPENAI && !r->target.own;
    r->chat.class = &remote_class;
    r->chat.name = copy_text(r->target.model);
    r->chat.identity = copy_text(r->target.identity);
    r->chat.width = r->line.width;
    *out = &r->chat;
    return SLM_OK;
}
