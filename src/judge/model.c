/* model.c: any model as judge, one call for each criterion.
 *
 * An answer becomes a question for each criterion that it is graded on: the conversation with the
 * answer, and "[points] criterion". A question is named by the hash of both. A verdict that the
 * store has is taken from there; a question that is being asked already is not asked twice; the rest
 * waits in order, and up to the chat's width of them are in flight.
 *
 * A reply without a verdict (parse.c) is asked for again, three times in all, each with a seed and a
 * rollout index of its own, and from the second on at a temperature of at least 0.5: a model that
 * takes the likeliest token each time would say the same again. After that the criterion is
 * unscored. So it is at once where there was no reply at all, since whoever speaks to the model has
 * tried again already. A failure is never stored, so the next run asks again.
 *
 * JSON is asked for by a schema. A chat that cannot hold a reply to one is asked without. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/json.h"
#include "base/progress.h"
#include "judge/judge_internal.h"

static const char METHOD[] = "slm-judge-model 1";
static const double RETRY_TEMPERATURE_MIN = 0.5;
enum { ATTEMPTS_MAX = 3 };

/* An answer on its way. */
typedef struct answer {
    struct answer *next; /* among those that are done */
    slm_grading *grading;
    size_t left; /* criteria without a verdict */
} answer;

typedef struct waiter {
    answer *who;
    size_t criterion;
} waiter;

/* A question that is asked or waits to be. */
typedef struct call {
    struct call *next, **link; /* all of them in the order they came; *link points here */
    char question[SLM_SHA256_HEX_BYTES];
    char *prompt;
    bool is_asked;
    uint64_t ticket;
    int64_t attempts, prompt_tokens, reply_tokens;
    waiter *waiters;
    size_t waiter_count, waiter_cap;
} call;

typedef struct model_judge {
    slm_judge judge;
    slm_chat *chat;
    char *template_text, *system_text;
    slm_chat_sampling sampling;
    char **stops;
    bool no_schema; /* the chat cannot */
    call *calls, **last_call;
    size_t asked; /* calls in flight */
    answer *done, **last_done;
    slm_arena arena; /* of one look-up */
} model_judge;

/* ---- questions ----------------------------------------------------------------------------- */

static void name_question(const char *conversation, const char *criterion,
                          char hex[SLM_SHA256_HEX_BYTES])
{
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, conversation);
    slm_sha256_update_part(hash, criterion);
    slm_sha256_finish(hash, hex);
}

static call *find_call(const model_judge *j, const char *question)
{
    for (call *c = j->calls; c != NULL; c = c->next)
        if (memcmp(c->question, question, SLM_SHA256_HEX_BYTES) == 0) return c;
    return NULL;
}

static call *new_call(model_judge *j, const char *question, char *prompt)
{
    call *c = calloc(1, sizeof *c);
    if (c == NULL) slm_out_of_memory(sizeof *c);
    memcpy(c->question, question, sizeof c->question);
    c->prompt = prompt;
    c->prompt_tokens = c->reply_tokens = -1;
    c->link = j->last_call;
    *j->last_call = c;
    j->last_call = &c->next;
    return c;
}

static void free_call(model_judge *j, call *c)
{
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    else
        j->last_call = c->link;
    free(c->prompt);
    free(c->waiters);
    free(c);
}

