/* remote_internal.h: what the files of remote models share: where a MODEL leads (target.c), the wire
 * formats (openai.c, anthropic.c, bedrock.c, reply.c), and the line over which calls go (line.c). */
#ifndef SLM_PROVIDER_REMOTE_INTERNAL_H
#define SLM_PROVIDER_REMOTE_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/http.h"
#include "base/json.h"
#include "provider/remote.h"

/* ---- target.c: where a MODEL leads ---- */

typedef enum remote__kind {
    REMOTE_OPENAI,
    REMOTE_AZURE,
    REMOTE_ANTHROPIC,
    REMOTE_BEDROCK,
} remote__kind;

/* Texts live in its arena. */
typedef struct remote__target {
    slm_arena arena;
    remote__kind kind;
    const char *model; /* NAME or DEPLOYMENT */
    const char *base;  /* URL without '/' and query at its end: what endpoints are matched with */
    const char *host;  /* with its port if one is named; in lower case */
    const char *api_version; /* azure */
    bool own;                /* the provider's own host, over https */
    bool encrypted, loopback;
    const char *key_variable; /* where the key comes from; NULL: none is sent */
    const char *key;
    const slm_endpoint *endpoint;
    const slm_price *price;
    const char *identity; /* "openai:NAME@URL" */
} remote__target;

/* Reads the MODEL and finds its endpoint and price; no key yet. Free the target also after an error. */
slm_status remote__target_read(const char *model, const slm_remote_settings *settings,
                               remote__target *out, slm_error *err);
/* Which key goes there. A key that is missing, or that would go in the clear, is an error. */
slm_status remote__target_key(remote__target *target, const slm_remote_settings *settings,
                              slm_error *err);
void remote__target_free(remote__target *target);
/* The address that is asked: `what` is "chat" or "embeddings". */
const char *remote__target_url(remote__target *target, bool embeddings);
/* Headers of every request, ended by NULL; the key is among them. */
const char *const *remote__target_headers(remote__target *target);

/* http(s)://HOST[:PORT][/PATH][?QUERY], scheme and host lowered, no '/' at the end of the path. Refused:
 * user and password, a fragment, control characters. */
slm_status remote__read_url(const char *url, slm_arena *arena, const char **out, slm_error *err);
bool remote__is_variable(const char *text);

/* ---- wire formats ---- */

/* What this host was found not to take, and is therefore not sent. */
typedef struct remote__dialect {
    bool old_max_tokens; /* "max_tokens", not "max_completion_tokens" */
    bool flipped;        /* the other of the two was tried already */
    bool no_seed;
} remote__dialect;

/* A reply as the API gave it. */
typedef struct remote__parsed {
    slm_chat_finish finish;
    slm_buffer text, reasoning;
    bool has_reasoning;
    int64_t prompt_tokens, cached_tokens, reply_tokens, reasoning_tokens; /* -1: not told */
} remote__parsed;
void remote__parsed_free(remote__parsed *parsed);

typedef struct remote__api {
    /* What the API cannot do is said before it is asked. */
    slm_status (*check)(const remote__target *, const slm_chat_request *, slm_error *);
    /* The body for one reply; `seed` is that of this rollout. */
    void (*body)(const remote__target *, const slm_chat_request *, const remote__dialect *,
                 int64_t seed, slm_buffer *out);
    /* An object with status 200. SLM_ERR_FORMAT: not what the API says it sends. */
    slm_status (*parse)(const json_t *root, remote__parsed *out, slm_error *err);
} remote__api;
extern const remote__api remote__openai, remote__anthropic, remote__bedrock;
const remote__api *remote__api_of(remote__kind kind);

/* reply.c: what the formats share */

/* Any bytes as a JSON object; invalid UTF-8 becomes U+FFFD first. What it is instead (an HTML page,
 * the beginning of something) is said. */
slm_status remote__read_json(const char *body, size_t len, const char *content_type, json_t **out,
                             slm_error *err);
/* Bytes -> remote__parsed by an API's format; for the calls, the tests and the fuzzer. */
slm_status remote__parse_reply(const remote__api *api, const char *body, size_t len,
                               const char *content_type, remote__parsed *out, slm_error *err);
/* What an API says about an error, of whatever form; fields are "" where it does not say. One line,
 * no control characters. */
typedef struct remote__problem {
    char message[400];
    char code[64], type[64], param[64];
} remote__problem;
void remote__read_problem(const char *body, size_t len, const char *key, remote__problem *out);
/* Overwrite every occurrence of the key, if it is long enough to be one. */
void remote__scrub(char *text, size_t len, const char *key);
/* Text of one line without control characters, cut to the room. */
void remote__one_line(const char *text, size_t len, char *out, size_t room);

