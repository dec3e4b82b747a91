/* The chat door: defaults, checks that name the field, canonical settings, and recorded replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "provider/chat.h"

static char folder[] = "/tmp/slm-test-chat-XXXXXX";
static char path[256];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/replies.jsonl", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static slm_chat *open_recorded(const char *lines)
{
    slm_error err = {0};
    slm_chat *chat = NULL;
    assert_int_equal(slm_file_write(path, lines, strlen(lines), &err), SLM_OK);
    if (slm_chat_recorded_open(path, &chat, &err) != SLM_OK) fail_msg("%s", err.message);
    return chat;
}

static void assert_refused(const char *lines, const char *part)
{
    slm_error err = {0};
    slm_chat *chat = NULL;
    assert_int_equal(slm_file_write(path, lines, strlen(lines), &err), SLM_OK);
    assert_int_not_equal(slm_chat_recorded_open(path, &chat, &err), SLM_OK);
    assert_null(chat);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_non_null(strstr(err.message, path));
}

static slm_chat_request request_of(const slm_chat_message *messages, size_t count)
{
    return (slm_chat_request){.messages = messages,
                              .message_count = count,
                              .n = 1,
                              .sampling = slm_chat_sampling_default()};
}

static slm_chat_reply *ask(slm_chat *chat, const slm_chat_request *request)
{
    slm_error err = {0};
    slm_chat_reply *reply = NULL;
    if (slm_chat_submit(chat, request, NULL, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_int_equal(slm_chat_poll(chat, -1, &reply, &err), SLM_OK);
    assert_non_null(reply);
    return reply;
}

static void assert_reply(slm_chat *chat, const slm_chat_request *request, const char *text)
{
    slm_chat_reply *reply = ask(chat, request);
    assert_int_equal(reply->finish, SLM_CHAT_STOP);
    assert_string_equal(reply->text, text);
    slm_chat_reply_free(reply);
}

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    slm_chat_sampling s = slm_chat_sampling_default();
    assert_int_equal(slm_chat_sampling_check(&s, NULL), SLM_OK);
    char *json = slm_chat_sampling_json(&s);
    assert_string_equal(json, "{\"frequency_penalty\":0,\"max_tokens\":512,\"min_p\":0,"
                              "\"presence_penalty\":0,\"repetition_penalty\":1,\"seed\":0,"
                              "\"stop\":[],\"temperature\":0.7,\"thinking\":false,\"top_k\":0,"
                              "\"top_p\":1}");
    free(json);
    const char *stop[] = {"\n\n", "\"User\""};
    s.stop = stop;
    s.stop_count = 2;
    json = slm_chat_sampling_json(&s);
    assert_non_null(strstr(json, "\"stop\":[\"\\n\\n\",\"\\\"User\\\"\"]"));
    free(json);
}

static void assert_field_refused(slm_chat_sampling s, const char *field)
{
    slm_error err = {0};
    assert_int_equal(slm_chat_sampling_check(&s, &err), SLM_ERR_INVALID);
    if (strncmp(err.message, field, strlen(field)) != 0) fail_msg("%s: %s", field, err.message);
}

static void settings_out_of_bounds_are_named(void **state)
{
    (void)state;
    const slm_chat_sampling good = slm_chat_sampling_default();
    slm_chat_sampling s = good;
    s.temperature = -0.1;
    assert_field_refused(s, "temperature");
    s.temperature = 0.0 / 0.0;
    assert_field_refused(s, "temperature");
    s = good;
    s.top_p = 0;
    assert_field_refused(s, "top_p");
    s.top_p = 1.01;
    assert_field_refused(s, "top_p");
    s = good;
    s.min_p = 2;
    assert_field_refused(s, "min_p");
    s = good;
    s.top_k = -1;
    assert_field_refused(s, "top_k");
    s = good;
    s.presence_penalty = 2.5;
    assert_field_refused(s, "presence_penalty");
    s = good;
    s.frequency_penalty = -2.5;
    assert_field_refused(s, "frequency_penalty");
    s = good;
    s.repetition_penalty = 0;
    assert_field_refused(s, "repetition_penalty");
    s = good;
    s.max_tokens = 0;
    assert_field_refused(s, "max_tokens");
    s = good;
    const char *stop[] = {"ok", ""};
    s.stop = stop;
    s.stop_count = 2;
    assert_field_refused(s, "stop[1]");
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_chat *chat = open_recorded("{\"reply\": \"x\"}\n");
    slm_chat_message message = {"user", "hello"};
    slm_chat_request r = request_of(&message, 0);
    assert_int_equal(slm_chat_submit(chat, &r, NULL, &err), SLM_ERR_INVALID);
    r = request_of(&message, 1);
    r.n = 0;
    assert_int_equal(slm_chat_submit(chat, &r, NULL, &err), SLM_ERR_INVALID);
    r.n = 2;
    r.first_rollout = UINT32_MAX - 1;
    assert_int_equal(slm_chat_submit(chat, &r, NULL, &err), SLM_ERR_INVALID);
    r = request_of(&message, 1);
    r.sampling.top_p = 7;
    assert_int_equal(slm_chat_submit(chat, &r, NULL, &err), SLM_ERR_INVALID);
    message.role = "tool";
    r = request_of(&message, 1);
    assert_int_equal(slm_chat_submit(chat, &r, NULL, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "tool"));
    assert_int_equal(chat->in_flight, 0);
    slm_chat_reply *reply = (slm_chat_reply *)1;
    assert_int_equal(slm_chat_poll(chat, -1, &reply, &err), SLM_OK);
    assert_null(reply);
    slm_chat_free(chat);
    slm_chat_free(NULL);
    slm_chat_reply_free(NULL);
}

static void finish_names_go_both_ways(void **state)
{
    (void)state;
    for (int i = SLM_CHAT_STOP; i <= SLM_CHAT_CANCELLED; i++) {
        slm_chat_finish finish;
        assert_true(slm_chat_finish_from_name(slm_chat_finish_name((slm_chat_finish)i), &finish));
        assert_int_equal(finish, i);
    }
    slm_chat_finish finish;
    assert_false(slm_chat_finish_from_name("stopped", &finish));
}

static void recorded_prefers_messages_then_last_then_any(void **state)
{
    (void)state;
    slm_chat *chat = open_recorded(
        "{\"reply\": \"any\"}\n"
        "{\"last\": \"hello\", \"reply\": \"last\"}\n"
        "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
        "\"content\": \"hello\"}], \"reply\": \"messages\"}\n");
    slm_chat_message messages[] = {{"system", "s"}, {"user", "hello"}};
    slm_chat_request r = request_of(messages, 2);
    assert_reply(chat, &r, "messages");
    messages[0].content = "t";
    assert_reply(chat, &r, "last");
    r = request_of(messages + 1, 1);
    assert_reply(chat, &r, "last");
    messages[1].content = "hello ";
    assert_reply(chat, &r, "any");
    assert_string_equal(chat->name, "replies.jsonl");
    assert_int_equal(strncmp(chat->identity, "recorded:", 9), 0);
    slm_chat_free(chat);
}

/* Reply i of a request is that of rollout first_rollout + i, however requests are cut. */
static void recorded_takes_lines_by_rollout(void **state)
{
    (void)state;
    slm_chat *chat = open_recorded("{\"last\": \"q\", \"reply\": \"a\"}\n"
                                   "{\"reply\": \"else\"}\n"
                                   "{\"last\": \"q\", \"reply\": \"b\"}\n\n"
                                   "{\"last\": \"q\", \"reply\": \"c\"}");
    static const char *const expected[] = {"a", "b", "c", "a", "b", "c", "a"};
    slm_chat_message message = {"user", "q"};
    slm_chat_request r = request_of(&message, 1);
    for (uint32_t first = 0; first < 5; first++) {
        r.first_rollout = first;
        r.n = 7 - first;
        uint64_t ticket = 0;
        assert_int_equal(slm_chat_submit(chat, &r, &ticket, NULL), SLM_OK);
        assert_int_equal(chat->in_flight, r.n);
        for (uint32_t i = 0; i < r.n; i++) {
            slm_chat_reply *reply = NULL;
            assert_int_equal(slm_chat_poll(chat, 0, &reply, NULL), SLM_OK);
            assert_int_equal(reply->ticket, ticket);
            assert_int_equal(reply->index, i);
            assert_string_equal(reply->text, expected[first + i]);
            slm_chat_reply_free(reply);
        }
    }
    slm_chat_free(chat);
}

