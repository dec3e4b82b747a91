/* Calls over a line to a server of the test's own: retries, hosts that are lost, money, cancelling, and
 * embeddings in batches. What takes many connections is in tests/e2e/test_remote.py. */
#include "unit/base/tiny_server.h"

#include <math.h>
#include "base/json.h"
#include "base/progress.h"
#include "provider/remote.h"

static tiny_server *server;
static slm_budget budget;
static slm_remote_settings settings;
static slm_chat *chat;
static slm_embed *embed;
static slm_endpoint endpoint;
static slm_endpoints endpoints;
static slm_error err;
static char url[100], model[120];

static void start(tiny_handler *handler)
{
    server = tiny_start(handler, NULL);
    budget = (slm_budget){0};
    settings = (slm_remote_settings){.budget = &budget, .retries = 2, .concurrency = 3};
    err = (slm_error){0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", server->port);
    snprintf(model, sizeof model, "openai:m@%s", url);
}

static void price(double input, double output)
{
    endpoint = (slm_endpoint){
        .url = url,
        .has_price = true,
        .price = {.input = input, .cached = input, .output = output, .dated = "2025-06-01"}};
    endpoints = (slm_endpoints){.items = &endpoint, .count = 1};
    settings.endpoints = &endpoints;
}

static void open_chat(void)
{
    if (slm_chat_remote_open(model, &settings, &chat, &err) != SLM_OK) fail_msg("%s", err.message);
}

static int teardown(void **state)
{
    (void)state;
    slm_chat_free(chat);
    slm_embed_free(embed);
    chat = NULL;
    embed = NULL;
    if (server != NULL) tiny_stop(server);
    server = NULL;
    return 0;
}

static uint64_t ask(uint32_t n)
{
    static const slm_chat_message message = {"user", "Hello"};
    slm_chat_request request = {
        .messages = &message, .message_count = 1, .n = n, .sampling = slm_chat_sampling_default()};
    uint64_t ticket = 0;
    if (slm_chat_submit(chat, &request, &ticket, &err) != SLM_OK) fail_msg("%s", err.message);
    return ticket;
}

static slm_chat_reply *next_reply(void)
{
    slm_chat_reply *reply = NULL;
    if (slm_chat_poll(chat, -1, &reply, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_non_null(reply);
    return reply;
}

#define GOOD                                                                                       \
    "{\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],"                \
    "\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":10}}"

static void answer(tiny_server *s, int fd, const char *request)
{
    (void)s, (void)request;
    tiny_reply(fd, "200 OK", "", GOOD, strlen(GOOD));
}

static void fail_twice(tiny_server *s, int fd, const char *request)
{
    int number = atomic_load(&s->requests);
    if (number == 1)
        tiny_reply(fd, "503 Busy", "Retry-After: 0\r\n", "busy", 4);
    else if (number == 2)
        tiny_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"ch");
    else
        answer(s, fd, request);
}

static void what_passes_is_tried_again(void **state)
{
    (void)state;
    start(fail_twice);
    price(10, 100);
    open_chat();
    ask(1);
    slm_chat_reply *reply = next_reply();
    assert_string_equal(reply->text, "Hi");
    assert_int_equal(reply->prompt_tokens, 100);
    slm_chat_reply_free(reply);
    assert_int_equal(budget.calls, 3);
    assert_int_equal(budget.retries, 2);
    /* 503 is free, the cut reply counts in full (512 tokens at 100, and 5 + 32 bytes), the last one is
     * what it was. */
    assert_int_equal(budget.guessed, 1);
    assert_int_equal(budget.priced, 2);
    double wanted = (37 * 10 + 512 * 100 + 100 * 10 + 10 * 100) / 1e6;
    assert_true(fabs(budget.spent_usd - wanted) < 1e-12);
    assert_true(budget.reserved_usd == 0);
}

static void always_busy(tiny_server *s, int fd, const char *request)
{
    (void)s, (void)request;
    tiny_reply(fd, "500 No", "Retry-After: 0\r\n", "{\"error\":{\"message\":\"no\"}}", 26);
}