static void wait_for(call *c, answer *who, size_t criterion)
{
    if (c->waiter_count == c->waiter_cap) {
        c->waiter_cap = c->waiter_cap ? 2 * c->waiter_cap : 1;
        c->waiters = realloc(c->waiters, c->waiter_cap * sizeof *c->waiters);
        if (c->waiters == NULL) slm_out_of_memory(c->waiter_cap * sizeof *c->waiters);
    }
    c->waiters[c->waiter_count++] = (waiter){who, criterion};
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static void finish_answer(model_judge *j, answer *a)
{
    *j->last_done = a;
    j->last_done = &a->next;
}

static char *copy_text(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    if (text != NULL && copy == NULL) slm_out_of_memory(strlen(text));
    return copy;
}

/* Tell everybody who waits for it, and forget the call. */
static void settle(model_judge *j, call *c, slm_verdict verdict, const char *explanation,
                   const slm_error *why)
{
    for (size_t i = 0; i < c->waiter_count; i++) {
        answer *a = c->waiters[i].who;
        slm_grade *grade = &a->grading->grades[c->waiters[i].criterion];
        grade->verdict = verdict;
        grade->explanation = copy_text(explanation);
        grade->prompt_tokens = c->prompt_tokens;
        grade->reply_tokens = c->reply_tokens;
        if (verdict == SLM_VERDICT_UNSCORED) {
            j->judge.tally.unscored++;
            if (a->grading->error.status == SLM_OK) a->grading->error = *why;
        }
        if (--a->left == 0) finish_answer(j, a);
    }
    free_call(j, c);
}

static slm_status store_verdict(model_judge *j, const call *c, bool met, const char *explanation,
                                slm_error *err)
{
    if (j->judge.store == NULL) return SLM_OK;
    slm_stored_verdict verdict = {.met = met,
                                  .attempts = c->attempts,
                                  .prompt_tokens = c->prompt_tokens,
                                  .reply_tokens = c->reply_tokens,
                                  .explanation = explanation};
    return slm_store_put_verdict(j->judge.store, j->judge.identity, c->question, &verdict, err);
}

/* ---- calls --------------------------------------------------------------------------------- */

static slm_status submit_call(model_judge *j, call *c, slm_error *why)
{
    slm_chat_message messages[2];
    slm_chat_request request = {.messages = messages,
                                .n = 1,
                                .first_rollout = (uint32_t)c->attempts,
                                .case_id = c->question,
                                .sampling = j->sampling,
                                .json_schema = j->no_schema             ? NULL
                                               : j->chat->holds_lengths ? judge__schema_bounded
                                                                        : judge__schema};
    if (j->system_text != NULL)
        messages[request.message_count++] = (slm_chat_message){"system", j->system_text};
    messages[request.message_count++] = (slm_chat_message){"user", c->prompt};
    if (c->attempts > 0) {
        request.sampling.seed += c->attempts;
        if (request.sampling.temperature < RETRY_TEMPERATURE_MIN)
            request.sampling.temperature = RETRY_TEMPERATURE_MIN;
    }
    slm_error first = {0};
    slm_status status = slm_chat_submit(j->chat, &request, &c->ticket, &first);
    if (status == SLM_ERR_UNSUPPORTED && request.json_schema != NULL) {
        request.json_schema = NULL;
        status = slm_chat_submit(j->chat, &request, &c->ticket, &first);
        if (status == SLM_OK) j->no_schema = true;
    }
    if (status != SLM_OK) *why = first;
    return status;
}

/* A question that cannot be asked (too long for the model, or the budget is spent) is unscored. */
static void ask(model_judge *j, call *c)
{
    slm_error why = {0};
    if (submit_call(j, c, &why) != SLM_OK) {
        settle(j, c, SLM_VERDICT_UNSCORED, NULL, &why);
        return;
    }
    c->is_asked = true;
    j->asked++;
    j->judge.tally.calls++;
    j->judge.tally.asked_again += c->attempts > 0;
    c->attempts++;
}

static void ask_more(model_judge *j)
{
    size_t width = j->chat->width > 0 ? (size_t)j->chat->width : 1;
    for (call *c = j->calls, *next; c != NULL && j->asked < width; c = next) {
        next = c->next;
        if (!c->is_asked) ask(j, c);
    }
}

static void add_tokens(int64_t *sum, int64_t *total, int64_t tokens)
{
    if (tokens < 0) return;
    *sum = *sum < 0 ? tokens : *sum + tokens;
    *total += tokens;
}

static slm_status take_reply(model_judge *j, call *c, const slm_chat_reply *reply, slm_error *err)
{
    j->asked--;
    c->is_asked = false;
    add_tokens(&c->prompt_tokens, &j->judge.tally.prompt_tokens, reply->prompt_tokens);
    add_tokens(&c->reply_tokens, &j->judge.tally.reply_tokens, reply->reply_tokens);
    slm_error why = {0};
    if (reply->finish == SLM_CHAT_ERROR || reply->finish == SLM_CHAT_CANCELLED) {
        why = reply->error;
        if (why.status == SLM_OK) slm_error_set(&why, SLM_ERR_CANCELLED, "the call was cancelled");
        settle(j, c, SLM_VERDICT_UNSCORED, NULL, &why);
        return SLM_OK;
    }
    bool met = false;
    char *explanation = NULL;
    const char *lacks = NULL;
    if (slm_judge_parse(reply->text, strlen(reply->text), &met, &explanation, &lacks)) {
        slm_status status = store_verdict(j, c, met, explanation, err);
        settle(j, c, met ? SLM_VERDICT_MET : SLM_VERDICT_NOT_MET, explanation, NULL);
        free(explanation);
        return status;
    }
    if (c->attempts < ATTEMPTS_MAX) {
        ask(j, c);
        return SLM_OK;
    }
    slm_error_set(&why, SLM_ERR_FORMAT, "judge %s: no verdict in %d replies, the last %s: %s",
                  j->judge.name, ATTEMPTS_MAX,
                  reply->finish == SLM_CHAT_LENGTH    ? "cut off (--judge-max-tokens)"
                  : reply->finish == SLM_CHAT_REFUSED ? "refused"
                                                      : "whole",
                  lacks);
    settle(j, c, SLM_VERDICT_UNSCORED, NULL, &why);
    return SLM_OK;
}

/* ---- the door ------------------------------------------------------------------------------ */

static bool model_covers(const slm_judge *judge, const slm_case *c, size_t rubric_index)
{
    (void)judge, (void)c, (void)rubric_index;
    return true;
}

static slm_status look_up(model_judge *j, const char *question, slm_grade *grade, bool *found,
                          slm_error *err)
{
    slm_stored_verdict known;
    *found = false;
    if (j->judge.store == NULL) return SLM_OK;
    slm_arena_reset(&j->arena);
    SLM_TRY(slm_store_get_verdict(j->judge.store, j->judge.identity, question, &j->arena, found,
                                  &known, err));
    if (!*found) return SLM_OK;
    grade->verdict = known.met ? SLM_VERDICT_MET : SLM_VERDICT_NOT_MET;
    grade->explanation = copy_text(known.explanation);
    grade->prompt_tokens = known.prompt_tokens;
    grade->reply_tokens = known.reply_tokens;
    return SLM_OK;
}

static slm_status add_question(model_judge *j, answer *a, const char *conversation,
                               const slm_rubric_item *item, size_t index, slm_error *err)
{
    slm_buffer criterion = {0}, prompt = {0};
    char question[SLM_SHA256_HEX_BYTES];
    bool found = false;
    judge__append_criterion(&criterion, item);
    name_question(conversation, slm_buffer_text(&criterion), question);
    call *c = find_call(j, question);
    slm_status status = SLM_OK;
    if (c == NULL) status = look_up(j, question, &a->grading->grades[index], &found, err);
    if (status == SLM_OK && !found) {
        if (c == NULL) {
            judge__append_prompt(&prompt, j->template_text, conversation,
                                 slm_buffer_text(&criterion));
            c = new_call(j, question, slm_buffer_take(&prompt));
        } else {
            j->judge.tally.cached++;
        }
        wait_for(c, a, index);
        a->left++;
    }
    j->judge.tally.cached += found;
    slm_buffer_free(&criterion);
    return status;
}

/* Take an answer's questions back, after a failure. */
static void forget_answer(model_judge *j, answer *a)
{
    for (call *c = j->calls, *next; c != NULL; c = next) {
        next = c->next;
        for (size_t i = c->waiter_count; i-- > 0;)
            if (c->waiters[i].who == a) c->waiters[i] = c->waiters[--c->waiter_count];
        if (c->waiter_count == 0 && !c->is_asked) free_call(j, c);
    }
    slm_grading_free(a->grading);
    free(a);
}

static slm_status model_submit(slm_judge *judge, const slm_case *c, const char *reply,
                               uint64_t ticket, slm_error *err)
{
    model_judge *j = (model_judge *)judge;
    answer *a = calloc(1, sizeof *a);
    slm_grading *grading = calloc(1, sizeof *grading);
    if (a == NULL || grading == NULL) slm_out_of_memory(sizeof *grading);
    a->grading = grading;
    grading->ticket = ticket;
    grading->count = c->rubric_count;
    grading->grades = calloc(c->rubric_count + 1, sizeof *grading->grades);
    if (grading->grades == NULL) slm_out_of_memory(c->rubric_count * sizeof *grading->grades);
    slm_buffer conversation = {0};
    judge__append_conversation(&conversation, c, reply);
    slm_status status = SLM_OK;
    for (size_t i = 0; i < c->rubric_count && status == SLM_OK; i++)
        status = add_question(j, a, slm_buffer_text(&conversation), &c->rubrics[i], i, err);
    slm_buffer_free(&conversation);
    if (status != SLM_OK) {
        forget_answer(j, a);
        return status;
    }
    j->judge.tally.verdicts += c->rubric_count;
    if (a->left == 0) finish_answer(j, a);
    return SLM_OK;
}

static bool take_done(model_judge *j, slm_grading **grading)
{
    answer *a = j->done;
    if (a == NULL) return false;
    j->done = a->next;
    if (j->done == NULL) j->last_done = &j->done;
    *grading = a->grading;
    free(a);
    return true;
}

static slm_status model_poll(slm_judge *judge, int timeout_ms, slm_grading **grading,
                             slm_error *err)
{
    model_judge *j = (model_judge *)judge;
    double end_s = slm_progress_clock_s() + timeout_ms / 1000.0;
    for (;;) {
        if (take_done(j, grading)) return SLM_OK;
        ask_more(j);
        if (take_done(j, grading) || j->asked == 0) return SLM_OK;
        slm_chat_reply *reply = NULL;
        SLM_TRY(slm_chat_poll(j->chat, timeout_ms, &reply, err));
        if (reply == NULL) {
            if (j->chat->in_flight > 0) return SLM_OK;
            return slm_error_set(err, SLM_ERR_FORMAT, "judge %s owes %zu replies and has none",
                                 j->judge.name, j->asked);
        }
        call *c = j->calls;
        while (c != NULL && !(c->is_asked && c->ticket == reply->ticket))
            c = c->next;
        slm_status status = c != NULL ? take_reply(j, c, reply, err) : SLM_OK;
        slm_chat_reply_free(reply);
        if (status != SLM_OK) return status;
        if (timeout_ms > 0) {
            double left_ms = (end_s - slm_progress_clock_s()) * 1000;
            timeout_ms = left_ms > 0 ? (int)left_ms : 0;
        }
    }
}

static void forget_done(model_judge *j)
{
    slm_grading *grading;
    while (take_done(j, &grading))
        slm_grading_free(grading);
}

static void model_drop(slm_judge *judge)
{
    model_judge *j = (model_judge *)judge;
    slm_error why = {.status = SLM_ERR_CANCELLED};
    /* What is asked is cancelled; its reply comes later and finds nobody. */
    while (j->calls != NULL) {
        if (j->calls->is_asked) slm_chat_cancel(j->chat, j->calls->ticket);
        settle(j, j->calls, SLM_VERDICT_UNSCORED, NULL, &why);
    }
    j->asked = 0;
    forget_done(j);
}

static void model_free(slm_judge *judge)
{
    model_judge *j = (model_judge *)judge;
    slm_error why = {.status = SLM_ERR_CANCELLED};
    while (j->calls != NULL)
        settle(j, j->calls, SLM_VERDICT_UNSCORED, NULL, &why);
    forget_done(j);
    slm_chat_free(j->chat);
    for (size_t i = 0; i < j->sampling.stop_count; i++)
        free(j->stops[i]);
    free(j->stops);
    free(j->template_text);
    free(j->system_text);
    free(j->judge.name);
    free(j->judge.identity);
    free(j->judge.details_json);
    slm_arena_free(&j->arena);
    free(j);
}

static const slm_judge_class model_class = {model_covers, model_submit, model_poll, model_free,
                                            model_drop};

/* ---- making one ---------------------------------------------------------------------------- */

slm_judge_options slm_judge_options_default(void)
{
    slm_judge_options options = {.sampling = slm_chat_sampling_default()};
    options.sampling.temperature = 0;
    options.sampling.max_tokens = 1024;
    return options;
}

/* Without white space at its ends: an editor's last line feed makes no other template. */
static char *stripped(const char *text)
{
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    char *copy = strndup(text, len);
    if (copy == NULL) slm_out_of_memory(len);
    return copy;
}

/* Who is meant, for the hash, and for people and reports. */
static void describe(model_judge *j, const char *template_name)
{
    char template_hex[SLM_SHA256_HEX_BYTES], system_hex[SLM_SHA256_HEX_BYTES],
        hex[SLM_SHA256_HEX_BYTES];
    char *sampling = slm_chat_sampling_json(&j->sampling);
    slm_sha256_hex(j->template_text, strlen(j->template_text), template_hex);
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, METHOD);
    slm_sha256_update_part(hash, j->chat->identity);
    slm_sha256_update_part(hash, template_hex);
    slm_sha256_update_part(hash, j->system_text);
    slm_sha256_update_part(hash, sampling);
    /* What a schema does to the replies of an API is part of that API. */
    if (j->chat->holds_lengths) slm_sha256_update_part(hash, judge__schema_bounded);
    slm_sha256_finish(hash, hex);
    j->judge.identity = copy_text(hex);
    j->judge.name = copy_text(j->chat->name);
    json_t *details =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "kind", "model", "model", j->chat->name, "chat",
                  j->chat->identity, "template", template_name, "template_sha256", template_hex,
                  "is_reference_template", strcmp(template_hex, slm_judge_reference_template) == 0);
    json_t *settings = json_loads(sampling, 0, NULL);
    if (details != NULL && settings != NULL) json_object_set(details, "sampling", settings);
    if (details != NULL && j->system_text != NULL) {
        slm_sha256_hex(j->system_text, strlen(j->system_text), system_hex);
        json_object_set_new(details, "system_sha256", json_string(system_hex));
    }
    if (details != NULL) {
        slm_buffer text = {0};
        slm_json_append_canonical(&text, details);
        j->judge.details_json = slm_buffer_take(&text);
    }
    json_decref(settings);
    json_decref(details);
    free(sampling);
}

