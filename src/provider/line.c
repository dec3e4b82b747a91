/* line.c: calls on their way to one host, in one thread.
 *
 * A call waits, flies (sent, over base/http), sleeps before another try, and is done. How many fly at
 * once follows additive increase and multiplicative decrease (Chiu and Jain, 1989), as TCP's window
 * does: a reply that says "too many" or "overloaded" (429, 503, 529) halves the window, once for all
 * calls that were sent before; each answer widens it by one over its size. Where the host says how long
 * to wait, nothing is sent to it for so long; else a call sleeps a time that doubles with each try and
 * is drawn between half of it and all ("jitter", so that calls that failed together do not come back
 * together), from a counter keyed by the call: no hidden state.
 *
 * What is tried again: 408, 409, 425, 429 and 5xx; no connection; a time-out; a reply that is cut or is
 * no JSON. What is not: every other status. One that will be the same for every call (a key that is
 * refused, no such model, certificates) ends the line at once; one that is about the request (a prompt
 * that is too long) ends its call. A 400 before anything has succeeded counts as the former unless it
 * speaks of length.
 *
 * Time-outs are kept here and not by libcurl, so that time in which the caller did not poll is not held
 * against the host. Money is reserved before a call is sent (budget.h). */
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "base/progress.h"
#include "base/random.h"
#include "remote_internal.h"

enum {
    WIDTH = 16,
    RETRIES = 8,
    EARLY_RETRIES = 3, /* of connecting, before anything was answered */
    REPLY_BYTES = 16 << 20,
    TELL_EVERY_S = 10,
    MOST_HOLD_S = 900, /* a host that asks for more is left alone until another day */
};
static const double FIRST_SLEEP_S = 1, MOST_SLEEP_S = 30, TIMEOUT_S = 600, STALL_S = 60,
                    CONNECT_S = 30, GAP_S = 0.5;

int remote__width(const remote__target *target, const slm_remote_settings *settings)
{
    const slm_endpoint *endpoint = target->endpoint;
    if (settings->concurrency > 0) return settings->concurrency;
    return endpoint != NULL && endpoint->concurrency > 0 ? endpoint->concurrency : WIDTH;
}

static double timeout_of(const remote__target *target, const slm_remote_settings *settings)
{
    const slm_endpoint *endpoint = target->endpoint;
    if (settings->timeout_s > 0) return settings->timeout_s;
    return endpoint != NULL && endpoint->timeout_s > 0 ? endpoint->timeout_s : TIMEOUT_S;
}

slm_status remote__check_settings(const remote__target *target, const slm_remote_settings *settings,
                                  slm_error *err)
{
    if (settings->offline)
        return slm_error_set(err, SLM_ERR_NETWORK,
                             "%s is not asked: --offline forbids every network call; models on "
                             "this machine and recorded:FILE need none",
                             target->host);
    if (settings->budget != NULL && settings->budget->limit_usd > 0 && target->price == NULL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--max-cost needs the price of %s at %s; give it in a --prices or "
                             "--endpoints file",
                             target->model, target->host);
    return SLM_OK;
}

slm_status remote__line_open(remote__line *line, remote__target *target, bool embeddings,
                             const slm_remote_settings *settings, const remote__owner *owner,
                             slm_error *err)
{
    *line = (remote__line){.target = target, .owner = *owner, .log = settings->log};
    double connect_s = settings->connect_timeout_s > 0 ? settings->connect_timeout_s : CONNECT_S;
    slm_http_options options = {.ca_file = settings->ca_file,
                                .user_agent = "slm/" SLM_VERSION,
                                .connect_timeout_ms = (long)(1000 * connect_s),
                                .offline = settings->offline};
    SLM_TRY(remote__check_settings(target, settings, err));
    line->url = remote__target_url(target, embeddings);
    line->headers = remote__target_headers(target);
    line->budget = settings->budget != NULL ? settings->budget : &line->no_budget;
    line->retries = settings->retries >= 0 ? settings->retries : RETRIES;
    line->timeout_s = timeout_of(target, settings);
    line->stall_timeout_s = settings->stall_timeout_s > 0 ? settings->stall_timeout_s : STALL_S;
    line->width = remote__width(target, settings);
    line->window = line->width;
    line->last = &line->first;
    line->done_last = &line->done;
    line->polled_s = slm_progress_clock_s();
    line->told_s = -TELL_EVERY_S;
    return slm_http_new(&options, &line->http, err);
}

