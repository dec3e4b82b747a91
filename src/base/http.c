/* http.c: requests over libcurl's multi interface.
 *
 * A transfer owns its curl handle and the reply that is being filled. Transfers in flight stand in a
 * list; when curl says that one is done it leaves the list and its reply joins the queue of finished
 * ones, from which poll hands them out. slm_http_perform waits for its own reply and leaves the
 * others in the queue.
 *
 * Redirects: curl drops Authorization and Cookie when the host changes, but not a key in a header of
 * another name, nor the body of a POST. So only requests that carry nothing to leak follow them. */
#include "base/http.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "base/http_internal.h"
#include "base/progress.h"

enum { DEFAULT_CONNECT_TIMEOUT_MS = 10000, MAX_REDIRECTS = 10 };
/* A body kept in memory may be this large; what is larger goes through on_body. */
static const size_t MAX_BODY_BYTES = (size_t)256 << 20;
static const double WORK_EVERY_S = 0.01;

typedef struct transfer {
    struct transfer *next;
    CURL *easy;
    struct curl_slist *headers;
    slm_http_reply *reply;
    double start_s;
    bool (*on_body)(void *context, const void *bytes, size_t len);
    bool (*on_headers)(void *context, const slm_http_reply *reply);
    void *context;
    bool headers_told;   /* on_headers was called */
    const char *stopped; /* why a callback ended the transfer, or NULL */
    slm_http_failure stopped_kind;
    size_t max_body_bytes;
    double reply_stall_s; /* 0: never */
    curl_off_t seen;      /* bytes of the body that had arrived ... */
    double seen_s;        /* ... when it last grew */
    char message[CURL_ERROR_SIZE];
} transfer;

typedef struct finished {
    struct finished *next;
    slm_http_reply *reply;
} finished;

struct slm_http {
    CURLM *multi;
    char *ca_file;
    char *user_agent;
    long connect_timeout_ms;
    bool offline;
    uint64_t last_id;
    size_t in_flight;
    transfer *transfers;
    finished *first, *last; /* queue of replies not handed out yet */
    double worked_s;        /* when curl was last let work */
};

void slm_http__append_url(slm_buffer *out, const char *url)
{
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    size_t host_len = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', host_len);
    slm_buffer_append(out, url, (size_t)(host - url));
    if (at != NULL) host = at + 1;
    slm_buffer_append(out, host, strcspn(host, "?#"));
}

static char *copy_text(const char *text)
{
    if (text == NULL) return NULL;
    char *copy = strdup(text);
    if (copy == NULL) slm_out_of_memory(strlen(text));
    return copy;
}

slm_status slm_http_new(const slm_http_options *options, slm_http **out, slm_error *err)
{
    static const slm_http_options defaults = {0};
    if (options == NULL) options = &defaults;
    *out = NULL;
    if (options->ca_file != NULL) {
        FILE *file = fopen(options->ca_file, "re");
        if (file == NULL) {
            return slm_error_set(err, SLM_ERR_NOT_FOUND,
                                 "cannot open the certificates %s (--ca-file)", options->ca_file);
        }
        fclose(file);
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return slm_error_set(err, SLM_ERR_NETWORK, "libcurl does not start");
    }
    slm_http *http = calloc(1, sizeof *http);
    if (http == NULL) slm_out_of_memory(sizeof *http);
    http->multi = curl_multi_init();
    if (http->multi == NULL) slm_out_of_memory(sizeof *http);
    http->ca_file = copy_text(options->ca_file);
    http->user_agent = copy_text(options->user_agent != NULL ? options->user_agent : "slm");
    http->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS;
    http->offline = options->offline;
    *out = http;
    return SLM_OK;
}