static void count_text(void *context, uint32_t index, const char *text, size_t len)
{
    assert_int_equal(index, 0);
    assert_int_equal(strlen(text), len);
    *(size_t *)context += len;
}

static void recorded_finishes_errors_and_streams(void **state)
{
    (void)state;
    slm_chat *chat = open_recorded(
        "{\"last\": \"cut\", \"reply\": \"abc\", \"finish\": \"length\", \"reasoning\": \"hm\"}\n"
        "{\"last\": \"no\", \"finish\": \"refused\"}\n"
        "{\"last\": \"down\", \"finish\": \"error\", \"reply\": \"status 500\"}\n");
    slm_chat_message message = {"user", "cut"};
    slm_chat_request r = request_of(&message, 1);
    size_t streamed = 0;
    r.on_text = count_text;
    r.context = &streamed;
    slm_chat_reply *reply = ask(chat, &r);
    assert_int_equal(reply->finish, SLM_CHAT_LENGTH);
    assert_string_equal(reply->reasoning, "hm");
    assert_int_equal(reply->reply_tokens, -1);
    assert_int_equal(streamed, 3);
    slm_chat_reply_free(reply);
    message.content = "no";
    reply = ask(chat, &r);
    assert_int_equal(reply->finish, SLM_CHAT_REFUSED);
    assert_string_equal(reply->text, "");
    slm_chat_reply_free(reply);
    message.content = "down";
    reply = ask(chat, &r);
    assert_int_equal(reply->finish, SLM_CHAT_ERROR);
    assert_non_null(strstr(reply->error.message, "replies.jsonl:3"));
    assert_non_null(strstr(reply->error.message, "status 500"));
    slm_chat_reply_free(reply);
    message.content = "unknown";
    reply = ask(chat, &r);
    assert_int_equal(reply->finish, SLM_CHAT_ERROR);
    assert_int_equal(reply->error.status, SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(reply->error.message, path));
    assert_non_null(strstr(reply->error.message, "unknown"));
    slm_chat_reply_free(reply);
    slm_chat_free(chat);
}