void remote__line_close(remote__line *line)
{
    slm_http_free(line->http);
    line->http = NULL;
}

/* ---- lists ---- */

static void push_last(remote__line *line, remote__call *call)
{
    call->state = CALL_WAITING;
    call->next = NULL;
    *line->last = call;
    line->last = &call->next;
}

/* A call that has waited before goes ahead of the others. */
static void push_first(remote__line *line, remote__call *call)
{
    call->state = CALL_WAITING;
    call->next = line->first;
    if (line->first == NULL) line->last = &call->next;
    line->first = call;
}

static remote__call *pop_first(remote__line *line)
{
    remote__call *call = line->first;
    line->first = call->next;
    if (line->first == NULL) line->last = &line->first;
    call->next = NULL;
    return call;
}

static void unlink_from(remote__call **list, remote__call *call)
{
    while (*list != call)
        list = &(*list)->next;
    *list = call->next;
    call->next = NULL;
}

static void push_done(remote__line *line, remote__call *call)
{
    call->state = CALL_DONE;
    call->next = NULL;
    *line->done_last = call;
    line->done_last = &call->next;
}

static remote__call *pop_done(remote__line *line)
{
    remote__call *call = line->done;
    line->done = call->next;
    if (line->done == NULL) line->done_last = &line->done;
    call->next = NULL;
    return call;
}

void remote__line_add(remote__line *line, remote__call *call)
{
    push_last(line, call);
}

remote__call *remote__line_take(remote__line *line)
{
    remote__call *call = NULL;
    remote__call **list = line->sleeping != NULL ? &line->sleeping : &line->in_flight;
    if (line->first != NULL) return pop_first(line);
    if (line->done != NULL) return pop_done(line);
    call = *list;
    if (call != NULL) unlink_from(list, call);
    return call;
}

/* ---- money ---- */

/* What a try did cost; NULL: it was not told, though the host may have worked, so all of it counts. */
static void settle(remote__line *line, remote__call *call, const remote__usage *usage)
{
    slm_budget *budget = line->budget;
    double spent = line->target->price != NULL ? call->cost_usd : 0;
    if (line->target->price == NULL) {
        budget->unpriced++;
    } else if (usage != NULL) {
        double told = slm_price_cost(line->target->price, usage->prompt_tokens,
                                     usage->cached_tokens, usage->reply_tokens);
        if (!isnan(told))
            spent = told;
        else
            budget->guessed++;
    } else {
        budget->guessed++;
    }
    if (usage != NULL) {
        if (usage->prompt_tokens > 0) budget->prompt_tokens += usage->prompt_tokens;
        if (usage->cached_tokens > 0) budget->cached_tokens += usage->cached_tokens;
        if (usage->reply_tokens > 0) budget->reply_tokens += usage->reply_tokens;
        if (usage->reasoning_tokens > 0) budget->reasoning_tokens += usage->reasoning_tokens;
    }
    if (line->target->price != NULL) budget->priced++;
    slm_budget_settle(budget, call->reserved_usd, spent);
    call->reserved_usd = 0;
}

/* The try cost nothing: it did not arrive, or was refused. */
static void settle_free(remote__line *line, remote__call *call)
{
    slm_budget_settle(line->budget, call->reserved_usd, 0);
    call->reserved_usd = 0;
}

void remote__line_drop(remote__line *line, remote__call *call)
{
    if (call->state != CALL_FLYING) return;
    slm_http_cancel(line->http, call->http_id);
    line->flying--;
    settle(line, call, NULL);
}

/* ---- the end of a try ---- */

static void land(remote__line *line, remote__call *call)
{
    unlink_from(&line->in_flight, call);
    line->flying--;
}

static void break_line(remote__line *line, remote__call *call, const slm_error *why)
{
    push_first(line, call);
    line->broken = true;
    line->broken_error = *why;
}

/* At most every few seconds: what goes wrong, and what is done about it. */
static void tell(remote__line *line, const slm_error *why, double wait_s)
{
    double now = slm_progress_clock_s();
    bool often = now - line->told_s < TELL_EVERY_S;
    if (!often) line->told_s = now;
    slm_log_print(line->log, often ? SLM_LOG_DEBUG : SLM_LOG_INFO,
                  "%s; trying again in %.1f s, up to %d calls at once", why->message, wait_s,
                  (int)line->window);
}