/* Frees a transfer that stands in no list; its reply too if it still has one. */
static void transfer_free(slm_http *http, transfer *t)
{
    if (t->easy != NULL) {
        curl_multi_remove_handle(http->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    slm_http_reply_free(t->reply);
    free(t);
}

void slm_http_free(slm_http *http)
{
    if (http == NULL) return;
    for (transfer *t = http->transfers, *next; t != NULL; t = next) {
        next = t->next;
        transfer_free(http, t);
    }
    for (finished *f = http->first, *next; f != NULL; f = next) {
        next = f->next;
        slm_http_reply_free(f->reply);
        free(f);
    }
    curl_multi_cleanup(http->multi);
    free(http->ca_file);
    free(http->user_agent);
    free(http);
    curl_global_cleanup();
}

static long status_of(const transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Tells on_headers once; false to stop. */
static bool tell_headers(transfer *t, long status)
{
    if (t->headers_told || t->on_headers == NULL) return true;
    t->headers_told = true;
    t->reply->status = status;
    if (t->on_headers(t->context, t->reply)) return true;
    t->stopped = "stopped by the receiver";
    t->stopped_kind = SLM_HTTP_CUT;
    return false;
}

static size_t on_curl_body(char *bytes, size_t size, size_t count, void *userdata)
{
    transfer *t = userdata;
    size_t len = size * count;
    long status = status_of(t);
    bool good = status >= 200 && status < 300;
    if (good && !tell_headers(t, status)) return CURL_WRITEFUNC_ERROR;
    if (good && t->on_body != NULL) {
        if (t->on_body(t->context, bytes, len)) return len;
        t->stopped = "stopped by the receiver";
        t->stopped_kind = SLM_HTTP_CUT;
        return CURL_WRITEFUNC_ERROR;
    }
    if (len > t->max_body_bytes - t->reply->body.len) {
        t->stopped = "the reply is larger than is taken";
        t->stopped_kind = SLM_HTTP_TOO_LARGE;
        return CURL_WRITEFUNC_ERROR;
    }
    slm_buffer_append(&t->reply->body, bytes, len);
    return len;
}

/* curl calls this at every step of a transfer, at least once a second. */
static int on_curl_progress(void *userdata, curl_off_t total, curl_off_t now, curl_off_t up_total,
                            curl_off_t up_now)
{
    (void)total, (void)up_total, (void)up_now;
    transfer *t = userdata;
    if (t->reply->headers.len == 0) return 0;
    double clock_s = slm_progress_clock_s();
    if (now != t->seen || t->seen_s == 0) {
        t->seen = now;
        t->seen_s = clock_s;
    }
    if (clock_s - t->seen_s <= t->reply_stall_s) return 0;
    t->stopped = "the reply began, then nothing more arrived";
    t->stopped_kind = SLM_HTTP_TIMEOUT;
    return 1;
}

static size_t on_curl_header(char *bytes, size_t size, size_t count, void *userdata)
{
    transfer *t = userdata;
    size_t len = size * count;
    size_t text = len;
    while (text > 0 && (bytes[text - 1] == '\n' || bytes[text - 1] == '\r'))
        text--;
    if (text >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        /* A new response begins: after a redirect, or after "100 Continue". */
        slm_buffer_truncate(&t->reply->headers, 0);
    } else if (text > 0) {
        slm_buffer_append(&t->reply->headers, bytes, text);
        slm_buffer_append_char(&t->reply->headers, '\n');
    }
    return len;
}

/* Whether a header may be repeated to the target of a redirect. */
static bool is_harmless(const char *header)
{
    static const char *const names[] = {"Accept", "Accept-Language", "Authorization", "If-Range"};
    size_t len = strcspn(header, ":;");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == len && strncasecmp(names[i], header, len) == 0) return true;
    }
    return false;
}

static slm_status check_request(const slm_http *http, const slm_http_request *request,
                                slm_error *err)
{
    slm_buffer shown = {0};
    slm_status status = SLM_OK;
    slm_http__append_url(&shown, request->url);
    if (http->offline) {
        status = slm_error_set(err, SLM_ERR_NETWORK,
                               "%s is not asked: --offline forbids every network call", shown.data);
    } else if (strncasecmp(request->url, "http://", 7) != 0 &&
               strncasecmp(request->url, "https://", 8) != 0) {
        status = slm_error_set(err, SLM_ERR_INVALID,
                               "not an address that slm can ask: %s (it must begin with http:// or "
                               "https://)",
                               shown.data);
    }
    for (size_t i = 0; status == SLM_OK && request->headers != NULL; i++) {
        if (request->headers[i] == NULL) break;
        if (strpbrk(request->headers[i], "\r\n") != NULL) {
            status = slm_error_set(err, SLM_ERR_INVALID,
                                   "a header for %s holds a line break; is there one in the key?",
                                   shown.data);
        }
    }
    slm_buffer_free(&shown);
    return status;
}

/* Appends to t->headers. */
static void add_header(transfer *t, const char *header)
{
    struct curl_slist *list = curl_slist_append(t->headers, header);
    if (list == NULL) slm_out_of_memory(strlen(header));
    t->headers = list;
}

static void set_method(transfer *t, const slm_http_request *request)
{
    const char *method = request->method != NULL ? request->method : "GET";
    bool follow = request->body_len == 0;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "GET") != 0 || request->body_len > 0) {
        /* The size first: it says how much is copied. */
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS,
                         request->body_len > 0 ? request->body : "");
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
        follow = false;
    }
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        add_header(t, request->headers[i]);
        follow = follow && is_harmless(request->headers[i]);
    }
    add_header(t, "Expect:"); /* no waiting for "100 Continue" */
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    bool is_tls = strncasecmp(request->url, "https://", 8) == 0;
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR, is_tls ? "https" : "http,https");
    curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, follow ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
}

