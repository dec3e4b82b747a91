/* chat.h: a model one can talk to, wherever it runs. One of the two doors to a model.
 *
 * Callers keep many requests in flight: submit, then poll until all replies are there. A handle is
 * used by one thread at a time. Implementations fill slm_chat_class: local models (open/), recorded
 * files and remote APIs (provider/). */
#ifndef SLM_PROVIDER_CHAT_H
#define SLM_PROVIDER_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

typedef struct slm_chat_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8 */
} slm_chat_message;

typedef struct slm_chat_sampling {
    double temperature;        /* 0: greedy */
    double top_p;              /* 1: off */
    int64_t top_k;             /* 0: off */
    double min_p;              /* 0: off */
    double presence_penalty;   /* 0: off */
    double frequency_penalty;  /* 0: off */
    double repetition_penalty; /* 1: off */
    int64_t max_tokens;
    int64_t seed;
    bool thinking; /* for templates that can */
    const char *const *stop;
    size_t stop_count;
} slm_chat_sampling;
/* Temperature 0.7 and top-p 1, everything else off, 512 tokens, seed 0. */
slm_chat_sampling slm_chat_sampling_default(void);
/* Names the field and its bounds. */
slm_status slm_chat_sampling_check(const slm_chat_sampling *sampling, slm_error *err);
/* Canonical JSON of the settings, for hashes and the results database; malloc'd, free with free(). */
char *slm_chat_sampling_json(const slm_chat_sampling *sampling);

typedef struct slm_chat_request {
    const slm_chat_message *messages; /* everything here is copied by submit */
    size_t message_count;
    uint32_t n;             /* replies wanted, >= 1 */
    uint32_t first_rollout; /* reply i is rollout first_rollout + i: part of its random key */
    const char *case_id;    /* part of the random key; NULL as "" */
    slm_chat_sampling sampling;
    const char
        *json_schema; /* NULL, or constrain the reply to it (SLM_ERR_UNSUPPORTED if it cannot) */
    bool want_trace;
    /* Streaming: pieces of reply `index`, whole characters; may be NULL. */
    void (*on_text)(void *context, uint32_t index, const char *text, size_t len);
    void *context;
} slm_chat_request;

typedef enum slm_chat_finish {
    SLM_CHAT_STOP,
    SLM_CHAT_LENGTH,  /* cut off */
    SLM_CHAT_REFUSED, /* the API's content filter or a refusal field */
    SLM_CHAT_ERROR,   /* no reply: `error` says why */
    SLM_CHAT_CANCELLED,
} slm_chat_finish;
const char *slm_chat_finish_name(slm_chat_finish finish); /* "stop", "length", ... */
/* False if there is no such name. */
bool slm_chat_finish_from_name(const char *name, slm_chat_finish *out);

/* What was sampled, exactly: nothing may be re-tokenised from text. */
typedef struct slm_chat_trace {
    int32_t *prompt_ids;
    size_t prompt_len;
    int32_t *reply_ids;
    float *logprobs; /* of reply_ids: log softmax(logits / T) over the whole vocabulary */
    size_t reply_len;
} slm_chat_trace;

typedef struct slm_chat_reply {
    uint64_t ticket;
    uint32_t index; /* 0..n-1 */
    slm_chat_finish finish;
    char *text;      /* "" if none; never NULL */
    char *reasoning; /* NULL if none */
    int64_t prompt_tokens, cached_tokens, reply_tokens, reasoning_tokens; /* -1: not told */
    double time_s;
    slm_chat_trace *trace; /* NULL unless wanted and the model is ours */
    slm_error error;
} slm_chat_reply;
/* A zeroed reply with a copy of `text` (NULL as ""), all token counts -1. For implementations. */
slm_chat_reply *slm_chat_reply_new(uint64_t ticket, uint32_t index, slm_chat_finish finish,
                                   const char *text);
void slm_chat_reply_free(slm_chat_reply *reply); /* NULL is allowed */

typedef struct slm_chat slm_chat;

typedef struct slm_chat_class {
    slm_status (*submit)(slm_chat *, const slm_chat_request *, uint64_t ticket, slm_error *);
    slm_status (*poll)(slm_chat *, int timeout_ms, slm_chat_reply **, slm_error *);
    void (*cancel)(slm_chat *, uint64_t ticket);
    void (*free)(slm_chat *);
} slm_chat_class;

/* What every implementation's struct begins with. */
struct slm_chat {
    const slm_chat_class *class;
    char *name;         /* shown in reports; owned by the implementation */
    char *identity;     /* hash of everything that decides the replies: model and adapter content,
                              template, kernel path, dtype; or the remote model's name and host */
    int32_t width;      /* how many replies in flight make sense */
    bool holds_lengths; /* a schema's minLength and maxLength are held too; many APIs refuse them */
    /* Kept by slm_chat_submit and slm_chat_poll; implementations read them and do not write them.
     * Zero-initialised structs are right. */
    uint64_t next_ticket;
    size_t in_flight; /* replies still to come */
};

/* Queue a request; *ticket names its replies. Wrong requests (no messages, unknown role, a prompt
 * longer than the context) are errors here. */
slm_status slm_chat_submit(slm_chat *chat, const slm_chat_request *request, uint64_t *ticket,
                           slm_error *err);
/* Wait up to timeout_ms (-1: until there is one) for a reply; *reply NULL: none yet, or none in
 * flight. A failed request is a reply with SLM_CHAT_ERROR; the status is for failures of the whole
 * handle. */
slm_status slm_chat_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply, slm_error *err);
/* Its replies still come, as SLM_CHAT_CANCELLED. */
void slm_chat_cancel(slm_chat *chat, uint64_t ticket);
void slm_chat_free(slm_chat *chat); /* NULL is allowed */

/* recorded:FILE. JSON Lines of {"messages"?: [...], "last"?: TEXT, "reply": TEXT, "finish"?: NAME,
 * "reasoning"?: TEXT, "rollout"?: N, "case"?: ID, "model"?: TEXT, "usage"?: {...}}. A request takes the
 * line whose messages equal its own (or whose `last` equals its last message), and with n > 1 the
 * following equal lines in turn, by rollout index modulo their number; a line with neither answers
 * everything. `messages` goes before `last`, `last` before neither. A line with a rollout answers that
 * rollout alone, the last such line, and one of the request's own case before others. No match is an
 * error reply naming the file, as is a line whose finish is "error". Sampling and JSON schema are
 * accepted and not enforced: what was recorded stands. A file of several models' lines (record.h) is
 * read as FILE#MODEL. */
slm_status slm_chat_recorded_open(const char *path, slm_chat **out, slm_error *err);

#endif