/* Another try, later. asked_s: what the host asked to wait; below 0: nothing. */
static void try_again(remote__line *line, remote__call *call, const slm_error *why, double asked_s)
{
    double now = slm_progress_clock_s();
    if (call->tries > line->retries) {
        call->error = *why;
        if (call->tries > 1)
            slm_error_set(&call->error, why->status, "%s (tried %d times)", why->message,
                          call->tries);
        push_done(line, call);
        return;
    }
    slm_random_key key = {.stream = call->jitter};
    double most = FIRST_SLEEP_S * (double)(1u << (call->tries < 16 ? call->tries - 1 : 15));
    if (most > MOST_SLEEP_S) most = MOST_SLEEP_S;
    double draw = slm_random_at(&key, (uint32_t)call->tries);
    double sleep_s = most * (0.5 + 0.5 * draw);
    /* After the hold all would come at once: they are spread over a tenth of it more. */
    if (asked_s >= 0) sleep_s = asked_s + draw * (0.1 * asked_s + 0.05);
    call->ready_s = now + sleep_s;
    call->state = CALL_SLEEPING;
    call->next = line->sleeping;
    line->sleeping = call;
    tell(line, why, sleep_s);
}

/* The host says that it is asked too much. */
static void narrow(remote__line *line, const remote__call *call, double asked_s)
{
    double now = slm_progress_clock_s();
    if (call->sent_s >= line->narrowed_s) {
        line->window = line->window / 2 > 1 ? line->window / 2 : 1;
        line->narrowed_s = now;
    }
    if (asked_s > 0 && now + asked_s > line->hold_s) line->hold_s = now + asked_s;
}

static bool speaks_of_length(const remote__problem *problem)
{
    static const char *const words[] = {"context", "too long", "too large", "maximum", "length"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasestr(problem->message, words[i]) != NULL ||
            strcasestr(problem->code, words[i]) != NULL ||
            strcasestr(problem->type, words[i]) != NULL)
            return true;
    }
    return false;
}

static bool is_passing(long status)
{
    return status == 408 || status == 409 || status == 425 || status == 429 ||
           (status >= 500 && status != 501 && status != 505 && status != 511);
}

/* What to do about it, in a few words. */
static const char *remedy(const remote__line *line, long status)
{
    if (status >= 300 && status < 400)
        return "it sends to another address, which is not followed, since the key and the texts "
               "are for this one; give the address that answers itself";
    switch (status) {
    case 401:
        return line->target->key != NULL ? "the key is not taken; is it whole, and of this host?"
                                         : "it wants a key: name the variable that holds it with "
                                           "--key-env, or in an --endpoints file";
    case 402:
        return "the account has no credit left";
    case 403:
        return "the key may not use this model or address";
    case 404:
        return "is the model's name right, and the URL?";
    case 407:
        return "the proxy wants a password; it is set in the proxy's address";
    case 429:
        return "the account's quota is used up; raise it there";
    default:
        return "the request is not taken as it is; another setting may be";
    }
}

static void set_problem(remote__line *line, long status, const remote__problem *problem,
                        slm_status kind, slm_error *err)
{
    slm_error_set(err, kind, "%s: %ld%s%s%s%s", line->target->host, status,
                  problem->code[0] != '\0' ? " " : "", problem->code,
                  problem->message[0] != '\0' ? ": " : "", problem->message);
}