void remote__append_json_text(slm_buffer *out, const json_t *string);
/* object[key] as a count of tokens; -1 if it is none. */
int64_t remote__count(const json_t *object, const char *key);
/* object[a][b] if that is a text, else NULL. */
const char *remote__text_at(const json_t *object, const char *a, const char *b);
void remote__append_member(slm_buffer *out, const char *key, const char *text);

/* ---- line.c: calls on their way ---- */

typedef struct remote__line remote__line;

typedef enum remote__state { CALL_WAITING, CALL_SLEEPING, CALL_FLYING, CALL_DONE } remote__state;

/* One request until it is answered. Embedded at the beginning of its owner's own struct. */
typedef struct remote__call {
    struct remote__call *next;
    remote__state state;
    uint64_t http_id;
    uint64_t jitter;      /* names the call for its waiting times */
    double cost_usd;      /* the most that one try can cost */
    double reserved_usd;  /* of that, while it is on its way */
    int tries;            /* sent so far */
    double ready_s;       /* when sleeping: until then */
    double sent_s, due_s; /* of this try */
    double time_s;        /* of the try that was answered */
    slm_error error;      /* status SLM_OK: answered */
} remote__call;

typedef enum remote__verdict {
    VERDICT_DONE,  /* the call is answered, or has failed for good (call->error) */
    VERDICT_AGAIN, /* try again later; err says why */
    VERDICT_NOW,   /* send it again at once: the next body will be another */
    VERDICT_LOST,  /* nothing on this line can succeed; err says why */
    VERDICT_PASS,  /* the owner has no opinion */
} remote__verdict;

typedef struct remote__usage {
    int64_t prompt_tokens, cached_tokens, reply_tokens, reasoning_tokens;
} remote__usage;

typedef struct remote__owner {
    void (*body)(void *context, remote__call *call, slm_buffer *out);
    /* Status 200 with a JSON object. usage: -1s that the owner fills. */
    remote__verdict (*on_reply)(void *context, remote__call *call, const json_t *root,
                                remote__usage *usage, slm_error *err);
    /* Another status; VERDICT_PASS leaves it to the line. */
    remote__verdict (*on_problem)(void *context, remote__call *call, long status,
                                  const remote__problem *problem, slm_error *err);
    void *context;
} remote__owner;

struct remote__line {
    remote__target *target;
    const char *url;
    const char *const *headers;
    slm_http *http;
    slm_budget *budget, no_budget;
    slm_log *log;
    remote__owner owner;
    int retries;
    double timeout_s, stall_timeout_s;
    /* Additive increase, multiplicative decrease of the number of calls at once. */
    int width;
    double window;
    double narrowed_s; /* when it was last halved */
    double hold_s;     /* nothing is sent before */
    size_t flying;
    remote__call *first, **last;     /* waiting */
    remote__call *sleeping;          /* until ready_s */
    remote__call *in_flight;         /* sent */
    remote__call *done, **done_last; /* to be handed out */
    uint64_t successes;
    double polled_s; /* end of the last poll */
    double told_s;   /* when a trouble was last told */
    bool broken;
    slm_error broken_error;
};

/* `target` and `settings` must outlive it. */
slm_status remote__line_open(remote__line *line, remote__target *target, bool embeddings,
                             const slm_remote_settings *settings, const remote__owner *owner,
                             slm_error *err);
/* What forbids asking the target at all: --offline, --max-cost without a price. */
slm_status remote__check_settings(const remote__target *target, const slm_remote_settings *settings,
                                  slm_error *err);
/* How many calls at once. */
int remote__width(const remote__target *target, const slm_remote_settings *settings);
/* Calls that are still on it are the owner's to free, with remote__line_take. */
void remote__line_close(remote__line *line);
/* Add a call with jitter and cost_usd set and everything else zero. */
void remote__line_add(remote__line *line, remote__call *call);
/* Wait up to timeout_ms (below 0: until there is one) for a finished call; *call NULL: none yet, or
 * none on the line. The status is for what ends the whole line. */
slm_status remote__line_poll(remote__line *line, int timeout_ms, remote__call **call,
                             slm_error *err);
/* Whether the call is not handed out yet: then it becomes done with this error at once. */
void remote__line_cancel(remote__line *line, remote__call *call);
/* Any call that is still on the line, without ceremony; NULL if none. For freeing. */
remote__call *remote__line_take(remote__line *line);
/* Forget a call that was taken so: if it was sent, its transfer ends and its money counts as spent. */
void remote__line_drop(remote__line *line, remote__call *call);

#endif