slm_status slm_judge_model_new(slm_chat *chat, const slm_judge_options *options, slm_judge **out,
                               slm_error *err)
{
    const char *name = options->template_name   ? options->template_name
                       : options->template_text ? "the judge's template"
                                                : "slm";
    model_judge *j = calloc(1, sizeof *j);
    if (j == NULL) slm_out_of_memory(sizeof *j);
    j->judge.class = &model_class;
    j->judge.is_costly = true;
    j->chat = chat;
    j->last_call = &j->calls;
    j->last_done = &j->done;
    j->template_text =
        stripped(options->template_text ? options->template_text : judge__own_template);
    if (options->system_text != NULL && *options->system_text)
        j->system_text = copy_text(options->system_text);
    j->sampling = options->sampling;
    j->sampling.stop_count = 0;
    j->stops = calloc(options->sampling.stop_count + 1, sizeof *j->stops);
    if (j->stops == NULL) slm_out_of_memory(options->sampling.stop_count);
    for (size_t i = 0; i < options->sampling.stop_count; i++)
        j->stops[j->sampling.stop_count++] = copy_text(options->sampling.stop[i]);
    j->sampling.stop = (const char *const *)j->stops;
    slm_status status = judge__template_check(j->template_text, name, err);
    if (status == SLM_OK) status = slm_chat_sampling_check(&j->sampling, err);
    if (status != SLM_OK) {
        model_free(&j->judge);
        return status;
    }
    describe(j, name);
    *out = &j->judge;
    return SLM_OK;
}