/* A status other than 200, or an error in a reply of status 200. */
static void take_problem(remote__line *line, remote__call *call, long status,
                         const remote__problem *problem, double asked_s)
{
    slm_error why;
    remote__verdict verdict =
        line->owner.on_problem(line->owner.context, call, status, problem, &call->error);
    if (verdict == VERDICT_DONE) {
        push_done(line, call);
        return;
    }
    if (verdict == VERDICT_NOW) {
        push_first(line, call);
        return;
    }
    bool quota = strcmp(problem->code, "insufficient_quota") == 0 ||
                 strcmp(problem->type, "insufficient_quota") == 0;
    bool passing = is_passing(status) && !quota && asked_s <= MOST_HOLD_S;
    if (status == 429 || status == 503 || status == 529) narrow(line, call, passing ? asked_s : -1);
    if (passing) {
        set_problem(line, status, problem, SLM_ERR_NETWORK, &why);
        try_again(line, call, &why, status == 429 || status >= 500 ? asked_s : -1);
        return;
    }
    bool early = line->successes == 0;
    bool own_fault = status == 413 ||
                     ((status == 400 || status == 422) && (!early || speaks_of_length(problem)));
    bool lost = !own_fault && (early || status == 401 || status == 402 || status == 407 || quota ||
                               asked_s > MOST_HOLD_S);
    set_problem(line, status, problem,
                status == 404 ? SLM_ERR_NOT_FOUND
                : own_fault   ? SLM_ERR_INVALID
                : lost        ? SLM_ERR_UNSUPPORTED
                              : SLM_ERR_NETWORK,
                &why);
    slm_error full;
    if (asked_s > MOST_HOLD_S)
        slm_error_set(&full, why.status, "%s (it asks to wait %.0f s; run the same command then)",
                      why.message, asked_s);
    else
        slm_error_set(&full, why.status, "%s (%s)", why.message,
                      own_fault ? "the request is not taken" : remedy(line, status));
    if (lost) {
        break_line(line, call, &full);
    } else {
        call->error = full;
        push_done(line, call);
    }
}

/* Something came with status 200. */
static void take_reply(remote__line *line, remote__call *call, slm_http_reply *reply)
{
    slm_error why = {0};
    json_t *root = NULL;
    slm_buffer type = {0};
    bool has_type = slm_http_reply_header(reply, "Content-Type", &type);
    /* Before anything is quoted from it: a key that is cut off within is none that can be found. */
    remote__scrub(reply->body.data, reply->body.len, line->target->key);
    char shown[60];
    remote__one_line(slm_buffer_text(&type), type.len, shown, sizeof shown);
    slm_status status =
        remote__read_json(reply->body.data, reply->body.len, has_type ? shown : NULL, &root, &why);
    slm_buffer_free(&type);
    remote__usage usage = {-1, -1, -1, -1};
    call->time_s = reply->time_s;
    if (status != SLM_OK) {
        settle(line, call, NULL);
        remote__scrub(why.message, strlen(why.message), line->target->key);
        slm_error_prefix(&why, SLM_ERR_NETWORK, "%s", line->target->host);
        why.status = SLM_ERR_NETWORK;
        try_again(line, call, &why, -1);
        return;
    }
    const json_t *error = json_object_get(root, "error");
    if (json_is_object(error)) {
        /* Some answer 200 and put what went wrong inside. */
        remote__problem problem;
        int64_t code = remote__count(error, "code");
        remote__read_problem(reply->body.data, reply->body.len, line->target->key, &problem);
        settle_free(line, call);
        take_problem(line, call, code >= 400 && code < 600 ? (long)code : 500, &problem, -1);
    } else {
        remote__verdict verdict =
            line->owner.on_reply(line->owner.context, call, root, &usage, &why);
        bool told = usage.prompt_tokens >= 0 || usage.reply_tokens >= 0;
        settle(line, call, told ? &usage : NULL);
        if (verdict == VERDICT_DONE) {
            line->successes++;
            line->window += 1 / line->window;
            if (line->window > line->width) line->window = line->width;
            push_done(line, call);
        } else {
            slm_error_prefix(&why, SLM_ERR_NETWORK, "%s", line->target->host);
            why.status = SLM_ERR_NETWORK;
            try_again(line, call, &why, -1);
        }
    }
    json_decref(root);
}