static void patience_ends(void **state)
{
    (void)state;
    start(always_busy);
    open_chat();
    ask(2);
    for (int i = 0; i < 2; i++) {
        slm_chat_reply *reply = next_reply();
        assert_int_equal(reply->finish, SLM_CHAT_ERROR);
        assert_int_equal(reply->error.status, SLM_ERR_NETWORK);
        assert_non_null(strstr(reply->error.message, "500"));
        assert_non_null(strstr(reply->error.message, "tried 3 times"));
        slm_chat_reply_free(reply);
    }
    assert_int_equal(atomic_load(&server->requests), 6);
    /* The line is not lost: another request is tried as often. */
    server->handler = answer;
    ask(1);
    slm_chat_reply *reply = next_reply();
    assert_string_equal(reply->text, "Hi");
    slm_chat_reply_free(reply);
}

static void unknown_model(tiny_server *s, int fd, const char *request)
{
    (void)s, (void)request;
    tiny_reply(fd, "404 No", "", "{\"error\":{\"message\":\"no model m\"}}", 34);
}

static void a_lost_line_says_so_to_all(void **state)
{
    (void)state;
    start(unknown_model);
    settings.concurrency = 1;
    open_chat();
    uint64_t ticket = ask(3);
    slm_chat_reply *reply = NULL;
    assert_int_equal(slm_chat_poll(chat, -1, &reply, &err), SLM_ERR_NOT_FOUND);
    assert_null(reply);
    assert_non_null(strstr(err.message, "404"));
    assert_non_null(strstr(err.message, "no model m"));
    assert_int_equal(atomic_load(&server->requests), 1);
    /* Asking again is refused at once; what is owed comes as cancelled. */
    static const slm_chat_message message = {"user", "Hello"};
    slm_chat_request request = {
        .messages = &message, .message_count = 1, .n = 1, .sampling = slm_chat_sampling_default()};
    assert_int_equal(slm_chat_submit(chat, &request, NULL, &err), SLM_ERR_NOT_FOUND);
    slm_chat_cancel(chat, ticket);
    for (int i = 0; i < 3; i++) {
        reply = next_reply();
        assert_int_equal(reply->finish, SLM_CHAT_CANCELLED);
        slm_chat_reply_free(reply);
    }
    assert_int_equal(atomic_load(&server->requests), 1);
}

static void money_ends(void **state)
{
    (void)state;
    start(answer);
    price(0, 1000);
    settings.budget->limit_usd = 0.6; /* a call can cost 0.512 and does cost 0.01 */
    open_chat();
    ask(20);
    for (int i = 0; i < 9; i++) { /* after nine, 0.51 are left */
        slm_chat_reply *reply = next_reply();
        assert_int_equal(reply->finish, SLM_CHAT_STOP);
        slm_chat_reply_free(reply);
    }
    slm_chat_reply *reply = NULL;
    assert_int_equal(slm_chat_poll(chat, -1, &reply, &err), SLM_ERR_LIMIT);
    assert_non_null(strstr(err.message, "--max-cost"));
    assert_int_equal(atomic_load(&server->requests), 9);
    assert_true(fabs(budget.spent_usd - 0.09) < 1e-12);
}

static void never(tiny_server *s, int fd, const char *request)
{
    (void)fd, (void)request;
    for (int i = 0; i < 200 && !atomic_load(&s->stop); i++)
        usleep(20000);
}

static void cancelled_and_overdue_calls_end(void **state)
{
    (void)state;
    start(never);
    price(0, 1000);
    open_chat();
    uint64_t ticket = ask(4);
    slm_chat_reply *reply = NULL;
    assert_int_equal(slm_chat_poll(chat, 100, &reply, &err), SLM_OK);
    assert_null(reply);
    slm_chat_cancel(chat, ticket);
    for (int i = 0; i < 4; i++) {
        reply = next_reply();
        assert_int_equal(reply->finish, SLM_CHAT_CANCELLED);
        slm_chat_reply_free(reply);
    }
    /* Three had been sent and may have been served. */
    assert_true(fabs(budget.spent_usd - 3 * 0.512) < 1e-12);
    slm_chat_free(chat);
    settings.timeout_s = 0.2;
    settings.retries = 0;
    open_chat();
    ask(1);
    double begin_s = slm_progress_clock_s();
    reply = next_reply();
    assert_int_equal(reply->finish, SLM_CHAT_ERROR);
    assert_non_null(strstr(reply->error.message, "no reply within 0.2 s"));
    assert_true(slm_progress_clock_s() - begin_s < 2);
    slm_chat_reply_free(reply);
    /* Closing with calls in flight frees them all. */
    ask(5);
    assert_int_equal(slm_chat_poll(chat, 20, &reply, &err), SLM_OK);
}

