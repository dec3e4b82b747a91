/* HTTP against a server of the test's own: replies of every kind, many in flight, streaming,
 * cancelling, breaking off, redirects that must not carry keys, proxies, offline. */
#include "tiny_server.h"

#include <time.h>
#include "base/http.h"
#include "base/http_internal.h"
#include "base/progress.h"

static slm_arena arena;
static slm_http *http;
static tiny_server *server;
static slm_error err;

static void start(tiny_handler *handler)
{
    err = (slm_error){0};
    server = tiny_start(handler, NULL);
    assert_int_equal(slm_http_new(NULL, &http, &err), SLM_OK);
}

static int teardown(void **state)
{
    (void)state;
    slm_http_free(http);
    http = NULL;
    if (server != NULL) tiny_stop(server);
    server = NULL;
    slm_arena_free(&arena);
    return 0;
}

static slm_http_reply *perform(const slm_http_request *request)
{
    slm_http_reply *reply;
    if (slm_http_perform(http, request, &reply, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_non_null(reply);
    return reply;
}

/* Answers with the request itself; "/NNN..." sets the status. */
static void echo(tiny_server *s, int fd, const char *request)
{
    (void)s;
    const char *path = strchr(request, '/');
    char status[32] = "200 OK";
    if (path != NULL && path[1] >= '1' && path[1] <= '5') {
        snprintf(status, sizeof status, "%.3s Whatever", path + 1);
    }
    tiny_reply(fd, status, "X-First: one\r\nx-second:  two  \r\n", request, strlen(request));
}

static void get_and_post(void **state)
{
    (void)state;
    start(echo);
    static const char *const headers[] = {"X-Api-Key: secret", "Content-Type: application/json",
                                          NULL};
    slm_http_request get = {.url = tiny_url(&arena, server, "/a?b=c"), .headers = headers};
    slm_http_reply *reply = perform(&get);
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->failure, "");
    assert_true(reply->time_s >= 0 && reply->time_s < 60);
    assert_holds(slm_buffer_text(&reply->body), "GET /a?b=c HTTP/1.1\r\n");
    assert_holds(slm_buffer_text(&reply->body), "X-Api-Key: secret\r\n");
    assert_holds(slm_buffer_text(&reply->body), "User-Agent: slm\r\n");
    slm_http_reply_free(reply);
    char body[] = "{\"a\":\0 1}";
    slm_http_request post = {.method = "POST",
                             .url = tiny_url(&arena, server, "/v1"),
                             .headers = headers,
                             .body = body,
                             .body_len = sizeof body - 1};
    uint64_t id;
    assert_int_equal(slm_http_submit(http, &post, &id, &err), SLM_OK);
    memset(body, 'x', sizeof body); /* submit has copied it */
    assert_int_equal(slm_http_in_flight(http), 1);
    assert_int_equal(slm_http_poll(http, -1, &reply, &err), SLM_OK);
    assert_non_null(reply);
    assert_true(reply->id == id);
    assert_int_equal(slm_http_in_flight(http), 0);
    assert_holds(slm_buffer_text(&reply->body), "POST /v1 HTTP/1.1\r\n");
    assert_holds(slm_buffer_text(&reply->body), "Content-Type: application/json\r\n");
    assert_holds(slm_buffer_text(&reply->body), "Content-Length: 9\r\n");
    assert_null(strstr(reply->body.data, "Expect:"));
    assert_memory_equal(strstr(server->last, "\r\n\r\n") + 4, "{\"a\":\0 1}", 9);
    slm_http_reply_free(reply);
    slm_http_request empty = {.method = "POST", .url = tiny_url(&arena, server, "/v1")};
    reply = perform(&empty);
    assert_holds(slm_buffer_text(&reply->body), "POST /v1 ");
    slm_http_reply_free(reply);
    slm_http_request head = {.method = "HEAD", .url = tiny_url(&arena, server, "/v1")};
    reply = perform(&head);
    assert_int_equal(reply->status, 200);
    assert_int_equal(reply->body.len, 0);
    slm_http_reply_free(reply);
}

static void error_statuses_are_replies(void **state)
{
    (void)state;
    start(echo);
    static const char *const paths[] = {"/404", "/429", "/500"};
    static const long statuses[] = {404, 429, 500};
    for (size_t i = 0; i < 3; i++) {
        slm_http_request request = {.url = tiny_url(&arena, server, paths[i])};
        slm_http_reply *reply = perform(&request);
        assert_int_equal(reply->status, statuses[i]);
        assert_string_equal(reply->failure, "");
        assert_true(reply->body.len > 0);
        slm_http_reply_free(reply);
    }
}

static void headers_are_found(void **state)
{
    (void)state;
    start(echo);
    slm_http_request request = {.url = tiny_url(&arena, server, "/")};
    slm_http_reply *reply = perform(&request);
    slm_buffer value = {0};
    assert_true(slm_http_reply_header(reply, "x-first", &value));
    assert_string_equal(value.data, "one");
    assert_true(slm_http_reply_header(reply, "X-SECOND", &value));
    assert_string_equal(value.data, "two");
    assert_false(slm_http_reply_header(reply, "X-Third", &value));
    assert_false(slm_http_reply_header(reply, "X", &value));
    slm_buffer_free(&value);
    slm_http_reply_free(reply);
    slm_http_reply_free(NULL);
}

static void many_in_flight(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    start(echo);
    bool seen[COUNT + 1] = {false};
    for (int i = 0; i < COUNT; i++) {
        char path[16];
        snprintf(path, sizeof path, "/n%d.", i);
        slm_http_request request = {.url = tiny_url(&arena, server, path)};
        uint64_t id;
        assert_int_equal(slm_http_submit(http, &request, &id, &err), SLM_OK);
        assert_true(id == (uint64_t)i + 1);
    }
    assert_int_equal(slm_http_in_flight(http), COUNT);
    /* A request performed in the middle takes none of the others' replies. */
    slm_http_request mine = {.url = tiny_url(&arena, server, "/mine")};
    slm_http_reply *reply = perform(&mine);
    assert_holds(slm_buffer_text(&reply->body), "GET /mine ");
    slm_http_reply_free(reply);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(slm_http_poll(http, 20000, &reply, &err), SLM_OK);
        assert_non_null(reply);
        assert_in_range(reply->id, 1, COUNT);
        assert_false(seen[reply->id]);
        seen[reply->id] = true;
        char want[32];
        snprintf(want, sizeof want, "GET /n%d. ", (int)reply->id - 1);
        assert_holds(slm_buffer_text(&reply->body), want);
        slm_http_reply_free(reply);
    }
    assert_int_equal(slm_http_in_flight(http), 0);
    assert_int_equal(slm_http_poll(http, 20000, &reply, &err), SLM_OK);
    assert_null(reply);
}