/* No complete reply. */
static void take_failure(remote__line *line, remote__call *call, slm_http_failure kind,
                         const char *text)
{
    slm_error why;
    bool sent =
        kind != SLM_HTTP_NO_HOST && kind != SLM_HTTP_NO_CONNECTION && kind != SLM_HTTP_NOT_TRUSTED;
    if (sent)
        settle(line, call, NULL);
    else
        settle_free(line, call);
    slm_error_set(&why, SLM_ERR_NETWORK, "%s: %s", line->target->host, text);
    if (kind == SLM_HTTP_NOT_TRUSTED) {
        slm_error_set(&why, SLM_ERR_NETWORK,
                      "%s: %s; if it is yours, name its certificate with --ca-file",
                      line->target->host, text);
        break_line(line, call, &why);
        return;
    }
    /* An address that nobody has answered at is more likely wrong than out of order. */
    int early = line->retries < EARLY_RETRIES ? line->retries : EARLY_RETRIES;
    if (!sent && line->successes == 0 && call->tries > early) {
        slm_error_set(&why, SLM_ERR_NETWORK,
                      "%s: %s (tries: %d; is the address right, does the server run?)",
                      line->target->host, text, call->tries);
        break_line(line, call, &why);
        return;
    }
    if (kind == SLM_HTTP_TOO_LARGE) {
        /* It would be so again, and cost again. */
        slm_error_set(&call->error, SLM_ERR_NETWORK,
                      "%s: the reply is larger than 16 MiB, which no answer is",
                      line->target->host);
        push_done(line, call);
        return;
    }
    try_again(line, call, &why, -1);
}

static void take(remote__line *line, slm_http_reply *reply)
{
    remote__call *call = line->in_flight;
    while (call != NULL && call->http_id != reply->id)
        call = call->next;
    if (call == NULL) return;
    land(line, call);
    if (reply->failure[0] != '\0') {
        take_failure(line, call, reply->failure_kind, reply->failure);
    } else if (reply->status == 200) {
        take_reply(line, call, reply);
    } else {
        remote__problem problem;
        remote__read_problem(reply->body.data, reply->body.len, line->target->key, &problem);
        settle_free(line, call);
        take_problem(line, call, reply->status, &problem, slm_http_reply_retry_after_s(reply));
    }
}

/* ---- sending ---- */

static slm_status send(remote__line *line, remote__call *call, double now, slm_error *err)
{
    slm_buffer body = {0};
    line->owner.body(line->owner.context, call, &body);
    slm_http_request request = {
        .method = "POST",
        .url = line->url,
        .headers = line->headers,
        .body = slm_buffer_text(&body),
        .body_len = body.len,
        .reply_stall_timeout_ms = (long)(1000 * line->stall_timeout_s),
        .max_body_bytes = REPLY_BYTES,
    };
    slm_status status = slm_http_submit(line->http, &request, &call->http_id, err);
    slm_buffer_free(&body);
    if (status != SLM_OK) return status;
    call->reserved_usd = line->target->price != NULL ? call->cost_usd : 0;
    call->state = CALL_FLYING;
    call->tries++;
    call->sent_s = now;
    call->due_s = now + line->timeout_s;
    call->next = line->in_flight;
    line->in_flight = call;
    line->flying++;
    line->budget->calls++;
    if (call->tries > 1) line->budget->retries++;
    return SLM_OK;
}

/* Sends what may be sent; *poor: the next one is held back by the budget. */
static slm_status send_more(remote__line *line, double now, bool *poor, slm_error *err)
{
    *poor = false;
    while (line->first != NULL && (double)line->flying < floor(line->window) &&
           now >= line->hold_s) {
        remote__call *call = line->first;
        double cost = line->target->price != NULL ? call->cost_usd : 0;
        if (!slm_budget_reserve(line->budget, cost)) {
            *poor = true;
            return SLM_OK;
        }
        pop_first(line);
        slm_status status = send(line, call, now, err);
        if (status != SLM_OK) {
            slm_budget_settle(line->budget, cost, 0);
            push_first(line, call);
            return status;
        }
    }
    return SLM_OK;
}

static void wake(remote__line *line, double now)
{
    for (remote__call **at = &line->sleeping; *at != NULL;) {
        remote__call *call = *at;
        if (call->ready_s > now) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        push_first(line, call);
    }
}

static void end_overdue(remote__line *line, double now)
{
    for (remote__call *call = line->in_flight, *next; call != NULL; call = next) {
        next = call->next;
        if (call->due_s > now) continue;
        char text[80];
        snprintf(text, sizeof text, "no reply within %g s (--timeout)", line->timeout_s);
        slm_http_cancel(line->http, call->http_id);
        land(line, call);
        take_failure(line, call, SLM_HTTP_TIMEOUT, text);
    }
}

