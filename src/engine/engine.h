/* engine.h: many requests over one model: a paged KV cache with shared prefixes, a batch scheduler,
 * a sampler.
 *
 * A request is a prompt and n samples of it. The prompt is computed once and its pages are shared by
 * reference count; each sample then grows pages of its own. Every step runs one forward over a mixed
 * batch: one row for each sample that is decoding, and chunks of prompts that wait. A request's
 * tokens do not depend on what else is in the batch, on chunk size, on sharing or on threads. A
 * request may be held to a JSON Schema: then each step leaves only tokens that a value of it may go on
 * with, which depends on its own tokens alone.
 *
 * Single-threaded: the caller drives it with slm_engine_step. */
#ifndef SLM_ENGINE_H
#define SLM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/random.h"
#include "base/statistics.h"
#include "kernel/kernel.h"
#include "model/model.h"
#include "text/text.h"

typedef struct slm_engine slm_engine;

typedef struct slm_engine_options {
    int32_t batch;        /* samples decoding at once; default 32 */
    int32_t chunk;        /* prompt rows in one step; default 256 */
    int32_t context;      /* longest prompt plus reply; 0: the model's own */
    uint64_t cache_bytes; /* of the KV cache; 0: enough for batch sequences, at most 512 MiB */
    bool prefix_sharing;  /* default true; false computes each sample's prompt by itself */
} slm_engine_options;
slm_engine_options slm_engine_options_default(void);

/* What an engine takes beside the model's weights: for keys and values, and for computing. */
typedef struct slm_engine_memory {
    uint64_t cache_bytes, scratch_bytes;
} slm_engine_memory;
/* adapter_rank: 0 without an adapter. dtype as in slm_model_options. */
slm_engine_memory slm_engine_memory_of(const slm_model_config *config, slm_dtype dtype,
                                       int adapter_rank, const slm_engine_options *options);

/* The model and tokenizer must outlive the engine. */
slm_status slm_engine_new(slm_model *model, const slm_tokenizer *tokenizer,
                          const slm_engine_options *options, slm_engine **out, slm_error *err);
void slm_engine_free(slm_engine *engine);

typedef struct slm_generate {
    const slm_token *prompt; /* copied */
    size_t prompt_len;       /* > 0 */
    uint32_t samples;        /* n >= 1 */
    uint32_t first_rollout;  /* sample i is keyed by rollout first_rollout + i */
    uint64_t seed, stream;   /* of slm_random_key */
    slm_sample_options sampling;
    int32_t max_tokens;           /* of each reply; cut to what the context leaves */
    const slm_token *stop_tokens; /* end a reply, not part of its text; copied */
    size_t stop_token_count;
    const char *const *stop; /* strings that end a reply, cut off from its text; copied */
    size_t stop_count;
    /* NULL, or the text of a JSON Schema that the reply is a value of (copied): stop tokens only
     * where the value is whole, and nothing else where nothing can follow. A reply that max_tokens
     * cuts off is cut off. docs/json-schema.md says which keywords there are. */
    const char *json_schema;
    /* Called with each piece of new text that can no longer be cut by a stop string (may be NULL;
     * len 0 is never sent). Valid UTF-8, whole characters. */
    void (*on_text)(void *context, uint32_t sample, const char *text, size_t len);
    void *context;
} slm_generate;

typedef enum slm_finish {
    SLM_FINISH_STOP,   /* a stop token or stop string; or a whole value where there are none */
    SLM_FINISH_LENGTH, /* max_tokens or the context */
    SLM_FINISH_CANCELLED,
    SLM_FINISH_ERROR, /* the logits were not finite */
} slm_finish;

/* One finished sample. ids and logprobs include a stop token that was sampled, and the tokens of a
 * stop string, so that they are exactly what was sampled; text excludes both. */
typedef struct slm_generated {
    uint64_t request;
    uint32_t sample;
    slm_finish finish;
    slm_tokens ids;
    float *logprobs; /* ids.len of them */
    char *text;      /* NUL-terminated UTF-8 */
    size_t text_len;
    size_t prompt_len;
    double time_s; /* from submit to finish */
} slm_generated;
void slm_generated_free(slm_generated *generated); /* NULL is allowed */