/* ---- embeddings ---- */

/* The vector of TEXT is (its length, 1, 0), and the list comes backwards. */
static void embed_texts(tiny_server *s, int fd, const char *request)
{
    (void)s;
    json_t *root = json_loads(strstr(request, "\r\n\r\n") + 4, 0, NULL);
    const json_t *input = json_object_get(root, "input");
    slm_buffer out = {0};
    slm_buffer_append_text(&out, "{\"usage\":{\"prompt_tokens\":7},\"data\":[");
    for (size_t i = json_array_size(input); i-- > 0;) {
        const char *text = json_string_value(json_array_get(input, i));
        if (strcmp(text, "broken") == 0)
            slm_buffer_printf(&out, "{\"index\":%zu,\"embedding\":[0,0,0]}", i);
        else if (strcmp(text, "short") == 0)
            slm_buffer_printf(&out, "{\"index\":%zu,\"embedding\":[1]}", i);
        else
            slm_buffer_printf(&out, "{\"index\":%zu,\"embedding\":[%zu,1,0]}", i, strlen(text));
        if (i > 0) slm_buffer_append_char(&out, ',');
    }
    slm_buffer_append_text(&out, "]}");
    json_decref(root);
    tiny_reply(fd, "200 OK", "", out.data, out.len);
    slm_buffer_free(&out);
}

static void vectors_come_in_batches_and_in_order(void **state)
{
    (void)state;
    start(embed_texts);
    if (slm_embed_remote_open(model, &settings, &embed, &err) != SLM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(embed->dimensions, 3);
    assert_string_equal(embed->name, "m");
    enum { COUNT = 200 };
    const char *texts[COUNT];
    static const char letters[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (size_t i = 0; i < COUNT; i++)
        texts[i] = letters + i % 40;
    float *out = calloc((size_t)COUNT * 3, sizeof *out);
    assert_int_equal(slm_embed_run(embed, texts, COUNT, out, &err), SLM_OK);
    for (size_t i = 0; i < COUNT; i++) {
        double len = (double)strlen(texts[i]), norm = sqrt(len * len + 1);
        assert_true(fabs((double)out[3 * i] - len / norm) < 1e-6);
        assert_true(fabs((double)out[3 * i + 1] - 1 / norm) < 1e-6);
        assert_true(out[3 * i + 2] == 0);
    }
    assert_int_equal(budget.calls, 1 + 4);
    assert_int_equal(budget.prompt_tokens, 5 * 7);
    settings.retries = 0;
    free(out);
}

static void vectors_that_cannot_be_are_errors(void **state)
{
    (void)state;
    start(embed_texts);
    settings.retries = 0;
    assert_int_equal(slm_embed_remote_open(model, &settings, &embed, &err), SLM_OK);
    static const char *const wrong[] = {"broken", "short"};
    static const char *const parts[] = {"zeros", "1 numbers"};
    for (size_t i = 0; i < 2; i++) {
        const char *texts[] = {"fine", wrong[i]};
        float out[6];
        assert_int_equal(slm_embed_run(embed, texts, 2, out, &err), SLM_ERR_NETWORK);
        if (strstr(err.message, parts[i]) == NULL) fail_msg("%s", err.message);
    }
    slm_embed_free(embed);
    server->handler = answer;
    assert_int_equal(slm_embed_remote_open(model, &settings, &embed, &err), SLM_ERR_NETWORK);
    assert_null(embed);
    assert_int_equal(slm_embed_remote_open("anthropic:m", &settings, &embed, &err),
                     SLM_ERR_UNSUPPORTED);
}

#define LINE_TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINE_TEST(what_passes_is_tried_again),
        LINE_TEST(patience_ends),
        LINE_TEST(a_lost_line_says_so_to_all),
        LINE_TEST(money_ends),
        LINE_TEST(cancelled_and_overdue_calls_end),
        LINE_TEST(vectors_come_in_batches_and_in_order),
        LINE_TEST(vectors_that_cannot_be_are_errors),
    };
    return cmocka_run_group_tests_name("provider/line", tests, NULL, NULL);
}