static void break_for_money(remote__line *line)
{
    const slm_budget *budget = line->budget;
    line->broken = true;
    slm_error_set(&line->broken_error, SLM_ERR_LIMIT,
                  "--max-cost US$%.4g: US$%.4g are spent, and the next call to %s could cost "
                  "US$%.4g; what was answered is kept, and with a larger --max-cost the same "
                  "command goes on from there",
                  budget->limit_usd, budget->spent_usd, line->target->host, line->first->cost_usd);
}

/* How long nothing can happen here but a reply. */
static double idle_s(const remote__line *line, double now)
{
    double wait_s = 1;
    for (const remote__call *call = line->sleeping; call != NULL; call = call->next)
        wait_s = fmin(wait_s, call->ready_s - now);
    if (line->first != NULL && line->hold_s > now) wait_s = fmin(wait_s, line->hold_s - now);
    for (const remote__call *call = line->in_flight; call != NULL; call = call->next)
        wait_s = fmin(wait_s, call->due_s - now);
    return wait_s > 0 ? wait_s : 0;
}

/* Waits for a reply or a little time, and takes the reply. */
static slm_status wait_for_one(remote__line *line, double wait_s, slm_error *err)
{
    if (line->flying == 0) {
        if (wait_s > 0) poll(NULL, 0, (int)(1000 * wait_s) + 1);
        return SLM_OK;
    }
    /* All that is there is taken, so that freed places are filled in one go. */
    for (int wait_ms = (int)ceil(1000 * wait_s);; wait_ms = 0) {
        slm_http_reply *reply = NULL;
        SLM_TRY(slm_http_poll(line->http, wait_ms, &reply, err));
        if (reply == NULL) return SLM_OK;
        take(line, reply);
        slm_http_reply_free(reply);
        if (slm_http_in_flight(line->http) == 0) return SLM_OK;
    }
}

static void forgive_gap(remote__line *line, double now)
{
    double gap_s = now - line->polled_s;
    if (gap_s < GAP_S) return;
    for (remote__call *call = line->in_flight; call != NULL; call = call->next)
        call->due_s += gap_s;
}

slm_status remote__line_poll(remote__line *line, int timeout_ms, remote__call **call,
                             slm_error *err)
{
    double now = slm_progress_clock_s(), end_s = now + timeout_ms / 1000.0;
    slm_status status = SLM_OK;
    *call = NULL;
    forgive_gap(line, now);
    while (status == SLM_OK) {
        bool poor = false;
        if (line->done != NULL) {
            *call = pop_done(line);
            break;
        }
        if (line->broken) {
            if (err != NULL) *err = line->broken_error;
            status = line->broken_error.status;
            break;
        }
        if (line->first == NULL && line->sleeping == NULL && line->in_flight == NULL) break;
        wake(line, now);
        status = send_more(line, now, &poor, err);
        if (status != SLM_OK) break;
        if (poor && line->flying == 0 && line->budget->reserved_usd <= 0) {
            break_for_money(line);
            continue;
        }
        double wait_s = idle_s(line, now);
        /* Money that another handle has reserved may come free without a word here. */
        if (poor && line->flying == 0) wait_s = fmin(wait_s, 0.05);
        if (timeout_ms >= 0) wait_s = fmin(wait_s, fmax(0, end_s - now));
        status = wait_for_one(line, wait_s, err);
        now = slm_progress_clock_s();
        if (status == SLM_OK) end_overdue(line, now);
        if (timeout_ms >= 0 && now >= end_s && line->done == NULL && !line->broken) break;
    }
    line->polled_s = slm_progress_clock_s();
    return status;
}

void remote__line_cancel(remote__line *line, remote__call *call)
{
    switch (call->state) {
    case CALL_DONE:
        return;
    case CALL_FLYING:
        slm_http_cancel(line->http, call->http_id);
        land(line, call);
        settle(line, call, NULL);
        break;
    case CALL_SLEEPING:
        unlink_from(&line->sleeping, call);
        break;
    case CALL_WAITING:
        if (line->first == call) {
            pop_first(line);
        } else {
            unlink_from(&line->first, call);
            line->last = &line->first;
            while (*line->last != NULL)
                line->last = &(*line->last)->next;
        }
        break;
    }
    slm_error_set(&call->error, SLM_ERR_CANCELLED, "cancelled");
    push_done(line, call);
}