/* Answers only when the test ends. */
static void hang(tiny_server *s, int fd, const char *request)
{
    (void)request;
    (void)fd;
    while (!atomic_load(&s->stop))
        usleep(5000);
}

static void cancel_and_poll_timeouts(void **state)
{
    (void)state;
    start(hang);
    slm_http_reply *reply;
    slm_http_request request = {.url = tiny_url(&arena, server, "/")};
    uint64_t first;
    uint64_t second;
    assert_int_equal(slm_http_submit(http, &request, &first, &err), SLM_OK);
    assert_int_equal(slm_http_submit(http, &request, &second, &err), SLM_OK);
    double start_s = slm_progress_clock_s();
    assert_int_equal(slm_http_poll(http, 60, &reply, &err), SLM_OK);
    assert_null(reply);
    assert_true(slm_progress_clock_s() - start_s >= 0.055);
    assert_int_equal(slm_http_poll(http, 0, &reply, &err), SLM_OK);
    assert_null(reply);
    slm_http_cancel(http, first);
    slm_http_cancel(http, 12345);
    assert_int_equal(slm_http_in_flight(http), 1);
    slm_http_cancel(http, second);
    assert_int_equal(slm_http_in_flight(http), 0);
    assert_int_equal(slm_http_poll(http, 10000, &reply, &err), SLM_OK);
    assert_null(reply);
    /* What is still under way when the program ends is freed. */
    assert_int_equal(slm_http_submit(http, &request, NULL, &err), SLM_OK);
}

static void requests_time_out(void **state)
{
    (void)state;
    start(hang);
    slm_http_reply *reply;
    slm_http_request request = {.url = tiny_url(&arena, server, "/x?key=secret"), .timeout_ms = 80};
    assert_int_equal(slm_http_perform(http, &request, &reply, &err), SLM_ERR_NETWORK);
    assert_null(reply);
    assert_holds(err.message, "timed out");
    assert_holds(err.message, "127.0.0.1");
    assert_null(strstr(err.message, "secret"));
}