/* Whether the request would show a key to a proxy: plain http, which a proxy reads, to this machine,
 * to which it has no need to go. */
static bool must_go_directly(const slm_http_request *request)
{
    static const char *const local[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    static const char *const keys[] = {"Authorization:", "Api-Key:", "X-Api-Key:"};
    bool has_key = false;
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            has_key = has_key || strncasecmp(request->headers[i], keys[k], strlen(keys[k])) == 0;
    }
    for (size_t i = 0; has_key && i < sizeof local / sizeof *local; i++) {
        size_t len = strlen(local[i]);
        if (strncasecmp(request->url, local[i], len) != 0) continue;
        if (strchr(":/?#", request->url[len]) != NULL) return true;
    }
    return false;
}

static void set_options(slm_http *http, transfer *t, const slm_http_request *request)
{
    CURL *easy = t->easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, http->user_agent);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, http->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms);
    if (must_go_directly(request)) curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (http->ca_file != NULL) curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
    if (request->stall_timeout_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (request->stall_timeout_ms + 999) / 1000);
    }
    if (request->reply_stall_timeout_ms > 0) {
        t->reply_stall_s = (double)request->reply_stall_timeout_ms / 1000;
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_curl_progress);
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    }
    /* Many requests to one host at once: wait for its first connection, which may carry them all. */
    if (strncasecmp(request->url, "https://", 8) == 0) curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    if (request->range_begin > 0) {
        char range[32];
        snprintf(range, sizeof range, "%llu-", (unsigned long long)request->range_begin);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_curl_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_curl_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->message);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
}

slm_status slm_http_submit(slm_http *http, const slm_http_request *request, uint64_t *id,
                           slm_error *err)
{
    SLM_TRY(check_request(http, request, err));
    transfer *t = calloc(1, sizeof *t);
    if (t == NULL) slm_out_of_memory(sizeof *t);
    t->reply = calloc(1, sizeof *t->reply);
    t->easy = curl_easy_init();
    if (t->reply == NULL || t->easy == NULL) slm_out_of_memory(sizeof *t);
    t->on_body = request->on_body;
    t->on_headers = request->on_headers;
    t->context = request->context;
    t->max_body_bytes = request->max_body_bytes > 0 ? request->max_body_bytes : MAX_BODY_BYTES;
    t->start_s = slm_progress_clock_s();
    t->reply->id = ++http->last_id;
    set_options(http, t, request);
    set_method(t, request);
    CURLMcode code = curl_multi_add_handle(http->multi, t->easy);
    if (code != CURLM_OK) {
        transfer_free(http, t);
        return slm_error_set(err, SLM_ERR_NETWORK, "libcurl takes no request: %s",
                             curl_multi_strerror(code));
    }
    t->next = http->transfers;
    http->transfers = t;
    http->in_flight++;
    if (id != NULL) *id = t->reply->id;
    return SLM_OK;
}

static void unlink_transfer(slm_http *http, transfer *t)
{
    transfer **at = &http->transfers;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    http->in_flight--;
}

