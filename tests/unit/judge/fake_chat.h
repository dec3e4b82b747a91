/* fake_chat.h: a chat that says what a test wants, and remembers what it was asked. */
#ifndef SLM_TESTS_JUDGE_FAKE_CHAT_H
#define SLM_TESTS_JUDGE_FAKE_CHAT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buffer.h"
#include "judge/judge.h"

enum { FAKE_ROOM = 512 };

typedef struct fake_ask {
    uint64_t ticket;
    char *prompt, *system;
    uint32_t rollout;
    int64_t seed;
    double temperature;
    bool has_schema, is_bounded, cancelled;
} fake_ask;

typedef struct fake_chat fake_chat;
/* The reply's text; NULL: an error. `count` is how many requests came before it. */
typedef const char *fake_answer_fn(const fake_chat *chat, const fake_ask *ask, size_t count);

struct fake_chat {
    slm_chat chat;
    fake_answer_fn *answer;
    fake_ask asks[FAKE_ROOM]; /* all of them */
    size_t count;
    size_t waiting[FAKE_ROOM], waiting_count, most_waiting;
    bool last_first; /* replies in the opposite order */
    bool no_schema;  /* cannot hold a reply to one */
    bool is_silent;  /* nothing comes */
    size_t longest;  /* prompts longer than this are refused; 0: none */
    size_t fail_at;  /* the handle fails at this poll; 0: never */
    size_t polls;
    slm_chat_finish finish;
};

static inline slm_status fake_submit(slm_chat *chat, const slm_chat_request *request,
                                     uint64_t ticket, slm_error *err)
{
    fake_chat *f = (fake_chat *)chat;
    const slm_chat_message *last = &request->messages[request->message_count - 1];
    if (f->no_schema && request->json_schema)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "no schemas here");
    if (f->longest && strlen(last->content) > f->longest)
        return slm_error_set(err, SLM_ERR_INVALID, "the prompt is longer than the context");
    assert_true(f->count < FAKE_ROOM);
    fake_ask *ask = &f->asks[f->count];
    *ask = (fake_ask){
        .ticket = ticket,
        .prompt = strdup(last->content),
        .system = request->message_count > 1 ? strdup(request->messages[0].content) : NULL,
        .rollout = request->first_rollout,
        .seed = request->sampling.seed,
        .temperature = request->sampling.temperature,
        .has_schema = request->json_schema != NULL,
        .is_bounded = request->json_schema && strstr(request->json_schema, "maxLength")};
    f->waiting[f->waiting_count++] = f->count++;
    if (f->waiting_count > f->most_waiting) f->most_waiting = f->waiting_count;
    return SLM_OK;
}

static inline slm_status fake_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply,
                                   slm_error *err)
{
    fake_chat *f = (fake_chat *)chat;
    (void)timeout_ms;
    if (++f->polls == f->fail_at) return slm_error_set(err, SLM_ERR_NETWORK, "the cable is out");
    if (f->is_silent || f->waiting_count == 0) return SLM_OK;
    size_t at = f->last_first ? f->waiting_count - 1 : 0, index = f->waiting[at];
    memmove(f->waiting + at, f->waiting + at + 1, (f->waiting_count - at - 1) * sizeof *f->waiting);
    f->waiting_count--;
    const fake_ask *ask = &f->asks[index];
    const char *text = ask->cancelled ? "" : f->answer(f, ask, index);
    slm_chat_finish finish = ask->cancelled ? SLM_CHAT_CANCELLED
                             : text         ? f->finish
                                            : SLM_CHAT_ERROR;
    *reply = slm_chat_reply_new(ask->ticket, 0, finish, text);
    (*reply)->prompt_tokens = 100;
    (*reply)->reply_tokens = 10;
    if (!text) slm_error_set(&(*reply)->error, SLM_ERR_NETWORK, "status 500");
    return SLM_OK;
}

static inline void fake_cancel(slm_chat *chat, uint64_t ticket)
{
    fake_chat *f = (fake_chat *)chat;
    for (size_t i = 0; i < f->count; i++)
        if (f->asks[i].ticket == ticket) f->asks[i].cancelled = true;
}

static inline void fake_free(slm_chat *chat)
{
    fake_chat *f = (fake_chat *)chat;
    for (size_t i = 0; i < f->count; i++) {
        free(f->asks[i].prompt);
        free(f->asks[i].system);
    }
    free(f);
}

static const slm_chat_class fake_chat_class = {fake_submit, fake_poll, fake_cancel, fake_free};

static inline fake_chat *fake_chat_new(fake_answer_fn *answer)
{
    static char name[] = "fake", identity[] = "fake-identity";
    fake_chat *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->chat = (slm_chat){.class = &fake_chat_class, .name = name, .identity = identity, .width = 4};
    f->answer = answer;
    return f;
}

static inline const char *says_yes(const fake_chat *chat, const fake_ask *ask, size_t count)
{
    (void)chat, (void)ask, (void)count;
    return "{\"explanation\":\"it does\",\"criteria_met\":true}";
}

static inline const char *says_no(const fake_chat *chat, const fake_ask *ask, size_t count)
{
    (void)chat, (void)ask, (void)count;
    return "{\"explanation\":\"it does not\",\"criteria_met\":false}";
}

static inline const char *says_nonsense(const fake_chat *chat, const fake_ask *ask, size_t count)
{
    (void)chat, (void)ask, (void)count;
    return "Yes, I would say that this is met.";
}

static inline void ok(slm_status status, const slm_error *err)
{
    if (status != SLM_OK) fail_msg("%s", err->message);
}

static inline slm_judge *judge_of(fake_chat *chat)
{
    slm_error err = {0};
    slm_judge *judge = NULL;
    slm_judge_options options = slm_judge_options_default();
    ok(slm_judge_model_new(&chat->chat, &options, &judge, &err), &err);
    return judge;
}

/* A case with three criteria, the last of them negative. */
static inline slm_case small_case(void)
{
    static slm_turn turns[] = {{"user", "My knee is swollen."},
                               {"assistant", "Since when?"},
                               {"user", "Since yesterday."}};
    static slm_rubric_item rubrics[] = {{.criterion = "Asks about pregnancy.", .points = 7},
                                        {.criterion = "Says to rest.", .points = 2.5},
                                        {.criterion = "Is rude.", .points = -3}};
    return (slm_case){.id = "c",
                      .family = "c",
                      .turns = turns,
                      .turn_count = 3,
                      .rubrics = rubrics,
                      .rubric_count = 3};
}

/* Submit and wait; the caller frees. */
static inline slm_grading *grade(slm_judge *judge, const slm_case *c, const char *reply)
{
    slm_error err = {0};
    slm_grading *grading = NULL;
    uint64_t ticket = 0;
    ok(slm_judge_submit(judge, c, reply, &ticket, &err), &err);
    for (int i = 0; i < 1000 && grading == NULL; i++)
        ok(slm_judge_poll(judge, 10, &grading, &err), &err);
    assert_non_null(grading);
    assert_int_equal(grading->ticket, ticket);
    assert_int_equal(grading->count, c->rubric_count);
    return grading;
}

#endif