static void cancelled_replies_still_come(void **state)
{
    (void)state;
    slm_chat *chat = open_recorded("{\"reply\": \"text\"}\n");
    slm_chat_message message = {"user", "q"};
    slm_chat_request r = request_of(&message, 1);
    uint64_t first = 0, second = 0;
    r.n = 2;
    assert_int_equal(slm_chat_submit(chat, &r, &first, NULL), SLM_OK);
    assert_int_equal(slm_chat_submit(chat, &r, &second, NULL), SLM_OK);
    assert_int_not_equal(first, second);
    slm_chat_cancel(chat, first);
    for (int i = 0; i < 4; i++) {
        slm_chat_reply *reply = NULL;
        assert_int_equal(slm_chat_poll(chat, 0, &reply, NULL), SLM_OK);
        bool cancelled = reply->ticket == first;
        assert_int_equal(reply->finish, cancelled ? SLM_CHAT_CANCELLED : SLM_CHAT_STOP);
        assert_string_equal(reply->text, cancelled ? "" : "text");
        slm_chat_reply_free(reply);
    }
    assert_int_equal(chat->in_flight, 0);
    /* Replies that nobody polled are freed with the chat. */
    assert_int_equal(slm_chat_submit(chat, &r, NULL, NULL), SLM_OK);
    slm_chat_free(chat);
}

static void wrong_recordings_name_their_line(void **state)
{
    (void)state;
    assert_refused("", "no recorded reply");
    assert_refused("{\"reply\": \"x\"}\n{\"last\": \"y\"}\n", ":2: reply");
    assert_refused("{\"reply\": 3}\n", ":1: reply");
    assert_refused("\n{\"reply\": \"x\", \"finish\": \"done\"}\n", ":2: finish");
    assert_refused("{\"reply\": \"x\", \"finish\": \"cancelled\"}\n", ":1: finish");
    assert_refused("{\"reply\": \"x\", \"messages\": []}\n", ":1: messages");
    assert_refused("{\"reply\": \"x\", \"messages\": [{\"role\": \"user\"}]}\n",
                   ":1: messages[0].content");
    assert_refused("{\"reply\": \"x\", \"messages\": [{\"role\": \"user\", \"content\": \"c\"}], "
                   "\"last\": \"c\"}\n",
                   "both");
    assert_refused("{\"reply\": \"x\"\n", ":1");
    slm_error err = {0};
    slm_chat *chat = NULL;
    assert_int_not_equal(slm_chat_recorded_open("/nonexistent/x", &chat, &err), SLM_OK);
    assert_non_null(strstr(err.message, "/nonexistent/x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(settings_out_of_bounds_are_named),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(finish_names_go_both_ways),
        cmocka_unit_test(recorded_prefers_messages_then_last_then_any),
        cmocka_unit_test(recorded_takes_lines_by_rollout),
        cmocka_unit_test(recorded_finishes_errors_and_streams),
        cmocka_unit_test(cancelled_replies_still_come),
        cmocka_unit_test(wrong_recordings_name_their_line),
    };
    return cmocka_run_group_tests_name("chat", tests, set_up, tear_down);
}