static slm_http_failure failure_kind(const transfer *t, CURLcode result)
{
    if (t->stopped != NULL) return t->stopped_kind;
    switch (result) {
    case CURLE_OK:
        return SLM_HTTP_COMPLETE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SLM_HTTP_NO_HOST;
    case CURLE_COULDNT_CONNECT:
        return SLM_HTTP_NO_CONNECTION;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return SLM_HTTP_NOT_TRUSTED;
    case CURLE_OPERATION_TIMEDOUT: {
        /* Before anything was sent, it was the connection that did not come to stand. */
        curl_off_t sent_us = 0;
        curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
        return sent_us > 0 ? SLM_HTTP_TIMEOUT : SLM_HTTP_NO_CONNECTION;
    }
    default:
        return SLM_HTTP_CUT;
    }
}

/* Moves a transfer that curl has ended to the queue of replies. */
static void finish(slm_http *http, transfer *t, CURLcode result)
{
    slm_http_reply *reply = t->reply;
    reply->status = status_of(t);
    reply->time_s = slm_progress_clock_s() - t->start_s;
    bool good = reply->status >= 200 && reply->status < 300;
    /* An empty body calls no on_body, but its headers were promised. */
    if (result == CURLE_OK && good) tell_headers(t, reply->status);
    const char *why = t->stopped;
    if (why == NULL && result != CURLE_OK) {
        why = t->message[0] != '\0' ? t->message : curl_easy_strerror(result);
    }
    if (why != NULL) snprintf(reply->failure, sizeof reply->failure, "%s", why);
    reply->failure_kind = failure_kind(t, result);
    if (why == NULL && reply->status == 0) {
        snprintf(reply->failure, sizeof reply->failure, "the host did not answer in HTTP");
        reply->failure_kind = SLM_HTTP_CUT;
    }
    finished *f = malloc(sizeof *f);
    if (f == NULL) slm_out_of_memory(sizeof *f);
    *f = (finished){.reply = reply};
    if (http->last != NULL) {
        http->last->next = f;
    } else {
        http->first = f;
    }
    http->last = f;
    t->reply = NULL;
    unlink_transfer(http, t);
    transfer_free(http, t);
}

/* Lets curl work once and collects what has ended. */
static slm_status work(slm_http *http, slm_error *err)
{
    int running;
    http->worked_s = slm_progress_clock_s();
    CURLMcode code = curl_multi_perform(http->multi, &running);
    if (code != CURLM_OK) {
        return slm_error_set(err, SLM_ERR_NETWORK, "libcurl cannot go on: %s",
                             curl_multi_strerror(code));
    }
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left)) != NULL;) {
        if (message->msg != CURLMSG_DONE) continue;
        char *private = NULL;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        finish(http, (transfer *)(void *)private, result);
    }
    return SLM_OK;
}

static slm_http_reply *take_first(slm_http *http)
{
    finished *f = http->first;
    slm_http_reply *reply = f->reply;
    http->first = f->next;
    if (http->first == NULL) http->last = NULL;
    free(f);
    return reply;
}

slm_status slm_http_poll(slm_http *http, int timeout_ms, slm_http_reply **reply, slm_error *err)
{
    *reply = NULL;
    double end_s = slm_progress_clock_s() + timeout_ms / 1000.0;
    for (;;) {
        /* Before handing out what is done already, let the others move on; but not for each of
         * many, since curl looks at every transfer each time. */
        if (http->in_flight > 0 &&
            (http->first == NULL || slm_progress_clock_s() - http->worked_s > WORK_EVERY_S))
            SLM_TRY(work(http, err));
        if (http->first != NULL) {
            *reply = take_first(http);
            return SLM_OK;
        }
        if (http->in_flight == 0) return SLM_OK;
        double left_ms = timeout_ms < 0 ? 1000 : 1000 * (end_s - slm_progress_clock_s());
        if (left_ms <= 0) return SLM_OK;
        /* At least once a second, so that a stalled reply is noticed. */
        int wait_ms = left_ms < 1000 ? (int)left_ms + 1 : 1000;
        CURLMcode code = curl_multi_poll(http->multi, NULL, 0, wait_ms, NULL);
        if (code != CURLM_OK) {
            return slm_error_set(err, SLM_ERR_NETWORK, "libcurl cannot wait: %s",
                                 curl_multi_strerror(code));
        }
    }
}