static void cut_short(tiny_server *s, int fd, const char *request)
{
    (void)s;
    (void)request;
    tiny_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
}

static void nonsense(tiny_server *s, int fd, const char *request)
{
    (void)s;
    (void)request;
    tiny_send_text(fd, "SSH-2.0-nothing\r\n");
}

static void silence(tiny_server *s, int fd, const char *request)
{
    (void)s;
    (void)fd;
    (void)request;
}

static void broken_replies_say_so(void **state)
{
    (void)state;
    start(cut_short);
    slm_http_reply *reply;
    slm_http_request request = {.url = tiny_url(&arena, server, "/")};
    assert_int_equal(slm_http_submit(http, &request, NULL, &err), SLM_OK);
    assert_int_equal(slm_http_poll(http, 10000, &reply, &err), SLM_OK);
    assert_non_null(reply);
    assert_int_equal(reply->status, 200);
    assert_string_equal(slm_buffer_text(&reply->body), "only this");
    assert_string_not_equal(reply->failure, "");
    slm_http_reply_free(reply);
    assert_int_equal(slm_http_perform(http, &request, &reply, &err), SLM_ERR_NETWORK);
    teardown(NULL);
    static tiny_handler *const handlers[] = {nonsense, silence};
    for (size_t i = 0; i < 2; i++) {
        start(handlers[i]);
        request.url = tiny_url(&arena, server, "/");
        assert_int_equal(slm_http_perform(http, &request, &reply, &err), SLM_ERR_NETWORK);
        assert_null(reply);
        teardown(NULL);
    }
    /* Nobody there. */
    start(silence);
    char *url = slm_arena_strdup(&arena, tiny_url(&arena, server, "/"));
    tiny_stop(server);
    server = NULL;
    request.url = url;
    assert_int_equal(slm_http_perform(http, &request, &reply, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, "onnect");
}

typedef struct pieces {
    slm_buffer got;
    size_t stop_after;
    int headers_calls;
    long status;
    bool refuse_headers;
} pieces;

static bool take_piece(void *context, const void *bytes, size_t len)
{
    pieces *p = context;
    assert_int_equal(p->headers_calls, 1);
    slm_buffer_append(&p->got, bytes, len);
    return p->stop_after == 0 || p->got.len < p->stop_after;
}

static bool take_headers(void *context, const slm_http_reply *reply)
{
    pieces *p = context;
    p->headers_calls++;
    p->status = reply->status;
    slm_buffer value = {0};
    assert_true(slm_http_reply_header(reply, "X-First", &value));
    slm_buffer_free(&value);
    return !p->refuse_headers;
}

static void drip(tiny_server *s, int fd, const char *request)
{
    (void)s;
    (void)request;
    tiny_send_text(fd, "HTTP/1.1 200 OK\r\nX-First: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        tiny_send_text(fd, "6\r\ndata: \r\n2\r\n\xC3\xA9\r\n");
        usleep(2000);
    }
    tiny_send_text(fd, "0\r\n\r\n");
}

static void bodies_stream(void **state)
{
    (void)state;
    start(drip);
    pieces p = {0};
    slm_http_request request = {.url = tiny_url(&arena, server, "/"),
                                .on_body = take_piece,
                                .on_headers = take_headers,
                                .context = &p};
    slm_http_reply *reply = perform(&request);
    assert_int_equal(p.got.len, 40);
    assert_int_equal(p.headers_calls, 1);
    assert_int_equal(p.status, 200);
    assert_int_equal(reply->body.len, 0);
    slm_http_reply_free(reply);
    slm_buffer_free(&p.got);
    p = (pieces){.stop_after = 9};
    assert_int_equal(slm_http_perform(http, &request, &reply, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, "stopped by the receiver");
    assert_in_range(p.got.len, 9, 39);
    slm_buffer_free(&p.got);
    p = (pieces){.refuse_headers = true};
    assert_int_equal(slm_http_perform(http, &request, &reply, &err), SLM_ERR_NETWORK);
    assert_int_equal(p.got.len, 0);
    slm_buffer_free(&p.got);
    teardown(NULL);
    /* The text of an error is no part of the stream. */
    start(echo);
    p = (pieces){0};
    request.url = tiny_url(&arena, server, "/500");
    reply = perform(&request);
    assert_int_equal(p.got.len + (size_t)p.headers_calls, 0);
    assert_true(reply->body.len > 0);
    slm_http_reply_free(reply);
}

static void nothing_inside(tiny_server *s, int fd, const char *request)
{
    (void)s;
    (void)request;
    tiny_reply(fd, "204 No Content", "X-First: 1\r\n", "", 0);
}

static void empty_bodies_have_headers(void **state)
{
    (void)state;
    start(nothing_inside);
    pieces p = {0};
    slm_http_request request = {.url = tiny_url(&arena, server, "/"),
                                .on_body = take_piece,
                                .on_headers = take_headers,
                                .context = &p};
    slm_http_reply_free(perform(&request));
    assert_int_equal(p.headers_calls, 1);
    assert_int_equal(p.status, 204);
}

/* "/to" gives what it got; everything else is sent there, on the host in `context`. */
static void redirect(tiny_server *s, int fd, const char *request)
{
    if (strncmp(strchr(request, '/'), "/to", 3) == 0) {
        tiny_reply(fd, "200 OK", "", request, strlen(request));
        return;
    }
    char headers[128];
    snprintf(headers, sizeof headers, "Location: http://%s:%d/to\r\n", (const char *)s->context,
             s->port);
    tiny_reply(fd, "307 Temporary Redirect", headers, "moved", 5);
}

static void redirects_leak_nothing(void **state)
{
    (void)state;
    start(redirect);
    server->context = (void *)(uintptr_t) "localhost"; /* another name: another host */
    static const char *const bearer[] = {"Authorization: Bearer secret", "Accept: */*", NULL};
    slm_http_request request = {.url = tiny_url(&arena, server, "/from"), .headers = bearer};
    slm_http_reply *reply = perform(&request);
    assert_int_equal(reply->status, 200);
    assert_holds(slm_buffer_text(&reply->body), "GET /to ");
    assert_null(strstr(reply->body.data, "secret"));
    slm_http_reply_free(reply);
    /* A key under another name, or a body, would be repeated: not followed. */
    static const char *const key[] = {"api-key: secret", NULL};
    request.headers = key;
    reply = perform(&request);
    assert_int_equal(reply->status, 307);
    assert_string_equal(slm_buffer_text(&reply->body), "moved");
    slm_http_reply_free(reply);
    request = (slm_http_request){.method = "POST",
                                 .url = tiny_url(&arena, server, "/from"),
                                 .body = "secret",
                                 .body_len = 6};
    reply = perform(&request);
    assert_int_equal(reply->status, 307);
    slm_http_reply_free(reply);
    assert_int_equal(atomic_load(&server->requests), 4);
}

static void elsewhere(tiny_server *s, int fd, const char *request)
{
    (void)s;
    (void)request;
    tiny_reply(fd, "302 Found", "Location: file:///etc/hostname\r\n", "", 0);
}

static void redirects_stay_http(void **state)
{
    (void)state;
    start(elsewhere);
    slm_http_reply *reply;
    slm_http_request request = {.url = tiny_url(&arena, server, "/")};
    assert_int_equal(slm_http_perform(http, &request, &reply, &err), SLM_ERR_NETWORK);
}

static void ranges_are_asked_for(void **state)
{
    (void)state;
    start(echo);
    slm_http_request request = {.url = tiny_url(&arena, server, "/"), .range_begin = 5000000000};
    slm_http_reply *reply = perform(&request);
    assert_holds(slm_buffer_text(&reply->body), "Range: bytes=5000000000-\r\n");
    slm_http_reply_free(reply);
}

static void proxies_are_used(void **state)
{
    (void)state;
    start(echo);
    setenv("http_proxy", tiny_url(&arena, server, ""), 1);
    slm_http_request request = {.url = "http://model.invalid/v1"};
    slm_http_reply *reply = perform(&request);
    unsetenv("http_proxy");
    assert_holds(slm_buffer_text(&reply->body), "GET http://model.invalid/v1 HTTP/1.1\r\n");
    slm_http_reply_free(reply);
}

static void keys_for_this_machine_pass_no_proxy(void **state)
{
    (void)state;
    start(echo);
    static const char *const key[] = {"Authorization: Bearer key", NULL};
    tiny_server *proxy = tiny_start(echo, NULL);
    setenv("http_proxy", tiny_url(&arena, proxy, ""), 1);
    slm_http_request request = {.url = tiny_url(&arena, server, "/"), .headers = key};
    slm_http_reply *reply = perform(&request);
    assert_holds(slm_buffer_text(&reply->body), "GET / HTTP/1.1\r\n");
    slm_http_reply_free(reply);
    assert_int_equal(atomic_load(&proxy->requests), 0);
    /* Without a key it is the user's wish that counts. */
    request.headers = NULL;
    reply = perform(&request);
    assert_holds(slm_buffer_text(&reply->body), "GET http://127.0.0.1:");
    slm_http_reply_free(reply);
    assert_int_equal(atomic_load(&proxy->requests), 1);
    unsetenv("http_proxy");
    tiny_stop(proxy);
}

static void offline_asks_nobody(void **state)
{
    (void)state;
    start(echo);
    slm_http *offline;
    slm_http_reply *reply;
    slm_http_options options = {.offline = true};
    assert_int_equal(slm_http_new(&options, &offline, &err), SLM_OK);
    slm_http_request request = {.url = tiny_url(&arena, server, "/v1?key=secret")};
    assert_int_equal(slm_http_perform(offline, &request, &reply, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, "--offline");
    assert_holds(err.message, "127.0.0.1");
    assert_null(strstr(err.message, "secret"));
    assert_int_equal(slm_http_submit(offline, &request, NULL, &err), SLM_ERR_NETWORK);
    assert_int_equal(atomic_load(&server->requests), 0);
    slm_http_free(offline);
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    start(echo);
    slm_http_request request = {.url = "ftp://host/x"};
    assert_int_equal(slm_http_submit(http, &request, NULL, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "ftp://host/x");
    static const char *const split[] = {"X-Key: a\r\nX-Other: b", NULL};
    request = (slm_http_request){.url = tiny_url(&arena, server, "/"), .headers = split};
    assert_int_equal(slm_http_submit(http, &request, NULL, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "line break");
    slm_http *other;
    slm_http_options options = {.ca_file = "/nonexistent/ca.pem"};
    assert_int_equal(slm_http_new(&options, &other, &err), SLM_ERR_NOT_FOUND);
    assert_null(other);
    assert_holds(err.message, "/nonexistent/ca.pem");
    assert_holds(err.message, "--ca-file");
    assert_int_equal(atomic_load(&server->requests), 0);
    slm_http_free(NULL);
}

static void urls_are_shown_without_secrets(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"https://user:pass@host:8080/a/b?key=1#x", "https://host:8080/a/b"},
        {"http://host/a@b", "http://host/a@b"},
        {"http://host?x=1", "http://host"},
        {"nothing", "nothing"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        slm_buffer out = {0};
        slm_http__append_url(&out, table[i][0]);
        assert_string_equal(out.data, table[i][1]);
        slm_buffer_free(&out);
    }
}

static void larger_than_asked(tiny_server *s, int fd, const char *request)
{
    (void)s, (void)request;
    char body[3000];
    memset(body, 'x', sizeof body);
    tiny_reply(fd, "200 OK", "", body, sizeof body);
}

/* A head and a part of the body, then nothing. */
static void stall(tiny_server *s, int fd, const char *request)
{
    (void)request;
    tiny_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab");
    for (int i = 0; i < 100 && !atomic_load(&s->stop); i++)
        usleep(50000);
}

/* Thinks for longer than a reply may stall, then answers. */
static void think(tiny_server *s, int fd, const char *request)
{
    (void)s, (void)request;
    usleep(1500000);
    tiny_reply(fd, "200 OK", "", "thought", 7);
}

static slm_http_reply *fail_with(const slm_http_request *request)
{
    slm_http_reply *reply = NULL;
    assert_int_equal(slm_http_submit(http, request, NULL, &err), SLM_OK);
    while (reply == NULL)
        assert_int_equal(slm_http_poll(http, 10000, &reply, &err), SLM_OK);
    return reply;
}

static void failures_are_told_apart(void **state)
{
    (void)state;
    start(larger_than_asked);
    slm_http_request request = {.url = tiny_url(&arena, server, "/"), .max_body_bytes = 2999};
    slm_http_reply *reply = fail_with(&request);
    assert_int_equal(reply->failure_kind, SLM_HTTP_TOO_LARGE);
    assert_true(reply->failure[0] != '\0');
    slm_http_reply_free(reply);
    request.max_body_bytes = 3000;
    reply = fail_with(&request);
    assert_int_equal(reply->failure_kind, SLM_HTTP_COMPLETE);
    assert_int_equal(reply->body.len, 3000);
    slm_http_reply_free(reply);
    request.url = "http://127.0.0.1:9/";
    reply = fail_with(&request);
    assert_int_equal(reply->failure_kind, SLM_HTTP_NO_CONNECTION);
    slm_http_reply_free(reply);
    request.url = "http://nowhere.invalid/";
    reply = fail_with(&request);
    assert_int_equal(reply->failure_kind, SLM_HTTP_NO_HOST);
    slm_http_reply_free(reply);
    server->handler = nonsense;
    request.url = tiny_url(&arena, server, "/");
    reply = fail_with(&request);
    assert_int_equal(reply->failure_kind, SLM_HTTP_CUT);
    slm_http_reply_free(reply);
}

static void a_reply_may_not_stall_but_a_host_may_think(void **state)
{
    (void)state;
    start(think);
    slm_http_request request = {.url = tiny_url(&arena, server, "/"),
                                .reply_stall_timeout_ms = 1000};
    slm_http_reply *reply = perform(&request);
    assert_string_equal(slm_buffer_text(&reply->body), "thought");
    slm_http_reply_free(reply);
    server->handler = stall;
    double begin_s = slm_progress_clock_s();
    reply = fail_with(&request);
    assert_int_equal(reply->failure_kind, SLM_HTTP_TIMEOUT);
    assert_holds(reply->failure, "nothing more arrived");
    assert_true(slm_progress_clock_s() - begin_s < 4);
    slm_http_reply_free(reply);
}

static double retry_after(const char *header)
{
    slm_http_reply reply = {0};
    slm_buffer_append_text(&reply.headers, header);
    double wait_s = slm_http_reply_retry_after_s(&reply);
    slm_buffer_free(&reply.headers);
    return wait_s;
}

static void waiting_times_are_read(void **state)
{
    (void)state;
    char header[100];
    assert_true(retry_after("X: 1\n") < 0);
    assert_true(retry_after("Retry-After: 3\n") == 3);
    assert_true(retry_after("retry-after: 0.5\n") == 0.5);
    assert_true(retry_after("Retry-After-Ms: 250\nRetry-After: 3\n") == 0.25);
    assert_true(retry_after("Retry-After: soon\n") < 0);
    assert_true(retry_after("Retry-After: -5\n") < 0);
    assert_true(retry_after("Retry-After: nan\n") < 0);
    assert_true(retry_after("Retry-After: 1e30\n") < 0);
    assert_true(retry_after("Retry-After: \n") < 0);
    assert_true(retry_after("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\n") == 0);
    time_t when = time(NULL) + 100;
    struct tm parts;
    gmtime_r(&when, &parts);
    strftime(header, sizeof header, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\n", &parts);
    assert_true(retry_after(header) > 95 && retry_after(header) <= 100);
}

#define HTTP_TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    forget_proxies();
    const struct CMUnitTest tests[] = {
        HTTP_TEST(get_and_post),
        HTTP_TEST(error_statuses_are_replies),
        HTTP_TEST(headers_are_found),
        HTTP_TEST(many_in_flight),
        HTTP_TEST(cancel_and_poll_timeouts),
        HTTP_TEST(requests_time_out),
        HTTP_TEST(broken_replies_say_so),
        HTTP_TEST(bodies_stream),
        HTTP_TEST(empty_bodies_have_headers),
        HTTP_TEST(redirects_leak_nothing),
        HTTP_TEST(redirects_stay_http),
        HTTP_TEST(ranges_are_asked_for),
        HTTP_TEST(proxies_are_used),
        HTTP_TEST(keys_for_this_machine_pass_no_proxy),
        HTTP_TEST(offline_asks_nobody),
        HTTP_TEST(wrong_requests_are_refused),
        HTTP_TEST(urls_are_shown_without_secrets),
        HTTP_TEST(failures_are_told_apart),
        HTTP_TEST(a_reply_may_not_stall_but_a_host_may_think),
        HTTP_TEST(waiting_times_are_read),
    };
    return cmocka_run_group_tests_name("base/http", tests, NULL, NULL);
}
