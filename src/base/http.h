/* http.h: HTTP requests over libcurl's multi interface, many in flight, one thread.
 *
 * Nothing here retries or knows an API: provider does. Redirects are followed only for GET and HEAD,
 * only to the same scheme-or-better, and never carry an Authorization header to another host (curl's
 * rule). A request with a body, or with a header that may hold a key under another name, follows
 * none: its 3xx reply comes back as it is, so that nothing goes to a host that was not named.
 * Proxies come from the environment variables that curl honours, except that a header that holds a
 * key (Authorization, Api-Key, X-Api-Key) for plain http on this machine goes there directly: a proxy
 * could read it. */
#ifndef SLM_BASE_HTTP_H
#define SLM_BASE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/error.h"

typedef struct slm_http slm_http;

typedef struct slm_http_options {
    const char *ca_file;     /* NULL: the system's */
    const char *user_agent;  /* NULL: "slm" */
    long connect_timeout_ms; /* 0: 10000 */
    bool offline;            /* every request fails with SLM_ERR_NETWORK, naming --offline */
} slm_http_options;

slm_status slm_http_new(const slm_http_options *options, slm_http **out, slm_error *err);
void slm_http_free(slm_http *http);

struct slm_http_reply;

typedef struct slm_http_request {
    const char *method; /* "GET", "POST" */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    const void *body;           /* copied */
    size_t body_len;
    long timeout_ms;      /* whole request; 0: none */
    uint64_t range_begin; /* > 0: ask for bytes from here (resume) */
    /* If set, the body of a 2xx reply goes here piece by piece instead of reply.body; return false
     * to stop the transfer. */
    bool (*on_body)(void *context, const void *bytes, size_t len);
    /* If set, called once for a 2xx reply before its first on_body, when reply.status and
     * reply.headers are known and nothing else is; return false to stop the transfer. */
    bool (*on_headers)(void *context, const struct slm_http_reply *reply);
    void *context;
    long stall_timeout_ms; /* give up when nothing arrives for so long (to a second); 0: never */
    /* The same from the reply's first byte on: before it a host may think as long as it likes. */
    long reply_stall_timeout_ms;
    size_t max_body_bytes; /* of reply.body; what is larger fails; 0: 256 MiB */
} slm_http_request;

/* How a request without a complete reply failed. */
typedef enum slm_http_failure {
    SLM_HTTP_COMPLETE = 0,
    SLM_HTTP_NO_HOST,       /* its name, or the proxy's, has no address */
    SLM_HTTP_NO_CONNECTION, /* the request was not sent */
    SLM_HTTP_NOT_TRUSTED,   /* certificates; the request was not sent */
    SLM_HTTP_TIMEOUT,
    SLM_HTTP_TOO_LARGE,
    SLM_HTTP_CUT, /* anything else after the connection stood */
} slm_http_failure;

typedef struct slm_http_reply {
    uint64_t id; /* from submit */
    long status; /* HTTP status; 0: no reply (then `failure` says why) */
    slm_buffer body;
    slm_buffer headers; /* raw "Name: value\n" lines of the last response */
    char failure[256];  /* empty when a complete reply arrived */
    slm_http_failure failure_kind;
    double time_s; /* from submit to end */
} slm_http_reply;

slm_status slm_http_submit(slm_http *http, const slm_http_request *request, uint64_t *id,
                           slm_error *err);
/* Wait up to timeout_ms (below 0: without end) for one finished request; *reply is NULL if none
 * finished, at once if none is in flight. */
slm_status slm_http_poll(slm_http *http, int timeout_ms, slm_http_reply **reply, slm_error *err);
/* Forget a request; it yields no reply. Not from inside on_body or on_headers. */
void slm_http_cancel(slm_http *http, uint64_t id);
size_t slm_http_in_flight(const slm_http *http);
void slm_http_reply_free(slm_http_reply *reply);
/* Value of a header (case-insensitive) into out; false if absent. */
bool slm_http_reply_header(const slm_http_reply *reply, const char *name, slm_buffer *out);
/* How long the host asks to wait, by its headers Retry-After (seconds or a date) or Retry-After-Ms;
 * below 0: it does not say. */
double slm_http_reply_retry_after_s(const slm_http_reply *reply);
/* One request start to end. A reply of any status is SLM_OK; none, or one cut off, is
 * SLM_ERR_NETWORK with *reply NULL. */
slm_status slm_http_perform(slm_http *http, const slm_http_request *request, slm_http_reply **reply,
                            slm_error *err);

#endif