void slm_http_cancel(slm_http *http, uint64_t id)
{
    for (transfer *t = http->transfers; t != NULL; t = t->next) {
        if (t->reply->id != id) continue;
        unlink_transfer(http, t);
        transfer_free(http, t);
        return;
    }
    finished *before = NULL;
    for (finished *f = http->first; f != NULL; before = f, f = f->next) {
        if (f->reply->id != id) continue;
        if (before != NULL) {
            before->next = f->next;
        } else {
            http->first = f->next;
        }
        if (http->last == f) http->last = before;
        slm_http_reply_free(f->reply);
        free(f);
        return;
    }
}

size_t slm_http_in_flight(const slm_http *http)
{
    size_t count = http->in_flight;
    for (const finished *f = http->first; f != NULL; f = f->next)
        count++;
    return count;
}

void slm_http_reply_free(slm_http_reply *reply)
{
    if (reply == NULL) return;
    slm_buffer_free(&reply->body);
    slm_buffer_free(&reply->headers);
    free(reply);
}

bool slm_http_reply_header(const slm_http_reply *reply, const char *name, slm_buffer *out)
{
    size_t len = strlen(name);
    slm_buffer_truncate(out, 0);
    for (const char *line = slm_buffer_text(&reply->headers); *line != '\0';) {
        const char *end = strchr(line, '\n');
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1;
            value += strspn(value, " \t");
            slm_buffer_append(out, value, (size_t)(end - value));
            while (out->len > 0 && strchr(" \t", out->data[out->len - 1]) != NULL) {
                slm_buffer_truncate(out, out->len - 1);
            }
            return true;
        }
        line = end + 1;
    }
    return false;
}

double slm_http_reply_retry_after_s(const slm_http_reply *reply)
{
    slm_buffer value = {0};
    double wait_s = -1;
    const char *const names[] = {"Retry-After-Ms", "Retry-After"};
    for (size_t i = 0; i < 2 && wait_s < 0; i++) {
        if (!slm_http_reply_header(reply, names[i], &value)) continue;
        const char *text = slm_buffer_text(&value);
        char *end = NULL;
        double number = strtod(text, &end);
        if (end != text && *end == '\0') {
            /* Not a number and infinities fail the comparison. */
            if (number >= 0 && number < 1e9) wait_s = i == 0 ? number / 1000 : number;
        } else {
            time_t when = curl_getdate(text, NULL), now = time(NULL);
            if (when != (time_t)-1) wait_s = when > now ? (double)(when - now) : 0;
        }
    }
    slm_buffer_free(&value);
    return wait_s;
}

/* Waits for the reply `id`, leaving others in the queue. */
static slm_status wait_for(slm_http *http, uint64_t id, slm_http_reply **reply, slm_error *err)
{
    for (;;) {
        SLM_TRY(work(http, err));
        finished *before = NULL;
        for (finished *f = http->first; f != NULL; before = f, f = f->next) {
            if (f->reply->id != id) continue;
            if (before == NULL) {
                *reply = take_first(http);
                return SLM_OK;
            }
            before->next = f->next;
            if (http->last == f) http->last = before;
            *reply = f->reply;
            free(f);
            return SLM_OK;
        }
        CURLMcode code = curl_multi_poll(http->multi, NULL, 0, 1000, NULL);
        if (code != CURLM_OK) {
            return slm_error_set(err, SLM_ERR_NETWORK, "libcurl cannot wait: %s",
                                 curl_multi_strerror(code));
        }
    }
}

slm_status slm_http_perform(slm_http *http, const slm_http_request *request, slm_http_reply **reply,
                            slm_error *err)
{
    *reply = NULL;
    uint64_t id;
    SLM_TRY(slm_http_submit(http, request, &id, err));
    slm_status status = wait_for(http, id, reply, err);
    if (status != SLM_OK) {
        slm_http_cancel(http, id);
        return status;
    }
    if ((*reply)->failure[0] == '\0') return SLM_OK;
    slm_buffer shown = {0};
    slm_http__append_url(&shown, request->url);
    status = slm_error_set(err, SLM_ERR_NETWORK, "%s: %s", shown.data, (*reply)->failure);
    slm_buffer_free(&shown);
    slm_http_reply_free(*reply);
    *reply = NULL;
    return status;
}