/* Validates (the error names the field and its bounds, or the place in the schema; a keyword that is
 * not known is SLM_ERR_UNSUPPORTED) and queues. */
slm_status slm_engine_submit(slm_engine *engine, const slm_generate *request, uint64_t *id,
                             slm_error *err);
void slm_engine_cancel(slm_engine *engine, uint64_t id); /* its samples finish CANCELLED */
/* One forward and its samples. *worked false: nothing to do. */
slm_status slm_engine_step(slm_engine *engine, bool *worked, slm_error *err);
/* Next finished sample or NULL. The caller frees it. */
slm_generated *slm_engine_poll(slm_engine *engine);
size_t slm_engine_pending(const slm_engine *engine); /* samples not yet handed out by poll */

typedef struct slm_engine_stats {
    uint64_t prompt_tokens; /* rows computed for prompts */
    uint64_t shared_tokens; /* prompt rows that sharing saved */
    uint64_t generated_tokens;
    uint64_t steps;
    double prompt_s, decode_s; /* time in steps with and without prompt rows */
    uint64_t pages, pages_used_peak, page_bytes;
    uint64_t masked_tokens, masks; /* rows held to a schema; masks that were made for them */
    double mask_s;                 /* time to make and find them */
} slm_engine_stats;
slm_engine_stats slm_engine_get_stats(const slm_engine *engine);
int32_t slm_engine_context(const slm_engine *engine);

/* Log-probabilities at temperature 1 of ids[1..n) given those before them, in out[n-1]: the same
 * forward and the same function as sampling. Empty engine only (nothing pending). If logits is not
 * NULL, all n rows of logits are written there too ([n, vocabulary], host memory). */
slm_status slm_engine_score(slm_engine *engine, const slm_token *ids, size_t n, float *out,
                            float *logits, slm_error *err);

/* ---- perplexity (perplexity.c): how well a model foretells texts -------------------------------- */

/* Tokens of a text that are scored by themselves: each but the first, given those before it. */
typedef struct slm_window {
    size_t begin, len; /* in slm_windows.tokens; len is 2 or more */
    size_t bytes;      /* of text that the scored tokens stand for */
    double nll;        /* sum of -ln p over the scored tokens; 0 before slm_windows_score */
} slm_window;

/* Zero-initialised is empty. */
typedef struct slm_windows {
    slm_tokens tokens; /* of all windows, BOS included */
    slm_window *items;
    size_t count, cap;
    size_t text_tokens; /* BOS not included */
} slm_windows;

/* Append a text's windows of `context` tokens (2 or more), BOS in front of each included where the
 * tokenizer adds one. The text's last window counts if it has two tokens. limit: text_tokens stops
 * there; 0: no limit. */
slm_status slm_windows_add(slm_windows *windows, const slm_tokenizer *tokenizer, const char *text,
                           size_t len, size_t context, size_t limit, slm_error *err);
/* Set the nll of one window. The engine is empty and its context is the windows' or longer. Does not
 * depend on its batch (how many tokens are computed at once) nor on threads. */
slm_status slm_windows_score(slm_windows *windows, size_t index, slm_engine *engine,
                             slm_error *err);
void slm_windows_free(slm_windows *windows);

typedef struct slm_perplexity {
    size_t tokens, bytes;  /* scored, and what they stand for */
    double nll;            /* sum, in nats */
    double perplexity;     /* exp(nll / tokens) */
    slm_interval interval; /* of it, 95 %, by bootstrap over windows; NaN below two windows */
    double bits_per_byte;  /* nll / ln 2 / bytes */
} slm_perplexity;
slm_perplexity slm_windows_perplexity(const slm_windows *windows);

/* By how much the perplexity is above `first`'s, as a share of that (0.05: 5 % more), with the
 * interval of pairs of windows. False where the two are not the same windows of the same tokens. */
bool slm_windows_change(const slm_windows *first, const slm_windows *windows, double *change,
                        slm_interval *interval);

#endif
